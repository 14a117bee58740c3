// SPDX-License-Identifier: MIT
// Puts and invalidations of callers that do not wait, and are told when Redis has accepted them.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/origin.h"

enum { KEYS = 300, HURRY_MS = 50, BEFORE = 100 };

static struct redis server;
static struct world here, there;
static struct nigh_queue *queue;
static int outcomes[KEYS]; /* as completions brought them */
static unsigned came;

static int put(unsigned i, const char *text, const struct nigh_call *call, uint64_t *ret_id)
{
    const char *key = key_numbered(i);
    return nigh_put_async(queue, here.space, key, strlen(key), text, strlen(text), call,
                          &outcomes[i], ret_id);
}

static int invalidate(unsigned i, const struct nigh_call *call, uint64_t *ret_id)
{
    const char *key = key_numbered(i);
    return nigh_invalidate_async(queue, here.space, key, strlen(key), call, &outcomes[i], ret_id);
}

static void poll_some(uint32_t timeout_ms)
{
    struct nigh_completion done[16];
    int n = nigh_queue_poll(queue, done, 16, timeout_ms);
    for (int i = 0; i < n; i++) {
        *(int *)done[i].arg = done[i].outcome;
        CHECK_EQ(done[i].value.len, 0);
    }
    came += n > 0 ? (unsigned)n : 0;
}

/* Each comes once. */
static void all_come(unsigned count, int outcome)
{
    CHECK_WITHIN(WORLD_PATIENCE_MS, (poll_some(0), came >= count));
    poll_some(0);
    CHECK_EQ(came, count);
    for (unsigned i = 0; i < count; i++)
        CHECK_EQ(outcomes[i], outcome);
    came = 0;
}

static bool has(struct world *w, unsigned i, const char *text)
{
    struct answer a = ask_get(w->space, key_numbered(i), NULL);
    return text ? a.outcome == NIGH_FRESH && strcmp(a.text, text) == 0 : a.outcome == NIGH_MISS;
}

static void begin(void)
{
    redis_start(&server, NULL);
    patient_open(&here, &server, NULL, NULL);
    patient_open(&there, &server, NULL, NULL);
    REQUIRE_EQ(nigh_queue_open(here.cache, &queue), 0);
    came = 0;
    memset(outcomes, 0xff, sizeof(outcomes));
}

static void end(void)
{
    nigh_queue_close(queue);
    world_close(&there);
    world_close(&here);
    redis_stop(&server);
}

TEST(told_when_redis_has_it)
{
    begin();
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < KEYS; i++) {
            CHECK_EQ(put(i, "v", NULL, NULL), NIGH_PENDING);
            CHECK(has(&here, i, "v"));
        }
        all_come(KEYS, 0);
        CHECK_EQ(redis_integer(&server, "EXISTS nigh:!2:s:1:k0"), 1);
        for (unsigned i = 0; i < KEYS; i++)
            CHECK_WITHIN(WORLD_PATIENCE_MS, has(&there, i, "v"));
        for (unsigned i = 0; i < KEYS; i++) {
            CHECK_EQ(invalidate(i, NULL, NULL), NIGH_PENDING);
            CHECK(has(&here, i, NULL));
        }
        all_come(KEYS, 0);
        CHECK_EQ(redis_integer(&server, "EXISTS nigh:!2:s:1:k0"), 0);
        for (unsigned i = 0; i < KEYS; i++)
            CHECK_WITHIN(WORLD_PATIENCE_MS, has(&there, i, NULL));
    }
    end();
}

TEST(what_redis_refuses_is_told)
{
    struct nigh_call call = NIGH_CALL_INIT;
    begin();
    call.version = 5;
    CHECK_EQ(put(0, "five", &call, NULL), NIGH_PENDING);
    all_come(1, 0);
    call.version = 4;
    CHECK_EQ(put(0, "four", &call, NULL), NIGH_PENDING);
    all_come(1, NIGH_REFUSED);
    CHECK(has(&here, 0, "five"));
    end();
}

TEST(a_deadline_and_a_cancelled_call_take_nothing_back)
{
    struct nigh_call call = NIGH_CALL_INIT;
    uint64_t id = 0;
    begin();
    redis_pause(&server);
    call.deadline_ms = HURRY_MS;
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_EQ(invalidate(i, &call, NULL), NIGH_PENDING);
    all_come(KEYS, NIGH_QUEUED);
    CHECK_EQ(put(0, "v", NULL, &id), NIGH_PENDING);
    CHECK_EQ(nigh_cancel(queue, id), 0);
    CHECK_EQ(nigh_cancel(queue, id), NIGH_MISS);
    redis_resume(&server);
    CHECK_EQ(nigh_drain(here.cache, WORLD_PATIENCE_MS), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, has(&there, 0, "v"));
    poll_some(0);
    CHECK_EQ(came, 0);
    end();
}

TEST(a_redis_that_is_killed_tells_each_of_them_once)
{
    struct nigh_call call = NIGH_CALL_INIT;
    begin();
    call.deadline_ms = WORLD_PATIENCE_MS;
    redis_pause(&server);
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_EQ(put(i, "v", &call, NULL), NIGH_PENDING);
    redis_kill(&server);
    redis_restart(&server, REDIS_EMPTY);
    all_come(KEYS, NIGH_QUEUED); /* given up: its clock is gone */
    CHECK_EQ(nigh_drain(here.cache, WORLD_PATIENCE_MS), 0);
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_EQ(invalidate(i, &call, NULL), NIGH_PENDING);
    all_come(KEYS, 0);
    end();
}

TEST(a_close_ends_what_is_pending)
{
    struct nigh_completion done[16];
    begin();
    redis_pause(&server);
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_EQ(i % 2 ? put(i, "v", NULL, NULL) : invalidate(i, NULL, NULL), NIGH_PENDING);
    nigh_close(here.cache);
    all_come(KEYS, NIGH_ECLOSED);
    CHECK_EQ(nigh_queue_poll(queue, done, 16, 0), NIGH_ECLOSED);
    nigh_queue_close(queue);
    redis_resume(&server);
    world_close(&there);
    redis_stop(&server);
}

TEST(a_queue_that_is_closed_leaves_them_to_go_on)
{
    struct nigh_call call = NIGH_CALL_INIT;
    begin();
    redis_pause(&server);
    call.deadline_ms = WORLD_PATIENCE_MS;
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_EQ(put(i, "v", &call, NULL), NIGH_PENDING);
    nigh_queue_close(queue);
    redis_resume(&server);
    CHECK_EQ(nigh_drain(here.cache, WORLD_PATIENCE_MS), 0);
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, has(&there, i, "v"));
    REQUIRE_EQ(nigh_queue_open(here.cache, &queue), 0);
    end();
}

TEST(what_is_wrong_is_told_at_once)
{
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_miss miss = NIGH_MISS_INIT;
    begin();
    CHECK_EQ(nigh_invalidate_async(NULL, here.space, "k", 1, NULL, NULL, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_invalidate_async(queue, NULL, "k", 1, NULL, NULL, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_invalidate_async(queue, there.space, "k", 1, NULL, NULL, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_invalidate_async(queue, here.space, "", 0, NULL, NULL, NULL), NIGH_EKEY);
    CHECK_EQ(nigh_put_async(queue, here.space, "k", 1, NULL, 0, NULL, NULL, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_put_async(queue, here.space, "k", NIGH_KEY_MAX + 1, "v", 1, NULL, NULL, NULL),
             NIGH_EKEY);
    CHECK_EQ(nigh_put_async(queue, here.space, "k", 1, "v", NIGH_VALUE_MAX + (size_t)1, NULL, NULL,
                            NULL), NIGH_EVALUE);
    call.miss = &miss;
    CHECK_EQ(put(0, "v", &call, NULL), NIGH_EINVAL);
    call.miss = NULL;
    call.flags = NIGH_NO_WAIT;
    CHECK_EQ(put(0, "v", &call, NULL), NIGH_EINVAL);
    CHECK_EQ(invalidate(0, &call, NULL), NIGH_EINVAL);
    poll_some(0);
    CHECK_EQ(came, 0);
    end();
}
