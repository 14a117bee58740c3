/* SPDX-License-Identifier: MIT */
/*
 * Blocks of up to 42 KiB, in slabs of one size each.
 *
 * Why not the allocator that has the rest: what a cache evicts lies scattered, so pages come back
 * only if what is left is moved together; and an allocator that fills its slabs by address, not the
 * fullest first, lets that go on for ever. Here whoever moves says which slabs are to become empty,
 * and gets no block from them meanwhile.
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
 * above 30 KiB). A block is charged what it takes of its slab, so that charges add up to slabs.
 *
 * Why they end at 42 KiB: beyond 16 KiB the allocator has a class for each quarter, and each
 * block has a page more: half of a value of 16 KiB was lost. A slab of 256 KiB has six blocks of 42
 * KiB; with fewer in a slab sizes would be as far apart here.
 *
 * A slab is in one place:
 *     free      of its region's, for any size of the kind
 *     current   its size's, from which blocks are taken until it is full
 *     listed    neither full nor empty, by how full: the next current one is of the fullest
 *     full      in no list
 *     draining  in no list: blocks come back, none is taken; empty, it is free
 * New slabs are taken from the regions that are fullest, so that others become empty.
 *
 * What it does when
 *   - memory is short: each call of the kernel that fails is an ordinary answer. No region: no
 *     block. A region that cannot be unmapped, or a slab whose pages are not taken back, stays and
 *     is used again.
 *   - it is to shrink: slabs_drain() chooses the slabs that can be done without, from the emptiest
 *     regions; the owner moves what is in them, once; slabs_trim() gives pages back.
 *   - a block is held, and cannot be freed: its own slab stays, no other. slabs_settle() ends the
 *     draining, so that what is free in it is of use again.
 *   - pages are to be huge: a region is one. Giving a part of it back splits it, so such a region
 *     is taken from the kernel's collector of huge pages until it is full again: it would fill what
 *     was given back.
 *   - regions go here and there: one unmapped between two others splits a mapping, of which a
 *     process may have 65530 (vm.max_map_count). So many holes are 128 GiB that went between 128
 *     GiB that stay, or more where they are larger; and so is each huge region that is split
 *     between whole ones. Then regions stay, their pages alone go, and nothing else in the process
 *     can map either: raise the limit where caches are that large, and shrink.
 *   - the system's pages have more than 4 KiB: what is no multiple of them stays. With 16 KiB most
 *     of what is free goes, with 64 KiB slabs of the larger kinds and regions.
 *   - a sanitizer watches: it sees the ends of malloc's blocks, not those of ours, so such builds
 *     have no slabs (mem.h) but those of their own tests.
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

/* By (size + SLAB_STEP - 1) / SLAB_STEP: constant once there are slabs. */
extern NIGH_HIDDEN uint8_t slab_classes[SLAB_BLOCK_MAX / SLAB_STEP + 1];
extern NIGH_HIDDEN uint16_t slab_charges[SLAB_BLOCK_MAX / SLAB_STEP + 1];

/* Descriptors are from `mem`, apart. `huge`: ask for huge pages. NULL: no memory. */
struct slabs *slabs_create(struct mem *mem, bool huge);
/* Unmaps everything, also what has not been given back. */
void slabs_destroy(struct slabs *s);

/* The number of the size that a block of `size` (1 .. SLAB_BLOCK_MAX) gets; smaller: smaller. */
static inline unsigned slab_class(size_t size)
{
    return slab_classes[(size + SLAB_STEP - 1) / SLAB_STEP];
}

/* Up to `want` blocks of a size, 16-byte aligned. Returns how many; less: no memory. */
unsigned slabs_take(struct slabs *s, unsigned class, void **ret_blocks, unsigned want);
void slabs_give(struct slabs *s, unsigned class, void *const *blocks, unsigned count);

/* What slabs_drain() would free beyond what is free already, about. */
size_t slabs_excess_bytes(struct slabs *s);
/*
 * Choose the slabs that the blocks which are out can do without. False: none, or no memory. From
 * now on until slabs_settle() they get emptier only.
 */
bool slabs_drain(struct slabs *s);
void slabs_settle(struct slabs *s);
/* Whether it is a block that is to leave its slab. Of anybody's block that is out. */
bool slabs_is_draining(const void *block);
/* Give the pages of free slabs back to the kernel, and regions that are empty. */
void slabs_trim(struct slabs *s);

struct slabs_stats {
    size_t used_bytes;     /* blocks that are out, as charged */
    size_t resident_bytes; /* touched and not given back */
    size_t mapped_bytes;
    size_t apart_bytes;    /* asked for descriptors */
};
void slabs_stats_read(struct slabs *s, struct slabs_stats *ret);
/* PARANOID: walks everything; nobody else may be at work. */
bool slabs_are_valid(struct slabs *s);

#endif
