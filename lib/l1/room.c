/* SPDX-License-Identifier: MIT */
/*
 * Borrowing from the cap, and evicting for it.
 */
#include "l1/room.h"

#include "l1/leave.h"
#include "l1/limbo.h"

/* Bounds of the work for one insert: victims per visit to a shard, and visits, the key's own shard
 * first and then round and round. 64 x 64 victims make room for a value of 400 KiB among small
 * ones; a larger one succeeds in steps. (Before that, lfu asks whether the value is worth it:
 * lfu.c.) */
#define VICTIMS_PER_VISIT 64u
#define VISITS_MAX 64u

/* Bytes by which live ones must shrink before so many are within a limit. */
static uint64_t excess_bytes(const struct l1 *l1, const _Atomic uint64_t *limit, uint64_t bytes)
{
    uint64_t live = budget_live_bytes(l1) + bytes;
    uint64_t most = l1_limit(limit);
    return live > most ? live - most : 0;
}

/* Evict until live bytes have shrunk so far, or the portion is used up. */
static void evict_some_locked(struct l1 *l1, struct l1_shard *s, uint64_t wanted) REQUIRES(s->lock)
{
    for (uint32_t n = 0; n < VICTIMS_PER_VISIT && wanted; n++) {
        uint64_t evicted = l1_shard_evict_locked(l1, s);
        if (!evicted)
            return;
        wanted -= u64_min(wanted, evicted);
    }
}

/* Let another shard give up its reserve and some of its entries. */
static void squeeze_locked(struct l1 *l1, struct l1_shard *s, struct l1_shard *other,
                           uint64_t bytes) REQUIRES(s->lock)
{
    if (!latch_try(&other->lock))
        return;
    limbo_free_some_locked(l1, other);
    budget_return_spare_locked(l1, other);
    other->gives_back = s->gives_back;
    evict_some_locked(l1, other, excess_bytes(l1, &l1->live_max_bytes, bytes));
    other->gives_back = false;
    s->poke |= other->poke; /* the reclaimer is told when our own lock is free too */
    other->poke = false;
    latch_unlock(&other->lock);
}

static bool is_limbo_half_full(const struct l1 *l1)
{
    return l1_limit(&l1->limbo) >= l1_limit(&l1->limbo_cap_bytes) / 2;
}

/* Ask the family for a larger cap, where it is not yet as large as it may be. */
static NIGH_OUTLINED bool grow_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
    REQUIRES(s->lock)
{
    bool poke = false;
    bool grown = family_grow(l1, bytes, &poke);
    s->poke |= poke;
    return grown;
}

static bool may_grow(const struct l1 *l1)
{
    return atomic_load_explicit(&l1->member.may_grow, memory_order_relaxed);
}

/* Evict towards the target, as much as is taken; in the larger shards twice as much. */
static NIGH_INLINED void evict_in_passing_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
    REQUIRES(s->lock)
{
    uint64_t excess = excess_bytes(l1, &l1->target_bytes, bytes);
    if (excess && NIGH_UNLIKELY(may_grow(l1)) && grow_locked(l1, s, bytes))
        excess = excess_bytes(l1, &l1->target_bytes, bytes);
    if (!excess || is_limbo_half_full(l1))
        return;
    uint32_t mean = atomic_load_explicit(&l1->entries_mean, memory_order_relaxed);
    evict_some_locked(l1, s, u64_min(excess, s->entries >= mean ? 2 * bytes : bytes));
}

/* Borrow bytes after making the cap larger, where it may grow, or evicting: in this shard first,
 * then in the others. */
static NIGH_OUTLINED bool take_evicting_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
    REQUIRES(s->lock)
{
    while (may_grow(l1) && grow_locked(l1, s, bytes))
        if (budget_take_locked(l1, s, bytes))
            return true;
    if (!l1->policy->victim)
        return false;
    uint32_t own = (uint32_t)(s - l1->shards);
    for (uint32_t visit = 0; visit < VISITS_MAX && !limbo_is_full(l1); visit++) {
        struct l1_shard *at = &l1->shards[(own + visit) & l1->shard_mask];
        if (at == s)
            evict_some_locked(
                l1, s,
                excess_bytes(l1, &l1->live_max_bytes, bytes - u64_min(bytes, s->spare_bytes)));
        else
            squeeze_locked(l1, s, at, bytes);
        if (s->newcomer.verdict == L1_REFUSED)
            return false;
        if (budget_take_locked(l1, s, bytes))
            return true;
    }
    return budget_take_locked(l1, s, bytes);
}

/* Evict in passing, before bytes are taken. False: the policy refuses the newcomer. */
static NIGH_INLINED bool prepare_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
    REQUIRES(s->lock)
{
    if (l1->policy->victim)
        evict_in_passing_locked(l1, s, bytes);
    return s->newcomer.verdict != L1_REFUSED;
}

bool room_take_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
{
    limbo_free_some_locked(l1, s);
    return prepare_locked(l1, s, bytes) &&
           (NIGH_LIKELY(budget_take_locked(l1, s, bytes)) || take_evicting_locked(l1, s, bytes));
}

/* Whether so many bytes more may be live: a ready entry's are charged already, but as limbo's. */
static bool may_live(const struct l1 *l1, uint64_t bytes)
{
    return budget_live_bytes(l1) + bytes <= l1_limit(&l1->live_max_bytes);
}

static NIGH_OUTLINED struct l1_entry *make_slow_locked(struct l1 *l1, struct l1_shard *s,
                                                       size_t size, uint64_t bytes)
    REQUIRES(s->lock)
{
    if (s->newcomer.verdict == L1_REFUSED || !room_take_locked(l1, s, bytes))
        return NULL;
    struct l1_entry *e = entry_alloc(l1, s->cache, size);
    if (!e)
        budget_give_locked(l1, s, bytes);
    return e;
}

static NIGH_INLINED struct l1_entry *make_locked(struct l1 *l1, struct l1_shard *s, size_t size,
                                                 uint64_t bytes) REQUIRES(s->lock)
{
    if (NIGH_UNLIKELY(atomic_load_explicit(&l1->closed, memory_order_relaxed)))
        return NULL;
    bool ready = limbo_has_ready_locked(l1, s, bytes);
    if (NIGH_LIKELY(ready) && prepare_locked(l1, s, bytes) && may_live(l1, bytes))
        return limbo_recycle_locked(l1, s, bytes);
    return make_slow_locked(l1, s, size, bytes);
}

void *room_resize_locked(struct l1 *l1, struct l1_shard *s, void *array, size_t old_size,
                         size_t new_size)
{
    uint64_t before = mem_array_charge(l1->mem, old_size);
    uint64_t taken = mem_array_resize_charge(l1->mem, old_size, new_size);
    if (!room_take_locked(l1, s, taken))
        return NULL;
    void *moved = mem_array_resize(l1->mem, array, old_size, new_size);
    size_t size = moved ? new_size : old_size;
    uint64_t after = mem_array_charge(l1->mem, size);
    budget_give_locked(l1, s, before + taken - after);
    s->arrays_bytes += after - before;
    s->arrays_pages_bytes += mem_array_pages_bytes(l1->mem, size) -
                             mem_array_pages_bytes(l1->mem, old_size);
    return moved;
}

/* Make memory for a new key, which the policy may refuse. */
static struct l1_entry *make_new_locked(struct l1 *l1, struct l1_shard *s, uint64_t hash,
                                        size_t size, uint64_t bytes) REQUIRES(s->lock)
{
    if (l1->policy->expect)
        l1->policy->expect(s, hash);
    s->newcomer = (struct l1_newcomer){hash, bytes, L1_UNDECIDED, false};
    struct l1_entry *e = make_locked(l1, s, size, bytes);
    if (NIGH_UNLIKELY(!e))
        s->newcomer.refused = s->newcomer.verdict == L1_REFUSED;
    s->newcomer.bytes = 0;
    s->newcomer.verdict = L1_UNDECIDED;
    return e;
}

struct l1_entry *room_make_locked(struct l1 *l1, struct l1_shard *s, uint64_t hash, bool replaces,
                                  size_t size, uint64_t bytes)
{
    if (!replaces)
        return make_new_locked(l1, s, hash, size, bytes);
    struct l1_entry *e = make_locked(l1, s, size, bytes);
    if (NIGH_UNLIKELY(!e))
        s->newcomer.refused = false;
    return e;
}
