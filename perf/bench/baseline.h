/* SPDX-License-Identifier: MIT */
/*
 * The common parts of the baselines: the same hash, one node layout, a ring of who came first.
 *
 * The value stands behind the key, and is found by the loaded key length: what one writes without
 * thinking of the dependent miss that it costs.
 */
#ifndef PERF_BENCH_BASELINE_H
#define PERF_BENCH_BASELINE_H

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bench/candidate.h"
#include "support/fail.h"

#define BASELINE_SEED 0x6e696768u

struct baseline_item {
    uint32_t key_len;
    uint32_t value_len;
    uint8_t bytes[];
};

static inline uint64_t baseline_hash(const void *key, size_t len)
{
    return XXH3_64bits_withSeed(key, len, BASELINE_SEED);
}

static inline bool item_has_key(const struct baseline_item *item, const void *key, size_t len)
{
    return item->key_len == len && memcmp(item->bytes, key, len) == 0;
}

static inline void *item_value(struct baseline_item *item)
{
    return item->bytes + item->key_len;
}

static inline void item_fill(struct baseline_item *item, const void *key, size_t key_len,
                             const void *value, size_t len)
{
    item->key_len = (uint32_t)key_len;
    item->value_len = (uint32_t)len;
    memcpy(item->bytes, key, key_len);
    memcpy(item->bytes + key_len, value, len);
}

/* Where a candidate that copies out puts the value: valid until the thread's next get. */
static inline void copy_out(const struct baseline_item *item, struct nigh_value *ret)
{
    static _Thread_local uint8_t buffer[LOOP_VALUE_MAX];
    memcpy(buffer, item->bytes + item->key_len, item->value_len);
    *ret = (struct nigh_value){buffer, item->value_len, 0};
}

/* The order of arrival, in which items leave. `slots` 0: none leaves. */
struct arrivals {
    void **items;
    uint64_t slots;
    uint64_t next;
};

static inline void arrivals_init(struct arrivals *a, uint64_t slots)
{
    *a = (struct arrivals){slots ? must_alloc(slots, sizeof(*a->items)) : NULL, slots, 0};
}

/* Note a newcomer; returns who has to leave for it, or NULL. */
static inline void *arrivals_add(struct arrivals *a, void *item)
{
    if (a->slots == 0)
        return NULL;
    void **slot = &a->items[a->next++ % a->slots];
    void *oldest = *slot;
    *slot = item;
    return oldest;
}

static inline uint64_t baseline_power_of_two(uint64_t n)
{
    uint64_t p = 1;
    while (p < n)
        p *= 2;
    return p;
}

static inline void release_nothing(struct nigh_value *value)
{
    *value = (struct nigh_value)NIGH_VALUE_INIT;
}

#endif
