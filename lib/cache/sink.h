/* SPDX-License-Identifier: MIT */
/*
 * Puts what other nodes said into L1 and the flights.
 */
#ifndef NIGH_CACHE_SINK_H
#define NIGH_CACHE_SINK_H

#include "cache/cache.h"

/* The sink that coherence calls: which of its functions under the apply lock, see there. */
struct coherence_sink sink_of(struct nigh *cache);
/* The local half of one item of an invalidation: what sink.key and sink.group do. */
void sink_apply(struct nigh *cache, const struct coherence_item *item);

#endif
