// SPDX-License-Identifier: MIT
// The wire of relay.h: one thread that polls every connection and copies what it reads.
//
// A stopped relay simply does not read: what is sent to it stays in the kernel's buffers, in order,
// and what cannot be buffered blocks its sender, as a dead wire does. The lock is held from poll's
// answer to the last write, so whoever changes the state under it finds no bytes on the way. A slow
// relay holds what it has read until its time has come, a fiftieth of a second of it at a time.

#include "support/relay.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_BYTES 65536
#define HELD_BYTES_MAX 65536 /* by a slow wire */

struct relay_chunk {
    struct relay_chunk *next;
    uint64_t due_ns;
    size_t len;
    char bytes[];
};

/* Who goes through a relay cannot do without it. */
#define MUST(holds) ((holds) ? (void)0 : give_up(#holds))

__attribute__((noreturn)) static void give_up(const char *what)
{
    fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    MUST(strlen(path) < sizeof(address.sun_path));
    strcpy(address.sun_path, path);
    return address;
}

static int new_socket(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(fd >= 0);
    return fd;
}

static bool send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        }
    }
    return true;
}

/* A socket's path that is cut leads elsewhere. */
static void set_path(char *path, size_t size, const char *text)
{
    MUST(strlen(text) < size);
    strcpy(path, text);
}

/* ---- the thread's side: all under the lock ---- */

static void drop_first(struct relay_way *w)
{
    struct relay_chunk *chunk = w->first;
    w->first = chunk->next;
    w->held_bytes -= chunk->len;
    free(chunk);
}

static void close_link(struct relay_link *link)
{
    while (link->up.first)
        drop_first(&link->up);
    while (link->down.first)
        drop_first(&link->down);
    close(link->client);
    close(link->server);
    link->client = -1;
}

/* Whether the server was brought to speak RESP3, and all that it said of that is read. */
static bool switch_to_3(int server)
{
    static const char hello[] = "HELLO 3\r\nPING\r\n", end[] = "+PONG\r\n";
    char said[2048];
    size_t len = 0;
    if (!send_all(server, hello, sizeof(hello) - 1))
        return false;
    while (len < sizeof(said)) {
        ssize_t n = recv(server, said + len, sizeof(said) - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        if (memmem(said, len, end, sizeof(end) - 1))
            return true;
    }
    return false;
}

/* A server that is away refuses its new client by closing it. */
static void accept_link(struct relay *r)
{
    struct sockaddr_un address = address_of(r->upstream);
    int client = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0)
        return;
    struct relay_link *link = r->links;
    while (link->client >= 0) {
        link++;
        MUST(link < r->links + RELAY_LINKS_MAX);
    }
    *link = (struct relay_link){.client = client, .server = new_socket()};
    if (connect(link->server, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        (r->speaks3 && !switch_to_3(link->server)))
        close_link(link);
}

static void hold(const struct relay *r, struct relay_way *w, const char *bytes, size_t len)
{
    struct relay_chunk *chunk = malloc(sizeof(*chunk) + len);
    MUST(chunk);
    uint64_t now = now_ns();
    w->free_ns = w->free_ns > now ? w->free_ns : now;
    w->free_ns += r->bytes_per_s ? len * 1000000000u / r->bytes_per_s : 0;
    *chunk = (struct relay_chunk){.due_ns = w->free_ns + r->late_ns, .len = len};
    memcpy(chunk->bytes, bytes, len);
    if (!w->first)
        w->last = &w->first;
    *w->last = chunk;
    w->last = &chunk->next;
    w->held_bytes += len;
}

/* Whether these bytes are messages of a subscription that get lost. A server writes whole messages,
 * and they are read as soon as they are there. */
static bool is_lost(const struct relay *r, struct relay_link *link, bool up, const char *bytes,
                    size_t len)
{
    if (up && memmem(bytes, len, "SUBSCRIBE", 9))
        link->listens = true;
    return !up && link->listens && r->deaf;
}

/* False: one side is gone, and with it the link. */
static bool forward(const struct relay *r, struct relay_link *link, bool up)
{
    struct relay_way *w = up ? &link->up : &link->down;
    int from = up ? link->client : link->server, to = up ? link->server : link->client;
    static _Thread_local char chunk[CHUNK_BYTES];
    size_t at_once = r->bytes_per_s ? r->bytes_per_s / 50 + 1 : CHUNK_BYTES;
    ssize_t n = recv(from, chunk, at_once < CHUNK_BYTES ? at_once : CHUNK_BYTES, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n > 0 && is_lost(r, link, up, chunk, (size_t)n))
        return true;
    if (n > 0 && (r->late_ns || r->bytes_per_s || w->first)) {
        hold(r, w, chunk, (size_t)n);
        return true;
    }
    return n > 0 && send_all(to, chunk, (size_t)n);
}

static bool deliver(struct relay_way *w, int to)
{
    while (w->first && w->first->due_ns <= now_ns()) {
        if (!send_all(to, w->first->bytes, w->first->len))
            return false;
        drop_first(w);
    }
    return true;
}

/* The bell first, the listener second, then two places for each link (-1: poll skips it). */
#define BELL 0
#define LISTENER 1
#define FIRST_LINK 2
#define POLLS (FIRST_LINK + 2 * RELAY_LINKS_MAX)

static struct pollfd poll_of(const struct relay *r, const struct relay_link *link,
                             const struct relay_way *w, int fd)
{
    bool idle = r->stopped || link->client < 0 || w->held_bytes >= HELD_BYTES_MAX ||
                (r->holding && link->listens && w == &link->down);
    return (struct pollfd){idle ? -1 : fd, POLLIN, 0};
}

static void list_polls(const struct relay *r, struct pollfd polls[POLLS])
{
    polls[BELL] = (struct pollfd){r->bell, POLLIN, 0};
    polls[LISTENER] = (struct pollfd){r->stopped ? -1 : r->listener, POLLIN, 0};
    for (int i = 0; i < RELAY_LINKS_MAX; i++) {
        const struct relay_link *link = &r->links[i];
        polls[FIRST_LINK + 2 * i] = poll_of(r, link, &link->up, link->client);
        polls[FIRST_LINK + 2 * i + 1] = poll_of(r, link, &link->down, link->server);
    }
}

/* How long poll may sleep, in ms: until the next bytes are due. */
static int poll_limit(const struct relay *r)
{
    uint64_t due_ns = UINT64_MAX, now = now_ns();
    for (int i = 0; i < RELAY_LINKS_MAX; i++) {
        const struct relay_way *ways[] = {&r->links[i].up, &r->links[i].down};
        for (int j = 0; j < 2; j++)
            if (ways[j]->first && ways[j]->first->due_ns < due_ns)
                due_ns = ways[j]->first->due_ns;
    }
    if (r->stopped || due_ns == UINT64_MAX)
        return -1;
    return due_ns <= now ? 0 : (int)((due_ns - now) / 1000000 + 1);
}

static void serve(struct relay *r, const struct pollfd polls[POLLS])
{
    for (int i = 0; i < RELAY_LINKS_MAX; i++) {
        struct relay_link *link = &r->links[i];
        bool alive = link->client >= 0;
        if (alive && polls[FIRST_LINK + 2 * i].revents)
            alive = forward(r, link, true);
        if (alive && polls[FIRST_LINK + 2 * i + 1].revents)
            alive = forward(r, link, false);
        if (alive)
            alive = deliver(&link->up, link->server) && deliver(&link->down, link->client);
        if (link->client >= 0 && !alive)
            close_link(link);
    }
    if (polls[LISTENER].revents)
        accept_link(r);
}

static void *run(void *arg)
{
    struct relay *r = arg;
    struct pollfd polls[POLLS];
    uint64_t rung;
    pthread_mutex_lock(&r->lock);
    while (!r->closing) {
        list_polls(r, polls);
        int limit_ms = poll_limit(r);
        pthread_mutex_unlock(&r->lock);
        (void)poll(polls, POLLS, limit_ms);
        pthread_mutex_lock(&r->lock);
        /* When it was rung, even after poll had looked, what poll saw is out of date: held by now,
         * or closed and its number another's. */
        if (read(r->bell, &rung, sizeof(rung)) < 0)
            serve(r, polls);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- the test's side ---- */

/* Under the lock: the thread hears it before it serves what it saw earlier. */
static void ring(struct relay *r)
{
    uint64_t one = 1;
    MUST(write(r->bell, &one, sizeof(one)) == sizeof(one));
}

void relay_open_to(struct relay *r, const char *folder, const char *upstream)
{
    static _Atomic unsigned opened; /* several may lead to one server */
    *r = (struct relay){.lock = PTHREAD_MUTEX_INITIALIZER};
    set_path(r->upstream, sizeof(r->upstream), upstream);
    int len = snprintf(r->socket, sizeof(r->socket), "%s/relay%u.sock", folder, opened++);
    MUST(len < (int)sizeof(r->socket));
    snprintf(r->uri, sizeof(r->uri), "unix://%s", r->socket);
    for (int i = 0; i < RELAY_LINKS_MAX; i++)
        r->links[i].client = -1;
    struct sockaddr_un address = address_of(r->socket);
    r->listener = new_socket();
    MUST(bind(r->listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    MUST(listen(r->listener, RELAY_LINKS_MAX) == 0);
    r->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    MUST(r->bell >= 0);
    MUST(pthread_create(&r->thread, NULL, run, r) == 0);
}

void relay_stop(struct relay *r)
{
    pthread_mutex_lock(&r->lock);
    r->stopped = true;
    ring(r);
    pthread_mutex_unlock(&r->lock);
}

void relay_go(struct relay *r)
{
    pthread_mutex_lock(&r->lock);
    r->stopped = false;
    ring(r);
    pthread_mutex_unlock(&r->lock);
}

void relay_slow(struct relay *r, unsigned late_ms, uint64_t bytes_per_s)
{
    pthread_mutex_lock(&r->lock);
    r->late_ns = late_ms * UINT64_C(1000000);
    r->bytes_per_s = bytes_per_s;
    ring(r);
    pthread_mutex_unlock(&r->lock);
}

void relay_deafen(struct relay *r, bool deaf)
{
    pthread_mutex_lock(&r->lock);
    r->deaf = deaf;
    pthread_mutex_unlock(&r->lock);
}

void relay_hold(struct relay *r, bool holding)
{
    pthread_mutex_lock(&r->lock);
    r->holding = holding;
    ring(r);
    pthread_mutex_unlock(&r->lock);
}

static void cut_locked(struct relay *r)
{
    for (int i = 0; i < RELAY_LINKS_MAX; i++)
        if (r->links[i].client >= 0)
            close_link(&r->links[i]);
    ring(r);
}

void relay_cut(struct relay *r)
{
    pthread_mutex_lock(&r->lock);
    cut_locked(r);
    pthread_mutex_unlock(&r->lock);
}

void relay_lead_to(struct relay *r, const char *upstream)
{
    pthread_mutex_lock(&r->lock);
    set_path(r->upstream, sizeof(r->upstream), upstream);
    cut_locked(r);
    pthread_mutex_unlock(&r->lock);
}

void relay_scatter(struct relay *r, const struct redis *server)
{
    pthread_mutex_lock(&r->lock);
    set_path(r->upstream, sizeof(r->upstream), server->socket);
    pthread_mutex_unlock(&r->lock);
}

void relay_speak3(struct relay *r)
{
    pthread_mutex_lock(&r->lock);
    r->speaks3 = true;
    pthread_mutex_unlock(&r->lock);
}

void relay_close(struct relay *r)
{
    relay_cut(r);
    pthread_mutex_lock(&r->lock);
    r->closing = true;
    ring(r);
    pthread_mutex_unlock(&r->lock);
    MUST(pthread_join(r->thread, NULL) == 0);
    close(r->listener);
    close(r->bell);
    unlink(r->socket);
    pthread_mutex_destroy(&r->lock);
}
