// SPDX-License-Identifier: MIT
/*
 * nigh's reads over three wires to the same server: its unix socket, TCP, and TLS over TCP. The
 * server gets a port when the first side wants it; its certificate, which vouches for itself, is
 * made by the program openssl.
 */
#include <stdio.h>
#include <stdlib.h>

#include "link/link.h"
#include "support/fail.h"
#include "support/redis_ask.h"

/* Whether the server does as it is told by a CONFIG SET; else a side says why. */
static bool set(const char *what)
{
    char reply[200];
    char *command = must_print("CONFIG SET %s", what);
    bool done = redis_ask(&link_world.server, reply, sizeof(reply), command);
    if (!done)
        link_why(must_print("redis-server: %s", reply)); /* kept: it is said at the end */
    free(command);
    return done;
}

static bool set_port(const char *name, int port)
{
    char *what = must_print("%s %d", name, port);
    bool done = set(what);
    free(what);
    return done;
}

static bool make_certificate(const char *folder)
{
    char *command = must_print(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=nigh -addext subjectAltName=IP:127.0.0.1 -keyout '%s/tls.key' "
        "-out '%s/tls.pem' >/dev/null 2>&1",
        folder, folder);
    bool made = system(command) == 0;
    free(command);
    if (!made)
        link_why("there is no program openssl");
    return made;
}

/* Returns the port, once it is open; 0: it cannot be. */
static int tcp_port(void)
{
    static int port;
    int tried = port ? 0 : redis_server_free_port();
    if (tried && set_port("port", tried))
        port = tried;
    return port;
}

static int tls_port(void)
{
    static int port;
    const char *folder = link_world.server.folder;
    if (port || !make_certificate(folder))
        return port;
    int tried = redis_server_free_port();
    char *files = must_print("tls-auth-clients no tls-cert-file %s/tls.pem tls-key-file %s/tls.key",
                             folder, folder);
    if (set(files) && set_port("tls-port", tried))
        port = tried;
    free(files);
    return port;
}

static void *open_unix(const struct row *row)
{
    struct nigh_options options = link_options(link_prefix(row->audience));
    return link_near_open(row, &options);
}

static void *open_tcp(const struct row *row)
{
    struct nigh_options options = link_options(link_prefix(row->audience));
    int port = tcp_port();
    if (!port)
        return NULL;
    options.redis_uri = must_print("redis://127.0.0.1:%d", port);
    return link_near_open(row, &options);
}

static void *open_tls(const struct row *row)
{
    struct nigh_options options = link_options(link_prefix(row->audience));
    int port = tls_port();
    if (!port)
        return NULL;
    options.redis_uri = must_print("rediss://127.0.0.1:%d", port);
    options.tls_ca = must_print("%s/tls.pem", link_world.server.folder);
    return link_near_open(row, &options);
}

const struct side side_unix = {.name = "unix socket", .commands = "get", .open = open_unix,
                               .call = link_near_get, .close = link_near_close};
const struct side side_tcp = {.name = "TCP", .commands = "get", .open = open_tcp,
                              .call = link_near_get, .close = link_near_close};
const struct side side_tls = {.name = "TLS", .commands = "get", .open = open_tls,
                              .call = link_near_get, .close = link_near_close};
