// SPDX-License-Identifier: MIT
/*
 * Loads of one call, which wait for one another.
 *
 * Who decides last for a crew has the list: each of its loads is decided once, by the thread that
 * steps it, and so is the maker's own part. So it is either the maker, who loads what there is on
 * his thread or leaves it to workers, or a worker that steps a late one after the maker went on.
 */
#include "cache/crew.h"

#include "cache/batch.h"

/* Keys: (c) constant  (l) lock */
struct crew {
    struct nigh_space *space; /* (c) */
    struct latch lock;
    uint32_t undecided;       /* (l) loads of which nothing is known yet; and the maker */
    struct load_list list;    /* (l) have to be loaded */
};

struct crew *crew_create(struct nigh_space *space)
{
    struct crew *c = mem_alloc_zero(space->cache->env.mem, sizeof(*c));
    if (!c)
        return NULL;
    c->space = space;
    c->undecided = 1;
    return c;
}

void crew_add(struct crew *c, struct load *l)
{
    latch_lock(&c->lock);
    c->undecided++;
    latch_unlock(&c->lock);
    l->crew = c;
}

/* Counts one as decided; `l`, if there is one, has to be loaded. Returns, to the last, what has to
 * be. */
static struct load_list decide(struct crew *c, struct load *l)
{
    struct load_list list = {0};
    latch_lock(&c->lock);
    if (l)
        load_list_push(&c->list, l);
    bool last = --c->undecided == 0;
    if (last)
        list = c->list;
    latch_unlock(&c->lock);
    if (last)
        mem_free(c->space->cache->env.mem, NULL, c, sizeof(*c));
    return list;
}

void crew_decide(struct load *l)
{
    struct crew *c = l->crew;
    bool loads = l->flight->state == FLIGHT_LOAD;
    l->crew = NULL;
    if (loads)
        flight_ref(l->flight);
    batch_queue(decide(c, loads ? l : NULL));
}

struct load_list crew_end(struct crew *c)
{
    return decide(c, NULL);
}

bool crew_takes(const struct load *l)
{
    return l->crew || gather_takes(l->space);
}

void crew_take(struct load *l)
{
    struct load_list one = {0};
    load_list_lease(l);
    if (l->crew)
        return; /* until crew_decide() */
    flight_ref(l->flight);
    load_list_push(&one, l);
    gather_add(l->space, one);
}
