/* SPDX-License-Identifier: MIT */
/*
 * The private Redis of a run: one server, or what a fault wants around it; and how nodes find it.
 *
 *   one        a path leads to its unix socket
 *   replica    it has one, and the path may be led to either
 *   relay      the path leads to a relay (the one of the tests), and that to the server
 *   Sentinels  a master with two replicas, of which it needs one to take changes, and three who
 *              watch them: nodes ask those
 *   login      a port, where the user "nigh" has a password: nodes have it from a file
 *   TLS        a port, with a certificate of a CA made for the run: nodes know that CA alone
 *
 * The path is a symbolic link. Pointing it elsewhere is one rename(), so whoever connects meets
 * either the one server or the other; then the connections to the server that is left are ended, as
 * a proxy or a moved address would end them. All ports are of 127.0.0.1, chosen by the kernel; the
 * coordinator itself always talks over unix sockets.
 */
#ifndef PERF_SERVERS_H
#define PERF_SERVERS_H

#include <stdbool.h>
#include <stddef.h>

#include "support/redis_server.h"
#include "support/relay.h" /* that of the tests */

#define SERVERS_REPLICAS 2
#define SERVERS_SENTINELS 3

enum servers_kind {
    SERVERS_ONE,
    SERVERS_WITH_REPLICA,
    SERVERS_WITH_RELAY,
    SERVERS_WITH_SENTINELS,
    SERVERS_WITH_LOGIN,
    SERVERS_WITH_TLS,
};

struct servers {
    struct redis_server master; /* when the run begins */
    struct redis_server replicas[SERVERS_REPLICAS];
    struct redis_server sentinels[SERVERS_SENTINELS];
    struct relay relay;
    bool relayed;
    char path[300];
    char uri[400];           /* for nodes */
    char password_file[300]; /* for nodes; empty: none */
    char certificates[300];  /* the folder; empty: none */
    char tls_ca[340];        /* for nodes; empty: none */
    char error[400];         /* of what failed last */
};

/* NULL: this machine can start them; otherwise why it cannot. A server may be tried in `folder`. */
const char *servers_missing(enum servers_kind kind, const char *folder);

/* Start them in folders of their own below `folder`; they answer, replicas have all that there is
 * and Sentinels know one another when this returns. */
void servers_start(struct servers *s, const char *folder, enum servers_kind kind);
/* End those that run. */
void servers_stop(struct servers *s);
/* Whether one has ended without being told to. */
bool servers_crashed(struct servers *s);

/* Lead new connections to `to` from now on. */
bool servers_point(struct servers *s, const struct redis_server *to);
/* End all connections of clients, listeners included, to a server; not those of its replicas. */
bool servers_end_clients(struct servers *s, const struct redis_server *of);
/* A command, as redis_ask() takes it, whose reply is of no interest. */
bool servers_tell(struct servers *s, const struct redis_server *to, const char *command, ...);

/* Whether the master has as many replicas as it had in the beginning. */
bool servers_are_whole(const struct servers *s);
/* Have the Sentinels replace the master, though it lives. */
bool servers_replace(struct servers *s);
/* How many connections listen to what it publishes; -1: it does not say. */
/* How many lines of its log have these words. */
int servers_log_count(const struct redis_server *of, const char *words);

/* The port of the server that all Sentinels call the master, and that calls itself so; 0: they do
 * not agree. */
int servers_master_port(const struct servers *s);

/* Passwords of the user "nigh". */
#define SERVERS_FIRST_PASSWORD "first"
#define SERVERS_SECOND_PASSWORD "second"
/* Write one where nodes look for it: by rename, so that it is there whole. */
bool servers_hand_out(struct servers *s, const char *password);

/* Give the server a certificate that is good for so long from now; 0: longer than any run. */
bool servers_certify(struct servers *s, long seconds);

/* ---- certificates.c, or certificates_none.c without OpenSSL ---- */

/* NULL: they can be made. */
const char *certificates_missing(void);
/* Make a CA in a folder, ca.pem; sign the pair server.pem, server.key with it, good for so long. */
void certificates_begin(const char *folder);
void certificates_sign(const char *folder, long seconds);

#endif
