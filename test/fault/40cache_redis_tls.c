// SPDX-License-Identifier: MIT
// Whole nodes over TLS: what they tell one another, a server that goes and comes back, certificates
// that change; that no text for people has a secret; and the end of a process that uses OpenSSL
// itself.

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "l2/tls_context.h"
#include "support/certs.h"
#include "support/origin.h"

#define PASSWORD "pa55-of-nobody"

static char certs[CERTS_DIR_BYTES];
static struct redis server;
static char uri[160];
static struct origin origin;

struct node {
    struct nigh *cache;
    struct nigh_space *space;
};

/* ---- all that people may read ---- */

static char said[1 << 16]; /* by the log, at any level */
static pthread_mutex_t said_lock = PTHREAD_MUTEX_INITIALIZER;

static void hear(void *arg, enum nigh_log_level level, const char *message)
{
    (void)arg, (void)level;
    pthread_mutex_lock(&said_lock);
    size_t len = strlen(said);
    snprintf(said + len, sizeof(said) - len, "%s\n", message);
    pthread_mutex_unlock(&said_lock);
}

static bool has_said(const char *words)
{
    pthread_mutex_lock(&said_lock);
    bool has = strstr(said, words) != NULL;
    pthread_mutex_unlock(&said_lock);
    return has;
}

/* ---- nodes ---- */

static void begin(void)
{
    static char *const args[] = {"--tls-auth-clients", "yes", "--user", "nigh", "on",
                                 ">" PASSWORD, "~*", "&*", "+@all", NULL};
    static char conf[800];
    said[0] = '\0';
    certs_open(certs);
    redis_start_tls(&server, certs, args);
    origin_init(&origin);
    snprintf(uri, sizeof(uri), "rediss://nigh:" PASSWORD "@127.0.0.1:%d", server.port);
    snprintf(conf, sizeof(conf), "redis.tls_ca=%s,redis.tls_cert=%s,redis.tls_key=%s",
             certs_path(certs, "ca.pem").text, certs_path(certs, "client.pem").text,
             certs_path(certs, "client.key").text);
    setenv("NIGH_CONF", conf, 1);
}

static void end(void)
{
    unsetenv("NIGH_CONF");
    redis_stop(&server);
    certs_close(certs);
}

static void open_node(struct node *n, enum nigh_threads threads)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.redis_uri = uri;
    o.threads = threads;
    o.trust_ms = 60000;
    o.beat_ms = 200;
    o.l2_deadline_ms = 20000;
    o.space.soft_ttl_ms = 3600000;
    o.log = hear;
    int rc = nigh_open(&o, &n->cache);
    if (rc != 0)
        check_note("%s", nigh_options_error());
    REQUIRE_EQ(rc, 0);
    REQUIRE_EQ(nigh_space_open(n->cache, "s", NULL, origin_load, NULL, &origin, &n->space), 0);
}

/* Whether a fetch gives the row as it is now, fresh. */
static bool sees_row(struct node *n, const char *key)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    char row[64];
    snprintf(row, sizeof(row), "%s=%u", key, atomic_load(&origin.generation));
    nigh_tick(n->cache);
    bool sees = nigh_fetch(n->space, key, strlen(key), NULL, &value) == NIGH_FRESH &&
                value.len == strlen(row) && memcmp(value.data, row, value.len) == 0;
    nigh_release(&value);
    return sees;
}

static void check_told(struct node *from, struct node *to, const char *key)
{
    CHECK_WITHIN(WORLD_PATIENCE_MS, sees_row(from, key));
    CHECK_WITHIN(WORLD_PATIENCE_MS, sees_row(to, key));
    origin_commit(&origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_invalidate(from->space, key, strlen(key), NULL) == 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, sees_row(to, key));
}

TEST(nodes_tell_one_another_with_own_threads_and_without)
{
    struct node a, b;
    begin();
    open_node(&a, NIGH_THREADS_OWN);
    open_node(&b, NIGH_THREADS_NONE);
    check_told(&a, &b, "x");
    check_told(&b, &a, "y");
    redis_restart(&server, REDIS_EMPTY);
    check_told(&a, &b, "x");
    check_told(&b, &a, "y");
    nigh_close(a.cache);
    nigh_close(b.cache);
    end();
}

static double gauge(struct node *n, const char *name)
{
    return (double)nigh_stats_value(n->cache, NULL, name);
}

static bool stats_say(struct node *n, const char *words)
{
    static char text[1 << 18];
    long len = nigh_stats(n->cache, NIGH_STATS_TEXT, text, sizeof(text));
    return len > 0 && strstr(text, words) != NULL;
}

static void check_no_secret(const char *text)
{
    CHECK(strstr(text, PASSWORD) == NULL);
    CHECK(strstr(text, "PRIVATE KEY") == NULL);
}

TEST(a_key_that_is_replaced_by_rubbish_is_told_without_it)
{
    struct node a;
    static char text[1 << 18];
    char rubbish[] = "-----BEGIN PRIVATE KEY-----\n" PASSWORD "\n-----END PRIVATE KEY-----\n";
    begin();
    open_node(&a, NIGH_THREADS_OWN);
    CHECK_WITHIN(WORLD_PATIENCE_MS, sees_row(&a, "x"));
    certs_write(certs_path(certs, "client.key").text, rubbish, sizeof(rubbish) - 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, has_said("the files for TLS have changed and are wrong"));
    CHECK(stats_say(&a, "client.key: "));
    CHECK(gauge(&a, "connected") > 0);
    certs_add(certs, "client", &(struct cert){0});
    CHECK_WITHIN(WORLD_PATIENCE_MS, gauge(&a, "l2_tls_reload") > 0);
    CHECK(!stats_say(&a, "client.key: "));
    for (enum nigh_stats_format f = NIGH_STATS_TEXT; f <= NIGH_STATS_PROMETHEUS; f++) {
        REQUIRE(nigh_stats(a.cache, f, text, sizeof(text)) > 0);
        check_no_secret(text);
    }
    nigh_close(a.cache);
    check_no_secret(said);
    end();
}

/* ---- a host that uses OpenSSL, too ---- */

#if !NIGH_SANITIZED /* whose own handlers look at what is left at the end */

static void *read_on(void *arg)
{
    struct node *n = arg;
    const struct nigh_call call = {.size = sizeof(call), .flags = NIGH_REFRESH};
    for (;;) {
        struct nigh_value value = NIGH_VALUE_INIT;
        if (nigh_fetch(n->space, "x", 1, &call, &value) >= 0)
            nigh_release(&value);
    }
    return NULL;
}

static bool dawdles;

/* Runs when OpenSSL has gone. Connections end then, and others are made: without it. */
static void dawdle(void)
{
    if (!dawdles)
        return;
    if (tls_enter())
        _exit(9);
    for (int fd = 3; fd < 64; fd++)
        shutdown(fd, SHUT_RDWR);
    for (uint64_t end_ms = check_now_ms() + 100; check_now_ms() < end_ms;)
        check_pause();
}

/* Before anything of OpenSSL's: what is registered first runs last. */
__attribute__((constructor)) static void register_dawdle(void)
{
    atexit(dawdle);
}

/* Ends by exit(), with a handler of OpenSSL's that frees what our threads use. */
static void be_host(void)
{
    static struct node n;
    pthread_t thread;
    dawdles = true;
    OPENSSL_init_ssl(0, NULL);
    open_node(&n, NIGH_THREADS_OWN);
    CHECK_WITHIN(WORLD_PATIENCE_MS, gauge(&n, "connected") > 0 && sees_row(&n, "x"));
    for (int i = 0; i < 2; i++)
        REQUIRE_EQ(pthread_create(&thread, NULL, read_on, &n), 0);
    check_pause();
    exit(0);
}

TEST(a_process_ends_while_its_cache_is_at_work)
{
    begin();
    for (int i = 0; i < 4; i++) {
        int status;
        pid_t pid = fork();
        REQUIRE(pid >= 0);
        if (pid == 0)
            be_host();
        REQUIRE_EQ(waitpid(pid, &status, 0), pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    end();
}

/* A child says no farewell on what it has inherited: the parent's session goes on. */
TEST(a_child_of_fork_leaves_the_connection_alone)
{
    struct node a;
    begin();
    open_node(&a, NIGH_THREADS_OWN);
    CHECK_WITHIN(WORLD_PATIENCE_MS, gauge(&a, "connected") > 0 && sees_row(&a, "x"));
    double connects = gauge(&a, "l2_connect");
    int status;
    pid_t pid = fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
        struct node own;
        nigh_close(a.cache);
        open_node(&own, NIGH_THREADS_OWN);
        bool sees = CHECK_WITHIN(WORLD_PATIENCE_MS, sees_row(&own, "x"));
        nigh_close(own.cache);
        exit(!sees);
    }
    REQUIRE_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    check_told(&a, &a, "x");
    CHECK(gauge(&a, "l2_connect") == connects);
    nigh_close(a.cache);
    end();
}
#endif
