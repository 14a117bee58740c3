// SPDX-License-Identifier: MIT
/*
 * Ending what was timed, and what the clock itself takes.
 *
 * Between the two looks at the clock there is the work, and once what one look takes: the half of
 * the first after it has read the time, the half of the second before. On virtual machines that is
 * 20 to 50 ns, as much as a hit. The least of some looks is what it takes when nothing else comes
 * between.
 */
#include "cache/latency.h"

#define LOOKS 64

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint64_t look_ns; /* written once */

static void measure(void)
{
    uint64_t least_ns = UINT64_MAX;
    for (int i = 0; i < LOOKS; i++) {
        uint64_t from_ns = clock_kernel_ns(CLOCK_MONOTONIC);
        least_ns = u64_min(least_ns, clock_kernel_ns(CLOCK_MONOTONIC) - from_ns);
    }
    look_ns = least_ns;
}

void latency_prepare(void)
{
    pthread_once(&once, measure);
}

/* A clock of the host may have gone back. */
static uint64_t since(const struct nigh_space *space, uint64_t began_ns)
{
    uint64_t now_ns = clock_now_ns(&space->cache->clock);
    return now_ns - u64_min(now_ns, began_ns);
}

void latency_end(struct nigh_space *space, enum stats_histogram h, uint64_t began_ns)
{
    if (began_ns)
        stats_time(&space->stats, h, since(space, began_ns));
}

void latency_end_hit(struct nigh_space *space, uint64_t began_ns)
{
    if (!began_ns)
        return;
    uint64_t took_ns = since(space, began_ns);
    uint64_t clock_ns = space->cache->clock.read ? 0 : look_ns; /* the host's is as it says */
    stats_time(&space->stats, STATS_LATENCY_L1, took_ns - u64_min(took_ns, clock_ns));
}
