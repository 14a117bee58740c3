// SPDX-License-Identifier: MIT
/*
 * One thread and poll(2): a client costs a struct, so there may be more of them than threads of the
 * server, and each waits for its own answer only.
 */
#include "support/crowd.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "support/check.h"

#define PATIENCE_MS 60000 /* for any answer */

struct client {
    struct http http;
    long long wanted;
    size_t have;
    struct http_answer answer;
};

static bool send_question(struct client *k, const char *path)
{
    char request[512];
    int len = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: test\r\n\r\n", path);
    REQUIRE(len > 0 && (size_t)len < sizeof(request));
    return send(k->http.fd, request, (size_t)len, MSG_NOSIGNAL) == len;
}

static void note_failure(struct crowd *c, const struct client *k, const char *what)
{
    if (atomic_fetch_add(&c->failed, 1) == 0)
        check_note("an answer of a crowd: %s: %.300s", what, k->answer.text);
}

/* Asks the next question; a connection that has ended makes room for another one. */
static void ask(struct crowd *c, struct client *k)
{
    char path[256];
    k->wanted = c->ask(c->arg, atomic_load(&c->answered), path, sizeof(path));
    k->have = 0;
    k->answer.text[0] = 0;
    if (k->http.fd < 0)
        http_open(&k->http, c->port);
    if (!send_question(k, path))
        http_close(&k->http);
}

/* Whether the whole answer is there. */
static bool is_whole(struct client *k)
{
    struct http_answer *a = &k->answer;
    char length[32];
    char *end = strstr(a->text, "\r\n\r\n");
    if (!end)
        return false;
    a->body = end + 4;
    end[2] = 0; /* the head, as http_header() wants it */
    a->status = atoi(strchr(a->text, ' ') ? strchr(a->text, ' ') : "0");
    bool known = http_header(a, "Content-Length", length, sizeof(length));
    a->body_len = known ? strtoul(length, NULL, 10) : 0;
    bool whole = k->have >= (size_t)(a->body - a->text) + a->body_len;
    if (!whole)
        end[2] = '\r';
    return whole;
}

/* Returns whether the question is over. */
static bool read_some(struct crowd *c, struct client *k)
{
    char *text = k->answer.text;
    size_t room = sizeof(k->answer.text) - 1 - k->have;
    ssize_t n = room > 0 ? recv(k->http.fd, text + k->have, room, 0) : 0;
    if (n <= 0) {
        note_failure(c, k, "cut");
        http_close(&k->http);
        return true;
    }
    k->have += (size_t)n;
    text[k->have] = 0;
    if (!is_whole(k))
        return false;
    if (!c->judge(c->arg, k->wanted, &k->answer))
        note_failure(c, k, "wrong");
    return true;
}

static bool is_over(struct crowd *c, struct client *k, short events)
{
    if (k->http.fd < 0) {
        note_failure(c, k, "not asked");
        return true;
    }
    return events != 0 && read_some(c, k);
}

/* Returns how many wait for an answer. */
static unsigned go_round(struct crowd *c, struct client *clients, struct pollfd *fds,
                         unsigned waiting)
{
    if (!CHECK_GE(poll(fds, CROWD_CONNECTIONS, PATIENCE_MS), 1))
        return 0;
    for (unsigned i = 0; i < CROWD_CONNECTIONS; i++) {
        if (fds[i].events == 0 || !is_over(c, &clients[i], fds[i].revents))
            continue;
        atomic_fetch_add(&c->answered, 1);
        if (atomic_load(&c->stopping)) {
            fds[i].events = 0;
            waiting--;
            continue;
        }
        ask(c, &clients[i]);
        fds[i].fd = clients[i].http.fd;
    }
    return waiting;
}

static void *run(void *arg)
{
    struct crowd *c = arg;
    struct client *clients = calloc(CROWD_CONNECTIONS, sizeof(*clients));
    struct pollfd fds[CROWD_CONNECTIONS];
    REQUIRE(clients);
    for (unsigned i = 0; i < CROWD_CONNECTIONS; i++) {
        clients[i].http.fd = -1;
        ask(c, &clients[i]);
        fds[i] = (struct pollfd){.fd = clients[i].http.fd, .events = POLLIN};
    }
    for (unsigned waiting = CROWD_CONNECTIONS; waiting > 0;)
        waiting = go_round(c, clients, fds, waiting);
    for (unsigned i = 0; i < CROWD_CONNECTIONS; i++)
        http_close(&clients[i].http);
    free(clients);
    return NULL;
}

void crowd_start(struct crowd *c)
{
    REQUIRE_EQ(pthread_create(&c->thread, NULL, run, c), 0);
}

void crowd_stop(struct crowd *c)
{
    atomic_store(&c->stopping, true);
    REQUIRE_EQ(pthread_join(c->thread, NULL), 0);
}
