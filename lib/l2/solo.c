// SPDX-License-Identifier: MIT
// A caller alone: on an idle connection it writes its own request and reads its own reply.
//
// Two threads that hand a request to and fro cost more than the request: a wake-up each way. So
// a caller that finds nothing in flight does what the I/O thread would do, and the I/O thread
// sleeps on. As soon as another request is queued the connection is the I/O thread's again, for
// many requests are written and read at once only by a thread that sees them all. `driver` says
// who has the connection, and with it all fields marked (i); it changes under the lock.
//
//                        nothing in flight, I/O thread sleeps
//         +--> DRIVER_IO ----------------------------------> DRIVER_NONE <-------+
//         |        ^                                            |                |
//         |        | wakes          claimed: request is pending |                | answered
//         |        |                                            v                |
//         |        +------------- DRIVER_WAITS <---------> DRIVER_CALLER --> DRIVER_TAKES
//         |                       sleeps on the socket     writes, reads     hears the reply
//         |                                                     |                |
//         +-----------------------------------------------------+----------------+
//          another request is queued, a call failed, or the reply takes longer than SOLO_NS
//
// - The I/O thread takes the connection from a caller that sleeps (WAITS), and from nobody else. A
//   caller in a system call (CALLER) is told that it is wanted, and hands it over at the end of the
//   call. So a request that is queued never waits for the reply to another one.
// - The request is in `pending` from the beginning, so whoever has the connection has all that is
//   needed to go on with it. Its block is held by the caller until it has its answer.
// - While a caller has the connection only its own request is pending, so no callback runs there
//   but that of a request for which the thread was lent.
// - The caller does not wait for longer than SOLO_NS: whatever is about time (deadlines, silence,
//   evidence against the server) is the I/O thread's business.
//
// No wake-up is lost. Before the I/O thread sleeps it says that it may be woken (`asleep`), or that
// it wants the connection (`wanted`), under the lock under which it saw that there was nothing to
// do. A caller that lets go sees both under the same lock. A caller that sleeps on the socket says
// so in its word (SYNC_POLLS) before, and whoever answers it rings `solo_fd`. Nobody sleeps on the
// socket while the stream has something to read that the socket does not show (`holds`). Only the
// thread that has the connection may ask the stream for that, so a caller notes it before it lets
// others take the connection.
//
// A caller may be kept from running in a system call: SCHED_IDLE beside busy threads, a debugger.
// Then the I/O thread answers queued requests at their deadlines, and after STUCK_LOOKS gives the
// connection up: it is cut, so that nothing is sent on it any more, and the request is answered.
// Only the stream stays with the caller, who may still be in a system call on it: nobody else
// touches it, and the caller closes it when it comes back. For SOLO_PAUSE_NS after that, callers
// leave the connection to the I/O thread. A caller that is kept from running between the calls,
// while it takes what it has read (TAKES), keeps the connection, for it is at work on our memory:
// for as long, others' requests end at their deadlines.

#include "l2/client.h"

#include <unistd.h>

/* A reply to a small request takes some 20 us; beside a reply this slow a wake-up is cheap. */
#define SOLO_NS (5 * NS_PER_MS)
/* 2 s, as with a silent server; in looks, for a thread that was itself stopped has not looked. */
#define STUCK_LOOKS 20u
#define LOOK_NS (100 * NS_PER_MS)
#define SOLO_PAUSE_NS (10 * NS_PER_S)
/* A reply for many keys comes in a few reads, each of which may fill this. */
#define SOLO_READ_BYTES 16384u
/* A larger one may not go into the socket at once; the I/O thread would write the rest. */
#define SOLO_WRITE_BYTES 16384u

/* Callers begin to drive when the connection has been idle again after a request of one caller so
 * many times in a row: two callers that take turns are no reason to. Requests behind which nobody
 * waits, the fill of a miss, do not count: whose thread they were made on asks the next thing. */
#define CALM_MIN 8u

/* ---- who has the connection ---- */

/* REQUIRES(lock), and that the caller has the connection, or takes it from one that sleeps on it.
 * Excuses the time for which he was kept from looking: a reply may have lain in the socket. */
static void excuse_late_locked(struct link *link, uint64_t now_ns) REQUIRES(link->lock)
{
    if (now_ns > link->solo_until_ns)
        pipeline_note_own(link, now_ns - link->solo_until_ns);
}

/* REQUIRES(lock). Returns whether the I/O thread has to be woken for what is left to it. */
static bool leave_to_io_locked(struct link *link) REQUIRES(link->lock)
{
    bool wake = link->asleep || link->wanted;
    link->driver = DRIVER_IO;
    link->solo = NULL;
    link->asleep = link->wanted = false;
    return wake;
}

bool solo_may_rest_locked(struct link *link)
{
    if (link->most > 1)
        link->calm = 0;
    else
        link->calm += link->most;
    link->most = 0;
    return link->calm >= CALM_MIN && link->env->own_threads && link->conn_config.net->wait_end;
}

bool solo_own(struct link *link)
{
    uint64_t now_ns = clock_now_ns(link->env->clock);
    pthread_mutex_lock(&link->lock);
    bool free = link->driver == DRIVER_NONE || link->driver == DRIVER_WAITS;
    if (link->driver == DRIVER_WAITS)
        excuse_late_locked(link, now_ns);
    if (free)
        leave_to_io_locked(link);
    bool own = link->driver == DRIVER_IO;
    link->wanted = !own;
    if (own)
        link->asleep = false; /* we look at the queue before we sleep again */
    pthread_mutex_unlock(&link->lock);
    return own;
}

/* ---- the I/O thread, while a caller does not let go ---- */

/* Returns when a queued request ends. A patient one should wait while bytes move, which cannot be
 * seen from here: it gets a second more. */
static uint64_t end_of(const struct request *r)
{
    return r->deadline_ns + (r->patient ? u64_min(NS_PER_S, CLOCK_NEVER_NS - r->deadline_ns) : 0);
}

/* REQUIRES(lock). Takes the requests that have waited in the queue until their deadlines; returns
 * when the next one ends. */
static uint64_t take_expired_locked(struct link *link, uint64_t now_ns, struct request_list *ret)
    REQUIRES(link->lock)
{
    struct request_list all;
    struct request *r;
    uint64_t next_ns = CLOCK_NEVER_NS;
    request_list_move(&all, &link->queue);
    request_list_init(ret);
    while ((r = request_list_pop(&all))) {
        bool late = end_of(r) <= now_ns;
        next_ns = late ? next_ns : u64_min(next_ns, end_of(r));
        request_list_push(late ? ret : &link->queue, r);
    }
    return next_ns;
}

/* REQUIRES(lock). Whether the caller has been in one system call for too long. */
static bool is_stuck_locked(struct link *link, uint64_t now_ns) REQUIRES(link->lock)
{
    if (link->stuck_turn != link->solo_turn)
        link->stuck_looks = 0;
    else if (now_ns < link->stuck_looked_ns + LOOK_NS)
        return false;
    else
        link->stuck_looks++;
    link->stuck_turn = link->solo_turn;
    link->stuck_looked_ns = now_ns;
    return link->driver == DRIVER_CALLER && link->stuck_looks >= STUCK_LOOKS;
}

/* REQUIRES(lock). True: the connection is ours now, and its descriptor the stuck caller's. */
static bool give_up_stuck_locked(struct link *link, uint64_t now_ns) REQUIRES(link->lock)
{
    if (!is_stuck_locked(link, now_ns))
        return false;
    link->solo_from_ns = now_ns + SOLO_PAUSE_NS;
    leave_to_io_locked(link);
    conn_abandon(&link->conn, !l2_is_gone(link->l2));
    link->solo_failed = true;
    return true;
}

bool solo_await(struct link *link)
{
    const struct l2_net *net = link->conn_config.net;
    struct request_list expired;
    uint64_t now_ns = clock_now_ns(link->env->clock);
    pthread_mutex_lock(&link->lock);
    bool wanted = link->wanted; /* else the caller has let go */
    bool stuck = wanted && give_up_stuck_locked(link, now_ns);
    link->asleep = wanted && !stuck; /* a new request wakes us: its deadline may be near */
    uint64_t until_ns = u64_min(take_expired_locked(link, now_ns, &expired), now_ns + LOOK_NS);
    bool has_chores = io_has_chores(link); /* chores that come later wake us */
    pthread_mutex_unlock(&link->lock);
    pipeline_time_out(link, &expired);
    if (stuck || !wanted || has_chores)
        return stuck;
    int wake_fd = l2_is_gone(link->l2) ? -1 : link->wake_fd;
    int ready = net->wait(net->arg, -1, 0, wake_fd, until_ns - now_ns);
    wake_heed(link, ready);
    return false;
}

/* ---- a caller's steps ---- */

/* REQUIRES(lock), and that nobody else may answer, or look, before it is released. */
static void set_word(struct l2_sync *s, uint32_t word)
{
    atomic_store_explicit(&s->word, word, memory_order_relaxed);
}

bool solo_claim_locked(struct link *link, struct l2_sync *s, struct request *r, uint64_t now_ns)
{
    if (!s)
        return false;
    if (link->driver != DRIVER_NONE) {
        link->calm = link->driver == DRIVER_IO ? link->calm : 0; /* a caller drives: not alone */
        return false;
    }
    if (link->queue.head || link->polled || r->patient || r->wire_len > SOLO_WRITE_BYTES)
        return false;
    if (now_ns < link->solo_from_ns || now_ns >= s->deadline_ns)
        return false;
    r->lent = r->done;
    if (r->lent)
        waiter_begin(link, s, r);
    link->driver = DRIVER_CALLER;
    link->solo = r;
    link->polled = true;
    link->solo_turn++;
    link->solo_until_ns = u64_min(now_ns + SOLO_NS, s->deadline_ns);
    s->solo = r;
    s->solo_until_ns = link->solo_until_ns;
    s->stream = link->conn.stream;
    s->fd = conn_fd(&link->conn);
    s->holds = false;
    set_word(s, SYNC_POLLS);
    pipeline_sent(link, r, now_ns);
    return true;
}

/* How a step has ended. */
enum outcome { GOES_ON, LEAVES, FAILS };

/* REQUIRES(lock). Goes on to sleep on the socket, or lets go. Returns whether the I/O thread has to
 * be woken. */
static bool end_step_locked(struct link *link, struct l2_sync *s, enum outcome outcome)
    REQUIRES(link->lock)
{
    bool answered = link->pending.head != s->solo;
    link->solo_failed = outcome == FAILS;
    link->polled = !answered;
    if (answered)
        s->solo = NULL;
    else
        set_word(s, SYNC_POLLS);
    if (outcome != GOES_ON || link->queue.head || link->wanted || (answered && s->holds))
        return leave_to_io_locked(link);
    link->driver = answered ? DRIVER_NONE : DRIVER_WAITS;
    if (answered)
        link->solo = NULL;
    return false;
}

static void end_step(struct link *link, struct l2_sync *s, enum outcome outcome)
{
    pthread_mutex_lock(&link->lock);
    bool wake = end_step_locked(link, s, outcome);
    pthread_mutex_unlock(&link->lock);
    if (wake)
        wake_io(link);
}

/* Ends a stream that was left to us. If the host has closed its descriptor meanwhile the number is
 * somebody else's. */
static void end_stream(const struct link *link, struct stream *stream)
{
    if (l2_is_gone(link->l2))
        stream_disown(stream, link->env->mem);
    else
        stream_close(stream, link->env->mem);
}

/* Goes on after a system call. False: the connection has been given up meanwhile, and its stream,
 * which was left to us, is closed. */
static bool begin_taking(struct link *link, struct l2_sync *s)
{
    pthread_mutex_lock(&link->lock);
    bool mine = link->solo == s->solo;
    if (mine) {
        link->driver = DRIVER_TAKES;
        set_word(s, SYNC_TAKES);
    }
    pthread_mutex_unlock(&link->lock);
    if (!mine)
        end_stream(link, s->stream);
    return mine;
}

/* Returns how a step has ended that has not failed. What is left to write, or to write before
 * anything can be read, is the I/O thread's. */
static enum outcome outcome_of(struct link *link, struct l2_sync *s)
{
    s->holds = link->conn.stream->holds;
    return conn_only_reads(&link->conn) ? GOES_ON : LEAVES;
}

void solo_send(struct l2_sync *s)
{
    struct link *link = s->link;
    struct request *r = s->solo;
    long n = stream_write(s->stream, r->wire.data, r->wire_len);
    if (!begin_taking(link, s))
        return;
    size_t gone = n > 0 ? (size_t)n : 0; /* an error is left for the I/O thread to meet again */
    bool failed = gone < r->wire_len &&
                  conn_append(&link->conn, r->wire.data + gone, r->wire_len - gone) != 0;
    end_step(link, s, failed ? FAILS : outcome_of(link, s));
}

static bool begin_reading(struct link *link, struct l2_sync *s)
{
    uint64_t now_ns = clock_now_ns(link->env->clock);
    pthread_mutex_lock(&link->lock);
    bool mine = link->solo == s->solo;
    if (mine) {
        excuse_late_locked(link, now_ns);
        link->driver = DRIVER_CALLER;
        link->solo_turn++;
    }
    pthread_mutex_unlock(&link->lock);
    return mine;
}

/* Reads from the stream, which has something. False: it is no longer ours. */
static bool take_reply(struct link *link, struct l2_sync *s)
{
    char chunk[SOLO_READ_BYTES];
    if (!begin_reading(link, s))
        return false;
    long n = stream_read(s->stream, chunk, sizeof(chunk));
    if (!begin_taking(link, s))
        return false;
    bool failed = conn_take(&link->conn, chunk, n, pipeline_reply, link) != 0;
    end_step(link, s, failed ? FAILS : outcome_of(link, s));
    return true;
}

static void let_go(struct link *link, struct l2_sync *s, uint64_t now_ns)
{
    pthread_mutex_lock(&link->lock);
    bool mine = link->solo == s->solo;
    if (mine)
        excuse_late_locked(link, now_ns);
    bool wake = mine && leave_to_io_locked(link);
    pthread_mutex_unlock(&link->lock);
    if (wake)
        wake_io(link);
}

static bool polls(const struct l2_sync *s)
{
    /* pair(l2.sync): the answer is there when the word says so */
    return atomic_load_explicit(&s->word, memory_order_acquire) == SYNC_POLLS;
}

/* Makes an answer from here on wake the futex, and lets other callers poll: before this they would
 * have emptied solo_fd under us. */
static void poll_no_more(struct link *link, struct l2_sync *s)
{
    uint32_t word = SYNC_POLLS;
    pthread_mutex_lock(&link->lock);
    link->polled = false;
    pthread_mutex_unlock(&link->lock);
    /* pair(l2.sync): or the answer is there */
    atomic_compare_exchange_strong_explicit(&s->word, &word, SYNC_PARKS, memory_order_acquire,
                                            memory_order_acquire);
}

void solo_wait(struct l2_sync *s)
{
    struct link *link = s->link;
    const struct l2_net *net = link->conn_config.net;
    bool goes_on = true;
    while (goes_on && polls(s)) {
        uint64_t now_ns = clock_now_ns(s->env->clock);
        if (now_ns >= s->solo_until_ns || l2_is_gone(link->l2)) {
            let_go(link, s, now_ns);
            break;
        }
        int ready = s->holds ? L2_NET_READY
                             : net->wait(net->arg, s->fd, L2_FOR_INPUT, link->solo_fd,
                                         s->solo_until_ns - now_ns);
        if (ready & L2_NET_WOKEN)
            wake_empty(link->solo_fd);
        if (ready & L2_NET_READY)
            goes_on = take_reply(link, s);
        if (ready & L2_NET_GONE) { /* or the I/O thread has closed it, and knows */
            let_go(link, s, now_ns);
            break;
        }
    }
    if (s->solo)
        poll_no_more(link, s);
}
