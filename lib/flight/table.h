/* SPDX-License-Identifier: MIT */
/*
 * Private to flight: the record's life and its place in the table. See record.c and table.c.
 */
#ifndef NIGH_FLIGHT_TABLE_H
#define NIGH_FLIGHT_TABLE_H

#include <pthread.h>

#include "flight/flight.h"

/* Powers of two. Flights are as many as threads that miss (and refreshes): hundreds, rarely
 * thousands. 16 locks for each CPU keep two misses apart; 8 chains a lock keep the walks at one
 * record. */
#define FLIGHT_SHARDS_LEAST 64u
#define FLIGHT_SHARDS_MOST 4096u
#define FLIGHT_SHARDS_PER_CPU 16u
#define FLIGHT_CHAINS 8u

/* Lies on cache lines of its own. Keys: (t) lock of the shard  (a) atomic, relaxed */
struct flight_shard {
    _Alignas(CACHE_LINE_BYTES)
    pthread_mutex_t lock;                  /* above the graph's and those of memory and waking */
    _Atomic uint32_t count;                /* (a) written (t): flights in the chains */
    struct flight *chains[FLIGHT_CHAINS];  /* (t) newest first */
};

/*
 * Keeps a record that is done with for the next miss of the same thread, so that a miss asks the
 * allocator for none, and touches lines that are its own core's. It is taken and left by one atomic
 * exchange each, so that two threads whose numbers meet here cannot disturb one another.
 */
#define FLIGHT_SPARES 64u
struct flight_spare {
    _Alignas(CACHE_LINE_BYTES) _Atomic(void *) record; /* pair(flight.spare); NULL: none */
};

/* Keys: (c) constant after creation  (a) atomic, relaxed: a count */
struct flight_table {
    struct env *env;             /* (c) */
    struct flight_host host;     /* (c) */
    uint32_t shard_mask;         /* (c) */
    struct flight_shard *shards; /* (c) */
    _Atomic uint32_t records;    /* (a) records referred to; counted by Debug builds only */
    struct flight_spare spares[FLIGHT_SPARES];
};

enum flight_landed {
    FLIGHT_FLYING,     /* HELD, or an event will bring it on */
    FLIGHT_LANDED,     /* for good: the result is there */
    FLIGHT_LEADERLESS, /* HELD by nobody: a thread that swaps this for FLYING holds it */
};

/* Free the records that wait for their next use. */
void flight_spares_free(struct flight_table *table);
/* Create a flight as its leader gets it: HELD with START in the mail; references for the table, for
 * HELD and for the caller. NULL: no memory. */
struct flight *flight_create(struct flight_table *table, const struct flight_join *join);

/* Set the state, and show it to those who look. */
static inline void flight_set_state(struct flight *f, enum flight_state state)
{
    f->state = state;
    atomic_store_explicit(&f->shown, state, memory_order_relaxed);
}

uint32_t flight_landed(const struct flight *f);
/* Become the holder of a leaderless flight. */
bool flight_take_over(struct flight *f);
/* Hand a flight that the caller holds to the workers. */
void flight_give_to_workers(struct flight *f);

struct flight_shard *flight_shard_of(struct flight_table *table, uint64_t hash);
/* Take a flight that is landing out of its chain. Returns how many callers are in it; more cannot
 * join. Its watches are the landing's from here on. */
uint32_t flight_table_remove(struct flight *f);

#endif
