// SPDX-License-Identifier: MIT
/*
 * A value on its way into the tiers.
 *
 * Lifetimes are durations in Redis, counted there from the fill, and points of this node's clock in
 * L1. Both begin at the same fill, so L1 never outlives L2.
 */
#include "cache/value/draft.h"

#include "cache/value/lifetime.h"
#include "cache/value/packed.h"
#include "cache/space_l1.h"

void draft_set_lifetimes(struct draft *d, uint32_t own_soft_ms, uint32_t own_stale_ms,
                         uint64_t soft_noise, uint64_t stale_noise)
{
    const struct rules *rules = &d->space->rules;
    uint32_t rule_ms = d->absent ? rules->absent_ttl_ms : rules->soft_ttl_ms;
    d->soft_ms = lifetime_ms(own_soft_ms, rule_ms, rules->jitter_percent, soft_noise);
    d->stale_ms = lifetime_ms(d->absent ? NIGH_NONE : own_stale_ms, rules->stale_ms,
                              rules->jitter_percent, stale_noise);
}

void draft_begin_now(struct draft *d)
{
    uint64_t now_ns = clock_coarse_ns(&d->space->cache->clock);
    d->filled_ns = (int64_t)now_ns;
    d->born_ns = (int64_t)(d->asked_ns ? u64_min(d->asked_ns, now_ns) : now_ns);
}

/* ---- L1 ---- */

uint32_t draft_slots(const struct draft *d, uint16_t own[NIGH_TAGS_MAX], const uint16_t **ret)
{
    if (d->tag_count == 0 && d->confirmed)
        return l1_entry_groups(d->confirmed, ret);
    for (uint32_t i = 0; i < d->tag_count; i++)
        own[i] = hash_group_slot(WIRE_TAG, get_le64(d->tags + 8 * (size_t)i),
                                 d->space->cache->group_slots);
    *ret = own;
    return d->tag_count;
}

bool draft_knows_tags(const struct draft *d)
{
    const uint16_t *slots;
    return d->tag_count > 0 || !d->confirmed || l1_entry_groups(d->confirmed, &slots) == 0;
}

/* Returns when a lifetime that began at the fill ends; 0 if that is before this node's clock
 * began. */
static uint64_t ends_ns(const struct draft *d, uint64_t lifetime_ms)
{
    int64_t ends_ns = d->filled_ns + (int64_t)(lifetime_ms * NS_PER_MS);
    return ends_ns > 0 ? (uint64_t)ends_ns : 0;
}

struct l1_value draft_l1_value(const struct draft *d, uint16_t slots[NIGH_TAGS_MAX])
{
    const uint16_t *groups;
    uint32_t group_count = draft_slots(d, slots, &groups);
    return (struct l1_value){
        .bytes = d->bytes,
        .stamp = d->ticket,
        .born_ns = d->born_ns,
        .fresh_until_ns = ends_ns(d, d->soft_ms),
        .stale_until_ns = ends_ns(d, (uint64_t)d->soft_ms + d->stale_ms),
        .version = d->version,
        .groups = groups,
        .group_count = group_count,
        .flags = (d->absent ? L1_ABSENT : 0) | (d->refreshed ? L1_REFRESHED : 0),
    };
}

int draft_entry(const struct draft *d, struct l1_entry **ret)
{
    uint16_t slots[NIGH_TAGS_MAX];
    struct l1_value value = draft_l1_value(d, slots);
    struct l1 *l1 = space_l1(d->space);
    return d->passes ? l1_entry_create_loose(l1, &d->key, &value, d->shared, ret)
                     : l1_entry_create(l1, &d->key, &value, ret);
}

int draft_entry_stored(const struct draft *d, struct l1_entry **ret)
{
    uint16_t slots[NIGH_TAGS_MAX];
    struct l1_value value = draft_l1_value(d, slots);
    enum l1_store_result result;
    int rc = l1_entry_create_stored(space_l1(d->space), &d->key, &value, ret, &result);
    if (rc == 0)
        space_l1_count_store(d->space, result);
    return rc;
}

bool draft_within_limit(const struct draft *d)
{
    if (NIGH_LIKELY(d->bytes.len <= d->space->rules.value_max))
        return true;
    stats_count(&d->space->stats, STATS_L1_OVERSIZE);
    l1_note_fate(d->space->cache->l1, &d->key, L1_FATE_OVERSIZE, 0);
    return false;
}

/* ---- L2 ---- */

static uint32_t keep_ms(const struct draft *d)
{
    return d->absent ? 0 : d->space->rules.keep_ms;
}

/* Describe the envelope, but for its payload. */
static struct l2_envelope envelope_of(const struct draft *d)
{
    return (struct l2_envelope){
        .flags = (d->absent ? L2_ENVELOPE_ABSENT : 0) | (d->tag_count ? L2_ENVELOPE_TAGGED : 0),
        .name = cache_name_hash(d->space, &d->key),
        .home = d->home,
        .identity = d->position.identity,
        .sequence = d->position.sequence,
        .fill_id = d->token,
        .version = d->version,
        .server_time_ms = coherence_server_time_ms(d->space->cache->coherence),
        .soft_ms = d->soft_ms,
        .stale_ms = d->stale_ms,
        .keep_ms = keep_ms(d),
        .cost_us = d->cost_us,
        .groups = d->tags,
        .group_count = d->tag_count,
    };
}

bool draft_fits_l2(const struct draft *d)
{
    const struct l2_envelope e = {.group_count = d->tag_count, .payload = d->bytes};
    if (d->space->rules.invalidations_only || l2_takes(d->space->cache->l2, l2_envelope_size(&e)))
        return true;
    stats_count(&d->space->stats, STATS_L2_OVERSIZE);
    return false;
}

void *draft_envelope(const struct draft *d, size_t *ret_size)
{
    struct l2_envelope e = envelope_of(d);
    struct packed packed = packed_of(d->space, d->bytes);
    e.payload = packed.bytes;
    e.plain_len = packed.plain_len;
    size_t size = l2_envelope_size(&e);
    void *buffer = mem_alloc(d->space->cache->env.mem, NULL, size);
    if (buffer) {
        l2_envelope_encode(&e, buffer);
        *ret_size = size;
    }
    packed_free(d->space, &packed);
    return buffer;
}

uint32_t draft_hard_ms(const struct draft *d)
{
    return lifetime_hard_ms(d->soft_ms, d->stale_ms, keep_ms(d));
}

int draft_fill_l2(const struct draft *d, const struct l2_op *op)
{
    struct nigh *cache = d->space->cache;
    size_t size;
    void *envelope = draft_envelope(d, &size);
    if (!envelope)
        return NIGH_ENOMEM;
    uint8_t frame[COHERENCE_FILL_FRAME_MAX];
    struct l2_key key = cache_l2_key(d->space, d->key.data, d->key.len);
    uint32_t hard_ms = draft_hard_ms(d);
    struct l2_fill fill = {
        .token = d->token,
        .connection = d->connection,
        .version = d->version,
        .hard_ms = hard_ms,
        .envelope = bytes_of(envelope, size),
        .frame = coherence_fill_frame(cache->coherence, key.space, key.key, frame),
        .registration = coherence_register(cache->coherence, &d->space->registered, hard_ms),
    };
    int rc = l2_fill(cache->l2, &key, &fill, op);
    mem_free(cache->env.mem, NULL, envelope, size);
    return rc;
}

void draft_note_fills(struct nigh_space *space, const struct l2_answer *answer)
{
    coherence_registered(space->cache->coherence, &space->registered, answer);
    coherence_note(space->cache->coherence, answer);
}

void draft_count_fill(struct nigh_space *space, int status, enum l2_verdict verdict)
{
    enum stats_counter stored = verdict == L2_STORED ? STATS_L2_FILL : STATS_L2_FILL_REFUSED;
    stats_count(&space->stats, status != 0 ? STATS_L2_FILL_ERROR : stored);
}

void draft_note_filled(struct nigh_space *space, const struct l2_answer *answer)
{
    if (answer->status == 0)
        draft_note_fills(space, answer);
    draft_count_fill(space, answer->status, answer->verdict);
}
