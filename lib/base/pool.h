/* SPDX-License-Identifier: MIT */
/*
 * Blocks of one size that come and go on many threads: the last few that came back are kept, one
 * in each slot, and are had again for one atomic exchange.
 *
 * For what is asked for at each request, and is too short-lived to be worth an arena's locks. A
 * thread begins at a slot of its own, and what it took goes back there, whoever gives it, so that
 * it gets the same again, warm; from slots of others it takes when that one is empty. What finds
 * no slot goes back to the arena.
 *
 * A block may outlive its pool's owner: the pool is there until its last block has come back.
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
/* By its owner: takes no block any more. NULL is fine. */
void pool_drop(struct pool *pool);

/* 16-byte aligned memory, or NULL. */
void *pool_take(struct pool *pool);
void pool_give(struct pool *pool, void *bytes);

#endif
