// SPDX-License-Identifier: MIT
/*
 * The keeper's look at what counters have gained.
 *
 * A look costs a walk through the counters of each space, once a second. One of them is kept by the
 * shards (l1/tally.h), and costs a short hold of the lock of each.
 */
#include <string.h>

#include "cache/cache.h"
#include "cache/space.h"

#define LOOK_NS NS_PER_S
#define AGES_LOOK_NS (60 * NS_PER_S)
#define HALF_HOUR_NS (1800 * NS_PER_S)

static const uint64_t lengths_ns[TREND_WINDOWS] = {NS_PER_S, 60 * NS_PER_S, 3600 * NS_PER_S};

/* ---- windows ---- */

/* Returns the counter that is told so. */
static enum stats_counter counter_of(unsigned which)
{
    static const enum stats_counter of[TREND_MISS_OF] = {
        [TREND_L1_FRESH] = STATS_L1_FRESH, [TREND_L1_STALE] = STATS_L1_STALE,
        [TREND_L1_MISS] = STATS_L1_MISS,   [TREND_L2_FRESH] = STATS_L2_FRESH,
        [TREND_L2_STALE] = STATS_L2_STALE, [TREND_L2_MISS] = STATS_L2_MISS,
        [TREND_EVICTED] = STATS_L1_EVICT,  [TREND_REFUSED] = STATS_L1_REFUSED_FULL,
        [TREND_MISS_ABSENT] = STATS_MISS_ABSENT,
    };
    if (which < TREND_MISS_OF)
        return of[which];
    return (enum stats_counter)(STATS_MISS_OF_NEW + (int)(which - TREND_MISS_OF));
}

static void read_note(struct nigh_space *space, uint64_t now_ns, struct trend_note *ret)
{
    uint64_t counts[STATS_COUNTER_COUNT];
    stats_read_all(&space->stats, counts);
    ret->at_ns = now_ns;
    for (unsigned i = 0; i < TREND_COUNTS; i++)
        ret->counts[i] = counts[counter_of(i)];
    ret->counts[TREND_EVICTED] -= counts[STATS_L1_SHED];
}

static const struct trend_note *note_at(const struct trend_past *p, uint32_t i)
{
    return &p->notes[i % TREND_NOTES];
}

static void keep_note(struct trend_past *p, const struct trend_note *note)
{
    p->notes[p->noted++ % TREND_NOTES] = *note;
}

/* Returns the last note that was taken before a time; where none is left, the oldest. */
static uint32_t note_before(const struct trend_past *p, uint64_t at_ns)
{
    uint32_t oldest = p->noted > TREND_NOTES ? p->noted - TREND_NOTES : 0;
    uint32_t i = p->noted - 1;
    while (i > oldest && note_at(p, i)->at_ns > at_ns)
        i--;
    return i;
}

/* Returns what a counter was between two notes, as if it had gained evenly. */
static uint64_t was(const struct trend_note *a, const struct trend_note *b, unsigned which,
                    uint64_t at_ns)
{
    double between = (double)(b->at_ns - a->at_ns);
    double part = between > 0 ? (double)(at_ns - a->at_ns) / between : 0;
    return a->counts[which] + (uint64_t)((double)(b->counts[which] - a->counts[which]) * part);
}

/* Tell of a window that ends now, and keep a note if it is time for one. */
static void look_at_window(struct trend_past *p, uint64_t length_ns, const struct trend_note *now)
{
    uint64_t from_ns = now->at_ns > length_ns ? now->at_ns - length_ns : 0;
    uint32_t i = note_before(p, from_ns);
    const struct trend_note *a = note_at(p, i), *b = i + 1 < p->noted ? note_at(p, i + 1) : now;
    from_ns = u64_max(from_ns, a->at_ns);
    for (unsigned which = 0; which < TREND_COUNTS; which++)
        atomic_store_explicit(&p->gained[which], now->counts[which] - was(a, b, which, from_ns),
                              memory_order_relaxed);
    atomic_store_explicit(&p->span_ns, now->at_ns - from_ns, memory_order_relaxed);
    if (now->at_ns >= note_at(p, p->noted - 1)->at_ns + length_ns / (TREND_NOTES - 1))
        keep_note(p, now);
}

static void look_at_windows(struct nigh_space *space, uint64_t now_ns)
{
    struct trend *t = &space->trend;
    struct trend_note now;
    read_note(space, now_ns, &now);
    for (int w = 0; w < TREND_WINDOWS; w++)
        look_at_window(&t->past[w], lengths_ns[w], &now);
    uint64_t evicted = now.counts[TREND_EVICTED] + now.counts[TREND_REFUSED];
    if (evicted != t->evicted)
        atomic_store_explicit(&t->no_room_ns, now_ns, memory_order_relaxed);
    t->evicted = evicted;
}

static void begin_windows(struct nigh_space *space, uint64_t now_ns, enum trend_since since)
{
    struct trend_note now;
    read_note(space, now_ns, &now);
    for (int w = 0; w < TREND_WINDOWS; w++) {
        space->trend.past[w].noted = 0;
        keep_note(&space->trend.past[w], &now);
        look_at_window(&space->trend.past[w], lengths_ns[w], &now);
    }
    atomic_store_explicit(&space->trend.since, since, memory_order_relaxed);
}

static uint64_t gained(const struct trend *t, unsigned which, enum trend_window window)
{
    return atomic_load_explicit(&t->past[window].gained[which], memory_order_relaxed);
}

uint64_t trend_lately(const struct trend *t, enum trend_count which)
{
    return gained(t, which, TREND_MINUTE);
}

uint64_t trend_reads(const struct trend *t, enum trend_count tier, enum trend_window window)
{
    return gained(t, tier, window) + gained(t, tier + 1, window) + gained(t, tier + 2, window);
}

uint32_t trend_hits_ppm(const struct trend *t, enum trend_count tier, enum trend_window window)
{
    double hits = (double)(gained(t, tier, window) + gained(t, tier + 1, window));
    double reads = hits + (double)gained(t, tier + 2, window);
    return reads > 0 ? (uint32_t)(1e6 * hits / reads + .5) : 0;
}

uint64_t trend_span_ns(const struct trend *t, enum trend_window window)
{
    return atomic_load_explicit(&t->past[window].span_ns, memory_order_relaxed);
}

bool trend_is_longer(const struct trend *a, const struct trend *b)
{
    return trend_span_ns(a, TREND_MINUTE) > trend_span_ns(b, TREND_MINUTE);
}

/* ---- ages, lag ---- */

static void look_at_ages(struct nigh_space *space)
{
    struct trend *t = &space->trend;
    struct histogram_sum sum;
    uint64_t fresh = 0;
    stats_histogram_read(&space->stats, STATS_EVICTED_AGE, &sum);
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t all = sum.buckets[i];
        sum.buckets[i] -= t->ages[i];
        t->ages[i] = all;
        fresh += sum.buckets[i];
    }
    sum.count = fresh;
    atomic_store_explicit(&t->evicted_age_ns, fresh ? histogram_quantile_ns(&sum, 10000) : 0,
                          memory_order_relaxed);
}

static void begin_lag(struct trend_lag *l, uint64_t opened_ns)
{
    l->was_ns[0] = l->was_ns[1] = opened_ns;
    atomic_store_explicit(&l->since_ns, opened_ns, memory_order_relaxed);
}

static void begin_half_hour(struct trend_lag *l, const struct histogram_sum *sum, uint64_t now_ns)
{
    memcpy(l->was[0], l->was[1], sizeof(l->was[0]));
    memcpy(l->was[1], sum->buckets, sizeof(l->was[1]));
    l->top[0] = l->top[1];
    l->top[1].ns = 0;
    l->was_ns[0] = l->was_ns[1];
    l->was_ns[1] = now_ns;
    atomic_store_explicit(&l->since_ns, l->was_ns[0], memory_order_relaxed);
}

/* Returns the bucket that the longest since the last look is in, and one; 0: none came. */
static uint32_t longest_since(struct trend_lag *l, const struct histogram_sum *sum)
{
    uint32_t i = HISTOGRAM_BUCKETS;
    while (i > 0 && sum->buckets[i - 1] == l->seen[i - 1])
        i--;
    memcpy(l->seen, sum->buckets, sizeof(l->seen));
    return i;
}

/* Notes when the longest came, if one did since the last look, and whether that is a bound. A bound
 * may be told before the histogram was seen to have it: then it is for the next look. */
static void look_at_longest(struct trend_lag *l, const struct histogram_sum *sum, uint64_t most_ns,
                            uint64_t now_ns)
{
    uint32_t i = longest_since(l, sum);
    l->most_ns = u64_max(l->most_ns, most_ns);
    uint32_t of_most = l->most_ns ? histogram_bucket(l->most_ns) + 1 : 0;
    if (i > 0 && histogram_edge_ns(i - 1) >= l->top[1].ns) {
        l->top[1].ns = histogram_edge_ns(i - 1);
        l->top[1].at_ns = now_ns;
        l->top[1].most_ns = i == of_most ? l->most_ns : 0;
    }
    if (i >= of_most)
        l->most_ns = 0;
    int longer = l->top[1].ns >= l->top[0].ns;
    atomic_store_explicit(&l->longest_at_ns, l->top[longer].at_ns, memory_order_relaxed);
    atomic_store_explicit(&l->longest_most_ns, l->top[longer].most_ns, memory_order_relaxed);
}

static void tell_lag(struct trend_lag *l, const struct histogram_sum *sum)
{
    uint64_t of[3] = {0, 0, 0};
    static const uint32_t shares[3] = {50000, 99000, 100000};
    for (int i = 0; i < 3 && sum->count > 0; i++)
        of[i] = histogram_quantile_ns(sum, shares[i]);
    atomic_store_explicit(&l->median_ns, of[0], memory_order_relaxed);
    atomic_store_explicit(&l->p99_ns, of[1], memory_order_relaxed);
    atomic_store_explicit(&l->longest_ns, of[2], memory_order_relaxed);
}

static void look_at_lag(struct nigh *cache, uint64_t now_ns)
{
    struct trend_lag *l = &cache->lag;
    struct histogram_sum sum;
    stats_histogram_read(&cache->stats, STATS_COHERENCE_LAG, &sum);
    if (sum.count > l->count)
        atomic_store_explicit(&l->heard_ns, now_ns, memory_order_relaxed);
    l->count = sum.count;
    if (atomic_load_explicit(&l->since_ns, memory_order_relaxed) == 0)
        begin_lag(l, cache->opened_ns);
    if (now_ns >= l->was_ns[1] + HALF_HOUR_NS)
        begin_half_hour(l, &sum, now_ns);
    look_at_longest(l, &sum, cache->coherence ? coherence_take_lag_most_ns(cache->coherence) : 0,
                    now_ns);
    sum.count = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        sum.count += sum.buckets[i] -= l->was[0][i];
    tell_lag(l, &sum);
}

/* ---- looks ---- */

static void look(struct nigh *cache, uint64_t now_ns) REQUIRES(cache->trend_clock.latch)
{
    struct trend_clock *at = &cache->trend_clock;
    if (at->look_ns == 0)
        at->look_ns = at->ages_ns = now_ns;
    if (now_ns < at->look_ns + LOOK_NS)
        return;
    bool ages = now_ns >= at->ages_ns + AGES_LOOK_NS;
    at->look_ns = now_ns;
    if (ages)
        at->ages_ns = now_ns;
    look_at_lag(cache, now_ns);
    for (uint32_t i = 0; i < space_count(cache); i++) {
        look_at_windows(cache->spaces[i], now_ns);
        if (ages)
            look_at_ages(cache->spaces[i]);
    }
}

void trend_keep(struct nigh *cache)
{
    latch_lock(&cache->trend_clock.latch);
    look(cache, clock_now_ns(&cache->clock));
    latch_unlock(&cache->trend_clock.latch);
}

/* The latch keeps this time before that of the look that finds the space first. */
void trend_open(struct nigh_space *space)
{
    struct latch *latch = &space->cache->trend_clock.latch;
    latch_lock(latch);
    begin_windows(space, clock_now_ns(&space->cache->clock), TREND_SINCE_OPENED);
    latch_unlock(latch);
}

void trend_begin_anew(struct nigh *cache, struct nigh_space *only, enum trend_since since)
{
    latch_lock(&cache->trend_clock.latch);
    uint64_t now_ns = clock_now_ns(&cache->clock);
    for (uint32_t i = 0; i < space_count(cache); i++)
        if (!only || cache->spaces[i] == only)
            begin_windows(cache->spaces[i], now_ns, since);
    latch_unlock(&cache->trend_clock.latch);
}
