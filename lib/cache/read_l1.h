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
                                  const struct nigh_call *call, const struct moment *moment,
                                  struct nigh_value *ret, struct read_notes *notes);
/* Count its outcome. Not in a section: a thread's first count takes a lock. */
void read_count(struct nigh_space *space, const struct nigh_call *call, int outcome,
                const struct read_notes *notes);
/* The read of L1, whatever is there. NIGH_MISS: nothing that this call may have; `ret` is then
 * untouched. */
int read_l1(struct nigh_space *space, const struct l1_key *key, const struct nigh_call *call,
            struct nigh_value *ret, bool *ret_refresh);

/* What a call may say without being more than a plain hit can answer. */
#define PLAIN_FLAGS (NIGH_L1_ONLY | NIGH_NO_STORE | NIGH_SOFT)

/* Whether a call takes any fresh value, and leaves its trace: as most do. */
static inline bool read_takes_any(const struct nigh_call *call)
{
    return NIGH_LIKELY(!call) ||
           (call->size >= CALL_SIZE_FIRST &&
            !((call->flags & ~PLAIN_FLAGS) | call->max_age_ms | call->min_version));
}

/* Hand out what was found, if it is simply fresh, at a trusted moment and to a call that takes any.
 * If true all is done but counting. */
static inline bool read_plain_rcu(const struct nigh *cache, const struct l1_key *key,
                                  struct l1_entry *e, uint64_t now_ns, struct nigh_value *ret)
{
    if (NIGH_UNLIKELY(!freshness_is_fresh(cache, e, now_ns) || l1_entry_flags(e) ||
                      !l1_pin_found_rcu(e, key, ret)))
        return false;
    if (NIGH_UNLIKELY(l1_touch_rcu(e)))
        l1_report_hit_rcu(cache->l1, e);
    return true;
}

/*
 * The plain hit, whole: present, fresh, nothing special asked, a pin slot at hand. That is the path
 * that has to be short, so it is inlined into its callers, and holds nothing for others: if it
 * returns false nothing was done, and who called goes the long way from its beginning.
 */
static NIGH_INLINED bool read_hit(struct nigh_space *space, const void *key, size_t key_len,
                                  const struct nigh_call *call, struct nigh_value *ret)
{
    struct nigh *cache = space->cache;
    if (NIGH_UNLIKELY(cache_forked(cache) || !read_takes_any(call) ||
                      !cache_key_fits(key, key_len)))
        return false;
    struct l1_key k = l1_key_inlined(cache->l1, space->id, key, key_len);
    struct l1_guess guess = l1_guess(cache->l1, &k);
    struct moment moment = freshness_moment(cache);
    if (NIGH_UNLIKELY(!moment.is_trusted))
        return false;
    rcu_enter();
    struct l1_entry *e = l1_find_guessed_rcu(cache->l1, &k, &guess);
    if (NIGH_UNLIKELY(!e || !read_plain_rcu(cache, &k, e, moment.now_ns, ret))) {
        rcu_leave();
        return false;
    }
    rcu_leave();
    stats_count(&space->stats, STATS_L1_FRESH);
    return true;
}

#endif
