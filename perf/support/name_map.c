// SPDX-License-Identifier: MIT
/*
 * Open addressing with linear probing over a table that is at most half full.
 */
#include "support/name_map.h"

#include <stdlib.h>

#include "support/fail.h"
#include "support/hash.h"

#define FIRST_CAPACITY 1024u

static struct name_map_slot *probe(const struct name_map *map, struct text name)
{
    uint32_t i = (uint32_t)hash_text(name) & (map->capacity - 1);
    for (;; i = (i + 1) & (map->capacity - 1)) {
        struct name_map_slot *slot = &map->slots[i];
        if (!slot->name.data)
            return slot;
        if (slot->name.len == name.len && memcmp(slot->name.data, name.data, name.len) == 0)
            return slot;
    }
}

static void grow(struct name_map *map)
{
    struct name_map old = *map;
    map->capacity = old.capacity ? old.capacity * 2 : FIRST_CAPACITY;
    map->slots = must_alloc(map->capacity, sizeof(*map->slots));
    for (uint32_t i = 0; i < old.capacity; i++)
        if (old.slots[i].name.data)
            *probe(map, old.slots[i].name) = old.slots[i];
    free(old.slots);
}

void name_map_free(struct name_map *map)
{
    free(map->slots);
    *map = (struct name_map){0};
}

uint32_t name_map_find(const struct name_map *map, struct text name)
{
    return map->capacity ? probe(map, name)->number : NAME_MAP_NONE;
}

uint32_t *name_map_at(struct name_map *map, struct text name)
{
    if (map->count * 2 >= map->capacity)
        grow(map);
    struct name_map_slot *slot = probe(map, name);
    if (!slot->name.data) {
        slot->name = name;
        map->count++;
    }
    return &slot->number;
}
