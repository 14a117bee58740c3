/* SPDX-License-Identifier: MIT */
/*
 * Tickets: the leases that nigh_get() has taken for a put, and whose they are (rule 5).
 */
#ifndef NIGH_CACHE_TICKETS_H
#define NIGH_CACHE_TICKETS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

struct l1_key;
struct nigh;
struct nigh_miss;
struct nigh_space;
struct ticket;

#define TICKETS_CHAINS 256u

/* Keys: (l) lock  (a) atomic, relaxed: who looks for his own has counted it himself */
struct tickets {
    pthread_mutex_t lock;                   /* leaf lock */
    _Atomic uint32_t count;                 /* (a) */
    uint64_t look_at_ns;                    /* (l) when the keeper looks through them next */
    struct ticket *chains[TICKETS_CHAINS];  /* (l) by the key's hash, newest first */
};

void tickets_init(struct tickets *t);
void tickets_fini(struct tickets *t, struct mem *mem);

/* Before the lease of this token is asked for. False: no room for one more, so it is not to be. */
bool tickets_add(struct nigh_space *space, const struct l1_key *key, uint64_t token);
/* The lease is gone, or it never came to be. */
void tickets_remove(struct nigh_space *space, const struct l1_key *key, uint64_t token);
/* Give the lease back, if the ticket has one: it is used up then. */
void tickets_give_back(struct nigh_space *space, const struct l1_key *key, struct nigh_miss *miss);
/* The same for what this thread still holds of the key: it is about to ask for it anew, and would
 * wait for itself. */
void tickets_give_back_own(struct nigh_space *space, const struct l1_key *key);
/* The same for those of threads that have ended: nobody will come back for them. True: there was
 * one of this key. */
bool tickets_give_back_orphans(struct nigh_space *space, const struct l1_key *key);
/* The same for all that there are. */
void tickets_give_back_all(struct nigh *cache);
/* Keeper: those of threads that have ended, and those that time has ended. Returns when to come
 * again. */
uint64_t tickets_keep(struct nigh *cache);

#endif
