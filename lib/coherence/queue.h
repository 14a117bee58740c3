/* SPDX-License-Identifier: MIT */
/*
 * The queue: own changes that Redis has not accepted yet. Private to coherence.
 *
 * Whoever queues a change does so before he raises its floors (issue.c), so whoever has a ticket
 * above them finds L2 covered. What is queued stays until Redis has accepted it (batch.h).
 *
 * Thread-safety: any thread puts and asks; the queue lock is a leaf, and taken in here.
 */
#ifndef NIGH_COHERENCE_QUEUE_H
#define NIGH_COHERENCE_QUEUE_H

#include <pthread.h>

#include "coherence/core.h"
#include "coherence/keeper.h"

struct coherence_batch;
struct coherence_queue_item;

struct coherence_queue {
    pthread_mutex_t lock;
    struct coherence_queue_item **heads; /* (q) chains by wire hash */
    uint32_t head_count;                 /* (c) power of two */
    struct coherence_queue_item *first;  /* (q) oldest */
    struct coherence_queue_item *last;   /* (q) */
    struct coherence_queue_item *all;    /* (c) the item of ALL: always exists, queued or not */
    struct coherence_batch *batch;       /* (k) */
    struct coherence_request request;
    uint64_t due_ns;                     /* (k) the next attempt */
    uint32_t backoff_ms;                 /* (k) 0: the last attempt succeeded */
    uint32_t moved;                      /* (k) answers in a row that told only the schemas */
    _Atomic bool retry_now;              /* (a) the connection is new: no need to wait */
    uint64_t value_bytes;                /* (q) of the values in it */
    _Atomic uint32_t count;              /* (a) written under the queue lock */
    _Atomic uint32_t emptied;            /* (a) futex word: bumped when the queue runs empty */
};

int coherence_queue_init(struct coherence *c);
void coherence_queue_fini(struct coherence *c);
/* Queue one item; `noted`: it is in `recent`, being told again. 0, or NIGH_ENOMEM / NIGH_REFUSED
 * (full): folded into a soft ALL. */
int coherence_queue_put(struct coherence *c, const struct coherence_item *item, bool noted);
/* Queue a change in the background, if there is room for all its items. *ret_first: the queue was
 * empty. 0; NIGH_EBUSY: none is queued; NIGH_ENOMEM as above, or, of a value, none is queued. */
int coherence_queue_put_room(struct coherence *c, const struct coherence_change *change,
                             bool *ret_first);
/* Notes the stamp of the entry that a queued value has here. Under the apply lock, as it is put. */
void coherence_queue_set_own(struct coherence *c, const struct coherence_item *item,
                             uint64_t stamp);
/* Returns the stamp of the entry that stays when a change of ours names the key: that of the value
 * that is queued; 0: none. `stored`: Redis has set what was sent. Under the apply lock. */
uint64_t coherence_queue_own(struct coherence *c, const struct coherence_item *item, bool stored);
/* Tell who waited. */
void coherence_waiters_tell(struct coherence_waiter **told);
/* Tell all who wait that nothing will come. */
void coherence_queue_shut(struct coherence *c);

/* ---- retry.c ---- */

uint64_t coherence_queue_step(struct coherence *c);
/* Do not wait for the time of the next attempt. Any thread. */
void coherence_queue_retry_now(struct coherence *c);

#endif
