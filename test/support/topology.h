/* SPDX-License-Identifier: MIT */
/*
 * topology.h - a master, two replicas, and three Sentinels that watch them.
 *
 *     topology_start(&t, NULL);
 *     o.redis_uri = t.uri;
 *     int dead = topology_await_master(&t);
 *     redis_kill(&t.servers[dead]);
 *     CHECK_WITHIN(..., topology_master(&t) != dead);  // seconds: they wait one
 *     topology_stop(&t);
 *
 * All on the loopback, on free ports, as struct redis is. A Sentinel believes a clock that jumps to
 * be a machine in trouble, and does nothing for 30 s: on a busy one a failover may take that long.
 */
#ifndef NIGH_TEST_TOPOLOGY_H
#define NIGH_TEST_TOPOLOGY_H

#include "support/redis.h"

#define TOPOLOGY_SERVERS 3
#define TOPOLOGY_COUNT 3
#define TOPOLOGY_NAME "mymaster"
#define TOPOLOGY_FAILOVER_MS 120000 /* a test's patience */

struct topology {
    struct redis servers[TOPOLOGY_SERVERS]; /* the first is the master, in the beginning */
    struct redis sentinels[TOPOLOGY_COUNT];
    char uri[256]; /* redis+sentinel://..., or rediss+sentinel:// */
};

/* Started, and all know one another. `conf`: more lines of the Sentinels' configuration, or NULL;
 * `args`: more options of the servers, or NULL. */
void topology_start(struct topology *t, char *const *args, const char *conf);
/* The same over TLS: they show the pair "server" of these folders (certs.h). The options are for
 * all of them, for they speak to one another, too. */
void topology_start_tls(struct topology *t, const char *server_certs, const char *sentinel_certs,
                        char *const *args);
void topology_stop(struct topology *t);

/* Returns the number of the server that Sentinel `i` calls the master; -1: it answers nothing. */
int topology_master_of(const struct topology *t, int i);
/* Returns the one that all of them call the master; -1: they do not agree. */
int topology_master(const struct topology *t);
/* Waits until they agree: on a busy machine they may replace one that lives. */
int topology_await_master(const struct topology *t);
/* Whether a client with these words in CLIENT LIST has both its subscriptions at one Sentinel. */
bool topology_hears(const struct topology *t, const char *words);
/* Whether that is another than `old`, and it knows that it is one. */
bool topology_moved_from(const struct topology *t, int old);

#endif
