// SPDX-License-Identifier: MIT
// Notes of what requests took. Each costs a walk through the histograms of all spaces.

#include "cache/took.h"

#include "cache/cache.h"
#include "cache/space.h"

#define NOTE_NS (30 * NS_PER_S)

/* Reads what they took since the opening. */
static void read_all(struct nigh *cache, uint64_t now_ns, struct took_note *ret)
{
    *ret = (struct took_note){.at_ns = now_ns,
                              .given_up = stats_read(&cache->stats, STATS_L2_TIMEOUT)};
    for (uint32_t i = 0; i < space_count(cache); i++) {
        struct histogram_sum sum;
        stats_histogram_read(&cache->spaces[i]->stats, STATS_LATENCY_L2, &sum);
        for (uint32_t b = 0; b < HISTOGRAM_BUCKETS; b++)
            ret->buckets[b] += sum.buckets[b];
    }
}

void took_keep(struct nigh *cache)
{
    struct took_notes *notes = &cache->took;
    struct took_note now;
    uint64_t now_ns = clock_now_ns(&cache->clock);
    if (!cache->l2 || now_ns < u64_max(notes->newer.at_ns, cache->opened_ns) + NOTE_NS)
        return; /* only the keeper writes */
    read_all(cache, now_ns, &now);
    latch_lock(&notes->latch);
    notes->older = notes->newer;
    notes->newer = now;
    latch_unlock(&notes->latch);
}

static uint64_t count_above(const struct histogram_sum *sum, uint64_t ns)
{
    uint64_t count = 0;
    for (uint32_t b = histogram_bucket(ns) + 1; b < HISTOGRAM_BUCKETS; b++)
        count += sum->buckets[b];
    return count;
}

/* The note is read first: counts only rise. */
void took_read(struct nigh *cache, struct took *ret)
{
    struct took_note was, now;
    struct histogram_sum sum = {.max_ns = UINT64_MAX}; /* it is not known, of a window */
    latch_lock(&cache->took.latch);
    was = cache->took.older;
    latch_unlock(&cache->took.latch);
    read_all(cache, clock_now_ns(&cache->clock), &now);
    for (uint32_t b = 0; b < HISTOGRAM_BUCKETS; b++)
        sum.count += sum.buckets[b] = now.buckets[b] - was.buckets[b];
    *ret = (struct took){
        .count = sum.count,
        .median_ns = sum.count ? histogram_quantile_ns(&sum, 50000) : 0,
        .p99_ns = sum.count ? histogram_quantile_ns(&sum, 99000) : 0,
        .slow = count_above(&sum, l2_slow_ns(cache->l2)),
        .given_up = now.given_up - was.given_up,
        .span_ns = now.at_ns - u64_max(was.at_ns, cache->opened_ns),
        .since_opening = was.at_ns == 0,
    };
}
