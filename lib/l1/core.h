/* SPDX-License-Identifier: MIT */
/*
 * The struct of the table and the private functions of entries: shared by the files of this module.
 */
#ifndef NIGH_L1_CORE_H
#define NIGH_L1_CORE_H

#include <pthread.h>

#include "l1/cap.h"
#include "l1/compact.h"
#include "l1/curve.h"
#include "l1/family.h"
#include "l1/fates.h"
#include "l1/floors.h"
#include "l1/judge.h"
#include "l1/l1.h"
#include "l1/policy.h"
#include "l1/shard_set.h"
#include "l1/shrink.h"

struct l1_shard;
struct l1_table;

/* Keys: (a) atomic  (g) reclaim lock */
struct l1_reclaim {
    struct shard_set marked; /* (a) shards with something in limbo, or an allowance of its count */
    struct shard_set held;   /* (g) shards with retired entries that are pinned or referenced */
    struct shard_set left;   /* (g) shards with entries for which the batch had no room */
    struct batch batch;      /* (g) */
    struct l1_table *waiting_tables; /* (g) freed when the grace period under way is over */
    _Atomic uint64_t slots;  /* (a) pin slots of all threads, which a look at the pins reads */
    uint32_t turn;           /* (g) shard that is visited next even if nothing is there */
    uint64_t entries_sum;    /* (g) entries of all shards, each counted at its last visit */
    uint64_t held_count;     /* (g) retired entries that are pinned or referenced */
    uint64_t held_delay_ns;  /* (g) from the last look at the held entries to the next */
    uint64_t held_look_ns;   /* (g) when the next look at the held entries is due */
    uint64_t held_before;    /* (g) held_count at the beginning of this pass */
    bool looks;              /* (g) whether this pass looks at the held entries */
    bool waits;              /* (g) whether this pass has something for the grace period */
};

/* Caches open at once in one process; an entry names its cache by number. */
#define L1_CACHES_MAX (1u << ENTRY_CACHE_BITS)

/*
 * The whole table in this process.
 *
 * Thread-safety: everything but create and destroy from any thread.
 * Keys: (c) constant after creation  (a) atomic
 *
 * Bytes. used = the fixed tables + what shards have borrowed: entries (stored, unstored, retired),
 *               tables, rings and a small reserve each.   used <= cap, always.
 *        limbo = retired and on their way out: freed after the next grace period.
 *        used - limbo, the live bytes, stay below live_max = cap - limbo_cap, by evicting: so limbo
 *        has its room, and an insert need not wait for a grace period. Each insert that takes room
 *        brings the live bytes towards target = live_max - reserves, a little at a time (room.h).
 *        cap is the one in force. When the host asks for less (goal), the cap follows `used` down,
 *        so all of this is true at every moment of a shrink too (shrink.h).
 */
struct l1 {
    struct l1_hit hit;              /* first: hit.h knows no other part of this struct */
    struct hash hash;               /* (c) */
    struct l1_shard *shards;        /* (c) */
    _Atomic uint16_t *dues;         /* (c) -> (a) a tick for each shard: see l1_shard.due */
    uint32_t shard_mask;            /* (c) */
    uint32_t id;                    /* (c) 0 .. L1_CACHES_MAX - 1 */
    const struct l1_policy *policy; /* (c) */
    void *policy_common;            /* (c) -> the policy's state for all shards */
    struct mem *mem;                /* (c) arena of entries and tables */
    struct env *env;                /* (c) */
    struct stats *stats;            /* (c) */
    struct l1_floors *floors;       /* (c) own_floors, or those of the table of all */
    struct l1_fates *fates;         /* (c) own_fates, or those of the table of all */
    void (*poke)(void *arg);        /* (c) from the first store on */
    void *poke_arg;                 /* (c) */
    struct pool *loose;             /* (c) memory of small loose entries */
    uint32_t shard_entries_max;     /* (c) a shard's part of the cap on entries; 0: no such cap */
    uint32_t shard_live_max;        /* (c) the same, or the number that leaves limbo enough slots */
    uint32_t mark_mask_most;        /* (c) of the fewest marks: marks.h */
    uint64_t fixed_bytes;           /* (c) floors, shards, this struct */
    uint64_t least_bytes;           /* (c) a lower cap is refused */
    size_t shards_block_bytes;      /* (c) shards, table words, sets, dues, policy's states */
    _Atomic(struct stats *) *space_stats; /* (c) -> (a) as space_slots: see l1_stats_of(). In the
                                           * table of all */
    struct tally *tallies;          /* of all shards, once they are more than the first ones; by who
                                     * calls l1_space_count_in() */
    uint16_t space_slots[L1_SPACES_MAX + 1]; /* (c) from l1_space_init() on: its group */

    /* present limits: none depends on another, so an old one may be seen beside a new one */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t cap_bytes; /* (a) */
    _Atomic uint64_t limbo_cap_bytes; /* (a) */
    _Atomic uint64_t limbo_much_bytes;      /* (a) from here on, the next pass begins at once */
    _Atomic uint64_t limbo_allowance_bytes; /* (a) a shard's advance on limbo's count */
    _Atomic uint64_t live_max_bytes;  /* (a) */
    _Atomic uint64_t target_bytes;    /* (a) */
    _Atomic uint32_t entries_mean;    /* (a) a shard's mean, at the reclaimer's last pass */
    _Atomic uint32_t mark_mask;       /* (a) a hash with 0 in it, from L1_MARK_SHIFT, is marked */
    _Atomic uint32_t mark_mask_least; /* (a) of the most marks that there have been */
    _Atomic bool closed; /* (a) takes no values: nobody is evicted, and the cap is to come down */
    _Atomic bool short_of_room; /* (a) a larger cap would hold more: core_note_short() */
    _Atomic uint64_t reserve_bytes;   /* (a) borrowed bytes that a shard may leave unused */
    _Atomic uint64_t entry_max_bytes; /* (a) a larger entry is not stored */
    /* outermost lock: one thread reclaims at a time */
    _Alignas(CACHE_LINE_BYTES) pthread_mutex_t reclaim_lock;
    struct l1_reclaim reclaim; /* under reclaim_lock: reclaim.c */
    pthread_mutex_t expire_lock;
    uint32_t expire_next; /* expire_lock: shard to go on with */
    uint64_t expire_ns;   /* expire_lock: when the last sweep looked at the clock */
    struct l1_cap cap;
    struct l1_shrink shrink;
    struct l1_compact compact;
    struct l1_member member;
    struct l1_family family; /* in the table of all */

    struct curve curve;      /* in the table of all */

    struct l1_floors own_floors; /* in the table of all */
    _Alignas(CACHE_LINE_BYTES) struct l1_fates own_fates; /* in the table of all */

    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t used; /* (a) */
    _Atomic uint64_t peak;                            /* (a) */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t limbo; /* (a) without bytes held or
                                                        * aside; with shards' allowances */
    _Atomic uint64_t aside;                            /* (a) retired when limbo was full */
    /* hit.generation points here under lru, in the tables of capped spaces */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint8_t own_generation; /* (a) */
};

_Static_assert(offsetof(struct l1, hit) == 0, "l1_hit_of()");

static inline bool curve_is_on(const struct l1 *l1)
{
    return atomic_load_explicit(&l1->curve.on, memory_order_acquire); /* pair(curve.on) */
}

static inline uint32_t core_mark_mask(const struct l1 *l1)
{
    return atomic_load_explicit(&l1->mark_mask, memory_order_relaxed);
}

static inline bool core_marks(const struct l1 *l1, uint64_t hash)
{
    return l1_mask_marks(core_mark_mask(l1), hash);
}

/* Note that something left, or was refused, for which a larger cap would have had room: for itself,
 * or for a ring or a table with a place for it. The curve takes the note back when the cap is
 * another. */
static inline void core_note_short(struct l1 *l1)
{
    if (NIGH_UNLIKELY(!atomic_load_explicit(&l1->short_of_room, memory_order_relaxed)))
        atomic_store_explicit(&l1->short_of_room, true, memory_order_relaxed);
}

/* Returns the set in which it is counted what becomes of a space's values. */
static inline struct stats *l1_stats_of(const struct l1 *l1, uint32_t space_id)
{
    struct stats *own = NULL;
    if (l1->space_stats)
        own = atomic_load_explicit(&l1->space_stats[space_id], memory_order_relaxed);
    return own ? own : l1->stats;
}

static inline uint64_t l1_limit(const _Atomic uint64_t *limit)
{
    return atomic_load_explicit(limit, memory_order_relaxed);
}

/* ---- entry.c ---- */

/* Bytes of an entry for this key and value. */
size_t entry_size_of(const struct l1_key *key, const struct l1_value *value);
/* Bytes that an entry is charged to the cap. */
static inline uint64_t entry_charge(const struct l1 *l1, const struct l1_entry *e)
{
    return mem_charge(l1->mem, entry_size(e));
}
/* Write header, key, value and extension. `refs`: 1, the creator's, or ENTRY_STORED. */
void entry_fill(struct l1_entry *e, const struct l1 *l1, const struct l1_key *key,
                const struct l1_value *value, uint64_t stamp, uint32_t refs, uint8_t own_flags);
/* Lifetimes, as in an entry. */
struct entry_times {
    uint64_t life, fresh, stale;
};
/* entry_fill() for a value without version and tags, in an entry that the shard stores. */
void entry_fill_plain(struct l1_entry *e, const struct l1 *l1, const struct l1_key *key,
                      struct bytes value, const struct entry_times *times, uint64_t stamp);
/* Create the pool of small loose entries. NULL: no memory. */
struct pool *entry_loose_pool_create(struct mem *mem);
/* Make a loose entry, from general memory. NULL: no memory. */
struct l1_entry *entry_create_loose(struct l1 *l1, const struct l1_key *key,
                                    const struct l1_value *value);
/* Copy all but refs, slot and spare, which other threads may be writing. */
void entry_copy_bytes(struct l1_entry *copy, const struct l1_entry *e, size_t size);
/* Make a loose entry with the same content and one reference. NULL: no memory. */
struct l1_entry *entry_copy(struct l1 *l1, const struct l1_entry *e);
/*
 * Allocate an entry from the arena, not yet filled; it has been charged. NULL: no memory.
 *
 * A word of the table has 48 bits for an address, a word of the ring 44 for an address / 16. The
 * kernel gives no larger addresses unless asked to, also with five levels of pages; but the host
 * may run under an allocator or a tool that marks addresses in their upper bits. Such memory is
 * given back, and counts as none.
 */
static inline struct l1_entry *entry_alloc(struct l1 *l1, struct mem_cache *cache, size_t size)
{
    struct l1_entry *e = mem_alloc(l1->mem, cache, size);
    if (NIGH_LIKELY(!((uintptr_t)e & ~(WORD_POINTER_MASK - 15))) && !fault_fires(FAULT_ADDRESS))
        return e;
    mem_free(l1->mem, cache, e, size);
    return NULL;
}
/*
 * Give an entry's memory back: to the arena, or where a loose one is from. The caller has done the
 * accounting. An entry's life ends in one of these ways:
 *
 *   limbo_free_ready_locked()  it was found past its grace period, and not held: a writer of the
 *                              shard frees it on its way, or a pass does where none comes
 *   limbo_exchange_locked(), limbo_recycle_locked()  the same, but a new entry gets the memory
 *   file_one_locked()          the same, but it was set aside, or held before: by the pass
 *   l1_entry_unref()           it was never stored: by its last holder
 *   enter_unmake_locked()      it was made in vain, under the lock, and nobody has seen it
 *   l1_shard_fini()            the table is destroyed
 */
void entry_free(struct l1 *l1, struct mem_cache *cache, struct l1_entry *e);
uint64_t entry_hash(const struct l1 *l1, const struct l1_entry *e);

#endif
