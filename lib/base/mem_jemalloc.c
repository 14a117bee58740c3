// SPDX-License-Identifier: MIT
/*
 * Memory from a jemalloc arena of our own, so that purging it touches nobody else's pages.
 *
 * Every call names the arena and a thread cache (explicit, or none): with the automatic cache of
 * the calling thread, blocks of ours would wait in caches that nobody can flush, and the arena
 * could not be destroyed. An explicit cache is filled from the arena named in the call; as one is
 * only ever used with one arena, what it holds is that arena's.
 *
 * jemalloc never collects explicit caches by itself (its collector runs for automatic ones), so
 * what they hold stays until mem_cache_flush().
 *
 * Source: jemalloc(3) 5.3, "mallctl namespace".
 */
#include "base/mem_region.h"

#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>

#include <jemalloc/jemalloc.h>

#include "base/check.h"
#include "base/fault.h"

/* The class of 8 bytes is only 8-byte aligned; all others are multiples of 16. */
#define SIZE_MIN_BYTES ((size_t)16)
#define NAME_BYTES 64
/* Larger blocks pass a cache by. A cache keeps 20 to 200 of each class, charged to nobody: 4 MiB if
 * all classes up to 32 KiB are kept, half a MiB up to here, where all are in use at once. (L1 gives
 * that back when it is 1/64 of its cap: l1/shrink.c.) Filling a larger block costs more than the
 * 76 ns that its way past the cache takes. */
#define CACHED_MAX_BYTES ((size_t)1024)

/* nallocx() takes 100 instructions, and each entry's charge is asked for four times in its life:
 * for blocks up to this size the answers are kept, in steps of the least class. */
#define CHARGES_MAX_BYTES ((size_t)2048)
#define CHARGES (CHARGES_MAX_BYTES / SIZE_MIN_BYTES + 1)

/* Keys: (c) constant after creation. Lives in its own arena. */
struct mem {
    struct mem_region region;
    unsigned arena;         /* (c) */
    size_t small_max;       /* (c) larger blocks have pages of their own ... */
    size_t large_pad_bytes; /* (c) ... and a page more, to begin at different cache lines */
    uint16_t charges[CHARGES]; /* (c) by size / SIZE_MIN_BYTES, rounded up */
};

/* Blocks of a class in front of jemalloc's cache, which takes 250 instructions for a pair: it reads
 * size class, arena and cache anew from sizes and flags. What is freed last is used first. By the
 * bytes it is 54 KiB of all classes together, a ninth of what jemalloc's cache keeps. */
#define STOCK_MAX 16u
#define STOCK_MAX_BYTES 4096u
#define LINE_BYTES 64u
#define STOCKS (CACHED_MAX_BYTES / SIZE_MIN_BYTES + 1)

struct block {
    struct block *next;
};

/* Keys: (c) constant after creation, the rest its owner's. Lives in the arena. */
struct mem_cache {
    struct mem *mem;             /* (c) */
    unsigned tcache;             /* (c) */
    uint8_t rooms[STOCKS];       /* places left, by charge / SIZE_MIN_BYTES */
    struct block *stocks[STOCKS];
};

static size_t at_least_min(size_t size)
{
    return size < SIZE_MIN_BYTES ? SIZE_MIN_BYTES : size;
}

static int uncached(unsigned arena)
{
    return (int)(MALLOCX_ARENA(arena) | MALLOCX_TCACHE_NONE);
}

static int alloc_flags(const struct mem *mem, const struct mem_cache *cache, size_t size)
{
    return cache && size <= CACHED_MAX_BYTES
               ? (int)(MALLOCX_ARENA(mem->arena) | MALLOCX_TCACHE(cache->tcache))
               : uncached(mem->arena);
}

/* "arena.<i>.<verb>", which takes and gives nothing. */
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

/* With opt.cache_oblivious (the default; not to be asked before 5.3) a large block has a page more
 * than nallocx() says and the arena's "allocated" counts: 1.12 of the cap was resident with values
 * of 16 KiB while it was not charged. */
static size_t large_pad_bytes(void)
{
    bool oblivious = true;
    size_t page = 4096, len = sizeof(oblivious);
    mallctl("opt.cache_oblivious", &oblivious, &len, NULL, 0);
    len = sizeof(page);
    mallctl("arenas.page", &page, &len, NULL, 0);
    return oblivious ? page : 0;
}

struct mem *mem_create(void)
{
    unsigned arena;
    size_t len = sizeof(arena);
    if (fault_fires(FAULT_ALLOC) || mallctl("arenas.create", &arena, &len, NULL, 0) != 0)
        return NULL;
    struct mem *mem = mallocx(sizeof(*mem), uncached(arena));
    if (!mem) {
        arena_do(arena, "destroy");
        return NULL;
    }
    mem->arena = arena;
    mem->small_max = small_max();
    mem->large_pad_bytes = large_pad_bytes();
    mem_region_init(&mem->region);
    for (size_t i = 0; i < CHARGES; i++)
        mem->charges[i] = (uint16_t)nallocx(at_least_min(i * SIZE_MIN_BYTES), 0);
    return mem;
}

void mem_destroy(struct mem *mem)
{
    if (!mem)
        return;
    mem_region_fini(&mem->region);
    arena_do(mem->arena, "destroy"); /* the struct goes with it */
}

struct mem_region *mem_region_of(struct mem *mem)
{
    return &mem->region;
}

/* Larger blocks than this have pages and a page more each (large_pad_bytes()), in size classes that
 * are up to a quarter apart. */
#define ARRAY_PAGES_BYTES ((size_t)16 * 1024)

void mem_set_array_pages(struct mem *mem)
{
    mem->region.array_pages_from = ARRAY_PAGES_BYTES;
}

/* ---- huge pages for blocks ---- */

/* An arena asks the kernel for address space in pieces of 2 MiB and more, through hooks: ours are
 * its own, but what they bring is aligned and marked. */
static extent_hooks_t huge_hooks;
static extent_hooks_t *own_hooks; /* what every arena begins with */
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

void mem_blocks_huge(struct mem *mem)
{
    char name[NAME_BYTES];
    extent_hooks_t *hooks = &huge_hooks;
    pthread_once(&huge_once, huge_hooks_make);
    if (!own_hooks)
        return;
    snprintf(name, sizeof(name), "arena.%u.extent_hooks", mem->arena);
    mallctl(name, NULL, NULL, &hooks, sizeof(hooks));
}

/* Room for what a stock may hold. */
static uint8_t stock_room(size_t i)
{
    size_t most = i ? STOCK_MAX_BYTES / (i * SIZE_MIN_BYTES) : 0;
    return (uint8_t)(most < STOCK_MAX ? most : STOCK_MAX);
}

struct mem_cache *mem_cache_create(struct mem *mem)
{
    struct mem_cache *cache = mem_alloc(mem, NULL, sizeof(*cache));
    size_t len = sizeof(cache->tcache);
    if (!cache)
        return NULL;
    *cache = (struct mem_cache){.mem = mem};
    if (mallctl("tcache.create", &cache->tcache, &len, NULL, 0) != 0) {
        mem_free(mem, NULL, cache, sizeof(*cache));
        return NULL;
    }
    for (size_t i = 0; i < STOCKS; i++)
        cache->rooms[i] = stock_room(i);
    return cache;
}

/* Of blocks of this size, which is at most CACHED_MAX_BYTES. */
static size_t stock_of(const struct mem *mem, size_t size)
{
    return mem_charge(mem, size) / SIZE_MIN_BYTES;
}

static void flush_stocks(struct mem_cache *cache)
{
    for (size_t i = 0; i < STOCKS; i++) {
        while (cache->stocks[i]) {
            struct block *b = cache->stocks[i];
            cache->stocks[i] = b->next;
            sdallocx(b, i * SIZE_MIN_BYTES, uncached(cache->mem->arena));
        }
        cache->rooms[i] = stock_room(i);
    }
}

void mem_cache_flush(struct mem_cache *cache)
{
    if (!cache)
        return;
    flush_stocks(cache);
    mallctl("tcache.flush", NULL, NULL, &cache->tcache, sizeof(cache->tcache));
}

void mem_cache_destroy(struct mem_cache *cache)
{
    if (!cache)
        return;
    flush_stocks(cache);
    mallctl("tcache.destroy", NULL, NULL, &cache->tcache, sizeof(cache->tcache));
    mem_free(cache->mem, NULL, cache, sizeof(*cache));
}

/* The next one to be given out will be written from end to end. */
static void prefetch_block(const struct block *b, size_t size)
{
    for (size_t at = 0; at < size; at += LINE_BYTES)
        __builtin_prefetch((const char *)b + at, 1);
}

void *mem_alloc(struct mem *mem, struct mem_cache *cache, size_t size)
{
    if (fault_fires(FAULT_ALLOC))
        return NULL;
    if (cache && size <= CACHED_MAX_BYTES) {
        size_t i = stock_of(mem, size);
        struct block *b = cache->stocks[i];
        if (NIGH_LIKELY(b)) {
            cache->stocks[i] = b->next;
            cache->rooms[i]++;
            prefetch_block(b->next, size);
            return b;
        }
    }
    return mallocx(at_least_min(size), alloc_flags(mem, cache, size));
}

void mem_free(struct mem *mem, struct mem_cache *cache, void *ptr, size_t size)
{
    if (!ptr)
        return;
    if (cache && size <= CACHED_MAX_BYTES) {
        size_t i = stock_of(mem, size);
        if (NIGH_LIKELY(cache->rooms[i])) {
            struct block *b = ptr;
            b->next = cache->stocks[i];
            cache->stocks[i] = b;
            cache->rooms[i]--;
            return;
        }
    }
    sdallocx(ptr, at_least_min(size), alloc_flags(mem, cache, size));
}

size_t mem_charge(const struct mem *mem, size_t size)
{
    if (NIGH_LIKELY(size <= CHARGES_MAX_BYTES))
        return mem->charges[(size + SIZE_MIN_BYTES - 1) / SIZE_MIN_BYTES];
    size_t block = nallocx(at_least_min(size), 0);
    return block > mem->small_max ? block + mem->large_pad_bytes : block;
}

void mem_stats_read(struct mem *mem, struct mem_stats *ret)
{
    uint64_t epoch = 1;
    mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch)); /* statistics are a snapshot: renew it */
    size_t large = arena_stat(mem->arena, "large.nmalloc");
    large -= arena_stat(mem->arena, "large.ndalloc");
    ret->allocated_bytes = arena_stat(mem->arena, "small.allocated") +
                           arena_stat(mem->arena, "large.allocated") + large * mem->large_pad_bytes;
    ret->resident_bytes = arena_stat(mem->arena, "resident");
}

void mem_purge(struct mem *mem)
{
    arena_do(mem->arena, "purge");
}
