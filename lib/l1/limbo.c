/* SPDX-License-Identifier: MIT */
/*
 * Retiring, counting what is retired, and freeing what is ready.
 *
 * Ordering: the verdict that an entry is ready reaches the writer that frees it through the shard
 * lock.
 *
 * Of 65,536 shards few have anything retired. So a writer that retires an entry marks the shard,
 * once until it is visited, and a pass visits the marked ones. A shard stays marked while it has
 * ready entries, or an allowance on limbo's count: this is given back when a pass finds that no
 * writer has come.
 */
#include "l1/limbo.h"

#include "l1/budget.h"

/* Ready entries that a writer frees on its way. One is what it retires itself: the block that it
 * takes is then the one that it has just given back, and the allocator is not asked. With more, it
 * would give blocks to the allocator in one phase and fetch them again in the next. */
#define FREE_ONE 1u
#define FREE_MANY 8u

/* Ready entries looked at for one that is as large as a new value: where a fourth of the values
 * have another size than the rest, every third put would find the wrong one first. */
#define READY_LOOKS 4u

/* Bytes in limbo at which the next pass begins at once. Memory that waits there longer has left
 * every cache when it is written again: a pass for each half MiB keeps it in a core's own. But a
 * pass looks at all pins: for each 4,096 slots, which take some 10 us, the bound is as much again.
 * Values of 10 kB at 50,000 puts/s would otherwise have 1,000 passes a second. */
#define MUCH_MAX_BYTES (512u * 1024)
#define MUCH_MAX_SLOTS 4096u

/* A shard's allowance on limbo's count, so that writers of different shards need not write one line
 * at each put. All allowances that are not used are together never more than such a share of
 * limbo. */
#define ALLOWANCE_SHARE 32u
#define ALLOWANCE_MAX_BYTES 4096u

/* ---- counting ---- */

void limbo_set_cap(struct l1 *l1, uint64_t cap_bytes)
{
    uint64_t shards = l1->shard_mask + 1u;
    uint64_t allowance = u64_min(cap_bytes / (2 * ALLOWANCE_SHARE) / shards, ALLOWANCE_MAX_BYTES);
    /* A shard may have two allowances, both not used: limbo_sub_locked(). */
    uint64_t slots = l1_limit(&l1->reclaim.slots);
    uint64_t most = MUCH_MAX_BYTES * (1 + slots / MUCH_MAX_SLOTS) + 2 * allowance * shards;
    uint64_t much = u64_min(cap_bytes / 2, most);
    atomic_store_explicit(&l1->limbo_cap_bytes, cap_bytes, memory_order_relaxed);
    atomic_store_explicit(&l1->limbo_allowance_bytes, allowance, memory_order_relaxed);
    atomic_store_explicit(&l1->limbo_much_bytes, much, memory_order_relaxed);
}

/* Fit limbo's bounds to the number of pin slots, if that has changed much: see MUCH_MAX_BYTES. */
void limbo_note_slots(struct l1 *l1, uint64_t slots)
{
    if (slots / MUCH_MAX_SLOTS == l1_limit(&l1->reclaim.slots) / MUCH_MAX_SLOTS)
        return;
    atomic_store_explicit(&l1->reclaim.slots, slots, memory_order_relaxed);
    pthread_mutex_lock(&l1->cap.lock); /* or a new cap could be overwritten by the old one */
    limbo_set_cap(l1, l1_limit(&l1->limbo_cap_bytes));
    pthread_mutex_unlock(&l1->cap.lock);
}

uint64_t limbo_waiting_bytes(const struct l1 *l1)
{
    return atomic_load_explicit(&l1->limbo, memory_order_relaxed) +
           atomic_load_explicit(&l1->aside, memory_order_relaxed);
}

/* Count retired bytes, from the shard's allowance where it suffices: a shard that retires as much
 * as it frees does not touch the count of all. */
static void limbo_add_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes) REQUIRES(s->lock)
{
    if (NIGH_LIKELY(s->limbo_spare_bytes >= bytes)) {
        s->limbo_spare_bytes -= bytes;
        return;
    }
    uint64_t more = l1_limit(&l1->limbo_allowance_bytes) + bytes - s->limbo_spare_bytes;
    uint64_t before = atomic_fetch_add_explicit(&l1->limbo, more, memory_order_relaxed);
    uint64_t much = l1_limit(&l1->limbo_much_bytes);
    s->limbo_spare_bytes += more - bytes;
    if (before == 0 || (before < much && before + more >= much))
        s->poke = true;
}

void limbo_sub(struct l1 *l1, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&l1->limbo, bytes, memory_order_relaxed);
}

void limbo_return_spare_locked(struct l1 *l1, struct l1_shard *s)
{
    limbo_sub(l1, s->limbo_spare_bytes);
    s->limbo_spare_bytes = 0;
}

void limbo_sub_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
{
    s->limbo_spare_bytes += bytes;
    if (s->limbo_spare_bytes > 2 * l1_limit(&l1->limbo_allowance_bytes))
        limbo_return_spare_locked(l1, s);
}

/* ---- retiring ---- */

/* Tell the reclaimer to visit the shard: once, until it has come. */
static void mark_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock)
{
    if (NIGH_LIKELY(s->marked))
        return;
    s->marked = true;
    shard_set_add(&l1->reclaim.marked, (uint32_t)(s - l1->shards));
}

/* Mark a shard that has something to do although nothing is retired there. */
void limbo_mark_if_busy_locked(struct l1 *l1, struct l1_shard *s)
{
    if (s->ready.head != RING_NONE || s->limbo_spare_bytes)
        mark_locked(l1, s);
}

void limbo_retire_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t bytes)
{
    rcu_retire_mark();
    ring_push(&s->ring, &s->retired, slot);
    mark_locked(l1, s);
    limbo_add_locked(l1, s, bytes);
}

void limbo_set_aside_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t bytes)
{
    rcu_retire_mark();
    ring_push(&s->ring, &s->aside, slot);
    mark_locked(l1, s);
    if (atomic_fetch_add_explicit(&l1->aside, bytes, memory_order_relaxed) == 0)
        s->poke = true;
}

void limbo_retire_table_locked(struct l1 *l1, struct l1_shard *s, struct l1_table *t)
{
    rcu_retire_mark();
    t->next = s->retired_tables;
    s->retired_tables = t;
    mark_locked(l1, s);
    limbo_add_locked(l1, s, t->charged_bytes);
}

/* ---- freeing ---- */

void limbo_free_ready_locked(struct l1 *l1, struct l1_shard *s, uint32_t most)
{
    uint64_t bytes = 0;
    for (; most && s->ready.head != RING_NONE; most--) {
        uint32_t slot = ring_pop(&s->ring, &s->ready);
        struct l1_entry *e = ring_entry(&s->ring, slot);
        limbo_prefetch_ready_locked(s);
        bytes += entry_charge(l1, e);
        entry_free(l1, s->cache, e);
        ring_give(&s->ring, slot);
    }
    if (bytes) {
        limbo_sub_locked(l1, s, bytes);
        budget_give_locked(l1, s, bytes);
    }
}

/* Moves the one that it finds to the front. */
bool limbo_find_ready_behind_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
{
    uint32_t before = s->ready.head;
    for (uint32_t looks = 1; looks < READY_LOOKS; looks++) {
        uint32_t slot = ring_next(&s->ring, before);
        if (slot == RING_NONE)
            return false;
        if (limbo_suits(l1, ring_entry(&s->ring, slot), bytes)) {
            ring_to_front(&s->ring, &s->ready, before);
            return true;
        }
        before = slot;
    }
    return false;
}

struct l1_entry *limbo_recycle_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
{
    uint32_t slot;
    struct l1_entry *e = limbo_exchange_locked(s, &slot);
    ring_give(&s->ring, slot);
    limbo_sub_locked(l1, s, bytes);
    return e;
}

void limbo_free_some_locked(struct l1 *l1, struct l1_shard *s)
{
    s->freeing = true;
    if (s->ready.head != RING_NONE)
        limbo_free_ready_locked(l1, s, NIGH_UNLIKELY(limbo_much_waits(l1)) ? FREE_MANY : FREE_ONE);
}
