/* SPDX-License-Identifier: MIT */
/*
 * Fault points: places where a test can make the next call fail.
 *
 * In Debug builds (NIGH_FAULTS) every allocation and socket call asks `fault_fires()` with its site
 * first. In Release it is a constant false and costs nothing. A test arms one site or all of them:
 * "the n-th time, once", which is how each allocation is failed in turn.
 */
#ifndef NIGH_BASE_FAULT_H
#define NIGH_BASE_FAULT_H

#include <stdbool.h>
#include <stdint.h>

enum fault_site {
    FAULT_ALLOC,
    FAULT_ADDRESS, /* an entry's memory lies at an address that does not fit into a bucket */
    FAULT_RENEW,   /* the allocator's statistics are not renewed */
    FAULT_SOCKET,
    FAULT_CONNECT,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_THREAD,
    FAULT_RENAME,  /* the file system cannot be told to replace nothing */
    FAULT_SITE_COUNT,
};

#if NIGH_FAULTS
/* Whether the call about to be made at `site` must fail now. Any thread. */
bool fault_fires(enum fault_site site);
/* Fail the n-th call (1 = next) at `site` from now on, once; n = 0 disarms. */
void fault_arm(enum fault_site site, uint64_t nth);
/* Calls seen at `site` since it was last armed: how many there are to fail. */
uint64_t fault_count(enum fault_site site);
#else
static inline bool fault_fires(enum fault_site site)
{
    (void)site;
    return false;
}
#endif

#endif
