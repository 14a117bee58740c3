/* SPDX-License-Identifier: MIT */
/*
 * Spaces with a cap of their own (space.memory): how l1.memory is divided.
 *
 * Such a space has a table of its own, a whole l1: arena, shards, policy, limbo, shrink. Nothing of
 * it is anybody else's but the floors, the hash and the reclaimer's passes. So whatever it is
 * flooded with, it evicts its own entries only; promise 2 holds for it as it does for the cache;
 * and a put or hit elsewhere does not know of it.
 *
 *     l1.memory  =  cap of the table of all  +  caps of the others  +  what nobody has
 *     cap of each <= its most:  l1.memory for the table of all, space.memory for the others
 *
 * No member ever uses more than its cap (core.h), so together they never use more than l1.memory.
 * What their mosts add up to may be more: caps move.
 *
 *   - A table begins with little. Who is full, and below its most, takes what nobody has, and what
 *     others have and do not use, at once, in steps of an eighth: nothing is evicted for want of a
 *     cap while there is room.
 *   - When there is none, all are full, or hold on to what they use, and each evicts its own, as it
 *     would alone. Then shares count: a member's share is the part of l1.memory that its most is of
 *     all mosts. Who is refused while below its share is given what others have above theirs: they
 *     come down as for a smaller l1.memory (shrink.h), in slices, and until then nobody else gets
 *     above its share. Shares add up to l1.memory, so as long as somebody is below, somebody is
 *     above. Who does not ask keeps no more than it uses.
 *   - With the policy `none` nobody gives up what it holds: first come, first served.
 *
 * A table is made once for a space, and stays: without its cap it may have all of l1.memory. So an
 * entry lies in the one table that its space has had since, or in that of all from before.
 *
 * Thread-safety: all from any thread. Who takes the family's lock may have a shard's, and takes
 * only the shrink's.
 */
#ifndef NIGH_L1_FAMILY_H
#define NIGH_L1_FAMILY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "l1/l1.h"

/* In the table of all. Keys: (c) constant after creation  (l) its lock  (g) reclaim lock */
struct l1_family {
    pthread_mutex_t lock;
    struct l1_config config; /* (c) of the table of all */
    uint64_t memory_bytes;   /* (l) l1.memory */
    uint32_t renewed;        /* (g) times, the allocator's statistics, in this pass */
    uint64_t renew_again_ns; /* (g) not before */
};

/* In each table. Keys: (c) as above  (l) the family's lock  (a) atomic */
struct l1_member {
    struct l1 *root;          /* (c) the table of all */
    _Atomic(struct l1 *) next; /* (a) pair(family.next): the one made before */
    _Atomic bool may_grow;    /* (a) below its most, and not refused since the last pass */
    bool asked;               /* (l) refused below its share since the last pass */
    uint32_t starves;         /* (l) passes for which what it has been refused is kept for it */
    uint64_t most_bytes;      /* (l) its cap; the present one is the shrink's goal */
};

void family_init(struct l1 *l1, const struct l1_config *config);
void family_fini(struct l1 *l1);

/*
 * The statistics that mem_stats_peek() reads are of this pass: all tables of a cache look at the
 * same, unless they are renewed `again`, once. False: it is too early. REQUIRES(reclaim lock)
 */
bool family_renew_stats(struct l1 *root, bool again);

/* The tables, that of all first. Any thread: they are only ever added. */
struct l1 *family_next(const struct l1 *l1);

/* A larger cap for who needs so many bytes more; REQUIRES(shard lock). False: there is nothing.
 * `*ret_poke`: the reclaimer should come, to take from others. */
bool family_grow(struct l1 *l1, uint64_t bytes, bool *ret_poke);

/* After a pass of the reclaimer: who was refused may ask again, and is given what others have above
 * their shares. True: they are to come down from the next pass on. */
bool family_balance(struct l1 *root);

#endif
