/* SPDX-License-Identifier: MIT */
/*
 * Tells the host of the changes of other nodes: nigh_watch().
 */
#ifndef NIGH_CACHE_WATCH_H
#define NIGH_CACHE_WATCH_H

#include "cache/cache.h"

/* Tell whoever watches, if anybody does. Under the apply lock. */
void watch_tell(struct nigh *cache, const struct coherence_item *item);
void watch_fini(struct nigh *cache);

#endif
