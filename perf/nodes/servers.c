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
#define COPIED_NS (10 * PERF_NS_PER_S)
#define LOOK_EVERY_NS (5 * PERF_NS_PER_MS)

static void start_with_port(struct redis_server *server, const char *folder)
{
    for (int i = 0; i < PORTS_TRIED; i++) {
        server->port = redis_server_free_port();
        redis_server_start(server, folder);
        if (redis_server_comes_up(server))
            return;
        redis_server_stop(server);
    }
    fail("redis-server does not start; see %s/redis.log", folder);
}

/* The first replica gives its master a new replication id: no node may have seen the old one. */
static void wait_until_copied(struct servers *s)
{
    char info[4096];
    for (uint64_t until = now_ns() + COPIED_NS; now_ns() < until; sleep_ns(LOOK_EVERY_NS))
        if (redis_ask(&s->replica, "INFO replication", info, sizeof(info)) &&
            strstr(info, "master_link_status:up"))
            return;
    fail("the replica does not copy its master; see %s/redis.log", s->replica.folder);
}

static void start_replica(struct servers *s, const char *folder)
{
    folder_make(folder);
    s->replica.master_port = s->master.port;
    redis_server_start(&s->replica, folder);
    redis_server_wait(&s->replica);
    wait_until_copied(s);
}

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

void servers_start(struct servers *s, const char *folder, bool with_replica, bool relayed)
{
    char *of_master = must_print("%s/redis", folder);
    char *of_replica = must_print("%s/replica", folder);
    *s = (struct servers){.path = ""};
    snprintf(s->path, sizeof(s->path), "%s/redis.at", folder);
    folder_make(of_master);
    if (with_replica) {
        start_with_port(&s->master, of_master);
        start_replica(s, of_replica);
    } else {
        redis_server_start(&s->master, of_master);
        redis_server_wait(&s->master);
    }
    if (relayed)
        relay_open_to(&s->relay, folder, s->master.socket);
    s->relayed = relayed;
    if (!point(s, relayed ? s->relay.socket : s->master.socket))
        fail("%s", s->error);
    free(of_master);
    free(of_replica);
}

void servers_stop(struct servers *s)
{
    if (s->relayed)
        relay_close(&s->relay);
    s->relayed = false;
    redis_server_stop(&s->replica);
    redis_server_stop(&s->master);
}

bool servers_crashed(struct servers *s)
{
    return redis_server_crashed(&s->master) || redis_server_crashed(&s->replica);
}

bool servers_point(struct servers *s, const struct redis_server *to)
{
    return point(s, to->socket);
}

bool servers_tell(struct servers *s, const struct redis_server *to, const char *command)
{
    char reply[120];
    if (redis_ask(to, command, reply, sizeof(reply)))
        return true;
    snprintf(s->error, sizeof(s->error), "redis-server refuses %s: %s", command, reply);
    return false;
}

bool servers_end_clients(struct servers *s, const struct redis_server *of)
{
    return servers_tell(s, of, "CLIENT KILL TYPE normal SKIPME yes") &&
           servers_tell(s, of, "CLIENT KILL TYPE pubsub SKIPME yes");
}
