/* SPDX-License-Identifier: MIT */
/*
 * Where misses come from, for people who ask why there are so many: keys that L1 has no trace of,
 * keys that do not exist, values that grew too old, were evicted or invalidated.
 *
 * What became of a key that is not in L1, its fates tell (l1.h), as far as they reach: a key whose
 * fate is forgotten counts as new. What is in L1 and was no answer is looked at. That is done for
 * the misses that hot keys are sampled from (hot.h): every one while they are few, one in 16 when
 * they are many. Probes (NIGH_L1_ONLY) are no misses, and none of these. Which keys do not exist is
 * known at the end of a miss, and counted each time.
 */
#ifndef NIGH_CACHE_MISSES_H
#define NIGH_CACHE_MISSES_H

#include "cache/cache.h"

/* Note a read that L1 has not answered, and that stands for so many. Threads: any. Locks: none. */
void misses_note(struct nigh_space *space, const struct l1_key *key, uint32_t stands_for);

/* Count a read that L1 has not answered, and that ends with "does not exist". Threads: any. */
static inline void misses_count_absent(struct nigh_space *space, const struct nigh_call *call)
{
    if (!call || !(call->flags & (NIGH_QUIET | NIGH_REFRESH)))
        stats_count(&space->stats, STATS_MISS_ABSENT);
}

#endif
