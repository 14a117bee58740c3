/* SPDX-License-Identifier: MIT */
/*
 * One count of bytes under the cap, from which shards borrow in small portions.
 *
 * A share of the cap per shard would refuse values larger than the share; one shared counter would
 * be written by every insert of every thread. So each shard keeps a reserve (1/128 of a share) and
 * touches the count only when the reserve is used up or overflows.
 *
 * Nothing here evicts: room.h does.
 */
#ifndef NIGH_L1_BUDGET_H
#define NIGH_L1_BUDGET_H

#include "l1/shard.h"

/* Charge `bytes` without evicting: from the reserve, else borrowed. False: there is no room. */
bool budget_take_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes) REQUIRES(s->lock);
/* Give charged bytes back. */
void budget_give_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes) REQUIRES(s->lock);
/* Give back what the shard has borrowed and does not use: its reserve. */
void budget_return_spare_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock);
/* Charge bytes to the count of all shards, and give them back, past the shards' reserves. */
bool budget_borrow(struct l1 *l1, uint64_t bytes);
void budget_return(struct l1 *l1, uint64_t bytes);
/* Bytes that are charged and not in limbo. */
uint64_t budget_live_bytes(const struct l1 *l1);

#endif
