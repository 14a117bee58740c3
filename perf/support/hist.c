// SPDX-License-Identifier: MIT
/*
 * Merging and reading log-linear histograms.
 */
#include "support/hist.h"

static uint64_t upper_edge(uint32_t bucket)
{
    if (bucket < HIST_STEPS)
        return bucket;
    uint32_t power = bucket / HIST_STEPS + 4;
    uint64_t step = bucket % HIST_STEPS;
    return ((HIST_STEPS + step + 1) << (power - 5)) - 1;
}

void hist_merge(struct hist *into, const struct hist *from)
{
    for (uint32_t i = 0; i < HIST_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
    into->count += from->count;
    if (from->max > into->max)
        into->max = from->max;
}

uint64_t hist_quantile(const struct hist *h, double fraction)
{
    uint64_t below = 0;
    for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
        below += h->buckets[i];
        if (h->buckets[i] && (double)below >= fraction * (double)h->count) {
            uint64_t edge = upper_edge(i);
            return edge < h->max ? edge : h->max;
        }
    }
    return h->max;
}

static double lower_edge(uint32_t bucket)
{
    return bucket > 0 ? (double)upper_edge(bucket - 1) + 1 : 0;
}

double hist_estimate(const struct hist *h, double fraction)
{
    double wanted = fraction * (double)h->count, below = 0;
    for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
        double here = (double)h->buckets[i], low = lower_edge(i), high = (double)upper_edge(i);
        if (here > 0 && below + here >= wanted) {
            high = high < (double)h->max ? high : (double)h->max;
            return low + (high - low) * (wanted > below ? (wanted - below) / here : 0);
        }
        below += here;
    }
    return (double)h->max;
}

uint64_t hist_above(const struct hist *h, uint64_t limit)
{
    uint64_t above = 0;
    for (uint32_t i = hist_bucket(limit) + 1; i < HIST_BUCKETS; i++)
        above += h->buckets[i];
    return above;
}
