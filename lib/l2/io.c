// SPDX-License-Identifier: MIT
// The I/O thread's round, and the life of the data connection.
//
//     no connection --- pause over -----> handshake ------> on line
//          ^                                  |                 | closed, hung, refused,
//          +----------------------------------+-----------------+ malformed, or given up
//
// A connection on which nothing moves for SILENCE_NS while replies are awaited is lost: a stopped
// server or a cut cable sends no FIN. A write that the kernel takes is no sign of life, for it has
// room for a while; only where it had none before has the other side read. Bytes that the kernel
// has may be on their way for longer, if they are many and the wire is thin (way_ns()). Requests
// have their own, shorter deadlines.
//
// "On line" begins before the up-hook is called and ends before any request of the connection is
// answered as lost, so a request is never queued for a connection that will not look at it.

#include "l2/client.h"

#include <stdio.h>

#define SILENCE_NS (2 * NS_PER_S)

/* ---- connection ---- */

/* Wakes the listener, which waits for the data connection. */
static void wake_channel(struct l2 *l2)
{
    pthread_mutex_lock(&l2->lock);
    if (l2->channel)
        l2_channel_wake(l2->channel);
    pthread_mutex_unlock(&l2->lock);
}

void io_found(void *arg)
{
    wake_io(arg);
    wake_channel(arg);
}

/* Warns of a server's setup that will do harm: once, until the advice is another. */
static void advise(struct l2 *l2)
{
    struct log_site own = {0}; /* another cache's line must not hold this one back */
    const char *advice = l2->conn.advice;
    if (advice && advice != l2->advised)
        log_write(l2->env->log, NIGH_LOG_WARN, &own, "redis at %s: %s", l2->uri.shown, advice);
    l2->advised = advice;
}

static void went_up(struct l2 *l2)
{
    stats_count(l2->stats, STATS_L2_CONNECT);
    breaker_reset(&l2->breaker);
    l2->connections++;
    pthread_mutex_lock(&l2->lock);
    l2->online = l2->connections;
    memcpy(l2->replid, l2->conn.replid, sizeof(l2->replid));
    l2->tried = true;
    l2->up_due = true;
    pthread_mutex_unlock(&l2->lock);
    atomic_store_explicit(&l2->connection, l2->connections, memory_order_relaxed);
    wake_channel(l2);
    if (outage_end(&l2->outage) || l2->connections == 1)
        LOG(l2->env->log, NIGH_LOG_INFO, "redis at %s is connected", l2->uri.shown);
    outage_end(&l2->refusal);
    if (l2->conn.limit)
        atomic_store_explicit(&l2->argument_max, l2->conn.limit, memory_order_relaxed);
    advise(l2);
}

/* Tell the hook, once per connection, also when it was set after the connection came up. Under the
 * lock: once l2_set_up_hook(NULL) has returned it is not called any more. */
static void tell_up(struct l2 *l2)
{
    pthread_mutex_lock(&l2->lock);
    if (l2->up && l2->up_due && l2->online) {
        l2->up_due = false;
        l2->up(l2->up_arg);
    }
    pthread_mutex_unlock(&l2->lock);
}

static void tell_down(struct l2 *l2, uint64_t now_ns)
{
    const char *problem = l2->conn.problem;
    outage_note(&l2->outage, problem, now_ns);
    if (outage_is_news(&l2->outage, problem) &&
        LOG(l2->env->log, NIGH_LOG_WARN, "redis at %s is not connected: %s", l2->uri.shown,
            problem))
        outage_told(&l2->outage, problem);
}

/* Take no more requests. Whoever sees the loss counted, or a request that was lost with the
 * connection, already finds the client off line. */
static void went_down(struct l2 *l2)
{
    pthread_mutex_lock(&l2->lock);
    l2->online = 0;
    l2->tried = true;
    atomic_store_explicit(&l2->connection, 0, memory_order_relaxed);
    pthread_mutex_unlock(&l2->lock);
}

/* Give up whatever there is of a connection. */
static void lose(struct l2 *l2, uint64_t now_ns)
{
    bool was_up = l2->conn.state == CONN_UP;
    l2->conn.asks_limit = l2->conn.asks_limit || pipeline_awaits_large(l2);
    l2->solo_failed = false;
    conn_close(&l2->conn);
    if (!was_up && lookup_has_more(l2->conn_config.lookup)) {
        l2->backoff.next_ns = now_ns; /* no outage yet: the host has other addresses */
        return;
    }
    went_down(l2);
    stats_count(l2->stats, was_up ? STATS_L2_LOST : STATS_L2_CONNECT_FAILED);
    if (was_up && l2->proven)
        backoff_soon(&l2->backoff, l2->env->random, now_ns);
    else
        backoff_failed(&l2->backoff);
    tell_down(l2, now_ns);
    pipeline_fail(l2, NIGH_EOFFLINE);
}

/* Why the connection must go although no call on it has failed; NULL: it need not. */
static const char *reason_to_lose(struct l2 *l2, uint64_t now_ns)
{
    const struct conn *c = &l2->conn;
    if (atomic_exchange_explicit(&l2->drop, false, memory_order_relaxed) && c->state != CONN_CLOSED)
        return "given up";
    if (c->state == CONN_HANDSHAKE && now_ns >= conn_handshake_deadline_ns(c))
        return c->seeks ? "its name was not found in the time for connecting"
                        : "no answer in the time for connecting";
    return NULL;
}

static void lose_for(struct l2 *l2, const char *reason, uint64_t now_ns)
{
    snprintf(l2->conn.problem, sizeof(l2->conn.problem), "%s", reason);
    lose(l2, now_ns);
}

/*
 * The host has closed our descriptors (closefrom). Their numbers may be anybody's by now, those of
 * our own next sockets too. So no number is touched again, and none is opened: until it is closed
 * the cache is one without Redis.
 */
static void check_gone(struct l2 *l2, uint64_t now_ns)
{
    if (!l2_is_gone(l2) || l2->conn.state == CONN_CLOSED)
        return;
    conn_disown(&l2->conn);
    lose(l2, now_ns);
}

static void check_connection(struct l2 *l2, uint64_t now_ns)
{
    check_gone(l2, now_ns);
    const char *reason = reason_to_lose(l2, now_ns);
    if (reason)
        lose_for(l2, reason, now_ns);
    else if (conn_seek(&l2->conn))
        lose(l2, now_ns);
    if (l2->conn.state != CONN_CLOSED || now_ns < l2->backoff.next_ns || l2_is_gone(l2))
        return;
    l2->proven = false;
    backoff_begin(&l2->backoff, l2->env->random, now_ns);
    if (conn_open(&l2->conn))
        lose(l2, now_ns);
}

static uint64_t silent_at_ns(const struct l2 *l2)
{
    uint64_t bytes = atomic_load_explicit(&l2->in_flight_bytes[0], memory_order_relaxed) +
                     atomic_load_explicit(&l2->in_flight_bytes[1], memory_order_relaxed);
    return u64_max(conn_moved_ns(&l2->conn), l2->awaited_ns) + SILENCE_NS + way_ns(bytes);
}

/* When check_connection() or pipeline_expire() will have something to do. */
static uint64_t next_event_ns(const struct l2 *l2)
{
    const struct conn *c = &l2->conn;
    if (c->state == CONN_CLOSED)
        return l2_is_gone(l2) ? CLOCK_NEVER_NS : l2->backoff.next_ns;
    if (c->state == CONN_HANDSHAKE)
        return conn_handshake_deadline_ns(c);
    if (!l2->pending.head)
        return CLOCK_NEVER_NS;
    return u64_min(silent_at_ns(l2), l2->next_deadline_ns);
}

/* ---- the round ---- */

/* Whether the server was silent for too long by `before_ns`, after which the socket was looked at
 * and found empty: if it was we who were stopped for so long (a debugger, a busy machine), the
 * answers are there. */
static bool is_silent(const struct l2 *l2, uint64_t before_ns)
{
    return l2->conn.state == CONN_UP && l2->pending.head && before_ns >= silent_at_ns(l2);
}

static int write_out(struct l2 *l2)
{
    struct conn *c = &l2->conn;
    if (c->state == CONN_CLOSED)
        return 0;
    int failed = c->state == CONN_UP ? pipeline_send(l2) : 0;
    return failed ? failed : conn_flush(c);
}

static int read_in(struct l2 *l2)
{
    bool was_up = l2->conn.state == CONN_UP;
    int failed = conn_read(&l2->conn, pipeline_reply, l2);
    if (!failed && !was_up && l2->conn.state == CONN_UP)
        went_up(l2);
    waiter_wake_all(l2);
    /* Send the text of a script that was asked for: the next step may come much later. */
    return failed || !conn_wants_write(&l2->conn) ? failed : conn_flush(&l2->conn);
}

/* Whether nothing is left to do on the connection, from either side. */
static bool is_idle(const struct l2 *l2)
{
    return l2->conn.state == CONN_UP && !l2->pending.head && l2->conn.reader.pending == 0 &&
           !conn_wants_write(&l2->conn);
}

enum io_sleep io_may_sleep(struct l2 *l2)
{
    enum io_sleep may = SLEEP_NOT;
    pthread_mutex_lock(&l2->lock);
    l2->asleep = !l2->queue.head;
    if (l2->asleep)
        may = is_idle(l2) && solo_may_rest_locked(l2) ? SLEEP_AT_REST : SLEEP_UNTIL_WOKEN;
    if (may == SLEEP_AT_REST)
        l2->driver = DRIVER_NONE;
    pthread_mutex_unlock(&l2->lock);
    return may;
}

void io_woken(struct l2 *l2)
{
    pthread_mutex_lock(&l2->lock);
    l2->asleep = false;
    pthread_mutex_unlock(&l2->lock);
}

/* Sleep until the socket, a request or the time wants us. Returns what net->wait did. After
 * SLEEP_AT_REST a caller may have the connection when it returns. */
static int sleep_until(struct l2 *l2, uint64_t until_ns)
{
    const struct l2_net *net = l2->conn_config.net;
    uint64_t now_ns = clock_now_ns(l2->env->clock);
    int fd = l2->conn.fd, wake_fd = l2_is_gone(l2) ? -1 : l2->wake_fd;
    bool want_write = conn_wants_write(&l2->conn);
    enum io_sleep may = io_may_sleep(l2);
    bool stay = may == SLEEP_NOT || until_ns <= now_ns;
    uint64_t wait_ns = stay ? 0 : until_ns == CLOCK_NEVER_NS ? CLOCK_NEVER_NS : until_ns - now_ns;
    int ready = may == SLEEP_AT_REST ? net->wait_end(net->arg, fd, wake_fd, wait_ns)
                                     : net->wait(net->arg, fd, want_write, wake_fd, wait_ns);
    wake_heed(l2, ready);
    return ready;
}

/* Begins a round: see solo.c. False: a caller has the connection still. */
static bool begin(struct l2 *l2, uint64_t now_ns)
{
    if (l2->env->own_threads && !solo_own(l2) && !solo_await(l2))
        return false;
    if (l2->solo_failed)
        lose(l2, now_ns);
    return true;
}

/* After the sleep. False: a caller has the connection by now. */
static bool go_on(struct l2 *l2)
{
    if (l2->env->own_threads)
        return solo_own(l2);
    io_woken(l2);
    return true;
}

uint64_t io_step(struct l2 *l2, uint64_t until_ns)
{
    uint64_t now_ns = clock_now_ns(l2->env->clock);
    if (!begin(l2, now_ns))
        return 0;
    check_connection(l2, now_ns);
    tell_up(l2);
    if (write_out(l2)) {
        conn_last_words(&l2->conn, pipeline_reply, l2);
        lose(l2, now_ns);
    }
    pipeline_note_own(l2, clock_now_ns(l2->env->clock) - now_ns);
    int ready = sleep_until(l2, u64_min(until_ns, next_event_ns(l2)));
    if (!go_on(l2))
        return 0;
    bool silent = !(ready & L2_NET_READY) && is_silent(l2, now_ns);
    now_ns = clock_now_ns(l2->env->clock);
    check_gone(l2, now_ns);
    if (l2->solo_failed) /* nothing more is read from it: its replies may be another call's */
        lose(l2, now_ns);
    if (l2->conn.state != CONN_CLOSED && (ready & L2_NET_READY) && read_in(l2))
        lose(l2, now_ns);
    if (silent)
        lose_for(l2, "silent with requests pending", now_ns);
    pipeline_expire(l2, now_ns);
    return next_event_ns(l2);
}
