// SPDX-License-Identifier: MIT
// Two nodes on one server.

#include "support/peer.h"

void peer_begin(struct world *w, const struct peer *p, struct origin *origin)
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
    if (p->queue_items)
        o.queue_items = p->queue_items;
    if (p->beat_ms) {
        o.beat_ms = p->beat_ms;
        o.trust_ms = 10 * PEER_QUIET_MS;
    }
    origin_init(&w->origin);
    world_open_with(w, &o, NULL, origin ? origin : &w->origin);
}

bool peer_is_ready(const struct world *w)
{
    return nigh_health(w->cache) == NIGH_FRESH && world_count(w, "listening") == 1;
}

void peer_open(struct world *w, const struct peer *p, struct origin *origin)
{
    peer_begin(w, p, origin);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(w)));
}

bool peer_sees(struct world *w, const char *key, const char *text)
{
    struct answer got = ask_fetch(w->space, key, NULL);
    return got.outcome == NIGH_FRESH && strcmp(got.text, text) == 0;
}

struct peer_row peer_row(const struct origin *o, const char *key)
{
    struct peer_row row;
    snprintf(row.text, sizeof(row.text), "%s=%u", key, atomic_load(&o->generation));
    return row;
}

bool peer_sees_row(struct world *w, const struct origin *o, const char *key)
{
    return peer_sees(w, key, peer_row(o, key).text);
}

void peers_have(struct world *a, struct world *b, const struct origin *o, const char *key)
{
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(a, o, key));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(b, o, key));
}

int peer_tell_version(struct world *w, enum nigh_target_kind kind, const char *name,
                      uint64_t version)
{
    struct nigh_target t = {.kind = kind, .space = w->space, .name = name,
                            .name_len = name ? strlen(name) : 0, .version = version};
    return nigh_invalidate_many(w->cache, &t, 1, NULL);
}

int peer_tell(struct world *w, enum nigh_target_kind kind, const char *name)
{
    return peer_tell_version(w, kind, name, 0);
}

int peer_tagged(struct origin *o, struct nigh_fill *fill)
{
    CHECK_EQ(nigh_fill_add_tag(fill, "tag"), 0);
    return origin_answer(o, fill);
}

bool peer_exists(const struct redis *server, const char *key)
{
    return redis_integer(server, "EXISTS %s", key) == 1;
}

long long peer_commands(const struct redis *server, const char *command)
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
