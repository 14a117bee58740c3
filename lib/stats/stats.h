/* SPDX-License-Identifier: MIT */
/*
 * Level 1: counters. Counting never shares a cache line between threads.
 *
 * A `struct stats` is one set of counters (of a space, or of a cache). Each thread that counts has
 * a number, and each set has a table that leads from a thread's number to its block of counters. So
 * a count is three loads that no other thread's writes disturb, and a store (0.2 ns measured).
 * There may be any number of sets and of threads: tables grow before a number that is too large for
 * them is given out. Blocks belong to one set and are freed with it, so no count can land in a set
 * that comes after it.
 * The block of a thread that has ended keeps its counts and is taken over by a later thread.
 * Reading sums the blocks while threads go on counting: totals are monotonic, not a snapshot.
 */
#ifndef NIGH_STATS_STATS_H
#define NIGH_STATS_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "stats/counters.h"
#include "stats/histogram.h"
#include "stats/pace.h"

enum stats_counter {
#define X(name, export_name, doc, owner) STATS_##name,
    STATS_COUNTERS(X)
#undef X
    STATS_COUNTER_COUNT
};

/* In whose set a counter counts: in those of spaces, in the cache's, or in both. */
enum stats_owner { STATS_OWNER_S, STATS_OWNER_C, STATS_OWNER_E };

struct stats_counter_info {
    const char *name; /* export name */
    const char *doc;
    enum stats_owner owner;
};
extern const struct stats_counter_info stats_counter_infos[STATS_COUNTER_COUNT];

enum stats_histogram {
#define X(name, export_name, doc) STATS_##name,
    STATS_HISTOGRAMS(X)
    STATS_SPACE_HISTOGRAM_COUNT,
    STATS_BEFORE_LINK = STATS_SPACE_HISTOGRAM_COUNT - 1,
    STATS_LINK_HISTOGRAMS(X)
#undef X
    STATS_HISTOGRAM_COUNT
};
extern const struct stats_counter_info stats_histogram_infos[STATS_HISTOGRAM_COUNT];

struct stats_thread;
struct stats;

/* A source keeps some counters of a set besides, where counting costs less: under a lock that is
 * held in any case. Zeroed: there is none. */
struct stats_source {
    enum stats_counter first, last; /* of these counters */
    /* Add what is kept for the set. Called under no lock. */
    void (*add)(void *arg, const struct stats *s, uint64_t counts[STATS_COUNTER_COUNT]);
    void *arg;
};

/* Keys: (a) written by the thread that has the block, read by anyone  (l) lock in stats.c
 *       (c) constant. On lines of its own. */
struct stats_block {
    _Atomic uint64_t counts[STATS_COUNTER_COUNT]; /* (a) */
    /* NULL: this thread has added nothing to it. pair(stats.histogram) */
    _Atomic(struct histogram *) histograms[STATS_HISTOGRAM_COUNT];
    struct stats *set;                            /* (c) */
    struct stats_block *next;                     /* (l) in the list of all blocks of the set */
    struct stats_thread *thread;                  /* (l) the thread that has it; NULL: none */
    struct stats_block *next_of;                  /* (l) in its thread's list, or the free one */
    struct stats_block **link_of;                 /* (l) pointer to this block in that list */
};

/* A slot of a set's table: the address of a thread's block. Keys: (r) written under the lock by or
 * for the thread of that number, which reads it without the lock */
typedef _Atomic(struct stats_block *) stats_slot_t; /* (r) */

/* The part of a set that changes as threads and sets come and go. On cache lines of its own.
 * Keys: (l) lock in stats.c */
struct stats_set {
    struct stats_block *blocks; /* (l) all blocks */
    struct stats_block *free;   /* (l) blocks that no thread has */
    struct stats *next;         /* (l) in the list of all sets */
    struct stats **link;        /* (l) pointer to this set in that list */
    _Atomic uint64_t shared[STATS_COUNTER_COUNT]; /* by atomic adds, without memory for a block */
    struct stats_source source;                   /* (c) while the set is read */
};

/* Keys: (c) constant after init  (r) as above */
struct stats {
    struct mem *mem;               /* (c) */
    _Atomic(stats_slot_t *) slots; /* (r) pair(stats.slots); by number; [0] is nobody's: NULL.
                                    * All that a count reads of a set */
    struct stats_set *set;         /* (c) -> (l) */
};

/* A count knows this of its thread. On one line, which only this thread touches. */
struct stats_self {
    uint32_t number;    /* 0: none yet */
    uint32_t timed_in;  /* reads until one is to be timed */
    struct pace sample; /* of its reads */
    uint64_t random;    /* for the distances in it */
};
extern NIGH_HIDDEN _Thread_local struct stats_self stats_self;

/* Errors: NIGH_ENOMEM. */
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
    /* pair(stats.slots): the table is large enough for our number */
    stats_slot_t *slots = atomic_load_explicit(&s->slots, memory_order_acquire);
    /* relaxed: we have written it ourselves */
    struct stats_block *b = atomic_load_explicit(&slots[stats_self.number], memory_order_relaxed);
    if (NIGH_LIKELY(b != NULL))
        stats_block_add(b, c, n);
    else
        stats_add_slow(s, c, n);
}

static inline void stats_count(struct stats *s, enum stats_counter c)
{
    stats_add(s, c, 1);
}

/* Add a time to a histogram. Without memory for one it is lost. Threads: any. */
void stats_time(struct stats *s, enum stats_histogram h, uint64_t ns);
/* Merge what all threads have added, those that have ended included. */
void stats_histogram_read(struct stats *s, enum stats_histogram h, struct histogram_sum *ret);

/*
 * The sample: which of a thread's reads are looked at, one in STATS_SAMPLE_MOST where they are many
 * (pace.h). A decrement and a branch for each read. By the thread's count, not by key, for a
 * sampled key would be looked at always, and the others never.
 */
#define STATS_SAMPLE_MOST 1024u
static inline bool stats_is_sampled(void)
{
    return NIGH_UNLIKELY(--stats_self.sample.in == 0);
}
/* Draw when the next one is, after stats_is_sampled(). Returns for how many reads this one
 * stands. */
uint32_t stats_sample_next(uint64_t now_ns);
/* Whether a read that stands for so many is to be timed: one in STATS_SAMPLE_MOST always, so that
 * a histogram has as much of a quiet hour as belongs to it; never a thread's first one, which is no
 * sample of anything. */
bool stats_sample_is_timed(uint32_t stands_for);

/* Let the set ask somebody, too, when it is read; NULL: nobody any more. Threads: one, while nobody
 * reads the set. */
void stats_set_source(struct stats *s, const struct stats_source *source);

/* Sum up the memory behind the set: tables, blocks, histograms. */
uint64_t stats_bytes(struct stats *s);

/* Sum of all threads, ended ones included, and of the set's source, whose locks it takes. */
uint64_t stats_read(struct stats *s, enum stats_counter c);
void stats_read_all(struct stats *s, uint64_t ret[STATS_COUNTER_COUNT]);
/* The same without the source's part, for who gets that in another way. */
void stats_read_own(struct stats *s, uint64_t ret[STATS_COUNTER_COUNT]);

#endif
