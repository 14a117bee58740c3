/* SPDX-License-Identifier: MIT */
/*
 * A put with the ticket of a miss, in two parts: so that of many all are sent before the first is
 * waited for.
 */
#ifndef NIGH_CACHE_WRITE_PUT_H
#define NIGH_CACHE_WRITE_PUT_H

#include "cache/write/writing.h"

struct put_fill {
    struct writing *w;
    struct nigh_miss *miss; /* the caller's */
    struct l2_sync sync;
    bool sent;              /* has to be waited for */
    bool refused;           /* ... or could not be sent */
};

/* Take the ticket's place in the draft, and send the fill if L2 may have it. */
void put_fill_begin(struct put_fill *f, struct writing *w, struct nigh_miss *miss,
                    uint64_t deadline_ns);
/* Wait for it, and fill L1. Returns what nigh_put() does. Whatever that is, the ticket's lease is
 * gone afterwards. */
int put_fill_end(struct put_fill *f);
/* Put in the background, with the ticket in `call`. Returns what nigh_put() does. */
int put_fill_behind(struct writing *w, const struct nigh_call *call);

/* Put where there is no Redis. Returns what nigh_put() does. */
int put_l1_only(struct writing *w);

/* Wait for the first that Redis tells, if values of the space go there: one that is sent before is
 * too old for other nodes. Returns whether a value may be sent. */
bool put_may_send(const struct nigh_space *space, uint64_t deadline_ns);
/* Give the value what names it in Redis, where no lease does. */
void put_name(struct writing *w);
/* Returns how a put without a ticket changes Redis; L2_DELETE: the value is too large. */
enum l2_change_mode put_mode(const struct writing *w);
/* Put a value that was named, and wait; `sends` as put_may_send() says. Returns what nigh_put()
 * does. */
int put_in_front(struct writing *w, bool sends, const struct nigh_call *call);
/* Put in the background, without a ticket. Returns what nigh_put() does; with a waiter: as
 * writing_change_behind(). */
int put_behind(struct writing *w, const struct nigh_call *call, struct coherence_waiter *waiter);

/* Whether a call for many pairs fits. What is said of one value its pair says. */
bool put_many_may(const struct nigh_pair *pairs, size_t count, const struct nigh_call *call,
                  const int *ret_outcomes);

/* Begin the writing of a put, whose key and call are good. If that fails the ticket has been given
 * back. `value.data` NULL: an absence, for which there must be a ticket. */
int put_begin(struct writing *w, struct nigh_space *space, const void *key, size_t key_len,
              struct bytes value, const struct nigh_call *call);

#endif
