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
#define PART_NS (60 * NS_PER_S / TREND_PARTS)

static const double window_s[TREND_WINDOWS] = {1, 60, 3600};

static void fade(struct trend *t, enum trend_tier tier, uint64_t hits, uint64_t reads,
                 double passed_s)
{
    double gained_hits = (double)(hits - t->of[tier].hits);
    double gained_reads = (double)(reads - t->of[tier].reads);
    t->of[tier].hits = hits;
    t->of[tier].reads = reads;
    for (int w = 0; w < TREND_WINDOWS; w++) {
        double kept = window_s[w] / (window_s[w] + passed_s);
        double *faded_hits = &t->of[tier].faded_hits[w], *faded = &t->of[tier].faded_reads[w];
        *faded_hits = *faded_hits * kept + gained_hits;
        *faded = *faded * kept + gained_reads;
        double ratio = *faded >= 1e-3 ? *faded_hits / *faded : 0; /* nothing was read for long */
        atomic_store_explicit(&t->of[tier].ppm[w], (uint32_t)(ratio * 1e6 + .5),
                              memory_order_relaxed);
    }
}

static void look_at_reads(struct nigh_space *space, const uint64_t counts[STATS_COUNTER_COUNT],
                          double passed_s)
{
    uint64_t hits = counts[STATS_L1_FRESH] + counts[STATS_L1_STALE];
    fade(&space->trend, TREND_L1, hits, hits + counts[STATS_L1_MISS], passed_s);
    hits = counts[STATS_L2_FRESH] + counts[STATS_L2_STALE];
    fade(&space->trend, TREND_L2, hits, hits + counts[STATS_L2_MISS], passed_s);
}

/* Begin the parts of the minute that have come since the last look. */
static void begin_parts(uint64_t parts[TREND_PARTS], uint64_t from, uint64_t to)
{
    for (uint64_t i = 1; i <= to - from && i <= TREND_PARTS; i++)
        parts[(from + i) % TREND_PARTS] = 0;
}

/* Returns what the counter has gained since the last look. */
static uint64_t look_at_minute(struct trend *t, enum trend_count which, uint64_t count,
                               const struct trend_clock *at)
{
    uint64_t sum = 0, gained = count - t->minute[which].count;
    t->minute[which].count = count;
    begin_parts(t->minute[which].parts, at->part_before, at->part);
    t->minute[which].parts[at->part % TREND_PARTS] += gained;
    for (uint32_t i = 0; i < TREND_PARTS; i++)
        sum += t->minute[which].parts[i];
    atomic_store_explicit(&t->minute[which].lately, sum, memory_order_relaxed);
    return gained;
}

/* Returns the counter of which the last minute is told. */
static enum stats_counter counter_of(enum trend_count which)
{
    static const enum stats_counter of[TREND_MISS_OF] = {
        [TREND_EVICTED] = STATS_L1_EVICT,     [TREND_REFUSED] = STATS_L1_REFUSED_FULL,
        [TREND_FRESH] = STATS_L1_FRESH,       [TREND_STALE] = STATS_L1_STALE,
        [TREND_MISSES] = STATS_L1_MISS,       [TREND_MISS_ABSENT] = STATS_MISS_ABSENT,
    };
    if (which < TREND_MISS_OF)
        return of[which];
    return (enum stats_counter)(STATS_MISS_OF_NEW + (int)(which - TREND_MISS_OF));
}

static void look_at_counts(struct nigh_space *space, const uint64_t counts[STATS_COUNTER_COUNT],
                           const struct trend_clock *at)
{
    uint64_t gained[TREND_COUNTS];
    for (int i = 0; i < TREND_COUNTS; i++)
        gained[i] = look_at_minute(&space->trend, (enum trend_count)i,
                                   counts[counter_of((enum trend_count)i)], at);
    if (gained[TREND_EVICTED] + gained[TREND_REFUSED] > 0)
        atomic_store_explicit(&space->trend.no_room_ns, at->look_ns, memory_order_relaxed);
}

uint64_t trend_lately(const struct trend *t, enum trend_count which)
{
    return atomic_load_explicit(&t->minute[which].lately, memory_order_relaxed);
}

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

static void begin_half_hour(struct trend_lag *l, const struct histogram_sum *sum, uint64_t now_ns)
{
    memcpy(l->was[0], l->was[1], sizeof(l->was[0]));
    memcpy(l->was[1], sum->buckets, sizeof(l->was[1]));
    l->was_ns = now_ns;
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
    if (l->was_ns == 0)
        l->was_ns = now_ns;
    if (now_ns >= l->was_ns + HALF_HOUR_NS)
        begin_half_hour(l, &sum, now_ns);
    sum.count = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        sum.count += sum.buckets[i] -= l->was[0][i];
    tell_lag(l, &sum);
}

void trend_keep(struct nigh *cache)
{
    struct trend_clock *at = &cache->trend_clock;
    uint64_t now_ns = clock_now_ns(&cache->clock), counts[STATS_COUNTER_COUNT];
    if (at->look_ns == 0)
        at->look_ns = at->ages_ns = now_ns;
    if (now_ns < at->look_ns + LOOK_NS)
        return;
    double passed_s = (double)(now_ns - at->look_ns) / (double)NS_PER_S;
    bool ages = now_ns >= at->ages_ns + AGES_LOOK_NS;
    at->look_ns = now_ns;
    at->part_before = at->part;
    at->part = now_ns / PART_NS;
    if (ages)
        at->ages_ns = now_ns;
    look_at_lag(cache, now_ns);
    for (uint32_t i = 0; i < space_count(cache); i++) {
        stats_read_all(&cache->spaces[i]->stats, counts);
        look_at_reads(cache->spaces[i], counts, passed_s);
        look_at_counts(cache->spaces[i], counts, at);
        if (ages)
            look_at_ages(cache->spaces[i]);
    }
}
