// SPDX-License-Identifier: MIT
/*
 * Gives every path what it needs of a cache, and keeps what outlives the tiers: the count of forks,
 * references, deadlines, names of keys.
 *
 * Files below all others of the module use this one, so it uses none of them. That is why the last
 * reference calls `destroy` through the cache: what it frees belongs to files further up.
 */
#include "cache/cache.h"

struct cache_forks cache_forks;

static void count_fork(void)
{
    atomic_fetch_add_explicit(&cache_forks.count, 1, memory_order_relaxed);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, count_fork);
}

void cache_watch_forks(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
}

void cache_ref(struct nigh *cache)
{
    atomic_fetch_add_explicit(&cache->refs, 1, memory_order_relaxed);
}

void cache_unref(struct nigh *cache)
{
    /* pair(cache.refs): release what each did with it, acquire it all as the last */
    if (atomic_fetch_sub_explicit(&cache->refs, 1, memory_order_acq_rel) == 1)
        cache->destroy(cache);
}

uint64_t cache_deadline_ns(const struct nigh *cache, const struct nigh_call *call,
                           uint32_t otherwise_ms)
{
    uint32_t ms = call && call->deadline_ms ? call->deadline_ms : otherwise_ms;
    return clock_deadline_ns(&cache->clock, ms);
}

struct l2_key cache_l2_key(const struct nigh_space *space, const void *key, size_t len)
{
    return (struct l2_key){bytes_of(space->name, space->name_len), bytes_of_string(space->schema),
                           bytes_of(key, len)};
}

uint64_t cache_name_hash(const struct nigh_space *space, const struct l1_key *key)
{
    struct l2_key name = cache_l2_key(space, key->data, key->len);
    return l2_name_hash(&name);
}
