// SPDX-License-Identifier: MIT
/*
 * Starting threads, and the service loop.
 *
 * Why a poke is never lost: the loop reads `pokes` BEFORE its step and sleeps only while it is
 * unchanged. A poke before the read is seen by the step (the acquire pairs with the increment's
 * release); a poke after it makes the kernel refuse the sleep. Reading after the step would lose
 * a poke that came while the step had already looked.
 */
#include "base/thread.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <nigh/error.h>

#include "base/base.h"

#define NAME_MAX_BYTES 15 /* TASK_COMM_LEN without its NUL */

_Thread_local uint32_t thread_stripe_number;

void thread_stripe_draw(void)
{
    static _Atomic uint32_t threads;
    thread_stripe_number =
        atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) | THREAD_STRIPES;
}

/* Adds the room that glibc takes out of a stack for thread-local storage and the guard page: the
 * host may have much of such storage. */
static size_t whole_stack(size_t usable_bytes)
{
    long overhead = sysconf(_SC_THREAD_STACK_MIN);
    return usable_bytes + (overhead > 0 ? (size_t)overhead : 0);
}

/* Creates the thread with all signals blocked: they are blocked here before it exists, for blocking
 * them inside it would leave a gap. */
static int create_masked(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                         void *arg)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(thread, attr, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int thread_start(pthread_t *ret_thread, const char *name, size_t stack_bytes, void *(*run)(void *),
                 void *arg)
{
    pthread_attr_t attr;
    pthread_t thread;
    NIGH_DCHECK(strlen(name) <= NAME_MAX_BYTES);
    if (fault_fires(FAULT_THREAD) || pthread_attr_init(&attr) != 0)
        return NIGH_ETHREAD;
    int rc = pthread_attr_setstacksize(&attr, whole_stack(stack_bytes));
    if (rc == 0)
        rc = create_masked(&thread, &attr, run, arg);
    pthread_attr_destroy(&attr);
    if (rc != 0)
        return NIGH_ETHREAD;
    pthread_setname_np(thread, name);
    *ret_thread = thread;
    return 0;
}

void thread_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

static void *serve(void *arg)
{
    struct service *s = arg;
    for (;;) {
        /* pair(service.pokes): the step sees everything written before a poke counted here */
        uint32_t seen = atomic_load_explicit(&s->pokes, memory_order_acquire);
        if (atomic_load_explicit(&s->stop, memory_order_relaxed)) /* ordered by the poke after it */
            return NULL;
        uint64_t next_ns = s->step(s->arg);
        park_wait(s->env->park, &s->pokes, seen, next_ns);
    }
}

int service_start(struct service *s, struct env *env, const char *name, service_step_fn step,
                  void *arg)
{
    s->env = env;
    s->step = step;
    s->arg = arg;
    s->running = false;
    atomic_init(&s->pokes, 0);
    atomic_init(&s->stop, false);
    if (!env->own_threads)
        return 0;
    int rc = thread_start(&s->thread, name, THREAD_STACK_BYTES, serve, s);
    s->running = rc == 0;
    return rc;
}

void service_poke(struct service *s)
{
    /* pair(service.pokes): publishes the work that the step is to find */
    atomic_fetch_add_explicit(&s->pokes, 1, memory_order_release);
    park_wake(s->env->park, &s->pokes, 1);
}

uint64_t service_turn(struct service *s)
{
    return s->step ? s->step(s->arg) : CLOCK_NEVER_NS;
}

void service_stop(struct service *s)
{
    if (!s->running)
        return;
    s->running = false;
    atomic_store_explicit(&s->stop, true, memory_order_relaxed);
    service_poke(s);
    pthread_join(s->thread, NULL);
}
