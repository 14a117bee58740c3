/* SPDX-License-Identifier: MIT */
/*
 * Remembered loader errors: a key whose load failed is left alone for a while, doubling.
 *
 * A fixed table indexed by hash, as floors are: constant memory however many keys fail. A collision
 * only forgets the older failure. This is the error entry and the fail-safe throttle in one: with a
 * stale value at hand it delays the refresh, without one it answers the error at once.
 */
#ifndef NIGH_CACHE_LOAD_FAILURES_H
#define NIGH_CACHE_LOAD_FAILURES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

#define FAILURE_SLOTS 1024u /* 32 KiB; more keys failing at once share the origin's trouble */

/* Keys: as below */
struct failure {
    _Atomic uint64_t hash; /* (a) written (l): of the key; 0: free */
    uint64_t until_ns;
    uint64_t forget_ns; /* from then on the next failure counts as the first */
    int error;     /* the loader's own */
    uint32_t count;
};

/* Keys: (l) lock  (a) relaxed: whether a look is worth the lock. A thread that misses a failure
 * being noted at this moment loads once more, as if it had come a moment earlier. So a key that
 * fails costs the misses of other keys no lock: only those with its very hash take it. */
struct failures {
    pthread_mutex_t lock;
    _Atomic uint32_t used;               /* (a) */
    struct failure slots[FAILURE_SLOTS]; /* (l) */
};

void failures_init(struct failures *f);
void failures_fini(struct failures *f);

/* Whether no failure at all is remembered, as a rule: then nobody need ask what time it is. */
static inline bool failures_none(const struct failures *f)
{
    return NIGH_LIKELY(atomic_load_explicit(&f->used, memory_order_relaxed) == 0);
}

/* Whether the key failed lately; then *ret_error is the loader's error. */
bool failures_find(struct failures *f, uint64_t hash, uint64_t now_ns, int *ret_error);
/* Read for how long the key is left alone yet, and how often its load has failed; 0: it is not. For
 * people. */
uint64_t failures_left_ns(struct failures *f, uint64_t hash, uint64_t now_ns, uint32_t *ret_count);
/* Note that the key's load failed (again): the key is left alone for first_ms, doubling up to
 * max_ms, which first_ms may exceed. 0 in either: nothing is noted. */
void failures_note(struct failures *f, uint64_t hash, int error, uint64_t now_ns, uint32_t first_ms,
                   uint32_t max_ms);
/* Keeper: forget failures that lie long enough back, so that nobody takes the lock for them. */
void failures_expire(struct failures *f, uint64_t now_ns);
/* Forget a key's failure, as it was loaded or invalidated: the next load is tried at once. */
NIGH_OUTLINED void failures_clear_slow(struct failures *f, uint64_t hash);
static inline void failures_clear(struct failures *f, uint64_t hash)
{
    if (NIGH_UNLIKELY(!failures_none(f)))
        failures_clear_slow(f, hash);
}

#endif
