// SPDX-License-Identifier: MIT
/*
 * Keeps for each thread what it is in the middle of: our call that it makes, and the callbacks that
 * it runs, the innermost first.
 *
 * A callback leaves that list when it has returned, when it is unwound, and when its frame is found
 * to be gone. Each call looks at the innermost one as it enters, and so does a callback that ends,
 * for one inside it may have jumped to it. If the frame of the innermost is there, so are those of
 * the others. A destructor looks after a thread that ends after a jump without calling us again.
 *
 * `inside` may name a call that is over, after a callback did not return. That is harmless: the
 * next call that enters sets it anew; a callback that is still under way knows its own call, and
 * puts it back; and the work for a callback that has ended looks only at a call that is still
 * there.
 *
 * The lock of the cache's callbacks decides, once, whether a callback ends or its cache closes
 * without it: either it leaves their list first, and nigh_close() waits for what it does then, or
 * it is marked as left, and its thread touches nothing of the cache's but the memory that it has a
 * reference to. `calls` counts what it does then from the same moment on. It also counts a call
 * that a callback makes, while its thread is in that call and not in a callback of the call's. All
 * of these need the tiers.
 *
 * Lists, counts and locks are one for each stripe of threads: one for all was a line that every
 * miss took from the one before it, twice. A callback stays where it was listed, and so do the
 * calls that are counted in its place: a look at one stripe after the other misses nothing, for
 * nothing moves between them.
 */
#include "cache/caller.h"

#include <stddef.h>

#include "cache/cache.h"

static _Thread_local struct caller_thread self;

static void drop_gone(const struct callback *last);

/* Counts a call, under the lock under which its callback leaves the list, or enters our frames: a
 * thread that looks at list and count sees it in one of them. */
static void count_locked(struct callbacks_stripe *at) REQUIRES(at->lock)
{
    atomic_fetch_add_explicit(&at->calls, 1, memory_order_relaxed);
}

/* The last look at the cache: it may be closed, and gone, from here on. */
static void uncount(struct callbacks_stripe *at)
{
    /* pair(callbacks.calls): all that the call has done there comes before */
    atomic_fetch_sub_explicit(&at->calls, 1, memory_order_release);
}

/* Tells the callbacks that the thread is inside that it enters our frames, or leaves them. */
static void mark(bool calling)
{
    for (struct callback *c = self.running; NIGH_UNLIKELY(c); c = c->outer) {
        if (cache_forked(c->space->cache))
            continue;
        latch_lock(&c->listed->lock);
        if (c->calling != calling && calling)
            count_locked(c->listed);
        else if (c->calling != calling)
            uncount(c->listed);
        c->calling = calling;
        latch_unlock(&c->listed->lock);
    }
}

static void uncount_call(struct caller *c)
{
    if (NIGH_LIKELY(!c->counted))
        return;
    uncount(c->counted);
    c->counted = NULL;
}

void caller_notice(void)
{
    if (NIGH_UNLIKELY(self.running))
        drop_gone(NULL);
}

void caller_enter(struct caller *c)
{
    c->outer = self.inside;
    c->own_thread = false;
    c->catches = false;
    c->left = NULL;
    c->counted = NULL;
    c->owner = NULL;
    self.inside = c;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &c->cancel_state);
    caller_notice();
    mark(true);
}

void caller_leave(struct caller *c)
{
    self.inside = c->outer;
    mark(false);
    uncount_call(c);
    if (NIGH_UNLIKELY(c->left))
        cache_unref(c->left);
    pthread_setcancelstate(c->cancel_state, NULL);
}

bool caller_is_left(void)
{
    return self.inside && self.inside->left;
}

bool caller_set_catches(bool catches)
{
    bool was = self.inside && self.inside->catches;
    if (self.inside)
        self.inside->catches = catches;
    return was;
}

void caller_set_owner(struct caller_owner *owner)
{
    self.inside->owner = owner;
}

bool caller_has_owner(void)
{
    return self.inside && self.inside->owner;
}

void caller_thread_swap(struct caller_thread *other)
{
    struct caller_thread was = self;
    self = *other;
    *other = was;
}

/* ---- the callbacks of a cache ---- */

static struct callback *callback_of(struct list_link *link)
{
    return CONTAINER_OF(link, struct callback, link);
}

static void list(struct callback *c)
{
    struct callbacks_stripe *at = &c->space->cache->callbacks.stripes[thread_stripe()];
    latch_lock(&at->lock);
    c->listed = at;
    c->thread = pthread_self();
    c->left = false;
    c->calling = false;
    list_add(&at->list, &c->link);
    latch_unlock(&at->lock);
}

/* Takes a callback off the list and, if `counts`, counts what its thread does from then on. False:
 * the cache has closed, and has unlisted it. */
static bool unlist(struct callback *c, bool counts)
{
    struct callbacks_stripe *at = c->listed;
    if (cache_forked(c->space->cache))
        return true;
    latch_lock(&at->lock);
    bool left = c->left;
    if (!left) {
        list_remove(&c->link);
        if (counts)
            count_locked(at);
    }
    latch_unlock(&at->lock);
    return !left;
}

static bool stripe_running(struct callbacks_stripe *at, uint64_t *ret_deadline_ns)
{
    latch_lock(&at->lock);
    for (struct list_link *link = at->list.first; link; link = link->next)
        *ret_deadline_ns = u64_max(*ret_deadline_ns, callback_of(link)->deadline_ns);
    /* pair(callbacks.calls): acquire all that calls which are over have done */
    bool running = at->list.first || atomic_load_explicit(&at->calls, memory_order_acquire) > 0;
    latch_unlock(&at->lock);
    return running;
}

bool callbacks_running(struct callbacks *cs, uint64_t *ret_deadline_ns)
{
    bool running = false;
    for (uint32_t i = 0; i < THREAD_STRIPES; i++)
        running |= stripe_running(&cs->stripes[i], ret_deadline_ns);
    return running;
}

/* Leaves the callbacks of one stripe. Returns `count` and their number together. */
static uint32_t leave_stripe(struct nigh *cache, struct callbacks_stripe *stripe, uint32_t count,
                             void (*visit)(struct nigh *cache, struct callback *c,
                                           uint32_t before))
{
    latch_lock(&stripe->lock);
    for (struct list_link *at = stripe->list.first; at; at = at->next) {
        struct callback *c = callback_of(at);
        if (c->calling || !c->leave(c))
            continue;
        list_remove(at);
        c->left = true;
        cache_ref(cache);
        visit(cache, c, count++);
    }
    latch_unlock(&stripe->lock);
    return count;
}

uint32_t callbacks_leave(struct nigh *cache,
                         void (*visit)(struct nigh *cache, struct callback *c, uint32_t before))
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < THREAD_STRIPES; i++)
        count = leave_stripe(cache, &cache->callbacks.stripes[i], count, visit);
    return count;
}

/* ---- callbacks that have not returned ---- */

static void forget(struct callback *c)
{
    struct callback **link = &self.running;
    while (*link && *link != c)
        link = &(*link)->outer;
    if (*link)
        *link = c->outer;
}

/* Whether the frames above still have work to do with the cache. After a jump there are none. */
static bool goes_on(const struct caller *caller, enum unwind_how how)
{
    return how != UNWIND_JUMP && caller &&
           (how == UNWIND_EXCEPTION ? caller->catches : caller->own_thread);
}

/* Does what the frames above would have done. `left`: the cache has closed without the callback. */
static void set_right(struct callback *c, enum unwind_how how, bool left)
{
    struct nigh *cache = c->space->cache;
    struct callbacks_stripe *listed = c->listed;
    struct caller *stays = goes_on(c->caller, how) ? c->caller : NULL;
    struct caller_owner *owner = stays ? NULL : c->owner;
    c->ended(c, how); /* c may be gone from here on */
    if (owner)
        owner->gone(owner);
    if (!left)
        uncount(listed);
    else if (stays)
        stays->left = cache;
    else
        cache_unref(cache);
}

/* Ends a callback that has not returned. In a child of fork() nobody needs things set right. */
static void end(struct callback *c, enum unwind_how how)
{
    struct caller *inside = self.inside;
    bool stays = goes_on(c->caller, how);
    forget(c);
    if (cache_forked(c->space->cache))
        return;
    mark(true);
    self.inside = how == UNWIND_JUMP ? NULL : c->caller; /* after a jump its frame is gone */
    if (how != UNWIND_JUMP)
        inside = self.inside;
    set_right(c, how, !unlist(c, true));
    self.inside = inside;
    mark(stays); /* else the thread is in a frame of the host's, or in none */
}

/* Ends the callbacks whose frames are gone, up to `last`, which is at its end (NULL: all). */
static NIGH_OUTLINED void drop_gone(const struct callback *last)
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
    end(arg, how); /* and `inside` is right from here on, whatever calls it made */
    pthread_setcancelstate(state, NULL);
}

/* ---- the end of a thread ---- */

static pthread_key_t at_exit;
static bool have_at_exit;

/* Ends all callbacks of a thread that ends: no frame is left. */
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

/* Takes a callback that has returned off the list; false: the cache has closed. What a thread of
 * ours does next is not counted, for that thread is waited for anyway. */
static bool here_again(struct callback *c)
{
    struct nigh *cache = c->space->cache;
    struct caller *host = c->caller && !c->caller->own_thread ? c->caller : NULL;
    bool here = unlist(c, host);
    if (here && host && !cache_forked(cache))
        host->counted = c->listed;
    if (!here && c->caller)
        c->caller->left = cache;
    return here;
}

bool callback_run(struct callback *c)
{
    watch_exit();
    list(c);
    mark(false);
    if (self.inside)
        uncount_call(self.inside);
    c->caller = self.inside;
    c->owner = c->caller ? c->caller->owner : NULL;
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
    forget(c);
    mark(true);
    return here_again(c);
}
