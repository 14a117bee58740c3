/* SPDX-License-Identifier: MIT */
/*
 * Sizes of blocks; taking and giving blocks; draining slabs.
 *
 * Blocks are taken lowest address first, so the blocks that a slab has never given out are at its
 * end, and stay untouched.
 */
#include "base/slab.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/slab_map.h"
#include "base/slab_region.h"

/* ---- sizes ---- */

/* Smallest block: requests are rarely smaller, and a slab has a bit for each of its blocks. */
#define SIZE_MIN 48u
#define STEPS_MAX 256u  /* up to here every multiple of SLAB_STEP is a size ... */
#define NEAR_SHARE 16u /* ... beyond, the next size is larger by at least a 16th ... */
#define FAR_SHARE 10u  /* ... and by at most a 10th, where slabs can be cut so */

static const uint16_t kind_sizes_max[SLAB_KINDS] = {1024, 4096, 16384, SLAB_BLOCK_MAX};

/* A size of blocks. Constant once made. */
struct size {
    uint32_t size;
    uint32_t inverse; /* 2^32 / size, rounded up: offset * inverse >> 32 is the block's number */
    uint16_t count;   /* blocks in a slab */
    uint8_t kind;
};

uint8_t slab_classes[SLAB_BLOCK_MAX / SLAB_STEP + 1];
uint16_t slab_charges[SLAB_BLOCK_MAX / SLAB_STEP + 1];
static struct size sizes[SLAB_CLASSES_MAX];
static unsigned size_count;
static pthread_once_t sizes_once = PTHREAD_ONCE_INIT;

static void add_size(uint32_t size, unsigned kind)
{
    NIGH_CHECK(size_count < SLAB_CLASSES_MAX);
    sizes[size_count++] = (struct size){
        .size = size,
        .inverse = (uint32_t)((UINT64_C(1) << 32) / size + 1),
        .count = (uint16_t)(slab_bytes(kind) / size),
        .kind = (uint8_t)kind,
    };
}

/* The largest size of which `count` blocks fit into a slab. */
static uint32_t size_of_count(unsigned kind, uint32_t count)
{
    return (uint32_t)(slab_bytes(kind) / count) & ~(SLAB_STEP - 1);
}

/* Adds a kind's sizes above `last`: sizes that leave next to nothing of a slab unused. */
static void add_sizes(unsigned kind, uint32_t last)
{
    uint32_t count = (uint32_t)(slab_bytes(kind) / (last + 1));
    for (; last < kind_sizes_max[kind]; count--) {
        uint32_t size = size_of_count(kind, count);
        if (size >= last + last / NEAR_SHARE || size == kind_sizes_max[kind] ||
            size_of_count(kind, count - 1) > last + last / FAR_SHARE) {
            add_size(size, kind);
            last = size;
        }
    }
}

static void make_sizes(void)
{
    for (uint32_t size = SIZE_MIN; size <= STEPS_MAX; size += SLAB_STEP)
        add_size(size, 0);
    for (unsigned kind = 0; kind < SLAB_KINDS; kind++)
        add_sizes(kind, kind == 0 ? STEPS_MAX : kind_sizes_max[kind - 1]);
    unsigned class = 0;
    for (size_t step = 0; step <= SLAB_BLOCK_MAX / SLAB_STEP; step++) {
        if (step * SLAB_STEP > sizes[class].size)
            class++;
        slab_classes[step] = (uint8_t)class;
        slab_charges[step] = (uint16_t)(slab_bytes(sizes[class].kind) / sizes[class].count);
    }
}

unsigned slab_kind_of(unsigned class)
{
    return sizes[class].kind;
}

/* ---- a size's slabs ---- */

#define LEVELS 8u

/* The slabs of a size. Keys: (l) its lock  (a) atomic, written (l), read by those who add up */
struct size_slabs {
    /* Taking from the current slab needs the first cache line only. */
    _Alignas(CACHE_LINE_BYTES) pthread_mutex_t lock;
    struct slab *current;        /* (l) NULL: none */
    _Atomic uint64_t used;       /* (a) blocks that are out */
    _Atomic uint64_t touched;    /* (a) pages of its slabs */
    _Atomic uint64_t slabs;      /* (a) */
    uint32_t occupied;           /* (l) a bit for each level that has slabs */
    struct slab *levels[LEVELS]; /* (l) by how full: the last are the fullest */
};

struct slabs {
    struct slab_regions regions;
    struct size_slabs sizes[SLAB_CLASSES_MAX];
};

static uint64_t number(const _Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

/* Adds without a locked instruction: the caller has the size's lock. */
static void add(_Atomic uint64_t *count, int64_t n)
{
    atomic_store_explicit(count, number(count) + (uint64_t)n, memory_order_relaxed);
}

static unsigned used_of(const struct slab *slab)
{
    return atomic_load_explicit(&slab->used, memory_order_relaxed);
}

static void set_used(struct slab *slab, unsigned used)
{
    atomic_store_explicit(&slab->used, (uint16_t)used, memory_order_relaxed);
}

static enum slab_state state_of(const struct slab *slab)
{
    /* pair(slab.state): a thread that sees the slab taken also sees its class */
    return (enum slab_state)atomic_load_explicit(&slab->state, memory_order_acquire);
}

static void set_state(struct slab *slab, enum slab_state state)
{
    /* pair(slab.state) */
    atomic_store_explicit(&slab->state, (uint8_t)state, memory_order_release);
}

static unsigned class_of(const struct slab *slab)
{
    return atomic_load_explicit(&slab->class, memory_order_relaxed);
}

/* ---- lists, under the size's lock ---- */

static void unlist(struct size_slabs *z, struct slab *slab)
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

static unsigned level_of(const struct size *size, unsigned used)
{
    return used * LEVELS / size->count;
}

static void list(struct size_slabs *z, const struct size *size, struct slab *slab)
{
    unsigned level = level_of(size, used_of(slab));
    set_state(slab, SLAB_LISTED);
    slab->level = (uint8_t)level;
    slab->prev = NULL;
    slab->next = z->levels[level];
    if (slab->next)
        slab->next->prev = slab;
    z->levels[level] = slab;
    z->occupied |= 1u << level;
}

static void free_slab(struct slabs *s, struct size_slabs *z, struct slab *slab)
{
    add(&z->slabs, -1);
    add(&z->touched, -(int64_t)slab_touched_pages(slab));
    slab_region_give(&s->regions, slab, slab_kind_of(class_of(slab)));
}

/* Puts a slab where it belongs by its number of blocks that are out: listed, full, or free. */
static void file(struct slabs *s, unsigned class, struct slab *slab)
{
    struct size_slabs *z = &s->sizes[class];
    if (used_of(slab) == 0)
        free_slab(s, z, slab);
    else if (used_of(slab) == sizes[class].count)
        set_state(slab, SLAB_FULL);
    else
        list(z, &sizes[class], slab);
}

/* Makes a slab with free blocks the current one: the fullest that is listed, or a new one. */
static struct slab *next_current(struct slabs *s, unsigned class)
{
    struct size_slabs *z = &s->sizes[class];
    struct slab *slab;
    if (z->occupied) {
        slab = z->levels[31 - (unsigned)__builtin_clz(z->occupied)];
        unlist(z, slab);
    } else {
        slab = slab_region_take(&s->regions, sizes[class].kind);
        if (!slab)
            return NULL;
        atomic_store_explicit(&slab->class, (uint8_t)class, memory_order_relaxed);
        set_used(slab, 0);
        memset(slab->out, 0, slab_words(sizes[class].kind) * sizeof(*slab->out));
        add(&z->slabs, 1);
        add(&z->touched, slab_touched_pages(slab));
    }
    set_state(slab, SLAB_CURRENT);
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

static char *base_of(struct slab *slab, unsigned kind)
{
    return slab_region_with(slab, kind)->base + slab->index * slab_bytes(kind);
}

/* Takes up to `want` blocks of the current slab, which has some. Returns how many. */
static unsigned take_some(struct size_slabs *z, const struct size *size, void **ret, unsigned want)
{
    struct slab *slab = z->current;
    char *base = base_of(slab, size->kind);
    unsigned left = size->count - used_of(slab);
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
    add(&z->touched, slab_touched_pages(slab) - before);
    set_used(slab, used_of(slab) + n);
    add(&z->used, n);
    return n;
}

unsigned slabs_take(struct slabs *s, unsigned class, void **ret_blocks, unsigned want)
{
    struct size_slabs *z = &s->sizes[class];
    unsigned n = 0;
    pthread_mutex_lock(&z->lock);
    while (n < want && (z->current || next_current(s, class))) {
        n += take_some(z, &sizes[class], ret_blocks + n, want - n);
        if (used_of(z->current) == sizes[class].count) {
            set_state(z->current, SLAB_FULL);
            z->current = NULL;
        }
    }
    pthread_mutex_unlock(&z->lock);
    return n;
}

/* ---- giving ---- */

static struct slab *slab_of(const void *block)
{
    struct slab_region *region = slab_region_of(block);
    return slab_at(region, slab_index_of(region, block));
}

static void give_one(struct slabs *s, unsigned class, const void *block)
{
    const struct size *size = &sizes[class];
    struct size_slabs *z = &s->sizes[class];
    struct slab *slab = slab_of(block);
    size_t offset = (uintptr_t)block & (slab_bytes(size->kind) - 1);
    unsigned at = (unsigned)(offset * size->inverse >> 32);
    NIGH_CHECK(slab->out[at / 64] >> at % 64 & 1);
    slab->out[at / 64] &= ~(UINT64_C(1) << at % 64);
    set_used(slab, used_of(slab) - 1);
    switch (state_of(slab)) {
    case SLAB_LISTED:
        if (used_of(slab) && level_of(size, used_of(slab)) == slab->level)
            break;
        unlist(z, slab);
        file(s, class, slab);
        break;
    case SLAB_FULL: file(s, class, slab); break;
    case SLAB_DRAINING:
        if (!used_of(slab))
            free_slab(s, z, slab);
        break;
    default: break; /* the current slab: its blocks are taken again */
    }
}

void slabs_give(struct slabs *s, unsigned class, void *const *blocks, unsigned count)
{
    struct size_slabs *z = &s->sizes[class];
    pthread_mutex_lock(&z->lock);
    for (unsigned i = 0; i < count; i++)
        give_one(s, class, blocks[i]);
    add(&z->used, -(int64_t)count);
    pthread_mutex_unlock(&z->lock);
}

/* ---- draining ---- */

/* A size may keep a 32nd of its slabs beyond its need, for the next blocks: to drain these is not
 * worth the work. */
#define SPARE_SHARE 32u

static uint64_t slabs_needed(const struct size_slabs *z, const struct size *size)
{
    return (number(&z->used) + size->count - 1) / size->count;
}

static uint64_t slabs_excess(const struct size_slabs *z, const struct size *size)
{
    uint64_t needed = slabs_needed(z, size);
    needed += needed / SPARE_SHARE;
    return number(&z->slabs) > needed ? number(&z->slabs) - needed : 0;
}

size_t slabs_excess_bytes(struct slabs *s)
{
    size_t sum = 0;
    for (unsigned i = 0; i < size_count; i++)
        sum += slabs_excess(&s->sizes[i], &sizes[i]) * slab_bytes(sizes[i].kind);
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
        if (state_of(slab) != SLAB_FREE)
            sum += used_of(slab) * (size_t)sizes[class_of(slab)].size;
    }
    return sum;
}

static int fullest_first(const void *a, const void *b)
{
    const struct filled *x = a, *y = b;
    return x->used_bytes < y->used_bytes ? 1 : -(x->used_bytes > y->used_bytes);
}

/* Returns the first region, for a walk without the lock: other threads only add regions, in front;
 * only slabs_trim() removes them. */
static struct slab_region *first_region(struct slabs *s, size_t *ret_count)
{
    pthread_mutex_lock(&s->regions.lock);
    struct slab_region *region = s->regions.all;
    *ret_count = s->regions.count;
    pthread_mutex_unlock(&s->regions.lock);
    return region;
}

/* REQUIRES(the size's lock). */
static void begin_to_drain(struct slabs *s, struct size_slabs *z, struct slab *slab)
{
    if (state_of(slab) == SLAB_LISTED)
        unlist(z, slab);
    if (z->current == slab)
        z->current = NULL;
    set_state(slab, SLAB_DRAINING);
    if (!used_of(slab))
        free_slab(s, z, slab);
}

/* Decides about a slab: it stays if left[class], the number of slabs that may still stay, is not 0;
 * otherwise it begins to drain. Returns whether it drains. */
static bool choose(struct slabs *s, struct slab *slab, uint64_t *left)
{
    if (state_of(slab) == SLAB_FREE)
        return false;
    unsigned class = class_of(slab);
    struct size_slabs *z = &s->sizes[class];
    pthread_mutex_lock(&z->lock);
    enum slab_state state = state_of(slab); /* before the class: another size may have it by now */
    bool is_its = state != SLAB_FREE && class_of(slab) == class;
    bool drains = is_its && !left[class];
    if (drains && state != SLAB_DRAINING)
        begin_to_drain(s, z, slab);
    pthread_mutex_unlock(&z->lock);
    if (is_its && !drains)
        left[class]--;
    return drains;
}

bool slabs_drain(struct slabs *s)
{
    uint64_t left[SLAB_CLASSES_MAX];
    size_t count;
    struct slab_region *region = first_region(s, &count);
    size_t bytes = (count + 1) * sizeof(struct filled);
    struct filled *all = mem_alloc_apart(s->regions.mem, bytes);
    if (!all)
        return false;
    for (size_t i = 0; i < count; i++, region = region->all_next)
        all[i] = (struct filled){region, used_bytes_of(region)};
    qsort(all, count, sizeof(*all), fullest_first);
    for (unsigned i = 0; i < size_count; i++)
        left[i] = number(&s->sizes[i].slabs) - slabs_excess(&s->sizes[i], &sizes[i]);
    bool any = false;
    for (size_t i = 0; i < count; i++)
        for (unsigned at = 0; at < slab_count(all[i].region->kind); at++)
            any |= choose(s, slab_at(all[i].region, at), left);
    mem_free_apart(s->regions.mem, all, bytes);
    return any;
}

/* Work on a slab that a size has. REQUIRES(the size's lock). */
typedef void slab_fn(struct slabs *s, unsigned class, struct slab *slab);

/* Calls `fn` for each slab that is not free, of this kind and the kinds of larger blocks. */
static void each_slab(struct slabs *s, unsigned kind, slab_fn *fn)
{
    size_t count;
    for (struct slab_region *region = first_region(s, &count); region; region = region->all_next)
        for (unsigned at = 0; region->kind >= kind && at < slab_count(region->kind); at++) {
            struct slab *slab = slab_at(region, at);
            if (state_of(slab) == SLAB_FREE)
                continue;
            unsigned class = class_of(slab);
            pthread_mutex_lock(&s->sizes[class].lock);
            if (state_of(slab) != SLAB_FREE && class_of(slab) == class)
                fn(s, class, slab);
            pthread_mutex_unlock(&s->sizes[class].lock);
        }
}

static void stop_draining(struct slabs *s, unsigned class, struct slab *slab)
{
    if (state_of(slab) == SLAB_DRAINING)
        file(s, class, slab);
}

void slabs_settle(struct slabs *s)
{
    each_slab(s, 0, stop_draining);
}

bool slabs_is_draining(const void *block)
{
    struct slab_region *region = slab_region_of(block);
    return region && state_of(slab_at(region, slab_index_of(region, block))) == SLAB_DRAINING;
}

/* ---- giving back ---- */

/* Returns the touched pages on which no block is out. */
static uint64_t idle_pages(const struct slab *slab, const struct size *size)
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
    const struct size *size = &sizes[class];
    uint64_t left = state_of(slab) == SLAB_FULL ? 0 : idle_pages(slab, size);
    struct slab_region *region = slab_region_with(slab, size->kind);
    if (!left || !slab_region_open_gap(&s->regions, region, slab->index))
        return;
    char *base = base_of(slab, size->kind);
    while (left) {
        unsigned first = (unsigned)__builtin_ctzll(left);
        uint64_t others = ~(left >> first);
        unsigned count = others ? (unsigned)__builtin_ctzll(others) : SLAB_PAGES_MAX;
        uint64_t row = slab_page_bits(first, count);
        left &= ~row;
        if (!slab_pages_give_back(base + first * SLAB_PAGE_BYTES, count * SLAB_PAGE_BYTES))
            continue;
        slab->touched &= ~row;
        add(&s->sizes[class].touched, -(int64_t)count);
    }
}

void slabs_trim(struct slabs *s)
{
    for (unsigned i = 0; i < size_count; i++) {
        struct size_slabs *z = &s->sizes[i];
        pthread_mutex_lock(&z->lock);
        if (z->current && !used_of(z->current)) {
            free_slab(s, z, z->current);
            z->current = NULL;
        }
        pthread_mutex_unlock(&z->lock);
    }
    slab_regions_trim(&s->regions);
    each_slab(s, 1, discard_idle); /* kind 0 has too many blocks on a page for idle pages */
}

void slabs_stats_read(struct slabs *s, struct slabs_stats *ret)
{
    struct slabs_stats stats = {0};
    size_t pages = 0;
    for (unsigned i = 0; i < size_count; i++) {
        stats.used_bytes += (size_t)number(&s->sizes[i].used) *
                            slab_charges[(sizes[i].size) / SLAB_STEP];
        pages += number(&s->sizes[i].touched);
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
    pthread_once(&sizes_once, make_sizes);
    struct slabs *s = mem_pages_alloc(sizeof(*s));
    if (!s)
        return NULL;
    slab_regions_init(&s->regions, mem, huge);
    for (unsigned i = 0; i < size_count; i++)
        pthread_mutex_init(&s->sizes[i].lock, NULL);
    return s;
}

void slabs_destroy(struct slabs *s)
{
    slab_regions_fini(&s->regions);
    for (unsigned i = 0; i < size_count; i++)
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
    unsigned class = class_of(slab);
    const struct size *size = &sizes[class];
    unsigned out = 0;
    for (unsigned word = 0; word < slab_words(size->kind); word++)
        out += (unsigned)__builtin_popcountll(slab->out[word]);
    sums[class].used += out;
    sums[class].slabs++;
    sums[class].touched += slab_touched_pages(slab);
    sums[class].listed += state_of(slab) == SLAB_LISTED;
    if (out != used_of(slab))
        return false;
    switch (state_of(slab)) {
    case SLAB_CURRENT: return s->sizes[class].current == slab && out < size->count;
    case SLAB_LISTED: return out && slab->level == level_of(size, out) && out < size->count;
    case SLAB_FULL: return out == size->count;
    default: return state_of(slab) == SLAB_DRAINING && out;
    }
}

static bool size_is_valid(const struct size_slabs *z, const struct sums *sums)
{
    uint64_t listed = 0;
    for (unsigned level = 0; level < LEVELS; level++) {
        for (const struct slab *slab = z->levels[level]; slab; slab = slab->next)
            listed++;
        if ((z->occupied >> level & 1) != (z->levels[level] != NULL))
            return false;
    }
    return number(&z->used) == sums->used && number(&z->slabs) == sums->slabs &&
           number(&z->touched) == sums->touched && listed == sums->listed;
}

bool slabs_are_valid(struct slabs *s)
{
    struct sums sums[SLAB_CLASSES_MAX] = {{0}};
    size_t free_pages = 0;
    size_t count;
    for (struct slab_region *region = first_region(s, &count); region; region = region->all_next) {
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
    for (unsigned i = 0; i < size_count; i++)
        if (!size_is_valid(&s->sizes[i], &sums[i]))
            return false;
    return free_pages == s->regions.free_touched_pages;
}
