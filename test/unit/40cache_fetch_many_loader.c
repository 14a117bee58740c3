// SPDX-License-Identifier: MIT
// A loader that is called for many keys asks for some itself, does not return, or answers later.

#include <setjmp.h>

#include "support/batches.h"

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

static struct world *joined;

/* Ends the first thread, when another waits for its flight, and jumps out of the second. */
static int exit_then_jump(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    (void)fill;
    if (exits-- <= 0)
        longjmp(way_out, 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(joined, "flight_joined") == 1);
    pthread_exit(NULL);
}

/* It runs the loader of the flight that it takes over. */
TEST(a_loader_that_jumps_over_a_call_for_many_that_took_its_flight_over)
{
    static struct bunch b;
    struct world w;
    struct asker first;
    open_world(&w, 1, NIGH_RUN_CALLER);
    joined = &w;
    exits = 1;
    atomic_store(&w.origin.script, exit_then_jump);
    asker_start(&first, w.space, "a", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "load") == 1);
    bunch_init(&b, "a");
    if (setjmp(way_out) == 0)
        bunch_fetch(&b, w.space, NULL);
    CHECK_EQ(ask_fetch(w.space, "a", NULL).outcome, NIGH_ELOADER);
    CHECK_EQ(world_count(&w, "flight_replaced"), 1);
    CHECK_EQ(world_count(&w, "flights"), 0);
    pthread_join(first.thread, NULL);
    world_close(&w);
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


/* ---- closing ---- */

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
