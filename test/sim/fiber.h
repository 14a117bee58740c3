/* SPDX-License-Identifier: MIT */
/*
 * Fibers: the threads of the simulated nodes, all on one real one. A fiber runs until it waits in
 * the park interface, in the network, or for time; nothing else runs meanwhile.
 *
 * What the library keeps per thread is exchanged at each switch (flight_thread_swap() and its
 * like), but for counters and pins, which are as good for all as for one.
 */
#ifndef NIGH_SIM_FIBER_H
#define NIGH_SIM_FIBER_H

#include <stdbool.h>
#include <stdint.h>

struct fiber;
typedef void (*fiber_fn)(void *arg);

/* A new fiber that has not run yet; its stack comes from a pool. */
struct fiber *fiber_create(fiber_fn run, void *arg);
/* Run it until it waits or ends. Not from a fiber. True: it has ended, and is gone. */
bool fiber_resume(struct fiber *f);
/* Back to who resumed; returns when resumed again. */
void fiber_yield(void);
/* The one that runs; NULL outside of all. */
struct fiber *fiber_current(void);
/* Give up a fiber that will never be resumed: its frames are forgotten. */
void fiber_abandon(struct fiber *f);

#endif
