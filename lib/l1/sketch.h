/* SPDX-License-Identifier: MIT */
/*
 * How often was a key asked for lately? A count-min sketch of 4-bit counters: 8 bytes per entry,
 * never too low, seldom too high.
 *
 *     block (one cache line) = 8 words of 16 counters; row r of 4 is words 2r and 2r + 1
 *
 * The low bits of a hash choose the block, five bits for each row a counter in it: one line per
 * look. An add raises only the counters that are smallest (a conservative update): what a key
 * shares with a hotter one is left alone. All counters are halved after 60 additions per entry: the
 * past fades, and saturated keys come apart again. (30 loses half a point on average: most where the
 * keys in use are many times the entries.)
 *
 * When the entries outgrow it, the table is copied behind itself: with one bit more of the hash,
 * every key finds its old counters.
 *
 * Source: G. Cormode, S. Muthukrishnan, An Improved Data Stream Summary (2005); aging as in
 * G. Einziger, R. Friedman, B. Manes, TinyLFU (2017).
 */
#ifndef NIGH_L1_SKETCH_H
#define NIGH_L1_SKETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SKETCH_COUNT_MAX 15u
#define SKETCH_BLOCK_WORDS 8u
#define SKETCH_BLOCK_ENTRIES 8u /* 64 counters for 8 entries */
#define SKETCH_PERIOD 60u       /* additions per entry until all is halved */

/* Keys: as its owner's */
struct sketch {
    uint64_t *words;
    uint32_t blocks; /* power of two */
    uint32_t added;  /* since the last halving, less what it halved */
};

size_t sketch_bytes(uint32_t blocks);
/* Blocks for so many entries. */
uint32_t sketch_blocks_for(uint32_t entries);
/*
 * Use `block` (sketch_bytes(blocks), aligned to 8) from now on; `blocks` is a power of two and at
 * least what it was. Returns the old block (NULL at first).
 */
void *sketch_move(struct sketch *s, void *block, uint32_t blocks);

uint32_t sketch_estimate(const struct sketch *s, uint64_t hash);
void sketch_add(struct sketch *s, uint64_t hash, uint32_t count);
/* Halve everything when it is time for a cache of so many entries. True: it was. */
bool sketch_age(struct sketch *s, uint32_t entries);
void sketch_prefetch(const struct sketch *s, uint64_t hash);

#endif
