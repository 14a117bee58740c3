/* SPDX-License-Identifier: MIT */
/*
 * Permits: at most so many of something at once, without a word that all who ask write.
 *
 * There are as many as were given at the beginning, and each is at one place: in the pool, in a
 * stripe, or with who took it. Who takes looks into its thread's stripe first, then into the pool,
 * then into all other stripes; and gives back to its own. So threads that take and give back again
 * and again write each a line of its own, and the pool is for the beginning.
 *
 * Why there are never too many: a permit moves by one locked instruction that takes it where it
 * was, and one that puts it where it is then. And who is refused has looked everywhere: a permit
 * that he missed was given back after he began, so he might as well have come before that.
 *
 * Thread-safety: all of it, but for permits_init().
 */
#ifndef NIGH_CACHE_PERMITS_H
#define NIGH_CACHE_PERMITS_H

#include "base/base.h"

/* Keys: (a) atomic, relaxed: a permit hands nothing over */
struct permits {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t pool; /* (a) */
    struct permits_stripe {
        _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t kept; /* (a) */
    } stripes[THREAD_STRIPES];
};

void permits_init(struct permits *p, uint32_t count);
/* Take one; `*ret_stripe`: where it is to be given back. False: none is left. */
bool permits_take(struct permits *p, uint32_t *ret_stripe);
void permits_give(struct permits *p, uint32_t stripe);

#endif
