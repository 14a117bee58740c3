// SPDX-License-Identifier: MIT
// The pool: blocks are had again, by many threads at once, and may outlive who made it.

#include "base/base.h"

#include <stdlib.h>

#include "support/check.h"

#define BLOCK_BYTES 256u

static struct mem *mem;
static struct pool *pool;

static void begin(unsigned keep)
{
    mem = mem_create();
    REQUIRE(mem);
    pool = pool_create(mem, BLOCK_BYTES, keep);
    REQUIRE(pool);
}

TEST(what_came_back_is_had_again)
{
    begin(POOL_SLOTS);
    void *first = pool_take(pool);
    REQUIRE(first);
    CHECK_EQ((uintptr_t)first % 16, 0);
    memset(first, 1, BLOCK_BYTES);
    pool_give(pool, first);
    void *second = pool_take(pool);
    CHECK(second == first);
    void *third = pool_take(pool);
    REQUIRE(third);
    CHECK(third != second);
    pool_give(pool, second);
    pool_give(pool, third);
    pool_drop(pool);
    mem_destroy(mem);
}

TEST(it_keeps_no_more_than_it_was_told)
{
    enum { MANY = 9 };
    for (unsigned keep = 0; keep < MANY; keep += 4) {
        void *blocks[MANY];
        begin(keep);
        for (int i = 0; i < MANY; i++)
            REQUIRE(blocks[i] = pool_take(pool));
        for (int i = 0; i < MANY; i++)
            pool_give(pool, blocks[i]);
        pool_drop(pool);
        mem_destroy(mem); /* leaks, if any, are found here by sanitizers */
    }
    pool_drop(NULL);
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)*(void *const *)a, y = (uintptr_t)*(void *const *)b;
    return x < y ? -1 : x > y;
}

TEST(all_that_one_thread_had_at_once_are_had_again)
{
    void *first[POOL_SLOTS], *again[POOL_SLOTS];
    begin(POOL_SLOTS);
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < POOL_SLOTS; i++)
            REQUIRE(first[i] = pool_take(pool));
        for (unsigned i = 0; i < POOL_SLOTS; i++)
            pool_give(pool, first[(i * 7 + 5) % POOL_SLOTS]);
        for (unsigned i = 0; i < POOL_SLOTS; i++)
            REQUIRE(again[i] = pool_take(pool));
        qsort(first, POOL_SLOTS, sizeof(void *), by_address);
        qsort(again, POOL_SLOTS, sizeof(void *), by_address);
        CHECK_MEM(again, sizeof(again), first, sizeof(first));
        for (unsigned i = 0; i < POOL_SLOTS; i++)
            pool_give(pool, again[i]);
    }
    pool_drop(pool);
    mem_destroy(mem);
}

TEST(a_block_outlives_the_owner_of_its_pool)
{
    begin(POOL_SLOTS);
    char *kept = pool_take(pool), *other = pool_take(pool);
    REQUIRE(kept && other);
    pool_give(pool, other);
    pool_drop(pool);
    memset(kept, 1, BLOCK_BYTES);
    pool_give(pool, kept);
    mem_destroy(mem);
}

#if NIGH_FAULTS
TEST(no_memory_is_told)
{
    begin(POOL_SLOTS);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        fault_arm(FAULT_ALLOC, nth);
        CHECK(!pool_take(pool));
        fault_arm(FAULT_ALLOC, 0);
    }
    pool_drop(pool);
    mem_destroy(mem);
}
#endif

/* ---- many threads ---- */

enum { THREADS = 4, HELD = 24, ROUNDS = 20000 };

static _Atomic(uint64_t *) handed; /* from thread to thread: given back by another than took it */

static void check_mine(const uint64_t *block, uint64_t mark)
{
    for (size_t i = 0; i < BLOCK_BYTES / 8; i++)
        REQUIRE_EQ(block[i], mark);
}

static void fill(uint64_t *block, uint64_t mark)
{
    for (size_t i = 0; i < BLOCK_BYTES / 8; i++)
        block[i] = mark;
}

static void *take_and_give(void *arg)
{
    uint64_t *held[HELD] = {NULL}, marks[HELD] = {0}, mark = (uint64_t)(uintptr_t)arg << 56;
    struct random dice;
    random_init(&dice, (uint64_t)(uintptr_t)arg);
    for (int round = 0; round < ROUNDS; round++) {
        size_t i = (size_t)random_below(&dice, HELD);
        if (!held[i]) {
            REQUIRE(held[i] = pool_take(pool));
            fill(held[i], marks[i] = ++mark);
            continue;
        }
        check_mine(held[i], marks[i]);
        uint64_t *other = atomic_exchange(&handed, held[i]);
        held[i] = NULL;
        if (other)
            pool_give(pool, other);
    }
    for (size_t i = 0; i < HELD; i++)
        if (held[i])
            pool_give(pool, held[i]);
    return NULL;
}

TEST(no_two_threads_have_one_block)
{
    pthread_t threads[THREADS];
    begin(POOL_SLOTS);
    for (uintptr_t i = 0; i < THREADS; i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, take_and_give, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    if (handed)
        pool_give(pool, handed);
    pool_drop(pool);
    mem_destroy(mem);
}
