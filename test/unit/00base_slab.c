// SPDX-License-Identifier: MIT
/*
 * Slabs: blocks are apart and whole, the fullest are filled first, what drains gets no block, what
 * is empty goes back to the kernel.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"
#include "base/slab.h"
#include "base/slab_map.h"
#include "base/slab_region.h"
#include "support/check.h"

enum { MANY = 20000 };

struct heap {
    struct mem *mem;
    struct slabs *slabs;
};

static void heap_open(struct heap *h, bool huge)
{
    REQUIRE(h->mem = mem_create());
    REQUIRE(h->slabs = slabs_create(h->mem, huge));
}

static void heap_close(struct heap *h)
{
    slabs_destroy(h->slabs);
    mem_destroy(h->mem);
}

static void *take(struct heap *h, size_t size)
{
    void *block = NULL;
    REQUIRE_EQ(slabs_take(h->slabs, slab_class(size), &block, 1), 1);
    return block;
}

static void give(struct heap *h, size_t size, void *block)
{
    slabs_give(h->slabs, slab_class(size), &block, 1);
}

static struct slabs_stats stats_of(struct heap *h)
{
    struct slabs_stats stats;
    slabs_stats_read(h->slabs, &stats);
    return stats;
}

static size_t charge_of(size_t size)
{
    return slab_charges[(size + SLAB_STEP - 1) / SLAB_STEP];
}

/* ---- sizes ---- */

TEST(sizes_are_close_and_leave_nothing_of_a_slab)
{
    struct heap h;
    heap_open(&h, false);
    for (size_t size = 49; size <= SLAB_BLOCK_MAX; size++) {
        size_t charge = charge_of(size);
        CHECK_GE(charge, size);
        CHECK_LE(charge, size + (size < 8192 ? size / 10 : size / 6) + SLAB_STEP);
        CHECK_GE(charge, charge_of(size - 1));
        CHECK_EQ(charge == charge_of(size - 1), slab_class(size) == slab_class(size - 1));
        size_t slab = slab_bytes(slab_kind_of(slab_class(size)));
        CHECK_GE(slab / charge * charge, slab - slab / charge); /* charges add up to slabs */
    }
    CHECK_EQ(charge_of(1), 48);
    heap_close(&h);
}

TEST(blocks_of_each_size_are_apart)
{
    static uint8_t *blocks[3000];
    struct heap h;
    heap_open(&h, false);
    for (size_t size = 48; size <= SLAB_BLOCK_MAX; size += size < 512 ? 16 : size / 16) {
        size_t count = 4 * slab_bytes(slab_kind_of(slab_class(size))) / size;
        REQUIRE(count < ARRAY_COUNT(blocks));
        for (size_t i = 0; i < count; i++) {
            blocks[i] = take(&h, size);
            CHECK_EQ((uintptr_t)blocks[i] % 16, 0);
            memset(blocks[i], (int)(i % 251), size);
        }
        CHECK(slabs_are_valid(h.slabs));
        for (size_t i = 0; i < count; i++) {
            CHECK_EQ(blocks[i][0], i % 251);
            CHECK_EQ(blocks[i][size - 1], i % 251);
            give(&h, size, blocks[i]);
        }
    }
    CHECK(slabs_are_valid(h.slabs));
    CHECK_EQ(stats_of(&h).used_bytes, 0);
    slabs_trim(h.slabs);
    CHECK_EQ(stats_of(&h).mapped_bytes, 0);
    CHECK_EQ(stats_of(&h).resident_bytes, 0);
    heap_close(&h);
}

TEST(many_at_once_are_as_good_as_one_by_one)
{
    void *blocks[64];
    struct heap h;
    heap_open(&h, false);
    CHECK_EQ(slabs_take(h.slabs, slab_class(1000), blocks, 64), 64); /* four slabs */
    for (int i = 0; i < 64; i++)
        for (int k = 0; k < i; k++)
            CHECK(blocks[i] != blocks[k]);
    CHECK_EQ(stats_of(&h).used_bytes, 64 * charge_of(1000));
    slabs_give(h.slabs, slab_class(1000), blocks, 64);
    CHECK_EQ(stats_of(&h).used_bytes, 0);
    CHECK(slabs_are_valid(h.slabs));
    heap_close(&h);
}

/* ---- pages ---- */

static size_t resident_pages(const void *at, size_t bytes)
{
    unsigned char in[512];
    size_t pages = 0;
    REQUIRE(bytes / 4096 <= sizeof(in));
    REQUIRE_EQ(mincore((void *)(uintptr_t)at, bytes, in), 0);
    for (size_t i = 0; i < bytes / 4096; i++)
        pages += in[i] & 1;
    return pages;
}

/* What a slab has never given out is not resident, nor counted. */
TEST(resident_is_what_was_touched)
{
    struct heap h;
    heap_open(&h, false);
    uint8_t *first = take(&h, 100);
    CHECK_EQ((uintptr_t)first % SLAB_PAGE_BYTES, 0);
    first[0] = 1;
    CHECK_EQ(stats_of(&h).resident_bytes, 4096);
    CHECK_EQ(resident_pages(first, slab_bytes(0)), 1);
    for (int i = 0; i < 41; i++)
        memset(take(&h, 100), 1, 100);
    CHECK_EQ(stats_of(&h).resident_bytes, resident_pages(first, slab_bytes(0)) * 4096);
    heap_close(&h);
}

TEST(a_free_slab_is_used_before_a_fresh_one)
{
    struct heap h;
    heap_open(&h, false);
    void *blocks[8];
    for (int i = 0; i < 8; i++)
        blocks[i] = take(&h, 4000); /* of a slab that has 16 */
    void *other = take(&h, 3000);
    for (int i = 0; i < 8; i++)
        give(&h, 4000, blocks[i]);
    slabs_trim(h.slabs);
    size_t trimmed = stats_of(&h).resident_bytes;
    CHECK_EQ(trimmed, 4096);
    memset(take(&h, 3500), 1, 3500);
    CHECK_EQ(stats_of(&h).mapped_bytes, REGION_BYTES);
    give(&h, 3000, other);
    CHECK(slabs_are_valid(h.slabs));
    heap_close(&h);
}

/* Every second slab's pages go back; the others keep what is in them. */
TEST(pages_of_free_slabs_go_back)
{
    enum { PER_SLAB = 16, SLABS = 256 };
    static uint8_t *blocks[SLABS][PER_SLAB];
    struct heap h;
    for (int huge = 0; huge < 2; huge++) {
        heap_open(&h, huge);
        for (int i = 0; i < SLABS; i++)
            for (int k = 0; k < PER_SLAB; k++)
                memset(blocks[i][k] = take(&h, 1024), i % 200 + 1, 1024);
        size_t before = stats_of(&h).resident_bytes;
        CHECK_EQ(before, SLABS * slab_bytes(0));
        for (int i = 0; i < SLABS; i += 2)
            for (int k = 0; k < PER_SLAB; k++)
                give(&h, 1024, blocks[i][k]);
        slabs_trim(h.slabs);
        CHECK_EQ(stats_of(&h).resident_bytes, before / 2);
        CHECK(slabs_are_valid(h.slabs));
        for (int i = 0; i < SLABS; i++) {
            size_t pages = resident_pages(blocks[i][0], slab_bytes(0));
            CHECK_EQ(pages, i % 2 ? slab_bytes(0) / 4096 : 0);
            CHECK_EQ(blocks[i][PER_SLAB - 1][1023], i % 2 ? i % 200 + 1 : 0);
        }
        heap_close(&h);
    }
}

/* The kernel would round up, to what is another's. */
TEST(a_part_of_a_page_does_not_go_back)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *at = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(at != MAP_FAILED);
    memset(at, 1, page);
    CHECK(!slab_pages_give_back(at, page / 2));
    CHECK(!slab_pages_give_back(at + page / 2, page / 2));
    CHECK_EQ(at[0], 1);
    CHECK_EQ(at[page - 1], 1);
    CHECK(slab_pages_give_back(at, page));
    CHECK_EQ(at[0], 0);
    munmap(at, page);
}

/* Or the kernel would fill what was given back, and nobody would count it. */
TEST(a_region_is_whole_again_without_gaps_only)
{
    enum { SIZE = 4096, PER_SLAB = 16, SLABS = 32 };
    static void *blocks[SLABS][PER_SLAB];
    struct heap h;
    heap_open(&h, true);
    for (int i = 0; i < SLABS; i++)
        for (int k = 0; k < PER_SLAB; k++)
            memset(blocks[i][k] = take(&h, SIZE), 1, SIZE);
    const struct slab_region *region = slab_region_of(blocks[0][0]);
    CHECK(region->whole);
    CHECK_EQ(stats_of(&h).resident_bytes, REGION_BYTES);
    for (int gaps = 0; gaps < 2; gaps++) {
        for (int k = 0; k < PER_SLAB; k++)
            give(&h, SIZE, blocks[0][k]);
        if (gaps)
            give(&h, SIZE, blocks[1][1]);
        slabs_trim(h.slabs);
        CHECK(!region->whole);
        size_t gone = slab_bytes(1) + (gaps ? SIZE : 0);
        CHECK_EQ(stats_of(&h).resident_bytes, REGION_BYTES - gone);
        if (gaps) /* the fullest slab is filled first */
            blocks[1][1] = take(&h, SIZE);
        for (int k = 0; k < PER_SLAB; k++)
            blocks[0][k] = take(&h, SIZE);
        CHECK_EQ(region->free_count, 0);
        CHECK_EQ(stats_of(&h).resident_bytes, REGION_BYTES);
        CHECK(!gaps || !region->whole);
        CHECK(slabs_are_valid(h.slabs));
    }
    heap_close(&h);
}

/* ---- draining ---- */

struct content {
    size_t size;
    uint8_t *block;
};

static size_t size_for(uint64_t *random)
{
    uint64_t r = check_random(random);
    return r % 10 ? 40 + r / 16 % 600 : 40 + r / 16 % 16000;
}

static void fill_and_thin(struct heap *h, struct content *all, uint64_t *random, unsigned keep)
{
    for (int i = 0; i < MANY; i++) {
        all[i].size = size_for(random);
        all[i].block = take(h, all[i].size);
        memset(all[i].block, i % 256, all[i].size);
    }
    for (int i = 0; i < MANY; i++)
        if (check_random(random) % keep) {
            give(h, all[i].size, all[i].block);
            all[i].block = NULL;
        }
}

static bool is_whole(const struct content *c, int i)
{
    return c->block[0] == i % 256 && memcmp(c->block, c->block + 1, c->size - 1) == 0;
}

static void move(struct heap *h, struct content *c)
{
    uint8_t *copy = take(h, c->size);
    CHECK(!slabs_is_draining(copy));
    memcpy(copy, c->block, c->size);
    give(h, c->size, c->block);
    c->block = copy;
}

/* A random tenth stays: moving what is to be moved, once, leaves it dense. */
TEST(moving_once_is_enough)
{
    static struct content all[MANY];
    for (int huge = 0; huge < 2; huge++) {
        struct heap h;
        uint64_t random = check_seed();
        heap_open(&h, huge);
        fill_and_thin(&h, all, &random, 10);
        struct slabs_stats thin = stats_of(&h);
        CHECK_GE(slabs_excess_bytes(h.slabs), thin.resident_bytes / 4);
        REQUIRE(slabs_drain(h.slabs));
        CHECK(slabs_are_valid(h.slabs));
        for (int i = 0; i < MANY; i++)
            if (all[i].block && slabs_is_draining(all[i].block))
                move(&h, &all[i]);
        CHECK(slabs_are_valid(h.slabs));
        slabs_settle(h.slabs);
        slabs_trim(h.slabs);
        struct slabs_stats dense = stats_of(&h);
        CHECK_EQ(dense.used_bytes, thin.used_bytes);
        check_note("%zu used, resident %zu before and %zu after", dense.used_bytes,
                   thin.resident_bytes, dense.resident_bytes);
        /* at most a slab of each size is not full, and a 32nd beside */
        CHECK_LE(dense.resident_bytes, dense.used_bytes * 34 / 32 + 80 * (128 << 10) / 2);
        CHECK_LT(slabs_excess_bytes(h.slabs), 80 * (128 << 10));
        for (int i = 0; i < MANY; i++)
            CHECK(!all[i].block || is_whole(&all[i], i));
        for (int i = 0; i < MANY; i++)
            if (all[i].block)
                give(&h, all[i].size, all[i].block);
        CHECK(slabs_are_valid(h.slabs));
        heap_close(&h);
    }
}

/* A block that cannot be moved keeps its slab, which is of use again afterwards. */
TEST(a_block_that_stays_keeps_its_slab_only)
{
    static void *blocks[MANY];
    struct heap h;
    heap_open(&h, false);
    for (int i = 0; i < MANY; i++)
        blocks[i] = take(&h, 128);
    for (int i = 0; i < MANY; i++)
        if (i % 128) /* one left in each slab */
            give(&h, 128, blocks[i]);
    REQUIRE(slabs_drain(h.slabs));
    void *held = NULL;
    for (int i = 0; i < MANY; i += 128) {
        if (!slabs_is_draining(blocks[i]))
            continue;
        if (held) {
            void *copy = take(&h, 128);
            CHECK(!slabs_is_draining(copy));
            give(&h, 128, blocks[i]);
        } else {
            held = blocks[i];
        }
    }
    REQUIRE(held);
    slabs_trim(h.slabs);
    CHECK_LE(stats_of(&h).resident_bytes, 4 * slab_bytes(0));
    slabs_settle(h.slabs);
    CHECK(!slabs_is_draining(held));
    CHECK(slabs_are_valid(h.slabs));
    CHECK(!slabs_drain(h.slabs) || stats_of(&h).resident_bytes > 2 * slab_bytes(0));
    heap_close(&h);
}

/* ---- every allocation failed in turn ---- */

#if NIGH_FAULTS

TEST(no_memory_is_no_block)
{
    static const size_t sizes[SLAB_KINDS] = {100, 800, 6400, 30000};
    uint64_t nth = 0;
    bool whole = false;
    while (!whole && ++nth < 100) {
        struct mem *mem = mem_create();
        REQUIRE(mem);
        fault_arm(FAULT_ALLOC, nth);
        struct slabs *slabs = slabs_create(mem, false);
        unsigned got = 0;
        void *blocks[SLAB_KINDS] = {NULL};
        for (unsigned i = 0; slabs && i < SLAB_KINDS; i++) /* a region for each */
            got += slabs_take(slabs, slab_class(sizes[i]), &blocks[i], 1);
        whole = got == SLAB_KINDS;
        for (unsigned i = 0; slabs && i < SLAB_KINDS; i++)
            if (blocks[i])
                slabs_give(slabs, slab_class(sizes[i]), &blocks[i], 1);
        fault_arm(FAULT_ALLOC, 0);
        if (slabs) {
            CHECK(slabs_are_valid(slabs));
            for (unsigned i = 0; i < SLAB_KINDS; i++)
                CHECK_EQ(slabs_take(slabs, slab_class(sizes[i]), &blocks[i], 1), 1);
            slabs_destroy(slabs);
        }
        mem_destroy(mem);
    }
    CHECK(whole);
    CHECK_GE(nth, 5);
}

#endif
