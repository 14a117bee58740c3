// SPDX-License-Identifier: MIT
// The cap is a cap, for every mix of sizes, and what is under it gets used.

#include "l1/room.h"
#include "support/l1_cache.h"

/* Sizes from 40 B to 1 MiB, small ones more often: uniform in the exponent. */
static size_t mixed_size(uint64_t *random)
{
    size_t power = (size_t)40 << check_random(random) % 15;
    size_t size = power + check_random(random) % power;
    return size < (1 << 20) ? size : 1 << 20;
}

TEST(mixed_sizes_never_pass_the_cap)
{
    struct cache c;
    cache_open(&c, 16 << 20, 0);
    uint64_t random = check_seed();
    uint64_t large_stored = 0;
    for (unsigned i = 0; i < 6000; i++) {
        size_t size = mixed_size(&random);
        enum l1_store_result result = cache_put_size(&c, check_random(&random) % 2000, size);
        large_stored += result == L1_STORED && size > 500000;
        struct l1_gauges now = cache_gauges(&c);
        CHECK_LE(now.used_bytes, now.cap_bytes);
        if (now.limbo_bytes >= now.cap_bytes / 32) /* half of its cap: when a poke comes */
            l1_reclaim(c.l1);
    }
    cache_reclaim(&c);
    struct l1_gauges g = cache_gauges(&c);
    CHECK_LE(g.peak_bytes, g.cap_bytes);
    CHECK_GE(g.used_bytes, g.cap_bytes * 8 / 10);
    CHECK_GT(large_stored, 50); /* of about 350 */
    cache_audit(&c);
    cache_close(&c);
}

TEST(small_values_fill_what_limbo_does_not_need)
{
    struct cache c;
    cache_open(&c, 8 << 20, 0);
    for (unsigned i = 0; i < 80000; i++) {
        CHECK_EQ(cache_put_size(&c, i, 100), L1_STORED);
        if (i % 512 == 0)
            l1_reclaim(c.l1);
    }
    cache_reclaim(&c);
    struct l1_gauges g = cache_gauges(&c);
    CHECK_GE(g.used_bytes, g.cap_bytes * 92 / 100);
    CHECK_LE(g.peak_bytes, g.cap_bytes);
    cache_audit(&c);
    cache_close(&c);
}

/* A new key each time, freed often enough for limbo never to be half full. */
static void fill(struct cache *c, unsigned from, unsigned count)
{
    for (unsigned i = from; i < from + count; i++) {
        CHECK_EQ(cache_put_size(c, i, 100), L1_STORED);
        if (i % 64 == 0)
            l1_reclaim(c->l1);
    }
}

/* However the bytes come that are freed meanwhile: an insert evicts two, but for those few that
 * need another page for an array, too. */
TEST(victims_come_one_by_one)
{
    struct cache c;
    cache_open(&c, 8 << 20, 4);
    fill(&c, 0, 60000);
    uint64_t in_bursts = 0;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t before = stats_read(&c.stats, STATS_L1_EVICT);
        fill(&c, 60000 + i, 1);
        uint64_t victims = stats_read(&c.stats, STATS_L1_EVICT) - before;
        in_bursts += victims > 2 ? victims : 0;
    }
    CHECK_LE(in_bursts, 1000);
    cache_audit(&c);
    cache_close(&c);
}

/* Who takes room evicts from its own shard; if that were all, shards would walk at random. */
TEST(shards_stay_as_large_as_each_other)
{
    struct cache c;
    cache_open(&c, 4 << 20, 16);
    fill(&c, 0, 100000);
    uint32_t least = UINT32_MAX, most = 0;
    for (unsigned i = 0; i < 16; i++) {
        least = c.l1->shards[i].entries < least ? c.l1->shards[i].entries : least;
        most = c.l1->shards[i].entries > most ? c.l1->shards[i].entries : most;
    }
    CHECK_LE(most - least, most / 32);
    cache_audit(&c);
    cache_close(&c);
}

TEST(a_large_value_takes_from_other_shards)
{
    struct cache c;
    /* A share of 256 KiB each. lru: about room only, while lfu asks first what it is worth. */
    cache_open_policy(&c, NIGH_POLICY_LRU, 16 << 20, 64);
    for (unsigned i = 0; i < 100000; i++) {
        cache_put_size(&c, i, 200);
        if (i % 512 == 0)
            l1_reclaim(c.l1);
    }
    unsigned attempts = 0;
    while (cache_put_size(&c, 1000000, 1 << 20) != L1_STORED && attempts < 10) {
        cache_reclaim(&c);
        attempts++;
    }
    CHECK(cache_has(&c, 1000000));
    CHECK_LT(attempts, 4);
    CHECK_GT(cache_gauges(&c).entries, 30000);
    cache_audit(&c);
    cache_close(&c);
}

TEST(a_shard_without_entries_still_gets_room)
{
    struct cache c;
    cache_open(&c, 2 << 20, 2);
    struct name name;
    unsigned other = 0; /* a key of the shard that stays empty */
    while (l1_shard_of(c.l1, cache_key(&c, &name, other).hash) != &c.l1->shards[1])
        other++;
    for (unsigned i = 0; i < 40000; i++)
        if (l1_shard_of(c.l1, cache_key(&c, &name, i).hash) == &c.l1->shards[0]) {
            cache_put_size(&c, i, 200);
            if (i % 128 == 0)
                l1_reclaim(c.l1);
        }
    CHECK_GT(stats_read(&c.stats, STATS_L1_EVICT), 0);
    CHECK_EQ(c.l1->shards[1].entries, 0);
    /* In two steps: what was freed last may have become entries beyond the target, and limbo does
     * not take as much as that and the value's room together. */
    unsigned attempts = 0;
    do
        cache_reclaim(&c);
    while (++attempts < 3 && cache_put_size(&c, other, 50000) != L1_STORED);
    CHECK_LT(attempts, 3);
    cache_audit(&c);
    cache_close(&c);
}

TEST(borrowing_is_exact_at_the_edge)
{
    struct cache c;
    cache_open(&c, 1 << 20, 1);
    uint64_t left = c.l1->live_max_bytes - atomic_load_explicit(&c.l1->used, memory_order_relaxed);
    CHECK(!budget_borrow(c.l1, left + 1));
    CHECK(budget_borrow(c.l1, left));
    CHECK(!budget_borrow(c.l1, 1));
    budget_return(c.l1, left);
    CHECK(budget_borrow(c.l1, 1));
    budget_return(c.l1, 1);
    cache_close(&c);
}

#if NIGH_ALLOCATOR_JEMALLOC
TEST(accounted_bytes_are_what_the_allocator_says)
{
    struct cache c;
    cache_open(&c, 32 << 20, 16);
    uint64_t random = check_seed();
    for (unsigned i = 0; i < 20000; i++) {
        cache_put_size(&c, i, 16 + check_random(&random) % 2000);
        if (i % 512 == 0)
            l1_reclaim(c.l1);
    }
    cache_reclaim(&c);
    for (uint32_t i = 0; i <= c.l1->shard_mask; i++)
        mem_cache_flush(c.l1->shards[i].cache);
    struct mem_stats stats;
    mem_stats_read(c.l1->mem, &stats);
    /* All but the pages: floors, shards and large tables. */
    uint64_t accounted = cache_gauges(&c).used_bytes - c.l1->fixed_bytes;
    CHECK_GE(stats.allocated_bytes, accounted * 95 / 100);
    CHECK_LE(stats.allocated_bytes, accounted * 105 / 100);
    cache_close(&c);
}
#endif

/* As the reclaimer's thread: passes, until it may sleep. */
static uint64_t reclaim_all(void *arg)
{
    struct cache *c = arg;
    for (int pass = 0; pass < 8; pass++)
        if (l1_reclaim(c->l1) > clock_now_ns(c->fake.env.clock))
            break;
    return CLOCK_NEVER_NS;
}

static enum l1_store_result create_stored(struct cache *c, unsigned number, size_t len)
{
    static const char zeros[2048];
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    struct l1_value value = cache_value(c, zeros, len);
    enum l1_store_result result = L1_REFUSED_FULL;
    struct l1_entry *e;
    REQUIRE_EQ(l1_entry_create_stored(c->l1, &key, &value, &e, &result), 0);
    l1_entry_unref(e);
    return result;
}

/* Puts of new keys, by turns in each of the ways there are. Returns how many in 1,000 were refused.
 * Nobody reclaims but at a yield. */
static unsigned storm(struct cache *c, unsigned count)
{
    static const char large[1500];
    unsigned refused = 0;
    for (unsigned i = 0; i < count; i++) {
        struct name name;
        struct l1_key key = cache_key(c, &name, i);
        struct l1_value value = cache_value(c, large, sizeof(large));
        enum l1_store_result result =
            i % 3 == 0   ? cache_own(c, i, 150)
            : i % 3 == 1 ? create_stored(c, i, 150)
                         : l1_write(c->l1, &key, &value, L1_TICKET_NOW, 0, false);
        refused += result == L1_REFUSED_FULL;
    }
    return refused * 1000 / count;
}

/* A reclaimer that gets no processor of its own gets that of the put which it keeps out. */
TEST(a_put_that_finds_limbo_full_lets_the_reclaimer_run)
{
    static const uint64_t caps[] = {2u << 20, 6u << 20};
    for (size_t i = 0; i < ARRAY_COUNT(caps); i++) {
        struct cache c;
        cache_open_policy(&c, NIGH_POLICY_LRU, caps[i], 0);
        c.fake.step = reclaim_all;
        c.fake.step_arg = &c;
        CHECK_LE(storm(&c, 20000), 10);
        CHECK_GT(c.fake.yield_count, 10);
        c.fake.park.yield = NULL; /* nobody runs beside this thread */
        CHECK_GE(storm(&c, 20000), 900);
        cache_reclaim(&c);
        cache_audit(&c);
        cache_close(&c);
    }
}

TEST(a_put_that_finds_room_in_limbo_goes_on)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_LRU, 4u << 20, 0);
    for (unsigned i = 0; i < 60000; i++) {
        CHECK_EQ(cache_own(&c, i, 150), L1_STORED);
        if (i % 256 == 0)
            reclaim_all(&c);
    }
    CHECK_GT(stats_read(&c.stats, STATS_L1_EVICT), 30000);
    CHECK_EQ(c.fake.yield_count, 0);
    cache_close(&c);
}
