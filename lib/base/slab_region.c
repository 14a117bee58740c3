/* SPDX-License-Identifier: MIT */
/*
 * Maps regions, lists them, gives pages and regions back.
 *
 * The lock is not held while the kernel works on many pages. Meanwhile slabs whose pages are given
 * back are not among their region's free ones, and a region that is unmapped is in no list.
 *
 * A region that was split is made a huge page again when all its pages are wanted: the kernel then
 * fills all of it, so all its pages must be counted as resident. So with huge pages a slab counts
 * whole when it is taken, which is too much by the untouched end of a size's current slab; and a
 * slab with blocks that lacks pages is a gap, which keeps its region split.
 */
#include "base/slab_region.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/mem.h"
#include "base/slab_map.h"

/* ---- kinds ---- */

static const uint8_t kind_shifts[SLAB_KINDS] = {14, 16, 17, 18};
static const uint8_t kind_words[SLAB_KINDS] = {SLAB_WORDS_MAX, 1, 1, 1};

size_t slab_bytes(unsigned kind)
{
    return (size_t)1 << kind_shifts[kind];
}

unsigned slab_words(unsigned kind)
{
    return kind_words[kind];
}

unsigned slab_count(unsigned kind)
{
    return 1u << (REGION_SHIFT - kind_shifts[kind]);
}

static size_t descriptor_bytes(unsigned kind)
{
    return sizeof(struct slab) + kind_words[kind] * sizeof(uint64_t);
}

static size_t region_bytes(unsigned kind)
{
    return sizeof(struct slab_region) + slab_count(kind) * descriptor_bytes(kind);
}

struct slab *slab_at(struct slab_region *region, unsigned index)
{
    char *first = (char *)(region + 1);
    return (struct slab *)(void *)(first + index * descriptor_bytes(region->kind));
}

struct slab_region *slab_region_with(struct slab *slab, unsigned kind)
{
    char *first = (char *)slab - slab->index * descriptor_bytes(kind);
    return (struct slab_region *)(void *)first - 1;
}

static unsigned slab_pages(unsigned kind)
{
    return (unsigned)(slab_bytes(kind) / SLAB_PAGE_BYTES);
}

/* ---- mapping ---- */

static char *map(void *hint, size_t size)
{
    void *at = mmap(hint, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static bool is_aligned(const char *at)
{
    return ((uintptr_t)at & (REGION_BYTES - 1)) == 0;
}

/* Maps an aligned region: maps too much and cuts both ends off. (An end that cannot be cut off was
 * never touched.) */
static char *map_and_cut(void)
{
    char *area = map(NULL, 2 * REGION_BYTES);
    if (!area)
        return NULL;
    size_t before = -(uintptr_t)area & (REGION_BYTES - 1);
    if (before)
        munmap(area, before);
    munmap(area + before + REGION_BYTES, REGION_BYTES - before);
    return area + before;
}

/* Maps a region below the previous one, where the kernel would put it anyway: then both are one
 * mapping. */
static char *map_region(struct slab_regions *r)
{
    char *at = fault_fires(FAULT_ALLOC) ? NULL : map(r->map_next, REGION_BYTES);
    if (at && !is_aligned(at)) {
        munmap(at, REGION_BYTES);
        at = map_and_cut();
    }
    if (at)
        r->map_next = at - REGION_BYTES;
    return at;
}

/* ---- lists ---- */

static unsigned level_of(const struct slab_region *region)
{
    return (region->free_count * (REGION_LEVELS - 1) + slab_count(region->kind) - 1) /
           slab_count(region->kind);
}

static void unlist(struct slab_regions *r, struct slab_region *region)
{
    if (region->level == 0)
        return;
    if (region->prev)
        region->prev->next = region->next;
    else
        r->levels[region->kind][region->level] = region->next;
    if (region->next)
        region->next->prev = region->prev;
    region->level = 0;
}

static void list(struct slab_regions *r, struct slab_region *region)
{
    unsigned level = level_of(region);
    if (level == region->level)
        return;
    unlist(r, region);
    region->level = (uint8_t)level;
    if (level == 0)
        return;
    struct slab_region **head = &r->levels[region->kind][level];
    region->prev = NULL;
    region->next = *head;
    if (*head)
        (*head)->prev = region;
    *head = region;
}

static void set_bit(uint64_t *bits, unsigned at)
{
    bits[at / 64] |= UINT64_C(1) << at % 64;
}

static void clear_bit(uint64_t *bits, unsigned at)
{
    bits[at / 64] &= ~(UINT64_C(1) << at % 64);
}

static bool has_bit(const uint64_t *bits, unsigned at)
{
    return bits[at / 64] >> at % 64 & 1;
}

/* Returns the number of a free slab: a touched one if there is one. */
static unsigned first_free(const struct slab_region *region)
{
    for (unsigned i = 0; i < REGION_SLABS_MAX / 64; i++)
        if (region->warm[i])
            return i * 64 + (unsigned)__builtin_ctzll(region->warm[i]);
    return region->free[0] ? (unsigned)__builtin_ctzll(region->free[0])
                           : 64 + (unsigned)__builtin_ctzll(region->free[1]);
}

/* ---- regions come and go ---- */

static void note_all(struct slab_regions *r, struct slab_region *region)
{
    region->all_prev = NULL;
    region->all_next = r->all;
    if (r->all)
        r->all->all_prev = region;
    r->all = region;
    r->count++;
    r->apart_bytes += mem_charge_apart(r->mem, region_bytes(region->kind));
}

static void forget_all(struct slab_regions *r, struct slab_region *region)
{
    if (region->all_prev)
        region->all_prev->all_next = region->all_next;
    else
        r->all = region->all_next;
    if (region->all_next)
        region->all_next->all_prev = region->all_prev;
    r->count--;
    r->apart_bytes -= mem_charge_apart(r->mem, region_bytes(region->kind));
}

/* Tells the kernel whether the region is to be a huge page, all of which its first touch brings. */
static void mark(struct slab_regions *r, struct slab_region *region)
{
    region->whole = r->huge;
    madvise(region->base, REGION_BYTES, r->huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

static void fill(struct slab_regions *r, struct slab_region *region, unsigned kind)
{
    unsigned count = slab_count(kind);
    memset(region, 0, region_bytes(kind));
    region->kind = (uint8_t)kind;
    region->free_count = (uint16_t)count;
    for (unsigned i = 0; i < count; i++) {
        struct slab *slab = slab_at(region, i);
        slab->index = (uint8_t)i;
        slab->touched = r->huge ? slab_page_bits(0, slab_pages(kind)) : 0;
        set_bit(region->free, i);
        if (r->huge)
            set_bit(region->warm, i);
    }
}

static struct slab_region *make_locked(struct slab_regions *r, unsigned kind) REQUIRES(r->lock)
{
    struct slab_region *region = mem_alloc_apart(r->mem, region_bytes(kind));
    if (!region)
        return NULL;
    fill(r, region, kind);
    region->base = map_region(r);
    if (!region->base)
        goto undo_region;
    if (!slab_map_enter(region->base, region))
        goto undo_map;
    mark(r, region);
    if (r->huge)
        r->free_touched_pages += REGION_BYTES / SLAB_PAGE_BYTES;
    note_all(r, region);
    list(r, region);
    return region;

undo_map:
    munmap(region->base, REGION_BYTES);
undo_region:
    mem_free_apart(r->mem, region, region_bytes(kind));
    return NULL;
}

/* Returns the fullest region that has a free slab; NULL: none has. */
static struct slab_region *fullest(struct slab_regions *r, unsigned kind)
{
    for (unsigned level = 1; level < REGION_LEVELS; level++)
        if (r->levels[kind][level])
            return r->levels[kind][level];
    return NULL;
}

static bool has_any(const uint64_t *bits)
{
    return (bits[0] | bits[1]) != 0;
}

/* Makes a split region a huge page again if all its pages are wanted, and so are counted. */
static void make_whole(struct slab_regions *r, struct slab_region *region)
{
    if (r->huge && !region->whole && region->free_count == 0 && !has_any(region->gaps))
        region->whole = madvise(region->base, REGION_BYTES, MADV_HUGEPAGE) == 0;
}

struct slab *slab_region_take(struct slab_regions *r, unsigned kind)
{
    struct slab *slab = NULL;
    pthread_mutex_lock(&r->lock);
    struct slab_region *region = fullest(r, kind);
    if (!region)
        region = make_locked(r, kind);
    if (region) {
        unsigned index = first_free(region);
        slab = slab_at(region, index);
        clear_bit(region->free, index);
        clear_bit(region->warm, index);
        region->free_count--;
        r->free_touched_pages -= slab_touched_pages(slab);
        if (r->huge)
            slab->touched = slab_page_bits(0, slab_pages(kind));
        list(r, region);
        make_whole(r, region);
    }
    pthread_mutex_unlock(&r->lock);
    return slab;
}

static void give_locked(struct slab_regions *r, struct slab_region *region, unsigned index)
    REQUIRES(r->lock)
{
    struct slab *slab = slab_at(region, index);
    set_bit(region->free, index);
    clear_bit(region->gaps, index);
    if (slab->touched)
        set_bit(region->warm, index);
    region->free_count++;
    r->free_touched_pages += slab_touched_pages(slab);
    list(r, region);
}

void slab_region_give(struct slab_regions *r, struct slab *slab, unsigned kind)
{
    struct slab_region *region = slab_region_with(slab, kind);
    atomic_store_explicit(&slab->state, SLAB_FREE, memory_order_release); /* pair(slab.state) */
    pthread_mutex_lock(&r->lock);
    give_locked(r, region, slab->index);
    pthread_mutex_unlock(&r->lock);
}

/* ---- giving back ---- */

static bool is_empty(const struct slab_region *region)
{
    return region->free_count == slab_count(region->kind);
}

/*
 * Unmaps a region of which no block is out, and which is in no list. False: the kernel keeps it.
 * The entry is cleared first: as soon as the region is unmapped its addresses, and so the entry,
 * may belong to another heap.
 */
static bool unmap(struct slab_regions *r, struct slab_region *region)
{
    (void)slab_map_enter(region->base, NULL);
    if (munmap(region->base, REGION_BYTES) != 0)
        return false;
    mem_free_apart(r->mem, region, region_bytes(region->kind));
    return true;
}

/* A row of warm slabs, taken from the free ones: one call of the kernel gives all of it back. */
struct row {
    unsigned first, count;
};

static struct row next_row(const struct slab_region *region, unsigned from)
{
    unsigned count = slab_count(region->kind);
    struct row row = {from, 0};
    while (row.first < count && !has_bit(region->warm, row.first))
        row.first++;
    while (row.first + row.count < count && has_bit(region->warm, row.first + row.count))
        row.count++;
    return row;
}

static void take_row(struct slab_regions *r, struct slab_region *region, struct row row)
{
    for (unsigned i = row.first; i < row.first + row.count; i++) {
        clear_bit(region->free, i);
        clear_bit(region->warm, i);
        set_bit(region->gaps, i);
        r->free_touched_pages -= slab_touched_pages(slab_at(region, i));
    }
    region->free_count = (uint16_t)(region->free_count - row.count);
    list(r, region);
}

static void give_row_locked(struct slab_regions *r, struct slab_region *region, struct row row,
                            bool cold) REQUIRES(r->lock)
{
    for (unsigned i = row.first; i < row.first + row.count; i++) {
        if (cold)
            slab_at(region, i)->touched = 0;
        give_locked(r, region, i);
    }
}

/* Gives back only whole pages of the system: the kernel would round the end up, and take pages that
 * are in use. */
bool slab_pages_give_back(char *at, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if ((((uintptr_t)at | bytes) & (page - 1)) != 0)
        return false;
    return madvise(at, bytes, MADV_DONTNEED) == 0;
}

static bool discard(struct slab_region *region, struct row row)
{
    size_t bytes = slab_bytes(region->kind);
    return slab_pages_give_back(region->base + row.first * bytes, row.count * bytes);
}

/* Gives back the pages of a region's free slabs. The lock is left and taken again. */
static void discard_free_locked(struct slab_regions *r, struct slab_region *region)
    REQUIRES(r->lock)
{
    struct row row = {0, 0};
    if (!has_any(region->warm))
        return;
    while ((row = next_row(region, row.first + row.count)).count) {
        if (region->whole) { /* else the kernel would fill the gap again */
            madvise(region->base, REGION_BYTES, MADV_NOHUGEPAGE);
            region->whole = false;
        }
        take_row(r, region, row);
        pthread_mutex_unlock(&r->lock);
        bool cold = discard(region, row);
        pthread_mutex_lock(&r->lock);
        give_row_locked(r, region, row, cold);
    }
}

/* Unmaps an empty region; if the kernel keeps it, gives its pages back. The lock is left and taken
 * again. */
static void unmap_locked(struct slab_regions *r, struct slab_region *region) REQUIRES(r->lock)
{
    struct row all = {0, slab_count(region->kind)};
    take_row(r, region, all);
    forget_all(r, region);
    pthread_mutex_unlock(&r->lock);
    bool gone = unmap(r, region);
    pthread_mutex_lock(&r->lock);
    if (gone)
        return;
    (void)slab_map_enter(region->base, region); /* cannot fail: its leaf exists */
    note_all(r, region);
    give_row_locked(r, region, all, false);
    discard_free_locked(r, region);
}

/*
 * Walks all regions. Other threads only add regions meanwhile, at the front, so the next region is
 * read without the lock. The lock is released after each region, lest a thread that needs a slab
 * wait for the whole walk.
 */
void slab_regions_trim(struct slab_regions *r)
{
    pthread_mutex_lock(&r->lock);
    struct slab_region *region = r->all;
    pthread_mutex_unlock(&r->lock);
    while (region) {
        struct slab_region *next = region->all_next;
        pthread_mutex_lock(&r->lock);
        if (is_empty(region))
            unmap_locked(r, region);
        else
            discard_free_locked(r, region);
        pthread_mutex_unlock(&r->lock);
        region = next;
    }
}

bool slab_region_open_gap(struct slab_regions *r, struct slab_region *region, unsigned index)
{
    pthread_mutex_lock(&r->lock);
    bool may = !region->whole;
    if (may)
        set_bit(region->gaps, index);
    pthread_mutex_unlock(&r->lock);
    return may;
}

/* ---- init, fini ---- */

void slab_regions_init(struct slab_regions *r, struct mem *mem, bool huge)
{
    *r = (struct slab_regions){.mem = mem, .huge = huge};
    pthread_mutex_init(&r->lock, NULL);
}

void slab_regions_fini(struct slab_regions *r)
{
    while (r->all) {
        struct slab_region *region = r->all;
        forget_all(r, region);
        (void)unmap(r, region);
    }
    pthread_mutex_destroy(&r->lock);
}
