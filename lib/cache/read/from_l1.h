/* SPDX-License-Identifier: MIT */
/*
 * Reading L1 when it may be no plain hit: read_l1() finds, judges and pins an entry in one read
 * section. (The plain hit pins what it finds, and judges it after that: hit.h.)
 */
#ifndef NIGH_CACHE_READ_FROM_L1_H
#define NIGH_CACHE_READ_FROM_L1_H

#include "cache/value/freshness.h"

#define FLAGS_OF(call) ((call) ? (call)->flags : 0u)

/* Notes about a read, for what is done when its section has ended. */
struct read_notes {
    bool copied;  /* the value is a copy: count it */
    bool refresh; /* stale, and worth a refresh */
};

/* Judge the found entry in full, and hand it out if it may be. Returns an outcome, or
 * NIGH_ENOMEM. */
NIGH_OUTLINED int read_judged_rcu(struct nigh_space *space, struct l1_entry *e,
                                  const struct nigh_call *call, const struct moment *moment,
                                  struct nigh_value *ret, struct read_notes *notes);
/* Count the outcome of a read. Not in a section: a thread's first count takes a lock. */
void read_count(struct nigh_space *space, const struct nigh_call *call, int outcome,
                const struct read_notes *notes);
/* Count reads that L1 did not answer: by the rule in stats/counters.h. */
void read_count_missed(struct nigh_space *space, const struct nigh_call *call, uint64_t count);
/* Read L1, whatever is there. NIGH_MISS: nothing that this call may have; `ret` is then
 * untouched. */
int read_l1(struct nigh_space *space, const struct l1_key *key, const struct nigh_call *call,
            struct nigh_value *ret, bool *ret_refresh);

#endif
