// SPDX-License-Identifier: MIT
// The subscription: a connection of its own on which Redis pushes the frames of all nodes.
//
// A subscriber that hears nothing cannot tell quiet from dead, so it sends PING when it has been
// silent for PING_NS and gives the connection up at DEAD_NS. Messages lost meanwhile are not
// repeated here: the beat finds the gap (rule 9).
//
// The channel connects when the data connection is up, and is woken by that: see backoff.h. (It
// need not wake the data connection in turn: while that one is down this one does not try.)

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "l2/client.h"
#include "l2/switch.h"

#define PING_NS NS_PER_S
#define DEAD_NS (3 * NS_PER_S)
#define ELSEWHERE_NS (3 * NS_PER_S) /* two beats tell the data connection of a new replid */

/* Keys: see client.h */
struct l2_channel {
    struct l2_channel_config config; /* (c) */
    struct link *link;               /* (c) to the server that it subscribes at */
    int bell_fd;                     /* (c) eventfd */
    int wake_fd;                     /* (c) ends the sleep: the bell; or with Sentinels an epoll
                                        instance that also watches the socket of `switches` */
    struct switches *switches;       /* (c) NULL: there are no Sentinels */
    _Atomic bool reconnect;          /* (a) a new connection is wanted ... */
    _Atomic bool log_in;             /* (a) ... or one with another password */
    struct conn conn;                /* (h) */
    struct backoff backoff;          /* (h) */
    bool logs_in;                    /* (h) it is given up for another password */
    bool elsewhere;                  /* (h) what answers here is not what answers requests, yet */
    bool subscribing;                /* (h) SUBSCRIBE has been sent on this connection ... */
    uint64_t asked_ns;               /* (h) ... then */
    bool subscribed;                 /* (h) and confirmed */
    struct outage outage;            /* keys: see outage.h */
    uint64_t switches_due_ns;        /* (h) when `switches` want to be stepped */
    uint64_t beside;                 /* (h) the data connection that it follows */
    uint64_t pinged_ns;              /* (h) last PING; older than heard_ns: answered */
};

static struct env *env_of(struct l2_channel *ch)
{
    return ch->config.l2->env;
}

/* Sets the channel that is woken when the data connection is up; NULL: none. */
static void follow(struct link *link, struct l2_channel *ch)
{
    pthread_mutex_lock(&link->lock);
    link->channel = ch;
    pthread_mutex_unlock(&link->lock);
}

/* Makes what ends its sleep. 0, or < 0 and destroy() closes what there is. */
static int start(struct l2_channel *ch)
{
    struct link *link = ch->link;
    ch->bell_fd = fd_above_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    ch->wake_fd = link->sentinels ? fd_above_standard(epoll_create1(EPOLL_CLOEXEC)) : ch->bell_fd;
    if (ch->bell_fd < 0 || ch->wake_fd < 0)
        return NIGH_ETHREAD;
    if (link->sentinels) {
        ch->switches = switch_create(link, ch->wake_fd);
        if (!ch->switches)
            return NIGH_ENOMEM;
        if (wake_watch(ch->wake_fd, ch->bell_fd))
            return NIGH_ETHREAD;
    }
    return wake_watch(link->l2->poll_fd, ch->wake_fd);
}

/* Frees what there is of a channel without connection. */
static void destroy(struct l2_channel *ch)
{
    bool ours = !l2_is_gone(ch->config.l2);
    if (ch->switches)
        switch_destroy(ch->switches);
    if (ours && ch->wake_fd >= 0)
        close(ch->wake_fd);
    if (ours && ch->bell_fd >= 0 && ch->bell_fd != ch->wake_fd)
        close(ch->bell_fd);
    outage_fini(&ch->outage);
    mem_free(env_of(ch)->mem, NULL, ch, sizeof(*ch));
}

int l2_channel_create(const struct l2_channel_config *config, struct l2_channel **ret_channel)
{
    struct l2_channel *ch = mem_alloc_zero(config->l2->env->mem, sizeof(*ch));
    if (!ch)
        return NIGH_ENOMEM;
    ch->config = *config;
    ch->link = config->l2->home;
    conn_init(&ch->conn, &ch->link->conn_config);
    outage_init(&ch->outage, "not connected yet", clock_now_ns(config->l2->env->clock));
    int failed = start(ch);
    if (failed) {
        destroy(ch);
        return failed;
    }
    follow(ch->link, ch);
    *ret_channel = ch;
    return 0;
}

void l2_channel_destroy(struct l2_channel *ch)
{
    follow(ch->link, NULL);
    if (l2_is_gone(ch->config.l2))
        conn_disown(&ch->conn);
    conn_close(&ch->conn);
    destroy(ch);
}

void l2_channel_wake(struct l2_channel *ch)
{
    wake_ring(ch->config.l2, ch->bell_fd);
}

void l2_channel_reconnect(struct l2_channel *ch)
{
    atomic_store_explicit(&ch->reconnect, true, memory_order_relaxed);
    l2_channel_wake(ch);
}

void l2_channel_log_in(struct l2_channel *ch)
{
    atomic_store_explicit(&ch->log_in, true, memory_order_relaxed);
    l2_channel_wake(ch);
}

/* ---- connection ---- */

/* Whether an answer is awaited. */
static bool is_pinged(const struct l2_channel *ch)
{
    return ch->subscribed && ch->pinged_ns > ch->conn.heard_ns;
}

static void lose(struct l2_channel *ch, uint64_t now_ns)
{
    static struct log_site site;
    bool was_subscribed = ch->subscribed;
    const char *problem = ch->conn.problem;
    bool logs_in = ch->logs_in;
    ch->logs_in = false;
    outage_note(&ch->outage, problem, is_pinged(ch) ? ch->conn.heard_ns : now_ns);
    if (!logs_in && outage_is_news(&ch->outage, problem) &&
        log_write(env_of(ch)->log, NIGH_LOG_WARN, outage_site(&ch->outage, &site),
                  "redis listener is not connected: %s", problem))
        outage_told(&ch->outage, problem);
    conn_close(&ch->conn);
    ch->elsewhere = ch->subscribing = ch->subscribed = false;
    if (was_subscribed)
        backoff_soon(&ch->backoff, env_of(ch)->random, now_ns);
    else
        backoff_failed_alone(&ch->backoff, env_of(ch)->random, now_ns);
    if (was_subscribed)
        ch->config.down(ch->config.arg);
}

/* Returns when a connection that was sent a PING, and is silent still, has to go: it gets its time
 * to answer, also where we were stopped before we asked. */
static uint64_t dead_ns(const struct l2_channel *ch)
{
    return u64_max(ch->conn.heard_ns + DEAD_NS, ch->pinged_ns + (DEAD_NS - PING_NS));
}

/* Returns when a connection has to go that still reaches another server. */
static uint64_t elsewhere_ns(const struct l2_channel *ch)
{
    return ch->conn.opened_ns + ELSEWHERE_NS;
}

/* Returns when a silent connection wants something done. */
static uint64_t due_ns(const struct l2_channel *ch)
{
    const struct conn *c = &ch->conn;
    if (c->state == CONN_CLOSED) /* l2_channel_wake() ends the wait for the data connection */
        return ch->beside && !l2_is_gone(ch->config.l2) ? ch->backoff.next_ns : CLOCK_NEVER_NS;
    if (c->state == CONN_UP && !ch->subscribing) /* at once, or l2_channel_wake() ends the wait */
        return ch->elsewhere ? elsewhere_ns(ch) : 0;
    if (c->state != CONN_UP)
        return conn_handshake_deadline_ns(c);
    if (!ch->subscribed)
        return ch->asked_ns + c->config->connect_timeout_ns;
    return is_pinged(ch) ? dead_ns(ch) : c->heard_ns + PING_NS;
}

/* Returns when there is something to do: at once, if the stream has something to read. */
static uint64_t next_event_ns(const struct l2_channel *ch)
{
    return conn_holds(&ch->conn) ? 0 : u64_min(due_ns(ch), ch->switches_due_ns);
}

static int fail_silent(struct l2_channel *ch)
{
    snprintf(ch->conn.problem, sizeof(ch->conn.problem), "%s",
             ch->subscribing && !ch->subscribed ? "no answer to SUBSCRIBE" : "silent");
    return NIGH_EOFFLINE;
}

static int attend_closed(struct l2_channel *ch, uint64_t now_ns)
{
    struct random *random = env_of(ch)->random;
    uint64_t connection = atomic_load_explicit(&ch->link->connection, memory_order_relaxed);
    if (connection && connection != ch->beside)
        backoff_soon(&ch->backoff, random, now_ns);
    ch->beside = connection;
    if (!connection || now_ns < ch->backoff.next_ns)
        return 0;
    backoff_begin(&ch->backoff, random, now_ns);
    struct place *place = seek_hold_place(ch->link);
    int failed = conn_open(&ch->conn, place); /* there is one: the data connection is up */
    place_drop(place);
    return failed;
}

/* Whether another server answers here than on the data connection, which would leave us deaf to all
 * that is changed there. What that one last told of itself counts: where a server was made a
 * replica and a master again that is its old replid, until a beat brings the new one and wakes us.
 */
static bool is_elsewhere(struct l2_channel *ch)
{
    struct link *link = ch->link;
    pthread_mutex_lock(&link->lock);
    bool other = link->online && memcmp(link->replid, ch->conn.replid, REPLID_BYTES) != 0;
    pthread_mutex_unlock(&link->lock);
    return other;
}

/* Subscribes, unless it has to wait for the data connection to be at the same server. */
static int subscribe(struct l2_channel *ch, uint64_t now_ns)
{
    const struct keys *keys = &ch->config.l2->keys;
    const struct bytes args[] = {bytes_of("SUBSCRIBE", 9), keys->now.channel, keys->old.channel};
    ch->elsewhere = is_elsewhere(ch);
    if (ch->elsewhere && now_ns < elsewhere_ns(ch))
        return 0;
    if (ch->elsewhere) {
        snprintf(ch->conn.problem, sizeof(ch->conn.problem), "another server answers here than "
                 "answers requests (a load balancer in between?)");
        return NIGH_EOFFLINE;
    }
    ch->subscribing = true;
    ch->asked_ns = now_ns;
    ch->conn.asked = "SUBSCRIBE";
    return conn_command(&ch->conn, args, 3);
}

/* Does what the state of the connection, and the time, ask for. < 0: the connection has to go. */
static int attend(struct l2_channel *ch, uint64_t now_ns)
{
    const struct bytes ping = bytes_of("PING", 4);
    struct conn *c = &ch->conn;
    if (c->state == CONN_CLOSED)
        return l2_is_gone(ch->config.l2) ? 0 : attend_closed(ch, now_ns);
    if (conn_seek(c))
        return NIGH_EOFFLINE;
    if (c->state == CONN_UP && !ch->subscribing)
        return subscribe(ch, now_ns);
    if (now_ns < due_ns(ch) || is_pinged(ch))
        return 0;
    if (!ch->subscribed)
        return fail_silent(ch);
    ch->pinged_ns = now_ns;
    return conn_command(c, &ping, 1);
}

/* ---- messages ---- */

static bool is_kind(const struct reply *reply, const char *kind)
{
    return bytes_equal(reply_string_at(reply, 0, SIZE_MAX), bytes_of_string(kind));
}

/* A conn_reply_fn: {message, channel, payload}, {subscribe, channel, count} or {pong, ""}. */
static int take(void *arg, struct reply *reply)
{
    struct l2_channel *ch = arg;
    struct bytes payload = reply_string_at(reply, 2, SIZE_MAX);
    int failed = 0;
    if (reply->type != REPLY_ARRAY) { /* an error: SUBSCRIBE is not allowed, say */
        conn_problem(&ch->conn, ch->subscribed ? "" : "SUBSCRIBE: ", reply->bytes);
        failed = NIGH_EREDIS;
    } else if (is_kind(reply, "message") && payload.data) {
        struct bytes channel = reply_string_at(reply, 1, SIZE_MAX);
        bool ours = bytes_equal(channel, ch->config.l2->keys.now.channel);
        (ours ? ch->config.message : ch->config.old_message)(ch->config.arg, payload);
    } else if (is_kind(reply, "subscribe") && !ch->subscribed) {
        ch->subscribed = true;
        ch->conn.asked = NULL;
        if (outage_end(&ch->outage, clock_now_ns(env_of(ch)->clock)))
            LOG(env_of(ch)->log, NIGH_LOG_WARN, "redis listener is connected again");
        ch->config.up(ch->config.arg);
    }
    reply_free(reply);
    return failed;
}

/* Reads and writes. `overdue`: the answer to PING was late before the socket was looked at. (It may
 * be there, if we were stopped ourselves.) */
static int transfer(struct l2_channel *ch, int ready, bool overdue)
{
    struct conn *c = &ch->conn;
    if (c->state == CONN_CLOSED)
        return 0;
    if (overdue && !(ready & L2_NET_READY))
        return fail_silent(ch);
    int failed = ready & L2_NET_READY ? conn_read(c, take, ch) : 0;
    failed = failed ? failed : conn_flush(c);
    if (failed && !(ready & L2_NET_READY))
        conn_last_words(c, take, ch);
    return failed;
}

void l2_channel_problem_read(struct l2_channel *ch, struct l2_problem *ret)
{
    outage_read(&ch->outage, clock_now_ns(env_of(ch)->clock), ret);
}

void l2_channel_outage_read(struct l2_channel *ch, struct l2_outage *ret)
{
    outage_read_last(&ch->outage, clock_now_ns(env_of(ch)->clock), ret);
}

/* Does for this connection what check_gone() in io.c does for the data connection. */
static void check_gone(struct l2_channel *ch, uint64_t now_ns)
{
    if (!l2_is_gone(ch->config.l2) || ch->conn.state == CONN_CLOSED)
        return;
    conn_disown(&ch->conn);
    lose(ch, now_ns);
}

/* Whether another connection was asked for. */
static bool is_given_up(struct l2_channel *ch)
{
    bool reconnect = atomic_exchange_explicit(&ch->reconnect, false, memory_order_relaxed);
    bool log_in = atomic_exchange_explicit(&ch->log_in, false, memory_order_relaxed);
    if (ch->conn.state == CONN_CLOSED || (!reconnect && !log_in))
        return false;
    ch->logs_in = !reconnect;
    snprintf(ch->conn.problem, sizeof(ch->conn.problem), "%s",
             reconnect ? "it has not brought what a beat told of"
                       : "it logs in with another password");
    return true;
}

uint64_t l2_channel_step(struct l2_channel *ch, uint64_t wait_ns)
{
    const struct l2_net *net = ch->conn.config->net;
    uint64_t now_ns = clock_now_ns(env_of(ch)->clock);
    check_gone(ch, now_ns);
    if (is_given_up(ch) || attend(ch, now_ns) || transfer(ch, 0, false))
        lose(ch, now_ns);
    ch->switches_due_ns = ch->switches ? switch_step(ch->switches, now_ns) : CLOCK_NEVER_NS;
    bool overdue = is_pinged(ch) && now_ns >= dead_ns(ch);
    uint64_t next_ns = next_event_ns(ch);
    uint64_t until_ns = next_ns == CLOCK_NEVER_NS ? CLOCK_NEVER_NS
                        : next_ns > now_ns        ? next_ns - now_ns
                                                  : 0;
    int wake_fd = l2_is_gone(ch->config.l2) ? -1 : ch->wake_fd;
    bool holds = conn_holds(&ch->conn);
    int ready = net->wait(net->arg, conn_fd(&ch->conn), conn_waits(&ch->conn), wake_fd,
                          u64_min(wait_ns, until_ns));
    ready |= holds ? L2_NET_READY : 0;
    if (ready & L2_NET_GONE)
        atomic_store_explicit(&ch->config.l2->gone, true, memory_order_relaxed);
    check_gone(ch, now_ns);
    if (ready & L2_NET_WOKEN)
        wake_empty(ch->bell_fd);
    if (transfer(ch, ready, overdue))
        lose(ch, clock_now_ns(env_of(ch)->clock));
    return next_event_ns(ch);
}
