/* SPDX-License-Identifier: MIT */
/*
 * Takes entries out of a shard: removed on purpose, dropped because they cannot stay, evicted for
 * room.
 *
 * An entry is unlinked first, so that nobody finds it any more; then the policy hears of it; then
 * it is in limbo (limbo.h). All functions REQUIRE(shard lock).
 */
#ifndef NIGH_L1_LEAVE_H
#define NIGH_L1_LEAVE_H

#include "l1/shard.h"

/* Unlink and retire a live entry of this shard, to make room; `fate`: why. Returns its bytes. */
uint64_t l1_shard_remove_locked(struct l1 *l1, struct l1_shard *s, struct l1_entry *e,
                                enum l1_fate fate) REQUIRES(s->lock);
/* Unlink and retire an entry that cannot stay: when limbo is full it is set aside. With
 * L1_FATE_NONE somebody else says why. */
void l1_shard_drop_locked(struct l1 *l1, struct l1_shard *s, struct l1_entry *e, enum l1_fate fate)
    REQUIRES(s->lock);
/* Retire an entry whose word has been cleared, or names another: as l1_shard_drop_locked(). */
void l1_shard_let_go_locked(struct l1 *l1, struct l1_shard *s, struct l1_entry *e)
    REQUIRES(s->lock);
/* Tell the caches in miniature that a key's value is gone for another reason than want of room or
 * its age: one with another choice, or of another size, may have had it, and has lost it, too. */
void l1_tell_gone(struct l1 *l1, uint64_t hash);
/* Remove the policy's next victim: it is evicted, or shed where s->gives_back. Returns its bytes;
 * 0: there is no victim, or limbo is full. */
uint64_t l1_shard_evict_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock);
/* Remove up to `most` victims, whatever limbo holds: for a cap that comes down. */
uint64_t l1_shard_shed_locked(struct l1 *l1, struct l1_shard *s, uint32_t most) REQUIRES(s->lock);

#endif
