// SPDX-License-Identifier: MIT
/*
 * The control thread.
 */
#include "nodes/stalls.h"
#include "nodes/member.h"

#define NAP_NS (2 * PERF_NS_PER_MS)
#define IN_TIME_NS (5 * PERF_NS_PER_MS) /* a nap that lasts longer was a stall from there on */

void *stalls_run(void *arg)
{
    struct member *m = arg;
    struct stalls *s = &m->self->stalls;
    for (uint64_t last = now_ns(); !shared_stopped(m->shared);) {
        sleep_ns(NAP_NS);
        uint64_t now = now_ns(), slept = now - last;
        last = now;
        atomic_store_explicit(&s->ran_ns,
                              stalls_ran(s) + (slept < IN_TIME_NS ? slept : IN_TIME_NS),
                              memory_order_relaxed);
    }
    return NULL;
}
