/* SPDX-License-Identifier: MIT */
/*
 * A set of shards, a bit each: 65,536 of them are 8 KiB, which are read through in a microsecond.
 *
 * Thread-safety: any thread adds; taking a word takes its members out. Membership carries no data:
 * the reason for which a shard is in the set is read under its lock, so nothing here is ordered.
 */
#ifndef NIGH_L1_SHARD_SET_H
#define NIGH_L1_SHARD_SET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Keys: (c) constant after creation  (a) atomic, relaxed */
struct shard_set {
    _Atomic uint64_t *words; /* (c) -> (a), zeroed memory of shard_set_bytes() */
    uint32_t word_count;     /* (c) */
};

static inline size_t shard_set_bytes(uint32_t shards)
{
    return (shards + 63) / 64 * sizeof(uint64_t);
}

static inline void shard_set_init(struct shard_set *set, void *zeroed, uint32_t shards)
{
    set->words = zeroed;
    set->word_count = (shards + 63) / 64;
}

static inline void shard_set_add(struct shard_set *set, uint32_t shard)
{
    atomic_fetch_or_explicit(&set->words[shard / 64], UINT64_C(1) << shard % 64,
                             memory_order_relaxed);
}

/* A walk takes the members out one after the other, in their order; a shard that is added meanwhile
 * may be met. */
struct shard_walk {
    struct shard_set *set;
    uint32_t next_word;
    uint64_t bits; /* taken out and not told yet: of the word before next_word */
};

static inline struct shard_walk shard_walk_begin(struct shard_set *set)
{
    return (struct shard_walk){set, 0, 0};
}

/* Take the next member out. False: none is left. */
static inline bool shard_walk_next(struct shard_walk *walk, uint32_t *ret_shard)
{
    struct shard_set *set = walk->set;
    while (!walk->bits) {
        if (walk->next_word == set->word_count)
            return false;
        _Atomic uint64_t *word = &set->words[walk->next_word++];
        if (atomic_load_explicit(word, memory_order_relaxed))
            walk->bits = atomic_exchange_explicit(word, 0, memory_order_relaxed);
    }
    *ret_shard = (walk->next_word - 1) * 64 + (uint32_t)__builtin_ctzll(walk->bits);
    walk->bits &= walk->bits - 1;
    return true;
}

/* The member that comes next, if it is known already; for asking for its memory. */
static inline bool shard_walk_peek(const struct shard_walk *walk, uint32_t *ret_shard)
{
    if (!walk->bits)
        return false;
    *ret_shard = (walk->next_word - 1) * 64 + (uint32_t)__builtin_ctzll(walk->bits);
    return true;
}

/* End a walk early: members that were taken out and not told are put back. */
static inline void shard_walk_end(const struct shard_walk *walk)
{
    if (walk->bits)
        atomic_fetch_or_explicit(&walk->set->words[walk->next_word - 1], walk->bits,
                                 memory_order_relaxed);
}

#endif
