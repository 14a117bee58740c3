/* SPDX-License-Identifier: MIT */
/*
 * The completions of a queue: in the order of their coming, with the descriptor that tells of them
 * and the threads that sleep until there is one.
 *
 * All of it is under the lock of the queue, which each function REQUIRES.
 */
#ifndef NIGH_CACHE_QUEUE_COMPLETIONS_H
#define NIGH_CACHE_QUEUE_COMPLETIONS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/base.h"

struct queue_op;

/* Keys: (c) constant  (q) lock of the queue */
struct completions {
    struct park *park;          /* (c) */
    struct queue_op *first;     /* (q) the oldest */
    struct queue_op *last;      /* (q) */
    _Atomic uint32_t word;      /* futex word of those who sleep; written (q) */
    uint32_t sleepers;          /* (q) */
    int fd;                     /* (q) -1: nobody has asked for it */
};

void completions_init(struct completions *c, struct park *park);
void completions_fini(struct completions *c);

void completions_add_locked(struct completions *c, struct queue_op *op);
void completions_remove_locked(struct completions *c, struct queue_op *op);
/* Return the descriptor, which is readable while there are completions. NIGH_ETHREAD: there are no
 * more to be had. */
int completions_fd_locked(struct completions *c);
/* Wake those who sleep: they look again. */
void completions_wake_locked(struct completions *c);
/* Sleep until woken, or the deadline; `lock` is released meanwhile. Returns whether there is time
 * left. */
bool completions_sleep_locked(struct completions *c, pthread_mutex_t *lock, uint64_t deadline_ns)
    REQUIRES(*lock);

#endif
