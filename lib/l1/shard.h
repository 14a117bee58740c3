/* SPDX-License-Identifier: MIT */
/*
 * A shard: a table that readers use without a lock, and everything that writers keep about it.
 *
 * Thread-safety: l1_find_rcu() reads the table word in a section; all else happens under the lock.
 * A `_locked` function REQUIRES(shard lock). No thread waits for a second shard's lock: one that
 * looks for room in another shard uses trylock.
 */
#ifndef NIGH_L1_SHARD_H
#define NIGH_L1_SHARD_H

#include "l1/core.h"
#include "l1/table.h"

/* Shards that are visited by turns, where one visit does not suffice: a lock that is left and taken
 * again at once does not go to the thread that waits for it. */
#define SHARDS_BY_TURNS 8u

/* Keys: (r) written under the shard lock, read in an RCU section  (s) shard lock  (a) atomic */
struct l1_shard {
    _Alignas(CACHE_LINE_BYTES) struct latch lock;
    _Atomic uintptr_t *table; /* (c) -> (r) the shard's word in l1_hit.tables */
    struct mem_cache *cache; /* (s) */
    struct l1_ring ring;     /* (s) */
    uint32_t entries;        /* (s) live entries */
    uint32_t grow_at;        /* (s) at so many entries the table doubles */
    uint32_t make_at;        /* (s) at so many the next table is made; <= grow_at */
    uint32_t removals;       /* (s) count; unchanged: a word found before is still good */
    struct tally *tallies;   /* (s) what came and left, by id of the space & tally_mask: tally.h */
    uint64_t arrays_pages_bytes; /* (s) the part outside the arena */
    uint64_t spare_bytes;    /* (s) the reserve: borrowed from the cap, not used */
    _Atomic uint64_t unstored_bytes; /* (a) charge of entries made here, not stored yet */
    _Atomic uint16_t *due; /* (c) -> (a) written (s): tick before which nothing expires here */
    uint32_t move_at;                /* (s) slot up to which compact.c has moved */
    uint32_t tally_mask;             /* (s) 0: one tally for all spaces */
    bool freeing;                    /* (s) a writer has come since the reclaimer's last visit */
    bool marked;                     /* (s) the reclaimer has been told to come */
    uint32_t entries_counted;        /* (s) `entries` when the reclaimer last added them up */
    bool poke;                       /* (s) tell the reclaimer after unlocking */
    bool wants_table;                /* (s) make next_table after unlocking */
    bool gives_back;                 /* (s) whoever goes for room is shed: see compact.c */
    struct l1_table *next_table;     /* (s) empty, for the next doubling; NULL: not made yet */

    /* retired entries, by how far they are; see limbo.h */
    struct l1_list retired;         /* (s) unlinked, no grace period begun */
    struct l1_list waiting;         /* (s) a grace period is running */
    struct l1_list aside;           /* (s) unlinked while limbo was full, no grace period begun */
    struct l1_list aside_waiting;   /* (s) set aside, a grace period is running */
    struct l1_list held;            /* (s) unreachable, but referenced or pinned */
    struct l1_list held_waiting;    /* (s) held, being looked at again */
    struct l1_list ready;           /* (s) neither held nor to be found: free at will */
    uint64_t held_bytes;            /* (s) */
    uint64_t limbo_spare_bytes;     /* (s) allowance: counted as limbo's before it is used */
    struct l1_table *retired_tables; /* (s) */

    void *policy; /* (c) -> the policy's state, as it says */
    struct l1_newcomer newcomer; /* (s) */

    /* seldom touched, and so on a line of their own */
    uint64_t arrays_bytes; /* (s) charged for the ring, and for what the policy keeps */
    uint64_t lock_waits;   /* (s) times that somebody waited for the lock ... */
    uint64_t lock_wait_ns; /* (s) ... and how long in all */
};

static inline struct l1_shard *l1_shard_of(const struct l1 *l1, uint64_t hash)
{
    return &l1->shards[hit_shard_index(&l1->hit, hash)];
}

static inline struct l1_table *shard_table_locked(struct l1_shard *s) REQUIRES(s->lock)
{
    uintptr_t at = atomic_load_explicit(s->table, memory_order_relaxed) & ~TABLE_BITS_MASK;
    return (struct l1_table *)at;
}

/* Make an empty shard of a struct that is zeroed but for `table`. Errors: NIGH_ENOMEM (nothing is
 * left behind). */
int l1_shard_init(struct l1 *l1, struct l1_shard *s);
/* Frees every entry and table. */
void l1_shard_fini(struct l1 *l1, struct l1_shard *s);
/* Bytes charged for an empty shard. */
uint64_t l1_shard_empty_bytes(const struct l1 *l1);

/* Prefetch the lines that the reclaimer writes in a visit. */
static inline void l1_shard_prefetch(const struct l1_shard *s)
{
    const char *at = (const char *)s;
    for (size_t line = 0; line < offsetof(struct l1_shard, policy); line += CACHE_LINE_BYTES)
        __builtin_prefetch(at + line, 1);
}

/* Wait for the lock, and note how long. */
NIGH_OUTLINED void l1_shard_lock_slow(struct l1_shard *s) ACQUIRES(s->lock);
static inline void l1_shard_lock(struct l1_shard *s) ACQUIRES(s->lock) LOCKS_UNCHECKED
{
    if (NIGH_UNLIKELY(!latch_try(&s->lock)))
        l1_shard_lock_slow(s);
}
/* Unlock, and do what was asked for under the lock: poke the reclaimer, make a table. */
NIGH_OUTLINED void l1_shard_unlock_slow(struct l1 *l1, struct l1_shard *s) RELEASES(s->lock);
static inline void l1_shard_unlock(struct l1 *l1, struct l1_shard *s) RELEASES(s->lock)
{
    if (NIGH_UNLIKELY(s->poke | s->wants_table))
        l1_shard_unlock_slow(l1, s);
    else
        latch_unlock(&s->lock);
}

/* See that the ring has a free slot. False: there is no room for a larger ring. */
NIGH_OUTLINED bool l1_shard_grow_ring_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock);
static inline bool l1_shard_has_slot_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock)
{
    return NIGH_LIKELY(s->ring.free.head != RING_NONE) || l1_shard_grow_ring_locked(l1, s);
}
/* Double a table that is full; have the next one made for a table that is nearly full. */
NIGH_OUTLINED void l1_shard_grow_soon_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock);
/* Get for one more entry a slot in the ring, a table of the right size, and what the policy needs.
 * False: there is no room. */
static inline bool l1_shard_prepare_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock)
{
    if (NIGH_UNLIKELY(s->entries >= s->make_at))
        l1_shard_grow_soon_locked(l1, s);
    return l1_shard_has_slot_locked(l1, s) && (!l1->policy->prepare || l1->policy->prepare(l1, s));
}
/* A free word for one more entry of this hash; NULL: no room. */
NIGH_OUTLINED _Atomic uint64_t *l1_shard_place_slow_locked(struct l1 *l1, struct l1_shard *s,
                                                           uint64_t hash) REQUIRES(s->lock);
static inline _Atomic uint64_t *l1_shard_place_locked(struct l1 *l1, struct l1_shard *s,
                                                      uint64_t hash) REQUIRES(s->lock)
{
    _Atomic uint64_t *word = table_place_first(shard_table_locked(s), hash);
    return NIGH_LIKELY(word != NULL) ? word : l1_shard_place_slow_locked(l1, s, hash);
}

/* Bytes charged for tables and arrays. */
uint64_t l1_shard_tables_bytes_locked(struct l1_shard *s) REQUIRES(s->lock);
/* The part of these bytes on pages outside the arena. */
uint64_t l1_shard_pages_bytes_locked(struct l1_shard *s) REQUIRES(s->lock);
/* Bytes that l1_shard_fit_locked() and l1_shard_trim_locked() would give back. */
uint64_t l1_shard_slack_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock);
/* Fold a table, and limit a ring, that are too large for the entries there are. */
void l1_shard_fit_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock);
/* Cut the ring at its limit, when nothing lies above. */
void l1_shard_trim_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock);

#endif
