// SPDX-License-Identifier: MIT
/*
 * A web server of event loops (libevent) that serves pages through nigh: what pool_server.c does,
 * with one thread per loop that never waits for Redis or for the database.
 *
 *     loop_server DATABASE PORT [LOOPS]       port 0: any; the first line printed has its URL
 *
 * Paths and options are those of pool_server.c.
 *
 * A hit is answered at once, inside the callback of its request. A miss is pending: the request
 * waits in a struct of some bytes, the loop goes on, a worker of nigh loads the page, once for all
 * who wait for it in all loops, and the loop hears of it through the descriptor of its queue.
 * Commits to SQLite wait for the disk, so a thread of their own makes them, one after the other, as
 * SQLite would anyway.
 *
 * To end, each loop stops taking connections and goes on until nothing is pending.
 */
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/thread.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answer.h"
#include "pages.h"

#define SUMMARY_MAX 1000
#define BODY_MAX 65536
#define PATH "/package/"
#define POLL_MAX 64
#define LOOPS_MAX 64

struct server;

struct loop {
    struct server *server;
    struct event_base *base;
    struct evhttp *http;
    struct evhttp_bound_socket *bound;
    struct nigh_queue *queue;
    struct event *completed; /* the queue's descriptor is readable */
    pthread_t thread;
    unsigned waiting; /* requests that were not answered yet */
    int ending;
};

/* An update on its way to the thread that commits, and its answer on its way back. */
struct update {
    struct update *next;
    struct loop *loop;
    struct evhttp_request *request;
    struct answer answer;
    char name[NIGH_KEY_MAX + 1];
    size_t summary_len;
    char summary[SUMMARY_MAX];
};

struct server {
    const char *database;
    struct nigh *cache;
    struct nigh_space *pages;
    struct loop loops[LOOPS_MAX];
    unsigned loop_count;
    pthread_t committer;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    struct update *first, **last;
    int ending;
};

/* A page that is pending. */
struct wait {
    struct loop *loop;
    struct evhttp_request *request;
};

/* ---- answers ---- */

static void release_value(const void *data, size_t len, void *arg)
{
    struct nigh_value *value = arg;
    (void)data, (void)len;
    nigh_release(value);
    free(value);
}

static void send_answer(struct evhttp_request *request, const struct answer *a,
                        struct evbuffer *body)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    for (int i = 0; i < a->header_count; i++)
        evhttp_add_header(headers, a->headers[i].name, a->headers[i].value);
    evhttp_send_reply(request, a->status, NULL, body);
}

static void send_status(struct evhttp_request *request, int status)
{
    struct answer a;
    answer_status(status, &a);
    send_answer(request, &a, NULL);
}

/* Takes the value over: it is released when the last byte of the page was sent. */
static void send_page(struct loop *loop, struct evhttp_request *request, int outcome,
                      struct nigh_value *value)
{
    struct answer a;
    struct evbuffer *body = evbuffer_new();
    struct nigh_value *kept = malloc(sizeof(*kept));
    answer_read(loop->server->cache, outcome, value,
                evhttp_find_header(evhttp_request_get_input_headers(request), "If-None-Match"), &a);
    int sent = 0;
    if (body && kept && a.body_len > 0) {
        *kept = *value; /* moved, so that it outlives this call */
        sent = evbuffer_add_reference(body, a.body, a.body_len, release_value, kept) == 0;
    }
    send_answer(request, &a, body);
    if (body)
        evbuffer_free(body); /* what was in it is on its way, or gone */
    if (!sent) {
        nigh_release(value);
        free(kept);
    }
}

/* ---- reading ---- */

static void read_page(struct loop *loop, struct evhttp_request *request, const char *name)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    struct wait *wait = malloc(sizeof(*wait));
    if (!wait) {
        send_status(request, 503);
        return;
    }
    *wait = (struct wait){loop, request};
    int outcome = nigh_fetch_async(loop->queue, loop->server->pages, name, strlen(name), NULL, wait,
                                   &value, NULL);
    if (outcome == NIGH_PENDING) {
        loop->waiting++;
        return;
    }
    free(wait);
    send_page(loop, request, outcome, &value);
}

static void end_if_idle(struct loop *loop)
{
    if (loop->ending && loop->waiting == 0)
        event_base_loopbreak(loop->base);
}

/* Runs while the queue has completions: level-triggered, so some may be left for the next time. */
static void take_completions(evutil_socket_t fd, short events, void *arg)
{
    struct loop *loop = arg;
    struct nigh_completion done[POLL_MAX];
    (void)fd, (void)events;
    int n = nigh_queue_poll(loop->queue, done, POLL_MAX, 0);
    for (int i = 0; i < n; i++) {
        struct wait *wait = done[i].arg;
        loop->waiting--;
        /* A client that has gone meanwhile: libevent has kept the request, and frees it now. */
        send_page(loop, wait->request, done[i].outcome, &done[i].value);
        free(wait);
    }
    end_if_idle(loop);
}

/* ---- updating ---- */

static void send_update(evutil_socket_t fd, short events, void *arg)
{
    struct update *u = arg;
    (void)fd, (void)events;
    u->loop->waiting--;
    send_answer(u->request, &u->answer, NULL);
    end_if_idle(u->loop);
    free(u);
}

static struct update *next_update(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    while (!s->first && !s->ending)
        pthread_cond_wait(&s->wake, &s->lock);
    struct update *u = s->first;
    if (u && !(s->first = u->next))
        s->last = &s->first;
    pthread_mutex_unlock(&s->lock);
    return u;
}

static void *commit_updates(void *arg)
{
    struct server *s = arg;
    struct update *u;
    while ((u = next_update(s))) {
        answer_update(s->cache, s->database, u->name, strlen(u->name), u->summary, u->summary_len,
                      &u->answer);
        event_base_once(u->loop->base, -1, EV_TIMEOUT, send_update, u, NULL);
    }
    return NULL;
}

static void update_page(struct loop *loop, struct evhttp_request *request, const char *name)
{
    struct server *s = loop->server;
    struct evbuffer *body = evhttp_request_get_input_buffer(request);
    size_t len = evbuffer_get_length(body);
    if (len > SUMMARY_MAX || strlen(name) > NIGH_KEY_MAX) {
        send_status(request, len > SUMMARY_MAX ? 413 : 400);
        return;
    }
    struct update *u = calloc(1, sizeof(*u));
    if (!u) {
        send_status(request, 503);
        return;
    }
    u->loop = loop;
    u->request = request;
    u->summary_len = len;
    strcpy(u->name, name);
    evbuffer_copyout(body, u->summary, len);
    loop->waiting++;
    pthread_mutex_lock(&s->lock);
    *s->last = u;
    s->last = &u->next;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

/* ---- requests ---- */

static void send_stats(struct loop *loop, struct evhttp_request *request)
{
    struct answer a;
    char *text;
    struct evbuffer *body = evbuffer_new();
    answer_stats(loop->server->cache, &a, &text);
    if (body)
        evbuffer_add(body, a.body, a.body_len);
    send_answer(request, &a, body);
    if (body)
        evbuffer_free(body);
    free(text);
}

static void serve(struct evhttp_request *request, void *arg)
{
    struct loop *loop = arg;
    enum evhttp_cmd_type command = evhttp_request_get_command(request);
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    int get = command == EVHTTP_REQ_GET || command == EVHTTP_REQ_HEAD;
    char *decoded = path ? evhttp_uridecode(path, 0, NULL) : NULL;
    const char *name =
        decoded && strncmp(decoded, PATH, strlen(PATH)) == 0 ? decoded + strlen(PATH) : NULL;
    if (name && get)
        read_page(loop, request, name);
    else if (name && command == EVHTTP_REQ_POST)
        update_page(loop, request, name);
    else if (decoded && strcmp(decoded, "/stats") == 0 && get)
        send_stats(loop, request);
    else
        send_status(request, get ? 404 : 405);
    free(decoded);
}

/* ---- loops ---- */

static void end_loop(evutil_socket_t fd, short events, void *arg)
{
    struct loop *loop = arg;
    (void)fd, (void)events;
    evhttp_del_accept_socket(loop->http, loop->bound);
    loop->ending = 1;
    end_if_idle(loop);
}

static void *run_loop(void *arg)
{
    struct loop *loop = arg;
    event_base_dispatch(loop->base);
    return NULL;
}

/* Each loop accepts on the same socket, through a descriptor of its own that it may close. */
static int open_loop(struct server *s, struct loop *loop, int listener)
{
    int fd = fcntl(listener, F_DUPFD_CLOEXEC, 0);
    loop->server = s;
    loop->base = event_base_new();
    loop->http = loop->base ? evhttp_new(loop->base) : NULL;
    loop->bound = loop->http && fd >= 0 ? evhttp_accept_socket_with_handle(loop->http, fd) : NULL;
    if (!loop->bound || nigh_queue_open(s->cache, &loop->queue) != 0)
        return -1;
    loop->completed = event_new(loop->base, nigh_queue_fd(loop->queue), EV_READ | EV_PERSIST,
                                take_completions, loop);
    evhttp_set_gencb(loop->http, serve, loop);
    evhttp_set_default_content_type(loop->http, NULL);
    evhttp_set_max_body_size(loop->http, BODY_MAX);
    if (!loop->completed || event_add(loop->completed, NULL) != 0)
        return -1;
    return pthread_create(&loop->thread, NULL, run_loop, loop) == 0 ? 0 : -1;
}

/* After its thread has ended. Connections are closed, and with them what they had of values. */
static void close_loop(struct loop *loop)
{
    evhttp_free(loop->http);
    event_free(loop->completed);
    nigh_queue_close(loop->queue);
    event_base_loop(loop->base, EVLOOP_NONBLOCK); /* what libevent frees later */
    event_base_free(loop->base);
}

/* ---- the whole ---- */

static int open_listener(int port, unsigned *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((in_port_t)port)};
    socklen_t len = sizeof(at);
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, 1024) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        return -1;
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static void end_committer(struct server *s)
{
    pthread_mutex_lock(&s->lock);
    s->ending = 1;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->committer, NULL);
}

/* Serve until SIGINT or SIGTERM, which are blocked in all threads. */
static int run(struct server *s, int port, unsigned loops, const sigset_t *end)
{
    int signal_number;
    unsigned bound_port;
    int listener = open_listener(port, &bound_port);
    if (listener < 0 || pthread_create(&s->committer, NULL, commit_updates, s) != 0) {
        perror("loop_server: cannot listen");
        return 1;
    }
    for (; s->loop_count < loops; s->loop_count++)
        if (open_loop(s, &s->loops[s->loop_count], listener) != 0) {
            fprintf(stderr, "loop_server: cannot start a loop\n");
            exit(1); /* others run already */
        }
    close(listener);
    printf("http://127.0.0.1:%u/\n", bound_port);
    fflush(stdout);
    sigwait(end, &signal_number);
    for (unsigned i = 0; i < loops; i++)
        event_base_once(s->loops[i].base, -1, EV_TIMEOUT, end_loop, &s->loops[i], NULL);
    for (unsigned i = 0; i < loops; i++)
        pthread_join(s->loops[i].thread, NULL);
    end_committer(s);
    for (unsigned i = 0; i < loops; i++)
        close_loop(&s->loops[i]);
    return 0;
}

int main(int argc, char **argv)
{
    static struct server s = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
    struct nigh_space_options options = NIGH_SPACE_OPTIONS_INIT;
    sigset_t end;
    long loops = argc > 3 ? atol(argv[3]) : sysconf(_SC_NPROCESSORS_ONLN);
    if (argc < 3 || argc > 4 || loops < 1 || loops > LOOPS_MAX) {
        fprintf(stderr, "usage: %s DATABASE PORT [LOOPS]\n", argv[0]);
        return 2;
    }
    s.database = argv[1];
    s.last = &s.first;
    sigemptyset(&end);
    sigaddset(&end, SIGINT);
    sigaddset(&end, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &end, NULL); /* threads inherit it */
    signal(SIGPIPE, SIG_IGN);
    options.schema = "1"; /* of the values: a new layout gets the next one */
    if (evthread_use_pthreads() != 0 || pages_create(s.database) != 0)
        return 1;
    int status = 1;
    int rc = nigh_open(NULL, &s.cache);
    if (rc == 0)
        rc = nigh_space_open(s.cache, "pages", &options, pages_load, NULL, argv[1], &s.pages);
    if (rc == 0)
        status = run(&s, atoi(argv[2]), (unsigned)loops, &end);
    else
        fprintf(stderr, "loop_server: %s: %s\n", nigh_strerror(rc), nigh_options_error());
    nigh_close(s.cache);
    return status;
}
