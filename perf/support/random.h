/* SPDX-License-Identifier: MIT */
/*
 * Reproducible randomness: one stream per (seed, node, thread), the same on every machine.
 *
 * Source: xoshiro's splitmix64 (Vigna, prng.di.unimi.it/splitmix64.c): one add and three mixes, and
 * any two seeds give unrelated streams.
 */
#ifndef PERF_RANDOM_H
#define PERF_RANDOM_H

#include <math.h>
#include <stdint.h>

struct random_stream {
    uint64_t state;
};

static inline uint64_t random_next(struct random_stream *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static inline struct random_stream random_stream_of(uint64_t seed, uint32_t node, uint32_t thread)
{
    struct random_stream r = {seed};
    r.state = random_next(&r) ^ ((uint64_t)node << 32 | thread);
    random_next(&r);
    return r;
}

/* Uniform in 0 .. bound - 1 (Lemire's multiplication; the bias of 2^-32 does not show). */
static inline uint32_t random_below(struct random_stream *r, uint32_t bound)
{
    return (uint32_t)(((random_next(r) >> 32) * bound) >> 32);
}

/* Uniform in (0, 1]. */
static inline double random_unit(struct random_stream *r)
{
    return (double)((random_next(r) >> 11) + 1) * 0x1p-53;
}

/* The gap to the next event of a Poisson process with `per_second` events a second. */
static inline uint64_t random_gap_ns(struct random_stream *r, double per_second)
{
    return (uint64_t)(-log(random_unit(r)) / per_second * 1e9);
}

#endif
