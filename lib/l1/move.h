/* SPDX-License-Identifier: MIT */
/*
 * An entry in other memory: copies that take the place of entries which stand in the way.
 */
#ifndef NIGH_L1_MOVE_H
#define NIGH_L1_MOVE_H

#include "l1/shard.h"

/*
 * Put a copy in place of the live entry in `slot`: in other memory, under another slot; the policy
 * takes it for a refreshed value. False: no room, no free slot, or no memory; nothing was done.
 */
bool l1_shard_move_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot) REQUIRES(s->lock);
/* Put a copy in place of the live entry in `slot`, under the same slot: only its memory changes,
 * and nothing is evicted for it. False: no room, no free slot, no memory, or limbo is full. */
bool l1_shard_relocate_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t hash)
    REQUIRES(s->lock);

#endif
