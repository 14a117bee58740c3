// SPDX-License-Identifier: MIT
/*
 * Choosing the cause of a miss: what L1 has of the key, or what became of that.
 */
#include "cache/misses.h"

#include "cache/space_l1.h"

/* Returns why an entry was no answer. */
static enum stats_counter cause_of_entry(const struct l1 *l1, const struct l1_entry *e,
                                         uint64_t now_ns)
{
    if (l1_judge(l1, e) != L1_CURRENT)
        return STATS_MISS_OF_CHANGED;
    if (now_ns < l1_entry_stale_until_ns(e))
        return STATS_MISS_OF_OTHER;
    return l1_entry_absent(e) ? STATS_MISS_OF_ABSENT : STATS_MISS_OF_EXPIRED;
}

static enum stats_counter cause_of_fate(const struct l1_fated *f)
{
    switch (f->fate) {
    case L1_FATE_NONE: return STATS_MISS_OF_NEW;
    case L1_FATE_EXPIRED: return f->absent ? STATS_MISS_OF_ABSENT : STATS_MISS_OF_EXPIRED;
    case L1_FATE_EVICTED:
    case L1_FATE_SHED:
    case L1_FATE_REFUSED_POLICY:
    case L1_FATE_REFUSED_FULL:
    case L1_FATE_REFUSED_LARGE: return STATS_MISS_OF_EVICTED;
    case L1_FATE_CHANGED:
    case L1_FATE_REFUSED_FLOOR: return STATS_MISS_OF_CHANGED;
    default: return STATS_MISS_OF_OTHER;
    }
}

void misses_note(struct nigh_space *space, const struct l1_key *key, uint32_t stands_for)
{
    struct l1 *l1 = space->cache->l1;
    enum stats_counter cause = STATS_MISS_OF_NEW;
    rcu_enter();
    const struct l1_entry *e = space_l1_find_rcu(space, key);
    if (e)
        cause = cause_of_entry(l1, e, clock_coarse_ns(&space->cache->clock));
    rcu_leave();
    if (!e) {
        struct l1_fated fated = l1_fate_of(l1, key);
        cause = cause_of_fate(&fated);
    }
    stats_add(&space->stats, cause, stands_for);
}
