/* SPDX-License-Identifier: MIT */
/*
 * Timers: which of many is due first. They lie in their owners' structs; nothing is allocated.
 *
 * A heap by due time. One comparison to add a timer, and as a rule a few instructions to remove one
 * that is not the first, which is what most timers come to. To remove the first takes the logarithm
 * of their number, on average. The caller has a lock around it.
 */
#ifndef NIGH_BASE_TIMERS_H
#define NIGH_BASE_TIMERS_H

#include <stdint.h>

struct timer {
    uint64_t due_ns;
    struct timer *child; /* the first of those that are not due before it */
    struct timer *next;  /* sibling */
    struct timer *prev;  /* sibling, or the parent for the first of them; NULL: the root */
};

/* Zeroed: there are none. */
struct timers {
    struct timer *first; /* the one that is due first; NULL: none */
};

void timers_add(struct timers *ts, struct timer *t, uint64_t due_ns);
/* Remove a timer that has been added. */
void timers_remove(struct timers *ts, struct timer *t);

#endif
