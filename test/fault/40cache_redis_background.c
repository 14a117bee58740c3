// SPDX-License-Identifier: MIT
// Changes in the background: done here when the call returns, told to Redis behind it, whatever
// Redis does meanwhile.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/origin.h"

enum {
    KEYS = 400,  /* more than one script takes */
    ROOM = 64,   /* coherence.queue of a node that is to run out of it */
    BEFORE = 100 /* ms: a drain that is not to succeed */
};

static struct redis server;
static struct world here, there;

static int invalidate(unsigned i)
{
    struct nigh_call call = call_flagged(NIGH_BACKGROUND);
    const char *key = key_numbered(i);
    return nigh_invalidate(here.space, key, strlen(key), &call);
}

static struct answer ask(struct world *w, unsigned i)
{
    return ask_fetch(w->space, key_numbered(i), NULL);
}

/* Says whether the node sees what the row of a key says now. */
static bool sees_row(struct world *w, unsigned i)
{
    char row[32];
    snprintf(row, sizeof(row), "k%u=%u", i, (unsigned)atomic_load(&here.origin.generation));
    struct answer a = ask(w, i);
    return a.outcome == NIGH_FRESH && strcmp(a.text, row) == 0;
}

static bool sees_all(struct world *w, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!sees_row(w, i))
            return false;
    return true;
}

static int64_t queued(void)
{
    return world_count(&here, "queued");
}

static void begin(const struct nigh_options *o)
{
    struct nigh_options patient;
    redis_start(&server, NULL);
    patient = o ? *o : patient_options(&server);
    patient.redis_uri = server.uri;
    origin_init(&here.origin);
    world_open_with(&here, &patient, NULL, &here.origin);
    patient_open(&there, &server, &here.origin, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(here.cache) == NIGH_FRESH);
}

static void end(void)
{
    world_close(&there);
    world_close(&here);
    redis_stop(&server);
}

static void both_have(unsigned count)
{
    CHECK_WITHIN(WORLD_PATIENCE_MS, sees_all(&here, count));
    CHECK_WITHIN(WORLD_PATIENCE_MS, sees_all(&there, count));
}

/* Here it is done at once, there soon; and after a drain there is nothing left. */
TEST(done_here_at_once_and_told_behind)
{
    begin(NULL);
    both_have(KEYS);
    for (unsigned round = 0; round < 3; round++) {
        origin_commit(&here.origin);
        for (unsigned i = 0; i < KEYS; i++) {
            CHECK_EQ(invalidate(i), NIGH_QUEUED);
            CHECK(sees_row(&here, i)); /* what is queued is not read from Redis */
        }
        CHECK_EQ(nigh_drain(here.cache, WORLD_PATIENCE_MS), 0);
        CHECK_EQ(queued(), 0);
        both_have(KEYS);
    }
    CHECK_EQ(world_count(&here, "background"), 3 * KEYS);
    CHECK_EQ(world_count(&here, "background_busy"), 0);
    CHECK_EQ(world_count(&here, "invalidate_queued"), 0);
    CHECK_GE(world_count(&here, "invalidate"), 3 * KEYS);
    end();
}

/* A load that read the origin before the call does not bring the old row back, to L1 or Redis. */
TEST(a_load_that_began_before_does_not_come_back)
{
    struct asker asker;
    begin(NULL);
    both_have(1);
    CHECK_EQ(nigh_invalidate(here.space, "k0", 2, NULL), 0);
    origin_hold(&here.origin);
    asker_start(&asker, here.space, "k0", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, atomic_load(&here.origin.held_loads) == 1);
    origin_commit(&here.origin);
    CHECK_EQ(invalidate(0), NIGH_QUEUED);
    origin_let_go(&here.origin);
    asker_join(&asker);
    CHECK(sees_row(&here, 0));
    CHECK_EQ(nigh_drain(here.cache, WORLD_PATIENCE_MS), 0);
    both_have(1);
    end();
}

/* ---- Redis is ---- */

static void invalidate_all(unsigned count)
{
    origin_commit(&here.origin);
    for (unsigned i = 0; i < count; i++)
        CHECK_EQ(invalidate(i), NIGH_QUEUED);
}

static void told_again(unsigned count)
{
    CHECK_EQ(nigh_drain(here.cache, WORLD_PATIENCE_MS), 0);
    CHECK_EQ(queued(), 0);
    both_have(count);
}

TEST(a_redis_that_is_stopped_is_told_when_it_goes_on)
{
    begin(NULL);
    both_have(KEYS);
    redis_pause(&server);
    invalidate_all(KEYS);
    CHECK_EQ(nigh_drain(here.cache, BEFORE), NIGH_ETIMEDOUT);
    CHECK_EQ(queued(), KEYS);
    redis_resume(&server);
    told_again(KEYS);
    end();
}

TEST(a_redis_that_is_killed_is_told_when_it_is_back)
{
    begin(NULL);
    both_have(KEYS);
    for (unsigned round = 0; round < 2; round++) {
        redis_pause(&server); /* some of them are on the way to it */
        invalidate_all(KEYS);
        redis_kill(&server);
        CHECK_EQ(nigh_drain(here.cache, BEFORE), NIGH_ETIMEDOUT);
        CHECK_EQ(queued(), KEYS);
        redis_restart(&server, REDIS_EMPTY);
        told_again(KEYS);
    }
    CHECK_EQ(world_count(&here, "invalidate_overflow"), 0);
    end();
}

/* Beyond the room nothing is done: not even here. */
TEST(what_has_no_room_is_not_done)
{
    struct nigh_options o = patient_options(&server);
    struct nigh_target targets[2] = {{.kind = NIGH_TARGET_TAG, .name = "t", .name_len = 1},
                                     {.kind = NIGH_TARGET_TAG, .name = "u", .name_len = 1}};
    struct nigh_call call = call_flagged(NIGH_BACKGROUND);
    o.queue_items = ROOM;
    begin(&o);
    both_have(ROOM + 1);
    redis_pause(&server);
    for (unsigned i = 0; i < ROOM - 1; i++)
        CHECK_EQ(invalidate(i), NIGH_QUEUED);
    CHECK_EQ(nigh_invalidate_many(here.cache, targets, 2, &call), NIGH_EBUSY);
    CHECK_EQ(queued(), ROOM - 1);
    CHECK_EQ(nigh_invalidate_many(here.cache, targets, 1, &call), NIGH_QUEUED);
    unsigned loads = atomic_load(&here.origin.loads);
    CHECK_EQ(invalidate(ROOM), NIGH_EBUSY);
    CHECK_ANSWER(ask(&here, ROOM), NIGH_FRESH, "k64=1");
    CHECK_EQ(atomic_load(&here.origin.loads), loads);
    CHECK_EQ(world_count(&here, "background"), ROOM);
    CHECK_EQ(world_count(&here, "background_busy"), 3);
    redis_resume(&server);
    CHECK_EQ(nigh_drain(here.cache, WORLD_PATIENCE_MS), 0);
    origin_commit(&here.origin);
    CHECK_EQ(invalidate(ROOM), NIGH_QUEUED);
    CHECK_EQ(world_count(&here, "invalidate_overflow"), 0);
    told_again(0);
    CHECK(sees_row(&here, ROOM));
    CHECK_WITHIN(WORLD_PATIENCE_MS, sees_row(&there, ROOM));
    end();
}

static bool none_is_in_redis(void)
{
    char *names = redis_command(&server, "KEYS nigh:!2:s:*");
    bool none = names && *names == '\0';
    free(names);
    return none;
}

static bool close_tells(void)
{
    begin(NULL);
    both_have(KEYS);
    CHECK_EQ(nigh_drain(here.cache, WORLD_PATIENCE_MS), 0); /* fills that are behind */
    CHECK_EQ(nigh_drain(there.cache, WORLD_PATIENCE_MS), 0);
    CHECK(!none_is_in_redis());
    invalidate_all(KEYS);
    nigh_close(here.cache);
    bool told = none_is_in_redis();
    if (told)
        CHECK_WITHIN(WORLD_PATIENCE_MS, sees_all(&there, KEYS));
    world_close(&there);
    redis_stop(&server);
    return told;
}

/* It tries for a moment; more than once, for a machine that takes the moment. */
TEST(a_close_tells_what_was_left_to_the_background)
{
    bool told = false;
    for (int tries = 0; tries < 10 && !told; tries++)
        told = close_tells();
    CHECK(told);
}

TEST(without_own_threads_a_tick_tells)
{
    struct nigh_options o = patient_options(&server);
    o.threads = NIGH_THREADS_NONE;
    redis_start(&server, NULL);
    o.redis_uri = server.uri;
    origin_init(&here.origin);
    world_open_with(&here, &o, NULL, &here.origin);
    patient_open(&there, &server, &here.origin, NULL);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, (nigh_tick(here.cache), nigh_health(here.cache)) ==
                                                NIGH_FRESH));
    both_have(KEYS);
    for (unsigned round = 0; round < 3; round++) {
        invalidate_all(KEYS);
        CHECK_WITHIN(WORLD_PATIENCE_MS, (nigh_tick(here.cache), queued()) == 0);
        both_have(KEYS);
    }
    end();
}

/* ---- write ---- */

/* The fence is down when the change was told: nobody waits for its time. */
TEST(a_write_tells_behind_the_commit)
{
    struct nigh_call call = call_flagged(NIGH_BACKGROUND);
    begin(NULL);
    both_have(1);
    for (unsigned round = 1; round <= 5; round++) {
        call.version = round % 2 ? round : 0;
        char row[32];
        snprintf(row, sizeof(row), "k0=%u", origin_commit(&here.origin));
        CHECK_EQ(nigh_write(here.space, "k0", 2, row, strlen(row), &call), NIGH_QUEUED);
        CHECK_EQ(atomic_load(&here.origin.writes), round);
        CHECK(sees_row(&here, 0));
        CHECK_EQ(nigh_drain(here.cache, WORLD_PATIENCE_MS), 0);
        CHECK_EQ(redis_integer(&server, "EXISTS nigh:!2:!lease:s:k0"), 0);
        CHECK_WITHIN(WORLD_PATIENCE_MS, sees_row(&there, 0));
    }
    end();
}

TEST(a_write_without_room_is_told_at_once)
{
    struct nigh_options o = patient_options(&server);
    struct nigh_call call = call_flagged(NIGH_BACKGROUND);
    o.queue_items = 16;
    begin(&o);
    both_have(17);
    redis_pause(&server);
    for (unsigned i = 0; i < 16; i++)
        CHECK_EQ(invalidate(i), NIGH_QUEUED);
    call.deadline_ms = BEFORE;
    origin_commit(&here.origin);
    CHECK_EQ(nigh_write(here.space, "k16", 3, "v", 1, &call), NIGH_QUEUED);
    CHECK_EQ(world_count(&here, "background_busy"), 1);
    CHECK_EQ(world_count(&here, "invalidate_queued"), 1);
    CHECK_EQ(world_count(&here, "invalidate_overflow"), 1); /* one of everything */
    redis_resume(&server);
    told_again(17);
    end();
}
