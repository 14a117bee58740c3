// SPDX-License-Identifier: MIT
// A queue of completions: its descriptor, the threads that poll it, its end, its cache's and a
// fork; and that a poll drives a cache without own threads. Real threads, real time, no Redis.

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/cache.h"
#include "cache/queue/keep.h"
#include "cache/queue/queue.h"
#include "support/loop.h"

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

/* ---- fork ---- */

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
