/* SPDX-License-Identifier: MIT */
/*
 * Reading request traces, and a table of what other policies reach on them.
 *
 * A trace (NAME.t8) has {uint32 key; uint32 size}, little-endian, in the order of the requests; a
 * size of 1 where sizes are not known. input/input.h knows other formats too.
 * The reference is CSV: trace,cache_size,unit,policy,hit_ratio,...
 */
#ifndef PERF_BENCH_TRACE_FILE_H
#define PERF_BENCH_TRACE_FILE_H

#include "bench/simulate.h"

/* Returns the share of the keys that the file has: 1, or what a recording sampled. */
double trace_read(struct trace *t, const char *path);
/* The file's name without folder and endings; the caller frees it. */
char *trace_name(const char *path);

/* One size of one trace, and what others reach there: shares of hits, 0 where not known. */
struct reference_cell {
    char trace[40];
    uint64_t capacity;
    int by_bytes;
    double best;     /* of the field: LRU, S3-FIFO, 2Q, ARC, LIRS, SIEVE, W-TinyLFU (2) */
    double caffeine;
};

/* All cells of the file, in its order; returns their number. The caller frees them. */
size_t reference_read(const char *path, struct reference_cell **ret_cells);

#endif
