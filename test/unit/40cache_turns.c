// SPDX-License-Identifier: MIT
// Without own threads: what is left to turns is loaded in calls for many, as workers do it, and who
// waits for one of the many runs the call.

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/drive.h"
#include "cache/load/batch.h"
#include "support/many.h"

#define PATIENTLY WORLD_PATIENCE_MS
#define LONG_US 100000 /* the most that batch_wait may be */

static struct world w;
static struct nigh_queue *queue;

static void open_with(const struct nigh_options *o, uint32_t batch, uint32_t batch_wait_us)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.batch = batch;
    so.batch_wait_us = batch_wait_us;
    so.load_deadline_ms = 3 * PATIENTLY;
    world_open(&w, o, &so);
    REQUIRE_EQ(nigh_queue_open(w.cache, &queue), 0);
}

static void open_turning(uint32_t batch, uint32_t batch_wait_us)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.group_slots = 2048;
    o.threads = NIGH_THREADS_NONE;
    open_with(&o, batch, batch_wait_us);
}

static void close_turning(void)
{
    CHECK_WITHIN(PATIENTLY, (nigh_tick(w.cache), world_count(&w, "flights") == 0));
    CHECK_EQ(world_count(&w, "pins"), 0);
    nigh_queue_close(queue);
    world_close(&w);
}

static struct nigh_value values[16];
static int outcomes[16];

/* Leaves the loads of one-letter keys to a job. */
static void leave(const char *names)
{
    struct nigh_key keys[16];
    size_t n = strlen(names);
    for (size_t i = 0; i < n; i++)
        keys[i] = (struct nigh_key){&names[i], 1};
    CHECK_EQ(nigh_fetch_many_async(queue, w.space, keys, n, NULL, NULL, values, outcomes, NULL),
             NIGH_PENDING);
    CHECK_EQ(w.origin.loads, 0); /* not inside the call */
}

static void take_left(int wanted, size_t n)
{
    CHECK_EQ(poll_one(queue, PATIENTLY).answer.outcome, 0);
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ(outcomes[i], wanted);
        nigh_release(&values[i]);
    }
}

/* ---- calls for many ---- */

TEST(a_call_for_many_is_one_call_of_the_loader)
{
    open_turning(64, 0);
    leave("abcdefgh");
    take_left(NIGH_FRESH, 8);
    CHECK_EQ(w.origin.loads, 1);
    CHECK_EQ(w.origin.rows, 8);
    close_turning();
}

TEST(no_call_is_for_more_than_it_takes)
{
    open_turning(3, 0);
    leave("abcdefgh");
    take_left(NIGH_FRESH, 8);
    CHECK_EQ(w.origin.loads, 3);
    CHECK_EQ(w.origin.largest, 3);
    close_turning();
}

static void fetch_each(const char *names)
{
    for (const char *at = names; *at; at++)
        CHECK_EQ(begin_fetch(queue, w.space, (const char[]){*at, 0}, NULL, (uintptr_t)*at, NULL)
                     .outcome, NIGH_PENDING);
}

static void take_each(size_t n)
{
    for (size_t i = 0; i < n; i++)
        CHECK_EQ(poll_one(queue, PATIENTLY).answer.outcome, NIGH_FRESH);
}

/* The gathering does not wait for its time, which is longer than the test. */
TEST(what_a_turn_finds_is_gathered)
{
    open_turning(64, LONG_US);
    fetch_each("abcdefgh");
    CHECK_EQ(w.origin.loads, 0);
    nigh_tick(w.cache);
    CHECK_EQ(w.origin.loads, 1);
    CHECK_EQ(w.origin.rows, 8);
    take_each(8);
    close_turning();
}

TEST(a_full_gathering_is_not_added_to)
{
    open_turning(3, LONG_US);
    fetch_each("abcdefgh");
    take_each(8);
    CHECK_EQ(w.origin.loads, 3);
    CHECK_EQ(w.origin.largest, 3);
    close_turning();
}

TEST(without_a_time_to_gather_each_is_alone)
{
    open_turning(64, 0);
    fetch_each("abc");
    take_each(3);
    CHECK_EQ(w.origin.loads, 3);
    close_turning();
}

TEST(a_caller_that_waits_gathers_nothing)
{
    open_turning(64, LONG_US);
    CHECK_ANSWER(ask_fetch(w.space, "a", NULL), NIGH_FRESH, "a=1");
    fetch_each("bc");
    CHECK_ANSWER(ask_fetch(w.space, "b", NULL), NIGH_FRESH, "b=1");
    CHECK_EQ(w.origin.rows, 2);
    take_each(2);
    CHECK_EQ(w.origin.loads, 3);
    close_turning();
}

/* ---- a caller that waits for one of many ---- */

TEST(who_waits_for_one_of_many_runs_the_call_for_all)
{
    open_turning(64, 0);
    leave("abc");
    CHECK_ANSWER(ask_fetch(w.space, "b", NULL), NIGH_FRESH, "b=1"); /* nobody ticks */
    CHECK_EQ(w.origin.loads, 1);
    CHECK_EQ(w.origin.rows, 3);
    take_left(NIGH_FRESH, 3);
    close_turning();
}

/* Asks for one of a gathering that is behind this load. */
static int ask_b(struct origin *o, struct nigh_fill *fill)
{
    size_t len;
    if (*(const char *)nigh_fill_key(fill, &len) == 'x') {
        CHECK_ANSWER(ask_fetch(w.space, "b", NULL), NIGH_FRESH, "b=1");
        CHECK_EQ(o->rows, 3); /* and y is still to come */
    }
    return origin_answer(o, fill);
}

TEST(a_loader_that_waits_for_one_of_a_gathering_loads_it)
{
    open_turning(2, 0);
    leave("xy"); /* its job comes before that of the gathering */
    atomic_store(&w.origin.script, ask_b);
    w.space->rules.batch = 64;
    w.space->rules.batch_wait_us = LONG_US;
    fetch_each("ab");
    nigh_tick(w.cache);
    CHECK_EQ(w.origin.loads, 2);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(poll_one(queue, PATIENTLY).polled, 1);
    for (int i = 0; i < 2; i++)
        nigh_release(&values[i]);
    close_turning();
}

static void *fetch_b(void *arg)
{
    struct answer *ret = arg;
    *ret = ask_fetch(w.space, "b", NULL);
    return NULL;
}

/* A thread that sleeps is woken by a job as by a flight. */
TEST(who_sleeps_is_woken_by_a_call_that_is_left)
{
    struct answer got = {0};
    pthread_t thread;
    open_turning(64, 0);
    struct drive *drive = w.cache->drive;
    struct fifo *loads = &w.cache->workers.loads;
    leave("abc");
    struct fifo_link *job = fifo_take(loads);
    REQUIRE_EQ(pthread_create(&thread, NULL, fetch_b, &got), 0);
    CHECK_WITHIN(PATIENTLY, ({
        pthread_mutex_lock(&drive->lock);
        bool sleeps = drive->asleep_on != NULL;
        pthread_mutex_unlock(&drive->lock);
        sleeps;
    }));
    workers_add_load(&w.cache->workers, CONTAINER_OF(job, struct worker_job, link));
    pthread_join(thread, NULL);
    CHECK_ANSWER(got, NIGH_FRESH, "b=1");
    take_left(NIGH_FRESH, 3);
    close_turning();
}

/* ---- a caller whose time is over ---- */

static int take_long(struct origin *o, struct nigh_fill *fill)
{
    world_advance(&w, 501);
    return origin_answer(o, fill);
}

/* It still waits for the second when its time is over, and leaves that to a turn. */
TEST(a_call_whose_time_is_over_begins_no_loader_of_others)
{
    static struct bunch b;
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_options o = world_options(&w); /* time is the test's */
    open_with(&o, 1, 0);
    fetch_each("ab");
    atomic_store(&w.origin.script, take_long);
    call.deadline_ms = 500;
    bunch_init(&b, "a b");
    bunch_fetch(&b, w.space, &call);
    CHECK_ANSWER(b.answers[0], NIGH_FRESH, "a=1");
    CHECK_EQ(b.answers[1].outcome, NIGH_ETIMEDOUT);
    CHECK_EQ(w.origin.loads, 1);
    take_each(2);
    CHECK_EQ(w.origin.loads, 2);
    close_turning();
}

/* ---- loaders that do not return ---- */

static jmp_buf way_out;

static int jump(struct origin *o, struct nigh_fill *fill)
{
    (void)fill;
    atomic_store(&o->script, NULL);
    longjmp(way_out, 1);
}

/* The caller's frame is gone, with his place in the flight; the others are told. */
TEST(a_loader_that_jumps_over_who_waits_for_it)
{
    open_turning(64, 0);
    leave("abc");
    atomic_store(&w.origin.script, jump);
    if (setjmp(way_out) == 0)
        ask_fetch(w.space, "b", NULL);
    take_left(NIGH_ELOADER, 3);
    CHECK_EQ(w.origin.loads, 1);
    close_turning();
}

/* Jumps only at a. */
static int jump_at_a(struct origin *o, struct nigh_fill *fill)
{
    size_t len;
    return *(const char *)nigh_fill_key(fill, &len) == 'a' ? jump(o, fill) : origin_answer(o, fill);
}

static void wait_for_many(struct bunch *b)
{
    bunch_init(b, "x b y a");
    if (setjmp(way_out) == 0)
        bunch_fetch(b, w.space, NULL);
    nigh_release(&b->values[0]); /* it had been taken before */
}

/* Whoever waits is a call for many, and has joined other flights, too. */
TEST(a_loader_of_many_that_jumps_over_a_call_for_many)
{
    static struct bunch b;
    open_turning(64, 0);
    leave("abc");
    atomic_store(&w.origin.script, jump_at_a);
    wait_for_many(&b);
    take_left(NIGH_ELOADER, 3);
    CHECK_EQ(w.origin.loads, 2);
    CHECK_ANSWER(ask_fetch(w.space, "y", NULL), NIGH_FRESH, "y=1");
    close_turning();
}

TEST(a_loader_of_one_that_jumps_over_a_call_for_many)
{
    static struct bunch b;
    open_turning(1, 0);
    fetch_each("ba");
    atomic_store(&w.origin.script, jump_at_a);
    wait_for_many(&b);
    CHECK_EQ(poll_one(queue, PATIENTLY).answer.outcome, NIGH_FRESH);
    CHECK_EQ(poll_one(queue, PATIENTLY).answer.outcome, NIGH_ELOADER);
    nigh_release(&b.values[1]);
    nigh_release(&b.values[2]);
    close_turning();
}

static void (*run_gathering)(struct worker_job *job);

/* As if another thread had taken b and c since the caller looked: a is what is gathered now. */
static void run_another(struct worker_job *job)
{
    struct gather *g = CONTAINER_OF(job, struct gather, job);
    struct load_list taken = {0};
    for (int i = 0; i < 2; i++)
        load_list_push(&taken, load_list_shift(&g->list));
    batch_queue(taken);
    run_gathering(job);
}

static int wait_for_b(struct origin *o, struct nigh_fill *fill)
{
    run_gathering = w.space->gather.job.run;
    w.space->gather.job.run = run_another;
    atomic_store(&w.origin.script, jump_at_a);
    if (setjmp(way_out) == 0)
        ask_fetch(w.space, "b", NULL);
    return origin_answer(o, fill);
}

TEST(a_loader_that_jumps_over_who_waits_for_one_of_another_gathering)
{
    open_turning(1, 0);
    leave("x"); /* its job comes before that of the gathering */
    atomic_store(&w.origin.script, wait_for_b);
    w.space->rules.batch = 64;
    w.space->rules.batch_wait_us = LONG_US;
    fetch_each("bca");
    nigh_tick(w.cache);
    unsigned failed = 0;
    for (int i = 0; i < 4; i++)
        failed += poll_one(queue, PATIENTLY).answer.outcome == NIGH_ELOADER;
    CHECK_EQ(failed, 1);
    CHECK_EQ(w.origin.loads, 3);
    nigh_release(&values[0]);
    close_turning();
}

TEST(a_loader_that_jumps_out_of_a_tick)
{
    open_turning(64, LONG_US);
    fetch_each("abc");
    atomic_store(&w.origin.script, jump);
    if (setjmp(way_out) == 0)
        nigh_tick(w.cache);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(poll_one(queue, PATIENTLY).answer.outcome, NIGH_ELOADER);
    close_turning();
}

static int end_thread(struct origin *o, struct nigh_fill *fill)
{
    (void)fill;
    atomic_store(&o->script, NULL);
    pthread_exit(NULL);
}

TEST(a_loader_that_ends_the_thread_that_waits_for_it_is_run_again)
{
    struct answer got = {.outcome = NIGH_MISS};
    pthread_t thread;
    open_turning(64, 0);
    leave("abc");
    atomic_store(&w.origin.script, end_thread);
    REQUIRE_EQ(pthread_create(&thread, NULL, fetch_b, &got), 0);
    pthread_join(thread, NULL);
    CHECK_EQ(got.outcome, NIGH_MISS);
    take_left(NIGH_FRESH, 3);
    CHECK_EQ(w.origin.rows, 1 + 3);
    close_turning();
}

TEST(closing_ends_what_is_left_to_turns)
{
    open_turning(64, LONG_US);
    fetch_each("abc");
    nigh_close(w.cache);
    CHECK_EQ(w.origin.loads, 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(poll_one(queue, 0).answer.outcome, NIGH_ECLOSED);
    nigh_queue_close(queue);
}
