/* SPDX-License-Identifier: MIT */
/*
 * The cap at run time, and making resident memory follow it.
 *
 * A larger cap holds at once. A smaller one is a goal: the cap in force follows what is used down,
 * so that an insert meanwhile finds a full cache, as ever, and not one that is hundreds of MiB over
 * its limit. The reclaimer does the work, a slice in each of its passes:
 *
 *     idle --> evict --> move --> trim --> idle    (and again later, if pins were in the way)
 *                         ^        |
 *                         +--------+  resident memory is still too high: move everything, once
 *
 *   evict   the policy's victims from all shards in turn, until what is live, less what move and
 *           trim will give back, is under the goal
 *   move    fold tables, limit rings, and move the entries that lie above a ring's limit
 *   trim    cut rings, flush the allocator's caches, purge
 *
 * Why entries are moved at all. Pages go back only when everything on them is free, and what a
 * policy leaves is scattered: after freeing a random 90 % of small blocks 104 MB stayed active for
 * 10 MB allocated (jemalloc 5.3). Evicting by region would fight the policy, and evicting until
 * pages fall empty by chance would leave next to nothing. But entries are immutable: a copy may
 * take an entry's place at any time, and the arena gives out the fullest pages first. So after one
 * round of moving everything, what is left lies densely on a few pages, and the others are free.
 * It costs about 0.3 us per entry that stays, and only when it is needed: large values have pages
 * of their own, and a cache that evicts in order of arrival often frees whole pages.
 *
 * The same is done without a change of the cap when resident memory is found above it: sizes that
 * drift leave pages of the old sizes half used.
 *
 * No lock is held for more than a visit's work: 64 victims or 32 moves in a shard, or the folding
 * of its table (as long as doubling it).
 */
#ifndef NIGH_L1_SHRINK_H
#define NIGH_L1_SHRINK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct l1;

enum l1_shrink_phase { SHRINK_IDLE, SHRINK_EVICT, SHRINK_MOVE, SHRINK_TRIM };

/* Keys: (l) its lock  (g) reclaim lock */
struct l1_shrink {
    pthread_mutex_t lock;       /* leaf: the goal, and bringing the limits to it */
    uint64_t goal_bytes;        /* (l) l1.memory */
    uint64_t limbo_bytes;       /* (l) l1.limbo; 0: a share of the cap */
    enum l1_shrink_phase phase; /* (g) */
    bool move_all;              /* (g) also what is not in the way: resident memory is too high */
    bool stuck;                 /* (g) the last slice moved nothing */
    uint32_t shard;             /* (g) where the next slice begins */
    uint64_t slice_bytes;       /* (g) */
    uint64_t look_ns;           /* (g) when resident memory is next looked at */
    uint64_t retry_ns;          /* (g) not before, when a round did not reach the goal */
};

/* Limits for a cap of so much. Only before the first use. */
void shrink_init(struct l1 *l1, uint64_t memory_bytes, uint64_t limbo_bytes);
void shrink_fini(struct l1 *l1);

/* Both REQUIRE(reclaim_lock). At the beginning of a reclaimer's pass: retire a slice. */
void shrink_begin(struct l1 *l1);
/* At its end. Returns when to come again. */
uint64_t shrink_end(struct l1 *l1);

/* Whole pages outside the arena: floors, shards, large tables and arrays. */
uint64_t shrink_pages_bytes(struct l1 *l1);

#endif
