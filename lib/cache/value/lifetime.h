/* SPDX-License-Identifier: MIT */
/*
 * How long a value lives: what its loader or caller said, else what its space says; cut to
 * NIGH_LIFETIME_MAX_MS, then spread, so that what was stored together does not expire together.
 *
 * Each lifetime fits 32 bits, which is what the envelope has: spread by the most that space.jitter
 * can say it is half as long again. Only the sum of three may not fit, and is cut to 32 bits.
 */
#ifndef NIGH_CACHE_VALUE_LIFETIME_H
#define NIGH_CACHE_VALUE_LIFETIME_H

#include <nigh/options.h>

#include "l1/l1.h"

_Static_assert(NIGH_LIFETIME_MAX_MS <= UINT32_MAX / 2, "what spreads at most doubles it");

/* Spread a time as random_jitter_by() does, in four steps, for it can neither overflow nor reach
 * past the end. */
static inline uint64_t lifetime_spread(uint64_t ms, uint32_t jitter_percent, uint64_t noise)
{
    uint64_t spread = ms * jitter_percent / 100;
    return ms - spread + (uint64_t)(((unsigned __int128)noise * (2 * spread + 1)) >> 64);
}

/* Returns the span in which lifetime_ms() lies when nothing is said but the rule. */
static inline struct l1_span lifetime_span(uint32_t rule_ms, uint32_t jitter_percent)
{
    uint64_t spread = (uint64_t)rule_ms * jitter_percent / 100;
    return l1_span_of((rule_ms - spread) * NS_PER_MS, 2 * spread * NS_PER_MS);
}

/* Returns the lifetime of a value: `own_ms`; if that is 0, `rule_ms` (0: none), which the options
 * have cut; if it is NIGH_NONE, none. `noise` spreads it. */
static inline uint32_t lifetime_ms(uint32_t own_ms, uint32_t rule_ms, uint32_t jitter_percent,
                                   uint64_t noise)
{
    uint64_t ms = rule_ms;
    if (NIGH_UNLIKELY(own_ms != 0))
        ms = own_ms == NIGH_NONE ? 0 : u64_min(own_ms, NIGH_LIFETIME_MAX_MS);
    return (uint32_t)lifetime_spread(ms, jitter_percent, noise);
}

/* Returns how long L2 keeps a value. Never 0, which Redis does not take. */
static inline uint32_t lifetime_hard_ms(uint32_t soft_ms, uint32_t stale_ms, uint32_t keep_ms)
{
    uint64_t ms = (uint64_t)soft_ms + stale_ms + keep_ms;
    return (uint32_t)u64_min(u64_max(ms, 1), UINT32_MAX);
}

#endif
