// SPDX-License-Identifier: MIT
/*
 * The marks' density, and the walk that follows a change of it.
 */
#include "l1/marks.h"

#include "l1/shard.h"

#define DENSEST 2u /* one key in so many */
#define FOLLOWED_LEAST 192u
/* From here on 96 keys have to do, which is 96 to 191 at 1/64 up to the double of this. */
#define ENTRIES_MANY 6144.0
#define MARGIN 1.25      /* of entries */
#define RATE_MARGIN 2.0
#define SLOTS_PER_HOLD 1024u

/* ---- density ---- */

void marks_init(struct l1 *l1, uint32_t one_in)
{
    bool more = one_in && one_in < MARK_ONE_IN;
    l1->mark_mask_most = (more ? one_in : MARK_ONE_IN) - 1;
    atomic_init(&l1->mark_mask, l1->mark_mask_most);
    atomic_init(&l1->mark_mask_least, l1->mark_mask_most);
}

/* Returns one key in how many is to be marked: rising with both. */
static uint32_t one_in_for(const struct l1 *l1, double entries, double reads_per_second)
{
    uint32_t most = l1->mark_mask_most + 1, one_in = DENSEST;
    if (entries >= ENTRIES_MANY)
        return most;
    while (one_in < most && (entries / (2 * one_in) >= FOLLOWED_LEAST ||
                             reads_per_second / one_in > MARKS_READS_MOST))
        one_in *= 2;
    return one_in < most ? one_in : most;
}

static bool set_one_in(struct l1 *l1, uint32_t one_in)
{
    bool changes = one_in - 1 != core_mark_mask(l1);
    atomic_fetch_and_explicit(&l1->mark_mask_least, one_in - 1, memory_order_relaxed);
    atomic_store_explicit(&l1->mark_mask, one_in - 1, memory_order_relaxed);
    return changes;
}

bool marks_suit(struct l1 *l1, double entries, double reads_per_second)
{
    uint32_t now = core_mark_mask(l1) + 1;
    bool too_dense = one_in_for(l1, entries / MARGIN, reads_per_second / RATE_MARGIN) > now;
    bool too_thin = one_in_for(l1, entries * MARGIN, reads_per_second * RATE_MARGIN) < now;
    return (too_dense || too_thin) && set_one_in(l1, one_in_for(l1, entries, reads_per_second));
}

bool marks_fewest(struct l1 *l1)
{
    return set_one_in(l1, l1->mark_mask_most + 1);
}

/* ---- the walk ---- */

/* Mark an entry, or take its mark away; that of a refreshed one may say that it was not read, and
 * goes with its next hit. */
static void fit_entry(const struct l1 *l1, struct l1_entry *e)
{
    bool has_generation = l1_generation(&l1->hit);
    bool marked = core_marks(l1, entry_hash(l1, e));
    if (marked && !entry_is_marked(e, has_generation))
        entry_mark(e, has_generation);
    else if (!marked && !l1_entry_refreshed(e) && entry_is_marked(e, has_generation))
        entry_unmark(e, has_generation);
}

/* Walk on from `slot`. Returns the next one; 0: there is none. */
static uint32_t walk_some_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot) REQUIRES(s->lock)
{
    uint32_t capacity = s->ring.capacity;
    uint32_t end = (uint32_t)u64_min(capacity, (uint64_t)slot + SLOTS_PER_HOLD);
    for (; slot < end; slot++)
        if (ring_is_live(s->ring.words[slot]))
            fit_entry(l1, ring_entry(&s->ring, slot));
    return slot < capacity ? slot : 0;
}

void marks_walk(struct l1 *l1)
{
    for (uint32_t i = 0; i <= l1->shard_mask; i++) {
        struct l1_shard *s = &l1->shards[i];
        uint32_t slot = 0;
        do {
            l1_shard_lock(s);
            slot = walk_some_locked(l1, s, slot);
            l1_shard_unlock(l1, s);
        } while (slot > 0);
    }
}
