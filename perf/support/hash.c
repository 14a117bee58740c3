// SPDX-License-Identifier: MIT
/*
 * The one file of the harness that sees xxhash; the wire hash, from the words of
 * lib/l2/README.md "Names".
 */
#include "support/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "support/fail.h"

#define WIRE_TAG 2
#define FIRST_TAG_SLOT 1024u

uint64_t hash_text(struct text t)
{
    return XXH3_64bits(t.data, t.len);
}

uint64_t hash_within(struct text other, struct text t)
{
    return other.len ? XXH3_64bits_withSeed(t.data, t.len, hash_text(other)) : hash_text(t);
}

static uint8_t *put_le32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        *p++ = (uint8_t)(v >> (8 * i));
    return p;
}

/* XXH3-64, seed 0, over u8 kind, u32 length + space (a tag has none), u32 length + bytes. */
uint32_t hash_tag_slot(struct text tag, uint32_t slots)
{
    uint8_t *bytes = must_alloc(9 + tag.len, 1);
    uint8_t *p = bytes;
    *p++ = WIRE_TAG;
    p = put_le32(p, 0);
    p = put_le32(p, (uint32_t)tag.len);
    memcpy(p, tag.data, tag.len);
    uint64_t hash = XXH3_64bits(bytes, 9 + tag.len);
    free(bytes);
    return FIRST_TAG_SLOT + (uint32_t)(hash % (slots - FIRST_TAG_SLOT));
}
