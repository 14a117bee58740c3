/* SPDX-License-Identifier: MIT */
/*
 * Draws an index with a probability in proportion to its weight, in constant time.
 *
 * Source: Vose's alias method (keithschwarz.com/darts-dice-coins): two tables, one uniform draw,
 * one comparison; a binary search over 63k sums would cost eight cache misses per request.
 */
#ifndef PERF_SAMPLER_H
#define PERF_SAMPLER_H

#include <stdint.h>

#include "support/random.h"

struct sampler_slot {
    uint32_t keep;  /* stay here if the draw's low half is below this, of 2^32 */
    uint32_t alias; /* else this index */
};

struct sampler {
    struct sampler_slot *slots;
    uint32_t count;
};

/* `count` > 0 weights, not all zero. */
void sampler_init(struct sampler *s, const uint32_t *weights, uint32_t count);
void sampler_free(struct sampler *s);

static inline uint32_t sampler_draw(const struct sampler *s, struct random_stream *r)
{
    uint64_t draw = random_next(r);
    uint32_t i = (uint32_t)(((draw >> 32) * s->count) >> 32);
    return (uint32_t)draw <= s->slots[i].keep ? i : s->slots[i].alias;
}

#endif
