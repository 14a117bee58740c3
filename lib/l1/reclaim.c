/* SPDX-License-Identifier: MIT */
/*
 * Limbo: retiring, judging after a grace period, freeing.
 *
 * Ordering: the grace period puts every section that could have found an entry before the judging;
 * references are loaded with acquire (pair(entry.refs)), pin slots too (pair(pin.slot)), so the
 * last use of the entry comes before it is freed. The verdict reaches the writer that frees through
 * the shard lock.
 *
 * The lists that a grace period is over (or running) for are changed by reclaimers only, one at a
 * time: they read the heads without the shard's lock. What the slots say they read under it, for
 * the ring may be moved.
 */
#include "l1/reclaim.h"

#include "l1/pin.h"
#include "l1/room.h"
#include "l1/shrink.h"

/* Entries judged at once: one scan of all pins for so many (8 KiB of stack). */
#define BATCH_MAX 256u
#define BATCH_INDEX 1024u

/* Freed by a writer on its way. One is what it retires itself: the block that it takes is then the
 * one that it has just given back, and the allocator is not asked. More, and it would give blocks
 * to the allocator in one phase to fetch them again in the next. */
#define FREE_ONE 1u
#define FREE_MANY 8u

/* Freed under one hold of a shard's lock: more overflow the allocator's cache. */
#define FREE_PER_HOLD 128u

/* What waits in limbo is memory that is written again only when it has left every cache: a pass for
 * each half MiB keeps it in a core's own. */
#define MUCH_MAX_BYTES (512u * 1024)

/* A pass frees what writers left of the one before; and pins are released without telling us. */
#define PASS_AGAIN_NS (20 * NS_PER_MS)

/* Of limbo's count, so that writers of different shards need not write one line at each put. What
 * shards are allowed and have not used is never more than such a share of limbo, all together. */
#define ALLOWANCE_SHARE 32u
#define ALLOWANCE_MAX_BYTES 4096u

/* ---- retiring ---- */

bool reclaim_limbo_full(const struct l1 *l1)
{
    return atomic_load_explicit(&l1->limbo, memory_order_relaxed) >= l1_limit(&l1->limbo_cap_bytes);
}

void reclaim_set_limbo(struct l1 *l1, uint64_t cap_bytes)
{
    uint64_t shards = l1->shard_mask + 1u;
    uint64_t allowance = u64_min(cap_bytes / (2 * ALLOWANCE_SHARE) / shards, ALLOWANCE_MAX_BYTES);
    /* A shard's allowance may be unused, and another on top of it. */
    uint64_t much = u64_min(cap_bytes / 2, MUCH_MAX_BYTES + 2 * allowance * shards);
    atomic_store_explicit(&l1->limbo_cap_bytes, cap_bytes, memory_order_relaxed);
    atomic_store_explicit(&l1->limbo_allowance_bytes, allowance, memory_order_relaxed);
    atomic_store_explicit(&l1->limbo_much_bytes, much, memory_order_relaxed);
}

static bool much_waits(const struct l1 *l1)
{
    return l1_limit(&l1->limbo) >= l1_limit(&l1->limbo_much_bytes);
}

uint64_t reclaim_waiting_bytes(const struct l1 *l1)
{
    return atomic_load_explicit(&l1->limbo, memory_order_relaxed) +
           atomic_load_explicit(&l1->aside, memory_order_relaxed);
}

/* Who retires as much as it frees does not touch the count of all. */
static void limbo_add_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
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

static void limbo_sub(struct l1 *l1, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&l1->limbo, bytes, memory_order_relaxed);
}

static void limbo_return_spare_locked(struct l1 *l1, struct l1_shard *s)
{
    limbo_sub(l1, s->limbo_spare_bytes);
    s->limbo_spare_bytes = 0;
}

static void limbo_sub_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
{
    s->limbo_spare_bytes += bytes;
    if (s->limbo_spare_bytes > 2 * l1_limit(&l1->limbo_allowance_bytes))
        limbo_return_spare_locked(l1, s);
}

void reclaim_retire_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t bytes)
{
    rcu_retire_mark();
    ring_push(&s->ring, &s->retired, slot);
    limbo_add_locked(l1, s, bytes);
}

void reclaim_set_aside_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t bytes)
{
    rcu_retire_mark();
    ring_push(&s->ring, &s->aside, slot);
    if (atomic_fetch_add_explicit(&l1->aside, bytes, memory_order_relaxed) == 0)
        s->poke = true;
}

void reclaim_retire_table_locked(struct l1 *l1, struct l1_shard *s, struct l1_table *t)
{
    rcu_retire_mark();
    t->next = s->retired_tables;
    s->retired_tables = t;
    limbo_add_locked(l1, s, t->charged_bytes);
}

/* ---- freeing ---- */

/* Who comes next reads its head, and writes its block. */
static void prefetch_ready_locked(struct l1_shard *s)
{
    if (s->ready.head == RING_NONE)
        return;
    const char *e = (const char *)ring_entry(&s->ring, s->ready.head);
    __builtin_prefetch(e, 1);
    __builtin_prefetch(e + CACHE_LINE_BYTES, 1);
    __builtin_prefetch(e + 2 * CACHE_LINE_BYTES, 1);
}

static void free_ready_locked(struct l1 *l1, struct l1_shard *s, uint32_t most)
{
    uint64_t bytes = 0;
    for (; most && s->ready.head != RING_NONE; most--) {
        uint32_t slot = ring_pop(&s->ring, &s->ready);
        struct l1_entry *e = ring_entry(&s->ring, slot);
        prefetch_ready_locked(s);
        bytes += entry_charge(l1, e);
        entry_free(l1, s->cache, e);
        ring_give(&s->ring, slot);
    }
    if (bytes) {
        limbo_sub_locked(l1, s, bytes);
        room_give_locked(l1, s, bytes);
    }
}

/* Not where there is no cache: malloc has its own, and a sanitizer sees only what is freed. */
bool reclaim_has_ready_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
{
    if (s->ready.head == RING_NONE || !s->cache || much_waits(l1))
        return false;
    const struct l1_entry *e = ring_entry(&s->ring, s->ready.head);
    return entry_charge(l1, e) == bytes && !mem_is_draining(l1->mem, e, entry_size(e));
}

struct l1_entry *reclaim_exchange_locked(struct l1_shard *s, uint32_t *ret_slot)
{
    s->freeing = true;
    *ret_slot = ring_pop(&s->ring, &s->ready);
    prefetch_ready_locked(s);
    return ring_entry(&s->ring, *ret_slot);
}

void reclaim_retire_exchanged_locked(struct l1_shard *s, uint32_t slot)
{
    rcu_retire_mark();
    ring_push(&s->ring, &s->retired, slot);
}

struct l1_entry *reclaim_recycle_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
{
    uint32_t slot;
    struct l1_entry *e = reclaim_exchange_locked(s, &slot);
    ring_give(&s->ring, slot);
    limbo_sub_locked(l1, s, bytes);
    return e;
}

void reclaim_free_some_locked(struct l1 *l1, struct l1_shard *s)
{
    s->freeing = true;
    if (s->ready.head != RING_NONE)
        free_ready_locked(l1, s, NIGH_UNLIKELY(much_waits(l1)) ? FREE_MANY : FREE_ONE);
}

void reclaim_free_all_ready(struct l1 *l1, struct l1_shard *s)
{
    bool more = true;
    while (more) {
        l1_shard_lock(s);
        free_ready_locked(l1, s, FREE_PER_HOLD);
        more = s->ready.head != RING_NONE;
        limbo_return_spare_locked(l1, s);
        l1_shard_unlock(l1, s);
    }
}

/* Outside the lock: a large table takes a while to walk and to unmap. */
static void free_tables(struct l1 *l1, struct l1_shard *s)
{
    l1_shard_lock(s);
    struct l1_table *t = s->waiting_tables;
    s->waiting_tables = NULL;
    l1_shard_unlock(l1, s);
    while (t) {
        struct l1_table *next = t->next;
        uint64_t bytes = t->charged_bytes;
        table_destroy(l1->mem, t);
        limbo_sub(l1, bytes);
        room_return(l1, bytes);
        t = next;
    }
}

/* ---- judging ---- */

struct batch {
    uint32_t count;
    uint32_t held_count;
    uint32_t slots[BATCH_MAX];
    struct l1_entry *entries[BATCH_MAX];
    bool held[BATCH_MAX];
    uint16_t index[BATCH_INDEX]; /* open addressing by address: place + 1, 0: empty */
};

static uint32_t index_of(const struct l1_entry *e)
{
    return (uint32_t)((uintptr_t)e * UINT64_C(0x9e3779b97f4a7c15) >> 54) % BATCH_INDEX;
}

static void batch_add(struct batch *b, uint32_t slot, struct l1_entry *e)
{
    uint32_t i = index_of(e);
    while (b->index[i])
        i = (i + 1) % BATCH_INDEX;
    b->slots[b->count] = slot;
    b->entries[b->count] = e;
    b->index[i] = (uint16_t)++b->count;
    __builtin_prefetch(e);
}

static void hold(struct batch *b, uint32_t i)
{
    b->held_count += !b->held[i];
    b->held[i] = true;
}

static void mark_pinned(void *arg, const struct l1_entry *e)
{
    struct batch *b = arg;
    for (uint32_t i = index_of(e); b->index[i]; i = (i + 1) % BATCH_INDEX)
        if (b->entries[b->index[i] - 1] == e)
            hold(b, b->index[i] - 1u);
}

/* References of all first, then the pins: see pin.h. */
static void batch_judge(struct batch *b)
{
    for (uint32_t i = 0; i < b->count; i++) {
        /* pair(entry.refs) */
        uint32_t refs = atomic_load_explicit(&b->entries[i]->refs, memory_order_acquire);
        b->held[i] = false;
        if (refs & ~ENTRY_STORED)
            hold(b, i);
    }
    pin_scan(mark_pinned, b);
}

/* The first of a list, which stay in it: only a reclaimer changes it. */
static void batch_fill_locked(struct batch *b, struct l1_shard *s, const struct l1_list *from)
{
    b->count = 0;
    b->held_count = 0;
    memset(b->index, 0, sizeof(b->index));
    for (uint32_t slot = from->head; b->count < BATCH_MAX && slot != RING_NONE;
         slot = ring_next(&s->ring, slot))
        batch_add(b, slot, ring_entry(&s->ring, slot));
}

/* Where a batch comes from, which is where its bytes are counted. */
enum origin { FROM_LIMBO, FROM_ASIDE, FROM_HELD };

static void uncount(struct l1 *l1, struct l1_shard *s, enum origin origin, uint64_t bytes)
{
    switch (origin) {
    case FROM_LIMBO: limbo_sub_locked(l1, s, bytes); break;
    case FROM_ASIDE:
        atomic_fetch_sub_explicit(&l1->aside, bytes, memory_order_relaxed);
        break;
    case FROM_HELD: s->held_bytes -= bytes; break;
    }
}

/* What limbo does not count does not pass through it: it is freed here. */
static void file_one_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot, enum origin origin,
                            bool is_held)
{
    struct l1_entry *e = ring_entry(&s->ring, slot);
    uint64_t bytes = entry_charge(l1, e);
    if (!is_held && origin == FROM_LIMBO) {
        ring_push(&s->ring, &s->ready, slot);
        return;
    }
    uncount(l1, s, origin, bytes);
    if (is_held) {
        s->held_bytes += bytes;
        ring_push(&s->ring, &s->held, slot);
    } else {
        entry_free(l1, s->cache, e);
        ring_give(&s->ring, slot);
        room_give_locked(l1, s, bytes);
    }
}

/* As a rule nobody holds any of them: then their slots and heads, which lie in the caches of who
 * retired them and will free them, are left alone. */
static void file_locked(struct l1 *l1, struct l1_shard *s, const struct batch *b,
                        struct l1_list *from, enum origin origin)
{
    if (origin == FROM_LIMBO && b->held_count == 0) {
        ring_move_front(&s->ring, from, b->slots[b->count - 1], &s->ready);
        return;
    }
    for (uint32_t i = 0; i < b->count; i++)
        file_one_locked(l1, s, ring_pop(&s->ring, from), origin, b->held[i]);
}

/* Judge all of `from`, whose entries are past their grace period. */
static void judge_list(struct l1 *l1, struct l1_shard *s, struct l1_list *from, enum origin origin)
{
    struct batch b;
    while (from->head != RING_NONE) {
        l1_shard_lock(s);
        batch_fill_locked(&b, s, from);
        l1_shard_unlock(l1, s);
        batch_judge(&b);
        l1_shard_lock(s);
        file_locked(l1, s, &b, from, origin);
        l1_shard_unlock(l1, s);
    }
}

/* ---- a pass ---- */

/* Whether no writer has come since the last pass: then what is ready waits in vain. */
static bool is_idle(struct l1 *l1, struct l1_shard *s, uint64_t *entries_sum)
{
    l1_shard_lock(s);
    bool idle = !s->freeing;
    s->freeing = false;
    *entries_sum += s->entries;
    l1_shard_unlock(l1, s);
    return idle;
}

static bool begin_grace(struct l1 *l1, struct l1_shard *s)
{
    l1_shard_lock(s);
    s->waiting = s->retired;
    s->retired = L1_LIST_EMPTY;
    s->aside_waiting = s->aside;
    s->aside = L1_LIST_EMPTY;
    s->waiting_tables = s->retired_tables;
    s->retired_tables = NULL;
    bool any = s->waiting.head != RING_NONE || s->aside_waiting.head != RING_NONE ||
               s->waiting_tables;
    l1_shard_unlock(l1, s);
    return any;
}

static bool end_grace(struct l1 *l1, struct l1_shard *s)
{
    struct l1_list held = s->held; /* only a reclaimer changes these lists */
    s->held = L1_LIST_EMPTY;
    judge_list(l1, s, &held, FROM_HELD);
    judge_list(l1, s, &s->waiting, FROM_LIMBO);
    judge_list(l1, s, &s->aside_waiting, FROM_ASIDE);
    if (s->waiting_tables)
        free_tables(l1, s);
    return s->held.head != RING_NONE;
}

uint64_t l1_reclaim(struct l1 *l1)
{
    pthread_mutex_lock(&l1->reclaim_lock);
    bool waiting = false;
    bool held = false;
    uint64_t entries = 0;
    shrink_begin(l1);
    for (uint32_t i = 0; i <= l1->shard_mask; i++) {
        if (is_idle(l1, &l1->shards[i], &entries) || much_waits(l1))
            reclaim_free_all_ready(l1, &l1->shards[i]);
        waiting |= begin_grace(l1, &l1->shards[i]);
    }
    atomic_store_explicit(&l1->entries_mean, (uint32_t)(entries / (l1->shard_mask + 1u)),
                          memory_order_relaxed);
    if (waiting)
        rcu_wait();
    for (uint32_t i = 0; i <= l1->shard_mask; i++)
        held |= end_grace(l1, &l1->shards[i]);
    uint64_t shrink_ns = shrink_end(l1);
    pthread_mutex_unlock(&l1->reclaim_lock);

    uint64_t limbo = reclaim_waiting_bytes(l1);
    if (!limbo && !held)
        return shrink_ns;
    uint64_t now_ns = clock_now_ns(l1->env->clock);
    bool soon = limbo >= l1_limit(&l1->limbo_much_bytes);
    return u64_min(shrink_ns, soon ? now_ns : now_ns + PASS_AGAIN_NS);
}

uint64_t l1_pins(void)
{
    return pin_count();
}

void l1_pins_read(struct l1 *l1, uint64_t *ret_pins, uint64_t *ret_bytes)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i <= l1->shard_mask; i++) {
        l1_shard_lock(&l1->shards[i]);
        bytes += l1->shards[i].held_bytes;
        l1_shard_unlock(l1, &l1->shards[i]);
    }
    *ret_pins = pin_count();
    *ret_bytes = bytes;
}

void l1_set_reclaim_poke(struct l1 *l1, void (*poke)(void *arg), void *arg)
{
    l1->poke_arg = arg;
    l1->poke = poke;
}
