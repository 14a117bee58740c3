/* SPDX-License-Identifier: MIT */
/*
 * What becomes of the values in a recording (nigh/trace.h): how long they live, and which of them
 * go when a group falls.
 *
 * The fall of a group becomes the invalidation of each key of it that was asked for or put since it
 * was invalidated last: no cache, of whatever size, can have others. So there are no more of them
 * than requests, puts and groups, however many keys a space has.
 *
 * A request whose miss nobody saw (the process had the value) would have brought what its key's
 * last load did. If Redis was asked in this recording, it would have brought that same value, with
 * as much as was left of its life.
 */
#ifndef PERF_INPUT_LIVES_H
#define PERF_INPUT_LIVES_H

#include "input/builder.h"

enum lives_by { LIVES_BY_LOAD, LIVES_BY_L2, LIVES_BY_PUT };

struct lives;

struct lives *lives_new(struct builder *b);
void lives_free(struct lives *l);

/* A space's group; before any request of it. */
void lives_space(struct lives *l, uint16_t space, uint16_t group);
/* The request that was added last is for this key; `waits`: it missed, or got a stale value. */
void lives_request(struct lives *l, uint64_t key, uint16_t space, uint64_t at_us, bool waits);
/* A value came, of no group yet but its space's. A put is a change from now on. */
void lives_value(struct lives *l, uint64_t key, uint16_t space, uint64_t at_us, struct life life,
                 enum lives_by by);
void lives_group_of(struct lives *l, uint64_t key, uint16_t group);
void lives_invalidated(struct lives *l, uint64_t key);
/* A group falls. */
void lives_fall(struct lives *l, uint16_t group, uint64_t at_us);

#endif
