// SPDX-License-Identifier: MIT
/*
 * Counters in words: looking, adding, halving, moving.
 */
#include "l1/sketch.h"

#include <string.h>

#define ROWS 4u
#define COUNTER_BITS 4u
#define ROW_BITS 5u   /* of the hash: 32 counters per row and block */
#define BLOCK_BITS 32 /* the hash's low bits are for blocks */
#define HALF_MASK UINT64_C(0x7777777777777777)

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
    uint32_t count;
};

static inline struct counter counter_of(uint64_t *block, uint64_t hash, unsigned row)
{
    unsigned index = (unsigned)(hash >> (BLOCK_BITS + row * ROW_BITS)) & ((1u << ROW_BITS) - 1);
    struct counter c = {&block[row * 2 + (index >> 4)], (index & 15u) * COUNTER_BITS, 0};
    c.count = (uint32_t)(*c.word >> c.shift) & SKETCH_COUNT_MAX;
    return c;
}

static inline uint32_t least_of(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

uint32_t sketch_estimate(const struct sketch *s, uint64_t hash)
{
    uint64_t *block = block_of(s, hash);
    uint32_t least = SKETCH_COUNT_MAX;
    for (unsigned row = 0; row < ROWS; row++)
        least = least_of(least, counter_of(block, hash, row).count);
    return least;
}

void sketch_add(struct sketch *s, uint64_t hash)
{
    uint64_t *block = block_of(s, hash);
    struct counter counters[ROWS];
    uint32_t least = SKETCH_COUNT_MAX;
    for (unsigned row = 0; row < ROWS; row++) {
        counters[row] = counter_of(block, hash, row);
        least = least_of(least, counters[row].count);
    }
    if (least == SKETCH_COUNT_MAX)
        return;
    /* Without a branch: which of them are the smallest is anybody's guess. */
    for (unsigned row = 0; row < ROWS; row++)
        *counters[row].word += (uint64_t)(counters[row].count == least) << counters[row].shift;
    s->added++;
}

bool sketch_age(struct sketch *s, uint32_t entries)
{
    if (s->added / SKETCH_PERIOD < entries)
        return false;
    for (size_t i = 0; i < (size_t)s->blocks * SKETCH_BLOCK_WORDS; i++)
        s->words[i] = s->words[i] >> 1 & HALF_MASK;
    s->added /= 2;
    return true;
}
