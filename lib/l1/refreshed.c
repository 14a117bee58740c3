// SPDX-License-Identifier: MIT
/*
 * The marks of refreshed values. They depend on the policy's kind of note, as all marks do.
 */
#include "l1/refreshed.h"

static bool has_generation(const struct l1 *l1)
{
    return l1_generation(&l1->hit);
}

void refreshed_comes(const struct l1 *l1, struct l1_entry *e)
{
    entry_mark(e, has_generation(l1));
}

/* Returns how many keys this one counts for: those of one residue count for the marked ones, too,
 * so that the sum is right however many are marked. */
static uint64_t counts_for(const struct l1 *l1, uint64_t hash)
{
    uint32_t residue = (uint32_t)(hash >> L1_MARK_SHIFT) & core_mark_mask(l1);
    return residue == 0 ? 0 : residue == 1 ? 2 : 1;
}

void refreshed_leaves(const struct l1 *l1, const struct l1_entry *e, uint64_t hash)
{
    if (entry_is_marked(e, has_generation(l1)))
        stats_add(l1_stats_of(l1, entry_space(e)), STATS_REFRESH_WASTED, counts_for(l1, hash));
}

void refreshed_follows(const struct l1 *l1, struct l1_entry *e, const struct l1_entry *old,
                       uint64_t hash)
{
    if (l1_entry_refreshed(old))
        refreshed_leaves(l1, old, hash);
    if (l1_entry_refreshed(e))
        entry_mark(e, has_generation(l1));
    else if (!core_marks(l1, hash))
        entry_unmark(e, has_generation(l1));
}

bool l1_note_read(const struct l1 *l1, struct l1_entry *e)
{
    bool marked = core_marks(l1, entry_hash(l1, e));
    if (!marked && !l1_entry_loose(e))
        entry_unmark(e, has_generation(l1));
    return marked;
}
