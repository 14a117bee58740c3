// SPDX-License-Identifier: MIT
/*
 * Taking and giving blocks. (Draining and giving back pages: slab_drain.c.)
 *
 * Blocks are taken lowest address first, so the blocks that a slab has never given out are at its
 * end, and stay untouched.
 */
#include "base/slab.h"

#include <string.h>

#include "base/mem.h"
#include "base/slab_core.h"

/* ---- lists, under the size's lock ---- */

void slab_unlist_locked(struct size_slabs *z, struct slab *slab)
{
    if (slab->prev)
        slab->prev->next = slab->next;
    else
        z->levels[slab->level] = slab->next;
    if (slab->next)
        slab->next->prev = slab->prev;
    if (!z->levels[slab->level])
        z->occupied &= ~(1u << slab->level);
}

static unsigned level_of(const struct slab_size *size, unsigned used)
{
    return used * SLAB_LEVELS / size->count;
}

static void list_locked(struct size_slabs *z, const struct slab_size *size, struct slab *slab)
    REQUIRES(z->lock)
{
    unsigned level = level_of(size, slab_used(slab));
    slab_set_state(slab, SLAB_LISTED);
    slab->level = (uint8_t)level;
    slab->prev = NULL;
    slab->next = z->levels[level];
    if (slab->next)
        slab->next->prev = slab;
    z->levels[level] = slab;
    z->occupied |= 1u << level;
}

void slab_free_locked(struct slabs *s, struct size_slabs *z, struct slab *slab)
{
    slab_add(&z->slabs, -1);
    slab_add(&z->touched, -(int64_t)slab_touched_pages(slab));
    slab_region_give(&s->regions, slab, slab_kind_of(slab_class_of(slab)));
}

void slab_file_locked(struct slabs *s, unsigned class, struct slab *slab)
{
    struct size_slabs *z = &s->sizes[class];
    if (slab_used(slab) == 0)
        slab_free_locked(s, z, slab);
    else if (slab_used(slab) == slab_sizes[class].count)
        slab_set_state(slab, SLAB_FULL);
    else
        list_locked(z, &slab_sizes[class], slab);
}

/* Makes a slab with free blocks the current one: the fullest that is listed, or a new one. */
static struct slab *next_current_locked(struct slabs *s, unsigned class)
    REQUIRES(s->sizes[class].lock)
{
    struct size_slabs *z = &s->sizes[class];
    struct slab *slab;
    if (z->occupied) {
        slab = z->levels[31 - (unsigned)__builtin_clz(z->occupied)];
        slab_unlist_locked(z, slab);
    } else {
        slab = slab_region_take(&s->regions, slab_sizes[class].kind);
        if (!slab)
            return NULL;
        atomic_store_explicit(&slab->class, (uint8_t)class, memory_order_relaxed);
        slab_set_used(slab, 0);
        memset(slab->out, 0, slab_words(slab_sizes[class].kind) * sizeof(*slab->out));
        slab_add(&z->slabs, 1);
        slab_add(&z->touched, slab_touched_pages(slab));
    }
    slab_set_state(slab, SLAB_CURRENT);
    z->current = slab;
    return slab;
}

/* ---- taking ---- */

/* Marks the pages of a block as touched. */
static void touch(struct slab *slab, size_t begin, size_t end)
{
    unsigned first = (unsigned)(begin / SLAB_PAGE_BYTES);
    unsigned past = (unsigned)((end + SLAB_PAGE_BYTES - 1) / SLAB_PAGE_BYTES);
    slab->touched |= slab_page_bits(first, past - first);
}

static unsigned take_some(struct size_slabs *z, const struct slab_size *size, void **ret,
                          unsigned want)
{
    struct slab *slab = z->current;
    char *base = slab_base(slab, size->kind);
    unsigned left = size->count - slab_used(slab);
    unsigned before = slab_touched_pages(slab);
    unsigned n = 0;
    for (unsigned word = 0; n < want && n < left; word++)
        while (n < want && n < left && slab->out[word] != UINT64_MAX) {
            unsigned bit = (unsigned)__builtin_ctzll(~slab->out[word]);
            slab->out[word] |= UINT64_C(1) << bit;
            size_t at = (size_t)(word * 64 + bit) * size->size;
            ret[n++] = base + at;
            touch(slab, at, at + size->size);
        }
    slab_add(&z->touched, slab_touched_pages(slab) - before);
    slab_set_used(slab, slab_used(slab) + n);
    slab_add(&z->used, n);
    return n;
}

unsigned slabs_take(struct slabs *s, unsigned class, void **ret_blocks, unsigned want)
{
    struct size_slabs *z = &s->sizes[class];
    unsigned n = 0;
    pthread_mutex_lock(&z->lock);
    while (n < want && (z->current || next_current_locked(s, class))) {
        n += take_some(z, &slab_sizes[class], ret_blocks + n, want - n);
        if (slab_used(z->current) == slab_sizes[class].count) {
            slab_set_state(z->current, SLAB_FULL);
            z->current = NULL;
        }
    }
    pthread_mutex_unlock(&z->lock);
    return n;
}

/* ---- giving ---- */

static struct slab *slab_with(const void *block)
{
    struct slab_region *region = slab_region_of(block);
    return slab_at(region, slab_index_of(region, block));
}

static void give_one_locked(struct slabs *s, unsigned class, const void *block)
    REQUIRES(s->sizes[class].lock)
{
    const struct slab_size *size = &slab_sizes[class];
    struct size_slabs *z = &s->sizes[class];
    struct slab *slab = slab_with(block);
    size_t offset = (uintptr_t)block & (slab_bytes(size->kind) - 1);
    unsigned at = (unsigned)(offset * size->inverse >> 32);
    NIGH_CHECK(slab->out[at / 64] >> at % 64 & 1);
    slab->out[at / 64] &= ~(UINT64_C(1) << at % 64);
    slab_set_used(slab, slab_used(slab) - 1);
    switch (slab_state_of(slab)) {
    case SLAB_LISTED:
        if (slab_used(slab) && level_of(size, slab_used(slab)) == slab->level)
            break;
        slab_unlist_locked(z, slab);
        slab_file_locked(s, class, slab);
        break;
    case SLAB_FULL: slab_file_locked(s, class, slab); break;
    case SLAB_DRAINING:
        if (!slab_used(slab))
            slab_free_locked(s, z, slab);
        break;
    default: break; /* the current slab: its blocks are taken again */
    }
}

void slabs_give(struct slabs *s, unsigned class, void *const *blocks, unsigned count)
{
    struct size_slabs *z = &s->sizes[class];
    pthread_mutex_lock(&z->lock);
    for (unsigned i = 0; i < count; i++)
        give_one_locked(s, class, blocks[i]);
    slab_add(&z->used, -(int64_t)count);
    pthread_mutex_unlock(&z->lock);
}

/* ---- counts, and a walk ---- */

struct slab_region *slab_region_first(struct slabs *s, size_t *ret_count)
{
    pthread_mutex_lock(&s->regions.lock);
    struct slab_region *region = s->regions.all;
    *ret_count = s->regions.count;
    pthread_mutex_unlock(&s->regions.lock);
    return region;
}

void slabs_stats_read(struct slabs *s, struct slabs_stats *ret)
{
    struct slabs_stats stats = {0};
    size_t pages = 0;
    for (unsigned i = 0; i < slab_size_count; i++) {
        stats.used_bytes += (size_t)slab_number(&s->sizes[i].used) *
                            slab_charges[(slab_sizes[i].size) / SLAB_STEP];
        pages += slab_number(&s->sizes[i].touched);
    }
    pthread_mutex_lock(&s->regions.lock);
    pages += s->regions.free_touched_pages;
    stats.mapped_bytes = s->regions.count * REGION_BYTES;
    stats.apart_bytes = s->regions.apart_bytes;
    pthread_mutex_unlock(&s->regions.lock);
    stats.resident_bytes = pages * SLAB_PAGE_BYTES;
    *ret = stats;
}

/* ---- create, destroy ---- */

struct slabs *slabs_create(struct mem *mem, bool huge)
{
    slab_sizes_make();
    struct slabs *s = mem_pages_alloc(sizeof(*s));
    if (!s)
        return NULL;
    slab_regions_init(&s->regions, mem, huge);
    for (unsigned i = 0; i < slab_size_count; i++)
        pthread_mutex_init(&s->sizes[i].lock, NULL);
    return s;
}

void slabs_destroy(struct slabs *s)
{
    slab_regions_fini(&s->regions);
    for (unsigned i = 0; i < slab_size_count; i++)
        pthread_mutex_destroy(&s->sizes[i].lock);
    mem_pages_free(s, sizeof(*s));
}

/* ---- walking ---- */

/* Sums over all slabs of a size. */
struct sums {
    uint64_t used, slabs, touched, listed;
};

static bool slab_is_valid(const struct slabs *s, struct slab *slab, struct sums *sums)
{
    unsigned class = slab_class_of(slab);
    const struct slab_size *size = &slab_sizes[class];
    unsigned out = 0;
    for (unsigned word = 0; word < slab_words(size->kind); word++)
        out += (unsigned)__builtin_popcountll(slab->out[word]);
    sums[class].used += out;
    sums[class].slabs++;
    sums[class].touched += slab_touched_pages(slab);
    sums[class].listed += slab_state_of(slab) == SLAB_LISTED;
    if (out != slab_used(slab))
        return false;
    switch (slab_state_of(slab)) {
    case SLAB_CURRENT: return s->sizes[class].current == slab && out < size->count;
    case SLAB_LISTED: return out && slab->level == level_of(size, out) && out < size->count;
    case SLAB_FULL: return out == size->count;
    default: return slab_state_of(slab) == SLAB_DRAINING && out;
    }
}

static bool size_is_valid(const struct size_slabs *z, const struct sums *sums)
{
    uint64_t listed = 0;
    for (unsigned level = 0; level < SLAB_LEVELS; level++) {
        for (const struct slab *slab = z->levels[level]; slab; slab = slab->next)
            listed++;
        if ((z->occupied >> level & 1) != (z->levels[level] != NULL))
            return false;
    }
    return slab_number(&z->used) == sums->used && slab_number(&z->slabs) == sums->slabs &&
           slab_number(&z->touched) == sums->touched && listed == sums->listed;
}

bool slabs_are_valid(struct slabs *s)
{
    struct sums sums[SLAB_CLASSES_MAX] = {{0}};
    size_t free_pages = 0;
    size_t count;
    struct slab_region *region = slab_region_first(s, &count);
    for (; region; region = region->all_next) {
        unsigned free = 0;
        for (unsigned at = 0; at < slab_count(region->kind); at++) {
            struct slab *slab = slab_at(region, at);
            if (region->free[at / 64] >> at % 64 & 1) {
                free++;
                free_pages += slab_touched_pages(slab);
                if (region->gaps[at / 64] >> at % 64 & 1)
                    return false;
            } else if (!slab_is_valid(s, slab, sums)) {
                return false;
            }
        }
        if (free != region->free_count)
            return false;
    }
    for (unsigned i = 0; i < slab_size_count; i++)
        if (!size_is_valid(&s->sizes[i], &sums[i]))
            return false;
    return free_pages == s->regions.free_touched_pages;
}
