// SPDX-License-Identifier: MIT
/*
 * A host of one thread whose database client is asynchronous: its loop waits for the client's
 * socket, for the cache (threads=none) and for a completion queue, and never for anything else. The
 * loader sends a query that bears the name of its fill; the reply brings it back.
 *
 * The database answers out of order, some queries twice, and some after the host has given them up
 * by a timeout of its own. What is promised: each call ends once, with its row; a key is loaded
 * once, and once more for each query that was given up; answers that come second are refused.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/check.h"
#include "support/origin.h"

#define KEYS 60u
#define CALLS 3000u
#define AT_ONCE 200u /* calls that are pending */
#define PATIENCE_MS 60000u

/* A query on its way to the database, or its reply. */
struct message {
    struct nigh_fill *fill;
    unsigned key;
};

struct host {
    struct nigh *cache;
    struct nigh_space *space;
    struct nigh_queue *queue;
    int client;            /* the socket of the database's client */
    int database;          /* its other end */
    unsigned loads;
    unsigned given_up;     /* queries that the host has answered with an error */
    unsigned accepted;     /* answers of the database */
    unsigned refused;
    unsigned begun;
    unsigned ended;
    unsigned failed;       /* calls that were told of a query that was given up */
    bool seen[CALLS];
};

/* ---- the database ---- */

static void reply(int database, const struct message *m)
{
    REQUIRE_EQ(write(database, m, sizeof(*m)), sizeof(*m));
}

/* Keeps up to four queries back, and answers in an order of its own; every eighth twice. Ends when
 * the host closes its end. */
static void *serve_database(void *arg)
{
    const struct host *h = arg;
    struct message kept[4], m;
    unsigned count = 0;
    uint64_t state = check_seed();
    for (struct pollfd p = {.fd = h->database, .events = POLLIN};;) {
        bool came = poll(&p, 1, 1) > 0;
        if (came && read(h->database, &m, sizeof(m)) != sizeof(m))
            break;
        if (came && count < 4) {
            kept[count++] = m;
            continue;
        }
        if (count > 0) {
            unsigned i = (unsigned)(check_random(&state) % count);
            reply(h->database, &kept[i]);
            if (check_random(&state) % 8 == 0)
                reply(h->database, &kept[i]);
            kept[i] = kept[--count];
        }
        if (came)
            kept[count++] = m;
    }
    return NULL;
}

/* ---- the loader, and the client's callback ---- */

static int load(void *arg, struct nigh_fill *const fills[], size_t n)
{
    struct host *h = arg;
    size_t len;
    const unsigned char *key = nigh_fill_key(fills[0], &len);
    struct message m = {.key = *key};
    (void)n;
    int rc = nigh_fill_defer(fills[0], &m.fill);
    if (rc != 0)
        return rc;
    REQUIRE_EQ(write(h->client, &m, sizeof(m)), sizeof(m));
    if (++h->loads % 16 == 0) { /* its time is over as soon as it has begun */
        h->given_up++;
        CHECK_EQ(nigh_fill_error(m.fill, 1), 0);
    }
    return 0;
}

static void take_reply(struct host *h)
{
    struct message m;
    char row[16];
    REQUIRE_EQ(read(h->client, &m, sizeof(m)), sizeof(m));
    int len = snprintf(row, sizeof(row), "row %u", m.key);
    int rc = nigh_fill_value(m.fill, row, (size_t)len);
    CHECK(rc == 0 || rc == NIGH_EINVAL);
    h->accepted += rc == 0;
    h->refused += rc != 0;
}

/* ---- the host's own calls ---- */

static void end_call(struct host *h, unsigned i, int outcome, struct nigh_value *value)
{
    char row[16];
    REQUIRE(i < CALLS);
    CHECK(!h->seen[i]);
    h->seen[i] = true;
    h->ended++;
    snprintf(row, sizeof(row), "row %u", i % KEYS);
    if (outcome == NIGH_ELOADER)
        h->failed++;
    else if (CHECK_EQ(outcome, NIGH_FRESH))
        CHECK_MEM(value->data, value->len, row, strlen(row));
    nigh_release(value);
}

static void begin_calls(struct host *h)
{
    while (h->begun < CALLS && h->begun - h->ended < AT_ONCE) {
        struct nigh_value value = NIGH_VALUE_INIT;
        unsigned i = h->begun++;
        unsigned char key = (unsigned char)(i % KEYS);
        int rc = nigh_fetch_async(h->queue, h->space, &key, 1, NULL, (void *)(uintptr_t)i, &value,
                                  NULL);
        if (rc != NIGH_PENDING)
            end_call(h, i, rc, &value);
    }
}

static void take_completions(struct host *h)
{
    struct nigh_completion done[32];
    int n = nigh_queue_poll(h->queue, done, 32, 0);
    for (int i = 0; i < n; i++)
        end_call(h, (unsigned)(uintptr_t)done[i].arg, done[i].outcome, &done[i].value);
}

static void run_loop(struct host *h)
{
    struct pollfd fds[] = {{.fd = h->client, .events = POLLIN},
                           {.fd = nigh_queue_fd(h->queue), .events = POLLIN},
                           {.fd = nigh_tick_fd(h->cache), .events = POLLIN}};
    uint64_t end_ms = check_now_ms() + PATIENCE_MS;
    while (h->ended < CALLS && check_now_ms() < end_ms) {
        begin_calls(h);
        (void)poll(fds, 3, nigh_tick(h->cache));
        if (fds[0].revents)
            take_reply(h);
        take_completions(h);
    }
}

static void open_host(struct host *h, const char *uri)
{
    int ends[2];
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    *h = (struct host){0};
    REQUIRE_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    h->client = ends[0];
    h->database = ends[1];
    o.l1_memory = 8u << 20;
    o.group_slots = 2048;
    o.threads = NIGH_THREADS_NONE;
    o.redis_uri = uri;
    o.trust_ms = PATIENCE_MS; /* no value is stale because the machine is busy */
    o.l2_deadline_ms = PATIENCE_MS;
    so.load_deadline_ms = PATIENCE_MS;
    so.soft_ttl_ms = 3600 * 1000;
    so.error_ttl_ms = NIGH_NONE;
    REQUIRE_EQ(nigh_open(&o, &h->cache), 0);
    REQUIRE_EQ(nigh_space_open(h->cache, "s", &so, load, NULL, h, &h->space), 0);
    REQUIRE_EQ(nigh_queue_open(h->cache, &h->queue), 0);
    REQUIRE(CHECK_WITHIN(PATIENCE_MS, nigh_tick(h->cache) >= 0 &&
                                          nigh_health(h->cache) == NIGH_FRESH));
}

static void check_host(const char *uri)
{
    static struct host h;
    pthread_t database;
    open_host(&h, uri);
    REQUIRE_EQ(pthread_create(&database, NULL, serve_database, &h), 0);
    run_loop(&h);
    CHECK_EQ(h.ended, CALLS);
    CHECK_EQ(h.accepted, h.loads - h.given_up);
    CHECK_LE(h.loads, KEYS + h.given_up);
    CHECK(h.given_up == 0 || h.failed > 0);
    nigh_queue_close(h.queue);
    nigh_close(h.cache);
    close(h.client);
    pthread_join(database, NULL);
    close(h.database);
    check_note("%u loads, %u given up, %u answers refused", h.loads, h.given_up, h.refused);
}

TEST(a_loop_with_an_asynchronous_client)
{
    check_host(NULL);
}

TEST(the_same_before_redis)
{
    struct redis server;
    redis_start(&server, NULL);
    check_host(server.uri);
    redis_stop(&server);
}
