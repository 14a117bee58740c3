/* SPDX-License-Identifier: MIT */
/*
 * Spaces: names, rules, lookup.
 */
#ifndef NIGH_CACHE_SPACE_H
#define NIGH_CACHE_SPACE_H

#include "cache/cache.h"

/* The space of this name, or NULL. Any thread; no lock: spaces are only ever added. */
struct nigh_space *space_find(struct nigh *cache, struct bytes name);
/* The open spaces, in order of opening: 0 .. space_count(). */
uint32_t space_count(const struct nigh *cache);
void spaces_destroy(struct nigh *cache);
/* 0, or NIGH_EINVAL with an explanation: what a prefix, space or schema may be called. */
int space_check_name(const char *what, const char *name);

#endif
