// SPDX-License-Identifier: MIT
/*
 * Baseline: Concurrency Kit's ck_ht, one writer and many readers. A get opens an RCU section as
 * somebody has to keep the memory; writers take a mutex and free through call_rcu.
 */
#define _LGPL_SOURCE 1
#include <urcu/urcu-bp.h>

#include <ck_ht.h>
#include <pthread.h>

#include "bench/baseline.h"

struct ck_node {
    struct rcu_head head;
    struct baseline_item item;
};

struct ck_map {
    ck_ht_t table;
    pthread_mutex_t lock;
    struct arrivals arrivals;
};

static struct ck_map *map_of(struct nigh_space *space)
{
    return (void *)space;
}

static struct ck_node *node_of(const struct baseline_item *item)
{
    return caa_container_of(item, struct ck_node, item);
}

static void free_node(struct rcu_head *head)
{
    free(caa_container_of(head, struct ck_node, head));
}

static void *ck_alloc(size_t size)
{
    return malloc(size);
}

/* Old tables: only the writer's growth frees one, before any reader runs. */
static void ck_release(void *p, size_t size, bool defer)
{
    (void)size;
    (void)defer;
    free(p);
}

static struct ck_malloc ck_memory = {.malloc = ck_alloc, .free = ck_release};

static void ck_hash(ck_ht_hash_t *ret, const void *key, size_t len, uint64_t seed)
{
    (void)seed;
    ret->value = baseline_hash(key, len);
}

static struct nigh_space *ck_create(const struct candidate_need *need)
{
    struct ck_map *map = must_alloc(1, sizeof(*map));
    if (!ck_ht_init(&map->table, CK_HT_MODE_BYTESTRING | CK_HT_WORKLOAD_DELETE, ck_hash,
                    &ck_memory, baseline_power_of_two(2 * need->entries), 0))
        fail("ck_ht_init failed");
    pthread_mutex_init(&map->lock, NULL);
    arrivals_init(&map->arrivals, need->bounded ? need->entries : 0);
    return (void *)map;
}

static void ck_settle(struct nigh_space *space)
{
    (void)space;
    urcu_bp_barrier();
}

static void ck_destroy(struct nigh_space *space)
{
    struct ck_map *map = map_of(space);
    ck_ht_iterator_t at = CK_HT_ITERATOR_INITIALIZER;
    ck_ht_entry_t *entry;
    urcu_bp_barrier();
    while (ck_ht_next(&map->table, &at, &entry))
        free(node_of(ck_ht_entry_value(entry)));
    ck_ht_destroy(&map->table);
    free(map->arrivals.items);
    free(map);
}

static int ck_get(struct nigh_space *space, const void *key, size_t key_len,
                  const struct nigh_call *call, struct nigh_value *ret)
{
    struct ck_map *map = map_of(space);
    ck_ht_hash_t hash = {baseline_hash(key, key_len)};
    ck_ht_entry_t entry;
    (void)call;
    urcu_bp_read_lock();
    ck_ht_entry_key_set(&entry, key, (uint16_t)key_len);
    if (!ck_ht_get_spmc(&map->table, hash, &entry)) {
        urcu_bp_read_unlock();
        return NIGH_MISS;
    }
    struct baseline_item *item = ck_ht_entry_value(&entry);
    *ret = (struct nigh_value){item_value(item), item->value_len, 1};
    return NIGH_FRESH;
}

static void ck_release_value(struct nigh_value *value)
{
    if (value->pin)
        urcu_bp_read_unlock();
    *value = (struct nigh_value)NIGH_VALUE_INIT;
}

static void remove_locked(struct ck_map *map, struct ck_node *node)
{
    const struct baseline_item *item = &node->item;
    ck_ht_hash_t hash = {baseline_hash(item->bytes, item->key_len)};
    ck_ht_entry_t entry;
    ck_ht_entry_key_set(&entry, item->bytes, (uint16_t)item->key_len);
    if (ck_ht_remove_spmc(&map->table, hash, &entry))
        urcu_bp_call_rcu(&node->head, free_node);
}

static int ck_put(struct nigh_space *space, const void *key, size_t key_len, const void *value,
                  size_t len, const struct nigh_call *call)
{
    struct ck_map *map = map_of(space);
    ck_ht_hash_t hash = {baseline_hash(key, key_len)};
    struct ck_node *node = malloc(sizeof(*node) + key_len + len);
    ck_ht_entry_t entry;
    (void)call;
    if (!node)
        return NIGH_ENOMEM;
    item_fill(&node->item, key, key_len, value, len);
    ck_ht_entry_set(&entry, hash, node->item.bytes, (uint16_t)key_len, &node->item);
    pthread_mutex_lock(&map->lock);
    bool ok = ck_ht_set_spmc(&map->table, hash, &entry);
    struct ck_node *oldest = NULL;
    if (ok && ck_ht_entry_empty(&entry))
        oldest = arrivals_add(&map->arrivals, node);
    else if (ok) /* set_spmc gave what it replaced */
        urcu_bp_call_rcu(&node_of(ck_ht_entry_value(&entry))->head, free_node);
    if (oldest)
        remove_locked(map, oldest);
    pthread_mutex_unlock(&map->lock);
    return ok ? 0 : NIGH_ENOMEM;
}

const struct candidate candidate_ck = {
    .name = "ck_ht",
    .create = ck_create,
    .destroy = ck_destroy,
    .get = ck_get,
    .release = ck_release_value,
    .put = ck_put,
    .settle = ck_settle,
};
