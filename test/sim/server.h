/* SPDX-License-Identifier: MIT */
/*
 * A simulated Redis: RESP in, RESP out, one command at a time, scripts run by Lua. Two of them make
 * a primary and the replica that may be promoted.
 */
#ifndef NIGH_SIM_SERVER_H
#define NIGH_SIM_SERVER_H

#include "sim/store.h"
#include "sim/world.h"

#define SERVERS 2
#define REPLID_LEN 40

struct link; /* one connection, net.h */

struct server {
    int index;
    bool down;
    uint64_t paused_until_ns;
    uint64_t wall_offset_ms;   /* wall clock - world's time, modulo 2^64 */
    char replid[REPLID_LEN + 1];
    struct store store;
    uint64_t scripts_known;    /* bit by script: loaded since the start */
    struct chance chance;
};

/* Who sends a command: its database, and whether it is a script that does. */
struct session {
    struct server *server;
    struct link *link;
    unsigned db;
    bool in_script;
    bool wrote; /* some command of it changed a key */
    int node;
};

extern struct server servers[SERVERS];

void servers_init(uint64_t seed);
void servers_fini(void);
uint64_t server_wall_ms(const struct server *s);
/* A new replication id: a restart, a promotion. */
void server_new_replid(struct server *s);

/* Run one command, its reply appended to `out`. */
void command_run(struct session *session, const struct bytes *argv, uint32_t argc,
                 struct buffer *out);
bool command_is(struct bytes word, const char *name);
/* EVAL and EVALSHA, by lua.c. */
void script_run(struct session *session, const struct bytes *argv, uint32_t argc,
                struct buffer *out);

/* Does for PUBLISH what the network does: returns how many subscribers it was sent to. */
unsigned net_publish(struct server *s, struct bytes channel, struct bytes payload);

#endif
