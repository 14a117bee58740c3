/* SPDX-License-Identifier: MIT */
/*
 * Visits of the reclaimer to a shard for which one hold of its lock does not suffice.
 *
 * A shrink evicts thousands of entries in each of some shards, and a put would wait for all of them
 * (200 us at 16,384). So a hold lists no more than ERRAND_PER_HOLD; then the next of up to
 * SHARDS_BY_TURNS shards has its turn.
 */
#ifndef NIGH_L1_ERRAND_H
#define NIGH_L1_ERRAND_H

#include "l1/shard.h"

/* Entries listed, or filed, under one hold. */
#define ERRAND_PER_HOLD 256u

/* Work that is left in a visited shard: entries to be listed for the judge, ready ones to be
 * freed. */
struct errand {
    uint32_t index;
    uint32_t slot;  /* the next to be listed */
    uint8_t origin; /* JUDGE_ORIGINS: all is listed */
    bool frees;
};

/* Shards that are visited by turns. */
struct errands {
    uint32_t count;
    struct errand at[SHARDS_BY_TURNS];
};

/* Begin to list a shard's entries, from this origin on. */
void errand_begin_locked(struct errand *todo, struct l1_shard *s, uint32_t index,
                         enum judge_origin origin) REQUIRES(s->lock);
/* Put entries into the batch, while it has room and not too many under one hold. */
void errand_list_locked(struct l1 *l1, struct l1_shard *s, struct errand *todo) REQUIRES(s->lock);
/* Note the rest of a visit for which one hold did not suffice; enough of them are run together. */
void errands_add(struct l1 *l1, struct errands *errands, const struct errand *todo);
void errands_run(struct l1 *l1, struct errands *errands);

/* Free all ready entries of all shards, in portions; the caller holds no lock. */
void errand_free_all_ready(struct l1 *l1);

#endif
