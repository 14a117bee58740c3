/* SPDX-License-Identifier: MIT */
/*
 * When to try to connect again: decorrelated jitter between 50 ms and 5 s.
 *
 * Source: M. Brooker, "Exponential backoff and jitter" (AWS Architecture Blog, 2015): each pause is
 * drawn from [base, 3 x the last pause], so that many nodes that lost one server spread out.
 */
#ifndef NIGH_L2_BACKOFF_H
#define NIGH_L2_BACKOFF_H

#include "base/base.h"

#define BACKOFF_MIN_NS (50 * NS_PER_MS)
#define BACKOFF_MAX_NS (5 * NS_PER_S)

/* Keys: all by the thread that connects. */
struct backoff {
    uint64_t pause_ns;
    uint64_t next_ns; /* not before this time */
};

/* An attempt failed. */
static inline void backoff_failed(struct backoff *b, struct random *random, uint64_t now_ns)
{
    uint64_t last_ns = u64_max(b->pause_ns, BACKOFF_MIN_NS);
    uint64_t pause_ns = BACKOFF_MIN_NS + random_below(random, 3 * last_ns - BACKOFF_MIN_NS);
    b->pause_ns = u64_min(pause_ns, BACKOFF_MAX_NS);
    b->next_ns = now_ns + b->pause_ns;
}

/* A connection that had worked was lost: soon, but not all nodes in the same moment. */
static inline void backoff_lost(struct backoff *b, struct random *random, uint64_t now_ns)
{
    b->pause_ns = 0;
    b->next_ns = now_ns + random_below(random, BACKOFF_MIN_NS);
}

#endif
