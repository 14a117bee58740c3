// SPDX-License-Identifier: MIT
// A link connects at the place that was given, or where Sentinels say that the master is.
//
// An attempt to connect is one to the place, once for each address of its host; or, with Sentinels,
// a walk: one is asked, the place that it names is tried, and as long as no master is found the
// next is asked (sentinel.h). Only the end of a walk is a failure, behind which the link makes its
// pause. While one is asked the link has no connection, so its sleep is on the Sentinel's socket.
//
// A Sentinel that calls out a switch (switch.c) is a reason to ask, never an answer: a connection
// to another place than the one called is given up, and the walk begins with who called. If it ends
// where it began that one was wrong, and is not heeded for a while; so whatever a Sentinel says
// costs a connection once in that time. One that cannot be asked is blamed as well, though it may
// have been right: else who hides from questions costs a connection with each call. The others are
// heard meanwhile, and call out the same. Where another one calls before the walk begins, it begins
// with that one, who is the one to blame then. (The first may have been right, and not be asked: S
// calls that B follows A; T, that C does; T is asked, and names A.) One that calls the place which
// was just left changes nothing.

#include "l2/client.h"

#include <stdio.h>

bool seek_sentinel_tls(const struct l2_config *config, const struct uri *uri)
{
    return uri->master[0] && (config->sentinel_over_tls ? config->sentinel_over_tls == NIGH_ON
                                                        : uri->tls);
}

static int init_sentinels(struct link *link, const struct l2_config *config)
{
    struct conn_config base = link->conn_config;
    if (!config->stream)
        base.stream = seek_sentinel_tls(config, &link->uri) ? tls_kind(link->l2->sentinel_tls)
                                                            : &stream_plain;
    link->conn_config.may_move = true;
    link->sentinels = sentinels_create(&base, &link->uri, &config->sentinel_login, link->found,
                                       link);
    return link->sentinels ? 0 : NIGH_ENOMEM;
}

int seek_init(struct link *link, const struct l2_config *config, void (*found)(void *arg))
{
    const struct uri *uri = &link->uri;
    link->found = found;
    if (uri->master[0])
        return init_sentinels(link, config);
    link->place = place_create(link->env->mem, link->conn_config.net, uri->place, uri->port,
                               found, link);
    return link->place ? 0 : NIGH_ENOMEM;
}

void seek_fini(struct link *link)
{
    place_drop(link->place);
    place_drop(link->left.place);
    if (link->sentinels)
        sentinels_destroy(link->sentinels);
}

struct place *seek_hold_place(struct link *link)
{
    pthread_mutex_lock(&link->lock);
    struct place *p = link->place ? place_hold(link->place) : NULL;
    pthread_mutex_unlock(&link->lock);
    return p;
}

void seek_disown(struct link *link)
{
    if (link->sentinels)
        sentinels_stop(link->sentinels, true);
}

/* ---- attempts ---- */

/* Makes the place that was named the link's, unless it is already. 0 or NIGH_ENOMEM. */
static int set_place(struct link *link, const struct uri_host *named)
{
    const struct conn_config *config = &link->conn_config;
    struct place *old = link->place;
    if (old && place_is(old, named->place, named->port))
        return 0;
    struct place *p = place_create(config->env->mem, config->net, named->place, named->port,
                                   link->found, link);
    if (!p)
        return NIGH_ENOMEM;
    pthread_mutex_lock(&link->lock);
    link->place = p;
    pthread_mutex_unlock(&link->lock);
    place_drop(old);
    return 0;
}

static int open_place(struct link *link)
{
    link->at_place = true;
    link->other_address = false;
    return conn_open(&link->conn, link->place);
}

int seek_step(struct link *link, uint64_t now_ns)
{
    struct sentinels *s = link->sentinels;
    int got = sentinels_step(s, now_ns);
    if (got < 0)
        snprintf(link->conn.problem, sizeof(link->conn.problem), "%s", s->problem);
    if (got <= 0)
        return got;
    int failed = set_place(link, &s->named);
    return failed ? failed : open_place(link);
}

int seek_begin(struct link *link, uint64_t now_ns)
{
    login_refresh(link->conn_config.login, true, now_ns);
    if (!link->sentinels || link->other_address)
        return open_place(link);
    link->at_place = false;
    login_refresh(link->sentinels->conn_config.login, true, now_ns);
    sentinels_begin(link->sentinels);
    return seek_step(link, now_ns);
}

bool seek_has_more(struct link *link)
{
    if (!link->at_place)
        return false;
    const struct conn *c = &link->conn;
    link->other_address = c->refused ? login_has_other(c->config->login)
                                     : lookup_has_more(link->place->lookup);
    if (link->other_address || !link->sentinels)
        return link->other_address;
    bool more = sentinels_refuse(link->sentinels, link->place->shown, link->conn.problem);
    snprintf(link->conn.problem, sizeof(link->conn.problem), "%s", link->sentinels->problem);
    return more;
}

/* ---- what Sentinels call out ---- */

void seek_call(struct link *link, uint32_t by, const struct uri_host *to)
{
    pthread_mutex_lock(&link->lock);
    link->called = (struct link_switch){.is_new = true, .by = by, .to = *to};
    pthread_mutex_unlock(&link->lock);
    wake_io(link);
}

static bool take_call(struct link *link, struct link_switch *ret)
{
    pthread_mutex_lock(&link->lock);
    bool is_new = link->called.is_new;
    link->called.is_new = false;
    if (is_new)
        *ret = link->called;
    pthread_mutex_unlock(&link->lock);
    return is_new;
}

bool seek_called(struct link *link, uint64_t now_ns)
{
    struct link_switch call;
    bool connected = link->conn.place != NULL;
    const struct place *at = connected ? link->conn.place : link->left.place;
    /* it stays for the end of a walk, which may be at the old master: who was asked knew no more */
    if (seek_asks(link) || link->conn.state == CONN_HANDSHAKE)
        return false;
    if (!take_call(link, &call) || !sentinels_heed(link->sentinels, call.by, now_ns))
        return false;
    if (at && place_is(at, call.to.place, call.to.port))
        return false;
    sentinels_prefer(link->sentinels, call.by);
    link->left.by = call.by;
    if (!connected) {
        backoff_soon(&link->backoff, link->env->random, now_ns);
        return false;
    }
    place_drop(link->left.place);
    link->left.place = place_hold(link->conn.place);
    return true;
}

void seek_worked(struct link *link, uint64_t now_ns)
{
    const struct place *at = link->conn.place, *left = link->left.place;
    if (!link->sentinels)
        return;
    sentinels_worked(link->sentinels);
    if (left && place_is(at, left->host, left->port))
        sentinels_deafen(link->sentinels, link->left.by, now_ns);
    place_drop(link->left.place);
    link->left.place = NULL;
}
