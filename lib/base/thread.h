/* SPDX-License-Identifier: MIT */
/*
 * Threads of the library: named, all signals blocked, an explicit stack size.
 *
 * A service is a loop of `step(arg)`, which returns until when it may sleep; `service_poke` ends
 * the sleep. The same step function is what nigh_tick() calls when the host gave us no threads.
 */
#ifndef NIGH_BASE_THREAD_H
#define NIGH_BASE_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct env;

#define THREAD_STACK_BYTES (256u * 1024) /* usable: thread-local storage comes on top */

/* Start `run(arg)` named `name` (<= 15 bytes) with every signal blocked. 0 or NIGH_ETHREAD. */
int thread_start(pthread_t *ret_thread, const char *name, size_t stack_bytes, void *(*run)(void *),
                 void *arg);

/* What many threads write is laid out in so many parts, each on a line of its own. This thread's:
 * the same for as long as it lives, and as a rule nobody else's. */
#define THREAD_STRIPES 32u
uint32_t thread_stripe(void);

/* Returns the time (clock_now_ns) of its next work; CLOCK_NEVER_NS: only when poked. */
typedef uint64_t (*service_step_fn)(void *arg);

/* Keys: (c) constant after start; (a) atomic */
struct service {
    struct env *env;        /* (c) */
    service_step_fn step;   /* (c) */
    void *arg;              /* (c) */
    pthread_t thread;       /* (c) */
    bool running;           /* who starts and stops it; false in the mode without own threads */
    _Atomic uint32_t pokes; /* (a) futex word: bumped by poke; odd/even means nothing */
    _Atomic bool stop;      /* (a) */
};

/* Starts the thread, if there are own threads; else only remembers (nigh_tick calls step). */
int service_start(struct service *s, struct env *env, const char *name, service_step_fn step,
                  void *arg);
/* Make the step run soon, and see what was written before. Any thread; never blocks. */
void service_poke(struct service *s);
/* Ask the thread to end and join it. Idempotent, also on a zeroed struct; one caller at a time. */
void service_stop(struct service *s);

/*
 * A turn: work that one thread does at a time and that nobody waits for. Who finds it taken goes
 * away. For what has an own thread normally, and any of the host's threads where there are none.
 */
struct turn {
    _Atomic bool taken; /* pair(thread.turn): what the last one did is seen by the next */
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
