/* SPDX-License-Identifier: MIT */
/*
 * Leases of running loads: the keeper extends each every third of its time (COHERENCE rule 5).
 */
#ifndef NIGH_CACHE_LEASES_H
#define NIGH_CACHE_LEASES_H

#include <pthread.h>
#include <stdint.h>

#include "base/base.h"

struct load;
struct nigh;

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
/* Keeper: send the extensions that are due. Returns when the next one is. */
uint64_t leases_extend(struct nigh *cache);

#endif
