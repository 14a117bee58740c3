// SPDX-License-Identifier: MIT
/*
 * Looking at every tier for a key, and leaving no trace.
 *
 * The looks are those of a read (find, judge, look up), but nothing is counted, noted for the
 * policy, stored, joined or leased; the value of L2 is judged in memory that is not L1's. They are
 * made one after the other: the whole is no snapshot.
 */
#include <stdlib.h>
#include <string.h>

#include "cache/caller.h"
#include "cache/inspect/explain.h"
#include "cache/load/leases.h"
#include "cache/say.h"
#include "cache/space_l1.h"
#include "cache/value/lookup.h"

/* ---- L1 ---- */

static int64_t left_ns(uint64_t until_ns, uint64_t now_ns)
{
    return (int64_t)(until_ns - now_ns);
}

/* Describe an entry, of L1 or made of what L2 had, but for how it is judged. */
static void take_entry(const struct l1_entry *e, uint64_t now_ns, struct explain_value *v)
{
    const uint16_t *slots;
    v->present = true;
    v->absent = l1_entry_absent(e);
    v->len = l1_entry_value(e).len;
    v->version = l1_entry_version(e);
    v->has_times = true;
    v->age_ns = (int64_t)now_ns - l1_entry_born_ns(e);
    v->fresh_ns = left_ns(l1_entry_fresh_until_ns(e), now_ns);
    v->stale_ns = left_ns(l1_entry_stale_until_ns(e), now_ns);
    v->tag_count = l1_entry_groups(e, &slots);
}

/* Tells how a value stands to the floor of one group. */
static enum l1_standing standing_to(const struct l1 *l1, uint16_t slot, uint64_t stamp)
{
    uint64_t any, hard;
    l1_group_floors(l1, slot, &any, &hard);
    return stamp < hard ? L1_BELOW_HARD : stamp < any ? L1_BELOW_SOFT : L1_CURRENT;
}

/* Copy slots of an entry's tags, as many as are shown: first those that outdate it. */
static uint32_t tags_of(const struct l1 *l1, const struct l1_entry *e,
                        uint16_t ret[EXPLAIN_FLOORS_MAX])
{
    static const enum l1_standing order[] = {L1_BELOW_HARD, L1_BELOW_SOFT, L1_CURRENT};
    const uint16_t *slots;
    uint32_t count = l1_entry_groups(e, &slots), shown = 0;
    for (size_t turn = 0; turn < ARRAY_COUNT(order); turn++)
        for (uint32_t i = 0; i < count && shown < EXPLAIN_FLOORS_MAX - 2; i++)
            if (standing_to(l1, slots[i], l1_entry_stamp(e)) == order[turn])
                ret[shown++] = slots[i];
    return shown;
}

static void look_in_l1(struct explanation *x, uint16_t tags[EXPLAIN_FLOORS_MAX],
                       uint32_t *ret_tags)
{
    struct nigh *cache = x->space->cache;
    struct explain_value *v = &x->l1;
    uint64_t now_ns = clock_coarse_ns(&cache->clock);
    struct moment moment = {now_ns, freshness_trusted(cache, now_ns)}; /* marks no doubt */
    *ret_tags = 0;
    rcu_enter();
    const struct l1_entry *e = space_l1_find_rcu(x->space, &x->key);
    if (e) {
        take_entry(e, moment.now_ns, v);
        *ret_tags = tags_of(cache->l1, e, tags);
        v->stamp = l1_entry_stamp(e);
        v->floors = l1_judge(cache->l1, e);
        v->lifetime = freshness_lifetime(e, moment.now_ns, LIFETIME_OVER);
        v->trust = freshness_trust(cache, &moment, e);
        v->verdict = freshness_verdict(cache, e, &moment);
    }
    rcu_leave();
    v->outcome = v->present ? verdict_outcome(v->verdict, v->absent, true) : NIGH_MISS;
}

/* ---- floors ---- */

static void add_floor(struct explanation *x, enum explain_floor_of of, uint16_t slot)
{
    struct nigh *cache = x->space->cache;
    struct explain_floor *f = &x->floors[x->floor_count++];
    *f = (struct explain_floor){.of = of, .slot = slot};
    l1_group_floors(cache->l1, slot, &f->any, &f->hard);
    f->covers = x->l1.present && x->l1.stamp < f->any;
    f->covers_hard = x->l1.present && x->l1.stamp < f->hard;
    f->is_known = bumps_find(&cache->bumps, slot, f->covers_hard ? f->hard : f->any, &f->bump);
    if (!f->is_known)
        return;
    f->ago_ns = x->now_ns - u64_min(x->now_ns, f->bump.at_ns);
    if (of == FLOOR_SPACE)
        f->own = bytes_equal(bytes_of(f->bump.name, f->bump.name_len),
                             bytes_of(x->space->name, x->space->name_len)) ? OWN_YES : OWN_NO;
}

/* Tells whether one of the tags that Redis has of the key raised a floor. `same`: the value that
 * the floor is over has the same ones. */
static enum explain_own own_tag(const struct explain_floor *f, const struct l2_envelope *e,
                                uint32_t slots, bool same)
{
    enum explain_own own = OWN_UNKNOWN;
    for (uint32_t i = 0; i < e->group_count; i++) {
        uint64_t hash = get_le64(e->groups + 8 * (size_t)i);
        if (hash == f->bump.hash)
            return OWN_YES;
        if (same && hash_group_slot(WIRE_TAG, hash, slots) == f->slot)
            own = OWN_NO;
    }
    return own;
}

#define SAME_NS NS_PER_S /* ages in L1 and in Redis differ by less, of the same load */

/* Whether L1 has the same, as far as age and length tell, of what Redis has. */
static bool has_same(const struct explanation *x, const struct l2_envelope *e)
{
    const struct explain_value *a = &x->l1, *b = &x->l2;
    uint64_t now_ms = coherence_server_time_ms(x->space->cache->coherence);
    int64_t age_ns = ((int64_t)now_ms - (int64_t)e->server_time_ms) * (int64_t)NS_PER_MS;
    return now_ms != 0 && a->absent == b->absent && a->len == b->len && a->version == b->version &&
           llabs(a->age_ns - age_ns) < (int64_t)SAME_NS;
}

/* Tells whose the tags are that were invalidated, by what Redis has. */
static void look_at_tags(struct explanation *x, const struct l2_envelope *e)
{
    bool same = !x->l1.present || has_same(x, e);
    for (uint32_t i = 0; i < x->floor_count; i++) {
        struct explain_floor *f = &x->floors[i];
        if (f->of == FLOOR_TAG && f->is_known)
            f->own = own_tag(f, e, x->space->cache->group_slots, same);
    }
}

/* Adds the tags of what Redis has, as many as are told. */
static void add_tags(struct explanation *x, const struct l2_envelope *e)
{
    uint32_t slots = x->space->cache->group_slots;
    for (uint32_t i = 0; i < e->group_count && x->floor_count < EXPLAIN_FLOORS_MAX; i++)
        add_floor(x, FLOOR_TAG,
                  hash_group_slot(WIRE_TAG, get_le64(e->groups + 8 * (size_t)i), slots));
}

static void look_at_floors(struct explanation *x, const uint16_t *tags, uint32_t tag_count)
{
    for (uint32_t i = 0; i < tag_count; i++)
        add_floor(x, FLOOR_TAG, tags[i]);
    add_floor(x, FLOOR_SPACE, (uint16_t)x->space->l1.group_slot);
    add_floor(x, FLOOR_ALL, GROUP_SLOT_ALL);
    x->key_floor = l1_key_floor(x->space->cache->l1, &x->key);
}

/* ---- what has become of others ---- */

static void look_at_room(struct explanation *x)
{
    struct nigh_space *space = x->space;
    x->shed = stats_read(&space->stats, STATS_L1_SHED);
    x->evicted = stats_read(&space->stats, STATS_L1_EVICT);
    x->evicted -= u64_min(x->evicted, x->shed);
    x->refused = stats_read(&space->stats, STATS_L1_REFUSED_FULL);
    x->evicted_1m = trend_lately(&space->trend, TREND_EVICTED);
    x->refused_1m = trend_lately(&space->trend, TREND_REFUSED);
    room_look(space, &x->room);
    x->room_is_wanted = room_is_wanted(space);
    x->room_wanted_ago_ns = room_wanted_ago_ns(space);
    x->evicted_age_ns =
        atomic_load_explicit(&space->trend.evicted_age_ns, memory_order_relaxed);
}

/* ---- loads ---- */

static void look_at_loads(struct explanation *x)
{
    struct nigh *cache = x->space->cache;
    uint64_t now_ns = clock_now_ns(&cache->clock);
    struct flight_key key = cache_flight_key(x->space, &x->key);
    x->flies = flight_look(cache->flights, &key, &x->flight);
    if (x->flies)
        x->flight_ns = left_ns(x->flight.deadline_ns, now_ns);
    x->failed_ns = failures_left_ns(&cache->failures, x->key.hash, now_ns, &x->failures);
    if (x->failed_ns)
        failures_find(&cache->failures, x->key.hash, now_ns, &x->load_error);
}

/* ---- the surroundings ---- */

#define HEARD_SOON_MS 1000u /* what is told with the end of doubt came by half a second behind it */

static void look_back(struct explanation *x)
{
    struct coherence_past past;
    coherence_past_read(x->space->cache->coherence, &past);
    x->doubt_ago_ns = past.doubt.ago_ms * NS_PER_MS;
    x->heard_ns = (u64_max(past.doubt.heard_ms, HEARD_SOON_MS) + COHERENCE_LATE_MS) * NS_PER_MS;
    x->late = past.late;
}

static void look_around(struct explanation *x)
{
    struct nigh *cache = x->space->cache;
    uint64_t now_ns = clock_coarse_ns(&cache->clock);
    uint64_t until_ns = freshness_trusted_until(cache);
    x->now_ns = now_ns;
    x->wall_ns = say_wall_ns();
    x->position = l1_ticket(cache->l1);
    x->trusted = now_ns < until_ns;
    x->never_trusted = until_ns == 0;
    x->trust_ns = until_ns == UINT64_MAX ? INT64_MAX : left_ns(until_ns, now_ns);
    x->closing = cache_is_closing(cache);
    if (!cache->l2)
        return;
    look_back(x);
    coherence_gauges_read(cache->coherence, &x->coherence);
    l2_gauges_read(cache->l2, &x->link);
    l2_problem_read(cache->l2, &x->problem);
    x->crowded = coherence_is_crowded(cache->coherence, &x->space->registered);
}

/* ---- L2 ---- */

static enum explain_l2 may_ask(const struct explanation *x)
{
    const struct nigh *cache = x->space->cache;
    if (!cache->l2)
        return EXPLAIN_L2_NONE;
    if (x->space->rules.invalidations_only)
        return EXPLAIN_L2_OFF;
    if (!l2_connected(cache->l2))
        return EXPLAIN_L2_AWAY;
    if (lookup_l2_covered(x->space, &x->key, NULL, 0))
        return EXPLAIN_L2_COVERED;
    return x->link.breaker ? EXPLAIN_L2_BREAKER : EXPLAIN_L2_LOOKED; /* no probe for this */
}

/* Tell why something does not decode. */
static void take_bad(struct explanation *x, struct bytes b)
{
    x->l2_bad_len = b.len;
    x->l2_bad = !l2_envelope_begins(b)   ? EXPLAIN_FOREIGN
                : l2_envelope_foreign(b) ? EXPLAIN_FORMAT
                                         : EXPLAIN_DAMAGED;
}

/* Tell how a read judges what Redis has. */
static void take_judged(struct explanation *x, const struct l2_peeked *p, uint64_t home,
                        uint64_t ticket)
{
    struct explain_value *v = &x->l2;
    const struct lookup_of of = {p->verdict, p->value, home, false, true, NULL};
    struct l2_envelope e;
    struct lookup found;
    if (!l2_envelope_decode(p->value, cache_name_hash(x->space, &x->key), &e)) {
        take_bad(x, p->value);
        return;
    }
    x->l2_error = lookup_judge(x->space, &x->key, ticket, &of, &found);
    if (x->l2_error != 0)
        return;
    x->l2_bad = found.undone ? EXPLAIN_PACKED : EXPLAIN_GOOD;
    v->present = true;
    v->absent = e.flags & L2_ENVELOPE_ABSENT;
    v->len = e.plain_len ? e.plain_len : e.payload.len;
    v->packed_len = e.plain_len ? e.payload.len : 0;
    v->codec = e.plain_len ? *(const uint8_t *)e.payload.data : CODEC_NONE;
    v->version = e.version;
    v->tag_count = e.group_count;
    if (!x->l1.present)
        add_tags(x, &e);
    if (found.entry) {
        take_entry(found.entry, clock_coarse_ns(&x->space->cache->clock), v);
        l1_entry_unref(found.entry);
    }
    v->lifetime = found.lifetime;
    v->trust = found.trust;
    v->floors = found.entry ? found.floors : L1_BELOW_HARD;
    v->verdict = found.verdict;
    v->stamp = e.sequence;
    v->hard_ms = p->value_ms;
    v->outcome = verdict_outcome(v->verdict, v->absent, true);
    look_at_tags(x, &e);
    x->cost_us = e.cost_us;
}

static void take_answer(struct explanation *x, struct l2_answer *answer, uint64_t ticket)
{
    struct l2_peeked p = l2_peeked(answer);
    x->lease_ms = p.token ? p.lease_ms : 0;
    x->lease_token = p.token;
    x->awaited = p.awaited;
    x->lease_is_ours = p.token && (leases_has(&x->space->cache->leases, p.token) ||
                                  tickets_has(x->space, &x->key, p.token));
    if (p.verdict == L2_VALUE)
        take_judged(x, &p, answer->home, ticket);
}

static void ask_l2(struct explanation *x)
{
    struct nigh *cache = x->space->cache;
    struct l2_key key = cache_l2_key(x->space, x->key.data, x->key.len);
    struct l2_sync sync;
    uint64_t ticket = l1_ticket(cache->l1);
    struct l2_op op = l2_sync_op(&sync, &cache->env, cache_l2_deadline_ns(cache, NULL));
    x->l2_error = l2_peek(cache->l2, &key, &op);
    if (x->l2_error == 0) {
        struct l2_answer *answer = l2_sync_wait(&sync);
        x->l2_error = answer->status;
        if (answer->status == 0)
            take_answer(x, answer, ticket);
        l2_answer_free(answer);
    }
    if (x->l2_error != 0)
        x->l2_state = EXPLAIN_L2_ERROR;
}

static void look_in_l2(struct explanation *x)
{
    struct caller caller;
    x->l2_state = may_ask(x);
    x->l2.outcome = NIGH_MISS;
    if (x->l2_state != EXPLAIN_L2_LOOKED)
        return;
    caller_enter(&caller);
    ask_l2(x);
    drive_flush(x->space->cache);
    caller_leave(&caller);
}

/* ---- what calls would give ---- */

/* Returns what a read gets of L2: an outcome or an error. */
static int outcome_of_l2(const struct explanation *x)
{
    switch (x->l2_state) {
    case EXPLAIN_L2_AWAY:
    case EXPLAIN_L2_BREAKER: return NIGH_EOFFLINE;
    case EXPLAIN_L2_ERROR: return x->l2_error;
    default: return x->l2.outcome;
    }
}

static void expect_fetch(struct explanation *x)
{
    const struct explain_value *found = x->l1.outcome != NIGH_MISS ? &x->l1 : &x->l2;
    bool refreshes = found->verdict == VERDICT_STALE && x->space->loader && !x->failed_ns &&
                     !x->closing;
    const char *behind = refreshes ? "refreshes it behind the call" : "";
    x->fetch = NIGH_PENDING;
    if (x->l1.outcome != NIGH_MISS) {
        x->fetch = x->l1.outcome;
        x->fetch_does = behind;
    } else if (x->flies) {
        x->fetch_does = "waits for the load that is under way in this process";
    } else if (x->l2.outcome != NIGH_MISS) {
        x->fetch = x->l2.outcome;
        x->fetch_does = behind;
    } else if (x->failed_ns) {
        x->fetch = NIGH_ELOADER;
        x->fetch_does = "does not call the loader";
    } else if (!x->space->loader) {
        x->fetch = NIGH_MISS;
        x->fetch_does = "has none to call: the space has no loader";
    } else if (x->lease_ms) {
        x->fetch_does = "waits for whoever has the right to load it, then loads";
    } else {
        x->fetch_does = "calls the loader";
    }
}

void explain_collect(struct nigh_space *space, const void *key, size_t key_len,
                     struct explanation *ret)
{
    struct explanation *x = ret;
    uint16_t tags[EXPLAIN_FLOORS_MAX];
    uint32_t tag_count;
    memset(x, 0, sizeof(*x));
    x->space = space;
    x->fetch_does = "";
    x->key = l1_key_of(space->cache->l1, space->id, key, key_len);
    look_around(x);
    look_in_l1(x, tags, &tag_count);
    look_at_floors(x, tags, tag_count);
    look_at_loads(x);
    x->fate = l1_fate_of(space->cache->l1, &x->key);
    look_at_room(x);
    look_in_l2(x);
    x->get = x->l1.outcome != NIGH_MISS ? x->l1.outcome : outcome_of_l2(x);
    expect_fetch(x);
}
