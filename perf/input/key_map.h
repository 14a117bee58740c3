/* SPDX-License-Identifier: MIT */
/*
 * Keys of a trace, which come as 64 bits (a hash or an id), numbered by first appearance.
 */
#ifndef PERF_INPUT_KEY_MAP_H
#define PERF_INPUT_KEY_MAP_H

#include <stddef.h>
#include <stdint.h>

struct key_slot {
    uint64_t key;
    uint32_t number; /* 1 + it; 0: a free slot */
};

struct key_map {
    struct key_slot *slots; /* a power of two, at most half full */
    size_t capacity;
    uint32_t count;
};

/* Its number; a new key gets map->count, which grows. */
uint32_t key_map_number(struct key_map *map, uint64_t key);
void key_map_free(struct key_map *map);

#endif
