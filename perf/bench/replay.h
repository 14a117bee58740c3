/* SPDX-License-Identifier: MIT */
/*
 * A trace, replayed through the public API into a cache without Redis: get, and on a miss put. It
 * runs in the mode without own threads, ticked by this one, on a clock that the requests move, and
 * hashes by --seed: so the same trace gives the same hits. Where requests have times it is ticked
 * when the last tick said, as own threads would do that work. What a recording tells of lifetimes,
 * puts and invalidations happens in between, by its own times.
 */
#ifndef PERF_BENCH_REPLAY_H
#define PERF_BENCH_REPLAY_H

#include <nigh/nigh.h>

#include "bench/bench.h"
#include "bench/trace_file.h"

#define REPLAY_OBJECT_BYTES 16u   /* of the values, where objects are counted */
#define REPLAY_OVERHEAD_BYTES 64u /* of an entry, or so */
#define REPLAY_MEMORY_MIN_BYTES (4ull << 20)
#define REPLAY_CURVE_BYTES 4096u

struct replay {
    struct nigh *cache;
    struct nigh_space *space;
    uint64_t capacity_bytes;
    uint64_t untended_bytes; /* put since the last tick */
    uint64_t too_large;      /* puts of more than a value may be */
    char *value;             /* NIGH_VALUE_MAX bytes */
    uint64_t *clock_ns;      /* of the replay; NULL: the machine's */
    uint64_t due_ns;         /* by that clock: when the cache wants the next tick */
    char *curve;             /* what nigh_curve() says at the end, in JSON; NULL: it is off */
    double *fades;           /* one for each look at the curve: by how much it let all before count
                              * less; written while the curve is on. NULL: nobody wants to know */
};

/* What is given to nigh. */
struct replay_setting {
    uint64_t memory_bytes;
    uint32_t entries_max;  /* 0: no limit but memory */
    uint64_t object_bytes; /* value of each; by bytes: of a mean one */
    uint64_t scale;        /* bytes of ours per byte of the trace */
    uint64_t entries;      /* objects, by bytes mean ones, that fit */
    bool by_bytes;
};

struct replay_outcome {
    uint64_t hits;
    uint64_t hit_bytes;
    uint64_t dropped; /* puts for which there was no room */
    double lately;    /* share of the hits, as it fades in the curve */
};

/* A cache of its own for each replay, or for puts alone; the caller closes it. */
void replay_open(struct replay *r, const struct bench_settings *s, uint64_t memory_bytes,
                 uint32_t entries_max);
void replay_put(struct replay *r, uint32_t key, uint64_t size);
/* How many looks at the curve there are in a trace of so many requests. */
size_t replay_looks(size_t requests);
/* The whole trace in a new cache. */
struct replay_outcome replay_trace(struct replay *r, const struct bench_settings *s,
                                   const struct trace *t, const struct replay_setting *set);

/* So much memory that a count of entries is the only limit. */
uint64_t replay_memory_for(uint64_t entries);

/* ---- curve.c: what the live curve says, and what comes ---- */

void replay_print_curve_heading(void);
/* Replay the trace with the curve on, and then under each of the caps that it speaks of; print
 * both. */
void replay_beside_curve(const struct bench_settings *s, const char *label, const struct trace *t,
                         const struct replay_setting *set);
/* Print how far it was off, over all traces. */
void replay_print_curve_total(void);

#endif
