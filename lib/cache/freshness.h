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

/*
 * Whether the last word from Redis is recent enough to call anything stored fresh.
 *
 * Trust is compared with the time read after the entry was found: any beat that vouches beyond that
 * time applied its invalidations before it set the word.
 */
static inline bool freshness_trusted(const struct nigh *cache, uint64_t now_ns)
{
    /* pair(coherence.trust): what a beat applied before it extended trust is seen here */
    return now_ns < atomic_load_explicit(cache->trusted_until, memory_order_acquire);
}

/* `now_ns` from the coarse clock, read after the entry was found. */
enum freshness freshness_of(const struct nigh *cache, const struct l1_entry *e, uint64_t now_ns);

/*
 * freshness_of() == FRESHNESS_FRESH, for a hit. An entry that is within its soft lifetime is within
 * its stale window; and only L1_CURRENT is above all floors.
 *
 * Trust first: its acquire orders the floors after it, so that an entry is never judged by floors
 * older than the beat that vouches for it.
 */
static inline bool freshness_is_fresh(const struct nigh *cache, const struct l1_entry *e,
                                      uint64_t now_ns)
{
    return NIGH_LIKELY(freshness_trusted(cache, now_ns)) &&
           NIGH_LIKELY(l1_judge(cache->l1, e) == L1_CURRENT) &&
           NIGH_LIKELY(l1_entry_fresh_at(e, now_ns));
}

/* Mark the beginning of the doubt that reigns now, unless that is done: whoever sees it first. */
void freshness_note_doubt(struct nigh *cache);
/* In doubt: whether what has this stamp was learnt since the doubt began. */
bool freshness_learnt_since(const struct nigh *cache, uint64_t stamp);

/* Whether the call's own limits (max_age, min_version) let it take the entry at all. */
bool freshness_acceptable(const struct l1_entry *e, const struct nigh_call *call, uint64_t now_ns);

#endif
