/* SPDX-License-Identifier: MIT */
/*
 * Limits, and the slices of a shrink.
 */
#include "l1/shrink.h"

#include "l1/compact.h"
#include "l1/core.h"
#include "l1/leave.h"
#include "l1/limbo.h"
#include "l1/room.h"
#include "l1/shard.h"

#define LIMBO_SHARE 16u    /* limbo is such a share of the cap */
#define RESERVE_SHARE 128u /* a reserve, of a shard's share: all reserves are 1/128 of the cap */
#define ENTRY_MAX_SHARE 8u /* the largest entry, of the cap: one value must not evict everything */

/* A table gives unused bytes away, but for such a share of the used ones. */
#define KEEP_SHARE 16u

/* While the cap comes down, the cap in force is the used bytes and so much more: limbo's share,
 * about. */
#define FOLLOW_SHARE 12u

/* Evicting takes about so many slices, and so does moving, each with a grace period (10 ms while
 * readers are busy). Where a slice is more than limbo holds, inserts are dropped meanwhile. */
#define SLICES_MAX 32u
#define SLICE_LEAST_BYTES (256u * 1024)

/* Victims under one hold of a shard's lock. */
#define SHED_PER_HOLD 64u
/* Slots looked at under one hold, for entries that have to go. */
#define DROP_PER_HOLD 256u

/* Resident memory above so much of the cap is brought down; the promise is 1.10. */
#define RESIDENT_PERCENT 105u
/* After a shrink slabs are emptied if that frees such a share of the cap; less is not worth the
 * moves. */
#define DRAIN_SHARE 32u
/* Such a share is enough when slabs are emptied because resident memory is too high. */
#define DRAIN_LEAST_SHARE 128u
/* Blocks in stocks are not charged: above this share of the cap they are given back. */
#define STOCKED_SHARE 64u

#define LOOK_AGAIN_NS NS_PER_S
#define MOVE_AGAIN_NS (10 * NS_PER_S) /* if moving did not help, it will not in a second */
#define RETRY_NS (100 * NS_PER_MS)

/* ---- limits ---- */

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
    uint64_t limbo = l1->shrink.limbo_bytes ? u64_min(l1->shrink.limbo_bytes, cap / 2)
                                            : cap / LIMBO_SHARE;
    uint64_t reserve = (cap - limbo) / shards / RESERVE_SHARE;
    return (struct sizes){limbo, reserve, cap - limbo, cap - limbo - reserve * shards};
}

static void set_cap(struct l1 *l1, uint64_t cap)
{
    struct sizes sizes = sizes_for(l1, cap);
    store(&l1->cap_bytes, cap);
    limbo_set_cap(l1, sizes.limbo);
    store(&l1->reserve_bytes, sizes.reserve);
    store(&l1->live_max_bytes, sizes.live_max);
    store(&l1->target_bytes, sizes.target);
    store(&l1->entry_max_bytes, l1->shrink.largest_bytes / ENTRY_MAX_SHARE);
}

void shrink_init(struct l1 *l1, uint64_t memory_bytes, uint64_t limbo_bytes)
{
    pthread_mutex_init(&l1->shrink.lock, NULL);
    l1->shrink.goal_bytes = l1->shrink.largest_bytes = memory_bytes;
    l1->shrink.limbo_bytes = limbo_bytes;
    set_cap(l1, memory_bytes);
}

void shrink_fini(struct l1 *l1)
{
    pthread_mutex_destroy(&l1->shrink.lock);
}

/* Begin the peak anew: it is that of the present cap. */
static void forget_peak(struct l1 *l1)
{
    store(&l1->peak, l1_limit(&l1->used));
}

static void set_goal_locked(struct l1 *l1, uint64_t goal_bytes)
{
    l1->shrink.goal_bytes = goal_bytes;
    set_cap(l1, u64_max(goal_bytes, l1_limit(&l1->cap_bytes)));
    forget_peak(l1);
}

void shrink_set_goal(struct l1 *l1, uint64_t goal_bytes, uint64_t limbo_bytes)
{
    pthread_mutex_lock(&l1->shrink.lock);
    l1->shrink.limbo_bytes = limbo_bytes;
    set_goal_locked(l1, goal_bytes);
    pthread_mutex_unlock(&l1->shrink.lock);
}

void shrink_grow(struct l1 *l1, uint64_t bytes)
{
    pthread_mutex_lock(&l1->shrink.lock);
    l1->shrink.goal_bytes += bytes;
    set_cap(l1, u64_max(l1->shrink.goal_bytes, l1_limit(&l1->cap_bytes)));
    pthread_mutex_unlock(&l1->shrink.lock);
}

void shrink_start(struct l1 *l1, uint64_t cap_bytes)
{
    pthread_mutex_lock(&l1->shrink.lock);
    l1->shrink.goal_bytes = cap_bytes;
    set_cap(l1, cap_bytes);
    forget_peak(l1);
    pthread_mutex_unlock(&l1->shrink.lock);
}

void shrink_set_largest(struct l1 *l1, uint64_t cap_bytes)
{
    pthread_mutex_lock(&l1->shrink.lock);
    l1->shrink.largest_bytes = cap_bytes;
    set_cap(l1, l1_limit(&l1->cap_bytes));
    pthread_mutex_unlock(&l1->shrink.lock);
}

uint64_t shrink_goal(struct l1 *l1)
{
    pthread_mutex_lock(&l1->shrink.lock);
    uint64_t goal = l1->shrink.goal_bytes;
    pthread_mutex_unlock(&l1->shrink.lock);
    return goal;
}

/* Read under the lock: a cap that is being lowered may be put back to what it was. */
uint64_t shrink_reserved(struct l1 *l1)
{
    pthread_mutex_lock(&l1->shrink.lock);
    uint64_t reserved = u64_max(l1->shrink.goal_bytes, l1_limit(&l1->cap_bytes));
    pthread_mutex_unlock(&l1->shrink.lock);
    return reserved;
}

uint64_t l1_limbo(struct l1 *l1)
{
    pthread_mutex_lock(&l1->shrink.lock);
    uint64_t limbo = l1->shrink.limbo_bytes;
    pthread_mutex_unlock(&l1->shrink.lock);
    return limbo;
}

/* Live bytes that must go before the goal can be the cap. */
static uint64_t excess_locked(const struct l1 *l1)
{
    uint64_t live = room_live_bytes(l1);
    uint64_t target = sizes_for(l1, l1->shrink.goal_bytes).target;
    return live > target ? live - target : 0;
}

static uint64_t excess_bytes(struct l1 *l1)
{
    pthread_mutex_lock(&l1->shrink.lock);
    uint64_t excess = excess_locked(l1);
    pthread_mutex_unlock(&l1->shrink.lock);
    return excess;
}

/* Lower the cap; if more than that has been used just now it stays as it is. REQUIRES(the shrink's
 * lock) */
static void lower_cap(struct l1 *l1, uint64_t cap, uint64_t lower)
{
    set_cap(l1, lower);
    /* pair(l1.cap): a thread that borrowed meanwhile sees the new cap, or is seen here */
    atomic_thread_fence(memory_order_seq_cst);
    if (l1_limit(&l1->used) > lower)
        set_cap(l1, cap);
    else if (lower < cap)
        forget_peak(l1);
}

/* Bring the cap in force down to what is used now. Returns whether it is at its goal. */
static bool follow(struct l1 *l1)
{
    struct l1_shrink *k = &l1->shrink;
    pthread_mutex_lock(&k->lock);
    uint64_t cap = l1_limit(&l1->cap_bytes);
    uint64_t used = l1_limit(&l1->used);
    uint64_t needed = used + used / FOLLOW_SHARE + k->limbo_bytes;
    uint64_t lower = u64_min(cap, u64_max(needed, k->goal_bytes));
    if (cap > k->goal_bytes && excess_locked(l1) == 0 && used <= k->goal_bytes)
        lower = k->goal_bytes;
    lower_cap(l1, cap, lower);
    bool reached = l1_limit(&l1->cap_bytes) <= k->goal_bytes;
    pthread_mutex_unlock(&k->lock);
    return reached;
}

/* Bytes that a table needs to go on as it is: live ones, a 16th more, and room for limbo and
 * reserves. */
static uint64_t needed_locked(const struct l1 *l1)
{
    uint64_t live = room_live_bytes(l1);
    uint64_t needed = live + live / KEEP_SHARE + l1->shrink.limbo_bytes;
    needed += needed / KEEP_SHARE + needed / RESERVE_SHARE;
    return u64_max(u64_max(needed, l1_limit(&l1->used)), l1->least_bytes);
}

uint64_t shrink_give(struct l1 *l1, uint64_t most_bytes)
{
    struct l1_shrink *k = &l1->shrink;
    pthread_mutex_lock(&k->lock);
    uint64_t cap = l1_limit(&l1->cap_bytes);
    uint64_t needed = needed_locked(l1);
    uint64_t give = cap == k->goal_bytes && cap > needed ? u64_min(most_bytes, cap - needed) : 0;
    if (give) {
        k->goal_bytes = cap - give;
        lower_cap(l1, cap, cap - give);
        if (l1_limit(&l1->cap_bytes) == cap) { /* those bytes have just been used */
            k->goal_bytes = cap;
            give = 0;
        }
    }
    pthread_mutex_unlock(&k->lock);
    return give;
}

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
    return sum + (l1->policy->excess ? l1->policy->excess(l1, shrink_goal(l1)) : 0);
}

static uint64_t slice_of(uint64_t bytes)
{
    return u64_max(bytes / SLICES_MAX, SLICE_LEAST_BYTES);
}

/* Open a window on the next shards, of which each is to give up the same part of its entries. */
static void open_window(struct l1 *l1, uint64_t excess)
{
    struct l1_shrink *k = &l1->shrink;
    uint64_t live = room_live_bytes(l1);
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
    room_return_spare_locked(l1, s);
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
    uint64_t excess = excess_bytes(l1);
    excess -= u64_min(excess, slack_bytes(l1));
    uint64_t slice = u64_min(l1->shrink.slice_bytes, u64_max(excess / 2, SLICE_LEAST_BYTES));
    return excess && shed(l1, excess, u64_min(excess, slice));
}

/* ---- move, trim ---- */

static void begin_move(struct l1 *l1, uint64_t drain_share)
{
    uint64_t goal = shrink_goal(l1);
    compact_begin(l1, slice_of(goal), goal / drain_share);
    if (l1->policy->shrink)
        room_return(l1, l1->policy->shrink(l1, goal));
    enter(l1, SHRINK_MOVE);
}

uint64_t shrink_pages_bytes(struct l1 *l1)
{
    uint64_t first_tables = (l1->shard_mask + 1u) * table_bytes(l1->mem, l1->hit.base_bits);
    uint64_t sum = l1->fixed_bytes - first_tables;
    for (uint32_t i = 0; i <= l1->shard_mask; i++) {
        l1_shard_lock(&l1->shards[i]);
        sum += l1_shard_pages_bytes_locked(&l1->shards[i]);
        l1_shard_unlock(l1, &l1->shards[i]);
    }
    return sum;
}

/* Drop entries of one space (0: of all) in slots below `end`. Returns where to go on; 0: done.
 * Downwards, because an entry that is moved between two holds gets a lower slot (compact.h). */
static uint32_t drop_some(struct l1 *l1, struct l1_shard *s, uint32_t end, uint32_t space_id)
{
    l1_shard_lock(s);
    end = end < s->ring.capacity ? end : s->ring.capacity;
    uint32_t from = end > DROP_PER_HOLD ? end - DROP_PER_HOLD : 0;
    for (uint32_t slot = from; slot < end; slot++) {
        uint64_t word = s->ring.words[slot];
        if (ring_is_live(word) && (!space_id || entry_space(ring_word_entry(word)) == space_id))
            l1_shard_drop_locked(l1, s, ring_word_entry(word));
    }
    l1_shard_unlock(l1, s);
    return from;
}

void l1_drop_space(struct l1 *l1, uint32_t space_id)
{
    for (uint32_t i = 0; i <= l1->shard_mask; i++)
        for (uint32_t slot = UINT32_MAX; slot != 0;)
            slot = drop_some(l1, &l1->shards[i], slot, space_id);
}

static void drop_all(struct l1 *l1)
{
    l1_drop_space(l1, 0);
    for (uint32_t i = 0; i <= l1->shard_mask; i++) {
        l1_shard_lock(&l1->shards[i]);
        l1_shard_fit_locked(l1, &l1->shards[i]);
        l1_shard_unlock(l1, &l1->shards[i]);
    }
}

static void free_all(struct l1 *l1)
{
    limbo_free_all_ready(l1);
    compact_trim(l1);
}

void l1_empty(struct l1 *l1)
{
    for (struct l1 *m = l1; m; m = family_next(m))
        drop_all(m);
    (void)l1_reclaim(l1); /* then all that nobody holds is ready */
    (void)l1_reclaim(l1); /* with nothing else to do, a pass looks at held entries */
    for (struct l1 *m = l1; m; m = family_next(m))
        free_all(m);
}

/* End a round: all that was retired is free. If that does not suffice, another round follows. */
static void end_round(struct l1 *l1, bool reached, uint64_t now_ns)
{
    struct l1_shrink *k = &l1->shrink;
    compact_end(l1);
    reached = reached || follow(l1);
    k->retry_ns = reached ? 0 : now_ns + RETRY_NS;
    k->look_ns = now_ns;
    enter(l1, SHRINK_IDLE);
}

/* ---- a look now and then ---- */

/* Whether resident memory is above its bound; `*ret_stocked`: much lies in stocks. */
static bool resident_too_high(struct l1 *l1, bool *ret_stocked)
{
    struct mem_stats stats;
    uint64_t pages = shrink_pages_bytes(l1);
    uint64_t cap = shrink_goal(l1);
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
    if (!high || mem_drain_bytes(l1->mem) < shrink_goal(l1) / DRAIN_LEAST_SHARE)
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
    uint64_t goal = shrink_goal(l1);
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
    if (k->phase == SHRINK_IDLE && now_ns >= k->retry_ns && !follow(l1)) {
        k->slice_bytes = slice_of(excess_bytes(l1));
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
        limbo_free_all_ready(l1);
        bool reached = follow(l1);
        if (k->phase == SHRINK_TRIM)
            end_round(l1, reached, now_ns);
    }
    if (k->phase != SHRINK_IDLE)
        return now_ns;
    uint64_t look_ns = u64_max(k->look_ns, l1->member.root->family.renew_again_ns);
    return k->retry_ns ? u64_min(k->retry_ns, look_ns) : look_ns;
}
