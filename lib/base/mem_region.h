/* SPDX-License-Identifier: MIT */
/*
 * The beginning of an arena in both memory backends: the slabs of its blocks, and the region from
 * which the next whole pages come.
 *
 * Tables of some hundred KiB each would never fill a page of 2 MiB, so those of an arena lie side
 * by side in a region that is aligned and marked for such pages:
 *
 *     | given | given | given back (unmapped) | given | ...        | not touched yet |
 *     ^ 2 MiB         ^ 2 MiB                 ^ next               ^ end
 *
 * No address is given twice: memory that is given back is unmapped and returns to the kernel. So
 * there is no list of free pieces, and a huge page that all its tables have left (the shards of a
 * table double at about the same time) is free as a whole. The only waste is the rest of the page
 * of 2 MiB that was touched last.
 */
#ifndef NIGH_BASE_MEM_REGION_H
#define NIGH_BASE_MEM_REGION_H

#include <pthread.h>

#include "base/mem.h"

#define HUGE_PAGE_BYTES ((size_t)2 << 20)

struct mem_region {
    struct mem_head head; /* must be first, for mem_charge() */
    enum mem_huge huge;      /* constant after mem_set_huge() */
    size_t array_pages_from; /* constant after mem_set_array_pages(): least size that has them */
    pthread_mutex_t lock;    /* for `next` and `end` */
    char *next;
    char *end;
};

/* `charges` and `max`: as in struct mem_head, used until the arena has slabs. */
static inline void mem_region_init(struct mem_region *r, const uint16_t *charges, size_t max)
{
    *r = (struct mem_region){.head = {.charges = charges, .charges_max = max},
                             .huge = MEM_HUGE_NONE,
                             .array_pages_from = SIZE_MAX};
    pthread_mutex_init(&r->lock, NULL);
}
/* Unmaps the rest of the region; the slabs are destroyed. */
void mem_region_fini(struct mem_region *r);

/* Each backend defines the functions below. */

/* Destroy what is left of an arena: all but its region and slabs. */
void mem_destroy_apart(struct mem *mem);
/* Returns the struct at the beginning of an arena. */
struct mem_region *mem_region_of(struct mem *mem);
/* Ask for huge pages for the arena's blocks that are not in slabs. */
void mem_blocks_huge(struct mem *mem);
/* Renew and read the statistics of memory that is not in slabs; give its unused pages back. */
void mem_stats_renew_apart(void);
void mem_stats_read_apart(struct mem *mem, struct mem_stats *ret);
void mem_purge_apart(struct mem *mem);

#endif
