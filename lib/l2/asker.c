// SPDX-License-Identifier: MIT
// The host's password function on a thread that may be left behind.
//
// The record is malloc's and not the cache's: it outlives the cache's memory when its thread is
// left. Time is the kernel's: the host's clock may stand still where its function does.
//
// An answer that comes late is kept for the next question instead of a new one: a function that
// always takes longer than the wait gives its password a question late, and not never.

#include "l2/asker.h"

#include <stdlib.h>

enum state { QUIET, ASKED, ANSWERED };

/* Keys: (c) constant after create   (l) lock */
struct asker {
    pthread_mutex_t lock;
    pthread_cond_t came;
    l2_password_fn fn;           /* (c) */
    void *arg;                   /* (c) */
    bool apart;                  /* (c) */
    unsigned refs;               /* (l) the owner's, and the thread's */
    enum state state;            /* (l) */
    bool has_none;               /* (l) the answer: there is none; or else ... */
    char text[URI_PASSWORD_MAX]; /* (l) ... this */
};

struct asker *asker_create(l2_password_fn fn, void *arg, bool apart)
{
    struct asker *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&a->came, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&a->lock, NULL);
    a->fn = fn;
    a->arg = arg;
    a->apart = apart;
    a->refs = 1;
    return a;
}

static void unref_locked(struct asker *a) RELEASES(a->lock)
{
    bool last = --a->refs == 0;
    pthread_mutex_unlock(&a->lock);
    if (!last)
        return;
    pthread_cond_destroy(&a->came);
    pthread_mutex_destroy(&a->lock);
    explicit_bzero(a, sizeof(*a));
    free(a);
}

/* Calls the function. The thread has a reference, which it gives back. */
static void *call(void *arg)
{
    struct asker *a = arg;
    char text[URI_PASSWORD_MAX] = "";
    int got = a->fn(a->arg, text, sizeof(text));
    pthread_mutex_lock(&a->lock);
    a->has_none = got < 0;
    memcpy(a->text, text, sizeof(text));
    explicit_bzero(text, sizeof(text));
    a->state = ANSWERED;
    pthread_cond_signal(&a->came);
    unref_locked(a);
    return NULL;
}

/* Begins a question. False: there is no thread for it. */
static bool begin_locked(struct asker *a) REQUIRES(a->lock)
{
    pthread_t thread;
    a->state = ASKED;
    a->refs++;
    if (!a->apart) {
        pthread_mutex_unlock(&a->lock);
        call(a);
        pthread_mutex_lock(&a->lock);
    } else if (thread_start(&thread, "nigh-password", THREAD_STACK_BYTES, call, a) == 0) {
        pthread_detach(thread);
    } else {
        a->state = QUIET;
        a->refs--;
    }
    return a->state != QUIET;
}

static void await_locked(struct asker *a) REQUIRES(a->lock)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ASKER_WAIT_NS / NS_PER_S);
    while (a->state == ASKED && pthread_cond_timedwait(&a->came, &a->lock, &until) == 0)
        ;
}

/* Takes what has come, if anything has. */
static const char *take_locked(struct asker *a, char text[URI_PASSWORD_MAX]) REQUIRES(a->lock)
{
    if (a->state == ASKED)
        return "it has not returned";
    memcpy(text, a->text, sizeof(a->text));
    explicit_bzero(a->text, sizeof(a->text));
    a->state = QUIET;
    return a->has_none ? "it has none" : NULL;
}

const char *asker_ask(struct asker *a, char text[URI_PASSWORD_MAX])
{
    const char *why = "there is no thread to ask it on";
    pthread_mutex_lock(&a->lock);
    bool asks = a->state == QUIET;
    if (!asks || begin_locked(a)) {
        if (asks)
            await_locked(a);
        why = take_locked(a, text);
    }
    pthread_mutex_unlock(&a->lock);
    return why;
}

bool asker_leave(struct asker *a)
{
    if (!a)
        return true;
    pthread_mutex_lock(&a->lock);
    await_locked(a);
    bool returned = a->state != ASKED;
    unref_locked(a);
    return returned;
}
