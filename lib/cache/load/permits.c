// SPDX-License-Identifier: MIT
/*
 * Taking a permit from wherever one is.
 */
#include "cache/load/permits.h"

void permits_init(struct permits *p, uint32_t count)
{
    atomic_init(&p->pool, count);
    for (uint32_t i = 0; i < THREAD_STRIPES; i++)
        atomic_init(&p->stripes[i].kept, 0);
}

static bool take_from(_Atomic uint32_t *place)
{
    uint32_t n = atomic_load_explicit(place, memory_order_relaxed);
    while (n > 0)
        if (atomic_compare_exchange_weak_explicit(place, &n, n - 1, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    return false;
}

static NIGH_OUTLINED bool take_from_others(struct permits *p, uint32_t own)
{
    for (uint32_t i = 1; i < THREAD_STRIPES; i++)
        if (take_from(&p->stripes[(own + i) % THREAD_STRIPES].kept))
            return true;
    return false;
}

bool permits_take(struct permits *p, uint32_t *ret_stripe)
{
    uint32_t own = thread_stripe();
    if (!take_from(&p->stripes[own].kept) && !take_from(&p->pool) && !take_from_others(p, own))
        return false;
    *ret_stripe = own;
    return true;
}

void permits_give(struct permits *p, uint32_t stripe)
{
    atomic_fetch_add_explicit(&p->stripes[stripe].kept, 1, memory_order_relaxed);
}
