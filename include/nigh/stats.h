/* SPDX-License-Identifier: MIT */
/*
 * Counters and gauges of a cache: by name for programs, as text for people, as JSON for machines,
 * and for Prometheus.
 */
#ifndef NIGH_STATS_H
#define NIGH_STATS_H

#include <stddef.h>
#include <stdio.h>

#include <nigh/cache.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum nigh_stats_format { NIGH_STATS_TEXT, NIGH_STATS_JSON, NIGH_STATS_PROMETHEUS };

/**
 * Write all counters, per space and tier, and the gauges (memory, entries, trust, queue).
 *
 * Text leaves out counters that are 0. JSON has all, each in "cache" or in each of "spaces", or in
 * both if some of what it counts is about no space. The name of a space may hold nearly any bytes:
 * text shows control characters, backslashes and bytes that are not UTF-8 as \xNN; JSON (RFC 8259)
 * escapes what it must and shows a byte that is not UTF-8 as the character \u00NN, so that two such
 * names may look alike there.
 *
 * Prometheus' form is its text format 0.0.4, to be served as text/plain; version=0.0.4. A counter
 * is nigh_NAME_total: one of spaces has the label space in each series, "!none" where a call is
 * about no space, one of the cache has no label. A gauge of the cache is nigh_NAME, one of a space
 * nigh_space_NAME, a histogram nigh_NAME_seconds; times are in seconds. The label has a name as
 * text shows it.
 *
 * Histograms (stats.latency): of each space, what a hit (one read in about 1,024 of each thread,
 * but not those of many keys), a request to Redis, a load, a wait and a whole miss have taken. A
 * quantile is at most an eighth too high, never too low. JSON has what their buckets hold, each
 * with its highest value.
 *
 * redis_problem and listener_problem say why there is no connection to Redis, or with which words a
 * server refuses requests that is connected, and for how long ("" in JSON while all is well);
 * redis_outage and listener_outage what the last reason was when
 * there was none before, for how long, and since when it is over; those with _first why it began,
 * which may be the same. Where an answer was awaited an outage lasts from the last answer before it
 * to the first one after it. doubt_reason says why nothing stored was fresh for a time that is
 * over, resync_reason why all that was stored turned stale, the last time. Node is the name by
 * which explanations of other nodes call this one (nigh_explain()); redis_evicts is the
 * maxmemory-policy that the server told at the last connection.
 *
 * @param buffer   may be NULL: then only the length is returned
 *
 * Returns   bytes needed without the final NUL; the text is cut (and ended) at size
 * Errors    NIGH_EINVAL no such format; NIGH_ENOMEM none to gather what Prometheus' form has of all
 *           spaces, 1 KiB each; NIGH_EFORKED; NIGH_ECLOSED to a log hook, while the cache closes
 * Threads   any; counting goes on meanwhile, so the numbers are sums, not one snapshot
 * Blocks    for short locks, each shard's among them: not for the hot path
 */
long nigh_stats(struct nigh *cache, enum nigh_stats_format format, char *buffer, size_t size);

enum nigh_stats_kind {
    NIGH_STATS_GAUGE,       /* of the cache: what is so now */
    NIGH_STATS_SPACE_GAUGE, /* of a space */
    NIGH_STATS_COUNTER,     /* of each space, or of the cache: what has happened since it opened */
    NIGH_STATS_HISTOGRAM,   /* of each, too: in nigh_stats() alone, not in nigh_stats_value() */
};

/** One of what nigh_stats() tells. The texts are constant. */
struct nigh_stats_info {
    const char *name;
    const char *what; /* what it means */
    enum nigh_stats_kind kind;
};

/**
 * List what there is: gauges of the cache, of spaces, counters, histograms; 0, 1, 2 and so on.
 *
 * @param ret_info   untouched on error
 *
 * Returns   0
 * Errors    NIGH_EINVAL there are not so many
 * Threads   any
 */
int nigh_stats_info(size_t i, struct nigh_stats_info *ret_info);

/**
 * List the spaces in the order of their opening: 0, 1, 2 and so on.
 *
 * @param ret_name   may be NULL; the name is there until the cache closes
 *
 * Returns   the space; NULL: there are not so many, or the cache cannot be asked (in a child of
 *           fork; in a log hook while the cache closes)
 * Threads   any
 */
struct nigh_space *nigh_stats_space(struct nigh *cache, size_t i, const char **ret_name);

/**
 * Write what each shard has, and how its lock was waited for. (nigh_stats() has the spread.)
 *
 * Times of waiting are counted only where a lock was taken, so they cost nothing elsewhere. Many
 * waits in one shard: a key that is written all the time. In all shards: l1.shards is too small.
 *
 * @param format   text or JSON: {"shards": [{"entries": ...}, ...]}, those of l1.memory first, then
 *                 those of spaces with a cap of their own
 * @param buffer   may be NULL: then only the length is returned
 *
 * Returns   as nigh_stats()
 * Errors    NIGH_EINVAL no such format; NIGH_ENOMEM; NIGH_EFORKED; NIGH_ECLOSED as nigh_stats()
 * Threads   any
 * Blocks    for each shard's lock
 */
long nigh_stats_shards(struct nigh *cache, enum nigh_stats_format format, char *buffer,
                       size_t size);

/**
 * Print the name of every gauge and counter, and what it means.
 *
 * Threads   any
 */
void nigh_stats_print(FILE *out);

/**
 * Read a counter or gauge by name, such as "l1_fresh" or "memory_bytes".
 *
 * @param space   name of a space: its counters and gauges (some of which only a space has that has,
 *                or had, a space.memory); NULL: the gauges of the cache, and counters as the sum
 *                over all spaces and the cache itself
 *
 * Returns   its value
 * Errors    NIGH_EINVAL no such name or space, or no space has it: a counter of the link to Redis,
 *           of changes, of the recording; NIGH_EFORKED; NIGH_ECLOSED as nigh_stats()
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
