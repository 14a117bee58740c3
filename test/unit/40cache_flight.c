// SPDX-License-Identifier: MIT
// One load for all who miss together, and what becomes of them when it goes wrong: the known bugs
// of other single-flights, each through the public API. Real threads, real time, no Redis.

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cache/space.h"
#include "l1/core.h"
#include "l1/floors.h"
#include "l1/leave.h"
#include "l1/shard.h"
#include "support/origin.h"

#define CROWD 16
/* Loads that a case holds may take this: longer than a busy machine needs to bring the crowd
 * together. */
#define LOAD_MS (3 * WORLD_PATIENCE_MS)

static void open_world(struct world *w, enum nigh_run_on run_on)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.run_on = run_on;
    so.load_deadline_ms = LOAD_MS;
    world_open(w, NULL, &so);
}

static void start_crowd(struct asker crowd[CROWD], struct world *w, const char *key)
{
    int64_t before = world_count(w, "flight_joined");
    for (int i = 0; i < CROWD; i++)
        asker_start(&crowd[i], w->space, key, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(w, "flight_joined") == before + CROWD - 1);
}

static struct nigh_call within(uint32_t ms)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = ms;
    return call;
}

/* ---- one load ---- */

TEST(all_who_miss_together_share_one_load)
{
    struct world w;
    struct asker crowd[CROWD];
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        open_world(&w, run_on);
        origin_hold(&w.origin);
        start_crowd(crowd, &w, "k");
        origin_let_go(&w.origin);
        for (int i = 0; i < CROWD; i++) {
            asker_join(&crowd[i]);
            CHECK_ANSWER(crowd[i].answer, NIGH_FRESH, "k=1");
            CHECK_EQ(crowd[i].answer.tier, NIGH_TIER_LOADER);
        }
        CHECK_EQ(w.origin.loads, 1);
        CHECK_EQ(world_count(&w, "flight_led"), 1);
        CHECK_EQ(world_count(&w, "flights"), 0);
        world_close(&w);
    }
}

TEST(one_slow_load_does_not_block_another_key)
{
    struct world w;
    struct asker slow;
    open_world(&w, NIGH_RUN_CALLER);
    origin_hold(&w.origin);
    asker_start(&slow, w.space, "slow", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.running == 1);
    w.origin.script = NULL;
    for (int i = 0; i < 1000; i++) { /* every shard of the flight table */
        char key[16];
        int len = snprintf(key, sizeof(key), "k%d", i);
        CHECK_EQ(nigh_put(w.space, key, (size_t)len, "v", 1, NULL), 0);
        CHECK_EQ(nigh_invalidate(w.space, key, (size_t)len, NULL), 0);
        CHECK_EQ(ask_get(w.space, key, NULL).outcome, NIGH_MISS);
    }
    CHECK(!slow.done);
    origin_let_go(&w.origin);
    asker_join(&slow);
    world_close(&w);
}

/* Loads only "slow" slowly. */
static int slow_is_slow(struct origin *o, struct nigh_fill *fill)
{
    size_t len;
    const char *key = nigh_fill_key(fill, &len);
    if (len == 4 && memcmp(key, "slow", 4) == 0)
        return origin_answer(o, fill);
    return nigh_fill_value(fill, key, len);
}

TEST(other_keys_load_while_one_is_stuck)
{
    struct world w;
    struct asker slow;
    open_world(&w, NIGH_RUN_CALLER);
    w.origin.script = slow_is_slow;
    origin_hold(&w.origin);
    asker_start(&slow, w.space, "slow", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.running == 1);
    for (int i = 0; i < 500; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        CHECK_ANSWER(ask_fetch(w.space, key, NULL), NIGH_FRESH, key);
    }
    CHECK(!slow.done);
    origin_let_go(&w.origin);
    asker_join(&slow);
    CHECK_ANSWER(slow.answer, NIGH_FRESH, "slow=1");
    world_close(&w);
}

/* ---- failure ---- */

/* A flight begins as an invalidation has raised the floor of its key, and not yet removed what L1
 * has: as good as the ticket is, the value is not to be had by who comes after the removal. */

/* The two steps of l1_invalidate_key(). */
static void raise_floor(struct world *w, const struct l1_key *key)
{
    bool ok;
    floors_raise_key(w->cache->l1->floors, key->hash, 0, &ok);
}

static void remove_entry(struct world *w, const struct l1_key *key)
{
    struct l1 *l1 = w->cache->l1;
    struct l1_shard *s = l1_shard_of(l1, key->hash);
    l1_shard_lock(s);
    struct l1_entry *e = table_entry_in(table_word_of_key(shard_table_locked(s), key));
    if (CHECK(e != NULL))
        l1_shard_drop_locked(l1, s, e, L1_FATE_NONE);
    l1_shard_unlock(l1, s);
}

static int fail_when_let_go(struct origin *o, struct nigh_fill *fill)
{
    while (atomic_load(&o->held))
        check_pause();
    return nigh_fill_error(fill, 99);
}

TEST(what_was_removed_is_no_stale_value_for_who_joins_later)
{
    struct world w;
    struct asker first, beside, later;
    struct nigh_call refresh = NIGH_CALL_INIT;
    refresh.flags = NIGH_REFRESH;
    open_world(&w, NIGH_RUN_CALLER);
    struct l1_key key = l1_key_of(w.cache->l1, w.space->id, "k", 1);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    w.origin.script = fail_when_let_go;
    for (int removed = 0; removed <= 1; removed++) {
        raise_floor(&w, &key); /* or another key that shares it is invalidated */
        origin_hold(&w.origin);
        int64_t joined = world_count(&w, "flight_joined"), loads = world_count(&w, "load");
        asker_start(&first, w.space, "k", &refresh);
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "load") == loads + 1);
        asker_start(&beside, w.space, "k", &refresh);
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flight_joined") == joined + 1);
        if (removed) {
            remove_entry(&w, &key);
            asker_start(&later, w.space, "k", NULL);
            CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flight_joined") == joined + 2);
        }
        origin_let_go(&w.origin);
        asker_join(&first);
        CHECK_ANSWER(first.answer, NIGH_STALE, "k=1"); /* the call began before the removal */
        asker_join(&beside);
        if (removed) {
            CHECK_EQ(beside.answer.outcome, NIGH_ELOADER);
            asker_join(&later);
            CHECK_EQ(later.answer.outcome, NIGH_ELOADER);
        } else {
            CHECK_ANSWER(beside.answer, NIGH_STALE, "k=1");
        }
    }
    world_close(&w);
}

TEST(a_failure_is_told_once_to_all_and_not_retried_one_by_one)
{
    struct world w;
    struct asker crowd[CROWD];
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
        so.run_on = run_on;
        so.error_ttl_ms = NIGH_NONE; /* else it would hide the retries */
        so.load_deadline_ms = LOAD_MS;
        world_open(&w, NULL, &so);
        w.origin.script = fail_when_let_go;
        origin_hold(&w.origin);
        start_crowd(crowd, &w, "k");
        origin_let_go(&w.origin);
        for (int i = 0; i < CROWD; i++) {
            asker_join(&crowd[i]);
            CHECK_EQ(crowd[i].answer.outcome, NIGH_ELOADER);
            CHECK_EQ(crowd[i].load_error, 99);
        }
        CHECK_EQ(w.origin.loads, 1);
        w.origin.script = NULL;
        CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1"); /* not poisoned */
        world_close(&w);
    }
}

/* ---- deadlines ---- */

TEST(on_caller_the_deadline_binds_the_followers)
{
    struct world w;
    struct asker leader;
    open_world(&w, NIGH_RUN_CALLER);
    origin_hold(&w.origin);
    asker_start(&leader, w.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.running == 1);
    struct nigh_call call = within(50);
    uint64_t began_ms = check_now_ms();
    CHECK_EQ(ask_fetch(w.space, "k", &call).outcome, NIGH_ETIMEDOUT);
    CHECK_GE(check_now_ms() - began_ms, 49);
    CHECK(!leader.done);
    origin_let_go(&w.origin);
    asker_join(&leader);
    CHECK_ANSWER(leader.answer, NIGH_FRESH, "k=1"); /* nobody killed the load */
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(w.origin.loads, 1);
    world_close(&w);
}

static bool times_out(struct world *w)
{
    struct nigh_call call = within(50);
    return CHECK_EQ(ask_fetch(w->space, "k", &call).outcome, NIGH_ETIMEDOUT);
}

TEST(on_worker_the_deadline_binds_everyone_and_the_load_goes_on)
{
    struct world w;
    open_world(&w, NIGH_RUN_WORKER);
    origin_hold(&w.origin);
    /* The leader itself, then a follower; again, should the time have passed before it was one. */
    CHECK_WITHIN(WORLD_PATIENCE_MS, times_out(&w) && world_count(&w, "flight_led") == 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, times_out(&w) && world_count(&w, "flight_joined") >= 1);
    int64_t joined = world_count(&w, "flight_joined");
    struct asker patient;
    asker_start(&patient, w.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flight_joined") == joined + 1);
    origin_let_go(&w.origin);
    asker_join(&patient);
    CHECK_ANSWER(patient.answer, NIGH_FRESH, "k=1");
    CHECK_EQ(w.origin.loads, 1);
    CHECK_EQ(world_count(&w, "flight_led"), 1);
    world_close(&w);
}

#define OVERRUN_MS 1500 /* a load has to begin within it, on a busy machine */

TEST(a_flight_past_its_deadline_is_left_and_another_begins)
{
    struct world w;
    struct asker first;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.load_deadline_ms = OVERRUN_MS;
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        so.run_on = run_on;
        world_open(&w, NULL, &so);
        origin_hold(&w.origin);
        struct nigh_call call = within(5000);
        asker_start(&first, w.space, "k", &call);
        CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.running == 1);
        uint64_t end_ms = check_now_ms() + OVERRUN_MS + 20;
        while (check_now_ms() < end_ms)
            check_pause();
        w.origin.script = slow_is_slow; /* from now on the origin answers */
        /* More than once, should a busy machine let the second flight's deadline pass as well. */
        CHECK_WITHIN(WORLD_PATIENCE_MS, strcmp(ask_fetch(w.space, "k", NULL).text, "k") == 0);
        CHECK_GE(w.origin.loads, 2);
        origin_let_go(&w.origin);
        asker_join(&first);
        CHECK(first.answer.outcome == NIGH_FRESH || first.answer.outcome == NIGH_ETIMEDOUT);
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "load_overrun") >= 1);
        world_close(&w);
    }
}

TEST(a_flight_past_its_deadline_answers_stale_if_it_can)
{
    struct world w;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.load_deadline_ms = 50;
    so.run_on = NIGH_RUN_WORKER;
    world_open(&w, NULL, &so);
    CHECK_EQ(nigh_put(w.space, "k", 1, "k=1", 3, NULL), 0);
    origin_hold(&w.origin);
    struct nigh_call call = within(WORLD_PATIENCE_MS);
    call.flags = NIGH_REFRESH;
    CHECK_ANSWER(ask_fetch(w.space, "k", &call), NIGH_STALE, "k=1");
    origin_let_go(&w.origin);
    world_close(&w);
}

/* ---- loaders that end their thread ---- */

static int exit_once(struct origin *o, struct nigh_fill *fill)
{
    if (o->loads > 1)
        return origin_answer(o, fill);
    while (atomic_load(&o->held))
        check_pause();
    pthread_exit(NULL);
}

/* Joins them. Returns how many have no answer, for their threads have ended. */
static int join_crowd(struct asker crowd[CROWD], int outcome, const char *text)
{
    int lost = 0;
    for (int i = 0; i < CROWD; i++) {
        asker_join(&crowd[i]);
        if (crowd[i].done)
            CHECK_ANSWER(crowd[i].answer, outcome, text);
        else
            lost++;
    }
    return lost;
}

static int exit_always(struct origin *o, struct nigh_fill *fill)
{
    (void)fill;
    while (atomic_load(&o->held))
        check_pause();
    pthread_exit(NULL);
}

TEST(a_leader_that_exits_its_thread_is_replaced_by_a_waiter)
{
    struct world w;
    struct asker crowd[CROWD];
    open_world(&w, NIGH_RUN_CALLER);
    w.origin.script = exit_once;
    origin_hold(&w.origin);
    start_crowd(crowd, &w, "k");
    origin_let_go(&w.origin);
    CHECK_EQ(join_crowd(crowd, NIGH_FRESH, "k=1"), 1);
    CHECK_EQ(w.origin.loads, 2);
    CHECK_EQ(world_count(&w, "flight_replaced"), 1);
    CHECK_EQ(world_count(&w, "flights"), 0);
    world_close(&w);
}

TEST(a_leader_that_exits_alone_leaves_its_key_usable)
{
    struct world w;
    struct asker alone;
    open_world(&w, NIGH_RUN_CALLER);
    w.origin.script = exit_once;
    asker_start(&alone, w.space, "k", NULL);
    asker_join(&alone);
    CHECK(!alone.done);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flights") == 0); /* a worker took it over */
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(w.origin.loads, 2);
    world_close(&w);
}

TEST(a_loader_that_always_exits_fails_its_key_and_no_more)
{
    struct world w;
    struct asker crowd[CROWD];
    open_world(&w, NIGH_RUN_CALLER);
    w.origin.script = exit_always;
    origin_hold(&w.origin);
    start_crowd(crowd, &w, "k");
    origin_let_go(&w.origin);
    int lost = join_crowd(crowd, NIGH_ELOADER, "");
    /* Two threads, and no third. The second may be a worker's: a flight without a leader is theirs
     * when the keeper comes by before a caller of it has woken. */
    CHECK_LE(lost, 2);
    CHECK_GE(lost, 1);
    CHECK_EQ(w.origin.loads, 2);
    CHECK_EQ(w.origin.running, 0);
    w.origin.script = NULL;
    CHECK_ANSWER(ask_fetch(w.space, "other", NULL), NIGH_FRESH, "other=1");
    world_close(&w);
}

TEST(workers_that_a_loader_ends_are_succeeded)
{
    struct world w;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.workers = 2;
    so.run_on = NIGH_RUN_WORKER;
    so.error_ttl_ms = NIGH_NONE;
    world_open(&w, &o, &so);
    w.origin.script = exit_always;
    for (int i = 0; i < 5; i++) { /* ten threads of a pool of two */
        CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_ELOADER);
        CHECK_EQ(w.origin.loads, 2 * (unsigned)i + 2);
    }
    w.origin.script = NULL;
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(world_count(&w, "flights"), 0);
    world_close(&w);
}

/* A load of "outer" fetches "inner" on the same thread, and that one's loader ends the thread. */
static int nested_exit(struct origin *o, struct nigh_fill *fill)
{
    struct world *w = o->arg;
    size_t len;
    const char *key = nigh_fill_key(fill, &len);
    if (len == 5 && memcmp(key, "inner", 5) == 0)
        return o->loads == 2 ? exit_once(&(struct origin){.loads = 0}, fill)
                             : origin_answer(o, fill);
    struct answer a = ask_fetch(w->space, "inner", NULL);
    return nigh_fill_value(fill, a.text, a.len);
}

TEST(a_thread_that_ends_inside_two_loaders_leaves_both_keys_usable)
{
    struct world w;
    struct asker alone;
    open_world(&w, NIGH_RUN_CALLER);
    w.origin.arg = &w;
    w.origin.script = nested_exit;
    asker_start(&alone, w.space, "outer", NULL);
    asker_join(&alone);
    CHECK(!alone.done);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flights") == 0);
    CHECK_ANSWER(ask_fetch(w.space, "outer", NULL), NIGH_FRESH, "inner=1");
    CHECK_ANSWER(ask_fetch(w.space, "inner", NULL), NIGH_FRESH, "inner=1");
    world_close(&w);
}

/* ---- loaders that ask nigh ---- */

static int fetch_own_key(struct origin *o, struct nigh_fill *fill)
{
    struct world *w = o->arg;
    CHECK_EQ(ask_fetch(w->space, "k", NULL).outcome, NIGH_EDEADLK);
    return origin_answer(o, fill);
}

TEST(a_loader_that_fetches_its_own_key_is_told_at_once)
{
    struct world w;
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        open_world(&w, run_on);
        w.origin.arg = &w;
        w.origin.script = fetch_own_key;
        uint64_t began_ms = check_now_ms();
        CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
        CHECK_LT(check_now_ms() - began_ms, WORLD_PATIENCE_MS); /* much less than LOAD_MS */
        CHECK_EQ(world_count(&w, "flight_deadlock"), 1);
        CHECK_EQ(w.origin.loads, 1);
        world_close(&w);
    }
}

/* "a" fetches "b" and "b" fetches "a", once both are loading. */
static int cross(struct origin *o, struct nigh_fill *fill)
{
    struct world *w = o->arg;
    size_t len;
    const char *key = nigh_fill_key(fill, &len);
    while (o->loads < 2)
        check_pause();
    struct answer a = ask_fetch(w->space, *key == 'a' ? "b" : "a", NULL);
    if (a.outcome < 0)
        return nigh_fill_error(fill, a.outcome);
    return nigh_fill_value(fill, a.text, a.len);
}

TEST(a_circle_of_keys_over_two_threads_is_broken_at_once)
{
    struct world w;
    struct asker a, b;
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        open_world(&w, run_on);
        w.origin.arg = &w;
        w.origin.script = cross;
        uint64_t began_ms = check_now_ms();
        asker_start(&a, w.space, "a", NULL);
        asker_start(&b, w.space, "b", NULL);
        asker_join(&a);
        asker_join(&b);
        CHECK_LT(check_now_ms() - began_ms, WORLD_PATIENCE_MS);
        CHECK_EQ(a.answer.outcome, NIGH_ELOADER);
        CHECK_EQ(b.answer.outcome, NIGH_ELOADER);
        /* One was refused for the circle, the other failed because the first did. */
        CHECK((a.load_error == NIGH_EDEADLK) != (b.load_error == NIGH_EDEADLK));
        CHECK((a.load_error == NIGH_ELOADER) != (b.load_error == NIGH_ELOADER));
        CHECK_EQ(world_count(&w, "flight_deadlock"), 1);
        world_close(&w);
    }
}

/* "0" fetches "1" fetches ... "9", which is a row. */
static int chain(struct origin *o, struct nigh_fill *fill)
{
    struct world *w = o->arg;
    size_t len;
    const char *key = nigh_fill_key(fill, &len);
    if (*key == '9')
        return origin_answer(o, fill);
    char next[2] = {(char)(*key + 1), '\0'};
    struct answer a = ask_fetch(w->space, next, NULL);
    CHECK_EQ(a.outcome, NIGH_FRESH);
    return nigh_fill_value(fill, a.text, a.len);
}

TEST(loaders_may_fetch_other_keys_even_with_one_worker)
{
    struct world w;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.workers = 1;
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
        so.run_on = run_on;
        world_open(&w, &o, &so);
        w.origin.arg = &w;
        w.origin.script = chain;
        CHECK_ANSWER(ask_fetch(w.space, "0", NULL), NIGH_FRESH, "9=1");
        CHECK_EQ(w.origin.loads, 10);
        world_close(&w);
    }
}

/* ---- caps ---- */

TEST(waiters_over_the_cap_are_told_at_once)
{
    struct world w;
    struct asker first, second;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.waiters_max = 2;
    so.load_deadline_ms = LOAD_MS;
    world_open(&w, NULL, &so);
    origin_hold(&w.origin);
    asker_start(&first, w.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.running == 1);
    asker_start(&second, w.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flight_joined") == 1);
    CHECK_EQ(ask_fetch(w.space, "k", NULL).outcome, NIGH_EBUSY);
    CHECK_EQ(world_count(&w, "flight_busy"), 1);
    origin_let_go(&w.origin);
    asker_join(&first);
    asker_join(&second);
    CHECK_ANSWER(second.answer, NIGH_FRESH, "k=1");
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    world_close(&w);
}

TEST(loads_over_the_cap_are_refused_or_answered_stale)
{
    struct world w;
    struct asker first, second;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.loads_max = 2;
    so.load_deadline_ms = LOAD_MS;
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        so.run_on = run_on;
        world_open(&w, NULL, &so);
        struct nigh_call refresh = NIGH_CALL_INIT;
        refresh.flags = NIGH_REFRESH;
        CHECK_ANSWER(ask_fetch(w.space, "old", NULL), NIGH_FRESH, "old=1");
        origin_hold(&w.origin);
        asker_start(&first, w.space, "a", NULL);
        asker_start(&second, w.space, "b", NULL);
        CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.running == 2);
        CHECK_EQ(ask_fetch(w.space, "c", NULL).outcome, NIGH_EBUSY);
        CHECK_ANSWER(ask_fetch(w.space, "old", &refresh), NIGH_STALE, "old=1");
        CHECK_EQ(world_count(&w, "load_busy"), 2);
        origin_let_go(&w.origin);
        asker_join(&first);
        asker_join(&second);
        CHECK_ANSWER(ask_fetch(w.space, "c", NULL), NIGH_FRESH, "c=1"); /* room again */
        CHECK_EQ(w.origin.running_max, 2);
        world_close(&w);
    }
}

TEST(lost_loaders_do_not_use_up_the_cap)
{
    struct world w;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.loads_max = 1;
    so.error_ttl_ms = NIGH_NONE;
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        so.run_on = run_on;
        world_open(&w, NULL, &so);
        w.origin.script = exit_always;
        struct asker a;
        asker_start(&a, w.space, "k", NULL);
        asker_join(&a);
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flights") == 0);
        w.origin.script = NULL;
        CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
        world_close(&w);
    }
}

/* ---- an invalidation during a load ---- */

static void invalidate_key(struct world *w)
{
    CHECK_EQ(nigh_invalidate(w->space, "k", 1, NULL), 0);
}

static void invalidate_target(struct world *w, enum nigh_target_kind kind)
{
    struct nigh_target t = {.kind = kind, .space = w->space, .name = "tag", .name_len = 3};
    CHECK_EQ(nigh_invalidate_many(w->cache, &t, 1, NULL), 0);
}

static void invalidate_tag(struct world *w)
{
    invalidate_target(w, NIGH_TARGET_TAG);
}

static void invalidate_space(struct world *w)
{
    invalidate_target(w, NIGH_TARGET_SPACE);
}

static void invalidate_all(struct world *w)
{
    invalidate_target(w, NIGH_TARGET_ALL);
}

static void put_key(struct world *w)
{
    CHECK_EQ(nigh_put(w->space, "k", 1, "k=2", 3, NULL), 0);
}

static int tagged(struct origin *o, struct nigh_fill *fill)
{
    CHECK_EQ(nigh_fill_add_tag(fill, "tag"), 0);
    return origin_answer(o, fill);
}

/* guava#1881, FusionCache#613, Caffeine#193. */
static void change_during_load(void (*change)(struct world *), bool leaves_value)
{
    struct world w;
    struct asker before, after;
    open_world(&w, NIGH_RUN_CALLER);
    w.origin.script = tagged;
    origin_hold(&w.origin);
    asker_start(&before, w.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.held_loads == 1); /* it has read 1 */
    origin_commit(&w.origin);
    change(&w);
    asker_start(&after, w.space, "k", NULL); /* began after the change: must not see 1 */
    if (leaves_value)
        asker_join(&after);
    else
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flight_led") == 2 ||
                                            world_count(&w, "flight_joined") == 1);
    origin_let_go(&w.origin);
    asker_join(&before);
    CHECK_ANSWER(before.answer, NIGH_FRESH, "k=1"); /* its call began before */
    if (!leaves_value)
        asker_join(&after);
    CHECK_ANSWER(after.answer, NIGH_FRESH, "k=2");
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_FRESH, "k=2"); /* and not what came last */
    CHECK_EQ(world_count(&w, "l1_refused_floor"), 1);
    world_close(&w);
}

TEST(a_key_invalidated_during_its_load)
{
    change_during_load(invalidate_key, false);
}

TEST(a_tag_invalidated_during_a_load)
{
    change_during_load(invalidate_tag, false);
}

TEST(a_space_invalidated_during_a_load)
{
    change_during_load(invalidate_space, false);
}

TEST(all_invalidated_during_a_load)
{
    change_during_load(invalidate_all, false);
}

TEST(a_key_put_during_its_load)
{
    change_during_load(put_key, true);
}

/* golang#31420: a flight is forgotten, another begins, and a third caller comes. */
TEST(a_third_caller_joins_the_flight_that_began_after_the_invalidation)
{
    struct world w;
    struct asker first, second, third;
    open_world(&w, NIGH_RUN_CALLER);
    origin_hold(&w.origin);
    asker_start(&first, w.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.held_loads == 1);
    origin_commit(&w.origin);
    invalidate_key(&w);
    asker_start(&second, w.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.running == 2);
    asker_start(&third, w.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flight_joined") == 1);
    origin_let_go(&w.origin);
    asker_join(&first);
    asker_join(&second);
    asker_join(&third);
    CHECK_ANSWER(first.answer, NIGH_FRESH, "k=1");
    CHECK_ANSWER(second.answer, NIGH_FRESH, "k=2");
    CHECK_ANSWER(third.answer, NIGH_FRESH, "k=2");
    CHECK_EQ(w.origin.loads, 2);
    world_close(&w);
}

/* Rule 10 at the landing: the follower joined before the invalidation, with a ticket of its own
 * (another key had been invalidated since the flight began), so what landed is no answer to it. */
TEST(a_follower_with_a_ticket_of_its_own_does_not_take_what_was_invalidated)
{
    struct world w;
    struct asker leader, follower;
    open_world(&w, NIGH_RUN_CALLER);
    origin_hold(&w.origin);
    asker_start(&leader, w.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.running == 1);
    CHECK_EQ(nigh_invalidate(w.space, "x", 1, NULL), 0);
    asker_start(&follower, w.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flight_joined") == 1);
    origin_commit(&w.origin);
    invalidate_key(&w);
    origin_let_go(&w.origin);
    asker_join(&leader);
    asker_join(&follower);
    CHECK_ANSWER(leader.answer, NIGH_FRESH, "k=1");
    CHECK_ANSWER(follower.answer, NIGH_FRESH, "k=2");
    world_close(&w);
}

/* ---- closing ---- */

static void *close_world(void *arg)
{
    world_close(arg);
    return NULL;
}

static uint64_t slow_clock(void *arg)
{
    (void)arg; /* a host's clock that began long before, or long after, the kernel's */
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec - 100ull * 1000000000u;
}

TEST(close_waits_for_the_loader_that_a_refresh_runs)
{
    for (int i = 0; i < 2; i++) {
        struct world w;
        struct nigh_options o = NIGH_OPTIONS_INIT;
        struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
        o.l1_memory = 8u << 20;
        o.clock = i == 0 ? NULL : slow_clock;
        so.soft_ttl_ms = 1;
        so.stale_ms = 100000;
        world_open(&w, &o, &so);
        CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
        origin_hold(&w.origin);
        CHECK_WITHIN(WORLD_PATIENCE_MS, ask_fetch(w.space, "k", NULL).outcome == NIGH_STALE);
        CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.running == 1);
        pthread_t closer;
        uint64_t began_ms = check_now_ms();
        REQUIRE_EQ(pthread_create(&closer, NULL, close_world, &w), 0);
        for (int j = 0; j < 20; j++)
            check_pause();
        CHECK_EQ(w.origin.finished, 1);
        origin_let_go(&w.origin);
        REQUIRE_EQ(pthread_join(closer, NULL), 0);
        CHECK_EQ(w.origin.finished, 2);
        CHECK_EQ(w.origin.running, 0);
        CHECK_LT(check_now_ms() - began_ms, WORLD_PATIENCE_MS);
    }
}

TEST(close_ends_what_is_queued_for_the_workers)
{
    struct world w;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.workers = 1;
    so.run_on = NIGH_RUN_WORKER;
    world_open(&w, &o, &so);
    origin_hold(&w.origin);
    struct nigh_call call = within(20);
    for (int i = 0; i < 20; i++) { /* one runs, the others queue; their callers are gone */
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        CHECK_EQ(ask_fetch(w.space, key, &call).outcome, NIGH_ETIMEDOUT);
    }
    CHECK_EQ(world_count(&w, "flights"), 20);
    pthread_t closer;
    REQUIRE_EQ(pthread_create(&closer, NULL, close_world, &w), 0);
    origin_let_go(&w.origin);
    REQUIRE_EQ(pthread_join(closer, NULL), 0);
    CHECK_EQ(w.origin.running, 0);
}
