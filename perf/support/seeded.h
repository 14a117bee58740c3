/* SPDX-License-Identifier: MIT */
/*
 * A cache whose secrets come from a seed, so that a replay can be repeated: the hash of L1 decides
 * which values meet in a shard's sketch and sample, and with that some tenths of a point of the
 * hits, of a small cache whole points.
 *
 * The library has no option for it, for a server's hash must not be known. It asks getrandom(2),
 * and in programs that use this file it gets ours.
 */
#ifndef PERF_SEEDED_H
#define PERF_SEEDED_H

#include <stdint.h>

/* From here to seeded_end() getrandom() gives what follows from the seed. For one thread. */
void seeded_begin(uint64_t seed);
void seeded_end(void);

#endif
