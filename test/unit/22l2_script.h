/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the scripts share: a real server and a client of each case's own, and each
 * question in one call.
 */
#ifndef NIGH_TEST_L2_SCRIPT_H
#define NIGH_TEST_L2_SCRIPT_H

#include <stdio.h>

#include "l2/script.h"
#include "support/l2_client.h"

static const struct l2_frame frame = {{"HEAD", 4}, {"TAIL", 4}};

/* ---- what a case asks, in one call each ---- */

static inline struct l2_answer *get(struct client *c, const char *name)
{
    struct l2_key key = client_key(name);
    return CLIENT_ASK(c, l2_get, &key);
}

static inline struct l2_answer *lease(struct client *c, const char *name, uint64_t token,
                                      uint64_t rejected)
{
    struct l2_key key = client_key(name);
    const struct l2_lease l = {.token = token, .rejected = rejected, .lease_ms = 5000};
    return CLIENT_ASK(c, l2_lease, &key, &l);
}

static inline struct l2_answer *fill(struct client *c, const char *name, uint64_t token,
                                     uint64_t version, uint64_t connection)
{
    struct l2_key key = client_key(name);
    struct bytes envelope = client_envelope(token, version, "filled");
    const struct l2_fill f = {
        .token = token,
        .connection = connection,
        .version = version,
        .hard_ms = 60000,
        .envelope = envelope,
        .frame = frame,
    };
    struct l2_answer *a = CLIENT_ASK(c, l2_fill, &key, &f);
    client_envelope_free(envelope);
    return a;
}

static inline struct l2_answer *change_key(struct client *c, const char *name,
                                           enum l2_change_mode mode, uint64_t version,
                                           uint64_t token)
{
    struct bytes envelope = client_envelope(777, version, "written");
    const struct l2_change_key key = {
        .key = client_key(name),
        .mode = mode,
        .version = version,
        .token = token,
        .envelope = mode == L2_DELETE ? bytes_of(NULL, 0) : envelope,
        .hard_ms = 60000,
    };
    const struct l2_change change = {
        .keys = &key, .key_count = 1, .nonce = 42, .schemas = 42, .frame = frame};
    struct l2_answer *a = CLIENT_ASK(c, l2_change, &change);
    client_envelope_free(envelope);
    return a;
}

/* Status and verdict of an answer, which is freed. */
static inline int verdict_of(struct l2_answer *a)
{
    int verdict = a->status ? a->status : (int)a->verdict;
    l2_answer_free(a);
    return verdict;
}

/* 8 bytes of a key, little-endian; read through a double: below 2^53. */
static inline uint64_t le64_at(const struct redis *r, const char *key, unsigned at)
{
    static const char text[] =
        "return struct.unpack('<I8', redis.call('GETRANGE', KEYS[1], ARGV[1], ARGV[1] + 7))";
    return (uint64_t)redis_integer(r, "EVAL %s 1 %s %u", text, key, at);
}

static inline void put_le64_at(const struct redis *r, const char *key, unsigned at, uint64_t value)
{
    uint8_t le[8];
    put_le64(le, value);
    free(redis_command(r, "SETRANGE %s %u %b", key, at, le, sizeof(le)));
}

/* The case's own server and client, started and stopped by each. */
static struct redis server;
static struct client c;

static inline void begin(char *const *args)
{
    redis_start(&server, args);
    client_open(&c, server.uri);
}

static inline void end(void)
{
    client_close(&c);
    redis_stop(&server);
}

#endif
