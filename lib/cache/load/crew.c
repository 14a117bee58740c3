// SPDX-License-Identifier: MIT
/*
 * Loads of one call, which wait for one another.
 *
 * The list of what has to be loaded goes to the thread that decides last. Each load is decided once
 * (is it to be loaded or not), by the thread that steps it: crew_decide(). The maker counts as one
 * more, decided when he has begun all loads: crew_end(), crew_go_on(). So the last one is either
 * the maker, who runs the loader on his thread or leaves the list to workers, or a worker that
 * steps a late load after the maker went on.
 *
 * In a round a thread steps the loads one after the other, and each leaves to it what it would ask
 * L2 for: a value, or its lease. The end of the round asks for all of it, in as few requests as may
 * be. Where nobody waits inside for the flights the answer begins the next round, on a worker: so
 * what a window of keys costs in requests does not depend on how many they are.
 */
#include "cache/load/crew.h"

#include "cache/load/batch.h"
#include "cache/load/leases.h"
#include "cache/load/parts.h"
#include "cache/value/sizes.h"

/* Bounds a request for leases, lest it be a large one (l2/limits.c). */
#define LEASES_MAX_BYTES (60u << 10)

/* Keys: (c) constant  (l) lock */
struct crew {
    struct nigh_space *space; /* (c) */
    bool watched;             /* (c) nobody waits inside for its flights */
    bool gathers;             /* (c) what it has to load is gathered with what others have */
    struct latch lock;
    uint32_t undecided;       /* (l) counts loads of which nothing is known yet, the maker until he
                               * goes on, and requests whose answers will begin a round; at 0 the
                               * crew is over */
    uint32_t rounds;          /* (l) under way: each asks at its end ... */
    struct load_list asking[PARTS_FILLS]; /* (l) ... for values or leases of these, each with a
                                           * reference to its flight */
    struct load_list list;    /* (l) have to be loaded */
};

/* A request for values or leases of several loads, until it is answered. */
struct asked {
    struct crew *crew;        /* whose round the answer is; NULL: it goes to each flight's holder */
    struct nigh_space *space;
    struct parts *parts;
    struct l2_answer *answer;
    struct worker_job job;
};

struct crew *crew_create(struct nigh_space *space, bool watched)
{
    struct crew *c = mem_alloc_zero(space->cache->env.mem, sizeof(*c));
    if (!c)
        return NULL;
    c->space = space;
    c->watched = watched;
    c->gathers = gather_takes(space, !watched);
    c->undecided = 1;
    c->rounds = 1;
    return c;
}

void crew_add(struct crew *c, struct load *l)
{
    latch_lock(&c->lock);
    c->undecided++;
    latch_unlock(&c->lock);
    l->crew = c;
}

/* ---- what is asked together ---- */

static bool leaves(struct load *l, enum parts_about about)
{
    struct crew *c = l->crew;
    latch_lock(&c->lock);
    bool asks = c->rounds > 0;
    if (asks) {
        flight_ref(l->flight);
        load_list_push(&c->asking[about], l);
    }
    latch_unlock(&c->lock);
    return asks;
}

bool crew_asks_value(struct load *l)
{
    return l->crew && !l->alone && l2_takes_many(l->space->cache->l2) && leaves(l, PARTS_VALUES);
}

bool crew_asks_lease(struct load *l)
{
    return l->crew && !l->alone && leaves(l, PARTS_LEASES);
}

void crew_begin_round(struct crew *c)
{
    latch_lock(&c->lock);
    c->rounds++;
    latch_unlock(&c->lock);
}

/* Steps the loads of an answer one after the other, so that they ask for more in one request. */
static void run_round(struct worker_job *job)
{
    struct asked *r = CONTAINER_OF(job, struct asked, job);
    struct nigh *cache = r->space->cache;
    crew_begin_round(r->crew);
    parts_tell(r->parts, r->answer, flight_post_here);
    crew_end_round(r->crew);
    crew_go_on(r->crew);
    mem_free(cache->env.mem, NULL, r, sizeof(*r));
    cache_note_answered(cache);
}

static void tell(struct asked *r, struct l2_answer *answer)
{
    struct nigh *cache = r->space->cache;
    parts_tell(r->parts, answer, flight_post);
    mem_free(cache->env.mem, NULL, r, sizeof(*r));
    cache_note_answered(cache);
}

static void learn(const struct asked *r, struct l2_answer *answer)
{
    if (r->parts->about != PARTS_VALUES)
        return;
    if (answer->status == 0)
        sizes_learn_answer(r->space, answer, r->parts->count);
    else if (answer->status == NIGH_ETIMEDOUT || answer->status == NIGH_EOFFLINE)
        sizes_learn_late(r->space, r->parts->count);
}

static bool round_lands(struct worker_job *job, const _Atomic uint32_t *landed)
{
    const struct parts *p = CONTAINER_OF(job, struct asked, job)->parts;
    uint32_t i = 0;
    while (i < p->count && &p->loads[i]->flight->landed != landed)
        i++;
    return i < p->count;
}

/* The `done` of a request. */
static void answered(void *arg, struct l2_answer *answer)
{
    struct asked *r = arg;
    learn(r, answer);
    r->answer = answer;
    r->job.run = run_round;
    r->job.lands = round_lands;
    if (r->crew)
        workers_add_answer(&r->space->cache->workers, &r->job);
    else
        tell(r, answer);
}

static int ask_leases(const struct nigh_space *space, const struct parts *p, const struct l2_op *op)
{
    struct l2_lease_of list[L2_MANY_MAX];
    for (uint32_t i = 0; i < p->count; i++) {
        const struct load *l = p->loads[i];
        list[i] = (struct l2_lease_of){bytes_of(l->key.data, l->key.len), l->token, l->rejected,
                                       l->unreadable};
    }
    struct l2_leases all = {bytes_of(space->name, space->name_len), bytes_of_string(space->schema),
                            leases_time_ms(space), list, p->count};
    return l2_lease_many(space->cache->l2, &all, op);
}

static int ask_values(const struct nigh_space *space, const struct parts *p, const struct l2_op *op)
{
    struct bytes names[L2_MANY_MAX];
    for (uint32_t i = 0; i < p->count; i++)
        names[i] = bytes_of(p->loads[i]->key.data, p->loads[i]->key.len);
    return l2_get_many(space->cache->l2, bytes_of(space->name, space->name_len),
                       bytes_of_string(space->schema), names, p->count, op);
}

/* Counts a request as one of the crew's, whose last reference may be the answer's. */
static void expect_round(struct crew *c)
{
    latch_lock(&c->lock);
    c->undecided++;
    latch_unlock(&c->lock);
}

static void send(struct asked *r)
{
    struct nigh_space *space = r->space;
    struct nigh *cache = space->cache;
    struct l2_op op = l2_op_of(cache_l2_deadline_ns(cache, NULL), answered, r);
    cache_note_sent(cache);
    int rc = r->parts->about == PARTS_LEASES ? ask_leases(space, r->parts, &op)
                                             : ask_values(space, r->parts, &op);
    if (rc == 0)
        return;
    if (r->crew)
        (void)crew_end(r->crew); /* the caller's own part is still to come */
    tell(r, NULL);
}

/* Takes the first loads of a list that one request is for. */
static void take_some(struct parts *p, struct load_list *list, uint32_t most)
{
    size_t bytes = 0;
    while (list->first && p->count < most) {
        bytes += 2 * list->first->key.len;
        if (p->count > 0 && bytes > LEASES_MAX_BYTES)
            return;
        parts_add(p, load_list_shift(list), p->count);
    }
}

/* Asks for the first loads of a list, which it takes out. False: no memory. */
static bool ask_some(struct crew *c, struct load_list *list, enum parts_about about)
{
    struct nigh_space *space = c->space;
    struct mem *mem = space->cache->env.mem;
    struct asked *r = mem_alloc_zero(mem, sizeof(*r));
    struct parts *p = r ? parts_create(space->cache, about) : NULL;
    if (!p) {
        if (r)
            mem_free(mem, NULL, r, sizeof(*r));
        return false;
    }
    take_some(p, list, about == PARTS_VALUES ? sizes_count(space) : L2_MANY_MAX);
    r->space = space;
    r->parts = p;
    if (c->watched) {
        expect_round(c);
        r->crew = c;
    }
    send(r);
    return true;
}

static void ask_all(struct crew *c, struct load_list list, enum parts_about about)
{
    struct load *l;
    while (list.first && ask_some(c, &list, about))
        continue;
    while ((l = load_list_shift(&list)))
        parts_refuse(l);
}

void crew_end_round(struct crew *c)
{
    latch_lock(&c->lock);
    struct load_list values = c->asking[PARTS_VALUES], leases = c->asking[PARTS_LEASES];
    c->asking[PARTS_VALUES] = c->asking[PARTS_LEASES] = (struct load_list){0};
    c->rounds--;
    latch_unlock(&c->lock);
    ask_all(c, values, PARTS_VALUES);
    ask_all(c, leases, PARTS_LEASES);
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

/* ... and leaves it to others to load that. */
static void decide_and_load(struct crew *c, struct load *l)
{
    struct nigh_space *space = c->space;
    bool gathers = c->gathers;
    struct load_list list = decide(c, l);
    if (gathers)
        gather_add(space, list);
    else
        batch_queue(list);
}

void crew_decide(struct load *l)
{
    struct crew *c = l->crew;
    bool loads = l->flight->state == FLIGHT_LOAD;
    l->crew = NULL;
    if (loads)
        flight_ref(l->flight);
    decide_and_load(c, loads ? l : NULL);
}

struct load_list crew_end(struct crew *c)
{
    return decide(c, NULL);
}

void crew_go_on(struct crew *c)
{
    decide_and_load(c, NULL);
}

void crew_take(struct load *l)
{
    struct load_list one = {0};
    load_list_lease(l);
    if (l->crew)
        return; /* until crew_decide() */
    flight_ref(l->flight);
    flight_release(l->flight); /* whoever loads steps it: all fills of the gathering go together */
    load_list_push(&one, l);
    gather_add(l->space, one);
}
