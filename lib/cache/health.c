// SPDX-License-Identifier: MIT
/*
 * Tells how an open cache is: whether it may call values fresh, and what Redis has not been told.
 */
#include "cache/cache.h"
#include "cache/caller.h"

int nigh_health(struct nigh *cache)
{
    int rc = cache_check_open(cache);
    if (rc != 0)
        return rc;
    /* pair(coherence.trust): only compared; the order does not matter here */
    uint64_t until_ns = atomic_load_explicit(cache->trusted_until, memory_order_acquire);
    if (clock_coarse_ns(&cache->clock) < until_ns)
        return NIGH_FRESH;
    return l2_connected(cache->l2) ? NIGH_STALE : NIGH_EOFFLINE;
}

int nigh_drain(struct nigh *cache, uint32_t deadline_ms)
{
    if (cache_is_gone(cache))
        return cache_why_gone(cache);
    struct caller caller;
    int rc = 0;
    caller_enter(&caller);
    if (cache->coherence)
        rc = coherence_drain(cache->coherence, clock_deadline_ns(&cache->clock, deadline_ms));
    caller_leave(&caller);
    return rc;
}
