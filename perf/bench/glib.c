// SPDX-License-Identifier: MIT
/*
 * Baseline: GLib's GHashTable behind one mutex, the value copied out under it.
 */
#include <glib.h>
#include <pthread.h>

#include "bench/baseline.h"

struct glib_map {
    GHashTable *table; /* item to itself */
    pthread_mutex_t lock;
    struct arrivals arrivals;
};

/* A key to look for: it has the layout of an item without a value. */
struct glib_key {
    uint32_t key_len;
    uint32_t value_len;
    uint8_t bytes[NIGH_KEY_MAX];
};

static struct glib_map *map_of(struct nigh_space *space)
{
    return (void *)space;
}

static guint item_hash(gconstpointer p)
{
    const struct baseline_item *item = p;
    return (guint)baseline_hash(item->bytes, item->key_len);
}

static gboolean items_equal(gconstpointer a, gconstpointer b)
{
    const struct baseline_item *sought = b;
    return item_has_key(a, sought->bytes, sought->key_len);
}

static struct nigh_space *glib_create(const struct candidate_need *need)
{
    struct glib_map *map = must_alloc(1, sizeof(*map));
    map->table = g_hash_table_new_full(item_hash, items_equal, free, NULL);
    pthread_mutex_init(&map->lock, NULL);
    arrivals_init(&map->arrivals, need->bounded ? need->entries : 0);
    return (void *)map;
}

static void glib_destroy(struct nigh_space *space)
{
    struct glib_map *map = map_of(space);
    g_hash_table_destroy(map->table);
    free(map->arrivals.items);
    free(map);
}

static struct baseline_item *find_locked(struct glib_map *map, const void *key, size_t len)
{
    struct glib_key sought;
    sought.key_len = (uint32_t)len;
    memcpy(sought.bytes, key, len);
    return g_hash_table_lookup(map->table, &sought);
}

static int glib_get(struct nigh_space *space, const void *key, size_t key_len,
                    const struct nigh_call *call, struct nigh_value *ret)
{
    struct glib_map *map = map_of(space);
    (void)call;
    pthread_mutex_lock(&map->lock);
    struct baseline_item *item = find_locked(map, key, key_len);
    if (item)
        copy_out(item, ret);
    pthread_mutex_unlock(&map->lock);
    return item ? NIGH_FRESH : NIGH_MISS;
}

static int insert_locked(struct glib_map *map, const void *key, size_t key_len, const void *value,
                         size_t len)
{
    struct baseline_item *item = malloc(sizeof(*item) + key_len + len);
    if (!item)
        return NIGH_ENOMEM;
    item_fill(item, key, key_len, value, len);
    g_hash_table_add(map->table, item);
    struct baseline_item *oldest = arrivals_add(&map->arrivals, item);
    if (oldest)
        g_hash_table_remove(map->table, oldest);
    return 0;
}

static int glib_put(struct nigh_space *space, const void *key, size_t key_len, const void *value,
                    size_t len, const struct nigh_call *call)
{
    struct glib_map *map = map_of(space);
    int rc = 0;
    (void)call;
    pthread_mutex_lock(&map->lock);
    struct baseline_item *item = find_locked(map, key, key_len);
    if (item && item->value_len == len)
        memcpy(item_value(item), value, len);
    else if (item)
        rc = NIGH_EVALUE; /* no case here changes the size of a value */
    else
        rc = insert_locked(map, key, key_len, value, len);
    pthread_mutex_unlock(&map->lock);
    return rc;
}

const struct candidate candidate_glib = {
    .name = "glib",
    .create = glib_create,
    .destroy = glib_destroy,
    .get = glib_get,
    .release = release_nothing,
    .put = glib_put,
};
