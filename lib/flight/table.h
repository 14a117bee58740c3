/* SPDX-License-Identifier: MIT */
/*
 * Private to flight: the record's life and its place in the table. See record.c and table.c.
 */
#ifndef NIGH_FLIGHT_TABLE_H
#define NIGH_FLIGHT_TABLE_H

#include <pthread.h>

#include "flight/flight.h"

/* Power of two each. Flights are as many as threads that miss (and refreshes): hundreds, rarely
 * thousands. 64 locks keep two misses apart; 16 chains a lock keep the walks at one record. */
#define FLIGHT_SHARDS 64u
#define FLIGHT_CHAINS 16u

/* Keys: (t) lock of the shard */
struct flight_shard {
    pthread_mutex_t lock;                  /* last in the lock order but for the wait graph's */
    struct flight *chains[FLIGHT_CHAINS];  /* (t) newest first */
};

/* Keys: (c) constant after creation  (a) atomic, relaxed */
struct flight_table {
    struct env *env;           /* (c) */
    struct flight_host host;   /* (c) */
    _Atomic uint32_t count;    /* (a) flights in the chains */
    _Atomic uint32_t records;  /* (a) flights not freed yet */
    struct flight_shard shards[FLIGHT_SHARDS];
};

enum flight_landed {
    FLIGHT_FLYING,     /* somebody holds it or an event will bring it on */
    FLIGHT_LANDED,     /* for good: the result is there */
    FLIGHT_LEADERLESS, /* HELD by nobody: whoever swaps this for FLYING holds it */
};

/* A new flight as its leader gets it: HELD with START in the mail; references for the table, for
 * HELD and for the caller. NULL: no memory. */
struct flight *flight_create(struct flight_table *table, const struct flight_join *join);

uint32_t flight_landed(const struct flight *f);
/* Become the holder of a leaderless flight. */
bool flight_take_over(struct flight *f);
/* Hand a flight that the caller holds to the workers. */
void flight_give_to_workers(struct flight *f);

struct flight_shard *flight_shard_of(struct flight_table *table, uint64_t hash);
/* Out of its chain: it is landing. Returns how many callers are in it; more cannot join. */
uint32_t flight_table_remove(struct flight *f);

#endif
