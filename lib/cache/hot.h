/* SPDX-License-Identifier: MIT */
/*
 * Which keys of a space are hit most, missed most and changed most, and which tags and spaces are
 * invalidated most (hot.keys): samples of requests into summaries (top.h), which nigh_hot() reads.
 *
 * What is sampled is requests, each as likely as any other; not keys, of which a sample (sample.h)
 * would lack 63 of 64. Of few requests all are taken, of many one in so many (stats/pace.h). Hits
 * are of the sample that is timed, so a hit has no step more for this. Misses and changes, which
 * take microseconds, are counted off here; of the misses that are sampled it is also noted where
 * they come from (misses.h), whether keys are told or not.
 */
#ifndef NIGH_CACHE_HOT_H
#define NIGH_CACHE_HOT_H

#include "cache/cache.h"

#define HOT_MISS_ONE_IN 16u  /* at most */
#define HOT_CHANGE_ONE_IN 8u /* at most */

/* Note a hit of the sample, which stands for so many. Threads: any. Locks: a leaf, if free. */
void hot_hit(struct nigh_space *space, const void *key, size_t key_len, uint32_t stands_for);

/* Events of this thread until the next that is noted. */
struct hot_self {
    struct pace miss, change, group;
    uint64_t random;
};
extern NIGH_HIDDEN _Thread_local struct hot_self hot_self;
NIGH_OUTLINED void hot_note_miss(struct nigh_space *space, const struct l1_key *key, bool probe);
NIGH_OUTLINED void hot_note_change(struct nigh_space *space, const struct l1_key *key);

/* Note a read that L1 has not answered (`probe`: and that looks no further, so nothing was missed
 * that it should have had), or a key that was invalidated or changed, here or by
 * another node; some of them. Threads: any. Locks: a leaf, if free. */
static inline void hot_miss(struct nigh_space *space, const struct l1_key *key, bool probe)
{
    if (--hot_self.miss.in == 0)
        hot_note_miss(space, key, probe);
}
static inline void hot_change(struct nigh_space *space, const struct l1_key *key)
{
    if (space->cache->hot_keys && --hot_self.change.in == 0)
        hot_note_change(space, key);
}
/* Note a tag or a space that was invalidated, or that all was; some of them. As above. */
void hot_group(struct nigh *cache, enum wire_kind kind, struct bytes name);

/* A group's key in its summary: a letter for its kind, and its name. */
enum { HOT_TAG = 't', HOT_SPACE = 's', HOT_ALL = 'a' };

void hot_init(struct nigh_space *space);
void hot_fini(struct nigh_space *space);
void hot_groups_init(struct nigh *cache);
void hot_groups_fini(struct nigh *cache);

#endif
