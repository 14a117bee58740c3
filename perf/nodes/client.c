// SPDX-License-Identifier: MIT
/*
 * An application thread: asks for pages as clients do, as fast as it gets them.
 *
 * Time is read where it is needed: the checker wants the beginning of every call and judges how
 * long each took, for what L1 answers may have waited before; without it one call in 32 is timed.
 * The latency of L1 is kept for one call in 1024.
 */
#include "nodes/member.h"
#include "support/fail.h"

#define TIMED_EVERY 32
#define L1_TIMED_EVERY 1024
#define DEADLINE_NS (LOAD_DEADLINE_MS * PERF_NS_PER_MS)

_Static_assert(L1_TIMED_EVERY % TIMED_EVERY == 0, "what is sampled is timed");

struct session {
    struct member *member;
    struct client_tally *tally;
    struct random_stream random;
    uint64_t turn;
};

/* One read and what is known about it. */
struct reading {
    uint32_t key;
    uint64_t begin_ns; /* 0: not timed */
    uint64_t ran_ns;   /* by the control thread, until then */
    enum load_look looked;
    int outcome;
    enum tier tier;
    struct nigh_value value;
};

/* Is it in L1? Asked before the call where the answer is wanted later. */
static enum load_look look(struct session *s, struct text name)
{
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_value value = NIGH_VALUE_INIT;
    call.flags = NIGH_L1_ONLY | NIGH_QUIET;
    int outcome = nigh_get(s->member->pages, name.data, name.len, &call, &value);
    nigh_release(&value);
    return outcome == NIGH_MISS ? LOAD_LOOKED_EMPTY : LOAD_LOOKED_FULL;
}

/* A look goes first where it tells what the call itself does not: while Redis is away (was a page
 * that is loaded again really gone?), and for absent names (they come without a value to ask). The
 * time is read before `away` is: who asked after known_ns (loads.h) has seen it. */
static void fetch(struct session *s, struct text name, struct reading *r)
{
    bool timed = s->member->plan->check || s->turn % TIMED_EVERY == 0;
    uint64_t asked_ns = timed ? now_ns() : 0;
    bool away = atomic_load_explicit(&s->member->self->away, memory_order_seq_cst);
    bool wanted = away || !population_is_package(s->member->population, r->key);
    r->looked = wanted ? look(s, name) : LOAD_NOT_LOOKED;
    r->ran_ns = stalls_ran(&s->member->self->stalls);
    r->begin_ns = timed && wanted ? now_ns() : asked_ns;
    loader_expect(r->begin_ns, r->looked, asked_ns);
    r->outcome = nigh_fetch(s->member->pages, name.data, name.len, NULL, &r->value);
}

static enum tier tier_of(const struct reading *r)
{
    if (loader_has_run())
        return TIER_LOADER;
    if (r->outcome == NIGH_ABSENT)
        return r->looked == LOAD_LOOKED_FULL ? TIER_L1 : TIER_L2;
    switch (nigh_value_tier(&r->value)) {
    case NIGH_TIER_L2:
        return TIER_L2;
    case NIGH_TIER_LOADER:
        return TIER_LOADER;
    default:
        return TIER_L1;
    }
}

static enum outcome outcome_of(int result)
{
    switch (result) {
    case NIGH_FRESH:
        return OUTCOME_FRESH;
    case NIGH_STALE:
        return OUTCOME_STALE;
    case NIGH_ABSENT:
        return OUTCOME_ABSENT;
    case NIGH_EBUSY:
        return OUTCOME_BUSY;
    default:
        return OUTCOME_FAILED;
    }
}

/* Returns how long a call took that has just returned. */
static uint64_t took_ns(struct session *s, const struct reading *r)
{
    uint64_t ns = now_ns() - r->begin_ns;
    if (calls_are_worse(&s->tally->calls, DEADLINE_NS, ns))
        calls_note(&s->tally->calls, DEADLINE_NS, ns,
                   stalls_in(&s->member->self->stalls, r->ran_ns, ns));
    return ns;
}

static void measure(struct session *s, const struct reading *r)
{
    bool wanted = r->tier != TIER_L1 || s->turn % L1_TIMED_EVERY == 0;
    bool timed = r->begin_ns && (wanted || s->member->plan->check);
    uint64_t ns = timed ? took_ns(s, r) : 0;
    _Atomic uint64_t *answered = &s->tally->tiers[r->tier];
    /* no other thread writes it */
    atomic_store_explicit(answered, atomic_load_explicit(answered, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    if (timed && wanted)
        hist_add(&s->tally->latency[r->tier], ns);
}

static void judge(struct session *s, const struct reading *r)
{
    struct checker_read read = {.key = r->key,
                                .tier = r->tier,
                                .begin_ns = r->begin_ns,
                                .fresh = r->outcome == NIGH_FRESH,
                                .page = r->value.data,
                                .page_len = r->value.len};
    checker_judge(&s->member->checker, &read, &s->tally->checked);
}

static void read_once(struct session *s)
{
    struct reading r = {.value = NIGH_VALUE_INIT};
    r.key = population_draw(s->member->population, &s->random);
    fetch(s, s->member->population->names[r.key], &r);
    enum outcome outcome = outcome_of(r.outcome);
    s->tally->outcomes[outcome]++;
    if (outcome == OUTCOME_FAILED)
        s->tally->failure = r.outcome;
    if (outcome > OUTCOME_ABSENT && r.begin_ns)
        took_ns(s, &r);
    if (outcome <= OUTCOME_ABSENT) {
        r.tier = tier_of(&r);
        measure(s, &r);
        if (s->member->plan->check)
            judge(s, &r);
    }
    nigh_release(&r.value);
    s->turn++;
    atomic_store_explicit(&s->tally->reads, s->turn, memory_order_relaxed);
}

void *client_run(void *arg)
{
    struct client *c = arg;
    struct member *m = c->member;
    struct session s = {.member = m, .tally = &m->self->clients[c->number]};
    s.turn = atomic_load_explicit(&s.tally->reads, memory_order_relaxed); /* of one before it */
    s.random = random_stream_of(m->plan->seed, m->number, c->number);
    while (!shared_stopped(m->shared))
        read_once(&s);
    return NULL;
}
