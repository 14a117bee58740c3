/* SPDX-License-Identifier: MIT */
/*
 * Workers: threads that step the flights which no caller steps (refreshes, flights whose leader ran
 * out of time), and run the loaders of spaces that run_on WORKER.
 *
 * Two intrusive queues, so that queueing never allocates and never fails. Flights first: they are
 * short unless they load themselves.
 */
#ifndef NIGH_CACHE_WORKERS_H
#define NIGH_CACHE_WORKERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "flight/flight.h"

#define WORKERS_MAX 256u

struct worker_job {
    void (*run)(struct worker_job *job);
    /* Whether it brings on the flight with this word: for callers that wait, without own threads.
     * Under the lock; NULL: it brings none on. */
    bool (*lands)(struct worker_job *job, const _Atomic uint32_t *landed);
    const _Atomic uint32_t *waited; /* as it begins to run: the thread waits for that word, and if
                                     * it does not come back its flight is to be left; NULL: none
                                     * is */
    struct fifo_link link;
    struct list_link later; /* jobs that are added for later ... */
    uint64_t due_ns;        /* ... until then */
};

/* Keys: (c) constant after start  (l) lock */
struct workers {
    struct env *env;               /* (c) */
    void (*queued)(void *arg);     /* (c) called when a job was queued; NULL: threads wait */
    void *queued_arg;              /* (c) */
    pthread_mutex_t lock;          /* a leaf */
    pthread_cond_t wanted;         /* (l) work or stop */
    struct flight *flight_head;    /* (l) */
    struct flight *flight_tail;    /* (l) */
    struct fifo answers;           /* (l) short jobs, which go before ... */
    struct fifo loads;             /* (l) ... those that run a loader */
    struct list later;             /* (l) jobs whose time has not come; few */
    bool watched;                  /* (l) an idle thread sleeps until the first of them is due */
    pthread_t threads[WORKERS_MAX]; /* (l) */
    uint32_t count;                /* (l) threads there are */
    uint32_t busy;                 /* (l) threads that run something now */
    uint32_t size;                 /* (l) threads there should be */
    bool stop;                     /* (l) */
};

/* `queued` may be NULL. */
void workers_init(struct workers *w, struct env *env, void (*queued)(void *arg), void *arg);
void workers_fini(struct workers *w);
/* With own threads, start `size` of them. NIGH_ETHREAD: not all could be started. */
int workers_start(struct workers *w, uint32_t size);
/* Runs what is queued, then ends the threads. Idempotent. */
void workers_stop(struct workers *w);
/* Keeper: replace threads that ended inside a loader and could not be replaced then. */
void workers_repair(struct workers *w);
void workers_add_flight(struct workers *w, struct flight *f);
/* A job that runs a loader. */
void workers_add_load(struct workers *w, struct worker_job *job);
/* A job that runs none: it waits for no load that has not begun. */
void workers_add_answer(struct workers *w, struct worker_job *job);
/* A job that runs a loader at `due_ns`; or earlier, in a turn, or as the workers are stopped. */
void workers_add_later(struct workers *w, struct worker_job *job, uint64_t due_ns);
/* Without workers: run what is queued now. */
void workers_turn(struct workers *w);
/* Whether a flight is queued whose landing changes this word, or a job that brings it on; NULL:
 * any flight or job, but those for later. */
bool workers_have(struct workers *w, const _Atomic uint32_t *landed);
/* On a thread of the host's: step such a flight, or run such a job here, loader and all. Returns
 * whether there was one. */
bool workers_run_for(struct workers *w, const _Atomic uint32_t *landed);
/* Go on without a thread that is inside a loader: nobody waits for it any more. Does nothing if it
 * is none of the workers. */
void workers_leave(struct workers *w, pthread_t thread);
/* Whether nothing is queued and no worker runs anything. */
bool workers_idle(struct workers *w);
/* Whether the calling thread is running worker work now (of any cache). */
bool workers_on_worker(void);
/* Set whether it is, and return what was set before: for a thread that does the work of several. */
bool workers_swap_on_worker(bool on);

#endif
