/* SPDX-License-Identifier: MIT */
/*
 * Two hashes, never mixed up: the L1 hash is seeded per process and never leaves it (hostile keys
 * cannot be crafted against it); the wire hash has seed 0 and is part of the protocol.
 *
 * Both are XXH3-64 from the packaged header (https://xxhash.com, doc/xxhash_spec.md); the L1 hash
 * can be SipHash instead, which was made to stay unpredictable for an enemy who sees its effects.
 */
#ifndef NIGH_BASE_HASH_H
#define NIGH_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include <string.h>

#include "base/bytes.h"
#include "base/check.h"

/* 2^64 / golden ratio, odd: consecutive ids land far apart (Knuth, TAOCP 3, 6.4). */
#define HASH_GOLDEN 0x9E3779B97F4A7C15ull

enum hash_kind { HASH_XXH3, HASH_SIPHASH };

/* The hash function of an L1, with its seed. Keys: (c) constant after hash_init(). */
struct hash {
    uint64_t seed[2];    /* (c) XXH3 takes the first */
    enum hash_kind kind; /* (c) */
};

void hash_init(struct hash *h, enum hash_kind kind, uint64_t seed, uint64_t more_seed);

/*
 * Hash of a key within space `space_id`, for this process only.
 *
 * The space goes into the seed rather than into the hashed bytes: the key is hashed where it lies.
 * Two spaces then have unrelated hashes for one key, as two processes have.
 */
uint64_t hash_key(const struct hash *h, uint32_t space_id, const void *key, size_t len);

/*
 * ---- hash_key() for the path of a hit ----
 *
 * The packaged header decides by itself what it inlines, and a call is a third of the work. So keys
 * of 9 to 32 bytes are hashed here as the specification says ("9-16 byte input", "17-128 byte
 * input" in doc/xxhash_spec.md); all others call hash_key(). The seed of a space is mixed into the
 * words of the specification's secret once, when the space is opened, which saves a quarter of the
 * instructions. Tests compare both ways for every length.
 */

#define HASH_INLINED_LENGTHS 16u /* 17 to 32, and half as many: 9 to 16 */

/* Keys: (c) constant after space_hash_init() */
struct space_hash {
    uint64_t long_words[4];   /* (c) for 17 to 32 bytes */
    uint64_t short_words[2];  /* (c) for 9 to 16 */
    const struct hash *hash;  /* (c) */
    uint32_t space_id;        /* (c) */
    uint32_t inlined_lengths; /* (c) 16; 0: all lengths are left to hash_key() */
};

void space_hash_init(struct space_hash *s, const struct hash *hash, uint32_t space_id);

static inline uint64_t hash_read_64(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

static inline uint64_t hash_multiply_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hash_avalanche(uint64_t h)
{
    h = (h ^ h >> 37) * 0x165667919E3779F9ull;
    return h ^ h >> 32;
}

static NIGH_INLINED uint64_t hash_9_to_16(const uint64_t words[2], const uint8_t *key, size_t len)
{
    uint64_t low = hash_read_64(key) ^ words[0];
    uint64_t high = hash_read_64(key + len - 8) ^ words[1];
    return hash_avalanche(len + __builtin_bswap64(low) + high + hash_multiply_fold(low, high));
}

static NIGH_INLINED uint64_t hash_17_to_32(const uint64_t words[4], const uint8_t *key, size_t len)
{
    const uint8_t *end = key + len - 16;
    uint64_t first =
        hash_multiply_fold(hash_read_64(key) ^ words[0], hash_read_64(key + 8) ^ words[1]);
    uint64_t last =
        hash_multiply_fold(hash_read_64(end) ^ words[2], hash_read_64(end + 8) ^ words[3]);
    return hash_avalanche(len * 0x9E3779B185EBCA87ull + first + last);
}

/* The specification's secret, with a seed in it. */
static inline void hash_long_words(uint64_t seed, uint64_t ret_words[4])
{
    ret_words[0] = 0xbe4ba423396cfeb8ull + seed;
    ret_words[1] = 0x1cad21f72c81017cull - seed;
    ret_words[2] = 0xdb979083e96dd4deull + seed;
    ret_words[3] = 0x1f67b3b7a4a44072ull - seed;
}

static inline uint64_t hash_seed_of(const struct hash *h, uint32_t space_id)
{
    return h->seed[0] ^ space_id * HASH_GOLDEN;
}

/* hash_key() where no struct space_hash is at hand: for victims of an eviction, whose hashes took a
 * twentieth of a put. */
static inline uint64_t hash_key_again(const struct hash *h, uint32_t space_id, const void *key,
                                      size_t len)
{
    uint64_t words[4];
    if (NIGH_UNLIKELY(len - 17 >= HASH_INLINED_LENGTHS || h->kind != HASH_XXH3))
        return hash_key(h, space_id, key, len);
    hash_long_words(hash_seed_of(h, space_id), words);
    return hash_17_to_32(words, key, len);
}

static NIGH_INLINED uint64_t space_hash_key(const struct space_hash *s, const void *key,
                                            size_t len)
{
    size_t lengths = s->inlined_lengths; /* wide, so that no instruction widens it */
    if (NIGH_LIKELY(len - 17 < lengths))
        return hash_17_to_32(s->long_words, key, len);
    if (NIGH_LIKELY(len - 9 < HASH_INLINED_LENGTHS / 2) && lengths > 0)
        return hash_9_to_16(s->short_words, key, len);
    return hash_key(s->hash, s->space_id, key, len);
}

/* XXH3-64, seed 0, of the bytes as they are: checksums, the identity of a Redis clock. */
uint64_t hash_bytes(struct bytes b);

enum wire_kind {
    WIRE_KEY = 1,
    WIRE_TAG = 2,
    WIRE_SPACE = 3,
    WIRE_ALL = 4,
    WIRE_FILL = 5,
};

/* The wire hash: XXH3-64, seed 0, over u8 kind, u32 len + space, u32 len + bytes. */
uint64_t hash_wire(enum wire_kind kind, struct bytes space, struct bytes bytes);

/* Group slots: 0 is `all`, 1..1023 spaces, the rest tags (by wire hash). */
#define GROUP_SLOT_ALL 0u
#define GROUP_SLOT_TAGS 1024u
#define GROUP_SLOTS_MIN 2048u
#define GROUP_SLOTS_MAX 65536u /* an L1 entry keeps a slot in 16 bits */

/* Slot of the group (kind TAG, SPACE or ALL) among `slots` (GROUP_SLOTS_MIN .. _MAX). */
uint16_t hash_group_slot(enum wire_kind kind, uint64_t wire_hash, uint32_t slots);

#endif
