/* SPDX-License-Identifier: MIT */
/*
 * Allocates blocks: from a stock, from a slab, or apart.
 *
 * A stock is a shard's list of free blocks of one size: the block freed last is used first, since
 * it is in a core's cache. A stock is filled and emptied by halves, so that a slab's lock is taken
 * once for several blocks. Stocks of all sizes together have at most 54 KiB, charged to nobody.
 */
#include "base/mem_region.h"

#include <string.h>

#include "base/fault.h"
#include "base/slab.h"

#define STOCK_MAX 16u
#define STOCK_MAX_BYTES 4096u
#define STOCKED_MAX_BYTES ((size_t)1024)
#define STOCKS 48u /* sizes up to STOCKED_MAX_BYTES */
#define LINE_BYTES 64u

struct block {
    struct block *next;
};

/* Keys: (c) constant after creation, the rest its owner's. Lives in the arena. */
struct mem_cache {
    struct mem *mem;        /* (c) */
    unsigned count;         /* (c) number of stocks */
    uint8_t rooms[STOCKS];  /* places left in each */
    uint8_t most[STOCKS];   /* (c) all places of each */
    struct block *stocks[STOCKS];
};

static struct slabs *slabs_of(const struct mem *mem)
{
    const struct mem_head *head = (const void *)mem;
    return head->slabs;
}

static struct slabs *slabs_for(const struct mem *mem, size_t size)
{
    return size <= SLAB_BLOCK_MAX ? slabs_of(mem) : NULL;
}

void mem_destroy(struct mem *mem)
{
    if (!mem)
        return;
    if (slabs_of(mem))
        slabs_destroy(slabs_of(mem));
    mem_region_fini(mem_region_of(mem));
    mem_destroy_apart(mem);
}

/* ---- with and without ---- */

#if NIGH_SANITIZED

bool mem_add_slabs(struct mem *mem)
{
    (void)mem;
    return true;
}

#else

bool mem_add_slabs(struct mem *mem)
{
    struct mem_region *r = mem_region_of(mem);
    r->head.slabs = slabs_create(mem, r->huge == MEM_HUGE_ALL);
    if (!r->head.slabs)
        return false;
    r->head.charges = slab_charges;
    r->head.charges_max = SLAB_BLOCK_MAX;
    return true;
}

#endif

/* ---- stocks ---- */

struct mem_cache *mem_cache_create(struct mem *mem)
{
    struct mem_cache *cache = slabs_of(mem) ? mem_alloc_apart(mem, sizeof(*cache)) : NULL;
    if (!cache)
        return NULL;
    *cache = (struct mem_cache){.mem = mem, .count = slab_class(STOCKED_MAX_BYTES) + 1};
    NIGH_CHECK(cache->count <= STOCKS);
    for (size_t size = STOCKED_MAX_BYTES; size; size -= SLAB_STEP) {
        size_t most = STOCK_MAX_BYTES / size;
        cache->most[slab_class(size)] = (uint8_t)(most < STOCK_MAX ? most : STOCK_MAX);
    }
    memcpy(cache->rooms, cache->most, sizeof(cache->rooms));
    return cache;
}

/* Gives up to `count` blocks of a stock back to their slabs. */
static void give_back(struct mem_cache *cache, unsigned class, unsigned count)
{
    void *blocks[STOCK_MAX];
    unsigned n = 0;
    for (; n < count && cache->stocks[class]; n++) {
        blocks[n] = cache->stocks[class];
        cache->stocks[class] = cache->stocks[class]->next;
    }
    cache->rooms[class] = (uint8_t)(cache->rooms[class] + n);
    if (n)
        slabs_give(slabs_of(cache->mem), class, blocks, n);
}

void mem_cache_flush(struct mem_cache *cache)
{
    for (unsigned class = 0; cache && class < cache->count; class++)
        give_back(cache, class, STOCK_MAX);
}

void mem_cache_destroy(struct mem_cache *cache)
{
    if (!cache)
        return;
    mem_cache_flush(cache);
    mem_free_apart(cache->mem, cache, sizeof(*cache));
}

static void stock(struct mem_cache *cache, unsigned class, void *ptr)
{
    struct block *b = ptr;
    b->next = cache->stocks[class];
    cache->stocks[class] = b;
    cache->rooms[class]--;
}

/* Takes a block for the caller, and fills half of the stock for the next calls. */
static NIGH_OUTLINED void *restock(struct mem_cache *cache, unsigned class)
{
    void *blocks[STOCK_MAX];
    unsigned n = slabs_take(slabs_of(cache->mem), class, blocks, cache->most[class] / 2 + 1u);
    while (n > 1)
        stock(cache, class, blocks[--n]);
    return n ? blocks[0] : NULL;
}

/* Prefetches the next block of a stock: whoever gets it will write it from end to end. */
static void prefetch_block(const struct block *b, size_t size)
{
    for (size_t at = 0; at < size; at += LINE_BYTES)
        __builtin_prefetch((const char *)b + at, 1);
}

/* ---- blocks ---- */

void *mem_alloc(struct mem *mem, struct mem_cache *cache, size_t size)
{
    struct slabs *slabs = slabs_for(mem, size);
    if (!slabs)
        return mem_alloc_apart(mem, size);
    if (fault_fires(FAULT_ALLOC))
        return NULL;
    unsigned class = slab_class(size);
    void *ptr = NULL;
    if (cache && class < cache->count) {
        struct block *b = cache->stocks[class];
        if (NIGH_UNLIKELY(!b))
            return restock(cache, class);
        cache->stocks[class] = b->next;
        cache->rooms[class]++;
        prefetch_block(b->next, size);
        return b;
    }
    (void)slabs_take(slabs, class, &ptr, 1);
    return ptr;
}

void *mem_alloc_zero(struct mem *mem, size_t size)
{
    void *ptr = mem_alloc(mem, NULL, size);
    return ptr ? memset(ptr, 0, size) : NULL;
}

void mem_free(struct mem *mem, struct mem_cache *cache, void *ptr, size_t size)
{
    struct slabs *slabs = slabs_for(mem, size);
    if (!ptr)
        return;
    if (!slabs) {
        mem_free_apart(mem, ptr, size);
        return;
    }
    unsigned class = slab_class(size);
    if (cache && class < cache->count && !mem_is_draining(mem, ptr)) {
        if (NIGH_UNLIKELY(!cache->rooms[class]))
            give_back(cache, class, cache->most[class] / 2 + 1u);
        stock(cache, class, ptr);
        return;
    }
    slabs_give(slabs, class, &ptr, 1);
}

/* ---- moving together, giving back ---- */

size_t mem_drain_bytes(struct mem *mem)
{
    return slabs_of(mem) ? slabs_excess_bytes(slabs_of(mem)) : 0;
}

bool mem_drain(struct mem *mem)
{
    struct mem_head *head = &mem_region_of(mem)->head;
    if (!head->slabs)
        return false;
    atomic_store_explicit(&head->drains, true, memory_order_relaxed); /* before a slab drains */
    bool any = slabs_drain(head->slabs);
    if (!any)
        atomic_store_explicit(&head->drains, false, memory_order_relaxed);
    return any;
}

void mem_settle(struct mem *mem)
{
    struct mem_head *head = &mem_region_of(mem)->head;
    if (!atomic_load_explicit(&head->drains, memory_order_relaxed))
        return;
    atomic_store_explicit(&head->drains, false, memory_order_relaxed);
    slabs_settle(head->slabs);
}

bool mem_is_draining_slow(const void *ptr)
{
    return slabs_is_draining(ptr);
}

void mem_stats_renew(void)
{
    if (!fault_fires(FAULT_RENEW))
        mem_stats_renew_apart();
}

void mem_stats_read(struct mem *mem, struct mem_stats *ret)
{
    mem_stats_renew();
    mem_stats_peek(mem, ret);
}

void mem_stats_peek(struct mem *mem, struct mem_stats *ret)
{
    mem_stats_read_apart(mem, ret);
    if (!slabs_of(mem))
        return;
    struct slabs_stats slabs;
    slabs_stats_read(slabs_of(mem), &slabs);
    /* Guards against underflow: the backend's number may be older than the slabs' own. */
    ret->allocated_bytes -= u64_min(ret->allocated_bytes, slabs.apart_bytes);
    ret->allocated_bytes += slabs.used_bytes;
    ret->resident_bytes += slabs.resident_bytes;
}

void mem_purge(struct mem *mem)
{
    if (slabs_of(mem))
        slabs_trim(slabs_of(mem));
    mem_purge_apart(mem);
}
