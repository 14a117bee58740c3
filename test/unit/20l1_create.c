// SPDX-License-Identifier: MIT
// Opening with good and bad sizes; and every allocation failing in turn.

#include "support/l1_cache.h"

static int try_create(struct cache *c, struct l1_config config)
{
    REQUIRE_EQ(stats_init(&c->stats, c->fake.env.mem), 0);
    struct l1 *l1 = NULL;
    int rc = l1_create(&config, &l1);
    CHECK_EQ(rc == 0, l1 != NULL); /* untouched on failure */
    if (l1)
        l1_destroy(l1);
    stats_fini(&c->stats);
    return rc;
}

TEST(sizes_out_of_range_are_refused)
{
    struct cache c;
    fake_env_init(&c.fake, check_seed());
    struct l1_config good = cache_config(&c, 8 << 20, 0);
    CHECK_EQ(try_create(&c, good), 0);
    struct l1_config bad = good;
    bad.memory_bytes = 64 << 10; /* fixed tables alone would take half of it */
    CHECK_EQ(try_create(&c, bad), NIGH_EINVAL);
    bad = good;
    bad.shards = 3;
    CHECK_EQ(try_create(&c, bad), NIGH_EINVAL);
    bad.shards = 1 << 20;
    CHECK_EQ(try_create(&c, bad), NIGH_EINVAL);
    bad = good;
    bad.group_slots = GROUP_SLOTS_MIN - 1;
    CHECK_EQ(try_create(&c, bad), NIGH_EINVAL);
    bad.group_slots = 2 * GROUP_SLOTS_MAX;
    CHECK_EQ(try_create(&c, bad), NIGH_EINVAL);
    bad = good;
    bad.limbo_bytes = 8 << 20;
    CHECK_EQ(try_create(&c, bad), NIGH_EINVAL);
    fake_env_fini(&c.fake);
}

TEST(defaults_fit_every_size)
{
    for (uint64_t memory = 1 << 20; memory <= UINT64_C(4) << 30; memory *= 2) {
        struct cache c;
        cache_open(&c, memory, 0);
        struct l1_gauges g = cache_gauges(&c);
        CHECK_EQ(g.cap_bytes, memory);
        CHECK_LE(g.tables_bytes, memory / 5);
        CHECK_LE(g.used_bytes, memory / 4);
        uint64_t share = memory / g.shards;
        CHECK_GE(share, 128 * 256);
        CHECK(memory < 64 << 20 || share <= 16384 * 256);
        cache_audit(&c);
        cache_close(&c);
    }
}

/* Each has its part of a cap on entries, and evicts among its own. */
TEST(few_entries_are_in_one_shard)
{
    static const struct {
        uint64_t entries;
        uint32_t shards_max;
    } cases[] = {{1, 1}, {56, 1}, {200, 1}, {2000, 8}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct cache c;
        fake_env_init(&c.fake, check_seed());
        struct l1_config config = cache_config(&c, 8 << 20, 0);
        config.entries = cases[i].entries;
        cache_open_config(&c, config);
        CHECK_LE(cache_gauges(&c).shards, cases[i].shards_max);
        cache_close(&c);
    }
}

TEST(the_default_group_table_fits_a_small_cache)
{
    struct cache c;
    fake_env_init(&c.fake, check_seed());
    struct l1_config config = cache_config(&c, 8 << 20, 0);
    config.group_slots = GROUP_SLOTS_MAX;
    cache_open_config(&c, config);
    CHECK_EQ(cache_put_size(&c, 1, 1000), L1_STORED);
    CHECK_LE(cache_gauges(&c).tables_bytes, (8 << 20) / 4);
    cache_close(&c);
}

/* The least that is accepted is enough, also when limbo may have half of it. */
TEST(the_least_memory_is_enough)
{
    struct cache c;
    int rc = NIGH_EINVAL;
    fake_env_init(&c.fake, check_seed());
    REQUIRE_EQ(stats_init(&c.stats, c.fake.env.mem), 0);
    for (uint64_t bytes = 64 << 10; rc != 0; bytes += 512) {
        struct l1_config config = cache_config(&c, bytes, 2);
        config.group_slots = GROUP_SLOTS_MAX;
        config.limbo_bytes = bytes / 2;
        rc = l1_create(&config, &c.l1);
        REQUIRE(rc == 0 || rc == NIGH_EINVAL);
    }
    cache_put_size(&c, 1, 10);
    cache_close(&c);
}

TEST(many_caches_live_side_by_side)
{
    enum { COUNT = 50 };
    static struct cache caches[COUNT];
    for (int round = 0; round < 2; round++) {
        for (unsigned i = 0; i < COUNT; i++) {
            cache_open(&caches[i], 1 << 20, 1);
            cache_put(&caches[i], 1, &i, sizeof(i));
        }
        for (unsigned i = 0; i < COUNT; i++) {
            struct nigh_value v;
            REQUIRE(cache_pin(&caches[i], 1, &v));
            CHECK_MEM(v.data, v.len, &i, sizeof(i));
            l1_unpin(v.pin);
            cache_close(&caches[i]);
        }
    }
}

#if NIGH_FAULTS

TEST(opening_survives_each_failed_allocation)
{
    struct cache c;
    fake_env_init(&c.fake, check_seed());
    REQUIRE_EQ(stats_init(&c.stats, c.fake.env.mem), 0);
    struct l1_config config = cache_config(&c, 1 << 20, 4);
    struct l1 *l1 = NULL;
    unsigned failures = 0;
    for (uint64_t nth = 1;; nth++) {
        fault_arm(FAULT_ALLOC, nth);
        int rc = l1_create(&config, &l1);
        bool done = fault_count(FAULT_ALLOC) < nth;
        fault_arm(FAULT_ALLOC, 0);
        CHECK(rc == 0 || rc == NIGH_ENOMEM);
        failures += rc != 0;
        if (rc == 0)
            l1_destroy(l1); /* complete without an allocator cache, too */
        if (done)
            break;
    }
    CHECK_GE(failures, 5 + 2 * 4);
    stats_fini(&c.stats);
    fake_env_fini(&c.fake);
}

/* Such memory is given back, and counts as none: a put is refused, a load's value is handed out. */
TEST(an_entry_does_not_lie_where_its_address_has_no_room)
{
    struct cache c;
    struct name name;
    cache_open(&c, 1 << 20, 1);
    for (unsigned i = 0; i < 200; i++) {
        struct l1_key key = cache_key(&c, &name, i);
        struct l1_value v = cache_value(&c, name.text, sizeof(name.text));
        struct l1_entry *e;
        fault_arm(FAULT_ADDRESS, 1);
        REQUIRE_EQ(l1_entry_create(c.l1, &key, &v, &e), 0);
        CHECK(l1_entry_loose(e));
        CHECK_EQ(l1_store(c.l1, &key, e), L1_REFUSED_FULL);
        l1_entry_unref(e);
        fault_arm(FAULT_ADDRESS, 1);
        CHECK_EQ(l1_write(c.l1, &key, &v, L1_TICKET_NOW, 0, false), L1_REFUSED_FULL);
        CHECK(!cache_has(&c, i));
        CHECK_EQ(fault_count(FAULT_ADDRESS), 1);
        CHECK_EQ(cache_own(&c, i, 20), L1_STORED);
    }
    fault_arm(FAULT_ADDRESS, 0);
    cache_audit(&c);
    for (unsigned i = 0; i < 200; i++)
        cache_remove(&c, i);
    cache_reclaim(&c);
    CHECK_EQ(cache_gauges(&c).used_bytes, cache_gauges(&c).tables_bytes);
    cache_close(&c);
}

/* Fill, overflow, double, replace, remove and hand out copies. Returns how many stores worked. */
static unsigned exercise(struct cache *c)
{
    unsigned stored = 0;
    struct nigh_value held[260];
    unsigned held_count = 0;
    for (unsigned i = 0; i < 400; i++) {
        struct name name;
        struct l1_key key = cache_key(c, &name, i % 300);
        struct l1_value v = cache_value(c, name.text, sizeof(name.text));
        v.version = 1;
        struct l1_entry *e;
        if (l1_entry_create(c->l1, &key, &v, &e) != 0)
            continue;
        stored += l1_store(c->l1, &key, e) == L1_STORED;
        l1_entry_unref(e);
        bool copied;
        rcu_enter();
        e = l1_find_rcu(c->l1, &key);
        if (e && held_count < 260)
            held_count +=
                l1_pin_rcu(c->l1, e, &held[held_count], &copied) == 0;
        rcu_leave();
    }
    for (unsigned i = 0; i < held_count; i++)
        l1_unpin(held[i].pin);
    return stored;
}

TEST(every_operation_survives_each_failed_allocation)
{
    for (uint64_t nth = 1;; nth++) {
        struct cache c;
        cache_open(&c, 1 << 20, 1);
        fault_arm(FAULT_ALLOC, nth);
        unsigned stored = exercise(&c);
        bool done = fault_count(FAULT_ALLOC) < nth;
        fault_arm(FAULT_ALLOC, 0);
        CHECK_GE(stored, 399);
        cache_audit(&c);
        for (unsigned i = 0; i < 300; i++)
            cache_remove(&c, i);
        cache_reclaim(&c);
        CHECK_EQ(cache_gauges(&c).used_bytes, cache_gauges(&c).tables_bytes);
        cache_close(&c);
        if (done)
            break;
    }
}

#endif
