/* SPDX-License-Identifier: MIT */
/*
 * What both memory backends begin their arenas with: their blocks' slabs, and where the next whole
 * pages come from.
 *
 * Tables of some hundred KiB each would never fill a page of 2 MiB, so those of an arena lie side
 * by side in a region that is aligned and marked for such pages:
 *
 *     | given | given | given back (unmapped) | given | ...        | not touched yet |
 *     ^ 2 MiB         ^ 2 MiB                 ^ next               ^ end
 *
 * Addresses are never given twice: what is given back is unmapped, and the kernel has its memory
 * again. So there is nothing to keep in order, and a page that all its tables have left (the shards
 * of a table double at about the same time) is free as a whole. What is wasted is the rest of the
 * page of 2 MiB that was touched last.
 */
#ifndef NIGH_BASE_MEM_REGION_H
#define NIGH_BASE_MEM_REGION_H

#include <pthread.h>

#include "base/mem.h"

#define HUGE_PAGE_BYTES ((size_t)2 << 20)

struct mem_region {
    struct mem_head head; /* first: mem_charge() */
    enum mem_huge huge;      /* constant after mem_set_huge() */
    size_t array_pages_from; /* constant after mem_set_array_pages(): least size that has them */
    pthread_mutex_t lock;    /* for the two */
    char *next;
    char *end;
};

/* `charges` and `max`: as in struct mem_head, for the time without slabs. */
void mem_region_init(struct mem_region *r, const uint16_t *charges, size_t max);
/* Unmaps what was never given, and all slabs. */
void mem_region_fini(struct mem_region *r);

/* Of each backend: that of an arena, which begins with it. */
struct mem_region *mem_region_of(struct mem *mem);
/* Ask for huge pages for its blocks that are not in slabs. */
void mem_blocks_huge(struct mem *mem);
/* Of each backend: statistics of what is not in slabs, as renewed last; giving its pages back. */
void mem_stats_renew_apart(void);
void mem_stats_read_apart(struct mem *mem, struct mem_stats *ret);
void mem_purge_apart(struct mem *mem);

#endif
