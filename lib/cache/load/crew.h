/* SPDX-License-Identifier: MIT */
/*
 * The loads that one call leads. They wait for one another until it is known of each whether it has
 * to be loaded: it has, or L2 had a value, or another process loads it.
 */
#ifndef NIGH_CACHE_LOAD_CREW_H
#define NIGH_CACHE_LOAD_CREW_H

#include "cache/load/gather.h"
#include "cache/load/load.h"

/* Create a crew, which its maker ends, and begin its first round; NULL: no memory. `watched`: no
 * caller holds its flights, so answers are taken in rounds. */
struct crew *crew_create(struct nigh_space *space, bool watched);
/* Let a new load be one of the crew. */
void crew_add(struct crew *c, struct load *l);
/* Whether a load that asks for its value, or for its lease, leaves that to the round that is under
 * way. If there is no crew, or no round, it asks alone. */
bool crew_asks_value(struct load *l);
bool crew_asks_lease(struct load *l);
/* End a round, in which each load has had a step: ask for all that was left to it. The answer comes
 * to each load as if it had asked alone. */
void crew_end_round(struct crew *c);
/* Begin another one, before the loads are stepped on. */
void crew_begin_round(struct crew *c);
/* Tell that a load has to be loaded, or has not. It is then none of the crew any more. */
void crew_decide(struct load *l);
/* End adding; for its maker. Returns what has to be loaded, if that is known of all; else none:
 * they are left to the workers, as soon as it is. */
struct load_list crew_end(struct crew *c);
/* End adding, and leave all loads to the workers; for its maker. */
void crew_go_on(struct crew *c);

/* Whether a load that enters LOAD waits for others, in its crew or its space's gathering; and let
 * it wait. */
static inline bool crew_takes(const struct load *l)
{
    const struct flight *f = l->flight;
    return l->crew || gather_takes(l->space, f->blocking || f->for_caller);
}
void crew_take(struct load *l);

#endif
