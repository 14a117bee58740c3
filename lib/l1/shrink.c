/* SPDX-License-Identifier: MIT */
/*
 * Limits, and the slices of a shrink.
 */
#include "l1/shrink.h"

#include "l1/core.h"
#include "l1/reclaim.h"
#include "l1/room.h"
#include "l1/shard.h"

#define LIMBO_SHARE 16u    /* of the cap */
#define RESERVE_SHARE 128u /* of a shard's share, so that all reserves are 1/128 of the cap */
#define ENTRY_MAX_SHARE 8u /* of the cap: one value must not evict everything */

/* While it comes down, the cap in force is what is used and so much more: limbo's share, about. */
#define FOLLOW_SHARE 12u

/* Evicting takes about so many slices, and so does moving, each with a grace period (10 ms while
 * readers are busy). Where that is more than limbo holds, inserts are dropped meanwhile. */
#define SLICES_MAX 32u
#define SLICE_LEAST_BYTES (256u * 1024)

/* Work under one hold of a shard's lock. */
#define SHED_PER_HOLD 64u
#define MOVES_PER_HOLD 32u
#define SLOTS_PER_HOLD 1024u

/* Larger ones lie on pages of their own (jemalloc: size classes from 16 KiB on). */
#define MOVE_MAX_BYTES (16u * 1024)

/* Resident memory above so much of the cap is brought down; the promise is 1.10. */
#define RESIDENT_PERCENT 105u
/* Blocks in allocator caches are not charged: above this share of the cap they are flushed. */
#define CACHED_SHARE 64u

#define LOOK_AGAIN_NS NS_PER_S
#define MOVED_LOOK_AGAIN_NS (10 * NS_PER_S) /* if moving did not help, it will not in a second */
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
    reclaim_set_limbo(l1, sizes.limbo);
    store(&l1->reserve_bytes, sizes.reserve);
    store(&l1->live_max_bytes, sizes.live_max);
    store(&l1->target_bytes, sizes.target);
    store(&l1->entry_max_bytes, cap / ENTRY_MAX_SHARE);
}

void shrink_init(struct l1 *l1, uint64_t memory_bytes, uint64_t limbo_bytes)
{
    pthread_mutex_init(&l1->shrink.lock, NULL);
    l1->shrink.goal_bytes = memory_bytes;
    l1->shrink.limbo_bytes = limbo_bytes;
    set_cap(l1, memory_bytes);
}

void shrink_fini(struct l1 *l1)
{
    pthread_mutex_destroy(&l1->shrink.lock);
}

/* The peak is that of the present cap. */
static void forget_peak(struct l1 *l1)
{
    store(&l1->peak, l1_limit(&l1->used));
}

int l1_set_memory(struct l1 *l1, uint64_t memory_bytes, uint64_t limbo_bytes)
{
    if (memory_bytes < l1->least_bytes || limbo_bytes > memory_bytes / 2)
        return NIGH_EINVAL;
    struct l1_shrink *k = &l1->shrink;
    pthread_mutex_lock(&k->lock);
    k->goal_bytes = memory_bytes;
    k->limbo_bytes = limbo_bytes;
    set_cap(l1, u64_max(memory_bytes, l1_limit(&l1->cap_bytes)));
    forget_peak(l1);
    pthread_mutex_unlock(&k->lock);
    if (l1->poke)
        l1->poke(l1->poke_arg);
    return 0;
}

uint64_t l1_memory(struct l1 *l1)
{
    pthread_mutex_lock(&l1->shrink.lock);
    uint64_t goal = l1->shrink.goal_bytes;
    pthread_mutex_unlock(&l1->shrink.lock);
    return goal;
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

/* Bring the cap in force down to what is used now. Returns whether it is at its goal. */
static bool follow(struct l1 *l1)
{
    struct l1_shrink *k = &l1->shrink;
    pthread_mutex_lock(&k->lock);
    uint64_t cap = l1_limit(&l1->cap_bytes);
    uint64_t used = l1_limit(&l1->used);
    if (cap > k->goal_bytes && excess_locked(l1) == 0 && used <= k->goal_bytes) {
        set_cap(l1, k->goal_bytes);
        forget_peak(l1);
    } else if (cap > k->goal_bytes) {
        uint64_t needed = used + used / FOLLOW_SHARE + k->limbo_bytes;
        set_cap(l1, u64_min(cap, u64_max(needed, k->goal_bytes)));
    }
    /* pair(l1.cap): whoever borrowed meanwhile sees the new cap, or is seen here */
    atomic_thread_fence(memory_order_seq_cst);
    if (l1_limit(&l1->used) > l1_limit(&l1->cap_bytes))
        set_cap(l1, cap);
    bool reached = l1_limit(&l1->cap_bytes) <= k->goal_bytes;
    pthread_mutex_unlock(&k->lock);
    return reached;
}

/* ---- evict ---- */

static void enter(struct l1 *l1, enum l1_shrink_phase phase)
{
    l1->shrink.phase = phase;
    l1->shrink.shard = 0;
}

static uint64_t slack_bytes(struct l1 *l1)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i <= l1->shard_mask; i++) {
        l1_shard_lock(&l1->shards[i]);
        sum += l1_shard_slack_locked(l1, &l1->shards[i]);
        l1_shard_unlock(l1, &l1->shards[i]);
    }
    return sum + shadows_excess(&l1->shadows, l1->mem, l1_memory(l1));
}

/* Begin to work on `bytes`. */
static void set_slice(struct l1 *l1, uint64_t bytes)
{
    l1->shrink.slice_bytes = u64_max(bytes / SLICES_MAX, SLICE_LEAST_BYTES);
}

/* Up to `wanted` bytes, from shard after shard. Returns what there was. */
static uint64_t shed(struct l1 *l1, uint64_t wanted)
{
    struct l1_shrink *k = &l1->shrink;
    uint64_t sum = 0;
    for (uint32_t idle = 0; sum < wanted && idle <= l1->shard_mask;) {
        struct l1_shard *s = &l1->shards[k->shard];
        l1_shard_lock(s);
        uint64_t bytes = l1_shard_shed_locked(l1, s, SHED_PER_HOLD);
        room_return_spare_locked(l1, s);
        l1_shard_unlock(l1, s);
        idle = bytes ? 0 : idle + 1;
        sum += bytes;
        k->shard = (k->shard + 1) & l1->shard_mask;
    }
    return sum;
}

/* Returns whether there is more to evict. */
static bool evict_slice(struct l1 *l1)
{
    uint64_t excess = excess_bytes(l1);
    excess -= u64_min(excess, slack_bytes(l1));
    return excess && shed(l1, u64_min(excess, l1->shrink.slice_bytes));
}

/* ---- move ---- */

static bool wants_move(const struct l1_shrink *k, const struct l1_shard *s, uint32_t slot)
{
    uint64_t word = s->ring.words[slot];
    if (!ring_is_live(word))
        return false;
    return slot >= s->ring.limit ||
           (k->move_all && entry_size(ring_word_entry(word)) < MOVE_MAX_BYTES);
}

/* Goes on at s->move_at. False: no slot or room is left before the next grace period. */
static bool move_some_locked(struct l1 *l1, struct l1_shard *s)
{
    struct l1_shrink *k = &l1->shrink;
    uint32_t moves = 0;
    uint32_t end = (uint32_t)u64_min(s->ring.capacity, (uint64_t)s->move_at + SLOTS_PER_HOLD);
    for (; s->move_at < end && moves < MOVES_PER_HOLD; s->move_at++) {
        if (!wants_move(k, s, s->move_at))
            continue;
        if (!l1_shard_move_locked(l1, s, s->move_at))
            return false;
        moves++;
    }
    return true;
}

/* A visit. Returns whether it got on; `*ret_left`: whether something is left to do. */
static bool move_visit(struct l1 *l1, struct l1_shard *s, bool *ret_left)
{
    l1_shard_lock(s);
    uint32_t from = s->move_at;
    if (from == 0)
        l1_shard_fit_locked(l1, s);
    /* Whoever sought room for a copy may have evicted the original. */
    if (!move_some_locked(l1, s) && l1->shrink.stuck &&
        ring_is_live(s->ring.words[s->move_at])) {
        l1_shard_remove_locked(l1, s, ring_entry(&s->ring, s->move_at++));
        stats_count(l1->stats, STATS_L1_EVICT);
    }
    bool got_on = s->move_at != from;
    *ret_left |= s->move_at < s->ring.capacity;
    l1_shard_unlock(l1, s);
    return got_on;
}

/* From shard to shard, until a slice is in limbo or nobody gets on. What does not get on although
 * limbo has been emptied meanwhile (pins hold the slots or the room) is evicted. */
static void move_slice(struct l1 *l1)
{
    struct l1_shrink *k = &l1->shrink;
    uint64_t full = reclaim_waiting_bytes(l1) + k->slice_bytes;
    bool got_on = false;
    bool left = false;
    uint32_t idle = 0;
    while (idle <= l1->shard_mask && reclaim_waiting_bytes(l1) < full) {
        bool visited = move_visit(l1, &l1->shards[k->shard], &left);
        k->shard = (k->shard + 1) & l1->shard_mask;
        idle = visited ? 0 : idle + 1;
        got_on |= visited;
    }
    k->stuck = !got_on;
    if (!got_on && !left)
        enter(l1, SHRINK_TRIM);
}

static void begin_move(struct l1 *l1, bool all)
{
    set_slice(l1, l1_memory(l1));
    l1->shrink.move_all = all;
    l1->shrink.stuck = false;
    for (uint32_t i = 0; i <= l1->shard_mask; i++)
        l1->shards[i].move_at = 0;
    room_return(l1, shadows_shrink(&l1->shadows, l1->mem, l1_memory(l1)));
    enter(l1, SHRINK_MOVE);
}

/* ---- trim ---- */

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

static void flush_caches(struct l1 *l1)
{
    for (uint32_t i = 0; i <= l1->shard_mask; i++) {
        l1_shard_lock(&l1->shards[i]);
        mem_cache_flush(l1->shards[i].cache);
        l1_shard_unlock(l1, &l1->shards[i]);
    }
}

static bool resident_too_high(struct l1 *l1)
{
    struct mem_stats stats;
    mem_stats_read(l1->mem, &stats);
    uint64_t resident = stats.resident_bytes + shrink_pages_bytes(l1);
    return resident > l1_memory(l1) / 100 * RESIDENT_PERCENT;
}

static void trim(struct l1 *l1)
{
    for (uint32_t i = 0; i <= l1->shard_mask; i++) {
        l1_shard_lock(&l1->shards[i]);
        l1_shard_trim_locked(l1, &l1->shards[i]);
        room_return_spare_locked(l1, &l1->shards[i]);
        l1_shard_unlock(l1, &l1->shards[i]);
    }
    flush_caches(l1);
    mem_purge(l1->mem);
}

static void drop_all(struct l1 *l1, struct l1_shard *s)
{
    l1_shard_lock(s);
    for (uint32_t slot = 0; slot < s->ring.capacity; slot++) {
        uint64_t word = s->ring.words[slot];
        if (ring_is_live(word))
            l1_shard_drop_locked(l1, s, ring_word_entry(word));
    }
    l1_shard_fit_locked(l1, s);
    l1_shard_unlock(l1, s);
}

void l1_empty(struct l1 *l1)
{
    for (uint32_t i = 0; i <= l1->shard_mask; i++)
        drop_all(l1, &l1->shards[i]);
    (void)l1_reclaim(l1); /* then what nobody holds is ready */
    (void)l1_reclaim(l1); /* with nothing else to do it looks at what was held */
    for (uint32_t i = 0; i <= l1->shard_mask; i++)
        reclaim_free_all_ready(l1, &l1->shards[i]);
    trim(l1);
}

/* All that was retired is freed: see what it brought. */
static void end_round(struct l1 *l1, bool reached, uint64_t now_ns)
{
    struct l1_shrink *k = &l1->shrink;
    trim(l1);
    reached = reached || follow(l1);
    if (!k->move_all && now_ns >= k->look_ns && resident_too_high(l1)) {
        begin_move(l1, true);
        return;
    }
    k->look_ns = now_ns + (k->move_all ? MOVED_LOOK_AGAIN_NS : LOOK_AGAIN_NS);
    k->retry_ns = reached ? 0 : now_ns + RETRY_NS;
    enter(l1, SHRINK_IDLE);
}

/* ---- a look now and then ---- */

static bool caches_hold_much(struct l1 *l1)
{
    struct mem_stats stats;
    mem_stats_read(l1->mem, &stats);
    uint64_t charged = l1_limit(&l1->used) - shrink_pages_bytes(l1);
    return stats.allocated_bytes > charged + l1_limit(&l1->cap_bytes) / CACHED_SHARE;
}

static void look(struct l1 *l1, uint64_t now_ns)
{
    l1->shrink.look_ns = now_ns + LOOK_AGAIN_NS;
    if (caches_hold_much(l1))
        flush_caches(l1);
    if (!resident_too_high(l1))
        return;
    flush_caches(l1);
    mem_purge(l1->mem);
    if (!resident_too_high(l1))
        return;
    begin_move(l1, true);
}

/* ---- a pass ---- */

void shrink_begin(struct l1 *l1)
{
    struct l1_shrink *k = &l1->shrink;
    uint64_t now_ns = clock_now_ns(l1->env->clock);
    if (k->phase == SHRINK_IDLE && now_ns >= k->retry_ns && !follow(l1)) {
        if (!k->retry_ns)
            k->look_ns = now_ns; /* a new goal: if it takes moving everything, then once */
        set_slice(l1, excess_bytes(l1));
        enter(l1, SHRINK_EVICT);
    }
    if (k->phase == SHRINK_EVICT && !evict_slice(l1))
        begin_move(l1, false);
    if (k->phase == SHRINK_MOVE)
        move_slice(l1);
}

uint64_t shrink_end(struct l1 *l1)
{
    struct l1_shrink *k = &l1->shrink;
    uint64_t now_ns = clock_now_ns(l1->env->clock);
    if (k->phase == SHRINK_IDLE) {
        if (now_ns >= k->look_ns)
            look(l1, now_ns);
    } else {
        for (uint32_t i = 0; i <= l1->shard_mask; i++)
            reclaim_free_all_ready(l1, &l1->shards[i]);
        bool reached = follow(l1);
        if (k->phase == SHRINK_TRIM)
            end_round(l1, reached, now_ns);
    }
    if (k->phase != SHRINK_IDLE)
        return now_ns;
    return k->retry_ns ? k->retry_ns : CLOCK_NEVER_NS;
}
