/* SPDX-License-Identifier: MIT */
/*
 * Joining the flight of a key, for callers that want its result: whether they wait or watch.
 */
#ifndef NIGH_CACHE_READ_JOIN_H
#define NIGH_CACHE_READ_JOIN_H

#include "cache/cache.h"

/* Holds what a caller knew when it joined a flight: the result is measured by it. */
struct joined {
    uint64_t ticket;
    bool leads;
    bool vouched; /* leads, or trust held before the ticket: floors as old as that will do */
};

/* Join the flight of a key, or begin one: its load is then as this call wants it. `watch`: the
 * caller's; NULL: it is going to wait. `call_id`: as flight_join.call. FLIGHT_LEADER,
 * FLIGHT_FOLLOWER, FLIGHT_SHARER, or why not, which has been counted: as flight_join(). */
int join_flight(struct nigh_space *space, const struct l1_key *key, const struct nigh_call *call,
                struct flight_watch *watch, uint64_t call_id, struct joined *ret_joined,
                struct flight **ret_flight);
/* Count why a flight takes no caller, or lets none wait. Returns `rc`. */
int join_refused(struct nigh_space *space, int rc);

#endif
