// SPDX-License-Identifier: MIT
// The most frequent keys of a stream, against exact counts: the bounds of Space-Saving hold for
// every counter, and survive that the past fades.

#include <stdlib.h>

#include "cache/top.h"
#include "support/check.h"
#include "support/fake_env.h"

#define KEYS 20000u
#define CAPACITY 128u

static struct fake_env fake;
static double truth[KEYS]; /* as if each key had a counter; fades as they do */
static double cumulative[KEYS];

static void begin(struct top *t)
{
    fake_env_init(&fake, check_seed());
    *t = (struct top){.capacity = CAPACITY};
    memset(truth, 0, sizeof(truth));
}

static void end(struct top *t)
{
    top_fini(t, fake.env.mem);
    fake_env_fini(&fake);
}

static uint64_t hash_of(unsigned key)
{
    return (key + UINT64_C(1)) * HASH_GOLDEN;
}

static void add(struct top *t, unsigned key, double weight, uint64_t now_ns)
{
    char name[16];
    int len = snprintf(name, sizeof(name), "%u", key);
    top_add(t, fake.env.mem, hash_of(key), bytes_of(name, (size_t)len), weight, now_ns);
    truth[key] += weight;
}

static unsigned zipf(struct random *random)
{
    double x = (double)(random_id(random) >> 11) / (double)(UINT64_C(1) << 53) *
               cumulative[KEYS - 1];
    unsigned low = 0, high = KEYS - 1;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (cumulative[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* With an exponent of 1: the k-th key comes 1/k as often as the first. */
static void prepare_zipf(void)
{
    double sum = 0;
    for (unsigned k = 0; k < KEYS; k++)
        cumulative[k] = sum += 1.0 / (k + 1);
}

static unsigned key_at(const struct top *t, uint32_t i)
{
    char name[16] = "";
    memcpy(name, t->entries[i].key, t->entries[i].key_len);
    return (unsigned)atoi(name);
}

static void check_bounds(const struct top *t)
{
    double whole = 0, slack = 1e-6 * t->total;
    bool has[KEYS] = {false};
    for (unsigned k = 0; k < KEYS; k++)
        whole += truth[k];
    CHECK(t->total > whole - slack && t->total < whole + slack);
    unsigned wrong = 0, missing = 0;
    for (uint32_t i = 0; i < t->used; i++) {
        const struct top_entry *e = &t->entries[i];
        unsigned key = key_at(t, i);
        has[key] = true;
        wrong += truth[key] > e->count + slack || truth[key] < e->count - e->error - slack ||
                 e->error > t->total / CAPACITY + slack;
    }
    for (unsigned k = 0; k < KEYS; k++)
        missing += truth[k] > t->total / CAPACITY + slack && !has[k];
    CHECK_EQ(wrong, 0);
    CHECK_EQ(missing, 0);
}

TEST(counts_are_within_their_errors_and_no_frequent_key_is_missing)
{
    struct top t;
    begin(&t);
    prepare_zipf();
    for (unsigned i = 0; i < 200000; i++) {
        add(&t, zipf(fake.env.random), 1, 1);
        if (i == CAPACITY || i == 5000)
            check_bounds(&t);
    }
    CHECK_EQ(t.used, CAPACITY);
    check_bounds(&t);
    end(&t);
}

TEST(the_first_keys_come_in_their_order)
{
    struct top t;
    struct top_rate rates[TOP_MOST];
    begin(&t);
    prepare_zipf();
    for (unsigned i = 0; i < 200000; i++)
        add(&t, zipf(fake.env.random), 1, 1);
    /* The sixth comes 7.6 standard deviations less often than the fifth; the eleventh but 2.9 less
     * than the tenth. */
    REQUIRE_EQ(top_read(&t, rates, 5, 1, 5 * NS_PER_S + 1), 5);
    for (unsigned i = 0; i < 5; i++) {
        double exact = truth[i] / 5; /* a second */
        CHECK(rates[i].key_len == 1 && rates[i].key[0] == '0' + i);
        CHECK(exact <= rates[i].rate * 1.000001 &&
              exact >= (rates[i].rate - rates[i].error) * 0.999999);
        CHECK(rates[i].error < rates[i].rate / 10);
    }
    end(&t);
}

/* Every eighth of a half life. */
static void fade_truth(unsigned steps)
{
    for (; steps > 0; steps--)
        for (unsigned k = 0; k < KEYS; k++)
            truth[k] *= 0.91700404320467122;
}

TEST(the_bounds_hold_while_the_past_fades)
{
    struct top t;
    uint64_t now_ns = 1, step_ns = TOP_HALF_LIFE_S * NS_PER_S / 8;
    begin(&t);
    prepare_zipf();
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < 5000; i++)
            add(&t, (zipf(fake.env.random) + 50 * round) % KEYS, 1, now_ns);
        now_ns += step_ns;
        fade_truth(1);
        add(&t, 7, 1, now_ns);
    }
    check_bounds(&t);
    end(&t);
}

TEST(a_steady_stream_has_its_rate_and_a_past_one_is_forgotten)
{
    struct top t;
    struct top_rate rate;
    uint64_t now_ns = 1;
    begin(&t);
    for (unsigned ms = 0; ms < 200000; ms += 10, now_ns += 10 * NS_PER_MS)
        add(&t, 1, 3, now_ns); /* 300 a second */
    REQUIRE_EQ(top_read(&t, &rate, 1, 1, now_ns), 1);
    CHECK(rate.rate > 299 && rate.rate < 301);
    now_ns += 2 * TOP_HALF_LIFE_S * NS_PER_S; /* silence: a quarter is left, of rate and count */
    for (unsigned s = 0; s < 60; s++, now_ns += NS_PER_S)
        add(&t, 2, 1000, now_ns);
    struct top_rate both[2];
    REQUIRE_EQ(top_read(&t, both, 2, 1, now_ns), 2);
    CHECK(both[0].key[0] == '2');
    now_ns += 100 * TOP_HALF_LIFE_S * NS_PER_S;
    CHECK_EQ(top_read(&t, both, 2, 1, now_ns), 0);
    add(&t, 2, 5, now_ns); /* and counted anew: no chain leads to what was forgotten */
    REQUIRE_EQ(top_read(&t, both, 2, 1, now_ns), 1);
    CHECK(both[0].key[0] == '2' && both[0].rate > 49 && both[0].rate < 51);
    end(&t);
}

/* A sample that stands for a thousand is worth no more than one that stands for one. */
TEST(what_is_sure_and_the_noise_go_by_samples_of_any_weight)
{
    struct top t;
    struct top_rate rates[3];
    begin(&t);
    add(&t, 1, 1024, 1);
    for (unsigned i = 0; i < 4; i++)
        add(&t, 2, 1, 1);
    for (unsigned i = 0; i < 4; i++)
        add(&t, 3, 16, 1);
    REQUIRE_EQ(top_read(&t, rates, 3, 2, NS_PER_S + 1), 2);
    CHECK(rates[0].key[0] == '3' && rates[1].key[0] == '2');
    CHECK(rates[0].variance > 4 * 16 * 16 - 1 && rates[0].variance < 4 * 16 * 16 + 1);
    CHECK(rates[1].variance > 3.9 && rates[1].variance < 4.1);
    end(&t);
}

/* A thread that reads little has filled the counter, then one that reads much takes it over. */
TEST(a_single_sample_is_not_several_because_those_before_it_were_light)
{
    struct top t;
    struct top_rate rate;
    begin(&t);
    t.capacity = 1;
    for (unsigned i = 0; i < 2000; i++)
        add(&t, 1, 1, 1);
    CHECK_EQ(top_read(&t, &rate, 1, 2, NS_PER_S + 1), 1);
    add(&t, 2, 1024, 1);
    CHECK_EQ(top_read(&t, &rate, 1, 2, NS_PER_S + 1), 0);
    add(&t, 2, 1024, 1);
    add(&t, 2, 1024, 1);
    REQUIRE_EQ(top_read(&t, &rate, 1, 2, NS_PER_S + 1), 1);
    CHECK(rate.key[0] == '2');
    end(&t);
}

/* Who finds it taken goes on without. */
TEST(adding_waits_for_nobody)
{
    struct top t;
    begin(&t);
    latch_lock(&t.latch);
    add(&t, 1, 1, 1);
    latch_unlock(&t.latch);
    CHECK_EQ(t.used, 0);
    add(&t, 1, 1, 1);
    CHECK_EQ(t.used, 1);
    end(&t);
}
