/* SPDX-License-Identifier: MIT */
/*
 * What the files of this module share: the cache's struct, and the entries' private side.
 */
#ifndef NIGH_L1_CORE_H
#define NIGH_L1_CORE_H

#include <pthread.h>

#include "l1/compact.h"
#include "l1/family.h"
#include "l1/floors.h"
#include "l1/judge.h"
#include "l1/l1.h"
#include "l1/policy.h"
#include "l1/shadow.h"
#include "l1/shard_set.h"
#include "l1/shrink.h"

struct l1_shard;
struct l1_table;

/* Keys: (a) atomic  (g) reclaim lock */
struct l1_reclaim {
    struct shard_set marked; /* (a) shards that have something in limbo, or a part of its count */
    struct shard_set held;   /* (g) shards with retired entries that somebody holds */
    struct shard_set left;   /* (g) shards whose entries were too many for the batch */
    struct batch batch;      /* (g) */
    struct l1_table *waiting_tables; /* (g) a grace period is running */
    _Atomic uint64_t slots;  /* (a) of all pins that a look goes through */
    uint32_t turn;           /* (g) shard that is visited next though nothing is there */
    uint64_t entries_sum;    /* (g) of all shards, when each was visited last */
    uint64_t held_count;     /* (g) entries */
    uint64_t held_delay_ns;  /* (g) from the last look at them to the next */
    uint64_t held_look_ns;   /* (g) when that is */
    uint64_t held_before;    /* (g) entries, at the beginning of this pass */
    bool looks;              /* (g) this pass looks at them */
    bool waits;              /* (g) it has something for the grace period */
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
 *        used - limbo, the live ones, are below live_max = cap - limbo_cap, by evicting: so that
 *        limbo has its room, and an insert need not wait for a grace period. Whoever takes room
 *        brings them towards target = live_max - reserves, a little at a time (room.h).
 *        cap is the one in force. When the host asks for less (goal), it follows what is used down,
 *        so all of this holds at every moment of a shrink too (shrink.h).
 */
struct l1 {
    struct l1_hit hit;              /* first: hit.h knows no more of it */
    struct hash hash;               /* (c) */
    struct l1_shard *shards;        /* (c) */
    _Atomic uint16_t *dues;         /* (c) -> (a) of all shards: see l1_shard.due */
    uint32_t shard_mask;            /* (c) */
    uint32_t id;                    /* (c) 0 .. L1_CACHES_MAX - 1 */
    const struct l1_policy *policy; /* (c) */
    struct mem *mem;                /* (c) arena of entries and tables */
    struct env *env;                /* (c) */
    struct stats *stats;            /* (c) */
    struct l1_floors *floors;       /* (c) its own, or those of the table of all */
    void (*poke)(void *arg);        /* (c) after the first store */
    void *poke_arg;                 /* (c) */
    struct pool *loose;             /* (c) of small loose entries */
    uint32_t shard_entries_max;     /* (c) a shard's part of the cap on entries; 0: there is none */
    uint64_t fixed_bytes;           /* (c) floors, shards, this */
    uint64_t least_bytes;           /* (c) a lower cap is refused */
    size_t shards_block_bytes;      /* (c) with the words of their tables */
    uint16_t space_slots[L1_SPACES_MAX + 1]; /* (c) from l1_space_init() on: the space's group */

    /* limits of now: each stands for itself, so it is no harm to see an old one beside a new one */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t cap_bytes; /* (a) */
    _Atomic uint64_t limbo_cap_bytes; /* (a) */
    _Atomic uint64_t limbo_much_bytes;      /* (a) so much, and the next pass begins at once */
    _Atomic uint64_t limbo_allowance_bytes; /* (a) a shard's part of its count, ahead of need */
    _Atomic uint64_t live_max_bytes;  /* (a) */
    _Atomic uint64_t target_bytes;    /* (a) */
    _Atomic uint32_t entries_mean;    /* (a) of a shard, at the reclaimer's last pass */
    _Atomic uint64_t reserve_bytes;   /* (a) what a shard may keep borrowed but unused */
    _Atomic uint64_t entry_max_bytes; /* (a) a larger entry is not stored */
    /* one reclaimer at a time; outermost */
    _Alignas(CACHE_LINE_BYTES) pthread_mutex_t reclaim_lock;
    struct l1_reclaim reclaim; /* its state: reclaim.c */
    pthread_mutex_t expire_lock;
    uint32_t expire_next; /* expire_lock: shard to go on with */
    uint64_t expire_ns;   /* expire_lock: when it was looked last */
    struct l1_shrink shrink;
    struct l1_compact compact;
    struct l1_member member;
    struct l1_family family; /* in the table of all */

    struct l1_floors own_floors; /* in the table of all */
    struct shadows shadows; /* lfu */
    _Atomic uint32_t quarters; /* (a) lru: that hands have gone, all shards together */

    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t used; /* (a) */
    _Atomic uint64_t peak;                            /* (a) */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t limbo; /* (a) without what is held or
                                                        * aside; with shards' allowances */
    _Atomic uint64_t aside;                            /* (a) */
    /* lru, in the tables of capped spaces: hit.generation */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint8_t own_generation; /* (a) */
};

_Static_assert(offsetof(struct l1, hit) == 0, "l1_hit_of()");

static inline uint64_t l1_limit(const _Atomic uint64_t *limit)
{
    return atomic_load_explicit(limit, memory_order_relaxed);
}

/* ---- entry.c ---- */

/* Bytes for a value of a key. */
size_t entry_size_of(const struct l1_key *key, const struct l1_value *value);
/* What it is charged. */
static inline uint64_t entry_charge(const struct l1 *l1, const struct l1_entry *e)
{
    return mem_charge(l1->mem, entry_size(e));
}
/* Write header, key, value and extension. `refs`: the creator's, or ENTRY_STORED. */
void entry_fill(struct l1_entry *e, const struct l1 *l1, const struct l1_key *key,
                const struct l1_value *value, uint64_t stamp, uint32_t refs, uint8_t own_flags);
/* Lifetimes, as in an entry. */
struct entry_times {
    uint64_t life, fresh, stale;
};
/* The same for a value without version and tags that the shard stores. */
void entry_fill_plain(struct l1_entry *e, const struct l1 *l1, const struct l1_key *key,
                      struct bytes value, struct entry_times times, uint64_t stamp);
/* Of small loose entries. NULL: no memory. */
struct pool *entry_loose_pool_create(struct mem *mem);
/* From general memory; NULL: none. */
struct l1_entry *entry_create_loose(struct l1 *l1, const struct l1_key *key,
                                    const struct l1_value *value);
/* All but refs, slot and spare, which others may be writing. */
void entry_copy_bytes(struct l1_entry *copy, const struct l1_entry *e, size_t size);
/* A loose one with the same content and one reference. */
struct l1_entry *entry_copy(struct l1 *l1, const struct l1_entry *e);
/*
 * From the arena, for a charge that has been taken; not yet filled. NULL: no memory.
 *
 * A table's word has 48 bits for an address, a ring's 44 for one by 16. That is what the kernel
 * gives whoever does not ask for more, also with five levels of pages; but the host may run under
 * an allocator or a tool that marks addresses in their upper bits. Such memory is none for us.
 */
static inline struct l1_entry *entry_alloc(struct l1 *l1, struct mem_cache *cache, size_t size)
{
    struct l1_entry *e = mem_alloc(l1->mem, cache, size);
    if (NIGH_LIKELY(!((uintptr_t)e & ~(WORD_POINTER_MASK - 15))) && !fault_fires(FAULT_ADDRESS))
        return e;
    mem_free(l1->mem, cache, e, size);
    return NULL;
}
/* Back to the arena. The caller's accounting has been done. */
void entry_free(struct l1 *l1, struct mem_cache *cache, struct l1_entry *e);
uint64_t entry_hash(const struct l1 *l1, const struct l1_entry *e);

/* ---- l1.c ---- */

/* NULL: it is the cache of a parent, from before fork(). */
struct l1 *l1_by_id(uint32_t id);

#endif
