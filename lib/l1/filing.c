/* SPDX-License-Identifier: MIT */
/*
 * Files the entries of a batch, which were judged, in their shards' lists again.
 *
 * Only limbo's entries become ready, for the next writers of their shard; limbo does not count
 * those that were aside or held, so these are freed here. Shards with held entries are noted in a
 * set of their own, for they are looked at less often.
 */
#include "l1/filing.h"

#include "l1/budget.h"
#include "l1/errand.h"
#include "l1/limbo.h"

/* A shard from which so few were retired, and to which no writer has come meanwhile, is seldom
 * written: the reclaimer frees them while it is there, rather than come again for it. */
#define FEW 4u

static void uncount_locked(struct l1 *l1, struct l1_shard *s, enum judge_origin origin,
                           uint64_t bytes) REQUIRES(s->lock)
{
    switch (origin) {
    case FROM_ASIDE: atomic_fetch_sub_explicit(&l1->aside, bytes, memory_order_relaxed); break;
    case FROM_HELD: s->held_bytes -= bytes; break;
    default: limbo_sub_locked(l1, s, bytes); break;
    }
}

/* File one entry as judged: held, ready, or freed here. Only limbo's entries become ready; limbo
 * does not count those that were aside or held. */
static void file_one_locked(struct l1 *l1, struct l1_shard *s, const struct judged *j)
    REQUIRES(s->lock)
{
    uint32_t slot = ring_pop(&s->ring, limbo_list_of(s, j->origin));
    NIGH_DCHECK(slot == j->slot);
    uint64_t bytes = entry_charge(l1, j->entry);
    if (!j->held && j->origin == FROM_LIMBO) {
        ring_push(&s->ring, &s->ready, slot);
        return;
    }
    uncount_locked(l1, s, j->origin, bytes);
    l1->reclaim.held_count += (uint64_t)j->held - (j->origin == FROM_HELD);
    if (j->held) {
        s->held_bytes += bytes;
        ring_push(&s->ring, &s->held, slot);
    } else {
        entry_free(l1, s->cache, j->entry);
        ring_give(&s->ring, slot);
        budget_give_locked(l1, s, bytes);
    }
}

/* Free the few ready entries, but leave the last of limbo's count for the next pass to give back: a
 * writer that counts the first bytes pokes the reclaimer at once, and it would come for each of
 * them. */
static void free_few_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock)
{
    limbo_free_ready_locked(l1, s, LIMBO_FREE_PER_HOLD);
    if (s->ready.head == RING_NONE && l1_limit(&l1->limbo) > s->limbo_spare_bytes)
        limbo_return_spare_locked(l1, s);
}

/* File a run: entries of one shard and origin, the first of their list. As a rule none of them is
 * held: then their slots and heads, which lie in the caches of the threads that retired them and
 * will free them, are left alone. */
static void file_run_locked(struct l1 *l1, struct l1_shard *s, const struct judged *run,
                            uint32_t count) REQUIRES(s->lock)
{
    bool held = false;
    for (uint32_t i = 0; i < count; i++)
        held |= run[i].held;
    if (run->origin == FROM_LIMBO && !held) {
        ring_move_front(&s->ring, &s->waiting, run[count - 1].slot, &s->ready);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        file_one_locked(l1, s, &run[i]);
}

static uint32_t run_length(const struct batch *b, uint32_t first)
{
    const struct judged *run = &b->entries[first];
    uint32_t n = 1;
    while (n < ERRAND_PER_HOLD && first + n < b->count && run[n].shard == run->shard &&
           run[n].origin == run->origin)
        n++;
    return n;
}

/* File as many entries of one shard as one hold allows. Returns where the next begin in the
 * batch. */
static uint32_t file_shard(struct l1 *l1, const struct batch *b, uint32_t first)
{
    uint32_t index = b->entries[first].shard;
    struct l1_shard *s = &l1->shards[index];
    uint32_t at = first;
    l1_shard_lock(s);
    bool idle = !s->freeing;
    while (at < b->count && b->entries[at].shard == index && at - first < ERRAND_PER_HOLD) {
        uint32_t count = run_length(b, at);
        file_run_locked(l1, s, &b->entries[at], count);
        at += count;
    }
    if (at < b->count)
        l1_shard_prefetch(&l1->shards[b->entries[at].shard]);
    if (idle && at - first <= FEW)
        free_few_locked(l1, s);
    limbo_mark_if_busy_locked(l1, s);
    if (s->held.head != RING_NONE)
        shard_set_add(&l1->reclaim.held, index);
    l1_shard_unlock(l1, s);
    return at;
}

void filing_file(struct l1 *l1, struct batch *b)
{
    for (uint32_t at = 0; at < b->count;)
        at = file_shard(l1, b, at);
    b->count = 0;
}
