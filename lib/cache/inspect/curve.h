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
/* Drain it, and fit it to what is held, as far as that is due. Returns when to come again. The
 * keeper's. */
uint64_t curve_keep(struct nigh *cache);

#endif
