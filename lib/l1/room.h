/* SPDX-License-Identifier: MIT */
/*
 * Room under the cap: one byte count, from which shards borrow in small portions.
 *
 * A share of the cap per shard would refuse values larger than the share; one shared counter would
 * be written by every insert of every thread. So each shard keeps a reserve (1/128 of a share) and
 * touches the count only when that is used up or overflows.
 *
 * Room is made by evicting, from the key's own shard first. What is evicted is not free before a
 * grace period, so the count of live bytes is kept below live_max, which leaves limbo its room: in
 * a full cache an insert evicts one entry, and takes bytes that a reclaim some time ago gave back.
 * When limbo is full too, evicting stops and the insert is dropped: nobody waits.
 *
 * Bytes that come back from limbo make live ones out of retired ones, and nobody has asked. So
 * whoever takes room while they are above the target, a little below live_max, evicts as much as it
 * takes. Else they would go up to live_max each time, and one insert would evict for all that were
 * before it: thousands, under its lock. And in a shard with more entries than the mean it evicts
 * twice as much. Else shards, each of which loses what it gains, would drift apart by chance, and
 * the large ones' tables would grow at the cost of values. (test/unit/20l1_room.c shows both.)
 * While limbo is half full this rests: its other half is for values that are replaced.
 */
#ifndef NIGH_L1_ROOM_H
#define NIGH_L1_ROOM_H

#include "l1/shard.h"

/* Charge `bytes` to the cap, evicting for room (bounded work). */
bool room_take_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes);
/* Charged memory for an entry of `size`, which is charged `bytes`: from what is ready to be freed,
 * or the arena. `new_hash`: of its key, if that is new: the policy may refuse it. NULL: no room or
 * no memory. */
struct l1_entry *room_make_locked(struct l1 *l1, struct l1_shard *s, const uint64_t *new_hash,
                                  size_t size, uint64_t bytes);
/* The same without evicting, for a copy: what it is a copy of leaves at once. */
bool room_take_spare_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes);
/* Give charged bytes back. */
void room_give_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes);
/*
 * Resize an array of the shard (mem_array_resize), which is charged. NULL: no room or no memory,
 * and it is as it was. Making room may evict.
 */
void *room_resize_locked(struct l1 *l1, struct l1_shard *s, void *array, size_t old_size,
                         size_t new_size);
/* The same without a shard: straight to and from the count of all. */
bool room_borrow(struct l1 *l1, uint64_t bytes);
void room_return(struct l1 *l1, uint64_t bytes);
/* What the shard keeps borrowed but does not use. */
void room_return_spare_locked(struct l1 *l1, struct l1_shard *s);
/* What is charged and not on its way out. */
uint64_t room_live_bytes(const struct l1 *l1);

#endif
