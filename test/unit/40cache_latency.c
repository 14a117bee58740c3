// SPDX-License-Identifier: MIT
// What is timed: loads, whole misses, waits and hits, each once, in the histogram of its space, by
// the clock that the test holds; and nothing with stats.latency=off.

#include <string.h>

#include "cache/cache.h"
#include "support/origin.h"

static struct histogram_sum read_times(const struct world *w, enum stats_histogram h)
{
    struct histogram_sum sum;
    stats_histogram_read(&w->space->stats, h, &sum);
    return sum;
}

static void check_times(const struct world *w, enum stats_histogram h, uint64_t count,
                        uint64_t sum_ms)
{
    struct histogram_sum sum = read_times(w, h);
    bool ok = CHECK_EQ(sum.count, count);
    ok = CHECK_EQ(sum.sum_ns, sum_ms * NS_PER_MS) && ok;
    if (!ok)
        check_note("%s", stats_histogram_infos[h].name);
}

/* A loader that takes 20 ms of the test's time. */
static int slow(struct origin *o, struct nigh_fill *fill)
{
    world_advance(o->arg, 20);
    return origin_answer(o, fill);
}

TEST(a_miss_is_timed_whole_and_its_load_apart)
{
    struct world w;
    world_open_exact(&w);
    w.origin.arg = &w;
    w.origin.script = slow;
    CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_FRESH);
    check_times(&w, STATS_LATENCY_LOAD, 1, 20);
    check_times(&w, STATS_LATENCY_CALL, 1, 20);
    CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_FRESH); /* a hit: no call of this kind */
    check_times(&w, STATS_LATENCY_CALL, 1, 20);
    CHECK_EQ(ask_fetch(w.space, "l", NULL).outcome, NIGH_FRESH);
    check_times(&w, STATS_LATENCY_LOAD, 2, 40);
    check_times(&w, STATS_LATENCY_WAIT, 0, 0); /* nobody waited for another */
    check_times(&w, STATS_LATENCY_L2, 0, 0);   /* there is no Redis */
    world_close(&w);
}

TEST(hits_are_timed_by_sample)
{
    enum { READS = 200000 };
    struct world w;
    world_open_exact(&w);
    REQUIRE_EQ(nigh_put(w.space, "k", 1, "v", 1, NULL), 0);
    for (int i = 0; i < READS; i++)
        ask_get(w.space, "k", NULL);
    struct histogram_sum sum = read_times(&w, STATS_LATENCY_L1);
    CHECK(sum.count > READS / 1536 - 2 && sum.count < READS / 512);
    CHECK_EQ(sum.max_ns, 0); /* the test's clock stands still */
    world_close(&w);
}

TEST(nothing_is_timed_with_the_option_off)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    o.stats_latency = NIGH_OFF;
    world_open(&w, &o, NULL);
    for (int i = 0; i < 5000; i++)
        ask_fetch(w.space, "k", NULL);
    for (int i = 0; i < STATS_HISTOGRAM_COUNT; i++)
        check_times(&w, (enum stats_histogram)i, 0, 0);
    world_close(&w);
}

TEST(times_are_shown_in_all_forms)
{
    static char out[1 << 17];
    struct world w;
    world_open_exact(&w);
    w.origin.arg = &w;
    w.origin.script = slow;
    ask_fetch(w.space, "k", NULL);
    REQUIRE(nigh_stats(w.cache, NIGH_STATS_TEXT, out, sizeof(out)) < (long)sizeof(out));
    CHECK(strstr(out, "  latency_load          1   20.0ms   20.0ms   20.0ms   20.0ms   20.0ms"));
    for (const char *at = out; *at; at += strcspn(at, "\n") + 1)
        if (strncmp(at, "  latency", 9) == 0)
            CHECK(strcspn(at, "\n") <= 80);
    REQUIRE(nigh_stats(w.cache, NIGH_STATS_JSON, out, sizeof(out)) < (long)sizeof(out));
    CHECK(strstr(out, "\"latency_load\": {\"count\": 1, \"sum_ns\": 20000000, "
                      "\"p50_ns\": 20000000, \"p90_ns\": 20000000, "));
    CHECK(strstr(out, "\"latency_wait\": {\"count\": 0, "));
    REQUIRE(nigh_stats(w.cache, NIGH_STATS_PROMETHEUS, out, sizeof(out)) < (long)sizeof(out));
    CHECK(strstr(out, "\nnigh_latency_load_seconds_bucket{space=\"s\",le=\"0.016777216\"} 0\n"));
    CHECK(strstr(out, "\nnigh_latency_load_seconds_bucket{space=\"s\",le=\"0.033554432\"} 1\n"));
    CHECK(strstr(out, "\nnigh_latency_load_seconds_sum{space=\"s\"} 0.020000000\n"));
    world_close(&w);
}
