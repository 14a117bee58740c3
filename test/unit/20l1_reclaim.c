// SPDX-License-Identifier: MIT
// Limbo: bounded, counted, emptied; a reader that is stuck costs values, never memory or time.

#include <pthread.h>

#include "l1/limbo.h"
#include "l1/pin.h"
#include "l1/pin_scan.h"
#include "support/l1_cache.h"

#define MEMORY (4u << 20)

TEST(retired_bytes_are_counted_until_freed)
{
    struct cache c;
    cache_open(&c, MEMORY, 4);
    for (unsigned i = 0; i < 1000; i++)
        cache_put_size(&c, i, 100);
    uint64_t full = cache_gauges(&c).used_bytes;
    for (unsigned i = 0; i < 1000; i++)
        cache_remove(&c, i);
    CHECK_EQ(cache_gauges(&c).used_bytes, full);
    CHECK_GE(cache_gauges(&c).limbo_bytes, 1000 * 100);
    cache_audit(&c);
    l1_reclaim(c.l1);
    l1_reclaim(c.l1);
    CHECK_EQ(cache_gauges(&c).limbo_bytes, 0);
    CHECK_EQ(cache_gauges(&c).used_bytes, cache_gauges(&c).tables_bytes);
    cache_audit(&c);
    cache_close(&c);
}

TEST(a_writer_frees_as_much_as_it_retires)
{
    struct cache c;
    cache_open(&c, MEMORY, 1);
    for (unsigned i = 0; i < 100; i++)
        cache_put_size(&c, i, 100);
    for (unsigned i = 0; i < 100; i++)
        cache_remove(&c, i);
    l1_reclaim(c.l1); /* one pass: judged, not freed */
    uint64_t limbo = cache_gauges(&c).limbo_bytes;
    CHECK_GT(limbo, 0);
    for (unsigned i = 0; i < 50; i++)
        cache_put_size(&c, i, 100);
    CHECK_EQ(cache_gauges(&c).limbo_bytes, limbo / 2);
    l1_reclaim(c.l1); /* somebody is at it: it is left to him */
    CHECK_EQ(cache_gauges(&c).limbo_bytes, limbo / 2);
    l1_reclaim(c.l1); /* nobody came */
    CHECK_EQ(cache_gauges(&c).limbo_bytes, 0);
    cache_audit(&c);
    cache_close(&c);
}

/* More than limbo's half, and the writers alone bring it down. */
TEST(writers_free_more_when_much_is_waiting)
{
    struct cache c;
    cache_open(&c, MEMORY, 1);
    unsigned count = MEMORY / 16 / 160;
    for (unsigned i = 0; i < count; i++)
        cache_put_size(&c, i, 100);
    for (unsigned i = 0; i < count; i++)
        cache_remove(&c, i);
    l1_reclaim(c.l1);
    for (unsigned i = 0; i < count / 10; i++)
        cache_put_size(&c, i, 100);
    CHECK_LE(cache_gauges(&c).limbo_bytes, MEMORY / 32);
    cache_audit(&c);
    cache_close(&c);
}

TEST(comes_again_while_something_waits)
{
    struct cache c;
    cache_open(&c, MEMORY, 1);
    uint64_t now = clock_now_ns(c.fake.env.clock);
    CHECK_EQ(l1_reclaim(c.l1), CLOCK_NEVER_NS);
    cache_put_size(&c, 1, 100);
    struct nigh_value v;
    REQUIRE(cache_pin(&c, 1, &v));
    cache_remove(&c, 1);
    uint64_t next = l1_reclaim(c.l1);
    CHECK(next > now && next <= now + 100 * NS_PER_MS);
    l1_unpin(v.pin);
    l1_reclaim(c.l1);
    CHECK(cache_rests(&c));
    cache_close(&c);
}

static void count_poke(void *arg)
{
    ++*(unsigned *)arg;
}

TEST(pokes_at_the_first_byte_and_at_half)
{
    struct cache c;
    cache_open(&c, MEMORY, 1);
    unsigned pokes = 0;
    l1_set_reclaim_poke(c.l1, count_poke, &pokes);
    for (unsigned i = 0; i < 8; i++)
        cache_put_size(&c, i, 32720); /* four are half of the 256 KiB that limbo holds */
    CHECK_EQ(pokes, 0);
    cache_remove(&c, 0);
    CHECK_EQ(pokes, 1);
    cache_remove(&c, 1);
    cache_remove(&c, 2);
    CHECK_EQ(pokes, 1);
    cache_remove(&c, 3);
    CHECK_EQ(pokes, 2);
    cache_remove(&c, 4);
    CHECK_EQ(pokes, 2);
    cache_close(&c);
}

struct stuck {
    _Atomic bool inside;
    _Atomic bool leave;
};

static void *sit_in_a_section(void *arg)
{
    struct stuck *stuck = arg;
    rcu_enter();
    atomic_store_explicit(&stuck->inside, true, memory_order_release);
    while (!atomic_load_explicit(&stuck->leave, memory_order_acquire))
        check_pause();
    rcu_leave();
    return NULL;
}

static void *reclaim_once(void *arg)
{
    struct cache *c = arg;
    l1_reclaim(c->l1);
    return NULL;
}

/* A write storm while a grace period cannot end: the writer is this thread, so if it blocked, the
 * test would not end. */
TEST(a_stuck_reader_blocks_no_writer_and_breaks_no_cap)
{
    struct cache c;
    cache_open(&c, MEMORY, 4);
    struct stuck stuck = {false, false};
    pthread_t reader, reclaimer;
    REQUIRE_EQ(pthread_create(&reader, NULL, sit_in_a_section, &stuck), 0);
    CHECK_WITHIN(20000, atomic_load_explicit(&stuck.inside, memory_order_acquire));
    unsigned stored = 0, refused = 0;
    for (unsigned i = 0; i < 200000; i++) {
        if (i == 1000) /* its grace period waits for the reader */
            REQUIRE_EQ(pthread_create(&reclaimer, NULL, reclaim_once, &c), 0);
        enum l1_store_result result = cache_put_size(&c, i % 60000, 100);
        CHECK(result == L1_STORED || result == L1_REFUSED_FULL);
        stored += result == L1_STORED;
        refused += result == L1_REFUSED_FULL;
    }
    struct l1_gauges g = cache_gauges(&c);
    CHECK_GT(stored, 10000);
    CHECK_GT(refused, 100000);
    CHECK_LE(g.peak_bytes, MEMORY);
    uint64_t retired = cache_retired_bytes(&c);
    CHECK_LE(retired, MEMORY / 16 + 1000);
    CHECK_GE(g.limbo_bytes, MEMORY / 16); /* with the tables that doubled */
    cache_audit(&c);

    atomic_store_explicit(&stuck.leave, true, memory_order_release);
    pthread_join(reader, NULL);
    pthread_join(reclaimer, NULL);
    cache_reclaim(&c);
    CHECK_EQ(cache_put_size(&c, 1000000, 100), L1_STORED); /* and all is well again */
    cache_audit(&c);
    cache_close(&c);
}

static uint64_t limbo_of(struct cache *c)
{
    uint64_t spare = 0; /* what shards have been allowed, and have not used */
    for (uint32_t i = 0; i <= c->l1->shard_mask; i++) {
        l1_shard_lock(&c->l1->shards[i]);
        spare += c->l1->shards[i].limbo_spare_bytes;
        l1_shard_unlock(c->l1, &c->l1->shards[i]);
    }
    return atomic_load_explicit(&c->l1->limbo, memory_order_relaxed) - spare;
}

/* An entry more than the cap, at most. */
#define LIMBO_MAX (MEMORY / 16 + 1000)

TEST(removals_are_never_refused_by_a_full_limbo_nor_fill_it_further)
{
    struct cache c;
    cache_open(&c, MEMORY, 4);
    for (unsigned i = 0; i < 10000; i++)
        cache_put_size(&c, i, 100);
    cache_reclaim(&c); /* tables */
    uint64_t used = cache_gauges(&c).used_bytes;
    for (unsigned i = 0; i < 10000; i++) {
        cache_remove(&c, i);
        CHECK(!cache_has(&c, i));
        CHECK_LE(limbo_of(&c), LIMBO_MAX);
    }
    struct l1_gauges g = cache_gauges(&c);
    CHECK_EQ(g.entries, 0);
    CHECK_EQ(g.limbo_bytes, limbo_of(&c) + g.aside_bytes);
    CHECK_EQ(g.limbo_bytes, cache_retired_bytes(&c));
    CHECK_GT(g.aside_bytes, 10000 * 100 - MEMORY / 16);
    CHECK_EQ(g.used_bytes, used);
    cache_audit(&c);
    cache_reclaim(&c);
    CHECK_EQ(cache_gauges(&c).aside_bytes, 0);
    CHECK_EQ(cache_gauges(&c).used_bytes, cache_gauges(&c).tables_bytes);
    cache_close(&c);
}

TEST(what_is_set_aside_is_kept_for_who_holds_it)
{
    struct cache c;
    cache_open(&c, MEMORY, 1);
    struct nigh_value held;
    for (unsigned i = 0; i < 10000; i++)
        cache_put(&c, i, &i, sizeof(i));
    cache_reclaim(&c);
    REQUIRE(cache_pin(&c, 9999, &held));
    for (unsigned i = 0; i < 10000; i++)
        cache_remove(&c, i);
    CHECK_GT(cache_gauges(&c).aside_bytes, 0);
    uint64_t pins, bytes;
    for (int pass = 0; pass < 2; pass++) {
        cache_reclaim(&c);
        l1_pins_read(c.l1, &pins, &bytes);
        CHECK_GT(bytes, 0);
        CHECK_EQ(cache_gauges(&c).limbo_bytes, bytes);
        CHECK_EQ(*(const unsigned *)held.data, 9999);
        cache_audit(&c);
    }
    l1_unpin(held.pin);
    cache_reclaim(&c);
    CHECK_EQ(cache_gauges(&c).limbo_bytes, 0);
    cache_audit(&c);
    cache_close(&c);
}

/* Keys are written and invalidated all the time while nothing can be freed: limbo keeps its cap,
 * the memory its own, and what was written last is found as long as there is room for it. */
TEST(a_storm_of_invalidations_beside_a_stuck_reader_breaks_no_cap)
{
    struct cache c;
    cache_open(&c, MEMORY, 4);
    for (unsigned i = 0; i < 1000; i++)
        cache_put_size(&c, i, 300);
    cache_reclaim(&c);
    struct stuck stuck = {false, false};
    pthread_t reader, reclaimer;
    REQUIRE_EQ(pthread_create(&reader, NULL, sit_in_a_section, &stuck), 0);
    CHECK_WITHIN(20000, atomic_load_explicit(&stuck.inside, memory_order_acquire));
    unsigned stored = 0;
    for (unsigned i = 0; i < 100000; i++) {
        if (i == 2000) /* what is aside by now waits behind the reader, too */
            REQUIRE_EQ(pthread_create(&reclaimer, NULL, reclaim_once, &c), 0);
        if (i % 3 == 0)
            cache_remove(&c, i % 1000);
        stored += cache_put_size(&c, i % 1000, 300) == L1_STORED;
        CHECK_LE(limbo_of(&c), LIMBO_MAX);
    }
    CHECK_GT(stored, 5000); /* all that there is room for: limbo's share ended after 700 */
    CHECK_LT(stored, 12000);
    CHECK_LE(cache_gauges(&c).peak_bytes, MEMORY);
    CHECK_GT(cache_gauges(&c).aside_bytes, MEMORY / 2);
    cache_audit(&c);

    atomic_store_explicit(&stuck.leave, true, memory_order_release);
    pthread_join(reader, NULL);
    pthread_join(reclaimer, NULL);
    cache_reclaim(&c);
    CHECK_EQ(cache_gauges(&c).limbo_bytes, 0);
    CHECK_EQ(cache_put_size(&c, 1, 300), L1_STORED);
    cache_audit(&c);
    cache_close(&c);
}

/* Pinned bytes are live bytes: were they limbo, nothing could be evicted any more. */
TEST(pinned_values_shrink_the_cache_but_do_not_stop_it)
{
    struct cache c;
    cache_open(&c, MEMORY, 1);
    struct nigh_value held[200];
    for (unsigned i = 0; i < 200; i++) {
        REQUIRE_EQ(cache_put_size(&c, i, 4000), L1_STORED);
        REQUIRE(cache_pin(&c, i, &held[i])); /* 800 KB: three times limbo's cap */
    }
    for (unsigned i = 0; i < 20000; i++) {
        cache_put_size(&c, 1000 + i, 1000);
        if (i % 64 == 0)
            l1_reclaim(c.l1);
    }
    cache_reclaim(&c);
    uint64_t pins, bytes;
    l1_pins_read(c.l1, &pins, &bytes);
    CHECK_EQ(pins, 200);
    CHECK_GE(bytes, 200 * 4000);
    CHECK_EQ(cache_put_size(&c, 5, 4000), L1_STORED);
    CHECK_GT(cache_gauges(&c).entries, 1000);
    CHECK_LE(cache_gauges(&c).peak_bytes, MEMORY);
    cache_audit(&c);
    for (unsigned i = 0; i < 200; i++)
        l1_unpin(held[i].pin);
    cache_reclaim(&c);
    l1_pins_read(c.l1, &pins, &bytes);
    CHECK_EQ(pins + bytes, 0);
    cache_audit(&c);
    cache_close(&c);
}

TEST(more_pins_than_one_batch_are_all_respected)
{
    struct cache c;
    cache_open(&c, MEMORY, 1);
    struct nigh_value held[250];
    for (unsigned i = 0; i < 3000; i++) {
        REQUIRE_EQ(cache_put(&c, i, &i, sizeof(i)), L1_STORED);
        if (i % 12 == 0)
            REQUIRE(cache_pin(&c, i, &held[i / 12]));
    }
    for (unsigned i = 0; i < 3000; i++)
        cache_remove(&c, i);
    cache_reclaim(&c);
    for (unsigned i = 0; i < 250; i++) {
        unsigned expected = i * 12;
        CHECK_MEM(held[i].data, held[i].len, &expected, sizeof(expected));
        l1_unpin(held[i].pin);
    }
    cache_reclaim(&c);
    CHECK_EQ(cache_gauges(&c).limbo_bytes, 0);
    cache_audit(&c);
    cache_close(&c);
}

/* ---- a value replaced by one as large ---- */

/* Its memory comes from what is ready: nothing is charged anew. */
TEST(a_replaced_value_takes_the_memory_of_one_before)
{
    struct cache c;
    cache_open(&c, MEMORY, 1);
    for (unsigned i = 0; i < 300; i++)
        cache_own(&c, i, 100);
    struct l1_gauges g = cache_gauges(&c);
    uint64_t live = g.used_bytes - g.tables_bytes;
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < 300; i++)
            REQUIRE_EQ(cache_own(&c, i, 100), L1_STORED);
        l1_reclaim(c.l1);
        CHECK_EQ(cache_gauges(&c).entries, 300);
        cache_audit(&c);
    }
    g = cache_gauges(&c);
    CHECK_LE(g.used_bytes - g.tables_bytes, 3 * live);
    cache_own(&c, 7, 500); /* as large as none of them */
    cache_own(&c, 7, 100);
    cache_audit(&c);
    cache_reclaim(&c);
    g = cache_gauges(&c);
    CHECK_EQ(g.limbo_bytes, 0);
    CHECK_EQ(g.used_bytes - g.tables_bytes, live);
    cache_audit(&c);
    cache_close(&c);
}

struct held {
    struct nigh_value value;
    char before[100];
};

static void hold(struct cache *c, unsigned key, struct held *h)
{
    REQUIRE(cache_pin(c, key, &h->value));
    memcpy(h->before, h->value.data, sizeof(h->before));
}

/* Ends a case: what was held is as it was, and then nothing is left in limbo. */
static void let_go_and_close(struct cache *c, struct held *h, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        CHECK(memcmp(h[i].before, h[i].value.data, sizeof(h[i].before)) == 0);
        l1_unpin(h[i].value.pin);
    }
    cache_reclaim(c);
    CHECK_EQ(cache_gauges(c).limbo_bytes, 0);
    cache_audit(c);
    cache_close(c);
}

/* A batch of which some are held is taken apart, one of which none is goes on as a whole. */
TEST(memory_of_a_held_value_is_not_used_again)
{
    struct cache c;
    cache_open(&c, MEMORY, 1);
    struct held held[30];
    for (unsigned i = 0; i < 300; i++)
        cache_own(&c, i, 100);
    for (unsigned i = 0; i < 30; i++)
        hold(&c, i * 10, &held[i]);
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 300; i++)
            REQUIRE_EQ(cache_own(&c, i, 100), L1_STORED);
        l1_reclaim(c.l1);
        cache_audit(&c);
    }
    let_go_and_close(&c, held, ARRAY_COUNT(held));
}

/* What is ready first may have another size: one behind it is taken, and none is lost. */
TEST(values_of_several_sizes_take_the_memory_of_their_like)
{
    struct cache c;
    cache_open(&c, MEMORY, 1);
    static const size_t sizes[] = {100, 100, 300, 100, 100, 700};
    struct held held[10];
    for (unsigned round = 0; round < 60; round++) {
        for (unsigned i = 0; i < 200; i++)
            REQUIRE_EQ(cache_own(&c, i, sizes[(i + round / 20) % ARRAY_COUNT(sizes)]), L1_STORED);
        for (unsigned i = 0; round == 30 && i < ARRAY_COUNT(held); i++)
            hold(&c, i * 7, &held[i]);
        l1_reclaim(c.l1);
        CHECK_EQ(cache_gauges(&c).entries, 200);
        cache_audit(&c);
    }
    let_go_and_close(&c, held, ARRAY_COUNT(held));
}

/* Shards count in advance what they will retire: what is left of it goes back when they rest. */
TEST(allowances_are_given_back)
{
    struct cache c;
    cache_open(&c, MEMORY, 4);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 1000; i++)
            cache_own(&c, i, 16 + round);
        l1_reclaim(c.l1);
        CHECK_LE(limbo_of(&c), LIMBO_MAX);
        cache_audit(&c);
    }
    cache_reclaim(&c);
    CHECK_EQ(atomic_load_explicit(&c.l1->limbo, memory_order_relaxed), 0);
    CHECK(cache_rests(&c));
    cache_close(&c);
}

/* A replaced value in each of many shards is little, whatever they count in advance. */
TEST(allowances_do_not_keep_the_reclaimer_busy)
{
    struct cache c;
    unsigned pokes = 0;
    cache_open(&c, (uint64_t)1 << 30, 256);
    for (unsigned i = 0; i < 4000; i++)
        cache_own(&c, i, 100);
    l1_set_reclaim_poke(c.l1, count_poke, &pokes);
    for (unsigned i = 0; i < 4000; i++)
        cache_own(&c, i, 100);
    CHECK_EQ(pokes, 1); /* that there is something */
    l1_reclaim(c.l1);
    CHECK_GT(l1_reclaim(c.l1), clock_now_ns(c.fake.env.clock));
    cache_close(&c);
}

/* ---- what a pass looks at ---- */

TEST(a_pass_looks_at_all_pins_once_however_many_shards_have_something)
{
    struct cache c;
    cache_open(&c, (uint64_t)64 << 20, 256);
    for (unsigned i = 0; i < 4000; i++)
        cache_own(&c, i, 100);
    cache_reclaim(&c);
    for (unsigned i = 0; i < 4000; i++)
        cache_own(&c, i, 100);
    uint64_t scans = pin_scans();
    l1_reclaim(c.l1);
    CHECK_EQ(pin_scans() - scans, 1);
    CHECK_GE(l1_reclaim(c.l1), 1); /* nobody came: freed, and nothing was to be judged */
    CHECK_EQ(pin_scans() - scans, 1);
    CHECK_EQ(cache_gauges(&c).limbo_bytes, 0);
    cache_audit(&c);
    cache_close(&c);
}

/* Removed while limbo is full and while it is not, held and not, in each of many shards, more than
 * are judged at once. */
TEST(more_than_one_batch_from_many_shards)
{
    enum { COUNT = 6000, EACH = 13 };
    static struct nigh_value held[COUNT / EACH + 1];
    struct cache c;
    cache_open(&c, MEMORY, 32);
    CHECK_LT(c.l1->reclaim.batch.max, COUNT / 8);
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < COUNT; i++)
            REQUIRE_EQ(cache_put(&c, i, &i, sizeof(i)), L1_STORED);
        for (unsigned i = 0; i < COUNT; i += EACH)
            REQUIRE(cache_pin(&c, i, &held[i / EACH]));
        for (unsigned i = 0; i < COUNT; i++)
            cache_remove(&c, i);
        CHECK_GT(cache_gauges(&c).aside_bytes, 0);
        uint64_t scans = pin_scans();
        cache_reclaim(&c);
        CHECK_GE(pin_scans() - scans, COUNT / c.l1->reclaim.batch.max);
        CHECK_EQ(cache_gauges(&c).limbo_bytes, cache_gauges(&c).pinned_bytes);
        CHECK_EQ(c.l1->reclaim.held_count, COUNT / EACH + 1);
        cache_audit(&c);
        for (unsigned i = 0; i < COUNT; i += EACH) {
            CHECK_EQ(*(const unsigned *)held[i / EACH].data, i);
            l1_unpin(held[i / EACH].pin);
        }
        cache_reclaim(&c);
        CHECK_EQ(c.l1->reclaim.held_count, 0);
        CHECK_EQ(cache_gauges(&c).limbo_bytes, 0);
        CHECK_EQ(cache_gauges(&c).used_bytes, cache_gauges(&c).tables_bytes);
        cache_audit(&c);
    }
    cache_close(&c);
}

/* With the lock of one held here that has nothing to do with it, it would not come back. */
TEST(a_pass_leaves_shards_alone_that_have_nothing)
{
    struct cache c;
    cache_open(&c, (uint64_t)256 << 20, 4096);
    struct name name;
    struct l1_key key = cache_key(&c, &name, 1);
    struct l1_shard *own = l1_shard_of(c.l1, key.hash);
    struct l1_shard *other = &c.l1->shards[own == &c.l1->shards[4000] ? 3000 : 4000];
    cache_reclaim(&c);
    struct nigh_value v;
    cache_put_size(&c, 1, 100);
    REQUIRE(cache_pin(&c, 1, &v));
    l1_shard_lock(other);
    cache_remove(&c, 1);
    for (int pass = 0; pass < 50; pass++)
        l1_reclaim(c.l1);
    CHECK_EQ(c.l1->reclaim.held_count, 1);
    l1_unpin(v.pin);
    l1_reclaim(c.l1);
    CHECK_EQ(c.l1->reclaim.held_count, 0);
    l1_shard_unlock(c.l1, other);
    cache_close(&c);
}

/* Passes that the reclaimer makes in so much time, which the test moves on. */
static unsigned passes_in(struct cache *c, uint64_t ns)
{
    uint64_t end_ns = clock_now_ns(c->fake.env.clock) + ns;
    unsigned passes = 0;
    for (;;) {
        uint64_t next_ns = l1_reclaim(c->l1);
        uint64_t now_ns = clock_now_ns(c->fake.env.clock);
        passes++;
        if (next_ns >= end_ns)
            return passes;
        fake_env_advance(&c->fake, next_ns > now_ns ? next_ns - now_ns : 0);
    }
}

TEST(what_is_held_for_long_is_looked_at_less_often)
{
    struct cache c;
    cache_open(&c, MEMORY, 4);
    struct nigh_value a, b;
    for (unsigned i = 1; i <= 20; i++)
        cache_put_size(&c, i, 100);
    REQUIRE(cache_pin(&c, 1, &a));
    cache_remove(&c, 1);
    CHECK_LE(passes_in(&c, 60 * NS_PER_S), 75); /* 60, and some to find out */
    /* What is let go comes back within a second, or at once beside something else. */
    REQUIRE(cache_pin(&c, 2, &b));
    cache_remove(&c, 2);
    l1_reclaim(c.l1);
    l1_unpin(b.pin);
    CHECK_LE(passes_in(&c, NS_PER_S + NS_PER_MS), 10); /* as it freed something, some soon again */
    CHECK_EQ(c.l1->reclaim.held_count, 1);
    l1_unpin(a.pin);
    passes_in(&c, NS_PER_S + NS_PER_MS);
    CHECK_EQ(c.l1->reclaim.held_count, 0);
    CHECK(cache_rests(&c));
    cache_audit(&c);
    cache_close(&c);
}

/* Readers that hold each for a moment: what they hold is gone soon after. */
TEST(what_is_held_shortly_is_looked_at_soon)
{
    struct cache c;
    cache_open(&c, MEMORY, 4);
    for (unsigned i = 0; i < 100; i++) {
        struct nigh_value v;
        cache_put_size(&c, i, 100);
        REQUIRE(cache_pin(&c, i, &v));
        cache_remove(&c, i);
        l1_reclaim(c.l1);
        CHECK_LE(c.l1->reclaim.held_count, 2);
        l1_unpin(v.pin);
        passes_in(&c, 30 * NS_PER_MS);
        CHECK_EQ(c.l1->reclaim.held_count, 0);
        fake_env_advance(&c.fake, 30 * NS_PER_MS);
    }
    cache_close(&c);
}
