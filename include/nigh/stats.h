/* SPDX-License-Identifier: MIT */
/*
 * Counters and gauges of a cache: by name for programs, as text for people, as JSON for machines.
 */
#ifndef NIGH_STATS_H
#define NIGH_STATS_H

#include <stdio.h>

#include <nigh/cache.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum nigh_stats_format { NIGH_STATS_TEXT, NIGH_STATS_JSON };

/**
 * Write all counters, per space and tier, and the gauges (memory, entries, trust, queue).
 *
 * Text leaves out counters that are 0; JSON has them all. The name of a space may hold nearly any
 * bytes: text shows control characters, backslashes and bytes that are not UTF-8 as \xNN; JSON
 * (RFC 8259) escapes what it must and shows a byte that is not UTF-8 as the character \u00NN, so
 * that two such names may look alike there.
 *
 * redis_problem and listener_problem say why there is no connection to Redis, and for how long
 * ("" in JSON while there is one).
 *
 * @param buffer   may be NULL: then only the length is returned
 *
 * Returns   bytes needed without the final NUL; the text is cut (and ended) at size
 * Errors    NIGH_EINVAL no such format; NIGH_EFORKED; NIGH_ECLOSED to a log hook, while the cache
 *           closes
 * Threads   any; counting goes on meanwhile, so the numbers are sums, not one snapshot
 * Blocks    for short locks, each shard's among them: not for the hot path
 */
long nigh_stats(struct nigh *cache, enum nigh_stats_format format, char *buffer, size_t size);

/**
 * Print the name of every gauge and counter, and what it means.
 *
 * Threads   any
 */
void nigh_stats_print(FILE *out);

/**
 * Read a counter or gauge by name, such as "l1_fresh" or "memory_bytes".
 *
 * @param space   name of a space: its counters, and if it has (or had) a space.memory also its
 *                gauges memory_bytes, memory_cap_bytes, resident_bytes, entries; NULL: the gauges
 *                of the cache, and counters as the sum over all spaces and the cache itself
 *
 * Returns   its value
 * Errors    NIGH_EINVAL no such name or space; NIGH_EFORKED; NIGH_ECLOSED as nigh_stats()
 * Threads   any
 * Blocks    for short locks, and only for those that this number needs: memory_bytes, entries and
 *           the like ask every shard (milliseconds with 65,536 shards), the others none
 */
int64_t nigh_stats_value(struct nigh *cache, const char *space, const char *name);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
