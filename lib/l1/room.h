/* SPDX-License-Identifier: MIT */
/*
 * Room under the cap: made by evicting, from the key's own shard first. (The count of bytes, from
 * which shards borrow, is in budget.h.)
 *
 * An evicted entry is not free before a grace period, so the count of live bytes is kept below
 * live_max, which leaves limbo its room: in a full cache an insert evicts one entry, and takes
 * bytes that a reclaim some time ago gave back. When limbo is full too, evicting stops and the
 * insert is dropped: nobody waits, though its thread has yielded (limbo_yield).
 *
 * Bytes freed from limbo return to a shard's reserve, where they count as live: live bytes rise
 * although no insert has asked for them. So an insert that takes room while live bytes are above
 * the target, a little below live_max, evicts as much as it takes. Otherwise live bytes would rise
 * to live_max each time, and one insert would evict for all those before it: thousands, under its
 * lock. In a shard with more entries than the mean it evicts twice as much. Otherwise shards, each
 * of which loses what it gains, would drift apart by chance, and the large ones' tables would grow
 * at the cost of values. (test/unit/20l1_room.c shows both.) None of this is done while limbo is
 * half full: the other half is for values that are replaced.
 *
 * The one recursion of this module. A policy grows its memory by room_resize_locked(), for which
 * entries are evicted: the policy is asked for a victim in the midst of its prepare(). So it does
 * that while its state is whole, and believes nothing that it knew before. It goes no deeper, for
 * victim() and remove() take no room.
 */
#ifndef NIGH_L1_ROOM_H
#define NIGH_L1_ROOM_H

#include "l1/budget.h"

/* Charge `bytes` to the cap, evicting for room (bounded work). False: there is no room, or the
 * policy refuses the newcomer that they are for. */
bool room_take_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes) REQUIRES(s->lock);
/* Get charged memory for an entry of `size`, which is charged `bytes`: that of an entry ready to be
 * freed, or from the arena. `hash`: of its key; unless it `replaces` an entry of that, the policy
 * may refuse it. NULL: no room or no memory; s->newcomer.refused says whether it was the policy. */
struct l1_entry *room_make_locked(struct l1 *l1, struct l1_shard *s, uint64_t hash, bool replaces,
                                  size_t size, uint64_t bytes) REQUIRES(s->lock);
/*
 * Resize a charged array of the shard (mem_array_resize). NULL: no room or no memory, and the array
 * is as it was. Making room may evict.
 */
void *room_resize_locked(struct l1 *l1, struct l1_shard *s, void *array, size_t old_size,
                         size_t new_size) REQUIRES(s->lock);

#endif
