/* SPDX-License-Identifier: MIT */
/*
 * Says whether an entry may be called fresh, from the entry, the time, the floors and trust; and
 * marks when a doubt began.
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
 * How long the last word from Redis lets anything stored be called fresh. A read asks BEFORE it
 * looks for an entry.
 *
 * Its acquire makes the look find all that a beat had removed, and all floors that it had raised,
 * before it vouched. Taken after the look it could be the word of a beat that came in between, at
 * the end of a doubt, and removed what had just been found: an entry invalidated long before the
 * call would be called fresh. The time it is compared with may be any within the call.
 */
static inline uint64_t freshness_trusted_until(const struct nigh *cache)
{
    /* pair(coherence.trust): what a beat applied before it extended trust is seen here */
    return atomic_load_explicit(cache->trusted_until, memory_order_acquire);
}

static inline bool freshness_trusted(const struct nigh *cache, uint64_t now_ns)
{
    return now_ns < freshness_trusted_until(cache);
}

/* What a read knows of time, taken before it looks. */
struct moment {
    uint64_t now_ns;
    bool is_trusted;
};

static inline struct moment freshness_moment(const struct nigh *cache)
{
    uint64_t now_ns = clock_coarse_ns(&cache->clock);
    return (struct moment){now_ns, freshness_trusted(cache, now_ns)};
}

enum freshness freshness_of(const struct nigh *cache, const struct l1_entry *e,
                            const struct moment *moment);

/*
 * freshness_of() == FRESHNESS_FRESH at a trusted moment, for a hit. An entry that is within its
 * soft lifetime is within its stale window; and only L1_CURRENT is above all floors.
 */
static inline bool freshness_is_fresh(const struct nigh_space *space, const struct l1_entry *e,
                                      uint64_t now_ns)
{
    return NIGH_LIKELY(l1_entry_fresh_at(e, now_ns)) && NIGH_LIKELY(l1_is_current(&space->l1, e));
}

/* Mark the beginning of the doubt that reigns now, unless that is done: whoever sees it first. */
void freshness_note_doubt(struct nigh *cache);
/* In doubt: whether what has this stamp was learnt since the doubt began. */
bool freshness_learnt_since(const struct nigh *cache, uint64_t stamp);

/* Whether the call's own limits (max_age, min_version) let it take the entry at all. */
bool freshness_acceptable(const struct l1_entry *e, const struct nigh_call *call, uint64_t now_ns);

#endif
