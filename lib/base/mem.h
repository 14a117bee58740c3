/* SPDX-License-Identifier: MIT */
/*
 * Memory by arena: callers pass a block's size again on free, so accounting needs no header.
 *
 * Two backends behind one call. `jemalloc`: a dedicated arena (mallocx/dallocx only, never mixed
 * with malloc), whose dirty pages can be purged so that resident memory follows the cap. `system`:
 * malloc, for sanitizers, and for hosts that dlopen us (jemalloc's static TLS forbids that).
 *
 * An arena for many blocks that come and go (mem_add_slabs) has those of up to 42 KiB in slabs of
 * its own instead: base/slab.h says why. Blocks that are never moved are allocated apart from slabs
 * (mem_alloc_apart), lest they keep a slab that all other blocks have left. Sanitizers see the ends
 * of malloc's blocks only, so their builds have no slabs.
 *
 * A `struct mem_cache` is a stock of small blocks, owned by whoever holds the lock around it (each
 * L1 shard has one). With it the slabs' locks are taken once for several blocks.
 */
#ifndef NIGH_BASE_MEM_H
#define NIGH_BASE_MEM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

struct mem;
struct mem_cache;

/* Create an arena of the compiled backend; NULL when there is no memory. */
struct mem *mem_create(void);
/* Everything allocated from it must have been freed. */
void mem_destroy(struct mem *mem);

/* Let blocks of the arena have slabs. Call it before anything is allocated. False: no memory. */
bool mem_add_slabs(struct mem *mem);

/*
 * Create a cache for a single owner. NULL when there is no memory, and always where there are no
 * slabs; that is no error, for every function that takes a cache takes NULL (slower, still right).
 */
struct mem_cache *mem_cache_create(struct mem *mem);
/* Give the cache's blocks back to its arena (its owner only): before mem_drain and mem_purge. */
void mem_cache_flush(struct mem_cache *cache);
void mem_cache_destroy(struct mem_cache *cache);

/* 16-byte aligned memory of at least `size` (> 0) bytes, or NULL. */
void *mem_alloc(struct mem *mem, struct mem_cache *cache, size_t size);
void *mem_alloc_zero(struct mem *mem, size_t size);
/* Free a block: `size` as given to mem_alloc. NULL ptr is fine. Any cache of the arena will do. */
void mem_free(struct mem *mem, struct mem_cache *cache, void *ptr, size_t size);

/* Allocate and free blocks that are never moved: these never lie in a slab. */
void *mem_alloc_apart(struct mem *mem, size_t size);
void mem_free_apart(struct mem *mem, void *ptr, size_t size);
size_t mem_charge_apart(const struct mem *mem, size_t size);

/*
 * Allocate zeroed memory on cache lines of its own: writes of other data do not take these lines
 * away from their readers, nor the other way round. Costs up to two lines more. Free with the same
 * `size`.
 */
void *mem_lines_alloc_zero(struct mem *mem, size_t size);
void mem_lines_free(struct mem *mem, void *ptr, size_t size);

/* The beginning of each arena. Keys: (c) constant before the first block  (a) atomic, relaxed */
struct mem_head {
    const uint16_t *charges; /* (c) charges of sizes up to charges_max, by size / MEM_STEP */
    size_t charges_max;      /* (c) */
    struct slabs *slabs;     /* (c) NULL: no slabs */
    _Atomic bool drains;     /* (a) some slabs are to become empty */
};

#define MEM_STEP ((size_t)16)

/* Bytes really taken for a request of `size`, which accounting charges. Answered from a table: each
 * entry's charge is asked for several times, and the backend takes 100 instructions to answer. */
static inline size_t mem_charge(const struct mem *mem, size_t size)
{
    const struct mem_head *head = (const void *)mem;
    return NIGH_LIKELY(size <= head->charges_max) ? head->charges[(size + MEM_STEP - 1) / MEM_STEP]
                                                  : mem_charge_apart(mem, size);
}

/*
 * Moving blocks together: from mem_drain() to mem_settle() no block is taken from some slabs, and
 * the blocks in them should be moved: allocate, copy, free. False: there is nothing to gain, or no
 * memory. For one arena, call these from one thread at a time; its caches should be empty.
 */
bool mem_drain(struct mem *mem);
void mem_settle(struct mem *mem);
/* Bytes of pages that draining would free, about. */
size_t mem_drain_bytes(struct mem *mem);
/* Whether a block is in a slab that drains, and so should be moved. Does not touch the block. */
bool mem_is_draining_slow(const void *ptr);
static inline bool mem_is_draining(const struct mem *mem, const void *ptr)
{
    const struct mem_head *head = (const void *)mem;
    return NIGH_UNLIKELY(atomic_load_explicit(&head->drains, memory_order_relaxed)) &&
           mem_is_draining_slow(ptr);
}

struct mem_stats {
    size_t allocated_bytes; /* by own statistics and the backend's, caches' content included */
    size_t resident_bytes;  /* 0, as above, where neither slabs nor backend have statistics */
};
/*
 * mem_stats_peek() reads the backend's part as it was renewed last, by anybody. The cost of
 * renewing grows with the number of arenas in the process: to read many arenas, renew once.
 */
void mem_stats_renew(void);
void mem_stats_peek(struct mem *mem, struct mem_stats *ret);
/* Renew, then read. */
void mem_stats_read(struct mem *mem, struct mem_stats *ret);

/* Give unused pages back to the kernel now. Slow (ms); never on an application thread's hit. */
void mem_purge(struct mem *mem);

/*
 * Resize an array. A small one lies in the arena and is copied. A large one has pages of its own,
 * which the kernel moves: it may grow by little at a time, and wastes less than a page where the
 * arena's size classes waste up to a quarter. Sizes are as in mem_free; size 0 and NULL stand for
 * no array. The bytes that were added are not initialized. Errors: NULL, no memory; the array is as
 * it was.
 */
void *mem_array_resize(struct mem *mem, void *array, size_t old_size, size_t new_size);
void mem_array_free(struct mem *mem, void *array, size_t size);
/* Bytes that accounting charges for an array; those of them that are pages; and bytes that a resize
 * needs beside the old charge while it lasts. */
size_t mem_array_charge(const struct mem *mem, size_t size);
size_t mem_array_pages_bytes(const struct mem *mem, size_t size);
size_t mem_array_resize_charge(const struct mem *mem, size_t old_size, size_t new_size);
/* Let large arrays have pages of their own, if the backend gains by it. Each array is then a
 * mapping, of which a process has 65,530 (vm.max_map_count). Call it before anything is allocated.
 */
void mem_set_array_pages(struct mem *mem);

/* Whole pages from the kernel, zeroed and untouched: charged by size, resident by use. */
void *mem_pages_alloc(size_t size);
/* Whole pages, in huge ones if the arena is to have them. */
void *mem_pages_alloc_of(struct mem *mem, size_t size);
/* Make fresh pages resident now, for memory that must not meet page faults later, under a lock. */
void mem_pages_touch(void *ptr, size_t size);
void mem_pages_free(void *ptr, size_t size);

/*
 * Choose the memory that is to lie in pages of 2 MiB: none, that of mem_pages_alloc_of(), or blocks
 * too. Call it before anything is allocated. It is advice: where the kernel has no such pages, or
 * the backend cannot ask for its blocks (`system`), nothing changes but speed.
 */
enum mem_huge { MEM_HUGE_NONE, MEM_HUGE_PAGES, MEM_HUGE_ALL };
void mem_set_huge(struct mem *mem, enum mem_huge huge);

#endif
