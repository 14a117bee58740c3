/* SPDX-License-Identifier: MIT */
/*
 * From what the nodes left in shared memory to the figures of a run.
 */
#ifndef PERF_COLLECT_H
#define PERF_COLLECT_H

#include "nodes/job.h"

struct collect_times {
    uint64_t begin_ns;
    uint64_t end_ns;
    uint64_t fault_ns;    /* the first step of a fault; 0: there was none */
    uint64_t redis_up_ns; /* Redis is there again since; 0: it was never gone */
};

/* All nodes have ended. */
void collect(struct shared *shared, const struct population *population,
             const struct collect_times *times, struct result *ret);

#endif
