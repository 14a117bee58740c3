// SPDX-License-Identifier: MIT
// What is told of one space, of one shard: what it has, what became of the rest and why, each
// counted where it belongs; by the numbers of the others, and of the whole table.

#include <pthread.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/space.h"
#include "l1/shard.h"
#include "support/origin.h"

static int64_t of(const struct world *w, const char *space, const char *name)
{
    return nigh_stats_value(w->cache, space, name);
}

/* Adds up what the live entries of a ring are charged. */
static uint64_t ring_bytes(const struct l1 *l1, const struct l1_ring *ring)
{
    uint64_t bytes = 0;
    for (uint32_t slot = 0; slot < ring->capacity; slot++)
        if (ring_is_live(ring->words[slot]))
            bytes += entry_charge(l1, ring_entry(ring, slot));
    return bytes;
}

/* What the spaces have is what the table has. */
static void check_sums(const struct world *w)
{
    int64_t entries = of(w, NULL, "entries");
    bool ok = CHECK_EQ(of(w, "s", "entries") + of(w, "other", "entries"), entries);
    struct l1_gauges g;
    uint64_t bytes = 0;
    l1_gauges_read(w->cache->l1, L1_GAUGE_ALL, &g);
    for (uint32_t i = 0; i <= w->cache->l1->shard_mask; i++)
        bytes += ring_bytes(w->cache->l1, &w->cache->l1->shards[i].ring);
    ok = CHECK_EQ((uint64_t)(of(w, "s", "entry_bytes") + of(w, "other", "entry_bytes")), bytes) &&
         ok;
    ok = CHECK_EQ(bytes + g.tables_bytes + g.limbo_bytes + g.unstored_bytes, g.used_bytes) && ok;
    ok = CHECK(g.floors_bytes <= g.tables_bytes) && ok;
    if (!ok)
        check_note("%lld entries", (long long)entries);
}

static struct nigh_space *open_small_as(struct world *w, enum nigh_policy policy, uint32_t ttl_ms)
{
    struct nigh_space *other;
    struct nigh_options o = world_options(w);
    o.l1_memory = 4u << 20;
    o.l1_shards = 4;
    o.l1_policy = policy;
    o.group_slots = GROUP_SLOTS_MIN;
    o.space.soft_ttl_ms = ttl_ms;
    world_open(w, &o, NULL);
    REQUIRE_EQ(nigh_space_open(w->cache, "other", NULL, NULL, NULL, NULL, &other), 0);
    return other;
}

static struct nigh_space *open_small(struct world *w)
{
    return open_small_as(w, NIGH_POLICY_DEFAULT, 0);
}

static void put(struct nigh_space *space, int key, size_t len)
{
    static const char bytes[4096];
    char name[16];
    int key_len = snprintf(name, sizeof(name), "k%d", key);
    CHECK_GE(nigh_put(space, name, (size_t)key_len, bytes, len, NULL), 0);
}

TEST(each_space_has_its_own_entries_and_bytes)
{
    struct world w;
    struct nigh_space *other = open_small(&w);
    for (int i = 0; i < 100; i++)
        put(w.space, i, 10);
    for (int i = 0; i < 50; i++)
        put(other, i, 100);
    CHECK_EQ(of(&w, "s", "entries"), 100);
    CHECK_EQ(of(&w, "other", "entries"), 50);
    check_sums(&w);
    int64_t before = of(&w, "s", "entry_bytes");
    put(w.space, 7, 500); /* in the place of a smaller one */
    CHECK_GT(of(&w, "s", "entry_bytes"), before + 400);
    put(w.space, 7, 10);
    CHECK_EQ(of(&w, "s", "entry_bytes"), before);
    CHECK_EQ(of(&w, "s", "entries"), 100);
    CHECK_GE(nigh_invalidate(other, "k7", 2, NULL), 0);
    CHECK_EQ(of(&w, "other", "entries"), 49);
    CHECK_EQ(of(&w, "other", "l1_remove"), 1);
    CHECK_EQ(of(&w, "s", "l1_remove"), 0);
    check_sums(&w);
    world_close(&w);
}

TEST(who_leaves_is_counted_where_he_was_and_how_old)
{
    enum { MANY = 20000 };
    struct world w;
    struct nigh_space *other = open_small(&w);
    struct histogram_sum ages;
    for (int i = 0; i < 10; i++)
        put(other, i, 10);
    world_advance(&w, 100);
    for (int i = 0; i < MANY; i++)
        put(w.space, i, 1000);
    check_sums(&w);
    CHECK_GT(of(&w, "s", "l1_evict"), 100);
    CHECK_LE(of(&w, "other", "l1_evict"), 10);
    CHECK_EQ(of(&w, "s", "l1_evict") + of(&w, "other", "l1_evict"), of(&w, NULL, "l1_evict"));
    CHECK_EQ(of(&w, NULL, "l1_shed"), 0);
    stats_histogram_read(&w.space->stats, STATS_EVICTED_AGE, &ages);
    CHECK_GT(ages.count, 0);
    CHECK(ages.count <= (uint64_t)of(&w, "s", "l1_evict"));
    CHECK(ages.max_ns <= NS_PER_MS); /* none was loaded before the others: a tick, at most */
    world_close(&w);
}

TEST(what_expires_and_what_a_smaller_cap_takes_are_told_apart)
{
    struct world w;
    open_small(&w);
    for (int i = 0; i < 1000; i++)
        put(w.space, i, 1000);
    int64_t before = of(&w, "s", "entries");
    REQUIRE_EQ(nigh_set(w.cache, "l1.memory", "5m"), 0);
    CHECK_EQ(of(&w, "s", "entries"), before);
    world_advance(&w, 3600 * 1000);
    world_settle(&w);
    CHECK_EQ(of(&w, "s", "entries"), 0);
    CHECK_EQ(of(&w, "s", "entry_bytes"), 0);
    CHECK_EQ(of(&w, "s", "l1_expire"), before);
    CHECK_EQ(of(&w, NULL, "l1_shed"), 0);
    world_close(&w);
}

TEST(a_space_that_moves_begins_empty_and_says_so)
{
    struct world w;
    open_small(&w);
    REQUIRE_EQ(nigh_set(w.cache, "l1.memory", "16m"), 0);
    for (int i = 0; i < 100; i++)
        put(w.space, i, 10);
    REQUIRE_EQ(nigh_space_set(w.space, "space.memory", "2m"), 0);
    CHECK_EQ(of(&w, "s", "entries"), 0);
    CHECK_EQ(of(&w, "s", "l1_drop"), 100);
    put(w.space, 1, 10);
    CHECK_EQ(of(&w, "s", "entries"), 1);
    world_close(&w);
}

/* ---- lately ---- */

/* A second of reads: so many of ten hit. */
static void read_for_a_second(struct world *w, int hits)
{
    struct nigh_value value;
    for (int i = 0; i < 10; i++)
        if (nigh_get(w->space, i < hits ? "hit" : "miss", i < hits ? 3 : 4, NULL, &value) >= 0)
            nigh_release(&value);
    world_advance(w, 1000);
    world_settle(w);
}

static bool about(int64_t ppm, int64_t wanted)
{
    return ppm > wanted - 20000 && ppm < wanted + 20000;
}

TEST(hit_ratios_follow_the_traffic_each_at_its_pace)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    o.space.soft_ttl_ms = 3600000;
    world_open(&w, &o, NULL);
    REQUIRE_EQ(nigh_put(w.space, "hit", 3, "v", 1, NULL), 0);
    for (int i = 0; i < 600; i++)
        read_for_a_second(&w, 5);
    CHECK(about(of(&w, "s", "l1_hits_1s_ppm"), 500000));
    CHECK(about(of(&w, "s", "l1_hits_1m_ppm"), 500000));
    CHECK(about(of(&w, "s", "l1_hits_1h_ppm"), 500000));
    for (int i = 0; i < 10; i++)
        read_for_a_second(&w, 10);
    CHECK_GT(of(&w, "s", "l1_hits_1s_ppm"), 980000);
    CHECK(of(&w, "s", "l1_hits_1m_ppm") > 550000 && of(&w, "s", "l1_hits_1m_ppm") < 620000);
    CHECK(about(of(&w, "s", "l1_hits_1h_ppm"), 508000));
    for (int i = 0; i < 30; i++) { /* nobody reads */
        world_advance(&w, 1000);
        world_settle(&w);
    }
    CHECK_EQ(of(&w, "s", "l1_hits_1s_ppm"), 0);
    CHECK_GT(of(&w, "s", "l1_hits_1m_ppm"), 550000); /* of what there was in the minute */
    read_for_a_second(&w, 10);
    CHECK_GT(of(&w, "s", "l1_hits_1s_ppm"), 980000);
    world_close(&w);
}

/* What comes evenly is told so, while what was before comes to its end, too. */
TEST(a_minute_is_neither_more_nor_less)
{
    struct world w;
    open_small_as(&w, NIGH_POLICY_LRU, 3600000);
    REQUIRE_EQ(nigh_put(w.space, "hit", 3, "v", 1, NULL), 0);
    uint64_t from_ns = clock_now_ns(&w.cache->clock);
    for (int i = 1; i <= 200; i++) {
        read_for_a_second(&w, 5); /* which takes somewhat more */
        int64_t passed_ms = (int64_t)((clock_now_ns(&w.cache->clock) - from_ns) / NS_PER_MS);
        int64_t minute_ms = passed_ms < 60000 ? passed_ms : 60000;
        bool ok = CHECK_LE(llabs(of(&w, "s", "window_1m_ms") - minute_ms), 2000);
        ok = CHECK_LE(llabs(of(&w, "s", "l1_reads_1m") - 10 * i * minute_ms / passed_ms), 11) && ok;
        if (!ok)
            check_note("after %d rounds", i);
    }
    CHECK_EQ(of(&w, "s", "window_1m_ms"), 60000);
    for (int i = 0; i < 30; i++)
        read_for_a_second(&w, 10);
    CHECK(about(of(&w, "s", "l1_hits_1m_ppm"), 750000));
    world_close(&w);
}

TEST(what_was_under_another_cap_does_not_count)
{
    struct world w;
    struct nigh_space *other = open_small_as(&w, NIGH_POLICY_LRU, 3600000);
    REQUIRE_EQ(nigh_put(w.space, "hit", 3, "v", 1, NULL), 0);
    for (int i = 0; i < 70; i++)
        read_for_a_second(&w, 2);
    CHECK(about(of(&w, "s", "l1_hits_1m_ppm"), 200000));
    REQUIRE_EQ(nigh_set(w.cache, "l1.memory", "16m"), 0);
    CHECK_EQ(of(&w, "s", "window_1m_ms"), 0); /* at once */
    CHECK_EQ(of(&w, "s", "l1_reads_1m"), 0);
    for (int i = 0; i < 12; i++)
        read_for_a_second(&w, 10);
    int64_t window_ms = of(&w, "s", "window_1m_ms");
    CHECK(window_ms >= 11000 && window_ms <= 20000);
    CHECK_EQ(of(&w, "s", "l1_hits_1m_ppm"), 1000000);
    CHECK_EQ(of(&w, "s", "l1_hits_1h_ppm"), 1000000);
    REQUIRE_EQ(nigh_set(w.cache, "l1.memory", "16m"), 0); /* the same: it goes on */
    CHECK_EQ(of(&w, "s", "window_1m_ms"), window_ms);
    REQUIRE_EQ(nigh_space_set(other, "space.memory", "2m"), 0);
    CHECK_EQ(of(&w, "s", "window_1m_ms"), window_ms); /* another space's own */
    CHECK_EQ(of(&w, "other", "window_1m_ms"), 0);
    world_close(&w);
}

static void time_calls(struct world *w, enum stats_histogram which, unsigned count, uint64_t us)
{
    for (unsigned i = 0; i < count; i++)
        stats_time(&w->space->stats, which, (us + i % 50) * 1000); /* none is as the other */
}

/* A few percent between medians are noise, and so are few calls. */
TEST(a_loader_is_cheaper_where_chance_has_not_made_it_so)
{
    static const struct {
        unsigned calls;
        uint64_t load_us, l2_us;
        bool cheaper;
    } cases[] = {
        {400, 100, 102, false}, {400, 100, 110, false}, {400, 100, 125, false},
        {400, 100, 200, true},  {399, 100, 200, false}, {4000, 200, 100, false},
        {4000, 100, 102, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct world w;
        world_open(&w, NULL, NULL);
        time_calls(&w, STATS_LATENCY_LOAD, cases[i].calls, cases[i].load_us);
        time_calls(&w, STATS_LATENCY_L2, cases[i].calls, cases[i].l2_us);
        if (!CHECK_EQ(of(&w, "s", "loader_cheaper"), cases[i].cheaper))
            check_note("case %zu", i);
        world_close(&w);
    }
}

/* An hour of lag is half of one at least, but for what there was before. */
TEST(how_far_back_the_figures_reach_is_told)
{
    struct world w;
    open_small_as(&w, NIGH_POLICY_LRU, 3600000);
    uint64_t from_ns = clock_now_ns(&w.cache->clock);
    world_settle(&w); /* the first look tells nothing */
    for (int i = 0; i < 800; i++) { /* quarters of a minute */
        world_advance(&w, 15000);
        world_settle(&w);
        int64_t passed_ms = (int64_t)((clock_now_ns(&w.cache->clock) - from_ns) / NS_PER_MS);
        int64_t lag_ms = of(&w, NULL, "lag_window_ms");
        bool ok = CHECK_LE(llabs(of(&w, NULL, "uptime_ms") - passed_ms), 1000);
        bool young = passed_ms < 3600000;
        int64_t hour_ms = young ? passed_ms : 3600000;
        ok = CHECK_LE(llabs(of(&w, "s", "window_1h_ms") - hour_ms), 2000) && ok;
        ok = (young ? CHECK_LE(llabs(lag_ms - passed_ms), 1000)
                    : CHECK(lag_ms >= 1799000 && lag_ms < 3630000)) && ok;
        if (!ok)
            check_note("after %lld ms: %lld", (long long)passed_ms, (long long)lag_ms);
    }
    world_close(&w);
}

/* A host may tick seldom: then what came between two looks is taken to have come evenly. */
TEST(a_late_look_is_no_burst)
{
    struct world w;
    open_small_as(&w, NIGH_POLICY_LRU, 3600000);
    REQUIRE_EQ(nigh_put(w.space, "hit", 3, "v", 1, NULL), 0);
    world_settle(&w);
    for (int i = 0; i < 3; i++) {
        struct nigh_value value;
        for (int k = 0; k < 400; k++)
            if (nigh_get(w.space, "hit", 3, NULL, &value) >= 0)
                nigh_release(&value);
        world_advance(&w, 40000);
        world_settle(&w);
    }
    CHECK_LE(llabs(of(&w, "s", "l1_reads_1m") - 600), 10);
    world_close(&w);
}

static struct took took_lately(struct world *w, int count, uint64_t took_ns)
{
    struct took took;
    for (int i = 0; i < count; i++)
        stats_time(&w->space->stats, STATS_LATENCY_L2, took_ns);
    took_read(w->cache, &took);
    return took;
}

static void pass_half_a_minute(struct world *w)
{
    world_advance(w, 31000);
    world_settle(w);
}

TEST(what_requests_took_a_minute_ago_is_over)
{
    struct world w;
    struct nigh_options o = world_options(&w);
    o.redis_uri = "unix:///dev/null/none"; /* nobody is asked */
    o.log_to = NIGH_LOG_TO_NONE;
    world_open(&w, &o, NULL);
    struct took t = took_lately(&w, 100, 2 * NS_PER_S);
    CHECK(t.since_opening && t.count == 100 && t.slow == 100 && t.median_ns >= 2 * NS_PER_S);
    pass_half_a_minute(&w);
    t = took_lately(&w, 400, NS_PER_MS);
    CHECK(t.since_opening && t.count == 500 && t.slow == 100 && t.median_ns < 2 * NS_PER_MS);
    CHECK_GE(t.p99_ns, 2 * NS_PER_S);
    CHECK_GE(t.span_ns, 31 * NS_PER_S);
    pass_half_a_minute(&w);
    t = took_lately(&w, 0, 0);
    CHECK(!t.since_opening && t.count == 400 && t.slow == 0 && t.p99_ns < 2 * NS_PER_MS);
    CHECK(t.span_ns >= 31 * NS_PER_S && t.span_ns < 62 * NS_PER_S);
    pass_half_a_minute(&w);
    CHECK_EQ(took_lately(&w, 0, 0).count, 0);
    world_close(&w);
}

/* Looks again and again, and notes the longest minute that a look has told of. */
struct looker {
    struct world *w;
    _Atomic bool enough;
    uint64_t longest_ns;
};

static void *look_all_the_time(void *arg)
{
    struct looker *l = arg;
    struct nigh *cache = l->w->cache;
    while (!atomic_load(&l->enough)) {
        world_advance(l->w, 1000);
        trend_keep(cache);
        for (uint32_t i = 0; i < space_count(cache); i++)
            l->longest_ns =
                u64_max(l->longest_ns, trend_span_ns(&cache->spaces[i]->trend, TREND_MINUTE));
    }
    return NULL;
}

/* A look may find a space that was opened after it began: it is told of no time before that. */
TEST(spaces_that_are_opened_during_looks_have_minutes_too)
{
    struct world w;
    struct looker l = {.w = &w};
    struct nigh_space *space;
    pthread_t thread;
    open_small_as(&w, NIGH_POLICY_LRU, 3600000);
    REQUIRE(pthread_create(&thread, NULL, look_all_the_time, &l) == 0);
    for (int i = 0; i < 300; i++) {
        char name[16];
        snprintf(name, sizeof(name), "t%d", i);
        world_advance(&w, 1);
        REQUIRE_EQ(nigh_space_open(w.cache, name, NULL, NULL, NULL, NULL, &space), 0);
    }
    atomic_store(&l.enough, true);
    pthread_join(thread, NULL);
    CHECK_LE(l.longest_ns, 60 * NS_PER_S);
    world_close(&w);
}

static void pass_a_minute(struct world *w)
{
    world_advance(w, 61000);
    world_settle(w);
}

/* Under lru who came first goes first; so it is known how old the evicted are. */
TEST(the_age_of_the_evicted_is_that_of_the_last_minute)
{
    struct world w;
    open_small_as(&w, NIGH_POLICY_LRU, 3600000);
    pass_a_minute(&w); /* from here on the keeper looks once a minute */
    for (int i = 0; i < 2000; i++)
        put(w.space, i, 1000);
    CHECK_EQ(of(&w, "s", "l1_evict"), 0);
    world_advance(&w, 7000);
    for (int i = 2000; i < 5000; i++)
        put(w.space, i, 1000);
    CHECK_GT(of(&w, "s", "l1_evict"), 50);
    CHECK_EQ(of(&w, "s", "evicted_age_ms"), 0); /* nobody has looked yet */
    pass_a_minute(&w);
    CHECK_GE(of(&w, "s", "evicted_age_ms"), 6999); /* a tick less, an eighth more */
    CHECK_LE(of(&w, "s", "evicted_age_ms"), 7900);
    CHECK_EQ(of(&w, "other", "evicted_age_ms"), 0);
    pass_a_minute(&w);
    CHECK_EQ(of(&w, "s", "evicted_age_ms"), 0); /* none went in this minute */
    for (int i = 5000; i < 5200; i++) /* a few suffice; they have lived for 129 s */
        put(w.space, i, 1000);
    pass_a_minute(&w);
    CHECK_GE(of(&w, "s", "evicted_age_ms"), 128999);
    CHECK_LE(of(&w, "s", "evicted_age_ms"), 146000);
    world_close(&w);
}

static void note_lag(struct world *w, uint64_t ns)
{
    for (int i = 0; i < 10; i++)
        stats_time(&w->cache->stats, STATS_COHERENCE_LAG, ns);
    world_advance(w, 2000);
    world_settle(w);
}

static void let_seconds_pass(struct world *w, uint32_t seconds)
{
    for (uint32_t passed = 0; passed < seconds; passed += 500) {
        world_advance(w, 500 * 1000);
        world_settle(w);
    }
}

TEST(how_late_changes_came_is_told_of_the_last_hour)
{
    struct world w;
    const struct trend_lag *lag;
    open_small(&w);
    lag = &w.cache->lag;
    world_settle(&w);
    note_lag(&w, 80 * NS_PER_MS);
    CHECK_EQ(lag->longest_ns, 80 * NS_PER_MS);
    CHECK_GT(lag->heard_ns, 0);
    uint64_t at_ns = lag->longest_at_ns;
    CHECK_EQ(at_ns, lag->heard_ns);
    let_seconds_pass(&w, 100);
    note_lag(&w, NS_PER_MS);
    CHECK_EQ(lag->longest_at_ns, at_ns);
    CHECK_EQ(of(&w, NULL, "lag_longest_ms"), 80);
    CHECK_GE(of(&w, NULL, "lag_longest_ago_ms"), 100 * 1000);
    let_seconds_pass(&w, 3900);
    note_lag(&w, NS_PER_MS);
    CHECK_LE(lag->longest_ns, 80 * NS_PER_MS);
    at_ns = lag->heard_ns;
    let_seconds_pass(&w, 3000);
    CHECK(lag->longest_ns > 0 && lag->longest_ns <= 2 * NS_PER_MS); /* the long one was before */
    CHECK_EQ(lag->longest_at_ns, at_ns);
    let_seconds_pass(&w, 8000);
    CHECK_EQ(lag->longest_ns, 0);
    world_close(&w);
}

/* What lfu keeps out is counted once, in the space that it was for, and as a store refused. */
TEST(what_the_policy_refuses_is_part_of_what_is_refused)
{
    struct world w;
    struct nigh_space *other = open_small_as(&w, NIGH_POLICY_LFU, 3600000);
    struct nigh_value v;
    char key[16];
    for (int i = 0; i < 3000; i++)
        put(w.space, i, 1000);
    for (int n = 0; n < 20; n++) /* what is there is asked for again and again */
        for (int i = 0; i < 3000; i++) {
            int len = snprintf(key, sizeof(key), "k%d", i);
            if (nigh_get(w.space, key, (size_t)len, NULL, &v) >= 0)
                nigh_release(&v);
        }
    int64_t before = of(&w, "s", "l1_refused_full");
    static const char bytes[300000];
    int refused = 0;
    for (int i = 0; i < 20; i++) {
        int len = snprintf(key, sizeof(key), "large%d", i);
        CHECK_GE(nigh_put(other, key, (size_t)len, bytes, sizeof(bytes), NULL), 0);
        v = (struct nigh_value)NIGH_VALUE_INIT;
        refused += nigh_get(other, key, (size_t)len, NULL, &v) == NIGH_MISS;
        nigh_release(&v);
    }
    CHECK_GT(of(&w, "other", "l1_refused_policy"), 0);
    CHECK_LE(of(&w, "other", "l1_refused_policy"), of(&w, "other", "l1_refused_full"));
    CHECK_EQ(of(&w, "other", "l1_refused_full"), refused);
    CHECK_EQ(of(&w, "s", "l1_refused_policy"), 0);
    CHECK_EQ(of(&w, "s", "l1_refused_full"), before);
    world_close(&w);
}

/* ---- shards ---- */

struct waiter {
    struct world *w;
    _Atomic bool begun;
};

static void *put_once(void *arg)
{
    struct waiter *waiter = arg;
    atomic_store(&waiter->begun, true);
    CHECK_GE(nigh_put(waiter->w->space, "k1", 2, "v", 1, NULL), 0);
    return NULL;
}

static bool waits(const struct l1_shard *s)
{
    return atomic_load(&s->lock.word) == LATCH_AWAITED;
}

TEST(a_wait_for_a_shard_is_counted_and_no_other)
{
    static char out[1 << 16];
    struct world w;
    pthread_t thread;
    open_small(&w);
    struct waiter waiter = {&w, false};
    struct l1_key key = l1_key_of(w.cache->l1, w.space->id, "k1", 2);
    struct l1_shard *s = l1_shard_of(w.cache->l1, key.hash);
    CHECK_EQ(of(&w, NULL, "lock_waits"), 0);
    l1_shard_lock(s);
    REQUIRE(pthread_create(&thread, NULL, put_once, &waiter) == 0);
    CHECK_WITHIN(10000, waits(s));
    l1_shard_unlock(w.cache->l1, s);
    pthread_join(thread, NULL);
    CHECK_EQ(of(&w, NULL, "lock_waits"), 1);
    CHECK_EQ(s->lock_waits, 1);
    CHECK_GT(s->lock_wait_ns, 0);
    REQUIRE(nigh_stats_shards(w.cache, NIGH_STATS_JSON, out, sizeof(out)) < (long)sizeof(out));
    CHECK(strstr(out, "\"entries\": 1, \"entry_bytes\": "));
    CHECK(strstr(out, "\"lock_waits\": 1, "));
    REQUIRE(nigh_stats_shards(w.cache, NIGH_STATS_TEXT, out, sizeof(out)) < (long)sizeof(out));
    for (const char *at = out; *at; at += strcspn(at, "\n") + 1)
        CHECK(strcspn(at, "\n") <= 80);
    CHECK_EQ(nigh_stats_shards(w.cache, NIGH_STATS_PROMETHEUS, out, sizeof(out)), NIGH_EINVAL);
    world_close(&w);
}
