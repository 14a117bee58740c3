/* SPDX-License-Identifier: MIT */
/*
 * A put with the ticket of a miss, in two parts: so that of many all are sent before the first is
 * waited for.
 */
#ifndef NIGH_CACHE_PUT_H
#define NIGH_CACHE_PUT_H

#include "cache/writing.h"

struct put_fill {
    struct writing *w;
    struct nigh_miss *miss; /* the caller's */
    struct l2_sync sync;
    bool sent;              /* it is to be waited for */
    bool refused;           /* ... or could not be sent */
};

/* Take the ticket's place in the draft, and send the fill if L2 may have it. */
void put_fill_begin(struct put_fill *f, struct writing *w, struct nigh_miss *miss,
                    uint64_t deadline_ns);
/* Wait for it, and fill L1. Returns what nigh_put() does. Whatever that is, the ticket's lease is
 * gone afterwards. */
int put_fill_end(struct put_fill *f);

/* Put where there is no Redis. Returns what nigh_put() does. */
int put_l1_only(struct writing *w);

/* Whether L2 takes the value; else a put deletes what is there. */
bool put_fits_l2(const struct writing *w);

/* Begin the writing of a put, whose key and call are good. If that fails the ticket has been given
 * back. `value.data` NULL: an absence, for which there must be a ticket. */
int put_begin(struct writing *w, struct nigh_space *space, const void *key, size_t key_len,
              struct bytes value, const struct nigh_call *call);

#endif
