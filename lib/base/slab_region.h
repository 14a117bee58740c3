/* SPDX-License-Identifier: MIT */
/*
 * Regions of 2 MiB, cut into slabs of one kind: taking slabs, giving pages back. (From a block to
 * its region: slab_map.h.)
 */
#ifndef NIGH_BASE_SLAB_REGION_H
#define NIGH_BASE_SLAB_REGION_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/slab.h"

#define REGION_SHIFT 21
#define REGION_BYTES ((size_t)1 << REGION_SHIFT)
#define SLAB_KINDS 4u
#define REGION_SLABS_MAX 128u
#define SLAB_WORDS_MAX 6u /* 341 blocks of 48 B */
#define SLAB_PAGE_BYTES ((size_t)4096) /* unit of counting; the system's pages may be larger */
#define SLAB_PAGES_MAX 64u

enum slab_state { SLAB_FREE, SLAB_CURRENT, SLAB_LISTED, SLAB_FULL, SLAB_DRAINING };

/* Keys: (c) constant  (h) heap's lock while the slab is free, else its size's lock
 *       (a) atomic, written as (h), relaxed: without a lock its value is a hint, checked later */
struct slab {
    struct slab *next, *prev;  /* (h) in its list */
    _Atomic uint16_t used;     /* (a) blocks that are out */
    _Atomic uint8_t class;     /* (a) */
    _Atomic uint8_t state;     /* (a) */
    uint8_t level;             /* (h) number of its list */
    uint8_t index;             /* (c) in its region */
    uint64_t touched;          /* (h) a bit for each page that may be resident */
    uint64_t out[];            /* (h) a bit for each block; as many words as its kind has */
};

/* Keys: (c) constant  (h) heap's lock */
struct slab_region {
    struct slab_region *next, *prev;         /* (h) among those with as many free slabs, about */
    struct slab_region *all_next, *all_prev; /* (h) */
    char *base;                              /* (c) */
    uint64_t free[REGION_SLABS_MAX / 64];    /* (h) a bit for each slab that may be taken */
    uint64_t warm[REGION_SLABS_MAX / 64];    /* (h) free slabs that have touched pages */
    uint64_t gaps[REGION_SLABS_MAX / 64];    /* (h) slabs that are not free and lack pages */
    uint16_t free_count;                     /* (h) */
    uint8_t kind;                            /* (c) */
    uint8_t level;                           /* (h) number of its list; 0: in none */
    bool whole;                              /* (h) marked for a huge page */
};

/* Levels of regions, by how many of their slabs are free: 0 none (not listed), 1 the fewest. */
#define REGION_LEVELS 9u

/* Keys: (c) constant  (h) lock */
struct slab_regions {
    struct mem *mem;      /* (c) */
    bool huge;            /* (c) */
    pthread_mutex_t lock; /* a leaf */
    struct slab_region *levels[SLAB_KINDS][REGION_LEVELS]; /* (h) */
    struct slab_region *all;                               /* (h) */
    size_t count;                                          /* (h) */
    size_t apart_bytes;                                    /* (h) */
    size_t free_touched_pages;                             /* (h) touched pages of free slabs */
    char *map_next; /* (h) address to try for the next region, aligned */
};

void slab_regions_init(struct slab_regions *r, struct mem *mem, bool huge);
void slab_regions_fini(struct slab_regions *r);

/* Take a free slab, from the fullest region; NULL: no memory. The caller then sets its state. */
struct slab *slab_region_take(struct slab_regions *r, unsigned kind);
/* Give a slab back that has no blocks out and is in no list. */
void slab_region_give(struct slab_regions *r, struct slab *slab, unsigned kind);
void slab_regions_trim(struct slab_regions *r);
/* Note that some pages of a slab with blocks are to be given back. False: none should be, for the
 * region is a whole huge page. */
bool slab_region_open_gap(struct slab_regions *r, struct slab_region *region, unsigned index);
/* Give pages back to the kernel. False: it does not take them. */
bool slab_pages_give_back(char *at, size_t bytes);

/* A set of pages: `count` (> 0) of them from `first` on. */
static inline uint64_t slab_page_bits(unsigned first, unsigned count)
{
    return ~UINT64_C(0) >> (SLAB_PAGES_MAX - count) << first;
}
size_t slab_bytes(unsigned kind);
unsigned slab_words(unsigned kind);
unsigned slab_count(unsigned kind); /* in a region */
struct slab *slab_at(struct slab_region *region, unsigned index);
struct slab_region *slab_region_with(struct slab *slab, unsigned kind);

static inline unsigned slab_touched_pages(const struct slab *slab)
{
    return (unsigned)__builtin_popcountll(slab->touched);
}

/* The number of the slab in this region in which a block lies. */
static inline unsigned slab_index_of(const struct slab_region *region, const void *block)
{
    return (unsigned)(((uintptr_t)block & (REGION_BYTES - 1)) / slab_bytes(region->kind));
}

#endif
