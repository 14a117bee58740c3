// SPDX-License-Identifier: MIT
// Reading without waiting: what is answered at once, and that all else is answered once, on its own
// queue. Real threads, real time, no Redis.

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "cache/cache.h"
#include "cache/queue/queue.h"
#include "cache/queue/keep.h"
#include "support/async.h"

#define NOW 0
#define PATIENTLY WORLD_PATIENCE_MS
#define LOAD_MS (3 * WORLD_PATIENCE_MS)
#define MANY 200

struct loop {
    struct world w;
    struct nigh_queue *queue;
};

static void open_loop_with(struct loop *l, const struct nigh_options *o,
                           const struct nigh_space_options *so)
{
    world_open(&l->w, o, so);
    REQUIRE_EQ(nigh_queue_open(l->w.cache, &l->queue), 0);
}

static void open_loop(struct loop *l)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.load_deadline_ms = LOAD_MS;
    open_loop_with(l, NULL, &so);
}

static void close_loop(struct loop *l)
{
    CHECK_WITHIN(PATIENTLY, world_count(&l->w, "async") == 0); /* a landing frees the cancelled */
    nigh_queue_close(l->queue);
    world_close(&l->w);
}

static struct answer fetch(struct loop *l, const char *key, uintptr_t arg, uint64_t *ret_id)
{
    return begin_fetch(l->queue, l->w.space, key, NULL, arg, ret_id);
}

static uint64_t pend(struct loop *l, const char *key, uintptr_t arg)
{
    uint64_t id = 0;
    CHECK_EQ(fetch(l, key, arg, &id).outcome, NIGH_PENDING);
    CHECK_NE(id, 0);
    return id;
}

static struct nigh_call within(uint32_t ms)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = ms;
    return call;
}

static bool is_readable(struct nigh_queue *queue)
{
    struct pollfd p = {.fd = nigh_queue_fd(queue), .events = POLLIN};
    REQUIRE(p.fd > 2);
    return poll(&p, 1, 0) == 1;
}

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

static pthread_t loading_thread;

static int note_thread(struct origin *o, struct nigh_fill *fill)
{
    loading_thread = pthread_self();
    return origin_answer(o, fill);
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

/* ---- the descriptor, several threads ---- */

TEST(the_descriptor_is_readable_exactly_while_there_are_completions)
{
    struct loop l;
    open_loop(&l);
    CHECK(!is_readable(l.queue));
    CHECK_EQ(nigh_queue_fd(l.queue), nigh_queue_fd(l.queue));
    for (int round = 0; round < 3; round++) {
        char key[3] = {'k', (char)('0' + round), 0};
        pend(&l, key, 1);
        key[0] = 'l';
        pend(&l, key, 2);
        CHECK_WITHIN(PATIENTLY, world_count(&l.w, "flights") == 0 && is_readable(l.queue));
        CHECK_EQ(poll_one(l.queue, PATIENTLY).polled, 1);
        CHECK_WITHIN(PATIENTLY, is_readable(l.queue));
        CHECK_EQ(poll_one(l.queue, PATIENTLY).polled, 1);
        CHECK(!is_readable(l.queue));
    }
    close_loop(&l);
}

TEST(a_descriptor_that_is_asked_for_late_is_readable_at_once)
{
    struct loop l;
    open_loop(&l);
    pend(&l, "k", 1);
    struct nigh_completion none;
    CHECK_WITHIN(PATIENTLY, ask_get(l.w.space, "k", NULL).outcome == NIGH_FRESH &&
                                world_count(&l.w, "flights") == 0);
    CHECK_EQ(nigh_queue_poll(l.queue, &none, 0, PATIENTLY), 0);
    CHECK_WITHIN(PATIENTLY, is_readable(l.queue));
    CHECK_EQ(poll_one(l.queue, PATIENTLY).polled, 1);
    close_loop(&l);
}

struct poller {
    struct nigh_queue *queue;
    pthread_t thread;
    _Atomic unsigned polled;
    int last;
};

static void *poll_until_closed(void *arg)
{
    struct poller *p = arg;
    do {
        p->last = poll_one(p->queue, NIGH_NONE).polled;
        p->polled += p->last == 1;
    } while (p->last >= 0);
    return NULL;
}

TEST(threads_that_poll_one_queue_share_its_completions)
{
    struct loop l;
    struct poller pollers[3];
    open_loop(&l);
    for (int i = 0; i < 3; i++) {
        pollers[i] = (struct poller){.queue = l.queue};
        REQUIRE_EQ(pthread_create(&pollers[i].thread, NULL, poll_until_closed, &pollers[i]), 0);
    }
    for (uintptr_t i = 0; i < MANY; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", (int)i);
        pend(&l, key, i);
    }
    CHECK_WITHIN(PATIENTLY, pollers[0].polled + pollers[1].polled + pollers[2].polled == MANY);
    world_close(&l.w); /* while they poll */
    for (int i = 0; i < 3; i++) {
        pthread_join(pollers[i].thread, NULL);
        CHECK_EQ(pollers[i].last, NIGH_ECLOSED);
    }
    nigh_queue_close(l.queue);
}

static void *poll_ids(void *arg)
{
    struct nigh_queue *q = arg;
    struct nigh_completion c;
    for (unsigned i = 0; i < 10 * MANY; i++) {
        REQUIRE_EQ(nigh_queue_poll(q, &c, 1, PATIENTLY), 1);
        uint64_t *id = c.arg;
        CHECK_EQ(*id, c.id);
        free(id);
        nigh_release(&c.value);
    }
    return NULL;
}

/* So whoever polls may free it. */
TEST(the_id_of_a_call_is_there_before_its_completion)
{
    struct loop l;
    pthread_t thread;
    open_loop(&l);
    REQUIRE_EQ(pthread_create(&thread, NULL, poll_ids, l.queue), 0);
    for (unsigned i = 0; i < 10 * MANY; i++) {
        char key[16];
        struct nigh_value value = NIGH_VALUE_INIT;
        uint64_t *id = calloc(1, sizeof(*id));
        snprintf(key, sizeof(key), "k%u", i);
        REQUIRE_EQ(nigh_fetch_async(l.queue, l.w.space, key, strlen(key), NULL, id, &value, id),
                   NIGH_PENDING);
    }
    pthread_join(thread, NULL);
    close_loop(&l);
}

TEST(a_call_completes_on_its_own_queue_only)
{
    struct loop l;
    struct nigh_queue *other;
    open_loop(&l);
    REQUIRE_EQ(nigh_queue_open(l.w.cache, &other), 0);
    origin_hold(&l.w.origin);
    pend(&l, "k", 1);
    CHECK_EQ(begin_fetch(other, l.w.space, "k", NULL, 2, NULL).outcome, NIGH_PENDING);
    origin_let_go(&l.w.origin);
    CHECK_EQ(poll_one(other, PATIENTLY).arg, 2);
    CHECK_EQ(poll_one(l.queue, PATIENTLY).arg, 1);
    CHECK_EQ(poll_one(other, NOW).polled + poll_one(l.queue, NOW).polled, 0);
    nigh_queue_close(other);
    close_loop(&l);
}

/* ---- closing ---- */

TEST(a_closed_queue_drops_what_is_pending_and_releases_what_was_not_polled)
{
    struct loop l;
    struct nigh_queue *other;
    open_loop(&l);
    REQUIRE_EQ(nigh_queue_open(l.w.cache, &other), 0);
    pend(&l, "done", 1);
    CHECK_WITHIN(PATIENTLY, is_readable(l.queue));
    origin_hold(&l.w.origin);
    for (uintptr_t i = 0; i < MANY; i++)
        pend(&l, i % 2 ? "a" : "b", i);
    CHECK_EQ(begin_fetch(other, l.w.space, "a", NULL, 7, NULL).outcome, NIGH_PENDING);
    nigh_queue_close(l.queue);
    CHECK_EQ(world_count(&l.w, "async"), 1);
    origin_let_go(&l.w.origin);
    CHECK_ANSWER(poll_one(other, PATIENTLY).answer, NIGH_FRESH, "a=1");
    CHECK_WITHIN(PATIENTLY, world_count(&l.w, "async") == 0);
    CHECK_EQ(l.w.origin.loads, 3);
    nigh_queue_close(other);
    world_close(&l.w);
}

TEST(a_closing_cache_completes_what_is_pending)
{
    struct loop l;
    struct nigh_completion c = {.value = NIGH_VALUE_INIT};
    open_loop(&l);
    pend(&l, "done", 9);
    CHECK_WITHIN(PATIENTLY, is_readable(l.queue));
    origin_hold(&l.w.origin);
    for (uintptr_t i = 0; i < 5; i++)
        pend(&l, "k", i);
    CHECK_WITHIN(PATIENTLY, l.w.origin.held_loads == 1);
    origin_let_go(&l.w.origin);
    world_close(&l.w);
    REQUIRE_EQ(nigh_queue_poll(l.queue, &c, 1, NIGH_NONE), 1);
    CHECK_MEM(c.value.data, c.value.len, "done=1", 6); /* the value outlives its cache */
    nigh_release(&c.value);
    bool seen[5] = {false};
    for (int i = 0; i < 5; i++) {
        struct ended e = poll_one(l.queue, NIGH_NONE);
        REQUIRE(e.polled == 1 && e.arg < 5);
        CHECK(e.answer.outcome == NIGH_ECLOSED || e.answer.outcome == NIGH_FRESH);
        CHECK(!seen[e.arg]);
        seen[e.arg] = true;
    }
    CHECK_EQ(poll_one(l.queue, NIGH_NONE).polled, NIGH_ECLOSED);
    CHECK_EQ(nigh_queue_poll(l.queue, NULL, 0, NOW), NIGH_ECLOSED);
    CHECK_EQ(nigh_cancel(l.queue, 1), NIGH_MISS);
    nigh_queue_close(l.queue);
}

static void *close_world(void *arg)
{
    world_close(arg);
    return NULL;
}

TEST(a_cache_that_another_thread_closes_wakes_its_loops)
{
    struct loop l;
    pthread_t closer;
    open_loop(&l);
    origin_hold(&l.w.origin);
    pend(&l, "k", 1);
    CHECK_WITHIN(PATIENTLY, l.w.origin.held_loads == 1);
    REQUIRE_EQ(pthread_create(&closer, NULL, close_world, &l.w), 0);
    struct ended e = poll_one(l.queue, NIGH_NONE);
    CHECK_EQ(e.answer.outcome, NIGH_ECLOSED);
    CHECK_EQ(poll_one(l.queue, NIGH_NONE).polled, NIGH_ECLOSED);
    origin_let_go(&l.w.origin);
    pthread_join(closer, NULL);
    nigh_queue_close(l.queue);
}

/* As a loader does that calls us while nigh_close() waits for it. */
TEST(a_call_has_its_queue_also_if_the_cache_closes_meanwhile)
{
    static const struct queue_verb verb;
    struct loop l;
    struct nigh_queue *nobodys, *none = NULL;
    struct queue_op *op;
    open_loop(&l);
    REQUIRE_EQ(queues_nobodys(l.w.cache, &nobodys), 0);
    queues_shut(l.w.cache);
    REQUIRE_EQ(queue_op_create(nobodys, &verb, l.w.space, NULL, sizeof(*op), &op), 0);
    queue_unref(nobodys);
    queue_op_free(op);
    CHECK_EQ(queues_nobodys(l.w.cache, &none), NIGH_ECLOSED);
    CHECK(!none);
    close_loop(&l);
}

/* ---- without own threads ---- */

struct numbered {
    struct worker_job job;
    int number;
};

static int jobs_run[3];
static int jobs_count;

static void note_job(struct worker_job *job)
{
    jobs_run[jobs_count++] = CONTAINER_OF(job, struct numbered, job)->number;
}

TEST(an_answer_does_not_wait_for_loads_that_have_not_begun)
{
    struct loop l;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct numbered n[3];
    o.threads = NIGH_THREADS_NONE;
    open_loop_with(&l, &o, NULL);
    for (int i = 0; i < 3; i++)
        n[i] = (struct numbered){{.run = note_job}, i};
    workers_add_load(&l.w.cache->workers, &n[0].job);
    workers_add_answer(&l.w.cache->workers, &n[1].job);
    workers_add_answer(&l.w.cache->workers, &n[2].job);
    CHECK(!workers_idle(&l.w.cache->workers));
    workers_turn(&l.w.cache->workers);
    CHECK_EQ(jobs_run[0], 1);
    CHECK_EQ(jobs_run[1], 2);
    CHECK_EQ(jobs_run[2], 0);
    CHECK(workers_idle(&l.w.cache->workers));
    close_loop(&l);
}

TEST(without_own_threads_a_poll_drives_and_so_does_a_tick)
{
    struct loop l;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.group_slots = 2048;
    o.threads = NIGH_THREADS_NONE;
    open_loop_with(&l, &o, NULL);
    l.w.origin.script = note_thread;
    pend(&l, "k", 1);
    CHECK_EQ(l.w.origin.loads, 0); /* not inside the call */
    struct ended e = poll_one(l.queue, PATIENTLY);
    CHECK_ANSWER(e.answer, NIGH_FRESH, "k=1");
    CHECK(pthread_equal(loading_thread, pthread_self()));
    pend(&l, "l", 2);
    while (!is_readable(l.queue))
        CHECK_GE(nigh_tick(l.w.cache), 0);
    CHECK_ANSWER(poll_one(l.queue, NOW).answer, NIGH_FRESH, "l=1");
    CHECK_EQ(poll_one(l.queue, 5).polled, 0);
    close_loop(&l);
}

static void *begin_one(void *arg)
{
    pend(arg, "k", 1);
    return NULL;
}

static struct loop *hooked;

/* Runs at the end of a turn. */
static void begin_on_another_thread(void *arg, enum nigh_log_level level, const char *message)
{
    pthread_t thread;
    (void)arg, (void)level, (void)message;
    if (!hooked)
        return;
    REQUIRE_EQ(pthread_create(&thread, NULL, begin_one, hooked), 0);
    pthread_join(thread, NULL);
    hooked = NULL;
}

TEST(without_own_threads_a_poll_does_not_sleep_over_a_call_that_came_after_its_turn)
{
    struct loop l;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.group_slots = 2048;
    o.threads = NIGH_THREADS_NONE;
    o.log = begin_on_another_thread;
    so.load_deadline_ms = LOAD_MS;
    open_loop_with(&l, &o, &so);
    hooked = &l;
    CHECK_EQ(nigh_set(l.w.cache, "redis.deadline", "300ms"), 0); /* is logged in the next turn */
    uint64_t began_ms = check_now_ms();
    CHECK_ANSWER(poll_one(l.queue, PATIENTLY).answer, NIGH_FRESH, "k=1");
    CHECK(check_now_ms() - began_ms < PATIENTLY);
    CHECK(!hooked);
    close_loop(&l);
}

/* Time is the test's: the deadline is the turn's business. */
TEST(without_own_threads_deadlines_are_kept_by_turns)
{
    struct loop l;
    struct nigh_call call = within(500);
    struct nigh_options o = world_options(&l.w);
    open_loop_with(&l, &o, NULL);
    /* Nobody takes a turn before the deadline has passed. */
    CHECK_EQ(begin_fetch(l.queue, l.w.space, "k", &call, 1, NULL).outcome, NIGH_PENDING);
    world_advance(&l.w, 501);
    CHECK_EQ(poll_one(l.queue, NOW).answer.outcome, NIGH_ETIMEDOUT);
    close_loop(&l);
}

/* ---- fork, memory ---- */

TEST(a_queue_that_a_child_inherits_is_dead)
{
    struct loop l;
    struct nigh_completion c;
    open_loop(&l);
    int fd = nigh_queue_fd(l.queue);
    pend(&l, "k", 1);
    CHECK_WITHIN(PATIENTLY, is_readable(l.queue));
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        struct nigh_value value = NIGH_VALUE_INIT;
        struct nigh_queue *queue;
        bool dead = nigh_queue_poll(l.queue, &c, 1, NIGH_NONE) == NIGH_EFORKED &&
                    nigh_queue_fd(l.queue) == NIGH_EFORKED &&
                    nigh_cancel(l.queue, 1) == NIGH_EFORKED &&
                    nigh_fetch_async(l.queue, l.w.space, "k", 1, NULL, NULL, &value, NULL) ==
                        NIGH_EFORKED &&
                    nigh_queue_open(l.w.cache, &queue) == NIGH_EFORKED;
        nigh_queue_close(l.queue);
        _exit(dead ? 0 : 1);
    }
    int status;
    REQUIRE_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_EQ(nigh_queue_fd(l.queue), fd);
    CHECK(is_readable(l.queue)); /* the child has not read it */
    CHECK_ANSWER(poll_one(l.queue, NOW).answer, NIGH_FRESH, "k=1");
    close_loop(&l);
}

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
