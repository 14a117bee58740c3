/* SPDX-License-Identifier: MIT */
/*
 * The loader's side of a load: what it sees and what it answers.
 */
#ifndef NIGH_CACHE_FILL_H
#define NIGH_CACHE_FILL_H

#include "cache/cache.h"
#include "cache/tags.h"

#define FILL_SMALL_BYTES 512u

enum fill_kind {
    FILL_OPEN, /* not answered yet */
    FILL_VALUE,
    FILL_ABSENT,
    FILL_ERROR,
    FILL_NOT_MODIFIED,
    FILL_UNCACHEABLE,
};

/* Keys: (c) constant while the loader runs; everything else is the loader's until it returns. */
struct nigh_fill {
    struct env *env;              /* (c) */
    const void *key;              /* (c) */
    size_t key_len;               /* (c) */
    uint64_t deadline_ns;         /* (c) */
    struct l1_entry *previous;    /* (c) with a reference; NULL: none known */

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

/* Forget the answer, but not the request: before a load is run again, and at the end. */
void fill_reset(struct nigh_fill *fill);
/* Set what nigh_load_error() says on this thread from now on. */
void cache_set_load_error(int error);
/* Returns the bytes of the answer: the previous value's if the loader has confirmed that one. */
struct bytes fill_payload(const struct nigh_fill *fill);

#endif
