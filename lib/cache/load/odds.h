/* SPDX-License-Identifier: MIT */
/*
 * The odds that L2 has what L1 misses, of each space: how a load asks.
 *
 * A load that finds nothing in L2 sends GET, then LEASE, one after the other. LEASE alone tells as
 * much, for its answer is the value if one is there, but that costs Redis 2.9 us where a GET costs
 * 0.7. So LEASE first saves a round trip of each load that finds nothing, and makes the others
 * dearer; Redis itself is indifferent where a quarter find something. Below that LEASE goes first,
 * and then up to a half, lest a share near the bound changes the way all the time.
 *
 * The share is an average in which the last 32 looks count most. Both ways tell whether a value was
 * there: odds that rise are seen without a probe. Threads update it as they come, and what one of
 * them overwrites is lost, which an average can bear; at either end it stands still, and is read
 * only.
 */
#ifndef NIGH_CACHE_LOAD_ODDS_H
#define NIGH_CACHE_LOAD_ODDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define ODDS_ALL 4096u
#define ODDS_LOW (ODDS_ALL / 4)
#define ODDS_HIGH (ODDS_ALL / 2)
#define ODDS_LOOKS 32u

struct odds {
    _Atomic uint32_t word; /* (a) twice the share, in parts of ODDS_ALL; + 1 while they are low */
};

/* Begins in the middle: 23 looks without a value are low odds. */
static inline void odds_init(struct odds *o)
{
    atomic_init(&o->word, 2 * ODDS_HIGH);
}

static inline bool odds_are_low(const struct odds *o)
{
    return atomic_load_explicit(&o->word, memory_order_relaxed) & 1;
}

/* Note whether a look at L2 found what it wanted. */
static inline void odds_note(struct odds *o, bool found)
{
    uint32_t word = atomic_load_explicit(&o->word, memory_order_relaxed), share = word / 2;
    share = found ? share + (ODDS_ALL - share) / ODDS_LOOKS : share - share / ODDS_LOOKS;
    bool low = share < (word & 1 ? ODDS_HIGH : ODDS_LOW);
    if (2 * share + low != word)
        atomic_store_explicit(&o->word, 2 * share + low, memory_order_relaxed);
}

#endif
