/* SPDX-License-Identifier: MIT */
/*
 * The curve: which share of the reads would hit if the cap were another.
 *
 * For each of six sizes there is a mini cache (mini.h) under the policy in force: W-TinyLFU with
 * the choice that the shards use now, or exact order of use for lru. It sees what happens to the
 * marked keys, or to a part of them, so that it has no more nodes than its memory allows.
 *
 * A mini cache's gain is the hits that it had beyond those of the real cache on the same reads, of
 * as many reads as its sample should have. A hot key hits in both, so whether it is among the
 * marked ones by chance changes no gain. That is why the gain is not divided by the reads that the
 * sample has: a key that gets half of all reads makes these half of what they should be, or 32
 * times as many. The mini cache of the present size has a gain, too, that should be 0: by so much
 * the model is off, at other sizes as well. So what is expected of a cap is
 *
 *     the real hit ratio, of all reads  +  the gain at the cap  -  the gain at the present one
 *
 * Beside replays under each cap (`perf/run trace --curve`) that is 0.6 points off in the mean of
 * caches of 1,000 values or more, and 3 at worst: of a trace that scans, under lfu, for the shadows
 * would choose otherwise under another cap.
 *
 * The gains of each space are counted apart. They sum up to the whole's.
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
 * Counts fade: they are halved, in a turn of l1_curve_keep(), when there are COUNT_MOST of them.
 *
 * A mini cache of fewer than ENTRIES_FEW entries is too coarse to tell anything (10 points off, and
 * more): that is the smaller caps of a cache of some thousand values.
 *
 * Requests wait for none of this: they leave events behind (window.h), and a busy cache is watched
 * in part of the time. The lock is for those who drain, fit and read.
 *
 * Memory: a thousandth of the cap, but at least CURVE_BYTES_LEAST; 64 to 128 bytes for each space;
 * and 130 KiB for what threads leave. It is general memory, beside the cap, and is kept when the
 * curve is turned off.
 *
 * Keys: (l) lock  (a) atomic, relaxed
 *
 * Sources: C. Waldspurger, N. Park, A. Garthwaite, I. Ahmad, Efficient MRC Construction with SHARDS
 * (2015), for the sample by hash, and for SHARDS_adj: a sample's count of hits made good by the
 * reads that it should have; C. Waldspurger et al., Cache Modeling and Optimization using Miniature
 * Simulations (2017).
 */
#ifndef NIGH_L1_CURVE_H
#define NIGH_L1_CURVE_H

#include <pthread.h>

#include "l1/l1.h"
#include "l1/mini.h"
#include "l1/window.h"

#define CURVE_BYTES_LEAST (256u << 10)

#define CURVE_GROUPS 32u

struct curve_point {
    struct mini mini;   /* (l) */
    uint32_t sample;    /* (l) one key in so many, a power of two; 0: there is no mini cache */
    bool warm;          /* (l) it has been full once */
    bool few;           /* (l) it has room for fewer than ENTRIES_FEW entries */
    uint32_t reads;     /* (l) that it has seen; fading, as the others */
    uint32_t hits;      /* (l) the mini cache's */
    uint32_t real;      /* (l) the real cache's, on the same reads */
    double all;         /* (l) reads of any keys meanwhile */
    int32_t gained[CURVE_GROUPS]; /* (l) hits beyond the real ones, of groups of keys by hash */
};

/* A space's part; fading. */
struct curve_space {
    uint64_t last_hits;   /* (l) as counted last */
    uint64_t last_misses; /* (l) */
    bool counted;         /* (l) once */
    double hits, reads;   /* (l) of all its keys */
    int32_t gained[L1_CURVE_POINTS]; /* (l) hits of its marked keys beyond the real ones */
};

/* The point that is the present cap. */
#define CURVE_NOW 2u

struct curve {
    pthread_mutex_t lock;
    _Atomic bool on;      /* (a) pair(curve.on): there are buffers for what happens */
    bool made;            /* (l) */
    void *block;          /* (l) */
    size_t block_bytes;   /* (l) */
    uint32_t nodes;       /* (l) of each mini cache */
    uint64_t last_ns;     /* (l) when it was last kept; 0: never */
    double hits, reads;   /* (l) of all, fading as those of the points do */
    double seconds;       /* (l) in which these reads were made */
    uint64_t seen;        /* (l) reads of marked keys that fell into windows */
    double lost;          /* (l) and those that did not */
    uint64_t lost_before; /* (l) as counted last; never fading */
    struct window window; /* what has happened since the last drain; (d) is (l) here */
    struct curve_space *spaces; /* (l) by number of the space */
    uint32_t space_count;       /* (l) */
    struct curve_point points[L1_CURVE_POINTS]; /* (l) */
};

/* Begin and end, with the table. */
void curve_init(struct l1 *l1);
void curve_fini(struct l1 *l1);

/* Ask the mini caches for what fell into the window, and open the next one. Returns in how many
 * nanoseconds to drain that. Locks: the curve's is held. */
uint64_t curve_drain_locked(const struct l1 *l1, struct curve *c);

/* Tell of a marked key's value that L1 stores, or has refused; and that a key's value is gone for
 * another reason than want of room. Threads: any. Locks: a leaf, if it is free. */
void curve_store(struct l1 *l1, uint64_t hash, uint64_t bytes);
void curve_remove(struct l1 *l1, uint64_t hash);

#endif
