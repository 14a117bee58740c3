/* SPDX-License-Identifier: MIT */
/*
 * Operations on completion queues: calls that are pending, and completions that nobody has polled.
 * For the kinds of operations; what the host and the keeper do is in calls.c, keep.h.
 *
 *                    landing, answer of L2, deadline, nigh_close()
 *     BEGINNING --> PENDING ------------------------------------> READY ---> handed out, freed
 *         |            |                                            |
 *         |            +--- cancelled, or its queue closed ---------+------> dropped, freed
 *         +--> ANSWERED: before the call had returned, which then answers itself
 *
 * An operation is freed by whoever brings it to its end. If its answer is on its way at that moment
 * it is OVER, and whoever brings the answer frees it.
 */
#ifndef NIGH_CACHE_QUEUE_QUEUE_H
#define NIGH_CACHE_QUEUE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nigh/queue.h>

#include "base/base.h"

#include "cache/queue/list.h"

struct flight;
struct nigh;
struct nigh_space;
struct queue_op;

/* Says what a kind of operation does at its ends. */
struct queue_verb {
    /* Let go of what is to bring the answer of a pending operation. *ret_left is a reference that
     * is to be dropped without the lock; or NULL. False: the answer is on its way, and finds the
     * operation OVER. REQUIRES(lock of the queue) */
    bool (*detach)(struct queue_op *op, struct flight **ret_left);
    /* Do what remains, without the lock, as its completion is handed out, or is not. May be
     * NULL. */
    void (*end)(struct queue_op *op, bool handed_out);
    /* Do what is owed to the host as a completion is handed out before the answer has come; the
     * operation is then OVER. May be NULL. REQUIRES(lock of the queue) */
    void (*part)(struct queue_op *op);
    /* Return what a pending operation is told as it is given up, in place of `why`: NIGH_ETIMEDOUT
     * or NIGH_ECLOSED. NULL: just that. REQUIRES(lock of the queue) */
    int (*given_up)(struct queue_op *op, int why);
    bool changes; /* is no read: neither timed as one, nor are its errors counted as one's */
    bool partial; /* has many outcomes: its own is no error */
};

enum queue_state { QUEUE_BEGINNING, QUEUE_ANSWERED, QUEUE_PENDING, QUEUE_READY, QUEUE_OVER };

/* The head of each operation. Keys: (c) constant once begun  (q) lock of the queue */
struct queue_op {
    const struct queue_verb *verb; /* (c) */
    struct nigh_queue *queue;      /* (c) a reference */
    struct nigh_space *space;      /* (c) NULL: it is of none */
    void *arg;                     /* (c) */
    uint64_t began_ns;             /* (c) 0: the call is not timed */
    size_t bytes;                  /* (c) allocated */
    uint64_t id;                   /* (c) */
    enum queue_state state;        /* (q) */
    bool busy;                     /* (q) a request of it is on its way, and will be answered */
    bool timed;                    /* (q) has a timer */
    bool overdue;                  /* (q) the timer has fired while the answer was on its way */
    struct timer timer;            /* (q) */
    struct queue_op *chain;        /* (q) the next of the same chain of ids */
    struct queue_op *next;         /* (q) the next completion; then its owner's */
    struct queue_op *prev;         /* (q) the completion before it */
    struct flight *left;           /* (q) to be dropped with it */

    int outcome;                   /* (q) the completion */
    int load_error;                /* (q) */
    struct nigh_value value;       /* (q) */
};

/* Create an operation of `bytes` (at least its head). `space` may be NULL. Errors: NIGH_EBUSY,
 * NIGH_ENOMEM. */
int queue_op_create(struct nigh_queue *q, const struct queue_verb *verb, struct nigh_space *space,
                    void *arg, size_t bytes, struct queue_op **ret_op);
/* Free an operation that has not begun, or is OVER. */
void queue_op_free(struct queue_op *op);

struct nigh *queue_cache(const struct nigh_queue *q);
/* Returns where what happens to an operation is counted. */
struct stats *queue_stats(const struct queue_op *op);
/* An operation is found, and changed, under the lock of its queue. */
void queue_lock(struct nigh_queue *q);
void queue_unlock(struct nigh_queue *q);
/* Whether nobody wants the answer of an operation any more. */
bool queue_is_over(struct queue_op *op);
/* Whether an operation may begin, or go on: 0 or NIGH_ECLOSED. */
int queue_may_locked(const struct nigh_queue *q);
/* Begin: from here on the operation can be found by its id, and comes to its deadline. The keeper
 * comes by `visit_ns`, too, when what the operation waits for may have to be ended. */
void queue_begin_locked(struct queue_op *op, enum queue_state state, uint64_t deadline_ns,
                        uint64_t visit_ns);
/* End the beginning. True: it was ANSWERED `at_once`, and is the caller's now; else its answer is,
 * or will be, a completion: *ret_id (unless NULL) is written before that can be handed out. */
bool queue_begun(struct queue_op *op, bool at_once, uint64_t *ret_id);
/* Set the deadline of an operation anew, unless it has its answer; CLOCK_NEVER_NS: it has none. */
void queue_set_deadline_locked(struct queue_op *op, uint64_t deadline_ns);
/* Take back an operation that has begun, and failed at once. */
void queue_unbegin(struct queue_op *op);

enum queue_end {
    QUEUE_TAKEN, /* the completion will be handed out; the operation is not touched any more */
    QUEUE_LATE,  /* has another completion already; not touched any more, unless busy */
    QUEUE_GONE,  /* nobody wants it: the operation is the caller's, to be freed */
};
/* Bring the answer. If it is TAKEN, so is the value. */
enum queue_end queue_end_locked(struct queue_op *op, int outcome, int load_error,
                                const struct nigh_value *value);

#endif
