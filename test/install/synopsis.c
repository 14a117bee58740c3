// SPDX-License-Identifier: MIT
/*
 * The examples in the public headers, with what stands around them in a program. See synopsis.sh.
 */
#include <nigh/nigh.h>

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: not so: %s\n", __LINE__, #condition);                        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static unsigned loads, uses, releases, complaints;

static void complain(void *arg, enum nigh_log_level level, const char *message)
{
    (void)arg;
    if (level <= NIGH_LOG_WARN)
        complaints++;
    fprintf(stderr, "%s\n", message);
}

static int load_user(void *arg, struct nigh_fill *const fills[], size_t n)
{
    (void)n;
    loads++;
    return nigh_fill_value(fills[0], arg, strlen(arg));
}

static void use(const void *data, size_t len)
{
    if (data && len == 3 && memcmp(data, "Ada", 3) == 0)
        uses++;
}

/* Whatever a read hands out is released: stale values are what programs forget. */
static int fetch_stale(struct nigh_space *space, const void *key, size_t key_len,
                       const struct nigh_call *call, struct nigh_value *ret_value)
{
    int rc = nigh_fetch(space, key, key_len, call, ret_value);
    CHECK(rc == NIGH_FRESH);
    return NIGH_STALE;
}

static void count_release(struct nigh_value *value)
{
    CHECK(value->data);
    nigh_release(value);
    releases++;
}

#define nigh_fetch fetch_stale
#define nigh_release count_release
static void begin(struct nigh_options options, char *db, const char *key, size_t key_len)
{
#include "nigh_1.inc"
}
#undef nigh_fetch
#undef nigh_release

/* The loop has no end of its own. */
static jmp_buf enough;
static int polls;

static int poll_thrice(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    CHECK(fds->fd >= 0 && timeout_ms == -1);
    if (++polls == 3)
        longjmp(enough, 1);
    return poll(fds, n, -1);
}

#define poll poll_thrice
static void tick(struct nigh *cache)
{
#include "cache_1.inc"
}
#undef poll

static unsigned replies;

static void reply(void *request, int outcome, struct nigh_value *value)
{
    CHECK(request == &replies && outcome == NIGH_FRESH);
    use(value->data, value->len);
    nigh_release(value);
    replies++;
}

static void ask(struct nigh_queue *queue, struct nigh_space *users, const char *key, size_t key_len,
                void *request)
{
    struct nigh_value value;
#include "queue_1.inc"
}

static void answer(struct nigh_queue *queue)
{
#include "queue_2.inc"
}

static void serve(struct nigh *cache, char *db)
{
    struct nigh_queue *queue;
    struct nigh_space *users;
    CHECK(nigh_queue_open(cache, &queue) == 0);
    CHECK(nigh_space_open(cache, "users", NULL, load_user, NULL, db, &users) == 0);
    struct pollfd fd = {.fd = nigh_queue_fd(queue), .events = POLLIN};
    ask(queue, users, "user:2", 6, &replies);
    CHECK(replies == 0 && poll(&fd, 1, -1) == 1);
    answer(queue);
    CHECK(replies == 1 && poll(&fd, 1, 0) == 0);
    ask(queue, users, "user:2", 6, &replies);
    CHECK(replies == 2 && uses == 3);
    nigh_queue_close(queue);
}

/* A client of the origin that answers on a thread of its own, some time later. */
struct query {
    pthread_t thread;
    char row[16];
    struct nigh_fill *fill;
};

static void queried(void *fill, const char *row, size_t len);

static void *run_query(void *arg)
{
    struct query *q = arg;
    poll(NULL, 0, 10);
    queried(q->fill, q->row[0] ? q->row : NULL, strlen(q->row));
    return NULL;
}

static struct query queries[2];

static int query(void *db, const char *key, size_t len, uint32_t timeout_ms, struct nigh_fill *fill)
{
    CHECK(timeout_ms > 0 && len == 6 && loads < 2);
    struct query *q = &queries[loads++];
    q->fill = fill;
    if (memcmp(key, "user:1", len) == 0)
        strcpy(q->row, db);
    return pthread_create(&q->thread, NULL, run_query, q);
}

#include "load_1.inc"
#include "load_2.inc"

static void defer(struct nigh *cache, char *db)
{
    struct nigh_space *users;
    struct nigh_value value;
    loads = uses = 0;
    CHECK(nigh_space_open(cache, "users", NULL, load, NULL, db, &users) == 0);
    CHECK(nigh_fetch(users, "user:1", 6, NULL, &value) == NIGH_FRESH);
    use(value.data, value.len);
    nigh_release(&value);
    CHECK(nigh_fetch(users, "user:2", 6, NULL, &value) == NIGH_ELOADER);
    CHECK(loads == 2 && uses == 1);
    for (int i = 0; i < 2; i++)
        pthread_join(queries[i].thread, NULL);
}

int main(void)
{
    struct nigh_options options = NIGH_OPTIONS_INIT;
    struct nigh *cache;
    char db[] = "Ada";
    options.log = complain;
    begin(options, db, "user:1", 6);
    CHECK(loads == 1 && uses == 1 && releases == 1);

    CHECK(nigh_open(&options, &cache) == 0);
    serve(cache, db);
    nigh_close(cache);

    CHECK(nigh_open(&options, &cache) == 0);
    defer(cache, db);
    nigh_close(cache);

    options.threads = NIGH_THREADS_NONE;
    CHECK(nigh_open(&options, &cache) == 0);
    if (setjmp(enough) == 0)
        tick(cache);
    CHECK(polls == 3);
    nigh_close(cache);
    CHECK(complaints == 0);
}
