// SPDX-License-Identifier: MIT
// nigh_fetch_many: each key gets what nigh_fetch would give it, and the loader is called for many.

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/many.h"

/* Of loads that a case holds: longer than a busy machine takes to bring it about. */
#define LOAD_MS (3 * WORLD_PATIENCE_MS)
#define ERROR 42

static struct nigh_space_options batches(uint32_t batch)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.batch = batch;
    so.load_deadline_ms = LOAD_MS;
    so.error_ttl_ms = LOAD_MS;
    return so;
}

static void open_world(struct world *w, uint32_t batch, enum nigh_run_on run_on)
{
    struct nigh_space_options so = batches(batch);
    so.run_on = run_on;
    world_open(w, NULL, &so);
}

static struct nigh_call with_flags(uint32_t flags)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = flags;
    return call;
}

static bool key_is(const struct nigh_fill *fill, const char *name)
{
    size_t len;
    const char *key = nigh_fill_key(fill, &len);
    return len == strlen(name) && memcmp(key, name, len) == 0;
}

/* ---- calls of the loader ---- */

static void load_in_calls(uint32_t batch, unsigned count, unsigned calls, enum nigh_run_on run_on)
{
    static struct bunch b;
    struct world w;
    open_world(&w, batch, run_on);
    bunch_number(&b, "k", count);
    bunch_fetch(&b, w.space, NULL);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_EQ(w.origin.loads, calls);
    CHECK_EQ(w.origin.rows, count);
    CHECK(w.origin.largest <= batch);
    CHECK_EQ(world_count(&w, "load"), calls);
    CHECK_EQ(world_count(&w, "flight_led"), count);
    bunch_fetch(&b, w.space, NULL);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_EQ(w.origin.rows, count);
    CHECK_EQ(world_count(&w, "l1_fresh"), count);
    CHECK_EQ(world_count(&w, "l1_miss"), count);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flights") == 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "pins") == 0);
    world_close(&w);
}

TEST(one_call_of_the_loader_is_for_all_keys)
{
    load_in_calls(64, 40, 1, NIGH_RUN_CALLER);
    load_in_calls(64, 40, 1, NIGH_RUN_WORKER);
    load_in_calls(NIGH_BATCH_MAX, 600, 1, NIGH_RUN_CALLER);
}

TEST(no_call_of_the_loader_is_for_more_than_it_takes)
{
    load_in_calls(16, 40, 3, NIGH_RUN_CALLER);
    load_in_calls(16, 40, 3, NIGH_RUN_WORKER);
    load_in_calls(20, 40, 2, NIGH_RUN_CALLER);
}

TEST(a_loader_of_one_key_is_called_for_each)
{
    load_in_calls(1, 40, 40, NIGH_RUN_CALLER);
    load_in_calls(1, 40, 40, NIGH_RUN_WORKER);
}

TEST(only_what_is_missing_is_loaded)
{
    static struct bunch b;
    struct world w;
    open_world(&w, 64, NIGH_RUN_CALLER);
    CHECK_ANSWER(ask_fetch(w.space, "b", NULL), NIGH_FRESH, "b=1");
    CHECK_ANSWER(ask_fetch(w.space, "d", NULL), NIGH_FRESH, "d=1");
    bunch_init(&b, "a b c d e");
    bunch_fetch(&b, w.space, NULL);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_EQ(b.answers[0].tier, NIGH_TIER_LOADER);
    CHECK_EQ(b.answers[1].tier, NIGH_TIER_L1);
    CHECK_EQ(w.origin.loads, 3);
    CHECK_EQ(w.origin.rows, 5);
    world_close(&w);
}

TEST(a_key_that_occurs_twice_is_loaded_once)
{
    static struct bunch b;
    struct world w;
    open_world(&w, 3, NIGH_RUN_CALLER);
    bunch_init(&b, "a b a c a d d e a");
    bunch_fetch(&b, w.space, NULL);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_EQ(w.origin.rows, 5);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "pins") == 0);
    world_close(&w);
}

TEST(a_key_that_occurs_more_often_than_may_wait_waits_once)
{
    enum { MOST = 8 };
    static struct bunch b, mixed;
    struct world w;
    struct asker slow;
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        struct nigh_space_options so = batches(4);
        so.run_on = run_on;
        so.waiters_max = MOST;
        world_open(&w, NULL, &so);
        memset(&b, 0, sizeof(b));
        for (unsigned i = 0; i < 4 * MOST; i++)
            bunch_add(&b, "a");
        bunch_fetch(&b, w.space, NULL);
        bunch_check_all(&b, NIGH_FRESH, 1);
        CHECK_EQ(w.origin.rows, 1);
        origin_hold(&w.origin);
        asker_start(&slow, w.space, "slow", NULL); /* another's flight */
        CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.held_loads == 1);
        memset(&mixed, 0, sizeof(mixed));
        for (unsigned i = 0; i < 4 * MOST; i++)
            bunch_add(&mixed, "slow");
        bunch_start(&mixed, w.space, NULL);
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flight_joined") >= 8 * MOST - 1);
        origin_let_go(&w.origin);
        bunch_join(&mixed);
        asker_join(&slow);
        bunch_check_all(&mixed, NIGH_FRESH, 1);
        CHECK_EQ(world_count(&w, "flight_busy"), 0);
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flights") == 0);
        world_close(&w);
    }
}

/* ---- outcomes ---- */

TEST(malformed_keys_have_their_own_outcome)
{
    struct world w;
    char *large = calloc(1, NIGH_KEY_MAX + 1);
    REQUIRE(large);
    memset(large, 'x', NIGH_KEY_MAX + 1);
    struct nigh_key keys[] = {{"a", 1}, {NULL, 3}, {"", 0}, {large, NIGH_KEY_MAX + 1},
                              {large, NIGH_KEY_MAX}, {"b", 1}};
    int wanted[] = {NIGH_FRESH, NIGH_EKEY, NIGH_EKEY, NIGH_EKEY, NIGH_FRESH, NIGH_FRESH};
    struct nigh_value values[6];
    int outcomes[6];
    open_world(&w, 64, NIGH_RUN_CALLER);
    CHECK_EQ(nigh_fetch_many(w.space, keys, 6, NULL, values, outcomes), 0);
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(outcomes[i], wanted[i]);
        CHECK_EQ(!values[i].data, wanted[i] < 0);
        nigh_release(&values[i]);
    }
    CHECK_EQ(w.origin.loads, 1);
    CHECK_EQ(w.origin.rows, 3);
    world_close(&w);
    free(large);
}

TEST(a_wrong_call_writes_nothing)
{
    struct world w;
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_key key = {"k", 1};
    struct nigh_value value = {"untouched", 9, 0};
    int outcome = 77;
    open_world(&w, 64, NIGH_RUN_CALLER);
    struct nigh_call call = with_flags(0x80000000u);
    CHECK_EQ(nigh_fetch_many(w.space, &key, 1, &call, &value, &outcome), NIGH_EINVAL);
    call = with_flags(NIGH_NO_WAIT | NIGH_NO_STORE);
    CHECK_EQ(nigh_fetch_many(w.space, &key, 1, &call, &value, &outcome), NIGH_EINVAL);
    call = with_flags(0);
    call.miss = &miss;
    CHECK_EQ(nigh_fetch_many(w.space, &key, 1, &call, &value, &outcome), NIGH_EINVAL);
    call.miss = NULL;
    call.size = 3;
    CHECK_EQ(nigh_fetch_many(w.space, &key, 1, &call, &value, &outcome), NIGH_EINVAL);
    CHECK_EQ(nigh_fetch_many(w.space, NULL, 1, NULL, &value, &outcome), NIGH_EINVAL);
    CHECK_EQ(nigh_fetch_many(w.space, &key, 1, NULL, NULL, &outcome), NIGH_EINVAL);
    CHECK_EQ(nigh_fetch_many(w.space, &key, 1, NULL, &value, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_fetch_many(w.space, &key, (size_t)UINT32_MAX + 1, NULL, &value, &outcome),
             NIGH_EINVAL);
    CHECK_EQ(nigh_fetch_many(w.space, NULL, 0, NULL, NULL, NULL), 0);
    CHECK_EQ(value.len, 9);
    CHECK_EQ(outcome, 77);
    CHECK_EQ(w.origin.loads, 0);
    world_close(&w);
}

/* bad: an error; none: absent; mute: no answer. */
static int answer_by_name(struct origin *o, struct nigh_fill *fill)
{
    if (key_is(fill, "bad"))
        return nigh_fill_error(fill, ERROR);
    if (key_is(fill, "none"))
        return nigh_fill_absent(fill);
    return key_is(fill, "mute") ? 0 : origin_answer(o, fill);
}

TEST(each_fill_has_an_outcome_of_its_own)
{
    static struct bunch b;
    struct world w;
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        open_world(&w, 64, run_on);
        atomic_store(&w.origin.script, answer_by_name);
        bunch_init(&b, "a mute none bad b");
        bunch_fetch(&b, w.space, NULL);
        CHECK_ANSWER(b.answers[0], NIGH_FRESH, "a=1");
        CHECK_EQ(b.outcomes[1], NIGH_ELOADER);
        CHECK_EQ(b.outcomes[2], NIGH_ABSENT);
        CHECK_EQ(b.outcomes[3], NIGH_ELOADER);
        CHECK_ANSWER(b.answers[4], NIGH_FRESH, "b=1");
        CHECK_EQ(b.load_error, ERROR);
        CHECK_EQ(w.origin.loads, 1);
        CHECK_EQ(world_count(&w, "load_failed"), 2);
        CHECK_EQ(world_count(&w, "read_error"), 2);
        bunch_fetch(&b, w.space, NULL); /* what has failed is remembered, of each key */
        CHECK_EQ(b.outcomes[1], NIGH_ELOADER);
        CHECK_ANSWER(b.answers[4], NIGH_FRESH, "b=1");
        CHECK_EQ(w.origin.loads, 1);
        world_close(&w);
    }
}

TEST(a_loader_that_refuses_has_failed_all_that_it_left_open)
{
    static struct bunch b;
    struct world w;
    open_world(&w, 64, NIGH_RUN_CALLER);
    atomic_store(&w.origin.script, answer_by_name);
    bunch_init(&b, "a b none");
    bunch_fetch(&b, w.space, NULL);
    CHECK_ANSWER(b.answers[0], NIGH_FRESH, "a=1");
    CHECK_EQ(b.outcomes[2], NIGH_ABSENT);
    world_close(&w);
}

TEST(a_space_without_a_loader_misses)
{
    static struct bunch b;
    struct world w;
    struct nigh_space *mute;
    open_world(&w, 64, NIGH_RUN_CALLER);
    REQUIRE_EQ(nigh_space_open(w.cache, "mute", NULL, NULL, NULL, NULL, &mute), 0);
    bunch_init(&b, "a b");
    bunch_fetch(&b, mute, NULL);
    CHECK_EQ(b.outcomes[0], NIGH_MISS);
    CHECK_EQ(b.outcomes[1], NIGH_MISS);
    CHECK_EQ(world_count(&w, "read_error"), 0);
    world_close(&w);
}

/* ---- options of the call ---- */

TEST(what_is_stale_is_answered_at_once_and_refreshed_behind)
{
    static struct bunch b;
    struct world w;
    struct nigh_options o = world_options(&w);
    struct nigh_space_options so = exact_space();
    so.batch = 64;
    world_open(&w, &o, &so);
    bunch_init(&b, "a b c");
    bunch_fetch(&b, w.space, NULL);
    bunch_check_all(&b, NIGH_FRESH, 1);
    origin_commit(&w.origin);
    world_advance(&w, 1200);
    bunch_fetch(&b, w.space, NULL);
    bunch_check_all(&b, NIGH_STALE, 1);
    CHECK_EQ(world_count(&w, "l1_stale"), 3);
    CHECK_EQ(world_count(&w, "refresh"), 3);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (nigh_tick(w.cache), w.origin.rows == 6));
    bunch_fetch(&b, w.space, NULL);
    bunch_check_all(&b, NIGH_FRESH, 2);
    world_close(&w);
}

TEST(a_probe_of_l1_loads_nothing_and_refreshes_nothing)
{
    static struct bunch b;
    struct world w;
    struct nigh_call call = with_flags(NIGH_L1_ONLY);
    world_open_exact(&w);
    CHECK_EQ(nigh_put(w.space, "a", 1, "1", 1, NULL), 0);
    world_advance(&w, 1200);
    bunch_init(&b, "a b");
    bunch_fetch(&b, w.space, &call);
    CHECK_ANSWER(b.answers[0], NIGH_STALE, "1");
    CHECK_EQ(b.outcomes[1], NIGH_MISS);
    CHECK_EQ(world_count(&w, "refresh"), 0);
    CHECK_EQ(w.origin.loads, 0);
    world_close(&w);
}

TEST(a_refresh_loads_all_anew)
{
    static struct bunch b;
    struct world w;
    struct nigh_call call = with_flags(NIGH_REFRESH);
    open_world(&w, 64, NIGH_RUN_CALLER);
    bunch_init(&b, "a b c");
    bunch_fetch(&b, w.space, NULL);
    origin_commit(&w.origin);
    bunch_fetch(&b, w.space, &call);
    bunch_check_all(&b, NIGH_FRESH, 2);
    CHECK_EQ(w.origin.loads, 2);
    world_close(&w);
}

TEST(a_call_that_does_not_wait_begins_all_loads)
{
    static struct bunch b;
    struct world w;
    struct nigh_call call = with_flags(NIGH_NO_WAIT);
    open_world(&w, 64, NIGH_RUN_CALLER);
    bunch_init(&b, "a b c");
    bunch_fetch(&b, w.space, &call);
    for (unsigned i = 0; i < b.count; i++)
        CHECK_EQ(b.outcomes[i], NIGH_PENDING);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "l1_store") == 3);
    bunch_fetch(&b, w.space, &call);
    bunch_check_all(&b, NIGH_FRESH, 1);
    world_close(&w);
}

TEST(without_own_threads_the_call_loads_itself)
{
    static struct bunch b;
    struct world w;
    struct nigh_options o = world_options(&w);
    struct nigh_space_options so = batches(16);
    so.run_on = NIGH_RUN_WORKER;
    world_open(&w, &o, &so);
    bunch_number(&b, "k", 40);
    bunch_fetch(&b, w.space, NULL);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_EQ(w.origin.loads, 3);
    world_close(&w);
}

/* ---- with others ---- */

static int hold_slow(struct origin *o, struct nigh_fill *fill)
{
    if (!key_is(fill, "slow"))
        return nigh_fill_value(fill, "quick", 5);
    return origin_answer(o, fill);
}

TEST(a_key_that_another_loads_does_not_delay_the_others)
{
    static struct bunch b;
    struct world w;
    struct asker slow;
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        open_world(&w, 64, run_on);
        atomic_store(&w.origin.script, hold_slow);
        origin_hold(&w.origin);
        asker_start(&slow, w.space, "slow", NULL);
        CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.held_loads == 1);
        bunch_init(&b, "slow a b");
        bunch_start(&b, w.space, NULL);
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "l1_store") == 2);
        CHECK(!b.done);
        CHECK_ANSWER(ask_fetch(w.space, "b", NULL), NIGH_FRESH, "quick");
        origin_let_go(&w.origin);
        bunch_join(&b);
        asker_join(&slow);
        CHECK_ANSWER(b.answers[0], NIGH_FRESH, "slow=1");
        CHECK_ANSWER(b.answers[2], NIGH_FRESH, "quick");
        CHECK_EQ(w.origin.rows, 3);
        world_close(&w);
    }
}

TEST(at_the_deadline_only_what_is_not_there_has_timed_out)
{
    static struct bunch b;
    struct world w;
    struct asker slow;
    struct nigh_call call = NIGH_CALL_INIT;
    open_world(&w, 64, NIGH_RUN_WORKER);
    atomic_store(&w.origin.script, hold_slow);
    origin_hold(&w.origin);
    asker_start(&slow, w.space, "slow", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.held_loads == 1);
    CHECK_ANSWER(ask_fetch(w.space, "a", NULL), NIGH_FRESH, "quick");
    bunch_init(&b, "a slow");
    call.deadline_ms = 50;
    bunch_fetch(&b, w.space, &call);
    CHECK_ANSWER(b.answers[0], NIGH_FRESH, "quick");
    CHECK_EQ(b.outcomes[1], NIGH_ETIMEDOUT);
    CHECK(!b.answers[1].len);
    origin_let_go(&w.origin);
    asker_join(&slow);
    CHECK_ANSWER(slow.answer, NIGH_FRESH, "slow=1");
    world_close(&w);
}

TEST(a_load_that_outlasts_its_call_goes_on)
{
    static struct bunch b;
    struct world w;
    struct nigh_call call = NIGH_CALL_INIT;
    open_world(&w, 64, NIGH_RUN_WORKER);
    origin_hold(&w.origin);
    call.deadline_ms = 50;
    bunch_init(&b, "a b");
    bunch_fetch(&b, w.space, &call);
    CHECK_EQ(b.outcomes[0], NIGH_ETIMEDOUT);
    CHECK_EQ(b.outcomes[1], NIGH_ETIMEDOUT);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.held_loads >= 1);
    origin_let_go(&w.origin);
    bunch_fetch(&b, w.space, NULL);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_EQ(w.origin.rows, 2);
    world_close(&w);
}

TEST(two_calls_with_the_same_keys_in_opposite_order_share_the_loads)
{
    static struct bunch there, back;
    for (int round = 0; round < 20; round++) {
        struct world w;
        open_world(&w, round % 2 ? 64 : 4, round % 4 < 2 ? NIGH_RUN_CALLER : NIGH_RUN_WORKER);
        bunch_number(&there, "k", 30);
        memset(&back, 0, sizeof(back));
        for (unsigned i = there.count; i-- > 0;)
            bunch_add(&back, there.names[i]);
        bunch_start(&there, w.space, NULL);
        bunch_start(&back, w.space, NULL);
        bunch_join(&there);
        bunch_join(&back);
        bunch_check_all(&there, NIGH_FRESH, 1);
        bunch_check_all(&back, NIGH_FRESH, 1);
        CHECK_EQ(w.origin.rows, 30);
        world_close(&w);
    }
}

TEST(an_invalidation_during_the_load_keeps_old_data_out)
{
    static struct bunch b;
    struct world w;
    open_world(&w, 64, NIGH_RUN_CALLER);
    origin_hold(&w.origin);
    bunch_init(&b, "a b");
    bunch_start(&b, w.space, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.held_loads == 1);
    origin_commit(&w.origin);
    CHECK_EQ(nigh_invalidate(w.space, "a", 1, NULL), 0);
    origin_let_go(&w.origin);
    bunch_join(&b);
    bunch_fetch(&b, w.space, NULL);
    CHECK_ANSWER(b.answers[0], NIGH_FRESH, "a=2");
    world_close(&w);
}

/* ---- loaders that ask ---- */

static struct nigh_space *asked;
static _Atomic int own_key, own_mate, other_key;

/* The loader of a: asks for itself, for its mate, for another, and for one of a call. */
static int ask_own_keys(struct origin *o, struct nigh_fill *fill)
{
    if (key_is(fill, "a")) {
        own_key = ask_fetch(asked, "a", NULL).outcome;
        own_mate = ask_fetch(asked, "b", NULL).outcome;
        other_key = ask_fetch(asked, "z", NULL).outcome;
    }
    return origin_answer(o, fill);
}

TEST(a_loader_of_many_cannot_wait_for_any_of_them)
{
    static struct bunch b;
    struct world w;
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        open_world(&w, 64, run_on);
        asked = w.space;
        atomic_store(&w.origin.script, ask_own_keys);
        bunch_init(&b, "a b c");
        bunch_fetch(&b, w.space, NULL);
        bunch_check_all(&b, NIGH_FRESH, 1);
        CHECK_EQ(own_key, NIGH_EDEADLK);
        CHECK_EQ(own_mate, NIGH_EDEADLK);
        CHECK_EQ(other_key, NIGH_FRESH);
        CHECK_EQ(world_count(&w, "flight_deadlock"), 2);
        world_close(&w);
    }
}

TEST(a_loader_of_one_key_finds_none_of_its_call_waiting_for_it)
{
    static struct bunch b;
    struct world w;
    open_world(&w, 1, NIGH_RUN_CALLER);
    asked = w.space;
    atomic_store(&w.origin.script, ask_own_keys);
    bunch_init(&b, "a b c");
    bunch_fetch(&b, w.space, NULL);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_EQ(own_key, NIGH_EDEADLK);
    CHECK_EQ(own_mate, NIGH_FRESH);
    CHECK_EQ(w.origin.rows, 4);
    world_close(&w);
}

static _Atomic unsigned met, refused;

/* The loader of {a, b} waits for c, and that of {c, d} for a, once both run. */
static int ask_crosswise(struct origin *o, struct nigh_fill *fill)
{
    bool first = key_is(fill, "a"), second = key_is(fill, "c");
    if (first || second) {
        met++;
        CHECK_WITHIN(WORLD_PATIENCE_MS, met >= 2);
        refused += ask_fetch(asked, first ? "c" : "a", NULL).outcome == NIGH_EDEADLK;
    }
    return origin_answer(o, fill);
}

TEST(a_circle_through_loaders_of_many_is_refused_once)
{
    static struct bunch one, other;
    struct world w;
    open_world(&w, 64, NIGH_RUN_CALLER);
    asked = w.space;
    met = refused = 0;
    atomic_store(&w.origin.script, ask_crosswise);
    bunch_init(&one, "a b");
    bunch_init(&other, "c d");
    bunch_start(&one, w.space, NULL);
    bunch_start(&other, w.space, NULL);
    bunch_join(&one);
    bunch_join(&other);
    bunch_check_all(&one, NIGH_FRESH, 1);
    bunch_check_all(&other, NIGH_FRESH, 1);
    CHECK_EQ(refused, 1);
    world_close(&w);
}

static int ask_for_many(struct origin *o, struct nigh_fill *fill)
{
    if (key_is(fill, "a")) {
        struct nigh_key keys[] = {{"x", 1}, {"b", 1}, {"y", 1}};
        struct nigh_value values[3];
        int outcomes[3];
        CHECK_EQ(nigh_fetch_many(asked, keys, 3, NULL, values, outcomes), 0);
        CHECK_EQ(outcomes[0], NIGH_FRESH);
        CHECK_EQ(outcomes[1], NIGH_EDEADLK);
        CHECK_EQ(outcomes[2], NIGH_FRESH);
        for (int i = 0; i < 3; i++)
            nigh_release(&values[i]);
    }
    return origin_answer(o, fill);
}

TEST(a_loader_may_fetch_many)
{
    static struct bunch b;
    struct world w;
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        open_world(&w, 64, run_on);
        asked = w.space;
        atomic_store(&w.origin.script, ask_for_many);
        bunch_init(&b, "a b");
        bunch_fetch(&b, w.space, NULL);
        bunch_check_all(&b, NIGH_FRESH, 1);
        CHECK_EQ(w.origin.loads, 2);
        world_close(&w);
    }
}

/* ---- loaders that do not return ---- */

static jmp_buf way_out;

static int jump_at_b(struct origin *o, struct nigh_fill *fill)
{
    if (key_is(fill, "b"))
        longjmp(way_out, 1);
    return origin_answer(o, fill);
}

TEST(a_loader_that_jumps_away_has_answered_what_it_has_answered)
{
    static struct bunch b;
    struct world w;
    struct asker slow;
    open_world(&w, 64, NIGH_RUN_CALLER);
    origin_hold(&w.origin);
    asker_start(&slow, w.space, "slow", NULL); /* a flight of another's, which is left, too */
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.held_loads == 1);
    atomic_store(&w.origin.script, jump_at_b);
    bunch_init(&b, "slow b a");
    if (setjmp(way_out) == 0)
        bunch_fetch(&b, w.space, NULL);
    for (unsigned i = 0; i < b.count; i++)
        nigh_release(&b.values[i]);
    atomic_store(&w.origin.script, NULL);
    origin_let_go(&w.origin);
    CHECK_EQ(ask_fetch(w.space, "b", NULL).outcome, NIGH_ELOADER);
    CHECK_EQ(ask_fetch(w.space, "a", NULL).outcome, NIGH_ELOADER);
    bunch_init(&b, "c d b");
    atomic_store(&w.origin.script, jump_at_b);
    origin_let_go(&w.origin);
    struct nigh_call call = with_flags(NIGH_REFRESH);
    if (setjmp(way_out) == 0)
        bunch_fetch(&b, w.space, &call);
    atomic_store(&w.origin.script, NULL);
    CHECK_ANSWER(ask_fetch(w.space, "c", NULL), NIGH_FRESH, "c=1");
    CHECK_ANSWER(ask_fetch(w.space, "d", NULL), NIGH_FRESH, "d=1");
    CHECK_EQ(ask_fetch(w.space, "b", NULL).outcome, NIGH_ELOADER);
    asker_join(&slow);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flights") == 0);
    world_close(&w);
}

static _Atomic int exits;

static int exit_at_b(struct origin *o, struct nigh_fill *fill)
{
    if (key_is(fill, "b") && exits-- > 0)
        pthread_exit(NULL);
    return origin_answer(o, fill);
}

TEST(a_loader_that_ends_its_thread_is_run_once_more_for_the_rest)
{
    static struct bunch b, later;
    struct world w;
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        open_world(&w, 64, run_on);
        atomic_store(&w.origin.script, exit_at_b);
        exits = 1;
        bunch_init(&b, "a b c");
        bunch_start(&b, w.space, NULL);
        bunch_join(&b);
        bunch_init(&later, "a b c");
        bunch_fetch(&later, w.space, NULL);
        bunch_check_all(&later, NIGH_FRESH, 1);
        CHECK_EQ(w.origin.rows, 4);
        if (run_on == NIGH_RUN_WORKER)
            bunch_check_all(&b, NIGH_FRESH, 1);
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flights") == 0);
        world_close(&w);
    }
}

/* ---- answers that come later ---- */

static struct nigh_fill *_Atomic put_off;

static int put_off_to(struct nigh_fill *fill, struct nigh_fill *_Atomic *ret_name)
{
    struct nigh_fill *name;
    int rc = nigh_fill_defer(fill, &name);
    if (rc == 0)
        atomic_store(ret_name, name);
    return rc;
}

/* b is put off, the others are answered. */
static int put_b_off(struct origin *o, struct nigh_fill *fill)
{
    return key_is(fill, "b") ? put_off_to(fill, &put_off) : origin_answer(o, fill);
}

/* A world that may do one load at once, in which a thread fetches a, b, c. */
static void start_with(struct world *w, struct bunch *b, enum nigh_run_on run_on,
                       origin_script_fn script)
{
    struct nigh_space_options so = batches(64);
    so.run_on = run_on;
    so.loads_max = 1;
    world_open(w, NULL, &so);
    atomic_store(&w->origin.script, script);
    bunch_init(b, "a b c");
    bunch_start(b, w->space, NULL);
}

/* Once the fetch is over, another key may be loaded, and has been the second load. */
static void end_with_another(struct world *w)
{
    CHECK_ANSWER(ask_fetch(w->space, "z", NULL), NIGH_FRESH, "z=1");
    CHECK_EQ(world_count(w, "load"), 2);
    world_close(w);
}

TEST(a_fill_of_many_that_is_put_off_delays_none_of_the_others)
{
    static struct bunch b;
    struct world w;
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        put_off = NULL;
        start_with(&w, &b, run_on, put_b_off);
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "l1_store") == 2);
        CHECK(!b.done);
        CHECK_EQ(ask_fetch(w.space, "z", NULL).outcome, NIGH_EBUSY); /* it still loads */
        CHECK_EQ(nigh_fill_value(put_off, "later", 5), 0);
        bunch_join(&b);
        CHECK_ANSWER(b.answers[0], NIGH_FRESH, "a=1");
        CHECK_ANSWER(b.answers[1], NIGH_FRESH, "later");
        CHECK_ANSWER(b.answers[2], NIGH_FRESH, "c=1");
        end_with_another(&w);
    }
}

static struct nigh_fill *_Atomic put_off_too;

static int put_b_and_c_off(struct origin *o, struct nigh_fill *fill)
{
    return key_is(fill, "c") ? put_off_to(fill, &put_off_too) : put_b_off(o, fill);
}

/* One query, which counts as one load from the call until its last row has come. */
TEST(fills_of_many_that_are_put_off_count_as_one_load_until_the_last_is_answered)
{
    static struct bunch b;
    struct world w;
    for (int order = 0; order < 2; order++) {
        put_off = put_off_too = NULL;
        start_with(&w, &b, NIGH_RUN_WORKER, put_b_and_c_off);
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "deferred") == 2);
        CHECK_EQ(nigh_fill_value(order ? put_off_too : put_off, "first", 5), 0);
        CHECK_EQ(ask_fetch(w.space, "z", NULL).outcome, NIGH_EBUSY);
        CHECK_EQ(nigh_fill_value(order ? put_off : put_off_too, "last", 4), 0);
        bunch_join(&b);
        CHECK_ANSWER(b.answers[order ? 2 : 1], NIGH_FRESH, "first");
        CHECK_ANSWER(b.answers[order ? 1 : 2], NIGH_FRESH, "last");
        end_with_another(&w);
    }
}

static int put_off_and_jump(struct origin *o, struct nigh_fill *fill)
{
    if (key_is(fill, "c"))
        longjmp(way_out, 1);
    return put_b_off(o, fill);
}

TEST(a_fill_that_was_put_off_is_over_when_its_loader_has_jumped_away)
{
    static struct bunch b;
    struct world w;
    open_world(&w, 64, NIGH_RUN_CALLER);
    atomic_store(&w.origin.script, put_off_and_jump);
    bunch_init(&b, "a b c");
    if (setjmp(way_out) == 0)
        bunch_fetch(&b, w.space, NULL);
    atomic_store(&w.origin.script, NULL);
    CHECK_ANSWER(ask_fetch(w.space, "a", NULL), NIGH_FRESH, "a=1");
    CHECK_EQ(ask_fetch(w.space, "b", NULL).outcome, NIGH_ELOADER);
    CHECK_EQ(nigh_fill_value(put_off, "later", 5), NIGH_EINVAL);
    world_close(&w);
}

/* ---- gathering ---- */

/* A world of threads in which no time passes but by world_advance(). */
static void open_gathering(struct world *w, uint32_t batch)
{
    struct nigh_options o = world_options(w);
    struct nigh_space_options so = exact_space();
    o.threads = NIGH_THREADS_OWN;
    o.workers = 2;
    so.batch = batch;
    so.batch_wait_us = 50000;
    so.load_deadline_ms = 3600000;
    world_open(w, &o, &so);
}

static void start_askers(struct asker *askers, unsigned count, struct world *w)
{
    int64_t led = world_count(w, "flight_led");
    char key[16];
    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "k-%u", i);
        asker_start(&askers[i], w->space, key, NULL);
    }
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(w, "flight_led") == led + count);
}

/* Lets the time of the gathering come, and of what enters it late, on a busy machine. */
static void end_gathering(struct world *w)
{
    while (world_count(w, "flights") > 0) {
        world_advance(w, 60);
        check_pause();
    }
}

static void join_askers(struct asker *askers, unsigned count)
{
    char text[16];
    for (unsigned i = 0; i < count; i++) {
        asker_join(&askers[i]);
        snprintf(text, sizeof(text), "k-%u=1", i);
        CHECK_ANSWER(askers[i].answer, NIGH_FRESH, text);
    }
}

TEST(misses_of_several_threads_are_one_call_when_it_is_full)
{
    static struct asker askers[8];
    struct world w;
    open_gathering(&w, 8);
    start_askers(askers, 8, &w);
    join_askers(askers, 8);
    CHECK_EQ(w.origin.loads, 1);
    CHECK_EQ(w.origin.rows, 8);
    world_close(&w);
}

/* Returns the calls of the loader. */
static unsigned gather_in_time(void)
{
    static struct asker askers[5];
    struct world w;
    open_gathering(&w, 8);
    start_askers(askers, 5, &w);
    CHECK_EQ(w.origin.loads, 0);
    end_gathering(&w);
    join_askers(askers, 5);
    CHECK_EQ(w.origin.rows, 5);
    world_close(&w);
    return w.origin.loads;
}

/* Several times: a thread that has begun a flight may be kept from entering the gathering. */
TEST(misses_of_several_threads_are_one_call_when_its_time_has_come)
{
    unsigned calls = 0;
    for (int tries = 0; tries < 20 && calls != 1; tries++)
        calls = gather_in_time();
    CHECK_EQ(calls, 1);
}

static unsigned gather_twice(void)
{
    static struct asker full[4], late[2];
    struct world w;
    open_gathering(&w, 4);
    start_askers(full, 4, &w);
    join_askers(full, 4);
    world_advance(&w, 40);
    asker_start(&late[0], w.space, "x", NULL);
    asker_start(&late[1], w.space, "y", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flight_led") == 6);
    CHECK_EQ(w.origin.loads, 1);
    end_gathering(&w);
    asker_join(&late[0]);
    asker_join(&late[1]);
    CHECK_ANSWER(late[1].answer, NIGH_FRESH, "y=1");
    world_close(&w);
    return w.origin.loads;
}

TEST(a_later_gathering_has_its_own_time)
{
    unsigned calls = 0;
    for (int tries = 0; tries < 20 && calls != 2; tries++)
        calls = gather_twice();
    CHECK_EQ(calls, 2);
}

TEST(all_kinds_of_misses_are_gathered_together)
{
    static struct bunch b, unwaited;
    static struct asker single;
    struct world w;
    struct nigh_queue *queue;
    struct nigh_call call = with_flags(NIGH_NO_WAIT);
    uint64_t id;
    open_gathering(&w, 64);
    REQUIRE_EQ(nigh_queue_open(w.cache, &queue), 0);
    CHECK_EQ(nigh_put(w.space, "old", 3, "old=0", 5, NULL), 0);
    world_advance(&w, 1200);
    CHECK_ANSWER(ask_fetch(w.space, "old", NULL), NIGH_STALE, "old=0");
    CHECK_EQ(begin_fetch(queue, w.space, "async", NULL, 1, &id).outcome, NIGH_PENDING);
    asker_start(&single, w.space, "single", NULL);
    bunch_init(&b, "a b c");
    bunch_start(&b, w.space, NULL);
    bunch_init(&unwaited, "d e");
    bunch_fetch(&unwaited, w.space, &call);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flights") == 8);
    end_gathering(&w);
    bunch_join(&b);
    asker_join(&single);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_ANSWER(single.answer, NIGH_FRESH, "single=1");
    CHECK_ANSWER(poll_one(queue, WORLD_PATIENCE_MS).answer, NIGH_FRESH, "async=1");
    CHECK_EQ(w.origin.rows, 8);
    CHECK(w.origin.loads < 8);
    nigh_queue_close(queue);
    world_close(&w);
}

TEST(a_gathered_load_that_nobody_begins_times_out_alone)
{
    static struct bunch b;
    struct world w;
    struct asker stuck;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = batches(2);
    o.workers = 1;
    so.batch_wait_us = 10;
    world_open(&w, &o, &so);
    origin_hold(&w.origin);
    asker_start(&stuck, w.space, "stuck", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.held_loads == 1); /* by the only worker */
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = 50;
    bunch_init(&b, "a b c");
    bunch_fetch(&b, w.space, &call);
    for (unsigned i = 0; i < b.count; i++)
        CHECK_EQ(b.outcomes[i], NIGH_ETIMEDOUT);
    origin_let_go(&w.origin);
    asker_join(&stuck);
    bunch_fetch(&b, w.space, NULL);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_EQ(w.origin.rows, 4);
    world_close(&w);
}

struct flood {
    struct nigh_queue *queue;
    struct nigh_space *space;
    _Atomic unsigned loads;
    _Atomic bool over;
};

static void flood_on(struct flood *f)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    char key[16];
    uint64_t id;
    int len = snprintf(key, sizeof(key), "f-%u", f->loads);
    if (CHECK_EQ(nigh_fetch_async(f->queue, f->space, key, (size_t)len, NULL, NULL, &value, &id),
                 NIGH_PENDING))
        nigh_cancel(f->queue, id);
}

/* Each load leaves another one to the workers. */
static int load_flood(void *arg, struct nigh_fill *const fills[], size_t n)
{
    struct flood *f = arg;
    f->loads++;
    if (!f->over)
        flood_on(f);
    CHECK_EQ(n, 1);
    return nigh_fill_absent(fills[0]);
}

TEST(a_gathering_has_its_turn_among_the_loads_of_another_space)
{
    struct flood f = {.queue = NULL};
    struct world w;
    struct asker asker;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = batches(2);
    o.workers = 1;
    so.batch_wait_us = 10;
    world_open(&w, &o, &so);
    so = batches(1);
    REQUIRE_EQ(nigh_space_open(w.cache, "flood", &so, load_flood, NULL, &f, &f.space), 0);
    REQUIRE_EQ(nigh_queue_open(w.cache, &f.queue), 0);
    flood_on(&f);
    CHECK_WITHIN(WORLD_PATIENCE_MS, f.loads > 0);
    asker_start(&asker, w.space, "a", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.loads == 1);
    f.over = true;
    asker_join(&asker);
    CHECK_ANSWER(asker.answer, NIGH_FRESH, "a=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flights") == 0);
    nigh_queue_close(f.queue);
    world_close(&w);
}

TEST(a_loader_that_asks_does_not_wait_for_a_gathering)
{
    static struct bunch b;
    struct world w;
    open_gathering(&w, 2);
    asked = w.space;
    atomic_store(&w.origin.script, ask_for_many);
    bunch_init(&b, "a b");
    bunch_fetch(&b, w.space, NULL);
    bunch_check_all(&b, NIGH_FRESH, 1);
    world_close(&w);
}

TEST(a_close_ends_what_is_gathered)
{
    struct world w;
    struct nigh_queue *queue;
    uint64_t id;
    open_gathering(&w, 64);
    REQUIRE_EQ(nigh_queue_open(w.cache, &queue), 0);
    CHECK_EQ(begin_fetch(queue, w.space, "k", NULL, 1, &id).outcome, NIGH_PENDING);
    nigh_close(w.cache);
    CHECK_EQ(poll_one(queue, 0).answer.outcome, NIGH_ECLOSED);
    nigh_queue_close(queue);
}

/* ---- limits ---- */

TEST(what_the_space_does_not_load_now_is_refused)
{
    static struct bunch b;
    struct world w;
    struct asker holder;
    struct nigh_space_options so = batches(64);
    so.loads_max = 1;
    world_open(&w, NULL, &so);
    origin_hold(&w.origin);
    asker_start(&holder, w.space, "held", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.held_loads == 1);
    bunch_init(&b, "a b");
    bunch_fetch(&b, w.space, NULL);
    CHECK_EQ(b.outcomes[0], NIGH_EBUSY);
    CHECK_EQ(b.outcomes[1], NIGH_EBUSY);
    origin_let_go(&w.origin);
    asker_join(&holder);
    bunch_fetch(&b, w.space, NULL); /* one permit for the call */
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_EQ(w.origin.loads, 2);
    world_close(&w);
}

static void *close_main(void *arg)
{
    struct world *w = arg;
    nigh_close(w->cache);
    return NULL;
}

/* Whether the call has got to its loader before its time was over. */
static bool gets_to_its_loader(struct bunch *b, struct world *w, enum nigh_run_on run_on)
{
    struct nigh_space_options so = batches(64);
    so.load_deadline_ms = 1500;
    so.run_on = run_on;
    world_open(w, NULL, &so);
    origin_hold(&w->origin);
    bunch_init(b, "a b");
    bunch_start(b, w->space, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w->origin.held_loads == 1 || b->done);
    if (w->origin.loads > 0)
        return true;
    origin_let_go(&w->origin);
    bunch_join(b);
    world_close(w);
    return false;
}

TEST(a_close_goes_on_without_a_loader_of_many_that_does_not_return)
{
    static struct bunch b;
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        static struct world w;
        pthread_t closer;
        while (!gets_to_its_loader(&b, &w, run_on))
            continue;
        if (run_on == NIGH_RUN_WORKER)
            bunch_join(&b);
        REQUIRE_EQ(pthread_create(&closer, NULL, close_main, &w), 0);
        pthread_join(closer, NULL);
        origin_let_go(&w.origin);
        if (run_on == NIGH_RUN_CALLER)
            bunch_join(&b);
        for (unsigned i = 0; i < b.count; i++) /* the time may be over before the close begins */
            CHECK(b.outcomes[i] == NIGH_ETIMEDOUT ||
                  (run_on == NIGH_RUN_CALLER && b.outcomes[i] == NIGH_ECLOSED));
        CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.finished == 1);
    }
}
