/* SPDX-License-Identifier: MIT */
/*
 * The border to the application: its calls that may do more than a hit, and our calls of it.
 *
 *     caller_enter()  ...  callback_begin()  loader or writer  callback_end()  ...  caller_leave()
 *
 * Between enter and leave the thread cannot be cancelled: there are cancellation points in what we
 * call (a write to an eventfd, poll(), getrandom()), and a thread that ended at one would leave
 * things half done: a connection that nobody wakes, an answer that is on its way to its stack. A
 * cancellation is not lost; it waits until the call returns. A loader or writer runs with what its
 * thread had chosen.
 */
#ifndef NIGH_CACHE_CALLER_H
#define NIGH_CACHE_CALLER_H

/* A call on its way, in the frame of who makes it. */
struct caller {
    struct caller *outer; /* the call whose loader or writer makes this one; NULL: none */
    int cancel_state;     /* of the thread, outside */
};

void caller_enter(struct caller *c);
void caller_leave(struct caller *c);

/* Around each call of a loader or writer. Returns what `end` is to be given. */
struct caller *callback_begin(void);
void callback_end(struct caller *c);

/* The call that this thread is in: exchanged by who runs several threads' work on one. */
struct caller *caller_swap(struct caller *other);

#endif
