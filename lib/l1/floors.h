/* SPDX-License-Identifier: MIT */
/*
 * Floors: what has been invalidated, in constant memory (rules 1 to 3).
 *
 *   now           position of this node: invalidations applied so far; a ticket is its value
 *   groups        newest: the highest floor of all groups: a stamp at or above it is below none
 *     of[slot]    {any, hard}: positions of the last invalidation of a tag, a space, or all, and of
 *                 the last hard one. So a hit looks at `any` alone
 *   keys[slot]    position of the last invalidation of a key that hashes here
 *   renewed       position at which a clock of Redis was left for another one: what rose since is
 *                 younger than any value whose stamp cannot be compared
 *
 * A key needs one floor, not two: key floors are compared where soft and hard mean the same (a
 * store, a join and a landing all ask "did it begin before the invalidation"), never at a hit.
 * A collision of slots refuses one fill, or expires values of another group; it never serves an old
 * value.
 *
 * Raising takes no lock: a position is drawn from `now`, then the floor is brought up to it. Two
 * raises that meet at one slot may come in any order, so a floor takes the higher position: floors
 * only rise.
 *
 * Ordering
 *   now            drawn with release and acquire, a ticket loaded with acquire (pair(floors.now)):
 *                  a thread with a ticket of p sees what was done before p was drawn (rule 2: a
 *                  group's position in Redis, then its floor here; a load that began at p or later
 *                  compares what Redis has with that position). The floor itself is raised after
 *                  its position is drawn, so a ticket of p may be taken before the floor is there.
 *                  That is harmless while a stamp is a ticket under which nothing older was taken
 *                  from L1: a value with ticket p is not below the floor. So the stamp of a
 *                  writer's own value is no newer than its ticket if a position was drawn in
 *                  between (write.c), and a value that a flight finds in L1 and calls fresh counts
 *                  with its own stamp (as_of() in cache/read/landed.c).
 *   groups         hard, any, newest, each raised with release after the one before, and looked at
 *                  in the opposite order, `newest` and `any` with acquire (pair(floors.newest),
 *                  pair(floors.any)): a reader that sees that something rose sees which floor, and
 *                  how hard.
 *   A raise is complete when it returns: a thread that learns of the return from this thread sees
 *   the floor.
 *
 * All puts of a process draw from the one `now`: a locked add to a line that goes from core to
 * core, 10 to 20 million a second at most. (A put takes that line and two more: perf/run lines.)
 * Drawing ahead breaks rule 1: a writer has drawn 100 to 107; a load takes its ticket, 107, and
 * reads the origin; the writer commits and invalidates with 101, which is below: the old value is
 * stored as fresh. A `now` for each shard breaks rule 3: an entry's stamp is compared with floors
 * of groups, which all shards share; a floor would have to be a position of each shard, or a raise
 * would have to draw in all of them.
 */
#ifndef NIGH_L1_FLOORS_H
#define NIGH_L1_FLOORS_H

#include "l1/l1.h"

#define KEY_FLOORS_MAX 16384u
#define KEY_FLOORS_MIN 1024u

/* Keys: (c) constant after init  (a) atomic, only rises */
struct l1_floors {
    struct group_floors *groups; /* (c) -> (a) see hit.h */
    _Atomic uint64_t *keys;      /* (c) -> (a) */
    uint32_t group_count;        /* (c) power of two */
    uint32_t key_count;          /* (c) power of two */
    /* written by every invalidation and put: not on a line that hits read */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t now; /* (a) */
    _Atomic uint64_t renewed; /* (a) */
};

/* The number of key floors for a cap: their table stays a small share of it. */
uint32_t floors_key_count(uint64_t memory_bytes);
/* Bytes of the two tables. */
uint64_t floors_bytes(uint32_t group_count, uint32_t key_count);
/* Errors: NIGH_ENOMEM. */
int floors_init(struct l1_floors *f, uint32_t group_count, uint32_t key_count);
void floors_fini(struct l1_floors *f);

uint64_t floors_raise_group(struct l1_floors *f, uint16_t slot, bool soft);
uint64_t floors_of_key(const struct l1_floors *f, uint64_t hash);
void floors_of_group(const struct l1_floors *f, uint16_t slot, uint64_t *ret_any,
                     uint64_t *ret_hard);
void floors_renew(struct l1_floors *f, uint64_t position);
/* The position of the last floors_renew(); 0: none. */
uint64_t floors_renewed(const struct l1_floors *f);
enum l1_standing floors_judge_slow(const struct l1_floors *f, uint64_t stamp, uint16_t space_slot,
                                   const uint16_t *groups, uint32_t group_count);

static inline uint64_t floors_now(const struct l1_floors *f)
{
    return atomic_load_explicit(&f->now, memory_order_acquire); /* pair(floors.now) */
}

/* ---- raising: parts of a put ---- */

/* Draw the next position. Stamps of entries have 48 bits. A million changes a second take nine
 * years to use them up; twenty million, as many as a machine's cores can draw from one word, 163
 * days of nothing else. If positions wrapped, invalidated entries would be fresh again: so the
 * check ends the process. */
static inline uint64_t floors_mark(struct l1_floors *f)
{
    /* pair(floors.now) */
    uint64_t position = atomic_fetch_add_explicit(&f->now, 1, memory_order_acq_rel) + 1;
    NIGH_CHECK(position <= ENTRY_STAMP_MASK);
    return position;
}

/* Raise a floor to `position`, if it is lower. Returns the floor as it was. */
static inline uint64_t floors_raise_to(_Atomic uint64_t *floor, uint64_t position)
{
    uint64_t was = atomic_load_explicit(floor, memory_order_relaxed);
    /* pair(floors.newest), pair(floors.any), pair(floors.renewed): after the floors that were
     * raised before it, and the clock that was taken, so that a reader that goes on to them finds
     * them; no other order is needed */
    while (was < position &&
           !atomic_compare_exchange_weak_explicit(floor, &was, position, memory_order_release,
                                                  memory_order_relaxed))
        continue;
    return was;
}

/* The floor of a key: by bits of the hash that a usual table uses for neither shard, bucket nor
 * tag, so the keys of a crowded bucket do not share a floor. */
static inline _Atomic uint64_t *floors_key(const struct l1_floors *f, uint64_t hash)
{
    return &f->keys[hash >> 34 & (f->key_count - 1)];
}

static inline void floors_prefetch_key(const struct l1_floors *f, uint64_t hash)
{
    __builtin_prefetch(floors_key(f, hash), 1);
    __builtin_prefetch(&f->now, 1); /* most likely in another writer's cache */
}

/* Raise the floor of a key. `*ret_ok`: whether `ticket` was at or above it just before. Returns the
 * new position. */
static inline uint64_t floors_raise_key(struct l1_floors *f, uint64_t hash, uint64_t ticket,
                                        bool *ret_ok)
{
    uint64_t position = floors_mark(f);
    *ret_ok = ticket >= floors_raise_to(floors_key(f, hash), position);
    return position;
}

static inline enum l1_standing floors_judge(const struct l1_floors *f, uint64_t stamp,
                                            uint16_t space_slot, const uint16_t *groups,
                                            uint32_t group_count)
{
    if (NIGH_LIKELY(stamp_above_newest(f->groups, STAMP_WORD(stamp))))
        return L1_CURRENT;
    return floors_judge_slow(f, stamp, space_slot, groups, group_count);
}

#endif
