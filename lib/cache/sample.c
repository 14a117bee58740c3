// SPDX-License-Identifier: MIT
/*
 * Hands requests of marked keys to whoever wants them.
 */
#include "cache/sample.h"

#include "cache/recording.h"
#include "cache/space_l1.h"
#include "cache/value/lookup.h"

static uint32_t wanted(const struct nigh *cache)
{
    return atomic_load_explicit(&cache->sample.wanted, memory_order_relaxed);
}

void sample_hit(struct nigh_space *space, struct l1_entry *e, uint32_t touched,
                enum nigh_trace_outcome outcome, uint64_t now)
{
    if (NIGH_UNLIKELY(touched & L1_TOUCHED_SAMPLED))
        l1_report_hit(e);
    if (!(touched & L1_TOUCHED_MARKED))
        return;
    /* Else the first read of a refreshed value is told, whether its key is marked or not. */
    if (NIGH_UNLIKELY(l1_entry_refreshed(e)) && !l1_note_read(space_l1(space), e))
        return;
    uint32_t by = wanted(space->cache);
    if (NIGH_UNLIKELY(by & SAMPLE_FOR_TRACE))
        recording_add_hit(space->cache->recording, space, e, outcome, now);
    if ((by & SAMPLE_FOR_CURVE) && !space_l1_apart(space))
        l1_curve_hit(space->cache->l1, e, now, !lookup_l2_has_values(space));
}

void sample_note_value(struct nigh_space *space, const struct l1_key *key,
                       struct sample_event event, const struct l1_value *value)
{
    struct nigh *cache = space->cache;
    if (!value)
        sample_note_marked(space, key, event);
    else if (wanted(cache) & SAMPLE_FOR_TRACE)
        recording_add_value(cache->recording, space, key, event, value);
}

void sample_note_group(struct nigh *cache, uint16_t slot, bool soft)
{
    if (NIGH_UNLIKELY(wanted(cache) & SAMPLE_FOR_TRACE))
        recording_add_group(cache->recording, slot, soft);
}

void sample_note_marked(struct nigh_space *space, const struct l1_key *key,
                        struct sample_event event)
{
    struct nigh *cache = space->cache;
    uint32_t by = wanted(cache);
    /* A probe (NIGH_L1_ONLY) counts if it misses as if it hits: the hit does not know its call. */
    bool misses = event.op == NIGH_TRACE_READ &&
                  (event.outcome == NIGH_TRACE_MISS || event.outcome == NIGH_TRACE_PROBE);
    if (misses && (by & SAMPLE_FOR_CURVE) && !space_l1_apart(space))
        l1_curve_miss(cache->l1, key);
    if (by & SAMPLE_FOR_TRACE)
        recording_add(cache->recording, space, key, event);
}
