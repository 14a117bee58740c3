// SPDX-License-Identifier: MIT
/*
 * Starting, pointing at and ending the private Redis of a run.
 */
#include "nodes/servers.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/fail.h"
#include "support/folder.h"
#include "support/redis_ask.h"

/* Between the choice of a port and its use another process may take it. */
#define PORTS_TRIED 5
#define SETTLED_NS (60 * PERF_NS_PER_S)
#define LOOK_EVERY_NS (5 * PERF_NS_PER_MS)
#define INFO_BYTES 16384

#define MASTER_NAME "nigh"
#define LIFE_OF_CERTIFICATES_S 86400

static char *folder_of(const char *folder, const char *name)
{
    char *path = must_print("%s/%s", folder, name);
    folder_make(path);
    return path;
}

/* On a unix socket alone. */
static void start(struct redis_server *server, const char *folder)
{
    redis_server_start(server, folder);
    redis_server_wait(server);
}

/* A word of the options that is the port, or NULL: --port has it. */
static void start_with_port(struct redis_server *server, const char *folder, char *word)
{
    for (int i = 0; i < PORTS_TRIED; i++) {
        int port = redis_server_free_port();
        if (word)
            sprintf(word, "%d", port);
        else
            server->port = port;
        redis_server_start(server, folder);
        if (redis_server_comes_up(server)) {
            server->port = port;
            return;
        }
        redis_server_stop(server);
    }
    fail("redis-server does not start; see %s/redis.log", folder);
}

static bool says(const struct redis_server *server, const char *section, const char *words)
{
    char info[INFO_BYTES];
    return redis_ask(server, info, sizeof(info), "INFO %s", section) && strstr(info, words);
}

static void await(const struct redis_server *server, const char *section, const char *words)
{
    for (uint64_t until = now_ns() + SETTLED_NS; now_ns() < until; sleep_ns(LOOK_EVERY_NS))
        if (says(server, section, words))
            return;
    fail("no %s in its INFO %s; see %s/redis.log", words, section, server->folder);
}

/* The first replica gives its master a new replication id: no node may have seen the old one. */
static void start_replica(struct servers *s, const char *folder, int number)
{
    char name[16];
    struct redis_server *replica = &s->replicas[number];
    snprintf(name, sizeof(name), "replica%d", number);
    char *own = folder_of(folder, name);
    replica->master_port = s->master.port;
    start_with_port(replica, own, NULL);
    await(replica, "replication", "master_link_status:up");
    free(own);
}

/* ---- Sentinels ---- */

static void start_sentinel(struct servers *s, const char *folder, int number)
{
    char name[16];
    snprintf(name, sizeof(name), "sentinel%d", number);
    char *own = folder_of(folder, name), *path = must_print("%s/sentinel.conf", own);
    FILE *out = fopen(path, "we");
    if (!out || fprintf(out,
                        "sentinel monitor " MASTER_NAME " 127.0.0.1 %d 2\n"
                        "sentinel down-after-milliseconds " MASTER_NAME " 1000\n"
                        "sentinel failover-timeout " MASTER_NAME " 3000\n"
                        "sentinel parallel-syncs " MASTER_NAME " 2\n",
                        s->master.port) < 0 ||
        fclose(out) != 0)
        fail("cannot write %s", path);
    s->sentinels[number].is_sentinel = true;
    start_with_port(&s->sentinels[number], own, NULL);
    free(path);
    free(own);
}

/* As README advises: a master without replicas takes no changes, so that none is lost for long. */
static void start_sentinels(struct servers *s, const char *folder, const char *own)
{
    static char *const options[] = {"--min-replicas-to-write", "1", "--min-replicas-max-lag", "2",
                                    NULL};
    char words[64];
    s->master.options = s->replicas[0].options = s->replicas[1].options = options;
    start_with_port(&s->master, own, NULL);
    int len = snprintf(s->uri, sizeof(s->uri), "redis+sentinel://");
    for (int i = 0; i < SERVERS_REPLICAS; i++)
        start_replica(s, folder, i);
    for (int i = 0; i < SERVERS_SENTINELS; i++) {
        start_sentinel(s, folder, i);
        len += snprintf(s->uri + len, sizeof(s->uri) - (size_t)len, "%s127.0.0.1:%d",
                        i ? "," : "", s->sentinels[i].port);
    }
    snprintf(s->uri + len, sizeof(s->uri) - (size_t)len, "/" MASTER_NAME);
    snprintf(words, sizeof(words), ",slaves=%d,sentinels=%d", SERVERS_REPLICAS, SERVERS_SENTINELS);
    for (int i = 0; i < SERVERS_SENTINELS; i++)
        await(&s->sentinels[i], "sentinel", words);
}

static const struct redis_server *server_at(const struct servers *s, int port)
{
    for (int i = 0; i < SERVERS_REPLICAS; i++)
        if (s->replicas[i].port == port)
            return &s->replicas[i];
    return s->master.port == port ? &s->master : NULL;
}

int servers_master_port(const struct servers *s)
{
    int agreed = 0;
    for (int i = 0; i < SERVERS_SENTINELS; i++) {
        char port[16];
        if (!redis_ask(&s->sentinels[i], port, sizeof(port),
                       "SENTINEL GET-MASTER-ADDR-BY-NAME " MASTER_NAME) ||
            (agreed && atoi(port) != agreed))
            return 0;
        agreed = atoi(port);
    }
    const struct redis_server *server = server_at(s, agreed);
    return server && server->pid && says(server, "replication", "role:master") ? agreed : 0;
}

bool servers_are_whole(const struct servers *s)
{
    char words[32];
    const struct redis_server *master = server_at(s, servers_master_port(s));
    snprintf(words, sizeof(words), "connected_slaves:%d", SERVERS_REPLICAS);
    return master && says(master, "replication", words);
}

/* The leader refuses while another replacement is under way, or has just begun. */
bool servers_replace(struct servers *s)
{
    return servers_tell(s, &s->sentinels[0], "SENTINEL FAILOVER " MASTER_NAME);
}

/* ---- passwords and certificates ---- */

bool servers_hand_out(struct servers *s, const char *password)
{
    char *next = must_print("%s.next", s->password_file);
    FILE *out = fopen(next, "we");
    bool well = out && fprintf(out, "%s\n", password) > 0;
    well = out && fclose(out) == 0 && well && rename(next, s->password_file) == 0;
    if (!well)
        snprintf(s->error, sizeof(s->error), "cannot write %s", s->password_file);
    free(next);
    return well;
}

static void start_with_login(struct servers *s, const char *folder, const char *own)
{
    static char *const options[] = {"--user", "nigh", "on", ">" SERVERS_FIRST_PASSWORD,
                                    "~*",     "&*",   "+@all", NULL};
    s->master.options = options;
    start_with_port(&s->master, own, NULL);
    snprintf(s->uri, sizeof(s->uri), "redis://nigh@127.0.0.1:%d", s->master.port);
    snprintf(s->password_file, sizeof(s->password_file), "%s/password", folder);
    if (!servers_hand_out(s, SERVERS_FIRST_PASSWORD))
        fail("%s", s->error);
}

static void start_with_tls(struct servers *s, const char *folder, const char *own)
{
    static char port[16], cert[340], key[340], ca[340];
    static char *const options[] = {
        "--tls-port", port, "--tls-cert-file",    cert, "--tls-key-file",     key,
        "--tls-ca-cert-file", ca,   "--tls-auth-clients", "no", NULL};
    char *certificates = folder_of(folder, "certificates");
    snprintf(s->certificates, sizeof(s->certificates), "%s", certificates);
    snprintf(cert, sizeof(cert), "%s/server.pem", s->certificates);
    snprintf(key, sizeof(key), "%s/server.key", s->certificates);
    snprintf(ca, sizeof(ca), "%s/ca.pem", s->certificates);
    snprintf(s->tls_ca, sizeof(s->tls_ca), "%s", ca);
    free(certificates);
    certificates_begin(s->certificates);
    certificates_sign(s->certificates, LIFE_OF_CERTIFICATES_S);
    s->master.options = options;
    start_with_port(&s->master, own, port);
    snprintf(s->uri, sizeof(s->uri), "rediss://127.0.0.1:%s", port);
}

/* A server reads its pair again when it is told its name, be it the same. */
bool servers_certify(struct servers *s, long seconds)
{
    certificates_sign(s->certificates, seconds ? seconds : LIFE_OF_CERTIFICATES_S);
    return servers_tell(s, &s->master, "CONFIG SET tls-cert-file %s/server.pem", s->certificates);
}

/* A server that knows no TLS ends at the first option about it. */
static const char *tls_missing(const char *folder)
{
    static char *const options[] = {"--tls-auth-clients", "no", NULL};
    struct redis_server probe = {.options = options};
    if (certificates_missing())
        return certificates_missing();
    char *own = folder_of(folder, "probe");
    redis_server_start(&probe, own);
    bool knows = redis_server_comes_up(&probe);
    redis_server_stop(&probe);
    free(own);
    return knows ? NULL : "redis-server is built without TLS";
}

const char *servers_missing(enum servers_kind kind, const char *folder)
{
    return kind == SERVERS_WITH_TLS ? tls_missing(folder) : NULL;
}

/* ---- all of them ---- */

static bool point(struct servers *s, const char *socket)
{
    char next[320];
    snprintf(next, sizeof(next), "%s.next", s->path);
    unlink(next);
    if (symlink(socket, next) == 0 && rename(next, s->path) == 0)
        return true;
    snprintf(s->error, sizeof(s->error), "the path of Redis cannot be moved: %m");
    return false;
}

static void start_on_path(struct servers *s, const char *folder, const char *own,
                          enum servers_kind kind)
{
    s->relayed = kind == SERVERS_WITH_RELAY;
    if (kind == SERVERS_WITH_REPLICA) {
        start_with_port(&s->master, own, NULL);
        start_replica(s, folder, 0);
    } else {
        start(&s->master, own);
    }
    if (s->relayed)
        relay_open_to(&s->relay, folder, s->master.socket);
    snprintf(s->path, sizeof(s->path), "%s/redis.at", folder);
    snprintf(s->uri, sizeof(s->uri), "unix://%s", s->path);
    if (!point(s, s->relayed ? s->relay.socket : s->master.socket))
        fail("%s", s->error);
}

void servers_start(struct servers *s, const char *folder, enum servers_kind kind)
{
    char *own = folder_of(folder, "redis");
    *s = (struct servers){.path = ""};
    switch (kind) {
    case SERVERS_WITH_LOGIN:
        start_with_login(s, folder, own);
        break;
    case SERVERS_WITH_TLS:
        start_with_tls(s, folder, own);
        break;
    case SERVERS_WITH_SENTINELS:
        start_sentinels(s, folder, own);
        break;
    default:
        start_on_path(s, folder, own, kind);
    }
    free(own);
}

void servers_stop(struct servers *s)
{
    if (s->relayed)
        relay_close(&s->relay);
    s->relayed = false;
    for (int i = 0; i < SERVERS_SENTINELS; i++)
        redis_server_stop(&s->sentinels[i]);
    for (int i = 0; i < SERVERS_REPLICAS; i++)
        redis_server_stop(&s->replicas[i]);
    redis_server_stop(&s->master);
}

bool servers_crashed(struct servers *s)
{
    bool crashed = redis_server_crashed(&s->master);
    for (int i = 0; i < SERVERS_REPLICAS; i++)
        crashed |= redis_server_crashed(&s->replicas[i]);
    for (int i = 0; i < SERVERS_SENTINELS; i++)
        crashed |= redis_server_crashed(&s->sentinels[i]);
    return crashed;
}

bool servers_point(struct servers *s, const struct redis_server *to)
{
    return point(s, to->socket);
}

bool servers_tell(struct servers *s, const struct redis_server *to, const char *command, ...)
{
    char reply[120];
    va_list args;
    va_start(args, command);
    bool well = redis_ask_with(to, reply, sizeof(reply), command, args);
    va_end(args);
    if (!well)
        snprintf(s->error, sizeof(s->error), "redis-server refuses %s: %s", command, reply);
    return well;
}

bool servers_end_clients(struct servers *s, const struct redis_server *of)
{
    return servers_tell(s, of, "CLIENT KILL TYPE normal SKIPME yes") &&
           servers_tell(s, of, "CLIENT KILL TYPE pubsub SKIPME yes");
}

int servers_log_count(const struct redis_server *of, const char *words)
{
    char path[300], line[1024];
    int count = 0;
    snprintf(path, sizeof(path), "%s/redis.log", of->folder);
    FILE *in = fopen(path, "re");
    while (in && fgets(line, sizeof(line), in))
        count += strstr(line, words) != NULL;
    if (in)
        fclose(in);
    return count;
}
