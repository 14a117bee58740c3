// SPDX-License-Identifier: MIT
// The subscription of two channels of a Sentinel. What it hears is a hint to the link, and no more.

#include "l2/switch.h"

#include <stdio.h>

#include "l2/client.h"

#define CHANNEL "+switch-master"
#define CHANNEL_EARLY "+promoted-slave"
#define PING_NS (2 * NS_PER_S)
#define DEAD_NS (6 * NS_PER_S)

/* Keys: all by the thread that steps it (h), but (c). */
struct switches {
    struct link *link;         /* (c) */
    struct sentinels *s;       /* (c) the link's */
    struct conn_config config; /* (c) the Sentinels', but for who watches the socket */
    struct conn conn;
    struct backoff backoff;
    uint32_t at;        /* number of the Sentinel */
    bool fails;         /* no subscription since the last one failed: the next one is tried */
    bool subscribing;   /* the question and the subscription were sent */
    bool subscribed;    /* to CHANNEL ... */
    bool hopes;         /* ... and the answer for the other one, which may be an error, is due */
    uint64_t pinged_ns; /* last PING; older than heard_ns: answered */
};

struct switches *switch_create(struct link *link, int poll_fd)
{
    struct switches *w = mem_alloc_zero(link->env->mem, sizeof(*w));
    if (!w)
        return NULL;
    w->link = link;
    w->s = link->sentinels;
    w->config = w->s->conn_config;
    w->config.poll_fd = poll_fd;
    conn_init(&w->conn, &w->config);
    return w;
}

void switch_destroy(struct switches *w)
{
    if (l2_is_gone(w->link->l2))
        conn_disown(&w->conn);
    conn_close(&w->conn);
    mem_free(w->link->env->mem, NULL, w, sizeof(*w));
}

/* ---- connection ---- */

static void lose(struct switches *w, uint64_t now_ns)
{
    struct random *random = w->link->env->random;
    if (w->subscribed)
        backoff_soon(&w->backoff, random, now_ns);
    else
        backoff_failed_alone(&w->backoff, random, now_ns);
    w->fails = !w->subscribed;
    conn_close(&w->conn);
    w->subscribing = w->subscribed = w->hopes = false;
}

static bool is_pinged(const struct switches *w)
{
    return w->pinged_ns > w->conn.heard_ns;
}

/* Returns when something has to be done, or has failed. */
static uint64_t due_ns(const struct switches *w)
{
    const struct conn *c = &w->conn;
    if (c->state == CONN_CLOSED)
        return w->backoff.next_ns;
    if (conn_holds(c))
        return 0; /* at once */
    if (!w->subscribed)
        return conn_handshake_deadline_ns(c);
    return is_pinged(w) ? u64_max(c->heard_ns + DEAD_NS, w->pinged_ns + (DEAD_NS - PING_NS))
                        : c->heard_ns + PING_NS;
}

static int open_next(struct switches *w, uint64_t now_ns)
{
    if (now_ns < w->backoff.next_ns)
        return 0;
    w->at = w->fails ? (w->at + 1) % w->s->count : sentinels_first(w->s);
    backoff_begin(&w->backoff, w->link->env->random, now_ns);
    return conn_open(&w->conn, w->s->list[w->at].place);
}

static int subscribe_to(struct switches *w, const char *channel)
{
    const struct bytes args[] = {bytes_of_string("SUBSCRIBE"), bytes_of_string(channel)};
    return conn_command(&w->conn, args, ARRAY_COUNT(args));
}

static int subscribe(struct switches *w)
{
    w->subscribing = true;
    int failed = sentinels_ask(w->s, &w->conn);
    failed = failed ? failed : subscribe_to(w, CHANNEL);
    return failed ? failed : subscribe_to(w, CHANNEL_EARLY);
}

/* The connection is subscribed, or should be by now, and it is time. */
static int ping(struct switches *w, uint64_t now_ns)
{
    const struct bytes args[] = {bytes_of_string("PING")};
    if (!w->subscribed || is_pinged(w))
        return NIGH_EOFFLINE;
    w->pinged_ns = now_ns;
    return conn_command(&w->conn, args, 1);
}

/* ---- what it hears ---- */

static bool is_kind(const struct reply *reply, const char *kind)
{
    return bytes_equal(reply_string_at(reply, 0, SIZE_MAX), bytes_of_string(kind));
}

/* Takes where the master is from what was heard. False: it says nothing of that. */
static bool read_call(const struct switches *w, const struct reply *reply, struct uri_host *ret)
{
    struct bytes text = reply_string_at(reply, 2, SIZE_MAX);
    if (!w->subscribed)
        return sentinel_read_address(reply, ret);
    return is_kind(reply, "message") && (sentinel_read_switch(text, w->s->master, ret) ||
                                         sentinel_read_promotion(text, w->s->master, ret));
}

/* A conn_reply_fn: the answer to the question; {subscribe, channel, count} for each channel; then
 * {message, channel, payload} or {pong, ""}. */
static int take(void *arg, struct reply *reply)
{
    struct switches *w = arg;
    struct uri_host to;
    bool called = read_call(w, reply, &to);
    bool refused = reply->type == REPLY_ERROR, confirms = is_kind(reply, "subscribe");
    int failed = refused && !w->hopes ? NIGH_EREDIS : 0;
    if (confirms || refused)
        w->hopes = confirms && !w->subscribed;
    w->subscribed = w->subscribed || confirms;
    reply_free(reply);
    if (called)
        seek_call(w->link, w->at, &to);
    return failed;
}

/* Reads and writes what there is. */
static int transfer(struct switches *w)
{
    struct conn *c = &w->conn;
    int failed = conn_seek(c);
    if (failed || c->seeks)
        return failed;
    failed = conn_read(c, take, w);
    if (!failed && c->state == CONN_UP && !w->subscribing)
        failed = subscribe(w);
    return failed ? failed : conn_flush(c);
}

/* < 0: the connection has to go. */
static int attend(struct switches *w, uint64_t now_ns)
{
    if (w->conn.state != CONN_CLOSED && !sentinels_heed(w->s, w->at, now_ns))
        return NIGH_EOFFLINE;
    int failed = w->conn.state == CONN_CLOSED ? open_next(w, now_ns) : 0;
    if (failed || w->conn.state == CONN_CLOSED)
        return failed;
    failed = transfer(w);
    if (failed || now_ns < due_ns(w) || conn_holds(&w->conn))
        return failed;
    failed = ping(w, now_ns);
    return failed ? failed : conn_flush(&w->conn);
}

uint64_t switch_step(struct switches *w, uint64_t now_ns)
{
    if (l2_is_gone(w->link->l2)) {
        conn_disown(&w->conn);
        conn_close(&w->conn);
        return CLOCK_NEVER_NS;
    }
    if (attend(w, now_ns))
        lose(w, now_ns);
    return due_ns(w);
}
