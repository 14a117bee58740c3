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

struct coherence_queue_item;

struct coherence_queue {
    pthread_mutex_t lock;
    struct coherence_queue_item **heads; /* (q) chains by wire hash */
    uint32_t head_count;                 /* (c) power of two */
    struct coherence_queue_item *first;  /* (q) oldest */
    struct coherence_queue_item *last;   /* (q) */
    struct coherence_queue_item *all;    /* (c) the item of ALL: always exists, queued or not */
    uint64_t value_bytes;                /* (q) all values' */
    uint64_t linked;                     /* (q) how many were ever linked: numbers them */
    uint64_t late_to;                    /* (q) up to this number they wait since a failure ... */
    uint32_t late;                       /* (q) ... so many of them */
    uint64_t folded;                     /* (q) items that found no room: one of all is told */
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
/* Notes that all that is queued has to wait: an attempt has failed. */
void coherence_queue_late(struct coherence *c);
/* Returns how many items have ever been folded into the one of all. */
uint64_t coherence_queue_folded(struct coherence *c);
/* Tell who waited. */
void coherence_waiters_tell(struct coherence_waiter **told);
/* Tell all who wait that nothing will come. */
void coherence_queue_shut(struct coherence *c);

/* Returns how many items are queued. To whom that matters has a ticket above the floor that was
 * raised after the put, and sees the count through that. */
static inline uint32_t coherence_queued_count(const struct coherence *c)
{
    return atomic_load_explicit(&c->queue->count, memory_order_relaxed);
}

#endif
