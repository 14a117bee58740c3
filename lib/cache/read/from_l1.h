/* SPDX-License-Identifier: MIT */
/*
 * Reading L1 when it may be no plain hit: read_l1() finds, judges and pins an entry in one read
 * section. (The plain hit pins what it finds, and judges it after that: hit.h.)
 */
#ifndef NIGH_CACHE_READ_FROM_L1_H
#define NIGH_CACHE_READ_FROM_L1_H

#include "cache/value/freshness.h"

#define FLAGS_OF(call) ((call) ? (call)->flags : 0u)

/* Count reads that L1 did not answer: by the rule in stats/counters.h. */
void read_count_missed(struct nigh_space *space, const struct nigh_call *call, uint64_t count);
/* Read L1, whatever is there. NIGH_MISS: nothing that this call may have; `ret` is then
 * untouched. */
int read_l1(struct nigh_space *space, const struct l1_key *key, const struct nigh_call *call,
            struct nigh_value *ret, bool *ret_refresh);

#endif
