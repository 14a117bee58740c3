// SPDX-License-Identifier: MIT
/*
 * Reading L1 when it may be no plain hit: stale, absent, in doubt, not good enough for this call.
 */
#include "cache/read/from_l1.h"

#include "cache/sample.h"
#include "cache/space_l1.h"

/* Notes about a read, for what is done when its section has ended. */
struct read_notes {
    bool copied;  /* the value is a copy: count it */
    bool refresh; /* stale, and worth a refresh */
};

static void touch(struct nigh_space *space, struct l1_entry *e, int outcome, uint64_t now_ns)
{
    uint32_t touched = l1_touch(e, l1_generation(&space->l1.hit));
    if (NIGH_UNLIKELY(touched))
        sample_hit(space, e, touched,
                   outcome == NIGH_ABSENT  ? NIGH_TRACE_ABSENT
                   : outcome == NIGH_STALE ? NIGH_TRACE_STALE
                                           : NIGH_TRACE_FRESH,
                   l1_ticks_of(now_ns));
}

/* Judges the found entry in full, and hands it out if it may be. Returns an outcome, or
 * NIGH_ENOMEM. */
static int hand_out_rcu(struct nigh_space *space, struct l1_entry *e, const struct nigh_call *call,
                        const struct moment *moment, struct nigh_value *ret,
                        struct read_notes *notes)
{
    struct nigh *cache = space->cache;
    enum verdict verdict = freshness_verdict(cache, e, moment);
    int outcome = verdict_outcome(verdict, l1_entry_absent(e),
                                  freshness_acceptable(e, call, moment->now_ns));
    if (outcome == NIGH_MISS)
        return NIGH_MISS;
    if (outcome == NIGH_ABSENT) {
        *ret = (struct nigh_value)NIGH_VALUE_INIT;
    } else {
        int rc = l1_pin_rcu(cache->l1, e, ret, &notes->copied);
        if (rc != 0)
            return rc;
    }
    if (!(FLAGS_OF(call) & NIGH_QUIET))
        touch(space, e, outcome, moment->now_ns);
    notes->refresh = verdict == VERDICT_STALE; /* in doubt once: then it is LEARNT (rule 11) */
    return outcome;
}

/* Counts the outcome of a read. Not in a section: a thread's first count takes a lock. */
static void count(struct nigh_space *space, const struct nigh_call *call, int outcome,
                  const struct read_notes *notes)
{
    if (notes->copied)
        stats_count(&space->stats, STATS_VALUE_COPIED);
    if (outcome < 0)
        stats_count(&space->stats, STATS_READ_ERROR);
    if (outcome < 0 || outcome == NIGH_MISS || (FLAGS_OF(call) & NIGH_QUIET))
        return;
    stats_count(&space->stats, outcome == NIGH_STALE ? STATS_L1_STALE : STATS_L1_FRESH);
    if (outcome == NIGH_ABSENT)
        stats_count(&space->stats, STATS_READ_ABSENT);
}

void read_count_missed(struct nigh_space *space, const struct nigh_call *call, uint64_t count)
{
    uint32_t flags = FLAGS_OF(call);
    if (count > 0 && !(flags & (NIGH_QUIET | NIGH_REFRESH)))
        stats_add(&space->stats, flags & NIGH_L1_ONLY ? STATS_L1_PROBE_MISS : STATS_L1_MISS, count);
}

int read_l1(struct nigh_space *space, const struct l1_key *key, const struct nigh_call *call,
            struct nigh_value *ret, bool *ret_refresh)
{
    struct read_notes notes = {false, false};
    int outcome = NIGH_MISS;
    struct moment moment = freshness_moment(space->cache);
    rcu_enter();
    struct l1_entry *e = space_l1_find_rcu(space, key);
    if (e)
        outcome = hand_out_rcu(space, e, call, &moment, ret, &notes);
    rcu_leave();
    count(space, call, outcome, &notes);
    *ret_refresh = notes.refresh;
    return outcome;
}
