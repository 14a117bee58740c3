/* SPDX-License-Identifier: MIT */
/*
 * How long calls took, and whether they kept their deadlines.
 *
 * A call that took longer than its deadline by no more than its node's stalls (stalls.h) is not
 * nigh's fault. Threads that compute wait for a core longer than the one that measures stalls, so
 * that one sees too few rather than too many; and a call that runs the loader itself ends with it.
 * The slack is for both.
 */
#ifndef PERF_CALLS_H
#define PERF_CALLS_H

#include <stdint.h>

#include "support/fail.h"

#define CALLS_SLACK_NS PERF_NS_PER_S

/* Written by one thread. */
struct calls {
    uint64_t worst_ns;   /* the longest that was timed */
    uint64_t stalled_ns; /* ... and how much of it was a stall */
    uint64_t overdue;    /* calls that took longer than deadline, stalls and slack together */
    uint64_t overdue_ns; /* by how much, the worst of them */
};

/* Note a call that has taken so long, and how much of it was a stall. */
void calls_note(struct calls *c, uint64_t deadline_ns, uint64_t took_ns, uint64_t stalled_ns);
void calls_add(struct calls *into, const struct calls *from);

#endif
