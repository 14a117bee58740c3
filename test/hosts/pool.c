// SPDX-License-Identifier: MIT
/*
 * A host in C with a thread pool: one thread takes connections on a unix socket and hands them to
 * workers, which serve lines "r KEY" (the row as it is) and "w KEY" (commit, then tell) from the
 * cache; clients check each answer. In the middle Redis is killed, and starts again empty.
 *
 * What is promised to a client: its own commits are seen at once, whatever happens, for every
 * client writes its own keys; an answer comes in the load deadline; and in the end, when Redis is
 * back, another node sees every row as it is.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/origin.h"

#define WORKERS 4
#define CLIENTS 6
#define KEYS 5
#define ROUNDS 150

/* The database: a number per key. */
static _Atomic unsigned rows[CLIENTS * KEYS];

static _Atomic unsigned *row_of(const char *key)
{
    return &rows[strtoul(key + 1, NULL, 10) % (CLIENTS * KEYS)];
}

static int load_row(void *arg, struct nigh_fill *const fills[], size_t n)
{
    char text[16], key[32];
    size_t len;
    const void *bytes = nigh_fill_key(fills[0], &len);
    (void)arg, (void)n;
    snprintf(key, sizeof(key), "%.*s", (int)len, (const char *)bytes);
    int text_len = snprintf(text, sizeof(text), "%u", atomic_load(row_of(key)));
    return nigh_fill_value(fills[0], text, (size_t)text_len);
}

/* ---- the server ---- */

/* Keys: (c) constant while it runs  (a) atomic */
struct server {
    struct nigh *cache;        /* (c) */
    struct nigh_space *space;  /* (c) */
    int listener;              /* (c) */
    int queue[2];              /* (c) accepted connections on their way to a worker */
    _Atomic bool stopping;     /* (a) */
    _Atomic unsigned told;     /* (a) NIGH_OK */
    _Atomic unsigned queued;   /* (a) NIGH_QUEUED */
};

static void answer_line(struct server *s, const char *line, char *reply, size_t size)
{
    const char *key = line + 2;
    if (line[0] == 'w') {
        atomic_fetch_add(row_of(key), 1);
        int rc = nigh_invalidate(s->space, key, strlen(key), NULL);
        CHECK(rc == 0 || rc == NIGH_QUEUED);
        atomic_fetch_add(rc == 0 ? &s->told : &s->queued, 1);
    }
    struct answer a = ask_fetch(s->space, key, NULL);
    CHECK(a.outcome == NIGH_FRESH || a.outcome == NIGH_STALE);
    snprintf(reply, size, "%s\n", a.text);
}

static void serve_one(struct server *s, int fd)
{
    char line[64], reply[130];
    FILE *in = fdopen(fd, "r");
    while (REQUIRE(in) && fgets(line, sizeof(line), in)) {
        line[strcspn(line, "\n")] = 0;
        answer_line(s, line, reply, sizeof(reply));
        if (!CHECK(write(fd, reply, strlen(reply)) > 0))
            break;
    }
    fclose(in);
}

static void *work(void *arg)
{
    struct server *s = arg;
    int fd;
    while (read(s->queue[0], &fd, sizeof(fd)) == (ssize_t)sizeof(fd))
        serve_one(s, fd);
    return NULL;
}

static void *take_connections(void *arg)
{
    struct server *s = arg;
    for (;;) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 || s->stopping)
            return NULL;
        REQUIRE_EQ(write(s->queue[1], &fd, sizeof(fd)), (ssize_t)sizeof(fd));
    }
}

/* ---- the clients ---- */

/* Keys: (c) all */
struct client {
    const struct sockaddr_un *address;
    unsigned number;
    _Atomic unsigned *rounds; /* of all clients */
    _Atomic bool *killed;     /* Redis: half of the rounds wait for that */
};

static unsigned ask(FILE *in, int fd, const char *verb, unsigned key)
{
    char line[64];
    int len = snprintf(line, sizeof(line), "%s k%u\n", verb, key);
    REQUIRE_EQ(write(fd, line, (size_t)len), len);
    REQUIRE(fgets(line, sizeof(line), in));
    return (unsigned)strtoul(line, NULL, 10);
}

/* A few requests on each connection, so that every worker comes to serve every key. */
static void visit(const struct client *c, uint64_t *random)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE_EQ(connect(fd, (const struct sockaddr *)(const void *)c->address, sizeof(*c->address)),
               0);
    FILE *in = fdopen(fd, "r");
    for (int i = 0; i < 5; i++) {
        unsigned key = c->number * KEYS + (unsigned)(check_random(random) % KEYS);
        unsigned before = atomic_load(&rows[key]);
        if (check_random(random) % 3 == 0)
            CHECK_EQ(ask(in, fd, "w", key), before + 1);
        else
            CHECK_EQ(ask(in, fd, "r", key), before);
    }
    fclose(in);
}

static void *live(void *arg)
{
    struct client *c = arg;
    uint64_t random = check_seed() + c->number;
    for (int i = 0; i < ROUNDS; i++) {
        while (i == ROUNDS / 2 && !atomic_load(c->killed))
            check_pause();
        visit(c, &random);
        atomic_fetch_add(c->rounds, 1);
        check_pause();
    }
    return NULL;
}

/* ---- the whole ---- */

static void start(struct server *s, struct sockaddr_un *address, const struct redis *redis)
{
    struct nigh_options o = node_options(redis);
    o.log_to = NIGH_LOG_TO_NONE;
    REQUIRE_EQ(nigh_open(&o, &s->cache), 0);
    REQUIRE_EQ(nigh_space_open(s->cache, "rows", NULL, load_row, NULL, NULL, &s->space), 0);
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path, sizeof(address->sun_path), "%s/host.sock", redis->dir);
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE_EQ(bind(s->listener, (struct sockaddr *)(void *)address, sizeof(*address)), 0);
    REQUIRE_EQ(listen(s->listener, 64), 0);
    REQUIRE_EQ(pipe2(s->queue, O_CLOEXEC), 0);
}

/* As another node sees it, in the end. */
static void check_elsewhere(const struct redis *redis)
{
    struct nigh_options o = patient_options(redis);
    struct nigh *cache;
    struct nigh_space *space;
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    REQUIRE_EQ(nigh_space_open(cache, "rows", NULL, load_row, NULL, NULL, &space), 0);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(cache) == NIGH_FRESH));
    for (unsigned i = 0; i < CLIENTS * KEYS; i++) {
        char key[16], row[16];
        snprintf(key, sizeof(key), "k%u", i);
        snprintf(row, sizeof(row), "%u", atomic_load(&rows[i]));
        CHECK_ANSWER(ask_fetch(space, key, NULL), NIGH_FRESH, row);
    }
    nigh_close(cache);
}

TEST(a_thread_pool_serves_while_redis_dies_and_comes_back)
{
    struct server s = {.told = 0};
    struct sockaddr_un address = {0};
    struct redis redis;
    pthread_t acceptor, workers[WORKERS], threads[CLIENTS];
    struct client clients[CLIENTS];
    _Atomic unsigned rounds = 0;
    _Atomic bool killed = false;
    redis_start(&redis, NULL);
    start(&s, &address, &redis);
    REQUIRE_EQ(pthread_create(&acceptor, NULL, take_connections, &s), 0);
    for (int i = 0; i < WORKERS; i++)
        REQUIRE_EQ(pthread_create(&workers[i], NULL, work, &s), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(s.cache) == NIGH_FRESH);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){&address, i, &rounds, &killed};
        REQUIRE_EQ(pthread_create(&threads[i], NULL, live, &clients[i]), 0);
    }
    CHECK_WITHIN(3 * WORLD_PATIENCE_MS, rounds > CLIENTS * ROUNDS / 3);
    redis_kill(&redis);
    killed = true;
    CHECK_WITHIN(WORLD_PATIENCE_MS, s.queued > 0);
    CHECK_WITHIN(3 * WORLD_PATIENCE_MS, rounds > CLIENTS * ROUNDS * 2 / 3);
    redis_restart(&redis, REDIS_EMPTY);
    for (int i = 0; i < CLIENTS; i++)
        REQUIRE_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(s.cache) == NIGH_FRESH);
    CHECK_EQ(nigh_drain(s.cache, WORLD_PATIENCE_MS), 0);
    CHECK_GT(s.told, 0);
    check_elsewhere(&redis);
    s.stopping = true;
    shutdown(s.listener, SHUT_RDWR);
    REQUIRE_EQ(pthread_join(acceptor, NULL), 0);
    close(s.queue[1]);
    for (int i = 0; i < WORKERS; i++)
        REQUIRE_EQ(pthread_join(workers[i], NULL), 0);
    close(s.queue[0]);
    close(s.listener);
    nigh_close(s.cache);
    redis_stop(&redis);
}
