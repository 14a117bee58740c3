/* SPDX-License-Identifier: MIT */
/*
 * Threads of the library: named, all signals blocked, an explicit stack size.
 *
 * A service is a loop of `step(arg)`, which returns until when it may sleep; `service_poke` ends
 * the sleep. In the mode without own threads, one that drives takes the turns of the service.
 */
#ifndef NIGH_BASE_THREAD_H
#define NIGH_BASE_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"

struct env;

#define THREAD_STACK_BYTES (256u * 1024) /* usable: thread-local storage comes on top */
#define THREAD_HOSTS_STACK_BYTES (2u << 20) /* of one that calls the host's functions */

/* Start `run(arg)` named `name` (<= 15 bytes) with every signal blocked. 0 or NIGH_ETHREAD. */
int thread_start(pthread_t *ret_thread, const char *name, size_t stack_bytes, void *(*run)(void *),
                 void *arg);

/* Make a condition variable whose timed waits count by CLOCK_MONOTONIC: nobody sets that clock. */
void thread_cond_init(pthread_cond_t *cond);

/* Data that many threads write is cut into this many stripes, each on a cache line of its own.
 * thread_stripe() returns this thread's: the same all its life, and as a rule no other thread's. */
#define THREAD_STRIPES 32u
extern NIGH_HIDDEN _Thread_local uint32_t thread_stripe_number; /* 0: none yet */
NIGH_OUTLINED void thread_stripe_draw(void);
static inline uint32_t thread_stripe(void)
{
    if (NIGH_UNLIKELY(!thread_stripe_number))
        thread_stripe_draw();
    return thread_stripe_number % THREAD_STRIPES;
}

/* Does the work that is due. Returns the time (clock_now_ns) of the next work; CLOCK_NEVER_NS: only
 * when poked. */
typedef uint64_t (*service_step_fn)(void *arg);

/* Keys: (c) constant after start; (a) atomic */
struct service {
    struct env *env;        /* (c) */
    service_step_fn step;   /* (c) */
    void *arg;              /* (c) */
    pthread_t thread;       /* (c) */
    bool running;           /* for the starter and stopper only; false without own threads */
    _Atomic uint32_t pokes; /* (a) futex word: bumped by poke; odd/even means nothing */
    _Atomic bool stop;      /* (a) */
};

/* Starts the thread, if there are own threads; else only remembers (see service_turn()). */
int service_start(struct service *s, struct env *env, const char *name, service_step_fn step,
                  void *arg);
/* Make the step run soon, and see everything written before. Any thread; never blocks. */
void service_poke(struct service *s);
/* Take a turn of a service that has no thread. Nothing is due before it has been started. */
uint64_t service_turn(struct service *s);
/* Ask the thread to end and join it. Idempotent, also on a zeroed struct; one caller at a time. */
void service_stop(struct service *s);

/*
 * A turn: the right to do some work that one thread does at a time and that nobody waits for. A
 * thread that finds the turn taken leaves the work to its taker. Used for work that normally has a
 * thread of its own, and that any thread of the host does where the library has none.
 */
struct turn {
    _Atomic bool taken; /* pair(thread.turn): each taker sees what the one before it did */
};

static inline bool turn_take(struct turn *t)
{
    return !atomic_exchange_explicit(&t->taken, true, memory_order_acquire); /* pair(thread.turn) */
}

static inline void turn_give(struct turn *t)
{
    atomic_store_explicit(&t->taken, false, memory_order_release); /* pair(thread.turn) */
}

#endif
