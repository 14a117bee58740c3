// SPDX-License-Identifier: MIT
/*
 * Deadlocks among loaders: a loader that fetches its own key, or a circle of keys.
 *
 * Two facts are kept, both only while a thread is inside a loader, so that a plain miss pays one
 * thread-local load for it:
 *
 *   loading      (thread-local) the flight whose loader this thread runs, and through `outer` those
 *                whose loaders asked for it on the same thread. f->leader says the same the other
 *                way round: the thread that runs the loader of f.
 *   waits_for    f -> g: the loader of f is inside flight_lead() or flight_wait() for g. Set and
 *                cleared by the thread that loads for f, under one lock.
 *
 * A loader waits for one flight at a time, so each flight has at most one edge out and the way from
 * a flight is a line. Before a thread adds an edge to g it follows the line from g; if it meets a
 * flight that it is loading for itself, the edge would close a circle and is refused. Looking and
 * adding happen under the lock, so of two threads that close a circle from both ends exactly one is
 * refused. By induction there never is a circle of flights that fly, and the walk ends.
 *
 * Edges lie between flights, not threads, because g's loading thread may change (a worker, a waiter
 * that took it over) while the edge stays true. No edge outlives the waiting call: one that timed
 * out is no reason to refuse anything. A flight that has landed (its deadline came while a worker
 * still loads for it) keeps nobody waiting: the walk ends there. A leader that waits for an answer
 * of L2 waits for no flight: no edge. So nothing is refused that would have ended by itself.
 *
 * A loader may load for several flights. They are inside one another, as if the loader of each had
 * asked for the next one: what the loader waits for is the edge of the innermost, and the way from
 * any of them leads there. (Should the innermost land first, at its deadline, a circle through
 * another of them is not seen, and their deadlines end it.)
 *
 * A pointer in waits_for is valid because the thread that set it holds a reference until it has
 * cleared it under the lock; when a thread's frames are gone, its cleanup handlers clear it
 * (flight_load_end, flight_abandon).
 *
 * The lock is the process's, not the table's: a loader of one cache may ask another cache. It is a
 * leaf. Not seen: loaders that wait through threads of their own, or drive the cache by nigh_tick;
 * their deadlines end them.
 */
#include "flight/deadlock.h"

#include <pthread.h>
#include <string.h>

#include "flight/table.h"

static pthread_mutex_t graph_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local struct flight_thread self; /* self.loading: innermost */

/* Makes the lock anew in a child, where its holder may not exist; the edges of its flights do not
 * matter. */
static void reset_in_child(void)
{
    pthread_mutex_init(&graph_lock, NULL);
}

static int init_result;

static void init_once(void)
{
    init_result = pthread_atfork(NULL, NULL, reset_in_child) ? NIGH_ENOMEM : 0;
}

int flight_graph_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_once);
    return init_result;
}

/* A thread-local's address: no two threads have it at a time, and abandon clears what a dead one
 * left behind. */
static uint64_t this_thread(void)
{
    return self.token ? self.token : (uint64_t)(uintptr_t)&self;
}

void flight_thread_swap(struct flight_thread *other)
{
    struct flight_thread was = self;
    self = *other;
    *other = was;
}

uint64_t flight_thread_token(void)
{
    return this_thread();
}

bool flight_has_key(const struct flight *f, const struct flight_key *key)
{
    return f->hash == key->hash && f->space == key->space && f->key_len == key->len &&
           memcmp(f->key, key->data, key->len) == 0;
}

bool flight_loads_key(const struct flight_key *key)
{
    for (const struct flight *f = self.loading; f; f = f->outer)
        if (flight_has_key(f, key))
            return true;
    return false;
}

void flight_load_begin(struct flight *f)
{
    f->outer = self.loading;
    self.loading = f;
    /* Relaxed: it is compared only with the reader's own token, which the reader itself wrote. */
    atomic_store_explicit(&f->leader, this_thread(), memory_order_relaxed);
}

static void waits_end_of(struct flight *f)
{
    pthread_mutex_lock(&graph_lock);
    f->waits_for = NULL;
    pthread_mutex_unlock(&graph_lock);
}

void flight_load_begin_with(struct flight *f, struct flight *mate)
{
    flight_load_begin(f);
    pthread_mutex_lock(&graph_lock);
    f->waits_for = mate;
    pthread_mutex_unlock(&graph_lock);
}

void flight_load_end(struct flight *f)
{
    struct flight **link = &self.loading;
    while (*link && *link != f) /* not the innermost: loaders that are coroutines, maybe */
        link = &(*link)->outer;
    if (*link)
        *link = f->outer;
    f->outer = NULL;
    if (f->waits_for) /* only this thread writes it; the call that waited did not return */
        waits_end_of(f);
    atomic_store_explicit(&f->leader, 0, memory_order_relaxed);
}

bool flight_is_loading(void)
{
    return self.loading != NULL;
}

static bool leads_to_me_locked(const struct flight *f) REQUIRES(graph_lock)
{
    for (; f && flight_landed(f) != FLIGHT_LANDED; f = f->waits_for)
        if (atomic_load_explicit(&f->leader, memory_order_relaxed) == this_thread())
            return true;
    return false;
}

int flight_waits_begin(struct flight *f)
{
    if (!self.loading)
        return 0;
    pthread_mutex_lock(&graph_lock);
    bool circle = leads_to_me_locked(f);
    if (!circle)
        self.loading->waits_for = f;
    pthread_mutex_unlock(&graph_lock);
    return circle ? NIGH_EDEADLK : 0;
}

void flight_waits_end(void)
{
    if (self.loading)
        waits_end_of(self.loading);
}
