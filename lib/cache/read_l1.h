/* SPDX-License-Identifier: MIT */
/*
 * Reading L1: one read section in which an entry is found, judged and pinned.
 */
#ifndef NIGH_CACHE_READ_L1_H
#define NIGH_CACHE_READ_L1_H

#include "cache/freshness.h"

#define FLAGS_OF(call) ((call) ? (call)->flags : 0u)

/* What is done about a read when its section has ended. */
struct read_notes {
    bool copied;  /* the value is a copy: count it */
    bool refresh; /* stale, and worth a refresh */
};

/* Judge what was found in full, and hand it out if it may be. An outcome; NIGH_ENOMEM. */
NIGH_OUTLINED int read_judged_rcu(struct nigh_space *space, struct l1_entry *e,
                                  const struct nigh_call *call, uint64_t now_ns,
                                  struct nigh_value *ret, struct read_notes *notes);
/* Count its outcome. Not in a section: a thread's first count takes a lock. */
void read_count(struct nigh_space *space, const struct nigh_call *call, int outcome,
                const struct read_notes *notes);

/* Whether a call takes any fresh value, and leaves its trace: as most do. */
static inline bool takes_any(const struct nigh_call *call)
{
    return !call || !((call->flags & NIGH_QUIET) | call->max_age_ms | call->min_version);
}

/* The plain hit: if true all is done but counting. `now_ns` was read after the entry was found. */
static inline bool read_plain_rcu(const struct nigh *cache, const struct l1_key *key,
                                  struct l1_entry *e, const struct nigh_call *call,
                                  uint64_t now_ns, struct nigh_value *ret)
{
    if (NIGH_UNLIKELY(!freshness_is_fresh(cache, e, now_ns) || !takes_any(call) ||
                      l1_entry_flags(e) || !l1_pin_found_rcu(e, key, ret)))
        return false;
    if (NIGH_UNLIKELY(l1_touch_rcu(e)))
        l1_report_hit_rcu(cache->l1, e);
    return true;
}

/*
 * The read of L1. NIGH_MISS: nothing that this call may have; `ret` is then untouched.
 *
 * Present, fresh, nothing special asked, a pin slot at hand: that is the path that has to be short,
 * so it is inlined whole into its callers. All else is read_judged_rcu()'s.
 */
static NIGH_INLINED int read_l1(struct nigh_space *space, const struct l1_key *key,
                                const struct nigh_call *call, struct nigh_value *ret,
                                bool *ret_refresh)
{
    struct nigh *cache = space->cache;
    rcu_enter();
    struct l1_entry *e = l1_find_rcu(cache->l1, key);
    if (NIGH_UNLIKELY(!e)) {
        rcu_leave();
        return NIGH_MISS;
    }
    uint64_t now_ns = clock_coarse_ns(&cache->clock);
    if (NIGH_UNLIKELY(!read_plain_rcu(cache, key, e, call, now_ns, ret))) {
        struct read_notes notes = {false, false};
        int outcome = read_judged_rcu(space, e, call, now_ns, ret, &notes);
        rcu_leave();
        read_count(space, call, outcome, &notes);
        *ret_refresh = notes.refresh;
        return outcome;
    }
    rcu_leave();
    stats_count(&space->stats, STATS_L1_FRESH);
    return NIGH_FRESH;
}

#endif
