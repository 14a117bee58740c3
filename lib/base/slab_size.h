/* SPDX-License-Identifier: MIT */
/*
 * The sizes of blocks in slabs.
 */
#ifndef NIGH_BASE_SLAB_SIZE_H
#define NIGH_BASE_SLAB_SIZE_H

#include "base/slab_region.h"

/* A size of blocks. Constant once made. */
struct slab_size {
    uint32_t size;
    uint32_t inverse; /* 2^32 / size, rounded up: offset * inverse >> 32 is the block's number */
    uint16_t count;   /* blocks in a slab */
    uint8_t kind;
};

extern NIGH_HIDDEN struct slab_size slab_sizes[SLAB_CLASSES_MAX];
extern NIGH_HIDDEN unsigned slab_size_count;

/* Make the table, unless it is made. */
void slab_sizes_make(void);

#endif
