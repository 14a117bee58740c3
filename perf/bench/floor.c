// SPDX-License-Identifier: MIT
/*
 * The floor of copying on write: what a map costs at least whose values stay where they are while
 * they are read. It has nigh's entries, buckets, pins and latches, 64 of them. A new value
 * is a new entry, published by one store; the old one is freed at once, and its block is the next
 * one to be written.
 *
 * Nothing else is here: no lifetimes, floors, counters, cap or policy (who came first leaves
 * first), no table that grows, and no grace period. So with several threads a reader may meet a
 * block that is being written again: what it then reads is memory of the map all the same, for
 * blocks are never given back; the harness counts such reads and does not judge them.
 */
#include <pthread.h>

#include "base/latch.h"
#include "base/rcu.h"
#include "bench/baseline.h"
#include "bench/keys.h"
#include "l1/hit.h"
#include "l1/pin.h"

#define STRIPES 64u
#define SPACE 1u
#define PER_BUCKET 5u       /* of seven words: nigh's tables double when they hold 5.25 */
#define BLOCK_STEP 32u
#define STOCKS (LOOP_VALUE_MAX / BLOCK_STEP + 4)

/* A free block: in its first word the next one. */
struct block {
    struct block *next;
};

struct stripe {
    _Alignas(64) struct latch lock;
    struct arrivals arrivals;
    struct block *stocks[STOCKS]; /* by size */
};

struct floor_map {
    struct stripe stripes[STRIPES];
    struct l1_bucket *buckets;
    uint64_t bucket_count; /* a power of two, at least STRIPES */
    uint32_t base_bits;    /* of the hash, below the tag */
};

static struct floor_map *map_of(struct nigh_space *space)
{
    return (void *)space;
}

static struct l1_bucket *bucket_of(const struct floor_map *map, uint64_t hash)
{
    return &map->buckets[hash & (map->bucket_count - 1)];
}

static struct stripe *stripe_of(struct floor_map *map, uint64_t hash)
{
    return &map->stripes[hash & (STRIPES - 1)];
}

static struct l1_key key_of(const void *key, size_t len)
{
    return (struct l1_key){key, (uint32_t)len, SPACE, baseline_hash(key, len)};
}

/* ---- create, destroy ---- */

static struct nigh_space *floor_create(const struct candidate_need *need)
{
    struct floor_map *map = aligned_alloc(64, sizeof(*map));
    if (!map)
        fail("no memory");
    memset((void *)map, 0, sizeof(*map));
    pin_prepare(); /* as an L1 does when it is made */
    uint64_t buckets = baseline_power_of_two(need->entries / PER_BUCKET);
    map->bucket_count = buckets < STRIPES ? STRIPES : buckets;
    while (UINT64_C(1) << map->base_bits < map->bucket_count)
        map->base_bits++;
    map->buckets = huge_alloc(map->bucket_count * sizeof(*map->buckets));
    for (unsigned i = 0; i < STRIPES; i++)
        arrivals_init(&map->stripes[i].arrivals, need->bounded ? need->entries / STRIPES + 1 : 0);
    return (void *)map;
}

static void free_bucket(struct l1_bucket *b)
{
    for (unsigned i = 0; i < BUCKET_WORDS; i++)
        free(table_word_entry(b->words[i]));
}

static void free_stocks(struct stripe *s)
{
    for (unsigned i = 0; i < STOCKS; i++)
        for (struct block *b = s->stocks[i], *next; b; b = next) {
            next = b->next;
            free(b);
        }
}

static void floor_destroy(struct nigh_space *space)
{
    struct floor_map *map = map_of(space);
    for (uint64_t i = 0; i < map->bucket_count; i++) {
        struct l1_bucket *first = &map->buckets[i];
        free_bucket(first);
        for (struct l1_bucket *b = bucket_more(first), *next; b; b = next) {
            next = bucket_more(b);
            free_bucket(b);
            free(b);
        }
    }
    for (unsigned i = 0; i < STRIPES; i++) {
        free_stocks(&map->stripes[i]);
        free(map->stripes[i].arrivals.items);
    }
    huge_free(map->buckets, map->bucket_count * sizeof(*map->buckets));
    free(map);
}

/* ---- reading ---- */

/* A thread's first pin and its first section. */
static NIGH_OUTLINED int get_first(struct floor_map *map, const struct l1_key *key,
                                   struct nigh_value *ret)
{
    bool copied;
    int rc = NIGH_MISS;
    rcu_enter();
    struct l1_entry *e = bucket_find_rcu(bucket_of(map, key->hash), map->base_bits, key);
    if (e && l1_pin_rcu(NULL, e, ret, &copied) == 0)
        rc = NIGH_FRESH;
    rcu_leave();
    return rc;
}

static int floor_get(struct nigh_space *space, const void *key, size_t key_len,
                     const struct nigh_call *call, struct nigh_value *ret)
{
    struct floor_map *map = map_of(space);
    struct l1_key k = key_of(key, key_len);
    struct rcu_section section;
    (void)call;
    if (NIGH_UNLIKELY(!rcu_enter_short(&section)))
        return get_first(map, &k, ret);
    struct l1_entry *e = bucket_find_rcu(bucket_of(map, k.hash), map->base_bits, &k);
    uintptr_t pin = NIGH_LIKELY(e) ? l1_hold_rcu(e) : 0;
    rcu_leave_short(section);
    if (NIGH_UNLIKELY(!pin))
        return e ? get_first(map, &k, ret) : NIGH_MISS;
    *ret = (struct nigh_value){e->bytes + key_len, entry_value_len(e), pin};
    return NIGH_FRESH;
}

static void floor_release(struct nigh_value *value)
{
    l1_unpin(value->pin);
}

/* ---- writing ---- */

static struct block **stock_of(struct stripe *s, size_t size)
{
    return &s->stocks[(size + BLOCK_STEP - 1) / BLOCK_STEP];
}

static struct l1_entry *take(struct stripe *s, size_t size)
{
    struct block **stock = stock_of(s, size);
    struct block *b = *stock;
    if (!b)
        return malloc((size + BLOCK_STEP - 1) / BLOCK_STEP * BLOCK_STEP);
    *stock = b->next;
    return (void *)b;
}

static void give(struct stripe *s, struct l1_entry *e)
{
    struct block **stock =
        stock_of(s, sizeof(*e) + entry_key_len(e) + entry_value_len(e));
    struct block *b = (void *)e;
    b->next = *stock;
    *stock = b;
}

static void fill(struct l1_entry *e, const struct l1_key *key, const void *value, size_t len)
{
    *e = (struct l1_entry){.refs = ENTRY_STORED,
                           .fresh = UINT32_MAX,
                           .label = label_of_space(SPACE) | label_of_key(key->len) |
                                    len << LABEL_VALUE_SHIFT};
    memcpy(e->bytes, key->data, key->len);
    memcpy(e->bytes + key->len, value, len);
}

static void publish(const struct floor_map *map, _Atomic uint64_t *word, uint64_t hash,
                    const struct l1_entry *e)
{
    uint64_t tag = table_tag(hash, map->base_bits) << WORD_POINTER_BITS;
    /* pair(table.word): as in nigh */
    atomic_store_explicit(word, tag | (uintptr_t)e, memory_order_release);
}

static _Atomic uint64_t *word_of_key(struct floor_map *map, const struct l1_key *key)
{
    uint64_t tag = table_tag(key->hash, map->base_bits);
    for (struct l1_bucket *b = bucket_of(map, key->hash); b; b = bucket_more(b))
        for (uint64_t mask = bucket_match(b, tag); mask; mask &= mask - 1) {
            _Atomic uint64_t *word = &b->words[MATCH_INDEX(mask)];
            struct l1_entry *e = table_word_entry(*word);
            if (e && entry_has_key(e, key))
                return word;
        }
    return NULL;
}

/* The word with this content: an entry's, or a free one (0). NULL: there is none. */
static _Atomic uint64_t *word_with(struct floor_map *map, uint64_t hash, const struct l1_entry *e,
                                   struct l1_bucket **ret_last)
{
    for (struct l1_bucket *b = bucket_of(map, hash); b; b = bucket_more(b)) {
        *ret_last = b;
        for (unsigned i = 0; i < BUCKET_WORDS; i++)
            if (table_word_entry(atomic_load_explicit(&b->words[i], memory_order_relaxed)) == e)
                return &b->words[i];
    }
    return NULL;
}

static _Atomic uint64_t *free_word(struct floor_map *map, uint64_t hash)
{
    struct l1_bucket *last;
    _Atomic uint64_t *word = word_with(map, hash, NULL, &last);
    if (word)
        return word;
    struct l1_bucket *more = aligned_alloc(64, sizeof(*more));
    if (!more)
        fail("no memory");
    memset((void *)more, 0, sizeof(*more));
    atomic_store_explicit(&last->more, more, memory_order_release); /* pair(table.more) */
    return &more->words[0];
}

static void evict(struct floor_map *map, struct stripe *s, struct l1_entry *oldest)
{
    struct l1_bucket *last;
    uint64_t hash = baseline_hash(oldest->bytes, entry_key_len(oldest));
    atomic_store_explicit(word_with(map, hash, oldest, &last), 0, memory_order_relaxed);
    give(s, oldest);
}

static int floor_put(struct nigh_space *space, const void *key, size_t key_len, const void *value,
                     size_t len, const struct nigh_call *call)
{
    struct floor_map *map = map_of(space);
    struct l1_key k = key_of(key, key_len);
    struct stripe *s = stripe_of(map, k.hash);
    (void)call;
    latch_lock(&s->lock);
    _Atomic uint64_t *word = word_of_key(map, &k);
    struct l1_entry *old = word ? table_word_entry(*word) : NULL;
    struct l1_entry *e = take(s, sizeof(*e) + key_len + len);
    if (!e)
        fail("no memory");
    fill(e, &k, value, len);
    publish(map, word ? word : free_word(map, k.hash), k.hash, e);
    if (old) {
        give(s, old); /* no case here bounds a map whose values are replaced */
    } else {
        struct l1_entry *oldest = arrivals_add(&s->arrivals, e);
        if (oldest)
            evict(map, s, oldest);
    }
    latch_unlock(&s->lock);
    return 0;
}

const struct candidate candidate_floor = {
    .name = "floor",
    .create = floor_create,
    .destroy = floor_destroy,
    .get = floor_get,
    .release = floor_release,
    .put = floor_put,
    .is_unsafe = true,
};
