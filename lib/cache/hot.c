// SPDX-License-Identifier: MIT
/*
 * Sampling for hot keys. Each sample counts as often as the requests that it stands for, so that
 * counts are of requests.
 */
#include "cache/hot.h"

#include "cache/misses.h"

/* Counters for each key that is shown: by that much smaller is the error of Space-Saving. */
#define COUNTERS_PER_KEY 8u

_Thread_local struct hot_self hot_self = {
    .miss = PACE_INIT, .change = PACE_INIT, .group = PACE_INIT};

static void note(struct nigh *cache, struct top *t, uint64_t hash, struct bytes key,
                 uint32_t stands_for)
{
    top_add(t, cache->env.mem, hash, key, stands_for, clock_coarse_ns(&cache->clock));
}

static uint32_t next_of(const struct nigh *cache, struct pace *p, uint32_t most)
{
    return pace_next(p, &hot_self.random, most, clock_coarse_ns(&cache->clock));
}

void hot_hit(struct nigh_space *space, const void *key, size_t key_len, uint32_t stands_for)
{
    if (space->cache->hot_keys)
        note(space->cache, &space->hot.hits, l1_hash(&space->l1, key, key_len),
             bytes_of(key, key_len), stands_for);
}

void hot_note_miss(struct nigh_space *space, const struct l1_key *key, bool probe)
{
    uint32_t stands_for = next_of(space->cache, &hot_self.miss, HOT_MISS_ONE_IN);
    if (!probe)
        misses_note(space, key, stands_for);
    if (space->cache->hot_keys)
        note(space->cache, &space->hot.misses, key->hash, bytes_of(key->data, key->len),
             stands_for);
}

void hot_note_change(struct nigh_space *space, const struct l1_key *key)
{
    note(space->cache, &space->hot.changes, key->hash, bytes_of(key->data, key->len),
         next_of(space->cache, &hot_self.change, HOT_CHANGE_ONE_IN));
}

void hot_group(struct nigh *cache, enum wire_kind kind, struct bytes name)
{
    char key[1 + TOP_KEY_BYTES];
    if (!cache->hot_keys || --hot_self.group.in != 0)
        return;
    size_t len = u64_min(name.len, TOP_KEY_BYTES);
    key[0] = kind == WIRE_TAG ? HOT_TAG : kind == WIRE_SPACE ? HOT_SPACE : HOT_ALL;
    if (len > 0)
        memcpy(key + 1, name.data, len);
    note(cache, &cache->hot_groups, hash_wire(kind, bytes_of("", 0), name),
         bytes_of(key, 1 + len), next_of(cache, &hot_self.group, HOT_CHANGE_ONE_IN));
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

void hot_groups_init(struct nigh *cache)
{
    cache->hot_groups.capacity = cache->hot_keys * COUNTERS_PER_KEY;
}

void hot_groups_fini(struct nigh *cache)
{
    top_fini(&cache->hot_groups, cache->env.mem);
}
