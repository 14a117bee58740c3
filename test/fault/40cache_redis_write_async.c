// SPDX-License-Identifier: MIT
// Writes through the origin by callers that do not wait: each is committed at most once, and its
// one completion says whether it was.

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "cache/cache.h"
#include "support/async.h"

enum { WRITES = 200, HURRY_MS = 50 };
#define PATIENTLY WORLD_PATIENCE_MS

/* ---- a database ---- */

enum way { COMMIT, REFUSE, HOLD, END_THREAD, JUMP };

static struct {
    _Atomic enum way way;
    _Atomic unsigned calls;   /* of the writer */
    _Atomic unsigned commits;
    _Atomic unsigned held;    /* calls that wait to be let go */
    _Atomic bool go;
    _Atomic bool strange;     /* a call was not for what the write said */
    _Atomic pthread_t thread; /* of the last call */
} db;

static jmp_buf way_out;

static int commit(void *arg, const struct nigh_write_op *op)
{
    (void)arg;
    db.thread = pthread_self();
    db.calls++;
    db.strange |= !op->key_len || (op->value && memcmp(op->value, "row", op->value_len) != 0);
    switch (db.way) {
    case REFUSE:
        return ENOSPC;
    case END_THREAD:
        db.way = COMMIT;
        pthread_exit(NULL);
    case JUMP:
        db.way = COMMIT;
        longjmp(way_out, 1);
    case HOLD:
        db.held++;
        CHECK_WITHIN(PATIENTLY, db.go);
        db.held--;
        break;
    case COMMIT:
        break;
    }
    db.commits++;
    return 0;
}

/* ---- two nodes ---- */

static struct redis server;
static struct world here, there;
static struct nigh_space *space, *seen; /* the same, here and there */
static struct nigh_queue *queue;

static struct nigh_space *open_space(struct world *w)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    struct nigh_space *ret;
    so.load_deadline_ms = 3 * PATIENTLY;
    REQUIRE_EQ(nigh_space_open(w->cache, "rows", &so, origin_load, commit, &here.origin, &ret), 0);
    return ret;
}

static void begin_here(const struct nigh_options *o)
{
    memset(&db, 0, sizeof(db));
    origin_init(&here.origin);
    world_open_with(&here, o, NULL, &here.origin);
    space = open_space(&here);
    REQUIRE_EQ(nigh_queue_open(here.cache, &queue), 0);
}

static void begin_with(uint32_t workers)
{
    redis_start(&server, NULL);
    struct nigh_options o = patient_options(&server);
    o.workers = workers;
    begin_here(&o);
    patient_open(&there, &server, &here.origin, NULL);
    seen = open_space(&there);
    CHECK_WITHIN(PATIENTLY, nigh_health(here.cache) == NIGH_FRESH);
}

static void begin(void)
{
    begin_with(4);
}

static void end_there(void)
{
    world_close(&there);
    redis_stop(&server);
    CHECK(!db.strange);
}

static void end(void)
{
    nigh_queue_close(queue);
    CHECK_WITHIN(PATIENTLY, world_count(&here, "async") == 0);
    world_close(&here);
    end_there();
}

static int write_with(const char *key, const struct nigh_call *call, uint64_t *ret_id)
{
    return nigh_write_async(queue, space, key, strlen(key), "row", 3, call, NULL, ret_id);
}

static void begin_write(const char *key, const struct nigh_call *call)
{
    CHECK_EQ(write_with(key, call, NULL), NIGH_PENDING);
}

static struct nigh_call versioned(uint64_t version)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.version = version;
    return call;
}

static struct nigh_call within(uint32_t ms)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = ms;
    return call;
}

/* The one completion that is pending. */
static int outcome(void)
{
    struct ended e = poll_one(queue, PATIENTLY);
    CHECK_EQ(e.polled, 1);
    CHECK_EQ(e.answer.len, 0);
    return e.answer.outcome;
}

static void nothing_comes(void)
{
    CHECK_EQ(poll_one(queue, 0).polled, 0);
}

/* ---- committed ---- */

TEST(told_when_redis_has_it)
{
    struct nigh_call call = versioned(7);
    begin();
    begin_write("k", &call);
    CHECK_EQ(outcome(), 0);
    CHECK(!pthread_equal(db.thread, pthread_self()));
    CHECK_ANSWER(ask_fetch(seen, "k", NULL), NIGH_FRESH, "row"); /* as Redis has it */
    CHECK_ANSWER(ask_fetch(space, "k", NULL), NIGH_FRESH, "row");
    CHECK_EQ(here.origin.loads, 0);
    begin_write("k", NULL); /* without a version the old value goes */
    CHECK_EQ(outcome(), 0);
    CHECK_ANSWER(ask_fetch(space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(PATIENTLY, strcmp(ask_fetch(seen, "k", NULL).text, "k=1") == 0);
    CHECK_EQ(nigh_write_async(queue, space, "k", 1, NULL, 0, NULL, NULL, NULL), NIGH_PENDING);
    CHECK_EQ(outcome(), 0);
    CHECK_EQ(db.commits, 3);
    CHECK_EQ(redis_integer(&server, "EXISTS nigh:!2:!lease:rows:k"), 0);
    CHECK_EQ(world_count(&here, "read_error"), 0);
    end();
}

TEST(without_redis_the_commit_is_all)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_call call = versioned(7);
    o.l1_memory = 8u << 20;
    begin_here(&o);
    begin_write("k", &call);
    CHECK_EQ(outcome(), 0);
    CHECK_ANSWER(ask_fetch(space, "k", NULL), NIGH_FRESH, "row");
    nigh_queue_close(queue);
    world_close(&here);
}

TEST(without_own_threads_a_poll_commits)
{
    struct nigh_call call = versioned(7);
    redis_start(&server, NULL);
    struct nigh_options o = patient_options(&server);
    o.threads = NIGH_THREADS_NONE;
    begin_here(&o);
    patient_open(&there, &server, &here.origin, NULL);
    seen = open_space(&there);
    CHECK_WITHIN(PATIENTLY, (nigh_tick(here.cache), nigh_health(here.cache) == NIGH_FRESH));
    begin_write("k", &call);
    CHECK_EQ(db.calls, 0); /* not inside the call */
    CHECK_EQ(outcome(), 0);
    CHECK(pthread_equal(db.thread, pthread_self()));
    CHECK_ANSWER(ask_fetch(seen, "k", NULL), NIGH_FRESH, "row");
    end();
}

TEST(a_write_in_a_space_whose_values_stay_out_of_redis)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    begin();
    so.l2 = NIGH_L2_INVALIDATIONS;
    REQUIRE_EQ(nigh_space_open(here.cache, "own", &so, origin_load, commit, &here.origin, &space),
               0);
    CHECK_ANSWER(ask_fetch(space, "k", NULL), NIGH_FRESH, "k=1");
    origin_commit(&here.origin);
    begin_write("k", NULL);
    CHECK_EQ(outcome(), 0);
    CHECK_ANSWER(ask_fetch(space, "k", NULL), NIGH_FRESH, "k=2");
    end();
}

/* ---- not committed ---- */

TEST(a_writer_that_refuses_leaves_all_as_it_was)
{
    begin();
    CHECK_ANSWER(ask_fetch(space, "k", NULL), NIGH_FRESH, "k=1");
    db.way = REFUSE;
    begin_write("k", NULL);
    CHECK_EQ(outcome(), NIGH_EWRITER);
    CHECK_ANSWER(ask_fetch(space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_EQ(here.origin.loads, 1);
    CHECK_WITHIN(PATIENTLY, redis_integer(&server, "EXISTS nigh:!2:!lease:rows:k") == 0);
    end();
}

TEST(a_wrong_call_calls_no_writer)
{
    struct nigh_space *without;
    struct nigh_queue *other;
    struct nigh_call call = NIGH_CALL_INIT;
    const char *empty[] = {""};
    static char long_key[NIGH_KEY_MAX + 1];
    begin();
    REQUIRE_EQ(nigh_space_open(here.cache, "none", NULL, origin_load, NULL, &here.origin,
                               &without), 0);
    REQUIRE_EQ(nigh_queue_open(there.cache, &other), 0);
    memset(long_key, 'k', sizeof(long_key));
    CHECK_EQ(nigh_write_async(NULL, space, "k", 1, "row", 3, NULL, NULL, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_write_async(queue, NULL, "k", 1, "row", 3, NULL, NULL, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_write_async(other, space, "k", 1, "row", 3, NULL, NULL, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_write_async(queue, without, "k", 1, "row", 3, NULL, NULL, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_write_async(queue, space, "k", 1, NULL, 3, NULL, NULL, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_write_async(queue, space, "", 0, "row", 3, NULL, NULL, NULL), NIGH_EKEY);
    CHECK_EQ(nigh_write_async(queue, space, long_key, sizeof(long_key), "row", 3, NULL, NULL,
                              NULL), NIGH_EKEY);
    CHECK_EQ(nigh_write_async(queue, space, "k", 1, "row", (size_t)NIGH_VALUE_MAX + 1, NULL, NULL,
                              NULL), NIGH_EVALUE);
    call.tags = empty;
    call.tag_count = 1;
    CHECK_EQ(write_with("k", &call, NULL), NIGH_EINVAL);
    nothing_comes();
    CHECK_EQ(world_count(&here, "async"), 0);
    CHECK_EQ(db.calls, 0);
    nigh_queue_close(other);
    end();
}

TEST(the_key_is_invalidated_by_a_writer_that_ends_its_thread)
{
    begin_with(1);
    CHECK_ANSWER(ask_fetch(space, "k", NULL), NIGH_FRESH, "k=1");
    origin_commit(&here.origin);
    db.way = END_THREAD;
    begin_write("k", NULL);
    CHECK_EQ(outcome(), NIGH_EWRITER);
    CHECK_ANSWER(ask_fetch(space, "k", NULL), NIGH_FRESH, "k=2");
    begin_write("k", NULL); /* the worker has a successor */
    CHECK_EQ(outcome(), 0);
    end();
}

TEST(the_key_is_invalidated_by_a_writer_that_jumps_out_of_a_tick)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.threads = NIGH_THREADS_NONE;
    begin_here(&o);
    CHECK_ANSWER(ask_fetch(space, "k", NULL), NIGH_FRESH, "k=1");
    origin_commit(&here.origin);
    db.way = JUMP;
    begin_write("k", NULL);
    if (setjmp(way_out) == 0)
        nigh_tick(here.cache);
    CHECK_EQ(outcome(), NIGH_EWRITER);
    CHECK_ANSWER(ask_fetch(space, "k", NULL), NIGH_FRESH, "k=2");
    nigh_queue_close(queue);
    world_close(&here);
}

/* ---- deadlines ---- */

static void hold_writer(const char *key, uint64_t *ret_id)
{
    db.way = HOLD;
    CHECK_EQ(write_with(key, NULL, ret_id), NIGH_PENDING);
    CHECK_WITHIN(PATIENTLY, db.held == 1);
}

TEST(a_writer_that_is_not_called_in_time_is_not_called)
{
    struct nigh_call hurry = within(HURRY_MS);
    begin_with(1);
    hold_writer("held", NULL);
    begin_write("late", &hurry);
    CHECK_EQ(outcome(), NIGH_ETIMEDOUT);
    db.go = true;
    CHECK_EQ(outcome(), 0);
    begin_write("next", NULL);
    CHECK_EQ(outcome(), 0);
    CHECK_EQ(db.calls, 2);
    end();
}

/* Nobody could say what has become of it. */
TEST(while_the_writer_runs_the_deadline_is_not_kept)
{
    struct nigh_call hurry = within(HURRY_MS);
    begin_with(1);
    db.way = HOLD;
    do { /* until one comes to its writer in time */
        begin_write("held", &hurry);
        CHECK_WITHIN(PATIENTLY, db.held == 1 || poll_one(queue, 0).polled == 1);
    } while (db.held == 0 && check_failed_count() == 0);
    uint64_t until_ms = check_now_ms() + 2 * HURRY_MS;
    CHECK_WITHIN(PATIENTLY, check_now_ms() >= until_ms);
    nothing_comes();
    db.go = true;
    int rc = outcome();
    CHECK(rc == 0 || rc == NIGH_QUEUED); /* a busy machine */
    CHECK_EQ(db.commits, 1);
    end();
}

TEST(a_redis_that_is_silent_is_told_later)
{
    struct nigh_call hurry = within(PATIENTLY / 20);
    begin();
    CHECK_ANSWER(ask_fetch(seen, "k", NULL), NIGH_FRESH, "k=1");
    origin_commit(&here.origin);
    CHECK_EQ(nigh_set(here.cache, "redis.deadline", "50ms"), 0);
    redis_pause(&server);
    begin_write("k", &hurry);
    int rc = outcome();
    CHECK(rc == NIGH_QUEUED || rc == NIGH_ETIMEDOUT); /* a busy machine: not called */
    CHECK_EQ(db.commits, rc == NIGH_QUEUED);
    redis_resume(&server);
    CHECK_EQ(nigh_drain(here.cache, PATIENTLY), 0);
    CHECK_WITHIN(PATIENTLY, rc != NIGH_QUEUED || strcmp(ask_fetch(seen, "k", NULL).text,
                                                        "k=2") == 0);
    end();
}

TEST(a_redis_that_is_killed_costs_no_write)
{
    struct nigh_call call = within(2 * PATIENTLY);
    begin();
    redis_pause(&server);
    for (unsigned i = 0; i < WRITES; i++)
        begin_write(key_numbered(i), &call);
    redis_kill(&server);
    redis_restart(&server, REDIS_EMPTY);
    for (unsigned i = 0; i < WRITES; i++)
        CHECK_EQ(outcome(), 0);
    nothing_comes();
    CHECK_EQ(db.commits, WRITES);
    end();
}

/* ---- ends ---- */

TEST(a_cancelled_write_goes_on)
{
    uint64_t held, waits;
    begin_with(1);
    hold_writer("held", &held);
    CHECK_EQ(write_with("waits", NULL, &waits), NIGH_PENDING);
    CHECK_EQ(nigh_cancel(queue, waits), 0);
    CHECK_EQ(nigh_cancel(queue, waits), NIGH_MISS);
    CHECK_EQ(nigh_cancel(queue, held), 0);
    db.go = true;
    CHECK_WITHIN(PATIENTLY, db.commits == 2);
    CHECK_WITHIN(PATIENTLY, world_count(&here, "async") == 0);
    nothing_comes();
    end();
}

TEST(a_closed_queue_leaves_its_writes_to_go_on)
{
    begin_with(1);
    hold_writer("held", NULL);
    for (unsigned i = 0; i < WRITES; i++)
        begin_write(key_numbered(i), NULL);
    nigh_queue_close(queue);
    db.go = true;
    CHECK_WITHIN(PATIENTLY, db.commits == WRITES + 1);
    CHECK_WITHIN(PATIENTLY, world_count(&here, "async") == 0);
    REQUIRE_EQ(nigh_queue_open(here.cache, &queue), 0);
    end();
}

static void *let_go_as_it_closes(void *arg)
{
    (void)arg;
    CHECK_WITHIN(PATIENTLY, cache_is_closing(here.cache));
    db.go = true;
    return NULL;
}

/* Those whose writer has not been called are told so; the one that runs is waited for. */
TEST(a_close_tells_each_whether_it_was_committed)
{
    unsigned closed = 0, committed = 0;
    pthread_t thread;
    struct ended e;
    begin_with(1);
    hold_writer("held", NULL);
    for (unsigned i = 0; i < WRITES; i++)
        begin_write(key_numbered(i), NULL);
    cache_ref(here.cache); /* for the other thread */
    REQUIRE_EQ(pthread_create(&thread, NULL, let_go_as_it_closes, NULL), 0);
    nigh_close(here.cache);
    pthread_join(thread, NULL);
    cache_unref(here.cache);
    while ((e = poll_one(queue, 0)).polled == 1) {
        closed += e.answer.outcome == NIGH_ECLOSED;
        committed += e.answer.outcome == 0 || e.answer.outcome == NIGH_QUEUED;
    }
    CHECK_EQ(e.polled, NIGH_ECLOSED);
    CHECK_EQ(committed, 1);
    CHECK_EQ(closed, WRITES);
    CHECK_EQ(db.calls, 1);
    nigh_queue_close(queue);
    end_there();
}

/* Its memory is left, until it returns. */
TEST(a_close_goes_on_without_a_writer_that_is_stuck)
{
    begin_with(1);
    hold_writer("held", NULL);
    nigh_close(here.cache);
    CHECK_EQ(outcome(), NIGH_ECLOSED);
    db.go = true;
    CHECK_WITHIN(PATIENTLY, db.held == 0);
    nigh_queue_close(queue);
    end_there();
}

/* A fence that is not answered before Redis is closed lowers none: nothing can be sent any more. */
TEST(a_close_goes_on_without_a_redis_that_is_silent)
{
    struct nigh_call call = within(PATIENTLY);
    begin();
    CHECK_EQ(nigh_set(here.cache, "redis.deadline", "60s"), 0);
    redis_pause(&server);
    begin_write("k", &call);
    nigh_close(here.cache);
    int rc = outcome();
    CHECK_EQ(db.calls, rc != NIGH_ECLOSED); /* a busy machine: called before the close */
    redis_resume(&server);
    nigh_queue_close(queue);
    end_there();
}

TEST(a_child_of_fork_writes_nothing)
{
    begin();
    hold_writer("held", NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(write_with("k", NULL, NULL) == NIGH_EFORKED &&
                      nigh_queue_poll(queue, NULL, 0, 0) == NIGH_EFORKED
                  ? 0 : 1);
    int status = 1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    db.go = true;
    CHECK_EQ(outcome(), 0);
    CHECK_EQ(db.calls, 1);
    end();
}

TEST(beyond_the_cap_writes_are_refused_at_once)
{
    redis_start(&server, NULL);
    struct nigh_options o = patient_options(&server);
    o.async_max = 2;
    begin_here(&o);
    patient_open(&there, &server, &here.origin, NULL);
    hold_writer("held", NULL);
    begin_write("k", NULL);
    CHECK_EQ(write_with("l", NULL, NULL), NIGH_EBUSY);
    db.go = true;
    CHECK_EQ(outcome(), 0);
    CHECK_EQ(outcome(), 0);
    CHECK_EQ(db.commits, 2);
    end();
}

#if NIGH_FAULTS

/* Nothing is committed of a call that is refused; one that has begun is committed once, and told,
 * whatever there is no memory for. Returns whether it was refused. */
static bool is_refused_without(unsigned nth_allocation, bool *ret_fired)
{
    unsigned commits = db.commits;
    fault_arm(FAULT_ALLOC, nth_allocation);
    int rc = write_with("k", NULL, NULL);
    if (rc == NIGH_PENDING) {
        int told = outcome();
        CHECK(told == 0 || told == NIGH_QUEUED);
        CHECK_EQ(db.commits, commits + 1);
    } else {
        CHECK_EQ(rc, NIGH_ENOMEM);
        CHECK_EQ(db.commits, commits);
    }
    *ret_fired = fault_count(FAULT_ALLOC) >= nth_allocation;
    fault_arm(FAULT_ALLOC, 0);
    CHECK_WITHIN(PATIENTLY, nigh_health(here.cache) == NIGH_FRESH);
    return rc != NIGH_PENDING;
}

TEST(each_allocation_fails_once)
{
    unsigned refused = 0, nth = 0;
    bool fired;
    begin();
    begin_write("k", NULL); /* what a first call makes is there */
    CHECK_EQ(outcome(), 0);
    do /* other threads allocate, too */
        refused += is_refused_without(++nth, &fired);
    while (fired && nth < 40);
    CHECK_GT(nth, 2);
    for (unsigned again = 0; refused == 0 && again < 100; again++) /* they were first each time */
        refused += is_refused_without(1, &fired);
    CHECK_GE(refused, 1); /* the commit, the operation */
    nothing_comes();
    end();
}

#endif
