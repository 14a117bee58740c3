/* SPDX-License-Identifier: MIT */
/*
 * Memory by arena: sizes are given back on free, so accounting costs no header.
 *
 * Two backends behind one call. `jemalloc`: a dedicated arena (mallocx/dallocx only, never mixed
 * with malloc), whose dirty pages can be purged so that resident memory follows the cap. `system`:
 * malloc, for sanitizers, and for hosts that dlopen us (jemalloc's static TLS forbids that).
 *
 * An arena that is said to hold many blocks that come and go (mem_add_slabs) has those of up to
 * 42 KiB in slabs of its own instead: base/slab.h says why. What is never moved is asked for apart
 * (mem_alloc_apart), lest it keep a slab that everybody else has left. Sanitizers see the ends of
 * malloc's blocks only: in their builds there are no slabs.
 *
 * A `struct mem_cache` is a stock of small blocks owned by whoever holds the lock around it (one in
 * each L1 shard): then the slabs' locks are taken once for several blocks.
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

/* An own arena of the compiled backend; NULL when there is no memory. */
struct mem *mem_create(void);
/* Everything allocated from it must have been freed. */
void mem_destroy(struct mem *mem);

/* Let blocks have slabs. Said before anything is allocated. False: no memory. */
bool mem_add_slabs(struct mem *mem);

/*
 * A single-owner cache. NULL when there is no memory, and always where there are no slabs: that
 * is no error, for NULL is allowed wherever a cache is taken (slower, still right).
 */
struct mem_cache *mem_cache_create(struct mem *mem);
/* Give what the cache holds back to its arena (its owner only): before mem_drain and mem_purge. */
void mem_cache_flush(struct mem_cache *cache);
void mem_cache_destroy(struct mem_cache *cache);

/* 16-byte aligned memory of at least `size` (> 0) bytes, or NULL. */
void *mem_alloc(struct mem *mem, struct mem_cache *cache, size_t size);
void *mem_alloc_zero(struct mem *mem, size_t size);
/* `size` as given to mem_alloc. NULL ptr is fine. Any cache of the arena will do. */
void mem_free(struct mem *mem, struct mem_cache *cache, void *ptr, size_t size);

/* The same for what stays where it is: never in a slab. */
void *mem_alloc_apart(struct mem *mem, size_t size);
void mem_free_apart(struct mem *mem, void *ptr, size_t size);
size_t mem_charge_apart(const struct mem *mem, size_t size);

/*
 * The same on cache lines of its own, zeroed: nobody else's writes take them away from who reads
 * them, nor the other way round. Costs up to two lines more. `size` as given.
 */
void *mem_lines_alloc_zero(struct mem *mem, size_t size);
void mem_lines_free(struct mem *mem, void *ptr, size_t size);

/* What each arena begins with. Keys: (c) constant before the first block  (a) atomic, relaxed */
struct mem_head {
    const uint16_t *charges; /* (c) of sizes up to charges_max, by MEM_STEP, rounded up */
    size_t charges_max;      /* (c) */
    struct slabs *slabs;     /* (c) NULL: there are none */
    _Atomic bool drains;     /* (a) some slabs are to become empty */
};

#define MEM_STEP ((size_t)16)

/* Bytes really taken for a request of `size`: what accounting charges. Each entry's charge is asked
 * for several times in its life, and the backend takes 100 instructions to answer. */
static inline size_t mem_charge(const struct mem *mem, size_t size)
{
    const struct mem_head *head = (const void *)mem;
    return NIGH_LIKELY(size <= head->charges_max) ? head->charges[(size + MEM_STEP - 1) / MEM_STEP]
                                                  : mem_charge_apart(mem, size);
}

/*
 * Moving blocks together: from mem_drain() to mem_settle() some slabs get emptier only, and blocks
 * in them should be moved: allocate, copy, free. False: there is nothing to gain, or no memory.
 * All of one arena from one thread at a time; caches should be empty.
 */
bool mem_drain(struct mem *mem);
void mem_settle(struct mem *mem);
/* Pages that it would bring, about. */
size_t mem_drain_bytes(struct mem *mem);
/* Whether a block is one of those to be moved; it is not touched. */
bool mem_is_draining_slow(const void *ptr);
static inline bool mem_is_draining(const struct mem *mem, const void *ptr)
{
    const struct mem_head *head = (const void *)mem;
    return NIGH_UNLIKELY(atomic_load_explicit(&head->drains, memory_order_relaxed)) &&
           mem_is_draining_slow(ptr);
}

struct mem_stats {
    size_t allocated_bytes; /* by own statistics and the backend's, caches' content included */
    size_t resident_bytes;  /* both 0 where there are no slabs and the backend has none */
};
/*
 * The backend's part is as of when it was renewed last, by anybody. Renewing costs about as much as
 * there are arenas in the process: who reads many of them does it once for all.
 */
void mem_stats_renew(void);
void mem_stats_peek(struct mem *mem, struct mem_stats *ret);
/* Both. */
void mem_stats_read(struct mem *mem, struct mem_stats *ret);

/* Give unused pages back to the kernel now. Slow (ms); never on an application thread's hit. */
void mem_purge(struct mem *mem);

/*
 * An array that grows and shrinks. A small one lies in the arena and is copied. A large one has
 * pages of its own, which the kernel moves: it may grow by little at a time, and takes its size and
 * the rest of a page where the arena's size classes take up to a quarter more. Sizes are as in
 * mem_free; 0 and NULL: there is none. What it grew by is not initialized. Errors: NULL, no memory;
 * the array is as it was.
 */
void *mem_array_resize(struct mem *mem, void *array, size_t old_size, size_t new_size);
void mem_array_free(struct mem *mem, void *array, size_t size);
/* What accounting charges; of it, what is on pages; and what resizing needs beside the old charge
 * while it lasts. */
size_t mem_array_charge(const struct mem *mem, size_t size);
size_t mem_array_pages_bytes(const struct mem *mem, size_t size);
size_t mem_array_resize_charge(const struct mem *mem, size_t old_size, size_t new_size);
/* Let large arrays have pages, if the backend has a use for them. Each of them is a mapping, of
 * which a process has 65,530 (vm.max_map_count). Said before anything is allocated. */
void mem_set_array_pages(struct mem *mem);

/* Whole pages from the kernel, zeroed and untouched: charged by size, resident by use. */
void *mem_pages_alloc(size_t size);
/* The same, in huge pages if the arena is to have them. */
void *mem_pages_alloc_of(struct mem *mem, size_t size);
/* Make fresh pages resident now: for what must not meet page faults later, under a lock. */
void mem_pages_touch(void *ptr, size_t size);
void mem_pages_free(void *ptr, size_t size);

/*
 * What is to lie in pages of 2 MiB: nothing, what mem_pages_alloc_of() gives, or blocks too. Said
 * before anything is allocated. It is advice: where the kernel has none to give, or the backend
 * cannot ask for its blocks (`system`), nothing changes but speed.
 */
enum mem_huge { MEM_HUGE_NONE, MEM_HUGE_PAGES, MEM_HUGE_ALL };
void mem_set_huge(struct mem *mem, enum mem_huge huge);

#endif
