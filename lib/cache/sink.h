/* SPDX-License-Identifier: MIT */
/*
 * Puts what other nodes said into L1 and the flights.
 */
#ifndef NIGH_CACHE_SINK_H
#define NIGH_CACHE_SINK_H

#include "cache/cache.h"

/* Returns the sink that coherence calls; coherence.h says which functions under the apply lock. */
struct coherence_sink sink_of(struct nigh *cache);
/* Do the local half of one item of an invalidation, as sink.key and sink.group do. */
void sink_apply(struct nigh *cache, const struct coherence_item *item);

#endif
