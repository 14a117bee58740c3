/* SPDX-License-Identifier: MIT */
/*
 * The schemas in use, per space, as the clock lists them (l2/scripts/schemas.lua): what a change
 * has to delete in Redis (rule 17).
 *
 * The list that this node knows is one block that nobody changes: a change that names keys by it
 * holds a reference, and whoever learns another list puts that in its place. The list's token
 * travels with the change; if Redis' list is another by then, nothing is done, and Redis tells it.
 */
#ifndef NIGH_COHERENCE_SCHEMAS_H
#define NIGH_COHERENCE_SCHEMAS_H

#include <pthread.h>

#include "coherence/core.h"

#define SCHEMAS_MAX 8u /* per space */

/* Keys: (c) but refs. */
struct schema_list {
    _Atomic uint32_t refs; /* pair(schemas.refs) */
    uint64_t token;        /* (c) */
    bool old_nodes;        /* (c) nodes of wire version 1 are to be told, too */
    size_t len;            /* (c) */
    uint8_t text[];        /* (c) as Redis has it */
};

/* Keys: (s) lock */
struct schemas {
    pthread_mutex_t lock;
    struct schema_list *list; /* (s) NULL: none is known */
};

void schemas_init(struct schemas *s);
void schemas_fini(struct schemas *s, struct mem *mem);

/* The list that is known now, with a reference; NULL: none. */
struct schema_list *schemas_take(struct schemas *s);
void schemas_drop(struct schema_list *list, struct mem *mem);
/* An answer tells the list. Without memory for it the next change asks again. */
void schemas_learn(struct schemas *s, struct mem *mem, const struct l2_clock *clock,
                   struct bytes text);

/* The schemas of a space but `own`. Returns how many (at most SCHEMAS_MAX). */
uint32_t schemas_of(struct bytes text, struct bytes space, struct bytes own,
                    struct bytes ret[SCHEMAS_MAX]);

/* True: the answer to a change says only which schemas there are. They are known now. */
bool coherence_told_schemas(struct coherence *c, const struct l2_answer *answer);

#endif
