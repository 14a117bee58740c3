/* SPDX-License-Identifier: MIT */
/*
 * The plain hit, whole: present, fresh, nothing special asked. No lock, no wait, no
 * call but for the clock, and for the report of a sampled key.
 *
 * It pins what it finds and judges it after that. Its steps in the table are in l1/hit.h, what it
 * finds there in l1/bucket.h. Any other read takes the long way, which begins anew: from_l1.h.
 */
#ifndef NIGH_CACHE_READ_HIT_H
#define NIGH_CACHE_READ_HIT_H

#include "cache/sample.h"
#include "cache/value/freshness.h"

/* The flags that a call may have and still be answered by a plain hit. */
#define PLAIN_FLAGS (NIGH_L1_ONLY | NIGH_NO_STORE | NIGH_SOFT | NIGH_NO_WAIT)

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
    uint32_t touched = quiet ? 0 : l1_touch(e, generation);
    if (NIGH_UNLIKELY(touched))
        sample_hit(space, e, touched, NIGH_TRACE_FRESH, l1_ticks_of(now_ns));
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
