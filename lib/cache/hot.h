/* SPDX-License-Identifier: MIT */
/*
 * Which keys of a space are hit most, missed most and changed most (hot.keys): samples of requests
 * into three summaries (top.h), which nigh_hot() reads.
 *
 * What is sampled is requests, each as likely as any other; not keys, of which a sample (sample.h)
 * would lack 63 of 64. Hits are those that are timed, about one in 1,024 of each thread, so a hit
 * has no step more for this. Misses and changes, which take microseconds, are counted off here.
 */
#ifndef NIGH_CACHE_HOT_H
#define NIGH_CACHE_HOT_H

#include "cache/cache.h"

#define HOT_HIT_ONE_IN 1024u
#define HOT_MISS_ONE_IN 16u
#define HOT_CHANGE_ONE_IN 8u

/* Note a hit of the sample. Threads: any. Locks: a leaf, if free. */
void hot_hit(struct nigh_space *space, const void *key, size_t key_len);

/* Requests of this thread until the next that is noted. */
struct hot_self {
    uint32_t miss_in, change_in;
    bool miss_begun, change_begun;
    uint64_t random;
};
extern NIGH_HIDDEN _Thread_local struct hot_self hot_self;
NIGH_OUTLINED void hot_note_miss(struct nigh_space *space, const struct l1_key *key);
NIGH_OUTLINED void hot_note_change(struct nigh_space *space, const struct l1_key *key);

/* Note a read that L1 has not answered, or a key that was invalidated or changed, here or by
 * another node; some of them. Threads: any. Locks: a leaf, if free. */
static inline void hot_miss(struct nigh_space *space, const struct l1_key *key)
{
    if (space->cache->hot_keys && --hot_self.miss_in == 0)
        hot_note_miss(space, key);
}
static inline void hot_change(struct nigh_space *space, const struct l1_key *key)
{
    if (space->cache->hot_keys && --hot_self.change_in == 0)
        hot_note_change(space, key);
}

void hot_init(struct nigh_space *space);
void hot_fini(struct nigh_space *space);

#endif
