// SPDX-License-Identifier: MIT
/*
 * Pairs of consecutive loads of a key, and what may stand between them.
 *
 * Invalidations become windows per group slot; the windows that concern a key (its own, and those
 * of the slots of its tags) are gathered for one key at a time, so a question about a pair is a
 * binary search. What is not explained lengthens the chain of loads of the same generation.
 */
#include "nodes/generations.h"

#include <stdlib.h>

#include "nodes/cover.h"
#include "nodes/seen.h"
#include "support/fail.h"
#include "support/hash.h"

/* A time in which an invalidation of `package` was under way at `node`. */
struct window {
    uint32_t slot;
    uint32_t package;
    struct cover_window when;
};

struct judge {
    const struct history *history;
    const struct population *population;
    const struct generations_rules *rules;
    struct generations_result *result;
    struct seen seen;
    uint32_t *slot_of; /* by package: the slot of its name as a tag */
    struct window *windows; /* sorted by slot */
    uint32_t window_count, window_capacity;
    uint32_t *slot_start; /* by slot: its first window */
    uint32_t *slot_seen;  /* by slot: the last key that gathered it */
    struct cover invalidated; /* of the key that is judged now */
    struct cover renewed;
    struct cover away;
    struct cover known_away; /* to clients: they look first */
};

static void add_window(struct judge *j, uint32_t package, uint32_t node, uint64_t from, uint64_t to)
{
    if (j->window_count == j->window_capacity) {
        j->window_capacity = j->window_capacity ? j->window_capacity * 2 : 1024;
        j->windows = must_grow(j->windows, j->window_capacity, sizeof(*j->windows));
    }
    j->windows[j->window_count++] =
        (struct window){j->slot_of[package], package, {from, to, node}};
}

static uint64_t time_of(const _Atomic uint64_t *time, uint64_t otherwise)
{
    uint64_t ns = atomic_load_explicit(time, memory_order_relaxed);
    return ns ? ns : otherwise;
}

/* Until when a change of `from` that had been accepted at `accepted_ns` may have been under way at
 * `node`, as far as is known. A frame's changes, of which the probe is the last, are applied before
 * the node says how far it has come. What begins to load between the two counts as begun before the
 * change, which is safe, and its value is of no use to another node. */
static uint64_t applied_by(const struct judge *j, uint32_t from, uint32_t node,
                           uint64_t accepted_ns)
{
    if (node == from)
        return accepted_ns;
    return seen_by(&j->seen, node, accepted_ns, accepted_ns + j->rules->bound_ns) +
           j->rules->turn_ns;
}

/* Redis did not take it at once: applied at its own node first, in Redis and elsewhere some time
 * later, and until then that node works without Redis for what it covers. It may also have been
 * executed at once, with the answer lost. */
static void add_queued(struct judge *j, const struct update *u, uint64_t call, uint64_t returned)
{
    const struct generations_rules *r = j->rules;
    uint64_t accepted = time_of(&u->accepted_ns, r->end_ns);
    uint64_t up = r->redis_up_ns > call ? r->redis_up_ns : call;
    for (uint32_t node = 0; node < r->nodes; node++) {
        add_window(j, u->package, node, call, applied_by(j, u->node, node, returned));
        if (accepted > up)
            add_window(j, u->package, node, up, applied_by(j, u->node, node, accepted));
    }
    cover_add(&j->away, u->node, call, accepted);
}

static void add_update(struct judge *j, const struct update *u)
{
    const struct generations_rules *r = j->rules;
    uint64_t call = time_of(&u->call_ns, 0);
    uint64_t returned = time_of(&u->returned_ns, r->end_ns);
    if (call == 0)
        return;
    if (atomic_load_explicit(&u->queued, memory_order_relaxed)) {
        add_queued(j, u, call, returned);
        return;
    }
    for (uint32_t node = 0; node < r->nodes; node++) {
        uint64_t seen = time_of(&u->applied_ns[node], 0);
        add_window(j, u->package, node, call,
                   seen ? seen + (node == u->node ? 0 : r->turn_ns)
                        : applied_by(j, u->node, node, returned));
    }
}

/* A change of the node that issued again in this time, early enough to be among what it issued. */
static void add_again(struct judge *j, const struct update *u, const struct trouble *t)
{
    const struct generations_rules *r = j->rules;
    uint64_t call = time_of(&u->call_ns, r->end_ns);
    uint64_t returned = time_of(&u->returned_ns, r->end_ns);
    if (u->node != t->node || call > t->to_ns || returned + r->again_ns < t->from_ns)
        return;
    for (uint32_t node = 0; node < r->nodes; node++)
        add_window(j, u->package, node, t->from_ns, applied_by(j, u->node, node, t->to_ns));
}

static void add_issued_again(struct judge *j, const struct loads *loads)
{
    for (uint32_t i = 0; i < loads_trouble_count(loads); i++) {
        const struct trouble *t = &loads->troubles[i];
        if (t->kind != TROUBLE_ISSUED_AGAIN)
            continue;
        for (uint32_t k = 0; k < history_count(j->history); k++)
            add_again(j, &j->history->updates[k], t);
    }
}

static int by_slot(const void *a, const void *b)
{
    const struct window *x = a, *y = b;
    return (x->slot > y->slot) - (x->slot < y->slot);
}

static void index_windows(struct judge *j)
{
    uint32_t at = 0;
    if (j->window_count)
        qsort(j->windows, j->window_count, sizeof(*j->windows), by_slot);
    for (uint32_t slot = 0; slot <= j->rules->group_slots; slot++) {
        while (at < j->window_count && j->windows[at].slot < slot)
            at++;
        j->slot_start[slot] = at;
    }
}

static void gather_slot(struct judge *j, uint32_t slot, uint32_t package)
{
    for (uint32_t i = j->slot_start[slot]; i < j->slot_start[slot + 1]; i++) {
        const struct window *w = &j->windows[i];
        if (package == 0 || w->package == package)
            cover_add(&j->invalidated, w->when.node, w->when.from_ns, w->when.to_ns);
    }
}

/* All windows that concern a key: of its tags' slots, and of its own package in its own slot. */
static void gather(struct judge *j, uint32_t key)
{
    const struct population *p = j->population;
    cover_clear(&j->invalidated);
    if (population_is_package(p, key)) {
        for (uint32_t e = p->edge_start[key]; e < p->edge_start[key + 1]; e++) {
            uint32_t slot = j->slot_of[p->edges[e]];
            if (j->slot_seen[slot] != key)
                gather_slot(j, slot, 0);
            j->slot_seen[slot] = key;
        }
        if (j->slot_seen[j->slot_of[key]] != key)
            gather_slot(j, j->slot_of[key], key);
    }
    cover_build(&j->invalidated);
}

static bool has_expired(const struct judge *j, const struct load *first, const struct load *second)
{
    uint64_t ttl = first->found ? j->rules->value_ttl_ns : j->rules->absent_ttl_ns;
    return second->start_ns - first->begin_ns >= ttl;
}

/* Whether the generation of `first` may have ended before `second`, as seen from `node`. */
static bool has_ended(struct judge *j, uint32_t node, const struct load *first,
                      const struct load *second)
{
    struct generations_result *r = j->result;
    uint64_t from = first->begin_ns, to = second->start_ns;
    if (cover_touches(&j->invalidated, node, from, to))
        r->by_invalidation++;
    else if (cover_touches(&j->renewed, node, from, to))
        r->by_renewal++;
    else if (has_expired(j, first, second))
        r->by_expiry++;
    else
        return false;
    return true;
}

/* Whether a node was without Redis in this time, and its clients knew. */
static bool in_known_outage(const struct judge *j, uint32_t node, uint64_t from_ns, uint64_t to_ns)
{
    return cover_touches(&j->known_away, node, from_ns, to_ns);
}

/*
 * An outage lies between the two, or around one of them: the page was in none of the tiers that
 * this node could reach. A look at L1 says so. Nobody looks where Redis seems to be in reach (also
 * while changes are still queued for it), and there none is needed: before the outage the page may
 * have been in Redis only, and after it a page that was loaded in the outage is in L1 only, as long
 * as there is room.
 */
static bool was_lost(struct judge *j, const struct load *first, const struct load *second)
{
    bool empty = second->look == LOAD_LOOKED_EMPTY && second->look_ns > first->end_ns;
    bool around = second->look == LOAD_NOT_LOOKED &&
                  !(in_known_outage(j, first->node, first->begin_ns, first->end_ns) &&
                    in_known_outage(j, second->node, second->look_ns, second->look_ns));
    j->result->by_eviction += empty || around;
    return empty || around;
}

static void blame(struct judge *j, const struct load *first, const struct load *second)
{
    struct generations_result *r = j->result;
    r->unexplained++;
    if (r->example_count < GENERATIONS_EXAMPLES)
        r->examples[r->example_count++] = (struct generations_example){*first, *second};
}

static const struct load *previous_of_node(const struct load *loads, uint32_t at)
{
    for (uint32_t i = at; i-- > 0;)
        if (loads[i].node == loads[at].node)
            return &loads[i];
    return NULL;
}

/* Loads that the running generation of a key has seen: in all, and by each node without Redis. */
struct chain {
    uint32_t all;
    uint32_t of_node[NODES_MAX];
};

static void lengthen(uint32_t *chain, uint32_t *longest)
{
    ++*chain;
    if (*chain > *longest)
        *longest = *chain;
}

/* Everybody had Redis since the load before: nobody may have loaded it but once. */
static void judge_in_reach(struct judge *j, const struct load *loads, uint32_t at,
                           struct chain *chain)
{
    if (at == 0 || has_ended(j, COVER_ANY_NODE, &loads[at - 1], &loads[at]))
        chain->all = 0;
    else
        blame(j, &loads[at - 1], &loads[at]);
    lengthen(&chain->all, &j->result->loads_max);
}

/* Returns the latest load before, since when neither its node nor that of this load was without
 * Redis: what it loaded was there to be found, whatever befell other nodes. */
static const struct load *previous_in_reach(const struct judge *j, const struct load *loads,
                                            uint32_t at)
{
    const struct load *second = &loads[at];
    for (uint32_t i = at; i-- > 0;) {
        const struct load *first = &loads[i];
        if (cover_touches(&j->away, second->node, first->begin_ns, second->start_ns))
            return NULL;
        if (!cover_touches(&j->away, first->node, first->begin_ns, second->start_ns))
            return first;
    }
    return NULL;
}

/* Somebody had not: each node answers for its own loads, unless it had Redis itself. */
static void judge_away(struct judge *j, const struct load *loads, uint32_t at, struct chain *chain)
{
    const struct load *reached = previous_in_reach(j, loads, at);
    const struct load *first = reached ? reached : previous_of_node(loads, at);
    const struct load *second = &loads[at];
    uint32_t *own = &chain->of_node[second->node];
    if (!first)
        j->result->by_other_process++;
    if (!first || has_ended(j, reached ? COVER_ANY_NODE : second->node, first, second) ||
        (!reached && was_lost(j, first, second)))
        *own = 0;
    else
        blame(j, first, second);
    lengthen(own, &j->result->outage_loads_max);
    chain->all = 0;
    lengthen(&chain->all, &j->result->loads_max);
}

/* Loads of one key in the order of their starts. */
static void judge_key(struct judge *j, const struct load *loads, uint32_t count)
{
    struct chain chain = {0, {0}};
    for (uint32_t i = 0; i < count; i++) {
        uint64_t since = loads[i ? i - 1 : 0].begin_ns;
        if (cover_touches(&j->away, COVER_ANY_NODE, since, loads[i].start_ns))
            judge_away(j, loads, i, &chain);
        else
            judge_in_reach(j, loads, i, &chain);
    }
}

static int by_key_and_start(const void *a, const void *b)
{
    const struct load *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->start_ns > y->start_ns) - (x->start_ns < y->start_ns);
}

static void judge_all(struct judge *j, struct load *loads, uint32_t count)
{
    if (count)
        qsort(loads, count, sizeof(*loads), by_key_and_start);
    for (uint32_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && loads[next].key == loads[i].key; next++)
            continue;
        if (loads[i].begin_ns == 0)
            continue; /* reserved by a node that was killed before it had written */
        j->result->keys++;
        j->result->repeated += next - i - 1;
        gather(j, loads[i].key);
        judge_key(j, &loads[i], next - i);
    }
    j->result->loads = count;
}

static void read_troubles(struct judge *j, const struct loads *loads)
{
    for (uint32_t i = 0; i < loads_trouble_count(loads); i++) {
        const struct trouble *t = &loads->troubles[i];
        if (t->kind == TROUBLE_RENEWED)
            cover_add(&j->renewed, t->node, t->from_ns, t->to_ns);
        if (t->kind != TROUBLE_AWAY)
            continue;
        cover_add(&j->away, t->node, t->from_ns, t->to_ns);
        cover_add(&j->known_away, t->node, t->known_ns ? t->known_ns : t->from_ns, t->to_ns);
    }
}

/* Reads the losses of loaded snapshots: they are gone for every node. */
static void read_oblivion(struct judge *j)
{
    const struct history_oblivion *o = j->history->oblivion;
    uint64_t begin = time_of(&o->begin_ns, 0), end = time_of(&o->end_ns, j->rules->end_ns);
    for (uint32_t node = 0; begin && node < j->rules->nodes; node++)
        cover_add(&j->renewed, node, begin, end);
}

static void prepare(struct judge *j, const struct loads *loads)
{
    const struct population *p = j->population;
    j->slot_of = must_alloc(p->packages + 1, sizeof(*j->slot_of));
    j->slot_start = must_alloc(j->rules->group_slots + 1, sizeof(*j->slot_start));
    j->slot_seen = must_alloc(j->rules->group_slots, sizeof(*j->slot_seen));
    for (uint32_t package = 1; package <= p->packages; package++)
        j->slot_of[package] = hash_tag_slot(p->names[package], j->rules->group_slots);
    seen_build(&j->seen, j->history, j->rules->nodes);
    read_troubles(j, loads);
    read_oblivion(j);
    for (uint32_t i = 0; i < history_count(j->history); i++)
        add_update(j, &j->history->updates[i]);
    add_issued_again(j, loads);
    index_windows(j);
    cover_build(&j->renewed);
    cover_build(&j->away);
    cover_build(&j->known_away);
}

void generations_judge(const struct history *history, struct loads *loads,
                       const struct population *population, const struct generations_rules *rules,
                       struct generations_result *ret)
{
    struct judge j = {
        .history = history, .population = population, .rules = rules, .result = ret};
    *ret = (struct generations_result){.loads = 0};
    prepare(&j, loads);
    judge_all(&j, loads->loads, loads_count(loads));
    free(j.slot_of);
    free(j.slot_start);
    free(j.slot_seen);
    free(j.windows);
    seen_free(&j.seen);
    cover_free(&j.invalidated);
    cover_free(&j.renewed);
    cover_free(&j.away);
    cover_free(&j.known_away);
}
