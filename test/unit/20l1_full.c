// SPDX-License-Identifier: MIT
// What is referenced or not stored yet fills the cache to the brim: whoever wants room then evicts
// everything else, also what he had in mind himself, and nothing comes to harm.

#include "l1/limbo.h"
#include "l1/room.h"
#include "support/l1_cache.h"

#define MIB ((uint64_t)1 << 20)
#define HELD 999999u /* number of the key whose value is referenced */
#define OTHER 999998u
#define LARGE 999997u
#define HOGS_FROM 900000u
#define HOGS_MAX 4096u
#define HOG_VALUE_MAX 100000u
#define SMALL 20u
#define KEY_LEN 12u /* of cache_key() */

struct full {
    struct cache c;
    struct l1_entry *held;
    struct l1_entry *hogs[HOGS_MAX]; /* made, never stored */
    unsigned hog_count;
    unsigned number; /* of the next hog's key */
};

static struct full f;

static uint64_t charge_of(size_t value_len)
{
    return mem_charge(f.c.l1->mem, sizeof(struct l1_entry) + KEY_LEN + value_len);
}

/* Make an entry for this shard (NULL: any) that is charged at most so much. False: no more. */
static bool hog_some(const struct l1_shard *s, uint64_t charge)
{
    static const char zeros[HOG_VALUE_MAX];
    size_t len = u64_min(charge, HOG_VALUE_MAX);
    while (len > 0 && charge_of(len) > charge)
        len -= len > 8192 ? 4096 : 1;
    if (len == 0 || f.hog_count == HOGS_MAX)
        return false;
    struct name name;
    struct l1_key key;
    do
        key = cache_key(&f.c, &name, f.number++);
    while (s && l1_shard_of(f.c.l1, key.hash) != s);
    struct l1_value v = cache_value(&f.c, zeros, len);
    struct l1_entry *e;
    REQUIRE_EQ(l1_entry_create(f.c.l1, &key, &v, &e), 0);
    f.hogs[f.hog_count++] = e;
    return !l1_entry_loose(e);
}

/* As many as both limits allow. */
static uint64_t may_borrow(const struct l1 *l1)
{
    uint64_t live = budget_live_bytes(l1), used = l1_limit(&l1->used);
    uint64_t most = l1_limit(&l1->live_max_bytes), cap = l1_limit(&l1->cap_bytes);
    return live < most && used < cap ? u64_min(most - live, cap - used) : 0;
}

/* All that may be borrowed, and what shards have put by, if that is `keep` bytes at least. */
static void hog_all(uint64_t keep)
{
    struct l1 *l1 = f.c.l1;
    uint64_t may;
    while ((may = may_borrow(l1)) > 200)
        if (!hog_some(NULL, may))
            break;
    for (uint32_t i = 0; i <= l1->shard_mask; i++)
        while (l1->shards[i].spare_bytes >= keep)
            if (!hog_some(&l1->shards[i], l1->shards[i].spare_bytes))
                break;
}

static void open_full(uint32_t shards, unsigned attempt)
{
    f = (struct full){.number = HOGS_FROM};
    fake_env_init(&f.c.fake, check_seed() + attempt);
    struct l1_config config = cache_config(&f.c, 1 * MIB, shards);
    config.policy = NIGH_POLICY_LRU;
    cache_open_config(&f.c, config);
}

static void close_full(void)
{
    l1_entry_unref(f.held);
    while (f.hog_count)
        l1_entry_unref(f.hogs[--f.hog_count]);
    cache_reclaim(&f.c);
    cache_audit(&f.c);
    cache_close(&f.c);
}

/* A value that fills most of limbo when it is removed, and counts as live once it is found held. */
static void store_large(void)
{
    CHECK_EQ(cache_put_size(&f.c, HELD, l1_limit(&f.c.l1->limbo_cap_bytes) * 7 / 8), L1_STORED);
}

static void remove_held(void)
{
    struct name name;
    struct l1_key key = cache_key(&f.c, &name, HELD);
    rcu_enter();
    f.held = l1_find_rcu(f.c.l1, &key);
    REQUIRE(f.held);
    l1_entry_ref(f.held);
    rcu_leave();
    cache_remove(&f.c, HELD);
}

/* The bucket is full, and the room for one more is sought among those who are in it. Returns
 * whether all of them went. */
static bool fill_bucket(unsigned attempt)
{
    open_full(1, attempt);
    unsigned in_bucket = 0;
    unsigned number = 0;
    struct name name;
    for (; in_bucket < BUCKET_WORDS; number++)
        if ((cache_key(&f.c, &name, number).hash & 15) == 3) {
            CHECK_EQ(cache_put_size(&f.c, number, SMALL), L1_STORED);
            in_bucket++;
        }
    CHECK_EQ(cache_put_size(&f.c, OTHER, SMALL), L1_STORED);
    CHECK_EQ(cache_put_size(&f.c, LARGE, l1_limit(&f.c.l1->limbo_cap_bytes) * 5 / 8), L1_STORED);
    store_large();
    remove_held();
    cache_remove(&f.c, OTHER); /* its bytes come back: room for an entry, not for a bucket too */
    hog_all(UINT64_MAX);
    f.c.l1->shrink.look_ns = CLOCK_NEVER_NS; /* nothing else is moved or flushed */
    l1_reclaim(f.c.l1);
    l1_reclaim(f.c.l1);
    cache_remove(&f.c, LARGE); /* limbo is half full: nobody is evicted in passing */
    while (f.c.l1->shards[0].spare_bytes >= 128)
        REQUIRE(hog_some(NULL, f.c.l1->shards[0].spare_bytes - 64));
    while ((cache_key(&f.c, &name, number).hash & 15) != 3)
        number++;
    struct l1_key key = cache_key(&f.c, &name, number);
    struct l1_value v = cache_value(&f.c, name.text, SMALL);
    uint64_t before = stats_read(&f.c.stats, STATS_L1_EVICT);
    l1_write(f.c.l1, &key, &v, L1_TICKET_NOW, 0, false);
    bool all_went = stats_read(&f.c.stats, STATS_L1_EVICT) - before >= in_bucket;
    cache_audit(&f.c);
    close_full();
    return all_went;
}

/* It comes to that for most seeds: the room that is left is not always as little. */
TEST(a_full_bucket_whose_entries_all_go_for_its_overflow)
{
    unsigned times = 0;
    for (unsigned i = 0; i < 50 && times < 3; i++)
        times += fill_bucket(i);
    CHECK_EQ(times, 3);
}

/* Rings are to be cut, and the last slice got nowhere; room for a copy costs the original. */
TEST(a_move_whose_entry_goes_for_its_copy)
{
    open_full(2, 0);
    for (unsigned number = 0; number < 50; number++)
        CHECK_EQ(cache_put_size(&f.c, number, SMALL), L1_STORED);
    store_large();
    remove_held();
    hog_all(64); /* limbo is full: nobody is evicted for it */
    f.c.l1->shrink.look_ns = CLOCK_NEVER_NS;
    l1_reclaim(f.c.l1);
    l1_reclaim(f.c.l1);
    hog_all(64);
    f.c.l1->shrink.phase = SHRINK_MOVE;
    f.c.l1->compact = (struct l1_compact){.stuck = true, .slice_bytes = MIB / 4};
    for (uint32_t i = 0; i <= f.c.l1->shard_mask; i++)
        ring_set_limit(&f.c.l1->shards[i].ring, 8);
    uint64_t before = stats_read(&f.c.stats, STATS_L1_EVICT);
    l1_reclaim(f.c.l1);
    if (NIGH_ALLOCATOR_JEMALLOC) /* malloc's charges leave room for copies */
        CHECK_GE(stats_read(&f.c.stats, STATS_L1_EVICT) - before, 10);
    close_full();
}

/* Its ring cannot grow any more: then newcomers cost others their place, as under any cap. */
TEST(a_shard_that_has_run_out_of_slots_evicts)
{
    enum { KEYS = 540000 };
    struct cache c;
    cache_open_policy(&c, NIGH_POLICY_LRU, 256 * MIB, 1);
    for (unsigned number = 0; number < KEYS; number++) {
        CHECK_EQ(cache_put_size(&c, number, 8), L1_STORED);
        if (number % 4096 == 0)
            l1_reclaim(c.l1);
    }
    CHECK_EQ(c.l1->shards[0].entries, RING_LIVE_MAX);
    CHECK(cache_has(&c, KEYS - 1));
    CHECK(!cache_has(&c, 0));
    cache_close(&c);
}
