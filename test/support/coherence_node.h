/* SPDX-License-Identifier: MIT */
/*
 * coherence_node.h - a node without a cache, for tests against a real server: link, keeper and
 * listener threads, and a sink that remembers what it was told.
 *
 * Keys are named "k0", "k1", ...; a key's version is what the sink remembers it by.
 */
#ifndef NIGH_TEST_COHERENCE_NODE_H
#define NIGH_TEST_COHERENCE_NODE_H

#include <stdio.h>
#include <stdlib.h>

#include "coherence/coherence.h"
#include "support/check.h"

#define NODE_SLOTS GROUP_SLOTS_MIN
#define NODE_KEYS 256
#define NODE_PATIENCE_MS 20000 /* of a test, never its verdict */
#define NODE_SILENCE_MS 1000   /* then a change is queued of who knows that Redis is silent */

struct node {
    struct env env;
    struct stats stats;
    struct l2 *l2;
    struct coherence *c;
    struct service keeper;
    uint32_t trust_ms;

    _Atomic uint64_t keys[NODE_KEYS];         /* highest version heard of each */
    _Atomic unsigned key_count;
    _Atomic unsigned groups[NODE_SLOTS][2];   /* hard, soft */
    _Atomic unsigned fills, wakes, losses;
};

static inline void node_group(void *arg, uint16_t slot, bool soft)
{
    struct node *n = arg;
    n->groups[slot][soft]++;
}

static inline uint64_t node_key(void *arg, const struct coherence_item *item)
{
    struct node *n = arg;
    char text[16] = {0};
    memcpy(text, item->bytes.data, u64_min(item->bytes.len, sizeof(text) - 1));
    unsigned index = (unsigned)strtoul(text + 1, NULL, 10) % NODE_KEYS;
    if (item->version > n->keys[index]) /* the apply lock is held */
        n->keys[index] = item->version;
    return ++n->key_count;
}

static inline void node_fill(void *arg, const struct coherence_item *item)
{
    (void)item;
    ((struct node *)arg)->fills++;
}

static inline void node_wake(void *arg)
{
    ((struct node *)arg)->wakes++;
}

static inline struct bytes node_schema(void *arg, struct bytes space)
{
    (void)arg, (void)space;
    return bytes_of_string("v1");
}

static inline void node_lost(void *arg)
{
    ((struct node *)arg)->losses++;
}

static inline uint64_t node_keep(void *arg)
{
    struct node *n = arg;
    return coherence_tick(n->c);
}

static inline void node_poke(void *arg)
{
    struct node *n = arg;
    service_poke(&n->keeper);
}

struct node_options {
    const char *uri;
    uint32_t trust_ms;
    uint32_t beat_ms;
    uint32_t group_slots; /* 0: NODE_SLOTS */
};

static inline struct node *node_open(struct node_options o)
{
    struct node *n = calloc(1, sizeof(*n));
    REQUIRE(n);
    n->trust_ms = o.trust_ms;
    REQUIRE_EQ(env_init_real(&n->env, true), 0);
    REQUIRE_EQ(stats_init(&n->stats, n->env.mem), 0);
    uint32_t slots = o.group_slots ? o.group_slots : NODE_SLOTS;
    struct l2_config link = {
        .env = &n->env,
        .stats = &n->stats,
        .uri = o.uri,
        .prefix = "t",
        .connect_timeout_ms = 1000,
        .group_slots = slots,
        .reply_max_bytes = 2u << 20,
    };
    REQUIRE_EQ(l2_open(&link, &n->l2), 0);
    l2_set_patience(n->l2, NODE_PATIENCE_MS);
    struct coherence_config config = {
        .env = &n->env,
        .stats = &n->stats,
        .l2 = n->l2,
        .sink = {node_group, node_key, node_fill, node_wake, node_lost, node_schema, n},
        .trust_ms = o.trust_ms,
        .beat_ms = o.beat_ms,
        .group_slots = slots,
        .queue_items = 1024,
    };
    REQUIRE_EQ(coherence_open(&config, &n->c), 0);
    REQUIRE_EQ(service_start(&n->keeper, &n->env, "keeper", node_keep, n), 0);
    coherence_set_poke(n->c, node_poke, n);
    return n;
}

static inline void node_close(struct node *n)
{
    service_stop(&n->keeper);
    coherence_close(n->c);
    l2_close(n->l2);
    stats_fini(&n->stats);
    env_fini(&n->env);
    free(n);
}

static inline struct coherence_gauges node_gauges(struct node *n)
{
    struct coherence_gauges g;
    coherence_gauges_read(n->c, &g);
    return g;
}

static inline bool node_ready(struct node *n)
{
    struct coherence_gauges g = node_gauges(n);
    return g.trusted && g.listening && g.identity != 0;
}

/* Both follow the same clock, and have applied the same. */
static inline bool node_agree(struct node *a, struct node *b)
{
    struct coherence_gauges ga = node_gauges(a), gb = node_gauges(b);
    return ga.identity == gb.identity && ga.applied == gb.applied && ga.identity != 0;
}

static inline uint64_t node_count(struct node *n, enum stats_counter counter)
{
    return stats_read(&n->stats, counter);
}

static inline int node_change_within(struct node *n, const struct coherence_item *item, uint32_t ms,
                                     struct coherence_position *ret_position)
{
    struct coherence_change change = {
        .items = item,
        .item_count = 1,
        .deadline_ns = clock_deadline_ns(n->env.clock, ms),
    };
    return coherence_change(n->c, &change, ret_position);
}

static inline int node_change(struct node *n, const struct coherence_item *item,
                              struct coherence_position *ret_position)
{
    return node_change_within(n, item, NODE_PATIENCE_MS, ret_position);
}

/* Invalidate "k<index>" with that version. */
static inline int node_change_key_within(struct node *n, unsigned index, uint64_t version,
                                         uint32_t ms)
{
    char key[16];
    snprintf(key, sizeof(key), "k%u", index);
    struct coherence_item item = {
        .kind = WIRE_KEY,
        .space = bytes_of_string("s"),
        .bytes = bytes_of_string(key),
        .version = version,
    };
    return node_change_within(n, &item, ms, NULL);
}

static inline int node_change_key(struct node *n, unsigned index, uint64_t version)
{
    return node_change_key_within(n, index, version, NODE_PATIENCE_MS);
}

static inline struct coherence_item node_tag(const char *tag, bool soft)
{
    return (struct coherence_item){.kind = WIRE_TAG, .soft = soft, .bytes = bytes_of_string(tag)};
}

#endif
