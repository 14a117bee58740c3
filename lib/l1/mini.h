/* SPDX-License-Identifier: MIT */
/*
 * A cache in miniature: of metadata only, for a sample of the keys, and as much smaller than the
 * real one as the sample is.
 *
 * Its hit ratio is about what the real cache would have under the same policy: shadows compare
 * policies by it (shadow.h), the curve compares sizes (curve.h). Keys are 32 bits of their hashes,
 * nodes 8 bytes, and each has the links and the sketch of the real policy (lfu.h), or a place in
 * exact order of use.
 *
 * Thread-safety: none; its owner's lock.
 *
 * Source: C. Waldspurger, T. Saemundson, I. Ahmad, N. Park, Cache Modeling and Optimization using
 * Miniature Simulations (2017).
 */
#ifndef NIGH_L1_MINI_H
#define NIGH_L1_MINI_H

#include "base/base.h"
#include "l1/lfu.h"

struct mini_node {
    uint32_t hash;
    uint32_t weight;
};

struct mini {
    struct lfu lfu;
    struct mini_node *nodes;
    bool *hit;       /* by node */
    uint16_t *index; /* node + 1; 0: empty */
    uint16_t *free;
    uint32_t index_mask;
    uint32_t free_count;
    uint32_t starved; /* requests for which nodes were short, not weight; its owner's to reset */
    bool lru;         /* in exact order of use, instead */
};

/* Bytes of the memory that a mini cache needs beside the struct, a multiple of 8. */
size_t mini_bytes(uint32_t nodes);
/* Empty it, in the memory at *at, which moves on behind it. Its capacity is in `lfu`. */
void mini_init(struct mini *s, char **at, uint32_t nodes, bool by_count);

/* The hash of a key, for the other calls: all that a sample has left of it. */
static inline uint32_t mini_hash(uint64_t hash)
{
    return (uint32_t)(hash ^ hash >> 24); /* the low bits, and some of those above */
}
/* The same, as sketches want it. */
uint64_t mini_spread(uint32_t hash);
/* Ask for a key: whether it is there. A hit is noted. */
bool mini_find(struct mini *s, uint32_t hash);
/* Store a key that is not there, unless it loses its contest; or give it another weight. */
void mini_store(struct mini *s, const struct lfu_choice *choice, uint32_t hash, uint32_t weight);
/* Remove a key, if it is there. */
void mini_remove(struct mini *s, uint32_t hash);

#endif
