// SPDX-License-Identifier: MIT
/*
 * A server of two event loops before an origin that takes 5 ms, and its clients: as many
 * connections as the row has threads, each with one question at a time, driven by one thread. One
 * question in 16 is for what nobody has asked for yet, the others are for a thousand names that
 * come again.
 *
 * Two servers. One calls nigh_fetch_async(), and nigh's workers load. The other is what a loop does
 * with a cache whose misses wait: it looks into L1 alone (NIGH_L1_ONLY), and hands what is not
 * there over to 16 threads of its own, which fetch, and wake the loop when they have the value.
 * Both have 16 threads that load.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "link/link.h"
#include "support/fail.h"
#include "support/random.h"

#define LOOPS      2u
#define WORKERS    16u
#define HOT        1000u
#define NEW_ONE_IN 16u
#define ORIGIN_NS  (5 * PERF_NS_PER_MS)
#define EVENTS_MAX 64

struct loop;

/* A connection, and the question that it waits for. Keys: (l) its loop  (w) whoever has the job */
struct connection {
    struct loop *loop;
    int fd;
    uint64_t name;            /* (l), then (w) */
    struct connection *next;  /* (w) */
    struct nigh_value value;  /* (w) */
};

struct loop {
    struct server *server;
    pthread_t thread;
    int epoll;
    int wake;                 /* eventfd of `done`, or the queue's descriptor */
    struct nigh_queue *queue; /* NULL: it hands over */
    struct connection *done;  /* under the server's lock */
};

struct server {
    struct nigh *cache;
    struct nigh_space *space;
    struct loop loops[LOOPS];
    struct connection connections[LINK_THREADS_MAX];
    int clients[LINK_THREADS_MAX];
    unsigned count;
    _Atomic uint64_t loads;
    _Atomic bool stopping;
    int stop; /* eventfd: readable when the loops have to end */
    uint64_t fresh; /* names that nobody has asked for yet */
    struct random_stream random;

    /* the host's own threads */
    pthread_t workers[WORKERS];
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct connection *jobs, **last_job;
};

static int load(void *arg, struct nigh_fill *const *fills, size_t count)
{
    struct server *s = arg;
    sleep_ns(ORIGIN_NS);
    for (size_t i = 0; i < count; i++)
        nigh_fill_value(fills[i], link_world.value, LINK_VALUE_BYTES);
    atomic_fetch_add(&s->loads, 1);
    return 0;
}

static void reply(const struct connection *c, int outcome, struct nigh_value *value)
{
    if (outcome != NIGH_FRESH || value->len != LINK_VALUE_BYTES)
        fail("nigh: a page was: %s", nigh_strerror(outcome));
    if (send(c->fd, value->data, value->len, MSG_NOSIGNAL) != LINK_VALUE_BYTES)
        fail("a reply is not sent: %m");
    nigh_release(value);
}

/* ---- handing over ---- */

static struct connection *next_job(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    while (!s->jobs && !s->stopping)
        pthread_cond_wait(&s->wake, &s->lock);
    struct connection *c = s->jobs;
    if (c && !(s->jobs = c->next))
        s->last_job = &s->jobs;
    pthread_mutex_unlock(&s->lock);
    return c;
}

static void give_back(struct connection *c)
{
    struct loop *l = c->loop;
    uint64_t one = 1;
    pthread_mutex_lock(&l->server->lock);
    bool first = !l->done;
    c->next = l->done;
    l->done = c;
    pthread_mutex_unlock(&l->server->lock);
    if (first && write(l->wake, &one, sizeof(one)) != (ssize_t)sizeof(one))
        fail("eventfd: %m");
}

static void *work(void *arg)
{
    struct server *s = arg;
    struct connection *c;
    while ((c = next_job(s))) {
        int rc = nigh_fetch(s->space, &c->name, sizeof(c->name), NULL, &c->value);
        if (rc != NIGH_FRESH)
            fail("nigh_fetch: %s", nigh_strerror(rc));
        give_back(c);
    }
    return NULL;
}

static void hand_over(struct connection *c)
{
    struct server *s = c->loop->server;
    c->next = NULL;
    pthread_mutex_lock(&s->lock);
    *s->last_job = c;
    s->last_job = &c->next;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

static void take_done(struct loop *l)
{
    uint64_t count;
    if (read(l->wake, &count, sizeof(count)) < 0)
        fail("eventfd: %m");
    pthread_mutex_lock(&l->server->lock);
    struct connection *c = l->done;
    l->done = NULL;
    pthread_mutex_unlock(&l->server->lock);
    while (c) {
        struct connection *next = c->next; /* once it is answered it may be handed over again */
        reply(c, NIGH_FRESH, &c->value);
        c = next;
    }
}

/* ---- loops ---- */

static void take_completions(struct loop *l)
{
    struct nigh_completion done[EVENTS_MAX];
    int n = nigh_queue_poll(l->queue, done, EVENTS_MAX, 0);
    for (int i = 0; i < n; i++)
        reply(done[i].arg, done[i].outcome, &done[i].value);
}

static void serve(struct connection *c)
{
    static const struct nigh_call l1_only = {.size = sizeof(l1_only), .flags = NIGH_L1_ONLY};
    struct nigh_space *space = c->loop->server->space;
    struct nigh_queue *queue = c->loop->queue;
    struct nigh_value value = NIGH_VALUE_INIT;
    if (recv(c->fd, &c->name, sizeof(c->name), 0) != (ssize_t)sizeof(c->name))
        fail("a question is cut");
    int rc = queue ? nigh_fetch_async(queue, space, &c->name, sizeof(c->name), NULL, c, &value,
                                      NULL)
                   : nigh_get(space, &c->name, sizeof(c->name), &l1_only, &value);
    if (rc == NIGH_MISS)
        hand_over(c);
    else if (rc != NIGH_PENDING)
        reply(c, rc, &value);
}

static void *run_loop(void *arg)
{
    struct loop *l = arg;
    struct epoll_event events[EVENTS_MAX];
    while (!atomic_load(&l->server->stopping)) {
        int n = epoll_wait(l->epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr != l && events[i].data.ptr)
                serve(events[i].data.ptr);
            else if (events[i].data.ptr)
                (l->queue ? take_completions : take_done)(l);
        }
    }
    return NULL;
}

static void watch(int epoll, int fd, void *who)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = who};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        fail("epoll: %m");
}

static void open_loop(struct server *s, struct loop *l, bool hands_over)
{
    l->server = s;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!hands_over && nigh_queue_open(s->cache, &l->queue) != 0)
        fail("nigh_queue_open");
    l->wake = l->queue ? nigh_queue_fd(l->queue) : eventfd(0, EFD_CLOEXEC);
    watch(l->epoll, l->wake, l);
    watch(l->epoll, s->stop, NULL);
}

static void connect_clients(struct server *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        int ends[2];
        struct loop *l = &s->loops[i % LOOPS];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
            fail("socketpair: %m");
        s->clients[i] = ends[0];
        s->connections[i] = (struct connection){.loop = l, .fd = ends[1]};
        watch(l->epoll, ends[1], &s->connections[i]);
    }
}

static struct server *open_server(const struct row *row, bool hands_over)
{
    struct server *s = must_alloc(1, sizeof(*s));
    struct nigh_options options = link_options(hands_over ? "handing" : "loops");
    options.workers = hands_over ? 1 : WORKERS;
    s->cache = link_cache_open_with(&options);
    s->space = link_space_open(s->cache, "pages", load, s);
    s->count = row->threads;
    s->stop = eventfd(0, EFD_CLOEXEC);
    s->last_job = &s->jobs;
    s->fresh = HOT;
    s->random = random_stream_of(1, 0, 0);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    for (unsigned i = 0; i < LOOPS; i++)
        open_loop(s, &s->loops[i], hands_over);
    connect_clients(s);
    for (unsigned i = 0; i < LOOPS; i++)
        if (pthread_create(&s->loops[i].thread, NULL, run_loop, &s->loops[i]) != 0)
            fail("cannot start a thread");
    for (unsigned i = 0; i < WORKERS && hands_over; i++)
        if (pthread_create(&s->workers[i], NULL, work, s) != 0)
            fail("cannot start a thread");
    return s;
}

static void *open_loops(const struct row *row)
{
    return open_server(row, false);
}

static void *open_handing(const struct row *row)
{
    return open_server(row, true);
}

static void close_server(void *self)
{
    struct server *s = self;
    bool hands_over = !s->loops[0].queue;
    uint64_t one = 1;
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->stopping, true);
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->lock);
    if (write(s->stop, &one, sizeof(one)) < 0)
        fail("eventfd: %m");
    for (unsigned i = 0; i < WORKERS && hands_over; i++)
        pthread_join(s->workers[i], NULL);
    for (unsigned i = 0; i < LOOPS; i++) {
        pthread_join(s->loops[i].thread, NULL);
        close(s->loops[i].epoll);
        if (hands_over)
            close(s->loops[i].wake);
        nigh_queue_close(s->loops[i].queue);
    }
    for (unsigned i = 0; i < s->count; i++) {
        close(s->clients[i]);
        close(s->connections[i].fd);
    }
    close(s->stop);
    nigh_close(s->cache);
    free(s);
}

/* ---- clients ---- */

struct crowd {
    struct server *server;
    int epoll;
    uint64_t asked_ns[LINK_THREADS_MAX];
    struct hist hist;
};

static void ask(struct crowd *c, unsigned client)
{
    struct server *s = c->server;
    uint64_t draw = random_next(&s->random);
    uint64_t name = draw % NEW_ONE_IN == 0 ? s->fresh++ : (draw >> 32) % HOT;
    c->asked_ns[client] = now_ns();
    if (send(s->clients[client], &name, sizeof(name), MSG_NOSIGNAL) != (ssize_t)sizeof(name))
        fail("a question is not sent: %m");
}

static void take_reply(struct crowd *c, unsigned client)
{
    char page[LINK_VALUE_BYTES + 1];
    if (recv(c->server->clients[client], page, sizeof(page), 0) != LINK_VALUE_BYTES)
        fail("a reply is cut");
    hist_add(&c->hist, now_ns() - c->asked_ns[client]);
}

/* All clients ask until then, and get their last answers. */
static void ask_until(struct crowd *c, uint64_t until_ns)
{
    struct epoll_event events[EVENTS_MAX];
    unsigned waiting = c->server->count;
    for (unsigned i = 0; i < c->server->count; i++)
        ask(c, i);
    while (waiting > 0) {
        int n = epoll_wait(c->epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            take_reply(c, events[i].data.u32);
            if (now_ns() < until_ns)
                ask(c, events[i].data.u32);
            else
                waiting--;
        }
    }
}

/* Leaves out the clients' time on the processors: it is not the server's. */
static void run_round(void *self, uint64_t ns, double ret[METRICS])
{
    struct server *s = self;
    struct crowd *c = must_alloc(1, sizeof(*c));
    c->server = s;
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < s->count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, s->clients[i], &event) != 0)
            fail("epoll: %m");
    }
    uint64_t loads = atomic_load(&s->loads), cpu_ns = thread_cpu_ns();
    struct usage before = usage_now(link_world.server.pid);
    uint64_t began_ns = now_ns();
    ask_until(c, began_ns + ns);
    uint64_t took_ns = now_ns() - began_ns;
    struct usage used = usage_since(before, usage_now(link_world.server.pid));
    used.client_ns -= thread_cpu_ns() - cpu_ns;
    link_figures(&c->hist, 1, took_ns, used, ret);
    ret[METRIC_LOADS] = (double)(atomic_load(&s->loads) - loads) / (double)c->hist.count;
    close(c->epoll);
    free(c);
}

/* clang-format off */
const struct side side_serve_handing = {
    "hand-over", NULL, .open = open_handing, .round = run_round, .close = close_server};
const struct side side_serve_loops = {
    "nigh", NULL, .open = open_loops, .round = run_round, .close = close_server};
/* clang-format on */
