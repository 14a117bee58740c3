/* SPDX-License-Identifier: MIT */
/*
 * Listing retired entries for the judge, and freeing ready ones, some under each hold.
 *
 * Lists whose grace period is running, or over, are changed by reclaimers only, one at a time. So
 * an entry is put into the batch before the grace period, when its list is at hand anyway, and is
 * filed after it: by then the ring may have been moved, but the entry has the same slot.
 */
#include "l1/errand.h"

#include "l1/limbo.h"

void errand_begin_locked(struct errand *todo, struct l1_shard *s, uint32_t index,
                         enum judge_origin origin)
{
    *todo = (struct errand){
        .index = index, .slot = limbo_list_of(s, origin)->head, .origin = (uint8_t)origin};
}

/* Put entries into the batch, while it has room and not too many under one hold. An entry stays in
 * its list, which only a reclaimer changes, and in its slot: a ring may be moved meanwhile, but
 * nothing within it. */
void errand_list_locked(struct l1 *l1, struct l1_shard *s, struct errand *todo)
{
    struct batch *b = &l1->reclaim.batch;
    uint32_t left = ERRAND_PER_HOLD;
    while (todo->origin < JUDGE_ORIGINS) {
        for (; todo->slot != RING_NONE && left && !batch_is_full(b); left--) {
            batch_add(b, (struct judged){.entry = ring_entry(&s->ring, todo->slot),
                                         .slot = todo->slot,
                                         .shard = (uint16_t)todo->index,
                                         .origin = todo->origin});
            todo->slot = ring_next(&s->ring, todo->slot);
        }
        if (todo->slot != RING_NONE && left) { /* the rest is for another batch */
            shard_set_add(&l1->reclaim.left, todo->index);
            todo->origin = JUDGE_ORIGINS;
        } else if (todo->slot != RING_NONE) {
            return;
        } else if (++todo->origin < JUDGE_ORIGINS) {
            todo->slot = limbo_list_of(s, (enum judge_origin)todo->origin)->head;
        }
    }
}

/* Returns whether the errand is done. */
static bool run_errand(struct l1 *l1, struct errand *todo)
{
    struct l1_shard *s = &l1->shards[todo->index];
    l1_shard_lock(s);
    errand_list_locked(l1, s, todo);
    if (todo->frees) {
        limbo_free_ready_locked(l1, s, LIMBO_FREE_PER_HOLD);
        limbo_return_spare_locked(l1, s);
        todo->frees = s->ready.head != RING_NONE;
    }
    l1_shard_unlock(l1, s);
    return todo->origin == JUDGE_ORIGINS && !todo->frees;
}

void errands_run(struct l1 *l1, struct errands *errands)
{
    while (errands->count)
        for (uint32_t i = 0; i < errands->count;) {
            if (run_errand(l1, &errands->at[i]))
                errands->at[i] = errands->at[--errands->count];
            else
                i++;
        }
}

/* Note the rest of a visit for which one hold did not suffice; enough of them are run together. */
void errands_add(struct l1 *l1, struct errands *errands, const struct errand *todo)
{
    if (todo->origin == JUDGE_ORIGINS && !todo->frees)
        return;
    errands->at[errands->count++] = *todo;
    if (errands->count == SHARDS_BY_TURNS)
        errands_run(l1, errands);
}

/* Returns whether there is more. */
static bool free_ready(struct l1 *l1, struct l1_shard *s)
{
    l1_shard_lock(s);
    limbo_free_ready_locked(l1, s, LIMBO_FREE_PER_HOLD);
    bool more = s->ready.head != RING_NONE;
    limbo_return_spare_locked(l1, s);
    l1_shard_unlock(l1, s);
    return more;
}

/* Frees in some shards by turns until they have no more ready entries, then in the next ones. */
void errand_free_all_ready(struct l1 *l1)
{
    for (uint32_t first = 0; first <= l1->shard_mask; first += SHARDS_BY_TURNS) {
        bool more = true;
        while (more) {
            more = false;
            for (uint32_t i = first; i < first + SHARDS_BY_TURNS && i <= l1->shard_mask; i++)
                more |= free_ready(l1, &l1->shards[i]);
        }
    }
}
