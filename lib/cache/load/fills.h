/* SPDX-License-Identifier: MIT */
/*
 * The fills of loads that one call of the loader has answered: in as few scripts as may be.
 *
 * Whoever hands out the answers of a batch steps the flights one after the other, and each step may
 * send a fill. In between they are collected here, in the frame of that thread: fills_for() says
 * which flight is next, and the step of no other one takes part.
 */
#ifndef NIGH_CACHE_LOAD_FILLS_H
#define NIGH_CACHE_LOAD_FILLS_H

#include "cache/load/load.h"

struct draft;
struct sending;

struct fills {
    const struct flight *flight; /* is stepped now, if it is on this thread */
    struct sending *sending;     /* collected so far; NULL: none */
};

/* Begin to collect on this thread, on which nobody does. */
void fills_begin(struct fills *s);
/* Note which flight is stepped next. */
void fills_for(struct fills *s, const struct flight *f);
/* Send what was collected, and collect no more. */
void fills_end(struct fills *s);

/* Leave the fill of a load, in its step, to who collects. The flight waits for the verdict in state
 * FILL if `waits`; else nobody does. False: nobody collects fills of this flight, or there was no
 * memory, and the fill goes alone. */
bool fills_take(struct load *l, const struct draft *d, bool waits);

#endif
