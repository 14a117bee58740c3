/* SPDX-License-Identifier: MIT */
/**
 * The file that `trace.file` records: requests of one process, for one key in so many.
 *
 * A header of 64 bytes, then records of 24, all numbers little-endian and without padding. A key is
 * sampled, or not, for as long as its process runs: of a sampled key every request is recorded, of
 * the others none. So misses that are measured on the file, with a cache that is smaller by the
 * same factor, are a part of the process's by that factor, give or take what chance does. Hits are
 * not: the few most popular keys are in the sample, or are not. `reads` is for that: where the file
 * has fewer reads than `reads` / `sample`, those that it lacks are hits of popular keys that were
 * not sampled; where it has more, so many of its hits are too many. (Source: SHARDS, FAST 2015.)
 * Where a few keys make most of the misses too, no sample tells.
 *
 * Reading one:
 *
 * - `magic` and `version` are as below, `header_bytes` and `record_bytes` at least as large as
 *   here: records begin at `header_bytes`, and are `record_bytes` apart. What a later version has
 *   added lies behind the fields that are known here.
 * - A record that is cut off by the end of the file is ignored, and so is one whose `op` is not
 *   known: `outcome` and all other fields may then mean anything, but the time goes on.
 * - The time of a record is that of the one before, plus `delta_us`; the first one counts from
 *   `start_us`. Threads are recorded in turns: within a tenth of a second or so, requests of
 *   different threads may have changed places. Times of hits are those of a clock that steps
 *   every few milliseconds.
 * - `reads` counts those that would be a READ with an outcome up to MISS, were all keys sampled,
 *   and those that were dropped. It is written after the records of a round, many times a
 *   second: of a process that was killed it may lack the last round's.
 * - A record of NIGH_TRACE_SPACE gives a space its name, before any other record names its
 *   number. The name, of `size` bytes, lies in the records that follow, as many as it needs; what
 *   is left of the last one is 0. `cost_us` is the number of its group.
 * - What L1 may keep of a value that a LOAD, L2 or PUT has brought is told right after it, by a
 *   record of NIGH_TRACE_LIFE of the same key; after that NIGH_TRACE_GROUPS tell which groups it
 *   belongs to, beside its space's. No such record: L1 may not keep it (`uncacheable`,
 *   NIGH_NO_STORE, outdated), whatever its room. That L1's policy did not take it is told by
 *   nothing, for under another cap it would.
 * - When a group is invalidated (NIGH_TRACE_GROUP) all values that belong to it are gone, or stale,
 *   by this process or by another. A group is a number to which tags and names of spaces are
 *   hashed; two of one number fall together, as in the process. 0 is `all`. Groups that no sampled
 *   key has ever belonged to are not told.
 * - Not in it: what the caps of single spaces (`space.memory`) drop or move, that values were in
 * doubt while Redis was away, and what Redis evicted. A process in which these were many hit less
 * than a replay does. A put is noted when L1 has the value: an invalidation of the same key by
 * another thread in that moment may stand before it, and a hit of it, too.
 * - Version 1 has neither: values in it live for ever, and only keys are invalidated.
 *
 * `key` is XXH3-64 (seed 0) of the key, xor that of its space's name: the same in each process.
 * Keys themselves are not recorded. Which keys are sampled is decided by another hash, with a
 * secret of the process: two processes sample different keys.
 */
#ifndef NIGH_TRACE_H
#define NIGH_TRACE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The first bytes of a file, without a NUL. */
#define NIGH_TRACE_MAGIC "NIGHTRCE"
/** The version that is written. */
#define NIGH_TRACE_VERSION 2u

/** A file begins with it. What can change is written again now and then, and at the end. */
struct nigh_trace_header {
    char magic[8];         /**< NIGH_TRACE_MAGIC */
    uint32_t version;      /**< NIGH_TRACE_VERSION */
    uint32_t header_bytes; /**< 64 */
    uint32_t record_bytes; /**< 24 */
    uint32_t sample;       /**< one key in so many is recorded */
    uint64_t start_us;     /**< when recording began, in microseconds of Unix time */
    uint64_t l1_memory;    /**< the cap of the process, in bytes, when it began */
    uint64_t dropped;      /**< changes: requests of sampled keys that are not in the file */
    uint64_t reads;        /**< changes: all reads of the process while it recorded; 0: not known */
    uint64_t reserved;     /**< 0 */
};

/** The request that was recorded. */
enum nigh_trace_op {
    NIGH_TRACE_READ = 1,       /**< get or fetch, of one key or many, as L1 answered it */
    NIGH_TRACE_LOAD = 2,       /**< the loader has answered, after `cost_us` */
    NIGH_TRACE_L2 = 3,         /**< Redis has answered a lookup */
    NIGH_TRACE_PUT = 4,        /**< a value was put or written */
    NIGH_TRACE_INVALIDATE = 5, /**< the key was invalidated, by this process or by another */
    NIGH_TRACE_LIFE = 6,       /**< its value is fresh for `size` ms, then stale for `cost_us` ms */
    NIGH_TRACE_GROUPS = 7,     /**< ... and of up to four groups: 16 bits each in `size` (the low
                                    ones first) and `cost_us`; 0: none. More are in a record more */
    NIGH_TRACE_GROUP = 8,      /**< the group of number `key` was invalidated; `space` is 0 */
    NIGH_TRACE_SPACE = 16,     /**< the name of a space, as told above */
    NIGH_TRACE_GAP = 17        /**< nothing; for times that `delta_us` cannot tell alone */
};

/** The outcome of that request. */
enum nigh_trace_outcome {
    NIGH_TRACE_FRESH = 0,   /**< READ, L2: a fresh value; LOAD: a value; PUT: stored; GROUP: gone */
    NIGH_TRACE_STALE = 1,   /**< READ, L2: a stale one; GROUP: stale from now on */
    NIGH_TRACE_ABSENT = 2,  /**< READ, L2, LOAD: known not to exist */
    NIGH_TRACE_MISS = 3,    /**< READ, L2: not there */
    NIGH_TRACE_FAILED = 4,  /**< LOAD: an error */
    NIGH_TRACE_REFUSED = 5, /**< PUT: not stored in L1 */
    NIGH_TRACE_PROBE = 6    /**< READ: not there, and nothing else was asked (NIGH_L1_ONLY) */
};

/** A request. */
struct nigh_trace_record {
    uint64_t key;      /**< hash of the key and its space's name */
    uint32_t size;     /**< bytes of the value; 0 where there is none; see LIFE, GROUPS */
    uint32_t cost_us;  /**< LOAD: how long it took; see SPACE, LIFE, GROUPS; else 0 */
    uint32_t delta_us; /**< time since the record before */
    uint16_t space;    /**< number of the space in this file */
    uint8_t outcome;   /**< enum nigh_trace_outcome */
    uint8_t op;        /**< enum nigh_trace_op */
};

#ifdef __cplusplus
}
#endif

#endif
