/* SPDX-License-Identifier: MIT */
/*
 * The mode without own threads: whose turn it is to do the I/O and the keeper's work.
 *
 *     nobody drives --- a call that must wait, a call that leaves something to be sent, a tick --->
 *     one drives: rounds, and between them it sleeps on the sockets until its word changes, its
 *     deadline, or the next event ---> leaves; if others wait, one of them is woken to drive
 *
 * Everything here is the cache's `drive`, NULL with own threads and in simulations.
 */
#ifndef NIGH_CACHE_DRIVE_H
#define NIGH_CACHE_DRIVE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

struct nigh;
struct flight;
struct control;

/* A call that waits while another drives; in its frame. Keys: (l) */
struct drive_sleeper {
    struct drive_sleeper *prev;     /* (l) */
    struct drive_sleeper *next;     /* (l) */
    const _Atomic uint32_t *word;   /* (l) changes when it may go on */
    _Atomic uint32_t woken;         /* futex word: 1 when the word has changed, or it may drive */
};

/* Keys: (c) constant after open  (l) lock  (d) the thread that drives  (a) atomic */
struct drive {
    struct nigh *cache;                /* (c) */
    struct park futex;                 /* (c) sleeps, and takes no turns */
    int bell;                          /* (c) eventfd: ends the driver's sleep */
    int call;                          /* (c) eventfd: readable while nigh_tick() has to come */
    int timer;                         /* (c) timerfd: readable when a tick is due by the clock */
    int fd;                            /* (c) epoll of sockets, `call`, `timer`: nigh_tick_fd() */
    struct control *control;           /* (c) the control socket, NULL: there is none */

    pthread_mutex_t lock;              /* for stores and wakes; workers lock under it */
    bool taken;                        /* (l) a thread drives */
    const _Atomic uint32_t *asleep_on; /* (l) the driver sleeps, until this changes; NULL: not */
    struct drive_sleeper *first;       /* (l) in the order of their coming */
    struct drive_sleeper *last;        /* (l) */
    bool called;                       /* (l) `call` is readable */
    bool timed;                        /* (l) the host waits for `fd`: ticks set the timer */
    uint64_t promised_ns;              /* (l) when the host will tick at the latest */
    uint64_t reclaim_due_ns;           /* (l) */
    uint32_t reclaim_seen;             /* (l) pokes of the reclaimer when it last ran */

    _Atomic bool closed;               /* (a) the host has closed our descriptors */

    bool linked;                       /* (d) the link takes part */
    uint64_t next_ns;                  /* (d) when the link and the keeper have to do something */
    uint64_t keep_due_ns;              /* (d) when the keeper has to */
    uint32_t keep_seen;                /* (d) pokes of the keeper when it last ran */
};

/* 0, NIGH_ENOMEM or NIGH_ETHREAD (no descriptors). Puts itself in the place of the park. */
int drive_create(struct nigh *cache);
/* Watch the sockets of the link, which is open. 0 or NIGH_ETHREAD. */
int drive_link(struct nigh *cache);
/* Let ticks step the control socket, which tells by its descriptor when. NULL: not any more. 0 or
 * NIGH_ETHREAD. */
int drive_watch(struct nigh *cache, struct control *control);
/* Leave the link out from now on: it is about to be closed. */
void drive_unlink(struct nigh *cache);
void drive_destroy(struct nigh *cache);
/* Wake the callers that wait for a flight which was left to the workers, and call the host to
 * tick. Only the address of `f` is used: the flight may be gone. */
void drive_queued(struct nigh *cache, const struct flight *f);
/* Do the same for a job: who waits looks whether it is for him. */
void drive_queued_job(struct nigh *cache);
/* At the end of a call: hand to the socket what the call has queued and does not wait for, and do
 * what is due for the link. Never waits. */
void drive_flush(struct nigh *cache);
/* Do what a tick does, for a call that polls. The host still ticks when it meant to. */
void drive_turn(struct nigh *cache);

/* ---- for the tick ---- */

/* Count the pokes of a service: its step sees whatever was written before one that is counted. */
static inline uint32_t drive_pokes(const struct service *s)
{
    /* pair(service.pokes): acquire that */
    return atomic_load_explicit(&s->pokes, memory_order_acquire);
}
/* Take the wheel, unless another thread drives. */
bool drive_take(struct drive *d);
void drive_give(struct drive *d);
/* As the driver: do what is due for the link and the keeper, until what this itself has queued is
 * sent, too. */
void drive_round(struct drive *d);
/* Note that the host has come: this tick looks at everything, and what comes from here on calls the
 * host again. */
void drive_answer_call(struct drive *d);
/* Make the tick's descriptor readable in so many milliseconds, if the host has asked for it: it
 * need not keep the time that a tick returns. By the kernel's clock also where the host has one. */
void drive_set_timer_locked(struct drive *d, uint64_t ms) REQUIRES(d->lock);
/* Return when a tick has something to do. The wheel is the caller's, or nobody's. */
uint64_t drive_next_locked(const struct drive *d) REQUIRES(d->lock);

#endif
