// SPDX-License-Identifier: MIT
/*
 * Memory: blocks are aligned and whole, charges are what the backend takes, a purge gives back.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "support/check.h"

enum { BLOCKS = 2000 };

struct block {
    uint8_t *ptr;
    size_t size;
    uint8_t fill;
};

/* Each byte is like the next one: as fast as memory under a sanitizer, too. */
static bool is_filled(const uint8_t *ptr, size_t size, uint8_t fill)
{
    return size == 0 || (ptr[0] == fill && memcmp(ptr, ptr + 1, size - 1) == 0);
}

static void check_blocks(bool slabs, struct mem_cache *(*cache_for)(struct mem *))
{
    static struct block blocks[BLOCKS];
    uint64_t seed = check_seed();
    struct mem *mem = mem_create();
    REQUIRE(mem);
    if (slabs)
        REQUIRE(mem_add_slabs(mem));
    struct mem_cache *cache = cache_for(mem);
    memset(blocks, 0, sizeof(blocks));
    for (int i = 0; i < 10 * BLOCKS; i++) {
        struct block *b = &blocks[check_random(&seed) % BLOCKS];
        CHECK(is_filled(b->ptr, b->size, b->fill)); /* nobody else wrote into it */
        mem_free(mem, i % 2 ? cache : NULL, b->ptr, b->size);
        b->size = 1 + check_random(&seed) % (i % 100 ? 2000 : 100000);
        b->fill = (uint8_t)check_random(&seed);
        b->ptr = mem_alloc(mem, cache, b->size);
        REQUIRE(b->ptr);
        CHECK_EQ((uintptr_t)b->ptr % 16, 0);
        memset(b->ptr, b->fill, b->size);
    }
    for (int i = 0; i < BLOCKS; i++)
        mem_free(mem, cache, blocks[i].ptr, blocks[i].size);
    mem_cache_flush(cache);
    mem_cache_destroy(cache);
    mem_destroy(mem);
}

static struct mem_cache *no_cache(struct mem *mem)
{
    (void)mem;
    return NULL;
}

TEST(blocks_are_aligned_and_apart)
{
    check_blocks(false, no_cache);
    check_blocks(true, no_cache);
}

TEST(blocks_through_a_cache_too)
{
    check_blocks(true, mem_cache_create);
}

TEST(small_blocks_are_aligned)
{
    struct mem *mem = mem_create();
    uint8_t *ptrs[64];
    for (size_t i = 0; i < 64; i++) {
        ptrs[i] = mem_alloc(mem, NULL, 1 + i % 8);
        CHECK_EQ((uintptr_t)ptrs[i] % 16, 0);
    }
    for (size_t i = 0; i < 64; i++)
        mem_free(mem, NULL, ptrs[i], 1 + i % 8);
    mem_destroy(mem);
}

TEST(zeroed_memory_is_zero_where_there_was_dirt)
{
    struct mem *mem = mem_create();
    for (int i = 0; i < 100; i++) {
        uint8_t *dirty = mem_alloc(mem, NULL, 500);
        memset(dirty, 0xFF, 500);
        mem_free(mem, NULL, dirty, 500);
        uint8_t *clean = mem_alloc_zero(mem, 500);
        CHECK(is_filled(clean, 500, 0));
        mem_free(mem, NULL, clean, 500);
    }
    mem_free(mem, NULL, NULL, 500); /* like free(NULL) */
    mem_destroy(mem);
}

static void check_charges(bool slabs)
{
    struct mem *mem = mem_create();
    size_t last = 0;
    if (slabs)
        REQUIRE(mem_add_slabs(mem));
    for (size_t size = 1; size < 70000; size++) {
        size_t charge = mem_charge(mem, size);
        CHECK_GE(charge, size);
        CHECK_GE(charge, last);
        size_t page = size > 14 * 1024 ? 4096 : 0; /* see mem_jemalloc.c */
        CHECK_LE(charge, size + size / 4 + 48 + page); /* size classes are 4 to a doubling */
        last = charge;
    }
    mem_destroy(mem);
}

TEST(charge_covers_the_request)
{
    check_charges(false);
    check_charges(true);
}

#if !NIGH_SANITIZED

TEST(charges_add_up_to_the_arenas_own_count)
{
    static struct block blocks[BLOCKS];
    size_t size_max = NIGH_ALLOCATOR_JEMALLOC ? 200000 : 16000; /* malloc does not count */
    uint64_t seed = check_seed();
    struct mem_stats before, after;
    struct mem *mem = mem_create();
    REQUIRE(mem && mem_add_slabs(mem));
    size_t charged = 0;
    mem_stats_read(mem, &before);
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i].size = 1 + check_random(&seed) % (i % 50 ? 1500 : size_max);
        blocks[i].ptr = mem_alloc(mem, NULL, blocks[i].size);
        charged += mem_charge(mem, blocks[i].size);
    }
    mem_stats_read(mem, &after);
    CHECK_EQ(after.allocated_bytes - before.allocated_bytes, charged);
    for (int i = 0; i < BLOCKS; i++)
        mem_free(mem, NULL, blocks[i].ptr, blocks[i].size);
    mem_stats_read(mem, &after);
    CHECK_EQ(after.allocated_bytes, before.allocated_bytes);
    mem_destroy(mem);
}

/* Fills an arena through a cache, frees all, and looks at what stays resident. */
TEST(purge_lowers_resident_bytes)
{
    enum { COUNT = 32 * 1024, SIZE = 1024 };
    static void *ptrs[COUNT];
    struct mem_stats full, purged;
    struct mem *mem = mem_create();
    REQUIRE(mem && mem_add_slabs(mem));
    struct mem_cache *cache = mem_cache_create(mem);
    REQUIRE(cache);
    for (int i = 0; i < COUNT; i++)
        REQUIRE(ptrs[i] = memset(mem_alloc(mem, cache, SIZE), 1, SIZE));
    mem_stats_read(mem, &full);
    CHECK_GE(full.resident_bytes, COUNT * SIZE);
    for (int i = 0; i < COUNT; i++)
        mem_free(mem, cache, ptrs[i], SIZE);
    mem_cache_flush(cache);
    mem_purge(mem);
    mem_stats_read(mem, &purged);
    CHECK_LE(purged.resident_bytes, COUNT * SIZE / 16);
    CHECK_LE(purged.allocated_bytes, 8192);
    mem_cache_destroy(cache);
    mem_destroy(mem);
}

/* What a cache keeps is charged to nobody: it must be little, however much went through it. */
TEST(a_cache_keeps_little_of_what_it_is_given)
{
    enum { COUNT = 1000, LARGEST = 4096, KEPT_MAX = 100 * 1024 };
    static void *ptrs[COUNT];
    struct mem_stats before, after;
    struct mem *mem = mem_create();
    REQUIRE(mem && mem_add_slabs(mem));
    struct mem_cache *cache = mem_cache_create(mem);
    REQUIRE(cache);
    mem_stats_read(mem, &before);
    for (size_t size = 16; size <= LARGEST; size += 16) {
        for (int i = 0; i < COUNT; i++)
            REQUIRE(ptrs[i] = mem_alloc(mem, cache, size));
        for (int i = 0; i < COUNT; i++)
            mem_free(mem, cache, ptrs[i], size);
    }
    mem_stats_read(mem, &after);
    check_note("kept: %zu bytes", after.allocated_bytes - before.allocated_bytes);
    CHECK_LE(after.allocated_bytes - before.allocated_bytes, KEPT_MAX);
    mem_cache_flush(cache);
    mem_stats_read(mem, &after);
    CHECK_EQ(after.allocated_bytes, before.allocated_bytes);
    mem_cache_destroy(cache);
    mem_destroy(mem);
}

TEST(arenas_do_not_share_their_counts)
{
    struct mem_stats before, after;
    struct mem *a = mem_create(), *b = mem_create();
    REQUIRE(a && b && mem_add_slabs(a) && mem_add_slabs(b));
    mem_stats_read(a, &before);
    void *ptr = mem_alloc(b, NULL, 1 << 20), *small = mem_alloc(b, NULL, 100);
    mem_stats_read(a, &after);
    CHECK_EQ(after.allocated_bytes, before.allocated_bytes);
    mem_free(b, NULL, ptr, 1 << 20);
    mem_free(b, NULL, small, 100);
    mem_destroy(b);
    mem_destroy(a);
}

/* Small blocks alone, too, make an arena's descriptors grow: so it is not used again. */
TEST(an_arena_leaves_its_next_owner_no_large_descriptors)
{
    enum { STOCKED = 256, COUNT = 48 * 1024, SIZE = 1024 };
    static struct mem *others[STOCKED];
    static void *ptrs[COUNT];
    struct mem_stats fresh, next;
    for (int i = 0; i < STOCKED; i++) /* what other tests have left to be used again */
        REQUIRE(others[i] = mem_create());
    struct mem *mem = mem_create();
    REQUIRE(mem);
    mem_stats_read(mem, &fresh);
    for (int i = 0; i < COUNT; i++)
        REQUIRE(ptrs[i] = mem_alloc(mem, NULL, SIZE));
    for (int i = 0; i < COUNT; i++)
        mem_free(mem, NULL, ptrs[i], SIZE);
    mem_destroy(mem);
    REQUIRE(mem = mem_create());
    mem_stats_read(mem, &next);
    check_note("resident: %zu bytes, then %zu", fresh.resident_bytes, next.resident_bytes);
    CHECK_LE(next.resident_bytes, fresh.resident_bytes + 512 * 1024);
    mem_destroy(mem);
    for (int i = 0; i < STOCKED; i++)
        mem_destroy(others[i]);
}

#endif

TEST(arenas_and_caches_come_and_go)
{
    for (int i = 0; i < 5000; i++) { /* more than there are numbers for, if they leaked */
        struct mem *mem = mem_create();
        REQUIRE(mem && mem_add_slabs(mem));
        struct mem_cache *cache = mem_cache_create(mem);
        CHECK(cache || NIGH_SANITIZED);
        void *ptr = mem_alloc(mem, cache, 64);
        CHECK(ptr);
        mem_free(mem, cache, ptr, 64);
        mem_cache_destroy(cache);
        mem_destroy(mem);
    }
}

/* Nobody else's bytes on the lines of such a block, whatever lies around it. */
TEST(lines_of_its_own_are_zeroed_and_shared_with_nobody)
{
    enum { COUNT = 64 };
    char *lines[COUNT], *others[COUNT];
    struct mem *mem = mem_create();
    REQUIRE(mem);
    for (size_t i = 0; i < COUNT; i++) {
        size_t size = 1 + 7 * i, whole = (size + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES;
        REQUIRE(others[i] = mem_alloc(mem, NULL, size));
        REQUIRE(lines[i] = mem_lines_alloc_zero(mem, size));
        memset(others[i], 0xff, size);
        CHECK_EQ((uintptr_t)lines[i] % CACHE_LINE_BYTES, 0);
        for (size_t at = 0; at < size; at++)
            CHECK_EQ(lines[i][at], 0);
        memset(lines[i], 0xee, whole * CACHE_LINE_BYTES);
    }
    for (size_t i = 0; i < COUNT; i++) {
        CHECK_EQ((unsigned char)others[i][7 * i], 0xff);
        mem_free(mem, NULL, others[i], 1 + 7 * i);
        mem_lines_free(mem, lines[i], 1 + 7 * i);
    }
    mem_lines_free(mem, NULL, 1);
    mem_destroy(mem);
}

/* ---- pages ---- */

TEST(pages_are_zeroed_and_aligned)
{
    static const size_t sizes[] = {1, 4096, 100000, (2u << 20) - 4096, 2u << 20, (5u << 20) + 1};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        uint8_t *ptr = mem_pages_alloc(sizes[i]);
        REQUIRE(ptr);
        CHECK_EQ((uintptr_t)ptr % 4096, 0);
        CHECK(is_filled(ptr, sizes[i], 0));
        memset(ptr, 0xFF, sizes[i]);
        mem_pages_free(ptr, sizes[i]);
    }
    mem_pages_free(NULL, 4096);
}

/* Whether the kernel was asked for huge pages there: flag "hg" of the mapping. */
static bool is_marked_huge(const void *ptr)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[512];
    bool inside = false, marked = false;
    REQUIRE(f);
    while (fgets(line, sizeof(line), f)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (uintptr_t)ptr >= from && (uintptr_t)ptr < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            marked = strstr(line, " hg");
    }
    fclose(f);
    return marked;
}

static bool kernel_has_huge_pages(void)
{
    return access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK) == 0;
}

/* As tables come and go: none overlaps another, all are fresh, and what is left is given back. */
static void check_areas(enum mem_huge huge)
{
    enum { AREAS = 200, AREA_BYTES = 266304 };
    static uint8_t *areas[AREAS];
    struct mem *mem = mem_create();
    REQUIRE(mem);
    mem_set_huge(mem, huge);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < AREAS; i++) {
            if (areas[i])
                continue;
            REQUIRE(areas[i] = mem_pages_alloc_of(mem, AREA_BYTES));
            CHECK_EQ((uintptr_t)areas[i] % 4096, 0);
            CHECK(is_filled(areas[i], AREA_BYTES, 0));
            memset(areas[i], (int)(i % 255 + 1), AREA_BYTES);
        }
        if (kernel_has_huge_pages())
            CHECK_EQ(is_marked_huge(areas[7]), huge != MEM_HUGE_NONE);
        for (unsigned i = 0; i < AREAS; i++)
            CHECK(is_filled(areas[i], AREA_BYTES, (uint8_t)(i % 255 + 1)));
        for (unsigned i = 0; i < AREAS; i++)
            if (round == 2 || i % 3 == round) {
                mem_pages_free(areas[i], AREA_BYTES);
                areas[i] = NULL;
            }
    }
    uint8_t *large = mem_pages_alloc_of(mem, (5u << 20) + 1);
    REQUIRE(large);
    CHECK(huge == MEM_HUGE_NONE || (uintptr_t)large % (2u << 20) == 0);
    mem_pages_free(large, (5u << 20) + 1);
    mem_destroy(mem);
}

TEST(pages_of_an_arena_lie_side_by_side_where_huge_ones_are_wanted)
{
    check_areas(MEM_HUGE_NONE);
    check_areas(MEM_HUGE_PAGES);
    check_areas(MEM_HUGE_ALL);
}

TEST(blocks_too_if_all_is_to_be_huge)
{
    for (int all = 0; all < 2; all++) {
        struct mem *mem = mem_create();
        REQUIRE(mem);
        mem_set_huge(mem, all ? MEM_HUGE_ALL : MEM_HUGE_PAGES);
        uint8_t *block = mem_alloc(mem, NULL, 4u << 20);
        REQUIRE(block);
        memset(block, 1, 4u << 20);
        if (NIGH_ALLOCATOR_JEMALLOC && kernel_has_huge_pages())
            CHECK_EQ(is_marked_huge(block + (2u << 20)), all);
        mem_free(mem, NULL, block, 4u << 20);
        mem_purge(mem);
        mem_destroy(mem);
    }
}

TEST(impossible_sizes_are_refused)
{
    CHECK(!mem_pages_alloc(0));
    CHECK(!mem_pages_alloc(SIZE_MAX));
    CHECK(!mem_pages_alloc(SIZE_MAX / 2));
}

/* ---- arrays ---- */

/* Sizes on both sides of where pages begin; what both have is kept. */
static void check_array(struct mem *mem)
{
    static const size_t sizes[] = {100, 8000, 16000, 16384, 20000, 20480, 70000, 1 << 20, 65536,
                                   16385, 15000, 64, 300000, 4};
    uint8_t *array = NULL;
    size_t size = 0;
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        size_t extra = mem_array_resize_charge(mem, size, sizes[i]);
        CHECK_GE(mem_array_charge(mem, size) + extra, mem_array_charge(mem, sizes[i]));
        CHECK_GE(mem_array_charge(mem, sizes[i]), sizes[i]);
        CHECK_LE(mem_array_pages_bytes(mem, sizes[i]), mem_array_charge(mem, sizes[i]));
        REQUIRE(array = mem_array_resize(mem, array, size, sizes[i]));
        size_t kept = size < sizes[i] ? size : sizes[i];
        for (size_t at = 0; at < kept; at += 1 + at / 64)
            CHECK_EQ(array[at], (uint8_t)(at * 7 + i - 1));
        size = sizes[i];
        for (size_t at = 0; at < size; at++)
            array[at] = (uint8_t)(at * 7 + i);
    }
    mem_array_free(mem, array, size);
}

TEST(arrays_keep_what_is_in_them)
{
    struct mem_stats before, after;
    for (int pages = 0; pages < 2; pages++) {
        struct mem *mem = mem_create();
        REQUIRE(mem);
        if (pages)
            mem_set_array_pages(mem);
        mem_stats_read(mem, &before);
        check_array(mem);
        mem_stats_read(mem, &after);
        CHECK_EQ(after.allocated_bytes, before.allocated_bytes);
        mem_array_free(mem, NULL, 0);
        mem_destroy(mem);
    }
}

#if NIGH_ALLOCATOR_JEMALLOC

/* A large one takes whole pages and no more, also while it grows by one. */
TEST(a_large_array_grows_by_pages)
{
    struct mem *mem = mem_create();
    REQUIRE(mem);
    mem_set_array_pages(mem);
    CHECK_EQ(mem_array_charge(mem, 100000), 25 * 4096);
    CHECK_EQ(mem_array_charge(mem, 0), 0);
    CHECK_EQ(mem_array_resize_charge(mem, 100000, 102400), 0);
    CHECK_EQ(mem_array_resize_charge(mem, 100000, 102401), 4096);
    CHECK_EQ(mem_array_resize_charge(mem, 102401, 20000), 0);
    CHECK_EQ(mem_array_pages_bytes(mem, 100000), 25 * 4096);
    CHECK_EQ(mem_array_pages_bytes(mem, 10000), 0);
    mem_destroy(mem);
}

#endif

/* ---- every allocation failed in turn ---- */

#if NIGH_FAULTS

/* Does what a module does at init; true when all of it succeeded. Frees everything either way. */
static bool build_and_drop(void)
{
    struct mem *mem = mem_create();
    if (!mem)
        return false;
    mem_set_array_pages(mem);
    if (!mem_add_slabs(mem)) {
        mem_destroy(mem);
        return false;
    }
    struct mem_cache *cache = mem_cache_create(mem);
    void *a = mem_alloc(mem, cache, 100), *b = mem_alloc_zero(mem, 100);
    void *pages = mem_pages_alloc(10000);
    void *array = mem_array_resize(mem, NULL, 0, 20000);
    void *grown = array ? mem_array_resize(mem, array, 20000, 40000) : NULL;
    bool whole = (cache || NIGH_SANITIZED) && a && b && pages && grown;
    mem_array_free(mem, grown ? grown : array, grown ? 40000 : array ? 20000 : 0);
    mem_pages_free(pages, 10000);
    mem_free(mem, cache, a, 100);
    mem_free(mem, cache, b, 100);
    mem_cache_destroy(cache);
    mem_destroy(mem);
    return whole;
}

TEST(each_allocation_fails_cleanly)
{
    fault_arm(FAULT_ALLOC, 0);
    CHECK(build_and_drop());
    uint64_t count = fault_count(FAULT_ALLOC);
    CHECK_GE(count, 4);
    for (uint64_t nth = 1; nth <= count; nth++) {
        fault_arm(FAULT_ALLOC, nth);
        CHECK(!build_and_drop());
    }
    CHECK(build_and_drop());
}

#endif
