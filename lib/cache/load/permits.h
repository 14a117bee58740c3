/* SPDX-License-Identifier: MIT */
/*
 * Permits: at most so many of something at once, without one word that every taker writes.
 *
 * There are as many as were given at the beginning, and each is at one place: in the pool, in a
 * stripe, or with its taker. A taker looks into its thread's stripe first, then into the pool, then
 * into all other stripes; and gives back to its own. So threads that take and give back again and
 * again each write a line of their own, and the pool is for the beginning.
 *
 * Why there are never too many: a permit moves by one locked instruction that takes it from where
 * it was, and one that puts it where it is then. And a taker that is refused has looked everywhere:
 * a permit that it missed was given back after it began, so it might as well have come before that.
 *
 * Thread-safety: all of it, but for permits_init().
 */
#ifndef NIGH_CACHE_LOAD_PERMITS_H
#define NIGH_CACHE_LOAD_PERMITS_H

#include "base/base.h"

/* Keys: (a) atomic, relaxed: a permit hands nothing over */
struct permits {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t pool; /* (a) */
    struct permits_stripe {
        _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t kept; /* (a) */
    } stripes[THREAD_STRIPES];
};

void permits_init(struct permits *p, uint32_t count);
/* Take a permit; `*ret_stripe`: where it is to be given back. False: none is left. */
bool permits_take(struct permits *p, uint32_t *ret_stripe);
void permits_give(struct permits *p, uint32_t stripe);

#endif
