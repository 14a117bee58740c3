// SPDX-License-Identifier: MIT
// What came and what left is counted once, by its cause, in the set of its space; while spaces are
// opened, and others read.

#include <pthread.h>
#include <sched.h>

#include <nigh/error.h>

#include "l1/leave.h"
#include "l1/tally.h"
#include "support/l1_cache.h"

static struct l1_level level(struct cache *c, const struct stats *set)
{
    struct l1_level l;
    l1_level_read(c->l1, set, &l);
    return l;
}

static void store_in(struct cache *c, uint32_t space, unsigned number, size_t len,
                     uint64_t until_ns)
{
    static const char zeros[4096];
    struct l1_key key = l1_key_of(c->l1, space, &number, sizeof(number));
    struct l1_value v = cache_value(c, zeros, len);
    struct l1_entry *e;
    v.fresh_until_ns = v.stale_until_ns = until_ns;
    REQUIRE_EQ(l1_entry_create(c->l1, &key, &v, &e), 0);
    CHECK_EQ(l1_store(c->l1, &key, e), L1_STORED);
    l1_entry_unref(e);
}

static void invalidate_in(struct cache *c, uint32_t space, unsigned number)
{
    struct l1_key key = l1_key_of(c->l1, space, &number, sizeof(number));
    l1_invalidate_key(c->l1, &key, 0, 0, NULL);
}

/* What a set says is there is what the rings hold. */
static void check_level(struct cache *c, const struct stats *set)
{
    uint64_t entries;
    uint64_t bytes = cache_walk(c, true, &entries);
    CHECK_EQ(level(c, set).entries, entries);
    CHECK_EQ(level(c, set).bytes, bytes);
}

/* One visit to the shards gives what two give. */
static void check_level_count(struct cache *c, struct stats *set)
{
    uint64_t all[STATS_COUNTER_COUNT], own[STATS_COUNTER_COUNT];
    struct l1_level l;
    stats_read_all(set, all);
    stats_read_own(set, own);
    l1_level_count(c->l1, set, &l, own);
    for (unsigned i = 0; i < STATS_COUNTER_COUNT; i++)
        CHECK_EQ(own[i], all[i]);
    CHECK(l.entries == level(c, set).entries && l.bytes == level(c, set).bytes);
}

TEST(each_cause_has_a_counter_of_its_own)
{
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_LRU, 4 << 20, 2);
    for (unsigned i = 0; i < 100; i++)
        store_in(&c, CACHE_SPACE, i, 100, i < 60 ? CLOCK_NEVER_NS : 5 * NS_PER_S);
    check_level(&c, &c.stats);
    for (unsigned i = 0; i < 10; i++)
        invalidate_in(&c, CACHE_SPACE, i);
    store_in(&c, CACHE_SPACE, 20, 3000, CLOCK_NEVER_NS); /* in the place of another: none came */
    CHECK_EQ(level(&c, &c.stats).entries, 90);
    check_level(&c, &c.stats);
    check_level_count(&c, &c.stats);
    fake_env_advance(&c.fake, 3600 * NS_PER_S);
    l1_expire(c.l1, UINT32_MAX);
    CHECK_EQ(stats_read(&c.stats, STATS_L1_EXPIRE), 40);
    CHECK_EQ(stats_read(&c.stats, STATS_L1_REMOVE), 10);
    for (uint32_t i = 0; i < 2; i++) {
        l1_shard_lock(&c.l1->shards[i]);
        CHECK_GT(l1_shard_evict_locked(c.l1, &c.l1->shards[i]), 0);
        CHECK_GT(l1_shard_shed_locked(c.l1, &c.l1->shards[i], 2), 0);
        l1_shard_unlock(c.l1, &c.l1->shards[i]);
    }
    CHECK_EQ(stats_read(&c.stats, STATS_L1_EVICT), 6);
    CHECK_EQ(stats_read(&c.stats, STATS_L1_SHED), 4);
    check_level(&c, &c.stats);
    l1_drop_space(c.l1, CACHE_SPACE);
    uint64_t all[STATS_COUNTER_COUNT];
    stats_read_all(&c.stats, all);
    CHECK_EQ(all[STATS_L1_DROP], 44);
    CHECK_EQ(all[STATS_L1_EVICT], 6);
    CHECK_EQ(level(&c, &c.stats).entries, 0);
    CHECK_EQ(level(&c, &c.stats).bytes, 0);
    cache_close(&c);
}

/* ---- sets of spaces ---- */

enum { SPACES = 40, KEYS = 50 };

struct crowd {
    struct cache c;
    struct stats sets[SPACES + 1];
    struct l1_space spaces[SPACES + 1];
    _Atomic uint32_t opened;
    _Atomic bool over;
};

static void open_space(struct crowd *w, uint32_t id)
{
    REQUIRE_EQ(stats_init(&w->sets[id], w->c.fake.env.mem), 0);
    l1_space_init(w->c.l1, id, (uint16_t)id, &w->spaces[id]);
    REQUIRE_EQ(l1_space_count_in(w->c.l1, id, &w->sets[id]), 0);
    atomic_store(&w->opened, id);
}

/* Stores and removes in the spaces that there are, all but the last one's removals. */
static void *write_all(void *arg)
{
    struct crowd *w = arg;
    for (uint32_t id = 1; id <= SPACES; id++) {
        while (atomic_load(&w->opened) < id)
            sched_yield();
        for (unsigned i = 0; i < KEYS + id; i++)
            store_in(&w->c, id, i, 100, CLOCK_NEVER_NS);
        for (unsigned i = 0; i < id; i++)
            invalidate_in(&w->c, id, i);
    }
    return NULL;
}

static void *read_all(void *arg)
{
    struct crowd *w = arg;
    while (!atomic_load(&w->over))
        for (uint32_t id = 1; id <= atomic_load(&w->opened); id++) {
            CHECK_LE(level(&w->c, &w->sets[id]).entries, KEYS + id);
            CHECK_LE(stats_read(&w->sets[id], STATS_L1_REMOVE), id);
        }
    return NULL;
}

TEST(spaces_are_opened_while_others_count_and_read)
{
    static struct crowd w;
    pthread_t writer, reader;
    cache_open_policy(&w.c, NIGH_POLICY_LRU, 16 << 20, 4);
    REQUIRE(pthread_create(&writer, NULL, write_all, &w) == 0);
    REQUIRE(pthread_create(&reader, NULL, read_all, &w) == 0);
    for (uint32_t id = 1; id <= SPACES; id++)
        open_space(&w, id);
    pthread_join(writer, NULL);
    atomic_store(&w.over, true);
    pthread_join(reader, NULL);
    uint64_t bytes = 0, entries;
    for (uint32_t id = 1; id <= SPACES; id++) {
        CHECK_EQ(level(&w.c, &w.sets[id]).entries, KEYS);
        CHECK_EQ(stats_read(&w.sets[id], STATS_L1_REMOVE), id);
        bytes += level(&w.c, &w.sets[id]).bytes;
    }
    CHECK_EQ(bytes, cache_walk(&w.c, true, &entries));
    CHECK_EQ(level(&w.c, &w.c.stats).entries, 0);
    CHECK_EQ(stats_read(&w.c.stats, STATS_L1_REMOVE), 0);
    l1_destroy(w.c.l1);
    for (uint32_t id = 1; id <= SPACES; id++)
        stats_fini(&w.sets[id]);
    stats_fini(&w.c.stats);
    fake_env_fini(&w.c.fake);
}

TEST(without_memory_for_a_tally_a_space_has_none_and_others_go_on)
{
    struct cache c;
    struct stats set;
    cache_open_policy(&c, NIGH_POLICY_LRU, 4 << 20, 2);
    REQUIRE_EQ(stats_init(&set, c.fake.env.mem), 0);
    store_in(&c, 1, 1, 10, CLOCK_NEVER_NS);
#if NIGH_FAULTS
    fault_arm(FAULT_ALLOC, 1);
    CHECK_EQ(l1_space_count_in(c.l1, 1000, &set), NIGH_ENOMEM);
    fault_arm(FAULT_ALLOC, 0);
#endif
    CHECK_EQ(level(&c, &c.stats).entries, 1);
    CHECK_EQ(level(&c, &set).entries, 0);
    REQUIRE_EQ(l1_space_count_in(c.l1, 1000, &set), 0);
    store_in(&c, 1000, 1, 10, CLOCK_NEVER_NS);
    CHECK_EQ(level(&c, &set).entries, 1);
    REQUIRE_EQ(l1_space_count_in(c.l1, 7, &set), 0); /* two may share a set */
    store_in(&c, 7, 1, 10, CLOCK_NEVER_NS);
    store_in(&c, 8, 1, 10, CLOCK_NEVER_NS); /* one between them has none */
    CHECK_EQ(level(&c, &set).entries, 2);
    CHECK_EQ(level(&c, &c.stats).entries, 2);
    invalidate_in(&c, 8, 1);
    invalidate_in(&c, 1, 1); /* it came when one tally served all */
    CHECK_EQ(level(&c, &c.stats).entries, 0);
    CHECK_EQ(level(&c, &c.stats).bytes, 0);
    l1_destroy(c.l1);
    stats_fini(&set);
    stats_fini(&c.stats);
    fake_env_fini(&c.fake);
}
