/* SPDX-License-Identifier: MIT */
/*
 * Tickets: the leases that nigh_get() has taken for a put, and whose they are (rule 5).
 */
#ifndef NIGH_CACHE_WRITE_TICKETS_H
#define NIGH_CACHE_WRITE_TICKETS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/base.h"

struct l1_key;
struct nigh;
struct nigh_miss;
struct nigh_space;
struct ticket;

#define TICKETS_CHAINS 256u

/* Keys: (l) lock  (a) atomic, relaxed: a thread that looks for its own has counted it itself */
struct tickets {
    pthread_mutex_t lock;                   /* a leaf */
    _Atomic uint32_t count;                 /* (a) */
    uint64_t look_at_ns;                    /* (l) when the keeper looks through them next */
    struct ticket *chains[TICKETS_CHAINS];  /* (l) by the key's hash, newest first */
};

/* The thread whose a ticket is. */
struct ticket_holder {
    uint64_t thread; /* as flights know it */
    pid_t number;    /* as the kernel does */
};
/* Returns the calling thread. */
struct ticket_holder tickets_holder(void);

void tickets_init(struct tickets *t);
void tickets_fini(struct tickets *t, struct mem *mem);

/* List a token before its lease is asked for. False: there is no room for it, so do not ask. */
bool tickets_add(struct nigh_space *space, const struct l1_key *key, uint64_t token,
                 const struct ticket_holder *holder);
/* Take a token off the list: its lease is gone, or never came to be. */
void tickets_remove(struct nigh_space *space, const struct l1_key *key, uint64_t token);
/* Whether a token is on the list. */
bool tickets_has(struct nigh_space *space, const struct l1_key *key, uint64_t token);
/* Give back the lease of a ticket, if it has one; the ticket is used up then. */
void tickets_give_back(struct nigh_space *space, const struct l1_key *key, struct nigh_miss *miss);
/* Give back the tickets that this thread still has of the key: it is about to ask for the key anew,
 * and would wait for itself. */
void tickets_give_back_own(struct nigh_space *space, const struct l1_key *key);
/* Give back the key's tickets of threads that have ended: nobody will come back for them. True:
 * there was one. */
bool tickets_give_back_orphans(struct nigh_space *space, const struct l1_key *key);
/* Give back all tickets. */
void tickets_give_back_all(struct nigh *cache);
/* Keeper: give back the tickets of threads that have ended, and those whose time is over. Returns
 * when to come again. */
uint64_t tickets_keep(struct nigh *cache);

#endif
