/* SPDX-License-Identifier: MIT */
/*
 * l2_client.h - an L2 client for tests: opened with one call, asked with one call each.
 */
#ifndef NIGH_TEST_L2_CLIENT_H
#define NIGH_TEST_L2_CLIENT_H

#include <stdlib.h>

#include "l2/l2.h"
#include "support/check.h"
#include "support/redis.h"

#define CLIENT_SLOTS GROUP_SLOTS_MIN
#define CLIENT_GROUPS_AT 640 /* in the clock */
#define CLIENT_CLK_BYTES (CLIENT_GROUPS_AT + 16 * CLIENT_SLOTS)
#define CLIENT_DEADLINE_MS 20000 /* a test's patience, never its verdict */

struct client {
    struct env env;
    struct stats stats;
    struct l2 *l2;
};

struct l2_config client_config(struct client *c, const char *uri);
void client_init(struct client *c, bool own_threads);
void client_fini(struct client *c);

/* Opened, and connected. */
void client_open(struct client *c, const char *uri);
void client_close(struct client *c);
struct l2_op client_op(struct client *c, struct l2_sync *s, uint32_t ms);

/* Submit with `call(c->l2, ..., &op)`, whose answer comes to `sync`. On a machine so busy that the
 * breaker opens it is refused for a while. */
#define CLIENT_SUBMIT(c, sync, call, ...)                                                          \
    __extension__({                                                                                \
        struct l2_op op_;                                                                          \
        REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS,                                                   \
                             (op_ = client_op((c), (sync), CLIENT_DEADLINE_MS),                    \
                              call((c)->l2, ##__VA_ARGS__, &op_) == 0)));                          \
    })

/* Submit and wait: the answer, to be freed. */
#define CLIENT_ASK(c, call, ...)                                                                   \
    __extension__({                                                                                \
        struct l2_sync sync_;                                                                      \
        CLIENT_SUBMIT(c, &sync_, call, ##__VA_ARGS__);                                             \
        l2_sync_wait(&sync_);                                                                      \
    })

/* Arguments of l2_beat() and l2_resync(). */
#define CLIENT_BEAT(after, limit_, nonce_)                                                         \
    &(const struct l2_beat)                                                                        \
    {                                                                                              \
        .after_seq = (after), .limit = (limit_), .nonce = (nonce_), .frame_head = {"HEAD", 4}      \
    }
#define CLIENT_RESYNC(nonce_)                                                                      \
    &(const struct l2_resync)                                                                      \
    {                                                                                              \
        .nonce = (nonce_)                                                                          \
    }

struct l2_key client_key(const char *key);

/* An envelope around `payload` in malloc'ed memory. */
struct bytes client_envelope(uint64_t fill_id, uint64_t version, const char *payload);
void client_envelope_free(struct bytes envelope);

#endif
