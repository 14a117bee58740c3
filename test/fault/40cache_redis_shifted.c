// SPDX-License-Identifier: MIT
// Replies that belong to another request, values that belong to another key, keys of another type:
// somebody writes into our socket or into our keys. Nothing of it is ever handed out for the key.

#include <dirent.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/peer.h"
#include "support/relay.h"

#define KEYS 8
#define READERS 4

/* ---- extra replies ---- */

/* The sockets of this process that lead to that path get `text` as if we had sent it. */
static void intrude(const char *path, const char *text)
{
    DIR *fds = opendir("/proc/self/fd");
    struct dirent *d;
    REQUIRE(fds);
    while ((d = readdir(fds))) {
        struct sockaddr_un peer = {.sun_family = 0};
        socklen_t size = sizeof(peer);
        int fd = atoi(d->d_name);
        if (d->d_name[0] != '.' && getpeername(fd, (struct sockaddr *)&peer, &size) == 0 &&
            peer.sun_family == AF_UNIX && strcmp(peer.sun_path, path) == 0) {
            /* By the kernel's own name: what strangers do is unseen by ThreadSanitizer, too. */
            long sent = syscall(SYS_sendto, fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
                                NULL, 0);
            (void)sent; /* a connection that is being given up */
        }
    }
    closedir(fds);
}

static int put_text(struct world *w, const char *key, const char *text, uint64_t version)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.version = version;
    return nigh_put(w->space, key, strlen(key), text, strlen(text), &call);
}

struct reader {
    pthread_t thread;
    struct world *w;
    _Atomic bool *stop;
    unsigned reads, found, mixed;
};

/* Each value is its key: what begins with another one is another one's. */
static void *read_on(void *arg)
{
    struct reader *r = arg;
    while (!atomic_load(r->stop)) {
        for (int i = 0; i < KEYS; i++) {
            char key[8];
            struct nigh_call call = NIGH_CALL_INIT;
            snprintf(key, sizeof(key), "key%d", i);
            call.flags = NIGH_REFRESH | NIGH_NO_STORE;
            struct answer got = ask_get(r->w->space, key, &call);
            bool has = got.outcome == NIGH_FRESH || got.outcome == NIGH_STALE;
            r->reads++;
            r->found += has;
            r->mixed += has && strcmp(got.text, key) != 0;
        }
    }
    return NULL;
}

/* EVAL of a script that answers like one of nigh's to another call, with this verdict and value. */
#define ANSWER_OF_ANOTHER(verdict, more)                                                           \
    "return {'12345678', string.match(redis.call('INFO', 'replication'), "                         \
    "'master_replid:(%x+)'), redis.call('GETRANGE', 'nigh:!2:!clk', 0, 63), "                      \
    "redis.call('TIME')[1] * 1000, " verdict ", " more ", 0}"

struct extra {
    char text[512];
};

static struct extra extra_script(const char *script)
{
    struct extra e;
    int len = snprintf(e.text, sizeof(e.text), "*3\r\n$4\r\nEVAL\r\n$%zu\r\n%s\r\n$1\r\n0\r\n",
                       strlen(script), script);
    REQUIRE(len > 0 && (size_t)len < sizeof(e.text));
    return e;
}

/* Intrudes until the connection is given up: it may have been on its way to be just then. */
static void intrude_and_see(const struct redis *server, const struct world *w, const char *text)
{
    int64_t lost = world_count(w, "l2_lost");
    uint64_t end_ms = check_now_ms() + WORLD_PATIENCE_MS, next_ms = 0;
    while (world_count(w, "l2_lost") == lost && check_now_ms() < end_ms) {
        if (check_now_ms() >= next_ms && world_count(w, "connected") == 1) {
            intrude(server->socket, text);
            next_ms = check_now_ms() + 500;
        }
        check_pause();
    }
    if (!CHECK_GT(world_count(w, "l2_lost"), lost))
        check_note("after: %s", text);
}

TEST(no_reply_to_another_request_is_a_value)
{
    const struct extra value =
        extra_script(ANSWER_OF_ANOTHER("1", "redis.call('GET', 'nigh:!2:s:1:key3')"));
    const char *const extra[] = {
        "GET nigh:!2:s:1:key3\r\n", "GET nothing\r\n", "PING\r\n", "GET nigh:!2:s:1:key5\r\n",
        value.text,                 "SET other 1\r\n", "ECHO 1\r\nGET nigh:!2:s:1:key3\r\n",
        "LRANGE nothing 0 1\r\n",   "no command\r\n",
    };
    struct redis server;
    struct world w;
    struct reader readers[READERS];
    _Atomic bool stop = false;
    redis_start(&server, NULL);
    peer_open(&w, &(struct peer){.uri = server.uri}, NULL);
    for (int i = 0; i < KEYS; i++) {
        char key[8];
        snprintf(key, sizeof(key), "key%d", i);
        CHECK_EQ(put_text(&w, key, key, 0), 0);
    }
    for (int i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.w = &w, .stop = &stop};
        REQUIRE_EQ(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
    }
    for (int round = 0; round < 4; round++)
        for (size_t i = 0; i < sizeof(extra) / sizeof(*extra); i++)
            intrude_and_see(&server, &w, extra[i]);
    stop = true;
    for (int i = 0; i < READERS; i++) {
        REQUIRE_EQ(pthread_join(readers[i].thread, NULL), 0);
        CHECK_GT(readers[i].found, 0);
        CHECK_EQ(readers[i].mixed, 0);
    }
    world_close(&w);
    redis_stop(&server);
}

struct putter {
    pthread_t thread;
    struct world *w;
    const char *key;
    int rc;
};

static void *put_eight(void *arg)
{
    struct putter *p = arg;
    p->rc = put_text(p->w, p->key, "eight", 8);
    return NULL;
}

/*
 * A script's answer to another call says that a value was stored. The put of an older version that
 * takes it for its own would say so, too, and keep the older value in L1.
 */
TEST(the_answer_of_another_call_is_not_believed)
{
    const struct extra stored = extra_script(ANSWER_OF_ANOTHER("4", "false"));
    struct redis server;
    struct relay wire;
    struct world a, b;
    redis_start(&server, NULL);
    relay_open(&wire, &server);
    peer_open(&a, &(struct peer){.uri = wire.uri, .beat_ms = PEER_QUIET_MS}, NULL);
    peer_open(&b, &(struct peer){.uri = server.uri}, NULL);
    for (int round = 0; round < 10; round++) {
        char key[8];
        struct putter p = {.w = &a, .key = key};
        snprintf(key, sizeof(key), "k%d", round);
        CHECK_EQ(put_text(&b, key, "nine", 9), 0);
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&a, "connected") == 1 && peer_is_ready(&a));
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&a, "in_flight") == 0);
        /* Held, so that its answer is not there before there is a request. */
        relay_stop(&wire);
        intrude(wire.socket, stored.text);
        REQUIRE_EQ(pthread_create(&p.thread, NULL, put_eight, &p), 0);
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&a, "in_flight") == 1);
        relay_go(&wire);
        REQUIRE_EQ(pthread_join(p.thread, NULL), 0);
        CHECK(p.rc == NIGH_REFUSED || p.rc == NIGH_QUEUED);
        CHECK_NE(strcmp(ask_get(a.space, key, NULL).text, "eight"), 0);
        CHECK_EQ(nigh_drain(a.cache, WORLD_PATIENCE_MS), 0);
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&a, "l2_lost") >= round + 1);
    }
    world_close(&a);
    relay_close(&wire);
    world_close(&b);
    redis_stop(&server);
}

/* ---- values of another key ---- */

static void run(const struct redis *server, const char *command)
{
    char *reply = redis_command(server, command);
    if (!CHECK(reply && strncmp(reply, "(error)", 7) != 0))
        check_note("%s: %s", command, reply ? reply : "no answer");
    free(reply);
}

TEST(a_value_that_was_copied_to_another_key_is_not_that_keys)
{
    /* As names in Redis: of another key, of another schema, of another space. */
    static const char *const ways[] = {
        "COPY nigh:!2:s:1:from nigh:!2:s:1:to REPLACE",
        "RENAME nigh:!2:s:1:from nigh:!2:s:1:to",
        "COPY nigh:!2:s:old:to nigh:!2:s:1:to REPLACE",
        "COPY nigh:!2:other:1:to nigh:!2:s:1:to REPLACE",
    };
    struct redis server;
    struct world old, w;
    struct nigh_space *other;
    redis_start(&server, NULL);
    peer_open(&old, &(struct peer){.uri = server.uri, .schema = "old"}, NULL);
    peer_open(&w, &(struct peer){.uri = server.uri, .schema = "1"}, NULL);
    REQUIRE_EQ(nigh_space_open(w.cache, "other", NULL, NULL, NULL, NULL, &other), 0);
    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
        CHECK_EQ(peer_tell(&w, NIGH_TARGET_KEY, "to"), 0);
        CHECK_EQ(put_text(&w, "from", "not yours", 0), 0);
        CHECK_EQ(put_text(&old, "to", "not yours", 0), 0);
        CHECK_EQ(nigh_put(other, "to", 2, "not yours", 9, NULL), 0);
        run(&server, ways[i]);
        CHECK(peer_exists(&server, "nigh:!2:s:1:to"));
        int64_t bad = world_count(&w, "envelope_bad");
        CHECK_EQ(ask_get(w.space, "to", NULL).outcome, NIGH_MISS);
        CHECK_GT(world_count(&w, "envelope_bad"), bad);
        CHECK_ANSWER(ask_fetch(w.space, "to", NULL), NIGH_FRESH, "to=1");
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_exists(&server, "nigh:!2:s:1:to"));
    }
    world_close(&old);
    world_close(&w);
    redis_stop(&server);
}

/* ---- keys of another type ---- */

enum heal { BY_FETCH, BY_TICKET, BY_PUT, BY_NEWER, BY_WRITE, BY_TELL, HEALS };

static void heal(struct world *w, enum heal how, const char *key)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    switch (how) {
    case BY_FETCH:
        CHECK_EQ(ask_fetch(w->space, key, NULL).outcome, NIGH_FRESH);
        break;
    case BY_TICKET:
        call.miss = &miss;
        CHECK_EQ(ask_get(w->space, key, &call).outcome, NIGH_MISS);
        CHECK_NE(miss.token, 0);
        CHECK_EQ(nigh_put(w->space, key, strlen(key), "own read", 8, &call), 0);
        break;
    case BY_PUT:
    case BY_NEWER:
        CHECK_EQ(put_text(w, key, "put", how == BY_NEWER ? 3 : 0), 0);
        break;
    case BY_WRITE:
        call.version = 3;
        CHECK_EQ(nigh_write(w->space, key, strlen(key), "written", 7, &call), 0);
        break;
    default:
        CHECK_EQ(peer_tell(w, NIGH_TARGET_KEY, key), 0);
        CHECK_EQ(ask_fetch(w->space, key, NULL).outcome, NIGH_FRESH);
    }
}

TEST(a_key_of_another_type_is_a_miss_and_becomes_a_value_again)
{
    static const char *const makers[] = {"RPUSH %s a b", "HSET %s a b", "XADD %s * a b",
                                         "SADD %s a b", "ZADD %s 1 a"};
    struct redis server;
    struct world w, other;
    redis_start(&server, NULL);
    peer_open(&w, &(struct peer){.uri = server.uri}, NULL);
    peer_open(&other, &(struct peer){.uri = server.uri}, NULL);
    for (unsigned n = 0; n < HEALS * (sizeof(makers) / sizeof(*makers)); n++) {
        char key[8], name[32];
        snprintf(key, sizeof(key), "k%u", n);
        snprintf(name, sizeof(name), "nigh:!2:s:1:%s", key);
        char *made = redis_command(&server, makers[n / HEALS], name);
        CHECK(made && strncmp(made, "(error)", 7) != 0);
        free(made);
        CHECK_EQ(ask_get(w.space, key, NULL).outcome, NIGH_MISS);
        heal(&w, n % HEALS, key);
        /* In Redis, too, soon: it is the other node's next. */
        char *type = NULL;
        if (!CHECK_WITHIN(WORLD_PATIENCE_MS,
                          (free(type), type = redis_command(&server, "TYPE %s", name)) &&
                              strcmp(type, "string") == 0))
            check_note("way %u, made by %s: it is a %s", n % HEALS, makers[n / HEALS], type);
        free(type);
        struct answer got = ask_get(other.space, key, NULL);
        CHECK_EQ(got.outcome, NIGH_FRESH);
        CHECK_EQ(got.tier, NIGH_TIER_L2);
    }
    CHECK_EQ(world_count(&w, "l2_lost"), 0);
    world_close(&w);
    world_close(&other);
    redis_stop(&server);
}
