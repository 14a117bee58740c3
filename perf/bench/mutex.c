// SPDX-License-Identifier: MIT
/*
 * Baseline: what most programs have. 64 mutexes, chains, the value copied out under the lock and
 * overwritten in place when the new one has its size.
 */
#include <pthread.h>

#include "bench/baseline.h"

#define MUTEXES 64u

struct chain_node {
    struct chain_node *next;
    uint64_t hash;
    struct baseline_item item;
};

struct stripe {
    _Alignas(64) pthread_mutex_t lock;
    struct arrivals arrivals;
};

struct mutex_map {
    struct stripe stripes[MUTEXES];
    struct chain_node **buckets;
    uint64_t mask; /* at least MUTEXES - 1 */
};

static struct mutex_map *map_of(struct nigh_space *space)
{
    return (void *)space;
}

static struct nigh_space *mutex_create(const struct candidate_need *need)
{
    struct mutex_map *map = aligned_alloc(64, sizeof(*map));
    if (!map)
        fail("no memory");
    uint64_t buckets = baseline_power_of_two(need->entries);
    map->mask = (buckets < MUTEXES ? MUTEXES : buckets) - 1;
    map->buckets = must_alloc(map->mask + 1, sizeof(*map->buckets));
    for (unsigned i = 0; i < MUTEXES; i++) {
        pthread_mutex_init(&map->stripes[i].lock, NULL);
        arrivals_init(&map->stripes[i].arrivals, need->bounded ? need->entries / MUTEXES + 1 : 0);
    }
    return (void *)map;
}

static void mutex_destroy(struct nigh_space *space)
{
    struct mutex_map *map = map_of(space);
    for (uint64_t i = 0; i <= map->mask; i++)
        for (struct chain_node *n = map->buckets[i], *next; n; n = next) {
            next = n->next;
            free(n);
        }
    for (unsigned i = 0; i < MUTEXES; i++)
        free(map->stripes[i].arrivals.items);
    free(map->buckets);
    free(map);
}

/* The link that points to the key's node, or to NULL. */
static inline struct chain_node **find(struct mutex_map *map, uint64_t hash, const void *key,
                                       size_t len)
{
    struct chain_node **link = &map->buckets[hash & map->mask];
    while (*link && !((*link)->hash == hash && item_has_key(&(*link)->item, key, len)))
        link = &(*link)->next;
    return link;
}

/* By bits of the bucket's index, so that a chain has one mutex. */
static inline struct stripe *stripe_of(struct mutex_map *map, uint64_t hash)
{
    return &map->stripes[hash & (MUTEXES - 1)];
}

static int mutex_get(struct nigh_space *space, const void *key, size_t key_len,
                     const struct nigh_call *call, struct nigh_value *ret)
{
    struct mutex_map *map = map_of(space);
    uint64_t hash = baseline_hash(key, key_len);
    struct stripe *s = stripe_of(map, hash);
    (void)call;
    pthread_mutex_lock(&s->lock);
    struct chain_node *n = *find(map, hash, key, key_len);
    if (n)
        copy_out(&n->item, ret);
    pthread_mutex_unlock(&s->lock);
    return n ? NIGH_FRESH : NIGH_MISS;
}

static void unlink_node(struct mutex_map *map, struct chain_node *n)
{
    struct chain_node **link = &map->buckets[n->hash & map->mask];
    while (*link != n)
        link = &(*link)->next;
    *link = n->next;
    free(n);
}

static int insert_locked(struct mutex_map *map, struct stripe *s, struct chain_node **link,
                         uint64_t hash, const void *key, size_t key_len, const void *value,
                         size_t len)
{
    struct chain_node *n = malloc(sizeof(*n) + key_len + len);
    if (!n)
        return NIGH_ENOMEM;
    n->next = *link;
    n->hash = hash;
    item_fill(&n->item, key, key_len, value, len);
    *link = n;
    struct chain_node *oldest = arrivals_add(&s->arrivals, n);
    if (oldest)
        unlink_node(map, oldest);
    return 0;
}

static int mutex_put(struct nigh_space *space, const void *key, size_t key_len, const void *value,
                     size_t len, const struct nigh_call *call)
{
    struct mutex_map *map = map_of(space);
    uint64_t hash = baseline_hash(key, key_len);
    struct stripe *s = stripe_of(map, hash);
    int rc = 0;
    (void)call;
    pthread_mutex_lock(&s->lock);
    struct chain_node **link = find(map, hash, key, key_len);
    if (*link && (*link)->item.value_len == len)
        memcpy(item_value(&(*link)->item), value, len);
    else if (*link)
        rc = NIGH_EVALUE; /* no case here changes the size of a value */
    else
        rc = insert_locked(map, s, link, hash, key, key_len, value, len);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

const struct candidate candidate_mutex = {
    .name = "mutex",
    .create = mutex_create,
    .destroy = mutex_destroy,
    .get = mutex_get,
    .release = release_nothing,
    .put = mutex_put,
};
