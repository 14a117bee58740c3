/* SPDX-License-Identifier: MIT */
/*
 * The result of a flight, as one of its callers sees it: whoever waited, or watched.
 */
#ifndef NIGH_CACHE_READ_LANDED_H
#define NIGH_CACHE_READ_LANDED_H

#include "cache/cache.h"
#include "cache/read/join.h"
#include "cache/load/load.h"

/* Take the result of a flight: an outcome (`ret` is written if that has a value) or an error.
 * NIGH_PENDING: it is no answer to this call, fly again. */
int landed_take(struct nigh_space *space, const struct l1_key *key, const struct landing *landed,
                const struct joined *joined, const struct nigh_call *call, struct nigh_value *ret);

#endif
