/* SPDX-License-Identifier: MIT */
/*
 * A bucket of a table: its layout, the scan for a tag, and comparing the key of what it proposes.
 *
 *     7 x {16-bit tag | 48-bit entry}, link        one cache line
 *
 * A scan compares seven tags at once and gives a bit mask of candidates; a wrong tag costs nothing,
 * a chance match (5 in 2^10 at a table's planned size) one look at an entry's header. The vector
 * scan reads the words without atomics: it only proposes candidates. Each candidate's word is then
 * loaded with acquire, and the key of the entry that it names now is compared: the tag may have
 * changed meanwhile, and does not matter any more. Under ThreadSanitizer the scalar scan is used,
 * which is also the fallback of other machines.
 */
#ifndef NIGH_L1_BUCKET_H
#define NIGH_L1_BUCKET_H

#include "l1/entry.h"

#if defined(__SSE2__) && !defined(RCU_TSAN)
#define BUCKET_SSE2 1
#include <emmintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__) && !defined(RCU_TSAN)
#define BUCKET_NEON 1
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
 * A mask has a bit for each word whose tag may be `tag`; MATCH_INDEX() gives the word's index for
 * the lowest bit. Each way to scan puts the bits where they cost it nothing.
 */

/* Word i sets bit i. */
static inline uint64_t bucket_match_scalar(const struct l1_bucket *b, uint64_t tag)
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < BUCKET_WORDS; i++) {
        uint64_t word = atomic_load_explicit(&b->words[i], memory_order_relaxed);
        mask |= (uint64_t)(word >> WORD_POINTER_BITS == tag) << i;
    }
    return mask;
}

#if defined(BUCKET_SSE2)

#define MATCH_INDEX(mask) ((unsigned)__builtin_ctz((unsigned)(mask)) >> 1)

/* Bring the upper halves of four words side by side: every other 16 bits are a tag. */
static inline __m128i upper_halves(const struct l1_bucket *b, unsigned half)
{
    const float *at = (const float *)(const void *)b + 8 * half;
    return _mm_castps_si128(_mm_shuffle_ps(_mm_load_ps(at), _mm_load_ps(at + 4), 0xdd));
}

/* Word i sets bit 2 * i + 1: the sign of 32 bits whose upper half matches. The eighth word is
 * `more`, and is masked out. */
static inline uint64_t bucket_match(const struct l1_bucket *b, uint64_t tag)
{
    __m128i wanted = _mm_set1_epi16((short)tag);
    __m128i low = _mm_cmpeq_epi16(upper_halves(b, 0), wanted);
    __m128i high = _mm_cmpeq_epi16(upper_halves(b, 1), wanted);
    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi32(low, high)) & 0x2aaau;
}

#elif defined(BUCKET_NEON)

#define MATCH_INDEX(mask) ((unsigned)__builtin_ctzll(mask) >> 3)

/* Word i sets bit 8 * i + 7. The load puts every fourth 16 bits into a register: the tags. */
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

/* The entry that the first matching word names now. NULL: the word has been cleared meanwhile, or
 * it was empty and the tag is 0. */
static inline struct l1_entry *bucket_candidate_rcu(const struct l1_bucket *b, uint64_t mask)
{
    /* pair(table.word) */
    return table_word_entry(
        atomic_load_explicit(&b->words[MATCH_INDEX(mask)], memory_order_acquire));
}

/* ---- keys ---- */

static inline uint64_t key_differs_8(const uint8_t *a, const uint8_t *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x ^ y;
}

/* Compare keys of 16 to 32 bytes. */
#if defined(BUCKET_SSE2)

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

/* Compare keys shorter than 8 bytes or longer than 32. */
NIGH_OUTLINED bool entry_key_equal_odd(const struct l1_entry *e, const void *key, size_t len);

/* Compare whole words, the last ones overlapping: memcmp() costs a call, and keys are short. The
 * usual length ends in a branch of its own: one answer for all lengths would be made a number
 * first, and then compared again. */
static NIGH_INLINED bool entry_key_equal(const struct l1_entry *e, const uint8_t *key, size_t len)
{
    const uint8_t *own = e->bytes;
    if (NIGH_LIKELY(len - 16 <= 16)) {
        if (NIGH_LIKELY(key_equal_32(own, key, len)))
            return true;
        return false;
    }
    if (NIGH_LIKELY(len - 8 <= 8))
        return !(key_differs_8(own, key) | key_differs_8(own + len - 8, key + len - 8));
    return entry_key_equal_odd(e, key, len);
}

#endif
