/* SPDX-License-Identifier: MIT */
/*
 * Remembers why a connection is not there: for the log, each new reason once, and for anybody who
 * asks at any time.
 *
 * An outage often has several reasons after one another: silent, then refused, then loading, then a
 * password that is wrong. The first of them says what has happened, the last is for the operator to
 * mend; both are kept when the outage is over, for who comes then and asks what that was.
 *
 * It begins with the last answer, or with the first question after it that got none, and ends with
 * the next answer: by when a link gives up, most of a short outage is over.
 */
#ifndef NIGH_L2_OUTAGE_H
#define NIGH_L2_OUTAGE_H

#include <pthread.h>

#include "l2/l2.h"

#define OUTAGE_TOLD 8u /* reasons of one outage that are told; two may alternate for hours */

/* Keys: (p) `lock`; (i) the thread that steps the connection */
struct outage {
    pthread_mutex_t lock;         /* leaf */
    char first[L2_PROBLEM_BYTES]; /* (p) why it began */
    char now[L2_PROBLEM_BYTES];   /* (p) why it goes on; "" while connected */
    uint64_t since_ns;            /* (p) */
    bool failed;                  /* (p) `now` was noted: it is not just how all begins */
    char began[L2_PROBLEM_BYTES]; /* (p) the first reason of the last outage ... */
    char last[L2_PROBLEM_BYTES];  /* (p) ... and its last one; "": none is over */
    uint64_t began_ns, ended_ns;  /* (p) that outage */
    uint64_t told[OUTAGE_TOLD];   /* (i) hashes of the reasons that the log has heard of */
    uint32_t told_count;          /* (i) */
    struct log_site own;          /* (i) of its lines but the first */
};

/* Begins with this reason; "": no outage. Nor is it one if nothing is noted before it is over. */
void outage_init(struct outage *o, const char *reason, uint64_t now_ns);
void outage_fini(struct outage *o);
/* An attempt has failed, or a connection was lost. `since_ns`: when the outage began, if it begins
 * with this. */
void outage_note(struct outage *o, const char *reason, uint64_t since_ns);
/* The connection is up. Returns whether the log has been told that it was not. */
bool outage_end(struct outage *o, uint64_t now_ns);
/* Tells `reason` in the place of those reasons of the outage of which `is` says that they are the
 * same, only not so well told. */
void outage_retell(struct outage *o, bool (*is)(const char *reason), const char *reason);
/* Whether this is the reason that it has now. */
bool outage_tells(struct outage *o, const char *reason);
/* Nothing has come of the outage: once it is over it was none. */
void outage_drop(struct outage *o);
/* The outage is over for now: a reason that has been told is not told again before outage_end(). */
void outage_over(struct outage *o, uint64_t now_ns);
void outage_read(struct outage *o, uint64_t now_ns, struct l2_problem *ret);
/* Read the last outage that is over. */
void outage_read_last(struct outage *o, uint64_t now_ns, struct l2_outage *ret);

/* Whether the log should hear of the last reason; when it has, outage_told(). One that differs by a
 * count alone ("3 listen", then "4 listen") is no news. Where the log's call
 * site is silent for a second the next attempt, with the same reason, tells it. */
bool outage_is_news(const struct outage *o, const char *reason);
void outage_told(struct outage *o, const char *reason);
/* Returns the call site of a line about it: for its first line the one that is given, of all of its
 * kind. A further reason is not held back by that, for it is the one to mend: a server that closes,
 * and then refuses the password. */
struct log_site *outage_site(struct outage *o, struct log_site *first);

#endif
