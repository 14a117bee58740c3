/* SPDX-License-Identifier: MIT */
/*
 * Time, as nanoseconds since an arbitrary start that never goes back.
 *
 * A hit reads the kernel's coarse clock (4 ms steps, ~5 ns a read): it keeps running while the
 * process is stopped, which a word advanced by a thread of ours would not, and trust and TTL are
 * judged on it. Deadlines read the precise clock. A test installs `read` and both give its time.
 * Wall time serves people only; nothing is ever decided by it.
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
 * A clock of the host's, behind `read`. It may begin anywhere, as a wall clock does in the midst of
 * its numbers; ours begins at CLOCK_HOOK_START_NS and goes on by what the host's does. One that
 * goes back makes ours go back, to 0 at most.
 */
struct clock_hook {
    uint64_t (*read)(void *arg); /* (c) */
    void *arg;                   /* (c) */
    uint64_t began_ns;           /* (c) what it said first */
};

/* A year: longer ago than anything that a value lives, and long before times are at an end. */
#define CLOCK_HOOK_START_NS (UINT64_C(1) << 55)

void clock_hook_init(struct clock_hook *hook, uint64_t (*read)(void *arg), void *arg);
/* The `read` of a struct clock whose `arg` is the hook. */
uint64_t clock_hook_ns(void *hook);

typedef int clock_gettime_fn(clockid_t id, struct timespec *ret);

/* clock_gettime(), or what it calls itself: see clock_find_direct(). Read by every hit, so it has a
 * line of its own. */
struct clock_direct {
    _Alignas(CACHE_LINE_BYTES) _Atomic(clock_gettime_fn *) gettime;
};
extern NIGH_HIDDEN struct clock_direct clock_direct;

/* Find the kernel's own function, in the page of code that it maps into every process. A hit in 10k
 * entries takes 0.92 of its time without the way through libc. Idempotent; any thread. */
void clock_find_direct(void);

static inline uint64_t clock_kernel_ns(clockid_t id)
{
    struct timespec t;
    /* Both monotonic clocks exist in every kernel we run on. */
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
