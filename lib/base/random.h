/* SPDX-License-Identifier: MIT */
/*
 * Randomness: ids and seeds from the kernel, jitter from a small generator; a test seeds both.
 *
 * Jitter is xorshift* with one relaxed atomic word: two threads that draw the same number at the
 * same time do no harm.
 */
#ifndef NIGH_BASE_RANDOM_H
#define NIGH_BASE_RANDOM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct random {
    _Atomic uint64_t state; /* (a) */
    uint64_t fixed_seed;    /* (c) not 0: ids too come from the generator, for tests */
};

void random_init(struct random *r, uint64_t fixed_seed);
/* An id that no other process draws (getrandom); never 0. */
uint64_t random_id(struct random *r);
/* Uniform in 0 .. bound - 1; 0 for bound 0. For jitter only. */
uint64_t random_below(struct random *r, uint64_t bound);
/* value spread over value * (1 +- percent/100). */
uint64_t random_jitter(struct random *r, uint64_t value, unsigned percent);
/* random_jitter() with the caller's random number in place of a drawn one; its top bits count. */
uint64_t random_jitter_by(uint64_t noise, uint64_t value, unsigned percent);

#endif
