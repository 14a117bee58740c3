// SPDX-License-Identifier: MIT
/*
 * FILL and LAND: the loader's answer into L2 (fenced by the token), into L1 (fenced by the ticket),
 * and to everyone who waits.
 *
 * A value without a version lands at once and its fill goes to L2 behind it: whatever becomes of
 * the fill, the value is right for L1 (rule 3). A value with a version waits for L2's verdict,
 * because "a newer version is there" must keep it out of L1 too.
 */
#include "cache/load/load.h"

#include "cache/load/fills.h"
#include "cache/sample.h"
#include "cache/latency.h"
#include "cache/value/draft.h"
#include "cache/value/freshness.h"
#include "cache/space_l1.h"

struct landing load_landing(const struct flight *f)
{
    const struct load *l = f->work;
    return (struct landing){
        .ticket = f->ticket,
        .outcome = f->outcome,
        .error = f->error,
        .entry = f->result,
        .tier = l->tier,
        .refreshed = l->call.flags & NIGH_REFRESH,
    };
}

enum load_next load_land_with(struct load *l, int outcome, struct l1_entry *entry,
                              enum nigh_tier tier)
{
    l->to_land = (struct landing){.outcome = outcome, .entry = entry, .tier = tier};
    return NEXT_LAND;
}

void load_land(struct load *l)
{
    struct flight *f = l->flight;
    struct landing landing = l->to_land;
    l->to_land.entry = NULL;
    load_release_lease(l);
    if (f->state == FLIGHT_LAND) { /* a load that overran: its flight has landed without it */
        if (landing.entry)
            l1_entry_unref(landing.entry);
        return;
    }
    f->outcome = landing.outcome;
    f->result = landing.entry;
    l->tier = landing.tier;
    flight_land(f);
}

/* Returns what to call the value that was found before the load: mostly stale, for which it was
 * loaded. But another call may have brought it while this one looked elsewhere; then it is what L1
 * would answer now. Not to who wants one that is loaded anew; nor if it was removed since; and what
 * L2 had was judged by its position there, which an entry does not tell. */
static int outcome_of_found(const struct load *l, const struct l1_entry *e)
{
    const struct nigh *cache = l->space->cache;
    struct moment moment = freshness_moment(l->space->cache);
    int outcome = verdict_outcome(freshness_verdict(cache, e, &moment), false,
                                  freshness_acceptable(e, &l->call, moment.now_ns));
    bool as_l1 = l->stale_tier == NIGH_TIER_L1 && !(l->call.flags & NIGH_REFRESH) &&
                 space_l1_still_has(l->space, &l->key, l1_entry_stamp(e));
    return outcome == NIGH_FRESH && !as_l1 ? NIGH_STALE : outcome;
}

enum load_next load_land_stale(struct load *l, int otherwise)
{
    struct l1_entry *e = l->stale;
    int outcome = e ? outcome_of_found(l, e) : NIGH_MISS;
    if (outcome == NIGH_MISS)
        return load_land_with(l, otherwise, NULL, NIGH_TIER_NONE);
    l->stale = NULL;
    return load_land_with(l, outcome, e, l->stale_tier);
}

bool load_key_failed(struct nigh_space *space, const struct l1_key *key, int *ret_error)
{
    struct nigh *cache = space->cache;
    return !failures_none(&cache->failures) &&
           failures_find(&cache->failures, key->hash, clock_now_ns(&cache->clock), ret_error);
}

bool load_failed_lately(struct load *l)
{
    int error;
    if ((l->call.flags & NIGH_REFRESH) || !load_key_failed(l->space, &l->key, &error))
        return false;
    stats_count(&l->space->stats, STATS_ERROR_SERVED);
    l->flight->error = error;
    return true;
}

/* ---- L2 ---- */

void load_replied(void *flight, struct l2_answer *answer)
{
    struct flight *f = flight;
    struct load *l = f->work;
    l->answer = answer;
    flight_post(f, FLIGHT_EV_REPLY);
    flight_unref(f);
}

void load_release_lease(struct load *l)
{
    struct nigh *cache = l->space->cache;
    if (l->lease != LOAD_LEASE_ASKED && l->lease != LOAD_LEASE_OURS)
        return;
    l->lease = LOAD_LEASE_NONE;
    if (atomic_load_explicit(&cache->l2_closed, memory_order_relaxed))
        return;
    leases_remove(&cache->leases, l); /* a load that overruns may still be listed */
    leases_give_back(l->space, &l->key, l->token);
}

static void end_lease(const struct load *l, const struct l2_answer *answer)
{
    leases_end_filled(l->space, &l->key, l->token, answer);
}

/* The `done` of a fill that the flight waits for. */
static void filled(void *flight, struct l2_answer *answer)
{
    end_lease(((struct flight *)flight)->work, answer);
    load_replied(flight, answer);
}

/* The `done` of a fill that nobody waits for. */
static void filled_behind(void *flight, struct l2_answer *answer)
{
    struct flight *f = flight;
    struct load *l = f->work;
    struct nigh *cache = l->space->cache;
    end_lease(l, answer);
    draft_note_filled(l->space, answer);
    l2_answer_free(answer);
    flight_unref(f);
    cache_note_answered(cache);
}

/* Whether L2 may have this answer. */
static bool may_fill(const struct load *l, const struct draft *d)
{
    return l->lease == LOAD_LEASE_OURS && draft_knows_tags(d) &&
           lookup_l2_usable(l->space, &l->key) &&
           !lookup_l2_covered(l->space, &l->key, d->tags, d->tag_count) && draft_fits_l2(d);
}

/* Send a fill by itself. False: it was refused. */
static bool fill_alone(struct load *l, const struct draft *d, bool wait)
{
    struct nigh *cache = l->space->cache;
    struct l2_op op = l2_op_of(cache_l2_deadline_ns(cache, NULL), wait ? filled : filled_behind,
                               l->flight);
    flight_ref(l->flight);
    if (!wait)
        cache_note_sent(cache);
    if (draft_fill_l2(d, &op) == 0)
        return true;
    stats_count(&l->space->stats, STATS_L2_FILL_ERROR);
    flight_unref(l->flight);
    if (!wait)
        cache_note_answered(cache);
    return false;
}

/* Send the fill, if L2 may have it. True: the flight waits for the verdict in state FILL. */
static bool fill_l2(struct load *l, const struct draft *d)
{
    if (!may_fill(l, d))
        return false;
    bool wait = d->version != 0 && l->flight->state != FLIGHT_LAND;
    if (wait)
        flight_enter(l->flight, FLIGHT_FILL);
    l->lease = LOAD_LEASE_SPENT;
    if (fills_take(l, d, wait) || fill_alone(l, d, wait))
        return wait;
    l->lease = LOAD_LEASE_OURS;
    return false;
}

/* ---- L1 ---- */

static enum load_next land_fresh(struct load *l)
{
    struct l1_entry *e = l->fresh;
    l->fresh = NULL;
    int outcome = l->fill.kind == FILL_ABSENT ? NIGH_ABSENT : NIGH_FRESH;
    return load_land_with(l, outcome, e, NIGH_TIER_LOADER);
}

enum load_next load_filled(struct load *l, const struct l2_answer *answer)
{
    draft_note_filled(l->space, answer);
    if (answer->status != 0 || answer->verdict == L2_STORED || answer->verdict == L2_CROWDED)
        lookup_store(l->space, &l->key, l->fresh);
    return land_fresh(l);
}

/* ---- the answer ---- */

enum load_next load_fail(struct load *l)
{
    struct nigh_space *space = l->space;
    stats_count(&space->stats, STATS_LOAD_FAILED);
    sample_note(space, &l->key, (struct sample_event){NIGH_TRACE_LOAD, NIGH_TRACE_FAILED, 0, 0});
    if (l->flight->state != FLIGHT_LAND)
        l->flight->error = l->fill.error;
    l1_note_fate(space->cache->l1, &l->key, L1_FATE_FAILED, 0);
    failures_note(&space->cache->failures, l->key.hash, l->fill.error,
                  clock_now_ns(&space->cache->clock), space->rules.error_ttl_ms,
                  space->rules.error_ttl_max_ms);
    return load_land_stale(l, NIGH_ELOADER);
}

/* Describe the answer. Its lifetimes are spread so that keys do not expire in step, by key and
 * time: to draw a random number would be to write where all misses do. The value may be as old as
 * the load's start. */
static void describe(const struct load *l, uint64_t now_ns, struct draft *d)
{
    const struct nigh_fill *fill = &l->fill;
    bool confirms = fill->kind == FILL_NOT_MODIFIED;
    uint64_t noise = (l->key.hash ^ l->began_ns) * HASH_GOLDEN;
    *d = (struct draft){
        .space = l->space,
        .key = l->key,
        .bytes = fill_payload(fill),
        .absent = fill->kind == FILL_ABSENT,
        .version = confirms && !fill->version ? l1_entry_version(fill->previous) : fill->version,
        .tags = tags_hashes(&fill->tags),
        .tag_count = fill->tags.count,
        .confirmed = confirms ? fill->previous : NULL,
        .refreshed = l->refreshes,
        .asked_ns = l->began_ns,
        .cost_us = (uint32_t)u64_min((now_ns - l->began_ns) / 1000, UINT32_MAX),
        .ticket = l->flight->ticket,
        .position = l->position,
        .home = l->home,
        .token = l->token,
        .connection = l->connection,
    };
    draft_set_lifetimes(d, fill->soft_ttl_ms, fill->stale_ms, noise, noise * HASH_GOLDEN);
    draft_begin_now(d);
}

/* Whether a load that overran its deadline was overtaken: a later one, which may have read a newer
 * value, has left its answer in L1. Both stamps are above every floor, so nothing else tells. */
static NIGH_OUTLINED bool superseded(const struct load *l, const struct draft *d)
{
    rcu_enter();
    struct l1_entry *e = space_l1_find_rcu(l->space, &l->key);
    bool later = e && l1_entry_born_ns(e) > d->born_ns;
    rcu_leave();
    return later;
}

/* Whether the answer may be kept at all. */
static bool storable(const struct load *l, const struct draft *d)
{
    return draft_within_limit(d) && l->fill.kind != FILL_UNCACHEABLE &&
           !(l->call.flags & NIGH_NO_STORE) && (uint64_t)d->soft_ms + d->stale_ms > 0;
}

static NIGH_OUTLINED void note_marked_load(const struct draft *d, bool stores)
{
    uint16_t slots[NIGH_TAGS_MAX];
    struct l1_value value = draft_l1_value(d, slots);
    sample_note_value(d->space, &d->key, (struct sample_event){
        NIGH_TRACE_LOAD, d->absent ? NIGH_TRACE_ABSENT : NIGH_TRACE_FRESH, (uint32_t)d->bytes.len,
        d->cost_us}, stores ? &value : NULL);
}

enum load_next load_fill(struct load *l)
{
    uint64_t now_ns = clock_now_ns(&l->space->cache->clock);
    bool overran = now_ns > l->flight->deadline_ns;
    uint64_t took_ns = now_ns - u64_min(now_ns, l->began_ns);
    latency_note(l->space, STATS_LATENCY_LOAD, took_ns);
    USDT(load, l->key.data, l->key.len, took_ns);
    struct draft d;
    if (NIGH_UNLIKELY(overran))
        stats_count(&l->space->stats, STATS_LOAD_OVERRUN);
    if (l->fill.kind == FILL_ERROR)
        return load_fail(l);
    failures_clear(&l->space->cache->failures, l->key.hash);
    describe(l, now_ns, &d);
    bool stores = storable(l, &d) && !(overran && superseded(l, &d));
    if (sample_takes(l->space, l->key.hash))
        note_marked_load(&d, stores);
    bool at_once = stores && !l->token; /* L2 need not be told before */
    int rc = at_once ? draft_entry_stored(&d, &l->fresh) : draft_entry(&d, &l->fresh);
    if (rc != 0)
        return load_land_stale(l, rc);
    if (stores && !at_once) {
        if (fill_l2(l, &d))
            return NEXT_REST;
        lookup_store(l->space, &l->key, l->fresh);
    }
    return land_fresh(l);
}
