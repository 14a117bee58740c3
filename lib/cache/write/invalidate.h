/* SPDX-License-Identifier: MIT */
/*
 * An invalidation's way from the targets of a call to what coherence takes.
 */
#ifndef NIGH_CACHE_WRITE_INVALIDATE_H
#define NIGH_CACHE_WRITE_INVALIDATE_H

#include "cache/cache.h"

/* Tells Redis and every node of the items. Returns what nigh_invalidate_many() does, or what the
 * call that gives this function may return beside. */
typedef int invalidate_fn(struct nigh *cache, const struct coherence_item *items, size_t n,
                          void *arg);
/* The target of a call that names one key. */
static inline struct nigh_target invalidate_target_of(struct nigh_space *space, const void *key,
                                                      size_t key_len, const struct nigh_call *call)
{
    return (struct nigh_target){
        .kind = NIGH_TARGET_KEY,
        .space = space,
        .name = key,
        .name_len = key_len,
        .version = call ? call->version : 0,
    };
}

/* Check a call, turn its targets into items, and have `tell` tell of them, inside caller_enter().
 * Without Redis they are applied here, and that is all. */
int invalidate_by(struct nigh *cache, const struct nigh_target *targets, size_t n,
                  const struct nigh_call *call, invalidate_fn *tell, void *arg);

#endif
