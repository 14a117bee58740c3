/* SPDX-License-Identifier: MIT */
/*
 * The limits that follow from the cap, and lowering it no further than what is used.
 */
#include "l1/cap.h"

#include "l1/budget.h"
#include "l1/core.h"
#include "l1/limbo.h"

#define LIMBO_SHARE 16u    /* limbo is such a share of the cap */
#define RESERVE_SHARE 128u /* a reserve, of a shard's share: all reserves are 1/128 of the cap */
#define ENTRY_MAX_SHARE 8u /* the largest entry, of the cap: one value must not evict everything */

/* A table gives unused bytes away, but for such a share of the used ones. */
#define KEEP_SHARE 16u

/* While the cap comes down, the cap in force is the used bytes and so much more: limbo's share,
 * about. */
#define FOLLOW_SHARE 12u

static void store(_Atomic uint64_t *limit, uint64_t value)
{
    atomic_store_explicit(limit, value, memory_order_relaxed);
}

struct sizes {
    uint64_t limbo, reserve, live_max, target;
};

static struct sizes sizes_for(const struct l1 *l1, uint64_t cap)
{
    uint64_t shards = l1->shard_mask + 1u;
    uint64_t limbo = l1->cap.limbo_bytes ? u64_min(l1->cap.limbo_bytes, cap / 2)
                                            : cap / LIMBO_SHARE;
    uint64_t reserve = (cap - limbo) / shards / RESERVE_SHARE;
    return (struct sizes){limbo, reserve, cap - limbo, cap - limbo - reserve * shards};
}

/* Sets what follows from the cap in force alone. */
static void set_limits(struct l1 *l1, uint64_t cap)
{
    struct sizes sizes = sizes_for(l1, cap);
    store(&l1->cap_bytes, cap);
    limbo_set_cap(l1, sizes.limbo);
    store(&l1->reserve_bytes, sizes.reserve);
    store(&l1->live_max_bytes, sizes.live_max);
    store(&l1->target_bytes, sizes.target);
    store(&l1->entry_max_bytes, l1->cap.largest_bytes / ENTRY_MAX_SHARE);
}

/* Closes or opens the table, by its goal and the cap in force: once for each change, when both are
 * decided. A put believes what it reads. */
static void set_closed(struct l1 *l1)
{
    bool closed = !l1->policy->victim && l1_limit(&l1->cap_bytes) > l1->cap.goal_bytes;
    atomic_store_explicit(&l1->closed, closed, memory_order_relaxed);
}

static void set_cap(struct l1 *l1, uint64_t cap)
{
    set_limits(l1, cap);
    set_closed(l1);
}

void cap_init(struct l1 *l1, uint64_t memory_bytes, uint64_t limbo_bytes)
{
    pthread_mutex_init(&l1->cap.lock, NULL);
    l1->cap.goal_bytes = l1->cap.largest_bytes = memory_bytes;
    l1->cap.limbo_bytes = limbo_bytes;
    set_cap(l1, memory_bytes);
}

void cap_fini(struct l1 *l1)
{
    pthread_mutex_destroy(&l1->cap.lock);
}

/* Begin the peak anew: it is that of the present cap. */
static void forget_peak(struct l1 *l1)
{
    store(&l1->peak, l1_limit(&l1->used));
}

static void set_goal_locked(struct l1 *l1, uint64_t goal_bytes) REQUIRES(l1->cap.lock)
{
    l1->cap.goal_bytes = goal_bytes;
    set_cap(l1, u64_max(goal_bytes, l1_limit(&l1->cap_bytes)));
    forget_peak(l1);
}

void cap_set_goal(struct l1 *l1, uint64_t goal_bytes, uint64_t limbo_bytes)
{
    pthread_mutex_lock(&l1->cap.lock);
    l1->cap.limbo_bytes = limbo_bytes;
    set_goal_locked(l1, goal_bytes);
    pthread_mutex_unlock(&l1->cap.lock);
}

void cap_grow(struct l1 *l1, uint64_t bytes)
{
    pthread_mutex_lock(&l1->cap.lock);
    l1->cap.goal_bytes += bytes;
    set_cap(l1, u64_max(l1->cap.goal_bytes, l1_limit(&l1->cap_bytes)));
    pthread_mutex_unlock(&l1->cap.lock);
}

void cap_start(struct l1 *l1, uint64_t cap_bytes)
{
    pthread_mutex_lock(&l1->cap.lock);
    l1->cap.goal_bytes = cap_bytes;
    set_cap(l1, cap_bytes);
    forget_peak(l1);
    pthread_mutex_unlock(&l1->cap.lock);
}

void cap_set_largest(struct l1 *l1, uint64_t cap_bytes)
{
    pthread_mutex_lock(&l1->cap.lock);
    l1->cap.largest_bytes = cap_bytes;
    set_cap(l1, l1_limit(&l1->cap_bytes));
    pthread_mutex_unlock(&l1->cap.lock);
}

uint64_t cap_goal(struct l1 *l1)
{
    pthread_mutex_lock(&l1->cap.lock);
    uint64_t goal = l1->cap.goal_bytes;
    pthread_mutex_unlock(&l1->cap.lock);
    return goal;
}

/* Read under the lock: a cap that is being lowered may be put back to what it was. */
uint64_t cap_reserved(struct l1 *l1)
{
    pthread_mutex_lock(&l1->cap.lock);
    uint64_t reserved = u64_max(l1->cap.goal_bytes, l1_limit(&l1->cap_bytes));
    pthread_mutex_unlock(&l1->cap.lock);
    return reserved;
}

uint64_t l1_limbo(struct l1 *l1)
{
    pthread_mutex_lock(&l1->cap.lock);
    uint64_t limbo = l1->cap.limbo_bytes;
    pthread_mutex_unlock(&l1->cap.lock);
    return limbo;
}

static uint64_t excess_locked(const struct l1 *l1) REQUIRES(l1->cap.lock)
{
    uint64_t live = budget_live_bytes(l1);
    uint64_t target = sizes_for(l1, l1->cap.goal_bytes).target;
    return live > target ? live - target : 0;
}

uint64_t cap_excess(struct l1 *l1)
{
    pthread_mutex_lock(&l1->cap.lock);
    uint64_t excess = excess_locked(l1);
    pthread_mutex_unlock(&l1->cap.lock);
    return excess;
}

/* Lowers the cap. False: more than that has been used just now, and it stays as it is. Whether the
 * table is closed is still to be set. */
static bool lower_cap_locked(struct l1 *l1, uint64_t cap, uint64_t lower) REQUIRES(l1->cap.lock)
{
    set_limits(l1, lower);
    /* pair(l1.cap): a thread that borrowed meanwhile sees the new cap, or is seen here */
    atomic_thread_fence(memory_order_seq_cst);
    bool fits = l1_limit(&l1->used) <= lower;
    if (!fits)
        set_limits(l1, cap);
    else if (lower < cap)
        forget_peak(l1);
    return fits;
}

bool cap_follow(struct l1 *l1)
{
    struct l1_cap *k = &l1->cap;
    pthread_mutex_lock(&k->lock);
    uint64_t cap = l1_limit(&l1->cap_bytes);
    uint64_t used = l1_limit(&l1->used);
    uint64_t needed = used + used / FOLLOW_SHARE + k->limbo_bytes;
    uint64_t lower = u64_min(cap, u64_max(needed, k->goal_bytes));
    if (cap > k->goal_bytes && excess_locked(l1) == 0 && used <= k->goal_bytes)
        lower = k->goal_bytes;
    (void)lower_cap_locked(l1, cap, lower);
    set_closed(l1);
    bool reached = l1_limit(&l1->cap_bytes) <= k->goal_bytes;
    pthread_mutex_unlock(&k->lock);
    return reached;
}

/* Bytes that a table needs to go on as it is: live ones, a 16th more, and room for limbo and
 * reserves. */
static uint64_t needed_locked(const struct l1 *l1) REQUIRES(l1->cap.lock)
{
    uint64_t live = budget_live_bytes(l1);
    uint64_t needed = live + live / KEEP_SHARE + l1->cap.limbo_bytes;
    needed += needed / KEEP_SHARE + needed / RESERVE_SHARE;
    return u64_max(u64_max(needed, l1_limit(&l1->used)), l1->least_bytes);
}

uint64_t cap_give(struct l1 *l1, uint64_t most_bytes)
{
    struct l1_cap *k = &l1->cap;
    pthread_mutex_lock(&k->lock);
    uint64_t cap = l1_limit(&l1->cap_bytes);
    uint64_t needed = needed_locked(l1);
    uint64_t give = cap == k->goal_bytes && cap > needed ? u64_min(most_bytes, cap - needed) : 0;
    if (give && !lower_cap_locked(l1, cap, cap - give))
        give = 0; /* the table has just used those bytes */
    k->goal_bytes -= give; /* it was at its goal, and is: no put finds it closed */
    pthread_mutex_unlock(&k->lock);
    return give;
}
