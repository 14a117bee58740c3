// SPDX-License-Identifier: MIT
// A node without a cache.

#include "support/coherence_node.h"

uint64_t node_group(void *arg, uint16_t slot, bool soft)
{
    struct node *n = arg;
    n->groups[slot][soft]++;
    return 0;
}

void node_renew(void *arg, uint64_t left_at)
{
    (void)arg;
    (void)left_at;
}

uint64_t node_key(void *arg, const struct coherence_item *item)
{
    struct node *n = arg;
    char text[16] = {0};
    memcpy(text, item->bytes.data, u64_min(item->bytes.len, sizeof(text) - 1));
    unsigned index = (unsigned)strtoul(text + 1, NULL, 10) % NODE_KEYS;
    if (item->version > n->keys[index]) /* the apply lock is held */
        n->keys[index] = item->version;
    return ++n->key_count;
}

uint64_t node_floor(void *arg, const struct coherence_item *item)
{
    (void)item;
    return ((struct node *)arg)->key_count;
}

void node_fill(void *arg, const struct coherence_item *item)
{
    (void)item;
    ((struct node *)arg)->fills++;
}

void node_wake(void *arg)
{
    ((struct node *)arg)->wakes++;
}

struct bytes node_schema(void *arg, struct bytes space)
{
    (void)arg, (void)space;
    return bytes_of_string("v1");
}

void node_lost(void *arg)
{
    ((struct node *)arg)->losses++;
}

uint64_t node_keep(void *arg)
{
    struct node *n = arg;
    return coherence_tick(n->c);
}

void node_poke(void *arg)
{
    struct node *n = arg;
    service_poke(&n->keeper);
}

struct node *node_start(struct node_options o)
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
        .sink = {node_group, NULL, node_renew, node_key, node_floor, node_fill, node_wake,
                 node_lost, node_schema, n},
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

void node_stop(struct node *n)
{
    service_stop(&n->keeper);
    coherence_close(n->c);
    l2_close(n->l2);
    stats_fini(&n->stats);
    env_fini(&n->env);
    free(n);
}

struct coherence_gauges node_gauges(struct node *n)
{
    struct coherence_gauges g;
    coherence_gauges_read(n->c, &g);
    return g;
}

bool node_ready(struct node *n)
{
    struct coherence_gauges g = node_gauges(n);
    return g.trusted && g.listening && g.identity != 0;
}

bool node_agree(struct node *a, struct node *b)
{
    struct coherence_gauges ga = node_gauges(a), gb = node_gauges(b);
    return ga.identity == gb.identity && ga.applied == gb.applied && ga.identity != 0;
}

uint64_t node_count(struct node *n, enum stats_counter counter)
{
    return stats_read(&n->stats, counter);
}

int node_change_within(struct node *n, const struct coherence_item *item, uint32_t ms,
                       struct coherence_position *ret_position)
{
    struct coherence_change change = {
        .items = item,
        .item_count = 1,
        .deadline_ns = clock_deadline_ns(n->env.clock, ms),
    };
    return coherence_change(n->c, &change, ret_position);
}

int node_change(struct node *n, const struct coherence_item *item,
                struct coherence_position *ret_position)
{
    return node_change_within(n, item, NODE_PATIENCE_MS, ret_position);
}

int node_change_key_within(struct node *n, unsigned index, uint64_t version, uint32_t ms)
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

int node_change_key(struct node *n, unsigned index, uint64_t version)
{
    return node_change_key_within(n, index, version, NODE_PATIENCE_MS);
}

struct coherence_item node_tag(const char *tag, bool soft)
{
    return (struct coherence_item){.kind = WIRE_TAG, .soft = soft, .bytes = bytes_of_string(tag)};
}

uint16_t node_space_slot(void)
{
    uint64_t hash = hash_wire(WIRE_SPACE, bytes_of_string("s"), bytes_of("", 0));
    return hash_group_slot(WIRE_SPACE, hash, NODE_SLOTS);
}
