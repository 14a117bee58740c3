// SPDX-License-Identifier: MIT
// Reading without waiting: what is answered at once, and that all else is answered once, on its own
// queue. Real threads, real time, no Redis.

#include <stdio.h>

#include "base/fault.h"
#include "support/loop.h"

/* ---- at once ---- */

TEST(what_l1_has_is_answered_at_once)
{
    struct loop l;
    uint64_t id = 7;
    open_loop(&l);
    CHECK_EQ(nigh_put(l.w.space, "k", 1, "v", 1, NULL), 0);
    CHECK_ANSWER(fetch(&l, "k", 1, &id), NIGH_FRESH, "v");
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    call.miss = &miss;
    CHECK_EQ(ask_get(l.w.space, "no", &call).outcome, NIGH_MISS);
    CHECK_EQ(nigh_put_absent(l.w.space, "no", 2, &call), 0);
    CHECK_EQ(fetch(&l, "no", 1, &id).outcome, NIGH_ABSENT);
    CHECK_EQ(id, 7);
    CHECK_EQ(poll_one(l.queue, NOW).polled, 0);
    CHECK_EQ(world_count(&l.w, "async_begun"), 0);
    close_loop(&l);
}

TEST(a_stale_value_is_answered_at_once_and_refreshed_behind)
{
    struct loop l;
    struct nigh_call call = NIGH_CALL_INIT;
    open_loop(&l);
    call.soft_ttl_ms = 1;
    CHECK_EQ(nigh_put(l.w.space, "k", 1, "old", 3, &call), 0);
    CHECK_WITHIN(PATIENTLY, ask_get(l.w.space, "k", NULL).outcome == NIGH_STALE);
    CHECK_ANSWER(fetch(&l, "k", 1, NULL), NIGH_STALE, "old");
    CHECK_WITHIN(PATIENTLY, ask_get(l.w.space, "k", NULL).outcome == NIGH_FRESH);
    CHECK_EQ(poll_one(l.queue, NOW).polled, 0);
    CHECK_EQ(world_count(&l.w, "refresh"), 1);
    close_loop(&l);
}

TEST(l1_only_neither_loads_nor_completes)
{
    struct loop l;
    struct nigh_call call = NIGH_CALL_INIT;
    open_loop(&l);
    call.flags = NIGH_L1_ONLY;
    CHECK_EQ(begin_fetch(l.queue, l.w.space, "k", &call, 1, NULL).outcome, NIGH_MISS);
    CHECK_EQ(world_count(&l.w, "async"), 0);
    CHECK_EQ(l.w.origin.loads, 0);
    close_loop(&l);
}

TEST(wrong_arguments_are_told_at_once_and_complete_nothing)
{
    struct loop l, other;
    char long_key[NIGH_KEY_MAX + 1] = {'k'};
    struct nigh_value value = NIGH_VALUE_INIT;
    struct nigh_completion c;
    struct nigh_call call = NIGH_CALL_INIT;
    uint64_t id = 7;
    open_loop(&l);
    open_loop(&other);
    struct nigh_queue *q = l.queue, *queue = NULL;
    struct nigh_space *s = l.w.space;
    CHECK_EQ(nigh_fetch_async(NULL, s, "k", 1, NULL, NULL, &value, &id), NIGH_EINVAL);
    CHECK_EQ(nigh_fetch_async(q, NULL, "k", 1, NULL, NULL, &value, &id), NIGH_EINVAL);
    CHECK_EQ(nigh_fetch_async(q, s, "k", 1, NULL, NULL, NULL, &id), NIGH_EINVAL);
    CHECK_EQ(nigh_fetch_async(q, other.w.space, "k", 1, NULL, NULL, &value, &id), NIGH_EINVAL);
    CHECK_EQ(nigh_fetch_async(q, s, NULL, 1, NULL, NULL, &value, &id), NIGH_EKEY);
    CHECK_EQ(nigh_fetch_async(q, s, "k", 0, NULL, NULL, &value, &id), NIGH_EKEY);
    CHECK_EQ(nigh_fetch_async(q, s, long_key, sizeof(long_key), NULL, NULL, &value, &id),
             NIGH_EKEY);
    call.flags = 1u << 31;
    CHECK_EQ(nigh_fetch_async(q, s, "k", 1, &call, NULL, &value, &id), NIGH_EINVAL);
    call = (struct nigh_call)NIGH_CALL_INIT;
    call.size = 3;
    CHECK_EQ(nigh_fetch_async(q, s, "k", 1, &call, NULL, &value, &id), NIGH_EINVAL);
    CHECK_EQ(nigh_queue_open(NULL, &queue), NIGH_EINVAL);
    CHECK_EQ(nigh_queue_open(l.w.cache, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_queue_fd(NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_queue_poll(NULL, &c, 1, NOW), NIGH_EINVAL);
    CHECK_EQ(nigh_queue_poll(q, NULL, 1, NOW), NIGH_EINVAL);
    CHECK_EQ(nigh_queue_poll(q, NULL, 0, NIGH_NONE), 0);
    CHECK_EQ(nigh_cancel(NULL, 1), NIGH_EINVAL);
    CHECK_EQ(nigh_cancel(q, 0), NIGH_MISS);
    CHECK_EQ(nigh_cancel(q, 1), NIGH_MISS);
    nigh_queue_close(NULL);
    CHECK(!value.data && id == 7);
    CHECK_EQ(nigh_queue_poll(q, &c, 1, NOW), 0);
    CHECK_EQ(l.w.origin.loads, 0);
    close_loop(&other);
    close_loop(&l);
}

/* ---- later ---- */

TEST(a_miss_is_pending_and_completes_once)
{
    struct loop l;
    open_loop(&l);
    uint64_t id = pend(&l, "k", 42);
    struct ended e = poll_one(l.queue, PATIENTLY);
    CHECK_EQ(e.polled, 1);
    CHECK_EQ(e.id, id);
    CHECK_EQ(e.arg, 42);
    CHECK_ANSWER(e.answer, NIGH_FRESH, "k=1");
    CHECK_EQ(e.answer.tier, NIGH_TIER_LOADER);
    CHECK_EQ(poll_one(l.queue, NOW).polled, 0);
    CHECK_ANSWER(fetch(&l, "k", 1, NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(l.w.origin.loads, 1);
    CHECK_EQ(world_count(&l.w, "async_begun"), 1);
    CHECK_EQ(world_count(&l.w, "l1_miss"), 1);
    close_loop(&l);
}

TEST(the_key_is_copied)
{
    struct loop l;
    char key[] = "first";
    open_loop(&l);
    origin_hold(&l.w.origin);
    pend(&l, key, 1);
    strcpy(key, "other");
    origin_let_go(&l.w.origin);
    CHECK_ANSWER(poll_one(l.queue, PATIENTLY).answer, NIGH_FRESH, "first=1");
    close_loop(&l);
}

/* The cap on callers that wait is for threads. */
TEST(blocking_and_pending_calls_share_one_load)
{
    struct loop l;
    struct asker asker;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.waiters_max = 2;
    so.load_deadline_ms = LOAD_MS;
    open_loop_with(&l, NULL, &so);
    origin_hold(&l.w.origin);
    for (uintptr_t i = 0; i < MANY; i++)
        pend(&l, "k", i);
    asker_start(&asker, l.w.space, "k", NULL);
    CHECK_WITHIN(PATIENTLY, world_count(&l.w, "flight_joined") == MANY);
    CHECK_EQ(world_count(&l.w, "async"), MANY);
    origin_let_go(&l.w.origin);
    asker_join(&asker);
    CHECK_ANSWER(asker.answer, NIGH_FRESH, "k=1");
    bool seen[MANY] = {false};
    for (int i = 0; i < MANY; i++) {
        struct ended e = poll_one(l.queue, PATIENTLY);
        REQUIRE(e.polled == 1 && e.arg < MANY);
        CHECK_ANSWER(e.answer, NIGH_FRESH, "k=1");
        CHECK(!seen[e.arg]);
        seen[e.arg] = true;
    }
    CHECK_EQ(l.w.origin.loads, 1);
    CHECK_EQ(world_count(&l.w, "flight_led"), 1);
    close_loop(&l);
}

TEST(a_loader_never_runs_on_the_thread_that_does_not_wait)
{
    struct loop l;
    open_loop(&l); /* run_on=caller */
    l.w.origin.script = note_thread;
    pend(&l, "k", 1);
    CHECK_ANSWER(poll_one(l.queue, PATIENTLY).answer, NIGH_FRESH, "k=1");
    CHECK(!pthread_equal(loading_thread, pthread_self()));
    close_loop(&l);
}

static struct nigh_queue *inner_queue;

/* "outer" begins a fetch of "inner", and waits for it as an event loop would. */
static int fetch_inside(struct origin *o, struct nigh_fill *fill)
{
    struct world *w = o->arg;
    size_t len;
    const char *key = nigh_fill_key(fill, &len);
    if (memcmp(key, "outer", len) != 0)
        return origin_answer(o, fill);
    CHECK_EQ(begin_fetch(inner_queue, w->space, "outer", NULL, 1, NULL).outcome, NIGH_EDEADLK);
    CHECK_EQ(begin_fetch(inner_queue, w->space, "inner", NULL, 1, NULL).outcome, NIGH_PENDING);
    struct ended e = poll_one(inner_queue, PATIENTLY);
    return nigh_fill_value(fill, e.answer.text, e.answer.len);
}

TEST(a_loader_may_fetch_other_keys_without_waiting)
{
    struct loop l;
    open_loop(&l);
    REQUIRE_EQ(nigh_queue_open(l.w.cache, &inner_queue), 0);
    l.w.origin.arg = &l.w;
    l.w.origin.script = fetch_inside;
    pend(&l, "outer", 1);
    CHECK_ANSWER(poll_one(l.queue, PATIENTLY).answer, NIGH_FRESH, "inner=1");
    CHECK_EQ(world_count(&l.w, "flight_deadlock"), 1);
    nigh_queue_close(inner_queue);
    close_loop(&l);
}

static int fail(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    return nigh_fill_error(fill, 99);
}

static int nothing_there(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    return nigh_fill_absent(fill);
}

TEST(a_failed_load_completes_with_its_error_and_an_absent_row_without_a_value)
{
    struct loop l;
    open_loop(&l);
    l.w.origin.script = fail;
    pend(&l, "k", 1);
    struct ended e = poll_one(l.queue, PATIENTLY);
    CHECK_EQ(e.answer.outcome, NIGH_ELOADER);
    CHECK_EQ(e.load_error, 99);
    /* A remembered error is the answer of the flight's first steps: at once. */
    CHECK_EQ(fetch(&l, "k", 1, NULL).outcome, NIGH_ELOADER);
    CHECK_EQ(nigh_load_error(), 99);
    CHECK_EQ(l.w.origin.loads, 1);
    l.w.origin.script = nothing_there;
    pend(&l, "no", 1);
    e = poll_one(l.queue, PATIENTLY);
    CHECK_EQ(e.answer.outcome, NIGH_ABSENT);
    CHECK_EQ(e.answer.len, 0);
    close_loop(&l);
}

TEST(a_space_without_a_loader_answers_miss_at_once)
{
    struct loop l;
    struct nigh_space *bare;
    open_loop(&l);
    REQUIRE_EQ(nigh_space_open(l.w.cache, "bare", NULL, NULL, NULL, NULL, &bare), 0);
    CHECK_EQ(begin_fetch(l.queue, bare, "k", NULL, 1, NULL).outcome, NIGH_MISS);
    CHECK_EQ(poll_one(l.queue, NOW).polled, 0);
    close_loop(&l);
}

/* The invalidation of all comes after the second call and voids what the load has read: only the
 * first call, which began it, may still have it. */
TEST(a_result_that_is_no_answer_to_a_call_is_not_given_to_it)
{
    struct loop l;
    struct nigh_target all = {.kind = NIGH_TARGET_ALL};
    open_loop(&l);
    origin_hold(&l.w.origin);
    pend(&l, "k", 1);
    CHECK_WITHIN(PATIENTLY, l.w.origin.held_loads == 1);
    CHECK_EQ(nigh_invalidate(l.w.space, "x", 1, NULL), 0); /* the next ticket is another */
    pend(&l, "k", 2);
    CHECK_EQ(world_count(&l.w, "flight_joined"), 1);
    origin_commit(&l.w.origin);
    CHECK_EQ(nigh_invalidate_many(l.w.cache, &all, 1, NULL), 0);
    origin_let_go(&l.w.origin);
    for (int i = 0; i < 2; i++) {
        struct ended e = poll_one(l.queue, PATIENTLY);
        CHECK_ANSWER(e.answer, NIGH_FRESH, e.arg == 2 ? "k=2" : "k=1");
    }
    CHECK_EQ(l.w.origin.loads, 2);
    close_loop(&l);
}

/* ---- deadlines, caps ---- */

TEST(a_call_completes_at_its_deadline_and_the_load_goes_on)
{
    struct loop l;
    struct nigh_call call = within(30);
    open_loop(&l);
    origin_hold(&l.w.origin);
    uint64_t began_ms = check_now_ms();
    CHECK_EQ(begin_fetch(l.queue, l.w.space, "k", &call, 1, NULL).outcome, NIGH_PENDING);
    pend(&l, "k", 2); /* of another deadline */
    struct ended e = poll_one(l.queue, PATIENTLY);
    CHECK_EQ(e.arg, 1);
    CHECK_EQ(e.answer.outcome, NIGH_ETIMEDOUT);
    CHECK_GE(check_now_ms() - began_ms, 29);
    CHECK_EQ(poll_one(l.queue, NOW).polled, 0);
    origin_let_go(&l.w.origin);
    e = poll_one(l.queue, PATIENTLY);
    CHECK_EQ(e.arg, 2);
    CHECK_ANSWER(e.answer, NIGH_FRESH, "k=1");
    CHECK_EQ(l.w.origin.loads, 1);
    close_loop(&l);
}

TEST(a_call_without_a_deadline_ends_with_its_flight)
{
    struct loop l;
    struct nigh_call call = within(NIGH_NONE);
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.load_deadline_ms = 40;
    open_loop_with(&l, NULL, &so);
    CHECK_EQ(nigh_put(l.w.space, "k", 1, "old", 3, NULL), 0);
    origin_hold(&l.w.origin);
    call.flags = NIGH_REFRESH;
    CHECK_EQ(begin_fetch(l.queue, l.w.space, "k", &call, 1, NULL).outcome, NIGH_PENDING);
    CHECK_ANSWER(poll_one(l.queue, PATIENTLY).answer, NIGH_STALE, "old");
    origin_let_go(&l.w.origin);
    close_loop(&l);
}

/* With one worker, which is kept by "a", until the time of "b" is over. */
TEST(a_load_that_comes_too_late_for_all_is_not_begun)
{
    struct loop l;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    o.workers = 1;
    so.load_deadline_ms = 1000;
    open_loop_with(&l, &o, &so);
    origin_hold(&l.w.origin);
    pend(&l, "a", 1);
    CHECK_WITHIN(PATIENTLY, l.w.origin.held_loads == 1);
    pend(&l, "b", 2);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(poll_one(l.queue, PATIENTLY).answer.outcome, NIGH_ETIMEDOUT);
    uint64_t over_ms = check_now_ms() + 20; /* flights began a moment after their calls */
    while (check_now_ms() < over_ms)
        check_pause();
    origin_let_go(&l.w.origin);
    CHECK_WITHIN(PATIENTLY, world_count(&l.w, "flights") == 0);
    CHECK_WITHIN(PATIENTLY, ask_fetch(l.w.space, "c", NULL).outcome == NIGH_FRESH);
    CHECK_WITHIN(PATIENTLY, l.w.origin.running == 0);
    CHECK_EQ(ask_get(l.w.space, "b", NULL).outcome, NIGH_MISS);
    close_loop(&l);
}

TEST(beyond_the_cap_calls_are_refused_at_once)
{
    struct loop l;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    o.async_max = 2;
    so.load_deadline_ms = LOAD_MS;
    open_loop_with(&l, &o, &so);
    origin_hold(&l.w.origin);
    pend(&l, "a", 1);
    uint64_t second = pend(&l, "b", 2);
    CHECK_EQ(fetch(&l, "c", 3, NULL).outcome, NIGH_EBUSY);
    CHECK_EQ(world_count(&l.w, "async_busy"), 1);
    CHECK_EQ(nigh_cancel(l.queue, second), 0);
    pend(&l, "c", 3);
    origin_let_go(&l.w.origin);
    CHECK_WITHIN(PATIENTLY, is_readable(l.queue));
    CHECK_EQ(fetch(&l, "d", 4, NULL).outcome, NIGH_EBUSY); /* completions count until polled */
    CHECK_EQ(poll_one(l.queue, PATIENTLY).polled, 1);
    pend(&l, "d", 4);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(poll_one(l.queue, PATIENTLY).answer.outcome, NIGH_FRESH);
    close_loop(&l);
}

/* ---- cancelling ---- */

TEST(a_cancelled_call_is_never_answered_and_others_are)
{
    struct loop l;
    open_loop(&l);
    origin_hold(&l.w.origin);
    uint64_t first = pend(&l, "k", 1);
    pend(&l, "k", 2);
    CHECK_EQ(nigh_cancel(l.queue, first), 0);
    CHECK_EQ(nigh_cancel(l.queue, first), NIGH_MISS);
    origin_let_go(&l.w.origin);
    struct ended e = poll_one(l.queue, PATIENTLY);
    CHECK_EQ(e.arg, 2);
    CHECK_ANSWER(e.answer, NIGH_FRESH, "k=1");
    CHECK_EQ(nigh_cancel(l.queue, e.id), NIGH_MISS); /* handed out */
    CHECK_EQ(poll_one(l.queue, NOW).polled, 0);
    CHECK_EQ(world_count(&l.w, "async_cancelled"), 1);
    close_loop(&l);
}

TEST(a_load_whose_only_caller_has_cancelled_goes_on)
{
    struct loop l;
    open_loop(&l);
    origin_hold(&l.w.origin);
    uint64_t id = pend(&l, "k", 1);
    CHECK_EQ(nigh_cancel(l.queue, id), 0);
    origin_let_go(&l.w.origin);
    CHECK_WITHIN(PATIENTLY, ask_get(l.w.space, "k", NULL).outcome == NIGH_FRESH);
    CHECK_EQ(l.w.origin.loads, 1);
    CHECK_EQ(poll_one(l.queue, NOW).polled, 0);
    close_loop(&l);
}

TEST(a_completion_that_was_not_polled_is_cancelled_too)
{
    struct loop l;
    open_loop(&l);
    uint64_t id[3];
    for (uintptr_t i = 0; i < 3; i++) {
        char key[2] = {(char)('a' + i), 0};
        id[i] = pend(&l, key, i);
        CHECK_WITHIN(PATIENTLY, world_count(&l.w, "flights") == 0);
    }
    CHECK_WITHIN(PATIENTLY, is_readable(l.queue));
    CHECK_EQ(nigh_cancel(l.queue, id[1]), 0);
    CHECK_EQ(nigh_cancel(l.queue, id[1]), NIGH_MISS);
    CHECK_EQ(poll_one(l.queue, PATIENTLY).id, id[0]);
    CHECK_EQ(nigh_cancel(l.queue, id[2]), 0);
    CHECK(!is_readable(l.queue));
    CHECK_EQ(poll_one(l.queue, NOW).polled, 0);
    close_loop(&l);
}

struct canceller {
    struct nigh_queue *queue;
    const uint64_t *ids;
    unsigned cancelled;
};

static void *cancel_all(void *arg)
{
    struct canceller *c = arg;
    for (int i = 0; i < MANY; i++)
        c->cancelled += nigh_cancel(c->queue, c->ids[i]) == 0;
    return NULL;
}

TEST(each_call_is_either_cancelled_or_handed_out)
{
    struct loop l;
    uint64_t ids[MANY];
    pthread_t thread;
    open_loop(&l);
    for (int round = 0; round < 10; round++) {
        struct canceller c = {l.queue, ids, 0};
        unsigned polled = 0;
        for (uintptr_t i = 0; i < MANY; i++) {
            char key[16];
            snprintf(key, sizeof(key), "%d.%d", round, (int)i);
            ids[i] = pend(&l, key, i);
        }
        REQUIRE_EQ(pthread_create(&thread, NULL, cancel_all, &c), 0);
        while (world_count(&l.w, "async") > 0)
            polled += poll_one(l.queue, 1).polled == 1;
        pthread_join(thread, NULL);
        CHECK_EQ(polled + c.cancelled, MANY);
    }
    close_loop(&l);
}

/* ---- no memory ---- */

#if NIGH_FAULTS
/* Each allocation of a pending call fails in turn: it is refused, or it completes. */
TEST(a_call_without_memory_is_refused_or_completes)
{
    struct loop l;
    struct nigh_queue *none = NULL;
    open_loop(&l);
    fault_arm(FAULT_ALLOC, 1);
    CHECK_EQ(nigh_queue_open(l.w.cache, &none), NIGH_ENOMEM);
    CHECK(!none);
    for (unsigned nth = 1; nth <= 8; nth++) {
        char key[2] = {(char)('a' + nth), 0};
        fault_arm(FAULT_ALLOC, nth);
        int rc = fetch(&l, key, nth, NULL).outcome;
        struct ended e = {.answer = {.outcome = rc}};
        if (rc == NIGH_PENDING)
            e = poll_one(l.queue, PATIENTLY);
        fault_arm(FAULT_ALLOC, 0);
        rc = e.answer.outcome;
        if (!CHECK(rc == NIGH_FRESH || rc == NIGH_ENOMEM || rc == NIGH_ELOADER))
            check_note("allocation %u: %s", nth, nigh_result_name(rc));
        CHECK_WITHIN(PATIENTLY, world_count(&l.w, "flights") == 0);
    }
    close_loop(&l);
}
#endif
