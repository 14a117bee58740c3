/* SPDX-License-Identifier: MIT */
/*
 * A shard's hash table: buckets of one cache line, found and read without a lock.
 *
 *     table word (one for each shard):  address of the header | log2(buckets)
 *
 *     header | bucket 0 | bucket 1 | ...        each  7 x {16-bit tag | 48-bit entry}, link
 *
 * The hash is used from both ends: the top bits choose the shard, the low `bits` the bucket, the 16
 * bits above `base_bits` (the size that tables begin with) are the tag. So the index bit that a
 * doubling needs next is a bit of the tag, and no entry is touched (10 ns per entry against 32).
 *
 * Ordering
 *   word    stored with release after the entry is complete, loaded with acquire
 *           (pair(table.word)): a reader that sees the pointer sees the entry. Cleared or replaced
 *           in place: a reader sees the old entry, the new one or nothing, never a part.
 *   link    the same for an overflow bucket (pair(table.more)); links are only ever added.
 *   table   a doubled table is complete before its word is stored (pair(shard.table)). Readers that
 *           still walk the old one see it as it was when its last writer left; it is freed after a
 *           grace period.
 * Entries never move within a table, so a reader cannot miss one that is there all the time.
 */
#ifndef NIGH_L1_TABLE_H
#define NIGH_L1_TABLE_H

#include "l1/hit.h"

#define BUCKET_CHAIN_MAX 4 /* buckets; 28 entries: work per lookup stays bounded for hostile keys */

/* Keys: (c) constant after creation  (s) shard lock */
struct l1_table {
    _Alignas(CACHE_LINE_BYTES) struct l1_table *next; /* (s) next old table in limbo */
    void *block;          /* (c) as allocated */
    size_t block_bytes;   /* (c) */
    uint64_t charged_bytes; /* (s) with its overflow buckets */
    uint32_t bits;        /* (c) log2 of the buckets */
    uint32_t base_bits;   /* (c) */
    _Alignas(CACHE_LINE_BYTES) struct l1_bucket buckets[];
};
_Static_assert(offsetof(struct l1_table, buckets) == TABLE_HEADER_BYTES, "each fills one line");

/* Says where the search for a place ended. */
struct l1_place {
    _Atomic uint64_t *word; /* free one, or NULL */
    struct l1_bucket *last; /* last bucket of the chain, or that of the word */
    uint32_t length;        /* buckets in the chain */
};

static inline uint64_t table_word_of(uint64_t tag, const struct l1_entry *e)
{
    return tag << WORD_POINTER_BITS | (uintptr_t)e;
}

/* The entry that a word holds; NULL: none, or there is no word. REQUIRES(shard lock) */
static inline struct l1_entry *table_entry_in(const _Atomic uint64_t *word)
{
    return word ? table_word_entry(atomic_load_explicit(word, memory_order_relaxed)) : NULL;
}

static inline struct l1_bucket *table_bucket(struct l1_table *t, uint64_t hash)
{
    return &t->buckets[hash & ((UINT64_C(1) << t->bits) - 1)];
}

/* Bytes that table_create() takes. */
uint64_t table_bytes(const struct mem *mem, uint32_t bits);
/* Make an empty table, resident; NULL: no memory. The caller has charged table_bytes(). */
struct l1_table *table_create(struct mem *mem, uint32_t bits, uint32_t base_bits);
/* Free a table with its overflow buckets; entries are not its business. */
void table_destroy(struct mem *mem, struct l1_table *t);

/* All below REQUIRES(shard lock). */

/* The word that holds the key's entry, or exactly this entry; NULL: not there. table_find_word() is
 * table_word_of_key() as a part of its caller. */
static NIGH_INLINED _Atomic uint64_t *table_find_word(struct l1_table *t, const struct l1_key *key)
{
    uint64_t tag = table_tag(key->hash, t->base_bits);
    for (struct l1_bucket *b = table_bucket(t, key->hash); b; b = bucket_more(b))
        for (uint64_t mask = bucket_match(b, tag); mask; mask &= mask - 1) {
            _Atomic uint64_t *word = &b->words[MATCH_INDEX(mask)];
            struct l1_entry *e =
                table_word_entry(atomic_load_explicit(word, memory_order_relaxed));
            if (e && entry_has_key(e, key))
                return word;
        }
    return NULL;
}
_Atomic uint64_t *table_word_of_key(struct l1_table *t, const struct l1_key *key);
_Atomic uint64_t *table_word_of_entry(struct l1_table *t, uint64_t hash, const struct l1_entry *e);
/* A free word in the first bucket of the chain; NULL: look further. */
static inline _Atomic uint64_t *table_place_first(struct l1_table *t, uint64_t hash)
{
    struct l1_bucket *b = table_bucket(t, hash);
    for (unsigned i = 0; i < BUCKET_WORDS; i++)
        if (!atomic_load_explicit(&b->words[i], memory_order_relaxed))
            return &b->words[i];
    return NULL;
}
/* A place for one more entry of this hash. */
struct l1_place table_place(struct l1_table *t, uint64_t hash);
/* Publish an entry: a reader that finds it sees what was written to it before. */
static inline void table_publish(_Atomic uint64_t *word, uint64_t tag, const struct l1_entry *e)
{
    /* pair(table.word): the entry is complete before anyone can find it */
    atomic_store_explicit(word, table_word_of(tag, e), memory_order_release);
}
static inline void table_clear(_Atomic uint64_t *word)
{
    /* An empty word hands nothing over, so no order is needed. */
    atomic_store_explicit(word, 0, memory_order_relaxed);
}
/* Put a charged overflow bucket behind `last`. False: no memory. */
bool table_extend(struct mem *mem, struct l1_table *t, struct l1_bucket *last);
uint64_t table_extend_bytes(const struct mem *mem);
/* The coldest entry of the chain (entry_coldness()): it makes room in a chain at its limit. */
struct l1_entry *table_chain_coldest(const struct l1_hit *hit, struct l1_table *t, uint64_t hash);
/*
 * Fill `to` (empty) from `from`, with at most `extend_max` overflow buckets. False when that is not
 * enough or there is no memory: `to` is then to be destroyed.
 */
typedef bool table_fill_fn(struct mem *mem, struct l1_table *from, struct l1_table *to,
                           uint32_t extend_max);
table_fill_fn table_double; /* to one twice as large */
table_fill_fn table_fold;   /* to a smaller one */
/* Bytes that a table takes of whole pages; 0: it is in the arena. */
size_t table_pages_bytes(const struct l1_table *t);

#endif
