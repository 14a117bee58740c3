/* SPDX-License-Identifier: MIT */
/*
 * The benchmarks: one question each. Every one prints its tables and leaves results behind.
 */
#ifndef PERF_BENCH_BENCH_H
#define PERF_BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>

struct bench_settings {
    const char *command;
    unsigned rounds;
    bool quick;         /* smoke: small sizes, few lookups; its figures mean nothing */
    const char *only;   /* hit, write, memory, shrink: part of the cases' names; NULL: all */
    bool full;          /* 10M entries too; a shrink of 2 GiB */
    const unsigned *threads; /* hit, write: how many at once, case by case; ends with 0 */
    /* trace */
    const char *policy; /* NULL: nigh's default */
    uint64_t objects;   /* capacity, 0: by bytes */
    uint64_t bytes;
    uint32_t shards;    /* 0: one */
    uint64_t seed;      /* of L1's hash */
    const char *generate;  /* a trace to make; NULL: none */
    bool curve;            /* the live curve beside replays */
    const char *reference; /* CSV of what others reach; NULL: none */
    char *const *files;
    int file_count;
};

void bench_hit(const struct bench_settings *s);
/* Prints the second table of bench_hit(). */
void bench_features(const struct bench_settings *s);
/* Prints its third: what the figures for people cost. */
void bench_telemetry(const struct bench_settings *s);
void bench_write(const struct bench_settings *s);
void bench_memory(const struct bench_settings *s);
void bench_resize(const struct bench_settings *s);
void bench_limbo(const struct bench_settings *s);
void bench_shrink(const struct bench_settings *s);
void bench_trace(const struct bench_settings *s);
void bench_peers(const struct bench_settings *s);
/* Judge what the others left behind; returns how many bars are missed. */
unsigned bench_bars(const struct bench_settings *s);
/* Tell the results their bars. */
void bench_goals(void);

#endif
