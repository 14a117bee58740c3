/* SPDX-License-Identifier: MIT */
/*
 * The private Redis of a run: a master, a replica of it where a fault wants one, and the path by
 * which nodes find the server that they are to talk to.
 *
 * The path is a symbolic link to the unix socket of one of the two. Pointing it elsewhere is one
 * rename(), so whoever connects meets either the one server or the other; then the connections to
 * the server that is left are ended, as a proxy or a moved address would end them. For faults of
 * the wire the path leads to a relay (the one of the tests), and that to the master.
 */
#ifndef PERF_SERVERS_H
#define PERF_SERVERS_H

#include <stdbool.h>
#include <stddef.h>

#include "support/redis_server.h"
#include "support/relay.h" /* that of the tests */

struct servers {
    struct redis_server master;
    struct redis_server replica; /* of `master` when the run begins */
    struct relay relay;          /* before `master`, where `relayed` */
    bool relayed;
    char path[300];
    char error[200]; /* of what failed last */
};

/* Start them in folders of their own below `folder`, with a relay in between if a fault wants one;
 * they answer, and the replica has all that there is, when this returns. */
void servers_start(struct servers *s, const char *folder, bool with_replica, bool relayed);
/* End those that run. */
void servers_stop(struct servers *s);
/* Whether one has ended without being told to. */
bool servers_crashed(struct servers *s);

/* Lead new connections to `to` from now on. */
bool servers_point(struct servers *s, const struct redis_server *to);
/* End all connections of clients, listeners included, to a server; not those of its replicas. */
bool servers_end_clients(struct servers *s, const struct redis_server *of);
/* A command whose reply is of no interest. */
bool servers_tell(struct servers *s, const struct redis_server *to, const char *command);

#endif
