/* SPDX-License-Identifier: MIT */
/*
 * An answer of L2 about several loads, each of which takes its part as if it had asked alone.
 */
#ifndef NIGH_CACHE_LOAD_PARTS_H
#define NIGH_CACHE_LOAD_PARTS_H

#include "cache/load/load.h"

enum parts_about { PARTS_VALUES, PARTS_LEASES, PARTS_FILLS };

/* Keys: (c) constant once asked  (a) see the atomic; the answer is written before the events are
 *       posted (pair(flight.mail)) */
struct parts {
    struct nigh *cache;                 /* (c) */
    enum parts_about about;             /* (c) */
    _Atomic uint32_t refs;              /* pair(parts.refs) */
    struct l2_answer *answer;           /* (a) NULL: it could not be asked for */
    uint32_t count;                     /* (c) */
    struct load *loads[L2_MANY_MAX];    /* (c) each with a reference to its flight, until it is
                                         * told */
};

/* NULL: no memory. */
struct parts *parts_create(struct nigh *cache, enum parts_about about);
/* Add a load, by its holder, with a reference to its flight. `place`: of its part in the answer. */
void parts_add(struct parts *p, struct load *l, uint32_t place);
/* Give each load its part, and `parts` and the answer (may be NULL) away: post REPLY. */
void parts_tell(struct parts *p, struct l2_answer *answer,
                void (*post)(struct flight *f, uint32_t events));
/* Tell a load, whose reference goes with it, that there was no memory to ask for it. */
void parts_refuse(struct load *l);
/* Take the part of a load: false, there is none. The part is to be ended. An answer that does not
 * exist is NIGH_ENOMEM. */
bool parts_take(struct load *l, struct l2_answer *ret);
void parts_end(struct load *l);

#endif
