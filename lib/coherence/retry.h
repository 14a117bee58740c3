/* SPDX-License-Identifier: MIT */
/*
 * Trying again what is queued, until Redis has accepted it: by the keeper, one batch on its way at
 * a time. Private to coherence.
 */
#ifndef NIGH_COHERENCE_RETRY_H
#define NIGH_COHERENCE_RETRY_H

#include "coherence/core.h"
#include "coherence/keeper.h"

struct coherence_batch;

struct coherence_retry {
    struct coherence_batch *batch; /* (k) */
    struct coherence_request request;
    uint64_t due_ns;               /* (k) the next attempt */
    uint32_t backoff_ms;           /* (k) 0: the last attempt succeeded */
    uint32_t moved;                /* (k) answers in a row that told only the schemas */
    _Atomic bool now;              /* (a) the connection is new: no need to wait */
    uint64_t up_ns;                /* (k) when that was seen last */
    uint64_t late_ns;              /* (k) since when changes wait, for an attempt failed; 0: none */
    uint64_t late_made_ns;         /* (k) ... and when the oldest of them was made */
    uint64_t late_count;           /* (k) how many of those are accepted by now */
    uint64_t late_folded;          /* (k) what was folded before they waited */
};

/* 0 or NIGH_ENOMEM. Fini also after a failed init; before the queue's. */
int coherence_retry_init(struct coherence *c);
void coherence_retry_fini(struct coherence *c);
/* Judges what was answered, sends what is due. Returns when to come again. */
uint64_t coherence_retry_step(struct coherence *c);
/* Do not wait for the time of the next attempt. Any thread. */
void coherence_retry_now(struct coherence *c);

#endif
