/* SPDX-License-Identifier: MIT */
/*
 * Reading L2 for who does not load, in two steps: so that many keys can be asked for at once.
 */
#ifndef NIGH_CACHE_READ_L2_H
#define NIGH_CACHE_READ_L2_H

#include "cache/cache.h"

/* One request under way. It stays where it is until its end. */
struct read_l2 {
    uint64_t ticket; /* taken before the request (rule 1) */
    uint64_t deadline_ns;
    struct l2_sync sync;
};

/* Take ticket and deadline; with call->miss the ticket is written there. A bulk call takes one, and
 * copies it. */
void read_l2_init(struct nigh_space *space, const struct nigh_call *call, struct read_l2 *ret);
/* Ask. 0: read_l2_end() must follow. NIGH_MISS: L2 may not be asked. Errors: as nigh_get(). */
int read_l2_begin(struct nigh_space *space, const struct l1_key *key, struct read_l2 *r);
/* Wait for the answer and take it. An outcome (`ret` written but on NIGH_MISS), or an error. With
 * call->miss a miss takes the lease, if it is free. */
int read_l2_end(struct nigh_space *space, const struct l1_key *key, const struct nigh_call *call,
                struct read_l2 *r, struct nigh_value *ret);

#endif
