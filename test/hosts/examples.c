// SPDX-License-Identifier: MIT
/*
 * The example servers and the consumer of events as their users run them: each a process of its
 * own, asked over HTTP, its Redis killed and started again.
 *
 * What is promised to a client of one server: every request is answered with 200 (a write with 204
 * or 202), whatever happens to Redis; and a page never shows less of a package than a write to this
 * server has confirmed before the page was asked for. What is promised about others: in the end
 * they show the same.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "example/pages.h"
#include "support/check.h"
#include "support/crowd.h"
#include "support/http.h"
#include "support/program.h"
#include "support/redis.h"

#define CLIENTS 4
#define PACKAGES 40 /* that are asked for and updated: few, so that they meet */
#define ROUNDS 300
#define PATIENCE_MS 60000

/* ---- a server ---- */

struct site {
    struct program program;
    unsigned port;
};

static void site_start(struct site *s, const char *binary, const struct redis *redis)
{
    char database[128], conf[256], line[128];
    snprintf(database, sizeof(database), "%s/packages.db", redis->dir);
    snprintf(conf, sizeof(conf), "redis.uri=%s,coherence.beat=200ms,log=none", redis->uri);
    char binary_path[256], port[] = "0";
    snprintf(binary_path, sizeof(binary_path), "%s/%s", NIGH_EXAMPLES, binary);
    char *argv[] = {binary_path, database, port, NULL};
    program_start(&s->program, argv, conf);
    program_first_line(&s->program, line, sizeof(line));
    REQUIRE_EQ(sscanf(line, "http://127.0.0.1:%u/", &s->port), 1);
}

/* ---- pages, as a client sees them ---- */

static void page_path(char *path, size_t size, unsigned package)
{
    snprintf(path, size, "/package/package-%u", package);
}

/* The revision of a package that a page shows; 0: it does not show it. */
static long long shown_revision(const struct http_answer *a, unsigned package)
{
    char text[64];
    snprintf(text, sizeof(text), "package-%u revision ", package);
    const char *found = strstr(a->body, text);
    return found ? atoll(found + strlen(text)) : 0;
}

static long long ask_revision(unsigned port, unsigned package)
{
    struct http h;
    struct http_answer a;
    char path[64];
    page_path(path, sizeof(path), package);
    http_open(&h, port);
    bool answered = http_ask(&h, "GET", path, NULL, NULL, &a) && a.status == 200;
    http_close(&h);
    return answered ? shown_revision(&a, package) : 0;
}

/* ---- clients that judge ---- */

struct clients {
    unsigned port;
    _Atomic long long confirmed[PACKAGES + 1]; /* revisions that a finished write has answered */
    _Atomic unsigned rounds;
    _Atomic unsigned told, queued; /* writes that were answered 204, and 202 */
    _Atomic bool killed;           /* Redis: half of the rounds come after that */
    _Atomic unsigned numbers;      /* gives each client its own */
};

static void read_page(struct clients *c, struct http *h, unsigned package)
{
    const unsigned needs[] = {package, package / 2, package / 3, package / 7};
    long long at_least[4];
    char path[64];
    struct http_answer a;
    for (int i = 0; i < 4; i++)
        at_least[i] = needs[i] ? atomic_load(&c->confirmed[needs[i]]) : 0;
    page_path(path, sizeof(path), package);
    REQUIRE(http_ask(h, "GET", path, NULL, NULL, &a));
    CHECK_EQ(a.status, 200);
    for (int i = 0; i < 4; i++)
        if (!CHECK_GE(shown_revision(&a, needs[i]), at_least[i]))
            check_note("package %u: %s", needs[i], a.text);
}

/* Each package has one client that updates it, so the last answer has the highest revision. */
static void update_page(struct clients *c, struct http *h, unsigned package)
{
    char path[64], etag[32];
    struct http_answer a;
    page_path(path, sizeof(path), package);
    REQUIRE(http_ask(h, "POST", path, NULL, "a summary with <b>& \"marks\"", &a));
    REQUIRE(CHECK(a.status == 204 || a.status == 202));
    REQUIRE(http_header(&a, "ETag", etag, sizeof(etag)));
    atomic_store(&c->confirmed[package], atoll(etag + 1));
    atomic_fetch_add(a.status == 204 ? &c->told : &c->queued, 1);
}

static void *live(void *arg)
{
    struct clients *c = arg;
    unsigned number = atomic_fetch_add(&c->numbers, 1);
    uint64_t random = check_seed() + number;
    struct http h;
    http_open(&h, c->port);
    for (int i = 0; i < ROUNDS; i++) {
        while (i == ROUNDS / 2 && !atomic_load(&c->killed))
            check_pause();
        unsigned package = 1 + (unsigned)(check_random(&random) % PACKAGES);
        unsigned own = 1 + number + CLIENTS * ((package - 1) / CLIENTS);
        if (check_random(&random) % 8 == 0)
            update_page(c, &h, own);
        else
            read_page(c, &h, package);
        atomic_fetch_add(&c->rounds, 1);
    }
    http_close(&h);
    return NULL;
}

/* ---- a crowd beside them, which reads as fast as it can ---- */

static long long ask_any(void *arg, unsigned n, char *path, size_t size)
{
    struct clients *c = arg;
    unsigned package = 1 + n % PACKAGES;
    page_path(path, size, package);
    return atomic_load(&c->confirmed[package]) * (PACKAGES + 1) + package;
}

static bool is_right(void *arg, long long wanted, const struct http_answer *answer)
{
    (void)arg;
    return answer->status == 200 && shown_revision(answer, (unsigned)(wanted % (PACKAGES + 1))) >=
                                        wanted / (PACKAGES + 1);
}

/* So many more pages. */
static void let_crowd_read(struct crowd *crowd)
{
    unsigned before = crowd->answered;
    CHECK_WITHIN(PATIENCE_MS, crowd->answered - before > 4 * CROWD_CONNECTIONS);
}

static void check_same(unsigned port, const struct clients *c)
{
    for (unsigned i = 1; i <= PACKAGES; i++) {
        long long last = atomic_load(&c->confirmed[i]);
        CHECK_WITHIN(PATIENCE_MS, ask_revision(port, i) >= last);
    }
}

/* Clients of one server, a few that judge and update and a crowd that reads, while Redis dies and
 * comes back empty; another server of the same pages. */
static void serve_through_an_outage(const char *binary)
{
    static struct clients c;
    struct redis redis;
    struct site site, other;
    pthread_t threads[CLIENTS];
    memset(&c, 0, sizeof(c));
    redis_start(&redis, NULL);
    site_start(&site, binary, &redis);
    site_start(&other, binary, &redis);
    c.port = site.port;
    struct crowd crowd = {.port = site.port, .ask = ask_any, .judge = is_right, .arg = &c};
    crowd_start(&crowd);
    for (int i = 0; i < CLIENTS; i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, live, &c), 0);
    CHECK_WITHIN(PATIENCE_MS, c.rounds > CLIENTS * ROUNDS / 3);
    redis_kill(&redis);
    c.killed = true;
    CHECK_WITHIN(PATIENCE_MS, c.queued > 0);
    let_crowd_read(&crowd);
    redis_restart(&redis, REDIS_EMPTY);
    for (int i = 0; i < CLIENTS; i++)
        REQUIRE_EQ(pthread_join(threads[i], NULL), 0);
    let_crowd_read(&crowd);
    crowd_stop(&crowd);
    check_note("%u pages to a crowd of %u", crowd.answered, CROWD_CONNECTIONS);
    CHECK_EQ(crowd.failed, 0);
    CHECK_GT(c.told + c.queued, 0);
    check_same(other.port, &c);
    CHECK_EQ(program_stop(&site.program), 0);
    CHECK_EQ(program_stop(&other.program), 0);
    redis_stop(&redis);
}

TEST(pool_server_serves_right_pages_while_redis_dies_and_comes_back)
{
    serve_through_an_outage("pool_server");
}

TEST(loop_server_serves_right_pages_while_redis_dies_and_comes_back)
{
    serve_through_an_outage("loop_server");
}

/* ---- headers ---- */

static void expect_status(struct http *h, const char *method, const char *path, const char *body,
                          int status)
{
    struct http_answer a;
    REQUIRE(http_ask(h, method, path, NULL, body, &a));
    CHECK_EQ(a.status, status);
}

/* Whether a write reaches every node: the server has its connection to Redis. */
static bool is_told(struct http *h)
{
    struct http_answer a;
    REQUIRE(http_ask(h, "POST", "/package/package-9", NULL, "a summary", &a));
    return a.status == 204;
}

/* Whether a page is kept: asked for twice, it comes from the cache. */
static bool is_hit(struct http *h)
{
    struct http_answer a;
    char value[256];
    REQUIRE(http_ask(h, "GET", "/package/package-21", NULL, NULL, &a));
    return http_header(&a, "Cache-Status", value, sizeof(value)) && strstr(value, "detail=L1");
}

static void check_headers(struct http *h)
{
    struct http_answer a;
    char etag[32], value[256], match[64];
    CHECK_WITHIN(PATIENCE_MS, is_told(h));
    CHECK_WITHIN(PATIENCE_MS, is_hit(h));
    REQUIRE(http_ask(h, "GET", "/package/package-21", NULL, NULL, &a));
    CHECK_EQ(a.status, 200);
    CHECK(http_header(&a, "ETag", etag, sizeof(etag)));
    CHECK(http_header(&a, "Surrogate-Key", value, sizeof(value)));
    CHECK_STR(value, "package-21 package-10 package-3 package-7");
    CHECK(http_header(&a, "Age", value, sizeof(value)));
    CHECK(http_header(&a, "Cache-Control", value, sizeof(value)));
    CHECK_GT(atoi(value + strlen("max-age=")), 0);
    snprintf(match, sizeof(match), "If-None-Match: %s", etag);
    REQUIRE(http_ask(h, "GET", "/package/package-21", match, NULL, &a));
    CHECK_EQ(a.status, 304);
    REQUIRE(http_ask(h, "POST", "/package/package-7", NULL, "another summary", &a));
    CHECK_EQ(a.status, 204);
    REQUIRE(http_ask(h, "GET", "/package/package-21", match, NULL, &a));
    CHECK_EQ(a.status, 200); /* another page */
    CHECK(strstr(a.body, "another summary"));
}

static void check_refusals(struct http *h)
{
    char long_text[1100];
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = 0;
    char long_path[1200];
    snprintf(long_path, sizeof(long_path), "/package/%s", long_text);
    expect_status(h, "GET", "/package/unknown", NULL, 404);
    expect_status(h, "GET", "/package/", NULL, 400);
    expect_status(h, "GET", long_path, NULL, 400);
    expect_status(h, "GET", "/", NULL, 404);
    expect_status(h, "DELETE", "/package/package-1", NULL, 405);
    expect_status(h, "POST", "/package/unknown", "a summary", 404);
    expect_status(h, "POST", "/package/package-1", long_text, 413);
    expect_status(h, "HEAD", "/package/package-1", NULL, 200);
    expect_status(h, "GET", "/package/package-1", NULL, 200);
}

static void answer_as_http_wants(const char *binary)
{
    struct redis redis;
    struct site site;
    struct http h;
    redis_start(&redis, NULL);
    site_start(&site, binary, &redis);
    http_open(&h, site.port);
    check_headers(&h);
    check_refusals(&h);
    http_close(&h);
    CHECK_EQ(program_stop(&site.program), 0);
    redis_stop(&redis);
}

TEST(pool_server_answers_as_http_wants)
{
    answer_as_http_wants("pool_server");
}

TEST(loop_server_answers_as_http_wants)
{
    answer_as_http_wants("loop_server");
}

/* ---- events ---- */

/* As a writer that knows nothing of nigh: commits, then adds an event. */
static long long commit_elsewhere(const struct redis *stream, const struct redis *redis,
                                  unsigned package)
{
    char database[128], name[32];
    snprintf(database, sizeof(database), "%s/packages.db", redis->dir);
    snprintf(name, sizeof(name), "package-%u", package);
    long long revision = pages_update(database, name, strlen(name), "from elsewhere", 14);
    CHECK_GT(revision, 0);
    free(redis_command(stream, "XADD changes * package %s", name));
    return revision;
}

static void consumer_start(struct program *p, const struct redis *stream,
                           const struct redis *redis)
{
    char conf[256], binary[256], socket[128], name[] = "changes";
    snprintf(conf, sizeof(conf), "redis.uri=%s,log=none", redis->uri);
    snprintf(binary, sizeof(binary), "%s/change_consumer", NIGH_EXAMPLES);
    snprintf(socket, sizeof(socket), "%s", stream->socket);
    char *argv[] = {binary, socket, name, NULL};
    program_start(p, argv, conf);
}

/* Events that are not acknowledged: handed out, or not even that. */
static bool all_acknowledged(const struct redis *stream, unsigned added)
{
    char *groups = redis_command(stream, "XINFO GROUPS changes");
    char *read = groups ? strstr(groups, "entries-read\n") : NULL;
    char *pending = groups ? strstr(groups, "pending\n") : NULL;
    bool all = read && pending && strtoul(read + 13, NULL, 10) == added &&
               strtoul(pending + 8, NULL, 10) == 0;
    free(groups);
    return all;
}

TEST(change_consumer_acknowledges_what_was_accepted_and_nothing_else)
{
    struct redis redis, stream;
    struct site site;
    struct program consumer;
    unsigned added = 0;
    redis_start(&redis, NULL);
    redis_start(&stream, NULL);
    site_start(&site, "pool_server", &redis);
    consumer_start(&consumer, &stream, &redis);
    CHECK_GT(ask_revision(site.port, 5), 0);
    long long revision = commit_elsewhere(&stream, &redis, 5);
    added++;
    CHECK_WITHIN(PATIENCE_MS, ask_revision(site.port, 5) == revision);
    CHECK_WITHIN(PATIENCE_MS, all_acknowledged(&stream, added));

    /* nigh's Redis says nothing: events are read and stay unacknowledged. */
    redis_pause(&redis);
    for (unsigned i = 0; i < 300; i++, added++)
        revision = commit_elsewhere(&stream, &redis, 6);
    CHECK_WITHIN(PATIENCE_MS, redis_integer(&stream, "XLEN changes") == added);
    program_kill(&consumer);
    CHECK(!all_acknowledged(&stream, added));
    redis_resume(&redis);

    /* What it had read when it was killed comes again to who has its name. */
    consumer_start(&consumer, &stream, &redis);
    CHECK_WITHIN(PATIENCE_MS, all_acknowledged(&stream, added));
    CHECK_WITHIN(PATIENCE_MS, ask_revision(site.port, 6) == revision);
    CHECK_EQ(program_stop(&consumer), 0);
    CHECK_EQ(program_stop(&site.program), 0);
    redis_stop(&stream);
    redis_stop(&redis);
}
