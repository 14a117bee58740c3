/* SPDX-License-Identifier: MIT */
/*
 * A backoff says when to try to connect again.
 *
 * The numbers come from what is wanted of a node when Redis comes back: that it is fresh within 1 s
 * of it (so the longest pause is less, however long Redis was away: doubling pauses would make
 * those who waited longest wait longest again); that while Redis is away it tries at most twice a
 * second; and that a hundred nodes do not come in the same moment (so every pause is drawn).
 *
 *     a connection that worked was lost    once within 50 ms: most often the server is still there
 *     an attempt failed                    550 to 900 ms after it began, again and again
 *
 * and never more than two attempts within a second, also where connections work for a moment each.
 *
 * The listener follows the data connection: while that one is down it does not try at all, so both
 * together try no more often than one; when it is up the listener comes at once. If then it fails
 * alone (an ACL forbids it to subscribe, say) nothing is urgent, for beats bring what it would
 * hear: its pauses double, up to 5 s, until the data connection is another.
 */
#ifndef NIGH_L2_BACKOFF_H
#define NIGH_L2_BACKOFF_H

#include "base/base.h"

#define BACKOFF_LOST_NS (50 * NS_PER_MS)
#define BACKOFF_MIN_NS (550 * NS_PER_MS)
#define BACKOFF_MAX_NS (900 * NS_PER_MS)
#define BACKOFF_ALONE_MAX_NS (5 * NS_PER_S)
#define BACKOFF_TWO_NS NS_PER_S /* two attempts at most in this time */

/* Keys: all by the thread that connects. */
struct backoff {
    uint64_t next_ns;  /* no attempt before this time */
    uint64_t again_ns; /* no attempt before this time, if the last one fails; 0: there was none */
    uint64_t third_ns; /* no attempt before this time, however the last one ends */
    uint64_t began_ns; /* the last attempt */
    uint32_t alone;    /* failures of a listener beside one data connection */
};

/* An attempt begins. */
static inline void backoff_begin(struct backoff *b, struct random *random, uint64_t now_ns)
{
    uint64_t pause_ns = BACKOFF_MIN_NS + random_below(random, BACKOFF_MAX_NS - BACKOFF_MIN_NS);
    b->third_ns = b->began_ns ? b->began_ns + BACKOFF_TWO_NS : 0;
    b->began_ns = now_ns;
    b->again_ns = u64_max(now_ns + pause_ns, b->third_ns);
}

/* The attempt has failed. */
static inline void backoff_failed(struct backoff *b)
{
    b->next_ns = b->again_ns;
}

/* The attempt has failed, and not because the server is absent. */
static inline void backoff_failed_alone(struct backoff *b, struct random *random, uint64_t now_ns)
{
    uint64_t pause_ns = u64_min(BACKOFF_MIN_NS << u64_min(b->alone, 10), BACKOFF_ALONE_MAX_NS);
    b->next_ns = u64_max(b->again_ns, now_ns + random_jitter(random, pause_ns, 20));
    b->alone++;
}

/* A connection that had worked was lost; or the server is there again. */
static inline void backoff_soon(struct backoff *b, struct random *random, uint64_t now_ns)
{
    uint64_t spread_ns = b->again_ns ? random_below(random, BACKOFF_LOST_NS) : 0;
    b->next_ns = u64_max(b->third_ns, now_ns + spread_ns);
    b->alone = 0;
}

#endif
