/* SPDX-License-Identifier: MIT */
/*
 * Blocks of one size that come and go on many threads: the last few that came back are kept, one
 * in each slot, and can be taken again by one atomic exchange.
 *
 * Used for blocks that each request needs, and needs too shortly to be worth an arena's locks. A
 * thread begins its search at a slot of its own. A block that it took goes back to that slot,
 * whoever gives it back, so that the thread gets the same block again, warm; when the slot is empty
 * it takes from other slots, which are found at once. A block that finds no free slot goes back to
 * the arena.
 *
 * A block may outlive its pool's owner: the pool stays until its last block has come back.
 *
 * Thread-safety: all but create and drop from any thread.
 */
#ifndef NIGH_BASE_POOL_H
#define NIGH_BASE_POOL_H

#include <stddef.h>

struct mem;
struct pool;

#define POOL_SLOTS 64u

/* Keeps up to `keep` (<= POOL_SLOTS) blocks of `size` bytes. NULL: no memory. */
struct pool *pool_create(struct mem *mem, size_t size, unsigned keep);
/* Drop the pool, as its owner: no block may be taken any more. NULL is fine. */
void pool_drop(struct pool *pool);

/* 16-byte aligned memory, or NULL. */
void *pool_take(struct pool *pool);
void pool_give(struct pool *pool, void *bytes);

#endif
