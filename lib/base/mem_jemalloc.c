// SPDX-License-Identifier: MIT
/*
 * Memory from a jemalloc arena of our own, so that purging it touches nobody else's pages.
 *
 * Every call names the arena and no thread cache. With the automatic cache of the calling thread,
 * blocks of ours would wait in caches that nobody can flush, and the arena could not be used again.
 * Explicit caches end the process when memory is short (5.3 makes a flushed cache anew when it is
 * used next, and aborts if there is no memory for it), and a process has only 4,093 of them. Little
 * is lost, for blocks that are asked for often are in slabs and their stocks (mem_blocks.c);
 * without a thread cache a pair of calls takes 76 ns.
 *
 * Arenas are used again. jemalloc (5.3) keeps 4 MiB of address space, in two mappings, and 12 kB
 * of memory of each arena that was destroyed: after some 16,000 caches that were opened and closed
 * a process had no mappings left. So an arena whose owner is done is emptied, purged and stocked.
 * Its pages are with the kernel then; it keeps their addresses, and the descriptors of what it had.
 * Of an arena that has grown large these are no trifle (and would count as resident memory of the
 * next owner), so that one is destroyed. Arenas whose addresses are marked for huge pages have a
 * stock of their own. A stock is words that are exchanged: a child of fork() meets no lock there.
 *
 * One weakness remains when memory is short. A thread's first call of jemalloc, whichever it is,
 * makes the automatic cache of that thread, and for the first threads of a process (four for each
 * processor) an automatic arena, too. If there is no memory for that arena jemalloc 5.3 goes on
 * without one, and crashes (tcache_arena_associate). The host's malloc does the same where it is
 * jemalloc. To make all of those arenas when a cache is opened would cost each host some 40 kB for
 * each of them.
 *
 * Source: jemalloc(3) 5.3, "mallctl namespace".
 */
#include "base/mem_region.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <jemalloc/jemalloc.h>

#include "base/check.h"
#include "base/fault.h"

/* The class of 8 bytes is only 8-byte aligned; all others are multiples of 16. */
#define SIZE_MIN_BYTES ((size_t)16)
#define NAME_BYTES 64
/* Answers of nallocx(), which takes 100 instructions, are kept for blocks up to this size. */
#define CHARGES_MAX_BYTES ((size_t)2048)
#define CHARGES (CHARGES_MAX_BYTES / MEM_STEP + 1)

/* Arenas in each stock at most. A cache has one, and one more for each space with a cap. */
#define STOCK_MAX 256u
/* An arena is stocked without a look at its statistics, which takes some us for each arena of the
 * process, if its blocks were so many bytes in all: too few to need many descriptors; */
#define UNSEEN_MAX_BYTES ((size_t)16 << 20)
/* ... else if its descriptors and the addresses that it keeps are no more than this. */
#define STOCKED_BASE_BYTES ((size_t)256 << 10)
#define STOCKED_RETAINED_BYTES ((size_t)256 << 20)

/* Keys: (c) constant after creation and mem_set_huge()  (a) atomic, relaxed: a sum */
struct mem {
    struct mem_region region;
    unsigned arena;         /* (c) */
    bool huge;              /* (c) whether its addresses are marked for huge pages */
    _Atomic size_t taken_bytes; /* (a) all blocks so far */
    size_t small_max;       /* (c) larger blocks have pages of their own ... */
    size_t large_pad_bytes; /* (c) ... and a page more, to begin at different cache lines */
    uint16_t charges[CHARGES]; /* (c) by size / MEM_STEP, rounded up */
};

static size_t at_least_min(size_t size)
{
    return size < SIZE_MIN_BYTES ? SIZE_MIN_BYTES : size;
}

static int uncached(unsigned arena)
{
    return (int)(MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE);
}

/* Calls "arena.<i>.<verb>", which takes and returns no value. */
static void arena_do(unsigned arena, const char *verb)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof(name), "arena.%u.%s", arena, verb);
    mallctl(name, NULL, NULL, NULL, 0);
}

static size_t arena_stat(unsigned arena, const char *what)
{
    char name[NAME_BYTES];
    size_t value = 0, len = sizeof(value);
    snprintf(name, sizeof(name), "stats.arenas.%u.%s", arena, what);
    return mallctl(name, &value, &len, NULL, 0) == 0 ? value : 0;
}

static size_t small_max(void)
{
    unsigned bins = 0;
    size_t size = SIZE_MAX, len = sizeof(bins);
    char name[NAME_BYTES];
    if (mallctl("arenas.nbins", &bins, &len, NULL, 0) != 0 || bins == 0)
        return SIZE_MAX;
    snprintf(name, sizeof(name), "arenas.bin.%u.size", bins - 1);
    len = sizeof(size);
    return mallctl(name, &size, &len, NULL, 0) == 0 ? size : SIZE_MAX;
}

/* Returns by how much a large block is larger than nallocx() and the arena's "allocated" say: by a
 * page with opt.cache_oblivious (the default; cannot be queried before 5.3). While that page was
 * not charged, 1.12 of the cap was resident with values of 16 KiB. */
static size_t large_pad_bytes(void)
{
    bool oblivious = true;
    size_t page = 4096, len = sizeof(oblivious);
    mallctl("opt.cache_oblivious", &oblivious, &len, NULL, 0);
    len = sizeof(page);
    mallctl("arenas.page", &page, &len, NULL, 0);
    return oblivious ? page : 0;
}

/* ---- arenas in stock ---- */

#define NO_ARENA UINT_MAX

/* Two stocks, by `huge`: of an arena's number plus 1; 0: a free place. */
static _Atomic unsigned stocks[2][STOCK_MAX];

static unsigned unstock(bool huge)
{
    for (unsigned i = 0; i < STOCK_MAX; i++) {
        _Atomic unsigned *place = &stocks[huge][i];
        if (atomic_load_explicit(place, memory_order_relaxed) == 0)
            continue;
        /* pair(mem.stock): its last owner has emptied it */
        unsigned number = atomic_exchange_explicit(place, 0, memory_order_acquire);
        if (number)
            return number - 1;
    }
    return NO_ARENA;
}

/* Returns false when the stock is full. */
static bool stock(unsigned arena, bool huge)
{
    for (unsigned i = 0; i < STOCK_MAX; i++) {
        unsigned none = 0;
        /* pair(mem.stock) */
        if (atomic_compare_exchange_strong_explicit(&stocks[huge][i], &none, arena + 1,
                                                    memory_order_release, memory_order_relaxed))
            return true;
    }
    return false;
}

static unsigned arena_make(void)
{
    unsigned arena;
    size_t len = sizeof(arena);
    return mallctl("arenas.create", &arena, &len, NULL, 0) == 0 ? arena : NO_ARENA;
}

static unsigned arena_take(void)
{
    unsigned arena = unstock(false);
    return arena != NO_ARENA ? arena : arena_make();
}

static bool is_small(const struct mem *mem)
{
    if (atomic_load_explicit(&mem->taken_bytes, memory_order_relaxed) <= UNSEEN_MAX_BYTES)
        return true;
    mem_stats_renew_apart();
    return arena_stat(mem->arena, "base") <= STOCKED_BASE_BYTES &&
           arena_stat(mem->arena, "retained") <= STOCKED_RETAINED_BYTES;
}

/* Frees what is left in an arena, gives its pages back, and stocks or destroys it. */
static void arena_leave(const struct mem *mem)
{
    arena_do(mem->arena, "reset");
    arena_do(mem->arena, "purge");
    if (!is_small(mem) || !stock(mem->arena, mem->huge))
        arena_do(mem->arena, "destroy");
}

/* ---- an arena and what we know about it ---- */

struct mem *mem_create(void)
{
    if (fault_fires(FAULT_ALLOC))
        return NULL;
    struct mem *mem = calloc(1, sizeof(*mem)); /* not in the arena, which may be changed */
    unsigned arena = mem ? arena_take() : NO_ARENA;
    if (arena == NO_ARENA) {
        free(mem);
        return NULL;
    }
    mem->arena = arena;
    mem->small_max = small_max();
    mem->large_pad_bytes = large_pad_bytes();
    mem_region_init(&mem->region, mem->charges, CHARGES_MAX_BYTES);
    for (size_t i = 0; i < CHARGES; i++)
        mem->charges[i] = (uint16_t)nallocx(at_least_min(i * MEM_STEP), 0);
    return mem;
}

void mem_destroy_apart(struct mem *mem)
{
    arena_leave(mem);
    free(mem);
}

struct mem_region *mem_region_of(struct mem *mem)
{
    return &mem->region;
}

/* Arrays from this size on have pages of their own. As blocks they would each have a page more
 * (large_pad_bytes()), in size classes that are up to a quarter apart. */
#define ARRAY_PAGES_BYTES ((size_t)16 * 1024)

void mem_set_array_pages(struct mem *mem)
{
    mem->region.array_pages_from = ARRAY_PAGES_BYTES;
}

/* ---- huge pages for blocks ---- */

/* An arena asks the kernel for address space in pieces of 2 MiB and more, through hooks. Ours are
 * jemalloc's own, except that the pieces are aligned and marked for huge pages. */
static extent_hooks_t huge_hooks;
static extent_hooks_t *own_hooks; /* jemalloc's own hooks */
static pthread_once_t huge_once = PTHREAD_ONCE_INIT;

static void *alloc_huge(extent_hooks_t *hooks, void *at, size_t size, size_t alignment, bool *zero,
                        bool *commit, unsigned arena)
{
    bool whole = size >= HUGE_PAGE_BYTES;
    (void)hooks;
    if (whole && !at && alignment < HUGE_PAGE_BYTES)
        alignment = HUGE_PAGE_BYTES;
    void *area = own_hooks->alloc(own_hooks, at, size, alignment, zero, commit, arena);
    if (area && whole)
        madvise(area, size, MADV_HUGEPAGE);
    return area;
}

static void huge_hooks_make(void)
{
    size_t len = sizeof(own_hooks);
    if (mallctl("arena.0.extent_hooks", &own_hooks, &len, NULL, 0) != 0)
        return;
    huge_hooks = *own_hooks;
    huge_hooks.alloc = alloc_huge;
}

/* Takes or makes an arena with those hooks. */
static unsigned huge_arena(void)
{
    char name[NAME_BYTES];
    extent_hooks_t *hooks = &huge_hooks;
    unsigned arena = unstock(true);
    if (arena != NO_ARENA || (arena = arena_make()) == NO_ARENA)
        return arena;
    snprintf(name, sizeof(name), "arena.%u.extent_hooks", arena);
    mallctl(name, NULL, NULL, &hooks, sizeof(hooks));
    return arena;
}

/* Exchanges the arena, in which there is nothing yet: it may keep addresses that are not marked. */
void mem_blocks_huge(struct mem *mem)
{
    pthread_once(&huge_once, huge_hooks_make);
    unsigned arena = own_hooks ? huge_arena() : NO_ARENA;
    if (arena == NO_ARENA)
        return;
    arena_leave(mem);
    mem->arena = arena;
    mem->huge = true;
}

void *mem_alloc_apart(struct mem *mem, size_t size)
{
    if (fault_fires(FAULT_ALLOC))
        return NULL;
    atomic_fetch_add_explicit(&mem->taken_bytes, size, memory_order_relaxed);
    return mallocx(at_least_min(size), uncached(mem->arena));
}

void mem_free_apart(struct mem *mem, void *ptr, size_t size)
{
    if (ptr)
        sdallocx(ptr, at_least_min(size), uncached(mem->arena));
}

size_t mem_charge_apart(const struct mem *mem, size_t size)
{
    if (NIGH_LIKELY(size <= CHARGES_MAX_BYTES))
        return mem->charges[(size + MEM_STEP - 1) / MEM_STEP];
    size_t block = nallocx(at_least_min(size), 0);
    return block > mem->small_max ? block + mem->large_pad_bytes : block;
}

/* Takes a new snapshot of the statistics of all arenas. */
void mem_stats_renew_apart(void)
{
    uint64_t epoch = 1;
    mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch));
}

void mem_stats_read_apart(struct mem *mem, struct mem_stats *ret)
{
    size_t large = arena_stat(mem->arena, "large.nmalloc");
    large -= arena_stat(mem->arena, "large.ndalloc");
    ret->allocated_bytes = arena_stat(mem->arena, "small.allocated") +
                           arena_stat(mem->arena, "large.allocated") + large * mem->large_pad_bytes;
    ret->resident_bytes = arena_stat(mem->arena, "resident");
}

void mem_purge_apart(struct mem *mem)
{
    arena_do(mem->arena, "purge");
}
