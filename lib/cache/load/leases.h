/* SPDX-License-Identifier: MIT */
/*
 * Leases: for how long a space takes one, how those of running loads are extended by the keeper,
 * each every third of its time (rule 5), and how they are given back.
 */
#ifndef NIGH_CACHE_LOAD_LEASES_H
#define NIGH_CACHE_LOAD_LEASES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

struct l1_key;
struct l2_answer;
struct load;
struct nigh;
struct nigh_space;

/* Keys: (l) lock */
struct leases {
    pthread_mutex_t lock;    /* under it only the queue lock of l2 */
    struct list loads;       /* (l) loads that run under a lease now */
    uint64_t extend_at_ns;   /* (l) when the keeper will look at them */
    struct fifo owed;        /* (l) releases that Redis may not have executed */
    uint32_t owed_count;     /* (l) */
};

void leases_init(struct leases *l);
void leases_fini(struct leases *l, struct mem *mem);
/* Returns the time for which this space takes a lease. */
uint32_t leases_time_ms(const struct nigh_space *space);
/* List a load under a lease, from its start to its end, so that the keeper extends the lease. */
void leases_add(struct leases *l, struct load *load, uint64_t now_ns);
void leases_remove(struct leases *l, struct load *load);
/* Whether a load that runs here has the lease of this token. */
bool leases_has(struct leases *l, uint64_t token);
/* Release the lease, or a writer's fence, of this token, whether or not Redis has it (yet): flights
 * that wait for it look again, here and on other nodes. Nobody waits for the answer. A release that
 * cannot be sent, or is lost with its connection, is sent again later. Never blocks. */
void leases_give_back(struct nigh_space *space, const struct l1_key *key, uint64_t token);
/* End the lease of a fill: give it back, unless Redis has executed the fill, which drops the lease,
 * stored or not. A fill that was lost, was late, or failed (a server that takes no writes) has left
 * it, perhaps. `answer` NULL: it was not sent. */
void leases_end_filled(struct nigh_space *space, const struct l1_key *key, uint64_t token,
                       const struct l2_answer *answer);
/* Keeper: send the extensions and the releases that are due. Returns when the next one is. */
uint64_t leases_keep(struct nigh *cache);

#endif
