// SPDX-License-Identifier: MIT
/*
 * Reading: get and fetch.
 *
 * The hit finds and pins in a read section, then judges (read_hit()). A read that is no plain hit
 * begins anew: there the errors of the call are found and L1 is looked at once more, which costs
 * nothing beside what follows, while a hit carries nothing along for it.
 *
 * Everything after a miss takes its ticket first (rule 1): looking in L1 before the ticket is
 * harmless, since what L1 gave was judged there; but every look at L2 and at the origin must come
 * after the ticket.
 */
#include "cache/cache.h"
#include "cache/caller.h"
#include "cache/freshness.h"
#include "cache/hit.h"
#include "cache/load.h"
#include "cache/read_l1.h"
#include "cache/read_l2.h"

/* ---- get: L1, then L2 ---- */

static int get_from_l2(struct nigh_space *space, const struct l1_key *key,
                       const struct nigh_call *call, struct nigh_value *ret)
{
    struct caller caller;
    struct read_l2 r;
    caller_enter(&caller);
    if (call && call->miss)
        tickets_give_back_own(space, key);
    read_l2_init(space, call, &r);
    int rc = read_l2_may(space, key);
    rc = rc ? rc : read_l2_begin(space, key, &r);
    if (rc == 0)
        rc = read_l2_end(space, key, call, &r, ret);
    drive_flush(space->cache);
    caller_leave(&caller);
    return rc;
}

static int get_missed(struct nigh_space *space, const struct l1_key *key,
                      const struct nigh_call *call, struct nigh_value *ret_value)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    int rc = NIGH_MISS;
    read_count_missed(space, call, 1);
    if (!(FLAGS_OF(call) & NIGH_L1_ONLY))
        rc = get_from_l2(space, key, call, &value);
    if (rc < 0)
        stats_count(&space->stats, STATS_READ_ERROR);
    else
        *ret_value = value;
    return rc;
}

static NIGH_OUTLINED int get_long(struct nigh_space *space, const void *key, size_t key_len,
                                  const struct nigh_call *call, struct nigh_value *ret_value)
{
    int rc = cache_check(space, key, key_len, call);
    if (rc != 0)
        return rc;
    struct l1_key k = l1_key_of(space->cache->l1, space->id, key, key_len);
    bool refresh;
    rc = NIGH_MISS;
    if (!(FLAGS_OF(call) & NIGH_REFRESH))
        rc = read_l1(space, &k, call, ret_value, &refresh);
    return rc == NIGH_MISS ? get_missed(space, &k, call, ret_value) : rc;
}

int nigh_get(struct nigh_space *space, const void *key, size_t key_len,
             const struct nigh_call *call, struct nigh_value *ret_value)
{
    if (NIGH_LIKELY(read_hit(space, key, key_len, call, ret_value)))
        return NIGH_FRESH;
    return get_long(space, key, key_len, call, ret_value);
}

/* ---- fetch: the flight ---- */

/* Holds what a caller knew when it joined a flight: the result is measured by it. */
struct joined {
    uint64_t ticket;
    bool leads;
    bool vouched; /* leads, or trust held before the ticket: floors as old as that will do */
};

/* Returns the position as of which a flight's result is right: its ticket; or if the result came
 * from L1 (and is not stale), the entry's stamp. */
static uint64_t as_of(const struct landing *landed)
{
    bool from_l1 = landed->tier == NIGH_TIER_L1 && landed->outcome != NIGH_STALE;
    return from_l1 ? l1_entry_stamp(landed->entry) : landed->ticket;
}

/* Whether nothing that this node has applied outdates what the flight brought. */
static bool above_floors(const struct nigh_space *space, const struct l1_key *key,
                         const struct landing *landed)
{
    const uint16_t *groups;
    uint32_t count = l1_entry_groups(landed->entry, &groups);
    uint64_t position = as_of(landed);
    return l1_key_current(space->cache->l1, key, position) &&
           l1_judge_groups(&space->l1, position, groups, count) == L1_CURRENT;
}

/*
 * Whether a result that rule 10 lets pass may be called fresh. It may if this caller leads, since
 * the load began within its call; or if trust held when the caller joined. Otherwise the call began
 * in doubt, in which no floor moves, so that equal tickets say nothing about a load that began
 * before the call (rule 11): then trust must have come back by the landing, and the floors that the
 * returned trust vouches for must let the result pass.
 */
static bool may_be_fresh(const struct nigh_space *space, const struct l1_key *key,
                         const struct landing *landed, const struct joined *joined)
{
    const struct nigh *cache = space->cache;
    return joined->vouched || (freshness_trusted(cache, clock_coarse_ns(&cache->clock)) &&
                               above_floors(space, key, landed));
}

/* Judge a landed result for this call. GONE: the result is no answer to it. */
static enum verdict verdict_on(const struct nigh_space *space, const struct l1_key *key,
                               const struct landing *landed, const struct joined *joined)
{
    bool own = as_of(landed) == joined->ticket;
    bool passes = own || above_floors(space, key, landed);
    enum verdict_trust trust = TRUST_HELD;
    if (!may_be_fresh(space, key, landed, joined))
        trust = freshness_learnt_since(space->cache, landed->ticket) ? TRUST_LEARNT : TRUST_DOUBT;
    return verdict_of(passes ? L1_CURRENT : L1_BELOW_HARD,
                      landed->outcome == NIGH_STALE ? LIFETIME_STALE : LIFETIME_FRESH, trust,
                      landed->outcome == NIGH_ABSENT);
}

/* Whether the result is young and new enough for a call of whose limits the flight may have known
 * nothing. A loaded value is taken if nothing was invalidated since, however long the load took:
 * calls that want it younger would load one after the other. A flight that was to refresh has
 * brought what a call that refreshes would have got. */
static bool within_limits(const struct nigh_space *space, const struct landing *landed,
                          const struct joined *joined, const struct nigh_call *call)
{
    bool loaded = landed->tier == NIGH_TIER_LOADER;
    if (loaded && landed->ticket == joined->ticket)
        return true;
    bool refreshes = FLAGS_OF(call) & NIGH_REFRESH;
    if (!loaded && !joined->leads && refreshes && !landed->refreshed)
        return false;
    return freshness_acceptable(landed->entry, call, clock_coarse_ns(&space->cache->clock));
}

/* Take the result of a flight. NIGH_PENDING: it is no answer to this call, fly again. */
static int take_landed(struct nigh_space *space, const struct l1_key *key,
                       const struct landing *landed, const struct joined *joined,
                       const struct nigh_call *call, struct nigh_value *ret)
{
    int outcome = landed->outcome;
    if (outcome == NIGH_ELOADER)
        cache_set_load_error(landed->error);
    if (outcome < 0 || outcome == NIGH_MISS)
        return outcome;
    outcome = verdict_outcome(verdict_on(space, key, landed, joined), outcome == NIGH_ABSENT,
                              within_limits(space, landed, joined, call));
    if (outcome == NIGH_MISS)
        return NIGH_PENDING;
    if (outcome == NIGH_ABSENT) {
        stats_count(&space->stats, STATS_READ_ABSENT);
        return NIGH_ABSENT;
    }
    l1_pin_ref(landed->entry, landed->tier, ret);
    /* A value just loaded and still older than what the caller knows to exist: the origin lags. */
    bool lags = call && l1_entry_version(landed->entry) < call->min_version;
    return lags ? NIGH_STALE : outcome;
}

static int lead(struct nigh_space *space, struct flight *f, const struct nigh_call *call,
                uint64_t deadline_ns)
{
    bool answer_stale = !(FLAGS_OF(call) & NIGH_REFRESH);
    stats_count(&space->stats, STATS_FLIGHT_LED);
    load_init(space, f, call, answer_stale);
    return flight_lead(f, deadline_ns);
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
    /* Read trust before the ticket: what it vouches for is in the floors as of the ticket. */
    struct moment moment = freshness_moment(cache);
    struct joined joined = {l1_ticket(cache->l1), false, moment.is_trusted};
    struct flight_join join = load_join_of(space, key, joined.ticket);
    struct flight *f;
    int role = flight_join(cache->flights, &join, &f);
    if (role < 0)
        return count_refused(space, role);
    int rc;
    if (role == FLIGHT_LEADER) {
        joined.leads = joined.vouched = true; /* the load begins within its call */
        rc = lead(space, f, call, deadline_ns);
    } else {
        stats_count(&space->stats, STATS_FLIGHT_JOINED);
        rc = count_refused(space, flight_wait(f, deadline_ns));
    }
    if (rc == 0) {
        struct landing landed = load_landing(f);
        rc = take_landed(space, key, &landed, &joined, call, ret);
    }
    flight_leave(f);
    return rc;
}

static int fly_until_answered(struct nigh_space *space, const struct l1_key *key,
                              const struct nigh_call *call, struct nigh_value *ret)
{
    struct nigh *cache = space->cache;
    uint64_t deadline_ns = cache_deadline_ns(cache, call, space->rules.load_deadline_ms);
    int rc;
    tickets_give_back_own(space, key);
    do
        rc = fly(space, key, call, deadline_ns, ret);
    while (rc == NIGH_PENDING && clock_now_ns(&cache->clock) < deadline_ns);
    drive_flush(cache);
    return rc == NIGH_PENDING ? NIGH_ETIMEDOUT : rc;
}

static int fetch_missed(struct nigh_space *space, const struct l1_key *key,
                        const struct nigh_call *call, struct nigh_value *ret_value)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    read_count_missed(space, call, 1);
    if (FLAGS_OF(call) & NIGH_L1_ONLY) {
        *ret_value = value;
        return NIGH_MISS;
    }
    struct caller caller;
    caller_enter(&caller);
    int rc = fly_until_answered(space, key, call, &value);
    if (rc < 0)
        stats_count(&space->stats, STATS_READ_ERROR);
    else
        *ret_value = value;
    caller_leave(&caller);
    return rc;
}

static NIGH_OUTLINED int fetch_long(struct nigh_space *space, const void *key, size_t key_len,
                                    const struct nigh_call *call, struct nigh_value *ret_value)
{
    int rc = cache_check(space, key, key_len, call);
    if (rc != 0)
        return rc;
    struct l1_key k = l1_key_of(space->cache->l1, space->id, key, key_len);
    bool refresh = false;
    rc = NIGH_MISS;
    if (!(FLAGS_OF(call) & NIGH_REFRESH))
        rc = read_l1(space, &k, call, ret_value, &refresh);
    if (refresh && !(FLAGS_OF(call) & NIGH_L1_ONLY))
        load_refresh(space, &k);
    return rc == NIGH_MISS ? fetch_missed(space, &k, call, ret_value) : rc;
}

int nigh_fetch(struct nigh_space *space, const void *key, size_t key_len,
               const struct nigh_call *call, struct nigh_value *ret_value)
{
    if (NIGH_LIKELY(read_hit(space, key, key_len, call, ret_value)))
        return NIGH_FRESH;
    return fetch_long(space, key, key_len, call, ret_value);
}
