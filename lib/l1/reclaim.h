/* SPDX-License-Identifier: MIT */
/*
 * The passes of the reclaimer: l1_reclaim() takes what is in limbo over a grace period.
 *
 *     a pass:   visit the marked shards: free ready entries of idle ones, list retired ones
 *               --> grace period --> judge all at once --> file them, shard by shard
 */
#ifndef NIGH_L1_RECLAIM_H
#define NIGH_L1_RECLAIM_H

#include "l1/core.h"

/* Bytes of the sets in which the reclaimer notes shards; and making them in such memory. */
size_t reclaim_sets_bytes(uint32_t shards);
void reclaim_init_sets(struct l1 *l1, void *zeroed);

#endif
