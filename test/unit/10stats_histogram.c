// SPDX-License-Identifier: MIT
/*
 * Histogram: a quantile is never too small and at most 6.25 % too large.
 */
#include <math.h>
#include <pthread.h>

#include "stats/stats.h"
#include "support/check.h"

static struct histogram h;

static uint64_t only_value_told(uint64_t value)
{
    memset(&h, 0, sizeof(h));
    histogram_add(&h, value);
    histogram_add(&h, UINT64_MAX); /* or the maximum would round down for us */
    return histogram_quantile(&h, 0.5);
}

TEST(error_is_bounded_at_every_edge)
{
    uint64_t seed = check_seed();
    for (unsigned power = 0; power < 43; power++) {
        for (int i = -2; i < 50; i++) {
            uint64_t base = (uint64_t)1 << power;
            uint64_t value = i < 3 ? base + (uint64_t)i : base + check_random(&seed) % base;
            if (value >= (uint64_t)31 << 38)
                continue; /* the last bucket holds all the rest */
            uint64_t told = only_value_told(value);
            CHECK_GE(told, value);
            CHECK_LE(told - value, value / 16);
        }
    }
}

TEST(small_values_are_exact)
{
    for (uint64_t value = 0; value < 32; value++)
        CHECK_EQ(only_value_told(value), value);
}

TEST(buckets_are_in_order_without_gaps)
{
    uint64_t last = only_value_told(0);
    for (uint64_t value = 1; value < 100000; value++) {
        uint64_t told = only_value_told(value);
        CHECK(told == last || last == value - 1);
        last = told;
    }
}

TEST(quantiles_of_a_known_distribution)
{
    static const unsigned permille[] = {10, 250, 500, 900, 990, 999};
    memset(&h, 0, sizeof(h));
    for (uint64_t value = 1; value <= 100000; value++)
        histogram_add(&h, value);
    CHECK_EQ(histogram_count(&h), 100000);
    for (size_t i = 0; i < ARRAY_COUNT(permille); i++) {
        uint64_t exact = permille[i] * 100;
        uint64_t told = histogram_quantile(&h, permille[i] / 1000.0);
        CHECK_GE(told, exact);
        CHECK_LE(told, exact + exact / 16);
    }
    CHECK_EQ(histogram_quantile(&h, 1), 100000); /* the maximum is kept exactly */
    CHECK_EQ(histogram_quantile(&h, 0), 1);
}

TEST(odd_arguments_have_answers)
{
    memset(&h, 0, sizeof(h));
    CHECK_EQ(histogram_count(&h), 0);
    CHECK_EQ(histogram_quantile(&h, 0.5), 0);
    histogram_add(&h, 10);
    histogram_add(&h, 20);
    CHECK_EQ(histogram_quantile(&h, -1), 10);
    CHECK_EQ(histogram_quantile(&h, (double)NAN), 10);
    CHECK_EQ(histogram_quantile(&h, 7), 20);
    CHECK_EQ(histogram_quantile(&h, 0.5), 10); /* half of two samples is the first */
    CHECK_EQ(histogram_quantile(&h, 0.51), 20);
}

TEST(huge_values_count_and_the_maximum_is_true)
{
    memset(&h, 0, sizeof(h));
    histogram_add(&h, UINT64_MAX);
    histogram_add(&h, (uint64_t)1 << 50);
    CHECK_EQ(histogram_count(&h), 2);
    CHECK_EQ(histogram_quantile(&h, 0.5), UINT64_MAX); /* past the last edge: only the maximum */
}

enum { THREADS = 4, SAMPLES = 50000 };

static void *add_samples(void *arg)
{
    uint64_t seed = (uintptr_t)arg;
    for (int i = 0; i < SAMPLES; i++)
        histogram_add(&h, check_random(&seed) % 1000000);
    histogram_add(&h, 2000000 + (uintptr_t)arg);
    return NULL;
}

TEST(no_sample_of_any_thread_is_lost)
{
    pthread_t threads[THREADS];
    memset(&h, 0, sizeof(h));
    for (uintptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, add_samples, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(histogram_count(&h), THREADS * (SAMPLES + 1));
    CHECK_EQ(histogram_quantile(&h, 1), 2000000 + THREADS - 1);
}
