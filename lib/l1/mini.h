/* SPDX-License-Identifier: MIT */
/*
 * A cache in miniature: of metadata only, for a sample of the keys, and as much smaller than the
 * real one as the sample is.
 *
 * Its hit ratio is about what the real cache would have under the same policy: shadows compare
 * policies by it (shadow.h), the curve compares sizes (curve.h). Keys are 32 bits of their hashes,
 * nodes 12 bytes, and each has the links and the sketch of the real policy (lfu.h), or a place in
 * exact order of use.
 *
 * Nothing grows too old here: the owner notes in the nodes when lives end, and removes a node whose
 * time is over before he takes it for a hit. All that is looked at here is whether a value lives so
 * shortly, beside the age of main's rivals, that its misses do not count (lfu_is_short()).
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
    uint32_t hash;        /* of a free node: the next free one */
    uint32_t weight : 28; /* 0: free */
    uint32_t hit : 1;
    uint32_t answered : 1; /* the owner's */
    uint32_t until;        /* the owner's tick: the end of its life */
};

#define MINI_WEIGHT_MAX ((UINT32_C(1) << 28) - 1)
#define MINI_NONE UINT32_MAX /* no node */
#define MINI_NODES_MOST UINT16_MAX /* the index has 16 bits for each */
#define MINI_BORN_EVERY 16u

/* A value to be stored. */
struct mini_value {
    uint32_t hash;
    uint32_t weight;
    uint32_t at;   /* the owner's ticks: now */
    uint32_t life; /* ... that it lives */
};

struct mini {
    struct lfu lfu;
    struct mini_node *nodes;
    uint32_t node_count;
    uint16_t *index; /* node + 1; 0: empty */
    uint32_t index_mask;
    uint32_t free;      /* the first free node, or MINI_NONE */
    uint32_t *born;     /* tick: of one node in MINI_BORN_EVERY */
    uint32_t residence; /* ticks: how old main's rivals are, on average */
    uint32_t *stamps; /* the owner's, of each node, in memory of his; or NULL */
    uint32_t starved; /* requests for which nodes were short, not weight; its owner's to reset */
    bool lru;         /* in exact order of use, instead */
};

/* Bytes of the memory that a mini cache needs beside the struct, a multiple of 8. */
size_t mini_bytes(uint32_t nodes);
/* Empty it, in the memory at *at, which moves on behind it, with up to MINI_NODES_MOST nodes. Its
 * capacity is in `lfu`. */
void mini_init(struct mini *s, char **at, uint32_t nodes, bool by_count);

/* The hash of a key, for the other calls: all that a sample has left of it. */
static inline uint32_t mini_hash(uint64_t hash)
{
    return (uint32_t)(hash ^ hash >> 24); /* the low bits, and some of those above */
}
/* The same, as sketches want it. */
uint64_t mini_spread(uint32_t hash);
/* Look for a key: its node, or NULL. Nothing is noted. */
struct mini_node *mini_look(const struct mini *s, uint32_t hash);
/* Note a hit of a node. */
void mini_touch(struct mini *s, struct mini_node *node);
/* Whether a tick has come. They wrap. */
static inline bool mini_has_come(uint32_t tick, uint32_t now)
{
    return (int32_t)(now - tick) >= 0;
}

/* Whether a node's time is over. */
static inline bool mini_is_over(const struct mini_node *node, uint32_t now)
{
    return mini_has_come(node->until, now);
}
/* Store a key that is not there, unless it loses its contest; or give it another weight. Returns
 * its node, or NULL. The owner's part of a new one is 0. */
struct mini_node *mini_store(struct mini *s, const struct lfu_choice *choice,
                             const struct mini_value *v);
/* Let two of them change places: the queues of each have to know where its nodes are. */
void mini_swap(struct mini *a, struct mini *b);
/* Remove a node. */
void mini_remove(struct mini *s, struct mini_node *node);

#endif
