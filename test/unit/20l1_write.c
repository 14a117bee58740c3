// SPDX-License-Identifier: MIT
// A writer's own value replaces what is there in one step; nothing older comes after it.

#include <pthread.h>

#include "support/l1_cache.h"

#define TAG 1500
#define SMALL 100u
#define LARGE 5000u /* made before the lock is taken */

static const size_t sizes[] = {SMALL, LARGE};

static enum l1_store_result write_value(struct cache *c, unsigned number,
                                        const struct l1_value *value, uint64_t ticket)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    return l1_write(c->l1, &key, value, ticket, 0, false);
}

static enum l1_store_result write_newer(struct cache *c, unsigned number, uint64_t version,
                                        const uint16_t *tag)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    struct l1_value v = cache_value(c, &version, sizeof(version));
    v.version = version;
    v.groups = tag;
    v.group_count = tag ? 1 : 0;
    return l1_write(c->l1, &key, &v, L1_TICKET_NOW, 0, true);
}

/* A value that begins with a number. */
static struct l1_value value_of(struct cache *c, unsigned *buffer, unsigned content, size_t len)
{
    memset(buffer, 0, len);
    *buffer = content;
    return cache_value(c, buffer, len);
}

static enum l1_store_result write_number(struct cache *c, unsigned number, unsigned content,
                                         size_t len)
{
    unsigned buffer[LARGE / sizeof(unsigned)];
    struct l1_value v = value_of(c, buffer, content, len);
    return write_value(c, number, &v, L1_TICKET_NOW);
}

/* 0: not there. */
static unsigned read_number(struct cache *c, unsigned number)
{
    struct nigh_value v;
    unsigned content;
    if (!cache_pin(c, number, &v))
        return 0;
    memcpy(&content, v.data, sizeof(content));
    l1_unpin(v.pin);
    return content;
}

TEST(a_write_replaces_and_is_charged_once)
{
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct cache c;
        cache_open(&c, 4 << 20, 2);
        CHECK_EQ(write_number(&c, 1, 11, sizes[i]), L1_STORED);
        uint64_t used = cache_gauges(&c).used_bytes;
        CHECK_EQ(write_number(&c, 1, 12, sizes[i]), L1_STORED);
        CHECK_EQ(read_number(&c, 1), 12);
        CHECK_EQ(cache_gauges(&c).entries, 1);
        CHECK_EQ(cache_gauges(&c).unstored_bytes, 0);
        cache_audit(&c);
        cache_reclaim(&c);
        CHECK_EQ(cache_gauges(&c).limbo_bytes, 0);
        CHECK_EQ(cache_gauges(&c).used_bytes, used);
        cache_audit(&c);
        cache_close(&c);
    }
}

/* Rules 1 and 6: who began to load before the write neither stores nor is joined. */
TEST(a_load_from_before_a_write_is_not_stored_after_it)
{
    struct cache c;
    cache_open(&c, 4 << 20, 2);
    struct name name;
    struct l1_key key = cache_key(&c, &name, 1);
    struct l1_value loading = cache_value(&c, "old", 3);
    CHECK_EQ(write_number(&c, 1, 11, SMALL), L1_STORED);
    CHECK_EQ(l1_key_floor(c.l1, &key), l1_ticket(c.l1));
    CHECK(!l1_key_current(c.l1, &key, loading.stamp));
    CHECK_EQ(cache_store(&c, 1, &loading), L1_REFUSED_FLOOR);
    CHECK_EQ(read_number(&c, 1), 11);
    cache_remove(&c, 1); /* nor when the value is gone meanwhile */
    CHECK_EQ(cache_store(&c, 1, &loading), L1_REFUSED_FLOOR);
    cache_close(&c);
}

TEST(a_load_from_before_a_plain_put_is_not_stored_after_it)
{
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++)
        for (unsigned there = 0; there < 2; there++) {
            struct cache c;
            struct name name;
            unsigned buffer[LARGE / sizeof(unsigned)];
            cache_open(&c, 4 << 20, 2);
            struct l1_key key = cache_key(&c, &name, 1);
            if (there)
                write_number(&c, 1, 10, sizes[i]);
            struct l1_value loading = cache_value(&c, "old", 3);
            struct l1_value v = value_of(&c, buffer, 11, sizes[i]);
            CHECK_EQ(l1_put(c.l1, &key, v.bytes, &cache_lifetimes), L1_STORED);
            CHECK(!l1_key_current(c.l1, &key, loading.stamp));
            CHECK_EQ(cache_store(&c, 1, &loading), L1_REFUSED_FLOOR);
            CHECK_EQ(read_number(&c, 1), 11);
            CHECK_EQ(cache_gauges(&c).entries, 1);
            cache_audit(&c);
            cache_close(&c);
        }
}

/* Puts with lifetimes of their own, and looks how long they are. */
static struct l1_entry *put_plain(struct cache *c, unsigned number, size_t len,
                                  const struct l1_lifetimes *lifetimes)
{
    static unsigned buffer[LARGE / sizeof(unsigned)];
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    REQUIRE_EQ(l1_put(c->l1, &key, bytes_of(buffer, len), lifetimes), L1_STORED);
    rcu_enter();
    struct l1_entry *e = l1_find_rcu(c->l1, &key);
    rcu_leave();
    REQUIRE(e);
    return e; /* nobody frees it meanwhile */
}

TEST(a_plain_put_lives_as_long_as_its_range_allows)
{
    const uint64_t ms = 1000 * 1000, tick = UINT64_C(1) << ENTRY_TICK_SHIFT;
    const struct l1_lifetimes lifetimes = {l1_span_of(9000 * ms, 2000 * ms),
                                           l1_span_of(400 * ms, 200 * ms)};
    struct cache c;
    cache_open(&c, 4 << 20, 2);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        uint64_t shortest = UINT64_MAX, longest = 0;
        for (unsigned n = 0; n < 400; n++) {
            fake_env_advance(&c.fake, 7 * ms);
            uint64_t now = clock_now_ns(c.fake.env.clock);
            struct l1_entry *e = put_plain(&c, n % 100, sizes[i], &lifetimes);
            uint64_t fresh = l1_entry_fresh_until_ns(e);
            uint64_t stale = l1_entry_stale_until_ns(e) - fresh;
            CHECK_LE((uint64_t)l1_entry_born_ns(e), now);
            CHECK_GT((uint64_t)l1_entry_born_ns(e) + tick, now);
            CHECK_GT(fresh + 2 * tick, now + 9000 * ms);
            CHECK_LE(fresh, now + 11000 * ms);
            CHECK_GT(stale + 2 * tick, 400 * ms);
            CHECK_LE(stale, 600 * ms);
            shortest = u64_min(shortest, fresh - now);
            longest = u64_max(longest, fresh - now);
        }
        CHECK_LT(shortest, 9300 * ms); /* 400 draws */
        CHECK_GT(longest, 10700 * ms);
        cache_reclaim(&c);
    }
    cache_close(&c);
}

/* A host's clock may be anywhere. */
TEST(a_plain_put_at_the_end_of_all_ticks_ends_there)
{
    struct cache c;
    cache_open(&c, 4 << 20, 2);
    uint64_t end_ns = (UINT64_C(1) << (ENTRY_FRESH_BITS + ENTRY_TICK_SHIFT)) - 1;
    fake_env_advance(&c.fake, end_ns - NS_PER_S - clock_now_ns(c.fake.env.clock));
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct l1_entry *e = put_plain(&c, (unsigned)i, sizes[i], &cache_lifetimes);
        CHECK_GT(l1_entry_fresh_until_ns(e), end_ns - NS_PER_S);
        CHECK_LE(l1_entry_fresh_until_ns(e), end_ns);
    }
    cache_close(&c);
}

/* The message about the write may be here before its writer is. */
TEST(a_floor_that_the_value_itself_has_raised_does_not_keep_it_out)
{
    struct cache c;
    cache_open(&c, 4 << 20, 2);
    struct name name;
    struct l1_key key = cache_key(&c, &name, 1);
    uint16_t groups[] = {TAG};
    unsigned buffer[SMALL / sizeof(unsigned)];
    struct l1_value v = value_of(&c, buffer, 1, SMALL);
    v.groups = groups;
    v.group_count = 1;
    uint64_t ticket = l1_ticket(c.l1);
    uint64_t heard = l1_invalidate_key(c.l1, &key, 0, 0, NULL);
    CHECK_EQ(l1_write(c.l1, &key, &v, ticket, 0, false), L1_REFUSED_FLOOR);
    ticket = l1_ticket(c.l1);
    heard = l1_invalidate_key(c.l1, &key, 0, 0, NULL);
    CHECK_EQ(l1_write(c.l1, &key, &v, ticket, heard, false), L1_STORED);
    ticket = l1_ticket(c.l1);
    heard = l1_invalidate_key(c.l1, &key, 0, 0, NULL);
    l1_invalidate_key(c.l1, &key, 0, 0, NULL); /* somebody else's, after it */
    CHECK_EQ(l1_write(c.l1, &key, &v, ticket, heard, false), L1_REFUSED_FLOOR);
    ticket = l1_ticket(c.l1);
    l1_raise_group(c.l1, TAG, false); /* the value may be from before that */
    heard = l1_invalidate_key(c.l1, &key, 0, 0, NULL);
    CHECK_EQ(l1_write(c.l1, &key, &v, ticket, heard, false), L1_REFUSED_FLOOR);
    cache_close(&c);
}

TEST(a_write_is_stamped_with_its_own_position)
{
    struct cache c;
    cache_open(&c, 4 << 20, 2);
    uint16_t groups[] = {TAG};
    unsigned buffer[SMALL / sizeof(unsigned)];
    struct l1_value v = value_of(&c, buffer, 1, SMALL);
    v.groups = groups;
    v.group_count = 1;
    l1_raise_group(c.l1, TAG, false); /* before the write: not its business */
    CHECK_EQ(write_value(&c, 1, &v, L1_TICKET_NOW), L1_STORED);
    struct name name;
    struct l1_key key = cache_key(&c, &name, 1);
    rcu_enter();
    struct l1_entry *e = l1_find_rcu(c.l1, &key);
    REQUIRE(e);
    CHECK_EQ(l1_entry_stamp(e), l1_ticket(c.l1));
    CHECK_EQ(l1_judge(c.l1, e), L1_CURRENT);
    l1_raise_group(c.l1, TAG, false);
    CHECK_EQ(l1_judge(c.l1, e), L1_BELOW_HARD);
    rcu_leave();
    cache_close(&c);
}

/* A tag's position may have been drawn since, and its floor not stand yet. */
TEST(a_write_with_a_ticket_is_no_newer_than_that)
{
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct cache c;
        cache_open(&c, 4 << 20, 2);
        unsigned buffer[LARGE / sizeof(unsigned)];
        struct l1_value v = value_of(&c, buffer, 1, sizes[i]);
        uint64_t ticket = l1_ticket(c.l1);
        l1_mark(c.l1);
        CHECK_EQ(write_value(&c, 1, &v, ticket), L1_STORED);
        struct name name;
        struct l1_key key = cache_key(&c, &name, 1);
        rcu_enter();
        struct l1_entry *e = l1_find_rcu(c.l1, &key);
        REQUIRE(e);
        CHECK_EQ(l1_entry_stamp(e), ticket);
        rcu_leave();
        cache_close(&c);
    }
}

/* Two writers whose replies swap: the one that was overtaken removes, and stores nothing. */
TEST(a_write_with_a_ticket_from_before_an_invalidation_only_removes)
{
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct cache c;
        cache_open(&c, 4 << 20, 2);
        uint16_t groups[] = {TAG};
        unsigned buffer[LARGE / sizeof(unsigned)];
        struct l1_value v = value_of(&c, buffer, 1, sizes[i]);
        v.groups = groups;
        v.group_count = 1;
        uint64_t ticket = l1_ticket(c.l1);
        CHECK_EQ(write_number(&c, 1, 2, SMALL), L1_STORED);
        CHECK_EQ(write_value(&c, 1, &v, ticket), L1_REFUSED_FLOOR);
        CHECK_EQ(read_number(&c, 1), 0);
        ticket = l1_ticket(c.l1);
        l1_raise_group(c.l1, TAG, true);
        CHECK_EQ(write_value(&c, 1, &v, ticket), L1_REFUSED_FLOOR);
        CHECK_EQ(write_value(&c, 1, &v, l1_ticket(c.l1)), L1_STORED);
        cache_audit(&c);
        cache_close(&c);
    }
}

TEST(a_newer_version_stays_and_an_older_one_goes)
{
    struct cache c;
    cache_open(&c, 4 << 20, 2);
    unsigned buffer[SMALL / sizeof(unsigned)];
    struct l1_value v = value_of(&c, buffer, 5, SMALL);
    v.version = 5;
    CHECK_EQ(write_value(&c, 1, &v, L1_TICKET_NOW), L1_STORED);
    v.version = 4;
    *buffer = 4;
    CHECK_EQ(write_value(&c, 1, &v, L1_TICKET_NOW), L1_REFUSED_VERSION);
    CHECK_EQ(read_number(&c, 1), 5);
    v.version = 6;
    *buffer = 6;
    CHECK_EQ(write_value(&c, 1, &v, 0), L1_REFUSED_FLOOR); /* but it goes */
    CHECK_EQ(read_number(&c, 1), 0);
    CHECK_EQ(write_value(&c, 1, &v, L1_TICKET_NOW), L1_STORED);
    cache_audit(&c);
    cache_close(&c);
}

/* Judged and stored under one lock: of two puts of one version, one is told that it came late. */
TEST(the_same_version_enters_once)
{
    struct cache c;
    cache_open(&c, 4 << 20, 2);
    uint16_t tag = TAG;
    CHECK_EQ(write_newer(&c, 1, 5, &tag), L1_STORED);
    CHECK_EQ(write_newer(&c, 1, 5, &tag), L1_REFUSED_VERSION);
    CHECK_EQ(write_newer(&c, 1, 4, &tag), L1_REFUSED_VERSION);
    CHECK_EQ(read_number(&c, 1), 5);
    CHECK_EQ(write_newer(&c, 1, 6, &tag), L1_STORED);
    l1_raise_group(c.l1, TAG, true); /* stale, but there */
    CHECK_EQ(write_newer(&c, 1, 6, &tag), L1_REFUSED_VERSION);
    l1_raise_group(c.l1, TAG, false); /* gone: whatever its version was */
    CHECK_EQ(write_newer(&c, 1, 5, &tag), L1_STORED);
    CHECK_EQ(read_number(&c, 1), 5);
    cache_audit(&c);
    cache_close(&c);
}

/* A put that is dropped must not leave the value that it was to replace. */
TEST(without_room_the_old_value_is_gone_all_the_same)
{
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct cache c;
        cache_open(&c, 4 << 20, 1);
        CHECK_EQ(write_number(&c, 7, 7, SMALL), L1_STORED);
        unsigned number = 0;
        while (write_number(&c, 100 + number % 100, 1, SMALL) != L1_REFUSED_FULL)
            number++; /* nothing is reclaimed: what is replaced fills limbo, then all */
        CHECK_GT(number, 20000);
        CHECK_EQ(read_number(&c, 100 + number % 100), 0);
        CHECK_EQ(read_number(&c, 7), 7);
        uint64_t removed = stats_read(&c.stats, STATS_L1_REMOVE);
        CHECK_EQ(write_number(&c, 7, 8, sizes[i]), L1_REFUSED_FULL);
        CHECK_EQ(stats_read(&c.stats, STATS_L1_REMOVE), removed + 1);
        CHECK_EQ(read_number(&c, 7), 0);
        cache_audit(&c);
        cache_reclaim(&c);
        CHECK_EQ(write_number(&c, 7, 9, sizes[i]), L1_STORED);
        CHECK_EQ(read_number(&c, 7), 9);
        cache_audit(&c);
        cache_close(&c);
    }
}

/* What the policy has let in once need not win against a stranger to get a new value. */
TEST(a_key_that_is_there_does_not_contest_for_its_new_value)
{
    struct cache c;
    fake_env_init(&c.fake, check_seed());
    struct l1_config config = cache_config(&c, 1 << 20, 1);
    config.policy = NIGH_POLICY_LFU;
    cache_open_config(&c, config);
    for (unsigned i = 0; i < 20000; i++) {
        write_number(&c, i, i + 1, SMALL);
        if (i % 64 == 0)
            l1_reclaim(c.l1);
    }
    unsigned present = 0;
    for (unsigned i = 0; i < 20000; i++) {
        if (i % 64 == 0)
            l1_reclaim(c.l1);
        if (!cache_has(&c, i))
            continue;
        present++;
        CHECK_EQ(write_number(&c, i, 1, SMALL), L1_STORED);
    }
    CHECK_GT(present, 1000);
    cache_audit(&c);
    cache_close(&c);
}

/* ---- readers meanwhile ---- */

#define WRITES_MIN 20000u
#define LOOKS_MIN 1000u
#define PATIENCE_MS 60000

struct watch {
    struct cache *c;
    _Atomic bool stop;
    _Atomic uint64_t looks;
    uint64_t holes, backwards;
};

static void *watch_one(void *arg)
{
    struct watch *w = arg;
    unsigned last = 0;
    while (!atomic_load_explicit(&w->stop, memory_order_relaxed)) {
        unsigned seen = read_number(w->c, 1);
        atomic_fetch_add_explicit(&w->looks, 1, memory_order_relaxed);
        w->holes += !seen;
        w->backwards += seen < last;
        last = seen;
    }
    return NULL;
}

/* A busy machine may let the writer run for long before the reader. */
static bool is_watched_enough(struct watch *w)
{
    return atomic_load_explicit(&w->looks, memory_order_relaxed) >= LOOKS_MIN;
}

TEST(readers_never_see_a_hole_nor_an_older_value)
{
    struct cache c;
    cache_open(&c, 4 << 20, 2);
    struct watch w = {.c = &c};
    pthread_t thread;
    write_number(&c, 1, 1, SMALL);
    REQUIRE_EQ(pthread_create(&thread, NULL, watch_one, &w), 0);
    uint64_t end_ms = check_now_ms() + PATIENCE_MS;
    for (unsigned i = 2; i < WRITES_MIN || !is_watched_enough(&w); i++) {
        if (i % 64 == 0)
            l1_reclaim(c.l1);
        REQUIRE_EQ(write_number(&c, 1, i, i % 2 ? SMALL : LARGE), L1_STORED);
        REQUIRE(i % 1024 || check_now_ms() < end_ms);
    }
    atomic_store_explicit(&w.stop, true, memory_order_relaxed);
    pthread_join(thread, NULL);
    CHECK_EQ(w.holes, 0);
    CHECK_EQ(w.backwards, 0);
    cache_audit(&c);
    cache_close(&c);
}
