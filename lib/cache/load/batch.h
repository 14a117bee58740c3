/* SPDX-License-Identifier: MIT */
/*
 * Several loads in one call of the loader (space.batch).
 *
 * Loads come to share a call in one of two ways: as those that one call leads (crew.h), or as those
 * of all threads for a while (gather.h). A load that waits for its mates is in state LOAD, and
 * nobody holds its flight: so it can land at its deadline, and then is left out.
 *
 * Loads that share a call are linked, the first has the permit and the callback, and each has an
 * answer of its own. The call is over when the loader has returned; then each flight goes on, as
 * one whose loader has run elsewhere.
 */
#ifndef NIGH_CACHE_LOAD_BATCH_H
#define NIGH_CACHE_LOAD_BATCH_H

#include "cache/load/gather.h"
#include "cache/load/load.h"

static inline void load_list_push(struct load_list *list, struct load *l)
{
    l->mate = NULL;
    *(list->first ? &list->last->mate : &list->first) = l;
    list->last = l;
    list->count++;
}

/* Take the first; NULL: there is none. */
static inline struct load *load_list_shift(struct load_list *list)
{
    struct load *l = list->first;
    if (l) {
        list->first = l->mate;
        list->count--;
    }
    return l;
}

/* Load on this thread, `space.batch` at most. */
void batch_run(struct load_list list);
/* Let workers load, in as many calls as are needed. */
void batch_queue(struct load_list list);
/* Whether one of a list is to land the flight with this word. */
bool batch_lands(const struct load_list *list, const _Atomic uint32_t *landed);
/* Load in a job that a caller runs who waits for that word, of a flight of these or of another's;
 * NULL: nobody waits. */
void batch_run_for(struct load_list list, const _Atomic uint32_t *landed);

#endif
