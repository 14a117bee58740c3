/* SPDX-License-Identifier: MIT */
/*
 * Randomness: secrets from the kernel, ids by a keyed hash of their number, jitter from a small
 * generator; a test seeds all three.
 *
 * An id is drawn on every miss and for every change, and a call of getrandom costs as much as a
 * third of their other work. So it is SipHash, under a secret key of its own that the kernel has
 * drawn, of how many ids were drawn before, and of a word that each child of fork draws anew. To
 * who has not the key that is as good as random: two processes, two caches of one, a parent and its
 * children draw the same id no more often than by chance, and nobody can tell the next one. Ids are
 * no secret themselves: whoever may use Redis sees them there. Two processes that go on from one
 * image (CRIU, a snapshot of a virtual machine that is restored twice) draw the same ids.
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
    uint64_t fixed_seed;    /* (c) not 0: ids and secrets come from the generator, for tests */
    uint64_t key[2];        /* (c) the ids' */
    _Atomic uint64_t drawn; /* (a) ids */
};

void random_init(struct random *r, uint64_t fixed_seed);
/* An id that nobody else draws; never 0. */
uint64_t random_id(struct random *r);
/* Bits that nobody knows, from getrandom: for keys, and what lasts; never 0. */
uint64_t random_secret(struct random *r);
/* Uniform in 0 .. bound - 1; 0 for bound 0. For jitter only. */
uint64_t random_below(struct random *r, uint64_t bound);
/* value spread over value * (1 +- percent/100). */
uint64_t random_jitter(struct random *r, uint64_t value, unsigned percent);
/* random_jitter() with the caller's random number in place of a drawn one; its top bits count. */
uint64_t random_jitter_by(uint64_t noise, uint64_t value, unsigned percent);

#endif
