/* SPDX-License-Identifier: MIT */
/*
 * Borrowing from the cap, and evicting for it.
 */
#include "l1/room.h"

#include "l1/reclaim.h"

/* Retired entries that an insert frees on its way: more than it retires, so limbo drains, and few
 * enough that the allocator hands the same lines out again at once (256 overflow its cache). */
#define FREE_PER_TAKE 16u

/* Bounds of the work for one insert: victims per shard under one lock, and shards asked. 64 x 64
 * victims are enough for a value of 400 KiB among small ones; a larger one succeeds in steps. */
#define VICTIMS_PER_SHARD 64u
#define SHARDS_ASKED 64u

static void note_peak(struct l1 *l1, uint64_t used)
{
    uint64_t peak = atomic_load_explicit(&l1->peak, memory_order_relaxed);
    while (used > peak && !atomic_compare_exchange_weak_explicit(
                              &l1->peak, &peak, used, memory_order_relaxed, memory_order_relaxed))
        continue;
}

/* What is charged and not on its way out. */
static uint64_t live_bytes(const struct l1 *l1)
{
    uint64_t used = atomic_load_explicit(&l1->used, memory_order_relaxed);
    return used - u64_min(used, atomic_load_explicit(&l1->limbo, memory_order_relaxed));
}

bool room_borrow(struct l1 *l1, uint64_t bytes)
{
    uint64_t used = atomic_load_explicit(&l1->used, memory_order_relaxed);
    do {
        uint64_t limbo = atomic_load_explicit(&l1->limbo, memory_order_relaxed);
        uint64_t live = used - u64_min(limbo, used);
        if (used + bytes > l1->cap_bytes || live + bytes > l1->target_bytes)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&l1->used, &used, used + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    note_peak(l1, used + bytes);
    return true;
}

void room_return(struct l1 *l1, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&l1->used, bytes, memory_order_relaxed);
}

void room_give_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
{
    s->spare_bytes += bytes;
    if (s->spare_bytes > l1->reserve_bytes) {
        room_return(l1, s->spare_bytes - l1->reserve_bytes / 2);
        s->spare_bytes = l1->reserve_bytes / 2;
    }
}

/* Without evicting: from the reserve, else borrow, with a new reserve if there is plenty. */
static bool take_spare(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
{
    if (s->spare_bytes < bytes) {
        uint64_t missing = bytes - s->spare_bytes;
        uint64_t more = l1->reserve_bytes / 2;
        if (room_borrow(l1, missing + more))
            s->spare_bytes += missing + more;
        else if (room_borrow(l1, missing))
            s->spare_bytes += missing;
        else
            return false;
    }
    s->spare_bytes -= bytes;
    return true;
}

/* Let another shard give up what it does not use and some of its entries. */
static void squeeze(struct l1 *l1, struct l1_shard *other, uint64_t bytes)
{
    reclaim_free_ready_locked(l1, other, FREE_PER_TAKE);
    room_return(l1, other->spare_bytes);
    other->spare_bytes = 0;
    uint64_t live = live_bytes(l1) + bytes;
    uint64_t wanted = live > l1->target_bytes ? live - l1->target_bytes : 0;
    for (uint32_t n = 0; n < VICTIMS_PER_SHARD && wanted; n++) {
        uint64_t evicted = l1_shard_evict_locked(l1, other);
        if (!evicted)
            return;
        wanted -= u64_min(wanted, evicted);
    }
}

static bool take_from_others(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
{
    uint32_t own = (uint32_t)(s - l1->shards);
    uint32_t asked = l1->shard_mask < SHARDS_ASKED ? l1->shard_mask : SHARDS_ASKED;
    for (uint32_t i = 1; i <= asked; i++) {
        struct l1_shard *other = &l1->shards[(own + i) & l1->shard_mask];
        if (pthread_mutex_trylock(&other->lock) != 0)
            continue;
        squeeze(l1, other, bytes);
        s->poke |= other->poke; /* told when our own lock is free too */
        other->poke = false;
        pthread_mutex_unlock(&other->lock);
        if (take_spare(l1, s, bytes))
            return true;
    }
    return false;
}

bool room_take_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
{
    reclaim_free_ready_locked(l1, s, FREE_PER_TAKE);
    if (NIGH_LIKELY(take_spare(l1, s, bytes)))
        return true;
    for (uint32_t n = 0; n < VICTIMS_PER_SHARD && l1_shard_evict_locked(l1, s); n++)
        if (take_spare(l1, s, bytes))
            return true;
    return take_from_others(l1, s, bytes);
}
