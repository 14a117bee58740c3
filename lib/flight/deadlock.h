/* SPDX-License-Identifier: MIT */
/*
 * Private to flight: who waits for whom, inside loaders. See deadlock.c.
 */
#ifndef NIGH_FLIGHT_DEADLOCK_H
#define NIGH_FLIGHT_DEADLOCK_H

#include "flight/flight.h"

/* Once per process: make fork safe. 0 or NIGH_ENOMEM. */
int flight_graph_init(void);

/* Whether this thread is running the loader of this very key. */
bool flight_loads_key(const struct flight_key *key);
/* Whether a flight is the one of this key. */
bool flight_has_key(const struct flight *f, const struct flight_key *key);

#endif
