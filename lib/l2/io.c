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
static void wake_channel(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    if (link->channel)
        l2_channel_wake(link->channel);
    pthread_mutex_unlock(&link->lock);
}

void io_found(void *arg)
{
    wake_io(arg);
    wake_channel(arg);
}

/* Warns once, until the advice is another. */
static void advise(struct link *link, unsigned i)
{
    struct log_site own = {0}; /* another cache's line must not hold this one back */
    const char *advice = link->server.advice[i];
    if (advice && advice != link->advised[i])
        log_write(link->env->log, NIGH_LOG_WARN, &own, "redis at %s: %s", link_shown(link), advice);
    link->advised[i] = advice;
}

void io_advise(struct link *link)
{
    for (unsigned i = 0; i < L2_ADVICE; i++)
        advise(link, i);
}

static void went_up(struct link *link)
{
    uint64_t now_ns = clock_now_ns(link->env->clock);
    stats_count(link->stats, STATS_L2_CONNECT);
    breaker_reset(&link->breaker);
    link->connections++;
    pthread_mutex_lock(&link->lock);
    link->online = link->connections;
    memcpy(link->replid, link->conn.replid, sizeof(link->replid));
    link->server = link->conn.server;
    link->told_ns = link->quiet_since_ns = now_ns;
    link->mark = link->conn.mark;
    link->tried = true;
    link->up_due = true;
    pthread_mutex_unlock(&link->lock);
    atomic_store_explicit(&link->connection, link->connections, memory_order_relaxed);
    wake_channel(link);
    health_begin(link, now_ns);
    seek_worked(link, now_ns);
    auth_logged_in(link, link->conn.login_number);
    if (link->conn.limit)
        atomic_store_explicit(&link->argument_max, link->conn.limit, memory_order_relaxed);
    io_advise(link);
}

/* Tell the hook, once per connection, also when it was set after the connection came up. Under the
 * lock: once l2_set_up_hook(NULL) has returned it is not called any more. */
static void tell_up(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    if (link->up && link->up_due && link->online) {
        link->up_due = false;
        link->up(link->up_arg);
    }
    pthread_mutex_unlock(&link->lock);
}

/* Returns since when the server is away, of which a lost connection tells: since it answered last,
 * or, if nothing was awaited then, since it was asked; and if nothing is, from now on. */
static uint64_t away_since_ns(const struct link *link, bool was_up, uint64_t now_ns)
{
    if (!was_up || !link->pending.head)
        return now_ns;
    return u64_max(link->conn.heard_ns, link->awaited_ns);
}

static void tell_down(struct link *link, bool was_up, uint64_t now_ns)
{
    static struct log_site site;
    const char *problem = link->conn.problem;
    const char *shown = link->sentinels && !was_up ? link->uri.shown : link_shown(link);
    outage_note(&link->outage, problem, away_since_ns(link, was_up, now_ns));
    if (outage_is_news(&link->outage, problem) &&
        log_write(link->env->log, NIGH_LOG_WARN, outage_site(&link->outage, &site),
                  "redis at %s is not connected: %s", shown, problem))
        outage_told(&link->outage, problem);
}

/* Take no more requests. Whoever sees the loss counted, or a request that was lost with the
 * connection, already finds the link off line. */
static void went_down(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    link->online = 0;
    link->tried = true;
    atomic_store_explicit(&link->connection, 0, memory_order_relaxed);
    pthread_mutex_unlock(&link->lock);
}

/* Give up whatever there is of a connection. */
static void lose(struct link *link, uint64_t now_ns)
{
    bool was_up = link->conn.state == CONN_UP;
    link->conn.asks_limit = link->conn.asks_limit || pipeline_awaits_large(link);
    link->solo_failed = false;
    conn_close(&link->conn);
    if (!was_up && !link->gone && seek_has_more(link)) {
        link->backoff.next_ns = now_ns; /* no outage yet */
        return;
    }
    went_down(link);
    stats_count(link->stats, was_up ? STATS_L2_LOST : STATS_L2_CONNECT_FAILED);
    if (was_up && link->proven)
        backoff_soon(&link->backoff, link->env->random, now_ns);
    else
        backoff_failed(&link->backoff);
    tell_down(link, was_up, now_ns);
    pipeline_fail(link, NIGH_EOFFLINE);
}

/* Why the connection must go although no call on it has failed; NULL: it need not. */
static const char *reason_to_lose(struct link *link, uint64_t now_ns)
{
    const struct conn *c = &link->conn;
    bool drop = atomic_exchange_explicit(&link->drop, false, memory_order_relaxed);
    if (drop && c->state != CONN_CLOSED)
        return "given up";
    if (link->sentinels && seek_called(link, now_ns))
        return "a Sentinel names another master";
    if (c->state == CONN_HANDSHAKE && now_ns >= conn_handshake_deadline_ns(c))
        return c->seeks    ? "its name was not found in the time for connecting"
               : c->agrees ? c->config->stream->silence
                           : "no answer in the time for connecting";
    return NULL;
}

static void lose_for(struct link *link, const char *reason, uint64_t now_ns)
{
    snprintf(link->conn.problem, sizeof(link->conn.problem), "%s", reason);
    lose(link, now_ns);
}

/*
 * The host has closed our descriptors (closefrom). Their numbers may be anybody's by now, those of
 * our own next sockets too. So no number is touched again, and none is opened: until it is closed
 * the cache is one without Redis. That is said also where there was no connection to be lost.
 */
static void check_gone(struct link *link, uint64_t now_ns)
{
    if (!l2_is_gone(link->l2) || link->gone)
        return;
    link->gone = true;
    seek_disown(link);
    conn_disown(&link->conn);
    lose(link, now_ns);
}

static void check_connection(struct link *link, uint64_t now_ns)
{
    check_gone(link, now_ns);
    const char *reason = reason_to_lose(link, now_ns);
    if (reason)
        lose_for(link, reason, now_ns);
    else if (conn_seek(&link->conn) || (seek_asks(link) && seek_step(link, now_ns)))
        lose(link, now_ns);
    if (link->conn.state != CONN_CLOSED || seek_asks(link))
        return;
    if (now_ns < link->backoff.next_ns || l2_is_gone(link->l2))
        return;
    link->proven = false;
    backoff_begin(&link->backoff, link->env->random, now_ns);
    if (seek_begin(link, now_ns))
        lose(link, now_ns);
}

static uint64_t silent_at_ns(const struct link *link)
{
    uint64_t bytes = atomic_load_explicit(&link->in_flight_bytes[0], memory_order_relaxed) +
                     atomic_load_explicit(&link->in_flight_bytes[1], memory_order_relaxed);
    return u64_max(conn_moved_ns(&link->conn), link->awaited_ns) + SILENCE_NS + way_ns(bytes);
}

/* When check_connection() or pipeline_expire() will have something to do. */
static uint64_t connection_event_ns(const struct link *link)
{
    const struct conn *c = &link->conn;
    if (seek_asks(link))
        return sentinels_due_ns(link->sentinels);
    if (c->state == CONN_CLOSED)
        return l2_is_gone(link->l2) ? CLOCK_NEVER_NS : link->backoff.next_ns;
    if (conn_holds(c))
        return 0; /* at once */
    if (c->state == CONN_HANDSHAKE)
        return conn_handshake_deadline_ns(c);
    if (!link->pending.head)
        return CLOCK_NEVER_NS;
    return u64_min(silent_at_ns(link), link->next_deadline_ns);
}

static uint64_t next_event_ns(const struct link *link)
{
    return u64_min(connection_event_ns(link), auth_due_ns(link));
}

/* ---- chores ---- */

void io_leave(struct link *link, struct chore *chore)
{
    pthread_mutex_lock(&link->lock);
    chore->next = atomic_load_explicit(&link->chores, memory_order_relaxed);
    atomic_store_explicit(&link->chores, chore, memory_order_relaxed);
    bool wake = link->asleep;
    link->asleep = false;
    pthread_mutex_unlock(&link->lock);
    if (wake)
        wake_io(link);
}

void io_do_chores(struct link *link)
{
    if (!io_has_chores(link))
        return;
    pthread_mutex_lock(&link->lock);
    struct chore *chore = atomic_load_explicit(&link->chores, memory_order_relaxed);
    atomic_store_explicit(&link->chores, NULL, memory_order_relaxed);
    pthread_mutex_unlock(&link->lock);
    for (struct chore *next; chore; chore = next) {
        next = chore->next;
        chore->run(link, chore);
    }
    waiter_wake_all(link);
}

/* ---- the round ---- */

/* Whether the server was silent for too long by `before_ns`, after which the socket was looked at
 * and found empty: if it was we who were stopped for so long (a debugger, a busy machine), the
 * answers are there. */
static bool is_silent(const struct link *link, uint64_t before_ns)
{
    return link->conn.state == CONN_UP && link->pending.head && before_ns >= silent_at_ns(link);
}

static int write_out(struct link *link)
{
    struct conn *c = &link->conn;
    if (c->state == CONN_CLOSED)
        return 0;
    int failed = c->state == CONN_UP ? pipeline_send(link) : 0;
    return failed ? failed : conn_flush(c);
}

static int read_in(struct link *link)
{
    bool was_up = link->conn.state == CONN_UP;
    int failed = conn_read(&link->conn, pipeline_reply, link);
    if (!failed && !was_up && link->conn.state == CONN_UP)
        went_up(link);
    waiter_wake_all(link);
    /* Send the text of a script that was asked for: the next step may come much later. */
    return failed || !conn_wants_write(&link->conn) ? failed : conn_flush(&link->conn);
}

/* Whether nothing is left to do on the connection, from either side. */
static bool is_idle(const struct link *link)
{
    return link->conn.state == CONN_UP && !link->pending.head && link->conn.reader.pending == 0 &&
           conn_only_reads(&link->conn) && !conn_holds(&link->conn);
}

enum io_sleep io_may_sleep(struct link *link)
{
    enum io_sleep may = SLEEP_NOT;
    pthread_mutex_lock(&link->lock);
    link->asleep = !link->queue.head && !conn_holds(&link->conn) && !io_has_chores(link);
    if (link->asleep)
        may = is_idle(link) && solo_may_rest_locked(link) ? SLEEP_AT_REST : SLEEP_UNTIL_WOKEN;
    if (may == SLEEP_AT_REST)
        link->driver = DRIVER_NONE;
    pthread_mutex_unlock(&link->lock);
    return may;
}

void io_woken(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    link->asleep = false;
    pthread_mutex_unlock(&link->lock);
}

/* Sleep until the socket, a request or the time wants us. Returns as net->wait does. After
 * SLEEP_AT_REST a caller may have the connection when it returns. */
static int sleep_until(struct link *link, uint64_t until_ns)
{
    const struct l2_net *net = link->conn_config.net;
    uint64_t now_ns = clock_now_ns(link->env->clock);
    const struct conn *c = seek_conn(link);
    int fd = conn_fd(c), wake_fd = l2_is_gone(link->l2) ? -1 : link->wake_fd;
    uint32_t waits = conn_waits(c);
    bool holds = conn_holds(c);
    enum io_sleep may = io_may_sleep(link);
    bool stay = may == SLEEP_NOT || until_ns <= now_ns;
    uint64_t wait_ns = stay ? 0 : until_ns == CLOCK_NEVER_NS ? CLOCK_NEVER_NS : until_ns - now_ns;
    int ready = may == SLEEP_AT_REST ? net->wait_end(net->arg, fd, wake_fd, wait_ns)
                                     : net->wait(net->arg, fd, waits, wake_fd, wait_ns);
    wake_heed(link, ready);
    return ready | (holds ? L2_NET_READY : 0);
}

/* Begins a round: see solo.c. False: a caller has the connection still. */
static bool begin(struct link *link, uint64_t now_ns)
{
    if (link->env->own_threads && !solo_own(link) && !solo_await(link))
        return false;
    if (link->solo_failed)
        lose(link, now_ns);
    return true;
}

/* After the sleep. False: a caller has the connection by now. */
static bool go_on(struct link *link)
{
    if (link->env->own_threads)
        return solo_own(link);
    io_woken(link);
    return true;
}

uint64_t io_step(struct link *link, uint64_t until_ns)
{
    io_do_chores(link);
    uint64_t now_ns = clock_now_ns(link->env->clock);
    if (!begin(link, now_ns))
        return 0;
    check_connection(link, now_ns);
    if (auth_step(link, now_ns) || rights_step(link, now_ns))
        lose(link, now_ns);
    tell_up(link);
    if (write_out(link)) {
        conn_last_words(&link->conn, pipeline_reply, link);
        lose(link, now_ns);
    }
    pipeline_note_own(link, clock_now_ns(link->env->clock) - now_ns);
    int ready = sleep_until(link, u64_min(until_ns, next_event_ns(link)));
    if (!go_on(link))
        return 0;
    bool silent = !(ready & L2_NET_READY) && is_silent(link, now_ns);
    now_ns = clock_now_ns(link->env->clock);
    check_gone(link, now_ns);
    if (link->solo_failed) /* nothing more is read from it: its replies may be another call's */
        lose(link, now_ns);
    if (link->conn.state != CONN_CLOSED && (ready & L2_NET_READY) && read_in(link))
        lose(link, now_ns);
    if (silent)
        lose_for(link, "silent with requests pending", now_ns);
    pipeline_expire(link, now_ns);
    return next_event_ns(link);
}
