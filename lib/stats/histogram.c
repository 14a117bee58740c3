// SPDX-License-Identifier: MIT
/*
 * A log-linear histogram: each power of two is cut into 16 equal steps.
 *
 *   value     0 .. 15 | 16 17 .. 31 | 32 34 .. 62 | 64 68 .. 124 | ...
 *   bucket    0 .. 15 | 16 ..... 31 | 32 ..... 47 | 48 ...... 63 | ...
 *   width       1     |      1      |      2      |      4       |
 *
 * Below 32 the histogram is exact; above, a bucket is at most 1/16 of its lower edge wide. A
 * quantile is told as the bucket's upper edge: never too small, and at most 6.25 % too large.
 */
#include "stats/stats.h"

#define STEP_BITS 4
#define BUCKETS (HISTOGRAM_POWERS * HISTOGRAM_STEPS)

_Static_assert(1 << STEP_BITS == HISTOGRAM_STEPS, "steps are a power of two");

static unsigned bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_STEPS)
        return (unsigned)value;
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - STEP_BITS;
    unsigned bucket = (shift << STEP_BITS) + (unsigned)(value >> shift);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

/* The largest value that falls into the bucket. */
static uint64_t upper_edge(unsigned bucket)
{
    if (bucket < HISTOGRAM_STEPS)
        return bucket;
    unsigned shift = (bucket >> STEP_BITS) - 1;
    uint64_t step = HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS;
    return ((step + 1) << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
    atomic_fetch_add_explicit(&h->buckets[bucket_of(value)], 1, memory_order_relaxed);
    uint64_t max = atomic_load_explicit(&h->max, memory_order_relaxed);
    while (value > max &&
           !atomic_compare_exchange_weak_explicit(&h->max, &max, value, memory_order_relaxed,
                                                  memory_order_relaxed))
        continue;
}

uint64_t histogram_count(const struct histogram *h)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < BUCKETS; i++)
        count += atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
    return count;
}

/* The number of samples that the quantile covers: at least one, at most all. */
static uint64_t rank_of(uint64_t count, double fraction)
{
    if (!(fraction > 0)) /* NaN too */
        return 1;
    if (fraction >= 1)
        return count;
    uint64_t rank = (uint64_t)(fraction * (double)count);
    return u64_min(count, (double)rank < fraction * (double)count ? rank + 1 : u64_max(rank, 1));
}

uint64_t histogram_quantile(const struct histogram *h, double fraction)
{
    uint64_t count = histogram_count(h);
    if (count == 0)
        return 0;
    uint64_t left = rank_of(count, fraction);
    uint64_t max = atomic_load_explicit(&h->max, memory_order_relaxed);
    for (unsigned i = 0; i < BUCKETS - 1; i++) {
        uint64_t here = atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        if (here >= left)
            return u64_min(upper_edge(i), max);
        left -= here;
    }
    return max; /* the last bucket has no upper edge */
}
