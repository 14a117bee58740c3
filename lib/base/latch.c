// SPDX-License-Identifier: MIT
/*
 * Waiting for a latch, and waking.
 *
 * A latch is held for less time than the system calls of a sleep take. So a waiter spins for a
 * while first, and writes the word only when it has seen it free, for a write would take the cache
 * line away from the holder.
 */
#include "base/latch.h"

#include <errno.h>

#include "base/clock.h"
#include "base/park.h"

/* Bounds a waiter's looks, with a pause of some 40 ns each: several times as long as a put holds
 * the latch. */
#define LOOKS 100u

#if defined(__x86_64__)
#define PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define PAUSE() __asm__ volatile("isb") /* arm64's `yield` takes no time */
#else
#define PAUSE() ((void)0)
#endif

static bool try_looking(struct latch *l) ACQUIRES_IF(true, *l)
{
    for (uint32_t looks = 0; looks < LOOKS; looks++) {
        if (atomic_load_explicit(&l->word, memory_order_relaxed) == LATCH_FREE && latch_try(l))
            return true;
        PAUSE();
    }
    return false;
}

void latch_lock_slow(struct latch *l) LOCKS_UNCHECKED
{
    if (try_looking(l))
        return;
    int before = errno;
    /* pair(latch.word): as in latch_try(), but AWAITED makes the next unlock wake a waiter */
    while (atomic_exchange_explicit(&l->word, LATCH_AWAITED, memory_order_acquire) != LATCH_FREE)
        park_futex.wait(NULL, &l->word, LATCH_AWAITED, CLOCK_NEVER_NS);
    NIGH_DCHECK(latch_note_taken());
    errno = before;
}

void latch_wake(struct latch *l)
{
    int before = errno;
    park_futex.wake(NULL, &l->word, 1);
    errno = before;
}

/* ---- counted in Debug builds ---- */

static _Thread_local uint64_t taken;

bool latch_note_taken(void)
{
    taken++;
    return true;
}

uint64_t latch_taken(void)
{
    return taken;
}
