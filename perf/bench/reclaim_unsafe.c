// SPDX-License-Identifier: MIT
/*
 * Instead of lib/l1/reclaim.c: what is retired is freed at once. With a reader in the way that is a
 * use after free; with one thread that holds no value it is the least that freeing can cost.
 */
#include "l1/reclaim.h"

#include "l1/room.h"

bool reclaim_limbo_full(const struct l1 *l1)
{
    (void)l1;
    return false;
}

uint64_t reclaim_retire_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot)
{
    struct l1_entry *e = ring_entry(&s->ring, slot);
    uint64_t bytes = mem_charge(l1->mem, entry_size(e));
    /* A store still refers to what it has just published, never to what it retires. */
    entry_free(l1, s->cache, e);
    ring_give(&s->ring, slot);
    room_give_locked(l1, s, bytes);
    return bytes;
}

void reclaim_retire_table_locked(struct l1 *l1, struct l1_shard *s, struct l1_table *t)
{
    uint64_t bytes = t->charged_bytes;
    table_destroy(l1->mem, s->cache, t);
    room_give_locked(l1, s, bytes);
}

void reclaim_free_ready_locked(struct l1 *l1, struct l1_shard *s, uint32_t most)
{
    (void)l1;
    (void)s;
    (void)most;
}

uint64_t l1_reclaim(struct l1 *l1)
{
    (void)l1;
    return CLOCK_NEVER_NS;
}

void l1_pins_read(struct l1 *l1, uint64_t *ret_pins, uint64_t *ret_bytes)
{
    (void)l1;
    *ret_pins = 0;
    *ret_bytes = 0;
}

void l1_set_reclaim_poke(struct l1 *l1, void (*poke)(void *arg), void *arg)
{
    l1->poke_arg = arg;
    l1->poke = poke;
}
