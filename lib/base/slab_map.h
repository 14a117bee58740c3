/* SPDX-License-Identifier: MIT */
/*
 * Finding the region of a block.
 *
 * A table of the process leads from an address to its region, in two steps: 13 bits, then 14.
 * (Descriptors inside the regions would lie at the same place in each, so that all of them would
 * fight for a few sets of the processor's caches.) A region's entry is written before its first
 * block is given out, and a thread that has a block got it through something that orders. So the
 * table is read without a lock.
 */
#ifndef NIGH_BASE_SLAB_MAP_H
#define NIGH_BASE_SLAB_MAP_H

#include <stdbool.h>

struct slab_region;

/* Enter a region into the table, or NULL. False: no memory, or an address beyond the table. */
bool slab_map_enter(const void *base, struct slab_region *region);
/* Find the region of a block that is out; NULL: the block is in no slab. */
struct slab_region *slab_region_of(const void *block);

#endif
