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
};

/* For redis_start(): with the commands that put the server into the states of these tests. */
static char *const peer_server_args[] = {"--enable-debug-command", "local", NULL};

/* Opened, and not waited for. */
static inline void peer_begin(struct world *w, const struct peer *p, struct origin *origin)
{
    const struct redis server = {.dir = ""};
    struct nigh_options o = patient_options(&server);
    o.redis_uri = p->uri;
    o.workers = 1;
    o.space.schema = p->schema;
    o.space.soft_ttl_ms = PEER_TTL_MS;
    o.space.load_deadline_ms = WORLD_PATIENCE_MS;
    o.log = p->log;
    o.log_arg = p->log_arg;
    if (p->beat_ms) {
        o.beat_ms = p->beat_ms;
        o.trust_ms = 10 * PEER_QUIET_MS;
    }
    origin_init(&w->origin);
    world_open_with(w, &o, NULL, origin ? origin : &w->origin);
}

static inline bool peer_is_ready(const struct world *w)
{
    return nigh_health(w->cache) == NIGH_FRESH && world_count(w, "listening") == 1;
}

static inline void peer_open(struct world *w, const struct peer *p, struct origin *origin)
{
    peer_begin(w, p, origin);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(w)));
}

/* Whether a fetch gives this text, fresh. */
static inline bool peer_sees(struct world *w, const char *key, const char *text)
{
    struct answer got = ask_fetch(w->space, key, NULL);
    return got.outcome == NIGH_FRESH && strcmp(got.text, text) == 0;
}

struct peer_row {
    char text[64];
};

/* What the origin says of the key now. */
static inline struct peer_row peer_row(const struct origin *o, const char *key)
{
    struct peer_row row;
    snprintf(row.text, sizeof(row.text), "%s=%u", key, atomic_load(&o->generation));
    return row;
}

static inline bool peer_sees_row(struct world *w, const struct origin *o, const char *key)
{
    return peer_sees(w, key, peer_row(o, key).text);
}

/* What `o` says of the key now is fresh on both, and in L1 there. */
static inline void peers_have(struct world *a, struct world *b, const struct origin *o,
                              const char *key)
{
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(a, o, key));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(b, o, key));
}

static inline int peer_tell_version(struct world *w, enum nigh_target_kind kind, const char *name,
                                    uint64_t version)
{
    struct nigh_target t = {.kind = kind, .space = w->space, .name = name,
                            .name_len = name ? strlen(name) : 0, .version = version};
    return nigh_invalidate_many(w->cache, &t, 1, NULL);
}

static inline int peer_tell(struct world *w, enum nigh_target_kind kind, const char *name)
{
    return peer_tell_version(w, kind, name, 0);
}

/* A loader's script: the row, under the tag "tag". */
static inline int peer_tagged(struct origin *o, struct nigh_fill *fill)
{
    CHECK_EQ(nigh_fill_add_tag(fill, "tag"), 0);
    return origin_answer(o, fill);
}

static inline bool peer_exists(const struct redis *server, const char *key)
{
    return redis_integer(server, "EXISTS %s", key) == 1;
}

/* How often the server has run a command, inside scripts too; NULL: all but what tests themselves
 * and listeners send. */
static inline long long peer_commands(const struct redis *server, const char *command)
{
    char *text = redis_command(server, "INFO commandstats"), *line, *rest = text;
    long long sum = 0;
    REQUIRE(text);
    while ((line = strtok_r(rest, "\r\n", &rest))) {
        char name[64];
        long long calls;
        if (sscanf(line, "cmdstat_%63[^:]:calls=%lld", name, &calls) != 2)
            continue;
        bool counts = command ? strcmp(name, command) == 0
                              : strcmp(name, "info") != 0 && strcmp(name, "ping") != 0;
        sum += counts ? calls : 0;
    }
    free(text);
    return sum;
}

#endif
