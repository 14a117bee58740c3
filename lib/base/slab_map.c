// SPDX-License-Identifier: MIT
/*
 * Finds the region of an address in a table of two steps.
 */
#include "base/slab_map.h"

#include <stdatomic.h>

#include "base/mem.h"
#include "base/slab_region.h"

#define ADDRESS_BITS 48
#define LEAF_BITS 14
#define ROOT_BITS (ADDRESS_BITS - REGION_SHIFT - LEAF_BITS)

struct leaf {
    _Atomic(struct slab_region *) regions[1 << LEAF_BITS];
};

/* Leaves are never freed: each is for 32 GiB of addresses, and touched only where regions are. */
static _Atomic(struct leaf *) root[1 << ROOT_BITS]; /* pair(slab.leaf) */

static uintptr_t number_of(const void *at)
{
    return (uintptr_t)at >> REGION_SHIFT;
}

static struct leaf *leaf_of(uintptr_t number)
{
    /* pair(slab.leaf): the kernel has zeroed the leaf, which needs no order; the caller reads only
     * the entry of a block that it has */
    return atomic_load_explicit(&root[number >> LEAF_BITS], memory_order_acquire);
}

static struct leaf *make_leaf(uintptr_t number)
{
    struct leaf *leaf = mem_pages_alloc(sizeof(*leaf));
    struct leaf *expected = NULL;
    _Atomic(struct leaf *) *at = &root[number >> LEAF_BITS];
    if (!leaf || atomic_compare_exchange_strong_explicit(at, &expected, leaf,
                                                         memory_order_acq_rel, /* pair(slab.leaf) */
                                                         memory_order_acquire))
        return leaf;
    mem_pages_free(leaf, sizeof(*leaf));
    return expected;
}

bool slab_map_enter(const void *base, struct slab_region *region)
{
    uintptr_t number = number_of(base);
    if (number >> (ADDRESS_BITS - REGION_SHIFT))
        return false;
    struct leaf *leaf = leaf_of(number);
    if (!leaf)
        leaf = make_leaf(number);
    if (leaf) /* relaxed: see the header */
        atomic_store_explicit(&leaf->regions[number & ((1 << LEAF_BITS) - 1)], region,
                              memory_order_relaxed);
    return leaf;
}

struct slab_region *slab_region_of(const void *block)
{
    uintptr_t number = number_of(block);
    struct leaf *leaf = leaf_of(number);
    return leaf ? atomic_load_explicit(&leaf->regions[number & ((1 << LEAF_BITS) - 1)],
                                       memory_order_relaxed)
                : NULL;
}
