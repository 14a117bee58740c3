// SPDX-License-Identifier: MIT
// nigh_fetch_many: each key gets what nigh_fetch would give it, and the loader is called for many.

#include "support/batches.h"

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
