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

void refreshed_leaves(const struct l1 *l1, const struct l1_entry *e, uint64_t hash)
{
    if (!core_marks(l1, hash) && entry_is_marked(e, has_generation(l1)))
        stats_count(l1_stats_of(l1, entry_space(e)), STATS_REFRESH_WASTED);
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
