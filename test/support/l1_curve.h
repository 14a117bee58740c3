/* SPDX-License-Identifier: MIT */
/*
 * l1_curve.h - an L1 whose curve watches, a trace of requests for it, and what exact LRU makes of
 * that.
 *
 *     struct cache c;
 *     struct l1_curve curve;
 *     make_trace();
 *     open_watched(&c, NIGH_POLICY_LRU, CAP);
 *     replay(&c, REQUESTS);                      // asks as a reader does, drains, counts and fits
 *     REQUIRE(l1_curve_read(c.l1, &curve));
 *     exact_lru(entries, REQUESTS, right);       // what each size would have hit
 *     compare(&curve, right, 10, 5);
 *     cache_close(&c);
 */
#ifndef NIGH_TEST_L1_CURVE_H
#define NIGH_TEST_L1_CURVE_H

#include <inttypes.h>

#include "l1/core.h"
#include "support/check.h"
#include "support/l1_cache.h"

#define KEYS 60000u
#define REQUESTS 240000u
#define CAP (4u << 20)
#define VALUE 100u
#define LARGE_VALUE 4000u
#define HUGE_VALUE 300000u

/* Requests after Zipf, with an exponent near 1: the same in each run of a seed. */
static unsigned trace[REQUESTS];

static uint64_t own_seed; /* 0: that of this run */

static inline uint64_t seed_now(void)
{
    return own_seed ? own_seed : check_seed();
}

static inline void make_trace(void)
{
    uint64_t state = seed_now();
    static double upto[KEYS];
    double sum = 0;
    for (unsigned k = 0; k < KEYS; k++)
        upto[k] = sum += 1.0 / (k + 10.0);
    for (unsigned i = 0; i < REQUESTS; i++) {
        double at = (double)(check_random(&state) >> 11) / (double)(UINT64_C(1) << 53) * sum;
        unsigned low = 0, high = KEYS - 1;
        while (low < high) {
            unsigned middle = (low + high) / 2;
            if (upto[middle] < at)
                low = middle + 1;
            else
                high = middle;
        }
        trace[i] = low;
    }
}

/* How long a value is fresh, and stale behind that; 0: for ever. */
struct life {
    uint64_t fresh_ns, stale_ns;
};
typedef struct life life_fn(unsigned number);

static inline struct life for_ever(unsigned number)
{
    (void)number;
    return (struct life){0, 0};
}

static inline void load(struct cache *c, unsigned number, size_t size, struct life life)
{
    static const char zeros[HUGE_VALUE];
    struct l1_value value = cache_value(c, zeros, size);
    if (life.fresh_ns) {
        value.fresh_until_ns = (uint64_t)value.born_ns + life.fresh_ns;
        value.stale_until_ns = value.fresh_until_ns + life.stale_ns;
    }
    cache_store(c, number, &value);
}

/* Ask as a reader does who loads what he misses, and refreshes what is stale. */
static inline bool ask_living(struct cache *c, unsigned number, size_t size, life_fn *life)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    bool marked = l1_marks(c->l1, key.hash);
    uint64_t now_ns = clock_now_ns(c->fake.env.clock);
    rcu_enter();
    struct l1_entry *e = l1_find_rcu(c->l1, &key);
    bool hit = e && now_ns < l1_entry_stale_until_ns(e);
    bool fresh = hit && l1_entry_fresh_at(e, now_ns);
    uint32_t touched = hit ? l1_touch(e, l1_generation(&c->space.hit)) : 0;
    if (touched & L1_TOUCHED_SAMPLED)
        l1_report_hit(e);
    if (touched & L1_TOUCHED_MARKED)
        l1_curve_hit(c->l1, e, l1_ticks_of(now_ns), true);
    rcu_leave();
    if (!hit && marked)
        l1_curve_miss(c->l1, &key);
    if (!fresh)
        load(c, number, size, life(number));
    return hit;
}

static inline bool ask(struct cache *c, unsigned number)
{
    return ask_living(c, number, VALUE, for_ever);
}

static inline void open_watched(struct cache *c, enum nigh_policy policy, uint64_t memory)
{
    fake_env_init(&c->fake, check_seed());
    struct l1_config config = cache_config(c, memory, 1);
    config.policy = policy;
    config.mark_one_in = 4;
    cache_open_config(c, config);
    l1_curve_set(c->l1, true);
}

/* Count reads, as they are counted by space; fit. */
static inline void keep(struct cache *c, uint64_t hits, uint64_t reads)
{
    l1_curve_count(c->l1, 1, hits, reads - hits);
    l1_curve_keep(c->l1);
}

/* Do what others do between requests: nothing is to be lost between windows. */
static inline void rest(struct cache *c)
{
    cache_reclaim(c);
    l1_curve_drain(c->l1);
}

/* Replay so many requests. Returns the share of hits in the second half, which a full cache
 * answers: the curve speaks of what was asked lately. */
static inline double replay_resting(struct cache *c, unsigned requests, unsigned rest_after)
{
    uint64_t hits = 0, hits_first = 0;
    for (unsigned i = 0; i < requests; i++) {
        if (i == requests / 2)
            hits_first = hits;
        hits += ask(c, trace[i]);
        if (i % 64 == 0)
            cache_reclaim(c);
        if (i % rest_after == 0)
            l1_curve_drain(c->l1);
        if (i % (8 * rest_after) == 0)
            keep(c, hits, i + 1);
    }
    keep(c, hits, requests);
    return (double)(hits - hits_first) / (requests - requests / 2);
}

static inline double replay(struct cache *c, unsigned requests)
{
    return replay_resting(c, requests, 128);
}

/* Returns the first key from `from` on that is marked, or is not. */
static inline unsigned find_key(struct cache *c, unsigned from, bool marked)
{
    struct name name;
    for (;; from++) {
        struct l1_key key = cache_key(c, &name, from);
        if (l1_marks(c->l1, key.hash) == marked)
            return from;
    }
}

static inline void open_small(struct cache *c, enum nigh_policy policy, uint64_t entries,
                              bool watched)
{
    fake_env_init(&c->fake, seed_now());
    struct l1_config config = cache_config(c, CAP, 1);
    config.policy = policy;
    config.entries = entries;
    cache_open_config(c, config);
    l1_curve_set(c->l1, watched);
}

/* ---- stack distances: how many other keys were asked for since the key was, last time ---- */

static uint32_t tree[REQUESTS + 1];

static inline void tree_add(uint32_t at, int32_t by)
{
    for (at++; at <= REQUESTS; at += at & -at)
        tree[at] = (uint32_t)((int32_t)tree[at] + by);
}

static inline uint32_t tree_sum(uint32_t upto)
{
    uint32_t sum = 0;
    for (; upto > 0; upto -= upto & -upto)
        sum += tree[upto];
    return sum;
}

/* Count the hits of exact LRU with room for so many entries, for each of the sizes: those of the
 * second half of so many requests. */
static inline void exact_lru(double entries, unsigned requests, double ret_ratios[L1_CURVE_POINTS])
{
    static uint32_t last[KEYS]; /* request + 1 */
    uint64_t hits[L1_CURVE_POINTS] = {0};
    memset(tree, 0, sizeof(tree));
    memset(last, 0, sizeof(last));
    for (uint32_t i = 0; i < requests; i++) {
        uint32_t before = last[trace[i]];
        if (before) {
            double distance = tree_sum(i) - tree_sum(before);
            for (uint32_t s = 0; s < L1_CURVE_POINTS; s++)
                hits[s] += i >= requests / 2 && distance < entries * curve_sizes[s];
            tree_add(before - 1, -1);
        }
        tree_add(i, 1);
        last[trace[i]] = i + 1;
    }
    for (uint32_t s = 0; s < L1_CURVE_POINTS; s++)
        ret_ratios[s] = (double)hits[s] / (requests - requests / 2);
}

/* Compare what is expected with what is right, in points, where enough was seen. `most` is five
 * deviations over 50 seeds or more of the point that is off the most, and `most_mean` of the
 * mean. */
static inline void compare(const struct l1_curve *c, const double right[L1_CURVE_POINTS],
                           double most, double most_mean)
{
    double sum = 0;
    unsigned count = 0;
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++) {
        double off = 100 * (c->points[i].ratio - right[i]);
        off = off < 0 ? -off : off;
        if (!c->points[i].enough || right[i] <= 0)
            continue;
        if (!CHECK(off < most))
            check_note("size %.2f: expected %.2f %%, right %.2f %%", curve_sizes[i],
                       100 * c->points[i].ratio, 100 * right[i]);
        sum += off;
        count++;
    }
    CHECK(count >= 2);
    if (!CHECK(sum / count < most_mean))
        check_note("mean error %.2f points", sum / count);
}

#endif
