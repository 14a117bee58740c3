/* SPDX-License-Identifier: MIT */
/*
 * The world of the tests of the scripts: a real server and a client of each case's own, and each
 * question in one call.
 */
#ifndef NIGH_TEST_L2_SCRIPT_H
#define NIGH_TEST_L2_SCRIPT_H

#include <stdio.h>

#include "l2/script.h"
#include "support/l2_client.h"

static const struct l2_frame script_frame = {{"HEAD", 4}, {"TAIL", 4}};

/* ---- what a case asks, in one call each ---- */

struct l2_answer *script_get(struct client *c, const char *name);
struct l2_answer *script_lease(struct client *c, const char *name, uint64_t token,
                               uint64_t rejected);
struct l2_answer *script_fill(struct client *c, const char *name, uint64_t token, uint64_t version,
                              uint64_t connection);
struct l2_answer *script_change_key(struct client *c, const char *name, enum l2_change_mode mode,
                                    uint64_t version, uint64_t token);
/* Many keys: the i-th under token `token` + i, with no value rejected and no version. */
struct l2_answer *script_lease_many(struct client *c, const char *const *names, uint32_t count,
                                    uint64_t token);
struct l2_answer *script_fill_many(struct client *c, const char *const *names, uint32_t count,
                                   uint64_t token);
enum l2_verdict script_lease_at(struct l2_answer *a, uint32_t i);

/* Status and verdict of an answer, which is freed. */
int script_verdict(struct l2_answer *a);

/* 8 bytes of a key, little-endian; read through a double: below 2^53. */
uint64_t script_le64_at(const struct redis *r, const char *key, unsigned at);
void script_put_le64_at(const struct redis *r, const char *key, unsigned at, uint64_t value);

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
