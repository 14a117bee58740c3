/* SPDX-License-Identifier: MIT */
/*
 * What the command line of the benchmarks says.
 */
#ifndef PERF_BENCH_SETTINGS_H
#define PERF_BENCH_SETTINGS_H

#include "bench/bench.h"

struct settings {
    struct bench_settings bench;
    bool huge_pages;  /* for all that the allocator gives */
    bool huge_tables; /* and for nigh's tables */
};

/* Ends the process on --help or a mistake. */
void settings_parse(struct settings *s, int argc, char **argv);

#endif
