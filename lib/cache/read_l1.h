/* SPDX-License-Identifier: MIT */
/*
 * Reading L1: read_l1() finds, judges and pins an entry in one read section; the plain hit pins
 * what it finds and judges it after that.
 */
#ifndef NIGH_CACHE_READ_L1_H
#define NIGH_CACHE_READ_L1_H

#include "cache/freshness.h"

#define FLAGS_OF(call) ((call) ? (call)->flags : 0u)

/* Notes about a read, for what is done when its section has ended. */
struct read_notes {
    bool copied;  /* the value is a copy: count it */
    bool refresh; /* stale, and worth a refresh */
};

/* Judge the found entry in full, and hand it out if it may be. Returns an outcome, or
 * NIGH_ENOMEM. */
NIGH_OUTLINED int read_judged_rcu(struct nigh_space *space, struct l1_entry *e,
                                  const struct nigh_call *call, const struct moment *moment,
                                  struct nigh_value *ret, struct read_notes *notes);
/* Count the outcome of a read. Not in a section: a thread's first count takes a lock. */
void read_count(struct nigh_space *space, const struct nigh_call *call, int outcome,
                const struct read_notes *notes);
/* Count reads that L1 did not answer: by the rule in stats/counters.h. */
void read_count_missed(struct nigh_space *space, const struct nigh_call *call, uint64_t count);
/* Read L1, whatever is there. NIGH_MISS: nothing that this call may have; `ret` is then
 * untouched. */
int read_l1(struct nigh_space *space, const struct l1_key *key, const struct nigh_call *call,
            struct nigh_value *ret, bool *ret_refresh);

/* The flags that a call may have and still be answered by a plain hit. */
#define PLAIN_FLAGS (NIGH_L1_ONLY | NIGH_NO_STORE | NIGH_SOFT)

/* Whether a call takes any fresh value, as most do, and its NIGH_QUIET flag is as in `quiet`: not
 * set (0), or set (NIGH_QUIET). */
static inline bool read_takes_any(const struct nigh_call *call, uint32_t quiet)
{
    if (!call)
        return !quiet;
    return cache_call_size_fits(call) && !(((call->flags ^ quiet) & ~PLAIN_FLAGS) |
                                           call->max_age_ms | call->min_version);
}

/* Whether a pinned entry is a value of the key, and simply fresh. If so, and `quiet` is 0, the hit
 * is noted in the entry and for the policy, too: only the counting is left to do. */
static NIGH_INLINED bool read_is_plain(struct nigh_space *space, struct l1_entry *e,
                                       const void *key, size_t key_len, uint64_t now_ns,
                                       uint32_t quiet, size_t *ret_len)
{
    if (NIGH_UNLIKELY(!l1_is_value(&space->l1, e, key, key_len, ret_len)))
        return false;
    uint8_t generation = l1_generation(&space->l1.hit); /* from the line that comes next */
    if (NIGH_UNLIKELY(!freshness_is_fresh(space, e, now_ns)))
        return false;
    if (!quiet && NIGH_UNLIKELY(l1_touch(e, generation)))
        l1_report_hit(e);
    return true;
}

/*
 * The whole plain hit: present, fresh, nothing special asked, a pin slot at hand. This is the path
 * that has to be short, so it is inlined into its callers, and holds nothing for other cases: if it
 * returns false nothing was done, and the caller takes the long path from its beginning.
 *
 * The entry is on its way from memory while the section is left and the clock read: the more there
 * is to do between the request for a line and its use, the further a processor gets into the next
 * lookup before it has to wait.
 *
 * `quiet`, a constant: 0, or NIGH_QUIET, for calls that leave no trace.
 */
static NIGH_INLINED bool read_hit_as(uint32_t quiet, struct nigh_space *space, const void *key,
                                     size_t key_len, const struct nigh_call *call,
                                     struct nigh_value *ret)
{
    struct nigh *cache = space->cache;
    struct rcu_section section;
    if (NIGH_UNLIKELY(!read_takes_any(call, quiet) || !cache_key_fits(key, key_len) ||
                      !rcu_enter_short(&section)))
        return false;
    if (NIGH_UNLIKELY(!cache_takes_plain(space))) {
        rcu_leave_short(section);
        return false;
    }
    uint64_t trusted_until_ns = freshness_trusted_until(cache);
    uint64_t hash = l1_hash(&space->l1, key, key_len);
    struct l1_entry *e = l1_likely_rcu(&space->l1, l1_bucket_rcu(&space->l1, hash), hash);
    uintptr_t pin = NIGH_LIKELY(e) ? l1_hold_rcu(e) : 0;
    rcu_leave_short(section);
    if (NIGH_UNLIKELY(!pin))
        return false;
    l1_entry_prefetch(e, key_len);
    uint64_t now_ns = clock_coarse_ns(&cache->clock);
    size_t len;
    if (NIGH_UNLIKELY(now_ns >= trusted_until_ns ||
                      !read_is_plain(space, e, key, key_len, now_ns, quiet, &len))) {
        l1_unpin(pin);
        return false;
    }
    *ret = (struct nigh_value){e->bytes + key_len, len, pin};
    if (!quiet)
        stats_count(&space->stats, STATS_L1_FRESH);
    return true;
}

static NIGH_INLINED bool read_hit(struct nigh_space *space, const void *key, size_t key_len,
                                  const struct nigh_call *call, struct nigh_value *ret)
{
    return NIGH_LIKELY(read_hit_as(0, space, key, key_len, call, ret)) ||
           read_hit_as(NIGH_QUIET, space, key, key_len, call, ret);
}

#endif
