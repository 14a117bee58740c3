/* SPDX-License-Identifier: MIT */
/*
 * The loader's side of a load: what it sees and what it answers.
 */
#ifndef NIGH_CACHE_LOAD_FILL_H
#define NIGH_CACHE_LOAD_FILL_H

#include "cache/cache.h"
#include "cache/load/defer.h"
#include "cache/value/tags.h"

#define FILL_SMALL_BYTES 512u

enum fill_kind {
    FILL_OPEN, /* not answered yet */
    FILL_VALUE,
    FILL_ABSENT,
    FILL_ERROR,
    FILL_NOT_MODIFIED,
    FILL_UNCACHEABLE,
};

/* Keys: (c) constant while the loader runs, and until a deferred answer
 *       (a) atomic, relaxed: written by the loader's thread
 * Everything else is the loader's until it returns; once deferred, of whoever has locked the
 * name. */
struct nigh_fill {
    struct nigh *cache;           /* (c) */
    const void *key;              /* (c) */
    size_t key_len;               /* (c) */
    uint64_t deadline_ns;         /* (c) */
    struct l1_entry *previous;    /* (c) with a reference; NULL: none known */
    void (*answered)(struct nigh_fill *fill); /* (c) takes a deferred answer to its load, on the
                                               * thread that gives it */
    _Atomic(struct nigh_fill *) name; /* (a) by which it was deferred; NULL: it was not */

    enum fill_kind kind;
    int error;
    void *bytes;                  /* copy of the value: `small`, or `len` bytes of env->mem */
    size_t len;
    uint32_t soft_ttl_ms;         /* 0: the space's */
    uint32_t stale_ms;            /* 0: the space's, NIGH_NONE: none */
    uint64_t version;
    struct tags tags;
    uint8_t small[FILL_SMALL_BYTES]; /* holds most values, without the allocator */
};

/* Forget the answer, but not the request: before a load is run again, and at the end. If the fill
 * has a name, that is over. */
void fill_reset(struct nigh_fill *fill);
/* Whether the fill has, or had, a name. */
static inline bool fill_is_deferred(const struct nigh_fill *fill)
{
    return atomic_load_explicit(&fill->name, memory_order_relaxed);
}
/* The loader that has deferred the fill has returned. True: with an answer, if only an error.
 * False: the fill waits, and is no longer the caller's: `answered` will be called, or defer_take()
 * finds it. */
bool fill_returned(struct nigh_fill *fill, int result);
/* Whether a deferred fill waits for its answer. By the holder of its flight. */
bool fill_waits(const struct nigh_fill *fill);
/* End the name of a fill, if it has one, as its cache closes. */
void fill_disown(struct nigh_fill *fill, int why);
/* Set what nigh_load_error() says on this thread from now on. */
void cache_set_load_error(int error);
/* Returns the bytes of the answer: the previous value's if the loader has confirmed that one. */
struct bytes fill_payload(const struct nigh_fill *fill);

#endif
