/* SPDX-License-Identifier: MIT */
/*
 * The cap at run time, and making resident memory follow it.
 *
 * A larger cap holds at once. A smaller one is a goal: the cap in force follows the used bytes
 * down, so that an insert meanwhile finds a full cache, as ever, and not one that is hundreds of
 * MiB over its limit. The reclaimer does the work, a slice in each of its passes:
 *
 *     idle --> evict --> move --> trim --> idle    (and again later, if pins were in the way)
 *
 *   evict   the policy's victims, until the live bytes, less those that move and trim will give
 *           back, are under the goal. Each shard gives the same part; eight shards take turns until
 *           they have given it: then the lines that a victim touches stay in the processor's
 *           caches, and yet no shard is locked for long: 64 victims, and then the seven others.
 *   move    the entries that are left are moved together, once: compact.h
 *   trim    rings are cut, stocks and pages given back
 *
 * Moving, and giving back before it what costs nothing, happen without a change of the cap too,
 * when resident memory is found above it: sizes that drift leave slabs of the old sizes half used.
 * Resident memory is looked at a second after something was freed, so an idle cache is looked at
 * once, and left alone when it is as it should be.
 */
#ifndef NIGH_L1_SHRINK_H
#define NIGH_L1_SHRINK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct l1;

enum l1_shrink_phase { SHRINK_IDLE, SHRINK_EVICT, SHRINK_MOVE, SHRINK_TRIM };

#define SHRINK_WINDOW 8u /* shards that are evicted from in turn */

/* Keys: (l) its lock  (g) reclaim lock */
struct l1_shrink {
    pthread_mutex_t lock;       /* leaf: the goal, and bringing the limits to it */
    uint64_t goal_bytes;        /* (l) the cap to be reached */
    uint64_t largest_bytes;     /* (l) cap that bounds the size of an entry */
    uint64_t limbo_bytes;       /* (l) l1.limbo; 0: a share of the cap */
    enum l1_shrink_phase phase; /* (g) */
    uint32_t shard;             /* (g) the window's first */
    uint32_t at;                /* (g) index in the window: the shard whose turn it is */
    uint32_t quotas[SHRINK_WINDOW]; /* (g) entries that each has still to give up */
    uint64_t slice_bytes;       /* (g) */
    uint64_t look_ns;           /* (g) next look at resident memory; never: after the next free */
    uint64_t seen_goal_bytes;   /* (g) the goal in the pass before */
    bool trimmed;               /* (g) the last look trimmed: the next one says what it brought */
    uint64_t move_again_ns;     /* (g) not before, for resident memory alone */
    uint64_t retry_ns;          /* (g) not before, when a round did not reach the goal */
};

/* Set the limits for a cap of so much. Only before the first use. */
void shrink_init(struct l1 *l1, uint64_t memory_bytes, uint64_t limbo_bytes);
void shrink_fini(struct l1 *l1);

/*
 * The goal; and the bytes reserved: the goal, or the cap in force while that comes down. Any
 * thread; but only a thread that has the family's lock (family.h) changes a goal.
 */
uint64_t shrink_goal(struct l1 *l1);
uint64_t shrink_reserved(struct l1 *l1);
/* Set another goal; a larger one is in force at once. */
void shrink_set_goal(struct l1 *l1, uint64_t goal_bytes, uint64_t limbo_bytes);
/* Raise the goal by so much: a cap at its goal is raised at once, one that comes down comes down
 * less far. */
void shrink_grow(struct l1 *l1, uint64_t bytes);
/* Lower the cap at once by up to so many bytes that are not used. Returns how many. */
uint64_t shrink_give(struct l1 *l1, uint64_t most_bytes);
/* Set the cap of a table that nobody uses yet. */
void shrink_start(struct l1 *l1, uint64_t cap_bytes);
/* Let values be as large as under a cap of so much. */
void shrink_set_largest(struct l1 *l1, uint64_t cap_bytes);

/* At the beginning of a reclaimer's pass: retire a slice. This and the next
 * REQUIRE(reclaim_lock). */
void shrink_begin(struct l1 *l1);
/* At the end of a pass; `freed`: it had something to free. Returns when to come again. */
uint64_t shrink_end(struct l1 *l1, bool freed);

/* Whole pages outside the arena: floors, shards, large tables and arrays. */
uint64_t shrink_pages_bytes(struct l1 *l1);

#endif
