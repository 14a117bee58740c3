// SPDX-License-Identifier: MIT
/*
 * Parking on a futex, with absolute deadlines.
 *
 * Deadlines are absolute because a relative wait that a signal interrupts would begin anew, and
 * because the deadline of a call is one point in time however often it parks. FUTEX_WAIT_BITSET
 * takes an absolute time, on CLOCK_MONOTONIC, the clock of clock_now_ns().
 *
 * A host may bring a clock of its own (arg). Then the time that is left until the deadline is
 * carried over to the kernel's clock. A sleep that ends too early by the host's clock is a spurious
 * wake-up, which callers expect.
 */
#include "base/park.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <nigh/error.h>

#include "base/clock.h"

static uint64_t kernel_deadline_ns(const struct clock *clock, uint64_t deadline_ns)
{
    uint64_t now = clock_now_ns(clock), kernel_now = clock_kernel_ns(CLOCK_MONOTONIC);
    uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
    return left < CLOCK_NEVER_NS - kernel_now ? kernel_now + left : CLOCK_NEVER_NS;
}

static int futex_wait(void *arg, _Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
    const struct clock *clock = arg;
    bool foreign = clock && clock->read && deadline_ns != CLOCK_NEVER_NS;
    uint64_t until = foreign ? kernel_deadline_ns(clock, deadline_ns) : deadline_ns;
    struct timespec at = {(time_t)(until / NS_PER_S), (long)(until % NS_PER_S)};

    long rc = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, expected,
                      until == CLOCK_NEVER_NS ? NULL : &at, NULL, FUTEX_BITSET_MATCH_ANY);
    if (rc == 0 || errno != ETIMEDOUT)
        return 0;
    return foreign && clock_now_ns(clock) < deadline_ns ? 0 : NIGH_ETIMEDOUT;
}

static void futex_wake(void *arg, _Atomic uint32_t *word, int count)
{
    (void)arg;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count);
}

static void futex_yield(void *arg)
{
    (void)arg;
    sched_yield();
}

const struct park park_futex = {futex_wait, futex_wake, futex_yield, NULL};
