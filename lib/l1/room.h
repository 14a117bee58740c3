/* SPDX-License-Identifier: MIT */
/*
 * Room under the cap: one byte count, from which shards borrow in small portions.
 *
 * A share of the cap per shard would refuse values larger than the share; one shared counter would
 * be written by every insert of every thread. So each shard keeps a reserve (1/128 of a share) and
 * touches the count only when the reserve is used up or overflows.
 *
 * Room is made by evicting, from the key's own shard first. An evicted entry is not free before a
 * grace period, so the count of live bytes is kept below live_max, which leaves limbo its room: in
 * a full cache an insert evicts one entry, and takes bytes that a reclaim some time ago gave back.
 * When limbo is full too, evicting stops and the insert is dropped: nobody waits.
 *
 * Bytes freed from limbo return to a shard's reserve, where they count as live: live bytes rise
 * although no insert has asked for them. So an insert that takes room while live bytes are above
 * the target, a little below live_max, evicts as much as it takes. Otherwise live bytes would rise
 * to live_max each time, and one insert would evict for all those before it: thousands, under its
 * lock. In a shard with more entries than the mean it evicts twice as much. Otherwise shards, each
 * of which loses what it gains, would drift apart by chance, and the large ones' tables would grow
 * at the cost of values. (test/unit/20l1_room.c shows both.) None of this is done while limbo is
 * half full: the other half is for values that are replaced.
 */
#ifndef NIGH_L1_ROOM_H
#define NIGH_L1_ROOM_H

#include "l1/shard.h"

/* Charge `bytes` to the cap, evicting for room (bounded work). False: there is no room, or the
 * policy refuses the newcomer that they are for. */
bool room_take_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes);
/* Get charged memory for an entry of `size`, which is charged `bytes`: that of an entry ready to be
 * freed, or from the arena. `new_hash`: hash of the key if that is new, for the policy may refuse
 * it. NULL: no room or no memory. */
struct l1_entry *room_make_locked(struct l1 *l1, struct l1_shard *s, const uint64_t *new_hash,
                                  size_t size, uint64_t bytes);
/* Charge `bytes` without evicting: for a copy, whose original leaves at once. */
bool room_take_spare_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes);
/* Give charged bytes back. */
void room_give_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes);
/*
 * Resize a charged array of the shard (mem_array_resize). NULL: no room or no memory, and the array
 * is as it was. Making room may evict.
 */
void *room_resize_locked(struct l1 *l1, struct l1_shard *s, void *array, size_t old_size,
                         size_t new_size);
/* Charge bytes to the count of all shards, and give them back, past the shards' reserves. */
bool room_borrow(struct l1 *l1, uint64_t bytes);
void room_return(struct l1 *l1, uint64_t bytes);
/* Give back what the shard has borrowed and does not use: its reserve. */
void room_return_spare_locked(struct l1 *l1, struct l1_shard *s);
/* Bytes that are charged and not in limbo. */
uint64_t room_live_bytes(const struct l1 *l1);

#endif
