// SPDX-License-Identifier: MIT
/*
 * Counters in words: looking, adding, halving, moving.
 *
 * `level` is the content of a counter, `count` the number that it stands for.
 */
#include "l1/sketch.h"

#include <string.h>

#include "base/base.h"

#define ROWS 4u
#define COUNTER_BITS 4u
#define ROW_BITS 5u   /* hash bits of a row: it has 32 counters in a block */
#define BLOCK_BITS 32 /* the hash's low bits are for blocks */
#define LEVELS (SKETCH_LEVEL_MAX + 1)

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

static const uint16_t counts[LEVELS] = {0, 1,  2,  3,  4,   5,   6,   7,
                                       8, 16, 32, 64, 128, 256, 512, 1024};

size_t sketch_bytes(uint32_t blocks)
{
    return (size_t)blocks * SKETCH_BLOCK_WORDS * sizeof(uint64_t);
}

uint32_t sketch_blocks_for(uint32_t entries)
{
    return entries / SKETCH_BLOCK_ENTRIES + 1;
}

static uint32_t mask_for(uint32_t blocks)
{
    uint32_t mask = 0;
    while (mask < blocks - 1)
        mask = mask * 2 + 1;
    return mask;
}

static uint32_t block_index(uint32_t low, uint32_t blocks, uint32_t mask)
{
    uint32_t index = low & mask;
    return index < blocks ? index : index & mask >> 1;
}

/* Each of 16 counters as large as the larger of two. */
static uint64_t larger_counters(uint64_t a, uint64_t b)
{
    uint64_t larger = 0;
    for (unsigned shift = 0; shift < 64; shift += COUNTER_BITS) {
        uint64_t one = UINT64_C(15) << shift;
        larger |= (a & one) > (b & one) ? a & one : b & one;
    }
    return larger;
}

static uint64_t *block_at(const struct sketch *s, uint32_t index)
{
    return s->words + (size_t)index * SKETCH_BLOCK_WORDS;
}

static void set_blocks(struct sketch *s, uint32_t blocks)
{
    s->blocks = blocks;
    s->mask = mask_for(blocks);
}

void sketch_grow(struct sketch *s, void *words, uint32_t blocks)
{
    s->words = words;
    if (!s->blocks)
        memset(words, 0, sketch_bytes(blocks));
    for (uint32_t i = s->blocks; s->blocks && i < blocks; i++)
        memcpy(block_at(s, i), block_at(s, block_index(i, s->blocks, s->mask)), sketch_bytes(1));
    set_blocks(s, blocks);
}

void sketch_fold(struct sketch *s, uint32_t blocks)
{
    uint32_t before = s->blocks;
    set_blocks(s, blocks);
    for (uint32_t i = blocks; i < before; i++) {
        uint64_t *to = block_at(s, block_index(i, blocks, s->mask));
        for (uint32_t word = 0; word < SKETCH_BLOCK_WORDS; word++)
            to[word] = larger_counters(to[word], block_at(s, i)[word]);
    }
}

static inline uint64_t *block_of(const struct sketch *s, uint64_t hash)
{
    return block_at(s, block_index((uint32_t)hash, s->blocks, s->mask));
}

/* A counter: where it is, and what it says. */
struct counter {
    uint64_t *word;
    unsigned shift;
    uint32_t level;
};

static inline struct counter counter_of(uint64_t *block, uint64_t hash, unsigned row)
{
    unsigned index = (unsigned)(hash >> (BLOCK_BITS + row * ROW_BITS)) & ((1u << ROW_BITS) - 1);
    struct counter c = {&block[row * 2 + (index >> 4)], (index & 15u) * COUNTER_BITS, 0};
    c.level = (uint32_t)(*c.word >> c.shift) & SKETCH_LEVEL_MAX;
    return c;
}

static inline uint32_t least_of(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

void sketch_prefetch(const struct sketch *s, uint64_t hash)
{
    __builtin_prefetch(block_of(s, hash), 1);
}

uint32_t sketch_estimate(const struct sketch *s, uint64_t hash)
{
    uint64_t *block = block_of(s, hash);
    uint32_t least = SKETCH_LEVEL_MAX;
    for (unsigned row = 0; row < ROWS; row++)
        least = least_of(least, counter_of(block, hash, row).level);
    return least;
}

uint32_t sketch_count(uint32_t level)
{
    return counts[level];
}

/* Whether chance lets a counter rise: once in as many times as the next level stands for more. */
static bool chance_lets(struct sketch *s, uint32_t level)
{
    s->chance = s->chance * 1664525u + 1013904223u; /* Numerical Recipes: its high bits are good */
    return !((uint64_t)s->chance * (counts[level + 1] - counts[level]) >> 32);
}

void sketch_add(struct sketch *s, uint64_t hash)
{
    uint64_t *block = block_of(s, hash);
    struct counter counters[ROWS];
    uint32_t least = SKETCH_LEVEL_MAX;
    for (unsigned row = 0; row < ROWS; row++) {
        counters[row] = counter_of(block, hash, row);
        least = least_of(least, counters[row].level);
    }
    if (least == SKETCH_LEVEL_MAX)
        return;
    s->added++;
    if (NIGH_UNLIKELY(least >= SKETCH_EXACT_MAX) && !chance_lets(s, least))
        return;
    /* Without a branch: it cannot be predicted which of them are the smallest. */
    for (unsigned row = 0; row < ROWS; row++)
        *counters[row].word += (uint64_t)(counters[row].level == least) << counters[row].shift;
}

/* Halve what eight levels, a byte each, stand for: 0 .. 8 by division, above it one less. A byte's
 * top bit says whether it is large; bits shifted out of one byte into another are masked. */
static uint64_t halved(uint64_t levels)
{
    uint64_t above8 = (levels + EACH(0x80 - 9)) >> 7 & EACH(1);
    uint64_t mask = above8 * 0xff;
    return (levels >> 1 & EACH(7) & ~mask) | ((levels - above8) & mask);
}

bool sketch_age(struct sketch *s, uint32_t entries)
{
    if (s->added / SKETCH_PERIOD < entries)
        return false;
    for (size_t i = 0; i < (size_t)s->blocks * SKETCH_BLOCK_WORDS; i++)
        s->words[i] = halved(s->words[i] & EACH(15)) | halved(s->words[i] >> 4 & EACH(15)) << 4;
    s->added /= 2;
    return true;
}
