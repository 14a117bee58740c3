/* SPDX-License-Identifier: MIT */
/*
 * Estimates how often a key was asked for lately: a count-min sketch of 4-bit counters. It takes 8
 * bytes per entry, and is seldom too high, and too low only by chance where it counts coarsely.
 *
 *     block (one cache line) = 8 words of 16 counters; row r of 4 is words 2r and 2r + 1
 *
 * The low bits of a hash choose the block, five bits for each row a counter in it: one line per
 * look. An add raises only the counters that are smallest (a conservative update): a counter that
 * the key shares with a hotter one is left alone.
 *
 * Up to 8 a counter is exact; above, levels are an octave apart, up to 1,024, and are reached by
 * chance: one addition in 8, 16, 32 ... So a key asked for a hundred times as often as another can
 * be told from it where that matters: where sizes spread over five decades a large value must be
 * worth as much as hundreds of small ones. With counters that ended at 90 the largest of the
 * popular values were evicted over and over (up to 18 points less where density alone decides, 2
 * where a smaller exponent made up for some of it); with 15, 8 % of all requests were lost. Exact
 * up to 6 only, keys that were asked for equally often were told apart by chance: a loop over twice
 * as many keys as fit lost 2 to 3 points.
 *
 * All counts are halved after 16 additions per entry: the past fades. (12 to 60 are within a tenth
 * of a point of that for objects; where sizes vary and keys are many, 40 loses one.)
 *
 * A sketch has as many blocks as its owner's tables have room for, and grows and shrinks with them,
 * as in linear hashing: a hash whose block is not there uses the one with the highest bit left out.
 * So a new block begins as a copy of the one it splits, and every key finds its old counters; a
 * block that goes is merged into that one, and no estimate falls.
 *
 * Why 8 bytes: with 4 the mean hit ratio of thirty pairs of trace and size is 0.28 points lower, up
 * to 1.3 (two rows instead of four make no difference to that).
 *
 * Sources: G. Cormode, S. Muthukrishnan, An Improved Data Stream Summary (2005); R. Morris,
 * Counting Large Numbers of Events in Small Registers (1978); aging as in
 * G. Einziger, R. Friedman, B. Manes, TinyLFU (2017); W. Litwin, Linear Hashing (1980).
 */
#ifndef NIGH_L1_SKETCH_H
#define NIGH_L1_SKETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SKETCH_LEVEL_MAX 15u
#define SKETCH_EXACT_MAX 8u /* levels up to it are counts */
#define SKETCH_BLOCK_WORDS 8u
#define SKETCH_BLOCK_ENTRIES 8u /* 64 counters for 8 entries */
#define SKETCH_PERIOD 16u       /* additions per entry until all is halved */

/* Keys: as its owner's */
struct sketch {
    uint64_t *words;
    uint32_t blocks; /* 0: all is zero, there are no words yet */
    uint32_t mask;   /* the power of two above blocks - 1, less 1 */
    uint32_t added;  /* since the last halving, less what it halved */
    uint32_t chance; /* the last draw */
};

size_t sketch_bytes(uint32_t blocks);
/* Blocks for so many entries. */
uint32_t sketch_blocks_for(uint32_t entries);
/* Grow to so many blocks. `words` has room for them, and begins with the present ones (at first:
 * none). */
void sketch_grow(struct sketch *s, void *words, uint32_t blocks);
/* Merge the blocks behind the first `blocks` into these, so that they may be cut. */
void sketch_fold(struct sketch *s, uint32_t blocks);

/* Ask for the line that the next two will look at. */
void sketch_prefetch(const struct sketch *s, uint64_t hash);
/* A level, 0 .. SKETCH_LEVEL_MAX; and the count that it stands for. */
uint32_t sketch_estimate(const struct sketch *s, uint64_t hash);
uint32_t sketch_count(uint32_t level);
void sketch_add(struct sketch *s, uint64_t hash);
/* Halve all counts when it is time for a cache of so many entries. True: it was. */
bool sketch_age(struct sketch *s, uint32_t entries);

#endif
