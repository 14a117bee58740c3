// SPDX-License-Identifier: MIT
// What the curve makes of a cap that has room, is short of it without an eviction, or is moved; and
// of reads that become fewer.

#include "l1/budget.h"
#include "l1/curve_told.h"
#include "l1/family.h"
#include "l1/limbo.h"
#include "l1/shadow.h"
#include "support/l1_curve.h"

#define SECONDS_MOST 400u

struct world {
    struct cache c;
    struct l1_curve curve;
    uint64_t hits, reads;
    uint64_t state;
    unsigned second;
};

static void open_world(struct world *w, enum nigh_policy policy, uint64_t cap)
{
    *w = (struct world){.state = check_seed()};
    open_watched(&w->c, policy, cap);
}

/* Let a second go by that had these reads. */
static void end_second(struct world *w)
{
    fake_env_advance(&w->c.fake, NS_PER_S);
    l1_reclaim(w->c.l1);
    keep(&w->c, w->hits, w->reads);
    REQUIRE(l1_curve_read(w->c.l1, &w->curve));
    w->second++;
}

static void ask_one(struct world *w, unsigned number, size_t size)
{
    w->hits += ask_living(&w->c, number, size, for_ever);
    if (++w->reads % 64 == 0)
        rest(&w->c);
}

/* Ask for each of so many keys as often as for the others. */
static void ask_evenly(struct world *w, unsigned rate, unsigned keys, size_t size)
{
    for (unsigned i = 0; i < rate; i++)
        ask_one(w, (unsigned)(check_random(&w->state) % keys), size);
}

static bool tells(const struct world *w, uint32_t i)
{
    return w->curve.points[i].enough;
}

static double more_at(const struct world *w, uint32_t i)
{
    return w->curve.points[i].ratio - w->curve.points[CURVE_NOW].ratio;
}

/* ---- room ---- */

/* What brings nothing is known as soon as the present cap is: no larger mini cache has to fill. */
TEST(where_nothing_was_evicted_all_larger_caps_are_told_at_once)
{
    struct world w;
    open_world(&w, NIGH_POLICY_LFU, 4 * CAP);
    do {
        REQUIRE(w.second < SECONDS_MOST);
        ask_evenly(&w, 500, 2000, 3000);
        end_second(&w);
    } while (!tells(&w, CURVE_NOW + 1));
    for (uint32_t i = CURVE_NOW + 1; i < L1_CURVE_POINTS; i++)
        CHECK(tells(&w, i) && more_at(&w, i) < 0.001 && w.curve.points[i].error < 0.001);
    CHECK_EQ(stats_read(&w.c.stats, STATS_L1_EVICT), 0);
    cache_close(&w.c);
}

/* Under lfu a value that is large beside the window contests before it is stored, and who loses is
 * refused: next to nothing is evicted (with half of all seeds nothing), and a larger cap would have
 * held him. */
TEST(what_the_policy_refuses_wants_room_as_what_it_evicts)
{
    struct world w;
    unsigned popular = 3300;
    open_world(&w, NIGH_POLICY_LFU, CAP);
    for (unsigned i = 0; i < 3 * popular; i++)
        ask_one(&w, i % popular, 900);
    do {
        REQUIRE(w.second < SECONDS_MOST);
        ask_evenly(&w, 900, popular, 900);
        for (unsigned i = 0; i < 100; i++)
            ask_one(&w, KEYS + (unsigned)(check_random(&w.state) % 20), HUGE_VALUE);
        end_second(&w);
    } while (!tells(&w, CURVE_NOW + 2));
    CHECK_LT(stats_read(&w.c.stats, STATS_L1_EVICT), 20);
    CHECK_GT(stats_read(&w.c.stats, STATS_L1_REFUSED_POLICY), 100);
    CHECK(more_at(&w, CURVE_NOW + 2) + w.curve.points[CURVE_NOW + 2].error > 0.02);
    cache_close(&w.c);
}

static enum l1_store_result store_small(struct cache *c, unsigned number)
{
    return cache_put_size(c, number, 100);
}

static enum l1_store_result put_small(struct cache *c, unsigned number)
{
    return cache_own(c, number, 100);
}

static enum l1_store_result write_small(struct cache *c, unsigned number)
{
    static const char zeros[100];
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    struct l1_value value = cache_value(c, zeros, sizeof(zeros));
    return l1_write(c->l1, &key, &value, L1_TICKET_NOW, 0, false);
}

/* Limbo is full of what was invalidated, so nothing may be evicted, and no table may grow. The
 * first value that has no place in the table is refused, though there is room for itself. */
TEST(what_is_refused_for_a_table_that_cannot_grow_wants_room)
{
    enum l1_store_result (*stores[])(struct cache *, unsigned) = {store_small, put_small,
                                                                  write_small};
    for (size_t i = 0; i < ARRAY_COUNT(stores); i++) {
        struct world w;
        unsigned number = 0;
        open_world(&w, NIGH_POLICY_LRU, CAP);
        end_second(&w); /* the curve knows the cap */
        for (; !limbo_is_full(w.c.l1); number++) {
            REQUIRE_EQ(cache_put_size(&w.c, number, 3000), L1_STORED);
            cache_remove(&w.c, number);
        }
        while (stores[i](&w.c, number) == L1_STORED)
            number++;
        struct l1_gauges g = cache_gauges(&w.c);
        CHECK_LT(g.used_bytes, g.cap_bytes / 2);
        CHECK_EQ(stats_read(&w.c.stats, STATS_L1_EVICT), 0);
        end_second(&w);
        CHECK(w.c.l1->curve.short_of_room);
        cache_close(&w.c);
    }
}

/* Bytes that a value for the only shard may take before something has to be evicted. */
static uint64_t room_of(struct l1 *l1)
{
    uint64_t live = l1_limit(&l1->live_max_bytes) - budget_live_bytes(l1);
    return u64_min(live, l1_limit(&l1->cap_bytes) - l1_limit(&l1->used)) +
           l1->shards[0].spare_bytes;
}

/* Take room, all but some 600 bytes, by values that are not stored yet. Returns how many. */
static unsigned take_room(struct cache *c, struct l1_entry *taken[], unsigned most)
{
    static const char zeros[100000];
    unsigned count = 0;
    for (uint64_t room; (room = room_of(c->l1)) > 700; count++) {
        struct name name;
        struct l1_key key = cache_key(c, &name, KEYS + count);
        size_t size = room > 2 * sizeof(zeros) ? sizeof(zeros) : room > 5000 ? 1000 : 100;
        struct l1_value value = cache_value(c, zeros, size);
        REQUIRE(count < most);
        REQUIRE_EQ(l1_entry_create(c->l1, &key, &value, &taken[count]), 0);
    }
    return count;
}

/* ... nor may the ring, for which there is no room, while there is some for the value. */
TEST(what_is_refused_for_a_ring_that_cannot_grow_wants_room)
{
    enum l1_store_result (*stores[])(struct cache *, unsigned) = {store_small, put_small,
                                                                  write_small};
    for (size_t i = 0; i < ARRAY_COUNT(stores); i++) {
        struct world w;
        unsigned number = 0;
        static struct l1_entry *taken[1000];
        open_world(&w, NIGH_POLICY_LRU, CAP);
        end_second(&w); /* the curve knows the cap */
        const struct l1_ring *ring = &w.c.l1->shards[0].ring;
        for (; !limbo_is_full(w.c.l1); number++) {
            REQUIRE_EQ(cache_put_size(&w.c, number, 3000), L1_STORED);
            cache_remove(&w.c, number);
        }
        while (ring->free.head != RING_NONE)
            REQUIRE_EQ(store_small(&w.c, number++), L1_STORED);
        unsigned count = take_room(&w.c, taken, ARRAY_COUNT(taken));
        CHECK_GT(room_of(w.c.l1), 400);
        CHECK_LT(room_of(w.c.l1), ring_words_size(ring->capacity));
        CHECK(!atomic_load(&w.c.l1->short_of_room));
        CHECK_EQ(stores[i](&w.c, number), L1_REFUSED_FULL);
        CHECK_EQ(ring->free.head, RING_NONE);
        CHECK_EQ(stats_read(&w.c.stats, STATS_L1_EVICT), 0);
        end_second(&w);
        CHECK(w.c.l1->curve.short_of_room);
        while (count)
            l1_entry_unref(taken[--count]);
        cache_close(&w.c);
    }
}

/* What comes from Redis and finds no room is handed out, and nobody tries to store it. */
TEST(what_finds_no_room_wants_it_though_nobody_tries_to_store_it)
{
    static const char zeros[CAP / 4];
    struct world w;
    struct name name;
    struct l1_entry *e;
    open_world(&w, NIGH_POLICY_LRU, CAP);
    end_second(&w); /* the curve knows the cap */
    struct l1_key key = cache_key(&w.c, &name, 1);
    struct l1_value value = cache_value(&w.c, zeros, sizeof(zeros));
    REQUIRE_EQ(l1_entry_create(w.c.l1, &key, &value, &e), 0);
    CHECK(l1_entry_loose(e));
    l1_entry_unref(e);
    end_second(&w);
    CHECK(w.c.l1->curve.short_of_room);
    cache_close(&w.c);
}

/* What was told of a cap because a smaller one had room was not seen, also when that cap is set. */
TEST(that_more_brings_nothing_is_taken_back_under_a_larger_cap_too)
{
    struct world w;
    open_world(&w, NIGH_POLICY_LRU, CAP);
    while (!tells(&w, L1_CURVE_POINTS - 1)) {
        REQUIRE(w.second < SECONDS_MOST);
        ask_evenly(&w, 1000, 800, 3000);
        end_second(&w);
    }
    REQUIRE_EQ(l1_set_memory(w.c.l1, 2 * CAP, 0), 0);
    ask_evenly(&w, 1000, 800, 3000);
    end_second(&w);
    CHECK(tells(&w, CURVE_NOW + 1));
    while (!w.c.l1->curve.short_of_room) {
        REQUIRE(w.second < SECONDS_MOST);
        ask_evenly(&w, 1000, 10000, 3000);
        end_second(&w);
    }
    CHECK(!tells(&w, CURVE_NOW + 1) && !tells(&w, CURVE_NOW + 2));
    cache_close(&w.c);
}

/* ---- a cap that moves ---- */

/* A space with space.memory takes steps from the cap of all, and gives them back. */
TEST(a_cap_that_moves_by_hundredths_forgets_nothing)
{
    struct world w;
    open_world(&w, NIGH_POLICY_LRU, CAP);
    while (!tells(&w, CURVE_NOW + 1) || w.second < 60) {
        REQUIRE(w.second < SECONDS_MOST);
        REQUIRE_EQ(l1_set_memory(w.c.l1, CAP - w.second % 3 * (CAP / 64), 0), 0);
        ask_evenly(&w, 1000, 4000, 3000);
        end_second(&w);
    }
    for (unsigned i = 0; i < 10; i++) {
        REQUIRE_EQ(l1_set_memory(w.c.l1, CAP - i % 3 * (CAP / 64), 0), 0);
        ask_evenly(&w, 1000, 4000, 3000);
        end_second(&w);
        CHECK(tells(&w, CURVE_NOW + 1) && !w.curve.points[CURVE_NOW + 1].age_ns);
    }
    cache_close(&w.c);
}

/* ... and one that creeps away is followed. */
TEST(a_cap_that_creeps_away_is_another_one_by_and_by)
{
    struct world w;
    open_world(&w, NIGH_POLICY_LRU, CAP);
    for (unsigned i = 0; i < 64; i++) {
        REQUIRE_EQ(l1_set_memory(w.c.l1, CAP + i * (CAP / 64), 0), 0);
        ask_evenly(&w, 200, 4000, 3000);
        end_second(&w);
        double cap = (double)w.curve.points[CURVE_NOW].cap;
        CHECK(w.c.l1->curve.cap > 0.9 * cap && w.c.l1->curve.cap <= cap);
    }
    cache_close(&w.c);
}

/* Which way of the policy leads is another question under another cap. */
TEST(another_cap_begins_with_the_way_of_now)
{
    struct world w;
    open_world(&w, NIGH_POLICY_LFU, CAP);
    ask_evenly(&w, 1000, 4000, 3000);
    end_second(&w);
    struct curve_point *largest = &w.c.l1->curve.points[L1_CURVE_POINTS - 1];
    largest->way = CURVE_OTHERWISE;
    largest->lead[0] = 1000;
    REQUIRE_EQ(l1_set_memory(w.c.l1, 2 * CAP, 0), 0);
    end_second(&w);
    CHECK_EQ(largest->way, CURVE_AS_NOW);
    CHECK(largest->lead[0] <= 0 && largest->lead[0] >= 0);
    cache_close(&w.c);
}

/* Which way leads is a question of windows, large and small; and which of them is that of the
 * shards may change. */
TEST(the_window_that_leads_does_so_when_the_shards_take_the_other_one)
{
    struct world w;
    open_world(&w, NIGH_POLICY_LFU, CAP);
    ask_evenly(&w, 1000, 4000, 3000);
    end_second(&w);
    struct shadows *shadows = w.c.l1->policy_common;
    struct curve_point *largest = &w.c.l1->curve.points[L1_CURVE_POINTS - 1];
    struct curve_point *now = &w.c.l1->curve.points[CURVE_NOW];
    const struct mini_node *large = largest->mini[CURVE_OTHERWISE].nodes;
    const struct mini_node *large_now = now->mini[CURVE_OTHERWISE].nodes;
    REQUIRE(large && large != largest->mini[CURVE_AS_NOW].nodes);
    uint32_t small = atomic_load(&shadows->window_permille);
    largest->way = CURVE_OTHERWISE;
    largest->lead[0] = 1000;
    atomic_store(&shadows->window_permille, 800);
    l1_curve_drain(w.c.l1);
    CHECK(largest->way == CURVE_AS_NOW && largest->mini[CURVE_AS_NOW].nodes == large);
    CHECK(largest->lead[0] < 0);
    CHECK(now->way == CURVE_AS_NOW && now->mini[CURVE_AS_NOW].nodes == large_now);
    l1_curve_drain(w.c.l1);
    CHECK(largest->lead[0] < 0);
    atomic_store(&shadows->window_permille, small);
    l1_curve_drain(w.c.l1);
    CHECK(largest->way == CURVE_OTHERWISE && largest->mini[CURVE_OTHERWISE].nodes == large);
    CHECK(largest->lead[0] > 0);
    for (unsigned second = 0; second < 20; second++) { /* each goes on with its own nodes */
        atomic_store(&shadows->window_permille, second % 2 ? 800 : small);
        ask_evenly(&w, 2000, 20000, 1000 + second % 3 * 1000);
        end_second(&w);
    }
    for (enum curve_way way = CURVE_AS_NOW; way < CURVE_WAYS; way++) {
        struct mini *mini = &now->mini[way];
        uint64_t weight = 0;
        for (uint32_t i = 0; i < mini->node_count; i++)
            weight += mini->nodes[i].weight;
        CHECK(mini->lfu.arg == mini);
        CHECK_EQ(weight, lfu_weight(&mini->lfu));
    }
    cache_close(&w.c);
}

/* Returns what comes with so many values at most, where l1.memory has room for some 3,600. */
static double replay_values(struct cache *c, uint64_t values, bool watched)
{
    open_small(c, NIGH_POLICY_LRU, values, watched);
    uint64_t hits = 0, hits_first = 0;
    for (unsigned i = 0; i < 120000; i++) {
        hits_first = i == 60000 ? hits : hits_first;
        hits += ask_living(c, trace[i], 1000, for_ever);
        if (i % 64 == 0)
            rest(c);
        if (i % 1024 == 0)
            keep(c, hits, i + 1);
    }
    return (double)(hits - hits_first) / 60000;
}

/* Where l1.memory is full before there are l1.entries values, more of these bring nothing, and
 * fewer what they bring by themselves. */
TEST(values_for_which_memory_has_no_room_are_not_promised)
{
    struct world w;
    make_trace();
    double right = replay_values(&w.c, 2500, false);
    cache_close(&w.c);
    double now = replay_values(&w.c, 10000, true);
    REQUIRE(l1_curve_read(w.c.l1, &w.curve));
    CHECK_LT(cache_gauges(&w.c).entries, 5000);
    CHECK(tells(&w, 0) && tells(&w, CURVE_NOW + 1));
    CHECK(more_at(&w, CURVE_NOW + 1) < 0.01 && more_at(&w, CURVE_NOW + 3) < 0.01);
    double off = more_at(&w, 0) - (right - now);
    if (!CHECK(off > -0.05 && off < 0.05))
        check_note("a quarter: %.3f told, %.3f right", more_at(&w, 0), right - now);
    cache_close(&w.c);
}

/* Whether points tell the same, or nothing. */
static bool tell_alike(const struct l1_curve *c, uint32_t from, uint32_t to)
{
    const struct l1_curve_point *a = &c->points[from], *b = &c->points[to];
    bool alike = a->ratio >= b->ratio && a->ratio <= b->ratio && a->error >= b->error &&
                 a->error <= b->error && a->enough == b->enough;
    if (!alike)
        check_note("%.2f: %.3f +- %.3f, %.2f: %.3f +- %.3f", a->size, a->ratio, a->error, b->size,
                   b->ratio, b->error);
    return alike;
}

/* Ask for values of 1,000 bytes. */
static void ask_on(struct world *w, unsigned requests)
{
    for (unsigned i = 0; i < requests; i++)
        ask_one(w, trace[w->reads % REQUESTS], 1000);
    end_second(w);
}

static void open_values(struct world *w, enum nigh_policy policy, uint64_t values)
{
    *w = (struct world){.state = check_seed()};
    open_small(&w->c, policy, values, true);
}

/* Caps by count for which l1.memory has no room are one and the same cache, whichever of two mini
 * caches leads, and however much "now" is off: where the present one is among them, and where only
 * larger ones are. */
static void check_limited(enum nigh_policy policy, uint64_t values)
{
    struct world w;
    unsigned told = 0;
    open_values(&w, policy, values);
    uint32_t first = values > 5000 ? CURVE_NOW : CURVE_NOW + 1;
    while (w.second < 60) {
        ask_on(&w, 1000);
        w.c.l1->curve.points[L1_CURVE_POINTS - 1].way =
            policy == NIGH_POLICY_LFU ? w.second % 2 : CURVE_AS_NOW;
        REQUIRE(l1_curve_read(w.c.l1, &w.curve));
        for (uint32_t i = first + 1; i < L1_CURVE_POINTS && w.second > 30; i++)
            CHECK(tell_alike(&w.curve, first, i));
        told += tells(&w, L1_CURVE_POINTS - 1);
    }
    CHECK_GT(told, 10);
    CHECK(w.c.l1->curve.short_of_room);
    cache_close(&w.c);
}

TEST(equal_caps_are_told_alike)
{
    make_trace();
    check_limited(NIGH_POLICY_LFU, 10000);
    check_limited(NIGH_POLICY_LRU, 10000);
    check_limited(NIGH_POLICY_LFU, 2500);
    check_limited(NIGH_POLICY_LRU, 2500);
}

/* ... and a space is told what all are: of each cap, or not, by the mini cache that would tell. */
TEST(a_space_is_told_of_a_cap_when_all_are)
{
    struct world w;
    struct l1_curve_space part;
    make_trace();
    open_values(&w, NIGH_POLICY_LRU, 10000);
    while (w.second < 60)
        ask_on(&w, 1000);
    struct curve_point *points = w.c.l1->curve.points;
    CHECK(points[CURVE_NOW].limited && tells(&w, L1_CURVE_POINTS - 1));
    pthread_mutex_lock(&w.c.l1->curve.lock);
    curve_hold_locked(&w.c.l1->curve);
    pthread_mutex_unlock(&w.c.l1->curve.lock);
    for (unsigned few = 0; few < 4; few++) { /* from now on nothing but what was told */
        for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
            points[i].enough = points[i].few = false;
        w.c.l1->curve.reads = w.c.l1->curve.spaces[1].reads = 0;
        points[CURVE_NOW].few = few & 1;
        points[L1_CURVE_POINTS - 1].few = few & 2;
        REQUIRE(l1_curve_read(w.c.l1, &w.curve));
        REQUIRE(l1_curve_read_space(w.c.l1, 1, &part));
        for (uint32_t i = CURVE_NOW + 1; i < L1_CURVE_POINTS; i++)
            CHECK(tells(&w, i) == !(few & 1) && part.points[i].enough == tells(&w, i));
    }
    cache_close(&w.c);
}

/* What was told of so many values was told of what l1.memory had room for. */
TEST(by_count_another_memory_is_another_cap_where_it_has_no_room)
{
    struct world w;
    make_trace();
    open_values(&w, NIGH_POLICY_LRU, 10000);
    while (w.second < 60)
        ask_on(&w, 1000);
    CHECK(tells(&w, CURVE_NOW + 1) && tells(&w, 0) && more_at(&w, CURVE_NOW + 1) < 0.001);
    REQUIRE_EQ(l1_set_memory(w.c.l1, 16 * CAP, 0), 0);
    end_second(&w);
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        CHECK(!tells(&w, i));
    CHECK(!w.c.l1->curve.short_of_room && w.curve.reads <= 0);
    while (w.second < 160)
        ask_on(&w, 6000);
    CHECK(tells(&w, CURVE_NOW + 1) && more_at(&w, CURVE_NOW + 1) > 0.01);
    cache_close(&w.c);
}

TEST(by_count_another_memory_is_nothing_new_where_it_has_room)
{
    struct world w;
    make_trace();
    open_values(&w, NIGH_POLICY_LRU, 400);
    while (w.second < 30)
        ask_on(&w, 1000);
    double reads = w.curve.reads;
    CHECK(tells(&w, CURVE_NOW + 1));
    REQUIRE_EQ(l1_set_memory(w.c.l1, 2 * CAP, 0), 0);
    end_second(&w);
    CHECK(tells(&w, CURVE_NOW + 1) && w.curve.points[CURVE_NOW + 1].age_ns == 0);
    CHECK(w.curve.reads >= reads);
    cache_close(&w.c);
}

/* Of a few values tables take the larger part. L1 is far from full, and so is its mini cache, when
 * many come before it is fitted anew. */
TEST(of_a_few_values_it_is_not_told_for_how_many_there_is_room)
{
    struct world w = {.state = check_seed()};
    fake_env_init(&w.c.fake, check_seed());
    struct l1_config config = cache_config(&w.c, CAP, 16);
    config.entries = 3000;
    cache_open_config(&w.c, config);
    l1_curve_set(w.c.l1, true);
    for (unsigned i = 0; i < 2200; i++) {
        ask_one(&w, i, 1000);
        if (i == 80)
            end_second(&w);
    }
    end_second(&w);
    CHECK(!w.c.l1->curve.points[CURVE_NOW].warm);
    CHECK_EQ(stats_read(&w.c.stats, STATS_L1_EVICT), 0);
    cache_close(&w.c);
}

/* ... nor, by bytes, for how large a part of them. */
TEST(of_a_few_values_it_is_not_told_that_a_cap_is_full)
{
    struct world w = {.state = check_seed()};
    fake_env_init(&w.c.fake, check_seed());
    struct l1_config config = cache_config(&w.c, 4 * CAP, 64);
    config.policy = NIGH_POLICY_LRU;
    cache_open_config(&w.c, config);
    l1_curve_set(w.c.l1, true);
    for (unsigned i = 0; i < 22000; i++) {
        ask_one(&w, i, 500);
        if (i == 100)
            end_second(&w);
    }
    CHECK_LT(w.c.l1->curve.points[CURVE_NOW].entries, 18000.0 / w.curve.points[CURVE_NOW].sample);
    CHECK(!w.c.l1->curve.points[CURVE_NOW].warm);
    CHECK_EQ(stats_read(&w.c.stats, STATS_L1_EVICT), 0);
    end_second(&w);
    for (unsigned i = 22000; i < 50000; i++)
        ask_one(&w, i, 500);
    CHECK(w.c.l1->curve.points[CURVE_NOW].warm);
    cache_close(&w.c);
}

/* ---- what is promised ---- */

/* The marks change in the turn in which the cap does: the first reads that are counted then are
 * such that fell into no window. */
TEST(reads_that_were_all_lost_promise_no_eternity)
{
    struct world w;
    fake_env_init(&w.c.fake, check_seed());
    w = (struct world){.state = check_seed(), .c = w.c};
    struct l1_config config = cache_config(&w.c, CAP, 1);
    config.policy = NIGH_POLICY_LRU;
    cache_open_config(&w.c, config);
    l1_curve_set(w.c.l1, true);
    while (w.second < 50) {
        ask_evenly(&w, 1000, 12000, 700);
        end_second(&w);
    }
    REQUIRE_EQ(l1_set_memory(w.c.l1, 2 * CAP, 0), 0);
    ask_evenly(&w, 1000, 12000, 700);
    end_second(&w);
    for (unsigned i = 0; i < 1000; i++) /* nobody drains meanwhile */
        w.hits += ask_living(&w.c, (unsigned)(check_random(&w.state) % 12000), 700, for_ever);
    w.reads += 1000;
    end_second(&w);
    for (uint32_t i = 0; i < L1_CURVE_POINTS; i++)
        CHECK(w.curve.points[i].lacks < 1e9);
    cache_close(&w.c);
}

/* Seconds that are promised are those of the traffic of now, not of a busier hour before. */
TEST(when_reads_become_fewer_promises_are_for_later)
{
    struct world w;
    open_world(&w, NIGH_POLICY_LRU, 16 * CAP);
    while (w.second < 20) {
        ask_evenly(&w, 10000, KEYS, 3000);
        end_second(&w);
    }
    CHECK(w.curve.rate_promised > 9000 && w.curve.rate_promised < 11000);
    while (w.second < 60) {
        ask_evenly(&w, 100, KEYS, 3000);
        end_second(&w);
    }
    CHECK(w.curve.rate_promised < 200);
    CHECK_GT(w.curve.reads_per_second, 2000);
    cache_close(&w.c);
}

/* Else it is told "in 10^15 hours at most, at 0 reads a second". */
TEST(while_nobody_reads_nothing_is_promised)
{
    struct world w;
    open_world(&w, NIGH_POLICY_LRU, 16 * CAP);
    while (w.second < 20) {
        ask_evenly(&w, 1000, KEYS, 3000);
        end_second(&w);
    }
    CHECK_GT(w.curve.rate_promised, 500);
    while (w.second < 300)
        end_second(&w);
    CHECK(!tells(&w, L1_CURVE_POINTS - 1) && w.curve.rate_promised <= 0);
    for (unsigned i = 0; i < 20; i++) {
        ask_evenly(&w, 1000, KEYS, 3000);
        end_second(&w);
    }
    CHECK(w.curve.rate_promised > 50 && w.curve.rate_promised < 1100);
    cache_close(&w.c);
}
