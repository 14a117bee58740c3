/* SPDX-License-Identifier: MIT */
/*
 * The completion queues of a cache: their list, references to them, and when the keeper has to come
 * for one of them.
 */
#ifndef NIGH_CACHE_QUEUE_LIST_H
#define NIGH_CACHE_QUEUE_LIST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

struct nigh;
struct nigh_queue;

/* Keys: (c) constant after open  (l) lock  (a) atomic, relaxed */
struct queues {
    pthread_mutex_t lock;
    struct nigh_queue *first;   /* (l) */
    struct nigh_queue *nobodys; /* (l) the cache's own; NULL: none was needed yet */
    bool shut;                  /* (l) no queue is opened any more */
    uint32_t max;               /* (c) async.max */
    _Atomic uint32_t count;     /* (a) operations that there are */
    _Atomic uint64_t due_ns;    /* (a) the keeper comes by then, or has been poked */
};

void queues_init(struct queues *qs, uint32_t max);
void queues_fini(struct queues *qs);
/* Open a queue, with a reference for its host. 0, NIGH_ENOMEM, or NIGH_ECLOSED after
 * queues_refuse(). */
int queues_open(struct nigh *cache, struct nigh_queue **ret_queue);
/* Open no queue any more. */
void queues_refuse(struct queues *qs);
/* Get the queue of operations of which nobody wants to be told, with a reference: a loader may ask
 * for it while the cache closes. Errors: as queues_open(). */
int queues_nobodys(struct nigh *cache, struct nigh_queue **ret_queue);
/* Return the queue after this one (NULL: the first) with a reference, and drop that of this one. */
struct nigh_queue *queues_next(struct queues *qs, struct nigh_queue *after);
/* Note that the keeper has to come by then. False: it comes early enough anyway. */
bool queues_expect(struct queues *qs, uint64_t due_ns);

void queue_ref(struct nigh_queue *q);
void queue_unref(struct nigh_queue *q);

#endif
