// SPDX-License-Identifier: MIT
/*
 * Drawing distances, and moving their mean.
 */
#include "stats/pace.h"

#include <stdbool.h>

#include "base/base.h"

/* Draws a number below `below`, which is not 0. Marsaglia's xorshift: a few instructions, and good
 * enough to be no pattern. */
static uint32_t draw(uint64_t *random, uint32_t below)
{
    uint64_t x = *random;
    if (!x)
        x = (uint64_t)(uintptr_t)random ^ HASH_GOLDEN;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *random = x;
    return (uint32_t)(x >> 32) % below;
}

static void begin_window(struct pace *p, uint64_t now_ns)
{
    p->since_ns = now_ns;
    p->taken = 0;
}

/* Halves the mean for each window that is over, if they have brought few. */
static void slow_down(struct pace *p, uint64_t windows)
{
    for (; windows > 0 && p->mean > 1 && p->taken < PACE_FEW * windows; windows--)
        p->mean /= 2;
}

static void adapt(struct pace *p, uint32_t most, uint64_t now_ns)
{
    p->taken++;
    if (p->taken >= PACE_MANY && p->mean < most) {
        p->mean = p->mean * PACE_GROWTH < most ? p->mean * PACE_GROWTH : most;
        begin_window(p, now_ns);
    } else if (now_ns - p->since_ns >= PACE_WINDOW_NS) { /* or the clock went back: wraps */
        if (now_ns > p->since_ns)
            slow_down(p, (now_ns - p->since_ns) / PACE_WINDOW_NS);
        begin_window(p, now_ns);
    }
}

uint32_t pace_next(struct pace *p, uint64_t *random, uint32_t most, uint64_t now_ns)
{
    if (p->mean == 0) {
        p->mean = 1;
        begin_window(p, now_ns);
    }
    uint32_t stands_for = p->mean;
    adapt(p, most, now_ns);
    p->in = p->mean == 1 ? 1 : p->mean / 2 + draw(random, p->mean + 1);
    return stands_for;
}
