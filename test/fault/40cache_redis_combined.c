// SPDX-License-Identifier: MIT
// Many threads of one process invalidate at once, so that their targets travel in one script, and
// something goes wrong with it: each call is told what it would have been told alone.

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/origin.h"

enum {
    CALLERS = 16,
    HURRY_MS = 1,     /* the deadline of one of them */
    DEADLINE_MS = 400, /* of calls to a Redis that does not answer */
    ROUNDS_MAX = 2000, /* until scripts were seen to have been shared; one or two are enough */
};

static struct redis server;
static struct world here, there;

struct caller {
    pthread_t thread;
    struct nigh_space *space;
    char key[16];
    size_t key_len;
    uint32_t deadline_ms;
    pthread_barrier_t *start;
    int rc;
};

static void *run_caller(void *arg)
{
    struct caller *c = arg;
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = c->deadline_ms;
    pthread_barrier_wait(c->start);
    c->rc = nigh_invalidate(c->space, c->key, c->key_len, &call);
    return NULL;
}

static void prepare(struct caller *callers, uint32_t deadline_ms)
{
    for (unsigned i = 0; i < CALLERS; i++) {
        struct caller *c = &callers[i];
        *c = (struct caller){.space = here.space, .deadline_ms = deadline_ms};
        c->key_len = (size_t)snprintf(c->key, sizeof(c->key), "k%u", i);
    }
}

/* All at once. `meanwhile`: while they are under way. */
static void call_together(struct caller *callers, void (*meanwhile)(void))
{
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, CALLERS + 1);
    for (unsigned i = 0; i < CALLERS; i++) {
        callers[i].start = &start;
        REQUIRE_EQ(pthread_create(&callers[i].thread, NULL, run_caller, &callers[i]), 0);
    }
    pthread_barrier_wait(&start);
    if (meanwhile)
        meanwhile();
    for (unsigned i = 0; i < CALLERS; i++)
        pthread_join(callers[i].thread, NULL);
    pthread_barrier_destroy(&start);
}

static struct answer ask(struct world *w, unsigned i)
{
    char key[16];
    snprintf(key, sizeof(key), "k%u", i);
    return ask_fetch(w->space, key, NULL);
}

/* Says whether the node sees what the row of a key says now. */
static bool sees_row(struct world *w, unsigned i)
{
    char row[32];
    snprintf(row, sizeof(row), "k%u=%u", i, (unsigned)atomic_load(&here.origin.generation));
    struct answer a = ask(w, i);
    return a.outcome == NIGH_FRESH && strcmp(a.text, row) == 0;
}

static void both_have_all(void)
{
    for (unsigned i = 0; i < CALLERS; i++) {
        CHECK_WITHIN(WORLD_PATIENCE_MS, sees_row(&here, i));
        CHECK_WITHIN(WORLD_PATIENCE_MS, sees_row(&there, i));
    }
}

static int64_t combined(void)
{
    return world_count(&here, "invalidate_combined");
}

static void begin(void)
{
    redis_start(&server, NULL);
    node_open(&here, &server, NULL, NULL);
    node_open(&there, &server, &here.origin, NULL);
    both_have_all();
}

static void end(void)
{
    world_close(&there);
    world_close(&here);
    redis_stop(&server);
}

/* Every change is told by and by, whatever its call was answered. */
static void check_told(void)
{
    CHECK_EQ(nigh_drain(here.cache, WORLD_PATIENCE_MS), 0);
    both_have_all();
}

TEST(calls_at_once_share_scripts_and_all_of_them_are_told)
{
    struct caller callers[CALLERS];
    begin();
    for (unsigned round = 0; combined() == 0 && round < ROUNDS_MAX; round++) {
        origin_commit(&here.origin);
        prepare(callers, WORLD_PATIENCE_MS);
        call_together(callers, NULL);
        for (unsigned i = 0; i < CALLERS; i++) {
            CHECK_EQ(callers[i].rc, 0);
            CHECK_WITHIN(WORLD_PATIENCE_MS, sees_row(&there, i));
            CHECK_WITHIN(WORLD_PATIENCE_MS, sees_row(&here, i));
        }
    }
    CHECK_GT(combined(), 0);
    CHECK_EQ(world_count(&here, "invalidate_queued"), 0);
    end();
}

/* One of those that wait does the I/O for all. */
TEST(without_own_threads_they_share_scripts_too)
{
    struct caller callers[CALLERS];
    redis_start(&server, NULL);
    struct nigh_options o = patient_options(&server);
    o.threads = NIGH_THREADS_NONE;
    origin_init(&here.origin);
    world_open_with(&here, &o, NULL, &here.origin);
    node_open(&there, &server, &here.origin, NULL);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, (nigh_tick(here.cache), nigh_health(here.cache)) ==
                                                NIGH_FRESH));
    for (unsigned round = 0; combined() == 0 && round < ROUNDS_MAX; round++) {
        origin_commit(&here.origin);
        prepare(callers, WORLD_PATIENCE_MS);
        call_together(callers, NULL);
        for (unsigned i = 0; i < CALLERS; i++) {
            CHECK_EQ(callers[i].rc, 0);
            CHECK_WITHIN(WORLD_PATIENCE_MS, sees_row(&there, i));
        }
    }
    CHECK_GT(combined(), 0);
    end();
}

/* ---- one of them is wrong ---- */

TEST(a_target_that_is_none_fails_its_own_call)
{
    struct caller callers[CALLERS];
    begin();
    origin_commit(&here.origin);
    prepare(callers, WORLD_PATIENCE_MS);
    callers[CALLERS / 2].key_len = 0;
    call_together(callers, NULL);
    for (unsigned i = 0; i < CALLERS; i++)
        CHECK_EQ(callers[i].rc, i == CALLERS / 2 ? NIGH_EKEY : 0);
    end();
}

static void run_command(const char *command)
{
    char *reply = redis_command(&server, command);
    CHECK_STR(reply, "OK");
    free(reply);
}

/* Redis refuses a script for one of its names: a space that this user may not write to. */
TEST(a_target_that_redis_refuses_fails_its_own_call)
{
    struct nigh_space *closed;
    struct caller callers[CALLERS];
    char uri[128];
    redis_start_tcp(&server, NULL);
    struct nigh_options o = patient_options(&server);
    origin_init(&here.origin);
    run_command("ACL SETUSER nigh on >PASSWORD resetkeys ~nigh:!2:!* ~nigh:!:* ~nigh:!2:s:* "
                "allchannels +@all");
    snprintf(uri, sizeof(uri), "redis://nigh:PASSWORD@127.0.0.1:%d/0", server.port);
    o.redis_uri = uri;
    world_open_with(&here, &o, NULL, &here.origin);
    REQUIRE_EQ(nigh_space_open(here.cache, "closed", NULL, origin_load, NULL, &here.origin,
                               &closed), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(here.cache) == NIGH_FRESH);
    for (unsigned round = 0; round < 20 || (combined() == 0 && round < ROUNDS_MAX); round++) {
        prepare(callers, WORLD_PATIENCE_MS);
        callers[round % CALLERS].space = closed;
        call_together(callers, NULL);
        for (unsigned i = 0; i < CALLERS; i++)
            CHECK_EQ(callers[i].rc, i == round % CALLERS ? NIGH_QUEUED : 0);
    }
    CHECK_GT(combined(), 0);
    world_close(&here);
    redis_stop(&server);
}

/* ---- Redis is ---- */

TEST(one_in_a_hurry_leaves_and_the_others_are_accepted)
{
    struct caller callers[CALLERS];
    begin();
    for (unsigned round = 0; round < 20; round++) {
        origin_commit(&here.origin);
        prepare(callers, WORLD_PATIENCE_MS);
        callers[round % CALLERS].deadline_ms = HURRY_MS;
        call_together(callers, NULL);
        for (unsigned i = 0; i < CALLERS; i++)
            CHECK(callers[i].rc == 0 || (i == round % CALLERS && callers[i].rc == NIGH_QUEUED));
        check_told();
    }
    end();
}

TEST(a_redis_that_is_stopped_queues_all_of_them)
{
    struct caller callers[CALLERS];
    begin();
    for (unsigned round = 0; round < 3; round++) {
        redis_pause(&server);
        origin_commit(&here.origin);
        prepare(callers, DEADLINE_MS);
        callers[round].deadline_ms = HURRY_MS;
        call_together(callers, NULL);
        for (unsigned i = 0; i < CALLERS; i++)
            CHECK_EQ(callers[i].rc, NIGH_QUEUED);
        redis_resume(&server);
        check_told();
    }
    end();
}

static void kill_redis(void)
{
    redis_kill(&server);
}

static void stop_and_kill_redis(void)
{
    redis_pause(&server);
    for (int i = 0; i < 20; i++)
        check_pause(); /* their scripts are on the way, or wait for those that are */
    redis_kill(&server);
}

TEST(a_redis_that_dies_under_their_script_loses_none_of_them)
{
    struct caller callers[CALLERS];
    begin();
    for (unsigned round = 0; round < 6; round++) {
        origin_commit(&here.origin);
        prepare(callers, WORLD_PATIENCE_MS);
        call_together(callers, round % 2 ? kill_redis : stop_and_kill_redis);
        for (unsigned i = 0; i < CALLERS; i++)
            CHECK(callers[i].rc == 0 || callers[i].rc == NIGH_QUEUED);
        redis_restart(&server, REDIS_EMPTY);
        check_told();
    }
    end();
}
