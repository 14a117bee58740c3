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

#define MOST STATS_SAMPLE_MOST

struct sampled {
    uint64_t stand_for;
    unsigned samples, timed, places;
};

/* Reads as a thread does, `per_second` of them a second. */
static struct sampled samples_of(unsigned reads, unsigned per_second, unsigned modulo)
{
    struct sampled s = {0};
    for (unsigned i = 0; i < reads; i++)
        if (stats_is_sampled()) {
            uint32_t stands_for = stats_sample_next((uint64_t)i * NS_PER_S / per_second);
            s.samples++;
            s.stand_for += stands_for;
            s.timed += stats_sample_is_timed(stands_for);
            s.places |= 1u << i % modulo;
        }
    return s;
}

static void run(void *(*work)(void *arg))
{
    pthread_t thread;
    for (int i = 0; i < 3; i++) {
        REQUIRE(pthread_create(&thread, NULL, work, NULL) == 0);
        pthread_join(thread, NULL);
    }
}

/* A host that does the same eight reads in turn has samples of all of them. */
static void *read_much(void *arg)
{
    enum { READS = 1 << 20 };
    struct sampled s = samples_of(READS, 10000000, 8);
    (void)arg;
    CHECK(s.stand_for > READS * .95 && s.stand_for < READS * 1.05);
    CHECK(s.samples > READS / MOST * .9 && s.samples < READS / MOST * 1.1 + 10 * PACE_MANY);
    CHECK(s.timed > READS / MOST * .9 && s.timed < READS / MOST * 1.1);
    CHECK_EQ(s.places, 0xff);
    return NULL;
}

TEST(of_many_reads_one_in_a_thousand_is_sampled_at_no_fixed_distance)
{
    run(read_much);
}

static void *read_little(void *arg)
{
    struct sampled s = samples_of(3000, 100, 8);
    (void)arg;
    CHECK_EQ(s.samples, 3000);
    CHECK_EQ(s.stand_for, 3000);
    CHECK(s.timed >= 1 && s.timed <= 3); /* as of any other reads */
    return NULL;
}

TEST(few_reads_are_all_sampled_and_one_in_a_thousand_is_timed)
{
    run(read_little);
}

/* What is counted stays right while the rate moves, and the sample follows it within seconds. */
static void *read_in_turns(void *arg)
{
    enum { MANY = 1 << 19, FEW = 12800 };
    (void)arg;
    for (unsigned turn = 0; turn < 3; turn++) {
        struct sampled many = samples_of(MANY, 1000000, 8);
        CHECK(many.stand_for > MANY * .9 && many.stand_for < MANY * 1.1);
        CHECK_LT(many.samples, MANY / MOST * 1.2 + 10 * PACE_MANY);
        struct sampled few = samples_of(FEW, 100, 8);
        CHECK(few.stand_for > FEW * .7 && few.stand_for < FEW * 1.3);
        CHECK_GT(few.samples, FEW / 8); /* each stands for four at most in the end */
    }
    return NULL;
}

TEST(the_sample_follows_the_rate)
{
    run(read_in_turns);
}
