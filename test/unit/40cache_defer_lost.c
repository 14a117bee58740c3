// SPDX-License-Identifier: MIT
/*
 * Deferred answers that do not come, or too late: at the deadline of the load, from loaders that do
 * not return, and when the cache or the process has ended. Real threads, no Redis.
 */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/deferring.h"

/* ---- the deadline ---- */

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
