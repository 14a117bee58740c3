/* SPDX-License-Identifier: MIT */
/*
 * The settings that the command line of the benchmarks gives.
 */
#ifndef PERF_BENCH_SETTINGS_H
#define PERF_BENCH_SETTINGS_H

#include "bench/bench.h"
#include "support/output.h"

#define SETTINGS_THREADS_MAX 8u /* in a list */

struct settings {
    struct bench_settings bench;
    unsigned threads[SETTINGS_THREADS_MAX + 1];
    bool huge_pages;  /* for all that the allocator gives */
    bool huge_tables; /* and for nigh's tables */
    struct output output;
};

/* Ends the process on --help or a mistake. */
void settings_parse(struct settings *s, int argc, char **argv);

#endif
