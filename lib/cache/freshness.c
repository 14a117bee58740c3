// SPDX-License-Identifier: MIT
/*
 * May this entry be called fresh? (COHERENCE rules 3 and 11)
 *
 * Key floors are absent on purpose: they are judged at store, join and landing. An entry that is in
 * the table has not been invalidated by key, because the invalidation would have removed it.
 */
#include "cache/freshness.h"

/* Trust is compared with the time read after the entry was found: any beat that vouches beyond that
 * time applied its invalidations before it set the word. */
bool freshness_trusted(const struct nigh *cache, uint64_t now_ns)
{
    /* pair(coherence.trust): what a beat applied before it extended trust is seen here */
    return now_ns < atomic_load_explicit(cache->trusted_until, memory_order_acquire);
}

enum freshness freshness_of(const struct nigh *cache, const struct l1_entry *e, uint64_t now_ns)
{
    /* Trust first: its acquire orders the floors after it, so that an entry is never judged by
     * floors older than the beat that vouches for it. */
    bool is_trusted = freshness_trusted(cache, now_ns);
    const uint16_t *groups;
    uint32_t count = l1_entry_groups(e, &groups);
    enum l1_standing standing =
        l1_judge_groups(cache->l1, l1_entry_stamp(e), l1_entry_space_slot(e), groups, count);

    if (standing == L1_BELOW_HARD || now_ns >= l1_entry_stale_until_ns(e))
        return FRESHNESS_GONE;
    if (standing == L1_BELOW_SOFT || now_ns >= l1_entry_fresh_until_ns(e))
        return FRESHNESS_STALE;
    return is_trusted ? FRESHNESS_FRESH : FRESHNESS_DOUBTED;
}

bool freshness_acceptable(const struct l1_entry *e, const struct nigh_call *call, uint64_t now_ns)
{
    if (!call)
        return true;
    uint64_t born_ns = l1_entry_born_ns(e);
    if (call->max_age_ms && now_ns > born_ns && now_ns - born_ns > call->max_age_ms * NS_PER_MS)
        return false;
    return call->min_version == 0 || l1_entry_version(e) >= call->min_version;
}
