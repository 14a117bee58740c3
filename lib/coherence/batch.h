/* SPDX-License-Identifier: MIT */
/*
 * Batches: queued items on their way to Redis, in one script. By the keeper, one at a time; see
 * retry.c, which sends them. Private to coherence.
 *
 * A batch is filled, its script is made, then its values' bytes are let go of (`sent`). The answer
 * decides: accepted items are taken out of the queue, but for those that were named again since; if
 * it is not known whether they are, their values are given up. Between the two the items stay where
 * they are, and cover L2.
 */
#ifndef NIGH_COHERENCE_BATCH_H
#define NIGH_COHERENCE_BATCH_H

#include "coherence/core.h"
#include "coherence/state.h"

struct coherence_queue_item;
struct coherence_value;

/* Queued items on their way: a script of some 30 KiB with ordinary keys. */
#define COHERENCE_BATCH_ITEMS 256u
struct coherence_batch {
    uint32_t count;                                              /* (k) */
    uint64_t call;                                               /* (k) */
    uint64_t nonce;                                              /* (k) */
    struct coherence_position known;                             /* (k) when it was filled */
    struct coherence_queue_item *members[COHERENCE_BATCH_ITEMS]; /* (k) */
    struct coherence_item items[COHERENCE_BATCH_ITEMS];          /* (k) as they were when sent */
    bool noted[COHERENCE_BATCH_ITEMS];                           /* (k) `recent` has the item */
    struct coherence_schema *schema;                             /* (k) the values'; NULL: none */
    struct coherence_write writes[COHERENCE_BATCH_ITEMS];        /* (k) L2_DELETE: no value */
    struct coherence_value *values[COHERENCE_BATCH_ITEMS];       /* (k) references, until sent */
    bool lost[COHERENCE_BATCH_ITEMS];                            /* (k) the value was given up */
    struct coherence_waiter *told;                               /* (k) to be told */
    uint32_t late;         /* (k) of those that were removed last: had waited since a failure ... */
    uint64_t late_made_ns; /* (k) ... when the oldest of them was made */
    bool late_are_left;    /* (k) ... and there are more of them */
};

/* Fills a batch with the oldest items, and marks them as sent. Values whose time is over, or whose
 * clock is not followed any more, are given up. */
void coherence_batch_fill(struct coherence *c, struct coherence_batch *batch, uint64_t now_ns);
/* Lets go of its values' bytes: the script is made. */
void coherence_batch_sent(struct coherence *c, struct coherence_batch *batch);
/* Take out the accepted items, but for those named again since. True: nothing is left. */
bool coherence_batch_remove(struct coherence *c, struct coherence_batch *batch,
                            const struct l2_answer *answer);
/* Give up the values that were sent: nobody knows whether Redis has set them. */
void coherence_batch_lose(struct coherence *c, struct coherence_batch *batch);

#endif
