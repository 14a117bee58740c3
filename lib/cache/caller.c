// SPDX-License-Identifier: MIT
/*
 * Which call of ours a thread is in, and what it had chosen before.
 *
 * A loader that leaves its call without returning (an exception, longjmp) leaves `inside` naming a
 * call that is over. That is harmless: who enters next sets it anew, and a callback that is still
 * under way knows its own call and puts it back.
 */
#include "cache/caller.h"

#include <pthread.h>
#include <stddef.h>

static _Thread_local struct caller *inside;

void caller_enter(struct caller *c)
{
    c->outer = inside;
    inside = c;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &c->cancel_state);
}

void caller_leave(struct caller *c)
{
    inside = c->outer;
    pthread_setcancelstate(c->cancel_state, NULL);
}

struct caller *callback_begin(void)
{
    struct caller *c = inside;
    if (c)
        pthread_setcancelstate(c->cancel_state, NULL);
    return c;
}

void callback_end(struct caller *c)
{
    inside = c;
    if (c)
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
}

struct caller *caller_swap(struct caller *other)
{
    struct caller *was = inside;
    inside = other;
    return was;
}
