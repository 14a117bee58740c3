/* SPDX-License-Identifier: MIT */
/*
 * Says what a read knows of the time, of trust and of its call's limits, from which a verdict is
 * made; and marks when a doubt began.
 */
#ifndef NIGH_CACHE_FRESHNESS_H
#define NIGH_CACHE_FRESHNESS_H

#include "cache/cache.h"
#include "cache/verdict.h"

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

/* The moment of a read. If it is in doubt the doubt's beginning is marked: so that what the read
 * brings counts as learnt since. */
struct moment freshness_moment(struct nigh *cache);
/* What trust says of something with this stamp, at that moment. */
enum verdict_trust freshness_trust(const struct nigh *cache, const struct moment *moment,
                                   uint64_t stamp);
/* Where it is in its lifetime; `after`: what it is past its stale window. */
enum verdict_lifetime freshness_lifetime(const struct l1_entry *e, uint64_t now_ns,
                                         enum verdict_lifetime after);
/* What an entry of L1 is worth. */
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

/* Mark the beginning of the doubt that reigns now, unless that is done: whoever sees it first. */
void freshness_note_doubt(struct nigh *cache);
/* In doubt: whether what has this stamp was learnt since the doubt began. */
bool freshness_learnt_since(const struct nigh *cache, uint64_t stamp);

/* Whether the call's own limits (max_age, min_version) let it take the entry at all. */
bool freshness_acceptable(const struct l1_entry *e, const struct nigh_call *call, uint64_t now_ns);

#endif
