// SPDX-License-Identifier: MIT
// What has expired gives its memory back within a second; nothing goes before its time.

#include "l1/expiry.h"

#include <pthread.h>

#include "support/l1_cache.h"

#define HOUR_NS (3600 * NS_PER_S)
#define PLENTY 1000000u

static void put_until(struct cache *c, unsigned number, uint64_t ttl_ns)
{
    struct l1_value v = cache_value(c, "x", 1);
    v.fresh_until_ns = v.born_ns;
    v.stale_until_ns = v.born_ns + ttl_ns;
    CHECK_EQ(cache_store(c, number, &v), L1_STORED);
}

/* Let time go on as the keeper would see it: it comes when it was told to. */
static void run_until(struct cache *c, uint64_t until_ns)
{
    for (;;) {
        uint64_t next = l1_expire(c->l1, PLENTY);
        uint64_t now = clock_now_ns(c->fake.env.clock);
        REQUIRE(next > now && next <= now + NS_PER_S);
        if (next > until_ns)
            break;
        fake_env_advance(&c->fake, next - now);
    }
    fake_env_advance(&c->fake, until_ns - clock_now_ns(c->fake.env.clock));
}

TEST(gone_within_a_second_and_not_before)
{
    struct cache c;
    cache_open(&c, 4 << 20, 4);
    uint64_t start = clock_now_ns(c.fake.env.clock);
    uint64_t random = check_seed();
    static uint64_t ttls[2000];
    for (unsigned i = 0; i < 2000; i++) {
        ttls[i] = check_random(&random) % (30 * NS_PER_S);
        put_until(&c, i, ttls[i]);
    }
    for (int second = 1; second <= 32; second++) {
        run_until(&c, start + (uint64_t)second * NS_PER_S);
        l1_expire(c.l1, PLENTY);
        uint64_t passed = clock_now_ns(c.fake.env.clock) - start;
        for (unsigned i = 0; i < 2000; i++)
            if (!cache_has(&c, i))
                CHECK_LE(ttls[i], passed + 40 * NS_PER_MS); /* lifetimes are rounded down */
            else
                CHECK_GT(ttls[i] + NS_PER_S, passed);
    }
    CHECK_EQ(cache_gauges(&c).entries, 0);
    CHECK_EQ(stats_read(&c.stats, STATS_L1_EXPIRE), 2000);
    cache_reclaim(&c);
    CHECK_EQ(cache_gauges(&c).used_bytes, cache_gauges(&c).tables_bytes);
    cache_audit(&c);
    cache_close(&c);
}

TEST(a_budget_is_kept_and_the_rest_comes_next)
{
    struct cache c;
    cache_open(&c, 4 << 20, 4);
    for (unsigned i = 0; i < 1000; i++)
        put_until(&c, i, NS_PER_S);
    fake_env_advance(&c.fake, 2 * NS_PER_S);
    for (unsigned left = 1000; left; left -= 100) {
        CHECK_EQ(cache_gauges(&c).entries, left);
        uint64_t next = l1_expire(c.l1, 100);
        if (left > 100)
            CHECK_EQ(next, clock_now_ns(c.fake.env.clock)); /* at once */
    }
    CHECK_EQ(cache_gauges(&c).entries, 0);
    cache_close(&c);
}

TEST(lifetimes_beyond_the_span_of_ticks_are_entered_again)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    put_until(&c, 1, 5 * HOUR_NS);
    put_until(&c, 2, 48 * HOUR_NS);
    put_until(&c, 3, UINT64_MAX / 4);
    uint64_t start = clock_now_ns(c.fake.env.clock);
    run_until(&c, start + 5 * HOUR_NS - 10 * NS_PER_S); /* 1/1,024 early */
    CHECK(!cache_has(&c, 1) || l1_expire(c.l1, PLENTY));
    run_until(&c, start + 5 * HOUR_NS + NS_PER_S);
    CHECK(!cache_has(&c, 1) && cache_has(&c, 2) && cache_has(&c, 3));
    run_until(&c, start + 47 * HOUR_NS);
    CHECK(cache_has(&c, 2));
    run_until(&c, start + 48 * HOUR_NS + NS_PER_S);
    CHECK(!cache_has(&c, 2) && cache_has(&c, 3));
    cache_close(&c);
}

TEST(a_removed_entry_does_not_expire_and_its_slot_is_clean)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    for (unsigned i = 0; i < 100; i++)
        put_until(&c, i, NS_PER_S);
    for (unsigned i = 0; i < 100; i++)
        cache_remove(&c, i);
    cache_reclaim(&c);
    for (unsigned i = 0; i < 100; i++)
        put_until(&c, i, HOUR_NS);
    fake_env_advance(&c.fake, 10 * NS_PER_S);
    l1_expire(c.l1, PLENTY);
    CHECK_EQ(cache_gauges(&c).entries, 100);
    CHECK_EQ(stats_read(&c.stats, STATS_L1_EXPIRE), 0);
    cache_close(&c);
}

TEST(what_is_short_lived_and_comes_after_a_look_at_nothing_expires_in_time)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    l1_expire(c.l1, PLENTY);
    put_until(&c, 1, NS_PER_S);
    fake_env_advance(&c.fake, 3 * NS_PER_S);
    l1_expire(c.l1, PLENTY);
    CHECK_EQ(cache_gauges(&c).entries, 0);
    cache_close(&c);
}

/* The bounds of groups that are new say nothing, neither in the first half of the ticks' span, when
 * they seem to be due, nor in the second. */
TEST(what_comes_into_a_ring_that_has_grown_expires_in_time)
{
    for (uint64_t half = 0; half < 2; half++) {
        struct cache c;
        cache_open(&c, 4 << 20, 1);
        fake_env_advance(&c.fake, half * (UINT64_C(0x8000) << EXPIRY_TICK_SHIFT));
        l1_expire(c.l1, PLENTY);
        uint64_t start = clock_now_ns(c.fake.env.clock);
        for (unsigned i = 0; i < 1000; i++)
            put_until(&c, i, i < RING_GROUP ? HOUR_NS : 5 * NS_PER_S);
        run_until(&c, start + 7 * NS_PER_S);
        CHECK_EQ(cache_gauges(&c).entries, RING_GROUP);
        cache_audit(&c);
        cache_close(&c);
    }
}

TEST(ticks_compare_across_their_wrap)
{
    uint64_t tick_ns = UINT64_C(1) << 28;
    for (uint64_t now = 0; now < 0x30000; now += 0x777) {
        CHECK_EQ((uint16_t)(expiry_tick(now * tick_ns, now * tick_ns) - (uint16_t)now), 1);
        CHECK_EQ((uint16_t)(expiry_tick(0, (now + 1) * tick_ns) - (uint16_t)(now + 1)), 0);
        uint16_t far = (uint16_t)(expiry_tick(UINT64_MAX, now * tick_ns) - (uint16_t)now);
        CHECK(far > 0x6000 && far < 0x8000);
    }
}

/* ---- a process that was stopped ---- */

static const uint64_t lifetimes_s[] = {1, 60, 3600, 2 * 3600, 3 * 3600, 5 * 3600, 8 * 3600,
                                       12 * 3600, 30 * 3600, 4 * 86400, 1000000000};
#define LIFETIMES ARRAY_COUNT(lifetimes_s)
#define EACH 50u

static uint64_t lifetime_ns(unsigned i)
{
    return lifetimes_s[i % LIFETIMES] * NS_PER_S;
}

/* As the keeper comes: now, and at once again while it is told to. */
static void sweep(struct cache *c)
{
    for (unsigned n = 0; n < 1000; n++)
        if (l1_expire(c->l1, 100) > clock_now_ns(c->fake.env.clock))
            return;
    CHECK(false);
}

/* Lifetimes are rounded down by 1/1,024 of themselves. */
static void check_what_is_left(struct cache *c, unsigned count, uint64_t age_ns)
{
    for (unsigned i = 0; i < count; i++) {
        if (cache_has(c, i))
            CHECK_GT(lifetime_ns(i) + NS_PER_S, age_ns);
        else
            CHECK_LE(lifetime_ns(i) - lifetime_ns(i) / 1000, age_ns);
    }
}

static void jump(enum nigh_policy policy, uint64_t jump_ns)
{
    struct cache c;
    cache_open_policy(&c, policy, 4 << 20, 4);
    uint64_t start = clock_now_ns(c.fake.env.clock);
    unsigned count = EACH * LIFETIMES;
    for (unsigned i = 0; i < count; i++)
        put_until(&c, i, lifetime_ns(i));
    sweep(&c);
    fake_env_advance(&c.fake, jump_ns);
    for (unsigned i = count; i < count + 20; i++) /* a writer is there before the keeper */
        put_until(&c, i, 60 * NS_PER_S);
    sweep(&c);
    check_what_is_left(&c, count, jump_ns);
    for (unsigned i = count; i < count + 20; i++)
        CHECK(cache_has(&c, i));
    run_until(&c, start + jump_ns + 62 * NS_PER_S); /* and goes on as ever */
    sweep(&c);
    for (unsigned i = count; i < count + 20; i++)
        CHECK(!cache_has(&c, i));
    check_what_is_left(&c, count, clock_now_ns(c.fake.env.clock) - start);
    cache_audit(&c);
    cache_close(&c);
}

/* Ticks come round every 4.9 hours, and say nothing after 2.4. */
TEST(nothing_is_lost_by_a_stop_of_hours_or_days)
{
    static const unsigned minutes[] = {5,   8,   10,  18,   60,   146,  150,  275,  290, 300,
                                       330, 420, 430, 600, 1200, 1440, 5 * 1440, 33 * 1440};
    for (unsigned i = 0; i < ARRAY_COUNT(minutes); i++) {
        jump(NIGH_POLICY_LFU, minutes[i] * 60 * NS_PER_S);
        jump(NIGH_POLICY_TTL, minutes[i] * 60 * NS_PER_S + 17 * NS_PER_S);
    }
}

/* A clock of the host's may go back. */
TEST(nothing_is_lost_by_a_clock_that_goes_back)
{
    struct cache c;
    cache_open(&c, 4 << 20, 4);
    fake_env_advance(&c.fake, 100 * HOUR_NS);
    sweep(&c);
    fake_env_advance(&c.fake, -(90 * HOUR_NS));
    put_until(&c, 1, 60 * NS_PER_S);
    fake_env_advance(&c.fake, 62 * NS_PER_S);
    sweep(&c);
    CHECK(!cache_has(&c, 1));
    cache_close(&c);
}

struct holder {
    struct cache *cache;
    pthread_barrier_t meet;
};

static void *hold_a_shard(void *arg)
{
    struct holder *h = arg;
    struct l1_shard *s = &h->cache->l1->shards[7];
    l1_shard_lock(s);
    pthread_barrier_wait(&h->meet);
    pthread_barrier_wait(&h->meet);
    l1_shard_unlock(h->cache->l1, s);
    return NULL;
}

/* Only the ticks of shards that rest are looked at. */
TEST(a_sweep_leaves_shards_alone_where_nothing_ends)
{
    struct cache c;
    struct holder holder = {.cache = &c};
    pthread_t thread;
    cache_open(&c, 64 << 20, 64);
    sweep(&c);
    for (unsigned i = 0; i < 1000; i++)
        put_until(&c, i, 3600 * NS_PER_S);
    fake_env_advance(&c.fake, 10 * NS_PER_S);
    REQUIRE_EQ(pthread_barrier_init(&holder.meet, NULL, 2), 0);
    REQUIRE_EQ(pthread_create(&thread, NULL, hold_a_shard, &holder), 0);
    pthread_barrier_wait(&holder.meet);
    sweep(&c);
    pthread_barrier_wait(&holder.meet);
    REQUIRE_EQ(pthread_join(thread, NULL), 0);
    pthread_barrier_destroy(&holder.meet);
    CHECK_EQ(cache_gauges(&c).entries, 1000);
    cache_close(&c);
}
