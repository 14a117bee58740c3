/* SPDX-License-Identifier: MIT */
/*
 * The caches of this process by number: an entry has no room for an address.
 */
#ifndef NIGH_L1_REGISTRY_H
#define NIGH_L1_REGISTRY_H

#include "l1/core.h"

/* Give the cache a number: l1->id. Errors: NIGH_ENOMEM: all are taken. */
int registry_add(struct l1 *l1);
/* Free the number. No entry that bears it is left. */
void registry_remove(const struct l1 *l1);
/* The cache of this number. NULL: a cache inherited from the parent of a fork(). */
struct l1 *l1_by_id(uint32_t id);

#endif
