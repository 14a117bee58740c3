// SPDX-License-Identifier: MIT
/*
 * The limit: two dependent loads per lookup over as much memory as a cache needs, and nothing else.
 * No hash, no comparison: the key says where it is. Whoever keeps a table of pointers to entries
 * cannot be faster, whatever he does about the rest.
 */
#include "bench/baseline.h"
#include "bench/keys.h"

#define LIMIT_SLOT_BYTES 16u   /* of a table, per entry, at 4 entries in a line of 64 bytes */
#define LIMIT_HEADER_BYTES 56u /* header and a key before the value */

struct limit_slot {
    _Alignas(LIMIT_SLOT_BYTES) uint8_t *value;
};

struct limit {
    struct limit_slot *slots;
    uint8_t *values;
    uint64_t entries;
    uint64_t stride;
    uint32_t value_bytes;
};

static struct limit *limit_of(struct nigh_space *space)
{
    return (void *)space;
}

/* Neighbours by number are strangers in memory: the values lie in another order. The multiplier is
 * a prime above any number of entries, so every place is taken once. */
static uint64_t place_of(const struct limit *t, uint64_t number)
{
    return number * 0x9e3779b1u % t->entries;
}

static struct nigh_space *limit_create(const struct candidate_need *need)
{
    struct limit *t = must_alloc(1, sizeof(*t));
    t->entries = need->entries;
    t->value_bytes = need->value_bytes;
    t->stride = (LIMIT_HEADER_BYTES + need->value_bytes + 15) & ~UINT64_C(15);
    t->slots = huge_alloc(t->entries * sizeof(*t->slots));
    t->values = huge_alloc(t->entries * t->stride);
    return (void *)t;
}

static void limit_destroy(struct nigh_space *space)
{
    struct limit *t = limit_of(space);
    huge_free(t->slots, t->entries * sizeof(*t->slots));
    huge_free(t->values, t->entries * t->stride);
    free(t);
}

static int limit_get(struct nigh_space *space, const void *key, size_t key_len,
                     const struct nigh_call *call, struct nigh_value *ret)
{
    struct limit *t = limit_of(space);
    uint32_t number;
    (void)key_len;
    (void)call;
    memcpy(&number, key, sizeof(number));
    *ret = (struct nigh_value){t->slots[number].value, t->value_bytes, 0};
    return NIGH_FRESH;
}

static int limit_put(struct nigh_space *space, const void *key, size_t key_len, const void *value,
                     size_t len, const struct nigh_call *call)
{
    struct limit *t = limit_of(space);
    uint32_t number;
    (void)key_len;
    (void)call;
    memcpy(&number, key, sizeof(number));
    if (number >= t->entries || len > t->value_bytes)
        return NIGH_EINVAL;
    t->slots[number].value = t->values + place_of(t, number) * t->stride + LIMIT_HEADER_BYTES;
    memcpy(t->slots[number].value, value, len);
    return 0;
}

const struct candidate candidate_limit = {
    .name = "limit",
    .create = limit_create,
    .destroy = limit_destroy,
    .get = limit_get,
    .release = release_nothing,
    .put = limit_put,
};
