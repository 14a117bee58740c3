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
#include "cache/async.h"
#include "cache/cache.h"
#include "cache/caller.h"
#include "cache/freshness.h"
#include "cache/hit.h"
#include "cache/landed.h"
#include "cache/load.h"
#include "cache/read_l1.h"
#include "cache/read_l2.h"

/* ---- get: L1, then L2 ---- */

static int ask_l2(struct nigh_space *space, const struct l1_key *key, const struct nigh_call *call,
                  struct nigh_value *ret)
{
    struct read_l2 r;
    if (call && call->miss)
        tickets_give_back_own(space, key);
    read_l2_init(space, call, &r);
    int rc = read_l2_may(space, key);
    rc = rc ? rc : read_l2_begin(space, key, &r);
    return rc ? rc : read_l2_end(space, key, call, &r, ret);
}

static int get_from_l2(struct nigh_space *space, const struct l1_key *key,
                       const struct nigh_call *call, struct nigh_value *ret)
{
    struct caller caller;
    caller_enter(&caller);
    int rc = FLAGS_OF(call) & NIGH_NO_WAIT ? async_look_behind(space, key, call)
                                           : ask_l2(space, key, call, ret);
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
    int rc = cache_check_read(space, key, key_len, call);
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
        if (landed.outcome == NIGH_ELOADER)
            cache_set_load_error(landed.error);
        rc = landed_take(space, key, &landed, &joined, call, ret);
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
    int rc = FLAGS_OF(call) & NIGH_NO_WAIT ? load_behind(space, key, call)
                                           : fly_until_answered(space, key, call, &value);
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
    int rc = cache_check_read(space, key, key_len, call);
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
