/* SPDX-License-Identifier: MIT */
/*
 * The share of requests that exact LRU answers, for every size of the cache at once.
 *
 * A request hits if all that was asked for since the last request of its key fits beside it: its
 * stack distance, in bytes. Source: R. Mattson et al., Evaluation techniques for storage
 * hierarchies, IBM Systems Journal 9 (1970).
 */
#ifndef PERF_TUNE_CURVE_H
#define PERF_TUNE_CURVE_H

#include <stdint.h>

#include "tune/sample.h"

#define CURVE_STEPS   32u /* sizes per power of two */
#define CURVE_BUCKETS (48u * CURVE_STEPS)

struct curve {
    double hits[CURVE_BUCKETS]; /* requests whose distance falls there */
    double requests;
    double cold;      /* first requests of a key, and the first after an invalidation */
    double footprint; /* bytes of all keys, in the real cache */
};

/* Bytes of an entry in L1: key, value, and some bookkeeping, as perf/README.md measures it. */
double curve_charge(uint32_t key_bytes, uint32_t value_bytes);

/* Bytes of a cap that entries can have: all but the floors of groups (coherence.group_slots, the
 * default), which are a good part of a small one. */
double curve_room(double cap_bytes);

/* From at most so many requests. */
void curve_make(struct curve *c, const struct input *in, uint32_t key_bytes, size_t most,
                uint64_t seed);
/* Share of hits of a cache with so many bytes for entries, 0 .. 1. */
double curve_at(const struct curve *c, double bytes);
/* Share of hits if everything fitted. */
double curve_top(const struct curve *c);

#endif
