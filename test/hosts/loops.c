// SPDX-License-Identifier: MIT
/*
 * Hosts that are one event loop, in one thread, with nigh inside it: the worker processes of a
 * prefork server, each with an epoll of its own and one cache for all of them to share; and a loop
 * that belongs to somebody else (libevent). None of them keeps a timer for nigh, calls anything
 * that waits, or has a second thread: they wait for two descriptors, that of the ticks and that of
 * the queue.
 */
#include <dirent.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/origin.h"

#define WORKERS 3
#define KEYS 10
#define GENERATIONS 5
#define MEMORY_BYTES (WORKERS * (8 << 20))
#define FETCHES 2000 /* of the foreign loop */
#define FETCHED_KEYS 307
#define AT_ONCE 50

static struct nigh_options loop_options(const struct redis *server)
{
    struct nigh_options o = patient_options(server);
    o.threads = NIGH_THREADS_NONE;
    o.l1_memory = MEMORY_BYTES;
    o.lease_ms = WORLD_PATIENCE_MS; /* loads are counted: no lease ends by itself */
    o.space.load_deadline_ms = 2 * WORLD_PATIENCE_MS;
    return o;
}

static bool is_of_nigh(const char *task)
{
    char path[300], name[32] = "";
    snprintf(path, sizeof(path), "/proc/self/task/%s/comm", task);
    FILE *comm = fopen(path, "r");
    bool of_nigh = comm && fgets(name, sizeof(name), comm) && strncmp(name, "nigh", 4) == 0;
    if (comm)
        fclose(comm);
    return of_nigh;
}

/* A sanitizer has a thread of its own. */
static unsigned threads_of_nigh(void)
{
    unsigned count = 0;
    DIR *tasks = opendir("/proc/self/task");
    REQUIRE(tasks);
    for (struct dirent *task; (task = readdir(tasks));)
        count += is_of_nigh(task->d_name);
    closedir(tasks);
    return count;
}

/* ---- workers of a prefork server ---- */

/* A request, and its answer: whole packets. */
struct request {
    char key[32];
};

struct reply {
    int outcome, health;
    int64_t cap_bytes;
    char text[64];
};

struct worker {
    struct world w;
    struct nigh_queue *queue;
    int epoll;
    int requests; /* a socket to who asks, one question at a time */
    unsigned pending;
};

static void send_reply(struct worker *k, int outcome, struct nigh_value *value)
{
    struct reply r = {.outcome = outcome, .health = nigh_health(k->w.cache)};
    r.cap_bytes = world_count(&k->w, "memory_cap_bytes");
    snprintf(r.text, sizeof(r.text), "%.*s", (int)value->len, (const char *)value->data);
    nigh_release(value);
    CHECK_EQ(send(k->requests, &r, sizeof(r), MSG_NOSIGNAL), (ssize_t)sizeof(r));
}

/* Returns whether there will be more. */
static bool take_request(struct worker *k)
{
    struct request r;
    struct nigh_value value = NIGH_VALUE_INIT;
    if (recv(k->requests, &r, sizeof(r), 0) != (ssize_t)sizeof(r))
        return false;
    int rc = nigh_fetch_async(k->queue, k->w.space, r.key, strlen(r.key), NULL, k, &value, NULL);
    if (rc == NIGH_PENDING)
        k->pending++;
    else
        send_reply(k, rc, &value);
    return true;
}

static void take_completions(struct worker *k)
{
    struct nigh_completion done[8];
    int n = nigh_queue_poll(k->queue, done, 8, 0);
    for (int i = 0; i < n; i++, k->pending--)
        send_reply(k, done[i].outcome, &done[i].value);
}

static void watch(const struct worker *k, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    REQUIRE_EQ(epoll_ctl(k->epoll, EPOLL_CTL_ADD, fd, &event), 0);
}

static void serve(struct worker *k)
{
    int tick_fd = nigh_tick_fd(k->w.cache);
    for (bool more = true; more;) {
        struct epoll_event events[4];
        int n = epoll_wait(k->epoll, events, 4, -1);
        for (int i = 0; i < n && more; i++) {
            if (events[i].data.fd == tick_fd)
                CHECK_GE(nigh_tick(k->w.cache), 0);
            else if (events[i].data.fd == k->requests)
                more = take_request(k);
            else
                take_completions(k);
        }
    }
}

/* Runs in a child. Returns its exit status. */
static int worker_main(const struct redis *server, struct origin *origin, int requests)
{
    struct worker k = {.requests = requests, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    struct nigh_options o = loop_options(server);
    o.processes = WORKERS;
    world_open_with(&k.w, &o, NULL, origin);
    REQUIRE_EQ(nigh_queue_open(k.w.cache, &k.queue), 0);
    watch(&k, nigh_tick_fd(k.w.cache));
    watch(&k, nigh_queue_fd(k.queue));
    watch(&k, requests);
    serve(&k);
    CHECK_EQ(threads_of_nigh(), 0);
    nigh_queue_close(k.queue);
    world_close(&k.w);
    return check_failed_count() != 0;
}

/* ---- who asks them ---- */

struct site {
    pid_t workers[WORKERS];
    int sockets[WORKERS];
};

static void site_start(struct site *s, const struct redis *server, struct origin *origin)
{
    for (int i = 0; i < WORKERS; i++) {
        int ends[2];
        REQUIRE_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
        s->workers[i] = fork();
        REQUIRE(s->workers[i] >= 0);
        if (s->workers[i] == 0) {
            for (int j = 0; j < i; j++)
                close(s->sockets[j]);
            close(ends[0]);
            _exit(worker_main(server, origin, ends[1]));
        }
        close(ends[1]);
        s->sockets[i] = ends[0];
    }
}

static struct reply site_ask(const struct site *s, int worker, const char *key)
{
    struct request q;
    struct reply r = {.outcome = NIGH_EINVAL};
    memset(&q, 0, sizeof(q));
    snprintf(q.key, sizeof(q.key), "%s", key);
    REQUIRE_EQ(send(s->sockets[worker], &q, sizeof(q), MSG_NOSIGNAL), (ssize_t)sizeof(q));
    REQUIRE_EQ(recv(s->sockets[worker], &r, sizeof(r), 0), (ssize_t)sizeof(r));
    return r;
}

static void site_stop(const struct site *s)
{
    for (int i = 0; i < WORKERS; i++) {
        int status;
        close(s->sockets[i]);
        REQUIRE_EQ(waitpid(s->workers[i], &status, 0), s->workers[i]);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), 0);
    }
}

static void key_of(char *key, size_t size, int i)
{
    snprintf(key, size, "k%d", i);
}

static bool shows(const struct site *s, int worker, const char *key, unsigned generation)
{
    char row[64];
    snprintf(row, sizeof(row), "%s=%u", key, generation);
    return strcmp(site_ask(s, worker, key).text, row) == 0;
}

/* Every worker shows every row as it is now. */
static void check_rows(const struct site *s, unsigned generation)
{
    char key[16];
    for (int i = 0; i < KEYS; i++)
        for (int worker = 0; worker < WORKERS; worker++) {
            key_of(key, sizeof(key), i);
            CHECK_WITHIN(WORLD_PATIENCE_MS, shows(s, worker, key, generation));
        }
}

static void change_rows(struct world *w)
{
    char key[16];
    origin_commit(&w->origin);
    for (int i = 0; i < KEYS; i++) {
        key_of(key, sizeof(key), i);
        CHECK_EQ(nigh_invalidate(w->space, key, strlen(key), NULL), 0);
    }
}

/* Somebody else changes the rows. */
static void live(const struct site *s, struct world *writer, struct origin *origin)
{
    unsigned loads = origin->loads;
    for (unsigned generation = 1; generation <= GENERATIONS; generation++) {
        check_rows(s, generation);
        CHECK_EQ(origin->loads - loads, generation * KEYS); /* one for all workers */
        origin_commit(origin);
        change_rows(writer);
    }
}

TEST(prefork_workers_share_loads_and_caps)
{
    struct site site;
    struct redis server;
    struct world writer;
    int64_t caps = 0;
    struct origin *origin = mmap(NULL, sizeof(*origin), PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(origin != MAP_FAILED);
    origin_init(origin);
    redis_start(&server, NULL);
    site_start(&site, &server, origin);
    patient_open(&writer, &server, NULL, NULL);
    for (int i = 0; i < WORKERS; i++) {
        CHECK_WITHIN(WORLD_PATIENCE_MS, site_ask(&site, i, "warm").health == NIGH_FRESH);
        caps += site_ask(&site, i, "warm").cap_bytes;
    }
    CHECK_EQ(caps, MEMORY_BYTES);
    live(&site, &writer, origin);
    site_stop(&site);
    world_close(&writer);
    redis_stop(&server);
    munmap(origin, sizeof(*origin));
}

/* ---- a loop of somebody else's ---- */

struct guest {
    struct world w;
    struct nigh_queue *queue;
    struct event_base *base;
    unsigned begun, ended;
};

static void judge(struct guest *g, int outcome, struct nigh_value *value)
{
    CHECK(outcome == NIGH_FRESH || outcome == NIGH_STALE);
    CHECK_GT(value->len, 0);
    nigh_release(value);
    g->ended++;
}

/* Keeps so many under way, once the link is up: keys come again, and most are hits by then. */
static void begin_more(struct guest *g)
{
    while (g->begun < FETCHES && g->begun - g->ended < AT_ONCE) {
        struct nigh_value value = NIGH_VALUE_INIT;
        char key[16];
        key_of(key, sizeof(key), (int)(g->begun++ * 7 % FETCHED_KEYS));
        int rc = nigh_fetch_async(g->queue, g->w.space, key, strlen(key), NULL, g, &value, NULL);
        if (rc != NIGH_PENDING)
            judge(g, rc, &value);
    }
    if (g->ended == FETCHES)
        event_base_loopbreak(g->base);
}

static void tick(evutil_socket_t fd, short events, void *arg)
{
    struct guest *g = arg;
    (void)fd, (void)events;
    CHECK_GE(nigh_tick(g->w.cache), 0);
    if (g->begun == 0 && nigh_health(g->w.cache) == NIGH_FRESH)
        begin_more(g);
}

static void complete(evutil_socket_t fd, short events, void *arg)
{
    struct guest *g = arg;
    struct nigh_completion done[16];
    (void)fd, (void)events;
    int n = nigh_queue_poll(g->queue, done, 16, 0);
    for (int i = 0; i < n; i++)
        judge(g, done[i].outcome, &done[i].value);
    begin_more(g);
}

static void give_up(evutil_socket_t fd, short events, void *arg)
{
    struct guest *g = arg;
    (void)fd, (void)events;
    event_base_loopbreak(g->base);
}

static void live_in_a_loop(struct guest *g)
{
    const struct timeval patience = {3 * WORLD_PATIENCE_MS / 1000, 0};
    g->base = event_base_new();
    struct event *ticks =
        event_new(g->base, nigh_tick_fd(g->w.cache), EV_READ | EV_PERSIST, tick, g);
    struct event *completions =
        event_new(g->base, nigh_queue_fd(g->queue), EV_READ | EV_PERSIST, complete, g);
    REQUIRE(ticks && completions);
    REQUIRE_EQ(event_add(ticks, NULL), 0);
    REQUIRE_EQ(event_add(completions, NULL), 0);
    event_base_once(g->base, -1, EV_TIMEOUT, give_up, g, &patience);
    event_base_dispatch(g->base);
    event_free(ticks);
    event_free(completions);
    event_base_free(g->base);
}

TEST(a_foreign_loop_drives_everything)
{
    struct guest g = {.begun = 0};
    struct redis server;
    redis_start(&server, NULL);
    struct nigh_options o = loop_options(&server);
    origin_init(&g.w.origin);
    world_open_with(&g.w, &o, NULL, &g.w.origin);
    REQUIRE_EQ(nigh_queue_open(g.w.cache, &g.queue), 0);
    live_in_a_loop(&g);
    CHECK_EQ(g.ended, FETCHES);
    CHECK_EQ(g.w.origin.loads, FETCHED_KEYS);
    CHECK_EQ(threads_of_nigh(), 0);
    nigh_queue_close(g.queue);
    world_close(&g.w);
    redis_stop(&server);
}
