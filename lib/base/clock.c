// SPDX-License-Identifier: MIT
/*
 * The kernel's clocks, and deadlines that cannot wrap.
 *
 * CLOCK_MONOTONIC stands still while the machine is suspended but not while the process is stopped,
 * which is what trust needs: a stopped process must wake up distrusting what it holds.
 */
#include "base/clock.h"

uint64_t clock_coarse_step_ns(const struct clock *c)
{
    struct timespec step = {0, 0};
    if (c->read)
        return 0; /* an injected clock is exact by definition */
    clock_getres(CLOCK_MONOTONIC_COARSE, &step);
    return (uint64_t)step.tv_sec * NS_PER_S + (uint64_t)step.tv_nsec;
}

uint64_t clock_deadline_ns(const struct clock *c, uint32_t ms)
{
    if (ms == UINT32_MAX)
        return CLOCK_NEVER_NS;
    uint64_t now = clock_now_ns(c), wait = ms * NS_PER_MS;
    return now > CLOCK_NEVER_NS - wait ? CLOCK_NEVER_NS : now + wait;
}
