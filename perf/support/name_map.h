/* SPDX-License-Identifier: MIT */
/*
 * From a name to a number, for names that stay where they are. Grows; nothing is ever removed.
 */
#ifndef PERF_NAME_MAP_H
#define PERF_NAME_MAP_H

#include <stdint.h>

#include "support/text.h"

#define NAME_MAP_NONE 0 /* no number: numbers begin at 1 */

struct name_map_slot {
    struct text name;
    uint32_t number;
};

struct name_map {
    struct name_map_slot *slots; /* capacity is a power of two, at most half full */
    uint32_t capacity;
    uint32_t count;
};

void name_map_free(struct name_map *map);
/* The number of a name, or NAME_MAP_NONE. */
uint32_t name_map_find(const struct name_map *map, struct text name);
/* Where the number of a name is kept, new names with NAME_MAP_NONE. Valid until the next call. */
uint32_t *name_map_at(struct name_map *map, struct text name);

#endif
