/* SPDX-License-Identifier: MIT */
/*
 * Why a connection is not there: for the log, each new reason once, and for who asks at any time.
 *
 * An outage often has several reasons after one another: refused, then loading, then a password
 * that is wrong. The last one is what its operator has to mend.
 */
#ifndef NIGH_L2_OUTAGE_H
#define NIGH_L2_OUTAGE_H

#include <pthread.h>

#include "l2/l2.h"

/* Keys: (p) `lock`; (i) the thread that steps the connection */
struct outage {
    pthread_mutex_t lock;         /* leaf */
    char now[L2_PROBLEM_BYTES];   /* (p) "" while connected */
    uint64_t since_ns;            /* (p) */
    char told[L2_PROBLEM_BYTES];  /* (i) what the log heard last; "": nothing */
};

/* Not connected, for the reason that nobody has tried yet. */
void outage_init(struct outage *o, uint64_t now_ns);
void outage_fini(struct outage *o);
/* An attempt has failed, or a connection was lost. */
void outage_note(struct outage *o, const char *reason, uint64_t now_ns);
/* Connected. Returns whether the log has been told that it was not. */
bool outage_end(struct outage *o);
void outage_read(struct outage *o, uint64_t now_ns, struct l2_problem *ret);

/* Whether the log should hear of the last reason; when it has, outage_told(). Where the log's call
 * site is silent for a second the next attempt, with the same reason, tells it. */
bool outage_is_news(const struct outage *o, const char *reason);
void outage_told(struct outage *o, const char *reason);

#endif
