/* SPDX-License-Identifier: MIT */
/*
 * Slots of a shard's ring and the lists that are threaded through them.
 */
#include "l1/ring.h"

/* The first capacity. A ring grows by an eighth while it is small and is copied (64 bytes an
 * insert); then by a 32nd, which is a page or two that its pages get more (base/mem.h): slack stays
 * near 1.6 %. */
#define RING_FIRST 64u
#define STEP_SHARE 8u
#define LARGE 4096u /* slots */
#define LARGE_STEP_SHARE 32u

uint32_t ring_next_capacity(const struct l1_ring *r)
{
    uint32_t share = r->capacity < LARGE ? STEP_SHARE : LARGE_STEP_SHARE;
    uint32_t step = r->capacity / share / RING_GROUP * RING_GROUP;
    uint32_t next = r->capacity + (step > RING_FIRST ? step : RING_FIRST);
    uint32_t most = RING_NONE / RING_GROUP * RING_GROUP;
    if (next > most)
        next = most;
    return next > r->capacity ? next : 0;
}

void ring_grow(struct l1_ring *r, void *words, uint32_t capacity)
{
    uint32_t first_new = r->capacity;
    r->words = words;
    r->capacity = capacity;
    r->limit = capacity;
    for (uint32_t g = first_new / RING_GROUP; g < capacity / RING_GROUP; g++)
        r->due[g] = 0;
    for (uint32_t slot = first_new; slot < capacity; slot++)
        ring_give(r, slot);
}

/* The order of free slots starts anew: that costs a few entries their exact age, no more. */
void ring_set_limit(struct l1_ring *r, uint32_t limit)
{
    r->limit = limit;
    r->free = L1_LIST_EMPTY;
    for (uint32_t slot = 0; slot < limit; slot++)
        if (!ring_entry(r, slot))
            ring_push(r, &r->free, slot);
}

bool ring_may_cut(const struct l1_ring *r)
{
    for (uint32_t slot = r->limit; slot < r->capacity; slot++)
        if (ring_entry(r, slot))
            return false;
    return r->limit < r->capacity;
}

void ring_cut(struct l1_ring *r, void *words)
{
    r->words = words;
    r->capacity = r->limit;
}

void ring_set_tick(struct l1_ring *r, uint32_t slot, uint16_t tick)
{
    r->words[slot] = ring_live_word(ring_entry(r, slot), tick);
}

void ring_move_front(struct l1_ring *r, struct l1_list *from, uint32_t last, struct l1_list *to)
{
    uint32_t first = from->head;
    from->head = ring_next(r, last);
    if (from->head == RING_NONE)
        from->tail = RING_NONE;
    ring_set_next(r, last, RING_NONE);
    ring_append(r, to, first, last);
}
