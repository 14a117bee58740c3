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

#include <stdbool.h>
#include <stdint.h>

#include "support/fail.h"

#define CALLS_SLACK_NS PERF_NS_PER_S

/* Written by one thread. */
struct calls {
    uint64_t worst_ns;   /* the most that one took beside its stalls: what nigh has to answer for */
    uint64_t longest_ns; /* the most that one took, stalls and all */
    uint64_t overdue;    /* calls that took longer than deadline, stalls and slack together */
    uint64_t overdue_ns; /* by how much, the worst of them */
};

/* Is a call that took so long one to note? */
static inline bool calls_are_worse(const struct calls *c, uint64_t deadline_ns, uint64_t took_ns)
{
    return took_ns > c->worst_ns || took_ns > deadline_ns;
}

/* Note a call that has taken so long, and how much of it was a stall. */
void calls_note(struct calls *c, uint64_t deadline_ns, uint64_t took_ns, uint64_t stalled_ns);
void calls_add(struct calls *into, const struct calls *from);

#endif
