// SPDX-License-Identifier: MIT
/*
 * Makes the table of sizes: near enough to each other, and with little of a slab unused.
 */
#include "base/slab_size.h"

#include <pthread.h>

#include "base/check.h"

/* Smallest block: requests are rarely smaller, and a slab has a bit for each of its blocks. */
#define SIZE_MIN 48u
#define STEPS_MAX 256u  /* up to here every multiple of SLAB_STEP is a size ... */
#define NEAR_SHARE 16u /* ... beyond, the next size is larger by at least a 16th ... */
#define FAR_SHARE 10u  /* ... and by at most a 10th, where slabs can be cut so */

static const uint16_t kind_sizes_max[SLAB_KINDS] = {1024, 4096, 16384, SLAB_BLOCK_MAX};

uint8_t slab_classes[SLAB_BLOCK_MAX / SLAB_STEP + 1];
uint16_t slab_charges[SLAB_BLOCK_MAX / SLAB_STEP + 1];
struct slab_size slab_sizes[SLAB_CLASSES_MAX];
unsigned slab_size_count;

static void add_size(uint32_t size, unsigned kind)
{
    NIGH_CHECK(slab_size_count < SLAB_CLASSES_MAX);
    slab_sizes[slab_size_count++] = (struct slab_size){
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
        if (step * SLAB_STEP > slab_sizes[class].size)
            class++;
        slab_classes[step] = (uint8_t)class;
        const struct slab_size *size = &slab_sizes[class];
        slab_charges[step] = (uint16_t)(slab_bytes(size->kind) / size->count);
    }
}

void slab_sizes_make(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_sizes);
}

unsigned slab_kind_of(unsigned class)
{
    return slab_sizes[class].kind;
}
