// SPDX-License-Identifier: MIT
/*
 * Mini caches: their nodes, and how requests pass through them.
 *
 * A block holds nodes, links, an index by hash (open addressing) and a sketch. Free nodes are a
 * stack, in their own memory.
 */
#include "l1/mini.h"

#include <string.h>

#define RESIDENCE_SHARE 8 /* ages are averaged over about so many */

/* ---- nodes ---- */

static uint64_t spread(uint32_t hash)
{
    return hash * UINT64_C(0x9e3779b97f4a7c15);
}

/* A sketch reads 52 bits: the lowest eight, which depend on the fewest bits of the hash, are left
 * out. */
uint64_t mini_spread(uint32_t hash)
{
    return spread(hash) >> 8;
}

static uint64_t node_hash(void *arg, uint32_t node)
{
    const struct mini *s = arg;
    return mini_spread(s->nodes[node].hash);
}

static uint32_t node_weight(void *arg, uint32_t node)
{
    const struct mini *s = arg;
    return s->nodes[node].weight;
}

static bool node_harvest(void *arg, uint32_t node)
{
    struct mini *s = arg;
    bool hit = s->nodes[node].hit;
    s->nodes[node].hit = false;
    return hit;
}

static void node_prefetch(void *arg, uint32_t node)
{
    (void)arg; /* a mini cache stays in the CPU's cache, or is too seldom used to matter */
    (void)node;
}

static const struct lfu_nodes mini_nodes = {node_hash, node_weight, node_harvest, node_prefetch,
                                              NULL};

/* ---- index ---- */

static uint32_t index_home(const struct mini *s, uint32_t hash)
{
    return (uint32_t)(spread(hash) >> 40) & s->index_mask;
}

static uint32_t index_find(const struct mini *s, uint32_t hash)
{
    for (uint32_t i = index_home(s, hash);; i = (i + 1) & s->index_mask)
        if (!s->index[i] || s->nodes[s->index[i] - 1].hash == hash)
            return i;
}

/* Close a gap: a node that comes behind it and belongs before moves up. */
static void index_remove(struct mini *s, uint32_t gap)
{
    for (uint32_t i = (gap + 1) & s->index_mask; s->index[i]; i = (i + 1) & s->index_mask) {
        uint32_t home = index_home(s, s->nodes[s->index[i] - 1].hash);
        if (((i - home) & s->index_mask) < ((i - gap) & s->index_mask))
            continue;
        s->index[gap] = s->index[i];
        gap = i;
    }
    s->index[gap] = 0;
}

/* ---- a request ---- */

static void put_free(struct mini *s, uint32_t node)
{
    s->nodes[node] = (struct mini_node){.hash = s->free, .weight = 0};
    s->free = node;
}

static void drop(struct mini *s, uint32_t node)
{
    lfu_remove(&s->lfu, node, s->nodes[node].weight);
    index_remove(s, index_find(s, s->nodes[node].hash));
    put_free(s, node);
}

/* Note the age of the node that was main's rival, as the policy does (policy_lfu.c). Requests of
 * several threads come out of order: one that is older than the rival knows of no age. */
static void note_age(struct mini *s, uint32_t now)
{
    uint32_t rival = s->lfu.rival;
    if (rival == LFU_NONE || rival % MINI_BORN_EVERY)
        return;
    int32_t age = (int32_t)(now - s->born[rival / MINI_BORN_EVERY]);
    int32_t more = (age > 0 ? age : 0) - (int32_t)s->residence;
    s->residence += (uint32_t)(more / RESIDENCE_SHARE);
}

static uint32_t victim_of(struct mini *s, const struct lfu_choice *choice,
                          struct lfu_incoming *incoming, uint32_t now)
{
    if (s->lru)
        return s->lfu.oldest[LFU_WINDOW];
    uint32_t node = lfu_victim(&s->lfu, choice, incoming);
    note_age(s, now);
    return node;
}

static bool evict_one(struct mini *s, const struct lfu_choice *choice,
                      struct lfu_incoming *incoming, uint32_t now)
{
    uint32_t node = victim_of(s, choice, incoming, now);
    if (node == LFU_NONE || node == LFU_REFUSED)
        return false;
    drop(s, node);
    return true;
}

static bool make_room(struct mini *s, const struct lfu_choice *choice,
                      struct lfu_incoming *incoming, uint32_t now)
{
    if (s->lru && incoming->weight > s->lfu.capacity)
        return false; /* and the others stay */
    bool fits = lfu_weight(&s->lfu) + incoming->weight <= s->lfu.capacity;
    s->starved += s->free == MINI_NONE && fits;
    while (s->free == MINI_NONE || lfu_weight(&s->lfu) + incoming->weight > s->lfu.capacity)
        if (!evict_one(s, choice, incoming, now))
            return false;
    return true;
}

static struct mini_node *admit(struct mini *s, const struct lfu_choice *choice,
                               const struct mini_value *v, const struct lfu_incoming *incoming)
{
    uint32_t node = s->free;
    s->free = s->nodes[node].hash;
    s->nodes[node] =
        (struct mini_node){.hash = v->hash, .weight = incoming->weight & MINI_WEIGHT_MAX};
    if (node % MINI_BORN_EVERY == 0)
        s->born[node / MINI_BORN_EVERY] = v->at;
    s->index[index_find(s, v->hash)] = (uint16_t)(node + 1);
    bool large = !s->lru && lfu_contests_at_once(&s->lfu, choice, incoming->weight);
    lfu_insert(&s->lfu, node, (uint32_t)incoming->weight,
               incoming->admitted ? LFU_PLACED_MAIN : large ? LFU_NEXT : LFU_YOUNG);
    if (!s->lru)
        lfu_settle(&s->lfu, choice);
    return &s->nodes[node];
}

struct mini_node *mini_look(const struct mini *s, uint32_t hash)
{
    uint32_t found = s->index[index_find(s, hash)];
    return found ? &s->nodes[found - 1] : NULL;
}

void mini_touch(struct mini *s, struct mini_node *node)
{
    node->hit = true;
    if (s->lru)
        lfu_renew(&s->lfu, (uint32_t)(node - s->nodes), node->weight, node->weight);
}

/* Store a key that is not there. A miss counts as the policy counts it. */
static struct mini_node *store_new(struct mini *s, const struct lfu_choice *choice,
                                   const struct mini_value *v, uint32_t weight)
{
    struct lfu_incoming incoming = {.hash = mini_spread(v->hash), .weight = weight};
    bool room = make_room(s, choice, &incoming, v->at);
    if (!s->lru && !(room && lfu_is_short(v->life, s->residence)))
        lfu_note_miss(&s->lfu, incoming.hash);
    return room ? admit(s, choice, v, &incoming) : NULL;
}

struct mini_node *mini_store(struct mini *s, const struct lfu_choice *choice,
                             const struct mini_value *v)
{
    struct mini_node *node = mini_look(s, v->hash);
    uint32_t weight = v->weight < MINI_WEIGHT_MAX ? v->weight : MINI_WEIGHT_MAX;
    if (!node)
        return store_new(s, choice, v, weight);
    node->hit = true;
    if (s->lru || node->weight != weight) {
        uint32_t before = node->weight;
        node->weight = weight & MINI_WEIGHT_MAX;
        lfu_renew(&s->lfu, (uint32_t)(node - s->nodes), before, weight);
    }
    return node;
}

void mini_swap(struct mini *a, struct mini *b)
{
    struct mini was = *a;
    *a = *b;
    *b = was;
    a->lfu.arg = a;
    b->lfu.arg = b;
}

void mini_remove(struct mini *s, struct mini_node *node)
{
    drop(s, (uint32_t)(node - s->nodes));
}

/* ---- memory ---- */

static uint32_t index_slots(uint32_t nodes)
{
    uint32_t slots = 4;
    while (slots < nodes * 2)
        slots *= 2;
    return slots;
}

static size_t born_count(uint32_t nodes)
{
    return nodes / MINI_BORN_EVERY + 1;
}

static size_t align8(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

size_t mini_bytes(uint32_t nodes)
{
    return align8(nodes * sizeof(struct mini_node)) + align8(nodes * sizeof(struct lfu_link)) +
           align8(born_count(nodes) * sizeof(uint32_t)) +
           align8(index_slots(nodes) * sizeof(uint16_t)) + sketch_bytes(sketch_blocks_for(nodes));
}

static void *carve(char **at, size_t size)
{
    void *here = *at;
    *at += align8(size);
    return here;
}

void mini_init(struct mini *s, char **at, uint32_t nodes, bool by_count)
{
    NIGH_DCHECK(nodes <= MINI_NODES_MOST);
    lfu_init(&s->lfu, &mini_nodes, s, by_count);
    s->nodes = carve(at, nodes * sizeof(struct mini_node));
    s->lfu.links = carve(at, nodes * sizeof(struct lfu_link));
    s->born = carve(at, born_count(nodes) * sizeof(uint32_t));
    s->residence = 0;
    s->index = carve(at, index_slots(nodes) * sizeof(uint16_t));
    uint32_t blocks = sketch_blocks_for(nodes);
    sketch_grow(&s->lfu.sketch, carve(at, sketch_bytes(blocks)), blocks);
    memset(s->index, 0, index_slots(nodes) * sizeof(uint16_t));
    s->index_mask = index_slots(nodes) - 1;
    s->node_count = nodes;
    s->free = MINI_NONE;
    s->stamps = NULL;
    s->starved = 0;
    s->lru = false;
    for (uint32_t node = 0; node < nodes; node++)
        put_free(s, node);
}
