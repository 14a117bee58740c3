/* SPDX-License-Identifier: MIT */
/*
 * Log-linear histogram of nanoseconds, from none to 26 days, that one thread writes and any reads.
 *
 *     bucket   0 .. 7      8 ns each: 0 .. 63 ns
 *              8 .. 367    eight for each power of two, from 64 ns to 2^51 ns
 *
 * A quantile is told as the upper edge of its bucket, so it is never too low, and at most 1/8 of
 * itself too high (below 64 ns: 7 ns). Eight steps are enough to tell 1.0 from 1.2 ms and make a
 * block of 3 KiB; a step more of precision doubles that.
 *
 * The writer needs no locked instruction, since nobody else writes its block: a load and a store
 * for the count, the same for the sum. A reader may see the one without the other.
 *
 * Source: G. Tene, HdrHistogram (hdrhistogram.org); with so few steps a value's bucket is two
 * shifts.
 */
#ifndef NIGH_STATS_HISTOGRAM_H
#define NIGH_STATS_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/base.h"

#define HISTOGRAM_STEPS 8u
#define HISTOGRAM_LOWEST_POWER 6u
#define HISTOGRAM_POWERS 51u
#define HISTOGRAM_BUCKETS                                                                          \
    (HISTOGRAM_STEPS + (HISTOGRAM_POWERS - HISTOGRAM_LOWEST_POWER) * HISTOGRAM_STEPS)

/* Zeroed: empty. Keys: (a) written by one thread, read by anyone, relaxed */
struct histogram {
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS]; /* (a) */
    _Atomic uint64_t sum_ns;                     /* (a) */
    _Atomic uint64_t max_ns;                     /* (a) */
};

/* Several histograms, merged. */
struct histogram_sum {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
};

static inline uint32_t histogram_bucket(uint64_t ns)
{
    if (ns < UINT64_C(1) << HISTOGRAM_LOWEST_POWER)
        return (uint32_t)(ns / HISTOGRAM_STEPS);
    uint32_t power = 63 - (uint32_t)__builtin_clzll(ns);
    if (power >= HISTOGRAM_POWERS)
        return HISTOGRAM_BUCKETS - 1;
    uint32_t step = (uint32_t)(ns >> (power - 3)) % HISTOGRAM_STEPS;
    return (power - HISTOGRAM_LOWEST_POWER + 1) * HISTOGRAM_STEPS + step;
}

/* Returns the highest value of a bucket. */
uint64_t histogram_edge_ns(uint32_t bucket);
/* Add a value; by the histogram's thread only. */
void histogram_add(struct histogram *h, uint64_t ns);
/* Add what a histogram holds to a sum, which began zeroed. */
void histogram_merge(struct histogram_sum *sum, const struct histogram *h);
/* Returns a value that `share` of 100,000 do not exceed; 0: there is none. */
uint64_t histogram_quantile_ns(const struct histogram_sum *sum, uint32_t share);
/* Counts the values below a power of two: 6 or more. */
uint64_t histogram_below(const struct histogram_sum *sum, uint32_t power);

#endif
