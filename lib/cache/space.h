/* SPDX-License-Identifier: MIT */
/*
 * Spaces: names, rules, lookup.
 */
#ifndef NIGH_CACHE_SPACE_H
#define NIGH_CACHE_SPACE_H

#include "cache/cache.h"

/* The space of this name, or NULL. Any thread; no lock: spaces are only ever added. */
struct nigh_space *space_find(struct nigh *cache, struct bytes name);
/* The open spaces, in order of opening: 0 .. space_count(). */
static inline uint32_t space_count(const struct nigh *cache)
{
    /* pair(cache.spaces): the slots below the count are set */
    return atomic_load_explicit(&cache->space_count, memory_order_acquire);
}

/* Set another space.memory, for one space, or for all that have none of their own. Errors:
 * NIGH_EOPTION, explained; NIGH_ENOMEM. */
int space_change_memory(struct nigh_space *space, uint64_t memory)
    REQUIRES(space->cache->spaces_lock);
int spaces_change_memory(struct nigh *cache, uint64_t memory) REQUIRES(cache->spaces_lock);
/* Read the options that a space has now, its own and those of its cache. */
void space_read_options(struct nigh_space *space, struct nigh_space_options *ret);
void spaces_destroy(struct nigh *cache);
/* Check the name of a prefix, space or schema. Returns 0, or NIGH_EINVAL with an explanation. */
int space_check_name(const char *what, const char *name);

#endif
