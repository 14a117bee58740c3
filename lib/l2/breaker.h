/* SPDX-License-Identifier: MIT */
/*
 * The breaker: when Redis answers badly or slowly, readers learn at once that it is no use asking.
 *
 *     CLOSED --- too many bad ---> OPEN --- pause over, one reader ---> HALF_OPEN ---+
 *       ^                          |  ^                                   |   |  ^   |
 *       +--- an answer was good ---+  +-------- an answer was bad --------+   |  |   |
 *       +---------------------- an answer was good ---------------------------+  +---+
 *                                                 BREAKER_PROBE_NS over: another reader
 *
 * The breaker protects those who only read: they have a loader to go to. Whatever must reach Redis
 * (a change, what is done with a lease, a beat) never asks here, but its answers count like all
 * others; so a good one of those closes it, without any probe.
 *
 * A bad answer opens it, in two ways, but never before something has been bad for
 * BREAKER_SUSTAIN_NS, for one stall of the server makes everything in flight late and is over
 * before callers could gain from not asking:
 *
 *     half of the last 64 answers (8 at least) are bad    many callers, some of whom are served
 *     BREAKER_RUN bad ones, and no good one between       few callers, whatever went before
 *
 * Bad is an answer that says the server cannot serve, or that was slow. Slow is one that takes two
 * fifths of the time that callers usually wait (100 ms of 250 ms), at least 100 ms and at most 1 s:
 * callers that wait longer have a server that is far away. A request's own short deadline is no
 * evidence: it is judged when its late reply comes, or when it has waited that long without one.
 * The time that counts is the server's (pipeline.c, "evidence"), not the wait behind our own large
 * requests and not the way of a large reply.
 *
 * A probe may come to nothing: it is not sent after all, it is never answered, or its answer is no
 * evidence. So it holds its place for BREAKER_PROBE_NS and no longer.
 *
 * Keys: (i) I/O thread   (a) atomic, relaxed: it guards no data, and one request more or less let
 * through in the moment of a change does no harm
 */
#ifndef NIGH_L2_BREAKER_H
#define NIGH_L2_BREAKER_H

#include "base/base.h"

#define BREAKER_SLOW_NS (100 * NS_PER_MS) /* at least */
#define BREAKER_SLOW_MAX_NS NS_PER_S      /* less than the silence that ends a connection */
#define BREAKER_SUSTAIN_NS (400 * NS_PER_MS)
#define BREAKER_RUN 3u /* with one call at a time, 200 ms each, noticed in 0.6 s */
#define BREAKER_PROBE_NS NS_PER_S

enum breaker_state { BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN };

struct breaker {
    _Atomic uint32_t state;       /* (a) enum breaker_state */
    _Atomic uint64_t retry_at_ns; /* (a) not CLOSED: when one caller may probe */
    _Atomic uint64_t patience_ns; /* (a) how long callers usually wait */
    uint64_t history;             /* (i) the last 64 answers, 1 = bad */
    uint32_t samples;             /* (i) how many of them there are */
    uint64_t half_since_ns;       /* (i) since when half of them are bad; 0: they are not */
    uint32_t run;                 /* (i) bad answers since the last good one */
    uint64_t run_since_ns;        /* (i) when the first of them came */
    uint64_t pause_ns;            /* (i) doubles while probes fail */
};

/* Sets how long callers usually wait. Any thread. */
void breaker_set_patience(struct breaker *b, uint64_t patience_ns);
/* Returns how long an answer takes that is bad because it is slow. */
uint64_t breaker_slow_ns(const struct breaker *b);
/* A new connection has proved itself: forget the old one's sins. I/O thread. */
void breaker_reset(struct breaker *b);
/* Whether a read may be sent. Any thread. Turns the caller into the probe when it is time. */
bool breaker_allows(struct breaker *b, uint64_t now_ns);
/* Counts an answer, good or bad. I/O thread. True when the state has changed (to be logged). */
bool breaker_record(struct breaker *b, struct random *random, bool good, uint64_t now_ns);
enum breaker_state breaker_state(const struct breaker *b);

#endif
