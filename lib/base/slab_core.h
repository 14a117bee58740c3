/* SPDX-License-Identifier: MIT */
/*
 * Slabs from inside: those of each size, and what taking, giving and draining do with them.
 */
#ifndef NIGH_BASE_SLAB_CORE_H
#define NIGH_BASE_SLAB_CORE_H

#include "base/check.h"
#include "base/slab_map.h"
#include "base/slab_size.h"

#define SLAB_LEVELS 8u

/* The slabs of a size. Keys: (l) its lock  (a) atomic, written (l), read by those who add up */
struct size_slabs {
    /* Taking from the current slab needs the first cache line only. */
    _Alignas(CACHE_LINE_BYTES) pthread_mutex_t lock;
    struct slab *current;        /* (l) NULL: none */
    _Atomic uint64_t used;       /* (a) blocks that are out */
    _Atomic uint64_t touched;    /* (a) pages of its slabs */
    _Atomic uint64_t slabs;      /* (a) */
    uint32_t occupied;           /* (l) a bit for each level that has slabs */
    struct slab *levels[SLAB_LEVELS]; /* (l) by how full: the last are the fullest */
};

struct slabs {
    struct slab_regions regions;
    struct size_slabs sizes[SLAB_CLASSES_MAX];
};

static inline uint64_t slab_number(const _Atomic uint64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

/* Adds without a locked instruction: the caller has the size's lock. */
static inline void slab_add(_Atomic uint64_t *count, int64_t n)
{
    atomic_store_explicit(count, slab_number(count) + (uint64_t)n, memory_order_relaxed);
}

static inline unsigned slab_used(const struct slab *slab)
{
    return atomic_load_explicit(&slab->used, memory_order_relaxed);
}

static inline void slab_set_used(struct slab *slab, unsigned used)
{
    atomic_store_explicit(&slab->used, (uint16_t)used, memory_order_relaxed);
}

static inline enum slab_state slab_state_of(const struct slab *slab)
{
    /* pair(slab.state): a thread that sees the slab taken also sees its class */
    return (enum slab_state)atomic_load_explicit(&slab->state, memory_order_acquire);
}

static inline void slab_set_state(struct slab *slab, enum slab_state state)
{
    /* pair(slab.state) */
    atomic_store_explicit(&slab->state, (uint8_t)state, memory_order_release);
}

static inline unsigned slab_class_of(const struct slab *slab)
{
    return atomic_load_explicit(&slab->class, memory_order_relaxed);
}

static inline char *slab_base(struct slab *slab, unsigned kind)
{
    return slab_region_with(slab, kind)->base + slab->index * slab_bytes(kind);
}

/* Takes up to `want` blocks of the current slab, which has some. Returns how many. */

/* Return the first region, for a walk without the lock: other threads only add regions, in front;
 * only slabs_trim() removes them. */
struct slab_region *slab_region_first(struct slabs *s, size_t *ret_count);
/* Take a slab out of its size's list. */
void slab_unlist_locked(struct size_slabs *z, struct slab *slab) REQUIRES(z->lock);
/* Give a slab without blocks back to its region. */
void slab_free_locked(struct slabs *s, struct size_slabs *z, struct slab *slab) REQUIRES(z->lock);
/* Put a slab where it belongs by its number of blocks that are out: listed, full, or free. */
void slab_file_locked(struct slabs *s, unsigned class, struct slab *slab)
    REQUIRES(s->sizes[class].lock);

#endif
