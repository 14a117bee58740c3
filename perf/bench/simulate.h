/* SPDX-License-Identifier: MIT */
/*
 * Simulates what a policy's hit ratio is compared with: exact LRU, Belady's optimum, and GDSF,
 * which knows sizes.
 *
 * Semantics of a trace: every request is a read; on a miss the object is inserted. Every request
 * counts. A recording of nigh's own tells more: when values end, and what was put or invalidated in
 * between. LRU follows that; Belady and GDSF take values to live for ever. Sources: L. A. Belady, A
 * study of replacement algorithms for a virtual-storage computer, IBM Systems Journal 5 (1966);
 * L. Cherkasova, Improving WWW proxies performance with Greedy-Dual-Size-Frequency caching policy,
 * HPL-98-69R1 (1998).
 */
#ifndef PERF_BENCH_SIMULATE_H
#define PERF_BENCH_SIMULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct request {
    uint32_t key; /* dense: below `unique` */
    uint32_t size;
};

#define LIFE_FOREVER UINT32_MAX

/* How long a value is fresh from when it comes, and then stale, in ms. */
struct life {
    uint32_t fresh_ms, stale_ms;
};

enum change_kind {
    CHANGE_INVALIDATED, /* the value goes */
    CHANGE_FELL,        /* ... with a group: nobody gets it any more, but it takes room until it is
                           replaced or evicted */
    CHANGE_PUT,         /* another one comes */
};

/* What happened to a key between two requests. */
struct change {
    uint32_t key;
    uint32_t size;  /* of what was put */
    size_t before;  /* the request that came next */
    uint64_t at_us; /* 0 where times are not known */
    struct life life;
    enum change_kind kind;
};

/* What a request does beside asking. */
enum brings {
    BRINGS_IF_MISSED, /* a value, if there is none, or a stale one */
    BRINGS_NOTHING,   /* even then */
    BRINGS_ANYWAY,    /* the value was stale for a reason that no lifetime tells */
};

struct trace {
    struct request *requests;
    size_t count;
    uint32_t unique;
    /* what not every trace has; NULL: each request BRINGS_IF_MISSED, for ever */
    uint64_t *at_us;    /* when each was asked for, since the first */
    uint8_t *brings;    /* enum brings */
    struct life *lives; /* of what it brings; with at_us alone */
    struct change *changes; /* as they came */
    size_t change_count;
};

static inline uint64_t trace_at_us(const struct trace *t, size_t i)
{
    return t->at_us ? t->at_us[i] : 0;
}

static inline enum brings trace_brings(const struct trace *t, size_t i)
{
    return t->brings ? (enum brings)t->brings[i] : BRINGS_IF_MISSED;
}

static inline struct life trace_life(const struct trace *t, size_t i)
{
    return t->lives ? t->lives[i] : (struct life){LIFE_FOREVER, 0};
}

/* When a value that comes now ceases to be fresh, or stale, in us; UINT64_MAX: never. */
static inline uint64_t life_end_us(uint64_t at_us, struct life life, bool stale_too)
{
    if (life.fresh_ms == LIFE_FOREVER)
        return UINT64_MAX;
    return at_us + ((uint64_t)life.fresh_ms + (stale_too ? life.stale_ms : 0)) * 1000;
}

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
