// SPDX-License-Identifier: MIT
/*
 * Fault points of Debug builds: each site counts its calls, and the call of one number fails.
 *
 * A call learns its number from the same atomic add that counts it, so exactly one call fails
 * however many threads arrive together. Number 0 does not exist: an nth of 0 never fires.
 */
#include "base/fault.h"

#if NIGH_FAULTS

#include <stdatomic.h>

/* Keys: (a) atomic, relaxed: the test that arms also joins the threads it fails */
static struct {
    _Atomic uint64_t nth;  /* (a) */
    _Atomic uint64_t seen; /* (a) calls since armed */
} sites[FAULT_SITE_COUNT];

bool fault_fires(enum fault_site site)
{
    uint64_t number = atomic_fetch_add_explicit(&sites[site].seen, 1, memory_order_relaxed) + 1;
    return number == atomic_load_explicit(&sites[site].nth, memory_order_relaxed);
}

void fault_arm(enum fault_site site, uint64_t nth)
{
    /* Disarms the site while the count restarts, lest the old `nth` fire at a new number. */
    atomic_store_explicit(&sites[site].nth, 0, memory_order_relaxed);
    atomic_store_explicit(&sites[site].seen, 0, memory_order_relaxed);
    atomic_store_explicit(&sites[site].nth, nth, memory_order_relaxed);
}

uint64_t fault_count(enum fault_site site)
{
    return atomic_load_explicit(&sites[site].seen, memory_order_relaxed);
}

#endif
