/* SPDX-License-Identifier: MIT */
/*
 * Filling a candidate, and rounds of lookups in it.
 */
#ifndef PERF_BENCH_STAGE_H
#define PERF_BENCH_STAGE_H

#include "bench/candidate.h"
#include "bench/keys.h"
#include "bench/measure.h"

#define STAGE_THREADS_MAX 16u

/* A candidate with keys 0 .. entries - 1 in it. */
struct nigh_space *stage_create(const struct candidate *c, const struct candidate_need *need);
/* Key `number` with its value; ends the process if it is refused. */
void stage_put(const struct candidate *c, struct nigh_space *space, uint32_t number,
               const struct candidate_need *need);

/* The part of one subject in a round. All of a comparison have the same sequence and count, so they
 * look up the same keys in each round. */
struct lookup {
    const struct candidate *candidate;
    struct nigh_space *spaces[STAGE_THREADS_MAX]; /* of each thread; NULL: the first's */
    const struct sequence *sequence;
    enum loop_kind kind;
    unsigned threads;
    uint64_t count; /* of each thread, per round */
    uint64_t at;
};

/* One round; returns CPU ns per lookup. Ends the process if a value is wrong. */
double lookup_round(void *lookup);

#endif
