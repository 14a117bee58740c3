// SPDX-License-Identifier: MIT
// Asking Sentinels who the master is.
//
// Each has as long as a connection may take, for connecting, logging in and answering together. The
// connection is closed behind the answer: it is asked again when the server is lost, which is
// seldom, and what happens in between is called out to the watch (switch.c).

#include "l2/sentinel.h"

#include <stdio.h>

#define DEAF_NS (60 * NS_PER_S)

/* ---- life ---- */

static bool make_places(struct sentinels *s, const struct uri *uri, void (*wake)(void *arg),
                        void *arg)
{
    for (; s->count < uri->sentinel_count; s->count++) {
        const struct uri_host *host = &uri->sentinels[s->count];
        struct place *p = place_create(s->env->mem, s->conn_config.net, host->place, host->port,
                                       wake, arg);
        if (!p)
            return false;
        s->list[s->count].place = p;
    }
    return true;
}

struct sentinels *sentinels_create(const struct conn_config *base, const struct uri *uri,
                                   const struct l2_login *login, void (*wake)(void *arg),
                                   void *arg)
{
    struct sentinels *s = mem_alloc_zero(base->env->mem, sizeof(*s));
    if (!s)
        return NULL;
    s->env = base->env;
    s->conn_config = *base;
    s->conn_config.peer = CONN_SENTINEL;
    s->conn_config.db = 0;
    s->conn_config.login = login_create(s->env, login, "redis.sentinel_password_file");
    strcpy(s->master, uri->master);
    conn_init(&s->conn, &s->conn_config);
    if (!s->conn_config.login || !make_places(s, uri, wake, arg)) {
        sentinels_destroy(s);
        return NULL;
    }
    /* Whom to ask first is drawn: nodes spread over them. */
    atomic_init(&s->first, (uint32_t)random_below(s->env->random, s->count));
    return s;
}

void sentinels_stop(struct sentinels *s, bool disown)
{
    if (disown)
        conn_disown(&s->conn);
    conn_close(&s->conn);
    s->asks = false;
    s->left = 0;
}

void sentinels_destroy(struct sentinels *s)
{
    sentinels_stop(s, false);
    for (uint32_t i = 0; i < s->count; i++)
        place_drop(s->list[i].place);
    login_destroy(s->conn_config.login);
    mem_free(s->env->mem, NULL, s, sizeof(*s));
}

/* ---- the walk ---- */

static struct sentinel *first(struct sentinels *s)
{
    return &s->list[sentinels_first(s)];
}

void sentinels_prefer(struct sentinels *s, uint32_t i)
{
    if (!s->asks)
        atomic_store_explicit(&s->first, i % s->count, memory_order_relaxed);
}

/* Tells the log why a Sentinel is passed over, unless it has heard that. */
static void tell(struct sentinels *s, struct sentinel *one, const char *what, const char *detail)
{
    struct log_site own = {0}; /* another's line must not hold this one back */
    uint64_t hash = hash_bytes(bytes_of_string(what)) ^ hash_bytes(bytes_of_string(detail));
    if (one->told != hash)
        log_write(s->env->log, NIGH_LOG_WARN, &own, "sentinel at %s is of no use: %s%s",
                  one->place->shown, what, detail);
    one->told = hash;
}

/* Begins to ask the one whose turn it is. */
static void open_first(struct sentinels *s)
{
    s->left--;
    s->asks = true;
    s->asked = s->answered = false;
    conn_open(&s->conn, first(s)->place); /* a failure is met by the next step: it is CLOSED */
}

static void go_to_next(struct sentinels *s)
{
    atomic_store_explicit(&s->first, (sentinels_first(s) + 1) % s->count, memory_order_relaxed);
}

void sentinels_begin(struct sentinels *s)
{
    if (s->left == 0) {
        s->left = s->count;
        s->refused_count = 0;
        s->problem[0] = '\0';
        for (uint32_t i = 0; i < s->count; i++)
            s->list[i].lied = false;
    }
    open_first(s);
}

static bool was_refused(const struct sentinels *s)
{
    for (uint32_t i = 0; i < s->refused_count; i++)
        if (s->refused[i].port == s->named.port &&
            strcmp(s->refused[i].place, s->named.place) == 0)
            return true;
    return false;
}

bool sentinels_refuse(struct sentinels *s, const char *shown, const char *reason)
{
    first(s)->lied = true;
    if (s->refused_count < URI_SENTINELS_MAX)
        s->refused[s->refused_count++] = s->named;
    snprintf(s->problem, sizeof(s->problem), "%.90s: %.100s", shown, reason);
    go_to_next(s);
    return s->left > 0;
}

void sentinels_worked(struct sentinels *s)
{
    s->left = 0;
    first(s)->told = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->list[i].lied && i != sentinels_first(s))
            tell(s, &s->list[i], "it names no master, but ", s->problem);
        s->list[i].lied = false;
    }
}

void sentinels_deafen(struct sentinels *s, uint32_t i, uint64_t now_ns)
{
    tell(s, &s->list[i], "it has called out another master than there is", "");
    atomic_store_explicit(&s->list[i].deaf_until_ns, now_ns + DEAF_NS, memory_order_relaxed);
}

/* ---- asking one ---- */

int sentinels_ask(const struct sentinels *s, struct conn *c)
{
    const struct bytes args[] = {bytes_of_string("SENTINEL"),
                                 bytes_of_string("GET-MASTER-ADDR-BY-NAME"),
                                 bytes_of_string(s->master)};
    return conn_command(c, args, ARRAY_COUNT(args));
}

/* A conn_reply_fn: the answer. */
static int take(void *arg, struct reply *reply)
{
    struct sentinels *s = arg;
    bool unknown = reply->type == REPLY_NIL;
    s->answered = sentinel_read_address(reply, &s->named);
    if (reply->type == REPLY_ERROR)
        conn_problem(&s->conn, "", reply->bytes);
    else if (!s->answered)
        conn_problem(&s->conn, unknown ? "it knows no master of this name" : "an odd answer",
                     bytes_of("", 0));
    reply_free(reply);
    return s->answered ? 0 : NIGH_EREDIS;
}

static int fail_late(struct conn *c)
{
    snprintf(c->problem, sizeof(c->problem), "%s",
             c->seeks ? "its name was not found in the time for connecting"
                      : "no answer in the time for connecting");
    return NIGH_EOFFLINE;
}

/* Does what can be done now. 0, or < 0: it has failed, and the connection's problem says how. */
static int attend(struct sentinels *s, uint64_t now_ns)
{
    struct conn *c = &s->conn;
    if (c->state == CONN_CLOSED || conn_seek(c))
        return NIGH_EOFFLINE;
    int failed = c->seeks ? 0 : conn_flush(c);
    failed = failed || c->seeks ? failed : conn_read(c, take, s);
    if (!failed && c->state == CONN_UP && !s->asked) {
        s->asked = true;
        failed = sentinels_ask(s, c);
        failed = failed ? failed : conn_flush(c);
    }
    if (failed || s->answered)
        return failed;
    return now_ns >= conn_handshake_deadline_ns(c) ? fail_late(c) : 0;
}

/* Goes on to the next one. False: there is none. */
static bool pass_over(struct sentinels *s)
{
    const char *problem = s->conn.problem;
    if (s->answered) {
        first(s)->lied = true; /* where others have been refused */
    } else {
        tell(s, first(s), "", problem);
        if (s->refused_count == 0) /* what a server has said is worth more */
            snprintf(s->problem, sizeof(s->problem), "sentinel at %.80s: %.100s",
                     first(s)->place->shown, problem);
    }
    go_to_next(s);
    s->asks = false;
    if (s->left > 0)
        open_first(s);
    return s->asks;
}

int sentinels_step(struct sentinels *s, uint64_t now_ns)
{
    do {
        int failed = attend(s, now_ns);
        if (!failed && !s->answered)
            return 0;
        conn_close(&s->conn);
        if (s->answered && !was_refused(s)) {
            s->asks = false;
            return 1;
        }
    } while (pass_over(s));
    return NIGH_EOFFLINE;
}

uint64_t sentinels_due_ns(const struct sentinels *s)
{
    if (s->conn.state == CONN_CLOSED || conn_holds(&s->conn))
        return 0; /* at once */
    return conn_handshake_deadline_ns(&s->conn);
}

/* ---- what they say ---- */

static bool read_host(struct bytes text, char ret_host[URI_PLACE_MAX])
{
    const char *at = text.data;
    if (text.len == 0 || text.len >= URI_PLACE_MAX)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (at[i] <= ' ' || at[i] > '~' || at[i] == '/')
            return false;
    memcpy(ret_host, at, text.len);
    ret_host[text.len] = '\0';
    return true;
}

static bool read_port(struct bytes text, uint16_t *ret_port)
{
    const char *at = text.data;
    uint32_t port = 0;
    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        port = port * 10 + (uint32_t)(at[i] - '0');
    }
    *ret_port = (uint16_t)port;
    return port > 0 && port <= UINT16_MAX;
}

static bool read_both(struct bytes host, struct bytes port, struct uri_host *ret)
{
    struct uri_host read = {.port = 0};
    if (!host.data || !port.data || !read_host(host, read.place) || !read_port(port, &read.port))
        return false;
    *ret = read;
    return true;
}

bool sentinel_read_address(const struct reply *reply, struct uri_host *ret)
{
    return reply->type == REPLY_ARRAY && reply->count == 2 &&
           read_both(reply_string_at(reply, 0, SIZE_MAX), reply_string_at(reply, 1, SIZE_MAX),
                     ret);
}

#define SWITCH_WORDS 5u
#define PROMOTION_WORDS 8u

/* Splits a text at its blanks. Returns whether it has exactly so many words. */
static bool split(struct bytes text, struct bytes words[], uint32_t count)
{
    const char *at = text.data, *end = text.len ? at + text.len : at;
    for (uint32_t i = 0; i < count; i++) {
        bool last = i == count - 1;
        const char *stop = at < end ? memchr(at, ' ', (size_t)(end - at)) : NULL;
        if (last != !stop)
            return false;
        words[i] = bytes_of(at, (size_t)((stop ? stop : end) - at));
        at = stop ? stop + 1 : end;
    }
    return true;
}

bool sentinel_read_switch(struct bytes message, const char *master, struct uri_host *ret)
{
    struct bytes words[SWITCH_WORDS];
    return split(message, words, SWITCH_WORDS) &&
           bytes_equal(words[0], bytes_of_string(master)) && read_both(words[3], words[4], ret);
}

bool sentinel_read_promotion(struct bytes message, const char *master, struct uri_host *ret)
{
    struct bytes words[PROMOTION_WORDS];
    return split(message, words, PROMOTION_WORDS) &&
           bytes_equal(words[0], bytes_of_string("slave")) &&
           bytes_equal(words[4], bytes_of_string("@")) &&
           bytes_equal(words[5], bytes_of_string(master)) && read_both(words[2], words[3], ret);
}
