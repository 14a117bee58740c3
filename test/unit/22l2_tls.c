// SPDX-License-Identifier: MIT
// The client over TLS, with a real server: whom it believes, what it says of the others, and that
// whoever drives gets the same answers as over a plain socket, whatever the network does.

#include "l2/tls.h"

#include <fcntl.h>
#include <openssl/conf.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "l2/net.h"
#include "support/certs.h"
#include "support/l2_client.h"

static char certs[CERTS_DIR_BYTES];
static struct redis server;
static struct client c;
static struct certs_path paths[3];

static const char *ca(void)
{
    return (paths[0] = certs_path(certs, "ca.pem")).text;
}

/* ---- a client ---- */

static struct l2_config config_of(const char *uri)
{
    struct l2_config config = client_config(&c, uri);
    config.tls.ca = ca();
    return config;
}

static void open_as(const struct l2_config *config)
{
    REQUIRE_EQ(l2_open(config, &c.l2), 0);
    l2_set_patience(c.l2, CLIENT_DEADLINE_MS);
}

static void begin_server(char *const *args)
{
    certs_open(certs);
    redis_start_tls(&server, certs, args);
}

static void begin(void)
{
    begin_server(NULL);
    client_init(&c, true);
    struct l2_config config = config_of(server.uri);
    open_as(&config);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2)));
}

static void end_client(void)
{
    client_close(&c);
}

static void end(void)
{
    end_client();
    redis_stop(&server);
    certs_close(certs);
}

static bool says(const char *words)
{
    struct l2_problem problem;
    l2_problem_read(c.l2, &problem);
    return strstr(problem.text, words) != NULL;
}

/* Opens a client that is refused, or refuses: its state says these words. */
static void check_refused(const struct l2_config *config, const char *words)
{
    struct l2_problem problem;
    open_as(config);
    if (!CHECK_WITHIN(CLIENT_DEADLINE_MS, says(words))) {
        l2_problem_read(c.l2, &problem);
        check_note("%s is wanted, and it is: %s", words, problem.text);
    }
    CHECK(!l2_connected(c.l2));
    l2_close(c.l2);
}

/* ---- whom it believes ---- */

TEST(a_server_is_believed_by_name_and_by_address)
{
    begin_server(NULL);
    client_init(&c, true);
    const char *const names[] = {NULL, "localhost", "localhost.", "127.0.0.1"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct l2_config config = config_of(server.uri);
        config.tls.name = names[i];
        open_as(&config);
        CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2));
        l2_close(c.l2);
    }
    client_fini(&c);
    redis_stop(&server);
    certs_close(certs);
}

/* Lets the server show the certificate of this name, with that key. */
static void show_with(const char *cert, const char *name)
{
    char pem[64], key[64];
    snprintf(pem, sizeof(pem), "%s.pem", cert);
    snprintf(key, sizeof(key), "%s.key", name);
    char *reply = redis_command(&server, "CONFIG SET tls-cert-file %s tls-key-file %s",
                                certs_path(certs, pem).text,
                                certs_path(certs, key).text);
    CHECK_STR(reply, "OK");
    free(reply);
}

static void show(const char *name)
{
    show_with(name, name);
}

TEST(who_is_not_believed_is_named)
{
    static const struct {
        struct cert cert;
        const char *words;
    } rows[] = {
        {{.from_s = -7200, .until_s = -3600}, "certificate has expired"},
        {{.from_s = 3600, .until_s = 7200}, "certificate is not yet valid"},
        {{.names = "DNS:localhost,IP:127.0.0.2"}, "IP address mismatch"},
        {{.self_signed = true}, "self-signed certificate"},
        {{.issuer = "other_ca"}, "unable to get local issuer certificate"},
    };
    begin_server(NULL);
    client_init(&c, true);
    certs_add(certs, "other_ca", &(struct cert){.self_signed = true, .is_ca = true});
    struct l2_config config = config_of(server.uri);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        certs_add(certs, "shown", &rows[i].cert);
        show("shown");
        check_refused(&config, rows[i].words);
    }
    show("server");
    config.tls.name = "redis.example";
    check_refused(&config, "hostname mismatch (wanted: redis.example, as a subjectAltName)");
    config.tls.ca = NULL; /* the system's */
    check_refused(&config, "TLS handshake: certificate verify failed: ");
    client_fini(&c);
    redis_stop(&server);
    certs_close(certs);
}

/* Redis' own utils/gen-test-certs.sh makes such ones. */
TEST(a_name_counts_as_a_subject_alt_name_alone)
{
    begin_server(NULL);
    client_init(&c, true);
    certs_add(certs, "localhost", &(struct cert){.names = ""});
    show("localhost");
    struct l2_config config = config_of(server.uri);
    config.tls.name = "localhost";
    check_refused(&config, "hostname mismatch (wanted: localhost, as a subjectAltName)");
    config.tls.verify = NIGH_TLS_VERIFY_CA;
    open_as(&config);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2));
    end();
}

TEST(less_may_be_proven_where_that_is_asked_for)
{
    begin_server(NULL);
    client_init(&c, true);
    certs_add(certs, "shown", &(struct cert){.names = "DNS:elsewhere"});
    show("shown");
    struct l2_config config = config_of(server.uri);
    config.tls.verify = NIGH_TLS_VERIFY_CA;
    open_as(&config);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2));
    l2_close(c.l2);
    certs_add(certs, "shown", &(struct cert){.self_signed = true});
    show("shown");
    check_refused(&config, "self-signed");
    config.tls.verify = NIGH_TLS_VERIFY_NONE;
    open_as(&config);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2));
    end();
}

TEST(a_server_that_wants_a_certificate_gets_one)
{
    char *const args[] = {"--tls-auth-clients", "yes", NULL};
    begin_server(args);
    client_init(&c, true);
    struct l2_config config = config_of(server.uri);
    check_refused(&config, "certificate required");
    config.tls.cert = (paths[1] = certs_path(certs, "client.pem")).text;
    config.tls.key = (paths[2] = certs_path(certs, "client.key")).text;
    open_as(&config);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2));
    end();
}

TEST(an_older_version_than_the_least_is_refused)
{
    char *const args[] = {"--tls-protocols", "TLSv1.2", NULL};
    begin_server(args);
    client_init(&c, true);
    struct l2_config config = config_of(server.uri);
    config.tls.min = NIGH_TLS_1_3;
    check_refused(&config, "protocol version");
    config.tls.min = NIGH_TLS_1_2;
    open_as(&config);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2));
    end();
}

/* Makes OpenSSL's configuration want this version of every context. */
static void configure_least(const char *version)
{
    char text[200];
    struct certs_path path = certs_path(certs, "openssl.cnf");
    int len = snprintf(text, sizeof(text), "nigh_test = all\n[all]\nssl_conf = ssl\n[ssl]\n"
                       "system_default = least\n[least]\nMinProtocol = %s\n", version);
    certs_write(path.text, text, len);
    CHECK_EQ(CONF_modules_load_file(path.text, "nigh_test", 0), 1);
}

TEST(a_higher_version_in_the_configuration_of_openssl_stays)
{
    char *const args[] = {"--tls-protocols", "TLSv1.2", NULL};
    begin_server(args);
    client_init(&c, true);
    struct l2_config config = config_of(server.uri);
    config.tls.min = NIGH_TLS_1_2;
    configure_least("TLSv1.3");
    check_refused(&config, "protocol version");
    configure_least("TLSv1.2");
    open_as(&config);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2));
    end();
}

/* ---- plain text at either end ---- */

TEST(plain_text_to_a_port_for_tls_is_told)
{
    char uri[128];
    begin_server(NULL);
    client_init(&c, true);
    snprintf(uri, sizeof(uri), "redis://127.0.0.1:%d", server.port);
    struct l2_config config = config_of(uri);
    check_refused(&config, "rediss://");
    client_fini(&c);
    redis_stop(&server);
    certs_close(certs);
}

/* A Redis takes what we say for the beginning of a command, and waits for its end; or answers it,
 * if there is an end of a line in it. */
TEST(tls_to_a_port_for_plain_text_is_told)
{
    char uri[128];
    certs_open(certs);
    redis_start_tcp(&server, NULL);
    client_init(&c, true);
    snprintf(uri, sizeof(uri), "rediss://127.0.0.1:%d", server.port);
    struct l2_config config = config_of(uri);
    config.connect_timeout_ms = 100;
    check_refused(&config, "TLS handshake: ");
    client_fini(&c);
    redis_stop(&server);
    certs_close(certs);
}

/* ---- files ---- */

static void check_files(const char *cert, const char *key, const char *words)
{
    struct l2_config config = client_config(&c, "rediss://127.0.0.1:1");
    struct certs_path cert_path = certs_path(certs, cert);
    struct certs_path key_path = certs_path(certs, key);
    config.tls.ca = ca();
    config.tls.cert = cert_path.text;
    config.tls.key = key_path.text;
    CHECK_EQ(l2_open(&config, &c.l2), NIGH_EOPTION);
    check_note("%s", nigh_options_error());
    CHECK(strstr(nigh_options_error(), words) != NULL);
    CHECK(!strstr(nigh_options_error(), "PRIVATE KEY"));
}

TEST(files_that_are_wrong_are_named_at_open)
{
    static const char locked[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
        "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAi6A0WmkYJzCQICCAAw\n"
        "-----END ENCRYPTED PRIVATE KEY-----\n";
    certs_open(certs);
    client_init(&c, true);
    certs_write(certs_path(certs, "empty").text, "", 0);
    certs_write(certs_path(certs, "text").text, "no PEM", 6);
    certs_write(certs_path(certs, "locked").text, locked, sizeof(locked) - 1);
    check_files("nowhere", "client.key", "nowhere: No such file or directory");
    check_files("client.pem", "nowhere", "nowhere: No such file or directory");
    check_files("empty", "client.key", "empty: it is empty");
    check_files("text", "client.key", "no start line");
    check_files("client.pem", "text", "redis.tls_key=");
    check_files("client.pem", "server.key", "key values mismatch");
    struct l2_config config = client_config(&c, "rediss://127.0.0.1:1");
    config.tls.ca = "/nowhere.pem";
    CHECK_EQ(l2_open(&config, &c.l2), NIGH_EOPTION);
    CHECK_STR(nigh_options_error(), "redis.tls_ca=/nowhere.pem: No such file or directory");
    client_fini(&c);
    certs_close(certs);
}

/* A key under a pass phrase is not asked for on the terminal. */
TEST(a_key_with_a_pass_phrase_is_refused)
{
    certs_open(certs);
    client_init(&c, true);
    certs_lock(certs, "client", "secret");
    check_files("client.pem", "client.key", "it wants a pass phrase");
    client_fini(&c);
    certs_close(certs);
}

/* ---- files that change ---- */

static uint64_t reloads(void)
{
    return stats_read(&c.stats, STATS_L2_TLS_RELOAD);
}

/* Keeps until the condition holds: two looks of tls_keep() are a second apart. */
#define KEEP_UNTIL(cond) CHECK_WITHIN(CLIENT_DEADLINE_MS, (l2_keep(c.l2), (cond)))

TEST(files_that_have_changed_are_for_the_next_connection)
{
    char *const args[] = {"--tls-auth-clients", "yes", NULL};
    begin_server(args);
    client_init(&c, true);
    struct l2_config config = config_of(server.uri);
    struct certs_path cert = certs_path(certs, "own.pem");
    struct certs_path key = certs_path(certs, "own.key");
    config.tls.cert = cert.text;
    config.tls.key = key.text;
    certs_add(certs, "own", &(struct cert){.until_s = -60}); /* the server refuses it */
    open_as(&config);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, says("certificate expired"));
    certs_add(certs, "own", &(struct cert){0});
    KEEP_UNTIL(reloads() == 1);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2));
    uint64_t connects = stats_read(&c.stats, STATS_L2_CONNECT);
    /* half-way: of another pair's files one is there, and then it is empty */
    certs_write(key.text, "", 0);
    KEEP_UNTIL(says("redis.tls_key=") && says("it is empty"));
    CHECK(l2_connected(c.l2));
    CHECK_EQ(unlink(cert.text), 0);
    KEEP_UNTIL(says("No such file or directory"));
    /* what was read before is used */
    l2_drop_connection(c.l2);
    CHECK_WITHIN(CLIENT_DEADLINE_MS,
                 stats_read(&c.stats, STATS_L2_CONNECT) > connects && l2_connected(c.l2));
    certs_add(certs, "own", &(struct cert){0});
    KEEP_UNTIL(reloads() >= 2 && says(""));
    CHECK(l2_connected(c.l2));
    end();
}

/* Writes the same bytes into the file that is there, and makes it look as old as it was. */
static void write_in_place(const char *path)
{
    char data[8192];
    struct stat before;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    REQUIRE(fd >= 0 && fstat(fd, &before) == 0);
    ssize_t len = read(fd, data, sizeof(data));
    REQUIRE(len > 0 && pwrite(fd, data, (size_t)len, 0) == len);
    const struct timespec times[] = {before.st_atim, before.st_mtim};
    REQUIRE(futimens(fd, times) == 0 && close(fd) == 0);
}

TEST(a_file_that_is_written_in_place_is_read_again)
{
    begin();
    write_in_place(ca());
    KEEP_UNTIL(reloads() == 1);
    end();
}

/* Lets the process open no file from here on. Returns what it was allowed. */
static struct rlimit forbid_files(void)
{
    struct rlimit before;
    REQUIRE_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    REQUIRE_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    return before;
}

/* Nothing of the files changes when there are descriptors again. */
TEST(files_that_could_not_be_read_are_read_later)
{
    begin();
    struct rlimit before = forbid_files();
    REQUIRE_EQ(chmod(ca(), 0400), 0);
    KEEP_UNTIL(says("Too many open files"));
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    KEEP_UNTIL(reloads() == 1);
    CHECK(!says("Too many open files"));
    end();
}

/* ---- sessions ---- */

/* Handshakes in which the server has shown its certificate. */
static uint64_t full_handshakes(void)
{
    uint64_t resumed = stats_read(&c.stats, STATS_L2_TLS_RESUMED);
    return stats_read(&c.stats, STATS_L2_TLS) - resumed;
}

TEST(a_connection_that_is_made_again_resumes_its_session)
{
    begin();
    l2_drop_connection(c.l2);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, stats_read(&c.stats, STATS_L2_TLS_RESUMED) > 0);
    uint64_t full = full_handshakes();
    CHECK_GE(full, 1);
    redis_restart(&server, REDIS_EMPTY); /* its tickets are of no use any more */
    CHECK_WITHIN(CLIENT_DEADLINE_MS, full_handshakes() > full && l2_connected(c.l2));
    end();
}

static _Atomic int64_t ahead_s; /* of the real time, as tls_context.c is told it */

time_t __real_time(time_t *ret);
time_t __wrap_time(time_t *ret);

time_t __wrap_time(time_t *ret)
{
    time_t now_s = __real_time(NULL) + ahead_s;
    if (ret)
        *ret = now_s;
    return now_s;
}

/* Lets the server show a chain in which the certificate of this name expires first, in an hour. */
static void show_chain(const char *name)
{
    static const char *const names[] = {"root", "mid", "leaf"};
    struct cert made[] = {{.self_signed = true, .is_ca = true},
                          {.issuer = "root", .is_ca = true},
                          {.issuer = "mid"}};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        made[i].until_s = strcmp(names[i], name) == 0 ? 3600 : 3 * 3600;
        certs_add(certs, names[i], &made[i]);
    }
    certs_join(certs_path(certs, "chain.pem").text,
               (const struct certs_path[]){certs_path(certs, "leaf.pem"),
                                           certs_path(certs, "mid.pem")});
    show_with("chain", "leaf");
}

/* Returns when the connection is another one. */
static void reconnect(void)
{
    uint64_t connects = stats_read(&c.stats, STATS_L2_CONNECT);
    l2_drop_connection(c.l2);
    CHECK_WITHIN(CLIENT_DEADLINE_MS,
                 stats_read(&c.stats, STATS_L2_CONNECT) > connects && l2_connected(c.l2));
}

static void check_expiry(const char *name)
{
    begin_server(NULL);
    show_chain(name);
    client_init(&c, true);
    struct l2_config config = config_of(server.uri);
    config.tls.ca = (paths[1] = certs_path(certs, "root.pem")).text;
    open_as(&config);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2));
    reconnect();
    reconnect(); /* and once more: what follows a resumed session has its end */
    CHECK_GE(stats_read(&c.stats, STATS_L2_TLS_RESUMED), 2);
    uint64_t full = full_handshakes();
    ahead_s = 2 * 3600;
    reconnect();
    CHECK(full_handshakes() > full);
    ahead_s = 0;
    end();
}

/* What it has shown when the session was made is not good for ever, nor is who vouched for it. */
TEST(a_server_that_nobody_vouches_for_any_more_resumes_no_session)
{
    check_expiry("leaf");
    check_expiry("mid");
    check_expiry("root");
}
