/* SPDX-License-Identifier: MIT */
/*
 * Chooses which of a thread's events are looked at: every one while they are few, one in `most`
 * when they are many. So a sample of requests tells something within seconds at 50 requests a
 * second, and costs nothing to speak of at a million. After a burst it is silent for longer: the
 * next event was drawn then, up to one and a half `most` ahead, which at 50 requests a second is
 * half a minute.
 *
 * The next event to be looked at is between half and one and a half of the mean ahead, at random:
 * with a fixed distance, of a host that does eight things in turn one would be seen. It stands for
 * as many events as the mean was when its distance was drawn. What is added up of these has no
 * bias, however the mean moves, for it moves by what is past alone.
 *
 * The mean grows as soon as PACE_MANY were looked at in a window, and halves for each window that
 * brought less than PACE_FEW: a thread looks at some 16 to 128 events a second.
 */
#ifndef NIGH_STATS_PACE_H
#define NIGH_STATS_PACE_H

#include <stdint.h>

#define PACE_WINDOW_NS (250 * UINT64_C(1000000))
#define PACE_MANY 32u
#define PACE_FEW 4u
#define PACE_GROWTH 4u /* so few are looked at on the way to the largest mean */

/* One thread's. The host of it counts `in` down, and asks for the next one at 0. */
struct pace {
    uint32_t in;       /* events until the one to be looked at; 1: the next one */
    uint32_t mean;     /* of the distance; 0: not begun */
    uint32_t taken;    /* looked at since ... */
    uint64_t since_ns; /* ... the window began */
};
#define PACE_INIT {.in = 1}

/* Look at an event, and draw where the next one is. Returns for how many events this one stands:
 * up to `most`. `random`: any state, 0 among them. A clock that goes back, or is
 * another, only begins the window anew. */
uint32_t pace_next(struct pace *p, uint64_t *random, uint32_t most, uint64_t now_ns);

#endif
