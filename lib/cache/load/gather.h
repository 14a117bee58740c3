/* SPDX-License-Identifier: MIT */
/*
 * A space's gathering (space.batch_wait): loads of all threads that share a call of the loader,
 * because they came within so long of the first of them.
 */
#ifndef NIGH_CACHE_LOAD_GATHER_H
#define NIGH_CACHE_LOAD_GATHER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "cache/workers.h"

struct load;
struct nigh_space;

/* Loads in the order of their coming, linked by `mate`. Zeroed: none. */
struct load_list {
    struct load *first;
    struct load *last;
    uint32_t count;
};

/* Zeroed: nothing is gathered. Keys: (l) lock */
struct gather {
    struct latch lock;
    struct load_list list; /* (l) fewer than one call may be for */
    uint64_t due_ns;       /* (l) when they are loaded at the latest */
    bool listed;           /* (l) the workers have `job`, or run it */
    struct worker_job job;
};

/* Whether the calling thread's misses are gathered. Those of a loader are not: as many loaders as
 * there are workers could wait for them, and none would be left to load. Nor, without own threads,
 * are those for which the thread `waits`: it loads them itself. */
bool gather_takes(const struct nigh_space *space, bool waits);
/* Add loads that have to be loaded, each with a reference to its flight. */
void gather_add(struct nigh_space *space, struct load_list list);

#endif
