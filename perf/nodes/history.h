/* SPDX-License-Identifier: MIT */
/*
 * The history of the truth: every update, when it was committed, when Redis accepted its
 * invalidation, and when each node was seen to have applied it. In shared memory, append-only.
 *
 * Times are CLOCK_MONOTONIC of one machine, so they compare between processes. Each is taken on the
 * side that makes a judgement mild, never wrong:
 *
 *   call_ns       before the invalidation is handed to nigh: nothing of it can be felt earlier
 *   accepted_ns   after nigh said that Redis has accepted it: Redis did so earlier. For one that
 *                 was queued, when nigh_drain() said that nothing is queued any more
 *   applied_ns    for the node that issued it, when its call returned; for another, when a probe
 *                 that travels behind it in the same frame was seen to be gone from its L1
 *
 * Redis may forget what it has accepted without anybody being able to see it at once: it loads an
 * older snapshot in place, and its clock has the same identity as before. Nodes learn that as they
 * learn of a change, by a beat, so for reads it is as if
 *
 *   - what was accepted between snapshot and loading, and called before the loading had ended, had
 *     been accepted when it had ended
 *   - what was applied since the snapshot, and called before the bound after the loading had
 *     passed, had been applied when it had passed: until then an older value may come from Redis
 *     and nothing there says that it is older
 *
 * Keys: (c) written before the update is published in its package's list   (a) atomic
 */
#ifndef PERF_HISTORY_H
#define PERF_HISTORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODES_MAX 8

struct update {
    uint32_t package;                       /* (c) */
    uint32_t revision;                      /* (c) the new one */
    uint32_t node;                          /* (c) that committed and told */
    uint32_t previous;                      /* (c) 1 + index of one before it; 0: none */
    uint64_t committed_ns;                  /* (c) */
    _Atomic uint64_t call_ns;               /* (a) 0: not begun */
    _Atomic uint64_t returned_ns;           /* (a) 0: not yet */
    _Atomic uint64_t accepted_ns;           /* (a) 0: not known to be */
    _Atomic uint64_t applied_ns[NODES_MAX]; /* (a) 0: not seen to be */
    _Atomic bool queued;                    /* (a) the call said NIGH_QUEUED */
};

/* Keys: all (a); 0: not yet */
struct history_oblivion {
    _Atomic uint64_t snapshot_ns; /* before it was taken */
    _Atomic uint64_t begin_ns;    /* before it was loaded */
    _Atomic uint64_t end_ns;      /* after it was loaded */
    _Atomic uint64_t known_ns;    /* every node has learnt of it */
};

/* A process' view of the history; what it points to is shared. */
struct history {
    uint32_t packages;
    uint32_t capacity;
    _Atomic uint32_t *count;
    struct history_oblivion *oblivion; /* one in a run */
    struct update *updates;
    _Atomic uint32_t *last;   /* by package: 1 + index of its latest update; 0: none */
    _Atomic uint32_t *judged; /* by package: highest revision accepted, or applied somewhere */
};

#define HISTORY_FULL UINT32_MAX

size_t history_bytes(uint32_t packages, uint32_t capacity);
/* View of zeroed or already used memory of history_bytes(). */
struct history history_at(void *memory, uint32_t packages, uint32_t capacity);

/* Number of a new update, or HISTORY_FULL. */
uint32_t history_reserve(struct history *h);
/* Publish it: the update is committed. */
void history_commit(struct history *h, uint32_t index, const struct update *what);
/* Note a time; only the first counts. `judged` rises, so that reads see what is noted. */
void history_accepted(struct history *h, uint32_t index, uint64_t ns);
void history_applied(struct history *h, uint32_t index, uint32_t node, uint64_t ns);

/* Redis takes the snapshot; loads it; has loaded it. */
void history_snapshot(struct history *h, uint64_t ns);
void history_forgetting(struct history *h, uint64_t ns);
void history_forgotten(struct history *h, uint64_t end_ns, uint64_t known_ns);

/* Updates reserved so far. */
uint32_t history_count(const struct history *h);

/* When did it become wrong to show `revision`? The earliest over all later updates; 0: never, or
 * not yet while a snapshot is being loaded. */
struct history_outdated {
    uint64_t accepted_ns;
    uint64_t applied_ns; /* at `node` */
};
struct history_outdated history_outdated(const struct history *h, uint32_t package,
                                         uint32_t revision, uint32_t node);

/* Nothing newer than `revision` is known to be accepted or applied: one load. */
static inline bool history_is_current(const struct history *h, uint32_t package, uint32_t revision)
{
    /* pair(history.judged): what was noted before it rose is visible */
    return revision >= atomic_load_explicit(&h->judged[package], memory_order_acquire);
}

#endif
