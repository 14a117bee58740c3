/* SPDX-License-Identifier: MIT */
/*
 * Measures how long a change takes to be heard: one of this node's at a time is followed by its
 * nonce, from the making of its script until the channel brings its frame back. So long other nodes
 * wait for it, too, as far as they listen to the same server.
 */
#ifndef NIGH_COHERENCE_PROBE_H
#define NIGH_COHERENCE_PROBE_H

#include "coherence/core.h"

/* Both words are written without a lock: a race loses a sample, or begins one anew. */
struct coherence_probe {
    _Atomic uint64_t nonce;   /* (a) pair(coherence.probe); 0: none is followed */
    _Atomic uint64_t made_ns; /* (a) */
};

/* Follow a change, unless another is followed. */
void coherence_probe_begin(struct coherence *c, uint64_t nonce);
/* A frame of this nonce was applied, or had been. */
void coherence_probe_heard(struct coherence *c, uint64_t nonce);

#endif
