/* SPDX-License-Identifier: MIT */
/*
 * From unlinked to free: what a retired entry passes through.
 *
 *     retired --(grace period begins)--> waiting --(it ends)--> is it held?
 *         no:  ready   freed by the next writers of the shard, 16 at a time, or by the next pass
 *         yes: held    looked at again in every pass
 *
 * "Held" is decided once, for a batch: first the references of all, then the slots of all pins
 * (pin.h says why in this order). After a grace period nobody can find the entry any more, so
 * what is not held then will never be: "ready" is final, and a writer frees it without a look.
 * Writers free so that memory is used again by the core that has it in its cache, and so that the
 * reclaimer is no bottleneck. Old tables go the same way but are never held.
 *
 * Limbo (retired, waiting, ready) is bounded: at its cap nobody evicts or replaces, and inserts are
 * dropped. Dropping an invalidation is no choice. What is removed then is unlinked at once, but set
 * aside: charged as live, as it was, so that it makes no room, until it is freed. A shard that has
 * set something aside stores nothing: so while no reader leaves, there is never more garbage than
 * limbo's cap and what was live when it was reached, however long writers rage.
 *
 *     aside --(grace period)--> held, or freed at once by the reclaimer
 *
 * Held bytes count as live too: an application that pins for long gets a smaller cache, not one
 * that cannot evict.
 */
#ifndef NIGH_L1_RECLAIM_H
#define NIGH_L1_RECLAIM_H

#include "l1/shard.h"

/* Put a live slot, already unlinked, into limbo. Never fails. Returns its bytes. */
uint64_t reclaim_retire_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot);
/* The same when limbo is full and it cannot wait. */
void reclaim_set_aside_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot);
void reclaim_retire_table_locked(struct l1 *l1, struct l1_shard *s, struct l1_table *t);
/* Free up to `most` entries that are ready. */
void reclaim_free_ready_locked(struct l1 *l1, struct l1_shard *s, uint32_t most);
/* All that are ready, in portions; the caller holds no lock. */
void reclaim_free_all_ready(struct l1 *l1, struct l1_shard *s);
/* Whether evicting and replacing must stop. */
bool reclaim_limbo_full(const struct l1 *l1);

/* Whether the shard has set something aside, so that nothing may be stored in it. */
static inline bool reclaim_has_aside_locked(const struct l1_shard *s)
{
    return s->aside.head != RING_NONE || s->aside_waiting.head != RING_NONE;
}
/* All that waits for a grace period, or to be freed after it. */
uint64_t reclaim_waiting_bytes(const struct l1 *l1);

#endif
