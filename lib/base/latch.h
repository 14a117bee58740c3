/* SPDX-License-Identifier: MIT */
/*
 * A lock of one word, for short sections that are entered often: the lock of a shard.
 *
 *     0 free | 1 held | 2 held, and somebody may be asleep for it
 *
 * A pthread mutex asks for its kind, notes owner and count, and is called: 62 instructions to enter
 * and leave when nobody is there, a fifteenth of a put. A latch takes ten, inlined. The price: it
 * does not know its holder, so a thread that locks twice sleeps for ever without any message, and
 * checkers of lock order do not know latches. (l1/l1.h has the order within L1, and
 * coherence/coherence.h that above it.)
 *
 * Ordering: entered with acquire, left with release (pair(latch.word)), so each holder sees what
 * those before it wrote. ThreadSanitizer needs no more than that.
 *
 * Why nobody sleeps for ever. A thread sleeps only while the word is 2; the kernel compares the
 * word and puts the thread to sleep in one step. The holder leaves by exchanging the word for 0, in
 * one step, and wakes a thread if it was 2. A thread that was asleep enters with 2, for others may
 * sleep still; if there were none, that costs one wake in vain. (test/model/latch.pml tries every
 * interleaving.)
 *
 * A latch is not fair, as a mutex is not: a thread that comes by may take a free latch before the
 * threads that are being woken for it.
 *
 * Source: U. Drepper, Futexes Are Tricky (2011), its second mutex.
 */
#ifndef NIGH_BASE_LATCH_H
#define NIGH_BASE_LATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"

#define LATCH_FREE 0u
#define LATCH_HELD 1u
#define LATCH_AWAITED 2u

/* A zeroed latch is free. Keys: (a) atomic, pair(latch.word) */
struct LOCK_TYPE latch {
    _Atomic uint32_t word; /* (a) */
};

/* Wait for the latch; wake a waiter. Neither changes errno. (To measure how long threads wait,
 * measure these.) */
NIGH_OUTLINED void latch_lock_slow(struct latch *l) ACQUIRES(*l);
NIGH_OUTLINED void latch_wake(struct latch *l);

/* Latches that this thread has taken, for tests of what an operation costs. Counted in Debug builds
 * only, by latch_note_taken(), which returns true. */
uint64_t latch_taken(void);
bool latch_note_taken(void);

/* Take the latch if it is free. False: somebody holds it. */
static inline bool latch_try(struct latch *l) ACQUIRES_IF(true, *l) LOCKS_UNCHECKED
{
    uint32_t word = LATCH_FREE;
    /* pair(latch.word) */
    bool taken = atomic_compare_exchange_strong_explicit(
        &l->word, &word, LATCH_HELD, memory_order_acquire, memory_order_relaxed);
    NIGH_DCHECK(!taken || latch_note_taken());
    return taken;
}

static inline void latch_lock(struct latch *l) ACQUIRES(*l)
{
    if (NIGH_UNLIKELY(!latch_try(l)))
        latch_lock_slow(l);
}

static inline void latch_unlock(struct latch *l) RELEASES(*l) LOCKS_UNCHECKED
{
    /* pair(latch.word) */
    uint32_t word = atomic_exchange_explicit(&l->word, LATCH_FREE, memory_order_release);
    NIGH_DCHECK(word != LATCH_FREE);
    if (NIGH_UNLIKELY(word == LATCH_AWAITED))
        latch_wake(l);
}

#endif
