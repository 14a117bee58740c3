// SPDX-License-Identifier: MIT
/*
 * SipHash, with the number of rounds that siphash.h names.
 */
#include "base/siphash.h"

#include <string.h>

struct state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void mix(struct state *s)
{
    s->v0 += s->v1;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v2 = rotate(s->v2, 32);
}

static inline void absorb(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    mix(s);
    s->v0 ^= word;
}

/* Returns the rest of the data as the last word, with the length in its top byte. Little-endian, as
 * all of nigh. */
static inline uint64_t last_word(const uint8_t *at, size_t len)
{
    uint64_t word = 0;
    memcpy(&word, at, len % 8);
    return word | (uint64_t)len << 56;
}

uint64_t siphash_1_3(const uint64_t key[2], const void *data, size_t len)
{
    const uint8_t *at = data;
    const uint8_t *end = at + len / 8 * 8;
    struct state s = {
        key[0] ^ 0x736f6d6570736575ull, /* "somepseudorandomlygeneratedbytes" */
        key[1] ^ 0x646f72616e646f6dull,
        key[0] ^ 0x6c7967656e657261ull,
        key[1] ^ 0x7465646279746573ull,
    };
    for (; at < end; at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        absorb(&s, word);
    }
    absorb(&s, last_word(at, len));
    s.v2 ^= 0xff;
    for (int round = 0; round < 3; round++)
        mix(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
