// SPDX-License-Identifier: MIT
/*
 * A pool: an array of slots, each of which holds a block or none.
 *
 * Taking exchanges a slot with NULL, giving compares it with NULL and swaps, so a block is in one
 * place at any moment, and there is no list whose head could be another block at the same address
 * (ABA). At worst a slot that changes behind a searcher costs an allocation from the arena, or a
 * block given back to it.
 *
 * A thread that has one block out at a time finds it in its own slot. For those that have many,
 * `full` says which other slots have a block: a hint, corrected by whoever finds it wrong, so that
 * nobody looks at sixty empty slots, or at sixty full ones, again and again. A block may be in a
 * slot of which that is not known; then it waits for the slot's own threads.
 *
 * Each block that is out has a reference to the pool, and so has the owner; whoever drops the last
 * one frees the pool. A giver puts its block into a slot before it drops its reference, so that the
 * last one finds all blocks in the slots.
 */
#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/check.h"
#include "base/fault.h"
#include "base/mem.h"

#define PAGE_SHIFT 12

_Static_assert(POOL_SLOTS == 64, "a bit for each slot");

/* A block: a header before the caller's bytes. Only the thread that has the block touches it. */
struct block {
    unsigned home; /* first slot of its taker, to which it goes back whoever gives it */
    _Alignas(16) char bytes[];
};

/* Keys: (c) constant after creation   (a) atomic */
struct pool {
    struct mem *mem;       /* (c) */
    size_t size;           /* (c) bytes of a block, header included */
    unsigned keep;         /* (c) */
    _Atomic uint32_t refs; /* pair(pool.refs): the owner's, and one of each block that is out */
    _Atomic uint64_t full; /* (a) a bit for each slot that was seen to hold a block, more or less */
    /* pair(pool.slot): a block's content is written before its address is in a slot */
    _Atomic(struct block *) slots[POOL_SLOTS];
};

struct pool *pool_create(struct mem *mem, size_t size, unsigned keep)
{
    NIGH_CHECK(keep <= POOL_SLOTS);
    struct pool *pool = mem_alloc_zero(mem, sizeof(*pool));
    if (!pool)
        return NULL;
    pool->mem = mem;
    pool->size = sizeof(struct block) + size;
    pool->keep = keep;
    atomic_init(&pool->refs, 1);
    return pool;
}

static void destroy(struct pool *pool)
{
    for (unsigned i = 0; i < pool->keep; i++)
        mem_free(pool->mem, NULL, atomic_load_explicit(&pool->slots[i], memory_order_relaxed),
                 pool->size);
    mem_free(pool->mem, NULL, pool, sizeof(*pool));
}

static void unref(struct pool *pool)
{
    /* pair(pool.refs): releases the block in its slot; the last one acquires all of them */
    if (atomic_fetch_sub_explicit(&pool->refs, 1, memory_order_acq_rel) == 1)
        destroy(pool);
}

void pool_drop(struct pool *pool)
{
    if (pool)
        unref(pool);
}

/* The slot at which this thread begins. Descriptors of threads lie at the ends of their stacks,
 * which are an odd number of pages apart, so each thread has another slot. */
static unsigned home_slot(const struct pool *pool)
{
    return (unsigned)((uintptr_t)pthread_self() >> PAGE_SHIFT) % pool->keep;
}

static struct block *take_at(struct pool *pool, unsigned at)
{
    if (!atomic_load_explicit(&pool->slots[at], memory_order_relaxed))
        return NULL;
    /* pair(pool.slot): the giver's use of the block comes before ours */
    return atomic_exchange_explicit(&pool->slots[at], NULL, memory_order_acquire);
}

static struct block *take_kept(struct pool *pool, unsigned home)
{
    struct block *b = take_at(pool, home);
    for (unsigned i = 0; !b && i < POOL_SLOTS; i++) {
        uint64_t full = atomic_load_explicit(&pool->full, memory_order_relaxed);
        if (!full)
            break;
        unsigned at = (unsigned)__builtin_ctzll(full);
        /* before the look: what is put there meanwhile is said to be there, or is taken here */
        atomic_fetch_and_explicit(&pool->full, ~(UINT64_C(1) << at), memory_order_relaxed);
        b = take_at(pool, at);
    }
    return b;
}

void *pool_take(struct pool *pool)
{
    if (fault_fires(FAULT_ALLOC))
        return NULL;
    unsigned home = pool->keep ? home_slot(pool) : 0;
    struct block *block = take_kept(pool, home);
    block = block ? block : mem_alloc(pool->mem, NULL, pool->size);
    if (!block)
        return NULL;
    block->home = home;
    atomic_fetch_add_explicit(&pool->refs, 1, memory_order_relaxed);
    return block->bytes;
}

static bool put_at(struct pool *pool, struct block *block, unsigned at)
{
    struct block *none = atomic_load_explicit(&pool->slots[at], memory_order_relaxed);
    /* pair(pool.slot): our use of the block comes before anybody else has it */
    return !none && atomic_compare_exchange_strong_explicit(&pool->slots[at], &none, block,
                                                            memory_order_release,
                                                            memory_order_relaxed);
}

/* Returns the slots that are not known to be full. */
static uint64_t free_slots(const struct pool *pool)
{
    uint64_t all = UINT64_MAX >> (POOL_SLOTS - pool->keep);
    return all & ~atomic_load_explicit(&pool->full, memory_order_relaxed);
}

static bool keep_block(struct pool *pool, struct block *block)
{
    bool kept = pool->keep && put_at(pool, block, block->home);
    for (unsigned i = 0; !kept && i < pool->keep; i++) {
        uint64_t left = free_slots(pool);
        if (!left)
            break;
        unsigned at = (unsigned)__builtin_ctzll(left);
        kept = put_at(pool, block, at);
        atomic_fetch_or_explicit(&pool->full, UINT64_C(1) << at, memory_order_relaxed);
    }
    return kept;
}

void pool_give(struct pool *pool, void *bytes)
{
    struct block *block = CONTAINER_OF(bytes, struct block, bytes);
    if (!keep_block(pool, block))
        mem_free(pool->mem, NULL, block, pool->size);
    unref(pool);
}
