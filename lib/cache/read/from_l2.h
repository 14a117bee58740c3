/* SPDX-License-Identifier: MIT */
/*
 * Reading L2 for calls that do not load, in two steps: so that many keys can be asked for at once,
 * each alone or all in one request.
 */
#ifndef NIGH_CACHE_READ_FROM_L2_H
#define NIGH_CACHE_READ_FROM_L2_H

#include "cache/cache.h"

/* A request under way. The struct must not move before the request's end. */
struct read_l2 {
    uint64_t ticket; /* taken before the request (rule 1) */
    uint64_t deadline_ns;
    struct l2_sync sync;
};

/* Take ticket and deadline; with call->miss the ticket is written there. A bulk call takes one, and
 * copies it. */
void read_l2_init(struct nigh_space *space, const struct nigh_call *call, struct read_l2 *ret);
/* Whether L2 may be asked: 0, NIGH_MISS or NIGH_EOFFLINE. */
int read_l2_may(struct nigh_space *space, const struct l1_key *key);
/* Ask for a key that read_l2_may() allows. 0: read_l2_end() must follow. Errors: as nigh_get(). */
int read_l2_begin(struct nigh_space *space, const struct l1_key *key, struct read_l2 *r);
/* Wait for the answer and take it, as read_l2_take(). With call->miss a miss takes the lease, if it
 * is free. */
int read_l2_end(struct nigh_space *space, const struct l1_key *key, const struct nigh_call *call,
                struct read_l2 *r, uint64_t *ret_rejected, struct nigh_value *ret);

/* Take an answer: an outcome (`ret` written but on NIGH_MISS), or an error. *ret_rejected: the
 * value that was there and is not wanted, as a request for the lease names it. */
int read_l2_take(struct nigh_space *space, const struct l1_key *key, const struct nigh_call *call,
                 uint64_t ticket, const struct l2_answer *answer, uint64_t *ret_rejected,
                 struct nigh_value *ret);
/* Take the answer to a request for a ticket's lease. True: `miss` has it. Else the ticket is off
 * the list, and a lease that may have been granted, or be yet, is given back. */
bool read_l2_granted(struct nigh_space *space, const struct l1_key *key, uint64_t token,
                     const struct l2_answer *answer, struct nigh_miss *miss);

/* Ask for `count` (2 .. L2_MANY_MAX) keys in one request; read_l2_may() allows each of them. 0:
 * read_l2_many_wait() must follow. */
int read_l2_many_begin(struct nigh_space *space, const struct l1_key *keys, uint32_t count,
                       struct read_l2 *r);
/* Wait for the answer, from which the caller takes each key's part, and which it frees. NULL: there
 * is none, and *ret_error says why; NIGH_PENDING: ask for each alone. */
struct l2_answer *read_l2_many_wait(struct nigh_space *space, uint32_t count, struct read_l2 *r,
                                    int *ret_error);
/* Create memory for the values found of keys[from .. *ret_end), if they are not stored; NULL: each
 * has its own. The caller ends it with l1_shared_end(). */
struct l1_shared *read_l2_many_share(struct nigh_space *space, const struct l1_key *keys,
                                     uint32_t from, uint32_t count, struct l2_answer *answer,
                                     const struct nigh_call *call, uint32_t *ret_end);
/* Take the i-th part of the answer: as read_l2_take(), or NIGH_PENDING: ask for the key alone. */
int read_l2_many_take(struct nigh_space *space, const struct l1_key *key, uint32_t i,
                      struct l2_answer *answer, const struct nigh_call *call,
                      struct l1_shared *shared, uint64_t ticket, uint64_t *ret_rejected,
                      struct nigh_value *ret);

#endif
