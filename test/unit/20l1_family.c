// SPDX-License-Identifier: MIT
// Tables of spaces with a cap of their own: none above its cap, all together within l1.memory; each
// evicts its own, gets what nobody uses at once, and its share in the end.

#include "base/fault.h"
#include "l1/family.h"
#include "l1/shrink.h"
#include "l1/tally.h"
#include "support/l1_cache.h"

#define MIB ((uint64_t)1 << 20)
#define ALL (8 * MIB)
#define MOST (2 * MIB)
#define VALUE 900u
#define CHARGED 1050u /* with its key and bookkeeping, or a little less */
#define PASSES_MAX 3000u

static const enum nigh_policy policies[] = {NIGH_POLICY_LFU, NIGH_POLICY_LRU, NIGH_POLICY_TTL,
                                            NIGH_POLICY_NONE};

/* The table of all, and one apart: views of one cache. */
struct family {
    struct cache all;
    struct cache apart;
};

static struct cache make_apart(struct family *f, uint64_t most_bytes)
{
    struct cache apart = f->all;
    REQUIRE_EQ(l1_create_apart(f->all.l1, &f->all.space, &f->all.stats, most_bytes, &apart.l1), 0);
    l1_space_move(&apart.space, apart.l1);
    return apart;
}

static void open_family(struct family *f, enum nigh_policy policy)
{
    cache_open_policy(&f->all, policy, ALL, 4);
    f->apart = make_apart(f, MOST);
}

static uint64_t used(const struct cache *c)
{
    return l1_limit(&c->l1->used);
}

static uint64_t cap(const struct cache *c)
{
    return l1_limit(&c->l1->cap_bytes);
}

/* Checks what must hold at every moment; while l1.memory comes down, of what it was. */
static void check_caps(struct family *f, uint64_t memory_bytes)
{
    uint64_t sum = 0;
    for (struct l1 *m = f->all.l1; m; m = family_next(m)) {
        CHECK_LE(l1_limit(&m->used), l1_limit(&m->cap_bytes));
        sum += cap_reserved(m);
    }
    CHECK_LE(sum, memory_bytes);
}

/* Puts of new keys, with passes in between as a reclaimer would do them. */
static void flood(struct family *f, struct cache *c, unsigned from, unsigned count)
{
    for (unsigned i = from; i < from + count; i++) {
        cache_own(c, i, VALUE);
        if (i % 256 == 0) {
            fake_env_advance(&f->all.fake, NS_PER_MS);
            l1_reclaim(f->all.l1);
            check_caps(f, l1_memory(f->all.l1));
        }
    }
}

static unsigned found(struct cache *c, unsigned from, unsigned count)
{
    unsigned sum = 0;
    for (unsigned i = from; i < from + count; i++)
        sum += cache_has(c, i);
    return sum;
}

static unsigned fitting(uint64_t bytes)
{
    return (unsigned)(bytes / CHARGED);
}

TEST(a_table_apart_gets_all_of_its_cap_and_evicts_nobody_before)
{
    for (size_t p = 0; p < ARRAY_COUNT(policies); p++) {
        struct family f;
        open_family(&f, policies[p]);
        unsigned count = fitting(MOST / 4 * 3);
        uint64_t evicted = stats_read(&f.all.stats, STATS_L1_EVICT);
        for (unsigned i = 0; i < count; i++) /* no pass of the reclaimer is needed */
            REQUIRE_EQ(cache_own(&f.apart, i, VALUE), L1_STORED);
        CHECK_EQ(found(&f.apart, 0, count), count);
        CHECK_EQ(stats_read(&f.all.stats, STATS_L1_EVICT), evicted);
        CHECK_EQ(found(&f.all, 0, count), 0); /* it is not looked for there */
        check_caps(&f, ALL);
        cache_close(&f.all);
    }
}

TEST(a_flood_of_either_leaves_the_other_alone)
{
    for (size_t p = 0; p < ARRAY_COUNT(policies); p++) {
        struct family f;
        open_family(&f, policies[p]);
        unsigned own = fitting(MOST / 2), others = fitting(ALL / 2);
        flood(&f, &f.all, 0, others);
        flood(&f, &f.apart, 0, own);
        flood(&f, &f.apart, own, 3 * fitting(MOST));
        CHECK_EQ(found(&f.all, 0, others), others);
        CHECK_LE(used(&f.apart), MOST);
        CHECK_GT(used(&f.apart), MOST / 4 * 3);

        cache_close(&f.all);
        open_family(&f, policies[p]);
        flood(&f, &f.apart, 0, own);
        flood(&f, &f.all, 0, 2 * fitting(ALL));
        CHECK_EQ(found(&f.apart, 0, own), own);
        cache_close(&f.all);
    }
}

/* While a table has still to come down, another is not given the same bytes. */
TEST(l1_memory_is_raised_before_it_has_come_down)
{
    for (size_t p = 0; p < ARRAY_COUNT(policies); p++) {
        struct family f;
        cache_open_policy(&f.all, policies[p], ALL, 4);
        f.apart = make_apart(&f, ALL);
        for (unsigned i = 0; i < fitting(ALL / 4 * 3); i++)
            REQUIRE_EQ(cache_own(&f.apart, i, VALUE), L1_STORED);
        REQUIRE_EQ(l1_set_memory(f.all.l1, ALL / 2, 0), 0);
        CHECK_GT(cap(&f.apart), ALL / 2);
        REQUIRE_EQ(l1_set_memory(f.all.l1, ALL, 0), 0);
        check_caps(&f, ALL);
        for (unsigned i = 0; i < fitting(ALL / 2); i++)
            cache_own(&f.all, i, VALUE);
        check_caps(&f, ALL);
        flood(&f, &f.all, 0, 2 * fitting(ALL));
        if (policies[p] != NIGH_POLICY_NONE)
            CHECK_GT(cap(&f.all), ALL / 2);
        cache_close(&f.all);
    }
}

TEST(a_table_alone_has_all_of_a_raised_l1_memory)
{
    struct cache all;
    cache_open_policy(&all, NIGH_POLICY_LRU, ALL, 4);
    for (unsigned i = 0; i < fitting(ALL); i++)
        cache_own(&all, i, VALUE);
    REQUIRE_EQ(l1_set_memory(all.l1, ALL / 2, 0), 0);
    REQUIRE_EQ(l1_set_memory(all.l1, ALL, 0), 0);
    CHECK_EQ(cap_goal(all.l1), ALL);
    CHECK_EQ(cap(&all), ALL);
    cache_close(&all);
}

/* The share is 1.6 MiB, of 8 MiB as 2 : 8. Before, the table of all has it all. */
TEST(who_is_late_gets_its_share_of_a_full_cache)
{
    for (size_t p = 0; p < ARRAY_COUNT(policies); p++) {
        if (policies[p] == NIGH_POLICY_NONE)
            continue;
        struct family f;
        open_family(&f, policies[p]);
        const uint64_t share = ALL * MOST / (ALL + MOST);
        flood(&f, &f.all, 0, 2 * fitting(ALL));
        CHECK_LT(cap(&f.apart), share / 2);
        unsigned at = 0;
        for (unsigned n = 0; n < PASSES_MAX && cap(&f.apart) < share / 100 * 98; n++, at += 512)
            flood(&f, &f.apart, at, 512);
        CHECK_GE(cap(&f.apart), share / 100 * 98);
        /* Both go on, and it stays so. */
        for (unsigned n = 0; n < 20; n++) {
            flood(&f, &f.apart, at += 512, 512);
            flood(&f, &f.all, 4 * fitting(ALL) + 1024 * n, 1024);
        }
        CHECK_GE(cap(&f.apart), share / 100 * 90);
        CHECK_LE(cap(&f.apart), share / 100 * 110);
        cache_close(&f.all);
    }
}

/* ... and so does the table of all, when others have been there first: 3.2 of 8 MiB. */
TEST(the_table_of_all_gets_its_share)
{
    struct family f;
    cache_open_policy(&f.all, NIGH_POLICY_LFU, ALL, 4);
    struct cache first[2];
    const uint64_t share = ALL * ALL / (ALL + 2 * (ALL / 4 * 3));
    for (size_t i = 0; i < ARRAY_COUNT(first); i++) {
        first[i] = make_apart(&f, ALL / 4 * 3);
        flood(&f, &first[i], 0, 2 * fitting(ALL / 4 * 3));
    }
    CHECK_LT(cap(&f.all), share / 4 * 3);
    unsigned at = 0;
    for (unsigned n = 0; n < PASSES_MAX && cap(&f.all) < share / 100 * 98; n++, at += 512)
        flood(&f, &f.all, at, 512);
    CHECK_GE(cap(&f.all), share / 100 * 98);
    cache_close(&f.all);
}

/* One puts seldom, the other without end: what is given up for the one is not taken by the other
 * meanwhile. */
static uint64_t evicted(const struct cache *c)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i <= c->l1->shard_mask; i++)
        sum += c->l1->shards[i].tallies[0].left[TALLY_EVICTED];
    return sum;
}

/* Its values come and go: then it gives away what it does not use, and has to ask anew. */
TEST(who_needs_little_takes_little_from_a_full_table)
{
    static const struct l1_lifetimes quarter_of_a_second = {{250, 0}, {0, 0}};
    static const char value[VALUE];
    for (int policy = 0; policy < 2; policy++) {
        struct family f;
        struct name name;
        uint64_t least = ALL;
        cache_open_policy(&f.all, policies[policy], ALL, 4);
        f.apart = make_apart(&f, ALL / 2); /* a share of a third */
        flood(&f, &f.all, 0, 10000);
        for (unsigned i = 0; i < 8000; i++) {
            struct l1_key key = cache_key(&f.apart, &name, i);
            l1_put(f.apart.l1, &key, bytes_of(value, VALUE), &quarter_of_a_second);
            cache_own(&f.all, 10000 + i, VALUE);
            fake_env_advance(&f.all.fake, NS_PER_MS);
            if (i % 16 == 0)
                l1_reclaim(f.all.l1);
            if (i % 256 == 0)
                l1_expire(f.apart.l1, UINT32_MAX);
            least = i > 1000 ? u64_min(least, cap_goal(f.all.l1)) : ALL;
        }
        CHECK_GE(least, ALL - 2 * MIB); /* less than half a MiB is needed at any time */
        CHECK_LT(evicted(&f.apart), 400);
        cache_close(&f.all);
    }
}

TEST(who_puts_seldom_gets_its_share_from_a_flood)
{
    const uint64_t most = MOST / 2, share = ALL * most / (ALL + most);
    struct family f;
    unsigned at = 2 * fitting(ALL), rare = 0;
    cache_open_policy(&f.all, NIGH_POLICY_LRU, ALL, 4);
    f.apart = make_apart(&f, most);
    flood(&f, &f.all, 0, at);
    for (unsigned n = 0; rare < fitting(most); n++) {
        for (unsigned i = 0; i < 8; i++)
            cache_own(&f.all, at++, VALUE);
        if (n % 20 == 0)
            cache_own(&f.apart, rare++, VALUE);
        fake_env_advance(&f.all.fake, NS_PER_MS);
        l1_reclaim(f.all.l1);
    }
    CHECK_GE(cap(&f.apart), share / 100 * 98);
    check_caps(&f, ALL);
    cache_close(&f.all);
}

/* What is not used any more is given back when others need it. */
TEST(what_one_does_not_use_others_have)
{
    struct family f;
    open_family(&f, NIGH_POLICY_LRU);
    flood(&f, &f.apart, 0, 2 * fitting(MOST));
    CHECK_GT(cap(&f.apart), MOST / 8 * 7);
    l1_drop_space(f.apart.l1, CACHE_SPACE);
    cache_reclaim(&f.all);
    flood(&f, &f.all, 0, 2 * fitting(ALL));
    CHECK_LT(cap(&f.apart), MOST / 4);
    CHECK_GT(used(&f.all), ALL / 8 * 7);
    cache_close(&f.all);
}

TEST(caps_may_add_up_to_more_than_there_is)
{
    struct family f;
    open_family(&f, NIGH_POLICY_LFU);
    struct cache more[3];
    for (size_t i = 0; i < ARRAY_COUNT(more); i++)
        more[i] = make_apart(&f, ALL / 4 * 3);
    for (unsigned n = 0; n < 30; n++)
        for (size_t i = 0; i < ARRAY_COUNT(more); i++)
            flood(&f, &more[i], n * 512, 512);
    uint64_t sum = 0;
    for (size_t i = 0; i < ARRAY_COUNT(more); i++) {
        CHECK_GT(used(&more[i]), ALL / 6); /* nobody else wants anything */
        sum += used(&more[i]);
    }
    CHECK_LE(sum, ALL);
    CHECK_GT(sum, ALL / 4 * 3);
    struct l1_gauges g = cache_gauges(&f.all); /* of all tables */
    CHECK_GE(g.used_bytes, sum / 10 * 9);
    CHECK_LE(g.peak_bytes, ALL);
    CHECK_EQ(g.cap_bytes, ALL);
    l1_gauges_read(more[0].l1, L1_GAUGE_ALL, &g);
    CHECK_LE(g.used_bytes, used(&more[0]));
    CHECK_EQ(g.cap_bytes, ALL / 4 * 3);
    cache_close(&f.all);
}

static void settle(struct family *f)
{
    bool done = false;
    for (unsigned n = 0; n < PASSES_MAX && !done; n++) {
        l1_reclaim(f->all.l1);
        fake_env_advance(&f->all.fake, NS_PER_MS);
        done = true;
        for (struct l1 *m = f->all.l1; m; m = family_next(m))
            done &= m->shrink.phase == SHRINK_IDLE && l1_limit(&m->cap_bytes) == cap_goal(m);
    }
    CHECK(done);
}

TEST(each_comes_down_to_a_smaller_cap)
{
    for (size_t p = 0; p < ARRAY_COUNT(policies); p++) {
        if (policies[p] == NIGH_POLICY_NONE)
            continue;
        struct family f;
        open_family(&f, policies[p]);
        unsigned others = fitting(ALL / 2);
        flood(&f, &f.all, 0, others);
        flood(&f, &f.apart, 0, 2 * fitting(MOST));
        CHECK_EQ(l1_set_most(f.apart.l1, MOST / 4), 0);
        settle(&f);
        CHECK_LE(used(&f.apart), MOST / 4);
        CHECK_GT(used(&f.apart), MOST / 8);
        CHECK_EQ(found(&f.all, 0, others), others);
        struct l1_gauges g;
        l1_gauges_read(f.apart.l1, L1_GAUGE_ALL, &g);
        CHECK_LE(g.resident_bytes, MOST / 4 + MOST / 8); /* slabs of a kind are not all full */
        CHECK_EQ(l1_set_most(f.apart.l1, f.apart.l1->least_bytes - 1), NIGH_EINVAL);

        CHECK_EQ(l1_set_most(f.apart.l1, UINT64_MAX), 0); /* as much as there is */
        flood(&f, &f.apart, 0, 2 * fitting(ALL));
        CHECK_GT(used(&f.apart), MOST);
        cache_close(&f.all);
    }
}

TEST(all_come_down_when_there_is_less_for_all)
{
    struct family f;
    open_family(&f, NIGH_POLICY_LRU);
    flood(&f, &f.all, 0, 2 * fitting(ALL));
    flood(&f, &f.apart, 0, fitting(ALL));
    uint64_t before = cap(&f.apart);
    CHECK_EQ(l1_set_memory(f.all.l1, ALL / 2, 0), 0);
    CHECK_EQ(l1_memory(f.all.l1), ALL / 2);
    settle(&f);
    check_caps(&f, ALL / 2);
    CHECK_LE(used(&f.all) + used(&f.apart), ALL / 2);
    CHECK_LT(cap(&f.apart), before);
    CHECK_EQ(l1_set_memory(f.all.l1, f.all.l1->least_bytes + f.apart.l1->least_bytes - 1, 0),
             NIGH_EINVAL);
    CHECK_EQ(l1_set_memory(f.all.l1, ALL, 0), 0);
    flood(&f, &f.all, 0, 2 * fitting(ALL));
    CHECK_GT(used(&f.all) + used(&f.apart), ALL / 8 * 7);
    check_caps(&f, ALL);
    cache_close(&f.all);
}

TEST(a_full_cache_makes_room_for_a_table)
{
    struct family f;
    cache_open_policy(&f.all, NIGH_POLICY_LFU, ALL, 4);
    flood(&f, &f.all, 0, 2 * fitting(ALL));
    f.apart = make_apart(&f, MOST);
    check_caps(&f, ALL);
    CHECK_EQ(cache_own(&f.apart, 0, VALUE), L1_STORED);
    cache_close(&f.all);
}

TEST(a_full_cache_from_which_nobody_has_to_go_does_not)
{
    struct family f;
    struct l1 *apart = NULL;
    cache_open_policy(&f.all, NIGH_POLICY_NONE, ALL, 4);
    flood(&f, &f.all, 0, 2 * fitting(ALL));
    unsigned before = found(&f.all, 0, 2 * fitting(ALL));
    CHECK_EQ(l1_create_apart(f.all.l1, &f.all.space, &f.all.stats, ALL, &apart), NIGH_ENOMEM);
    CHECK(!apart);
    CHECK_EQ(found(&f.all, 0, 2 * fitting(ALL)), before);
    check_caps(&f, ALL);

    /* It costs nothing, however often: nothing is moved, and all of it can be used. */
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(l1_create_apart(f.all.l1, &f.all.space, &f.all.stats, ALL, &apart), NIGH_ENOMEM);
    for (unsigned n = 0; n < 1000; n++) {
        fake_env_advance(&f.all.fake, NS_PER_MS);
        l1_reclaim(f.all.l1);
        REQUIRE_EQ(f.all.l1->shrink.phase, SHRINK_IDLE);
    }
    l1_drop_space(f.all.l1, CACHE_SPACE);
    cache_reclaim(&f.all);
    flood(&f, &f.all, 0, 2 * fitting(ALL));
    CHECK_EQ(cap(&f.all), ALL);
    CHECK_EQ(cap_goal(f.all.l1), ALL);
    cache_close(&f.all);
}

/* Values that are held stay where they are: in the end there is no room for another table. */
TEST(a_table_for_which_no_room_could_be_made_takes_none)
{
    enum { HELD = 8 * 1024, TABLES_MAX = 100 };
    static struct nigh_value held[HELD];
    struct family f;
    struct l1 *apart;
    unsigned count = 0;
    int rc = 0;
    cache_open_policy(&f.all, NIGH_POLICY_LRU, ALL, 4);
    flood(&f, &f.all, 0, 2 * fitting(ALL));
    for (unsigned i = 0; i < 2 * fitting(ALL) && count < HELD; i++)
        count += cache_pin(&f.all, i, &held[count]);
    for (unsigned n = 0; n < TABLES_MAX && rc == 0; n++)
        rc = l1_create_apart(f.all.l1, &f.all.space, &f.all.stats, ALL, &apart);
    CHECK_EQ(rc, NIGH_ENOMEM);
    CHECK_EQ(cap_goal(f.all.l1), cap_reserved(f.all.l1)); /* it need not come down */
    check_caps(&f, ALL);
    for (unsigned i = 0; i < count; i++)
        l1_unpin(held[i].pin);
    flood(&f, &f.all, 4 * fitting(ALL), 2 * fitting(ALL));
    CHECK_GE(cap(&f.all), ALL / 2);
    cache_close(&f.all);
}

#if NIGH_FAULTS
/* As many tables as there are, the allocator is asked once a pass. */
TEST(all_tables_are_looked_at_together)
{
    enum { TABLES = 20, PASSES = 300 };
    struct cache all[TABLES];
    struct family f;
    cache_open_policy(&f.all, NIGH_POLICY_LRU, 4 * ALL, 4);
    for (unsigned i = 0; i < TABLES; i++)
        all[i] = make_apart(&f, MOST);
    fault_arm(FAULT_RENEW, 0);
    for (unsigned n = 0; n < PASSES; n++) {
        for (unsigned i = 0; i < TABLES; i++) {
            cache_own(&all[i], n, VALUE);
            cache_remove(&all[i], n);
        }
        fake_env_advance(&f.all.fake, 100 * NS_PER_MS);
        l1_reclaim(f.all.l1);
    }
    CHECK_GT(fault_count(FAULT_RENEW), 0);
    CHECK_LE(fault_count(FAULT_RENEW), 2 * PASSES); /* and again, where that was too much */
    fault_arm(FAULT_RENEW, 0);
    cache_gauges(&f.all);
    CHECK_EQ(fault_count(FAULT_RENEW), 1);
    cache_close(&f.all);
}
#endif

/* It is reached without a shrink, for what it lowers is not used. But pages may be. */
TEST(resident_memory_follows_a_cap_that_is_given_away)
{
    struct family f;
    struct l1_gauges g;
    cache_open_policy(&f.all, NIGH_POLICY_LRU, 4 * ALL, 4);
    f.apart = make_apart(&f, 2 * ALL);
    unsigned count = fitting(2 * ALL) / 8 * 7;
    flood(&f, &f.apart, 0, count);
    for (unsigned i = 0; i < count; i++)
        if (i % 10)
            cache_remove(&f.apart, i);
    for (unsigned n = 0; n < 30; n++) { /* looked at while its cap is large */
        fake_env_advance(&f.all.fake, 100 * NS_PER_MS);
        l1_reclaim(f.all.l1);
    }
    flood(&f, &f.all, 0, 3 * fitting(4 * ALL));
    CHECK_LT(cap(&f.apart), ALL);
    for (unsigned n = 0; n < 300; n++) {
        fake_env_advance(&f.all.fake, 100 * NS_PER_MS);
        l1_reclaim(f.all.l1);
    }
    l1_gauges_read(f.apart.l1, L1_GAUGE_ALL, &g); /* 0: the allocator does not know */
    CHECK_LE(g.resident_bytes, cap(&f.apart) + cap(&f.apart) / 10 + 256 * 1024);
    cache_close(&f.all);
}

TEST(floors_are_one_for_all_tables)
{
    struct family f;
    open_family(&f, NIGH_POLICY_LRU);
    struct l1_value value = cache_value(&f.apart, "old", 3);
    l1_raise_group(f.all.l1, CACHE_SPACE_SLOT, false);
    CHECK_EQ(cache_store(&f.apart, 1, &value), L1_REFUSED_FLOOR);
    value = cache_value(&f.apart, "old", 3);
    struct name name;
    struct l1_key key = cache_key(&f.all, &name, 1);
    l1_invalidate_key(f.all.l1, &key, 0, 0, NULL);
    CHECK_EQ(cache_store(&f.apart, 1, &value), L1_REFUSED_FLOOR);
    CHECK_EQ(l1_ticket(f.all.l1), l1_ticket(f.apart.l1));
    cache_close(&f.all);
}

/* Time is what a table's own hands go: one that is flooded makes nobody else older. */
TEST(generations_are_each_tables_own)
{
    struct family f;
    open_family(&f, NIGH_POLICY_LRU);
    uint8_t all = l1_generation(&f.all.space.hit), apart = l1_generation(&f.apart.space.hit);
    flood(&f, &f.apart, 0, 4 * fitting(MOST));
    CHECK_EQ(l1_generation(&f.all.space.hit), all);
    CHECK_NE(l1_generation(&f.apart.space.hit), apart);
    cache_close(&f.all);
}

TEST(values_that_are_held_are_held_in_any_table)
{
    struct family f;
    struct nigh_value held;
    open_family(&f, NIGH_POLICY_LRU);
    CHECK_EQ(cache_put(&f.apart, 1, "held", 4), L1_STORED);
    REQUIRE(cache_pin(&f.apart, 1, &held));
    CHECK_EQ(l1_pins(f.all.l1), 1);
    cache_remove(&f.apart, 1);
    cache_reclaim(&f.all);
    struct l1_gauges g = cache_gauges(&f.all);
    CHECK_GT(g.pinned_bytes, 0);
    CHECK_MEM(held.data, held.len, "held", 4);
    l1_unpin(held.pin);
    cache_reclaim(&f.all);
    fake_env_advance(&f.all.fake, 2 * NS_PER_S);
    cache_reclaim(&f.all);
    g = cache_gauges(&f.all);
    CHECK_EQ(g.pinned_bytes, 0);
    l1_empty(f.all.l1);
    g = cache_gauges(&f.all);
    CHECK_EQ(g.entries, 0);
    cache_close(&f.all);
}
