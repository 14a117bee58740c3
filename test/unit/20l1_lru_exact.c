// SPDX-License-Identifier: MIT
// `lru` hits about as often as a list in exact order of use that has the same room: by count and by
// bytes, in few shards and in many, whatever the traffic is like.

#include <stdlib.h>

#include "support/l1_cache.h"

#define KEYS 60000u
#define ASKS_PER_ENTRY 14u
#define BYTES (512u << 10)
#define FILL 5000u /* entries, more than fit into so much */
#define RECLAIM_BYTES 16000u /* put: so little is in limbo that it is no part of the result */

/* ---- the model ---- */

/* Keys in order of use, in rings of links: next of `KEYS` is who was used last. */
struct model {
    uint64_t room, used;
    uint32_t next[KEYS + 1], prev[KEYS + 1];
    uint32_t weight[KEYS]; /* 0: not there */
};

static struct model model;

static void model_init(uint64_t room)
{
    memset(&model, 0, sizeof(model));
    model.room = room;
    model.next[KEYS] = model.prev[KEYS] = KEYS;
}

static void model_unlink(uint32_t key)
{
    model.next[model.prev[key]] = model.next[key];
    model.prev[model.next[key]] = model.prev[key];
}

static void model_push(uint32_t key)
{
    uint32_t first = model.next[KEYS];
    model.next[KEYS] = model.prev[first] = key;
    model.next[key] = first;
    model.prev[key] = KEYS;
}

/* Get, and on a miss put. */
static bool model_ask(uint32_t key, uint32_t weight)
{
    bool hit = model.weight[key];
    if (hit)
        model_unlink(key);
    for (; !hit && model.used + weight > model.room; model_unlink(model.prev[KEYS])) {
        uint32_t last = model.prev[KEYS];
        model.used -= model.weight[last];
        model.weight[last] = 0;
    }
    if (!hit)
        model.used += weight;
    model.weight[key] = hit ? model.weight[key] : weight;
    model_push(key);
    return hit;
}

/* ---- traffic ---- */

struct traffic {
    const char *name;
    /* The key of request i; `n` is how many have room, `u` a random part of 1. */
    double (*key)(double i, double n, double u);
};

static double skewed(double i, double n, double u)
{
    (void)i;
    double cube = u * u * u;
    return cube * cube * n * 10;
}

static double zipf(double i, double n, double u)
{
    (void)i;
    (void)n;
    double octave = u * 13; /* each doubling of the rank is asked for as often as all others */
    unsigned whole = (unsigned)octave;
    return (double)(1u << whole) * (1 + octave - whole) - 1;
}

static double uniform(double i, double n, double u)
{
    (void)i;
    return u * n * 1.2;
}

/* What is used most is at the front, and over soon after. */
static double sliding_window(double i, double n, double u)
{
    return i / 4 + u * u * n * 0.7;
}

static double wide_window(double i, double n, double u)
{
    return i / 8 + u * n * 0.9;
}

static double moving_set(double i, double n, double u)
{
    return (double)(uint64_t)(i / (n * 12)) * n * 0.7 + u * n * 0.6;
}

static double scan_beside_a_set(double i, double n, double u)
{
    return (uint64_t)i % 3 ? u * n * 0.5 : 2 * n + i / 3;
}

static double loop(double i, double n, double u)
{
    (void)u;
    return (double)((uint64_t)i % (uint64_t)(n * 1.05 + 1));
}

static double stream(double i, double n, double u)
{
    (void)n;
    (void)u;
    return i / 3; /* asked for three times, and then never more */
}

static const struct traffic traffics[] = {
    {"skewed", skewed},
    {"zipf", zipf},
    {"uniform", uniform},
    {"sliding window", sliding_window},
    {"wide window", wide_window},
    {"moving set", moving_set},
    {"scan beside a set", scan_beside_a_set},
    {"loop", loop},
    {"stream", stream},
};
#define TRAFFICS (sizeof(traffics) / sizeof(traffics[0]))

/* ---- a run ---- */

struct run {
    const struct traffic *traffic;
    struct cache *cache;
    double room;                         /* entries that fit, about */
    size_t (*size)(uint32_t key);        /* of a value */
};

static size_t size_small(uint32_t key)
{
    (void)key;
    return 100;
}

/* 50 to 1,650 bytes, most of them small. */
static size_t size_mixed(uint32_t key)
{
    uint64_t random = key;
    double u = (double)(check_random(&random) >> 11) * 0x1p-53;
    return (size_t)(50 + 1600 * u * u * u);
}

static bool cache_ask(const struct run *r, uint32_t key)
{
    static size_t bytes;
    if (cache_has(r->cache, key)) {
        cache_touch(r->cache, key);
        return true;
    }
    cache_put_size(r->cache, key, r->size(key));
    bytes += r->size(key);
    if (bytes > RECLAIM_BYTES) {
        l1_reclaim(r->cache->l1);
        bytes = 0;
    }
    return false;
}

static uint32_t weight_of(const struct run *r, uint32_t key, bool by_bytes)
{
    const struct l1 *l1 = r->cache->l1;
    size_t size = sizeof(struct l1_entry) + strlen("key:00000000") + r->size(key);
    return by_bytes ? (uint32_t)mem_charge(l1->mem, size) : 1;
}

/* How many points the cache is below the model. */
static double points_below(const struct run *r, bool by_bytes, uint64_t model_room)
{
    uint64_t random = check_seed();
    unsigned asks = (unsigned)(r->room * ASKS_PER_ENTRY);
    unsigned hits = 0;
    unsigned model_hits = 0;
    model_init(model_room);
    for (unsigned i = 0; i < asks; i++) {
        double u = (double)(check_random(&random) >> 11) * 0x1p-53;
        uint32_t key = (uint32_t)r->traffic->key(i, r->room, u) % KEYS;
        hits += cache_ask(r, key);
        model_hits += model_ask(key, weight_of(r, key, by_bytes));
    }
    return 100.0 * ((double)model_hits - hits) / asks;
}

static void check_below(const struct traffic *t, double below, double most, const char *where,
                        unsigned shards)
{
    if (!CHECK(below <= most) || getenv("NIGH_TEST_VERBOSE"))
        check_note("%s, %s, %u shards: %.2f points below exact LRU", t->name, where, shards, below);
}

static void compare_by_count(uint64_t entries, uint32_t shards, double most)
{
    for (size_t i = 0; i < TRAFFICS; i++) {
        struct cache c;
        fake_env_init(&c.fake, check_seed());
        struct l1_config config = cache_config(&c, 32u << 20, shards);
        config.policy = NIGH_POLICY_LRU;
        config.entries = entries;
        cache_open_config(&c, config);
        struct run r = {&traffics[i], &c, (double)entries, size_small};
        check_below(r.traffic, points_below(&r, false, entries), most, "by count", shards);
        CHECK_LE(cache_gauges(&c).entries, entries);
        cache_audit(&c);
        cache_close(&c);
    }
}

TEST(by_count_in_one_shard)
{
    compare_by_count(1000, 1, 3);
}

TEST(by_count_in_eight_shards)
{
    compare_by_count(1000, 8, 3);
}

/* Parts of the shards are equal, and keys are not spread equally: that is in the figure. */
TEST(by_count_in_many_shards)
{
    compare_by_count(1024, 64, 9);
}

TEST(by_count_with_few_entries)
{
    compare_by_count(60, 1, 4);
}

/* What fits is found by filling it. */
static void compare_by_bytes(uint32_t shards, size_t (*size)(uint32_t key), double most)
{
    for (size_t i = 0; i < TRAFFICS; i++) {
        struct cache c;
        cache_open_policy(&c, NIGH_POLICY_LRU, BYTES, shards);
        struct run r = {&traffics[i], &c, 0, size};
        for (uint32_t key = 0; key < FILL; key++)
            cache_ask(&r, KEYS / 2 + key);
        uint64_t entries;
        uint64_t bytes = cache_walk(&c, true, &entries);
        r.room = (double)entries;
        check_below(r.traffic, points_below(&r, true, bytes), most, "by bytes", shards);
        cache_audit(&c);
        cache_close(&c);
    }
}

TEST(by_bytes_in_one_shard)
{
    compare_by_bytes(1, size_small, 5);
}

TEST(by_bytes_in_eight_shards)
{
    compare_by_bytes(8, size_small, 5);
}

TEST(by_bytes_with_mixed_sizes)
{
    compare_by_bytes(4, size_mixed, 5);
}

/* ---- the newcomer ---- */

static void open_counted(struct cache *c, enum nigh_policy policy, uint64_t entries,
                         uint32_t shards)
{
    fake_env_init(&c->fake, check_seed());
    struct l1_config config = cache_config(c, 4u << 20, shards);
    config.policy = policy;
    config.entries = entries;
    cache_open_config(c, config);
}

/* Every other put is a writer's own, every third one of a key that is there. */
static void put_one(struct cache *c, unsigned number)
{
    if (number % 2)
        CHECK_EQ(cache_put_size(c, number, 16), L1_STORED);
    else
        CHECK_EQ(cache_own(c, number, 16), L1_STORED);
    if (number % 3 == 0)
        CHECK_EQ(cache_own(c, number, 24), L1_STORED);
    CHECK(cache_has(c, number));
    l1_reclaim(c->l1);
}

TEST(a_newcomer_stays_however_few_may)
{
    static const struct {
        uint32_t entries, shards;
    } sizes[] = {{1, 1}, {2, 1}, {2, 2}, {8, 8}, {8, 1}, {100, 4}, {1000, 1}};
    static const enum nigh_policy policies[] = {NIGH_POLICY_LRU, NIGH_POLICY_TTL};
    for (unsigned p = 0; p < 2; p++)
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct cache c;
            open_counted(&c, policies[p], sizes[i].entries, sizes[i].shards);
            for (unsigned number = 0; number < 3000; number++)
                put_one(&c, number);
            CHECK_LE(cache_gauges(&c).entries, sizes[i].entries);
            cache_audit(&c);
            cache_close(&c);
        }
}

/* `lru`: the ones before it are there, too. */
TEST(the_last_ones_stay)
{
    struct cache c;
    open_counted(&c, NIGH_POLICY_LRU, 64, 1);
    for (unsigned number = 0; number < 3000; number++) {
        put_one(&c, number);
        for (unsigned back = 0; back < 16 && back <= number; back++)
            CHECK(cache_has(&c, number - back));
    }
    cache_close(&c);
}

/* `ttl`: though it ends before all that are there. */
TEST(who_ends_first_stays_while_it_is_new)
{
    struct cache c;
    open_counted(&c, NIGH_POLICY_TTL, 50, 1);
    for (unsigned number = 0; number < 1000; number++) {
        struct l1_value v = cache_value(&c, "x", 1);
        v.fresh_until_ns = v.stale_until_ns = v.born_ns + (3000 - number) * NS_PER_S;
        CHECK_EQ(cache_store(&c, number, &v), L1_STORED);
        CHECK(cache_has(&c, number));
        l1_reclaim(c.l1);
    }
    CHECK_EQ(cache_gauges(&c).entries, 50);
    cache_close(&c);
}

/* Nothing may be evicted while limbo is full: then the newcomer is refused, and all others stay. */
TEST(without_room_in_limbo_it_is_refused)
{
    struct cache c;
    open_counted(&c, NIGH_POLICY_LRU, 1000, 1);
    unsigned number = 0;
    while (cache_put_size(&c, number, 1000) == L1_STORED)
        REQUIRE(++number < 4000);
    CHECK_GT(number, 1000);
    CHECK(cache_has(&c, number - 1) && !cache_has(&c, number));
    CHECK_EQ(cache_gauges(&c).entries, 1000);
    cache_reclaim(&c);
    CHECK_EQ(cache_put_size(&c, number, 1000), L1_STORED);
    CHECK(cache_has(&c, number));
    cache_audit(&c);
    cache_close(&c);
}

/* Fills `keys` with such of a shard. */
static void keys_of_shard(struct cache *c, uint32_t shard, unsigned *keys, unsigned count)
{
    unsigned found = 0;
    for (unsigned number = 0; found < count; number++) {
        struct name name;
        struct l1_key key = cache_key(c, &name, number);
        if (l1_shard_of(c->l1, key.hash) == &c->l1->shards[shard])
            keys[found++] = number;
    }
}

/* Ages go round: whoever has come to the age that reads as 0 is a victim like any other. */
TEST(a_newcomer_stays_however_old_the_other_is)
{
    enum { ROUNDS = 80 };
    unsigned quiet[ROUNDS], busy[ROUNDS];
    struct cache c;
    open_counted(&c, NIGH_POLICY_LRU, 2, 2);
    keys_of_shard(&c, 0, quiet, ROUNDS);
    keys_of_shard(&c, 1, busy, ROUNDS);
    for (unsigned n = 0; n < ROUNDS; n++) {
        for (unsigned i = 0; i < n; i++)
            CHECK_EQ(cache_own(&c, busy[i], 16), L1_STORED);
        CHECK_EQ(cache_own(&c, quiet[n], 16), L1_STORED);
        CHECK(cache_has(&c, quiet[n]));
        l1_reclaim(c.l1);
    }
    cache_close(&c);
}
