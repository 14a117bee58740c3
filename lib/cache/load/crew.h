/* SPDX-License-Identifier: MIT */
/*
 * The loads that one call leads. They wait for one another until it is known of each whether it has
 * to be loaded: it has, or L2 had a value, or another process loads it.
 */
#ifndef NIGH_CACHE_LOAD_CREW_H
#define NIGH_CACHE_LOAD_CREW_H

#include "cache/load/gather.h"
#include "cache/load/load.h"

/* Create a crew, which its maker ends; NULL: no memory. */
struct crew *crew_create(struct nigh_space *space);
/* Let a new load be one of the crew. */
void crew_add(struct crew *c, struct load *l);
/* Whether a load that asks for its lease leaves that to its crew: its maker then asks for all of
 * them in one request. */
bool crew_asks(struct load *l);
/* As its maker, when each has had its first step: ask for the leases that were left to the crew.
 * The answer comes to each load as if it had asked alone. From then on each does. */
void crew_ask(struct crew *c);
/* Take the part of a load in the answer about many leases: false, there is none. The part is to be
 * ended. */
bool crew_part(struct load *l, struct l2_answer *ret);
void crew_part_end(struct load *l);
/* Tell that a load has to be loaded, or has not. It is then none of the crew any more. */
void crew_decide(struct load *l);
/* As its maker, add no more. Returns what has to be loaded, if that is known of all; else none:
 * they are left to the workers, as soon as it is. */
struct load_list crew_end(struct crew *c);

/* Whether a load that enters LOAD waits for others, in its crew or its space's gathering; and let
 * it wait. */
static inline bool crew_takes(const struct load *l)
{
    return l->crew || gather_takes(l->space);
}
void crew_take(struct load *l);

#endif
