/* SPDX-License-Identifier: MIT */
/*
 * When had a node applied a change that no probe showed?
 *
 * A node applies what others change in the order in which Redis has accepted it. So by the time it
 * was seen to have applied a change whose call began when this one had been accepted, it had
 * applied this one. Its own changes say nothing: it applies them when their calls return, however
 * far it has come with those of others.
 */
#ifndef PERF_SEEN_H
#define PERF_SEEN_H

#include <stdint.h>

#include "nodes/history.h"

struct seen_change {
    uint64_t call_ns;
    uint64_t applied_ns; /* the earliest of this one and of all that were called later */
};

struct seen {
    struct seen_change *of_node[NODES_MAX]; /* in the order of their calls */
    uint32_t count[NODES_MAX];
};

/* Of a history that grows no more. */
void seen_build(struct seen *s, const struct history *history, uint32_t nodes);
void seen_free(struct seen *s);

/* The time by which `node` had applied what had been accepted at `accepted_ns`; `latest_ns` where
 * nothing says that it was earlier. */
uint64_t seen_by(const struct seen *s, uint32_t node, uint64_t accepted_ns, uint64_t latest_ns);

#endif
