/* SPDX-License-Identifier: MIT */
/*
 * May this entry be called fresh? A pure function of the entry, the time, the floors and trust.
 */
#ifndef NIGH_CACHE_FRESHNESS_H
#define NIGH_CACHE_FRESHNESS_H

#include "cache/cache.h"

enum freshness {
    FRESHNESS_FRESH,   /* stamp at or above its groups' floors, within TTL, trusted */
    FRESHNESS_STALE,   /* out of its soft lifetime or below a soft floor */
    FRESHNESS_DOUBTED, /* fresh but for trust */
    FRESHNESS_GONE,    /* below a hard floor, or out of its stale window */
};

/* Whether the last word from Redis is recent enough to call anything stored fresh. */
bool freshness_trusted(const struct nigh *cache, uint64_t now_ns);

/* `now_ns` from the coarse clock, read after the entry was found. */
enum freshness freshness_of(const struct nigh *cache, const struct l1_entry *e, uint64_t now_ns);

/* Whether the call's own limits (max_age, min_version) let it take the entry at all. */
bool freshness_acceptable(const struct l1_entry *e, const struct nigh_call *call, uint64_t now_ns);

#endif
