// SPDX-License-Identifier: MIT
// An entry gives back what it was made of, and its memory when the last holder lets go.

#include "support/l1_cache.h"

static const uint16_t tags[] = {1024, 2000, 2047};

static struct l1_entry *create(struct cache *c, const struct l1_value *value)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, 1);
    struct l1_entry *e;
    REQUIRE_EQ(l1_entry_create(c->l1, &key, value, &e), 0);
    return e;
}

TEST(every_field_comes_back)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    struct l1_value v = {.bytes = bytes_of("value", 5),
                         .stamp = 12345678901,
                         .born_ns = 100 * NS_PER_S,
                         .fresh_until_ns = 110 * NS_PER_S,
                         .stale_until_ns = 110 * NS_PER_S + 500 * NS_PER_MS,
                         .version = UINT64_MAX,
                         .groups = tags,
                         .group_count = 3,
                         .space_slot = 1023};
    struct l1_entry *e = create(&c, &v);
    CHECK(!l1_entry_loose(e));
    CHECK_EQ(l1_entry_stamp(e), v.stamp);
    CHECK_EQ(l1_entry_version(e), v.version);
    CHECK_EQ(l1_entry_space_slot(e), 1023);
    CHECK(!l1_entry_absent(e));
    const uint16_t *groups;
    REQUIRE_EQ(l1_entry_groups(e, &groups), 3);
    CHECK_MEM(groups, sizeof(tags), tags, sizeof(tags));
    struct bytes key = l1_entry_key(e), value = l1_entry_value(e);
    CHECK_MEM(key.data, key.len, "key:00000001", 12);
    CHECK_MEM(value.data, value.len, "value", 5);
    l1_entry_unref(e);
    cache_audit(&c);
    cache_close(&c);
}

TEST(a_plain_value_has_no_extension)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    struct l1_value v = cache_value(&c, "x", 1);
    struct l1_entry *e = create(&c, &v);
    const uint16_t *groups;
    CHECK_EQ(entry_size(e), sizeof(struct l1_entry) + 12 + 1);
    CHECK_EQ(l1_entry_version(e), 0);
    CHECK_EQ(l1_entry_groups(e, &groups), 0);
    l1_entry_unref(e);

    v = cache_value(&c, NULL, 0);
    v.flags = L1_ABSENT;
    e = create(&c, &v);
    CHECK(l1_entry_absent(e));
    CHECK_EQ(l1_entry_value(e).len, 0);
    l1_entry_unref(e);
    cache_close(&c);
}

/* What the header promises: never later than asked for, and hardly earlier. */
static void check_times(struct cache *c, uint64_t born_ns, uint64_t fresh_ns, uint64_t stale_ns)
{
    struct l1_value v = cache_value(c, "x", 1);
    v.born_ns = born_ns;
    v.fresh_until_ns = born_ns + fresh_ns;
    v.stale_until_ns = v.fresh_until_ns + stale_ns;
    struct l1_entry *e = create(c, &v);
    uint64_t tick = UINT64_C(1) << ENTRY_TICK_SHIFT;
    CHECK_LE(l1_entry_born_ns(e), born_ns);
    CHECK_GT(l1_entry_born_ns(e) + tick, born_ns);
    CHECK_LE(l1_entry_fresh_until_ns(e), v.fresh_until_ns);
    CHECK_GE(l1_entry_fresh_until_ns(e) + tick + fresh_ns / 32768, v.fresh_until_ns);
    CHECK_LE(l1_entry_stale_until_ns(e), v.stale_until_ns);
    CHECK_GE(l1_entry_stale_until_ns(e) + 2 * tick + (stale_ns + fresh_ns / 32768) / 1024,
             v.stale_until_ns);
    l1_entry_unref(e);
}

TEST(times_are_rounded_down_within_their_bounds)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    uint64_t random = check_seed();
    for (int i = 0; i < 20000; i++) {
        uint64_t born_ns = check_random(&random) >> 8; /* up to 2 years */
        uint64_t fresh_ns = check_random(&random) >> (8 + check_random(&random) % 50);
        uint64_t stale_ns = check_random(&random) >> (8 + check_random(&random) % 50);
        check_times(&c, born_ns, fresh_ns, stale_ns);
    }
    check_times(&c, 0, 0, 0);
    cache_close(&c);
}

TEST(for_ever_stays_for_ever)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    struct l1_value v = cache_value(&c, "x", 1);
    uint64_t years_18_ns = 18 * UINT64_C(365) * 86400 * NS_PER_S;
    struct l1_entry *e = create(&c, &v);
    CHECK_GT(l1_entry_fresh_until_ns(e), years_18_ns);
    CHECK_GT(l1_entry_stale_until_ns(e), 4 * years_18_ns);
    CHECK_LE(l1_entry_born_ns(e), v.born_ns);
    CHECK_GT(l1_entry_born_ns(e) + (UINT64_C(1) << ENTRY_TICK_SHIFT), v.born_ns);
    l1_entry_unref(e);

    v.fresh_until_ns = v.born_ns - 1; /* from L2, long out of date */
    v.stale_until_ns = 0;
    e = create(&c, &v);
    CHECK_EQ(l1_entry_fresh_until_ns(e), l1_entry_born_ns(e));
    CHECK_EQ(l1_entry_stale_until_ns(e), l1_entry_born_ns(e));
    l1_entry_unref(e);
    cache_close(&c);
}

TEST(unstored_entries_are_charged_until_the_last_unref)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    struct l1_value v = cache_value(&c, "hello", 5);
    struct l1_entry *e = create(&c, &v);
    uint64_t bytes = mem_charge(c.l1->mem, entry_size(e));
    CHECK_EQ(cache_gauges(&c).unstored_bytes, bytes);
    cache_audit(&c);
    l1_entry_ref(e);
    l1_entry_unref(e);
    CHECK_EQ(cache_gauges(&c).unstored_bytes, bytes);
    l1_entry_unref(e);
    CHECK_EQ(cache_gauges(&c).unstored_bytes, 0);
    CHECK_EQ(cache_gauges(&c).used_bytes, cache_gauges(&c).tables_bytes);
    cache_close(&c);
}

TEST(an_entry_too_large_to_store_is_loose)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    static char large[256 << 10];
    struct l1_value v = cache_value(&c, large, sizeof(large));
    struct l1_entry *e = create(&c, &v);
    CHECK(l1_entry_loose(e));
    CHECK_EQ(cache_gauges(&c).unstored_bytes, 0);
    struct name name;
    struct l1_key key = cache_key(&c, &name, 1);
    CHECK_EQ(l1_store(c.l1, &key, e), L1_REFUSED_FULL);
    struct nigh_value held;
    l1_pin_ref(e, NIGH_TIER_LOADER, &held);
    l1_entry_unref(e);
    CHECK_EQ(held.len, sizeof(large));
    CHECK_MEM(held.data, held.len, large, sizeof(large));
    l1_unpin(held.pin);
    cache_audit(&c);
    cache_close(&c);
}
