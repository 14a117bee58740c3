// SPDX-License-Identifier: MIT
// The curve against two other methods: exact stack distances for lru, and for lfu the policy itself
// under other caps. (What it tells, when: 20l1_curve_told.c.)

#include "support/l1_curve.h"

TEST(under_lru_it_is_what_stack_distances_say)
{
    struct cache c;
    struct l1_curve curve;
    double right[L1_CURVE_POINTS];
    make_trace();
    open_watched(&c, NIGH_POLICY_LRU, CAP);
    replay(&c, REQUESTS);
    REQUIRE(l1_curve_read(c.l1, &curve));
    exact_lru((double)cache_gauges(&c).entries, REQUESTS, right);
    compare(&curve, right, 10, 5);
    cache_close(&c);
}

/* Of what happens between two drains a buffer takes the beginning: here two fifths. That is 2
 * points off at 1/4, for a mini cache that sees less fills later than the real one; 1/4 would be 11
 * off if nobody allowed for what was lost. The cap is half of that above, and so full soon enough
 * for three points to see what they want of what is left. With one seed in 60 twice the cap is
 * told, too, by a mini cache that has not been full: 6 points off, for half of what it misses is
 * added, and so it is as sure as it says, and no surer. Bounds are five deviations over 300 seeds.
 */
TEST(what_is_lost_between_windows_is_as_what_was_seen)
{
    struct cache c;
    struct l1_curve curve;
    double right[L1_CURVE_POINTS];
    make_trace();
    open_watched(&c, NIGH_POLICY_LRU, CAP / 2);
    replay_resting(&c, REQUESTS, 2048);
    REQUIRE(l1_curve_read(c.l1, &curve));
    CHECK(curve.seen > 0.1 && curve.seen < 0.5);
    exact_lru((double)cache_gauges(&c).entries, REQUESTS, right);
    struct l1_curve_point *twice = &curve.points[CURVE_NOW + 1];
    double off = twice->ratio - right[CURVE_NOW + 1];
    CHECK(!twice->enough || (off < twice->error && off > -twice->error));
    twice->enough = false;
    compare(&curve, right, 7.4, 3.1);
    cache_close(&c);
}

TEST(under_lfu_it_is_what_other_caps_bring)
{
    struct cache c;
    struct l1_curve curve;
    double right[L1_CURVE_POINTS] = {0};
    make_trace();
    for (uint32_t i = 1; i < 4; i++) {
        open_watched(&c, NIGH_POLICY_LFU, (uint64_t)(CAP * curve_sizes[i]));
        l1_curve_set(c.l1, i == CURVE_NOW);
        right[i] = replay(&c, REQUESTS);
        if (i == CURVE_NOW)
            REQUIRE(l1_curve_read(c.l1, &curve));
        cache_close(&c);
    }
    compare(&curve, right, 6, 3);
}

/* A key that gets each second request hits in a cache of any size. Whether it is in the sample, by
 * chance, makes the sample's reads twice as many as they should be, or half: what twice the cap
 * would bring is the same. */
static void check_beside_a_hot_key(bool marked)
{
    struct cache c;
    struct l1_curve curve;
    double right[L1_CURVE_POINTS];
    make_trace();
    open_watched(&c, NIGH_POLICY_LRU, CAP / 4);
    unsigned hot = find_key(&c, KEYS / 2, marked); /* nobody asks for this one else */
    for (unsigned i = 0; i < REQUESTS; i += 2)
        trace[i] = hot;
    replay(&c, REQUESTS);
    REQUIRE(l1_curve_read(c.l1, &curve));
    exact_lru((double)cache_gauges(&c).entries, REQUESTS, right);
    double gain = curve.points[3].ratio - curve.ratio, right_gain = right[3] - right[2];
    if (!CHECK(gain > 0.7 * right_gain && gain < 1.4 * right_gain))
        check_note("twice the cap: %.2f points more, right %.2f", 100 * gain, 100 * right_gain);
    cache_close(&c);
}

TEST(a_hot_key_is_in_the_sample_or_is_not)
{
    check_beside_a_hot_key(true);
    check_beside_a_hot_key(false);
}

/* ---- small caches ---- */

/* ... of which 8 times the cap is full soon. */
#define FEW_REQUESTS 60000u

/* All sizes with room for 64 values are told, and what they bring beyond the present one is right.
 * (That one alone hits up to 4 points more than exact LRU.) Returns how far they are off in the
 * mean, in points; `most`: at worst. */
static double check_small(const struct l1_curve *curve, const double *right, double most)
{
    double sum = 0;
    unsigned count = 0;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        const struct l1_curve_point *p = &curve->points[i];
        double off = 100 * (p->ratio - curve->ratio - right[i] + right[CURVE_NOW]);
        if (right[i] <= 0 || i == CURVE_NOW)
            continue;
        CHECK_EQ(p->enough, p->cap >= 64);
        if (!p->enough)
            continue;
        off = off < 0 ? -off : off;
        if (!CHECK(off < most))
            check_note("size %.2f: %.2f points more expected, right %.2f", curve_sizes[i],
                       100 * (p->ratio - curve->ratio), 100 * (right[i] - right[CURVE_NOW]));
        sum += off;
        count++;
    }
    REQUIRE(count >= 2);
    return sum / count;
}

TEST(a_small_cap_is_told_as_stack_distances_say)
{
    static const uint64_t entries[] = {150, 500};
    make_trace();
    for (size_t i = 0; i < ARRAY_COUNT(entries); i++) {
        struct cache c;
        struct l1_curve curve;
        double right[L1_CURVE_POINTS];
        open_small(&c, NIGH_POLICY_LRU, entries[i], true);
        replay(&c, FEW_REQUESTS);
        REQUIRE(l1_curve_read(c.l1, &curve));
        exact_lru((double)entries[i], FEW_REQUESTS, right);
        double mean = check_small(&curve, right, 8);
        if (!CHECK(mean < 4))
            check_note("%" PRIu64 " values: %.2f points in the mean", entries[i], mean);
        cache_close(&c);
    }
}

TEST(under_lfu_a_small_cap_is_what_other_caps_bring)
{
    struct cache c;
    struct l1_curve curve;
    double right[L1_CURVE_POINTS] = {0};
    make_trace();
    for (uint32_t i = 0; i < 4; i++) {
        open_small(&c, NIGH_POLICY_LFU, (uint64_t)(400 * curve_sizes[i]), i == CURVE_NOW);
        right[i] = replay(&c, FEW_REQUESTS);
        if (i == CURVE_NOW)
            REQUIRE(l1_curve_read(c.l1, &curve));
        cache_close(&c);
    }
    double mean = check_small(&curve, right, 6);
    if (!CHECK(mean < 3))
        check_note("%.2f points in the mean", mean);
}

/* Half of the requests go round 300 keys, of which a small window keeps most; the others are for
 * keys that are asked for twice, 40 requests apart, and never again. The shadows choose a window
 * that has room for these: a fifth of 256 entries, and four fifths of 64. */
static void make_loop_beside_pairs(void)
{
    for (unsigned i = 0; i < FEW_REQUESTS; i++)
        trace[i] = i % 2 ? i / 2 % 300 : 300 + (i / 40 % 2 ? (i - 40) / 2 : i / 2);
}

TEST(a_cap_under_which_the_window_would_be_another_is_told)
{
    struct cache c;
    struct l1_curve curve;
    make_loop_beside_pairs();
    open_small(&c, NIGH_POLICY_LFU, 256, true);
    replay(&c, FEW_REQUESTS);
    REQUIRE(l1_curve_read(c.l1, &curve));
    cache_close(&c);
    open_small(&c, NIGH_POLICY_LFU, 64, false);
    double right = replay(&c, FEW_REQUESTS);
    cache_close(&c);
    double off = 100 * (curve.points[0].ratio - right);
    if (!CHECK(off > -8 && off < 8))
        check_note("64 values: expected %.2f, right %.2f", 100 * curve.points[0].ratio,
                   100 * right);
}

/* ---- a loop that just fits ---- */

#define LOOP_ENTRIES 1024u
#define LOOP_SEEDS 8u

/* Three requests in four go round `keys`; the others are for keys that never come again, and the
 * cap evicts these. */
static void make_loop(unsigned keys)
{
    for (unsigned i = 0; i < FEW_REQUESTS; i++)
        trace[i] = i % 4 ? (i - i / 4) % keys : keys + i / 4;
}

/* Where a sample has by chance a few keys of the loop too many, the mini cache of the present size
 * hits next to none of them; with five of these seeds. */
static void check_loop(enum nigh_policy policy)
{
    for (own_seed = 1; own_seed <= LOOP_SEEDS; own_seed++) {
        struct cache c;
        struct l1_curve curve;
        open_small(&c, policy, LOOP_ENTRIES, true);
        replay(&c, FEW_REQUESTS);
        REQUIRE(l1_curve_read(c.l1, &curve));
        CHECK(c.l1->curve.short_of_room && curve.ratio > 0.74);
        for (uint32_t i = CURVE_NOW + 1; i < L1_CURVE_POINTS - 1; i++)
            if (!CHECK(curve.points[i].enough && curve.points[i].ratio < 0.76))
                check_note("seed %" PRIu64 ": %.0f times the cap: %.2f", own_seed, curve_sizes[i],
                           100 * curve.points[i].ratio);
        cache_close(&c);
    }
    own_seed = 0;
}

TEST(where_a_loop_just_fits_no_cap_brings_what_never_comes_again)
{
    make_loop(700);
    check_loop(NIGH_POLICY_LRU);
    make_loop(1000);
    check_loop(NIGH_POLICY_LFU);
}

/* ... from some thousand reads on: what 8 times the cap misses while it fills counts little soon.
 */
TEST(a_small_cap_is_told_soon)
{
    struct cache c;
    struct l1_curve curve;
    double right[L1_CURVE_POINTS];
    uint64_t hits = 0;
    make_trace();
    open_small(&c, NIGH_POLICY_LRU, 500, true);
    for (unsigned i = 0; i < FEW_REQUESTS; i++) {
        hits += ask(&c, trace[i]);
        if (i % 64 == 0)
            rest(&c);
        if (i % 500 == 499)
            keep(&c, hits, i + 1);
        if (i != 12000) /* six seconds of 2,000 a second */
            continue;
        REQUIRE(l1_curve_read(c.l1, &curve));
        CHECK(curve.points[1].enough && curve.points[3].enough);
    }
    REQUIRE(l1_curve_read(c.l1, &curve));
    exact_lru(500, FEW_REQUESTS, right);
    check_small(&curve, right, 8);
    cache_close(&c);
}
