/* SPDX-License-Identifier: MIT */
/*
 * A shard's ring: one word for each entry that the shard owns, live or retired.
 *
 *     live     | entry >> 4 (44 bits) | 0 | expiry tick (16 bits)           |
 *     linked   | entry >> 4           | 1 | next slot of its list (19 bits) |   retired: in limbo
 *     free     | 0                    | 1 | next slot of the free list      |
 *
 * One array does the work of three structures:
 *   - arrival order: slots are taken from the free list first in, first out, and victims are found
 *     by a hand that goes round, so in a full shard the free slots lie behind the hand and a slot's
 *     position is its age. (While slots of removed entries are refilled, or just after the ring
 *     grew, an entry may be passed before or after its turn: a matter of hit ratio only.) Being an
 *     array, it lets the hand ask for entries several ahead, which a list cannot.
 *   - limbo: a retired entry has a slot until it is freed, so retiring never needs memory and
 *     cannot fail. The slot is its own, or, when a new value of its key took that over, a free one.
 *   - expiry: a dense array of ticks, see expiry.h.
 *
 * Only writers see the ring, under the shard lock; so it may be resized in place, and moved.
 */
#ifndef NIGH_L1_RING_H
#define NIGH_L1_RING_H

#include "l1/l1.h"

#define RING_LINK_BITS 19
#define RING_NONE ((UINT32_C(1) << RING_LINK_BITS) - 1) /* no slot; so many slots at most */
#define RING_LIVE_MAX (RING_NONE / 8 * 7) /* live ones; the other slots are for limbo */
#define RING_LINKED (UINT64_C(1) << RING_LINK_BITS)
#define RING_GROUP 64 /* slots that share a bound on expiry; capacity is a multiple of it */

struct l1_list {
    uint32_t head;
    uint32_t tail;
};
#define L1_LIST_EMPTY ((struct l1_list){RING_NONE, RING_NONE})

/* Keys: (s) shard lock */
struct l1_ring {
    uint64_t *words;     /* (s) */
    uint16_t *due;       /* (s) per group: no live slot in it is due before */
    uint32_t due_groups; /* (s) groups with memory for a bound; at least the capacity's */
    uint32_t capacity;   /* (s) */
    uint32_t limit;      /* (s) slots from here on are not given out: the ring is to be cut */
    struct l1_list free; /* (s) */
};

static inline bool ring_is_live(uint64_t word)
{
    return !(word & RING_LINKED);
}

static inline struct l1_entry *ring_word_entry(uint64_t word)
{
    uintptr_t at = (uintptr_t)(word >> (RING_LINK_BITS + 1) << 4);
    return (struct l1_entry *)at;
}

static inline uint16_t ring_word_tick(uint64_t word)
{
    return (uint16_t)word;
}

static inline struct l1_entry *ring_entry(const struct l1_ring *r, uint32_t slot)
{
    return ring_word_entry(r->words[slot]);
}

/* Sizes of the ring's two arrays, whose memory is its owner's. */
static inline size_t ring_words_size(uint32_t capacity)
{
    return capacity * sizeof(uint64_t);
}

static inline size_t ring_due_size(uint32_t groups)
{
    return groups * sizeof(uint16_t);
}

/* The capacity to grow to; 0: it has reached its limit. */
uint32_t ring_next_capacity(const struct l1_ring *r);
/* Give out the new slots of a ring whose arrays have got room for so many (the words may have
 * moved). */
void ring_grow(struct l1_ring *r, void *words, uint32_t capacity);

/* Give out slots below `limit` only; the capacity: all. */
void ring_set_limit(struct l1_ring *r, uint32_t limit);
/* Whether nothing lies at or above the limit, so that ring_cut() may take it away. */
bool ring_may_cut(const struct l1_ring *r);
/* The words were cut at the limit (and may have moved). */
void ring_cut(struct l1_ring *r, void *words);

static inline void ring_prefetch(const struct l1_ring *r, uint32_t slot)
{
    __builtin_prefetch(&r->words[slot], 1);
}

static inline uint64_t ring_live_word(const struct l1_entry *e, uint16_t tick)
{
    return (uint64_t)(uintptr_t)e >> 4 << (RING_LINK_BITS + 1) | tick;
}

static inline uint64_t ring_linked_word(const struct l1_entry *e, uint32_t next)
{
    return (uint64_t)(uintptr_t)e >> 4 << (RING_LINK_BITS + 1) | RING_LINKED | next;
}

/* The next slot of the list that a slot is in; RING_NONE: it is the last. */
static inline uint32_t ring_next(const struct l1_ring *r, uint32_t slot)
{
    return (uint32_t)(r->words[slot] & RING_NONE);
}

static inline void ring_set_next(struct l1_ring *r, uint32_t slot, uint32_t next)
{
    r->words[slot] = (r->words[slot] >> (RING_LINK_BITS + 1) << (RING_LINK_BITS + 1)) |
                     RING_LINKED | next;
}

/* Lists of retired entries. Append linked slots, of which the last is followed by none. */
static inline void ring_append(struct l1_ring *r, struct l1_list *list, uint32_t first,
                               uint32_t last)
{
    if (list->head == RING_NONE)
        list->head = first;
    else
        ring_set_next(r, list->tail, first);
    list->tail = last;
}

/* Append a slot. A live one becomes linked by this. */
static inline void ring_push(struct l1_ring *r, struct l1_list *list, uint32_t slot)
{
    ring_set_next(r, slot, RING_NONE);
    ring_append(r, list, slot, slot);
}

/* Take the first slot out of a list; RING_NONE: it is empty. */
static inline uint32_t ring_pop(struct l1_ring *r, struct l1_list *list)
{
    uint32_t slot = list->head;
    if (slot == RING_NONE)
        return RING_NONE;
    list->head = ring_next(r, slot);
    if (list->head == RING_NONE)
        list->tail = RING_NONE;
    return slot;
}

/* Make the slot that follows `before` the first of its list. */
static inline void ring_to_front(struct l1_ring *r, struct l1_list *list, uint32_t before)
{
    uint32_t slot = ring_next(r, before);
    ring_set_next(r, before, ring_next(r, slot));
    if (list->tail == slot)
        list->tail = before;
    ring_set_next(r, slot, list->head);
    list->head = slot;
}

/* Move the first slots of a list, up to `last`, behind another: two words are written. */
void ring_move_front(struct l1_ring *r, struct l1_list *from, uint32_t last, struct l1_list *to);

/* Take a free slot for an entry; RING_NONE: none is left. */
static inline uint32_t ring_take(struct l1_ring *r, struct l1_entry *e, uint16_t tick)
{
    uint32_t slot = ring_pop(r, &r->free);
    if (slot == RING_NONE)
        return slot;
    r->words[slot] = ring_live_word(e, tick);
    if (r->free.head != RING_NONE)
        ring_prefetch(r, r->free.head); /* the next newcomer's */
    return slot;
}

/* Put an entry into the slot of another, which moves to a slot that is in no list, and stays so. */
static inline void ring_exchange(struct l1_ring *r, uint32_t slot, struct l1_entry *e,
                                 uint16_t tick, uint32_t other)
{
    r->words[other] = ring_linked_word(ring_entry(r, slot), RING_NONE);
    r->words[slot] = ring_live_word(e, tick);
}

/* Put an entry into the slot of another, which moves to a free slot; there must be one. Returns the
 * slot that was free. */
static inline uint32_t ring_take_over(struct l1_ring *r, uint32_t slot, struct l1_entry *e,
                                      uint16_t tick)
{
    uint32_t other = ring_pop(r, &r->free);
    ring_exchange(r, slot, e, tick, other);
    return other;
}

/* Give a slot back that is in no list. */
static inline void ring_give(struct l1_ring *r, uint32_t slot)
{
    r->words[slot] = ring_linked_word(NULL, RING_NONE);
    if (slot < r->limit)
        ring_push(r, &r->free, slot);
}

void ring_set_tick(struct l1_ring *r, uint32_t slot, uint16_t tick);

#endif
