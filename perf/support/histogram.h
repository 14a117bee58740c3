/* SPDX-License-Identifier: MIT */
/*
 * Log-linear histogram of nanoseconds: 32 steps per power of two (error <= 3.1 %), 1 to 2^40.
 *
 * Source: the HDR idea (Tene, hdrhistogram.org). Written by one thread, lives in shared memory,
 * merged and read by another after the writer has ended.
 */
#ifndef PERF_HISTOGRAM_H
#define PERF_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEPS 32u
#define HISTOGRAM_POWERS 40u
#define HISTOGRAM_BUCKETS ((HISTOGRAM_POWERS - 4) * HISTOGRAM_STEPS)

struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t max;
};

/* Values below one full row of steps have a bucket each; above, the top 6 bits choose. */
static inline uint32_t histogram_bucket(uint64_t value)
{
    if (value < HISTOGRAM_STEPS)
        return (uint32_t)value;
    uint32_t power = 63 - (uint32_t)__builtin_clzll(value);
    if (power >= HISTOGRAM_POWERS)
        return HISTOGRAM_BUCKETS - 1;
    return (power - 4) * HISTOGRAM_STEPS + (uint32_t)((value >> (power - 5)) & 31);
}

static inline void histogram_add(struct histogram *h, uint64_t value)
{
    h->buckets[histogram_bucket(value)]++;
    h->count++;
    if (value > h->max)
        h->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from);

/* Upper edge of the bucket below which `fraction` (0..1) of the values lie; 0 when empty. */
uint64_t histogram_quantile(const struct histogram *h, double fraction);

/* How many values were above `limit` (to the accuracy of a bucket). */
uint64_t histogram_above(const struct histogram *h, uint64_t limit);

#endif
