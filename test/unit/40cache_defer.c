// SPDX-License-Identifier: MIT
/*
 * Loaders that defer their answers: whoever has the name of a fill answers it once, from anywhere,
 * and until then it is a load that runs. Real threads, no Redis.
 */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "support/async.h"

#define PATIENTLY WORLD_PATIENCE_MS
#define LOAD_MS (3 * WORLD_PATIENCE_MS)
#define SHORT_MS 300u /* a deadline that a case waits for */
#define MANY 64

/* An asynchronous client of the origin: queries that have begun, in order. */
struct client {
    struct world w;
    struct nigh_queue *queue;
    struct nigh_fill *fills[MANY];
    _Atomic unsigned begun;
    char said[400]; /* the last warning */
    _Atomic unsigned warnings;
};

static int query(struct origin *o, struct nigh_fill *fill)
{
    struct client *c = o->arg;
    unsigned n = atomic_load(&c->begun);
    int rc = nigh_fill_defer(fill, &c->fills[n % MANY]);
    if (rc == 0)
        atomic_store(&c->begun, n + 1);
    return rc;
}

static void hear(void *arg, enum nigh_log_level level, const char *message)
{
    struct client *c = arg;
    if (level != NIGH_LOG_WARN)
        return;
    snprintf(c->said, sizeof(c->said), "%s", message);
    atomic_fetch_add(&c->warnings, 1);
}

static void open_client_with(struct client *c, struct nigh_options *o,
                             const struct nigh_space_options *so)
{
    c->begun = 0;
    c->warnings = 0;
    o->log = hear;
    o->log_arg = c;
    world_open(&c->w, o, so);
    c->w.origin.arg = c;
    c->w.origin.script = query;
    REQUIRE_EQ(nigh_queue_open(c->w.cache, &c->queue), 0);
}

static struct nigh_options small(void)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.group_slots = 2048;
    return o;
}

static struct nigh_space_options patient_space(void)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.load_deadline_ms = LOAD_MS;
    return so;
}

static void open_client(struct client *c)
{
    struct nigh_options o = small();
    struct nigh_space_options so = patient_space();
    open_client_with(c, &o, &so);
}

static void close_client(struct client *c)
{
    nigh_queue_close(c->queue);
    world_close(&c->w);
}

/* Waits until so many queries have begun; returns the fill of the last one. */
static struct nigh_fill *queried(struct client *c, unsigned count)
{
    REQUIRE(CHECK_WITHIN(PATIENTLY, atomic_load(&c->begun) >= count));
    CHECK_WITHIN(PATIENTLY, world_count(&c->w, "load_deferred") >= count); /* it has returned */
    return c->fills[(count - 1) % MANY];
}

static int say(struct nigh_fill *fill, const char *text)
{
    return nigh_fill_value(fill, text, strlen(text));
}

static void pend(struct client *c, const char *key)
{
    CHECK_EQ(begin_fetch(c->queue, c->w.space, key, NULL, 1, NULL).outcome, NIGH_PENDING);
}

#define CHECK_OVER(fill, why)                                                                      \
    do {                                                                                           \
        size_t len_ = 7;                                                                           \
        uint64_t version_ = 7;                                                                     \
        CHECK_EQ(say((fill), "late"), (why));                                                      \
        CHECK_EQ(nigh_fill_uncacheable((fill), "late", 4), (why));                                 \
        CHECK_EQ(nigh_fill_absent(fill), (why));                                                   \
        CHECK_EQ(nigh_fill_error((fill), 1), (why));                                               \
        CHECK_EQ(nigh_fill_not_modified(fill), (why));                                             \
        CHECK_EQ(nigh_fill_set_ttl((fill), 1, 1), (why));                                          \
        CHECK_EQ(nigh_fill_set_version((fill), 1), (why));                                         \
        CHECK_EQ(nigh_fill_add_tag((fill), "t"), (why));                                           \
        CHECK(!nigh_fill_key((fill), &len_));                                                      \
        CHECK(!nigh_fill_previous((fill), &len_, &version_));                                      \
        CHECK_EQ(nigh_fill_time_left_ms(fill), 0);                                                 \
        CHECK(len_ == 7 && version_ == 7);                                                         \
    } while (0)

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

/* A query that begins in a tick, and its deadline, which passes at once. */
static struct nigh_fill *query_overdue(struct client *c)
{
    struct nigh_options o = world_options(&c->w);
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.load_deadline_ms = 1000;
    so.loads_max = 1;
    open_client_with(c, &o, &so);
    pend(c, "k");
    REQUIRE(CHECK_WITHIN(PATIENTLY, world_tick(&c->w) >= 0 && c->begun == 1));
    world_advance(&c->w, 1001);
    struct ended e = poll_one(c->queue, PATIENTLY);
    CHECK_EQ(e.answer.outcome, NIGH_ETIMEDOUT);
    CHECK_WITHIN(PATIENTLY, world_tick(&c->w) >= 0 && world_count(&c->w, "flights") == 0);
    CHECK_EQ(world_count(&c->w, "load_unanswered"), 1);
    CHECK_EQ(world_count(&c->w, "deferred"), 1);
    CHECK_EQ(nigh_fill_time_left_ms(c->fills[0]), 0);
    return c->fills[0];
}

/* A lost query must not use up the loads of its space. */
TEST(without_an_answer_at_the_deadline_another_may_load)
{
    struct client c;
    struct nigh_fill *fill = query_overdue(&c); /* the first in this program: said once a second */
    CHECK_WITHIN(PATIENTLY, world_tick(&c.w) >= 0 && c.warnings == 1);
    CHECK(strstr(c.said, "\"s\"") && strstr(c.said, "deferred"));
    c.w.origin.script = NULL;
    CHECK_ANSWER(ask_fetch(c.w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(say(fill, "of an older load"), 0);
    CHECK_ANSWER(ask_get(c.w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(world_count(&c.w, "deferred"), 0);
    CHECK_OVER(fill, NIGH_EINVAL);
    close_client(&c);
}

static int query_late(struct origin *o, struct nigh_fill *fill)
{
    struct client *c = o->arg;
    CHECK_WITHIN(PATIENTLY, world_count(&c->w, "flights") == 0);
    return query(o, fill);
}

TEST(a_loader_that_defers_after_the_deadline_does_not_count_either)
{
    struct client c;
    struct nigh_options o = small();
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.load_deadline_ms = SHORT_MS;
    so.loads_max = 1;
    open_client_with(&c, &o, &so);
    c.w.origin.script = query_late;
    do { /* a load whose time is over before a worker comes to it is not begun */
        pend(&c, "k");
        CHECK_EQ(poll_one(c.queue, PATIENTLY).answer.outcome, NIGH_ETIMEDOUT);
    } while (c.w.origin.loads == 0);
    queried(&c, 1);
    CHECK_WITHIN(PATIENTLY, world_count(&c.w, "load_unanswered") == 1);
    c.w.origin.script = NULL;
    CHECK_WITHIN(PATIENTLY, ask_fetch(c.w.space, "other", NULL).outcome == NIGH_FRESH);
    close_client(&c);
}

/* Nor the refreshes of its space, which are not more than its loads. */
TEST(a_refresh_without_an_answer_keeps_no_other_back)
{
    struct client c;
    struct nigh_options o = world_options(&c.w);
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.load_deadline_ms = 1000;
    so.loads_max = 1;
    so.soft_ttl_ms = 100;
    so.stale_ms = 1000000;
    open_client_with(&c, &o, &so);
    c.w.origin.script = NULL;
    CHECK_ANSWER(ask_fetch(c.w.space, "k", NULL), NIGH_FRESH, "k=1");
    world_advance(&c.w, 200);
    c.w.origin.script = query;
    CHECK_ANSWER(ask_fetch(c.w.space, "k", NULL), NIGH_STALE, "k=1");
    REQUIRE(CHECK_WITHIN(PATIENTLY, world_tick(&c.w) >= 0 && c.begun == 1));
    world_advance(&c.w, 1001);
    CHECK_WITHIN(PATIENTLY, world_tick(&c.w) >= 0 && world_count(&c.w, "load_unanswered") == 1);
    c.w.origin.script = NULL;
    CHECK_ANSWER(ask_fetch(c.w.space, "k", NULL), NIGH_STALE, "k=1");
    CHECK_EQ(world_count(&c.w, "refresh_busy"), 0);
    CHECK_WITHIN(PATIENTLY,
                 world_tick(&c.w) >= 0 && ask_get(c.w.space, "k", NULL).outcome == NIGH_FRESH);
    CHECK_EQ(nigh_fill_absent(c.fills[0]), 0);
    CHECK_ANSWER(ask_get(c.w.space, "k", NULL), NIGH_FRESH, "k=1"); /* a later load was quicker */
    close_client(&c);
}

TEST(an_answer_after_the_deadline_is_stored)
{
    struct client c;
    struct nigh_fill *fill = query_overdue(&c);
    CHECK_EQ(say(fill, "late"), 0);
    CHECK_ANSWER(ask_get(c.w.space, "k", NULL), NIGH_FRESH, "late");
    CHECK_EQ(world_count(&c.w, "load_overrun"), 1);
    close_client(&c);
}

/* Queries that are lost for good cost no memory for good. */
TEST(a_fill_that_nobody_answers_is_forgotten)
{
    struct client c;
    struct nigh_fill *fill = query_overdue(&c);
    CHECK_WITHIN(PATIENTLY, (world_advance(&c.w, 100), world_tick(&c.w) >= 0 &&
                                                           world_count(&c.w, "deferred") == 0));
    CHECK_EQ(world_count(&c.w, "load_forgotten"), 1);
    CHECK_EQ(world_count(&c.w, "load_unanswered"), 1);
    CHECK_OVER(fill, NIGH_ETIMEDOUT);
    CHECK_WITHIN(PATIENTLY, world_tick(&c.w) >= 0 && strstr(c.said, "forgotten"));
    c.w.origin.script = NULL;
    CHECK_ANSWER(ask_fetch(c.w.space, "k", NULL), NIGH_FRESH, "k=1");
    close_client(&c);
}

TEST(an_unanswered_fill_is_over_with_its_cache)
{
    struct client c;
    struct nigh_fill *fill = query_overdue(&c);
    close_client(&c);
    CHECK_OVER(fill, NIGH_ECLOSED);
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

/* ---- loaders that do not return ---- */

static jmp_buf out;

static int query_and_jump(struct origin *o, struct nigh_fill *fill)
{
    query(o, fill);
    longjmp(out, 1);
}

/* A fetch at the same depth would find the frame of the loader untouched, and not gone. */
static __attribute__((noinline)) void fetch_and_jump(struct client *c)
{
    if (setjmp(out) == 0)
        ask_fetch(c->w.space, "k", NULL);
}

TEST(a_loader_that_jumps_away_takes_the_deferred_fill_back)
{
    static struct client c;
    open_client(&c);
    c.w.origin.script = query_and_jump;
    fetch_and_jump(&c);
    c.w.origin.script = NULL;
    CHECK_EQ(ask_fetch(c.w.space, "k", NULL).outcome, NIGH_ELOADER);
    CHECK_OVER(c.fills[0], NIGH_EINVAL);
    CHECK_EQ(world_count(&c.w, "flights"), 0);
    close_client(&c);
}

static int query_and_exit(struct origin *o, struct nigh_fill *fill)
{
    struct client *c = o->arg;
    query(o, fill);
    if (atomic_load(&c->begun) == 1)
        pthread_exit(NULL);
    return 0;
}

static void check_exit(enum nigh_run_on run_on)
{
    struct client c;
    struct nigh_options o = small();
    struct nigh_space_options so = patient_space();
    struct asker follower;
    so.run_on = run_on;
    open_client_with(&c, &o, &so);
    c.w.origin.script = query_and_exit;
    if (run_on == NIGH_RUN_CALLER) {
        struct asker leader; /* ends inside its call */
        asker_start(&leader, c.w.space, "k", NULL);
        pthread_join(leader.thread, NULL);
        asker_start(&follower, c.w.space, "k", NULL);
    } else {
        asker_start(&follower, c.w.space, "k", NULL);
    }
    REQUIRE(CHECK_WITHIN(PATIENTLY, atomic_load(&c.begun) == 2));
    CHECK_EQ(say(c.fills[0], "of the first"), NIGH_EINVAL);
    CHECK_EQ(say(c.fills[1], "of the second"), 0);
    asker_join(&follower);
    CHECK_ANSWER(follower.answer, NIGH_FRESH, "of the second");
    close_client(&c);
}

TEST(a_loader_that_ends_its_thread_is_run_again_and_defers_anew)
{
    check_exit(NIGH_RUN_CALLER);
    check_exit(NIGH_RUN_WORKER);
}

/* ---- the end ---- */

TEST(close_gives_up_what_is_deferred)
{
    struct client c;
    char key[16];
    open_client(&c);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(key, sizeof(key), "%u", i);
        pend(&c, key);
        queried(&c, i + 1);
    }
    uint64_t began = check_now_ms();
    world_close(&c.w);
    CHECK(check_now_ms() - began < LOAD_MS); /* it does not wait for them */
    for (unsigned i = 0; i < MANY; i++) {
        struct ended e = poll_one(c.queue, 0);
        CHECK_EQ(e.polled, 1);
        CHECK_EQ(e.answer.outcome, NIGH_ECLOSED);
        CHECK_OVER(c.fills[i], NIGH_ECLOSED);
    }
    nigh_queue_close(c.queue);
    CHECK_OVER(c.fills[0], NIGH_ECLOSED);
}

static int query_and_hold(struct origin *o, struct nigh_fill *fill)
{
    int rc = query(o, fill);
    atomic_fetch_add(&o->held_loads, 1);
    while (atomic_load(&o->held))
        check_pause();
    return rc;
}

static void *let_go(void *arg)
{
    struct client *c = arg;
    CHECK_WITHIN(PATIENTLY, nigh_queue_poll(c->queue, NULL, 0, 0) == NIGH_ECLOSED ||
                                poll_one(c->queue, 0).answer.outcome == NIGH_ECLOSED);
    origin_let_go(&c->w.origin);
    return NULL;
}

/* It returns while the cache closes, and leaves nothing behind to wait for. */
TEST(a_loader_defers_as_the_cache_closes)
{
    struct client c;
    pthread_t thread;
    open_client(&c);
    c.w.origin.script = query_and_hold;
    origin_hold(&c.w.origin);
    pend(&c, "k");
    CHECK_WITHIN(PATIENTLY, atomic_load(&c.w.origin.held_loads) == 1);
    REQUIRE_EQ(pthread_create(&thread, NULL, let_go, &c), 0);
    world_close(&c.w);
    pthread_join(thread, NULL);
    CHECK_OVER(c.fills[0], NIGH_ECLOSED);
    nigh_queue_close(c.queue);
}

/* Without threads of its own: a child of a process with threads should start none. */
static void child_answers(struct client *c)
{
    struct client own;
    struct nigh_options o = small();
    struct nigh_space_options so = patient_space();
    CHECK_OVER(c->fills[0], NIGH_EFORKED);
    CHECK_OVER(c->fills[1], NIGH_EFORKED); /* answered before the fork, too */
    o.threads = NIGH_THREADS_NONE;
    open_client_with(&own, &o, &so);
    pend(&own, "k");
    CHECK_WITHIN(PATIENTLY, nigh_tick(own.w.cache) >= 0 && own.begun == 1);
    CHECK_EQ(say(own.fills[0], "child's"), 0);
    CHECK_ANSWER(poll_one(own.queue, PATIENTLY).answer, NIGH_FRESH, "child's");
    CHECK_OVER(own.fills[0], NIGH_EINVAL);
    CHECK_OVER(c->fills[0], NIGH_EFORKED);
    close_client(&own);
}

TEST(a_child_of_fork_answers_nothing_that_it_inherits)
{
    struct client c;
    int status = 0;
    unsigned failed = check_failed_count();
    open_client(&c);
    pend(&c, "k");
    queried(&c, 1);
    pend(&c, "answered");
    CHECK_EQ(say(queried(&c, 2), "before"), 0);
    CHECK_EQ(poll_one(c.queue, PATIENTLY).polled, 1);
    pid_t child = fork();
    if (child == 0) {
        child_answers(&c);
        _exit(check_failed_count() == failed ? 0 : 1);
    }
    REQUIRE(child > 0);
    REQUIRE_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_EQ(say(c.fills[0], "parent's"), 0);
    CHECK_ANSWER(poll_one(c.queue, PATIENTLY).answer, NIGH_FRESH, "parent's");
    close_client(&c);
}
