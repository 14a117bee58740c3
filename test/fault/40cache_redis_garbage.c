// SPDX-License-Identifier: MIT
// What should not be in Redis: envelopes with each of their parts wrong, replies that are too
// large or of another type, garbage on the channel. A miss, counted, and never served.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis.h>

#include "support/origin.h"

#define DATA_KEY "nigh:!2:s:1:k"

/* A binary-safe connection of the test's own. */
static redisContext *dial(const struct redis *server)
{
    redisContext *c = redisConnectUnix(server->socket);
    REQUIRE(c && !c->err);
    return c;
}

static size_t read_raw(const struct redis *server, char *ret, size_t room)
{
    redisContext *c = dial(server);
    redisReply *r = redisCommand(c, "GET " DATA_KEY);
    REQUIRE(r && r->type == REDIS_REPLY_STRING && r->len <= room);
    memcpy(ret, r->str, r->len);
    size_t len = r->len;
    freeReplyObject(r);
    redisFree(c);
    return len;
}

static void write_raw(const struct redis *server, const char *bytes, size_t len)
{
    redisContext *c = dial(server);
    redisReply *r = redisCommand(c, "SET " DATA_KEY " %b PX 100000", bytes, len);
    REQUIRE(r && r->type == REDIS_REPLY_STATUS);
    freeReplyObject(r);
    redisFree(c);
}

static long long publish(const struct redis *server, const char *bytes, size_t len)
{
    redisContext *c = dial(server);
    redisReply *r = redisCommand(c, "PUBLISH nigh:!2:!inv:0 %b", bytes, len);
    REQUIRE(r && r->type == REDIS_REPLY_INTEGER);
    long long heard = r->integer;
    freeReplyObject(r);
    redisFree(c);
    return heard;
}

/* A node that has nothing of "k", while Redis holds a right envelope of it, generation 1. */
static size_t prepare(struct world *w, const struct redis *server, char *raw, size_t room)
{
    struct world other;
    patient_open(&other, server, NULL, NULL);
    CHECK_ANSWER(ask_fetch(other.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&other, "l2_fill") == 1);
    world_close(&other);
    patient_open(w, server, NULL, NULL);
    origin_commit(&w->origin);
    return read_raw(server, raw, room);
}

/* The node meets these bytes: it must load, count them, and never show generation 1. */
static void meet(struct world *w, const struct redis *server, const char *bytes, size_t len,
                 const char *what)
{
    CHECK_EQ(nigh_invalidate(w->space, "k", 1, NULL), 0);
    write_raw(server, bytes, len);
    int64_t bad = world_count(w, "envelope_bad");
    unsigned failed = check_failed_count();
    CHECK_EQ(ask_get(w->space, "k", NULL).outcome, NIGH_MISS);
    CHECK_EQ(world_count(w, "envelope_bad"), bad + 1);
    CHECK_ANSWER(ask_fetch(w->space, "k", NULL), NIGH_FRESH, "k=2");
    CHECK_GE(world_count(w, "envelope_bad"), bad + 2);
    /* What the load left in Redis is right again, for this node and all others. */
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = NIGH_REFRESH;
    CHECK_WITHIN(WORLD_PATIENCE_MS, ask_get(w->space, "k", &call).outcome == NIGH_FRESH);
    if (check_failed_count() != failed)
        check_note("that was %s", what);
}

TEST(every_flipped_byte_of_an_envelope_is_noticed)
{
    struct redis server;
    struct world w;
    char raw[512], bad[512], what[64];
    redis_start(&server, NULL);
    size_t len = prepare(&w, &server, raw, sizeof(raw));
    CHECK_EQ(memcmp(raw + len - 3, "k=1", 3), 0);
    for (size_t i = 0; i < len; i++) {
        memcpy(bad, raw, len);
        bad[i] = (char)(bad[i] ^ (1 << (i % 8)));
        snprintf(what, sizeof(what), "byte %zu flipped", i);
        meet(&w, &server, bad, len, what);
    }
    world_close(&w);
    redis_stop(&server);
}

TEST(every_shortened_or_lengthened_envelope_is_noticed)
{
    struct redis server;
    struct world w;
    char raw[512], bad[600], what[64];
    redis_start(&server, NULL);
    size_t len = prepare(&w, &server, raw, sizeof(raw));
    for (size_t i = 0; i < len; i++) {
        snprintf(what, sizeof(what), "cut to %zu", i);
        meet(&w, &server, raw, i, what);
    }
    memset(bad, 0, sizeof(bad));
    memcpy(bad, raw, len);
    meet(&w, &server, bad, len + 1, "one longer");
    meet(&w, &server, bad, sizeof(bad), "much longer");
    memset(bad, 0xff, sizeof(bad));
    meet(&w, &server, bad, sizeof(bad), "all ones");
    world_close(&w);
    redis_stop(&server);
}

/* So that the cases above fail for the right reason. */
TEST(a_right_envelope_written_by_hand_is_served)
{
    struct redis server;
    struct world w;
    char raw[512];
    redis_start(&server, NULL);
    size_t len = prepare(&w, &server, raw, sizeof(raw));
    write_raw(&server, raw, len);
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(world_count(&w, "envelope_bad"), 0);
    world_close(&w);
    redis_stop(&server);
}

TEST(a_key_of_another_type_is_an_error_not_a_value)
{
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    free(redis_command(&server, "LPUSH " DATA_KEY " x"));
    int rc = ask_get(w.space, "k", NULL).outcome;
    CHECK(rc == NIGH_MISS || rc == NIGH_EREDIS);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_ANSWER(ask_fetch(w.space, "other", NULL), NIGH_FRESH, "other=1");
    /* An invalidation deletes whatever is there. */
    CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), 0);
    CHECK_EQ(redis_integer(&server, "EXISTS " DATA_KEY), 0);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    world_close(&w);
    redis_stop(&server);
}

TEST(a_reply_over_the_limit_costs_the_connection_not_the_caller)
{
    struct redis server;
    struct world w;
    char *const args[] = {"--proto-max-bulk-len", "512mb", NULL};
    redis_start(&server, args);
    patient_open(&w, &server, NULL, NULL);
    free(redis_command(&server, "SETRANGE " DATA_KEY " 70000000 x")); /* over the format's 64 MiB */
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = WORLD_PATIENCE_MS; /* it is the limit that ends it, not the time */
    /* Again, should Redis have been so busy with those zeros that it was given up for silent. */
    CHECK_WITHIN(WORLD_PATIENCE_MS, ask_get(w.space, "k", &call).outcome < 0 &&
                                        world_count(&w, "l2_bad_reply") == 1);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
    CHECK_WITHIN(WORLD_PATIENCE_MS, ask_fetch(w.space, "other", NULL).outcome == NIGH_FRESH);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_invalidate(w.space, "k", 1, NULL) == 0);
    CHECK_EQ(nigh_drain(w.cache, WORLD_PATIENCE_MS), 0);
    CHECK_LE(world_count(&w, "memory_peak_bytes"), world_count(&w, "memory_cap_bytes"));
    world_close(&w);
    redis_stop(&server);
}

TEST(a_large_right_value_passes)
{
    struct redis server;
    struct world a, b;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    char *big = calloc(1, 3u << 20);
    REQUIRE(big);
    memset(big, 'b', 3u << 20);
    so.value_max = 4u << 20;
    redis_start(&server, NULL);
    patient_open(&a, &server, NULL, &so);
    patient_open(&b, &server, NULL, &so);
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = WORLD_PATIENCE_MS;
    CHECK_EQ(nigh_put(a.space, "k", 1, big, 3u << 20, &call), 0);
    struct nigh_value v = NIGH_VALUE_INIT;
    CHECK_EQ(nigh_get(b.space, "k", 1, &call, &v), NIGH_FRESH);
    CHECK_MEM(v.data, v.len, big, 3u << 20);
    nigh_release(&v);
    free(big);
    nodes_close(&a, &b, &server);
}

/* ---- it heals ---- */

/* Bytes under a data key, without a TTL, as whoever shares the Redis would leave them. */
static void put_raw(const struct redis *server, const char *key, const char *bytes, size_t len)
{
    redisContext *c = dial(server);
    redisReply *r = redisCommand(c, "SET nigh:!2:s:1:%s %b", key, bytes, len);
    REQUIRE(r && r->type == REDIS_REPLY_STATUS);
    freeReplyObject(r);
    redisFree(c);
}

/* One fetch on one node is enough: then L2 is right again, and the other node need not load. */
static void heal(struct world *a, struct world *b, const struct redis *server, const char *key,
                 const char *what)
{
    char row[32];
    unsigned failed = check_failed_count(), loads = a->origin.loads;
    int64_t fills = world_count(a, "l2_fill");
    snprintf(row, sizeof(row), "%s=1", key);
    CHECK_ANSWER(ask_fetch(a->space, key, NULL), NIGH_FRESH, row);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(a, "l2_fill") == fills + 1);
    CHECK_GT(redis_integer(server, "PTTL nigh:!2:s:1:%s", key), 0);
    struct answer got = ask_fetch(b->space, key, NULL);
    CHECK_ANSWER(got, NIGH_FRESH, row);
    CHECK_EQ(got.tier, NIGH_TIER_L2);
    CHECK_EQ(a->origin.loads, loads + 1);
    if (check_failed_count() != failed)
        check_note("that was %s", what);
}

TEST(what_cannot_be_read_stayed_in_l2_for_ever)
{
    struct redis server;
    struct world a, b;
    char raw[512], bad[512], key[16], what[64];
    redis_start(&server, NULL);
    size_t len = prepare(&b, &server, raw, sizeof(raw));
    world_close(&b);
    patient_open(&a, &server, NULL, NULL);
    patient_open(&b, &server, &a.origin, NULL);
    put_raw(&server, "garbage", "garbage", 7);
    heal(&a, &b, &server, "garbage", "garbage of 7 bytes");
    put_raw(&server, "empty", "", 0);
    heal(&a, &b, &server, "empty", "an empty string");
    for (size_t i = 0; i < len; i++) {
        memcpy(bad, raw, len);
        bad[i] = (char)(bad[i] ^ (1 << (i % 8)));
        snprintf(key, sizeof(key), "k%zu", i);
        snprintf(what, sizeof(what), "byte %zu flipped", i);
        put_raw(&server, key, bad, len);
        heal(&a, &b, &server, key, what);
    }
    nodes_close(&a, &b, &server);
}

/* ---- the channel ---- */

TEST(garbage_on_the_channel_is_counted_and_changes_nothing)
{
    struct redis server;
    struct world a, b;
    char noise[4096];
    uint64_t random = check_seed();
    patient_nodes_open(&a, &b, &server);
    CHECK_ANSWER(ask_fetch(a.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, ask_fetch(b.space, "k", NULL).outcome == NIGH_FRESH);
    for (int i = 0; i < 500; i++) {
        size_t len = i < 100 ? (size_t)i : check_random(&random) % sizeof(noise);
        for (size_t j = 0; j < len; j++)
            noise[j] = (char)check_random(&random);
        CHECK_EQ(publish(&server, noise, len), 2);
    }
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&b, "frame_bad") == 500);
    CHECK_ANSWER(ask_get(b.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(a.origin.loads, 1);
    origin_commit(&a.origin);
    CHECK_EQ(nigh_invalidate(a.space, "k", 1, NULL), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, strcmp(ask_fetch(b.space, "k", NULL).text, "k=2") == 0);
    nodes_close(&a, &b, &server);
}

/* A frame as it was heard, replayed whole and with each byte flipped: the sequence says it is old,
 * or it asks for a beat; either way what is stored stays right. */
TEST(replayed_and_damaged_frames_do_no_harm)
{
    struct redis server;
    struct world a, b;
    patient_nodes_open(&a, &b, &server);
    redisContext *c = dial(&server);
    freeReplyObject(redisCommand(c, "SUBSCRIBE nigh:!2:!inv:0"));
    CHECK_EQ(nigh_invalidate(a.space, "k", 1, NULL), 0);
    redisReply *r;
    REQUIRE(redisGetReply(c, (void **)&r) == REDIS_OK && r->elements == 3);
    char frame[2048];
    size_t len = r->element[2]->len;
    REQUIRE(len > 0 && len <= sizeof(frame));
    memcpy(frame, r->element[2]->str, len);
    freeReplyObject(r);
    redisFree(c);
    CHECK_ANSWER(ask_fetch(b.space, "k", NULL), NIGH_FRESH, "k=1");
    for (size_t i = 0; i <= len; i++) {
        if (i > 0)
            frame[i - 1] = (char)(frame[i - 1] ^ 0x10);
        CHECK_GE(publish(&server, frame, len), 2);
        if (i > 0)
            frame[i - 1] = (char)(frame[i - 1] ^ 0x10);
        CHECK_GE(publish(&server, frame, i), 2);
    }
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&b, "frame") >= (int64_t)(2 * len));
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(b.cache) == NIGH_FRESH);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&b, "following") == 1);
    origin_commit(&a.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_invalidate(a.space, "k", 1, NULL) == 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, strcmp(ask_fetch(b.space, "k", NULL).text, "k=2") == 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, ask_fetch(b.space, "k", NULL).outcome == NIGH_FRESH);
    nodes_close(&a, &b, &server);
}
