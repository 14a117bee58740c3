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
 * with acquire, and what it names now is judged by its key: its tag may have changed meanwhile, and
 * does not matter any more. Under ThreadSanitizer the scalar scan is used, which is also the
 * fallback of other machines.
 */
#ifndef NIGH_L1_HIT_H
#define NIGH_L1_HIT_H

#include "l1/l1.h"

#if defined(__SSE2__) && !defined(RCU_TSAN)
#define HIT_SSE2 1
#include <emmintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__) && !defined(RCU_TSAN)
#define HIT_NEON 1
#include <arm_neon.h>
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
    struct hash hash;                     /* (c) */
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

/*
 * ---- the scan ----
 *
 * A mask has a bit for each word whose tag may be `tag`, MATCH_INDEX() says for which the lowest
 * is. Where the bits are is what each way of finding them gives for nothing.
 */

/* Bit i. */
static inline uint64_t bucket_match_scalar(const struct l1_bucket *b, uint64_t tag)
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < BUCKET_WORDS; i++) {
        uint64_t word = atomic_load_explicit(&b->words[i], memory_order_relaxed);
        mask |= (uint64_t)(word >> WORD_POINTER_BITS == tag) << i;
    }
    return mask;
}

#if defined(HIT_SSE2)

#define MATCH_INDEX(mask) ((unsigned)__builtin_ctzll(mask) >> 1)

/* The upper halves of four words side by side: their tags are every other 16 bits. */
static inline __m128i upper_halves(const struct l1_bucket *b, unsigned half)
{
    const float *at = (const float *)(const void *)b + 8 * half;
    return _mm_castps_si128(_mm_shuffle_ps(_mm_load_ps(at), _mm_load_ps(at + 4), 0xdd));
}

/* Bit 2 * i + 1: the sign of 32 bits that end in a match. The eighth word is the link. */
static inline uint64_t bucket_match(const struct l1_bucket *b, uint64_t tag)
{
    __m128i wanted = _mm_set1_epi16((short)tag);
    __m128i low = _mm_cmpeq_epi16(upper_halves(b, 0), wanted);
    __m128i high = _mm_cmpeq_epi16(upper_halves(b, 1), wanted);
    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi32(low, high)) & 0x2aaau;
}

#elif defined(HIT_NEON)

#define MATCH_INDEX(mask) ((unsigned)__builtin_ctzll(mask) >> 3)

/* Bit 8 * i + 7. The load takes every fourth of 16 bits apart: the tags. */
static inline uint64_t bucket_match(const struct l1_bucket *b, uint64_t tag)
{
    uint16x8x4_t line = vld4q_u16((const uint16_t *)(const void *)b);
    uint16x8_t same = vceqq_u16(line.val[3], vdupq_n_u16((uint16_t)tag));
    return vget_lane_u64(vreinterpret_u64_u8(vmovn_u16(same)), 0) & 0x0080808080808080u;
}

#else

#define MATCH_INDEX(mask) ((unsigned)__builtin_ctzll(mask))

static inline uint64_t bucket_match(const struct l1_bucket *b, uint64_t tag)
{
    return bucket_match_scalar(b, tag);
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

/* 16 to 32 bytes. */
#if defined(HIT_SSE2)

static inline __m128i key_same_16(const uint8_t *a, const uint8_t *b)
{
    return _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)(const void *)a),
                          _mm_loadu_si128((const __m128i *)(const void *)b));
}

static inline bool key_equal_32(const uint8_t *a, const uint8_t *b, size_t len)
{
    __m128i same = _mm_and_si128(key_same_16(a, b), key_same_16(a + len - 16, b + len - 16));
    return _mm_movemask_epi8(same) == 0xffff;
}

#else

static inline uint64_t key_differs_16(const uint8_t *a, const uint8_t *b)
{
    return key_differs_8(a, b) | key_differs_8(a + 8, b + 8);
}

static inline bool key_equal_32(const uint8_t *a, const uint8_t *b, size_t len)
{
    return !(key_differs_16(a, b) | key_differs_16(a + len - 16, b + len - 16));
}

#endif

/* memcmp() costs a call and keys are short, so: whole words, the last ones overlapping. len > 0. */
static inline bool key_bytes_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    if (NIGH_UNLIKELY(len > 32))
        return memcmp(a, b, len) == 0;
    if (NIGH_LIKELY(len >= 16))
        return key_equal_32(a, b, len);
    if (len >= 8)
        return !(key_differs_8(a, b) | key_differs_8(a + len - 8, b + len - 8));
    if (len >= 4)
        return !(key_differs_4(a, b) | key_differs_4(a + len - 4, b + len - 4));
    return a[0] == b[0] && a[len / 2] == b[len / 2] && a[len - 1] == b[len - 1];
}

static inline bool entry_has_key(const struct l1_entry *e, const struct l1_key *key)
{
    return NIGH_LIKELY(e->name == entry_name_of(key->space, key->len)) &&
           NIGH_LIKELY(key_bytes_equal(e->bytes, key->data, key->len));
}

/* ---- finding ---- */

static NIGH_INLINED struct l1_key l1_key_inlined(const struct l1 *l1, uint32_t space_id,
                                                 const void *key, size_t len)
{
    return (struct l1_key){key, (uint32_t)len, space_id,
                           hash_key_inlined(&l1_hit_of(l1)->hash, space_id, key, len)};
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

/* What a candidate's word names now; NULL: it has been cleared, or was empty and the tag is 0. */
static inline struct l1_entry *hit_candidate_rcu(const struct l1_bucket *b, uint64_t mask)
{
    /* pair(table.word) */
    return table_word_entry(
        atomic_load_explicit(&b->words[MATCH_INDEX(mask)], memory_order_acquire));
}

/* The entry of a key, of which the search begins at a bucket. */
static inline struct l1_entry *bucket_find_rcu(const struct l1_bucket *b, uint32_t base_bits,
                                               const struct l1_key *key)
{
    uint64_t tag = table_tag(key->hash, base_bits);
    do {
        for (uint64_t mask = bucket_match(b, tag); NIGH_LIKELY(mask); mask &= mask - 1) {
            struct l1_entry *e = hit_candidate_rcu(b, mask);
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
    return bucket_find_rcu(hit_bucket_rcu(hit_table_rcu(hit, key->hash), key->hash),
                           hit->base_bits, key);
}

/* Where a search will begin, unless the table has been doubled meanwhile. */
struct l1_guess {
    const _Atomic uintptr_t *table;
    uintptr_t table_word;
    const struct l1_bucket *bucket;
};

static inline struct l1_guess l1_guess(const struct l1 *l1, const struct l1_key *key)
{
    const struct l1_hit *hit = l1_hit_of(l1);
    const _Atomic uintptr_t *table = &hit->tables[hit_shard_index(hit, key->hash)];
    /* Relaxed: only compared, and an address to prefetch. */
    uintptr_t word = atomic_load_explicit(table, memory_order_relaxed);
    const struct l1_bucket *bucket = hit_bucket_rcu(word, key->hash);
    __builtin_prefetch(bucket);
    return (struct l1_guess){table, word, bucket};
}

/* Its bucket now. */
static inline const struct l1_bucket *guess_bucket_rcu(const struct l1_guess *guess, uint64_t hash)
{
    /* pair(shard.table): a table is filled before its word is stored */
    uintptr_t word = atomic_load_explicit(guess->table, memory_order_acquire);
    return NIGH_LIKELY(word == guess->table_word) ? guess->bucket : hit_bucket_rcu(word, hash);
}

static inline struct l1_entry *l1_find_guessed_rcu(const struct l1 *l1, const struct l1_key *key,
                                                   const struct l1_guess *guess)
{
    return bucket_find_rcu(guess_bucket_rcu(guess, key->hash), l1_hit_of(l1)->base_bits, key);
}

static inline struct l1_entry *l1_candidate_rcu(const struct l1 *l1, const struct l1_key *key,
                                                const struct l1_guess *guess)
{
    const struct l1_bucket *b = guess_bucket_rcu(guess, key->hash);
    uint64_t mask = bucket_match(b, table_tag(key->hash, l1_hit_of(l1)->base_bits));
    if (NIGH_UNLIKELY(!mask))
        return NULL;
    struct l1_entry *e = hit_candidate_rcu(b, mask);
    /* NULL or another's: a prefetch never faults, and l1_confirm_rcu() will see. */
    __builtin_prefetch(e);
    __builtin_prefetch((const char *)e + sizeof(*e) + key->len);
    return e;
}

static inline struct l1_entry *l1_confirm_rcu(const struct l1 *l1, const struct l1_key *key,
                                              const struct l1_guess *guess, struct l1_entry *e)
{
    return NIGH_LIKELY(e && entry_has_key(e, key)) ? e : l1_find_guessed_rcu(l1, key, guess);
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
