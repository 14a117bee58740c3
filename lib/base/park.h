/* SPDX-License-Identifier: MIT */
/*
 * Parking: a thread sleeps until a 32-bit word changes. The futex behind an interface.
 *
 * The kernel compares and sleeps in one step, so a wake between the caller's look at the word and
 * its sleep is never lost. Wake-ups may be spurious: callers loop on the word.
 *
 * A thread that needs another one to have run, but would rather go on without than wait for it,
 * yields instead.
 */
#ifndef NIGH_BASE_PARK_H
#define NIGH_BASE_PARK_H

#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>

#define PARK_ALL INT_MAX

/* Keys: (c) constant after init. */
struct park {
    int (*wait)(void *arg, _Atomic uint32_t *word, uint32_t expected,
                uint64_t deadline_ns);                          /* (c) */
    void (*wake)(void *arg, _Atomic uint32_t *word, int count); /* (c) */
    void (*yield)(void *arg);                                   /* (c) NULL: nobody else runs */
    void *arg;                                                  /* (c) */
};

/*
 * FUTEX_WAIT_BITSET on CLOCK_MONOTONIC / FUTEX_WAKE, process-private; sched_yield(). When deadlines
 * are times of another clock than the kernel's, `arg` in a copy of this struct points to that
 * `struct clock`.
 */
extern const struct park park_futex;

/**
 * Sleep while *word == expected, until woken or `deadline_ns` (clock_now_ns; CLOCK_NEVER_NS: none).
 *
 * Returns   0 woken, or the word differed, or spuriously; NIGH_ETIMEDOUT deadline passed
 */
static inline int park_wait(struct park *p, _Atomic uint32_t *word, uint32_t expected,
                            uint64_t deadline_ns)
{
    return p->wait(p->arg, word, expected, deadline_ns);
}

static inline void park_wake(struct park *p, _Atomic uint32_t *word, int count)
{
    p->wake(p->arg, word, count);
}

/* Let other threads run that are ready to. */
static inline void park_yield(struct park *p)
{
    if (p->yield)
        p->yield(p->arg);
}

#endif
