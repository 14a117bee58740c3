/* SPDX-License-Identifier: MIT */
/*
 * Keeps how large the values of a space are in L2, as far as was seen: requests for many keys are
 * sized by it.
 */
#ifndef NIGH_CACHE_VALUE_SIZES_H
#define NIGH_CACHE_VALUE_SIZES_H

#include "cache/cache.h"

/* Returns how many keys are worth asking for in one request, so that nobody waits long behind its
 * reply: 1 .. L2_MANY_MAX. */
uint32_t sizes_count(const struct nigh_space *space);
/* Learn from the bytes of a value; from an answer about so many; and from one that did not come in
 * time. */
void sizes_learn(struct nigh_space *space, size_t bytes);
void sizes_learn_answer(struct nigh_space *space, struct l2_answer *answer, uint32_t count);
void sizes_learn_late(struct nigh_space *space, uint32_t count);

#endif
