/* SPDX-License-Identifier: MIT */
/*
 * Log-linear histogram of nanoseconds: 32 steps per power of two (error <= 3.1 %), 1 to 2^40.
 *
 * Source: the HDR idea (Tene, hdrhistogram.org). Written by one thread, lives in shared memory,
 * merged and read by another after the writer has ended.
 */
#ifndef PERF_HIST_H
#define PERF_HIST_H

#include <stdint.h>

#define HIST_STEPS 32u
#define HIST_POWERS 40u
#define HIST_BUCKETS ((HIST_POWERS - 4) * HIST_STEPS)

struct hist {
    uint64_t buckets[HIST_BUCKETS];
    uint64_t count;
    uint64_t max;
};

/* Values below one full row of steps have a bucket each; above, the top 6 bits choose. */
static inline uint32_t hist_bucket(uint64_t value)
{
    if (value < HIST_STEPS)
        return (uint32_t)value;
    uint32_t power = 63 - (uint32_t)__builtin_clzll(value);
    if (power >= HIST_POWERS)
        return HIST_BUCKETS - 1;
    return (power - 4) * HIST_STEPS + (uint32_t)((value >> (power - 5)) & 31);
}

static inline void hist_add(struct hist *h, uint64_t value)
{
    h->buckets[hist_bucket(value)]++;
    h->count++;
    if (value > h->max)
        h->max = value;
}

void hist_merge(struct hist *into, const struct hist *from);

/* Upper edge of the bucket below which `fraction` (0..1) of the values lie; 0 when empty. */
uint64_t hist_quantile(const struct hist *h, double fraction);

/* The same, within the bucket as if its values lay evenly: for rounds that are compared. Edges
 * would be alike in all of them, or all apart by a 32nd, for a difference of a thousandth. */
double hist_estimate(const struct hist *h, double fraction);

/* How many values were above `limit` (to the accuracy of a bucket). */
uint64_t hist_above(const struct hist *h, uint64_t limit);

#endif
