// SPDX-License-Identifier: MIT
/*
 * In place of one function of lib/l1/reclaim.c: what is retired is freed at once. With a reader in
 * the way that is a use after free; with one thread that holds no value it is the least that
 * freeing can cost.
 */
#include "l1/reclaim.h"

#include "l1/room.h"

uint64_t reclaim_retire_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot)
{
    struct l1_entry *e = ring_entry(&s->ring, slot);
    uint64_t bytes = mem_charge(l1->mem, entry_size(e));
    entry_free(l1, s->cache, e);
    ring_give(&s->ring, slot);
    room_give_locked(l1, s, bytes);
    return bytes;
}
