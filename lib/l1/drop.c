/* SPDX-License-Identifier: MIT */
/*
 * Dropping the entries of a space, or all of them, without anybody's choice of victims.
 *
 * Shard by shard, some slots under each hold of a lock, as readers and writers may go on. What is
 * dropped is in limbo, like all that leaves; emptying a table therefore takes passes of the
 * reclaimer.
 */
#include "l1/core.h"
#include "l1/errand.h"
#include "l1/leave.h"
#include "l1/shard.h"

/* Slots looked at under one hold, for entries that have to go. */
#define DROP_PER_HOLD 256u

/* Drop entries of one space (0: of all) in slots below `end`. Returns where to go on; 0: done.
 * Downwards, because an entry that is moved between two holds gets a lower slot (compact.h). */
static uint32_t drop_some(struct l1 *l1, struct l1_shard *s, uint32_t end, uint32_t space_id)
{
    l1_shard_lock(s);
    end = end < s->ring.capacity ? end : s->ring.capacity;
    uint32_t from = end > DROP_PER_HOLD ? end - DROP_PER_HOLD : 0;
    for (uint32_t slot = from; slot < end; slot++) {
        uint64_t word = s->ring.words[slot];
        struct l1_entry *e = ring_is_live(word) ? ring_word_entry(word) : NULL;
        if (!e || (space_id && entry_space(e) != space_id))
            continue;
        l1_shard_drop_locked(l1, s, e, L1_FATE_MOVED);
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
    errand_free_all_ready(l1);
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
