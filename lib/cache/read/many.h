/* SPDX-License-Identifier: MIT */
/*
 * Reading many keys at once, for calls that differ in what they do where L1 and L2 have none.
 */
#ifndef NIGH_CACHE_READ_MANY_H
#define NIGH_CACHE_READ_MANY_H

#include "cache/cache.h"

/* The arguments of a call. */
struct many {
    struct nigh_space *space;
    const struct nigh_key *keys;
    size_t count;
    const struct nigh_call *call;
    struct nigh_value *values;
    int *outcomes;
    bool fetches; /* loads what is missing, and refreshes what is stale */
};

/* States of a key that a call which fetches still has to bring, in the place of its outcome. */
enum many_missing {
    MANY_UNKNOWN = 1 << 16, /* L2 is to be asked (again) */
    MANY_NOT_IN_L2,         /* L2 has nothing of the key */
    MANY_L2_FAILED,         /* L2 could not be asked */
};

static inline struct l1_key many_key(const struct many *m, size_t i)
{
    return l1_key_of(m->space->cache->l1, m->space->id, m->keys[i].data, m->keys[i].len);
}

/* 0, or why the call cannot be served: then nothing is written. */
int many_check(const struct many *m);
/* Read every key that may be had from L1; the others become NIGH_MISS, or NIGH_EKEY. Returns how
 * many are missing, and counts them. */
size_t many_read_l1(const struct many *m);
/* Ask L2 for each key that is NIGH_MISS, and wait for the answers. */
void many_read_l2(const struct many *m);
/* Brings the keys that are NIGH_MISS, or begins to, inside caller_enter(). */
typedef void many_missed_fn(const struct many *m);
/* Check the call, read L1, and go on with what is missing: by `bring`, or by `behind` if the call
 * is not to wait. 0, or why it cannot be served. */
int many_read(const struct many *m, many_missed_fn *bring, many_missed_fn *behind);

#endif
