/* SPDX-License-Identifier: MIT */
/*
 * The curve: which share of the reads would hit if the cap were another.
 *
 * For each of six sizes there is a mini cache (mini.h) under the policy in force: W-TinyLFU with
 * the choice that the shards use now, or exact order of use for lru. It sees what happens to the
 * marked keys, or to a part of them, so that it has no more nodes than its memory allows.
 *
 * An expectation is the real hit ratio, of all reads, plus a difference: by how much the mini cache
 * hits more often than the real cache did on the same reads. What goes by chance, such as whether a
 * hot key is among the marked ones, is in both and goes out. The mini cache of the present size has
 * a difference, too, that should be 0: it is how much the model is off.
 *
 *     miss     asked of each mini cache, before the value is there
 *     store    when L1 stores a value, or refuses it: with its charge
 *     hit      asked; where a mini cache lacks the key it is stored, as a load would have done
 *     remove   invalidated, expired, or there and of no use to a read: gone in all of them
 *
 * What becomes too old, or falls below a tag's floor, while the real cache has not got it stays in
 * the mini caches that have: lifetimes are not known there.
 *
 * Sizes are those of the cap, with all bookkeeping: what is left of a cap for entries is measured
 * now and then (curve_keep()), and a mini cache holds as much by its entries' charges.
 *
 * Counts fade: they are halved when there are COUNT_MOST of them.
 *
 * Memory: a thousandth of the cap, but at least CURVE_BYTES_LEAST; general memory, beside the cap.
 * The lock is tried, never waited for: a request that is lost is lost to all mini caches alike.
 *
 * Keys: (l) lock  (a) atomic, relaxed  (c) constant after creation
 *
 * Sources: C. Waldspurger, N. Park, A. Garthwaite, I. Ahmad, Efficient MRC Construction with SHARDS
 * (2015), for the sample by hash; C. Waldspurger et al., Cache Modeling and Optimization using
 * Miniature Simulations (2017).
 */
#ifndef NIGH_L1_CURVE_H
#define NIGH_L1_CURVE_H

#include <pthread.h>

#include "l1/l1.h"
#include "l1/mini.h"

#define CURVE_BYTES_LEAST (256u << 10)

#define CURVE_GROUPS 32u

/* Reads of a part of the keys; fading. */
struct curve_group {
    int32_t reads;
    int32_t gained; /* hits of the mini cache less those of the real one */
};

struct curve_point {
    struct mini mini;   /* (l) */
    uint32_t sample;    /* (l) one key in so many, a power of two; 0: there is no mini cache */
    bool warm;          /* (l) it has been full once */
    uint32_t reads;     /* (l) fading, as the others */
    uint32_t hits;      /* (l) the mini cache's */
    uint32_t real;      /* (l) the real cache's, on the same reads */
    struct curve_group groups[CURVE_GROUPS]; /* (l) the same, of keys by hash: for the error */
};

struct curve {
    pthread_mutex_t lock;
    _Atomic bool on;      /* (a) */
    bool made;            /* (l) */
    void *block;          /* (l) */
    size_t block_bytes;   /* (l) */
    uint32_t nodes;       /* (l) of each mini cache */
    uint64_t last_hits;   /* (l) of all reads, as counted when it was last kept */
    uint64_t last_reads;  /* (l) */
    uint64_t last_ns;     /* (l) */
    double hits, reads;   /* (l) of all, fading as those of the points do */
    double seconds;       /* (l) in which these reads were made */
    struct curve_point points[L1_CURVE_POINTS]; /* (l) */
};

/* Begin and end, with the table. */
void curve_init(struct l1 *l1);
void curve_fini(struct l1 *l1);

/* Tell of a marked key's value that L1 stores, or has refused; and that a key's value is gone for
 * another reason than want of room. Threads: any. Locks: the curve's, if it is free. */
void curve_store(struct l1 *l1, uint64_t hash, uint64_t bytes);
void curve_remove(struct l1 *l1, uint64_t hash);

#endif
