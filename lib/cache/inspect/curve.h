/* SPDX-License-Identifier: MIT */
/*
 * The curve (l1/curve.h) on and off, kept, and told: nigh_curve().
 */
#ifndef NIGH_CACHE_INSPECT_CURVE_H
#define NIGH_CACHE_INSPECT_CURVE_H

#include <stdbool.h>
#include <stdint.h>

struct nigh;

/* Turn it on or off. */
void curve_set(struct nigh *cache, bool on);
bool curve_is_set(const struct nigh *cache);

/* What twice the cap would bring, in hits of all reads. */
struct curve_twice {
    double more;       /* share of the reads; < 0: fewer, by chance */
    double error;      /* of that */
    double per_second; /* at the rate of now */
};
/* Tell it. False: the curve is off, or has not seen enough. */
bool curve_twice(struct nigh *cache, struct curve_twice *ret);

/* Drain it, and fit it to what is held, as far as that is due. Returns when to come again. The
 * keeper's. */
uint64_t curve_keep(struct nigh *cache);

#endif
