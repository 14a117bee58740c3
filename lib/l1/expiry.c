/* SPDX-License-Identifier: MIT */
/*
 * Ticks, their bounds, and the sweep.
 *
 * Invariant, under the shard lock: for every live slot, s->due <= due[its group] <= its tick, all
 * as differences to now. The bound of a group whose entries were removed may be too early: then a
 * sweep opens the group for nothing, once, and corrects the bound.
 */
#include "l1/expiry.h"

#include "l1/leave.h"

/* The longest time until the next sweep, whatever is stored meanwhile. */
#define SWEEP_AGAIN_NS NS_PER_S

/* Entries looked at under one hold of a shard's lock. */
#define EXPIRE_PER_HOLD 256u

/* ---- the sweep ---- */

struct sweep {
    struct l1 *l1;
    struct l1_shard *shard;
    uint64_t now_ns;
    uint16_t now;
    uint32_t budget; /* entries that may still be looked at */
};

/* Remove the entry of a due slot, or enter the rest of its time. Returns the ticks it has left. */
static int32_t sweep_slot_locked(struct sweep *w, uint32_t slot) REQUIRES(w->shard->lock)
{
    struct l1_ring *ring = &w->shard->ring;
    struct l1_entry *e = ring_entry(ring, slot);
    uint64_t until_ns = l1_entry_stale_until_ns(e);
    w->budget--;
    if (until_ns > w->now_ns) {
        ring_set_tick(ring, slot, expiry_tick(until_ns, w->now_ns));
        return expiry_left(ring_word_tick(ring->words[slot]), w->now);
    }
    l1_shard_drop_locked(w->l1, w->shard, e, L1_FATE_EXPIRED);
    return EXPIRY_LEFT_MAX;
}

/* Sweep a group. Returns the ticks left to its earliest entry. */
static int32_t sweep_group_locked(struct sweep *w, uint32_t group) REQUIRES(w->shard->lock)
{
    struct l1_ring *ring = &w->shard->ring;
    int32_t least = EXPIRY_LEFT_MAX;
    for (uint32_t slot = group * RING_GROUP; slot < (group + 1) * RING_GROUP; slot++) {
        uint64_t word = ring->words[slot];
        if (!ring_is_live(word))
            continue;
        int32_t left = expiry_left(ring_word_tick(word), w->now);
        if (left <= 0 && w->budget)
            left = sweep_slot_locked(w, slot);
        if (left < least)
            least = left;
    }
    ring->due[group] = (uint16_t)(w->now + least);
    return least;
}

/* Sweep a shard. Returns true when it is done, false when the budget ended first. */
static bool sweep_shard_locked(struct sweep *w) REQUIRES(w->shard->lock)
{
    struct l1_ring *ring = &w->shard->ring;
    int32_t least = EXPIRY_LEFT_MAX;
    for (uint32_t group = 0; group < ring->capacity / RING_GROUP; group++) {
        int32_t left = expiry_left(ring->due[group], w->now);
        if (left <= 0 && w->budget)
            left = sweep_group_locked(w, group);
        if (left < least)
            least = left;
    }
    expiry_set_shard_due(w->shard, (uint16_t)(w->now + least));
    return least > 0;
}

/* Sweep a shard in portions. Returns how many entries were looked at. */
static uint32_t sweep_shard(struct l1 *l1, struct l1_shard *s, uint64_t now_ns, uint32_t budget)
{
    uint32_t seen = 0;
    bool done = expiry_left(expiry_shard_due(s), expiry_tick_at(now_ns)) > 0;
    while (!done && seen < budget) {
        uint32_t portion = budget - seen < EXPIRE_PER_HOLD ? budget - seen : EXPIRE_PER_HOLD;
        struct sweep w = {l1, s, now_ns, expiry_tick_at(now_ns), portion};
        l1_shard_lock(s);
        done = sweep_shard_locked(&w);
        l1_shard_unlock(l1, s);
        seen += portion - w.budget;
    }
    return seen;
}

/* Whether a shard has something to sweep. The ticks of all shards lie side by side: of up to 65,536
 * idle shards only these ticks are touched, once a second. */
static bool is_due(const struct l1 *l1, uint32_t shard, uint16_t now)
{
    return expiry_left(atomic_load_explicit(&l1->dues[shard], memory_order_relaxed), now) <= 0;
}

/* Returns when the earliest entry of all shards is due, but no later than a second from now. */
static uint64_t next_sweep_ns(const struct l1 *l1, uint64_t now_ns)
{
    int32_t least = EXPIRY_LEFT_MAX;
    for (uint32_t i = 0; i <= l1->shard_mask; i++) {
        uint16_t due = atomic_load_explicit(&l1->dues[i], memory_order_relaxed);
        int32_t left = expiry_left(due, expiry_tick_at(now_ns));
        if (left < least)
            least = left;
    }
    if (least <= 0)
        return now_ns;
    uint64_t due_ns = ((now_ns >> EXPIRY_TICK_SHIFT) + (uint32_t)least) << EXPIRY_TICK_SHIFT;
    return u64_min(due_ns, now_ns + SWEEP_AGAIN_NS);
}

/* ---- after a gap ---- */

/* Make all of a shard's entries due: a pass over the ring under one hold, 20 us for 16k entries. */
static void shard_all_due(struct l1 *l1, struct l1_shard *s, uint16_t now)
{
    struct l1_ring *ring = &s->ring;
    l1_shard_lock(s);
    for (uint32_t slot = 0; slot < ring->capacity; slot++)
        if (ring_is_live(ring->words[slot]))
            ring_set_tick(ring, slot, now);
    for (uint32_t group = 0; group < ring->capacity / RING_GROUP; group++)
        ring->due[group] = now;
    expiry_set_shard_due(s, now);
    l1_shard_unlock(l1, s);
}

/* Make all entries due after a gap. A clock that goes back is as bad: by its tick, an entry that
 * ends in a minute would then end in hours. */
static void check_gap_locked(struct l1 *l1, uint64_t now_ns) REQUIRES(l1->expire_lock)
{
    uint64_t last_ns = l1->expire_ns;
    l1->expire_ns = now_ns;
    if (NIGH_LIKELY(u64_max(now_ns, last_ns) - u64_min(now_ns, last_ns) < EXPIRY_GAP_NS))
        return;
    for (uint32_t i = 0; i <= l1->shard_mask; i++)
        shard_all_due(l1, &l1->shards[i], expiry_tick_at(now_ns));
}

static uint64_t expire_table(struct l1 *l1, uint32_t budget)
{
    pthread_mutex_lock(&l1->expire_lock);
    uint64_t now_ns = clock_now_ns(l1->env->clock);
    uint16_t now = expiry_tick_at(now_ns);
    check_gap_locked(l1, now_ns);
    fates_set_time(l1->fates, now_ns);
    for (uint32_t n = 0; n <= l1->shard_mask && budget; n++) {
        if (is_due(l1, l1->expire_next, now))
            budget -= sweep_shard(l1, &l1->shards[l1->expire_next], now_ns, budget);
        if (budget)
            l1->expire_next = (l1->expire_next + 1) & l1->shard_mask;
    }
    pthread_mutex_unlock(&l1->expire_lock);
    return next_sweep_ns(l1, now_ns);
}

/* Give each table the whole budget: one that is due for long must not starve the others. */
uint64_t l1_expire(struct l1 *l1, uint32_t budget)
{
    uint64_t next_ns = CLOCK_NEVER_NS;
    for (; l1; l1 = family_next(l1))
        next_ns = u64_min(next_ns, expire_table(l1, budget));
    return next_ns;
}
