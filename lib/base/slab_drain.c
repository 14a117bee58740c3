// SPDX-License-Identifier: MIT
/*
 * Draining slabs that are not needed, and giving back pages.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "base/slab.h"
#include "base/slab_core.h"

/* ---- draining ---- */

/* A size may keep a 32nd of its slabs beyond its need, for the next blocks: to drain these is not
 * worth the work. */
#define SPARE_SHARE 32u

static uint64_t slabs_needed(const struct size_slabs *z, const struct slab_size *size)
{
    return (slab_number(&z->used) + size->count - 1) / size->count;
}

static uint64_t slabs_excess(const struct size_slabs *z, const struct slab_size *size)
{
    uint64_t needed = slabs_needed(z, size);
    needed += needed / SPARE_SHARE;
    return slab_number(&z->slabs) > needed ? slab_number(&z->slabs) - needed : 0;
}

size_t slabs_excess_bytes(struct slabs *s)
{
    size_t sum = 0;
    for (unsigned i = 0; i < slab_size_count; i++)
        sum += slabs_excess(&s->sizes[i], &slab_sizes[i]) * slab_bytes(slab_sizes[i].kind);
    return sum;
}

/* A region, and the bytes of its blocks that were out when it was looked at. */
struct filled {
    struct slab_region *region;
    size_t used_bytes;
};

static size_t used_bytes_of(struct slab_region *region)
{
    size_t sum = 0;
    for (unsigned i = 0; i < slab_count(region->kind); i++) {
        const struct slab *slab = slab_at(region, i);
        if (slab_state_of(slab) != SLAB_FREE)
            sum += slab_used(slab) * (size_t)slab_sizes[slab_class_of(slab)].size;
    }
    return sum;
}

static int fullest_first(const void *a, const void *b)
{
    const struct filled *x = a, *y = b;
    return x->used_bytes < y->used_bytes ? 1 : -(x->used_bytes > y->used_bytes);
}

static void begin_to_drain_locked(struct slabs *s, struct size_slabs *z, struct slab *slab)
    REQUIRES(z->lock)
{
    if (slab_state_of(slab) == SLAB_LISTED)
        slab_unlist_locked(z, slab);
    if (z->current == slab)
        z->current = NULL;
    slab_set_state(slab, SLAB_DRAINING);
    if (!slab_used(slab))
        slab_free_locked(s, z, slab);
}

/* Decides about a slab: it stays if left[class], the number of slabs that may still stay, is not 0;
 * otherwise it begins to drain. Returns whether it drains. */
static bool choose(struct slabs *s, struct slab *slab, uint64_t *left)
{
    if (slab_state_of(slab) == SLAB_FREE)
        return false;
    unsigned class = slab_class_of(slab);
    struct size_slabs *z = &s->sizes[class];
    pthread_mutex_lock(&z->lock);
    /* before the class: another size may have it by now */
    enum slab_state state = slab_state_of(slab);
    bool is_its = state != SLAB_FREE && slab_class_of(slab) == class;
    bool drains = is_its && !left[class];
    if (drains && state != SLAB_DRAINING)
        begin_to_drain_locked(s, z, slab);
    pthread_mutex_unlock(&z->lock);
    if (is_its && !drains)
        left[class]--;
    return drains;
}

bool slabs_drain(struct slabs *s)
{
    uint64_t left[SLAB_CLASSES_MAX];
    size_t count;
    struct slab_region *region = slab_region_first(s, &count);
    size_t bytes = (count + 1) * sizeof(struct filled);
    struct filled *all = mem_alloc_apart(s->regions.mem, bytes);
    if (!all)
        return false;
    for (size_t i = 0; i < count; i++, region = region->all_next)
        all[i] = (struct filled){region, used_bytes_of(region)};
    qsort(all, count, sizeof(*all), fullest_first);
    for (unsigned i = 0; i < slab_size_count; i++)
        left[i] = slab_number(&s->sizes[i].slabs) - slabs_excess(&s->sizes[i], &slab_sizes[i]);
    bool any = false;
    for (size_t i = 0; i < count; i++)
        for (unsigned at = 0; at < slab_count(all[i].region->kind); at++)
            any |= choose(s, slab_at(all[i].region, at), left);
    mem_free_apart(s->regions.mem, all, bytes);
    return any;
}

/* Works on a slab that a size has, under the size's lock. */
typedef void slab_fn(struct slabs *s, unsigned class, struct slab *slab);

/* Calls `fn` for each slab that is not free, of this kind and the kinds of larger blocks. */
static void each_slab(struct slabs *s, unsigned kind, slab_fn *fn)
{
    size_t count;
    struct slab_region *region = slab_region_first(s, &count);
    for (; region; region = region->all_next)
        for (unsigned at = 0; region->kind >= kind && at < slab_count(region->kind); at++) {
            struct slab *slab = slab_at(region, at);
            if (slab_state_of(slab) == SLAB_FREE)
                continue;
            unsigned class = slab_class_of(slab);
            pthread_mutex_lock(&s->sizes[class].lock);
            if (slab_state_of(slab) != SLAB_FREE && slab_class_of(slab) == class)
                fn(s, class, slab);
            pthread_mutex_unlock(&s->sizes[class].lock);
        }
}

static void stop_draining(struct slabs *s, unsigned class, struct slab *slab) LOCKS_UNCHECKED
{
    if (slab_state_of(slab) == SLAB_DRAINING)
        slab_file_locked(s, class, slab);
}

void slabs_settle(struct slabs *s)
{
    each_slab(s, 0, stop_draining);
}

bool slabs_is_draining(const void *block)
{
    struct slab_region *region = slab_region_of(block);
    return region && slab_state_of(slab_at(region, slab_index_of(region, block))) == SLAB_DRAINING;
}

/* ---- giving back ---- */

/* Returns the touched pages on which no block is out. */
static uint64_t idle_pages(const struct slab *slab, const struct slab_size *size)
{
    uint64_t needed = 0;
    for (unsigned at = 0; at < size->count; at++)
        if (slab->out[at / 64] >> at % 64 & 1) {
            unsigned first = (unsigned)((size_t)at * size->size / SLAB_PAGE_BYTES);
            unsigned last = (unsigned)(((size_t)(at + 1) * size->size - 1) / SLAB_PAGE_BYTES);
            needed |= slab_page_bits(first, last + 1 - first);
        }
    return slab->touched & ~needed;
}

/* Gives back the idle pages of a slab that is neither full nor empty: where blocks are large, whole
 * pages are idle. */
static void discard_idle(struct slabs *s, unsigned class, struct slab *slab)
{
    const struct slab_size *size = &slab_sizes[class];
    uint64_t left = slab_state_of(slab) == SLAB_FULL ? 0 : idle_pages(slab, size);
    struct slab_region *region = slab_region_with(slab, size->kind);
    if (!left || !slab_region_open_gap(&s->regions, region, slab->index))
        return;
    char *base = slab_base(slab, size->kind);
    while (left) {
        unsigned first = (unsigned)__builtin_ctzll(left);
        uint64_t others = ~(left >> first);
        unsigned count = others ? (unsigned)__builtin_ctzll(others) : SLAB_PAGES_MAX;
        uint64_t row = slab_page_bits(first, count);
        left &= ~row;
        if (!slab_pages_give_back(base + first * SLAB_PAGE_BYTES, count * SLAB_PAGE_BYTES))
            continue;
        slab->touched &= ~row;
        slab_add(&s->sizes[class].touched, -(int64_t)count);
    }
}

void slabs_trim(struct slabs *s)
{
    for (unsigned i = 0; i < slab_size_count; i++) {
        struct size_slabs *z = &s->sizes[i];
        pthread_mutex_lock(&z->lock);
        if (z->current && !slab_used(z->current)) {
            slab_free_locked(s, z, z->current);
            z->current = NULL;
        }
        pthread_mutex_unlock(&z->lock);
    }
    slab_regions_trim(&s->regions);
    each_slab(s, 1, discard_idle); /* kind 0 has too many blocks on a page for idle pages */
}
