// SPDX-License-Identifier: MIT
/*
 * XXH3-64 from the packaged header, inlined: nothing of libxxhash is linked.
 *
 * Wire hashes and group slots are part of the protocol: a change here makes nodes of the old and
 * the new build disagree about which floor an invalidation raises. Test vectors pin them.
 */
#include "base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "base/siphash.h"

void hash_init(struct hash *h, enum hash_kind kind, uint64_t seed, uint64_t more_seed)
{
    *h = (struct hash){{seed, more_seed}, kind};
}

uint64_t hash_key(const struct hash *h, uint32_t space_id, const void *key, size_t len)
{
    uint64_t seed[2] = {hash_seed_of(h, space_id), h->seed[1]};
    if (h->kind == HASH_SIPHASH)
        return siphash_1_3(seed, key, len);
    return XXH3_64bits_withSeed(key, len, seed[0]);
}

void space_hash_init(struct space_hash *s, const struct hash *hash, uint32_t space_id)
{
    uint64_t seed = hash_seed_of(hash, space_id);
    *s = (struct space_hash){
        .short_words = {0x6782737bea4239b9ull + seed, 0xaf56bc3b0996523aull - seed},
        .hash = hash,
        .space_id = space_id,
        .inlined_lengths = hash->kind == HASH_XXH3 ? HASH_INLINED_LENGTHS : 0,
    };
    hash_long_words(seed, s->long_words);
}

uint64_t hash_bytes(struct bytes b)
{
    return XXH3_64bits(b.data, b.len);
}

/* Room for most names, which are then hashed in one go: a stream takes three times as long. */
#define WIRE_TEXT_BYTES 240u

static size_t append(uint8_t *text, size_t len, struct bytes b)
{
    put_le32(text + len, (uint32_t)b.len);
    if (b.len > 0)
        memcpy(text + len + 4, b.data, b.len);
    return len + 4 + b.len;
}

static uint64_t hash_wire_short(enum wire_kind kind, struct bytes space, struct bytes bytes)
{
    uint8_t text[WIRE_TEXT_BYTES];
    text[0] = (uint8_t)kind;
    size_t len = append(text, append(text, 1, space), bytes);
    return XXH3_64bits(text, len);
}

static void feed(XXH3_state_t *state, struct bytes b)
{
    uint8_t len[4];
    put_le32(len, (uint32_t)b.len);
    XXH3_64bits_update(state, len, sizeof(len));
    if (b.len > 0)
        XXH3_64bits_update(state, b.data, b.len);
}

uint64_t hash_wire(enum wire_kind kind, struct bytes space, struct bytes bytes)
{
    XXH3_state_t state;
    uint8_t k = (uint8_t)kind;
    if (space.len + bytes.len <= WIRE_TEXT_BYTES - 9 && bytes.len < WIRE_TEXT_BYTES)
        return hash_wire_short(kind, space, bytes);
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, &k, 1);
    feed(&state, space);
    feed(&state, bytes);
    return XXH3_64bits_digest(&state);
}

uint16_t hash_group_slot(enum wire_kind kind, uint64_t wire_hash, uint32_t slots)
{
    NIGH_DCHECK(slots >= GROUP_SLOTS_MIN && slots <= GROUP_SLOTS_MAX);
    if (kind == WIRE_ALL)
        return GROUP_SLOT_ALL;
    if (kind == WIRE_SPACE)
        return (uint16_t)(1 + wire_hash % (GROUP_SLOT_TAGS - 1));
    NIGH_DCHECK(kind == WIRE_TAG);
    return (uint16_t)(GROUP_SLOT_TAGS + wire_hash % (slots - GROUP_SLOT_TAGS));
}
