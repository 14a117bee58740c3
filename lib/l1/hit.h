/* SPDX-License-Identifier: MIT */
/*
 * The path of a hit in this module, inline: hash, find, note, judge (compare with the floors). What
 * a bucket is and how it is searched: bucket.h; pins: pin.h; the whole hit: cache/read/hit.h.
 *
 * A hit through calls of these small functions spent half its instructions on passing arguments;
 * inlined into the one function that reads, they cost no more than their own work. Other modules
 * use only the functions that l1.h declares, and build on nothing else here.
 *
 *     struct l1_space --> tables[shard] --> bucket --> entry --> value
 *     (two lines)         (dense)           a miss     a miss    the same line or the next
 *
 * A hit takes the first entry whose tag matches and pins it before it has looked at it: so it can
 * leave its section, and read the clock, while the entry comes from memory. If the entry then turns
 * out not to be the key's, or not fresh, the hit unpins it and begins anew with l1_find_rcu(),
 * which looks at all entries whose tags match.
 */
#ifndef NIGH_L1_HIT_H
#define NIGH_L1_HIT_H

#include "l1/bucket.h"
#include "l1/l1.h"

/* The low bits of a table's word, below its address: log2 of its buckets, which begin one cache
 * line behind that address. */
#define TABLE_BITS_MASK ((uintptr_t)CACHE_LINE_BYTES - 1)
#define TABLE_HEADER_BYTES ((size_t)CACHE_LINE_BYTES)

/* Keys: (a) atomic, only rises; floors.h says how */
struct group_floor {
    _Atomic uint64_t any;  /* (a) pair(floors.any) */
    _Atomic uint64_t hard; /* (a) */
};

/* Floors of all groups, by slot. Keys: (a) as above */
struct group_floors {
    _Atomic uint64_t newest; /* (a) pair(floors.newest); STAMP_WORD(); read by every hit */
    /* no floor, but every hit reads this line: l1_hit.generation of the table of all */
    _Atomic uint8_t generation; /* (a) */
    _Alignas(CACHE_LINE_BYTES) struct group_floor of[];
};

/*
 * The part of a table that a search reads: struct l1 begins with it, and each space has a copy.
 *
 * The words of all shards lie side by side, away from the locks: they change only when a shard
 * doubles, so sharing a line costs nothing and eight of them need only one.
 * Keys: (c) constant after creation  (r) written under the shard lock, read in an RCU section
 */
struct l1_hit {
    _Atomic uintptr_t *tables;         /* (c) -> (r) pair(shard.table), one for each shard */
    const struct group_floors *groups; /* (c) -> (a) */
    /* (c) -> (a) the present generation; 0: hits are counted instead. pair(l1.generation) */
    _Atomic(_Atomic uint8_t *) generation;
    uint32_t shard_shift;              /* (c) hash to shard, less one: no shift by 64 */
    uint32_t base_bits;                /* (c) log2 of the buckets that a shard begins with */
};

/* All that a hit needs to know of its space, side by side. Keys: (c) constant after
 * l1_space_init()  (m) changed by l1_space_move() alone, while no hit reads it */
struct l1_space {
    struct space_hash hash; /* (c) */
    struct l1_hit hit;      /* (m) */
    uint64_t label;         /* (c) the part that its entries' labels share: label_of_space() */
    uint32_t group_slot;    /* (c) the slot of the space's own group */
    const struct l1 *l1;    /* (c) the table of all: for its floors */
};

static inline const struct l1_hit *l1_hit_of(const struct l1 *l1)
{
    return (const void *)l1;
}

static inline uint64_t hit_shard_index(const struct l1_hit *hit, uint64_t hash)
{
    return hash >> 1 >> hit->shard_shift;
}

/* ---- finding ---- */

static inline bool entry_has_key(const struct l1_entry *e, const struct l1_key *key)
{
    uint64_t differs = e->label ^ (label_of_space(key->space) | label_of_key(key->len));
    return NIGH_LIKELY(!(differs >> LABEL_KEY_SHIFT)) &&
           NIGH_LIKELY(entry_key_equal(e, key->data, key->len));
}

static inline uintptr_t hit_table_rcu(const struct l1_hit *hit, uint64_t hash)
{
    /* pair(shard.table): a table is filled before its word is stored */
    return atomic_load_explicit(&hit->tables[hit_shard_index(hit, hash)], memory_order_acquire);
}

static inline const struct l1_bucket *hit_bucket_rcu(uintptr_t table_word, uint64_t hash)
{
    uintptr_t at = (table_word & ~TABLE_BITS_MASK) + TABLE_HEADER_BYTES;
    return (struct l1_bucket *)at + (hash & ~(UINT64_MAX << (table_word & TABLE_BITS_MASK)));
}

/* Find a key's entry in a bucket and those linked behind it. */
static inline struct l1_entry *bucket_find_rcu(const struct l1_bucket *b, uint32_t base_bits,
                                               const struct l1_key *key)
{
    uint64_t tag = table_tag(key->hash, base_bits);
    for (; b; b = bucket_more(b))
        for (uint64_t mask = bucket_match(b, tag); mask; mask &= mask - 1) {
            struct l1_entry *e = bucket_candidate_rcu(b, mask);
            if (e && entry_has_key(e, key))
                return e;
        }
    return NULL;
}

static inline struct l1_entry *l1_find_rcu(const struct l1 *l1, const struct l1_key *key)
{
    const struct l1_hit *hit = l1_hit_of(l1);
    return bucket_find_rcu(hit_bucket_rcu(hit_table_rcu(hit, key->hash), key->hash),
                           hit->base_bits, key);
}

/* ---- the path of a hit ---- */

static NIGH_INLINED uint64_t l1_hash(const struct l1_space *s, const void *key, size_t len)
{
    return space_hash_key(&s->hash, key, len);
}

static inline const struct l1_bucket *l1_bucket_rcu(const struct l1_space *s, uint64_t hash)
{
    return hit_bucket_rcu(hit_table_rcu(&s->hit, hash), hash);
}

static inline struct l1_entry *l1_likely_rcu(const struct l1_space *s, const struct l1_bucket *b,
                                             uint64_t hash)
{
    uint64_t tag = table_tag(hash, s->hit.base_bits), mask;
    while (NIGH_UNLIKELY(!(mask = bucket_match(b, tag)))) {
        b = bucket_more(b);
        if (NIGH_UNLIKELY(!b))
            return NULL;
    }
    return bucket_candidate_rcu(b, mask);
}

static NIGH_INLINED bool l1_is_value(const struct l1_space *s, const struct l1_entry *e,
                                     const void *key, size_t len, size_t *ret_len)
{
    uint64_t differs = (e->label ^ (s->label | label_of_key(len))) >> LABEL_VALUE_SHIFT;
    if (NIGH_UNLIKELY(differs >= LABEL_ABSENT) || NIGH_UNLIKELY(!entry_key_equal(e, key, len)))
        return false;
    *ret_len = differs;
    return true;
}

/* ---- noting ---- */

/* The value may be read relaxed: an old one makes an entry seem a little older than it is. A hit
 * whose space moves meanwhile may read the generation of either table. */
static inline uint8_t l1_generation(const struct l1_hit *hit)
{
    /* pair(l1.generation) */
    const _Atomic uint8_t *at = atomic_load_explicit(&hit->generation, memory_order_acquire);
    return atomic_load_explicit(at, memory_order_relaxed);
}

/*
 * A lost note only makes an entry a little colder than it is, so no RMW: a plain load, and a store
 * only while it changes something: hot entries stay unwritten, and their line shared.
 *
 * The first comparison serves both kinds of note: `spare` is as wanted, and nothing is to be done.
 * Without generations `now` is 0, which is also a full counter, and never a generation.
 */
static inline uint32_t l1_touch(struct l1_entry *e, uint8_t now)
{
    uint8_t spare = entry_spare(e);
    if (NIGH_LIKELY(spare == now))
        return 0;
    if (now) {
        uint8_t mark = (uint8_t)(~spare & GENERATION_BIT);
        if (spare != (uint8_t)(now ^ mark))
            entry_spare_set(e, now ^ mark);
        return mark ? L1_TOUCHED_MARKED : 0;
    }
    uint32_t left = spare & ~ENTRY_MARKED;
    if (left)
        entry_spare_set(e, spare & (uint8_t)(spare - 1)); /* without its lowest bit */
    return (left & ENTRY_SAMPLED ? L1_TOUCHED_SAMPLED : 0) |
           (spare & ENTRY_MARKED ? L1_TOUCHED_MARKED : 0);
}

/* Rate how little an entry is worth keeping: higher is colder. */
static inline uint32_t entry_coldness(const struct l1_hit *hit, const struct l1_entry *e)
{
    uint8_t now = l1_generation(hit);
    return now ? generation_age(now, entry_spare(e)) : ENTRY_FREQ_MAX - entry_freq(e);
}

/* ---- judging ---- */

enum l1_standing l1_judge_slow(const struct l1 *l1, const struct l1_entry *e);

static inline bool stamp_above_newest(const struct group_floors *groups, uint64_t stamp_word)
{
    /* pair(floors.newest): if it moved, the floor that moved it is seen */
    return stamp_word >= atomic_load_explicit(&groups->newest, memory_order_acquire);
}

static inline bool stamp_above_floor(const struct group_floors *groups, uint64_t stamp,
                                     uint32_t slot)
{
    /* relaxed: only a caller that goes on to `hard` needs an order */
    return stamp >= atomic_load_explicit(&groups->of[slot].any, memory_order_relaxed);
}

/* Whether the entry is above the floors of its tag, its space and all. Without tags, `tag` is 0:
 * the slot of all. Several tags are not at hand: then the answer is false. */
static inline bool hit_above_own(const struct l1_space *s, const struct l1_entry *e)
{
    const struct group_floors *groups = s->hit.groups;
    return !(e->flags & ENTRY_MANY_TAGS) && stamp_above_floor(groups, e->stamp, e->tag) &&
           stamp_above_floor(groups, e->stamp, s->group_slot) &&
           stamp_above_floor(groups, e->stamp, GROUP_SLOT_ALL);
}

static inline enum l1_standing l1_judge(const struct l1 *l1, const struct l1_entry *e)
{
    return NIGH_LIKELY(stamp_above_newest(l1_hit_of(l1)->groups, entry_stamp_word(e)))
               ? L1_CURRENT
               : l1_judge_slow(l1, e);
}

static inline bool l1_is_current(const struct l1_space *s, const struct l1_entry *e)
{
    return NIGH_LIKELY(stamp_above_newest(s->hit.groups, entry_stamp_word(e))) ||
           hit_above_own(s, e) || l1_judge_slow(s->l1, e) == L1_CURRENT;
}

#endif
