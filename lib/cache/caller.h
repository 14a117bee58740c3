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
 *
 * A callback may also not end at all. nigh_close() then goes on without it: `leave` takes from it
 * what the tiers need back, and what its thread will touch when it returns stays allocated until it
 * has (cache_unref()). But not while its thread is inside a call of ours that it has made: that
 * one needs the tiers, and comes to its end by itself.
 */
#ifndef NIGH_CACHE_CALLER_H
#define NIGH_CACHE_CALLER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

struct nigh;
struct nigh_space;

/* An owner keeps what a call holds beyond its frame: memory, and flights that it has joined. If the
 * frame is gone, `gone` lets go of all that. */
struct caller_owner {
    void (*gone)(struct caller_owner *o);
};

/* A call under way, in the frame of its caller; or the life of one of our threads. */
struct caller {
    struct caller *outer; /* the call whose loader or writer makes this one; NULL: none */
    int cancel_state;     /* the thread's own, to be restored */
    bool own_thread;      /* frames that need the cache stay when the thread ends in a callback */
    bool catches;         /* frames stay after an exception, too, caught within the call */
    struct nigh *left;    /* cache that was closed meanwhile; a reference */
    struct callbacks_stripe *counted; /* counts the call in `calls`: a callback has returned */
    struct caller_owner *owner; /* told if a callback does not return to the call; NULL: nobody */
};

/* Enter and leave a call. The cache may be touched between the two, and not a moment longer. */
void caller_enter(struct caller *c);
void caller_leave(struct caller *c);
/* End the callbacks that were left by a jump. For calls too short for caller_enter(). */
void caller_notice(void);
/* Whether this thread has returned from a callback to find its cache closed: it may then only let
 * go of what is its own. */
bool caller_is_left(void);
/* Set whether the call that this thread makes goes on after an exception of its callbacks: before
 * and after one is caught. Returns what was set. */
bool caller_set_catches(bool catches);
/* Have an owner told, last of all, if any callback that this thread runs in its call, for whomever,
 * does not return to it. NULL: no longer. */
void caller_set_owner(struct caller_owner *owner);
bool caller_has_owner(void);

/*
 * A loader or writer on its way, in memory that stays.
 *
 * Keys: (c) constant while it runs  (o) its thread  (l) lock of the cache's callbacks
 */
struct callback {
    struct nigh_space *space;                               /* (c) */
    struct bytes key;                                       /* (c) */
    const char *what;                                       /* (c) for the log */
    uint64_t deadline_ns;                                   /* (c) when it should end; 0: none */
    void (*run)(struct callback *c);                        /* (c) */
    void (*ended)(struct callback *c, enum unwind_how how); /* (c) if it has not returned: as the
                                                             * call that is over, with its
                                                             * drive_flush() */
    bool (*leave)(struct callback *c);                      /* (c) as the cache closes, under the
                                                             * lock; false: not yet */
    struct unwind_mark mark;                                /* (o) */
    struct callbacks_stripe *listed;                        /* (o) the stripe of its thread */
    struct caller *caller;                                  /* (o) the call that it is part of */
    struct caller_owner *owner;                             /* (o) that call's, as it began */
    struct callback *outer;                                 /* (o) the callback around it */
    pthread_t thread;                                       /* (l) */
    bool left;                                              /* (l) the cache has closed */
    bool calling;                                           /* (l) the thread is in our frames */
    struct list_link link;                                  /* (l) */
};

/* Calls c->run(c), and returns when that has returned; or does not return, and `ended` is called.
 * Fields of key (c) are set. False: the cache was closed meanwhile. */
bool callback_run(struct callback *c);

/* The callbacks of a cache, by threads. Zeroed: there are none. Keys: (l) lock */
struct callbacks_stripe {
    _Alignas(CACHE_LINE_BYTES) struct latch lock;
    _Atomic uint32_t calls; /* calls inside callbacks, or after one, which need the tiers. Rises
                             * (l); pair(callbacks.calls) */
    struct list list;       /* (l) callbacks that run */
};
struct callbacks {
    struct callbacks_stripe stripes[THREAD_STRIPES];
};

/* Whether any callback is under way, or a call that one makes. *ret_deadline_ns is raised to the
 * latest of their deadlines. */
bool callbacks_running(struct callbacks *cs, uint64_t *ret_deadline_ns);
/* Go on without the callbacks that are under way and may be left. Returns how many; `visit` is
 * called for each, with the number of those before it. */
uint32_t callbacks_leave(struct nigh *cache,
                         void (*visit)(struct nigh *cache, struct callback *c, uint32_t before));

/* Holds what a thread is in the middle of. One thread that does the work of several exchanges it
 * with `other` when it goes on with the work of another. */
struct caller_thread {
    struct caller *inside;
    struct callback *running;
};
void caller_thread_swap(struct caller_thread *other);

#endif
