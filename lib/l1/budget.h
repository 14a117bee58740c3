/* SPDX-License-Identifier: MIT */
/*
 * One count of bytes under the cap, from which shards borrow in small portions.
 *
 * A share of the cap per shard would refuse values larger than the share; one shared counter would
 * be written by every insert of every thread. So each shard keeps a reserve (1/128 of a share) and
 * touches the count only when the reserve is used up or overflows.
 *
 * Nothing here evicts: room.h does.
 */
#ifndef NIGH_L1_BUDGET_H
#define NIGH_L1_BUDGET_H

#include "l1/shard.h"

/* Charge bytes to the count of all shards, and give them back, past the shards' reserves. */
bool budget_borrow(struct l1 *l1, uint64_t bytes);
static inline void budget_return(struct l1 *l1, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&l1->used, bytes, memory_order_relaxed);
}

/* Borrow for the shard what its reserve lacks for so many bytes. False: there is no room. */
NIGH_OUTLINED bool budget_borrow_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
    REQUIRES(s->lock);
/* Charge `bytes` without evicting: from the reserve, else borrowed. False: there is no room. */
static inline bool budget_take_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
    REQUIRES(s->lock)
{
    if (NIGH_UNLIKELY(s->spare_bytes < bytes) && !budget_borrow_locked(l1, s, bytes))
        return false;
    s->spare_bytes -= bytes;
    return true;
}

/* Give charged bytes back: to the reserve, and half of that to all when it overflows. */
static inline void budget_give_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
    REQUIRES(s->lock)
{
    uint64_t reserve = l1_limit(&l1->reserve_bytes);
    s->spare_bytes += bytes;
    if (NIGH_UNLIKELY(s->spare_bytes > reserve)) {
        budget_return(l1, s->spare_bytes - reserve / 2);
        s->spare_bytes = reserve / 2;
    }
}

/* Give back what the shard has borrowed and does not use: its reserve. */
void budget_return_spare_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock);

/* Bytes that are charged and not in limbo. */
static inline uint64_t budget_live_bytes(const struct l1 *l1)
{
    uint64_t used = atomic_load_explicit(&l1->used, memory_order_relaxed);
    return used - u64_min(used, atomic_load_explicit(&l1->limbo, memory_order_relaxed));
}

#endif
