/* SPDX-License-Identifier: MIT */
/*
 * How long a node was not let run: it was stopped, or the machine had no core for it.
 *
 * A control thread does nothing but sleep for a moment, again and again, and adds up how long it
 * was awake in time. What lies between two readings of that sum and is not in it was a stall, also
 * one that has not ended.
 */
#ifndef PERF_STALLS_H
#define PERF_STALLS_H

#include <stdatomic.h>
#include <stdint.h>

struct stalls {
    _Atomic uint64_t ran_ns; /* written by the control thread alone */
};

/* The control thread; `arg`: struct member. */
void *stalls_run(void *arg);

static inline uint64_t stalls_ran(const struct stalls *s)
{
    return atomic_load_explicit(&s->ran_ns, memory_order_relaxed);
}

/* How much of `took_ns` was a stall; `ran_ns`: stalls_ran() when that began. */
static inline uint64_t stalls_in(const struct stalls *s, uint64_t ran_ns, uint64_t took_ns)
{
    uint64_t ran = stalls_ran(s) - ran_ns;
    return took_ns > ran ? took_ns - ran : 0;
}

#endif
