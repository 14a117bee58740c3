// SPDX-License-Identifier: MIT
/*
 * Histograms: each value has its bucket, quantiles are as near as they say, and nothing that any
 * thread has added is lost.
 */
#include <pthread.h>
#include <stdlib.h>

#include "stats/stats.h"
#include "support/check.h"

TEST(buckets_follow_one_another_without_a_gap)
{
    CHECK_EQ(histogram_bucket(0), 0);
    for (uint32_t i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        uint64_t edge = histogram_edge_ns(i);
        if (!CHECK(histogram_bucket(edge) == i && histogram_bucket(edge + 1) == i + 1))
            check_note("bucket %u", i);
    }
    CHECK_EQ(histogram_edge_ns(HISTOGRAM_BUCKETS - 1), (UINT64_C(1) << HISTOGRAM_POWERS) - 1);
    CHECK_EQ(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

/* Every power of two begins a bucket, which is what `le` of Prometheus counts below. */
TEST(what_is_below_a_power_of_two_is_counted_exactly)
{
    for (uint32_t power = HISTOGRAM_LOWEST_POWER; power < HISTOGRAM_POWERS; power++) {
        struct histogram h = {0};
        struct histogram_sum sum = {0};
        histogram_add(&h, (UINT64_C(1) << power) - 1);
        histogram_add(&h, UINT64_C(1) << power);
        histogram_merge(&sum, &h);
        CHECK_EQ(histogram_below(&sum, power), 1);
        CHECK_EQ(sum.count, 2);
    }
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Beside the sorted values themselves. */
TEST(quantiles_are_never_too_low_and_an_eighth_too_high_at_most)
{
    enum { VALUES = 20000 };
    static const uint32_t shares[] = {1, 50000, 90000, 99000, 99900, 99990, 100000};
    static uint64_t values[VALUES];
    static struct histogram h;
    static struct histogram_sum sum;
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < VALUES; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        values[i] = (x >> 32) >> (x % 32); /* all sizes */
        histogram_add(&h, values[i]);
    }
    histogram_merge(&sum, &h);
    qsort(values, VALUES, sizeof(values[0]), by_size);
    for (size_t i = 0; i < ARRAY_COUNT(shares); i++) {
        uint64_t rank = ((uint64_t)VALUES * shares[i] + 99999) / 100000;
        uint64_t exact = values[rank ? rank - 1 : 0];
        uint64_t told = histogram_quantile_ns(&sum, shares[i]);
        if (!CHECK(told >= exact && told <= exact + (exact / 8 > 7 ? exact / 8 : 7)))
            check_note("of %u: %llu, told %llu", shares[i], (unsigned long long)exact,
                       (unsigned long long)told);
    }
    CHECK_EQ(histogram_quantile_ns(&sum, 100000), values[VALUES - 1]);
    CHECK_EQ(sum.max_ns, values[VALUES - 1]);
}

TEST(one_value_is_all_its_quantiles_and_none_is_nothing)
{
    struct histogram h = {0};
    struct histogram_sum sum = {0};
    CHECK_EQ(histogram_quantile_ns(&sum, 99000), 0);
    histogram_add(&h, 1000003);
    histogram_merge(&sum, &h);
    CHECK_EQ(histogram_quantile_ns(&sum, 1), 1000003);
    CHECK_EQ(histogram_quantile_ns(&sum, 99990), 1000003);
    CHECK_EQ(sum.sum_ns, 1000003);
}

/* ---- in sets ---- */

enum { THREADS = 4, TIMES = 20000 };
static struct stats set;
static _Atomic bool done;

static void *add_many(void *arg)
{
    for (int i = 0; i < TIMES; i++)
        stats_time(&set, STATS_LATENCY_LOAD, (uint64_t)(uintptr_t)arg * 1000 + (uint64_t)i % 1000);
    return NULL;
}

static void *watch(void *arg)
{
    uint64_t last = 0;
    struct histogram_sum sum;
    (void)arg;
    while (!atomic_load(&done)) {
        stats_histogram_read(&set, STATS_LATENCY_LOAD, &sum);
        CHECK_GE(sum.count, last);
        last = sum.count;
    }
    return NULL;
}

TEST(no_time_of_any_thread_is_lost_nor_of_those_that_have_ended)
{
    pthread_t threads[THREADS], watcher;
    struct histogram_sum sum;
    struct mem *mem = mem_create();
    REQUIRE(mem);
    REQUIRE_EQ(stats_init(&set, mem), 0);
    REQUIRE(pthread_create(&watcher, NULL, watch, NULL) == 0);
    for (int round = 0; round < 2; round++) {
        for (uintptr_t i = 0; i < THREADS; i++)
            REQUIRE(pthread_create(&threads[i], NULL, add_many, (void *)i) == 0);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
    }
    atomic_store(&done, true);
    pthread_join(watcher, NULL);
    stats_histogram_read(&set, STATS_LATENCY_LOAD, &sum);
    CHECK_EQ(sum.count, 2 * THREADS * TIMES);
    CHECK_EQ(sum.max_ns, THREADS * 1000 - 1);
    stats_histogram_read(&set, STATS_LATENCY_L2, &sum);
    CHECK_EQ(sum.count, 0);
    stats_fini(&set);
    mem_destroy(mem);
}

#if NIGH_FAULTS
TEST(without_memory_a_time_is_lost_and_nothing_else)
{
    struct histogram_sum sum;
    struct stats s;
    struct mem *mem = mem_create();
    REQUIRE(mem);
    REQUIRE_EQ(stats_init(&s, mem), 0);
    stats_count(&s, STATS_LOAD); /* has a block */
    fault_arm(FAULT_ALLOC, 1);
    stats_time(&s, STATS_LATENCY_LOAD, 5);
    fault_arm(FAULT_ALLOC, 0);
    stats_time(&s, STATS_LATENCY_LOAD, 6);
    stats_histogram_read(&s, STATS_LATENCY_LOAD, &sum);
    CHECK_EQ(sum.count, 1);
    CHECK_EQ(sum.max_ns, 6);
    stats_fini(&s);
    mem_destroy(mem);
}
#endif

/* ---- the sample ---- */

static unsigned samples_of(unsigned reads, unsigned modulo, unsigned *ret_places)
{
    unsigned samples = 0, places = 0;
    for (unsigned i = 0; i < reads; i++)
        if (stats_is_sampled() && stats_sample_next()) {
            samples++;
            places |= 1u << i % modulo;
        }
    *ret_places = places;
    return samples;
}

/* A host that does the same eight reads in turn has samples of all of them. */
static void *sample(void *arg)
{
    unsigned places, samples = samples_of(1u << 20, 8, &places);
    (void)arg;
    CHECK(samples > 900 && samples < 1150);
    CHECK_EQ(places, 0xff);
    return NULL;
}

TEST(one_read_in_a_thousand_is_sampled_at_no_fixed_distance)
{
    pthread_t thread;
    for (int i = 0; i < 3; i++) {
        REQUIRE(pthread_create(&thread, NULL, sample, NULL) == 0);
        pthread_join(thread, NULL);
    }
}
