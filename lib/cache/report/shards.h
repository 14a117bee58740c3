/* SPDX-License-Identifier: MIT */
/*
 * The shards beside one another: what each has, and how evenly that is spread.
 *
 * A shard with twice the median's waits has a hot key; when all wait, there are too few shards.
 */
#ifndef NIGH_CACHE_REPORT_SHARDS_H
#define NIGH_CACHE_REPORT_SHARDS_H

#include "cache/cache.h"

/* Numbers that are told of each shard, in this order. */
#define SHARD_NUMBERS 4u
extern const char *const shards_names[SHARD_NUMBERS];

/* The spread of one of them. */
struct shards_spread {
    uint64_t least, median, most;
};

/* Read the spread of each. Without memory: 0s. */
void shards_read(struct nigh *cache, struct shards_spread ret[SHARD_NUMBERS]);

#endif
