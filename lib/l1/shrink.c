/* SPDX-License-Identifier: MIT */
/*
 * Limits, and the slices of a shrink.
 */
#include "l1/shrink.h"

#include "l1/budget.h"
#include "l1/compact.h"
#include "l1/core.h"
#include "l1/errand.h"
#include "l1/gauges.h"
#include "l1/leave.h"
#include "l1/shard.h"

/* Evicting takes about so many slices, and so does moving, each with a grace period (10 ms while
 * readers are busy). Where a slice is more than limbo holds, inserts are dropped meanwhile. */
#define SLICES_MAX 32u
#define SLICE_LEAST_BYTES (256u * 1024)

/* Victims under one hold of a shard's lock. */
#define SHED_PER_HOLD 64u

/* Resident memory above so much of the cap is brought down; the promise is 1.10. */
#define RESIDENT_PERCENT 105u
/* After a shrink slabs are emptied if that frees such a share of the cap; less is not worth the
 * moves. */
#define DRAIN_SHARE 32u
/* When slabs are emptied because resident memory is too high, this share is worth it. */
#define DRAIN_LEAST_SHARE 128u
/* Blocks in stocks are not charged: above this share of the cap they are given back. */
#define STOCKED_SHARE 64u

#define LOOK_AGAIN_NS NS_PER_S
#define MOVE_AGAIN_NS (10 * NS_PER_S) /* if moving did not help, it will not in a second */
#define RETRY_NS (100 * NS_PER_MS)

/* ---- evict ---- */

static void enter(struct l1 *l1, enum l1_shrink_phase phase)
{
    l1->shrink.phase = phase;
}

static uint64_t slack_bytes(struct l1 *l1)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i <= l1->shard_mask; i++) {
        l1_shard_lock(&l1->shards[i]);
        sum += l1_shard_slack_locked(l1, &l1->shards[i]);
        l1_shard_unlock(l1, &l1->shards[i]);
    }
    return sum + (l1->policy->excess ? l1->policy->excess(l1, cap_goal(l1)) : 0);
}

static uint64_t slice_of(uint64_t bytes)
{
    return u64_max(bytes / SLICES_MAX, SLICE_LEAST_BYTES);
}

/* Open a window on the next shards, of which each is to give up the same part of its entries. */
static void open_window(struct l1 *l1, uint64_t excess)
{
    struct l1_shrink *k = &l1->shrink;
    uint64_t live = budget_live_bytes(l1);
    uint64_t entries_bytes = live - u64_min(live - 1, l1->fixed_bytes);
    double part = (double)excess / (double)entries_bytes;
    for (uint32_t i = 0; i < SHRINK_WINDOW; i++) {
        struct l1_shard *s = &l1->shards[(k->shard + i) & l1->shard_mask];
        l1_shard_lock(s);
        k->quotas[i] = i <= l1->shard_mask ? (uint32_t)((double)s->entries * part) + 1 : 0;
        l1_shard_unlock(l1, s);
    }
    k->at = 0;
}

/* Evict victims of one shard of the window, as many as one hold allows. */
static uint64_t shed_some(struct l1 *l1)
{
    struct l1_shrink *k = &l1->shrink;
    uint32_t *quota = &k->quotas[k->at];
    struct l1_shard *s = &l1->shards[(k->shard + k->at) & l1->shard_mask];
    uint32_t most = *quota < SHED_PER_HOLD ? *quota : SHED_PER_HOLD;
    k->at = (k->at + 1) % SHRINK_WINDOW;
    if (!most)
        return 0;
    l1_shard_lock(s);
    uint64_t bytes = l1_shard_shed_locked(l1, s, most);
    budget_return_spare_locked(l1, s);
    l1_shard_unlock(l1, s);
    *quota = bytes ? *quota - most : 0;
    return bytes;
}

static bool window_is_done(const struct l1_shrink *k)
{
    for (uint32_t i = 0; i < SHRINK_WINDOW; i++)
        if (k->quotas[i])
            return false;
    return true;
}

/* Evict up to `wanted` bytes, from a window of shards after the other. Returns how many. */
static uint64_t shed(struct l1 *l1, uint64_t excess, uint64_t wanted)
{
    struct l1_shrink *k = &l1->shrink;
    uint64_t sum = 0;
    for (uint32_t idle = 0; sum < wanted && idle <= l1->shard_mask / SHRINK_WINDOW + 1;) {
        uint64_t before = sum;
        while (sum < wanted && !window_is_done(k))
            sum += shed_some(l1);
        if (!window_is_done(k))
            break;
        idle = sum > before ? 0 : idle + 1;
        k->shard = (k->shard + SHRINK_WINDOW) & l1->shard_mask;
        open_window(l1, excess - u64_min(excess, sum));
    }
    return sum;
}

/* Evict a slice: half of what is left at most, for tables that may be folded meanwhile give back
 * much at once. Returns whether there is more to evict. */
static bool evict_slice(struct l1 *l1)
{
    uint64_t excess = cap_excess(l1);
    excess -= u64_min(excess, slack_bytes(l1));
    uint64_t slice = u64_min(l1->shrink.slice_bytes, u64_max(excess / 2, SLICE_LEAST_BYTES));
    return excess && shed(l1, excess, u64_min(excess, slice));
}

/* ---- move, trim ---- */

static void begin_move(struct l1 *l1, uint64_t drain_share)
{
    uint64_t goal = cap_goal(l1);
    compact_begin(l1, slice_of(goal), goal / drain_share);
    if (l1->policy->shrink)
        budget_return(l1, l1->policy->shrink(l1, goal));
    enter(l1, SHRINK_MOVE);
}

/* End a round: all that was retired is free. If that does not suffice, another round follows. */
static void end_round(struct l1 *l1, bool reached, uint64_t now_ns)
{
    struct l1_shrink *k = &l1->shrink;
    compact_end(l1);
    reached = reached || cap_follow(l1);
    k->retry_ns = reached ? 0 : now_ns + RETRY_NS;
    k->look_ns = now_ns;
    enter(l1, SHRINK_IDLE);
}

/* ---- a look now and then ---- */

/* Whether resident memory is above its bound; `*ret_stocked`: much lies in stocks. */
static bool resident_too_high(struct l1 *l1, bool *ret_stocked)
{
    struct mem_stats stats;
    uint64_t pages = gauges_pages_bytes(l1);
    uint64_t cap = cap_goal(l1);
    mem_stats_peek(l1->mem, &stats);
    *ret_stocked = stats.allocated_bytes > l1_limit(&l1->used) - pages + cap / STOCKED_SHARE;
    return stats.resident_bytes && stats.resident_bytes + pages > cap / 100 * RESIDENT_PERCENT;
}

/* Give back first what costs nothing. Returns whether resident memory is too high without it. That
 * may be known at the next look only: `*ret_again`. */
static bool still_too_high(struct l1 *l1, bool *ret_again)
{
    bool trimmed = l1->shrink.trimmed;
    bool stocked;
    bool high = resident_too_high(l1, &stocked);
    *ret_again = false;
    if (trimmed || !(high || stocked))
        return high;
    compact_trim(l1);
    *ret_again = high && !family_renew_stats(l1->member.root, true);
    return high && !*ret_again && resident_too_high(l1, &stocked);
}

/* Look at resident memory; if giving back does not suffice, move entries that are in the way, once
 * in a while. */
static void look(struct l1 *l1, uint64_t now_ns)
{
    struct l1_shrink *k = &l1->shrink;
    bool high = still_too_high(l1, &k->trimmed);
    k->look_ns = k->trimmed ? now_ns : CLOCK_NEVER_NS;
    if (!high || mem_drain_bytes(l1->mem) < cap_goal(l1) / DRAIN_LEAST_SHARE)
        return;
    k->look_ns = k->move_again_ns;
    if (now_ns < k->move_again_ns)
        return;
    k->move_again_ns = now_ns + MOVE_AGAIN_NS;
    begin_move(l1, DRAIN_LEAST_SHARE);
}

/* Plan a look where the goal is lower than in the pass before: a cap that is given away at once, or
 * of which nothing is used, is reached without a round. */
static void watch_goal(struct l1 *l1, uint64_t now_ns)
{
    struct l1_shrink *k = &l1->shrink;
    uint64_t goal = cap_goal(l1);
    if (goal < k->seen_goal_bytes) {
        k->look_ns = u64_min(k->look_ns, now_ns + RETRY_NS);
        k->move_again_ns = 0;
    }
    k->seen_goal_bytes = goal;
}

/* ---- a pass ---- */

void shrink_begin(struct l1 *l1)
{
    struct l1_shrink *k = &l1->shrink;
    uint64_t now_ns = clock_now_ns(l1->env->clock);
    if (k->phase == SHRINK_IDLE && now_ns >= k->retry_ns && !cap_follow(l1)) {
        k->slice_bytes = slice_of(cap_excess(l1));
        enter(l1, SHRINK_EVICT);
    }
    if (k->phase == SHRINK_EVICT && !evict_slice(l1))
        begin_move(l1, DRAIN_SHARE);
    if (k->phase == SHRINK_MOVE && compact_slice(l1))
        enter(l1, SHRINK_TRIM);
}

uint64_t shrink_end(struct l1 *l1, bool freed)
{
    struct l1_shrink *k = &l1->shrink;
    uint64_t now_ns = clock_now_ns(l1->env->clock);
    watch_goal(l1, now_ns);
    if (k->phase == SHRINK_IDLE) {
        if (now_ns >= k->look_ns && family_renew_stats(l1->member.root, false))
            look(l1, now_ns);
        else if (freed && k->look_ns == CLOCK_NEVER_NS)
            k->look_ns = now_ns + LOOK_AGAIN_NS;
    } else {
        errand_free_all_ready(l1);
        bool reached = cap_follow(l1);
        if (k->phase == SHRINK_TRIM)
            end_round(l1, reached, now_ns);
    }
    if (k->phase != SHRINK_IDLE)
        return now_ns;
    uint64_t look_ns = u64_max(k->look_ns, l1->member.root->family.renew_again_ns);
    return k->retry_ns ? u64_min(k->retry_ns, look_ns) : look_ns;
}
