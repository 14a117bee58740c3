// SPDX-License-Identifier: MIT
/*
 * Whether an entry may be called fresh (rules 3 and 11).
 *
 * Key floors are absent on purpose: they are judged at store, join and landing. An entry that is in
 * the table has not been invalidated by key, because the invalidation would have removed it.
 */
#include "cache/value/freshness.h"

struct moment freshness_moment(struct nigh *cache)
{
    uint64_t now_ns = clock_coarse_ns(&cache->clock);
    struct moment moment = {now_ns, freshness_trusted(cache, now_ns)};
    if (!moment.is_trusted)
        freshness_note_doubt(cache);
    return moment;
}

enum verdict_trust freshness_trust(const struct nigh *cache, const struct moment *moment,
                                   const struct l1_entry *e)
{
    enum verdict_trust trust = freshness_trust_l2(cache, moment);
    if (trust != TRUST_DOUBT)
        return trust;
    return freshness_doubt(cache, e, l1_entry_stamp(e), moment->now_ns);
}

enum verdict_lifetime freshness_lifetime(const struct l1_entry *e, uint64_t now_ns,
                                         enum verdict_lifetime after)
{
    if (now_ns < l1_entry_fresh_until_ns(e))
        return LIFETIME_FRESH;
    return now_ns < l1_entry_stale_until_ns(e) ? LIFETIME_STALE : after;
}

enum verdict freshness_verdict(const struct nigh *cache, const struct l1_entry *e,
                               const struct moment *moment)
{
    return verdict_of(l1_judge(cache->l1, e),
                      freshness_lifetime(e, moment->now_ns, LIFETIME_OVER),
                      freshness_trust(cache, moment, e), l1_entry_absent(e));
}

bool freshness_acceptable(const struct l1_entry *e, const struct nigh_call *call, uint64_t now_ns)
{
    if (!call)
        return true;
    int64_t age_ns = (int64_t)now_ns - l1_entry_born_ns(e);
    if (call->max_age_ms != 0 && call->max_age_ms != NIGH_NONE &&
        age_ns > call->max_age_ms * (int64_t)NS_PER_MS)
        return false;
    return call->min_version == 0 || l1_entry_version(e) >= call->min_version;
}

void freshness_note_doubt(struct nigh *cache)
{
    /* pair(coherence.trust): only compared here */
    uint64_t until_ns = atomic_load_explicit(cache->trusted_until, memory_order_acquire);
    bool came_back = clock_coarse_ns(&cache->clock) < until_ns;
    if (came_back || atomic_load_explicit(&cache->lost_until, memory_order_relaxed) == until_ns)
        return;
    /* Two threads at once only mark twice: what was loaded in between is loaded once more. */
    atomic_store_explicit(&cache->lost_stamp, l1_mark(cache->l1), memory_order_relaxed);
    /* pair(cache.lost): release the stamp before the word that says that it holds */
    atomic_store_explicit(&cache->lost_until, until_ns, memory_order_release);
}

/* Whether what has this stamp was learnt since the present doubt began. */
static bool learnt_since(const struct nigh *cache, uint64_t stamp)
{
    /* pair(coherence.trust): only compared here */
    uint64_t until_ns = atomic_load_explicit(cache->trusted_until, memory_order_acquire);
    /* pair(cache.lost): if equal, the stamp acquired is of this doubt, or of a later one */
    return atomic_load_explicit(&cache->lost_until, memory_order_acquire) == until_ns &&
           stamp >= atomic_load_explicit(&cache->lost_stamp, memory_order_relaxed);
}

/* The clock counts while a process is stopped, and an entry is born when its origin was asked: a
 * value that waited with its process, on its way here or in L1, has aged meanwhile. */
enum verdict_trust freshness_doubt(const struct nigh *cache, const struct l1_entry *e,
                                   uint64_t stamp, uint64_t now_ns)
{
    if (!learnt_since(cache, stamp))
        return TRUST_DOUBT;
    int64_t age_ns = (int64_t)now_ns - l1_entry_born_ns(e);
    return age_ns < (int64_t)(cache->trust_ms * NS_PER_MS) ? TRUST_LATELY : TRUST_LEARNT;
}
