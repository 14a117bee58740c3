/* SPDX-License-Identifier: MIT */
/*
 * A completion queue from inside: its struct, and what the files of the queues do with operations.
 * For these files only; kinds of operations see cache/queue/queue.h.
 */
#ifndef NIGH_CACHE_QUEUE_CORE_H
#define NIGH_CACHE_QUEUE_CORE_H

#include "cache/queue/completions.h"
#include "cache/queue/queue.h"

/* A power of two. 10,000 operations make chains of five. */
#define QUEUE_CHAINS 2048u

/* Keys: (c) constant  (q) lock  (l) lock of the cache's list of queues */
struct nigh_queue {
    struct nigh *cache;                    /* (c) a reference */
    struct nigh_queue *next;               /* (l) */
    _Atomic uint32_t refs;                 /* pair(queue.refs): the host's, each operation's */

    pthread_mutex_t lock;
    struct completions ready;              /* (q) */
    struct timers timers;                  /* (q) deadlines of what is pending */
    uint64_t last_id;                      /* (q) */
    uint32_t begun;                        /* (q) operations in the chains */
    bool shut;                             /* (q) the cache closes, or has closed */
    struct queue_op *chains[QUEUE_CHAINS]; /* (q) pending and completed, by id */
};

/* Declare these two again: only where the struct is known can clang be told of its lock. */
void queue_lock(struct nigh_queue *q) ACQUIRES(q->lock);
void queue_unlock(struct nigh_queue *q) RELEASES(q->lock);
/* Find the operation of an id; NULL: it is gone, or never was. */
struct queue_op *queue_find_locked(struct nigh_queue *q, uint64_t id) REQUIRES(q->lock);
/* Whether the cache has closed, and nothing will come any more. */
bool queue_is_done_locked(const struct nigh_queue *q) REQUIRES(q->lock);
/* Take an operation out of its queue. False: its answer is on its way, and will free it. */
bool queue_drop_locked(struct queue_op *op) REQUIRES(op->queue->lock);
/* Complete a pending operation whose answer has not come. False: it is on its way. *ret_left: a
 * reference to be dropped without the lock; or NULL. */
bool queue_give_up_locked(struct queue_op *op, int outcome, struct flight **ret_left)
    REQUIRES(op->queue->lock);
/* Take the timer of an operation away. */
void queue_untime_locked(struct queue_op *op) REQUIRES(op->queue->lock);
/* Free an operation that queue_drop_locked() has left to us. */
void queue_dispose(struct queue_op *op, bool handed_out);

#endif
