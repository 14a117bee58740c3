/* SPDX-License-Identifier: MIT */
/*
 * What writing shares with invalidating.
 */
#ifndef NIGH_CACHE_INVALIDATE_H
#define NIGH_CACHE_INVALIDATE_H

#include "cache/cache.h"

/* coherence_change.schema_of; arg is the cache. */
struct bytes invalidate_schema_of(void *arg, struct bytes space_name);

#endif
