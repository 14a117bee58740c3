/* SPDX-License-Identifier: MIT */
/*
 * A read that L1 has not answered, and the four ways on from there.
 *
 *                 waits                         is PENDING, and completed on a queue
 *     get         get.c: asks L2                async_get.c
 *     fetch       fetch.c: leads or follows     async.c
 *                 a flight
 *
 * read.c comes here when it has looked in L1 and counted the miss. It also counts a read that
 * fails, and sends what the way has left unsent.
 */
#ifndef NIGH_CACHE_READ_MISSED_H
#define NIGH_CACHE_READ_MISSED_H

#include "cache/cache.h"

/* A read, as far as it has come. */
struct missed {
    struct nigh_space *space;
    const struct nigh_call *call; /* may be NULL */
    struct nigh_queue *queue;     /* for a call that does not wait; NULL: it does */
    void *arg;                    /* ... for its completion */
    uint64_t *ret_id;             /* ... written before the completion can be handed out; or NULL */
    struct l1_key key;
};

/* Goes on. An outcome (`ret` is written if that has a value), NIGH_PENDING, or an error. */
typedef int missed_fn(const struct missed *m, struct nigh_value *ret);

int get_missed(const struct missed *m, struct nigh_value *ret);
int fetch_missed(const struct missed *m, struct nigh_value *ret);
int async_get_missed(const struct missed *m, struct nigh_value *ret);
int async_fetch_missed(const struct missed *m, struct nigh_value *ret);

#endif
