/* SPDX-License-Identifier: MIT */
/*
 * `tune`: from requests that were recorded to one line of options, and the reasons for it.
 */
#ifndef PERF_TUNE_TUNE_H
#define PERF_TUNE_TUNE_H

#include <stdio.h>

#include "tune/curve.h"
#include "tune/knee.h"
#include "tune/shards.h"

#define TUNE_POLICIES_MAX 4u
#define TUNE_SIZES_MAX    48u
#define TUNE_THREADS_MAX  8u

struct tune_settings {
    enum input_kind kind;
    const char *path;
    uint64_t memory_max;                         /* 0: half of the machine's */
    unsigned threads[TUNE_THREADS_MAX + 1];      /* ends with 0 */
    unsigned shards[SHARDS_CANDIDATES_MAX + 1];  /* to choose from; ends with 0 */
    const char *policies[TUNE_POLICIES_MAX + 1]; /* ends with NULL */
    double worth;         /* share of the requests whose loads a doubling should save: 0 .. 1 */
    uint64_t ttl_s;       /* 0: values live for ever */
    uint32_t value_bytes; /* where the trace does not know */
    uint32_t key_bytes;   /* the same */
    uint32_t value_max;   /* space.value_max */
    size_t most;          /* requests of one replay */
    unsigned rounds;
    uint64_t round_ns;
    uint64_t seed;
};

/* One size of the cache. */
struct tune_size {
    uint64_t bytes;
    double lru;                                 /* share of hits by stack distances */
    struct replay_result by[TUNE_POLICIES_MAX]; /* by replays through nigh */
};

struct tune {
    const struct tune_settings *settings;
    struct input in;
    size_t too_large; /* requests for values above value_max */
    struct replay_source source;
    struct curve curve;
    unsigned policy_count;
    struct tune_size sizes[TUNE_SIZES_MAX]; /* from small to large */
    unsigned size_count;
    bool cut;        /* memory_max is less than what everything takes */
    unsigned policy; /* the chosen one */
    unsigned knee;   /* the chosen size */
    struct shards_result shards[TUNE_THREADS_MAX]; /* the last one decides */
    unsigned shards_count;
    struct replay_result check; /* a replay with the answer as a whole */
};

/* The defaults. */
void tune_settings_init(struct tune_settings *s);

/* Read and find out. NULL, or why it cannot be done, which the caller frees. tune_free() is for
 * both cases. */
char *tune_run(struct tune *t, const struct tune_settings *s);
void tune_free(struct tune *t);

/* "l1.memory=96m,l1.policy=lfu,l1.shards=8": for NIGH_CONF; without shards where none is better,
 * with space.value_max where another one was asked for. */
void tune_line(const struct tune *t, char *ret, size_t size);

/* Whether the answer is the most that was allowed, with no knee below it. */
bool tune_is_cut(const struct tune *t);
/* Whether values end in the replays: by the recording, or by --ttl. */
bool tune_has_lives(const struct tune *t);
/* Whether the recording says how long loads take: then the knee goes by that. */
bool tune_knows_time(const struct tune *t);
/* Misses of the chosen policy by size; to ret[size_count]. `by_time`: shares of the time of loads,
 * where that is known. */
void tune_points(const struct tune *t, bool by_time, struct knee_point *ret);

/* Print the findings for people: at most 100 columns. */
void tune_report(const struct tune *t, FILE *out);
/* ... and for machines: results of bench/measure.h. */
void tune_results(const struct tune *t);

/* "96 MiB", "1.5 GiB"; lives until table_end(). */
const char *tune_size(double bytes);

/* The curve as text, `knee` marked. Sizes in powers of two from left to right. */
void tune_plot(const struct tune *t, FILE *out);

#endif
