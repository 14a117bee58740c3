// SPDX-License-Identifier: MIT
// A client of the test's own on a real server.

#include "support/l2_client.h"

struct l2_config client_config(struct client *c, const char *uri)
{
    return (struct l2_config){
        .env = &c->env,
        .stats = &c->stats,
        .uri = uri,
        .prefix = "t",
        .connect_timeout_ms = 1000,
        .group_slots = CLIENT_SLOTS,
        .reply_max_bytes = 1u << 20,
    };
}

void client_init(struct client *c, bool own_threads)
{
    *c = (struct client){0};
    REQUIRE_EQ(env_init_real(&c->env, own_threads), 0);
    REQUIRE_EQ(stats_init(&c->stats, c->env.mem), 0);
}

void client_fini(struct client *c)
{
    stats_fini(&c->stats);
    env_fini(&c->env);
}

void client_open(struct client *c, const char *uri)
{
    client_init(c, true);
    struct l2_config config = client_config(c, uri);
    REQUIRE_EQ(l2_open(&config, &c->l2), 0);
    l2_set_patience(c->l2, CLIENT_DEADLINE_MS); /* a busy machine is no slow Redis */
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c->l2)));
}

void client_close(struct client *c)
{
    l2_close(c->l2);
    client_fini(c);
}

struct l2_op client_op(struct client *c, struct l2_sync *s, uint32_t ms)
{
    return l2_sync_op(s, &c->env, clock_deadline_ns(c->env.clock, ms));
}

struct l2_key client_key(const char *key)
{
    return (struct l2_key){bytes_of_string("s"), bytes_of_string("1"), bytes_of_string(key)};
}

struct bytes client_envelope(uint64_t fill_id, uint64_t version, const char *payload)
{
    const struct l2_envelope e = {
        .fill_id = fill_id,
        .version = version,
        .soft_ms = 1000,
        .payload = bytes_of_string(payload),
    };
    size_t len = l2_envelope_size(&e);
    void *buffer = malloc(len);
    REQUIRE(buffer);
    l2_envelope_encode(&e, buffer);
    return bytes_of(buffer, len);
}

void client_envelope_free(struct bytes envelope)
{
    union {
        const void *in;
        void *out;
    } p = {envelope.data};
    free(p.out);
}
