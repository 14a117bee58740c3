// SPDX-License-Identifier: MIT
/*
 * Baseline: liburcu's own hash table, bare. A get opens an RCU section and leaves it open, release
 * closes it; replaced and evicted items go through call_rcu. No lifetimes, no counters, no cap.
 *
 * As many buckets as entries from the start: it never has to grow here.
 */
#define _LGPL_SOURCE 1
#include <urcu/urcu-bp.h>
#include <urcu/rculfhash.h>

#include "bench/baseline.h"

struct lfht_node {
    struct cds_lfht_node node;
    struct rcu_head head;
    uint64_t hash;
    struct baseline_item item;
};

struct lfht {
    struct cds_lfht *table;
    struct arrivals arrivals;
};

struct lfht_key {
    const void *data;
    size_t len;
};

static struct lfht *lfht_of(struct nigh_space *space)
{
    return (void *)space;
}

static inline struct lfht_node *node_of(struct cds_lfht_node *n)
{
    return caa_container_of(n, struct lfht_node, node);
}

static int matches(struct cds_lfht_node *n, const void *sought)
{
    const struct lfht_key *key = sought;
    return item_has_key(&node_of(n)->item, key->data, key->len);
}

static void free_node(struct rcu_head *head)
{
    free(caa_container_of(head, struct lfht_node, head));
}

static struct nigh_space *lfht_create(const struct candidate_need *need)
{
    struct lfht *t = must_alloc(1, sizeof(*t));
    uint64_t buckets = baseline_power_of_two(need->entries);
    /* The order allocator takes its buckets from calloc: the same pages as for everybody else. */
    t->table = _cds_lfht_new(buckets, buckets, 0, 0, &cds_lfht_mm_order, &urcu_bp_flavor, NULL);
    if (!t->table)
        fail("cds_lfht_new failed");
    arrivals_init(&t->arrivals, need->bounded ? need->entries : 0);
    return (void *)t;
}

static void lfht_settle(struct nigh_space *space)
{
    (void)space;
    urcu_bp_barrier();
}

static void lfht_destroy(struct nigh_space *space)
{
    struct lfht *t = lfht_of(space);
    struct cds_lfht_iter iter;
    struct cds_lfht_node *n;
    urcu_bp_read_lock();
    cds_lfht_for_each(t->table, &iter, n)
        if (cds_lfht_del(t->table, n) == 0)
            urcu_bp_call_rcu(&node_of(n)->head, free_node);
    urcu_bp_read_unlock();
    urcu_bp_barrier();
    cds_lfht_destroy(t->table, NULL);
    free(t->arrivals.items);
    free(t);
}

static int lfht_get(struct nigh_space *space, const void *key, size_t key_len,
                    const struct nigh_call *call, struct nigh_value *ret)
{
    struct lfht *t = lfht_of(space);
    struct lfht_key sought = {key, key_len};
    struct cds_lfht_iter iter;
    (void)call;
    urcu_bp_read_lock();
    cds_lfht_lookup(t->table, baseline_hash(key, key_len), matches, &sought, &iter);
    struct cds_lfht_node *n = cds_lfht_iter_get_node(&iter);
    if (!n) {
        urcu_bp_read_unlock();
        return NIGH_MISS;
    }
    struct baseline_item *item = &node_of(n)->item;
    *ret = (struct nigh_value){item_value(item), item->value_len, 1};
    return NIGH_FRESH;
}

static void lfht_release(struct nigh_value *value)
{
    if (value->pin)
        urcu_bp_read_unlock();
    *value = (struct nigh_value)NIGH_VALUE_INIT;
}

static void evict_for(struct lfht *t, struct lfht_node *newcomer)
{
    struct lfht_node *oldest = arrivals_add(&t->arrivals, newcomer);
    if (oldest && cds_lfht_del(t->table, &oldest->node) == 0)
        urcu_bp_call_rcu(&oldest->head, free_node);
}

static int lfht_put(struct nigh_space *space, const void *key, size_t key_len, const void *value,
                    size_t len, const struct nigh_call *call)
{
    struct lfht *t = lfht_of(space);
    struct lfht_key sought = {key, key_len};
    struct lfht_node *node = malloc(sizeof(*node) + key_len + len);
    (void)call;
    if (!node)
        return NIGH_ENOMEM;
    cds_lfht_node_init(&node->node);
    node->hash = baseline_hash(key, key_len);
    item_fill(&node->item, key, key_len, value, len);
    urcu_bp_read_lock();
    struct cds_lfht_node *old =
        cds_lfht_add_replace(t->table, node->hash, matches, &sought, &node->node);
    if (old)
        urcu_bp_call_rcu(&node_of(old)->head, free_node);
    else
        evict_for(t, node);
    urcu_bp_read_unlock();
    return 0;
}

const struct candidate candidate_lfht = {
    .name = "lfht",
    .create = lfht_create,
    .destroy = lfht_destroy,
    .get = lfht_get,
    .release = lfht_release,
    .put = lfht_put,
    .settle = lfht_settle,
};
