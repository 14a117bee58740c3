/* SPDX-License-Identifier: MIT */
/*
 * A peer in another language: a process that has a cache with the same keys, and takes part in
 * rounds as everybody does.
 *
 * It is started with the path of a file: {u32 entries, u32 bytes of a value, u32 length, u32 0} and
 * so many steps (bench/loop.h): first the keys in turn, then the sequence. It fills its cache and
 * says "ready". Then each line "AT COUNT THREADS" on its stdin is a round, as lookup_round() would
 * make it; it answers with the mean CPU time of its threads in nanoseconds and what was wrong with
 * the values (0). It ends when its stdin does.
 */
#ifndef PERF_BENCH_FOREIGN_H
#define PERF_BENCH_FOREIGN_H

#include <stdint.h>

#include "bench/loop.h"

struct foreign;

/* Start it. argv[0] is looked for in PATH; the file's path is added. NULL: it does not start, or
 * says something else than that it is ready. */
struct foreign *foreign_open(const char *name, const char *const *argv, uint32_t entries,
                             uint32_t value_bytes, const struct sequence *sequence);
void foreign_close(struct foreign *f);

/* What it shall do in each round. */
void foreign_set(struct foreign *f, uint64_t count, unsigned threads);
/* One round: CPU ns per lookup. Ends the process if a value is wrong. */
double foreign_round(void *foreign);

#endif
