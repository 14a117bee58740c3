/* SPDX-License-Identifier: MIT */
/*
 * l1_cache.h - an L1 for tests: opened in one call, filled and read in one call each, and audited.
 *
 * The audit walks every shard and adds up what it finds: each byte that is counted must be there,
 * and each that is there counted. It is for moments when nobody else is at work.
 */
#ifndef NIGH_TEST_L1_CACHE_H
#define NIGH_TEST_L1_CACHE_H

#include <stdio.h>

#include "l1/core.h"
#include "l1/l1.h"
#include "l1/shard.h"
#include "support/check.h"
#include "support/fake_env.h"

#define CACHE_SPACE 7u
#define CACHE_SPACE_SLOT 9u

struct cache {
    struct fake_env fake;
    struct stats stats;
    struct l1 *l1;
    struct l1_space space; /* CACHE_SPACE */
};

/* A key with its text. */
struct name {
    char text[32];
    struct l1_key key;
};

static inline struct l1_config cache_config(struct cache *c, uint64_t memory_bytes,
                                            uint32_t shards)
{
    return (struct l1_config){.env = &c->fake.env,
                              .stats = &c->stats,
                              .memory_bytes = memory_bytes,
                              .shards = shards,
                              .group_slots = GROUP_SLOTS_MIN,
                              .policy = NIGH_POLICY_LFU};
}

static inline void cache_open_config(struct cache *c, struct l1_config config)
{
    REQUIRE_EQ(stats_init(&c->stats, c->fake.env.mem), 0);
    REQUIRE_EQ(l1_create(&config, &c->l1), 0);
    l1_space_init(c->l1, CACHE_SPACE, CACHE_SPACE_SLOT, &c->space);
}

static inline void cache_open(struct cache *c, uint64_t memory_bytes, uint32_t shards)
{
    fake_env_init(&c->fake, check_seed());
    cache_open_config(c, cache_config(c, memory_bytes, shards));
}

static inline void cache_open_policy(struct cache *c, enum nigh_policy policy,
                                     uint64_t memory_bytes, uint32_t shards)
{
    fake_env_init(&c->fake, check_seed());
    struct l1_config config = cache_config(c, memory_bytes, shards);
    config.policy = policy;
    cache_open_config(c, config);
}

static inline void cache_close(struct cache *c)
{
    l1_destroy(c->l1);
    stats_fini(&c->stats);
    fake_env_fini(&c->fake);
}

static inline struct l1_key cache_key(struct cache *c, struct name *name, unsigned number)
{
    int len = snprintf(name->text, sizeof(name->text), "key:%08u", number);
    name->key = l1_key_of(c->l1, CACHE_SPACE, name->text, (size_t)len);
    return name->key;
}

/* For ever, loaded now, without tags or version. */
static inline struct l1_value cache_value(struct cache *c, const void *data, size_t len)
{
    return (struct l1_value){.bytes = bytes_of(data, len),
                             .stamp = l1_ticket(c->l1),
                             .born_ns = clock_now_ns(c->fake.env.clock),
                             .fresh_until_ns = CLOCK_NEVER_NS,
                             .stale_until_ns = CLOCK_NEVER_NS};
}

static inline enum l1_store_result cache_store(struct cache *c, unsigned number,
                                               const struct l1_value *value)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    struct l1_entry *e;
    REQUIRE_EQ(l1_entry_create(c->l1, &key, value, &e), 0);
    enum l1_store_result result = l1_store(c->l1, &key, e);
    l1_entry_unref(e);
    return result;
}

static inline enum l1_store_result cache_put(struct cache *c, unsigned number, const void *data,
                                             size_t len)
{
    struct l1_value value = cache_value(c, data, len);
    return cache_store(c, number, &value);
}

/* A value of `len` bytes that are all alike. */
static inline enum l1_store_result cache_put_size(struct cache *c, unsigned number, size_t len)
{
    static char zeros[2u << 20];
    REQUIRE(len <= sizeof(zeros));
    return cache_put(c, number, zeros, len);
}

/* As long as they can be: 26 days. */
static const struct l1_lifetimes cache_lifetimes = {{UINT32_MAX, 0}, {0, 0}};

/* A writer's own value: `len` bytes, each of another write. */
static inline enum l1_store_result cache_own(struct cache *c, unsigned number, size_t len)
{
    static unsigned char bytes[4096];
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    REQUIRE(len <= sizeof(bytes));
    memset(bytes, bytes[0] + 1, sizeof(bytes));
    return l1_put(c->l1, &key, bytes_of(bytes, len), &cache_lifetimes);
}

static inline bool cache_pin(struct cache *c, unsigned number, struct nigh_value *ret)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    bool copied;
    rcu_enter();
    struct l1_entry *e = l1_find_rcu(c->l1, &key);
    if (e)
        REQUIRE_EQ(l1_pin_rcu(c->l1, e, ret, &copied), 0);
    rcu_leave();
    return e;
}

/* As a hit reads: held before it is looked at, and let go if it is not the key's. */
static inline bool cache_hit(const struct l1_space *space, const void *key, size_t len,
                             struct nigh_value *ret)
{
    rcu_enter();
    uint64_t hash = l1_hash(space, key, len);
    struct l1_entry *e = l1_likely_rcu(space, l1_bucket_rcu(space, hash), hash);
    ret->pin = e ? l1_hold_rcu(e) : 0;
    rcu_leave();
    if (!ret->pin)
        return false;
    ret->data = e->bytes + len;
    if (l1_is_value(space, e, key, len, &ret->len))
        return true;
    l1_unpin(ret->pin);
    return false;
}

static inline bool cache_has(struct cache *c, unsigned number)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    rcu_enter();
    bool there = l1_find_rcu(c->l1, &key);
    rcu_leave();
    return there;
}

/* As a reader does: a hit, and its report to the policy. */
static inline bool cache_note_hit(struct cache *c, unsigned number)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    rcu_enter();
    struct l1_entry *e = l1_find_rcu(c->l1, &key);
    if (e && l1_touch(e, l1_generation(&c->space.hit)) & L1_TOUCHED_SAMPLED)
        l1_report_hit(e);
    rcu_leave();
    return e;
}

/* Set the hit counter of an entry to 3. */
static inline void cache_touch(struct cache *c, unsigned number)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    rcu_enter();
    struct l1_entry *e = l1_find_rcu(c->l1, &key);
    for (int i = 0; e && i < 3; i++)
        l1_touch(e, l1_generation(&c->space.hit));
    rcu_leave();
}

static inline void cache_remove(struct cache *c, unsigned number)
{
    struct name name;
    struct l1_key key = cache_key(c, &name, number);
    l1_invalidate_key(c->l1, &key, 0, 0, NULL);
}

static inline struct l1_gauges cache_gauges(struct cache *c)
{
    struct l1_gauges g;
    l1_gauges_read(c->l1, L1_GAUGE_ALL, &g);
    return g;
}

/* Reclaim until nothing waits any more (what is pinned may stay). */
static inline void cache_reclaim(struct cache *c)
{
    for (int pass = 0; pass < 3; pass++)
        l1_reclaim(c->l1);
}

/* Whether the reclaimer, when it has had a last look at resident memory, would not come again. */
static inline bool cache_rests(struct cache *c)
{
    uint64_t next_ns = l1_reclaim(c->l1);
    uint64_t now_ns = clock_now_ns(c->fake.env.clock);
    if (next_ns == CLOCK_NEVER_NS || next_ns < now_ns)
        return next_ns == CLOCK_NEVER_NS;
    fake_env_advance(&c->fake, next_ns - now_ns);
    return l1_reclaim(c->l1) == CLOCK_NEVER_NS;
}

/* Counts the entries that the rings hold, live or retired, and their bytes, which it returns. */
static inline uint64_t cache_walk(struct cache *c, bool live, uint64_t *ret_entries)
{
    uint64_t bytes = 0;
    *ret_entries = 0;
    for (uint32_t i = 0; i <= c->l1->shard_mask; i++) {
        struct l1_ring *ring = &c->l1->shards[i].ring;
        for (uint32_t slot = 0; slot < ring->capacity; slot++) {
            const struct l1_entry *e = ring_entry(ring, slot);
            if (!e || ring_is_live(ring->words[slot]) != live)
                continue;
            bytes += mem_charge(c->l1->mem, entry_size(e));
            ++*ret_entries;
        }
    }
    return bytes;
}

static inline uint64_t cache_retired_bytes(struct cache *c)
{
    uint64_t entries;
    return cache_walk(c, false, &entries);
}

static inline void cache_audit(struct cache *c)
{
    uint64_t entries;
    uint64_t live_bytes = cache_walk(c, true, &entries);
    struct l1_gauges g = cache_gauges(c);
    struct l1_level l;
    l1_level_read(c->l1, &c->stats, &l);
    CHECK_EQ(g.entries, entries);
    CHECK_EQ(l.entries, entries); /* all that came, less all that left */
    CHECK_EQ(l.bytes, live_bytes);
    CHECK_LE(cache_retired_bytes(c), g.limbo_bytes); /* old tables are in limbo too */
    CHECK_EQ(g.used_bytes, g.tables_bytes + live_bytes + g.limbo_bytes + g.unstored_bytes);
    CHECK_LE(g.peak_bytes, g.cap_bytes);
}

#endif
