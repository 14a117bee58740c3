// SPDX-License-Identifier: MIT
/*
 * Loaders that defer their answers: whoever has the name of a fill answers it once, from anywhere,
 * and until then it is a load that runs. Real threads, no Redis.
 */
#include <stdio.h>
#include <string.h>

#include "base/fault.h"
#include "support/deferring.h"

/* ---- no memory ---- */

#if NIGH_FAULTS

static int query_or_answer(struct origin *o, struct nigh_fill *fill)
{
    struct nigh_fill *name = NULL;
    (void)o;
    fault_arm(FAULT_ALLOC, 1);
    int rc = nigh_fill_defer(fill, &name);
    fault_arm(FAULT_ALLOC, 0);
    CHECK_EQ(rc, NIGH_ENOMEM);
    CHECK(!name);
    return say(fill, "at once");
}

/* The first case: later on there are names to be had without memory. */
TEST(without_memory_for_a_name_a_loader_can_still_answer)
{
    struct client c;
    struct nigh_options o = small();
    struct nigh_space_options so = patient_space();
    o.threads = NIGH_THREADS_NONE; /* whose allocation might be the one that fails */
    open_client_with(&c, &o, &so);
    c.w.origin.script = query_or_answer;
    CHECK_ANSWER(ask_fetch(c.w.space, "k", NULL), NIGH_FRESH, "at once");
    CHECK_EQ(world_count(&c.w, "load_deferred"), 0);
    close_client(&c);
}
#endif

/* ---- the answer comes ---- */

/* The loader of a blocking call has returned on the caller's own thread, which then waits. */
TEST(a_blocking_caller_gets_the_answer_of_another_thread)
{
    struct client c;
    struct asker leader, follower;
    open_client(&c);
    asker_start(&leader, c.w.space, "k", NULL);
    struct nigh_fill *fill = queried(&c, 1);
    asker_start(&follower, c.w.space, "k", NULL);
    CHECK_WITHIN(PATIENTLY, world_count(&c.w, "flight_joined") == 1);
    CHECK(!leader.done && !follower.done);
    CHECK_EQ(world_count(&c.w, "deferred"), 1);
    CHECK_EQ(say(fill, "later"), 0);
    asker_join(&leader);
    asker_join(&follower);
    CHECK_ANSWER(leader.answer, NIGH_FRESH, "later");
    CHECK_ANSWER(follower.answer, NIGH_FRESH, "later");
    CHECK_EQ(leader.answer.tier, NIGH_TIER_LOADER);
    CHECK_ANSWER(ask_get(c.w.space, "k", NULL), NIGH_FRESH, "later");
    CHECK_WITHIN(PATIENTLY, world_count(&c.w, "deferred") == 0);
    CHECK_EQ(world_count(&c.w, "load"), 1);
    CHECK_EQ(world_count(&c.w, "load_overrun"), 0);
    CHECK_OVER(fill, NIGH_EINVAL);
    close_client(&c);
}

/* With the last call nothing is left to be done: it does not need a worker, all of which may be
 * inside loaders. */
TEST(an_answer_takes_effect_within_its_call)
{
    struct client c;
    open_client(&c);
    pend(&c, "k");
    struct nigh_fill *fill = queried(&c, 1);
    CHECK_WITHIN(PATIENTLY, world_count(&c.w, "flights") == 1);
    CHECK_EQ(poll_one(c.queue, 0).polled, 0);
    CHECK_EQ(say(fill, "later"), 0);
    struct ended e = poll_one(c.queue, 0);
    CHECK_EQ(e.polled, 1);
    CHECK_ANSWER(e.answer, NIGH_FRESH, "later");
    CHECK_EQ(world_count(&c.w, "flights"), 0);
    CHECK_EQ(world_count(&c.w, "deferred"), 0);
    close_client(&c);
}

static int query_twice(struct origin *o, struct nigh_fill *fill)
{
    struct nigh_fill *other = NULL;
    size_t len;
    CHECK_EQ(nigh_fill_set_version(fill, 5), 0);
    CHECK_EQ(nigh_fill_defer(NULL, &other), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_defer(fill, NULL), NIGH_EINVAL);
    int rc = query(o, fill);
    struct client *c = o->arg;
    CHECK_EQ(nigh_fill_defer(fill, &other), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_defer(c->fills[0], &other), NIGH_EINVAL);
    CHECK(!other);
    CHECK_EQ(say(fill, "by its address"), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_set_version(fill, 6), NIGH_EINVAL);
    CHECK(nigh_fill_key(fill, &len) && len == 1);
    return rc;
}

TEST(what_is_said_by_the_name)
{
    struct client c;
    struct nigh_value value = NIGH_VALUE_INIT;
    size_t len = 0;
    open_client(&c);
    c.w.origin.script = query_twice;
    pend(&c, "k");
    struct nigh_fill *fill = queried(&c, 1);
    const char *key = nigh_fill_key(fill, &len);
    CHECK(key && len == 1 && *key == 'k');
    CHECK(nigh_fill_time_left_ms(fill) > 0 && nigh_fill_time_left_ms(fill) <= LOAD_MS);
    CHECK(!nigh_fill_previous(fill, &len, &(uint64_t){0}));
    CHECK_EQ(nigh_fill_add_tag(fill, ""), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_add_tag(fill, "t"), 0);
    CHECK_EQ(nigh_fill_set_ttl(fill, 1000, 2000), 0);
    CHECK_EQ(nigh_fill_not_modified(fill), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_value(fill, NULL, 1), NIGH_EINVAL);
    CHECK_EQ(nigh_fill_value(fill, "", NIGH_VALUE_MAX + (size_t)1), NIGH_EVALUE);
    CHECK_EQ(say(fill, "later"), 0);
    REQUIRE_EQ(nigh_get(c.w.space, "k", 1, NULL, &value), NIGH_FRESH);
    CHECK_EQ(nigh_value_version(&value), 5); /* set before it was deferred */
    nigh_release(&value);
    const struct nigh_target target = {.kind = NIGH_TARGET_TAG, .name = "t", .name_len = 1};
    CHECK_EQ(nigh_invalidate_many(c.w.cache, &target, 1, NULL), 0);
    CHECK_EQ(ask_get(c.w.space, "k", NULL).outcome, NIGH_MISS);
    close_client(&c);
}

TEST(every_kind_of_answer)
{
    struct client c;
    struct nigh_call call = NIGH_CALL_INIT;
    size_t len = 0;
    uint64_t version = 0;
    open_client(&c);
    pend(&c, "absent");
    CHECK_EQ(nigh_fill_absent(queried(&c, 1)), 0);
    CHECK_EQ(poll_one(c.queue, PATIENTLY).answer.outcome, NIGH_ABSENT);
    pend(&c, "fails");
    CHECK_EQ(nigh_fill_error(queried(&c, 2), 42), 0);
    struct ended e = poll_one(c.queue, PATIENTLY);
    CHECK_EQ(e.answer.outcome, NIGH_ELOADER);
    CHECK_EQ(e.load_error, 42);
    pend(&c, "once");
    CHECK_EQ(nigh_fill_uncacheable(queried(&c, 3), "now", 3), 0);
    CHECK_ANSWER(poll_one(c.queue, PATIENTLY).answer, NIGH_FRESH, "now");
    CHECK_EQ(ask_get(c.w.space, "once", NULL).outcome, NIGH_MISS);
    call.soft_ttl_ms = 1;
    CHECK_EQ(nigh_put(c.w.space, "same", 4, "old", 3, &call), 0);
    CHECK_WITHIN(PATIENTLY, ask_get(c.w.space, "same", NULL).outcome == NIGH_STALE);
    CHECK_ANSWER(ask_fetch(c.w.space, "same", NULL), NIGH_STALE, "old"); /* refreshed behind */
    struct nigh_fill *fill = queried(&c, 4);
    const void *old = nigh_fill_previous(fill, &len, &version);
    CHECK(old && len == 3 && memcmp(old, "old", 3) == 0);
    CHECK_EQ(nigh_fill_not_modified(fill), 0);
    /* the worker that ran the loader may not have let go of the flight yet, and takes it on then */
    CHECK_WITHIN(PATIENTLY, ask_get(c.w.space, "same", NULL).outcome == NIGH_FRESH);
    CHECK_ANSWER(ask_get(c.w.space, "same", NULL), NIGH_FRESH, "old");
    close_client(&c);
}

/* ---- before the loader has returned ---- */

static int query_and_answer(struct origin *o, struct nigh_fill *fill)
{
    struct client *c = o->arg;
    int rc = query(o, fill);
    CHECK_EQ(say(c->fills[0], "quick"), 0);
    CHECK_EQ(say(c->fills[0], "again"), NIGH_EINVAL);
    return rc;
}

static void *answer_quickly(void *arg)
{
    struct nigh_fill *fill = arg;
    CHECK_EQ(say(fill, "quick"), 0);
    return NULL;
}

static int query_and_wait(struct origin *o, struct nigh_fill *fill)
{
    struct client *c = o->arg;
    pthread_t thread;
    int rc = query(o, fill);
    REQUIRE_EQ(pthread_create(&thread, NULL, answer_quickly, c->fills[0]), 0);
    pthread_join(thread, NULL);
    CHECK_EQ(world_count(&c->w, "flights"), 1);
    return rc;
}

static void check_quick(origin_script_fn script, enum nigh_run_on run_on)
{
    struct client c;
    struct nigh_options o = small();
    struct nigh_space_options so = patient_space();
    so.run_on = run_on;
    open_client_with(&c, &o, &so);
    c.w.origin.script = script;
    CHECK_ANSWER(ask_fetch(c.w.space, "k", NULL), NIGH_FRESH, "quick");
    CHECK_OVER(c.fills[0], NIGH_EINVAL);
    CHECK_EQ(world_count(&c.w, "deferred"), 0);
    close_client(&c);
}

TEST(an_answer_before_the_loader_returns_takes_effect_when_it_does)
{
    check_quick(query_and_answer, NIGH_RUN_CALLER);
    check_quick(query_and_answer, NIGH_RUN_WORKER);
    check_quick(query_and_wait, NIGH_RUN_CALLER);
    check_quick(query_and_wait, NIGH_RUN_WORKER);
}

static int query_and_fail(struct origin *o, struct nigh_fill *fill)
{
    query(o, fill);
    return 42;
}

TEST(a_loader_that_fails_takes_the_deferred_fill_back)
{
    struct client c;
    struct asker a;
    open_client(&c);
    c.w.origin.script = query_and_fail;
    asker_start(&a, c.w.space, "k", NULL);
    asker_join(&a);
    CHECK_EQ(a.answer.outcome, NIGH_ELOADER);
    CHECK_EQ(a.load_error, 42);
    CHECK_OVER(c.fills[0], NIGH_EINVAL);
    CHECK_EQ(world_count(&c.w, "deferred"), 0);
    close_client(&c);
}

/* ---- two answers ---- */

struct racer {
    pthread_t thread;
    struct nigh_fill *fill;
    _Atomic bool *go;
    int rc;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    while (!atomic_load(r->go))
        check_pause();
    r->rc = say(r->fill, "raced");
    return NULL;
}

/* The answer of a query and its timeout. */
TEST(of_two_answers_at_once_one_counts)
{
    struct client c;
    char key[16];
    open_client(&c);
    for (unsigned i = 0; i < 50; i++) {
        struct racer racers[3];
        _Atomic bool go = false;
        unsigned won = 0;
        snprintf(key, sizeof(key), "%u", i);
        pend(&c, key);
        struct nigh_fill *fill = queried(&c, i + 1);
        for (int k = 0; k < 3; k++) {
            racers[k] = (struct racer){.fill = fill, .go = &go};
            REQUIRE_EQ(pthread_create(&racers[k].thread, NULL, race, &racers[k]), 0);
        }
        atomic_store(&go, true);
        for (int k = 0; k < 3; k++) {
            pthread_join(racers[k].thread, NULL);
            CHECK(racers[k].rc == 0 || racers[k].rc == NIGH_EINVAL);
            won += racers[k].rc == 0;
        }
        CHECK_EQ(won, 1);
        CHECK_ANSWER(poll_one(c.queue, PATIENTLY).answer, NIGH_FRESH, "raced");
    }
    CHECK_EQ(poll_one(c.queue, 0).polled, 0);
    close_client(&c);
}

/* Slots are used again, names are not. */
TEST(an_old_name_does_not_answer_a_later_fill)
{
    struct client c;
    char key[16];
    open_client(&c);
    pend(&c, "first");
    struct nigh_fill *first = queried(&c, 1);
    CHECK_EQ(say(first, "first"), 0);
    CHECK_EQ(poll_one(c.queue, PATIENTLY).polled, 1);
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(key, sizeof(key), "%u", i);
        pend(&c, key);
        struct nigh_fill *fill = queried(&c, i + 2);
        CHECK(fill != first);
        CHECK_EQ(say(first, "wrong"), NIGH_EINVAL);
        CHECK_EQ(say(fill, key), 0);
        CHECK_ANSWER(poll_one(c.queue, PATIENTLY).answer, NIGH_FRESH, key);
    }
    CHECK_EQ(say((struct nigh_fill *)(uintptr_t)0xfffffffffffffff1, "wild"), NIGH_EINVAL);
    close_client(&c);
}

/* ---- a load that runs ---- */

TEST(it_counts_for_the_loads_of_its_space)
{
    struct client c;
    struct nigh_options o = small();
    struct nigh_space_options so = patient_space();
    so.loads_max = 1;
    open_client_with(&c, &o, &so);
    pend(&c, "k");
    struct nigh_fill *fill = queried(&c, 1);
    CHECK_EQ(ask_fetch(c.w.space, "other", NULL).outcome, NIGH_EBUSY);
    CHECK_EQ(say(fill, "later"), 0);
    CHECK_ANSWER(poll_one(c.queue, PATIENTLY).answer, NIGH_FRESH, "later");
    pend(&c, "other");
    CHECK_EQ(say(queried(&c, 2), "other"), 0);
    CHECK_ANSWER(poll_one(c.queue, PATIENTLY).answer, NIGH_FRESH, "other");
    close_client(&c);
}

TEST(a_caller_goes_at_its_own_deadline_and_the_load_goes_on)
{
    struct client c;
    struct nigh_call call = NIGH_CALL_INIT;
    open_client(&c);
    call.deadline_ms = SHORT_MS;
    do /* a busy machine may take the time before the load begins */
        CHECK_EQ(ask_fetch(c.w.space, "k", &call).outcome, NIGH_ETIMEDOUT);
    while (c.w.origin.loads == 0);
    struct nigh_fill *fill = queried(&c, 1);
    CHECK(nigh_fill_time_left_ms(fill) > 0);
    CHECK_EQ(world_count(&c.w, "flights"), 1);
    CHECK_EQ(say(fill, "later"), 0);
    CHECK_ANSWER(ask_get(c.w.space, "k", NULL), NIGH_FRESH, "later");
    CHECK_EQ(c.warnings, 0);
    close_client(&c);
}

TEST(the_last_caller_cancels_and_the_load_goes_on)
{
    struct client c;
    uint64_t id;
    open_client(&c);
    CHECK_EQ(begin_fetch(c.queue, c.w.space, "k", NULL, 1, &id).outcome, NIGH_PENDING);
    struct nigh_fill *fill = queried(&c, 1);
    CHECK_EQ(nigh_cancel(c.queue, id), 0);
    pend(&c, "k"); /* joins it */
    CHECK_EQ(world_count(&c.w, "flight_joined"), 1);
    CHECK_EQ(say(fill, "later"), 0);
    CHECK_ANSWER(poll_one(c.queue, PATIENTLY).answer, NIGH_FRESH, "later");
    CHECK_EQ(world_count(&c.w, "load"), 1);
    close_client(&c);
}

/* ---- without own threads ---- */

/* One thread does everything: the answer comes between two ticks. */
TEST(a_loop_answers_between_its_ticks)
{
    struct client c;
    struct nigh_options o = world_options(&c.w);
    struct nigh_space_options so = patient_space();
    open_client_with(&c, &o, &so);
    pend(&c, "k");
    REQUIRE(CHECK_WITHIN(PATIENTLY, world_tick(&c.w) >= 0 && c.begun == 1));
    CHECK_EQ(poll_one(c.queue, 0).polled, 0);
    CHECK_EQ(say(c.fills[0], "later"), 0);
    CHECK_ANSWER(poll_one(c.queue, 0).answer, NIGH_FRESH, "later");
    close_client(&c);
}

/* The thread that waits also does the work of all others; it sleeps in poll. */
TEST(a_caller_that_does_all_work_gets_the_answer_of_another_thread)
{
    struct client c;
    struct asker leader, follower;
    struct nigh_options o = small();
    struct nigh_space_options so = patient_space();
    o.threads = NIGH_THREADS_NONE;
    open_client_with(&c, &o, &so);
    asker_start(&leader, c.w.space, "k", NULL);
    struct nigh_fill *fill = queried(&c, 1);
    asker_start(&follower, c.w.space, "k", NULL);
    CHECK_WITHIN(PATIENTLY, world_count(&c.w, "flight_joined") == 1);
    CHECK_EQ(say(fill, "later"), 0);
    asker_join(&leader);
    asker_join(&follower);
    CHECK_ANSWER(leader.answer, NIGH_FRESH, "later");
    CHECK_ANSWER(follower.answer, NIGH_FRESH, "later");
    close_client(&c);
}

TEST(an_invalidation_meanwhile_keeps_the_answer_out)
{
    struct client c;
    open_client(&c);
    pend(&c, "k");
    struct nigh_fill *fill = queried(&c, 1);
    CHECK_EQ(nigh_invalidate(c.w.space, "k", 1, NULL), 0);
    CHECK_EQ(say(fill, "old"), 0);
    CHECK_EQ(ask_get(c.w.space, "k", NULL).outcome, NIGH_MISS);
    close_client(&c);
}

/* ---- inside loaders ---- */

static int answer_the_other(struct origin *o, struct nigh_fill *fill)
{
    struct client *c = o->arg;
    CHECK_EQ(say(c->fills[0], "from inside"), 0);
    CHECK_ANSWER(ask_fetch(c->w.space, "k", NULL), NIGH_FRESH, "from inside");
    return say(fill, "outer");
}

TEST(the_loader_of_another_key_answers)
{
    struct client c;
    open_client(&c);
    pend(&c, "k");
    queried(&c, 1);
    c.w.origin.script = answer_the_other;
    CHECK_ANSWER(ask_fetch(c.w.space, "outer", NULL), NIGH_FRESH, "outer");
    CHECK_ANSWER(poll_one(c.queue, PATIENTLY).answer, NIGH_FRESH, "from inside");
    close_client(&c);
}

/* ---- loaders of several keys ---- */

#define BATCH 6u

/* Defers every second fill. */
static int load_half(void *arg, struct nigh_fill *const fills[], size_t n)
{
    struct client *c = arg;
    CHECK_EQ(n, BATCH);
    for (size_t i = 0; i < n; i++)
        if (i % 2)
            CHECK_EQ(say(fills[i], "at once"), 0);
        else
            CHECK_EQ(nigh_fill_defer(fills[i], &c->fills[i]), 0);
    atomic_store(&c->begun, (unsigned)n / 2);
    return 0;
}

static void *answer_half(void *arg)
{
    struct client *c = arg;
    queried(c, BATCH / 2);
    for (size_t i = 0; i < BATCH; i += 2)
        CHECK_EQ(say(c->fills[i], "later"), 0);
    return NULL;
}

/* The call that leads them has the permit for all. */
static void check_batch(enum nigh_run_on run_on)
{
    struct client c;
    struct nigh_options o = small();
    struct nigh_space_options so = patient_space();
    struct nigh_space *space;
    struct nigh_key keys[BATCH];
    struct nigh_value values[BATCH];
    int outcomes[BATCH];
    pthread_t thread;
    so.batch = BATCH;
    so.loads_max = 1;
    so.run_on = run_on;
    open_client_with(&c, &o, NULL);
    REQUIRE_EQ(nigh_space_open(c.w.cache, "many", &so, load_half, NULL, &c, &space), 0);
    for (unsigned i = 0; i < BATCH; i++)
        keys[i] = (struct nigh_key){&"abcdef"[i], 1};
    REQUIRE_EQ(pthread_create(&thread, NULL, answer_half, &c), 0);
    CHECK_EQ(nigh_fetch_many(space, keys, BATCH, NULL, values, outcomes), 0);
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < BATCH; i++)
        CHECK_ANSWER(answer_of(outcomes[i], &values[i]), NIGH_FRESH, i % 2 ? "at once" : "later");
    CHECK_EQ(world_count(&c.w, "load"), 1);
    CHECK_WITHIN(PATIENTLY, world_count(&c.w, "deferred") == 0);
    for (unsigned i = 0; i < BATCH; i += 2)
        CHECK_OVER(c.fills[i], NIGH_EINVAL);
    close_client(&c);
}

TEST(of_several_fills_some_are_deferred)
{
    check_batch(NIGH_RUN_CALLER);
    check_batch(NIGH_RUN_WORKER);
}
