/* SPDX-License-Identifier: MIT */
/*
 * Sentinels are asked who the master is, one after the other, until one of them names a place where
 * one is.
 *
 *      sentinels_begin
 *            |
 *            v          names a place
 *     +-> ask one of them -----------> sentinels_step() == 1: the link connects there
 *     |      |                                |                      |
 *     |      | no answer in time,             | no master there      | a master
 *     |      | no such name,                  v                      v
 *     |      | a place that was       sentinels_refuse        sentinels_worked: this one
 *     |      | refused already                |               is asked first the next time
 *     |      v                                v
 *     +-- the next <--------------------------+
 *            |
 *            v  all were asked: the walk is over, and has failed; the link makes its pause
 *
 * No Sentinel is believed. One that is dead costs the time for connecting, once, for it is not the
 * first to be asked any more. One that names a dead master for ever, or a replica, or nonsense, is
 * passed over, for the server itself is asked what it is (conn.h); where two disagree, the server
 * decides. A walk asks each Sentinel once and tries each place once, so it ends.
 *
 * What is said of a Sentinel in the log is said once, until it was of use again or says another
 * thing.
 *
 * Thread-safety: who drives the link (link.h). sentinels_first() and what it says that is constant:
 * any thread.
 */
#ifndef NIGH_L2_SENTINEL_H
#define NIGH_L2_SENTINEL_H

#include "l2/conn.h"

/* Keys: see link.h. */
struct sentinel {
    struct place *place; /* (c) */
    uint64_t told;       /* (i) hash of what the log has heard of it; 0: nothing */
    bool lied;           /* (i) in this walk it has named a place that was refused */
    _Atomic uint64_t deaf_until_ns; /* (a) what it calls out is not heeded before */
};

struct sentinels {
    struct env *env;                /* (c) */
    struct conn_config conn_config; /* (c) of all connections to them */
    char master[URI_MASTER_MAX];    /* (c) */
    uint32_t count;                 /* (c) */
    struct sentinel list[URI_SENTINELS_MAX];
    _Atomic uint32_t first;         /* (a) the one that is asked now, or first the next time */
    struct conn conn;               /* (i) to that one, while one is asked */
    bool asks;                      /* (i) a walk is on its way, and one of them is being asked */
    bool asked;                     /* (i) the question was sent ... */
    bool answered;                  /* (i) ... and the answer has come */
    uint32_t left;                  /* (i) how many this walk has not asked; 0: it is over */
    struct uri_host named;          /* (i) the place that was named last */
    struct uri_host refused[URI_SENTINELS_MAX]; /* (i) places of this walk without a master */
    uint32_t refused_count;         /* (i) */
    char problem[L2_PROBLEM_BYTES]; /* (i) why the walk has found nothing so far */
};

/* Makes them from the URI. `wake` is called when the name of one's host was looked up. `base`: what
 * the connections are like but for the login. NULL: no memory. */
struct sentinels *sentinels_create(const struct conn_config *base, const struct uri *uri,
                                   const struct l2_login *login, void (*wake)(void *arg),
                                   void *arg);
void sentinels_destroy(struct sentinels *s);

/* Begins a walk, or goes on with the one that has been refused a place. */
void sentinels_begin(struct sentinels *s);
/* Goes on while `asks`. 1: `named` is to be tried; 0: not yet; < 0: the walk has failed, `problem`
 * says why. Never blocks. */
int sentinels_step(struct sentinels *s, uint64_t now_ns);
/* Returns when, while `asks`, it has to go on whatever the socket says. */
uint64_t sentinels_due_ns(const struct sentinels *s);
/* The place that was named last has no master, for this reason. Returns whether the walk goes on:
 * then sentinels_begin() asks the next. */
bool sentinels_refuse(struct sentinels *s, const char *shown, const char *reason);
/* The place that was named last has a master: the walk is over. */
void sentinels_worked(struct sentinels *s);
/* Ends the asking, without a touch of the socket if it is not ours any more. */
void sentinels_stop(struct sentinels *s, bool disown);

static inline uint32_t sentinels_first(const struct sentinels *s)
{
    return atomic_load_explicit(&s->first, memory_order_relaxed);
}

/* Makes this one the next to be asked, if none is being asked. */
void sentinels_prefer(struct sentinels *s, uint32_t i);
/* Heeds this one no more for a while: what it has called out was wrong. */
void sentinels_deafen(struct sentinels *s, uint32_t i, uint64_t now_ns);
static inline bool sentinels_heed(const struct sentinels *s, uint32_t i, uint64_t now_ns)
{
    return now_ns >= atomic_load_explicit(&s->list[i].deaf_until_ns, memory_order_relaxed);
}

/* Appends the question who the master is to a connection's output. 0 or NIGH_ENOMEM. */
int sentinels_ask(const struct sentinels *s, struct conn *c);

/* ---- what Sentinels say: nothing of it is trusted ---- */

/* Takes the answer to that question: a host and a port. False: it is none. */
bool sentinel_read_address(const struct reply *reply, struct uri_host *ret);
/* Takes a message of +switch-master, "NAME OLD-HOST OLD-PORT HOST PORT". False: it is none, or of
 * another master. */
bool sentinel_read_switch(struct bytes message, const char *master, struct uri_host *ret);
/* The same of +promoted-slave: "slave NAME HOST PORT @ MASTER OLD-HOST OLD-PORT". */
bool sentinel_read_promotion(struct bytes message, const char *master, struct uri_host *ret);

#endif
