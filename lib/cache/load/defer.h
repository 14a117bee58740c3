/* SPDX-License-Identifier: MIT */
/*
 * Names of deferred fills: what a host holds while its loader has returned and the answer is still
 * to come.
 *
 *     named --- the loader has returned ---> waits --- answered ---> over: NIGH_EINVAL
 *       |                                      +------ closed -----> over: NIGH_ECLOSED
 *       +--- its load has failed, or was answered before that -----> over: NIGH_EINVAL
 *
 * A name stands in the place of a fill's address, in all calls of `nigh/load.h`. It can be told
 * from an address, and outlives what it names: two threads may answer, or one twice, or after
 * nigh_close(), and learn which of them came too late.
 */
#ifndef NIGH_CACHE_LOAD_DEFER_H
#define NIGH_CACHE_LOAD_DEFER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

struct nigh;
struct nigh_fill;

/* Whether what a host calls a fill is a name. */
static inline bool defer_is_name(const struct nigh_fill *fill)
{
    return (uintptr_t)fill & 1;
}

/* Name a fill of this cache, whose loader runs. NULL: no memory. */
struct nigh_fill *defer_name(struct nigh_fill *fill, const struct nigh *cache);
/* Lock a name. 0: *ret_fill is the caller's until the name is unlocked, or over. Otherwise the name
 * is not locked, and this says why: NIGH_EINVAL, NIGH_ETIMEDOUT, NIGH_ECLOSED, NIGH_EFORKED. */
int defer_lock(const struct nigh_fill *name, struct nigh_fill **ret_fill);
void defer_unlock(const struct nigh_fill *name);
/* Whether the loader has returned. REQUIRES(the name's lock) */
bool defer_waits(const struct nigh_fill *name);
/* The loader has returned, and the fill is left to whoever has the name. REQUIRES(the name's
 * lock) */
void defer_wait(const struct nigh_fill *name);
/* Unlock a name that is over: from here on it is told `why`. The fill is the caller's. */
void defer_end(const struct nigh_fill *name, int why);
/* Take the next fill of this cache that waits, as defer_end() does, if `wanted` says so under the
 * name's lock; *from is 0 the first time. NULL: there are no more. */
struct nigh_fill *defer_take(const struct nigh *cache, int why, uint32_t *from,
                             bool (*wanted)(const struct nigh_fill *fill));

#endif
