/* SPDX-License-Identifier: MIT */
/*
 * A lock of one word, for short sections that are entered often: a shard's.
 *
 *     0 free | 1 held | 2 held, and somebody may be asleep for it
 *
 * A pthread mutex asks for its kind, notes owner and count, and is called: 62 instructions to enter
 * and leave when nobody is there, a fifteenth of a put. This is ten of them, inlined. What is given
 * up: it does not know who holds it, so who locks twice sleeps for ever and nobody says so, and
 * checkers know no order of such locks. (lib/README.md has the order.)
 *
 * Ordering: entered with acquire, left with release (pair(latch.word)), so each holder sees what
 * those before it wrote. That is all that ThreadSanitizer wants, too.
 *
 * Why nobody sleeps for ever. A thread sleeps only while the word is 2, which the kernel compares
 * in one step with going to sleep; who leaves takes the word to 0 in one step, and if it was 2
 * wakes one. Who was asleep enters with 2, for there may be others: that is one wake in vain at
 * most, when there were none. (test/model/latch.pml tries every interleaving.)
 *
 * Not fair, as a mutex is not: who comes by takes a free one before those that are being woken.
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

/* Zeroed is free. Keys: (a) atomic, pair(latch.word) */
struct latch {
    _Atomic uint32_t word; /* (a) */
};

/* Waiting and waking; whoever wants to know how long one waits asks here. Leave errno alone. */
NIGH_OUTLINED void latch_lock_slow(struct latch *l);
NIGH_OUTLINED void latch_wake(struct latch *l);

/* How many this thread has taken, for tests of what an operation costs: Debug builds count them. */
uint64_t latch_taken(void);
bool latch_note_taken(void);

/* False: somebody has it. */
static inline bool latch_try(struct latch *l)
{
    uint32_t word = LATCH_FREE;
    /* pair(latch.word) */
    bool taken = atomic_compare_exchange_strong_explicit(
        &l->word, &word, LATCH_HELD, memory_order_acquire, memory_order_relaxed);
    NIGH_DCHECK(!taken || latch_note_taken());
    return taken;
}

static inline void latch_lock(struct latch *l)
{
    if (NIGH_UNLIKELY(!latch_try(l)))
        latch_lock_slow(l);
}

static inline void latch_unlock(struct latch *l)
{
    /* pair(latch.word) */
    uint32_t word = atomic_exchange_explicit(&l->word, LATCH_FREE, memory_order_release);
    NIGH_DCHECK(word != LATCH_FREE);
    if (NIGH_UNLIKELY(word == LATCH_AWAITED))
        latch_wake(l);
}

#endif
