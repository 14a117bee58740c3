// SPDX-License-Identifier: MIT
// A cap that comes down: it holds at every step, what stays is right, resident memory follows, and
// callers notice nothing but a smaller cache.

#include <pthread.h>

#include "l1/budget.h"
#include "l1/limbo.h"
#include "l1/shrink.h"
#include "support/l1_cache.h"

#define MIB ((uint64_t)1 << 20)
#define FULL (7 * MIB) /* 24,000 entries, just */
#define SMALL (2 * MIB)
#define PASSES_MAX 3000
#define VERSION 77u

static bool is_settled(struct cache *c)
{
    return c->l1->shrink.phase == SHRINK_IDLE &&
           l1_limit(&c->l1->cap_bytes) == l1_memory(c->l1);
}

/* Passes until the reclaimer has nothing more to do. */
static unsigned settle(struct cache *c)
{
    unsigned passes = 0;
    do {
        uint64_t before = l1_limit(&c->l1->cap_bytes);
        l1_reclaim(c->l1);
        CHECK_LE(l1_limit(&c->l1->cap_bytes), before);
        CHECK_LE(l1_limit(&c->l1->used), l1_limit(&c->l1->cap_bytes));
        fake_env_advance(&c->fake, NS_PER_MS);
        passes++;
    } while (!is_settled(c) && passes < PASSES_MAX);
    return passes;
}

/* A value of 100 B that says which key it is of. */
struct content {
    uint64_t numbers[12];
};

static struct content content_of(unsigned number)
{
    struct content content;
    for (size_t i = 0; i < ARRAY_COUNT(content.numbers); i++)
        content.numbers[i] = number + i;
    return content;
}

static void fill(struct cache *c, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        struct content content = content_of(i);
        struct l1_value value = cache_value(c, &content, sizeof(content));
        value.version = i % 7 ? 0 : VERSION;
        cache_store(c, i, &value);
        if (i % 4096 == 0)
            l1_reclaim(c->l1);
    }
    cache_reclaim(c);
}

/* Entries found among the keys; each of them must be whole. */
static unsigned count_right(struct cache *c, unsigned to)
{
    unsigned found = 0;
    for (unsigned i = 0; i < to; i++) {
        struct nigh_value v;
        if (!cache_pin(c, i, &v))
            continue;
        struct content content = content_of(i);
        CHECK_MEM(v.data, v.len, &content, sizeof(content));
        CHECK_EQ(l1_entry_version(l1_pin_entry(v.pin)), i % 7 ? 0 : VERSION);
        l1_unpin(v.pin);
        found++;
    }
    return found;
}

/* A random tenth is hit, so that what stays lies scattered over all pages. */
static void touch_a_tenth(struct cache *c, unsigned entries)
{
    uint64_t random = check_seed();
    for (unsigned i = 0; i < entries / 10; i++)
        cache_touch(c, (unsigned)(check_random(&random) % entries));
}

TEST(a_cap_that_falls_keeps_what_fits)
{
    enum { ENTRIES = 24000 };
    struct cache c;
    cache_open(&c, FULL, 16);
    fill(&c, 0, ENTRIES);
    REQUIRE_EQ(cache_gauges(&c).entries, ENTRIES);
    touch_a_tenth(&c, ENTRIES);
    REQUIRE_EQ(l1_set_memory(c.l1, SMALL, 0), 0);
    CHECK_EQ(cache_gauges(&c).cap_bytes, SMALL);
    CHECK_LT(settle(&c), PASSES_MAX);
    struct l1_gauges g = cache_gauges(&c);
    CHECK_LE(g.peak_bytes, SMALL);
    CHECK_GE(g.used_bytes, SMALL * 80 / 100); /* and not more than needed, but for a slice */
    CHECK_GE(g.entries, 6000);
    CHECK_LE(g.tables_bytes, SMALL / 5 * 2); /* those of 24,000 took 1.5 MB */
    CHECK_EQ(count_right(&c, ENTRIES), g.entries);
    cache_audit(&c);
    fill(&c, 0, ENTRIES); /* and it works on, within its new size */
    CHECK_LE(cache_gauges(&c).peak_bytes, SMALL);
    CHECK_GE(cache_gauges(&c).entries, 6000);
    cache_audit(&c);
    cache_close(&c);
}

/* Moving what stays needs room of its own while limbo is emptied: who leaves for that has left for
 * the smaller cap as well, and "evicted" stays what newcomers cost. */
TEST(all_who_leave_for_a_smaller_cap_are_shed)
{
    static const unsigned lens[] = {100, 1000, 8000};
    char bytes[8000] = "";
    for (size_t i = 0; i < ARRAY_COUNT(lens); i++) {
        struct cache c;
        cache_open(&c, 32 * MIB, 4);
        struct l1_value value = cache_value(&c, bytes, lens[i]);
        for (unsigned key = 0; key < 16 * MIB / lens[i] / 2; key++)
            cache_store(&c, key, &value);
        cache_reclaim(&c);
        CHECK_EQ(stats_read(&c.stats, STATS_L1_EVICT), 0);
        REQUIRE_EQ(l1_set_memory(c.l1, 3 * MIB, 0), 0);
        CHECK_LT(settle(&c), PASSES_MAX);
        CHECK_GT(stats_read(&c.stats, STATS_L1_MOVE), 0);
        CHECK_GT(stats_read(&c.stats, STATS_L1_SHED), 0);
        CHECK_EQ(stats_read(&c.stats, STATS_L1_EVICT), stats_read(&c.stats, STATS_L1_SHED));
        cache_audit(&c);
        cache_close(&c);
    }
}

TEST(a_larger_cap_holds_at_once_and_is_used)
{
    enum { ENTRIES = 24000 };
    struct cache c;
    cache_open(&c, SMALL, 16);
    fill(&c, 0, ENTRIES);
    CHECK_LT(cache_gauges(&c).entries, 10000);
    REQUIRE_EQ(l1_set_memory(c.l1, FULL, 0), 0);
    fill(&c, 0, ENTRIES);
    CHECK_EQ(count_right(&c, ENTRIES), ENTRIES);
    REQUIRE_EQ(l1_set_memory(c.l1, SMALL, 0), 0);
    settle(&c);
    REQUIRE_EQ(l1_set_memory(c.l1, FULL, 0), 0); /* rings that were cut grow again */
    fill(&c, 0, ENTRIES);
    CHECK_EQ(count_right(&c, ENTRIES), ENTRIES);
    cache_audit(&c);
    cache_close(&c);
}

TEST(a_wish_that_changes_meanwhile)
{
    struct cache c;
    cache_open(&c, FULL, 16);
    fill(&c, 0, 24000);
    REQUIRE_EQ(l1_set_memory(c.l1, SMALL, 0), 0);
    l1_reclaim(c.l1);
    l1_reclaim(c.l1);
    REQUIRE_EQ(l1_set_memory(c.l1, FULL * 3 / 4, 0), 0);
    CHECK_LT(settle(&c), PASSES_MAX);
    struct l1_gauges g = cache_gauges(&c);
    CHECK_EQ(l1_limit(&c.l1->cap_bytes), FULL * 3 / 4);
    CHECK_EQ(count_right(&c, 24000), g.entries);
    cache_audit(&c);
    cache_close(&c);
}

TEST(impossible_caps_are_refused)
{
    struct cache c;
    cache_open(&c, FULL, 16);
    CHECK_EQ(l1_set_memory(c.l1, c.l1->least_bytes - 1, 0), NIGH_EINVAL);
    CHECK_EQ(l1_set_memory(c.l1, SMALL, SMALL / 2 + 1), NIGH_EINVAL);
    CHECK_EQ(l1_memory(c.l1), FULL);
    CHECK_EQ(l1_set_memory(c.l1, FULL, SMALL), 0);
    CHECK_EQ(l1_limit(&c.l1->limbo_cap_bytes), SMALL);
    cache_close(&c);
}

/* A goal that cannot be reached is tried again and again, but not everything moved each time. */
TEST(a_cap_that_cannot_be_reached_costs_little)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_NONE, FULL, 16);
    unsigned count = 0;
    while (cache_put_size(&c, count, 100) == L1_STORED)
        count++;
    for (unsigned i = 0; i < count; i += 2)
        cache_remove(&c, i);
    cache_reclaim(&c);
    uint64_t entries = cache_gauges(&c).entries;
    REQUIRE_EQ(l1_set_memory(c.l1, SMALL, 0), 0);
    for (unsigned i = 0; i < 9000; i++) { /* nine seconds */
        l1_reclaim(c.l1);
        fake_env_advance(&c.fake, NS_PER_MS);
    }
    CHECK_EQ(cache_gauges(&c).entries, entries);
    CHECK_LE(stats_read(&c.stats, STATS_L1_MOVE), 2 * entries);
    cache_close(&c);
}

/* Writers who put whatever they can keep no cache above its goal in which nobody is evicted. New
 * values of keys that it has would, too. */
TEST(busy_writers_do_not_hold_up_a_cap_without_eviction)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_NONE, FULL, 16);
    unsigned count = 0;
    while (cache_put_size(&c, count, 100) == L1_STORED)
        count++;
    REQUIRE_EQ(l1_set_memory(c.l1, SMALL, 0), 0);
    unsigned rounds = 0;
    for (; !is_settled(&c) && rounds < PASSES_MAX; rounds++) {
        for (unsigned i = 0; i < count / 200; i++) /* what expires, or is invalidated */
            cache_remove(&c, (rounds * (count / 200) + i) % count);
        l1_reclaim(c.l1);
        fake_env_advance(&c.fake, 10 * NS_PER_MS);
        for (unsigned i = 0; i < count / 100; i++) /* twice as much is written */
            cache_put_size(&c, (rounds * 7919 + i * 13) % count, 100);
    }
    CHECK_LT(rounds, PASSES_MAX);
    CHECK_LE(cache_gauges(&c).used_bytes, SMALL);
    for (unsigned i = 0; i < count / 2; i++) /* of each shard some are left of these */
        cache_remove(&c, i);
    cache_reclaim(&c);
    CHECK_EQ(cache_put_size(&c, count, 100), L1_STORED); /* it is open again */
    cache_audit(&c);
    cache_close(&c);
}

/* What pins hold cannot go: the cap in force stays above it, and falls when it is released. */
TEST(pinned_values_are_excepted)
{
    enum { HELD = 200, SIZE = 20000 };
    static struct nigh_value held[HELD];
    struct cache c;
    cache_open(&c, FULL, 4);
    for (unsigned i = 0; i < HELD; i++) {
        REQUIRE_EQ(cache_put_size(&c, i, SIZE), L1_STORED);
        REQUIRE(cache_pin(&c, i, &held[i]));
    }
    REQUIRE_EQ(l1_set_memory(c.l1, SMALL, 0), 0);
    for (int pass = 0; pass < 100; pass++) {
        l1_reclaim(c.l1);
        CHECK_LE(l1_limit(&c.l1->used), l1_limit(&c.l1->cap_bytes));
        fake_env_advance(&c.fake, 10 * NS_PER_MS);
    }
    CHECK_GE(cache_gauges(&c).used_bytes, HELD * SIZE);
    for (unsigned i = 0; i < HELD; i++) {
        CHECK_EQ(held[i].len, SIZE);
        CHECK_EQ(((const char *)held[i].data)[SIZE - 1], 0);
        l1_unpin(held[i].pin);
    }
    CHECK_LT(settle(&c), PASSES_MAX);
    CHECK_LE(cache_gauges(&c).used_bytes, SMALL);
    cache_audit(&c);
    cache_close(&c);
}

/* Is called each time the limits change, in the middle of it. */
void __real_limbo_set_cap(struct l1 *l1, uint64_t cap_bytes);
void __wrap_limbo_set_cap(struct l1 *l1, uint64_t cap_bytes);

static struct {
    uint64_t borrows; /* bytes that another thread borrows at the first change */
    unsigned changes;
    bool closed;
} seen;

void __wrap_limbo_set_cap(struct l1 *l1, uint64_t cap_bytes)
{
    __real_limbo_set_cap(l1, cap_bytes);
    atomic_fetch_add_explicit(&l1->used, seen.borrows, memory_order_relaxed);
    seen.borrows = 0;
    seen.changes++;
    seen.closed |= atomic_load_explicit(&l1->closed, memory_order_relaxed);
}

/* A put that found it closed would be refused for nothing. */
TEST(a_table_that_keeps_bytes_it_was_asked_for_is_never_closed)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_NONE, FULL, 1);
    uint64_t borrowed = l1_limit(&c.l1->live_max_bytes) - l1_limit(&c.l1->used);
    seen.borrows = borrowed;
    seen.changes = 0;
    seen.closed = false;
    CHECK_EQ(cap_give(c.l1, MIB), 0);
    CHECK_EQ(seen.changes, 2); /* down, and back */
    CHECK(!seen.closed);
    CHECK(!atomic_load_explicit(&c.l1->closed, memory_order_relaxed));
    CHECK_EQ(cap_goal(c.l1), FULL);
    budget_return(c.l1, borrowed);
    CHECK_EQ(cap_give(c.l1, MIB), MIB);
    CHECK_EQ(cap_goal(c.l1), FULL - MIB);
    cache_close(&c);
}

/* ---- under load ---- */

struct load {
    struct cache *c;
    unsigned keys;
    _Atomic bool stop;
    _Atomic uint64_t hits;
    _Atomic uint64_t stored;
};

static void *read_all_the_time(void *arg)
{
    struct load *load = arg;
    uint64_t random = check_seed();
    while (!atomic_load_explicit(&load->stop, memory_order_relaxed)) {
        unsigned number = (unsigned)(check_random(&random) % load->keys);
        struct content content = content_of(number);
        struct nigh_value v;
        if (!cache_pin(load->c, number, &v))
            continue;
        CHECK_MEM(v.data, v.len, &content, sizeof(content));
        l1_unpin(v.pin);
        atomic_fetch_add_explicit(&load->hits, 1, memory_order_relaxed);
    }
    return NULL;
}

static void *write_all_the_time(void *arg)
{
    struct load *load = arg;
    uint64_t random = ~check_seed();
    while (!atomic_load_explicit(&load->stop, memory_order_relaxed)) {
        unsigned number = (unsigned)(check_random(&random) % load->keys);
        struct content content = content_of(number);
        if (cache_put(load->c, number, &content, sizeof(content)) == L1_STORED)
            atomic_fetch_add_explicit(&load->stored, 1, memory_order_relaxed);
    }
    return NULL;
}

TEST(callers_go_on_while_it_falls)
{
    struct cache c;
    cache_open(&c, FULL, 16);
    struct load load = {.c = &c, .keys = 24000};
    for (unsigned i = 0; i < load.keys; i++) {
        struct content content = content_of(i);
        cache_put(&c, i, &content, sizeof(content));
    }
    pthread_t reader, writer;
    REQUIRE_EQ(pthread_create(&reader, NULL, read_all_the_time, &load), 0);
    REQUIRE_EQ(pthread_create(&writer, NULL, write_all_the_time, &load), 0);
    static const uint64_t caps[] = {SMALL, FULL * 3 / 4, SMALL * 3 / 4};
    for (size_t i = 0; i < ARRAY_COUNT(caps); i++) {
        uint64_t hits = atomic_load_explicit(&load.hits, memory_order_relaxed);
        uint64_t stored = atomic_load_explicit(&load.stored, memory_order_relaxed);
        REQUIRE_EQ(l1_set_memory(c.l1, caps[i], 0), 0);
        CHECK_LT(settle(&c), PASSES_MAX);
        while (atomic_load_explicit(&load.hits, memory_order_relaxed) < hits + 1000 ||
               atomic_load_explicit(&load.stored, memory_order_relaxed) < stored + 1000)
            l1_reclaim(c.l1);
    }
    atomic_store_explicit(&load.stop, true, memory_order_relaxed);
    pthread_join(reader, NULL);
    pthread_join(writer, NULL);
    cache_reclaim(&c);
    cache_audit(&c);
    cache_close(&c);
}

/* ---- resident memory ---- */

#if NIGH_ALLOCATOR_JEMALLOC

TEST(resident_memory_follows)
{
    enum { ENTRIES = 280000 };
    struct cache c;
    cache_open(&c, 64 * MIB, 16);
    fill(&c, 0, ENTRIES);
    CHECK_GE(cache_gauges(&c).resident_bytes, 45 * MIB);
    touch_a_tenth(&c, ENTRIES);
    REQUIRE_EQ(l1_set_memory(c.l1, 8 * MIB, 0), 0);
    CHECK_LT(settle(&c), 200); /* grace periods of 10 ms: 2 s */
    struct l1_gauges g = cache_gauges(&c);
    CHECK_LE(g.resident_bytes, 8 * MIB * 110 / 100);
    CHECK_GE(g.used_bytes, 8 * MIB * 85 / 100);
    CHECK_GT(stats_read(&c.stats, STATS_L1_MOVE), 0);
    CHECK_EQ(count_right(&c, ENTRIES), g.entries);
    cache_audit(&c);
    cache_close(&c);
}

/* Values of one size give way to values of another: nobody asked for a smaller cap. */
TEST(resident_memory_stays_under_a_cap_while_sizes_drift)
{
    struct cache c;
    cache_open(&c, 16 * MIB, 16);
    for (size_t size = 50; size < 3000; size = size * 5 / 2) {
        for (unsigned i = 0; i < 3 * 16 * MIB / (size + 200); i++) {
            cache_put_size(&c, i, size);
            if (check_random(&(uint64_t){i}) % 10 == 0)
                cache_touch(&c, i);
            if (i % 512 == 0)
                l1_reclaim(c.l1);
        }
        fake_env_advance(&c.fake, 11 * NS_PER_S);
        cache_put_size(&c, 0, size);
        settle(&c);
        struct l1_gauges g = cache_gauges(&c);
        CHECK_LE(g.resident_bytes, g.cap_bytes * 110 / 100);
        /* What tables gave back has just become free: with lfu 22 bytes of each of the many entries
         * that went (with lru 8: 80 %). */
        CHECK_GE(g.used_bytes, g.cap_bytes * 70 / 100);
    }
    cache_audit(&c);
    cache_close(&c);
}

/* Passes when the last one asked for them, and no others, until none is asked for. */
static void idle(struct cache *c)
{
    for (int pass = 0; pass < PASSES_MAX; pass++) {
        uint64_t next_ns = l1_reclaim(c->l1);
        if (next_ns == CLOCK_NEVER_NS)
            return;
        uint64_t now_ns = clock_now_ns(c->fake.env.clock);
        fake_env_advance(&c->fake, next_ns > now_ns ? next_ns - now_ns : NS_PER_MS);
    }
    CHECK(!"it never rests");
}

static size_t mixed_size(unsigned number, unsigned largest)
{
    uint64_t random = number;
    uint64_t r = check_random(&random);
    return 16 + (r % 8 ? r / 8 % 600 : r / 8 % largest);
}

/* A random tenth of the bytes stays, of sizes from 16 B to 40 KB: one walk over it suffices. */
TEST(resident_memory_follows_with_mixed_sizes)
{
    struct cache c;
    cache_open(&c, 64 * MIB, 16);
    for (unsigned i = 0; i < 60000; i++) {
        cache_put_size(&c, i, mixed_size(i, 40000));
        if (i % 512 == 0)
            l1_reclaim(c.l1);
    }
    CHECK_GE(cache_gauges(&c).resident_bytes, 50 * MIB);
    REQUIRE_EQ(l1_set_memory(c.l1, 16 * MIB, 0), 0);
    idle(&c);
    struct l1_gauges g = cache_gauges(&c);
    CHECK_LE(g.resident_bytes, 16 * MIB * 110 / 100);
    CHECK_GE(g.used_bytes, 16 * MIB * 75 / 100);
    CHECK_LE(stats_read(&c.stats, STATS_L1_MOVE), 2 * g.entries);
    cache_audit(&c);
    cache_close(&c);
}

/* Nobody writes any more, and nobody has asked for less: what went leaves half-empty slabs. */
TEST(an_idle_cache_gives_back_what_it_does_not_use)
{
    enum { SMALL_ONES = 100000 };
    struct cache c;
    cache_open(&c, 24 * MIB, 16);
    for (unsigned i = 0; i < SMALL_ONES; i++)
        cache_put_size(&c, i, 100);
    cache_reclaim(&c);
    for (unsigned i = 0; i < SMALL_ONES; i++)
        if (i % 5)
            cache_remove(&c, i);
    cache_reclaim(&c);
    for (unsigned i = SMALL_ONES; i < SMALL_ONES + 6000; i++)
        cache_put_size(&c, i, 3000);
    idle(&c);
    struct l1_gauges g = cache_gauges(&c);
    CHECK_LE(g.resident_bytes, g.cap_bytes * 110 / 100);
    cache_audit(&c);
    cache_close(&c);
}

#endif
