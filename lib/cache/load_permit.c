// SPDX-License-Identifier: MIT
/*
 * What a load has while its loader runs, and gives back when that has ended: a permit, so that the
 * origin has no more to bear than it may; and a place among the leases that the keeper extends. It
 * has ended when it has returned, unless its answer is deferred.
 */
#include "cache/load.h"

void load_uncount(struct load *l)
{
    if (l->counted)
        permits_give(&l->space->loads, l->stripe);
    l->counted = false;
    leases_remove(&l->space->cache->leases, l);
}

void load_uncount_behind(struct load *l)
{
    if (l->behind)
        atomic_fetch_sub_explicit(&l->space->behind, 1, memory_order_relaxed);
    l->behind = false;
}

bool load_admit(struct load *l)
{
    if (!permits_take(&l->space->loads, &l->stripe))
        return false;
    l->counted = true;
    l->began_ns = clock_now_ns(&l->space->cache->clock);
    return true;
}

void load_list_lease(struct load *l)
{
    struct nigh *cache = l->space->cache;
    if (l->lease == LOAD_LEASE_OURS)
        leases_add(&cache->leases, l, clock_now_ns(&cache->clock));
}

bool load_comes_too_late(const struct load *l)
{
    const struct flight *f = l->flight;
    return flight_has_landed(f) || clock_now_ns(&l->space->cache->clock) >= f->deadline_ns;
}

/* Take the return of a loader that has deferred this fill. */
static NIGH_OUTLINED bool returned_deferring(struct load *l)
{
    struct nigh_space *space = l->space;
    struct flight *f = l->flight;
    flight_ref(f); /* this, and the place in the count, go with the answer */
    atomic_fetch_add_explicit(&space->cache->deferred, 1, memory_order_relaxed);
    if (!fill_returned(&l->fill, l->result)) {
        stats_count(&space->stats, STATS_LOAD_DEFERRED);
        if (clock_now_ns(&space->cache->clock) >= f->deadline_ns)
            flight_post(f, FLIGHT_EV_DEADLINE); /* once more: a loader was still running then */
        return false;
    }
    atomic_fetch_sub_explicit(&space->cache->deferred, 1, memory_order_relaxed);
    flight_unref(f);
    return true;
}

bool load_returned(struct load *l)
{
    if (NIGH_UNLIKELY(fill_is_deferred(&l->fill)))
        return returned_deferring(l);
    if (l->fill.kind == FILL_OPEN)
        nigh_fill_error(&l->fill, l->result);
    return true;
}
