/* SPDX-License-Identifier: MIT */
/*
 * Says what a read knows of the time, of trust and of its call's limits, from which a verdict is
 * made; and marks when a doubt began.
 */
#ifndef NIGH_CACHE_VALUE_FRESHNESS_H
#define NIGH_CACHE_VALUE_FRESHNESS_H

#include "cache/cache.h"
#include "cache/value/verdict.h"

/*
 * Returns until when anything stored may be called fresh, by the last word from Redis. A read asks
 * BEFORE it looks for an entry.
 *
 * By this acquire the look sees every removal and every raised floor that a beat applied before it
 * vouched (extended trust). If trust were read after the look, it could be the word of a beat that
 * came in between, at the end of a doubt, and removed what had just been found: an entry
 * invalidated long before the call would be called fresh. The time it is compared with may be any
 * within the call.
 */
static inline uint64_t freshness_trusted_until(const struct nigh *cache)
{
    /* pair(coherence.trust): acquire what a beat applied before it extended trust */
    return atomic_load_explicit(cache->trusted_until, memory_order_acquire);
}

static inline bool freshness_trusted(const struct nigh *cache, uint64_t now_ns)
{
    return now_ns < freshness_trusted_until(cache);
}

/* Time and trust of a read, taken before it looks. */
struct moment {
    uint64_t now_ns;
    bool is_trusted;
};

/* Take the moment of a read. In doubt this marks the doubt's beginning, too, so that what the read
 * brings counts as learnt since. */
struct moment freshness_moment(struct nigh *cache);
/* Returns what trust says, at that moment, of a value of Redis: none of them counts as learnt, for
 * this node has not loaded it. */
static inline enum verdict_trust freshness_trust_l2(const struct nigh *cache,
                                                    const struct moment *moment)
{
    return moment->is_trusted ? TRUST_HELD : cache->doubt_is_miss ? TRUST_MISS : TRUST_DOUBT;
}
/* Returns what it says of an entry of L1. */
enum verdict_trust freshness_trust(const struct nigh *cache, const struct moment *moment,
                                   const struct l1_entry *e);
/* Returns where an entry is in its lifetime; past its stale window that is `after`. */
enum verdict_lifetime freshness_lifetime(const struct l1_entry *e, uint64_t now_ns,
                                         enum verdict_lifetime after);
/* Returns the verdict on an entry of L1. */
enum verdict freshness_verdict(const struct nigh *cache, const struct l1_entry *e,
                               const struct moment *moment);

/*
 * freshness_verdict() == VERDICT_FRESH of a value at a trusted moment, for a hit. An entry that is
 * within its soft lifetime is within its stale window; and only L1_CURRENT is above all floors.
 */
static inline bool freshness_is_fresh(const struct nigh_space *space, const struct l1_entry *e,
                                      uint64_t now_ns)
{
    return NIGH_LIKELY(l1_entry_fresh_at(e, now_ns)) && NIGH_LIKELY(l1_is_current(&space->l1, e));
}

/* Mark the beginning of the present doubt, unless it is marked: the first to see it does that. */
void freshness_note_doubt(struct nigh *cache);
/* Returns what is to be said, in doubt, of an entry that is as of this stamp: TRUST_LATELY,
 * TRUST_LEARNT or TRUST_DOUBT. Its age counts at `now_ns`, a moment within the call. */
enum verdict_trust freshness_doubt(const struct nigh *cache, const struct l1_entry *e,
                                   uint64_t stamp, uint64_t now_ns);

/* Whether the call's own limits (max_age, min_version) let it take the entry at all. */
bool freshness_acceptable(const struct l1_entry *e, const struct nigh_call *call, uint64_t now_ns);

#endif
