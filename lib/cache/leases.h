/* SPDX-License-Identifier: MIT */
/*
 * Leases of running loads: the keeper extends each every third of its time (rule 5).
 */
#ifndef NIGH_CACHE_LEASES_H
#define NIGH_CACHE_LEASES_H

#include <pthread.h>
#include <stdint.h>

#include "base/base.h"

struct l1_key;
struct load;
struct nigh;
struct nigh_space;

/* Keys: (l) lock */
struct leases {
    pthread_mutex_t lock;  /* leaf lock */
    struct load *first;    /* (l) loads that run under a lease now */
};

void leases_init(struct leases *l);
void leases_fini(struct leases *l);
/* From the start of a load under a lease to its end. */
void leases_add(struct leases *l, struct load *load, uint64_t now_ns, uint32_t lease_ms);
void leases_remove(struct leases *l, struct load *load);
/* Release the lease, or a writer's fence, of this token: whoever waits for it looks again. Nobody
 * waits for the answer; if it cannot be sent its time ends it. */
void leases_give_back(struct nigh_space *space, const struct l1_key *key, uint64_t token);
/* Keeper: send the extensions that are due. Returns when the next one is. */
uint64_t leases_extend(struct nigh *cache);

#endif
