// SPDX-License-Identifier: MIT
/*
 * FILL and LAND: the loader's answer into L2 (fenced by the token), into L1 (fenced by the ticket),
 * and to everyone who waits.
 *
 * A value without a version lands at once and its fill goes to L2 behind it: whatever becomes of
 * the fill, the value is right for L1 (rule 3). A value with a version waits for L2's verdict,
 * because "a newer version is there" must keep it out of L1 too.
 */
#include "cache/load.h"

#include "cache/freshness.h"
#include "cache/lifetime.h"

void load_land(struct load *l, int outcome, struct l1_entry *result, enum nigh_tier tier)
{
    struct flight *f = l->flight;
    load_release_lease(l);
    if (f->state == FLIGHT_LAND) { /* a load that overran: its flight has landed without it */
        if (result)
            l1_entry_unref(result);
        return;
    }
    f->outcome = outcome;
    f->result = result;
    l->tier = tier;
    flight_land(f);
}

void load_land_stale(struct load *l, int otherwise)
{
    struct l1_entry *e = l->stale;
    struct moment moment = freshness_moment(l->space->cache);
    if (e && freshness_of(l->space->cache, e, &moment) != FRESHNESS_GONE &&
        freshness_acceptable(e, &l->call, moment.now_ns)) {
        l->stale = NULL;
        load_land(l, NIGH_STALE, e, l->stale_tier);
    } else {
        load_land(l, otherwise, NULL, NIGH_TIER_NONE);
    }
}

/* ---- L2 ---- */

void load_release_lease(struct load *l)
{
    struct nigh *cache = l->space->cache;
    if (l->token && !atomic_load_explicit(&cache->l2_closed, memory_order_relaxed)) {
        leases_remove(&cache->leases, l); /* a load that overruns may still be listed */
        leases_give_back(l->space, &l->key, l->token);
    }
    l->token = 0;
}

static void count_fill(struct nigh_space *space, const struct l2_answer *answer)
{
    coherence_registered(space->cache->coherence, &space->registered, answer);
    if (answer->status != 0)
        stats_count(&space->stats, STATS_L2_FILL_ERROR);
    else if (answer->verdict == L2_STORED)
        stats_count(&space->stats, STATS_L2_FILL);
    else
        stats_count(&space->stats, STATS_L2_FILL_REFUSED);
}

/* A fill drops its lease, unless it was lost, or comes too late for its connection. */
static void drop_lease(const struct load *l, const struct l2_answer *answer)
{
    if (answer->status == NIGH_EOFFLINE || answer->status == NIGH_ETIMEDOUT)
        leases_give_back(l->space, &l->key, l->fill_token);
}

/* done of a fill that the flight waits for. */
static void filled(void *flight, struct l2_answer *answer)
{
    drop_lease(((struct flight *)flight)->work, answer);
    load_replied(flight, answer);
}

/* done of a fill that nobody waits for. */
static void filled_behind(void *flight, struct l2_answer *answer)
{
    struct flight *f = flight;
    struct load *l = f->work;
    struct nigh *cache = l->space->cache;
    drop_lease(l, answer);
    count_fill(l->space, answer);
    if (answer->status == 0)
        coherence_note(cache->coherence, answer);
    l2_answer_free(answer);
    flight_unref(f);
    cache_note_answered(cache);
}

static struct l2_envelope envelope_of(const struct load *l, uint32_t soft_ms, uint32_t stale_ms)
{
    const struct nigh_fill *fill = &l->fill;
    bool absent = fill->kind == FILL_ABSENT;
    uint64_t cost_us = (clock_now_ns(&l->space->cache->clock) - l->began_ns) / 1000;
    return (struct l2_envelope){
        .name = cache_name_hash(l->space, &l->key),
        .flags = (absent ? L2_ENVELOPE_ABSENT : 0) | (fill->group_count ? L2_ENVELOPE_TAGGED : 0),
        .home = l->home,
        .identity = l->position.identity,
        .sequence = l->position.sequence,
        .fill_id = l->token,
        .version = fill->version,
        .server_time_ms = coherence_server_time_ms(l->space->cache->coherence),
        .soft_ms = soft_ms,
        .stale_ms = stale_ms,
        .keep_ms = absent ? 0 : l->space->rules.keep_ms,
        .cost_us = (uint32_t)u64_min(cost_us, UINT32_MAX),
        .groups = fill->groups,
        .group_count = fill->group_count,
        .payload = fill_payload(fill),
    };
}

/* Send the fill. False: it could not be sent. */
static bool send_fill(struct load *l, const struct l2_envelope *e, const struct l2_op *op)
{
    struct nigh *cache = l->space->cache;
    size_t size = l2_envelope_size(e);
    void *buffer = mem_alloc(cache->env.mem, NULL, size);
    if (!buffer)
        return false;
    l2_envelope_encode(e, buffer);
    uint8_t frame[COHERENCE_FILL_FRAME_MAX];
    struct l2_key key = cache_l2_key(l->space, l->key.data, l->key.len);
    struct l2_fill fill = {
        .token = l->token,
        .connection = l->connection,
        .version = e->version,
        .hard_ms = lifetime_hard_ms(e->soft_ms, e->stale_ms, e->keep_ms),
        .envelope = bytes_of(buffer, size),
        .frame = coherence_fill_frame(cache->coherence, key.space, key.key, frame),
    };
    fill.registration =
        coherence_register(cache->coherence, &l->space->registered, fill.hard_ms);
    l->fill_token = l->token;
    int rc = l2_fill(cache->l2, &key, &fill, op);
    mem_free(cache->env.mem, NULL, buffer, size);
    if (rc == 0)
        l->token = 0; /* the fill drops the lease */
    return rc == 0;
}

/* Whether L2 may have this answer. */
static bool may_fill(const struct load *l)
{
    const struct nigh_fill *fill = &l->fill;
    if (!l->token || !lookup_l2_usable(l->space, &l->key))
        return false;
    const uint16_t *groups;
    bool tags_unknown = fill->kind == FILL_NOT_MODIFIED && fill->group_count == 0 &&
                        l1_entry_groups(fill->previous, &groups) > 0;
    return !tags_unknown &&
           !coherence_queued_covers(l->space->cache->coherence,
                                    bytes_of(l->space->name, l->space->name_len),
                                    bytes_of(l->key.data, l->key.len), fill->groups,
                                    fill->group_count);
}

/* True: the flight waits for the verdict in state FILL. */
static bool fill_l2(struct load *l, uint32_t soft_ms, uint32_t stale_ms)
{
    struct nigh *cache = l->space->cache;
    if (!may_fill(l))
        return false;
    struct l2_envelope e = envelope_of(l, soft_ms, stale_ms);
    if (!l2_takes(cache->l2, l2_envelope_size(&e))) {
        stats_count(&l->space->stats, STATS_L2_OVERSIZE);
        return false;
    }
    bool wait = e.version != 0 && l->flight->state != FLIGHT_LAND;
    struct l2_op op = l2_op_of(clock_deadline_ns(&cache->clock, cache->l2_deadline_ms),
                               wait ? filled : filled_behind, l->flight);
    flight_ref(l->flight);
    if (wait)
        flight_enter(l->flight, FLIGHT_FILL);
    else
        cache_note_sent(cache);
    if (send_fill(l, &e, &op))
        return wait;
    stats_count(&l->space->stats, STATS_L2_FILL_ERROR);
    flight_unref(l->flight);
    if (!wait)
        cache_note_answered(cache);
    return false;
}

/* ---- L1 ---- */

/* Slots of the answer's tags: those it set, or those of the previous value it confirmed. */
static uint32_t slots_of(const struct load *l, uint16_t own[NIGH_TAGS_MAX], const uint16_t **ret)
{
    const struct nigh_fill *fill = &l->fill;
    if (fill->kind == FILL_NOT_MODIFIED && fill->group_count == 0)
        return l1_entry_groups(fill->previous, ret);
    for (uint32_t i = 0; i < fill->group_count; i++)
        own[i] = hash_group_slot(WIRE_TAG, get_le64(fill->groups + 8 * (size_t)i),
                                 l->space->cache->group_slots);
    *ret = own;
    return fill->group_count;
}

static int make_entry(struct load *l, uint32_t soft_ms, uint32_t stale_ms)
{
    struct nigh *cache = l->space->cache;
    uint16_t own[NIGH_TAGS_MAX];
    const uint16_t *slots;
    uint32_t slot_count = slots_of(l, own, &slots);
    uint64_t now_ns = clock_coarse_ns(&cache->clock);
    struct l1_value value = {
        .bytes = fill_payload(&l->fill),
        .stamp = l->flight->ticket,
        .born_ns = (int64_t)u64_min(l->began_ns, now_ns), /* it may be as old as the load's start */
        .fresh_until_ns = now_ns + soft_ms * NS_PER_MS,
        .stale_until_ns = now_ns + ((uint64_t)soft_ms + stale_ms) * NS_PER_MS,
        .version = l->fill.version,
        .groups = slots,
        .group_count = slot_count,
        .flags = l->fill.kind == FILL_ABSENT ? L1_ABSENT : 0,
    };
    return l1_entry_create(cache->l1, &l->key, &value, &l->fresh);
}

static void land_fresh(struct load *l)
{
    struct l1_entry *e = l->fresh;
    l->fresh = NULL;
    load_land(l, l->fill.kind == FILL_ABSENT ? NIGH_ABSENT : NIGH_FRESH, e, NIGH_TIER_LOADER);
}

void load_filled(struct load *l)
{
    struct l2_answer *answer = l->answer;
    l->answer = NULL;
    count_fill(l->space, answer);
    if (answer->status == 0)
        coherence_note(l->space->cache->coherence, answer);
    if (answer->status != 0 || answer->verdict == L2_STORED || answer->verdict == L2_CROWDED)
        lookup_store(l->space, &l->key, l->fresh);
    l2_answer_free(answer);
    land_fresh(l);
}

/* ---- the answer ---- */

void load_fail(struct load *l)
{
    struct nigh_space *space = l->space;
    stats_count(&space->stats, STATS_LOAD_FAILED);
    if (l->flight->state != FLIGHT_LAND)
        l->flight->error = l->fill.error;
    failures_note(&space->cache->failures, l->key.hash, l->fill.error,
                  clock_now_ns(&space->cache->clock), space->rules.error_ttl_ms,
                  space->rules.error_ttl_max_ms);
    load_land_stale(l, NIGH_ELOADER);
}

/* Lifetimes of the answer: its own, or the space's, spread so that keys do not expire in step. */
static void lifetimes(const struct load *l, uint32_t *ret_soft_ms, uint32_t *ret_stale_ms)
{
    const struct rules *rules = &l->space->rules;
    const struct nigh_fill *fill = &l->fill;
    bool absent = fill->kind == FILL_ABSENT;
    uint32_t rule_ms = absent ? rules->absent_ttl_ms : rules->soft_ttl_ms;
    struct random *random = l->space->cache->env.random;
    *ret_soft_ms = lifetime_ms(fill->soft_ttl_ms, rule_ms, rules->jitter_percent,
                               random_below(random, UINT64_MAX));
    *ret_stale_ms = lifetime_ms(absent ? NIGH_NONE : fill->stale_ms, rules->stale_ms,
                                rules->jitter_percent, random_below(random, UINT64_MAX));
}

/* Whether a load that overran its deadline was overtaken: a later one, which may have read a newer
 * value, has left its answer in L1. Both stamps are above every floor, so nothing else tells. */
static bool superseded(struct load *l)
{
    struct nigh *cache = l->space->cache;
    if (clock_now_ns(&cache->clock) <= l->flight->deadline_ns)
        return false;
    rcu_enter();
    struct l1_entry *e = l1_find_rcu(cache->l1, &l->key);
    bool later = e && l1_entry_born_ns(e) > l1_entry_born_ns(l->fresh);
    rcu_leave();
    return later;
}

/* Whether the answer may be kept at all. */
static bool storable(struct load *l, uint32_t soft_ms, uint32_t stale_ms)
{
    struct bytes payload = fill_payload(&l->fill);
    if (payload.len > l->space->rules.value_max) {
        stats_count(&l->space->stats, STATS_L1_OVERSIZE);
        return false;
    }
    return l->fill.kind != FILL_UNCACHEABLE && !(l->call.flags & NIGH_NO_STORE) &&
           (uint64_t)soft_ms + stale_ms > 0;
}

void load_finish(struct load *l)
{
    uint32_t soft_ms;
    uint32_t stale_ms;
    if (clock_now_ns(&l->space->cache->clock) > l->flight->deadline_ns)
        stats_count(&l->space->stats, STATS_LOAD_OVERRUN);
    if (l->fill.kind == FILL_ERROR) {
        load_fail(l);
        return;
    }
    if (l->fill.kind == FILL_NOT_MODIFIED && l->fill.version == 0)
        l->fill.version = l1_entry_version(l->fill.previous);
    failures_clear(&l->space->cache->failures, l->key.hash);
    lifetimes(l, &soft_ms, &stale_ms);
    int rc = make_entry(l, soft_ms, stale_ms);
    if (rc != 0) {
        load_land_stale(l, rc);
        return;
    }
    if (storable(l, soft_ms, stale_ms) && !superseded(l)) {
        if (fill_l2(l, soft_ms, stale_ms))
            return;
        lookup_store(l->space, &l->key, l->fresh);
    }
    land_fresh(l);
}
