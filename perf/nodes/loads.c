// SPDX-License-Identifier: MIT
/*
 * The logs of loads and troubles.
 */
#include "nodes/loads.h"

#define LINE_BYTES 64

size_t loads_bytes(uint32_t capacity)
{
    return 2 * LINE_BYTES + LOADS_TROUBLES * sizeof(struct trouble) +
           (size_t)capacity * sizeof(struct load);
}

struct loads loads_at(void *memory, uint32_t capacity)
{
    uint8_t *at = memory;
    struct loads l = {.capacity = capacity, .trouble_capacity = LOADS_TROUBLES};
    l.count = (void *)at;
    l.trouble_count = (void *)(at + LINE_BYTES);
    l.troubles = (void *)(at + 2 * LINE_BYTES);
    l.loads = (void *)(l.troubles + LOADS_TROUBLES);
    return l;
}

void loads_add(struct loads *l, const struct load *load)
{
    uint32_t i = atomic_fetch_add_explicit(l->count, 1, memory_order_relaxed);
    if (i < l->capacity)
        l->loads[i] = *load;
}

void loads_add_trouble(struct loads *l, const struct trouble *trouble)
{
    uint32_t i = atomic_fetch_add_explicit(l->trouble_count, 1, memory_order_relaxed);
    if (i < l->trouble_capacity)
        l->troubles[i] = *trouble;
}

static uint32_t kept(const _Atomic uint32_t *count, uint32_t capacity)
{
    uint32_t n = atomic_load_explicit(count, memory_order_relaxed);
    return n < capacity ? n : capacity;
}

uint32_t loads_count(const struct loads *l)
{
    return kept(l->count, l->capacity);
}

uint32_t loads_trouble_count(const struct loads *l)
{
    return kept(l->trouble_count, l->trouble_capacity);
}

uint32_t loads_lost(const struct loads *l)
{
    uint32_t all = atomic_load_explicit(l->count, memory_order_relaxed) +
                   atomic_load_explicit(l->trouble_count, memory_order_relaxed);
    return all - loads_count(l) - loads_trouble_count(l);
}
