// SPDX-License-Identifier: MIT
/*
 * Sampling for hot keys.
 *
 * The gap to the next sample is drawn at random, from half of the mean to one and a half: with a
 * fixed one, a host that asks for eight keys in turn would see one of them. Each sample counts as
 * often as requests are sampled, so that counts are of requests.
 */
#include "cache/hot.h"

/* Counters for each key that is shown: by that much smaller is the error of Space-Saving. */
#define COUNTERS_PER_KEY 8u

_Thread_local struct hot_self hot_self = {.miss_in = 1, .change_in = 1};

static uint32_t draw(uint32_t below)
{
    uint64_t x = hot_self.random;
    if (!x)
        x = (uint64_t)(uintptr_t)&hot_self ^ HASH_GOLDEN;
    x ^= x << 13; /* xorshift, as in stats.c */
    x ^= x >> 7;
    x ^= x << 17;
    hot_self.random = x;
    return (uint32_t)(x >> 32) % below;
}

/* Whether the request that has counted `in` down is to be noted. A thread's first request is not
 * more likely to be than others: there are hosts with a thread for each. */
static bool is_due(uint32_t *in, bool *begun, uint32_t mean)
{
    uint32_t first = *begun ? 0 : draw(mean);
    *begun = true;
    *in = first ? first : mean / 2 + draw(mean + 1);
    return first == 0;
}

static void note(struct nigh_space *space, struct top *t, uint64_t hash, struct bytes key,
                 uint32_t weight)
{
    struct nigh *cache = space->cache;
    top_add(t, cache->env.mem, hash, key, weight, clock_coarse_ns(&cache->clock));
}

void hot_hit(struct nigh_space *space, const void *key, size_t key_len)
{
    if (space->cache->hot_keys)
        note(space, &space->hot.hits, l1_hash(&space->l1, key, key_len), bytes_of(key, key_len),
             HOT_HIT_ONE_IN);
}

void hot_note_miss(struct nigh_space *space, const struct l1_key *key)
{
    if (is_due(&hot_self.miss_in, &hot_self.miss_begun, HOT_MISS_ONE_IN))
        note(space, &space->hot.misses, key->hash, bytes_of(key->data, key->len),
             HOT_MISS_ONE_IN);
}

void hot_note_change(struct nigh_space *space, const struct l1_key *key)
{
    if (is_due(&hot_self.change_in, &hot_self.change_begun, HOT_CHANGE_ONE_IN))
        note(space, &space->hot.changes, key->hash, bytes_of(key->data, key->len),
             HOT_CHANGE_ONE_IN);
}

void hot_init(struct nigh_space *space)
{
    uint32_t counters = space->cache->hot_keys * COUNTERS_PER_KEY;
    space->hot.hits.capacity = space->hot.misses.capacity = space->hot.changes.capacity = counters;
}

void hot_fini(struct nigh_space *space)
{
    struct mem *mem = space->cache->env.mem;
    top_fini(&space->hot.hits, mem);
    top_fini(&space->hot.misses, mem);
    top_fini(&space->hot.changes, mem);
}
