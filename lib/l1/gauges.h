/* SPDX-License-Identifier: MIT */
/*
 * The gauge that is read for a shrink, too: bytes that the arena does not know of.
 */
#ifndef NIGH_L1_GAUGES_H
#define NIGH_L1_GAUGES_H

#include "l1/core.h"

/* Read the gauges of one table, without those of the tables apart; but for cap_bytes. */
void gauges_read_own(struct l1 *l1, unsigned which, struct l1_gauges *ret);
/* Sum up the whole pages outside the arena: floors, shards, large tables and arrays. */
uint64_t gauges_pages_bytes(struct l1 *l1);

#endif
