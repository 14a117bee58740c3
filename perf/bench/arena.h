/* SPDX-License-Identifier: MIT */
/*
 * What the allocator and the kernel say about memory: the other side of nigh's own accounting.
 *
 * A cache makes a jemalloc arena of its own when it opens; it is the one that was not there before.
 */
#ifndef PERF_BENCH_ARENA_H
#define PERF_BENCH_ARENA_H

#include <stddef.h>
#include <stdint.h>

/* Number of arenas so far: call it before a cache opens; the next one is the cache's. */
unsigned arena_next(void);
/* Bytes allocated from it, by its own statistics. */
uint64_t arena_allocated_bytes(unsigned arena);
/* What the allocator takes for a request. */
uint64_t arena_charge(uint64_t bytes);
/* All that jemalloc has from the kernel, in use or not; and of the process: virtual, resident. */
uint64_t jemalloc_mapped_bytes(void);
uint64_t process_virtual_bytes(void);
uint64_t process_resident_bytes(void);

#endif
