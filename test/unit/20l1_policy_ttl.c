// SPDX-License-Identifier: MIT
// `ttl` evicts what expires first, whatever its popularity; `none` evicts nobody.

#include "l1/leave.h"
#include "support/l1_cache.h"

#define ENTRIES 400u

static enum l1_store_result put_until(struct cache *c, unsigned number, uint64_t ttl_ns)
{
    struct l1_value v = cache_value(c, "x", 1);
    v.fresh_until_ns = v.stale_until_ns = v.born_ns + ttl_ns;
    return cache_store(c, number, &v);
}

static void evict(struct cache *c, unsigned count)
{
    struct l1_shard *s = &c->l1->shards[0];
    l1_shard_lock(s);
    while (count--)
        REQUIRE(l1_shard_evict_locked(c->l1, s));
    l1_shard_unlock(c->l1, s);
}

/* Lifetimes in random order, two seconds apart: ticks of 0.27 s tell them apart. */
TEST(the_first_to_expire_goes_first)
{
    static unsigned order[ENTRIES];
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_TTL, 1 << 20, 1);
    uint64_t random = check_seed();
    for (unsigned i = 0; i < ENTRIES; i++) {
        unsigned j = (unsigned)(check_random(&random) % (i + 1));
        order[i] = order[j];
        order[j] = i;
    }
    for (unsigned i = 0; i < ENTRIES; i++)
        CHECK_EQ(put_until(&c, order[i], (10 + 2 * order[i]) * NS_PER_S), L1_STORED);
    for (unsigned i = 0; i < ENTRIES / 2; i++)
        cache_touch(&c, i); /* that changes nothing */
    for (unsigned i = 0; i < ENTRIES; i++) {
        evict(&c, 1);
        CHECK(!cache_has(&c, i));
        CHECK(i + 1 == ENTRIES || cache_has(&c, i + 1));
    }
    cache_close(&c);
}

TEST(a_renewed_value_waits_for_its_new_time)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_TTL, 1 << 20, 1);
    for (unsigned i = 0; i < 100; i++)
        put_until(&c, i, (10 + 2 * i) * NS_PER_S);
    put_until(&c, 0, 1000 * NS_PER_S);
    evict(&c, 99);
    CHECK(cache_has(&c, 0));
    cache_close(&c);
}

TEST(none_keeps_what_it_has_and_refuses_the_rest)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_NONE, 1 << 20, 1);
    unsigned stored = 0;
    while (cache_put_size(&c, stored, 1000) == L1_STORED)
        stored++;
    CHECK_GT(stored, 500);
    for (unsigned i = 0; i < 100; i++)
        CHECK_EQ(cache_put_size(&c, stored + i, 1000), L1_REFUSED_FULL);
    CHECK_EQ(stats_read(&c.stats, STATS_L1_EVICT), 0);
    for (unsigned i = 0; i < stored; i++)
        CHECK(cache_has(&c, i));
    unsigned removed = 0; /* room for a bucket or a larger table, too */
    do {
        cache_remove(&c, removed++);
        cache_reclaim(&c);
    } while (removed < 40 && cache_put_size(&c, stored, 1000) != L1_STORED);
    CHECK(cache_has(&c, stored));
    cache_audit(&c);
    cache_close(&c);
}

TEST(none_keeps_to_the_cap_on_entries)
{
    struct cache c;
    fake_env_init(&c.fake, check_seed());
    struct l1_config config = cache_config(&c, 4 << 20, 1);
    config.policy = NIGH_POLICY_NONE;
    config.entries = 100;
    cache_open_config(&c, config);
    for (unsigned i = 0; i < 200; i++)
        CHECK_EQ(cache_put_size(&c, i, 10), i < 100 ? L1_STORED : L1_REFUSED_FULL);
    CHECK_EQ(cache_put_size(&c, 50, 20), L1_STORED); /* in place of its own old one */
    CHECK_EQ(cache_gauges(&c).entries, 100);
    cache_close(&c);
}
