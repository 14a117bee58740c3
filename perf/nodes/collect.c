// SPDX-License-Identifier: MIT
/*
 * Adding up and judging what the nodes left.
 */
#include "nodes/collect.h"

#include <nigh/options.h>
#include <string.h>

#include "support/fail.h"

/* A node has connected again, and issued what it had queued, after so long. */
#define ACCEPTANCE_NS (10 * PERF_NS_PER_S)
/* Lifetimes are told in ms of Redis' clock and judged on a coarse one. */
#define EXPIRY_SLACK_NS (20 * PERF_NS_PER_MS)
/* A node that meets another clock issues again what it changed in the last 10 s, and a step. */
#define AGAIN_NS (10500 * PERF_NS_PER_MS)
/* A thread of a busy machine gets a core again. */
#define TURN_NS (50 * PERF_NS_PER_MS)

static void raise(uint64_t *peak, uint64_t value)
{
    if (value > *peak)
        *peak = value;
}

static void add_client(struct result *r, const struct client_tally *c)
{
    r->reads += atomic_load_explicit(&c->reads, memory_order_relaxed);
    for (int i = 0; i < OUTCOME_COUNT; i++)
        r->outcomes[i] += c->outcomes[i];
    for (int i = 0; i < TIER_COUNT; i++) {
        r->tiers[i] += atomic_load_explicit(&c->tiers[i], memory_order_relaxed);
        hist_merge(&r->latency[i], &c->latency[i]);
    }
    checker_tally_merge(&r->checked, &c->checked);
    calls_add(&r->calls, &c->calls);
    if (c->failure)
        r->failure = c->failure;
}

static void add_updates(struct update_tally *into, const struct update_tally *from)
{
    into->updates += from->updates;
    into->queued += from->queued;
    into->failed += from->failed;
    into->probes_unseen += from->probes_unseen;
    calls_add(&into->calls, &from->calls);
    hist_merge(&into->commit_to_acceptance, &from->commit_to_acceptance);
    hist_merge(&into->lag, &from->lag);
}

static void add_node(struct result *r, const struct node *n, uint32_t threads, uint64_t fault_ns)
{
    uint64_t doubt_end_ns = atomic_load_explicit(&n->doubt_end_ns, memory_order_relaxed);
    for (uint32_t i = 0; i < threads; i++)
        add_client(r, &n->clients[i]);
    add_updates(&r->update, &n->update);
    raise(&r->memory_peak, n->memory_peak);
    raise(&r->memory_cap, n->memory_cap);
    raise(&r->resident_peak, n->resident_peak);
    r->resyncs += n->resyncs;
    if ((double)n->doubt_ns / 1e9 > r->doubt_seconds)
        r->doubt_seconds = (double)n->doubt_ns / 1e9;
    if (fault_ns && doubt_end_ns > fault_ns &&
        (double)(doubt_end_ns - fault_ns) / 1e9 > r->fresh_seconds)
        r->fresh_seconds = (double)(doubt_end_ns - fault_ns) / 1e9;
}

/* Lifetimes are spread, so the shortest counts. */
static uint64_t shortest_ns(uint32_t ttl_ms)
{
    uint64_t ttl_ns = ttl_ms * PERF_NS_PER_MS;
    return ttl_ns - ttl_ns / 100 * NIGH_DEFAULT_JITTER_PERCENT - EXPIRY_SLACK_NS;
}

/* By what nodes noticed, whose clients then knew; not by what is noted of one that is stopped. */
static double longest_away(const struct loads *loads, uint32_t nodes)
{
    uint64_t away[NODES_MAX] = {0}, longest = 0;
    for (uint32_t i = 0; i < loads_trouble_count(loads); i++) {
        const struct trouble *t = &loads->troubles[i];
        if (t->kind == TROUBLE_AWAY && t->node < nodes && t->known_ns < t->to_ns)
            raise(&longest, away[t->node] += t->to_ns - t->from_ns);
    }
    return (double)longest / 1e9;
}

/* Queued, and not accepted in a time in which Redis was there to accept it. */
static bool waited_in_vain(const struct update *u, const struct collect_times *times)
{
    uint64_t since = atomic_load_explicit(&u->returned_ns, memory_order_relaxed);
    raise(&since, times->redis_up_ns);
    return atomic_load_explicit(&u->queued, memory_order_relaxed) &&
           atomic_load_explicit(&u->accepted_ns, memory_order_relaxed) == 0 &&
           times->end_ns > since + ACCEPTANCE_NS;
}

static void judge_loads(struct result *r, struct shared *shared, const struct population *p,
                        const struct collect_times *times)
{
    struct history history = shared_history(shared);
    struct loads loads = shared_loads(shared);
    struct generations_rules rules = {.nodes = r->plan.nodes,
                                      .group_slots = NIGH_DEFAULT_GROUP_SLOTS,
                                      .value_ttl_ns = shortest_ns(NIGH_DEFAULT_SOFT_TTL_MS),
                                      .absent_ttl_ns = shortest_ns(NIGH_DEFAULT_ABSENT_TTL_MS),
                                      .bound_ns = r->bound_ns,
                                      .turn_ns = TURN_NS,
                                      .end_ns = times->end_ns,
                                      .redis_up_ns = times->redis_up_ns,
                                      .again_ns = AGAIN_NS};
    r->loads_lost = loads_lost(&loads);
    r->away_seconds = longest_away(&loads, r->plan.nodes);
    for (uint32_t i = 0; i < loads_trouble_count(&loads) && i < TROUBLES_SHOWN; i++)
        r->troubles[r->trouble_count++] = loads.troubles[i];
    generations_judge(&history, &loads, p, &rules, &r->generations);
    for (uint32_t i = 0; i < history_count(&history); i++)
        r->never_accepted += waited_in_vain(&history.updates[i], times);
}

void collect(struct shared *shared, const struct population *population,
             const struct collect_times *times, struct result *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->plan = shared->plan;
    ret->seconds = (double)(times->end_ns - times->begin_ns) / 1e9;
    ret->begin_ns = times->begin_ns;
    ret->bound_ns = checker_bound_ns(shared->plan.trust_ms, shared->plan.late_ms);
    ret->origin_peak = atomic_load_explicit(&shared->origin_peak, memory_order_relaxed);
    ret->origin_cap = (int32_t)(shared->plan.loads_per_node * shared->plan.nodes);
    ret->loads = atomic_load_explicit(&shared->origin_loads, memory_order_relaxed);
    for (uint32_t i = 0; i < shared->plan.nodes; i++)
        add_node(ret, &shared->nodes[i], shared->plan.threads, times->fault_ns);
    for (uint32_t i = 0; i < shared->plan.nodes; i++)
        ret->timelines[i] = shared->nodes[i].timeline;
    if (shared->plan.check)
        judge_loads(ret, shared, population, times);
}
