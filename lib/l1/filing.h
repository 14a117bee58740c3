/* SPDX-License-Identifier: MIT */
/*
 * Filing judged entries: to the held ones, the ready ones, or freed.
 */
#ifndef NIGH_L1_FILING_H
#define NIGH_L1_FILING_H

#include "l1/core.h"

/* File a judged batch, shard by shard, and empty it. REQUIRES(reclaim lock) */
void filing_file(struct l1 *l1, struct batch *b);

#endif
