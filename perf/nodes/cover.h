/* SPDX-License-Identifier: MIT */
/*
 * A set of time windows, each of one node, that answers: does any of them touch this span?
 */
#ifndef PERF_COVER_H
#define PERF_COVER_H

#include <stdbool.h>
#include <stdint.h>

#include "nodes/history.h"

#define COVER_ANY_NODE NODES_MAX

struct cover_window {
    uint64_t from_ns;
    uint64_t to_ns;
    uint32_t node;
};

/* The latest end among the windows up to and including this one, by node and over all. */
struct cover_reach {
    uint64_t to_ns[NODES_MAX + 1];
};

struct cover {
    struct cover_window *windows; /* sorted by from_ns once built */
    struct cover_reach *reach;
    uint32_t count, capacity;
};

void cover_clear(struct cover *c);
void cover_free(struct cover *c);
void cover_add(struct cover *c, uint32_t node, uint64_t from_ns, uint64_t to_ns);
/* After the last cover_add and before the first question. */
void cover_build(struct cover *c);

/* Whether a window of `node` (or of COVER_ANY_NODE) has a moment in from_ns .. to_ns. */
bool cover_touches(const struct cover *c, uint32_t node, uint64_t from_ns, uint64_t to_ns);

#endif
