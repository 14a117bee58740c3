// SPDX-License-Identifier: MIT
// A master, its replicas and Sentinels for tests (topology.h).

#include "support/topology.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"

#define SETTLE_MS 60000

static bool says(const struct redis *server, const char *word, const char *command)
{
    char *reply = redis_command(server, command);
    bool found = reply && strstr(reply, word);
    free(reply);
    return found;
}

/* Whether Sentinel `i` knows both replicas and the other two. */
static bool is_settled(const struct topology *t, int i)
{
    char words[96];
    snprintf(words, sizeof words, ",slaves=%d,sentinels=%d", TOPOLOGY_SERVERS - 1, TOPOLOGY_COUNT);
    return says(&t->sentinels[i], "name=" TOPOLOGY_NAME ",status=ok,", "INFO sentinel") &&
           says(&t->sentinels[i], words, "INFO sentinel");
}

static void start_servers(struct topology *t, const char *certs, char *const *args)
{
    for (int i = 0; i < TOPOLOGY_SERVERS; i++)
        if (certs)
            redis_start_tls(&t->servers[i], certs, args);
        else
            redis_start_tcp(&t->servers[i], args);
    for (int i = 1; i < TOPOLOGY_SERVERS; i++)
        free(redis_command(&t->servers[i], "REPLICAOF 127.0.0.1 %d", t->servers[0].port));
    for (int i = 1; i < TOPOLOGY_SERVERS; i++)
        REQUIRE(CHECK_WITHIN(SETTLE_MS, says(&t->servers[i], "master_link_status:up",
                                             "INFO replication")));
}

/* `certs`: the Sentinels' folder of certificates; NULL: there is no TLS. */
static void start_sentinels(struct topology *t, const char *certs, char *const *args,
                            const char *conf)
{
    char text[1024];
    snprintf(text, sizeof text,
             "sentinel monitor " TOPOLOGY_NAME " 127.0.0.1 %d 2\n"
             "sentinel down-after-milliseconds " TOPOLOGY_NAME " 1000\n"
             "sentinel failover-timeout " TOPOLOGY_NAME " 3000\n"
             "sentinel parallel-syncs " TOPOLOGY_NAME " 2\n%s", t->servers[0].port,
             conf ? conf : "");
    int len = snprintf(t->uri, sizeof t->uri, "%s+sentinel://", certs ? "rediss" : "redis");
    for (int i = 0; i < TOPOLOGY_COUNT; i++) {
        redis_start_sentinel(&t->sentinels[i], certs, args, text);
        len += snprintf(t->uri + len, sizeof t->uri - (size_t)len, "%s127.0.0.1:%d",
                        i ? "," : "", t->sentinels[i].port);
    }
    snprintf(t->uri + len, sizeof t->uri - (size_t)len, "/" TOPOLOGY_NAME);
    for (int i = 0; i < TOPOLOGY_COUNT; i++)
        REQUIRE(CHECK_WITHIN(SETTLE_MS, is_settled(t, i)));
}

void topology_start(struct topology *t, char *const *args, const char *conf)
{
    start_servers(t, NULL, args);
    start_sentinels(t, NULL, NULL, conf);
}

void topology_start_tls(struct topology *t, const char *server_certs, const char *sentinel_certs,
                        char *const *args)
{
    start_servers(t, server_certs, args);
    start_sentinels(t, sentinel_certs, args, NULL);
}

void topology_stop(struct topology *t)
{
    for (int i = 0; i < TOPOLOGY_COUNT; i++)
        redis_stop(&t->sentinels[i]);
    for (int i = 0; i < TOPOLOGY_SERVERS; i++)
        redis_stop(&t->servers[i]);
}

int topology_master_of(const struct topology *t, int i)
{
    char *reply = redis_command(&t->sentinels[i], "SENTINEL GET-MASTER-ADDR-BY-NAME %s",
                                TOPOLOGY_NAME);
    const char *port = reply ? strchr(reply, '\n') : NULL;
    int found = -1;
    for (int k = 0; port && k < TOPOLOGY_SERVERS; k++)
        if (atoi(port + 1) == t->servers[k].port)
            found = k;
    free(reply);
    return found;
}

int topology_master(const struct topology *t)
{
    int master = topology_master_of(t, 0);
    for (int i = 1; i < TOPOLOGY_COUNT; i++)
        if (topology_master_of(t, i) != master)
            return -1;
    return master;
}

int topology_await_master(const struct topology *t)
{
    int master = -1;
    REQUIRE(CHECK_WITHIN(TOPOLOGY_FAILOVER_MS, (master = topology_master(t)) >= 0));
    return master;
}

bool topology_moved_from(const struct topology *t, int old)
{
    int now = topology_master(t);
    return now >= 0 && now != old && says(&t->servers[now], "role:master", "INFO replication");
}

bool topology_hears(const struct topology *t, const char *words)
{
    bool found = false;
    for (int i = 0; i < TOPOLOGY_COUNT; i++) {
        char *list = redis_command(&t->sentinels[i], "CLIENT LIST");
        for (char *rest = list, *line; (line = strtok_r(rest, "\n", &rest));)
            found = found || (strstr(line, words) && strstr(line, " sub=2 "));
        free(list);
    }
    return found;
}
