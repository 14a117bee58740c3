/* SPDX-License-Identifier: MIT */
/*
 * What the cache counted: for programs by name, for people as text, for machines as JSON.
 */
#ifndef NIGH_STATS_H
#define NIGH_STATS_H

#include <nigh/cache.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum nigh_stats_format { NIGH_STATS_TEXT, NIGH_STATS_JSON };

/**
 * Write all counters, per space and tier, and the gauges (memory, entries, trust, queue).
 *
 * @param buffer   may be NULL when size is 0
 *
 * Returns   bytes needed without the final NUL; the text is cut (and ended) at size
 * Errors    NIGH_EINVAL, NIGH_ENOMEM
 * Threads   any
 */
long nigh_stats(struct nigh *cache, enum nigh_stats_format format, char *buffer, size_t size);

/**
 * One counter or gauge by name, such as "l1_fresh" or "memory_bytes".
 *
 * @param space   name of a space; NULL: the sum over spaces and the cache itself
 *
 * Returns   its value
 * Errors    NIGH_EINVAL no such name or space
 * Threads   any
 */
int64_t nigh_stats_value(struct nigh *cache, const char *space, const char *name);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
