// SPDX-License-Identifier: MIT
/*
 * Loads of one call, which wait for one another.
 *
 * Who decides last for a crew has the list: each of its loads is decided once, by the thread that
 * steps it, and so is the maker's own part. So it is either the maker, who loads what there is on
 * his thread or leaves it to workers, or a worker that steps a late one after the maker went on.
 */
#include "cache/load/crew.h"

#include "cache/load/batch.h"
#include "cache/load/leases.h"

/* Keys: (c) constant  (l) lock */
struct crew {
    struct nigh_space *space; /* (c) */
    struct latch lock;
    uint32_t undecided;       /* (l) loads of which nothing is known yet; and the maker */
    struct load_list list;    /* (l) have to be loaded */
    bool asks;                /* (l) the maker is going to ask for leases ... */
    struct load_list asking;  /* (l) ... of these, each with a reference to its flight */
};

/* The place of a load for which there was no memory to ask. */
#define UNASKED UINT32_MAX

/* An answer about the leases of several loads, each of which takes its part. */
struct crew_leases {
    struct nigh *cache;
    _Atomic uint32_t refs; /* pair(crew.leases) */
    struct l2_answer *answer;
    uint32_t count;
    struct load *loads[L2_MANY_MAX];
};

struct crew *crew_create(struct nigh_space *space)
{
    struct crew *c = mem_alloc_zero(space->cache->env.mem, sizeof(*c));
    if (!c)
        return NULL;
    c->space = space;
    c->undecided = 1;
    c->asks = true;
    return c;
}

void crew_add(struct crew *c, struct load *l)
{
    latch_lock(&c->lock);
    c->undecided++;
    latch_unlock(&c->lock);
    l->crew = c;
}

/* ---- leases ---- */

bool crew_asks(struct load *l)
{
    struct crew *c = l->crew;
    latch_lock(&c->lock);
    bool asks = c->asks;
    if (asks) {
        flight_ref(l->flight);
        load_list_push(&c->asking, l);
    }
    latch_unlock(&c->lock);
    return asks;
}

static void unref(struct crew_leases *leases)
{
    /* pair(crew.leases): release what each has read, acquire it all as the last */
    if (atomic_fetch_sub_explicit(&leases->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (leases->answer)
        l2_answer_free(leases->answer);
    mem_free(leases->cache->env.mem, NULL, leases, sizeof(*leases));
}

/* Gives each load its part. Without an answer, or a request, the part is an error. */
static void hand_round(struct crew_leases *leases, struct l2_answer *answer)
{
    leases->answer = answer;
    for (uint32_t i = 0; i < leases->count; i++) {
        struct load *l = leases->loads[i];
        struct flight *f = l->flight;
        l->leases = leases;
        l->lease_place = i;
        flight_post(f, FLIGHT_EV_REPLY);
        flight_unref(f);
    }
    unref(leases);
}

/* The `done` of the request. */
static void leases_told(void *arg, struct l2_answer *answer)
{
    hand_round(arg, answer);
}

bool crew_part(struct load *l, struct l2_answer *ret)
{
    struct crew_leases *leases = l->leases;
    if (!leases && l->lease_place != UNASKED)
        return false;
    *ret = (struct l2_answer){.status = NIGH_ENOMEM};
    if (leases && leases->answer)
        *ret = *leases->answer;
    else
        l->lease = LOAD_LEASE_NONE; /* not asked for: there is nothing to give back */
    if (ret->status == 0)
        ret->verdict = l2_lease_at(leases->answer, l->lease_place, &ret->value, &ret->held_ms);
    return true;
}

void crew_part_end(struct load *l)
{
    struct crew_leases *leases = l->leases;
    l->leases = NULL;
    l->lease_place = 0;
    if (leases)
        unref(leases);
}

static void request(const struct nigh_space *space, struct crew_leases *leases)
{
    struct nigh *cache = space->cache;
    struct l2_lease_of list[L2_MANY_MAX];
    for (uint32_t i = 0; i < leases->count; i++) {
        const struct load *l = leases->loads[i];
        list[i] = (struct l2_lease_of){bytes_of(l->key.data, l->key.len), l->token, l->rejected,
                                       l->unreadable};
    }
    struct l2_leases all = {bytes_of(space->name, space->name_len), bytes_of_string(space->schema),
                            leases_time_ms(space), list, leases->count};
    struct l2_op op = l2_op_of(cache_l2_deadline_ns(cache, NULL), leases_told, leases);
    if (l2_lease_many(cache->l2, &all, &op) != 0)
        hand_round(leases, NULL);
}

/* Asks for the leases of the first loads of a list, which it takes out. False: no memory. */
static bool ask_some(const struct nigh_space *space, struct load_list *list)
{
    struct crew_leases *leases = mem_alloc(space->cache->env.mem, NULL, sizeof(*leases));
    if (!leases)
        return false;
    leases->cache = space->cache;
    leases->answer = NULL;
    leases->count = 0;
    while (list->first && leases->count < L2_MANY_MAX)
        leases->loads[leases->count++] = load_list_shift(list);
    atomic_init(&leases->refs, leases->count + 1);
    request(space, leases);
    return true;
}

void crew_ask(struct crew *c)
{
    latch_lock(&c->lock);
    struct load_list list = c->asking;
    c->asks = false;
    latch_unlock(&c->lock);
    while (list.first && ask_some(c->space, &list))
        continue;
    struct load *l;
    while ((l = load_list_shift(&list))) {
        struct flight *f = l->flight;
        l->lease_place = UNASKED;
        flight_post(f, FLIGHT_EV_REPLY);
        flight_unref(f);
    }
}

/* ---- decisions ---- */

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
