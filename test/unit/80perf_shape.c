// SPDX-License-Identifier: MIT
/*
 * Keys and sizes that `perf/run load` draws: a shape that is not what it is called would make every
 * figure one of something else.
 */
#include "support/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "load/shape.h"

#define KEYS   1000u
#define DRAWS  100000u
#define SECOND 1000000000ull

static struct shape made(const char *shape, const char *sizes)
{
    struct shape s = {.keys = KEYS, .seed = 5};
    shape_parse(&s, shape);
    shape_parse_sizes(&s, sizes);
    shape_init(&s);
    return s;
}

static void done(struct shape *s)
{
    sampler_free(&s->sampler);
}

/* How often each key comes, of DRAWS, at that time; keys from `first` on. */
static void draw(const struct shape *s, uint64_t since_ns, uint64_t first, unsigned *ret)
{
    struct shape_place p = shape_place_of(s, 0, 0);
    memset(ret, 0, KEYS * sizeof(*ret));
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t key = shape_next(s, &p, since_ns) - first;
        if (CHECK_LT(key, KEYS))
            ret[key]++;
    }
}

static unsigned sum(const unsigned *counts, unsigned from, unsigned to)
{
    unsigned all = 0;
    for (unsigned i = from; i < to; i++)
        all += counts[i];
    return all;
}

static unsigned counts[KEYS];

TEST(zipf_and_uniform_are_what_they_are_called)
{
    struct shape s = made("zipf:1", "1k");
    draw(&s, 0, 0, counts);
    CHECK(abs((int)counts[0] - 13359) < 700); /* 1 / H(1000) */
    CHECK(abs((int)counts[0] - 2 * (int)counts[1]) < 800);
    done(&s);
    s = made("uniform", "1k");
    draw(&s, 0, 0, counts);
    CHECK(abs((int)sum(counts, 0, KEYS / 2) - (int)DRAWS / 2) < 1500);
    CHECK_LT(counts[0], 200);
    done(&s);
}

/* Pearson's chi-square of DRAWS draws beside 1 / rank^s, by powers of two of the rank; with 9
 * degrees of freedom it is above 33.7 once in 10,000 seeds (this one is fixed). */
static double chi_square(double exponent)
{
    double whole = 0, chi = 0;
    for (unsigned i = 0; i < KEYS; i++)
        whole += 1 / pow(i + 1, exponent);
    for (unsigned from = 0; from < KEYS; from = 2 * from + 1) {
        unsigned to = 2 * from + 1 < KEYS ? 2 * from + 1 : KEYS;
        double share = 0;
        for (unsigned i = from; i < to; i++)
            share += 1 / pow(i + 1, exponent) / whole;
        double off = (int)sum(counts, from, to) - DRAWS * share;
        chi += off * off / (DRAWS * share);
    }
    return chi;
}

TEST(zipf_is_what_theory_says)
{
    static const char *const shapes[] = {"zipf:0", "zipf:0.5", "zipf:0.99", "zipf:1.4"};
    static const double exponents[] = {0, 0.5, 0.99, 1.4};
    for (unsigned i = 0; i < 4; i++) {
        struct shape s = made(shapes[i], "1k");
        draw(&s, 0, 0, counts);
        CHECK_LT(chi_square(exponents[i]), 33.7);
        CHECK_GT(chi_square(exponents[i] + 0.03), 33.7); /* it would tell */
        done(&s);
    }
}

TEST(same_seed_same_keys)
{
    struct shape s = made("zipf:1", "lognormal:1k:1"), same = made("zipf:1", "lognormal:1k:1");
    struct shape other = made("zipf:1", "lognormal:1k:1");
    other.seed++;
    struct shape_place a = shape_place_of(&s, 1, 2), b = shape_place_of(&same, 1, 2);
    struct shape_place c = shape_place_of(&other, 1, 2), d = shape_place_of(&s, 1, 3);
    unsigned differ_by_seed = 0, differ_by_thread = 0;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t key = shape_next(&s, &a, 0);
        CHECK_EQ(shape_next(&same, &b, 0), key);
        CHECK_EQ(shape_size(&same, key), shape_size(&s, key));
        differ_by_seed += shape_next(&other, &c, 0) != key;
        differ_by_thread += shape_next(&s, &d, 0) != key;
    }
    CHECK_GT(differ_by_seed, 800);
    CHECK_GT(differ_by_thread, 800);
    done(&s);
    done(&same);
    done(&other);
}

TEST(hotspot_moves)
{
    struct shape s = made("hotspot:2", "1k");
    draw(&s, 0, 0, counts);
    CHECK(abs((int)sum(counts, 0, 10) - 90100) < 1000);
    draw(&s, 3 * SECOND, 0, counts);
    CHECK(abs((int)sum(counts, 60, 70) - 90100) < 1000);
    done(&s);
}

TEST(scan_takes_all_keys_in_turn)
{
    struct shape s = made("scan", "1k");
    draw(&s, 0, 0, counts);
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_GE(counts[i], DRAWS / KEYS / 3);
    done(&s);
}

TEST(churn_brings_new_keys)
{
    struct shape s = made("churn:100", "1k");
    draw(&s, 0, 1, counts);
    CHECK_GT(counts[KEYS - 1], counts[0]); /* the newest is the most popular */
    draw(&s, 5 * SECOND, 501, counts);
    CHECK_GT(counts[KEYS - 1], counts[0]);
    done(&s);
}

TEST(trace_is_followed_and_has_its_own_sizes)
{
    struct request requests[] = {{0, 10}, {1, 20}, {0, 10}, {2, 30}};
    struct shape s = {.kind = SHAPE_TRACE, .trace = {requests, 4, 3}};
    shape_init(&s);
    struct shape_place p = shape_place_of(&s, 0, 0);
    p.at = 3;
    CHECK_EQ(shape_next(&s, &p, 0), 2);
    CHECK_EQ(shape_next(&s, &p, 0), 0);
    CHECK_EQ(shape_next(&s, &p, 0), 1);
    CHECK_EQ(shape_size(&s, 2), 30);
    free(s.trace_sizes);
}

TEST(sizes_are_as_asked_and_the_same_each_time)
{
    struct shape s = made("uniform", "512");
    CHECK_EQ(shape_size(&s, 3), 512);
    s = made("uniform", "uniform:100-300");
    uint64_t all = 0;
    unsigned above = 0;
    for (uint64_t key = 0; key < DRAWS; key++) {
        uint32_t size = shape_size(&s, key);
        CHECK(size >= 100 && size <= 300);
        all += size;
    }
    CHECK(all / DRAWS >= 197 && all / DRAWS <= 203);
    s = made("uniform", "lognormal:1k:1");
    for (uint64_t key = 0; key < DRAWS; key++)
        above += shape_size(&s, key) > 1024;
    CHECK(abs((int)above - (int)DRAWS / 2) < 1000);
    CHECK_EQ(shape_size(&s, 77), shape_size(&s, 77));
}
