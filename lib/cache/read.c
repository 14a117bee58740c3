// SPDX-License-Identifier: MIT
/*
 * Reading: get and fetch.
 *
 * The hit is one read section: find, judge, pin. Everything after a miss takes its ticket first
 * (rule 1): looking in L1 before the ticket is harmless, since what L1 gave was judged there; what
 * must come after the ticket is every look at L2 and at the origin.
 */
#include "cache/cache.h"
#include "cache/freshness.h"
#include "cache/load.h"
#include "cache/read.h"

#define FLAGS_OF(call) ((call) ? (call)->flags : 0u)

/* ---- L1 ---- */

/* What an entry of L1 means for a call: an outcome, or NIGH_MISS. */
static int outcome_of(const struct nigh *cache, const struct l1_entry *e, enum freshness freshness,
                      const struct nigh_call *call, uint64_t now_ns)
{
    if (freshness == FRESHNESS_GONE || !freshness_acceptable(e, call, now_ns))
        return NIGH_MISS;
    if (freshness == FRESHNESS_DOUBTED && cache->doubt_is_miss)
        return NIGH_MISS;
    if (!(l1_entry_flags(e) & L1_ABSENT))
        return freshness == FRESHNESS_FRESH ? NIGH_FRESH : NIGH_STALE;
    /* "Does not exist" has no stale form: in doubt it stands if it was learnt since. */
    bool learnt_since = l1_entry_stamp(e) >=
                        atomic_load_explicit(&cache->lost_stamp, memory_order_relaxed);
    bool good = freshness == FRESHNESS_FRESH || (freshness == FRESHNESS_DOUBTED && learnt_since);
    return good ? NIGH_ABSENT : NIGH_MISS;
}

/* Whether a stale entry is worth a refresh: in doubt only once (rule 11), else always. */
static bool wants_refresh(const struct nigh *cache, const struct l1_entry *e,
                          enum freshness freshness)
{
    return freshness != FRESHNESS_DOUBTED ||
           l1_entry_stamp(e) < atomic_load_explicit(&cache->lost_stamp, memory_order_relaxed);
}

static void count_hit(struct nigh_space *space, int outcome)
{
    stats_count(&space->stats, outcome == NIGH_STALE ? STATS_L1_STALE : STATS_L1_FRESH);
    if (outcome == NIGH_ABSENT)
        stats_count(&space->stats, STATS_READ_ABSENT);
}

/* What was found and is not handed out as it is: stale, absent, not for this call, the thread has
 * no pin slot at hand. Ends the read section. NIGH_MISS: nothing that this call may have. */
static NIGH_OUTLINED int read_judged_rcu(struct nigh_space *space, struct l1_entry *e,
                                         const struct nigh_call *call, uint64_t now_ns,
                                         struct nigh_value *ret, bool *ret_refresh)
{
    struct nigh *cache = space->cache;
    bool quiet = FLAGS_OF(call) & NIGH_QUIET;
    bool copied = false;
    enum freshness freshness = freshness_of(cache, e, now_ns);
    int outcome = outcome_of(cache, e, freshness, call, now_ns);
    int rc = 0;
    if (outcome == NIGH_FRESH || outcome == NIGH_STALE)
        rc = l1_pin_rcu(cache->l1, e, NIGH_TIER_L1, ret, &copied);
    else if (outcome == NIGH_ABSENT)
        *ret = (struct nigh_value)NIGH_VALUE_INIT;
    if (outcome != NIGH_MISS && !quiet && l1_touch_rcu(e))
        l1_report_hit_rcu(cache->l1, e);
    if (outcome == NIGH_STALE)
        *ret_refresh = wants_refresh(cache, e, freshness);
    rcu_leave();
    if (rc != 0) {
        stats_count(&space->stats, STATS_READ_ERROR);
        return rc;
    }
    if (copied)
        stats_count(&space->stats, STATS_VALUE_COPIED);
    if (outcome != NIGH_MISS && !quiet)
        count_hit(space, outcome);
    return outcome;
}

/* Whether a call takes any fresh value, and leaves its trace: as most do. */
static inline bool takes_any(const struct nigh_call *call)
{
    return !call || !((call->flags & NIGH_QUIET) | call->max_age_ms | call->min_version);
}

/*
 * The read of L1. NIGH_MISS: nothing that this call may have; `ret` is then untouched.
 *
 * The one path that has to be short: present, fresh, nothing special asked, a slot free. It is
 * inlined whole into its two callers; all else is read_judged_rcu()'s.
 */
static NIGH_INLINED int read_l1(struct nigh_space *space, const struct l1_key *key,
                                const struct nigh_call *call, struct nigh_value *ret,
                                bool *ret_refresh)
{
    struct nigh *cache = space->cache;
    rcu_enter();
    struct l1_entry *e = l1_find_rcu(cache->l1, key);
    if (NIGH_UNLIKELY(!e)) {
        rcu_leave();
        return NIGH_MISS;
    }
    uint64_t now_ns = clock_coarse_ns(&cache->clock);
    if (NIGH_UNLIKELY(!freshness_is_fresh(cache, e, now_ns) || !takes_any(call) ||
                      l1_entry_flags(e) || !l1_pin_found_rcu(e, key, ret)))
        return read_judged_rcu(space, e, call, now_ns, ret, ret_refresh);
    if (NIGH_UNLIKELY(l1_touch_rcu(e)))
        l1_report_hit_rcu(cache->l1, e);
    rcu_leave();
    stats_count(&space->stats, STATS_L1_FRESH);
    return NIGH_FRESH;
}

/* ---- get: L1, then L2 ---- */

/* The caller of get has a ticket in its own memory: take the lease for its put. */
static int lease_for_put(struct nigh_space *space, const struct l1_key *key, uint64_t rejected,
                         struct nigh_miss *miss, uint64_t deadline_ns, struct l2_answer **ret)
{
    struct nigh *cache = space->cache;
    struct l2_key l2_key = cache_l2_key(space, key->data, key->len);
    struct l2_lease lease = {
        .token = coherence_token(cache->coherence),
        .rejected = rejected,
        .lease_ms = cache->lease_ms,
    };
    struct l2_sync sync;
    l2_sync_init(&sync, &cache->env);
    struct l2_op op = {deadline_ns, l2_sync_done, &sync};
    if (l2_lease(cache->l2, &l2_key, &lease, &op) != 0)
        return NIGH_MISS;
    struct l2_answer *answer = l2_sync_wait(&sync);
    if (answer->status == 0)
        coherence_note(cache->coherence, answer);
    if (answer->status == 0 && answer->verdict == L2_VALUE) {
        *ret = answer;
        return NIGH_FRESH;
    }
    if (answer->status == 0 && answer->verdict == L2_GRANTED) {
        stats_count(&space->stats, STATS_LEASE_GRANTED);
        miss->token = lease.token;
        miss->connection = answer->connection;
        miss->home = answer->home;
    }
    l2_answer_free(answer);
    return NIGH_MISS;
}

/* Hand out what L2 had; takes the reference of found->entry. */
static int hand_out(struct nigh_space *space, const struct l1_key *key, struct lookup *found,
                    const struct nigh_call *call, struct nigh_value *ret)
{
    struct l1_entry *e = found->entry;
    uint64_t now_ns = clock_coarse_ns(&space->cache->clock);
    int outcome = found->verdict == LOOKUP_FRESH ? NIGH_FRESH : NIGH_STALE;
    if (found->storable && !(FLAGS_OF(call) & NIGH_NO_STORE))
        lookup_store(space, key, e);
    if (!freshness_acceptable(e, call, now_ns)) {
        outcome = NIGH_MISS;
    } else if (l1_entry_flags(e) & L1_ABSENT) {
        *ret = (struct nigh_value)NIGH_VALUE_INIT;
        outcome = NIGH_ABSENT;
    } else {
        l1_pin_ref(e, NIGH_TIER_L2, ret);
    }
    l1_entry_unref(e);
    return outcome;
}

static int take_answer(struct nigh_space *space, const struct l1_key *key, uint64_t ticket,
                       const struct l2_answer *answer, const struct nigh_call *call,
                       struct lookup *found, struct nigh_value *ret)
{
    if (answer->status != 0) {
        stats_count(&space->stats, STATS_L2_ERROR);
        return answer->status;
    }
    int rc = lookup_answer(space, key, ticket, answer, found);
    if (rc != 0)
        return rc;
    if (found->verdict == LOOKUP_FRESH || found->verdict == LOOKUP_STALE)
        return hand_out(space, key, found, call, ret);
    if (found->verdict == LOOKUP_KEPT)
        l1_entry_unref(found->entry);
    return NIGH_MISS;
}

static int get_from_l2(struct nigh_space *space, const struct l1_key *key,
                       const struct nigh_call *call, struct nigh_value *ret)
{
    struct nigh *cache = space->cache;
    uint64_t ticket = l1_ticket(cache->l1);
    uint64_t deadline_ns = cache_deadline_ns(cache, call, cache->l2_deadline_ms);
    struct nigh_miss *miss = call ? call->miss : NULL;
    if (miss) {
        struct coherence_position at = {0, 0};
        if (cache->coherence)
            at = coherence_position(cache->coherence);
        *miss = (struct nigh_miss){.stamp = ticket, .clock = at.identity, .sequence = at.sequence};
    }
    if (!lookup_l2_usable(space, key))
        return cache->l2 && !l2_connected(cache->l2) ? NIGH_EOFFLINE : NIGH_MISS;

    struct l2_key l2_key = cache_l2_key(space, key->data, key->len);
    struct l2_sync sync;
    l2_sync_init(&sync, &cache->env);
    struct l2_op op = {deadline_ns, l2_sync_done, &sync};
    int rc = l2_get(cache->l2, &l2_key, &op);
    if (rc != 0)
        return rc;
    struct l2_answer *answer = l2_sync_wait(&sync);
    struct lookup found = {.verdict = LOOKUP_NOTHING};
    rc = take_answer(space, key, ticket, answer, call, &found, ret);
    l2_answer_free(answer);
    if (rc != NIGH_MISS || !miss)
        return rc;
    struct l2_answer *value;
    rc = lease_for_put(space, key, found.fill_id, miss, deadline_ns, &value);
    if (rc == NIGH_MISS)
        return NIGH_MISS;
    rc = take_answer(space, key, ticket, value, call, &found, ret);
    l2_answer_free(value);
    return rc;
}

static NIGH_OUTLINED int get_missed(struct nigh_space *space, struct l1_key key,
                                    const struct nigh_call *call, struct nigh_value *ret_value)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    int rc = NIGH_MISS;
    if (!(FLAGS_OF(call) & NIGH_QUIET))
        stats_count(&space->stats, STATS_L1_MISS);
    if (!(FLAGS_OF(call) & NIGH_L1_ONLY))
        rc = get_from_l2(space, &key, call, &value);
    if (rc < 0)
        stats_count(&space->stats, STATS_READ_ERROR);
    else
        *ret_value = value;
    return rc;
}

int nigh_get(struct nigh_space *space, const void *key, size_t key_len,
             const struct nigh_call *call, struct nigh_value *ret_value)
{
    int rc = cache_check(space, key, key_len, call);
    if (NIGH_UNLIKELY(rc != 0))
        return rc;
    struct l1_key k = l1_key_of(space->cache->l1, space->id, key, key_len);
    bool refresh;
    rc = FLAGS_OF(call) & NIGH_REFRESH ? NIGH_MISS : read_l1(space, &k, call, ret_value, &refresh);
    return NIGH_LIKELY(rc != NIGH_MISS) ? rc : get_missed(space, k, call, ret_value);
}

/* ---- fetch: the flight ---- */

/* What a caller knew when it joined: what a result must be measured by. */
struct joined {
    uint64_t ticket;
    bool vouched; /* it leads, or trust held before the ticket: floors as old as that will do */
};

/* Whether nothing that this node has applied outdates what the flight brought. */
static bool above_floors(const struct nigh_space *space, const struct l1_key *key,
                         const struct flight *f, const struct l1_entry *e)
{
    const uint16_t *groups;
    uint32_t count = l1_entry_groups(e, &groups);
    return l1_key_current(space->cache->l1, key, f->ticket) &&
           l1_judge_groups(space->cache->l1, f->ticket, space->slot, groups, count) == L1_CURRENT;
}

/*
 * Whether a result that rule 10 lets pass may be called fresh. In doubt no floor moves, so equal
 * tickets say nothing about a load that began before this call (rule 11): then trust must have come
 * back by the landing, and the floors that it vouches for must let the result pass.
 */
static bool may_be_fresh(const struct nigh_space *space, const struct l1_key *key,
                         const struct flight *f, const struct joined *joined,
                         const struct l1_entry *e)
{
    const struct nigh *cache = space->cache;
    return joined->vouched || (freshness_trusted(cache, clock_coarse_ns(&cache->clock)) &&
                               above_floors(space, key, f, e));
}

/* "Does not exist" has no stale form: not vouched for, it stands if learnt since the doubt. */
static int in_doubt(const struct nigh_space *space, const struct flight *f, int outcome)
{
    uint64_t lost = atomic_load_explicit(&space->cache->lost_stamp, memory_order_relaxed);
    if (outcome == NIGH_FRESH)
        return NIGH_STALE;
    return outcome == NIGH_ABSENT && f->ticket < lost ? NIGH_PENDING : outcome;
}

/* Take the result of a landed flight. NIGH_PENDING: it is no answer to this call, fly again. */
static int take_landed(struct nigh_space *space, const struct l1_key *key, struct flight *f,
                       const struct joined *joined, const struct nigh_call *call,
                       struct nigh_value *ret)
{
    int outcome = f->outcome;
    struct l1_entry *e = f->result;
    if (outcome == NIGH_ELOADER)
        cache_set_load_error(f->error);
    if (outcome < 0 || outcome == NIGH_MISS)
        return outcome;
    bool own = f->ticket == joined->ticket;
    if (!own && (!above_floors(space, key, f, e) ||
                 !freshness_acceptable(e, call, clock_coarse_ns(&space->cache->clock))))
        return NIGH_PENDING;
    if (!may_be_fresh(space, key, f, joined, e))
        outcome = in_doubt(space, f, outcome);
    if (outcome == NIGH_PENDING)
        return NIGH_PENDING;
    const struct load *l = f->work;
    if (outcome == NIGH_ABSENT) {
        stats_count(&space->stats, STATS_READ_ABSENT);
        return NIGH_ABSENT;
    }
    l1_pin_ref(e, l->tier, ret);
    /* Just loaded and still older than what the caller knows to exist: the origin lags. */
    bool lags = call && l1_entry_version(e) < call->min_version;
    return lags ? NIGH_STALE : outcome;
}

static int lead(struct nigh_space *space, struct flight *f, const struct nigh_call *call,
                uint64_t deadline_ns)
{
    bool answer_stale = !(FLAGS_OF(call) & NIGH_REFRESH);
    stats_count(&space->stats, STATS_FLIGHT_LED);
    if (load_create(space, f, call, answer_stale))
        return flight_lead(f, deadline_ns);
    load_land_bare(f, NIGH_ENOMEM);
    return 0;
}

static int count_refused(struct nigh_space *space, int rc)
{
    if (rc == NIGH_EBUSY)
        stats_count(&space->stats, STATS_FLIGHT_BUSY);
    else if (rc == NIGH_EDEADLK)
        stats_count(&space->stats, STATS_FLIGHT_DEADLOCK);
    return rc;
}

/* Fly once: lead or follow, and take what landed. */
static int fly(struct nigh_space *space, const struct l1_key *key, const struct nigh_call *call,
               uint64_t deadline_ns, struct nigh_value *ret)
{
    struct nigh *cache = space->cache;
    /* Trust before the ticket: what it vouches for is in the floors that the ticket stands on. */
    bool trusted = freshness_trusted(cache, clock_coarse_ns(&cache->clock));
    struct joined joined = {l1_ticket(cache->l1), trusted};
    struct flight_join join = {
        .key = {space, space->id, key->hash, key->data, key->len},
        .ticket = joined.ticket,
        .key_floor_ok = l1_key_floor(cache->l1, key),
        .deadline_ns = clock_deadline_ns(&cache->clock, space->rules.load_deadline_ms),
        .waiters_max = space->rules.waiters_max,
    };
    struct flight *f;
    int role = flight_join(cache->flights, &join, &f);
    if (role < 0)
        return count_refused(space, role);
    int rc;
    if (role == FLIGHT_LEADER) {
        joined.vouched = true; /* the load begins within its call */
        rc = lead(space, f, call, deadline_ns);
    } else {
        stats_count(&space->stats, STATS_FLIGHT_JOINED);
        rc = count_refused(space, flight_wait(f, deadline_ns));
    }
    if (rc == 0)
        rc = take_landed(space, key, f, &joined, call, ret);
    flight_leave(f);
    return rc;
}

static int fly_until_answered(struct nigh_space *space, const struct l1_key *key,
                              const struct nigh_call *call, struct nigh_value *ret)
{
    struct nigh *cache = space->cache;
    uint64_t deadline_ns = cache_deadline_ns(cache, call, space->rules.load_deadline_ms);
    int rc;
    do
        rc = fly(space, key, call, deadline_ns, ret);
    while (rc == NIGH_PENDING && clock_now_ns(&cache->clock) < deadline_ns);
    return rc == NIGH_PENDING ? NIGH_ETIMEDOUT : rc;
}

static NIGH_OUTLINED int fetch_missed(struct nigh_space *space, struct l1_key key,
                                      const struct nigh_call *call, struct nigh_value *ret_value)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    if (!(FLAGS_OF(call) & NIGH_QUIET))
        stats_count(&space->stats, STATS_L1_MISS);
    if (FLAGS_OF(call) & NIGH_L1_ONLY) {
        *ret_value = value;
        return NIGH_MISS;
    }
    int rc = fly_until_answered(space, &key, call, &value);
    if (rc < 0)
        stats_count(&space->stats, STATS_READ_ERROR);
    else
        *ret_value = value;
    return rc;
}

/* Keys are passed by value to what is not inlined: an address taken would keep the hit's own in
 * memory instead of registers. */
static NIGH_OUTLINED void refresh_behind(struct nigh_space *space, struct l1_key key)
{
    load_refresh(space, &key);
}

int nigh_fetch(struct nigh_space *space, const void *key, size_t key_len,
               const struct nigh_call *call, struct nigh_value *ret_value)
{
    int rc = cache_check(space, key, key_len, call);
    if (NIGH_UNLIKELY(rc != 0))
        return rc;
    struct l1_key k = l1_key_of(space->cache->l1, space->id, key, key_len);
    bool refresh = false;
    rc = FLAGS_OF(call) & NIGH_REFRESH ? NIGH_MISS : read_l1(space, &k, call, ret_value, &refresh);
    if (NIGH_LIKELY(rc == NIGH_FRESH))
        return rc;
    if (refresh)
        refresh_behind(space, k);
    return rc == NIGH_MISS ? fetch_missed(space, k, call, ret_value) : rc;
}
