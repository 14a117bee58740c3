/* SPDX-License-Identifier: MIT */
/*
 * What other nodes said, put into L1 and the flights.
 */
#ifndef NIGH_CACHE_SINK_H
#define NIGH_CACHE_SINK_H

#include "cache/cache.h"

/* The sink that coherence calls, under its apply lock. */
struct coherence_sink sink_of(struct nigh *cache);
/* The local half of one item of an invalidation: what sink.key and sink.group do. */
void sink_apply(struct nigh *cache, const struct coherence_item *item);

#endif
