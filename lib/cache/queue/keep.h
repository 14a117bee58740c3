/* SPDX-License-Identifier: MIT */
/*
 * Keeps, closes and rouses all completion queues of a cache: for the keeper, for nigh_close(), for
 * whoever leaves something to the workers.
 */
#ifndef NIGH_CACHE_QUEUE_KEEP_H
#define NIGH_CACHE_QUEUE_KEEP_H

#include <stdint.h>

struct nigh;

/* Keeper: complete what has come to its deadline. Returns when to come again. */
uint64_t queues_keep(struct nigh *cache);
/* As the cache closes: complete all that is pending with NIGH_ECLOSED. Nothing begins any more. */
void queues_shut(struct nigh *cache);
/* Without own threads: something was left to the workers, for which threads that poll are to
 * look. */
void queues_rouse(struct nigh *cache);

#endif
