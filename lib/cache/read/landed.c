// SPDX-License-Identifier: MIT
/*
 * Judging the result of a flight for one of its callers.
 *
 * Callers of one flight may have begun at different times and want different things, so each
 * compares the result with what it knew when it joined (rule 10), and with its own limits. To one
 * that the result does not suit, it is none: that caller flies again.
 */
#include "cache/read/landed.h"

#include "cache/misses.h"
#include "cache/value/freshness.h"
#include "cache/read/from_l1.h"
#include "cache/space_l1.h"

/* Returns the position as of which a flight's result is right: its ticket; or if the result came
 * from L1 (and is not stale), the entry's stamp. */
static uint64_t as_of(const struct landing *landed)
{
    bool from_l1 = landed->tier == NIGH_TIER_L1 && landed->outcome != NIGH_STALE;
    return from_l1 ? l1_entry_stamp(landed->entry) : landed->ticket;
}

/* Whether nothing that this node has applied outdates what the flight brought. */
static bool above_floors(const struct nigh_space *space, const struct l1_key *key,
                         const struct landing *landed)
{
    const uint16_t *groups;
    uint32_t count = l1_entry_groups(landed->entry, &groups);
    uint64_t position = as_of(landed);
    return l1_key_current(space->cache->l1, key, position) &&
           l1_judge_groups(&space->l1, position, groups, count) == L1_CURRENT;
}

/*
 * Whether a result that rule 10 lets pass may be called fresh. It may if this caller leads, since
 * the load began within its call; or if trust held when the caller joined. Otherwise the call began
 * in doubt, in which no floor moves, so that equal tickets say nothing about a load that began
 * before the call (rule 11): then trust must have come back by the landing, and the floors that the
 * returned trust vouches for must let the result pass.
 */
static bool may_be_fresh(const struct nigh_space *space, const struct l1_key *key,
                         const struct landing *landed, const struct joined *joined,
                         uint64_t now_ns)
{
    return joined->vouched ||
           (freshness_trusted(space->cache, now_ns) && above_floors(space, key, landed));
}

/* Judge a landed result for this call. GONE: the result is no answer to it. */
static enum verdict verdict_on(const struct nigh_space *space, const struct l1_key *key,
                               const struct landing *landed, const struct joined *joined)
{
    bool since = as_of(landed) >= joined->ticket; /* whatever came after the call began */
    bool passes = since || above_floors(space, key, landed);
    uint64_t now_ns = clock_coarse_ns(&space->cache->clock);
    enum verdict_trust trust = TRUST_HELD;
    if (!may_be_fresh(space, key, landed, joined, now_ns))
        trust = freshness_doubt(space->cache, landed->entry, landed->ticket, now_ns);
    return verdict_of(passes ? L1_CURRENT : L1_BELOW_HARD,
                      landed->outcome == NIGH_STALE ? LIFETIME_STALE : LIFETIME_FRESH, trust,
                      landed->outcome == NIGH_ABSENT);
}

/* Whether the result is young and new enough for a call of whose limits the flight may have known
 * nothing. A loaded value is taken if nothing was invalidated since, however long the load took:
 * calls that want it younger would load one after the other. A flight that was to refresh has
 * brought what a call that refreshes would have got. */
static bool within_limits(const struct nigh_space *space, const struct landing *landed,
                          const struct joined *joined, const struct nigh_call *call)
{
    bool loaded = landed->tier == NIGH_TIER_LOADER;
    if (loaded && landed->ticket >= joined->ticket)
        return true;
    bool refreshes = FLAGS_OF(call) & NIGH_REFRESH;
    if (!loaded && !joined->leads && refreshes && !landed->refreshed)
        return false;
    return freshness_acceptable(landed->entry, call, clock_coarse_ns(&space->cache->clock));
}

/* Whether an invalidation has removed the stale value that the flight found in L1. The flight may
 * have begun, and found it, between the rise of the key's floor and the removal: its ticket does
 * not tell then. (A copy of the value in other memory has its stamp.) */
static bool was_removed(const struct nigh_space *space, const struct l1_key *key,
                        const struct landing *landed)
{
    if (landed->outcome != NIGH_STALE || landed->tier != NIGH_TIER_L1)
        return false;
    return !space_l1_still_has(space, key, l1_entry_stamp(landed->entry));
}

int landed_take(struct nigh_space *space, const struct l1_key *key, const struct landing *landed,
                const struct joined *joined, const struct nigh_call *call, struct nigh_value *ret)
{
    int outcome = landed->outcome;
    if (outcome < 0 || outcome == NIGH_MISS)
        return outcome;
    if (!joined->leads && was_removed(space, key, landed)) /* before this call began, perhaps */
        return NIGH_PENDING;
    outcome = verdict_outcome(verdict_on(space, key, landed, joined), outcome == NIGH_ABSENT,
                              within_limits(space, landed, joined, call));
    if (outcome == NIGH_MISS)
        return NIGH_PENDING;
    if (NIGH_UNLIKELY(l1_entry_refreshed(landed->entry)) && !(FLAGS_OF(call) & NIGH_QUIET))
        (void)l1_note_read(space_l1(space), landed->entry);
    if (outcome == NIGH_ABSENT) {
        stats_count(&space->stats, STATS_READ_ABSENT);
        misses_count_absent(space, call);
        return NIGH_ABSENT;
    }
    l1_pin_ref(landed->entry, landed->tier, ret);
    /* A value just loaded and still older than what the caller knows to exist: the origin lags. */
    bool lags = call && l1_entry_version(landed->entry) < call->min_version;
    return lags ? NIGH_STALE : outcome;
}
