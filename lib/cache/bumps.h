/* SPDX-License-Identifier: MIT */
/*
 * The last invalidations of tags, spaces and all: what they named, who made them and when, for
 * people who ask why a value is stale or gone (nigh_explain()).
 *
 * A floor is a number; here is what raised it. Invalidations of groups are rare beside those of
 * keys, so each is noted under a lock. The oldest is overwritten.
 */
#ifndef NIGH_CACHE_BUMPS_H
#define NIGH_CACHE_BUMPS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"

#define BUMPS_KEPT 128u
#define BUMP_NAME_MAX 64u /* bytes kept of a longer name */

struct bump {
    uint64_t floor; /* position of this node; 0: free */
    uint64_t at_ns;
    uint64_t node;  /* who made it; 0: this process */
    uint64_t hash;  /* of the whole name: hash_wire() */
    uint16_t slot;
    bool soft;
    uint8_t kind;   /* enum wire_kind */
    uint16_t name_len;
    uint8_t name[BUMP_NAME_MAX];
};

/* Keys: (l) lock */
struct bumps {
    pthread_mutex_t lock;
    uint32_t next;                  /* (l) */
    struct bump list[BUMPS_KEPT];   /* (l) */
};

void bumps_init(struct bumps *b);
void bumps_fini(struct bumps *b);
/* `name`: of the tag or the space. One of this process keeps the time of its last of that name, if
 * it says an earlier one: it was noted before, and raises the floor again. */
void bumps_note(struct bumps *b, const struct bump *bump, struct bytes name);
/* Finds the one that has raised the slot's floor to this position. False: it is forgotten, or no
 * invalidation has raised it. */
bool bumps_find(struct bumps *b, uint16_t slot, uint64_t floor, struct bump *ret);

#endif
