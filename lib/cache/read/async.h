/* SPDX-License-Identifier: MIT */
/*
 * Reading L2 behind a call that neither waits nor wants to be told: what L2 has enters L1.
 */
#ifndef NIGH_CACHE_READ_ASYNC_H
#define NIGH_CACHE_READ_ASYNC_H

#include "cache/cache.h"

/* Ask L2 for a key. NIGH_PENDING; NIGH_MISS: L2 is not to be asked; or why it could not be. */
int async_look_behind(struct nigh_space *space, const struct l1_key *key,
                      const struct nigh_call *call);

#endif
