/* SPDX-License-Identifier: MIT */
/*
 * Level 1: counters and histograms. Counting never shares a cache line between threads.
 *
 * A `struct stats` is one set (of a space, or of a cache). Each thread that counts has its own
 * block of it, found through a thread-local table by the set's id; a count is a relaxed load and
 * store (0.2 ns measured). Ids are never used twice, so a stale table slot is never followed; a
 * process that opens more than STATS_DIRECT_SETS sets counts the rest in one shared atomic block.
 * The block of a thread that has ended keeps its counts and is taken over by a later thread.
 * Reading sums the blocks while they move: totals are monotonic, not a snapshot.
 */
#ifndef NIGH_STATS_STATS_H
#define NIGH_STATS_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "stats/counters.h"

enum stats_counter {
#define X(name, export_name, doc) STATS_##name,
    STATS_COUNTERS(X)
#undef X
    STATS_COUNTER_COUNT
};

struct stats_counter_info {
    const char *name; /* export name */
    const char *doc;
};
extern const struct stats_counter_info stats_counter_infos[STATS_COUNTER_COUNT];

#define STATS_DIRECT_SETS 256

/* Keys: (a) written by the thread that has the block, read by anyone  (l) lock in stats.c */
struct stats_block {
    _Atomic uint64_t counts[STATS_COUNTER_COUNT]; /* (a) */
    struct stats_block *next;                     /* (l) */
    bool taken;                                   /* (l) false: its thread has ended */
};

/* Keys: (c) constant after init  (l) lock in stats.c */
struct stats {
    uint32_t id;                /* (c) index into each thread's table */
    struct mem *mem;            /* (c) */
    struct stats_block *blocks; /* (l) */
    struct stats_block shared;  /* atomic adds: no memory for a block, or id too high */
};

/* This thread's blocks by set id, all NULL before its first count. The last one, whose id all sets
 * beyond STATS_DIRECT_SETS share, stays NULL. */
extern NIGH_HIDDEN _Thread_local struct stats_block **stats_blocks;

/* Returns 0. */
int stats_init(struct stats *s, struct mem *mem);
/* No thread may count any more. */
void stats_fini(struct stats *s);

/* First count of this thread in this set: find its block (or fall back to the shared one). */
NIGH_OUTLINED void stats_add_slow(struct stats *s, enum stats_counter c, uint64_t n);

/* A load and a store, no locked instruction: nobody else writes this block. */
static inline void stats_block_add(struct stats_block *b, enum stats_counter c, uint64_t n)
{
    uint64_t old = atomic_load_explicit(&b->counts[c], memory_order_relaxed);
    atomic_store_explicit(&b->counts[c], old + n, memory_order_relaxed);
}

static inline void stats_add(struct stats *s, enum stats_counter c, uint64_t n)
{
    struct stats_block *b = stats_blocks[s->id];
    if (NIGH_LIKELY(b != NULL))
        stats_block_add(b, c, n);
    else
        stats_add_slow(s, c, n);
}

static inline void stats_count(struct stats *s, enum stats_counter c)
{
    stats_add(s, c, 1);
}

/* Sum of all threads, those that have ended included. */
uint64_t stats_read(struct stats *s, enum stats_counter c);
void stats_read_all(struct stats *s, uint64_t ret[STATS_COUNTER_COUNT]);

/*
 * A log-linear histogram: 16 steps per power of two (error <= 6.25 %), up to 31 * 2^38 ns (2.3 h).
 * Source: the HDR idea (Tene, hdrhistogram.org), fixed size. Adds are relaxed atomics.
 */
#define HISTOGRAM_STEPS 16
#define HISTOGRAM_POWERS 40

struct histogram {
    _Atomic uint64_t buckets[HISTOGRAM_POWERS * HISTOGRAM_STEPS]; /* (a) */
    _Atomic uint64_t max;                                         /* (a) */
};

void histogram_add(struct histogram *h, uint64_t value);
uint64_t histogram_count(const struct histogram *h);
/* Value at or below which `fraction` (0..1) of the samples lie; 0 when empty. */
uint64_t histogram_quantile(const struct histogram *h, double fraction);

#endif
