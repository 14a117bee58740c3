/* SPDX-License-Identifier: MIT */
/*
 * The passes: before the grace period, after it, and when to come again.
 *
 * Ordering: the grace period puts every section that could have found an entry before the judging;
 * references are loaded with acquire (pair(entry.refs)), pin slots too (pair(pin.slot)), so the
 * last use of the entry comes before it is freed.
 */
#include "l1/reclaim.h"

#include "l1/budget.h"
#include "l1/errand.h"
#include "l1/filing.h"
#include "l1/limbo.h"
#include "l1/shrink.h"

/* The next pass frees what writers left of the one before; and pins are released without a word to
 * the reclaimer. Entries that stay held are looked at less and less often: each look is at all pins
 * of the process. */
#define PASS_AGAIN_NS (20 * NS_PER_MS)
#define HELD_AGAIN_MAX_NS NS_PER_S

/* Shards visited in a pass that are not marked, by turns. */
#define VISITS_IN_TURN 16u

size_t reclaim_sets_bytes(uint32_t shards)
{
    return 3 * shard_set_bytes(shards);
}

void reclaim_init_sets(struct l1 *l1, void *zeroed)
{
    uint32_t shards = l1->shard_mask + 1u;
    struct shard_set *sets[] = {&l1->reclaim.marked, &l1->reclaim.held, &l1->reclaim.left};
    char *at = zeroed;
    for (size_t i = 0; i < ARRAY_COUNT(sets); i++)
        shard_set_init(sets[i], at + i * shard_set_bytes(shards), shards);
}

/* ---- before the grace period ---- */

static void begin_grace_tables_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock)
{
    while (s->retired_tables) {
        struct l1_table *t = s->retired_tables;
        s->retired_tables = t->next;
        t->next = l1->reclaim.waiting_tables;
        l1->reclaim.waiting_tables = t;
    }
}

/* Returns whether anything has to wait for a grace period now. */
static bool begin_grace_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock)
{
    s->waiting = s->retired;
    s->retired = L1_LIST_EMPTY;
    s->aside_waiting = s->aside;
    s->aside = L1_LIST_EMPTY;
    begin_grace_tables_locked(l1, s);
    return s->waiting.head != RING_NONE || s->aside_waiting.head != RING_NONE ||
           l1->reclaim.waiting_tables;
}

static void count_entries_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock)
{
    l1->reclaim.entries_sum += (uint64_t)s->entries - s->entries_counted;
    s->entries_counted = s->entries;
}

/* Visit a marked shard before the grace period. If no writer has come since the last pass, its
 * ready entries wait in vain: they are freed. Returns whether anything has to wait for a grace
 * period. */
static bool begin_visit(struct l1 *l1, uint32_t index, struct errands *errands)
{
    struct errand errand;
    struct l1_shard *s = &l1->shards[index];
    l1_shard_lock(s);
    bool frees = !s->freeing || limbo_much_waits(l1);
    s->freeing = false;
    s->marked = false;
    if (frees) {
        limbo_free_ready_locked(l1, s, LIMBO_FREE_PER_HOLD);
        limbo_return_spare_locked(l1, s);
    }
    count_entries_locked(l1, s);
    bool waits = begin_grace_locked(l1, s);
    errand_begin_locked(&errand, s, index, FROM_LIMBO);
    errand_list_locked(l1, s, &errand);
    errand.frees = frees && s->ready.head != RING_NONE;
    limbo_mark_if_busy_locked(l1, s);
    l1_shard_unlock(l1, s);
    errands_add(l1, errands, &errand);
    return waits;
}

/* Mark some shards by turns, so that their entries are counted: those in which nothing is retired
 * are not visited otherwise. */
static void mark_in_turn(struct l1 *l1)
{
    for (uint32_t n = 0; n < VISITS_IN_TURN && n <= l1->shard_mask; n++)
        shard_set_add(&l1->reclaim.marked, l1->reclaim.turn++ & l1->shard_mask);
}

static bool begin_pass(struct l1 *l1)
{
    struct errands errands = {.count = 0};
    bool waiting = false;
    uint32_t index, next;
    mark_in_turn(l1);
    struct shard_walk walk = shard_walk_begin(&l1->reclaim.marked);
    while (shard_walk_next(&walk, &index)) {
        if (shard_walk_peek(&walk, &next))
            l1_shard_prefetch(&l1->shards[next]);
        waiting |= begin_visit(l1, index, &errands);
    }
    errands_run(l1, &errands);
    uint64_t mean = l1->reclaim.entries_sum / (l1->shard_mask + 1u);
    atomic_store_explicit(&l1->entries_mean, (uint32_t)mean, memory_order_relaxed);
    return waiting;
}

/* List all held entries, to be judged again. */
static void look_at_held(struct l1 *l1)
{
    struct errands errands = {.count = 0};
    struct errand errand;
    uint32_t index;
    struct shard_walk walk = shard_walk_begin(&l1->reclaim.held);
    while (shard_walk_next(&walk, &index)) {
        struct l1_shard *s = &l1->shards[index];
        l1_shard_lock(s);
        s->held_waiting = s->held;
        s->held = L1_LIST_EMPTY;
        errand_begin_locked(&errand, s, index, FROM_HELD);
        errand_list_locked(l1, s, &errand);
        l1_shard_unlock(l1, s);
        errands_add(l1, &errands, &errand);
    }
    errands_run(l1, &errands);
}

/* Fill the batch with what did not fit before. Returns whether there was any. */
static bool list_left(struct l1 *l1)
{
    struct errands errands = {.count = 0};
    struct errand errand;
    uint32_t index;
    struct shard_walk walk = shard_walk_begin(&l1->reclaim.left);
    while (!batch_is_full(&l1->reclaim.batch) && shard_walk_next(&walk, &index)) {
        struct l1_shard *s = &l1->shards[index];
        l1_shard_lock(s);
        errand_begin_locked(&errand, s, index, FROM_LIMBO);
        errand_list_locked(l1, s, &errand);
        l1_shard_unlock(l1, s);
        errands_add(l1, &errands, &errand);
    }
    errands_run(l1, &errands);
    shard_walk_end(&walk);
    return l1->reclaim.batch.count > 0;
}

/* ---- after it ---- */

/* Free tables whose grace period is over, under no shard's lock: a large one takes a while to walk
 * and to unmap. */
static void free_tables(struct l1 *l1)
{
    struct l1_table *t = l1->reclaim.waiting_tables;
    l1->reclaim.waiting_tables = NULL;
    while (t) {
        struct l1_table *next = t->next;
        uint64_t bytes = t->charged_bytes;
        table_destroy(l1->mem, t);
        limbo_sub(l1, bytes);
        budget_return(l1, bytes);
        t = next;
    }
}

/* Plan the next look at held entries: soon after one that freed an eighth and so was worth its
 * time, else after twice the last delay. */
static void plan_look(struct l1_reclaim *r, uint64_t now_ns, uint64_t looked_at)
{
    uint64_t freed = looked_at - u64_min(looked_at, r->held_count);
    bool soon = 8 * freed >= looked_at;
    r->held_delay_ns = soon ? PASS_AGAIN_NS : u64_min(2 * r->held_delay_ns, HELD_AGAIN_MAX_NS);
    r->held_look_ns = now_ns + r->held_delay_ns;
}

/* Returns when to come again for what is in limbo, and for what is held. */
static uint64_t next_pass_ns(const struct l1 *l1, uint64_t now_ns)
{
    uint64_t waiting = limbo_waiting_bytes(l1);
    uint64_t next_ns = CLOCK_NEVER_NS;
    if (waiting)
        next_ns = waiting >= l1_limit(&l1->limbo_much_bytes) ? now_ns : now_ns + PASS_AGAIN_NS;
    return l1->reclaim.held_count ? u64_min(next_ns, l1->reclaim.held_look_ns) : next_ns;
}

/* ---- a pass ---- */

/* Do a table's part of a pass before the grace period. Returns whether anything has to wait for
 * it. */
static bool begin_table(struct l1 *l1, uint64_t now_ns)
{
    struct l1_reclaim *r = &l1->reclaim;
    shrink_begin(l1);
    r->waits = begin_pass(l1);
    r->held_before = r->held_count;
    r->looks = !r->waits || !r->held_count || now_ns >= r->held_look_ns;
    if (r->looks)
        look_at_held(l1);
    return r->waits;
}

/* Do a table's part of a pass after the grace period. Returns when to come again. */
static uint64_t end_table(struct l1 *l1, uint64_t now_ns)
{
    struct l1_reclaim *r = &l1->reclaim;
    free_tables(l1);
    do {
        batch_judge(&r->batch);
        filing_file(l1, &r->batch);
    } while (list_left(l1));
    limbo_note_slots(l1, r->batch.slots_seen);
    if (r->looks)
        plan_look(r, now_ns, r->held_before);
    uint64_t shrink_ns = shrink_end(l1, r->waits);
    r->looks = r->waits = false; /* a table that is made during a pass has not begun it */
    return u64_min(shrink_ns, next_pass_ns(l1, clock_now_ns(l1->env->clock)));
}

/* All tables of a cache wait for one grace period. */
uint64_t l1_reclaim(struct l1 *l1)
{
    uint64_t next_ns = CLOCK_NEVER_NS;
    bool waits = false;
    pthread_mutex_lock(&l1->reclaim_lock);
    uint64_t now_ns = clock_now_ns(l1->env->clock);
    l1->family.renewed = 0;
    for (struct l1 *m = l1; m; m = family_next(m))
        waits |= begin_table(m, now_ns);
    if (waits)
        rcu_wait();
    for (struct l1 *m = l1; m; m = family_next(m))
        next_ns = u64_min(next_ns, end_table(m, now_ns));
    if (family_balance(l1))
        next_ns = now_ns;
    pthread_mutex_unlock(&l1->reclaim_lock);
    return next_ns;
}
