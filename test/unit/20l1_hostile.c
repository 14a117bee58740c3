// SPDX-License-Identifier: MIT
// Keys that somebody chose to collide: against a hash without a seed it works, against ours it does
// not; and where they do collide, a lookup's work has a limit and other keys do not suffer.

#include <stdlib.h>

#include "l1/table.h"
#include "support/l1_cache.h"

#define GUESSED_SEED 0u /* what an attacker can compute with: a hash without a seed */
#define BUCKET_BITS 12u /* he collides in every table of up to so many buckets */
#define HOSTILE 300u
#define ORDINARY 400u
#define CHAIN_ENTRIES (BUCKET_CHAIN_MAX * BUCKET_WORDS)

struct hostile {
    char text[16];
    size_t len;
};

static struct hash guessed(enum hash_kind kind)
{
    struct hash h;
    hash_init(&h, kind, GUESSED_SEED, GUESSED_SEED);
    return h;
}

/* Search for keys whose guessed hashes end alike: 4096 tries for each. */
static struct hostile *craft(enum hash_kind kind)
{
    struct hash hash = guessed(kind);
    struct hostile *keys = calloc(HOSTILE, sizeof(*keys));
    REQUIRE(keys);
    uint64_t mask = (UINT64_C(1) << BUCKET_BITS) - 1;
    for (unsigned n = 0, found = 0; found < HOSTILE; n++) {
        struct hostile *k = &keys[found];
        k->len = (size_t)snprintf(k->text, sizeof(k->text), "h%u", n);
        if ((hash_key(&hash, CACHE_SPACE, k->text, k->len) & mask) == 0x5a5)
            found++;
    }
    return keys;
}

static struct l1_key key_of(const struct cache *c, const struct hostile *k)
{
    return l1_key_of(c->l1, CACHE_SPACE, k->text, k->len);
}

static enum l1_store_result store(struct cache *c, const struct l1_key *key)
{
    struct l1_value v = cache_value(c, "value", 5);
    struct l1_entry *e;
    REQUIRE_EQ(l1_entry_create(c->l1, key, &v, &e), 0);
    enum l1_store_result result = l1_store(c->l1, key, e);
    l1_entry_unref(e);
    return result;
}

static bool is_there(const struct cache *c, const struct l1_key *key)
{
    rcu_enter();
    bool there = l1_find_rcu(c->l1, key);
    rcu_leave();
    return there;
}

/* A lookup may have to do this in the worst case. */
struct work {
    unsigned buckets;
    unsigned entries; /* whose key is compared */
};

static struct work work_of(const struct cache *c, const struct l1_key *key)
{
    struct work w = {0, 0};
    const struct l1_hit *hit = &c->l1->hit;
    rcu_enter();
    const struct l1_bucket *b = hit_bucket_rcu(hit_table_rcu(hit, key->hash), key->hash);
    for (; b; b = bucket_more(b)) {
        w.buckets++;
        w.entries += (unsigned)__builtin_popcountll(
            bucket_match(b, table_tag(key->hash, hit->base_bits)));
    }
    rcu_leave();
    return w;
}

static void fill_ordinary(struct cache *c)
{
    for (unsigned i = 0; i < ORDINARY; i++)
        CHECK_EQ(cache_put(c, i, "value", 5), L1_STORED);
}

static unsigned ordinary_left(struct cache *c)
{
    unsigned left = 0;
    for (unsigned i = 0; i < ORDINARY; i++)
        left += cache_has(c, i);
    return left;
}

static void scatters(enum hash_kind kind)
{
    struct cache c;
    struct hostile *keys = craft(kind);
    cache_open(&c, 8 << 20, 1);
    c.l1->hash.kind = kind; /* with the seed that it drew */
    for (unsigned i = 0; i < HOSTILE; i++) {
        struct l1_key key = key_of(&c, &keys[i]);
        CHECK_EQ(store(&c, &key), L1_STORED);
    }
    CHECK_EQ(stats_read(&c.stats, STATS_L1_LONG_CHAIN), 0);
    for (unsigned i = 0; i < HOSTILE; i++) {
        struct l1_key key = key_of(&c, &keys[i]);
        CHECK(is_there(&c, &key)); /* nothing had to make room in its chain */
        CHECK_LE(work_of(&c, &key).buckets, 2);
    }
    cache_audit(&c);
    cache_close(&c);
    free(keys);
}

TEST(what_collides_without_a_seed_scatters_with_ours)
{
    scatters(HASH_XXH3);
    scatters(HASH_SIPHASH);
}

/* Store all of them, in a cache with ordinary ones. Returns how many are there. */
static unsigned store_hostile(struct cache *c, const struct hostile *keys, uint64_t cap)
{
    unsigned there = 0;
    cache_open(c, cap, 1);
    c->l1->hash = guessed(c->l1->hash.kind); /* before anything is stored */
    fill_ordinary(c);
    for (unsigned i = 0; i < HOSTILE; i++) {
        struct l1_key key = key_of(c, &keys[i]);
        CHECK_EQ(store(c, &key), L1_STORED);
        if (i % 64 == 63)
            cache_reclaim(c);
    }
    for (unsigned i = 0; i < HOSTILE; i++) {
        struct l1_key key = key_of(c, &keys[i]);
        there += is_there(c, &key);
    }
    return there;
}

/* Chains evict, and the curve says that more memory brings nothing: so it is. */
TEST(what_collides_would_under_a_larger_cap)
{
    unsigned there[2];
    struct hostile *keys = craft(HASH_XXH3);
    for (unsigned i = 0; i < 2; i++) {
        struct cache c;
        there[i] = store_hostile(&c, keys, UINT64_C(8) << (20 + 3 * i));
        CHECK_GE(stats_read(&c.stats, STATS_L1_EVICT), HOSTILE - CHAIN_ENTRIES);
        CHECK(!atomic_load(&c.l1->short_of_room));
        cache_close(&c);
    }
    CHECK_EQ(there[0], there[1]);
    free(keys);
}

static void stays_bounded(enum hash_kind kind)
{
    struct cache c;
    struct hostile *keys = craft(kind);
    cache_open(&c, 8 << 20, 1);
    c.l1->hash = guessed(kind); /* before anything is stored */
    fill_ordinary(&c);
    unsigned there = 0;
    for (unsigned i = 0; i < HOSTILE; i++) {
        struct l1_key key = key_of(&c, &keys[i]);
        CHECK_EQ(store(&c, &key), L1_STORED); /* in place of another of the chain */
        CHECK(is_there(&c, &key));
        struct work w = work_of(&c, &key);
        CHECK_LE(w.buckets, BUCKET_CHAIN_MAX);
        CHECK_LE(w.entries, CHAIN_ENTRIES);
        if (i % 64 == 63)
            cache_reclaim(&c);
    }
    for (unsigned i = 0; i < HOSTILE; i++) {
        struct l1_key key = key_of(&c, &keys[i]);
        there += is_there(&c, &key);
    }
    CHECK_LE(there, CHAIN_ENTRIES);
    CHECK_GT(stats_read(&c.stats, STATS_L1_LONG_CHAIN), 0); /* the operator can see it */
    CHECK_LE(stats_read(&c.stats, STATS_L1_GROW), 3);       /* nor do they make the table grow */
    CHECK_GE(ordinary_left(&c), ORDINARY - CHAIN_ENTRIES);  /* only that chain lost any */
    cache_audit(&c);
    cache_close(&c);
    free(keys);
}

TEST(with_a_seed_that_leaked_the_work_stays_bounded)
{
    stays_bounded(HASH_XXH3);
    stays_bounded(HASH_SIPHASH);
}

TEST(keys_with_one_hash_fill_a_chain_and_no_more)
{
    struct cache c;
    struct hostile keys[HOSTILE];
    cache_open(&c, 8 << 20, 1);
    for (unsigned i = 0; i < HOSTILE; i++) {
        keys[i].len = (size_t)snprintf(keys[i].text, sizeof(keys[i].text), "same%u", i);
        struct l1_key key = key_of(&c, &keys[i]);
        key.hash = 0x0123456789abcdef; /* all 64 bits: no table tells them apart, no tag does */
        /* Eviction finds an entry by the hash of its key, so these cannot make room for others. */
        enum l1_store_result result = i < CHAIN_ENTRIES ? store(&c, &key) : L1_STORED;
        CHECK_EQ(result, L1_STORED);
        struct work w = work_of(&c, &key);
        CHECK_LE(w.buckets, BUCKET_CHAIN_MAX);
        CHECK_LE(w.entries, CHAIN_ENTRIES);
        CHECK_EQ(is_there(&c, &key), i < CHAIN_ENTRIES); /* the bytes decide */
    }
    cache_close(&c);
}
