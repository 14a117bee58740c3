/* SPDX-License-Identifier: MIT */
/*
 * Borrowing from the cap: for all shards, and a shard's reserve.
 */
#include "l1/budget.h"

static void note_peak(struct l1 *l1, uint64_t used)
{
    uint64_t peak = atomic_load_explicit(&l1->peak, memory_order_relaxed);
    while (used > peak && !atomic_compare_exchange_weak_explicit(
                              &l1->peak, &peak, used, memory_order_relaxed, memory_order_relaxed))
        continue;
}

bool budget_borrow(struct l1 *l1, uint64_t bytes)
{
    uint64_t used = atomic_load_explicit(&l1->used, memory_order_relaxed);
    do {
        uint64_t limbo = atomic_load_explicit(&l1->limbo, memory_order_relaxed);
        uint64_t live = used - u64_min(limbo, used);
        if (used + bytes > l1_limit(&l1->cap_bytes) ||
            live + bytes > l1_limit(&l1->live_max_bytes))
            return false;
        /* pair(l1.cap): before the load below, as the other side's store is before its fence */
    } while (!atomic_compare_exchange_weak_explicit(&l1->used, &used, used + bytes,
                                                    memory_order_seq_cst, memory_order_relaxed));
    /* The cap may have come down meanwhile. */
    if (NIGH_UNLIKELY(used + bytes >
                      atomic_load_explicit(&l1->cap_bytes, memory_order_seq_cst))) {
        budget_return(l1, bytes);
        return false;
    }
    note_peak(l1, used + bytes);
    return true;
}

void budget_return_spare_locked(struct l1 *l1, struct l1_shard *s)
{
    budget_return(l1, s->spare_bytes);
    s->spare_bytes = 0;
}

/* Borrows a new reserve along with what is missing, if there is plenty. */
bool budget_borrow_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
{
    uint64_t missing = bytes - s->spare_bytes;
    uint64_t more = l1_limit(&l1->reserve_bytes) / 2;
    if (budget_borrow(l1, missing + more))
        s->spare_bytes += missing + more;
    else if (budget_borrow(l1, missing))
        s->spare_bytes += missing;
    else
        return false;
    return true;
}
