// SPDX-License-Identifier: MIT
/*
 * The loops for those who are called through pointers.
 */
#include "bench/loop.h"

const struct nigh_call loop_call = {.size = sizeof(struct nigh_call), .flags = NIGH_L1_ONLY};

/* A loop for each kind: what differs is decided outside it. */
uint64_t loop_through(candidate_get_fn *get, candidate_release_fn *release, enum loop_kind kind,
                      struct nigh_space *space, const struct sequence *sequence, uint64_t at,
                      uint64_t count)
{
    switch (kind) {
    case LOOP_CHAIN:
        return loop_run(get, release, LOOP_CHAIN, space, sequence, at, count);
    case LOOP_CHAIN_COPY:
        return loop_run(get, release, LOOP_CHAIN_COPY, space, sequence, at, count);
    case LOOP_FREE_COPY:
        return loop_run(get, release, LOOP_FREE_COPY, space, sequence, at, count);
    default:
        return loop_run(get, release, LOOP_FREE, space, sequence, at, count);
    }
}
