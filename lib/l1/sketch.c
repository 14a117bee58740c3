// SPDX-License-Identifier: MIT
/*
 * Counters in words: looking, adding, halving, doubling.
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
    uint32_t blocks = 1;
    while ((uint64_t)blocks * SKETCH_BLOCK_ENTRIES < entries)
        blocks *= 2;
    return blocks;
}

void *sketch_move(struct sketch *s, void *block, uint32_t blocks)
{
    void *old = s->words;
    if (!old)
        memset(block, 0, sketch_bytes(blocks));
    for (uint32_t done = 0; old && done < blocks; done += s->blocks)
        memcpy((char *)block + sketch_bytes(done), old, sketch_bytes(s->blocks));
    s->words = block;
    s->blocks = blocks;
    return old;
}

static uint64_t *block_of(const struct sketch *s, uint64_t hash)
{
    return s->words + (size_t)(hash & (s->blocks - 1)) * SKETCH_BLOCK_WORDS;
}

/* Where the counter of a row is: the word in the block, and how far to shift it. */
static unsigned counter_at(uint64_t hash, unsigned row, unsigned *ret_shift)
{
    unsigned index = (unsigned)(hash >> (BLOCK_BITS + row * ROW_BITS)) & ((1u << ROW_BITS) - 1);
    *ret_shift = (index & 15u) * COUNTER_BITS;
    return row * 2 + (index >> 4);
}

static uint32_t counter_get(const uint64_t *block, uint64_t hash, unsigned row)
{
    unsigned shift;
    unsigned word = counter_at(hash, row, &shift);
    return (uint32_t)(block[word] >> shift) & SKETCH_COUNT_MAX;
}

uint32_t sketch_estimate(const struct sketch *s, uint64_t hash)
{
    const uint64_t *block = block_of(s, hash);
    uint32_t least = SKETCH_COUNT_MAX;
    for (unsigned row = 0; row < ROWS; row++) {
        uint32_t count = counter_get(block, hash, row);
        if (count < least)
            least = count;
    }
    return least;
}

void sketch_add(struct sketch *s, uint64_t hash, uint32_t count)
{
    uint64_t *block = block_of(s, hash);
    uint32_t before = sketch_estimate(s, hash);
    uint32_t target = before + count < SKETCH_COUNT_MAX ? before + count : SKETCH_COUNT_MAX;
    for (unsigned row = 0; row < ROWS; row++) {
        unsigned shift;
        unsigned word = counter_at(hash, row, &shift);
        uint64_t now = block[word] >> shift & SKETCH_COUNT_MAX;
        if (now < target)
            block[word] += (target - now) << shift;
    }
    s->added += target - before;
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

void sketch_prefetch(const struct sketch *s, uint64_t hash)
{
    __builtin_prefetch(block_of(s, hash));
}
