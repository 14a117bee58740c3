/* SPDX-License-Identifier: MIT */
/*
 * The options of an open cache, as they are now.
 */
#ifndef NIGH_CACHE_SET_H
#define NIGH_CACHE_SET_H

#include "cache/cache.h"

/* Write over the live options of `o` what they are now, as caps of all processes together. */
void set_read_live(struct nigh *cache, struct nigh_options *o) REQUIRES(cache->spaces_lock);

#endif
