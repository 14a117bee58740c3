/* SPDX-License-Identifier: MIT */
/*
 * One run of the main job, from starting its processes to its figures.
 */
#ifndef PERF_JOB_H
#define PERF_JOB_H

#include <stdbool.h>

#include "nodes/checker.h"
#include "nodes/fault.h"
#include "nodes/generations.h"
#include "nodes/population.h"
#include "nodes/shared.h"

#define TROUBLES_SHOWN 16

/* Figures of a run; of all nodes together where nothing else is said. */
struct result {
    struct plan plan;
    double seconds; /* that it really lasted */
    uint64_t reads;
    uint64_t outcomes[OUTCOME_COUNT];
    uint64_t tiers[TIER_COUNT];
    struct hist latency[TIER_COUNT];
    struct checker_tally checked;
    struct update_tally update;
    struct generations_result generations;
    uint64_t bound_ns;
    uint64_t loads;
    uint64_t loads_lost; /* records that did not fit */
    uint64_t never_accepted;
    int32_t origin_peak;
    int32_t origin_cap;
    uint64_t memory_peak; /* of the node that had most */
    uint64_t memory_cap;
    uint64_t resident_peak;
    int64_t resyncs;
    struct fault fault;   /* as it went */
    struct timeline timelines[NODES_MAX];
    double away_seconds;  /* of the node that noticed to be without Redis longest */
    double doubt_seconds; /* of the node that was without trust longest */
    double fresh_seconds; /* from the fault until no node was without trust any more */
    uint32_t untrusting;  /* nodes that never had it again */
    struct calls calls;  /* reads; those of changes are in `update` */
    int32_t failure;     /* last error a read ended with, or 0 */
    uint64_t begin_ns;   /* times below and in examples are told from here */
    uint32_t trouble_count;
    struct trouble troubles[TROUBLES_SHOWN];
};

struct job {
    struct plan plan;
    const char *folder; /* for everything that it makes */
    const char *catalogue;
    bool own_redis;
    const struct population *population;
};

/* Run it. False: it was interrupted, and there are no figures. */
bool job_run(const struct job *job, struct result *ret);

/* From now on SIGINT, SIGTERM and SIGHUP end runs early and cleanly. */
void job_catch_signals(void);

#endif
