/* SPDX-License-Identifier: MIT */
/*
 * The cap on bytes: the one in force, the goal that it is on its way to, and limits that follow.
 *
 * A larger cap holds at once. A smaller one is a goal: the cap in force follows the used bytes
 * down, so that an insert meanwhile finds a full cache, as ever, and not one that is hundreds of
 * MiB over its limit. Who brings the used bytes down: shrink.h.
 *
 * Under a policy that evicts nobody, only expiry and invalidation bring them down. Inserts would
 * take each byte that these free, and a cache with busy writers would never reach its goal. So
 * until then it is closed: it takes no values, not even for keys that it has.
 */
#ifndef NIGH_L1_CAP_H
#define NIGH_L1_CAP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct l1;

/* Keys: (l) its lock */
struct l1_cap {
    pthread_mutex_t lock;   /* the goal, and bringing the limits to it */
    uint64_t goal_bytes;    /* (l) the cap to be reached */
    uint64_t largest_bytes; /* (l) cap that bounds the size of an entry */
    uint64_t limbo_bytes;   /* (l) l1.limbo; 0: a share of the cap */
};

/* Set the limits for a cap of so much. Only before the first use. */
void cap_init(struct l1 *l1, uint64_t memory_bytes, uint64_t limbo_bytes);
void cap_fini(struct l1 *l1);

/*
 * The goal; and the bytes reserved: the goal, or the cap in force while that comes down. Any
 * thread; but only a thread that has the family's lock (family.h) changes a goal.
 */
uint64_t cap_goal(struct l1 *l1);
uint64_t cap_reserved(struct l1 *l1);
/* Set another goal; a larger one is in force at once. */
void cap_set_goal(struct l1 *l1, uint64_t goal_bytes, uint64_t limbo_bytes);
/* Raise the goal by so much: a cap at its goal is raised at once, one that comes down comes down
 * less far. */
void cap_grow(struct l1 *l1, uint64_t bytes);
/* Lower the cap at once by up to so many bytes that are not used. Returns how many. */
uint64_t cap_give(struct l1 *l1, uint64_t most_bytes);
/* Set the cap of a table that nobody uses yet. */
void cap_start(struct l1 *l1, uint64_t cap_bytes);
/* Let values be as large as under a cap of so much. */
void cap_set_largest(struct l1 *l1, uint64_t cap_bytes);

/* Live bytes that must go before the goal can be the cap. */
uint64_t cap_excess(struct l1 *l1);
/* Bring the cap in force down to what is used now. Returns whether it is at its goal. */
bool cap_follow(struct l1 *l1);

#endif
