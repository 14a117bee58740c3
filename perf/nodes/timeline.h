/* SPDX-License-Identifier: MIT */
/*
 * How a run went: of each node, now and then, who answered, what L1 took, and how its shards are
 * balanced. Written by the node's watcher, read by the coordinator when the node has ended.
 */
#ifndef PERF_TIMELINE_H
#define PERF_TIMELINE_H

#include <stdint.h>
#include <stdio.h>

#define TIMELINE_SAMPLES 60u /* of a run: a second each where it lasts a minute */
#define TIMELINE_TIERS   3u

struct nigh;

struct timeline_sample {
    uint64_t at_ns;
    uint64_t answered[TIMELINE_TIERS]; /* reads so far, by tier */
    uint64_t memory_bytes;             /* of L1 */
    double fullest;                    /* entries of the fullest shard, in those of the mean one */
};

struct timeline {
    uint32_t count;
    struct timeline_sample samples[TIMELINE_SAMPLES + 1];
};

/* Returns the place to fill if a sample is due, `seconds` being those of the run; else NULL. */
struct timeline_sample *timeline_due(struct timeline *t, double seconds);

/* Entries of the fullest shard, in those of the mean one; 0: there are none. */
double timeline_fullest(struct nigh *cache);

/* Write "over_time", of so many nodes; `begin_ns`: when the run began. */
void timeline_json(const struct timeline *nodes, uint32_t count, uint64_t begin_ns, FILE *out);

#endif
