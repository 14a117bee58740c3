/* SPDX-License-Identifier: MIT */
/*
 * Times what calls, requests and loads take, for the histograms of their space (stats.latency).
 *
 *     l1     a plain hit, one read in 1,024: cache/read/read.c
 *     l2     a request for a value or a lease, as the link has timed it
 *     load   the loader's call to its answer
 *     wait   a blocking caller of another's flight
 *     call   what L1 did not answer, from there to the answer; of a call that does not wait, to its
 *            completion
 *
 * All but l1 cost two looks at the clock (25 ns each) beside what takes microseconds at the least.
 */
#ifndef NIGH_CACHE_LATENCY_H
#define NIGH_CACHE_LATENCY_H

#include "cache/cache.h"

/* Find out what a look at the clock takes: once a process. Threads: any. */
void latency_prepare(void);

/* Begin to time something. 0: nobody wants to know. */
static inline uint64_t latency_begin(const struct nigh_space *space)
{
    return space->cache->times ? clock_now_ns(&space->cache->clock) : 0;
}

/* End it. `began_ns` may be 0. */
void latency_end(struct nigh_space *space, enum stats_histogram h, uint64_t began_ns);
/* End the timing of a hit: a look at the clock is a good part of that, and is taken off. */
void latency_end_hit(struct nigh_space *space, uint64_t began_ns);

/* Note what has been timed elsewhere; 0: it was not. */
static inline void latency_note(struct nigh_space *space, enum stats_histogram h, uint64_t took_ns)
{
    if (took_ns && space->cache->times)
        stats_time(&space->stats, h, took_ns);
}

#endif
