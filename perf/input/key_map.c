// SPDX-License-Identifier: MIT
/*
 * An open table, probed slot by slot. Ids may be numbers in a row, so they are mixed first.
 */
#include "input/key_map.h"

#include "support/fail.h"

#define CAPACITY_MIN 1024u

static size_t place_of(const struct key_map *map, uint64_t key)
{
    key = (key ^ (key >> 32)) * 0x9e3779b97f4a7c15ull;
    return (size_t)(key ^ (key >> 29)) & (map->capacity - 1);
}

static struct key_slot *find(const struct key_map *map, uint64_t key)
{
    size_t at = place_of(map, key);
    while (map->slots[at].number && map->slots[at].key != key)
        at = (at + 1) & (map->capacity - 1);
    return &map->slots[at];
}

static void grow(struct key_map *map)
{
    struct key_map wider = {.capacity = map->capacity ? 2 * map->capacity : CAPACITY_MIN,
                            .count = map->count};
    wider.slots = must_alloc(wider.capacity, sizeof(*wider.slots));
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i].number)
            *find(&wider, map->slots[i].key) = map->slots[i];
    free(map->slots);
    *map = wider;
}

uint32_t key_map_number(struct key_map *map, uint64_t key)
{
    if (2 * (size_t)map->count >= map->capacity)
        grow(map);
    struct key_slot *slot = find(map, key);
    if (!slot->number)
        *slot = (struct key_slot){key, ++map->count};
    return slot->number - 1;
}

void key_map_free(struct key_map *map)
{
    free(map->slots);
    *map = (struct key_map){0};
}
