// SPDX-License-Identifier: MIT
/*
 * Adding to a histogram, merging, and asking for quantiles.
 *
 * The count of a sum is the sum of its buckets, so a quantile is always found, whatever a writer
 * has added meanwhile.
 */
#include "stats/histogram.h"

uint64_t histogram_edge_ns(uint32_t bucket)
{
    uint64_t step = bucket % HISTOGRAM_STEPS;
    uint32_t row = bucket / HISTOGRAM_STEPS;
    if (row == 0)
        return (step + 1) * HISTOGRAM_STEPS - 1;
    return ((HISTOGRAM_STEPS + step + 1) << (row + HISTOGRAM_LOWEST_POWER - 4)) - 1;
}

static void add(_Atomic uint64_t *to, uint64_t n)
{
    uint64_t old = atomic_load_explicit(to, memory_order_relaxed);
    atomic_store_explicit(to, old + n, memory_order_relaxed);
}

void histogram_add(struct histogram *h, uint64_t ns)
{
    add(&h->buckets[histogram_bucket(ns)], 1);
    add(&h->sum_ns, ns);
    if (ns > atomic_load_explicit(&h->max_ns, memory_order_relaxed))
        atomic_store_explicit(&h->max_ns, ns, memory_order_relaxed);
}

void histogram_merge(struct histogram_sum *sum, const struct histogram *h)
{
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t count = atomic_load_explicit(&h->buckets[i], memory_order_relaxed);
        sum->buckets[i] += count;
        sum->count += count;
    }
    sum->sum_ns += atomic_load_explicit(&h->sum_ns, memory_order_relaxed);
    sum->max_ns =
        u64_max(sum->max_ns, atomic_load_explicit(&h->max_ns, memory_order_relaxed));
}

uint64_t histogram_quantile_ns(const struct histogram_sum *sum, uint32_t share)
{
    uint64_t below = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        below += sum->buckets[i];
        if (sum->buckets[i] && (double)below * 100000 >= (double)sum->count * share)
            return u64_min(histogram_edge_ns(i), sum->max_ns);
    }
    return sum->max_ns;
}

uint64_t histogram_below(const struct histogram_sum *sum, uint32_t power)
{
    uint32_t end = (power - HISTOGRAM_LOWEST_POWER + 1) * HISTOGRAM_STEPS;
    uint64_t count = 0;
    for (uint32_t i = 0; i < end && i < HISTOGRAM_BUCKETS; i++)
        count += sum->buckets[i];
    return count;
}
