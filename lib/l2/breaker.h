/* SPDX-License-Identifier: MIT */
/*
 * The breaker: when Redis answers badly or slowly, callers learn at once that it is no use asking.
 *
 *     CLOSED --- too many bad ---> OPEN --- pause over, one caller ---> HALF_OPEN
 *       ^                          |  ^                                   |   |
 *       +--- an answer was good ---+  +-------- an answer was bad --------+   |
 *       +---------------------- an answer was good ---------------------------+
 *
 * It opens when half of the last answers have been bad for BREAKER_SUSTAIN_NS: one stall of the
 * server makes everything in flight late, and is over before callers could gain from not asking.
 *
 * Bad is an answer that says the server cannot serve, or that was slow. Slow is what takes 100 ms
 * where callers wait for 250 ms, and as much of what they wait where that is more, up to 1 s: who
 * waits longer has a server that is far away. A caller's own short deadline is no evidence: such a
 * request is judged when its late reply comes, or when it has waited that long without one. Beats
 * pass always and their good answers close it too.
 *
 * Keys: (i) I/O thread   (a) atomic, relaxed: it guards no data, and one request more or less let
 * through in the moment of a change does no harm
 */
#ifndef NIGH_L2_BREAKER_H
#define NIGH_L2_BREAKER_H

#include "base/base.h"

#define BREAKER_SLOW_NS (100 * NS_PER_MS) /* at least */
#define BREAKER_SLOW_MAX_NS NS_PER_S      /* below what is borne as silence */
#define BREAKER_SUSTAIN_NS (200 * NS_PER_MS)

enum breaker_state { BREAKER_CLOSED, BREAKER_HALF_OPEN, BREAKER_OPEN };

struct breaker {
    _Atomic uint32_t state;       /* (a) enum breaker_state */
    _Atomic uint64_t retry_at_ns; /* (a) OPEN: when one caller may probe */
    _Atomic uint64_t patience_ns; /* (a) of callers */
    uint64_t history;             /* (i) the last 64 answers, 1 = bad */
    uint32_t samples;             /* (i) how many of them there are */
    uint64_t bad_since_ns;        /* (i) since when too many are bad; 0: they are not */
    uint64_t pause_ns;            /* (i) doubles while probes fail */
};

/* How long callers usually wait. Any thread. */
void breaker_set_patience(struct breaker *b, uint64_t patience_ns);
/* An answer that takes so long is bad. */
uint64_t breaker_slow_ns(const struct breaker *b);
/* A new connection has proved itself: forget the old one's sins. I/O thread. */
void breaker_reset(struct breaker *b);
/* Whether a request may be sent. Any thread. Turns the caller into the probe when it is time. */
bool breaker_allows(struct breaker *b, uint64_t now_ns);
/* An answer, good or bad. I/O thread. True when the state has changed (to be logged once). */
bool breaker_record(struct breaker *b, struct random *random, bool good, uint64_t now_ns);
enum breaker_state breaker_state(const struct breaker *b);

#endif
