// SPDX-License-Identifier: MIT
/*
 * `bars`: which of the goals set for L1 are met by what was just measured?
 */
#include <stdio.h>

#include "bench/bench.h"
#include "bench/measure.h"

enum figure { VALUE, RATIO, INVERSE }; /* INVERSE: baseline / value */
enum sense { AT_MOST, AT_LEAST };

struct bar {
    int number;
    const char *text;
    const char *bench, *name, *metric, *baseline;
    enum figure figure;
    enum sense sense;
    double limit;
};

/* clang-format off */
static const struct bar bars[] = {
    {1, "hit, chain, 1M / lfht", "hit", "1M uniform, chain, 1 thread", "get", "lfht",
     RATIO, AT_MOST, 0.72},
    {1, "hit, chain, 1M / two misses", "hit", "1M uniform, chain, 1 thread", "get", "limit",
     RATIO, AT_MOST, 1.15},
    {1, "hit, chain, 10k / lfht", "hit", "10k uniform, chain, 1 thread", "get", "lfht",
     RATIO, AT_MOST, 0.90},
    {2, "hit, free, 1M / lfht", "hit", "1M uniform, free, 1 thread", "get", "lfht",
     RATIO, AT_MOST, 0.60},
    {2, "hit, free, 10k / lfht", "hit", "10k uniform, free, 1 thread", "get", "lfht",
     RATIO, AT_MOST, 0.80},
    {3, "get_many(16), 1M / lfht", "hit", "1M uniform, batch of 16, 1 thread", "get", "lfht",
     RATIO, AT_MOST, 0.20},
    {3, "single gets / get_many(16), 1M", "hit", "1M uniform, batch of 16, 1 thread", "get",
     "nigh", INVERSE, AT_LEAST, 3},
    {4, "features, untagged, 10k, ns", "features", "10k: ttl, floors, trust, counters", "added",
     NULL, VALUE, AT_MOST, 2.5},
    {4, "features, one tag, 10k, ns", "features", "10k: a tag, another invalidated", "added",
     NULL, VALUE, AT_MOST, 6},
    {4, "features, untagged, 1M", "features", "1M: ttl, floors, trust, counters", "get",
     "pin and release", RATIO, AT_MOST, 1.04},
    {4, "coarse clock, 10k, ns", "features", "10k: coarse clock", "added", NULL,
     VALUE, AT_MOST, 4},
    {4, "pin and release, 10k, ns", "features", "10k: pin and release", "added", NULL,
     VALUE, AT_MOST, 2},
    {4, "telemetry, all of it, 10k / none", "hit", "telemetry: all of it", "get", "none of it",
     RATIO, AT_MOST, 1.03},
    {4, "a recording of 1 key in 64, 10k / none", "hit", "telemetry: a recording", "get",
     "none of it", RATIO, AT_MOST, 1.01},
    {5, "2 threads, 128 hot: quiet / hit", "hit", "128 hot, 2 threads", "sharing", NULL,
     INVERSE, AT_LEAST, 0.93},
    {5, "2 threads, 10k: quiet / hit", "hit", "10k, 2 threads", "sharing", NULL,
     INVERSE, AT_LEAST, 0.93},
    {5, "2 threads, 1M: quiet / hit", "hit", "1M, 2 threads", "sharing", NULL,
     INVERSE, AT_LEAST, 0.93},
    {6, "copied out, chain, 1M / mutex", "hit", "1M uniform, chain, 1 thread", "get and copy",
     "mutex", RATIO, AT_MOST, 0.70},
    {6, "copied out, 2 thr., 1M zipf / mutex", "hit", "1M zipf, free, 2 threads", "get and copy",
     "mutex", RATIO, AT_MOST, 0.60},
    {6, "copied out, chain, 10k / mutex", "hit", "10k uniform, chain, 1 thread", "get and copy",
     "mutex", RATIO, AT_MOST, 1.0},
    {6, "copied out, free, 10k / mutex", "hit", "10k uniform, free, 1 thread", "get and copy",
     "mutex", RATIO, AT_MOST, 1.0},
    {7, "95/5, 10k / lfht + call_rcu", "write", "95/5 10k, 1 thread", "operation", "lfht",
     RATIO, AT_MOST, 0.80},
    {7, "95/5, 1M / lfht + call_rcu", "write", "95/5 1M, 1 thread", "operation", "lfht",
     RATIO, AT_MOST, 0.80},
    {7, "95/5, 10k, 1 thread / mutex", "write", "95/5 10k, 1 thread", "operation", "mutex",
     RATIO, AT_MOST, 1.20},
    {7, "95/5, 10k, 2 threads / mutex", "write", "95/5 10k, 2 threads", "operation", "mutex",
     RATIO, AT_MOST, 0.80},
    {7, "50/50, 10k, 1 thread / mutex", "write", "50/50 10k, 1 thread", "operation", "mutex",
     RATIO, AT_MOST, 1.40},
    {7, "50/50, 10k, 2 threads / mutex", "write", "50/50 10k, 2 threads", "operation", "mutex",
     RATIO, AT_MOST, 1.1},
    {7, "50/50, 10k, 1 thread / copy on write", "write", "50/50 10k, 1 thread", "operation",
     "floor", RATIO, AT_MOST, 1.15},
    {7, "50/50, 10k, 2 threads / copy on write", "write", "50/50 10k, 2 threads", "operation",
     "floor", RATIO, AT_MOST, 1.15},
    {7, "95/5, 10k, 1 thread / copy on write", "write", "95/5 10k, 1 thread", "operation",
     "floor", RATIO, AT_MOST, 1.15},
    {7, "95/5, 10k, 2 threads / copy on write", "write", "95/5 10k, 2 threads", "operation",
     "floor", RATIO, AT_MOST, 1.15},
    {8, "insert+evict 1M / freed at once", "write", "insert+evict 1M", "operation", "unsafe",
     RATIO, AT_MOST, 1.15},
    {8, "insert+evict 1M / call_rcu each", "write", "insert+evict 1M", "operation", "call_rcu",
     RATIO, AT_MOST, 0.75},
    {8, "insert+evict 1M / copy on write", "write", "insert+evict 1M", "operation", "floor",
     RATIO, AT_MOST, 1.15},
    {8, "insert+evict 1M / mutex W-TinyLFU", "write", "insert+evict 1M", "operation", "tinylfu",
     RATIO, AT_MOST, 1.3},
    {8, "insert+evict 1M / mutex LRU", "write", "insert+evict 1M", "operation", "lru",
     RATIO, AT_MOST, 1.3},
    {8, "insert+evict 1M / lfht + call_rcu", "write", "insert+evict 1M", "operation", "lfht",
     RATIO, AT_MOST, 1.0},
    {8, "fill 256k / copy on write", "write", "fill 256k", "operation", "floor",
     RATIO, AT_MOST, 1.15},
    {9, "reader stuck 200 ms: limbo / cap", "limbo", "reader stuck 200 ms", "peak limbo", "cap",
     RATIO, AT_MOST, 1.0},
    {9, "the same, invalidating", "limbo", "reader stuck 200 ms, invalidating", "peak limbo",
     "cap", RATIO, AT_MOST, 1.0},
    {9, "the same: memory / cap", "limbo", "reader stuck 200 ms", "peak memory", "cap",
     RATIO, AT_MOST, 1.0},
    {10, "bookkeeping, B per entry (100 B values)", "memory", "100 B values", "bookkeeping", NULL,
     VALUE, AT_MOST, 50},
    {10, "accounted, worst factor off", "memory", "100 B values", "worst accounted", NULL,
     VALUE, AT_MOST, 1.05},
    {11, "doubling, ns per entry", "resize", "one shard", "per entry", NULL,
     VALUE, AT_MOST, 20},
    {11, "lock held for 16,384 entries, ns", "resize", "16,384 entries", "longest lock hold", NULL,
     VALUE, AT_MOST, 350000},
    {11, "readers: times waited", "resize", "reader", "times waited", NULL,
     VALUE, AT_MOST, 0},
};
/* clang-format on */

static double figure_of(const struct bar *b, const struct result *r)
{
    switch (b->figure) {
    case RATIO:
        return r->ratio;
    case INVERSE:
        return r->ratio > 0 ? 1 / r->ratio : 0;
    default:
        return r->value;
    }
}

/* Gives JSON its goals: each is of the figure that stands there, the ratio, else the value. */
void bench_goals(void)
{
    for (size_t i = 0; i < sizeof(bars) / sizeof(bars[0]); i++) {
        const struct bar *b = &bars[i];
        const struct result *r = result_find(b->bench, b->name, b->metric, b->baseline);
        if (r && (b->figure == VALUE) == !r->baseline)
            result_set_goal(r, b->figure == INVERSE ? 1 / b->limit : b->limit);
    }
}

unsigned bench_bars(const struct bench_settings *s)
{
    unsigned missed = 0;
    (void)s;
    printf("\n%-4s%-42s%12s%14s  %s\n", "bar", "", "measured", "bar", "");
    for (size_t i = 0; i < sizeof(bars) / sizeof(bars[0]); i++) {
        const struct bar *b = &bars[i];
        const struct result *r = result_find(b->bench, b->name, b->metric, b->baseline);
        const char *sign = b->sense == AT_MOST ? "<=" : ">=";
        if (!r) {
            printf("%-4d%-42s%12s%7s%7.5g  not measured\n", b->number, b->text, "-", sign,
                   b->limit);
            continue;
        }
        double figure = figure_of(b, r);
        bool met = b->sense == AT_MOST ? figure <= b->limit : figure >= b->limit;
        missed += !met;
        printf("%-4d%-42s%12.3f%7s%7.5g  %s\n", b->number, b->text, figure, sign, b->limit,
               met ? "met" : "MISSED");
    }
    return missed;
}
