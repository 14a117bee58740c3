// SPDX-License-Identifier: MIT
/*
 * The two scripts of a load, each alone: LEASE on a miss, and FILL. No public call is one of them
 * and nothing else, so these are made by the library's own client of Redis (l2/l2.h).
 */
#include <stdio.h>
#include <string.h>

#include "l2/l2.h"
#include "link/link.h"
#include "support/fail.h"

#define DEADLINE_MS 20000u
#define CONNECT_NS  (20 * PERF_NS_PER_S)
#define LEASE_MS    60000u
#define FILL_MS 60000u
#define ENVELOPE_BYTES (LINK_ENVELOPE_BYTES + LINK_VALUE_BYTES)
#define SCHEMAS 77u /* what the list of schemas is called */
#define FILLS_MAX   256u /* calls of a round: each wants its leases before */
#define PATIENCE_MS 20000u

struct client {
    struct env env;
    struct stats stats;
    struct l2 *l2;
    uint64_t schemas; /* token of the list in which ours is, once a fill has put it there */
    uint64_t connection;
    uint64_t token;  /* the last one that has a lease */
    uint64_t filled; /* the last one that was filled */
};

/* The leases of one client are not those of the next: they last longer than it does. */
static uint64_t last_token;

static struct l2_key key_of(uint64_t token, char *buffer, size_t size)
{
    int len = snprintf(buffer, size, "load:%08lu", (unsigned long)token);
    return (struct l2_key){bytes_of_string("data"), bytes_of_string("1"),
                           bytes_of(buffer, (size_t)len)};
}

static struct l2_op op_of(struct client *c, struct l2_sync *sync)
{
    return l2_sync_op(sync, &c->env, clock_deadline_ns(c->env.clock, DEADLINE_MS));
}

/* Waits for what was submitted, and judges it. */
static void judge(struct client *c, struct l2_sync *sync, enum l2_verdict wanted)
{
    struct l2_answer *answer = l2_sync_wait(sync);
    if (answer->status != 0 || answer->verdict != wanted)
        fail("l2: %s, verdict %d", nigh_strerror(answer->status), (int)answer->verdict);
    c->connection = answer->connection;
    if (answer->verdict == L2_STORED)
        c->schemas = answer->clock.schemas;
    l2_answer_free(answer);
}

static void must_submit(int rc)
{
    if (rc != 0)
        fail("l2 refuses a request: %s", nigh_strerror(rc));
}

static void submit_lease(struct client *c, uint64_t token, struct l2_sync *sync)
{
    char buffer[32];
    struct l2_op op = op_of(c, sync);
    struct l2_key key = key_of(token, buffer, sizeof(buffer));
    struct l2_lease lease = {.token = token, .lease_ms = LEASE_MS};
    must_submit(l2_lease(c->l2, &key, &lease, &op));
}

static void submit_fill(struct client *c, uint64_t token, struct l2_sync *sync)
{
    char buffer[32], envelope[ENVELOPE_BYTES];
    struct l2_op op = op_of(c, sync);
    struct l2_key key = key_of(token, buffer, sizeof(buffer));
    const struct l2_envelope e = {
        .fill_id = token,
        .soft_ms = FILL_MS,
        .payload = bytes_of(link_world.value, LINK_VALUE_BYTES),
    };
    struct l2_fill fill = {
        .token = token,
        .connection = c->connection,
        .hard_ms = FILL_MS,
        .envelope = bytes_of(envelope, l2_envelope_size(&e)),
        .frame = {bytes_of_string("head"), bytes_of_string("tail")},
        .registration = {.ms = FILL_MS, .token = c->schemas, .nonce = SCHEMAS},
    };
    l2_envelope_encode(&e, envelope);
    must_submit(l2_fill(c->l2, &key, &fill, &op));
}

/* Runs as many at once as a round has, for the tokens from `first` on. */
static void run_all(struct client *c, uint64_t first,
                    void (*submit)(struct client *c, uint64_t token, struct l2_sync *sync),
                    enum l2_verdict wanted)
{
    struct l2_sync syncs[LINK_PIPELINE];
    for (unsigned i = 0; i < LINK_PIPELINE; i++)
        submit(c, first + i, &syncs[i]);
    for (unsigned i = 0; i < LINK_PIPELINE; i++)
        judge(c, &syncs[i], wanted);
}

/* Makes a clock, as there always is one where there are nodes. */
static void make_clock(struct client *c)
{
    struct l2_sync sync;
    struct l2_op op = op_of(c, &sync);
    struct l2_beat beat = {.limit = 1, .nonce = 1, .frame_head = bytes_of_string("head")};
    must_submit(l2_beat(c->l2, &beat, &op));
    judge(c, &sync, L2_NONE);
}

static void *open_client(const struct row *row)
{
    struct client *c = must_alloc(1, sizeof(*c));
    c->token = last_token;
    char *uri = must_print("unix://%s", link_world.server.socket);
    (void)row;
    if (env_init_real(&c->env, true) != 0 || stats_init(&c->stats, c->env.mem) != 0)
        fail("l2 does not open");
    const struct l2_config config = {
        .env = &c->env,
        .stats = &c->stats,
        .uri = uri,
        .prefix = "load",
        .connect_timeout_ms = 1000,
        .group_slots = GROUP_SLOTS_MIN,
        .reply_max_bytes = 1u << 20,
    };
    if (l2_open(&config, &c->l2) != 0)
        fail("l2 does not open");
    l2_set_patience(c->l2, PATIENCE_MS);
    for (uint64_t until = now_ns() + CONNECT_NS; !l2_connected(c->l2); sleep_ns(PERF_NS_PER_MS))
        if (now_ns() > until)
            fail("l2 does not connect");
    make_clock(c);
    free(uri);
    return c;
}

static void close_client(void *self)
{
    struct client *c = self;
    last_token = c->token;
    l2_close(c->l2);
    stats_fini(&c->stats);
    env_fini(&c->env);
    free(c);
}

static void take_leases(struct client *c)
{
    run_all(c, c->token + 1, submit_lease, L2_GRANTED);
    c->token += LINK_PIPELINE;
}

static void call_lease(void *self, unsigned thread, uint64_t n)
{
    (void)thread;
    (void)n;
    take_leases(self);
}

static uint64_t prepare_fills(void *self)
{
    struct client *c = self;
    c->filled = c->token;
    for (unsigned i = 0; i < FILLS_MAX; i++)
        take_leases(c);
    return FILLS_MAX;
}

static void call_fill(void *self, unsigned thread, uint64_t n)
{
    struct client *c = self;
    (void)thread;
    (void)n;
    run_all(c, c->filled + 1, submit_fill, L2_STORED);
    c->filled += LINK_PIPELINE;
}

/* clang-format off */
const struct side side_lease = {
    "nigh LEASE", "evalsha", .open = open_client, .call = call_lease, .close = close_client};
const struct side side_fill = {
    "nigh FILL", "evalsha", .open = open_client, .call = call_fill, .close = close_client,
    .prepare = prepare_fills};
/* clang-format on */
