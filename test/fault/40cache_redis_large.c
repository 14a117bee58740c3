// SPDX-License-Identifier: MIT
// Values that are too large for the way to Redis: they are handed out and kept in L1, and what all
// others share, the connection, does not suffer for them again and again.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "support/peer.h"

#define MIB ((size_t)1 << 20)

static char large[16 << 20];

/* A key says how large its value is: "<bytes>/anything". */
static int load_sized(void *arg, struct nigh_fill *const fills[], size_t n)
{
    size_t len;
    char key[64];
    const char *given = nigh_fill_key(fills[0], &len);
    (void)arg, (void)n;
    snprintf(key, sizeof(key), "%.*s", (int)len, given);
    return nigh_fill_value(fills[0], large, strtoul(key, NULL, 10));
}

struct node {
    struct nigh *cache;
    struct nigh_space *space;
};

static void node_begin(struct node *n, const char *uri)
{
    const struct redis nowhere = {.dir = ""};
    struct nigh_options o = patient_options(&nowhere);
    o.redis_uri = uri;
    o.l1_memory = 256u << 20;
    o.space.value_max = sizeof(large);
    o.log_to = NIGH_LOG_TO_NONE;
    REQUIRE_EQ(nigh_open(&o, &n->cache), 0);
    REQUIRE_EQ(nigh_space_open(n->cache, "s", NULL, load_sized, NULL, NULL, &n->space), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(n->cache) == NIGH_FRESH);
}

static int64_t count(const struct node *n, const char *name)
{
    return nigh_stats_value(n->cache, NULL, name);
}

/* Fills that have come to an end. */
static int64_t fates(const struct node *n)
{
    return count(n, "l2_fill") + count(n, "l2_fill_error") + count(n, "l2_fill_refused") +
           count(n, "l2_oversize");
}

/* Fetched, whole, and then in L1, whatever Redis says to it. */
static void have(struct node *n, size_t bytes, const char *more)
{
    char key[64];
    struct nigh_value v;
    struct nigh_call l1_only = NIGH_CALL_INIT;
    int64_t before = fates(n);
    l1_only.flags = NIGH_L1_ONLY;
    snprintf(key, sizeof(key), "%zu/%s", bytes, more);
    REQUIRE(nigh_fetch(n->space, key, strlen(key), NULL, &v) >= 0);
    CHECK_EQ(v.len, bytes);
    nigh_release(&v);
    REQUIRE(nigh_get(n->space, key, strlen(key), &l1_only, &v) >= 0);
    nigh_release(&v);
    CHECK_WITHIN(WORLD_PATIENCE_MS, fates(n) > before);
}

/* Each fill that fails here is the last one of its connection. */
static void settled(struct node *n)
{
    CHECK_WITHIN(WORLD_PATIENCE_MS, count(n, "l2_lost") >= count(n, "l2_fill_error"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, count(n, "in_flight") == 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(n->cache) == NIGH_FRESH && count(n, "connected"));
}

TEST(a_value_above_the_servers_limit_breaks_the_connection_once)
{
    static char *const args[] = {"--proto-max-bulk-len", "4mb", NULL};
    struct redis server;
    struct node n;
    redis_start(&server, args);
    node_begin(&n, server.uri);
    have(&n, 6 * MIB, "first");
    CHECK_WITHIN(WORLD_PATIENCE_MS, count(&n, "l2_lost") == 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, count(&n, "l2_connect") == 2);
    settled(&n);
    for (int i = 0; i < 5; i++) {
        char more[16];
        snprintf(more, sizeof(more), "%d", i);
        have(&n, 5 * MIB, more);
    }
    CHECK_EQ(count(&n, "l2_oversize"), 5);
    int64_t fills = count(&n, "l2_fill");
    have(&n, 3 * MIB + MIB / 2, "below"); /* what the server has told is exact */
    CHECK_WITHIN(WORLD_PATIENCE_MS, count(&n, "l2_fill") == fills + 1);

    /* A put of such a value is refused, and takes the old one away. */
    have(&n, 10, "put");
    CHECK_EQ(nigh_put(n.space, "10/put", 6, large, 5 * MIB, NULL), NIGH_REFUSED);
    struct nigh_call l1_only = NIGH_CALL_INIT;
    struct nigh_value v;
    l1_only.flags = NIGH_L1_ONLY;
    CHECK_EQ(nigh_get(n.space, "10/put", 6, &l1_only, &v), NIGH_MISS);
    CHECK_EQ(count(&n, "l2_lost"), 1);
    nigh_close(n.cache);
    redis_stop(&server);
}

TEST(without_a_right_to_ask_the_limit_is_found_by_halves)
{
    static char *const args[] = {"--proto-max-bulk-len", "1mb", "--user", "app", "on", ">old",
                                 "allkeys", "allchannels", "+@all", "-config", NULL};
    static const size_t sizes[] = {8 * MIB, 7 * MIB, 6 * MIB, 5 * MIB, 4 * MIB, 3 * MIB,
                                   2 * MIB, MIB + MIB / 2, MIB + MIB / 4, MIB + MIB / 8};
    struct redis server;
    struct node n;
    char uri[200];
    redis_start(&server, args);
    snprintf(uri, sizeof(uri), "unix://app:old@%s", server.socket);
    node_begin(&n, uri);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        have(&n, sizes[i], "v");
        settled(&n);
    }
    CHECK_LE(count(&n, "l2_lost"), 4); /* 8, 4, 2, 1 */
    CHECK_GE(count(&n, "l2_oversize"), 6);
    int64_t fills = count(&n, "l2_fill");
    have(&n, MIB / 2, "v");
    CHECK_WITHIN(WORLD_PATIENCE_MS, count(&n, "l2_fill") == fills + 1);
    nigh_close(n.cache);
    redis_stop(&server);
}

/* A frame is one argument, too. */
TEST(many_long_names_at_once_broke_the_connection_for_ever)
{
    enum { NAMES = 2048, LEN = 1000 };
    static char names[NAMES][LEN + 1];
    static struct nigh_target targets[NAMES];
    static char *const args[] = {"--proto-max-bulk-len", "1mb", NULL};
    struct redis server;
    struct node n;
    redis_start(&server, args);
    node_begin(&n, server.uri);
    for (int i = 0; i < NAMES; i++) {
        snprintf(names[i], sizeof(names[i]), "%0*d", LEN, i);
        targets[i] = (struct nigh_target){
            .kind = NIGH_TARGET_KEY, .space = n.space, .name = names[i], .name_len = LEN};
    }
    for (int i = 0; i < 4; i++) {
        int rc = nigh_invalidate_many(n.cache, targets, NAMES, NULL);
        CHECK(rc == 0 || rc == NIGH_QUEUED);
        CHECK_EQ(nigh_drain(n.cache, WORLD_PATIENCE_MS), 0);
        settled(&n);
    }
    CHECK_LE(count(&n, "l2_lost"), 1);
    nigh_close(n.cache);
    redis_stop(&server);
}

/* ---- room on the way ---- */

enum { PUTTERS = 6, PUTS = 2 };

struct putter {
    pthread_t thread;
    struct node *node;
    int number;
};

static void *put_large(void *arg)
{
    struct putter *p = arg;
    struct nigh_call slowly = NIGH_CALL_INIT;
    slowly.deadline_ms = 5 * WORLD_PATIENCE_MS; /* 96 MiB at once, and perhaps on a busy machine */
    for (int i = 0; i < PUTS; i++) {
        char key[16];
        int len = snprintf(key, sizeof(key), "%d.%d", p->number, i);
        int rc = nigh_put(p->node->space, key, (size_t)len, large, sizeof(large), &slowly);
        CHECK(rc == 0 || rc == NIGH_REFUSED); /* never queued: Redis is there */
    }
    return NULL;
}

TEST(large_values_on_their_way_made_redis_look_away_to_small_reads)
{
    struct redis server;
    struct node n;
    struct putter putters[PUTTERS];
    redis_start(&server, NULL);
    node_begin(&n, server.uri);
    for (int i = 0; i < PUTTERS; i++) {
        putters[i] = (struct putter){.node = &n, .number = i};
        REQUIRE(pthread_create(&putters[i].thread, NULL, put_large, &putters[i]) == 0);
    }
    int offline = 0;
    for (int i = 0; i < 300; i++) {
        struct nigh_call call = NIGH_CALL_INIT;
        struct nigh_value v;
        call.flags = NIGH_REFRESH | NIGH_NO_STORE;
        int rc = nigh_get(n.space, "small", 5, &call, &v);
        offline += rc == NIGH_EOFFLINE;
        if (rc >= 0 && rc != NIGH_MISS)
            nigh_release(&v);
    }
    for (int i = 0; i < PUTTERS; i++)
        pthread_join(putters[i].thread, NULL);
    CHECK(offline == 0 || count(&n, "l2_breaker_open") > 0); /* a machine that is too busy */
    CHECK_EQ(count(&n, "l2_lost"), 0);
    nigh_close(n.cache);
    redis_stop(&server);
}
