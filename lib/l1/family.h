/* SPDX-License-Identifier: MIT */
/*
 * Spaces with a cap of their own (space.memory): how l1.memory is divided.
 *
 * Such a space has a table of its own, a whole l1: arena, shards, policy, limbo, shrink. It shares
 * only the floors, the hash and the reclaimer's passes with other tables. So whatever the space is
 * flooded with, it evicts its own entries only; promise 2 holds for it as it does for the cache;
 * and puts and hits of other spaces do not know of it.
 *
 *     l1.memory  =  cap of the table of all  +  caps of the others  +  bytes in no table's cap
 *     cap of each <= its most:  l1.memory for the table of all, space.memory for the others
 *
 * No member ever uses more than its cap (core.h), so together they never use more than l1.memory.
 * Their mosts may add up to more than that: caps move.
 *
 *   - A table begins with little. A member that is full, and below its most, takes bytes that are
 *     in no cap, and bytes that others have and do not use, at once, in steps of an eighth: nothing
 *     is evicted for want of a cap while there is room.
 *   - When there is no room, each member is full, or has no more than it uses, and evicts its own
 *     entries, as it would alone. Then shares count: a member's share is the part of l1.memory that
 *     its most is of all mosts. A member that is refused while below its share is given as much
 *     again as it has, of what others have above theirs: they come down as for a smaller l1.memory
 *     (shrink.h), in slices, and until then no other member gets above its share. So who wants all
 *     of his share has it in a few passes, and who needs little takes little from others. Shares
 *     add up to l1.memory, so as long as one member is below, another is above. A member that does
 *     not ask keeps no more than it uses.
 *   - With the policy `none` no member gives up bytes that it uses: first come, first served.
 *
 * There may be hundreds of tables, and who lets one grow holds a shard's lock. So sums over all are
 * kept, and renewed in each pass of the reclaimer; for bytes that are not used the table that gave
 * last is asked first; and when all have been asked nobody asks again before the next pass.
 *
 * A table is made once for a space, and stays: if the space's cap is taken away, the table's most
 * is l1.memory. So an entry lies in the one table that its space has had since, or in that of all
 * if the entry is from before.
 *
 * Thread-safety: all functions from any thread. A thread may have a shard's lock when it takes the
 * family's, and under the family's takes only the cap's.
 */
#ifndef NIGH_L1_FAMILY_H
#define NIGH_L1_FAMILY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "l1/l1.h"

/* The least by which a cap grows, and with which a table begins. */
#define FAMILY_STEP_LEAST_BYTES (64u * 1024)

/* In the table of all. Keys: (c) constant after creation  (l) its lock  (g) reclaim lock */
struct l1_family {
    pthread_mutex_t lock;
    struct l1_config config; /* (c) by which the table of all was made */
    uint64_t memory_bytes;   /* (l) l1.memory */
    uint32_t renewed;        /* (g) how often this pass has renewed the allocator's statistics */
    uint64_t renew_again_ns; /* (g) no renewal before this */
    double mosts;            /* (l) sum of what the tables' caps may be at most */
    uint64_t free_bytes;     /* (l) in no cap; there may be more, which the next pass finds */
    uint64_t promised_bytes; /* (l) free, or to come: for new tables that wait for room */
    uint32_t starving;       /* (l) tables that were refused bytes lately: `asked` or `starves` */
    struct l1 *giver;        /* (l) the table to ask first for bytes that it does not use */
    bool exhausted;          /* (l) since the last pass all were asked, and gave what they had */
};

/* In each table. Keys: (c) as above  (l) the family's lock  (a) atomic */
struct l1_member {
    struct l1 *root;          /* (c) the table of all */
    _Atomic(struct l1 *) next; /* (a) pair(family.next): in the list of tables */
    _Atomic bool may_grow;    /* (a) below its most, and not refused since the last pass */
    bool asked;               /* (l) refused below its share since the last pass */
    uint32_t starves;         /* (l) passes for which bytes refused to it are still kept for it */
    uint64_t lacks_bytes;     /* (l) it is to get so many, for it was refused some */
    uint64_t most_bytes;      /* (l) limit of its cap; the cap itself: cap_goal() */
};

void family_init(struct l1 *l1, const struct l1_config *config);
void family_fini(struct l1 *l1);

/*
 * Renew the statistics that mem_stats_peek() reads, once in a pass: so all tables of a cache look
 * at the same ones. `again`: once more. Returns false when it is too early. REQUIRES(reclaim lock)
 */
bool family_renew_stats(struct l1 *root, bool again);

/* The table after this one, or NULL; the table of all is the first. Any thread: tables are only
 * ever added. */
struct l1 *family_next(const struct l1 *l1);

/* Raise the cap of a table that needs `bytes` more; REQUIRES(shard lock). Returns false when there
 * is nothing to be had. `*ret_poke`: the reclaimer should come, to take from others. */
bool family_grow(struct l1 *l1, uint64_t bytes, bool *ret_poke);

/* Promise bytes to a new table: from now on nobody else takes these when they become free. */
void family_promise(struct l1 *root, uint64_t bytes);
/* Give a new table its first cap, from promised or unused bytes, and list it. Returns false when
 * the table of all has to come down first: then its goal is lowered, and `*asked` grows by how
 * much. */
bool family_add(struct l1 *root, struct l1 *apart, uint64_t bytes, uint64_t *asked);
/* Whether so many bytes are in no cap. */
bool family_has_room(struct l1 *root, uint64_t bytes);
/* End a promise: the table was added; or it was not, and what the table of all was asked for is its
 * own again. */
void family_settle_promise(struct l1 *root, uint64_t bytes, bool added, uint64_t asked);

/* After a pass of the reclaimer: let members that were refused ask again, and give them what others
 * have above their shares. Returns whether those are to come down from the next pass on. */
bool family_balance(struct l1 *root);

#endif
