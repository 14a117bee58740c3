/* SPDX-License-Identifier: MIT */
/*
 * Simulates what a policy's hit ratio is compared with: exact LRU, Belady's optimum, and GDSF,
 * which knows sizes.
 *
 * Semantics of a trace: every request is a read; on a miss the object is inserted. Every request
 * counts. Sources: L. A. Belady, A study of replacement algorithms for a virtual-storage computer,
 * IBM Systems Journal 5 (1966); L. Cherkasova, Improving WWW proxies performance with
 * Greedy-Dual-Size-Frequency caching policy, HPL-98-69R1 (1998).
 */
#ifndef PERF_BENCH_SIMULATE_H
#define PERF_BENCH_SIMULATE_H

#include <stddef.h>
#include <stdint.h>

struct request {
    uint32_t key; /* dense: below `unique` */
    uint32_t size;
};

struct trace {
    struct request *requests;
    size_t count;
    uint32_t unique;
};

void trace_free(struct trace *t);

/* Hits of exact LRU with room for `capacity` objects. */
uint64_t simulate_lru(const struct trace *t, uint64_t capacity);
/* Hits of exact LRU for so many bytes; what is larger than the cache is not stored. */
uint64_t simulate_lru_bytes(const struct trace *t, uint64_t capacity_bytes);
/* Hits of the optimum for `capacity` objects: the one that is needed last leaves. */
uint64_t simulate_belady(const struct trace *t, uint64_t capacity);
/* Hits of GDSF with so many bytes: who leaves is worth least by requests / size, and newcomers
 * begin with the worth of who left last. */
uint64_t simulate_gdsf(const struct trace *t, uint64_t capacity_bytes);

#endif
