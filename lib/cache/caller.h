/* SPDX-License-Identifier: MIT */
/*
 * The border to the application: its calls that may do more than a hit, and our calls of it.
 *
 *     caller_enter()  ...  callback_run(): loader or writer  ...  caller_leave()
 *
 * Between enter and leave the thread cannot be cancelled: there are cancellation points in what we
 * call (a write to an eventfd, poll(), getrandom()), and a thread that ended at one would leave
 * things half done: a connection that nobody wakes, an answer that is on its way to its stack. A
 * cancellation is not lost; it waits until the call returns. A loader or writer runs with what its
 * thread had chosen.
 *
 * A callback may end without returning; what our frames above it would have done is then done by
 * one function, `ended`: as a cleanup handler when the frames are unwound, at the thread's next
 * call or at its end when they are simply gone. So what it needs lies in the callback, which is not
 * on the stack.
 */
#ifndef NIGH_CACHE_CALLER_H
#define NIGH_CACHE_CALLER_H

#include "base/base.h"

struct nigh;

/* A call on its way, in the frame of who makes it. */
struct caller {
    struct caller *outer; /* the call whose loader or writer makes this one; NULL: none */
    int cancel_state;     /* of the thread, outside */
};

void caller_enter(struct caller *c);
void caller_leave(struct caller *c);
/* In calls too short for the two: see to callbacks that were left by a jump. */
void caller_notice(void);

/* A loader or writer on its way, in memory that stays. Keys: (c) constant while it runs  (o) its
 * thread */
struct callback {
    struct nigh *cache;                                        /* (c) */
    void (*run)(struct callback *c);                           /* (c) */
    void (*ended)(struct callback *c, enum unwind_how how);    /* (c) */
    struct unwind_mark mark;                                   /* (o) */
    struct caller *caller;                                     /* (o) the call that it is part of */
    struct callback *outer;                                    /* (o) that was running before */
};

/* Calls c->run(c), and returns when that has returned; or does not return, and `ended` is called.
 * Fields of key (c) are set. */
void callback_run(struct callback *c);

/* What a thread is in the middle of: exchanged with `other` when one thread, doing the work of
 * several, goes on with that of another. */
struct caller_thread {
    struct caller *inside;
    struct callback *running;
};
void caller_thread_swap(struct caller_thread *other);

#endif
