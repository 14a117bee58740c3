// SPDX-License-Identifier: MIT
/*
 * Memory from malloc: for sanitizers, which do not see into jemalloc, and for plugins that are
 * loaded by dlopen (libnigh-system).
 *
 * malloc has no arenas, so purging trims the whole process. Statistics of malloc are those of the
 * process, so none are given.
 */
#include "base/mem_region.h"

#include <malloc.h>
#include <stdlib.h>

#include "base/fault.h"

/* glibc on 64 bits: a header word before the block, steps of 16, no block under 32. */
#define HEADER_BYTES ((size_t)8)
#define STEP_BYTES ((size_t)16)
#define BLOCK_MIN_BYTES ((size_t)32)

struct mem {
    struct mem_region region;
};

struct mem *mem_create(void)
{
    struct mem *mem = fault_fires(FAULT_ALLOC) ? NULL : calloc(1, sizeof(struct mem));
    if (mem)
        mem_region_init(&mem->region, NULL, 0);
    return mem;
}

void mem_destroy_apart(struct mem *mem)
{
    free(mem);
}

struct mem_region *mem_region_of(struct mem *mem)
{
    return &mem->region;
}

/* Does nothing: sanitizers see the ends of blocks, not those of pages. */
void mem_set_array_pages(struct mem *mem)
{
    (void)mem;
}

/* Does nothing: malloc's pages are the host's choice (GLIBC_TUNABLES=glibc.malloc.hugetlb=1). */
void mem_blocks_huge(struct mem *mem)
{
    (void)mem;
}

void *mem_alloc_apart(struct mem *mem, size_t size)
{
    (void)mem;
    return fault_fires(FAULT_ALLOC) ? NULL : malloc(size);
}

void mem_free_apart(struct mem *mem, void *ptr, size_t size)
{
    (void)mem, (void)size;
    free(ptr);
}

/* Estimates from glibc's layout: malloc_usable_size() needs the block, and we charge before. */
size_t mem_charge_apart(const struct mem *mem, size_t size)
{
    (void)mem;
    size_t block = (size + HEADER_BYTES + STEP_BYTES - 1) & ~(STEP_BYTES - 1);
    return block < BLOCK_MIN_BYTES ? BLOCK_MIN_BYTES : block;
}

void mem_stats_renew_apart(void)
{
}

void mem_stats_read_apart(struct mem *mem, struct mem_stats *ret)
{
    (void)mem;
    *ret = (struct mem_stats){0, 0};
}

void mem_purge_apart(struct mem *mem)
{
    (void)mem;
    malloc_trim(0);
}
