/* SPDX-License-Identifier: MIT */
/*
 * What the cache counted: for programs by name, for people as text, for machines as JSON.
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
 * Text leaves out counters that are 0; JSON has them all. In the name of a space, which may hold
 * nearly any bytes, text shows controls, backslashes and what is no UTF-8 as \xNN; JSON (RFC 8259)
 * escapes what it must and shows a byte that is no UTF-8 as the character \u00NN: two such names
 * may look alike there.
 *
 * Why there is no connection to Redis is said, too: redis_problem and listener_problem ("" in
 * JSON while there is one), and for how long.
 *
 * @param buffer   may be NULL: only the length is told
 *
 * Returns   bytes needed without the final NUL; the text is cut (and ended) at size
 * Errors    NIGH_EINVAL no such format; NIGH_EFORKED; NIGH_ECLOSED to a log hook, while the cache
 *           closes
 * Threads   any; counts move on meanwhile: sums, not a snapshot
 * Blocks    for short locks, each shard's among them: not for the hot path
 */
long nigh_stats(struct nigh *cache, enum nigh_stats_format format, char *buffer, size_t size);

/**
 * Print every gauge and counter with what it tells.
 *
 * Threads   any
 */
void nigh_stats_print(FILE *out);

/**
 * One counter or gauge by name, such as "l1_fresh" or "memory_bytes".
 *
 * @param space   name of a space: counters, and if it has (or had) a space.memory the gauges
 *                memory_bytes, memory_cap_bytes, resident_bytes, entries; NULL: gauges, and
 *                counters as the sum over all spaces and the cache itself
 *
 * Returns   its value
 * Errors    NIGH_EINVAL no such name or space; NIGH_EFORKED; NIGH_ECLOSED as nigh_stats()
 * Threads   any
 * Blocks    for short locks; only what the one asked for needs: memory_bytes, entries and the like
 *           ask every shard (milliseconds with 65,536 of them), the others none
 */
int64_t nigh_stats_value(struct nigh *cache, const char *space, const char *name);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
