/* SPDX-License-Identifier: MIT */
/*
 * Closing a cache, open in whole or in part.
 */
#ifndef NIGH_CACHE_CLOSE_H
#define NIGH_CACHE_CLOSE_H

struct nigh;

/* Close the tiers that are open, in the order in which they depend on each other. What callbacks
 * and completions may still touch stays, until cache->destroy(). */
void close_tiers(struct nigh *cache);

#endif
