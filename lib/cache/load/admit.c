// SPDX-License-Identifier: MIT
/*
 * Admitting a load. While its loader runs a load has a permit, so that the origin has no more to
 * bear than it may, and a place among the leases that the keeper extends; it gives both back when
 * the loader has ended: when it has returned, unless its answer is deferred.
 */
#include "cache/load/load.h"

/* Counts the loads that share one permit: those whose fills a call of the loader has deferred. */
struct load_permit {
    _Atomic uint32_t users; /* pair(load_permit.users) */
};

/* Give up a part in a permit. Returns whether it was the last. */
static bool is_last(struct load *l)
{
    struct load_permit *p = l->shared;
    /* pair(load_permit.users): release to the last, who frees it; acquire what all did before */
    if (p && atomic_fetch_sub_explicit(&p->users, 1, memory_order_acq_rel) > 1)
        return false;
    if (p)
        mem_free(l->space->cache->env.mem, NULL, p, sizeof(*p));
    return true;
}

void load_uncount(struct load *l)
{
    if (l->counted && is_last(l))
        permits_give(&l->space->loads, l->stripe);
    l->counted = false;
    l->shared = NULL;
    leases_remove(&l->space->cache->leases, l);
}

void load_share_permit(struct load *first)
{
    uint32_t users = 0;
    for (struct load *l = first; l; l = l->mate)
        users += fill_is_deferred(&l->fill);
    if (users == 0)
        return;
    struct load_permit *shared = NULL;
    if (users > 1)
        shared = mem_alloc(first->space->cache->env.mem, NULL, sizeof(*shared));
    if (shared)
        atomic_init(&shared->users, users);
    first->counted = false;
    for (struct load *l = first; l && users > 0; l = l->mate) {
        if (!fill_is_deferred(&l->fill))
            continue;
        l->counted = true;
        l->stripe = first->stripe;
        l->shared = shared;
        users = shared ? users - 1 : 0; /* no memory to share it: the first has it alone */
    }
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
    l->shared = NULL;
    l->began_ns = clock_now_ns(&l->space->cache->clock);
    return true;
}

/*
 * An invalidation may have been applied since the flight began. What is looked at, or loaded, from
 * here on is newer than that, so it is as of a ticket that is taken now, before the look (rule 1).
 * With the old one it would be below the floor: kept nowhere, and loaded once more. What was found
 * before the key was invalidated is gone, even as stale, for who joins from here on.
 */
static NIGH_OUTLINED void take_ticket_anew(struct load *l, uint64_t ticket)
{
    struct nigh *cache = l->space->cache;
    if (l->stale && !l1_key_current(cache->l1, &l->key, l->flight->ticket)) {
        l1_entry_unref(l->stale);
        l->stale = NULL;
    }
    flight_renew(l->flight, ticket);
    if (cache->coherence)
        l->position = coherence_position(cache->coherence);
}

void load_look_anew(struct load *l)
{
    uint64_t ticket = l1_ticket(l->space->cache->l1);
    if (NIGH_UNLIKELY(ticket != l->flight->ticket))
        take_ticket_anew(l, ticket);
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
    flight_ref(f); /* goes with the answer, as the place in the count does */
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
