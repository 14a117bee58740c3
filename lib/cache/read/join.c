// SPDX-License-Identifier: MIT
/*
 * Joining a flight: takes the ticket first (rule 1), and before the ticket looks at trust.
 */
#include "cache/read/join.h"

#include "cache/value/freshness.h"
#include "cache/load/load.h"
#include "cache/read/from_l1.h"

int join_refused(struct nigh_space *space, int rc)
{
    if (rc == NIGH_EBUSY)
        stats_count(&space->stats, STATS_FLIGHT_BUSY);
    else if (rc == NIGH_EDEADLK)
        stats_count(&space->stats, STATS_FLIGHT_DEADLOCK);
    return rc;
}

static void lead(struct nigh_space *space, struct flight *f, const struct nigh_call *call,
                 bool watched)
{
    stats_count(&space->stats, STATS_FLIGHT_LED);
    load_init(space, f, call, !(FLAGS_OF(call) & NIGH_REFRESH));
    ((struct load *)f->work)->async = watched;
}

int join_flight(struct nigh_space *space, const struct l1_key *key, const struct nigh_call *call,
                struct flight_watch *watch, uint64_t call_id, struct joined *ret_joined,
                struct flight **ret_flight)
{
    struct nigh *cache = space->cache;
    /* Read trust before the ticket: what it vouches for is in the floors as of the ticket. */
    struct moment moment = freshness_moment(cache);
    *ret_joined = (struct joined){l1_ticket(cache->l1), false, moment.is_trusted};
    struct flight_join join = load_join_of(space, key, ret_joined->ticket);
    join.watch = watch;
    join.call = call_id;
    int role = flight_join(cache->flights, &join, ret_flight);
    if (role == FLIGHT_LEADER) {
        ret_joined->leads = ret_joined->vouched = true; /* the load begins within its call */
        lead(space, *ret_flight, call, watch != NULL);
    } else if (role == FLIGHT_FOLLOWER || role == FLIGHT_SHARER) {
        stats_count(&space->stats, STATS_FLIGHT_JOINED);
    }
    return join_refused(space, role);
}
