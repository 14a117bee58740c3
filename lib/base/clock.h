/* SPDX-License-Identifier: MIT */
/*
 * Time, as nanoseconds since an arbitrary start that never goes back.
 *
 * A hit reads the kernel's coarse clock (4 ms steps, ~5 ns a read), and compares trust and TTL with
 * it. That clock keeps running while the process is stopped, which a word advanced by a thread of
 * ours would not. Deadlines read the precise clock. A test installs `read`, and both clocks give
 * its time. Wall time is only shown to people; nothing is ever decided by it.
 */
#ifndef NIGH_BASE_CLOCK_H
#define NIGH_BASE_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/check.h"

#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull
#define CLOCK_NEVER_NS UINT64_MAX /* a deadline that does not come */

/* Keys: (c) constant after init. */
struct clock {
    uint64_t (*read)(void *arg); /* (c) NULL: the kernel's clocks */
    void *arg;                   /* (c) */
};

/*
 * The host's clock, behind `read`. It may begin at any number, as a wall clock does; ours begins at
 * CLOCK_HOOK_START_NS and advances by as much as the host's. A host's clock that goes back makes
 * ours go back, to 0 at most.
 */
struct clock_hook {
    uint64_t (*read)(void *arg); /* (c) */
    void *arg;                   /* (c) */
    uint64_t began_ns;           /* (c) the host's time at clock_hook_init() */
};

/* A year: longer than any value lives, so that no time before the start is needed, and far from
 * the end of 64 bits. */
#define CLOCK_HOOK_START_NS (UINT64_C(1) << 55)

void clock_hook_init(struct clock_hook *hook, uint64_t (*read)(void *arg), void *arg);
/* The `read` of a struct clock whose `arg` is the hook. */
uint64_t clock_hook_ns(void *hook);

typedef int clock_gettime_fn(clockid_t id, struct timespec *ret);

/* clock_gettime(), or the kernel's function behind it: see clock_find_direct(). Every hit reads the
 * pointer, so it has a cache line of its own. */
struct clock_direct {
    _Alignas(CACHE_LINE_BYTES) _Atomic(clock_gettime_fn *) gettime;
};
extern NIGH_HIDDEN struct clock_direct clock_direct;

/* Find the kernel's own function, in the page of code that it maps into every process (vDSO). A hit
 * in 10k entries then takes 0.92 of its time through libc. Idempotent; any thread. */
void clock_find_direct(void);

static inline uint64_t clock_kernel_ns(clockid_t id)
{
    struct timespec t;
    /* No error is looked for: every kernel that we run on has both monotonic clocks. */
    atomic_load_explicit(&clock_direct.gettime, memory_order_relaxed)(id, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

static inline uint64_t clock_coarse_ns(const struct clock *c)
{
    return NIGH_UNLIKELY(c->read) ? c->read(c->arg) : clock_kernel_ns(CLOCK_MONOTONIC_COARSE);
}

static inline uint64_t clock_now_ns(const struct clock *c)
{
    return c->read ? c->read(c->arg) : clock_kernel_ns(CLOCK_MONOTONIC);
}

/* Granularity of clock_coarse_ns(), from clock_getres: the delta of the trust bound. */
uint64_t clock_coarse_step_ns(const struct clock *c);

/* now + ms, saturating; ms == UINT32_MAX means never. */
uint64_t clock_deadline_ns(const struct clock *c, uint32_t ms);

#endif
