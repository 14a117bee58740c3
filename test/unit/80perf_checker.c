// SPDX-License-Identifier: MIT
/*
 * The main job's judges are judged: histories with known faults, each of which they must find, and
 * histories that look wrong but are not, which they must let pass.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "nodes/calls.h"
#include "nodes/checker.h"
#include "nodes/generations.h"
#include "nodes/page.h"
#include "nodes/stalls.h"
#include "support/check.h"
#include "support/hash.h"

#define MS 1000000ull
#define PACKAGES 100u
#define KEYS 110u
#define SLOTS 65536u
#define BOUND_NS (3000 * MS)

/* ---- a world of hand-made times ---- */

struct world {
    void *history_memory;
    void *loads_memory;
    struct history history;
    struct loads loads;
    struct population population;
    struct text names[KEYS + 1];
    char text[KEYS + 1][8];
    uint32_t edge_start[PACKAGES + 2];
    uint32_t edges[2]; /* package 1 depends on 2 and 3 */
    struct checker checker;
    struct checker_tally *tally;
    struct generations_rules rules;
};

static struct world *world_create(void)
{
    struct world *w = calloc(1, sizeof(*w));
    REQUIRE(w);
    w->history_memory = calloc(1, history_bytes(PACKAGES, 64));
    w->loads_memory = calloc(1, loads_bytes(64));
    w->tally = calloc(1, sizeof(*w->tally));
    REQUIRE(w->history_memory && w->loads_memory && w->tally);
    w->history = history_at(w->history_memory, PACKAGES, 64);
    w->loads = loads_at(w->loads_memory, 64);
    for (uint32_t key = 1; key <= KEYS; key++) {
        snprintf(w->text[key], sizeof(w->text[key]), "p%u", key);
        w->names[key] = text_of(w->text[key]);
    }
    w->edges[0] = 2;
    w->edges[1] = 3;
    for (uint32_t package = 2; package <= PACKAGES + 1; package++)
        w->edge_start[package] = 2;
    w->population = (struct population){.packages = PACKAGES,
                                        .keys = KEYS,
                                        .names = w->names,
                                        .edge_start = w->edge_start,
                                        .edges = w->edges};
    w->checker = (struct checker){&w->history, PACKAGES, 0, BOUND_NS, 0, NULL};
    w->rules = (struct generations_rules){.nodes = 2,
                                          .group_slots = SLOTS,
                                          .value_ttl_ns = 54000 * MS,
                                          .absent_ttl_ns = 4500 * MS,
                                          .bound_ns = 100 * MS,
                                          .again_ns = 10000 * MS,
                                          .end_ns = 100000 * MS};
    return w;
}

static void world_destroy(struct world *w)
{
    free(w->history_memory);
    free(w->loads_memory);
    free(w->tally);
    free(w);
}

/* Node 0 gives `package` its next revision; the call lasts from `call` to `end` (ms); 0: queued. */
static uint32_t world_update(struct world *w, uint32_t package, uint32_t revision, uint64_t call,
                             uint64_t accepted)
{
    uint32_t i = history_reserve(&w->history);
    struct update what = {.package = package, .revision = revision, .committed_ns = call * MS};
    REQUIRE(i != HISTORY_FULL);
    history_commit(&w->history, i, &what);
    struct update *u = &w->history.updates[i];
    atomic_store_explicit(&u->call_ns, call * MS, memory_order_relaxed);
    atomic_store_explicit(&u->returned_ns, (accepted ? accepted : call) * MS, memory_order_relaxed);
    atomic_store_explicit(&u->queued, accepted == 0, memory_order_relaxed);
    if (accepted)
        history_accepted(&w->history, i, accepted * MS);
    return i;
}

static uint64_t world_read(struct world *w, uint32_t key, bool fresh, uint64_t begin,
                           const struct page_version *versions, uint32_t count)
{
    struct page_buffer page = {0};
    page_clear(&page);
    for (uint32_t i = 0; i < count; i++)
        page_add_version(&page, versions[i].package, versions[i].revision);
    struct text bytes = count ? page_finish(&page) : (struct text){NULL, 0};
    struct checker_read read = {.key = key,
                                .begin_ns = begin * MS,
                                .fresh = fresh,
                                .page = bytes.data,
                                .page_len = bytes.len};
    checker_judge(&w->checker, &read, w->tally);
    page_free(&page);
    return checker_violations(w->tally);
}

static void world_load(struct world *w, uint32_t key, uint32_t node, uint64_t begin, uint64_t end)
{
    struct load load = {.begin_ns = begin * MS,
                        .start_ns = begin * MS,
                        .end_ns = end * MS,
                        .look_ns = begin * MS,
                        .key = key,
                        .node = (uint8_t)node,
                        .found = key <= PACKAGES};
    loads_add(&w->loads, &load);
}

/* Node 0 loads page 1 from 1300 to 1310 ms, after a look. */
static struct load world_look(enum load_look look)
{
    return (struct load){.begin_ns = 1300 * MS,
                         .start_ns = 1300 * MS,
                         .end_ns = 1310 * MS,
                         .look_ns = 1299 * MS,
                         .key = 1,
                         .look = (uint8_t)look,
                         .found = true};
}

static void world_trouble(struct world *w, enum trouble_kind kind, uint32_t node, uint64_t from,
                          uint64_t to)
{
    struct trouble t = {.from_ns = from * MS, .to_ns = to * MS, .node = node, .kind = kind};
    loads_add_trouble(&w->loads, &t);
}

static struct generations_result world_judge(struct world *w)
{
    struct generations_result result;
    generations_judge(&w->history, &w->loads, &w->population, &w->rules, &result);
    return result;
}

/* ---- reads ---- */

/* What a fault allows is for reads during it, and for as long afterwards as they may be late. */
TEST(what_a_fault_allows_is_allowed_during_it)
{
    struct world *w = world_create();
    struct page_version shown[] = {{1, 7}, {2, 3}};
    struct checker_allowance allowance = {.from_ns = 0};
    w->checker.allowed_ns = 3000 * MS;
    w->checker.allowance = &allowance;
    world_update(w, 1, 8, 1000, 1001);
    CHECK_EQ(world_read(w, 1, true, 5000, shown, 2), 1); /* no fault has begun */
    allowance.from_ns = 5000 * MS;
    CHECK_EQ(world_read(w, 1, true, 4999, shown, 2), 2); /* that was before it */
    CHECK_EQ(world_read(w, 1, true, 5000, shown, 2), 2);
    CHECK_EQ(world_read(w, 1, true, 7002, shown, 2), 3);
    allowance.over_ns = 18000 * MS;
    shown[0].revision = 8;
    world_update(w, 1, 9, 20000, 20001);
    CHECK_EQ(world_read(w, 1, true, 23999, shown, 2), 3);
    CHECK_EQ(world_read(w, 1, true, 24001, shown, 2), 4); /* the fault is long over */
    world_destroy(w);
}

TEST(fresh_and_late_beyond_the_bound_is_found)
{
    struct world *w = world_create();
    struct page_version shown[] = {{1, 7}, {2, 3}};
    world_update(w, 1, 8, 1000, 1001);
    CHECK_EQ(world_read(w, 1, true, 500, shown, 2), 0);  /* before the update */
    CHECK_EQ(world_read(w, 1, true, 4000, shown, 2), 0); /* late, within the bound */
    CHECK_EQ(w->tally->late_fresh, 1);
    CHECK_EQ(world_read(w, 1, true, 4002, shown, 2), 1);
    CHECK_EQ(w->tally->faults[CHECKER_LATE], 1);
    CHECK_EQ(w->tally->examples[0].late_ns, 3001 * MS);
    world_destroy(w);
}

TEST(every_version_on_the_page_is_judged)
{
    struct world *w = world_create();
    struct page_version shown[] = {{1, 7}, {2, 3}, {3, 1}};
    world_update(w, 3, 2, 1000, 1001);
    CHECK_EQ(world_read(w, 1, true, 9000, shown, 3), 1);
    CHECK_EQ(w->tally->examples[0].package, 3);
    world_destroy(w);
}

TEST(stale_reads_and_unaccepted_updates_are_no_violation)
{
    struct world *w = world_create();
    struct page_version shown[] = {{1, 7}};
    world_update(w, 1, 8, 1000, 1001);
    CHECK_EQ(world_read(w, 1, false, 90000, shown, 1), 0);
    CHECK_EQ(w->tally->late_stale, 1);
    struct page_version other[] = {{2, 1}};
    world_update(w, 2, 2, 1000, 0); /* queued: Redis has not accepted it */
    CHECK_EQ(world_read(w, 2, true, 90000, other, 1), 0);
    CHECK_EQ(w->tally->late_fresh, 0);
    world_destroy(w);
}

TEST(lateness_counts_from_the_first_acceptance_of_any_later_version)
{
    struct world *w = world_create();
    struct page_version shown[] = {{1, 7}};
    world_update(w, 1, 8, 1000, 9000); /* accepted after the one that came later */
    world_update(w, 1, 9, 1500, 1501);
    CHECK_EQ(world_read(w, 1, true, 4600, shown, 1), 1);
    CHECK_EQ(w->tally->examples[0].late_ns, 3099 * MS);
    world_destroy(w);
}

TEST(fresh_after_the_node_has_applied_it_is_found_at_once)
{
    struct world *w = world_create();
    struct page_version shown[] = {{1, 7}};
    uint32_t u = world_update(w, 1, 8, 1000, 1001);
    history_applied(&w->history, u, 1, 1002 * MS); /* the other node: says nothing about ours */
    CHECK_EQ(world_read(w, 1, true, 1010, shown, 1), 0);
    history_applied(&w->history, u, 0, 1005 * MS);
    CHECK_EQ(world_read(w, 1, true, 1004, shown, 1), 0); /* the call began before */
    CHECK_EQ(world_read(w, 1, true, 1010, shown, 1), 1);
    CHECK_EQ(w->tally->faults[CHECKER_APPLIED], 1);
    world_destroy(w);
}

TEST(a_wrong_page_is_found)
{
    struct world *w = world_create();
    struct page_version shown[] = {{2, 1}};
    struct checker_read garbage = {.key = 2, .page = "short", .page_len = 5};
    CHECK_EQ(world_read(w, 2, true, 10, shown, 1), 0);
    CHECK_EQ(world_read(w, 105, true, 10, NULL, 0), 0);  /* absent, and rightly so */
    CHECK_EQ(world_read(w, 1, true, 10, shown, 1), 1);   /* another page */
    CHECK_EQ(world_read(w, 2, true, 10, NULL, 0), 2);    /* a package that is said to be absent */
    CHECK_EQ(world_read(w, 105, true, 10, shown, 1), 3); /* an absent name with a page */
    checker_judge(&w->checker, &garbage, w->tally);
    CHECK_EQ(w->tally->faults[CHECKER_MISTAKEN], 4);
    CHECK_EQ(w->tally->judged, 6);
    world_destroy(w);
}

/* A snapshot of 1000 ms is loaded from 2000 to 2010 ms. */
static void world_forgets(struct world *w)
{
    history_snapshot(&w->history, 1000 * MS);
    history_forgetting(&w->history, 2000 * MS);
    history_forgotten(&w->history, 2010 * MS, 2010 * MS + BOUND_NS);
}

TEST(what_redis_forgot_counts_from_when_it_forgot)
{
    struct world *w = world_create();
    struct page_version shown[] = {{1, 7}};
    uint32_t u = world_update(w, 1, 8, 1100, 1101);
    history_applied(&w->history, u, 0, 1102 * MS);
    CHECK_EQ(world_read(w, 1, true, 1900, shown, 1), 1); /* nothing is forgotten yet */
    world_forgets(w);
    CHECK_EQ(world_read(w, 1, true, 5009, shown, 1), 1); /* it came back with the snapshot */
    CHECK_EQ(world_read(w, 1, true, 5011, shown, 1), 2); /* nodes must have learnt of it */
    CHECK_EQ(w->tally->faults[CHECKER_LATE], 1);
    world_destroy(w);
}

TEST(while_redis_forgets_nothing_is_late)
{
    struct world *w = world_create();
    struct page_version shown[] = {{1, 7}};
    world_update(w, 1, 8, 1100, 1101);
    history_snapshot(&w->history, 1000 * MS);
    CHECK_EQ(world_read(w, 1, true, 5000, shown, 1), 1); /* a snapshot alone excuses nothing */
    history_forgetting(&w->history, 2000 * MS);
    CHECK_EQ(world_read(w, 1, true, 5000, shown, 1), 1);
    world_destroy(w);
}

TEST(what_the_snapshot_holds_and_what_came_after_it_excuse_nothing)
{
    struct world *w = world_create();
    struct page_version before[] = {{1, 7}}, after[] = {{2, 1}};
    world_forgets(w);
    world_update(w, 1, 8, 900, 901); /* accepted before the snapshot was taken */
    CHECK_EQ(world_read(w, 1, true, 3900, before, 1), 0);
    CHECK_EQ(world_read(w, 1, true, 3902, before, 1), 1);
    uint32_t u = world_update(w, 2, 2, 2100, 2101); /* called after it was loaded */
    history_applied(&w->history, u, 0, 2102 * MS);
    CHECK_EQ(world_read(w, 2, true, 5009, after, 1), 1); /* a forgetful clock may hide it so long */
    CHECK_EQ(world_read(w, 2, true, 5011, after, 1), 2);
    CHECK_EQ(w->tally->faults[CHECKER_APPLIED], 1);
    CHECK_EQ(world_read(w, 2, true, 5102, after, 1), 3);
    CHECK_EQ(w->tally->faults[CHECKER_LATE], 2);
    world_destroy(w);
}

/* Wherever it was accepted: the server that knew may be one that everybody has left. */
TEST(a_change_that_a_server_took_with_it_is_late_all_the_same)
{
    struct world *w = world_create();
    struct page_version shown[] = {{1, 7}};
    world_update(w, 1, 8, 1000, 1001);
    world_trouble(w, TROUBLE_AWAY, 0, 1500, 1600);
    world_trouble(w, TROUBLE_RENEWED, 0, 1600, 1610);
    world_trouble(w, TROUBLE_ISSUED_AGAIN, 0, 1600, 1650);
    CHECK_EQ(world_read(w, 1, true, 4002, shown, 1), 1);
    world_destroy(w);
}

/* ---- calls ---- */

TEST(a_call_beyond_its_deadline_is_found_unless_its_node_stood_still)
{
    struct calls calls = {0}, all = {.worst_ns = 5600 * MS};
    calls_note(&calls, 5000 * MS, 5900 * MS, 0); /* within the slack */
    CHECK_EQ(calls.overdue, 0);
    calls_note(&calls, 5000 * MS, 10500 * MS, 5000 * MS);
    CHECK_EQ(calls.overdue, 0);
    CHECK_EQ(calls.longest_ns, 10500 * MS);
    CHECK_EQ(calls.worst_ns, 5900 * MS); /* that of the one which no stall excuses */
    CHECK(calls_are_worse(&calls, 5000 * MS, 6000 * MS));
    CHECK(!calls_are_worse(&calls, 6000 * MS, 5800 * MS));
    calls_note(&calls, 5000 * MS, 7500 * MS, 1000 * MS);
    CHECK_EQ(calls.overdue, 1);
    CHECK_EQ(calls.overdue_ns, 500 * MS);
    calls_add(&all, &calls);
    calls_add(&all, &calls);
    CHECK_EQ(all.overdue, 2);
    CHECK_EQ(all.worst_ns, 6500 * MS);
    CHECK_EQ(all.longest_ns, 10500 * MS);
}

TEST(what_the_control_thread_did_not_run_was_a_stall)
{
    struct stalls stalls = {.ran_ns = 700 * MS};
    CHECK_EQ(stalls_in(&stalls, 200 * MS, 500 * MS), 0);
    CHECK_EQ(stalls_in(&stalls, 200 * MS, 499 * MS), 0); /* it reads after the call has */
    CHECK_EQ(stalls_in(&stalls, 200 * MS, 5500 * MS), 5000 * MS);
}

/* ---- loads ---- */

TEST(two_loads_of_one_generation_are_found)
{
    struct world *w = world_create();
    world_load(w, 1, 0, 100, 110);
    world_load(w, 1, 1, 105, 112); /* at the same time, by the other node */
    world_load(w, 2, 0, 100, 110);
    world_load(w, 2, 0, 900, 910); /* again, much later */
    world_load(w, 2, 0, 950, 960);
    struct generations_result r = world_judge(w);
    CHECK_EQ(r.loads, 5);
    CHECK_EQ(r.keys, 2);
    CHECK_EQ(r.unexplained, 3);
    CHECK_EQ(r.loads_max, 3);
    world_destroy(w);
}

TEST(an_invalidation_between_explains_a_load)
{
    struct world *w = world_create();
    world_load(w, 1, 0, 100, 110);
    world_load(w, 1, 1, 500, 510); /* its own update */
    world_load(w, 1, 0, 900, 910); /* its dependency's */
    world_load(w, 4, 0, 100, 110);
    world_load(w, 4, 0, 900, 910); /* no concern of package 4: a second load */
    world_update(w, 1, 2, 300, 301);
    world_update(w, 2, 2, 700, 701);
    struct generations_result r = world_judge(w);
    CHECK_EQ(r.by_invalidation, 2);
    CHECK_EQ(r.unexplained, 1);
    CHECK_EQ(r.examples[0].first.key, 4);
    world_destroy(w);
}

TEST(one_invalidation_ends_one_generation)
{
    struct world *w = world_create();
    uint32_t u = world_update(w, 2, 2, 300, 301);
    history_applied(&w->history, u, 0, 301 * MS);
    history_applied(&w->history, u, 1, 305 * MS);
    world_load(w, 1, 0, 100, 110);
    world_load(w, 1, 1, 302, 304); /* before its node has applied it: void */
    world_load(w, 1, 1, 306, 308);
    CHECK_EQ(world_judge(w).unexplained, 0);
    world_load(w, 1, 0, 320, 330); /* but then it is loaded */
    CHECK_EQ(world_judge(w).unexplained, 1);
    world_destroy(w);
}

/* The probe is gone before its node says how far it has come: a load just behind is as before. */
TEST(a_load_just_behind_a_probe_may_be_void)
{
    struct world *w = world_create();
    w->rules.turn_ns = 50 * MS;
    uint32_t u = world_update(w, 2, 2, 300, 301);
    history_applied(&w->history, u, 0, 301 * MS);
    history_applied(&w->history, u, 1, 305 * MS);
    world_load(w, 1, 1, 306, 308);
    world_load(w, 1, 0, 320, 330);
    CHECK_EQ(world_judge(w).unexplained, 0);
    world_load(w, 1, 0, 360, 370); /* the one before may have been void as well */
    CHECK_EQ(world_judge(w).unexplained, 0);
    world_load(w, 1, 0, 400, 410);
    CHECK_EQ(world_judge(w).unexplained, 1);
    world_destroy(w);
}

/* Tags that share a group slot fall together: real names, found by search. */
TEST(a_tag_in_the_same_slot_explains_a_load)
{
    struct world *w = world_create();
    static char name[16];
    uint32_t wanted = hash_tag_slot(w->names[2], SLOTS);
    for (uint32_t i = 0; w->names[50].data == w->text[50]; i++) {
        snprintf(name, sizeof(name), "x%u", i);
        if (hash_tag_slot(text_of(name), SLOTS) == wanted)
            w->names[50] = text_of(name);
    }
    world_load(w, 1, 0, 100, 110);
    world_load(w, 1, 0, 900, 910);
    CHECK_EQ(world_judge(w).unexplained, 1);
    world_update(w, 50, 2, 500, 501);
    CHECK_EQ(world_judge(w).unexplained, 0);
    world_destroy(w);
}

TEST(expiry_explains_a_load)
{
    struct world *w = world_create();
    world_load(w, 105, 0, 100, 110);
    world_load(w, 105, 1, 4700, 4710);
    world_load(w, 105, 1, 8000, 8010); /* too early */
    world_load(w, 1, 0, 100, 110);
    world_load(w, 1, 0, 60000, 60010);
    struct generations_result r = world_judge(w);
    CHECK_EQ(r.by_expiry, 2);
    CHECK_EQ(r.unexplained, 1);
    world_destroy(w);
}

TEST(without_redis_each_process_may_load_once)
{
    struct world *w = world_create();
    world_trouble(w, TROUBLE_AWAY, 0, 1000, 3000);
    world_trouble(w, TROUBLE_AWAY, 1, 1000, 3100);
    world_load(w, 1, 0, 1100, 1110);
    world_load(w, 1, 1, 1200, 1210); /* the other process: its own */
    struct generations_result r = world_judge(w);
    CHECK_EQ(r.unexplained, 0);
    CHECK_EQ(r.outage_loads_max, 1);
    world_load(w, 1, 1, 1300, 1310); /* the same process: too much */
    r = world_judge(w);
    CHECK_EQ(r.unexplained, 1);
    CHECK_EQ(r.outage_loads_max, 2);
    CHECK_EQ(r.loads_max, 1);
    world_destroy(w);
}

TEST(an_evicted_page_may_be_loaded_again_without_redis)
{
    struct world *w = world_create();
    struct load again = world_look(LOAD_LOOKED_EMPTY);
    world_trouble(w, TROUBLE_AWAY, 0, 1000, 3000);
    world_load(w, 1, 0, 1100, 1110);
    loads_add(&w->loads, &again);
    struct generations_result r = world_judge(w);
    CHECK_EQ(r.unexplained, 0);
    CHECK_EQ(r.by_eviction, 1);
    again.start_ns = 1350 * MS;
    again.look_ns = 1305 * MS; /* the look began while the load before still ran */
    loads_add(&w->loads, &again);
    CHECK_EQ(world_judge(w).unexplained, 1);
    world_destroy(w);
}

/* Changes are still queued, but the clients think that Redis is in reach, and look no more. */
TEST(a_page_lost_in_an_outage_may_be_loaded_while_changes_wait)
{
    struct world *w = world_create();
    uint32_t u = world_update(w, 4, 2, 1500, 0); /* of another page */
    w->rules.redis_up_ns = 2000 * MS;
    history_accepted(&w->history, u, 2500 * MS);
    world_trouble(w, TROUBLE_AWAY, 0, 1000, 2000);
    world_load(w, 1, 0, 1100, 1110);
    world_load(w, 1, 0, 2300, 2310);
    struct generations_result r = world_judge(w);
    CHECK_EQ(r.unexplained, 0);
    CHECK_EQ(r.by_eviction, 1);
    world_destroy(w);
}

TEST(a_look_that_finds_the_page_excuses_nothing)
{
    struct world *w = world_create();
    struct load again = world_look(LOAD_LOOKED_FULL);
    world_trouble(w, TROUBLE_AWAY, 0, 1000, 3000);
    world_load(w, 1, 0, 100, 110);
    loads_add(&w->loads, &again);
    CHECK_EQ(world_judge(w).unexplained, 1);
    world_destroy(w);
}

TEST(a_node_that_has_redis_loads_once_whatever_befalls_another)
{
    struct world *w = world_create();
    world_trouble(w, TROUBLE_AWAY, 0, 1000, 3000);
    world_load(w, 1, 1, 1100, 1110);
    world_load(w, 1, 0, 1150, 1160); /* has none: its own */
    CHECK_EQ(world_judge(w).unexplained, 0);
    world_load(w, 1, 1, 1300, 1310);
    struct generations_result r = world_judge(w);
    CHECK_EQ(r.unexplained, 1);
    CHECK_EQ(r.outage_loads_max, 2);
    world_trouble(w, TROUBLE_AWAY, 1, 1200, 1250); /* it had none either, for a moment */
    CHECK_EQ(world_judge(w).unexplained, 0);
    world_destroy(w);
}

TEST(two_that_have_redis_load_once_whatever_befalls_a_third)
{
    struct world *w = world_create();
    w->rules.nodes = 3;
    world_trouble(w, TROUBLE_AWAY, 0, 1000, 3000);
    world_load(w, 1, 1, 1100, 1110);
    world_load(w, 1, 2, 1300, 1310);
    CHECK_EQ(world_judge(w).unexplained, 1);
    world_update(w, 1, 2, 1200, 1201);
    CHECK_EQ(world_judge(w).unexplained, 0);
    world_destroy(w);
}

/* Its client had asked itself whether to look, and then they knew. */
TEST(who_asks_before_the_outage_is_known_need_not_look)
{
    struct world *w = world_create();
    struct load again = world_look(LOAD_NOT_LOOKED);
    struct trouble t = {1000 * MS, 1300 * MS - 1, 3000 * MS, 0, TROUBLE_AWAY};
    loads_add_trouble(&w->loads, &t);
    world_load(w, 1, 0, 1290, 1310);
    again.start_ns = again.begin_ns = 1320 * MS;
    loads_add(&w->loads, &again); /* asked at 1299 */
    CHECK_EQ(world_judge(w).unexplained, 0);
    again.look_ns = again.start_ns = again.begin_ns = 1330 * MS;
    loads_add(&w->loads, &again);
    CHECK_EQ(world_judge(w).unexplained, 1);
    world_destroy(w);
}

TEST(what_no_probe_showed_was_applied_before_what_one_showed)
{
    struct world *w = world_create();
    w->rules.bound_ns = BOUND_NS;
    world_update(w, 2, 2, 1000, 1010); /* page 1 shows it */
    world_load(w, 1, 1, 1100, 1110);
    world_load(w, 1, 1, 1200, 1210);
    CHECK_EQ(world_judge(w).unexplained, 0); /* nothing says when node 1 had applied it */
    uint32_t u = world_update(w, 50, 2, 1005, 1020);
    history_applied(&w->history, u, 1, 1030 * MS); /* may have been accepted before it */
    CHECK_EQ(world_judge(w).unexplained, 0);
    u = world_update(w, 51, 2, 1015, 1030);
    history_applied(&w->history, u, 1, 1150 * MS);
    CHECK_EQ(world_judge(w).unexplained, 0); /* still under way when the first load began */
    u = world_update(w, 52, 2, 1040, 1050);
    history_applied(&w->history, u, 1, 1060 * MS);
    CHECK_EQ(world_judge(w).unexplained, 1);
    world_destroy(w);
}

TEST(its_own_changes_do_not_tell_what_else_a_node_has_applied)
{
    struct world *w = world_create();
    w->rules.bound_ns = BOUND_NS;
    world_update(w, 2, 2, 1000, 1010);
    uint32_t u = world_update(w, 50, 2, 1040, 1050);
    w->history.updates[u].node = 1;
    history_applied(&w->history, u, 1, 1050 * MS);
    world_load(w, 1, 1, 1100, 1110);
    world_load(w, 1, 1, 1200, 1210);
    CHECK_EQ(world_judge(w).unexplained, 0);
    world_destroy(w);
}

TEST(a_renewal_lets_everything_be_loaded_once)
{
    struct world *w = world_create();
    world_trouble(w, TROUBLE_RENEWED, 0, 1000, 1010);
    world_trouble(w, TROUBLE_RENEWED, 1, 1000, 1020);
    world_load(w, 1, 0, 100, 110);
    world_load(w, 1, 1, 1050, 1060);
    CHECK_EQ(world_judge(w).unexplained, 0);
    world_load(w, 1, 0, 1070, 1080);
    CHECK_EQ(world_judge(w).unexplained, 1);
    world_destroy(w);
}

TEST(a_queued_invalidation_counts_where_it_is_applied)
{
    struct world *w = world_create();
    uint32_t u = world_update(w, 1, 2, 1500, 0); /* by node 0, Redis is away */
    w->rules.redis_up_ns = 3000 * MS;
    world_trouble(w, TROUBLE_AWAY, 0, 1000, 3500);
    world_trouble(w, TROUBLE_AWAY, 1, 1000, 3500);
    history_accepted(&w->history, u, 3600 * MS);
    world_load(w, 1, 0, 1400, 1410);
    world_load(w, 1, 0, 1600, 1610); /* applied here at once */
    world_load(w, 1, 1, 1700, 1710); /* Redis may have executed it and died: not judged */
    CHECK_EQ(world_judge(w).unexplained, 0);
    world_load(w, 1, 1, 2000, 2010); /* it did not */
    CHECK_EQ(world_judge(w).unexplained, 1);
    world_load(w, 1, 1, 3650, 3660); /* accepted: it reaches both */
    CHECK_EQ(world_judge(w).unexplained, 1);
    world_destroy(w);
}

TEST(its_own_node_is_done_when_the_call_returns)
{
    struct world *w = world_create();
    world_update(w, 1, 2, 1500, 0);
    w->rules.redis_up_ns = 3000 * MS;
    world_trouble(w, TROUBLE_AWAY, 0, 1000, 3500);
    world_load(w, 1, 0, 1400, 1410);
    world_load(w, 1, 0, 1510, 1520);
    CHECK_EQ(world_judge(w).unexplained, 0);
    world_load(w, 1, 0, 1550, 1560);
    CHECK_EQ(world_judge(w).unexplained, 1);
    world_destroy(w);
}

TEST(what_befell_one_node_excuses_no_other_without_redis)
{
    struct world *w = world_create();
    world_trouble(w, TROUBLE_AWAY, 0, 1000, 2000);
    world_trouble(w, TROUBLE_RENEWED, 0, 2000, 2010);
    world_trouble(w, TROUBLE_AWAY, 1, 1000, 3000);
    world_load(w, 1, 1, 1500, 1510);
    world_load(w, 1, 1, 2500, 2510);
    CHECK_EQ(world_judge(w).unexplained, 1);
    world_destroy(w);
}

TEST(a_change_issued_again_ends_a_generation_again)
{
    struct world *w = world_create();
    world_update(w, 2, 2, 1000, 1001); /* by node 0; page 1 shows it */
    world_trouble(w, TROUBLE_RENEWED, 0, 3000, 3010);
    world_trouble(w, TROUBLE_RENEWED, 1, 3000, 3010);
    world_load(w, 1, 0, 3020, 3030);
    world_load(w, 1, 1, 3200, 3210);
    CHECK_EQ(world_judge(w).unexplained, 1);
    world_trouble(w, TROUBLE_ISSUED_AGAIN, 0, 3000, 3050);
    struct generations_result r = world_judge(w);
    CHECK_EQ(r.unexplained, 0);
    CHECK_EQ(r.by_invalidation, 1);
    world_load(w, 1, 1, 3300, 3310); /* it has been applied everywhere for long */
    CHECK_EQ(world_judge(w).unexplained, 1);
    world_destroy(w);
}

TEST(only_its_own_late_changes_are_issued_again)
{
    struct world *w = world_create();
    world_update(w, 2, 2, 1000, 1001); /* by node 0: too long ago */
    world_trouble(w, TROUBLE_ISSUED_AGAIN, 0, 12000, 12050);
    world_load(w, 1, 0, 12010, 12020);
    world_load(w, 1, 1, 12040, 12045);
    CHECK_EQ(world_judge(w).unexplained, 1);
    world_update(w, 2, 3, 15000, 15001); /* not node 1's */
    world_trouble(w, TROUBLE_ISSUED_AGAIN, 1, 20000, 20050);
    world_load(w, 1, 0, 20010, 20020);
    world_load(w, 1, 1, 20030, 20040);
    CHECK_EQ(world_judge(w).unexplained, 2);
    world_load(w, 4, 0, 12010, 12020); /* nor a page that does not show it */
    world_load(w, 4, 1, 12040, 12045);
    CHECK_EQ(world_judge(w).unexplained, 3);
    world_destroy(w);
}

TEST(what_a_loaded_snapshot_lacks_may_be_loaded_again_once)
{
    struct world *w = world_create();
    world_forgets(w);
    world_load(w, 1, 0, 1500, 1510);
    world_load(w, 1, 1, 2100, 2110);
    CHECK_EQ(world_judge(w).unexplained, 0);
    world_load(w, 1, 0, 2200, 2210);
    CHECK_EQ(world_judge(w).unexplained, 1);
    world_load(w, 2, 0, 1100, 1110); /* both in the time that was forgotten, and before */
    world_load(w, 2, 0, 1500, 1510);
    CHECK_EQ(world_judge(w).unexplained, 2);
    world_destroy(w);
}

/* The harness wrote the wire hash down a second time: both must say the same. */
TEST(tag_slots_are_those_of_the_library)
{
    char tag[16];
    for (uint32_t i = 0; i < 1000; i++) {
        struct bytes none = bytes_of("", 0);
        snprintf(tag, sizeof(tag), "tag-%u", i * 7919);
        uint64_t hash = hash_wire(WIRE_TAG, none, bytes_of_string(tag));
        CHECK_EQ(hash_tag_slot(text_of(tag), SLOTS), hash_group_slot(WIRE_TAG, hash, SLOTS));
        CHECK_EQ(hash_tag_slot(text_of(tag), 4096), hash_group_slot(WIRE_TAG, hash, 4096));
    }
}

TEST(a_full_log_says_so)
{
    struct world *w = world_create();
    for (uint32_t i = 0; i < 70; i++)
        world_load(w, 1 + i, 0, 100, 110);
    CHECK_EQ(loads_count(&w->loads), 64);
    CHECK_EQ(loads_lost(&w->loads), 6);
    world_destroy(w);
}
