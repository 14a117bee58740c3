/* SPDX-License-Identifier: MIT */
/*
 * Blocks of up to 42 KiB, in slabs of one size each.
 *
 * Why not the allocator that has the larger blocks: the entries that a cache evicts lie scattered,
 * so pages come back only if the remaining ones are moved together; and with an allocator that
 * fills its slabs by address, not the fullest first, such moving never ends. Here the mover chooses
 * the slabs that are to become empty, and no block is taken from them meanwhile.
 *
 *     region: 2 MiB, aligned, from the kernel; its slabs are of one kind
 *     +--------+--------+--------+--------+--------+-- ... --+
 *     | slab   | slab   | free,  | slab   | free,  |         |   kind   slab     blocks
 *     | 112 B  | 304 B  | warm   | 48 B   | given  |         |   0      16 KiB   48 B .. 1 KiB
 *     |        |        |        |        | back   |         |   1      64 KiB   .. 4 KiB
 *     +--------+--------+--------+--------+--------+-- ... --+   2      128 KiB  .. 16 KiB
 *         |        \                                              3      256 KiB  .. 42 KiB
 *         |         one bit a block, outside: a block that is not out is never touched
 *      descriptors, apart:   used | state | blocks that are out
 *
 * Sizes are steps of 16 B up to 256 B, then a 16th to a 10th apart (an eighth above 8 KiB, a sixth
 * above 30 KiB). A block is charged its share of its slab, so that charges add up to slabs.
 *
 * Why sizes end at 42 KiB: beyond 16 KiB the allocator has a class for each quarter, and each
 * block has a page more, so that half of a value of 16 KiB was lost. A slab of 256 KiB has six
 * blocks of 42 KiB; with fewer blocks in a slab, sizes would be as far apart here, too.
 *
 * States of a slab:
 *     free      one of its region's free slabs, for any size of the region's kind
 *     current   the slab of its size from which blocks are taken until it is full
 *     listed    neither full nor empty, in a list by how full: the fullest is the next current one
 *     full      in no list
 *     draining  in no list: blocks come back, none is taken; once empty it is free
 * New slabs are taken from the regions that are fullest, so that others become empty.
 *
 * How slabs behave when
 *   - memory is short: each call of the kernel that fails is an ordinary answer. Without a region
 *     there is no block. A region that cannot be unmapped, or a slab whose pages the kernel does
 *     not take back, stays and is used again.
 *   - the heap is to shrink: slabs_drain() chooses slabs that are not needed, from the emptiest
 *     regions; the owner moves the blocks in them, once; slabs_trim() gives pages back.
 *   - a block is pinned, and cannot be freed: only its own slab stays. slabs_settle() ends the
 *     draining, so that the free blocks of that slab are used again.
 *   - pages are to be huge: a region is one huge page. Giving a part of it back splits it. The
 *     kernel's collector of huge pages would then fill the gap again, so such a region is taken
 *     from the collector until it is full again.
 *   - regions are unmapped here and there: a region unmapped between two others splits a mapping,
 *     of which a process may have 65530 (vm.max_map_count). It takes 128 GiB that went between 128
 *     GiB that stay to make so many holes, or more where holes are larger; a huge region that is
 *     split between whole ones counts as well. At the limit regions stay, only their pages go, and
 *     nothing else in the process can map memory either: raise the limit where caches are that
 *     large, and shrink.
 *   - the system's pages are larger than 4 KiB: only multiples of them are given back. With 16 KiB
 *     most free memory goes, with 64 KiB slabs of the larger kinds and regions.
 *   - a sanitizer watches: it sees the ends of malloc's blocks, not those of ours, so such builds
 *     have no slabs (mem.h), except in the slabs' own tests.
 *
 * Thread-safety: all but create and destroy from any thread; slabs_drain(), _settle() and _trim()
 * from one thread at a time. Locks: a size's, then the heap's; both are leaves for all others.
 */
#ifndef NIGH_BASE_SLAB_H
#define NIGH_BASE_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

#define SLAB_BLOCK_MAX ((size_t)43680) /* six in 256 KiB */
#define SLAB_STEP 16u
#define SLAB_CLASSES_MAX 96u

struct mem;
struct slabs;

/* Class and charge of a size, by (size + SLAB_STEP - 1) / SLAB_STEP: constant once there are slabs.
 */
extern NIGH_HIDDEN uint8_t slab_classes[SLAB_BLOCK_MAX / SLAB_STEP + 1];
extern NIGH_HIDDEN uint16_t slab_charges[SLAB_BLOCK_MAX / SLAB_STEP + 1];

/* Create a heap of slabs. Descriptors are allocated from `mem`, apart from slabs. `huge`: ask for
 * huge pages. NULL: no memory. */
struct slabs *slabs_create(struct mem *mem, bool huge);
/* Unmap everything, also blocks that have not been given back. */
void slabs_destroy(struct slabs *s);

/* The class of blocks of `size` (1 .. SLAB_BLOCK_MAX): the number of the least size that fits.
 * Classes grow with sizes. */
static inline unsigned slab_class(size_t size)
{
    return slab_classes[(size + SLAB_STEP - 1) / SLAB_STEP];
}
/* The kind of the slabs in which blocks of a class lie: slab_region.h. */
unsigned slab_kind_of(unsigned class);

/* Take up to `want` blocks of a size, 16-byte aligned. Returns how many; fewer: no memory. */
unsigned slabs_take(struct slabs *s, unsigned class, void **ret_blocks, unsigned want);
void slabs_give(struct slabs *s, unsigned class, void *const *blocks, unsigned count);

/* Bytes that slabs_drain() would free beyond those that are free already, about. */
size_t slabs_excess_bytes(struct slabs *s);
/*
 * Choose the slabs that are not needed for the blocks that are out, if these are moved together.
 * False: there are none, or no memory. Until slabs_settle() no block is taken from these slabs.
 */
bool slabs_drain(struct slabs *s);
void slabs_settle(struct slabs *s);
/* Whether a block is in a slab that drains, and so should be moved. For any block that is out, also
 * one of another heap. */
bool slabs_is_draining(const void *block);
/* Give the pages of free slabs back to the kernel, and regions that are empty. */
void slabs_trim(struct slabs *s);

struct slabs_stats {
    size_t used_bytes;     /* blocks that are out, as charged */
    size_t resident_bytes; /* pages touched and not given back */
    size_t mapped_bytes;
    size_t apart_bytes;    /* descriptors, allocated apart */
};
void slabs_stats_read(struct slabs *s, struct slabs_stats *ret);
/* PARANOID: walks everything; nobody else may be at work. */
bool slabs_are_valid(struct slabs *s);

#endif
