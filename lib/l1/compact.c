/* SPDX-License-Identifier: MIT */
/*
 * The walk through all shards that moves entries.
 *
 * Entries, buckets and copies come from memory, not from the processor's caches. So a visit first
 * lists what it is to move and prefetches all of it: then it waits for memory once, not 32 times.
 */
#include "l1/compact.h"

#include "l1/budget.h"
#include "l1/core.h"
#include "l1/leave.h"
#include "l1/limbo.h"
#include "l1/move.h"
#include "l1/shard.h"

/* The most work under one hold of a shard's lock. */
#define MOVES_PER_HOLD 32u
#define SLOTS_PER_HOLD 1024u

/* ---- the lock ---- */

/* Lock a shard to give memory back. The copies that this needs take room meanwhile, for which
 * entries may go: they are shed, for no newcomer has pushed them out. */
static void lock_to_give_back(struct l1_shard *s) ACQUIRES(s->lock)
{
    l1_shard_lock(s);
    s->gives_back = true;
}

static void unlock_after_giving(struct l1 *l1, struct l1_shard *s) RELEASES(s->lock)
{
    s->gives_back = false;
    l1_shard_unlock(l1, s);
}

/* ---- a visit ---- */

struct visit {
    uint32_t count;
    uint32_t slots[MOVES_PER_HOLD];
    uint64_t hashes[MOVES_PER_HOLD];
};

static bool wants_move(const struct l1 *l1, const struct l1_shard *s, uint32_t slot)
{
    uint64_t word = s->ring.words[slot];
    return ring_is_live(word) &&
           (slot >= s->ring.limit || mem_is_draining(l1->mem, ring_word_entry(word)));
}

/* List the slots to move, from s->move_at on. */
static void collect_locked(struct l1 *l1, struct l1_shard *s, struct visit *v) REQUIRES(s->lock)
{
    uint32_t end = (uint32_t)u64_min(s->ring.capacity, (uint64_t)s->move_at + SLOTS_PER_HOLD);
    v->count = 0;
    for (; s->move_at < end && v->count < MOVES_PER_HOLD; s->move_at++) {
        if (!wants_move(l1, s, s->move_at))
            continue;
        const char *e = (const char *)ring_entry(&s->ring, s->move_at);
        __builtin_prefetch(e);
        __builtin_prefetch(e + CACHE_LINE_BYTES);
        v->slots[v->count++] = s->move_at;
    }
    for (uint32_t i = 0; i < v->count; i++) {
        v->hashes[i] = entry_hash(l1, ring_entry(&s->ring, v->slots[i]));
        __builtin_prefetch(table_bucket(shard_table_locked(s), v->hashes[i]));
    }
}

static bool move_one_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t hash)
    REQUIRES(s->lock)
{
    if (!wants_move(l1, s, slot)) /* making room for another may have evicted it */
        return true;
    return slot < s->ring.limit ? l1_shard_relocate_locked(l1, s, slot, hash)
                                : l1_shard_move_locked(l1, s, slot);
}

/* Returns false when no slot, room or memory is left before the next grace period. */
static bool move_some_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock)
{
    struct visit v;
    collect_locked(l1, s, &v);
    for (uint32_t i = 0; i < v.count; i++)
        if (!move_one_locked(l1, s, v.slots[i], v.hashes[i])) {
            s->move_at = v.slots[i];
            return false;
        }
    return true;
}

/* Get on where nothing moves although limbo has been emptied: pinned entries take the slots or the
 * room. An entry that has to leave the end of a ring is evicted; one in a slab may stay there. */
static void force_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock)
{
    if (s->move_at >= s->ring.limit && ring_is_live(s->ring.words[s->move_at]))
        l1_shard_remove_locked(l1, s, ring_entry(&s->ring, s->move_at), L1_FATE_SHED);
    s->move_at++;
}

/* Move some of a shard's entries. Returns whether it got on; `*ret_left` is set if work is left. */
static bool visit(struct l1 *l1, struct l1_shard *s, bool *ret_left)
{
    lock_to_give_back(s);
    uint32_t from = s->move_at;
    if (from == 0)
        l1_shard_fit_locked(l1, s);
    if (!move_some_locked(l1, s) && l1->compact.stuck)
        force_locked(l1, s);
    bool got_on = s->move_at != from;
    *ret_left |= s->move_at < s->ring.capacity;
    unlock_after_giving(l1, s);
    return got_on;
}

/* ---- the walk ---- */

/* Go from shard to shard, until a slice is in limbo or no shard gets on. */
bool compact_slice(struct l1 *l1)
{
    struct l1_compact *c = &l1->compact;
    uint64_t full = limbo_waiting_bytes(l1) + c->slice_bytes;
    bool got_on = false;
    bool left = false;
    uint32_t idle = 0;
    while (idle <= l1->shard_mask && limbo_waiting_bytes(l1) < full) {
        bool visited = visit(l1, &l1->shards[c->shard], &left);
        c->shard = (c->shard + 1) & l1->shard_mask;
        idle = visited ? 0 : idle + 1;
        got_on |= visited;
    }
    c->stuck = !got_on;
    return !got_on && !left;
}

static void flush_stocks(struct l1 *l1)
{
    for (uint32_t i = 0; i <= l1->shard_mask; i++) {
        l1_shard_lock(&l1->shards[i]);
        mem_cache_flush(l1->shards[i].cache);
        l1_shard_unlock(l1, &l1->shards[i]);
    }
}

void compact_begin(struct l1 *l1, uint64_t slice_bytes, uint64_t least_bytes)
{
    l1->compact = (struct l1_compact){.slice_bytes = slice_bytes};
    for (uint32_t i = 0; i <= l1->shard_mask; i++)
        l1->shards[i].move_at = 0;
    flush_stocks(l1);
    if (mem_drain_bytes(l1->mem) >= least_bytes)
        mem_drain(l1->mem);
}

void compact_trim(struct l1 *l1)
{
    for (uint32_t i = 0; i <= l1->shard_mask; i++) {
        lock_to_give_back(&l1->shards[i]);
        l1_shard_trim_locked(l1, &l1->shards[i]);
        budget_return_spare_locked(l1, &l1->shards[i]);
        mem_cache_flush(l1->shards[i].cache);
        unlock_after_giving(l1, &l1->shards[i]);
    }
    mem_purge(l1->mem);
}

void compact_end(struct l1 *l1)
{
    mem_settle(l1->mem);
    compact_trim(l1);
}
