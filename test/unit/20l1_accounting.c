// SPDX-License-Identifier: MIT
// Bytes charged are bytes taken, for every size of value: what the arena says, and what each kind
// of charge adds up to at each stage of an entry's life.

#include "l1/gauges.h"
#include "l1/limbo.h"
#include "l1/shrink.h"
#include "support/l1_cache.h"

#define MIB ((uint64_t)1 << 20)
#define CAP (32 * MIB)

/* Three times what fits, so that eviction, limbo and the allocator's caches are all at work. */
static void churn(struct cache *c, size_t size)
{
    unsigned count = (unsigned)u64_min(3 * CAP / (size + 150), 60000);
    for (unsigned i = 0; i < count; i++) {
        cache_put_size(c, i, size);
        if (i % 128 == 0)
            l1_reclaim(c->l1);
    }
    fake_env_advance(&c->fake, 11 * NS_PER_S); /* when the reclaimer looks at the arena again */
    for (int pass = 0; pass < 100; pass++)
        l1_reclaim(c->l1);
}

/* Each charge by its own means: fixed, tables and rings, entries; nothing is left over. */
static void check_sum(struct cache *c)
{
    uint64_t entries;
    uint64_t bytes = cache_walk(c, true, &entries) + cache_walk(c, false, &entries);
    struct l1_gauges g = cache_gauges(c);
    CHECK_EQ(g.used_bytes, g.tables_bytes + bytes + g.unstored_bytes);
    CHECK_LE(g.peak_bytes, g.cap_bytes);
}

#if NIGH_ALLOCATOR_JEMALLOC
static void check_arena(struct cache *c, size_t size)
{
    struct mem_stats stats;
    mem_stats_read(c->l1->mem, &stats);
    struct l1_gauges g = cache_gauges(c);
    uint64_t charged = g.used_bytes - gauges_pages_bytes(c->l1);
    check_note("%6zu B: charged %8lu, the arena %8lu: %+.2f %%, resident / cap %.3f, %.1f B beside "
               "key and value", size, (unsigned long)charged, (unsigned long)stats.allocated_bytes,
               100.0 * (double)stats.allocated_bytes / (double)charged - 100,
               (double)g.resident_bytes / (double)g.cap_bytes,
               (double)g.used_bytes / (double)g.entries - 12 - (double)size);
    CHECK_LE(g.resident_bytes, g.cap_bytes * 110 / 100);
    CHECK_GE(stats.allocated_bytes, charged * 95 / 100);
    CHECK_LE(stats.allocated_bytes, charged * 105 / 100);
}
#else
static void check_arena(struct cache *c, size_t size)
{
    (void)c;
    (void)size; /* this backend has no statistics of its own */
}
#endif

TEST(charges_are_what_the_arena_says_for_every_size)
{
    for (size_t size = 16; size <= 64u << 10; size *= 4) {
        struct cache c;
        cache_open(&c, CAP, 16);
        churn(&c, size);
        check_sum(&c);
        check_arena(&c, size);
        cache_close(&c);
    }
}

/* Caches of all classes are filled by turns: what they keep must not grow with that. */
TEST(charges_are_what_the_arena_says_for_mixed_sizes)
{
    struct cache c;
    cache_open(&c, CAP, 64);
    for (size_t size = 16; size <= 64u << 10; size = size * 5 / 4)
        for (unsigned i = 0; i < 600; i++) {
            cache_put_size(&c, i, size);
            if (i % 64 == 0)
                l1_reclaim(c.l1);
        }
    churn(&c, 300);
    check_sum(&c);
    check_arena(&c, 300);
    cache_close(&c);
}

/* Created, stored, pinned, retired, freed: charged once from the first to the last. */
TEST(an_entry_is_charged_once_all_its_life)
{
    struct cache c;
    cache_open(&c, CAP, 1);
    uint64_t empty = cache_gauges(&c).used_bytes;
    static char data[5000];
    struct l1_value value = cache_value(&c, data, sizeof(data));
    struct name name;
    struct l1_key key = cache_key(&c, &name, 1);
    struct l1_entry *e;
    REQUIRE_EQ(l1_entry_create(c.l1, &key, &value, &e), 0);
    uint64_t one = mem_charge(c.l1->mem, entry_size(e));
    CHECK_EQ(cache_gauges(&c).used_bytes, empty + one);
    CHECK_EQ(cache_gauges(&c).unstored_bytes, one);
    CHECK_EQ(l1_store(c.l1, &key, e), L1_STORED);
    CHECK_EQ(cache_gauges(&c).used_bytes, empty + one);
    CHECK_EQ(cache_gauges(&c).unstored_bytes, 0);
    struct nigh_value v;
    REQUIRE(cache_pin(&c, 1, &v));
    cache_remove(&c, 1);
    CHECK_EQ(cache_gauges(&c).limbo_bytes, one);
    for (int pass = 0; pass < 3; pass++) { /* held by reference and pin, by the pin, by nobody */
        cache_reclaim(&c);
        CHECK_EQ(cache_gauges(&c).used_bytes, empty + (pass < 2 ? one : 0));
        CHECK_EQ(cache_gauges(&c).limbo_bytes, pass < 2 ? one : 0);
        if (pass == 0)
            l1_entry_unref(e);
        if (pass == 1)
            l1_unpin(v.pin);
    }
    REQUIRE_EQ(l1_entry_create(c.l1, &key, &value, &e), 0);
    l1_entry_unref(e); /* never stored */
    CHECK_EQ(cache_gauges(&c).used_bytes, empty);
    check_sum(&c);
    cache_close(&c);
}
