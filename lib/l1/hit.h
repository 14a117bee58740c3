/* SPDX-License-Identifier: MIT */
/*
 * What a hit runs of this module, inline: hash, find, judge. (Its pin is in pin.h.)
 *
 * A hit through calls of these small functions spent half its instructions on passing arguments;
 * inlined into the one function that reads they cost what they do. Nothing here is for others to
 * build on: whoever includes l1.h uses the functions that l1.h declares.
 *
 *     struct l1_hit --> tables[shard] --> bucket --> entry --> value
 *     (one line)        (dense)           a miss     a miss    the same line or the next
 *
 * A scan compares seven tags at once and gives a bit mask of candidates; a wrong tag costs nothing,
 * a chance match (5 in 2^10 at a table's planned size) one look at an entry's header. The vector
 * scan reads the words without atomics: it only proposes. Each candidate's word is then loaded
 * with acquire and its tag looked at again, and that load alone decides. Under ThreadSanitizer the
 * scalar scan is used, which is also the fallback of other machines.
 */
#ifndef NIGH_L1_HIT_H
#define NIGH_L1_HIT_H

#include "l1/l1.h"

#if defined(__SSE2__) && !defined(RCU_TSAN)
#include <emmintrin.h>
#endif

#define BUCKET_WORDS 7
#define TABLE_TAG_BITS 16
#define WORD_POINTER_BITS 48
#define WORD_POINTER_MASK ((UINT64_C(1) << WORD_POINTER_BITS) - 1)

/* Keys: (r) written under the shard lock, read in an RCU section */
struct l1_bucket {
    _Atomic uint64_t words[BUCKET_WORDS]; /* (r) pair(table.word); 0: empty */
    _Atomic(struct l1_bucket *) more;     /* (r) pair(table.more) */
};
_Static_assert(sizeof(struct l1_bucket) == CACHE_LINE_BYTES, "one miss per bucket");

/* Behind the address of a table in its word: log2 of its buckets. They follow one line later. */
#define TABLE_BITS_MASK ((uintptr_t)CACHE_LINE_BYTES - 1)
#define TABLE_HEADER_BYTES ((size_t)CACHE_LINE_BYTES)

/*
 * What a hit reads of a table; struct l1 begins with it.
 *
 * The words of all shards lie side by side, away from the locks: they change only when a shard
 * doubles, so sharing a line costs nothing and eight of them need only one.
 * Keys: (c) constant after creation  (r) as above
 */
struct l1_hit {
    _Atomic uintptr_t *tables;            /* (c) -> (r) pair(shard.table), one for each shard */
    const _Atomic uint64_t *newest_group; /* (c) -> of the floors: pair(floors.newest) */
    uint64_t hash_seed;                   /* (c) */
    uint32_t shard_shift;                 /* (c) of the hash, less one: a shift by 64 has no bits */
    uint32_t base_bits;                   /* (c) log2 of the buckets a shard begins with */
};

static inline const struct l1_hit *l1_hit_of(const struct l1 *l1)
{
    return (const void *)l1;
}

static inline uint64_t hit_shard_index(const struct l1_hit *hit, uint64_t hash)
{
    return hash >> 1 >> hit->shard_shift;
}

/* ---- words ---- */

static inline struct l1_entry *table_word_entry(uint64_t word)
{
    uintptr_t at = (uintptr_t)(word & WORD_POINTER_MASK);
    return (struct l1_entry *)at;
}

static inline uint64_t table_tag(uint64_t hash, uint32_t base_bits)
{
    return hash >> base_bits & ((1u << TABLE_TAG_BITS) - 1);
}

static inline struct l1_bucket *bucket_more(const struct l1_bucket *b)
{
    return atomic_load_explicit(&b->more, memory_order_acquire); /* pair(table.more) */
}

/* ---- the scan: bit 4 * i + 3 is set when the tag of word i may be `tag` ---- */

#define MATCH_BITS UINT32_C(0x08888888) /* seven words; the eighth is the link */
#define MATCH_INDEX(mask) ((unsigned)__builtin_ctz(mask) >> 2)

#if defined(__SSE2__) && !defined(RCU_TSAN)

static inline uint32_t bucket_match(const struct l1_bucket *b, uint64_t tag)
{
    const __m128i *lines = (const __m128i *)(const void *)b;
    __m128i wanted = _mm_set1_epi16((short)tag);
    __m128i m0 = _mm_cmpeq_epi16(_mm_load_si128(lines), wanted);
    __m128i m1 = _mm_cmpeq_epi16(_mm_load_si128(lines + 1), wanted);
    __m128i m2 = _mm_cmpeq_epi16(_mm_load_si128(lines + 2), wanted);
    __m128i m3 = _mm_cmpeq_epi16(_mm_load_si128(lines + 3), wanted);
    /* One byte per 16 bits: the tag is the last of each four. */
    uint32_t low = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(m0, m1));
    uint32_t high = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(m2, m3));
    return (low | high << 16) & MATCH_BITS;
}

#else

static inline uint32_t bucket_match(const struct l1_bucket *b, uint64_t tag)
{
    uint32_t mask = 0;
    for (unsigned i = 0; i < BUCKET_WORDS; i++) {
        uint64_t word = atomic_load_explicit(&b->words[i], memory_order_relaxed);
        mask |= (uint32_t)(word >> WORD_POINTER_BITS == tag) << (4 * i + 3);
    }
    return mask;
}

#endif

/* ---- keys ---- */

static inline uint64_t key_differs_8(const uint8_t *a, const uint8_t *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x ^ y;
}

static inline uint32_t key_differs_4(const uint8_t *a, const uint8_t *b)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x ^ y;
}

static inline uint64_t key_differs_16(const uint8_t *a, const uint8_t *b)
{
    return key_differs_8(a, b) | key_differs_8(a + 8, b + 8);
}

/* memcmp() costs a call and keys are short, so: whole words, the last ones overlapping. len > 0. */
static inline bool key_bytes_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    if (NIGH_UNLIKELY(len > 32))
        return memcmp(a, b, len) == 0;
    if (NIGH_LIKELY(len >= 16))
        return !(key_differs_16(a, b) | key_differs_16(a + len - 16, b + len - 16));
    if (len >= 8)
        return !(key_differs_8(a, b) | key_differs_8(a + len - 8, b + len - 8));
    if (len >= 4)
        return !(key_differs_4(a, b) | key_differs_4(a + len - 4, b + len - 4));
    return a[0] == b[0] && a[len / 2] == b[len / 2] && a[len - 1] == b[len - 1];
}

static inline bool entry_has_key(const struct l1_entry *e, const struct l1_key *key)
{
    return e->key_len == key->len && e->space == key->space &&
           key_bytes_equal(e->bytes, key->data, key->len);
}

/* ---- finding ---- */

static inline struct l1_key l1_key_of(const struct l1 *l1, uint32_t space_id, const void *key,
                                      size_t len)
{
    return (struct l1_key){key, (uint32_t)len, space_id,
                           hash_key(l1_hit_of(l1)->hash_seed, space_id, key, len)};
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

/* The entry of a word that has the tag; NULL: the word has changed since it was scanned. */
static inline struct l1_entry *hit_candidate_rcu(const _Atomic uint64_t *at, uint64_t tag)
{
    uint64_t word = atomic_load_explicit(at, memory_order_acquire); /* pair(table.word) */
    return NIGH_LIKELY(word >> WORD_POINTER_BITS == tag) ? table_word_entry(word) : NULL;
}

/* The entry of a key, reached from a table word. */
static inline struct l1_entry *table_find_rcu(uintptr_t table_word, uint32_t base_bits,
                                              const struct l1_key *key)
{
    const struct l1_bucket *b = hit_bucket_rcu(table_word, key->hash);
    uint64_t tag = table_tag(key->hash, base_bits);
    do {
        for (uint32_t mask = bucket_match(b, tag); mask; mask &= mask - 1) {
            struct l1_entry *e = hit_candidate_rcu(&b->words[MATCH_INDEX(mask)], tag);
            if (NIGH_UNLIKELY(!e))
                continue;
            /* Where the value begins follows from the request: ask for that line before the
             * header has arrived. */
            __builtin_prefetch(e->bytes + key->len);
            if (NIGH_LIKELY(entry_has_key(e, key)))
                return e;
        }
        b = bucket_more(b);
    } while (NIGH_UNLIKELY(b));
    return NULL;
}

static inline struct l1_entry *l1_find_rcu(const struct l1 *l1, const struct l1_key *key)
{
    const struct l1_hit *hit = l1_hit_of(l1);
    return table_find_rcu(hit_table_rcu(hit, key->hash), hit->base_bits, key);
}

static inline void l1_prefetch_bucket_rcu(const struct l1 *l1, const struct l1_key *key)
{
    __builtin_prefetch(hit_bucket_rcu(hit_table_rcu(l1_hit_of(l1), key->hash), key->hash));
}

static inline void l1_prefetch_entry_rcu(const struct l1 *l1, const struct l1_key *key)
{
    const struct l1_hit *hit = l1_hit_of(l1);
    const struct l1_bucket *b = hit_bucket_rcu(hit_table_rcu(hit, key->hash), key->hash);
    uint64_t tag = table_tag(key->hash, hit->base_bits);
    uint32_t mask = bucket_match(b, tag);
    struct l1_entry *e = mask ? hit_candidate_rcu(&b->words[MATCH_INDEX(mask)], tag) : NULL;
    /* NULL or wrong: a prefetch never faults, and the search will be right. */
    __builtin_prefetch(e);
    __builtin_prefetch((const char *)e + sizeof(*e) + key->len);
}

/* ---- judging ---- */

enum l1_standing l1_judge_slow(const struct l1 *l1, const struct l1_entry *e);

static inline enum l1_standing l1_judge(const struct l1 *l1, const struct l1_entry *e)
{
    /* pair(floors.newest): if it moved, the floor that moved it is seen */
    uint64_t newest = atomic_load_explicit(l1_hit_of(l1)->newest_group, memory_order_acquire);
    return NIGH_LIKELY(e->stamp >= newest) ? L1_CURRENT : l1_judge_slow(l1, e);
}

#endif
