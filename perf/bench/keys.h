/* SPDX-License-Identifier: MIT */
/*
 * Keys, values and the order in which keys are asked for.
 *
 * Key number n: 17 to 32 bytes that begin with n and go on at random. Its value begins with n as a
 * 64-bit word. An order is drawn beforehand, so that drawing costs nothing while time is taken.
 */
#ifndef PERF_BENCH_KEYS_H
#define PERF_BENCH_KEYS_H

#include "bench/loop.h"

#define ZIPF_EXPONENT 0.99

enum keys_order {
    KEYS_IN_TURN, /* 0, 1, 2 ... */
    KEYS_UNIFORM,
    KEYS_ZIPF, /* the most popular ones are scattered over the numbers */
};

void key_make(uint32_t number, struct step *ret);
/* `size` (>= 8) bytes. */
void value_make(uint32_t number, void *buffer, size_t size);

/* `length` (a power of two) lookups among `entries` keys. */
void sequence_make(struct sequence *s, enum keys_order order, uint32_t entries, uint64_t length,
                   uint64_t seed);
void sequence_free(struct sequence *s);
/* Make those to come by another seed than usual (0). */
void keys_set_seed(uint32_t seed);

/* Weights of ranks 0 .. count - 1, in proportion to 1 / (rank + 1)^exponent. */
void zipf_weights(uint32_t *weights, uint32_t count, double exponent);
/* The share of all draws that rank should have, with ZIPF_EXPONENT. */
double zipf_share(uint32_t rank, uint32_t count);

/* Zeroed memory in 2 MiB pages, where the kernel has them: the harness' own misses are few. */
void *huge_alloc(size_t size);
void huge_free(void *p, size_t size);

#endif
