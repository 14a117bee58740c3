/* SPDX-License-Identifier: MIT */
/*
 * Limbo: from unlinked to free, what a retired entry passes through.
 *
 *     retired --(grace period begins)--> waiting --(it ends)--> is it held?
 *         no:  ready   freed by the next writers of the shard; in an idle shard by the next pass
 *         yes: held    looked at again in every pass
 *
 * "Held" is decided once, for a batch: first the references of all, then the slots of all pins
 * (pin.h says why in this order). After a grace period nobody can find the entry any more, so one
 * that is not held then will never be: "ready" is final, and a writer frees it without a look.
 * Writers free so that memory is used again by the core that has it in its cache, and so that the
 * reclaimer is no bottleneck; a new value of a key goes straight into such memory, if it is as
 * large as the one that it replaces. Old tables go the same way but are never held.
 *
 * Limbo (retired, waiting, ready) is bounded: at its cap nobody evicts, and an insert that would
 * have to is dropped. Before that its thread yields, once: where two threads did nothing but put,
 * on two processors that others wanted too, 40 % of the values for a cache of 6 MiB were dropped,
 * and 2 % are now. (With a limbo of 1/4 of the cap instead of 1/16 it was 40 % still, and the hit
 * ratio two points lower.) An entry that is removed or replaced meanwhile cannot stay: it is
 * unlinked like any other, but set aside. That is, it stays charged as live, as it was, until it is
 * freed, and so makes no room for others: limbo is for evicted entries, and the cap on all bytes
 * bounds the rest.
 *
 *     aside --(grace period)--> held, or freed at once by the reclaimer
 *
 * A writer that retires an entry counts its bytes as limbo's. To write one count at each put would
 * cost two writers more than all else, so a shard counts some bytes ahead, its allowance, and keeps
 * what it frees for what it retires next. A shard to which no writer comes gives its allowance
 * back, or the reclaimer would never sleep.
 *
 * Held bytes count as live too: an application that pins for long gets a smaller cache, not one
 * that cannot evict.
 */
#ifndef NIGH_L1_LIMBO_H
#define NIGH_L1_LIMBO_H

#include "l1/shard.h"

/* Put a slot into limbo whose entry, charged `bytes`, is already unlinked. Never fails. */
void limbo_retire_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t bytes)
    REQUIRES(s->lock);
/* Set a slot aside whose entry, charged `bytes`, is already unlinked: limbo is full and it cannot
 * stay. */
void limbo_set_aside_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t bytes)
    REQUIRES(s->lock);
void limbo_retire_table_locked(struct l1 *l1, struct l1_shard *s, struct l1_table *t)
    REQUIRES(s->lock);
/*
 * Reusing a ready entry's memory for a new value. First ask whether there is one of so many charged
 * bytes: limbo_has_ready_locked(). Then call one of two, before anything else is done with the
 * shard:
 *   exchange  for a value that takes the place of a live entry of as many bytes; that one gets the
 *             slot of the ready one. Give `*ret_slot` back by limbo_retire_exchanged_locked().
 *             Limbo holds as much as before, and so does what is live: nothing is counted.
 *   recycle   for any other: the bytes are live from now on.
 */
static inline bool limbo_has_ready_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
    REQUIRES(s->lock);
static inline struct l1_entry *limbo_exchange_locked(struct l1_shard *s, uint32_t *ret_slot)
    REQUIRES(s->lock);
static inline void limbo_retire_exchanged_locked(struct l1_shard *s, uint32_t slot)
    REQUIRES(s->lock);
struct l1_entry *limbo_recycle_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
    REQUIRES(s->lock);
/* Free as many ready entries as a writer retires on its way, or more when much is waiting. */
void limbo_free_some_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock);
/* Set limbo's cap, and what follows from it. */
void limbo_set_cap(struct l1 *l1, uint64_t cap_bytes);
/* Whether evicting must stop. */
static inline bool limbo_is_full(const struct l1 *l1)
{
    return l1_limit(&l1->limbo) >= l1_limit(&l1->limbo_cap_bytes);
}
/*
 * Let other threads run if limbo is full: called by a writer that is about to store, under no lock.
 * Its store would be refused. Limbo is full when the reclaimer gets less of the processors than the
 * writers do, or a reader none in its section; a larger limbo would cost values, and fill as well.
 */
static inline void limbo_yield(const struct l1 *l1)
{
    if (NIGH_UNLIKELY(limbo_is_full(l1)))
        park_yield(l1->env->park);
}
/* Whether so much is in limbo that the next pass begins at once. */
static inline bool limbo_much_waits(const struct l1 *l1)
{
    return l1_limit(&l1->limbo) >= l1_limit(&l1->limbo_much_bytes);
}

/* Retire an unlinked entry that could not stay: into limbo, or aside if limbo is full. */
static inline void limbo_retire_or_aside_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot,
                                                uint64_t bytes) REQUIRES(s->lock)
{
    if (NIGH_UNLIKELY(limbo_is_full(l1)))
        limbo_set_aside_locked(l1, s, slot, bytes);
    else
        limbo_retire_locked(l1, s, slot, bytes);
}

/* Bytes of all that waits for a grace period, or to be freed after it: in limbo or set aside. */
uint64_t limbo_waiting_bytes(const struct l1 *l1);

/* ---- for the reclaimer ---- */

/* Entries freed under one hold of a shard's lock: more overflow the allocator's cache. */
#define LIMBO_FREE_PER_HOLD 128u

/* Free up to `most` ready entries. */
void limbo_free_ready_locked(struct l1 *l1, struct l1_shard *s, uint32_t most) REQUIRES(s->lock);
/* Count bytes as no longer in limbo: from a shard, or past the shards' allowances. */
void limbo_sub_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes) REQUIRES(s->lock);
void limbo_sub(struct l1 *l1, uint64_t bytes);
/* Give a shard's allowance back. */
void limbo_return_spare_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock);
/* Mark a shard that has something to do although nothing is retired there. */
void limbo_mark_if_busy_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock);
/* Fit limbo's bounds to the number of pin slots that a look at all pins reads. */
void limbo_note_slots(struct l1 *l1, uint64_t slots);

/* The list in which a shard's entries of this origin wait to be judged. */
static inline struct l1_list *limbo_list_of(struct l1_shard *s, enum judge_origin origin)
{
    switch (origin) {
    case FROM_ASIDE: return &s->aside_waiting;
    case FROM_HELD: return &s->held_waiting;
    default: return &s->waiting;
    }
}

/* ---- parts of a put, declared above ---- */

static inline bool limbo_suits(const struct l1 *l1, const struct l1_entry *e, uint64_t bytes)
{
    return entry_charge(l1, e) == bytes && !mem_is_draining(l1->mem, e);
}

/* Whether a suitable entry is among the next few ready ones; moves it to the front. */
NIGH_OUTLINED bool limbo_find_ready_behind_locked(struct l1 *l1, struct l1_shard *s,
                                                    uint64_t bytes) REQUIRES(s->lock);

/* Whether the first ready entry suits; one of the next that does is moved to the front. Never
 * without a cache of blocks: malloc has its own, and a sanitizer sees only what is freed. */
static inline bool limbo_has_ready_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
    REQUIRES(s->lock)
{
    uint32_t slot = s->ready.head;
    if (NIGH_UNLIKELY(slot == RING_NONE || !s->cache || limbo_much_waits(l1)))
        return false;
    return NIGH_LIKELY(limbo_suits(l1, ring_entry(&s->ring, slot), bytes)) ||
           limbo_find_ready_behind_locked(l1, s, bytes);
}

/* Prefetch the next ready entry: the next writer reads its head and writes its block. */
static inline void limbo_prefetch_ready_locked(struct l1_shard *s) REQUIRES(s->lock)
{
    if (s->ready.head == RING_NONE)
        return;
    const char *e = (const char *)ring_entry(&s->ring, s->ready.head);
    __builtin_prefetch(e, 1);
    __builtin_prefetch(e + CACHE_LINE_BYTES, 1);
    __builtin_prefetch(e + 2 * CACHE_LINE_BYTES, 1);
}

static inline struct l1_entry *limbo_exchange_locked(struct l1_shard *s, uint32_t *ret_slot)
    REQUIRES(s->lock)
{
    s->freeing = true;
    *ret_slot = ring_pop(&s->ring, &s->ready);
    limbo_prefetch_ready_locked(s);
    return ring_entry(&s->ring, *ret_slot);
}

static inline void limbo_retire_exchanged_locked(struct l1_shard *s, uint32_t slot)
    REQUIRES(s->lock)
{
    rcu_retire_mark();
    ring_push(&s->ring, &s->retired, slot);
}

#endif
