// SPDX-License-Identifier: MIT
// The program nigh at a Redis that wants TLS, a certificate and a login: with what NIGH_CONF says
// of them, and with what a process says that is there already.

#include <unistd.h>

#include "support/certs.h"
#include "support/dial.h"
#include "support/tool.h"

#define PASSWORD "pa55-of-nobody"

static char certs[CERTS_DIR_BYTES];
static struct redis server;
static char uri[160];
static char path[CERTS_PATH_BYTES]; /* of the process' socket */

static void begin(void)
{
    static char *const args[] = {"--tls-auth-clients", "yes", "--user", "nigh", "on",
                                 ">" PASSWORD, "~*", "&*", "+@all", NULL};
    char conf[900];
    certs_open(certs);
    redis_start_tls(&server, certs, args);
    certs_write(certs_path(certs, "password").text, PASSWORD "\n", sizeof(PASSWORD));
    snprintf(uri, sizeof(uri), "rediss://nigh@127.0.0.1:%d", server.port);
    snprintf(conf, sizeof(conf),
             "redis.tls_ca=%s,redis.tls_cert=%s,redis.tls_key=%s,redis.password_file=%s",
             certs_path(certs, "ca.pem").text, certs_path(certs, "client.pem").text,
             certs_path(certs, "client.key").text, certs_path(certs, "password").text);
    setenv("NIGH_CONF", conf, 1);
}

static void end(void)
{
    unsetenv("NIGH_CONF");
    unlink(certs_path(certs, "password").text);
    redis_stop(&server);
    certs_close(certs);
}

/* A slow machine may not come so far within that time. */
static bool is_told_of_the_certificate(void)
{
    return tool_run("invalidate --redis %s --all --timeout 400", uri) == 3 &&
           strstr(tool_out, "Redis cannot be used: TLS handshake");
}

TEST(the_environment_says_how_to_get_in)
{
    char conf[300];
    begin();
    CHECK_EQ(tool_run("invalidate --redis %s --space s k --timeout 60000", uri), 1);
    CHECK(tool_says("and nothing is stored there")); /* it is in */
    CHECK_EQ(tool_run("get --redis %s --space s k --timeout 60000", uri), 0);
    CHECK(tool_says("Redis does not have it"));
    snprintf(conf, sizeof(conf), "redis.password_file=%s", certs_path(certs, "password").text);
    setenv("NIGH_CONF", conf, 1); /* no CA that knows the server */
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_told_of_the_certificate());
    end();
}

static bool listens(void)
{
    int fd = dial_open(path);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

TEST(a_process_says_it_but_for_the_password)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh *cache;
    struct nigh_space *space;
    char *argv[] = {NIGH_TOOL, "watch", "-S", path, "--timeout", "60000", NULL};
    begin();
    snprintf(path, sizeof(path), "%s", certs_path(certs, "socket").text);
    o.redis_uri = uri;
    o.control_socket = path;
    o.trust_ms = o.l2_deadline_ms = WORLD_PATIENCE_MS;
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    REQUIRE_EQ(nigh_space_open(cache, "s", NULL, NULL, NULL, NULL, &space), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, listens() && nigh_health(cache) == NIGH_FRESH);
    unsetenv("NIGH_CONF");
    CHECK_EQ(tool_run("get -S %s redis.uri", path), 0);
    CHECK_EQ(strncmp(tool_out, uri, strlen(uri)), 0);
    tool_check_hears(space, argv, " key s \"a key\"");
    nigh_close(cache);
    end();
}
