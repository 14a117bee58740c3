// SPDX-License-Identifier: MIT
// The host's password function on a thread that may be left behind.
//
// The record is malloc's and not the cache's: it outlives the cache's memory when its thread is
// left. Time is the kernel's: the host's clock may stand still where its function does.
//
// An answer is taken when it is looked for, however late that is: a function that always takes
// longer than the wait gives its password late, and not never.

#include "l2/asker.h"

#include <stdlib.h>

enum state { QUIET, ASKED, ANSWERED };

/* Keys: (c) constant after create   (l) lock   (o) the owner */
struct asker {
    pthread_mutex_t lock;
    pthread_cond_t came;
    l2_password_fn fn;           /* (c) */
    void *arg;                   /* (c) */
    bool apart;                  /* (c) */
    unsigned refs;               /* (l) the owner's, and the thread's */
    enum state state;            /* (l) */
    struct timespec until;       /* (o) ASKED: how long the answer is waited for */
    enum asker_answer answer;    /* (l) */
    char text[URI_PASSWORD_MAX]; /* (l) */
};

struct asker *asker_create(l2_password_fn fn, void *arg, bool apart)
{
    struct asker *a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    thread_cond_init(&a->came);
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
    a->answer = got < 0 ? ASKER_NONE : ASKER_PASSWORD;
    memcpy(a->text, text, sizeof(text));
    explicit_bzero(text, sizeof(text));
    a->state = ANSWERED;
    pthread_cond_signal(&a->came);
    unref_locked(a);
    return NULL;
}

static void begin(struct asker *a)
{
    pthread_t thread;
    if (!a->apart) {
        call(a);
    } else if (thread_start(&thread, "nigh-password", THREAD_HOSTS_STACK_BYTES, call, a) == 0) {
        pthread_detach(thread);
    } else {
        pthread_mutex_lock(&a->lock);
        a->answer = ASKER_NO_THREAD;
        a->state = ANSWERED;
        unref_locked(a);
    }
}

void asker_ask(struct asker *a)
{
    pthread_mutex_lock(&a->lock);
    bool asks = a->state == QUIET;
    if (asks) {
        a->state = ASKED;
        a->refs++;
        clock_gettime(CLOCK_MONOTONIC, &a->until);
        a->until.tv_sec += (time_t)(ASKER_WAIT_NS / NS_PER_S);
    }
    pthread_mutex_unlock(&a->lock);
    if (asks)
        begin(a);
}

static void await_locked(struct asker *a) REQUIRES(a->lock)
{
    while (a->state == ASKED && pthread_cond_timedwait(&a->came, &a->lock, &a->until) == 0)
        ;
}

static bool is_late(const struct asker *a)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > a->until.tv_sec ||
           (now.tv_sec == a->until.tv_sec && now.tv_nsec >= a->until.tv_nsec);
}

enum asker_answer asker_take(struct asker *a, bool waits, char text[URI_PASSWORD_MAX])
{
    enum asker_answer answer = ASKER_NOTHING;
    pthread_mutex_lock(&a->lock);
    if (waits)
        await_locked(a);
    if (a->state == ANSWERED) {
        answer = a->answer;
        memcpy(text, a->text, sizeof(a->text));
        explicit_bzero(a->text, sizeof(a->text));
        a->state = QUIET;
    } else if (a->state == ASKED && is_late(a)) {
        answer = ASKER_STANDS;
    }
    pthread_mutex_unlock(&a->lock);
    return answer;
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
