/* SPDX-License-Identifier: MIT */
/*
 * Memory as the allocator and the kernel count it: the other side of nigh's own accounting.
 *
 * A cache makes jemalloc arenas of its own when it opens; nobody else in this program makes any.
 */
#ifndef PERF_BENCH_ARENA_H
#define PERF_BENCH_ARENA_H

#include <stddef.h>
#include <stdint.h>

/* Once, before the first cache opens: later arenas are theirs. */
void arenas_begin(void);
/* Bytes allocated from the arenas of all open caches, by the allocator's own statistics. What its
 * thread caches keep is in it, as it is memory that nobody else can have. */
uint64_t arenas_allocated_bytes(void);
/* Returns what the allocator takes for a request. */
uint64_t arena_charge(uint64_t bytes);
/* All that jemalloc has from the kernel, in use or not; and of the process: virtual, resident. */
uint64_t jemalloc_mapped_bytes(void);
uint64_t process_virtual_bytes(void);
uint64_t process_resident_bytes(void);

#endif
