// SPDX-License-Identifier: MIT
/*
 * Merging and reading log-linear histograms.
 */
#include "support/histogram.h"

static uint64_t upper_edge(uint32_t bucket)
{
    if (bucket < HISTOGRAM_STEPS)
        return bucket;
    uint32_t power = bucket / HISTOGRAM_STEPS + 4;
    uint64_t step = bucket % HISTOGRAM_STEPS;
    return ((HISTOGRAM_STEPS + step + 1) << (power - 5)) - 1;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
    into->count += from->count;
    if (from->max > into->max)
        into->max = from->max;
}

uint64_t histogram_quantile(const struct histogram *h, double fraction)
{
    uint64_t below = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        below += h->buckets[i];
        if (h->buckets[i] && (double)below >= fraction * (double)h->count) {
            uint64_t edge = upper_edge(i);
            return edge < h->max ? edge : h->max;
        }
    }
    return h->max;
}

uint64_t histogram_above(const struct histogram *h, uint64_t limit)
{
    uint64_t above = 0;
    for (uint32_t i = histogram_bucket(limit) + 1; i < HISTOGRAM_BUCKETS; i++)
        above += h->buckets[i];
    return above;
}
