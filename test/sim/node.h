/* SPDX-License-Identifier: MIT */
/*
 * A simulated node: a real cache whose threads are tasks of the world.
 */
#ifndef NIGH_SIM_NODE_H
#define NIGH_SIM_NODE_H

#include <nigh/nigh.h>

#include "sim/judge.h"

#define NODE_TRUST_MS 3000u
#define NODE_SOFT_TTL_MS 20000u
#define NODE_STALE_MS 20000u

struct node_options {
    uint64_t seed;
    const char *schema;
    bool run_on_worker;
    bool apart;
    uint32_t soft_ttl_ms;
};

/* How the origin behaves; the same for all. */
struct origin_manners {
    unsigned slow_percent; /* of its reads take up to slow_ns, half before and half after */
    uint64_t slow_ns;
    uint64_t fails_until_ns;
};
extern struct origin_manners origin_manners;

void node_open(int node, const struct node_options *options);
/* Ends its tasks and closes it. False: a task would not end, and the cache is left open. */
bool node_close(int node);
struct nigh *node_cache(int node);
struct nigh_space *node_space_of(int node, int key);
/* No flight, no work, no answer outstanding. */
bool node_is_idle(int node);
/* Trusted, nothing queued, nothing under way. */
bool node_is_quiet(int node);
/* The identity of the clock that it follows; 0: none. */
uint64_t node_clock(int node);
/* The number that the next change of this node will bear in its frame. */
uint64_t node_next_call(int node);

#endif
