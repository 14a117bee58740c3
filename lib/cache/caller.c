// SPDX-License-Identifier: MIT
/*
 * What a thread is in the middle of: our call that it makes, and the callbacks that it runs, the
 * innermost first.
 *
 * A callback leaves the list when it has returned, when it is unwound, and when its frame is found
 * to be gone: whoever enters looks at the innermost one, and so does a callback that ends, for one
 * inside it may have jumped to it. If the innermost has its frame, so have the others. A thread
 * that ends after a jump, without calling us again, is looked after by a destructor.
 *
 * `inside` may name a call that is over, after a callback did not return. That is harmless: who
 * enters next sets it anew, and a callback that is still under way knows its own call, and puts it
 * back.
 */
#include "cache/caller.h"

#include <pthread.h>
#include <stddef.h>

#include "cache/cache.h"

static _Thread_local struct caller_thread self;

static void drop_gone(const struct callback *last);

void caller_notice(void)
{
    if (NIGH_UNLIKELY(self.running))
        drop_gone(NULL);
}

void caller_enter(struct caller *c)
{
    c->outer = self.inside;
    self.inside = c;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &c->cancel_state);
    caller_notice();
}

void caller_leave(struct caller *c)
{
    self.inside = c->outer;
    pthread_setcancelstate(c->cancel_state, NULL);
}

void caller_thread_swap(struct caller_thread *other)
{
    struct caller_thread was = self;
    self = *other;
    *other = was;
}

/* ---- callbacks that have ended ---- */

static void unlist(struct callback *c)
{
    struct callback **link = &self.running;
    while (*link && *link != c)
        link = &(*link)->outer;
    if (*link)
        *link = c->outer;
}

/* In a child of fork() there is nobody for whom to set things right. */
static void end(struct callback *c, enum unwind_how how)
{
    unlist(c);
    struct nigh *cache = c->cache;
    if (cache_forked(cache))
        return;
    c->ended(c, how); /* and it may be gone */
    drive_flush(cache); /* the call that would do so is over */
}

/* Of those inside `last`, which is at its end. */
static void drop_gone(const struct callback *last)
{
    while (self.running != last && self.running && unwind_is_gone(&self.running->mark))
        end(self.running, UNWIND_JUMP);
}

static void unwound(void *arg)
{
    int state;
    enum unwind_how how = unwind_how();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    drop_gone(arg);
    end(arg, how);
    pthread_setcancelstate(state, NULL);
}

/* ---- the end of a thread ---- */

static pthread_key_t at_exit;
static bool have_at_exit;

/* No frame is left. */
static void thread_ends(void *arg)
{
    (void)arg;
    while (self.running)
        end(self.running, UNWIND_JUMP);
}

static void make_key(void)
{
    have_at_exit = pthread_key_create(&at_exit, thread_ends) == 0;
}

static void watch_exit(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_key);
    if (have_at_exit && !pthread_getspecific(at_exit))
        pthread_setspecific(at_exit, &self);
}

/* ---- running one ---- */

static void run(void *arg)
{
    struct callback *c = arg;
    c->run(c);
}

void callback_run(struct callback *c)
{
    watch_exit();
    c->caller = self.inside;
    c->outer = self.running;
    self.running = c;
    pthread_cleanup_push(unwound, c);
    if (c->caller)
        pthread_setcancelstate(c->caller->cancel_state, NULL);
    unwind_watch(&c->mark, run, c);
    if (c->caller)
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_cleanup_pop(0);
    self.inside = c->caller;
    drop_gone(c);
    unlist(c);
}
