/* SPDX-License-Identifier: MIT */
/*
 * How many shards so many threads want: measured, by threads that ask for the recorded requests as
 * fast as they are answered, and put what is missing.
 *
 * A shard is a lock for writers. Readers take none, so only the puts matter, and how many there are
 * follows from the requests and the memory. A server also does other things between two puts, and
 * loads take time: so this is more contention than it will have, and the number errs upwards.
 */
#ifndef PERF_TUNE_SHARDS_H
#define PERF_TUNE_SHARDS_H

#include "bench/measure.h"
#include "tune/replay.h"

#define SHARDS_CANDIDATES_MAX 16u
#define SHARDS_THREADS_MAX    64u

struct shards_one {
    unsigned shards;
    double ops;     /* a second, all threads; the median of the rounds */
    double of_best; /* its part of what the best does, 1 at most */
    double noise;   /* by which that differs from round to round, up and down */
};

struct shards_result {
    unsigned threads;
    unsigned count;
    struct shards_one all[SHARDS_CANDIDATES_MAX];
    unsigned best;   /* index: with the most requests */
    unsigned chosen; /* index: the smallest that does not differ from the best by more than noise */
    double noise;    /* the median of that of all but the best, which has none beside itself */
    bool differs;    /* false: the rounds tell none of them from the others, so none is chosen */
    unsigned rounds;
};

/* `candidates` ends with 0. */
void shards_measure(struct shards_result *ret, const struct replay_source *src, const char *policy,
                    uint64_t bytes, unsigned threads, const unsigned *candidates, unsigned rounds,
                    uint64_t round_ns);

#define SHARDS_TOLERANCE_LEAST 0.02
#define SHARDS_TOLERANCE_MOST  0.10

/* From what the rounds gave: parts of the best, noise, the choice, and whether it is one. */
void shards_judge(struct shards_result *r, const struct subject *subjects);

#endif
