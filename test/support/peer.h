/* SPDX-License-Identifier: MIT */
/*
 * peer.h - a node among others, for tests of what they tell one another.
 *
 *     struct world a, b;
 *     peer_open(&a, &(struct peer){.uri = server.uri}, NULL);
 *     peer_open(&b, &(struct peer){.uri = server.uri, .schema = "2"}, &a.origin);
 *     peers_have(&a, &b, "k");                  // both say the origin's row, fresh
 *     origin_commit(&a.origin);
 *     CHECK_EQ(peer_tell(&a, NIGH_TARGET_KEY, "k"), 0);
 *     CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&b, &a.origin, "k"));
 *
 * Its values outlive every test and its trust every pause of a busy machine: what is stale or gone
 * here is so because of something that happened.
 */
#ifndef NIGH_TEST_PEER_H
#define NIGH_TEST_PEER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/origin.h"

#define PEER_TTL_MS (3600u * 1000)
#define PEER_QUIET_MS 60000u /* between beats, for who counts commands */

struct peer {
    const char *uri;
    const char *schema;  /* NULL: the default one */
    uint32_t beat_ms;    /* 0: quick */
    nigh_log_fn log;
    void *log_arg;
    uint32_t queue_items; /* 0: the default */
};

/* For redis_start(): with the commands that put the server into the states of these tests. */
static char *const peer_server_args[] = {"--enable-debug-command", "local", NULL};

/* Opened, and not waited for. */
void peer_begin(struct world *w, const struct peer *p, struct origin *origin);
bool peer_is_ready(const struct world *w);
void peer_open(struct world *w, const struct peer *p, struct origin *origin);

/* Whether a fetch gives this text, fresh. */
bool peer_sees(struct world *w, const char *key, const char *text);
struct peer_row {
    char text[64];
};

/* Returns the origin's row of the key as it is now. */
struct peer_row peer_row(const struct origin *o, const char *key);
bool peer_sees_row(struct world *w, const struct origin *o, const char *key);

/* Waits until the row that `o` has of the key now is fresh on both, and in L1 there. */
void peers_have(struct world *a, struct world *b, const struct origin *o, const char *key);
int peer_tell_version(struct world *w, enum nigh_target_kind kind, const char *name,
                      uint64_t version);
int peer_tell(struct world *w, enum nigh_target_kind kind, const char *name);

/* A loader's script: the row, under the tag "tag". */
int peer_tagged(struct origin *o, struct nigh_fill *fill);
bool peer_exists(const struct redis *server, const char *key);

/* How often the server has run a command, inside scripts too; NULL: all but what tests themselves
 * and listeners send. */
long long peer_commands(const struct redis *server, const char *command);

#endif
