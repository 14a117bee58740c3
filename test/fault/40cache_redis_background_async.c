// SPDX-License-Identifier: MIT
// Puts and invalidations of callers that do not wait, and are told when Redis has accepted them.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/origin.h"

enum { KEYS = 300, HURRY_MS = 50, BEFORE = 100 };

static struct redis server;
static struct world here, there;
static struct nigh_queue *queue;
static int outcomes[KEYS]; /* as completions brought them */
static unsigned came;
static uint64_t paused_ns; /* 0: it was not */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void pause_redis(void)
{
    paused_ns = now_ns();
    redis_pause(&server);
}

/* Whether a busy machine made it stand still for so long that the connection may have been given
 * up (after 2 s), and a value that was on its way. */
static bool stood_long(void)
{
    return paused_ns && now_ns() - paused_ns > 1000000000u;
}

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
        if (outcomes[i] != NIGH_QUEUED || !stood_long())
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
    paused_ns = 0;
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
    pause_redis();
    call.deadline_ms = HURRY_MS;
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_EQ(invalidate(i, &call, NULL), NIGH_PENDING);
    all_come(KEYS, NIGH_QUEUED);
    CHECK_EQ(put(0, "v", NULL, &id), NIGH_PENDING);
    CHECK_EQ(nigh_cancel(queue, id), 0);
    CHECK_EQ(nigh_cancel(queue, id), NIGH_MISS);
    redis_resume(&server);
    CHECK_EQ(nigh_drain(here.cache, WORLD_PATIENCE_MS), 0);
    bool any = stood_long();
    CHECK_WITHIN(WORLD_PATIENCE_MS, any || has(&there, 0, "v"));
    poll_some(0);
    CHECK_EQ(came, 0);
    end();
}

TEST(a_redis_that_is_killed_tells_each_of_them_once)
{
    struct nigh_call call = NIGH_CALL_INIT;
    begin();
    call.deadline_ms = WORLD_PATIENCE_MS;
    pause_redis();
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
    pause_redis();
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
    pause_redis();
    call.deadline_ms = WORLD_PATIENCE_MS;
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_EQ(put(i, "v", &call, NULL), NIGH_PENDING);
    nigh_queue_close(queue);
    redis_resume(&server);
    CHECK_EQ(nigh_drain(here.cache, WORLD_PATIENCE_MS), 0);
    bool any = stood_long();
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, any || has(&there, i, "v"));
    REQUIRE_EQ(nigh_queue_open(here.cache, &queue), 0);
    end();
}

/* ---- many in a call ---- */

static struct nigh_pair pairs[KEYS];
static char names[KEYS][16];

static void name_all(const char *text)
{
    for (unsigned i = 0; i < KEYS; i++) {
        int len = snprintf(names[i], sizeof(names[i]), "k%u", i);
        pairs[i] = (struct nigh_pair){{names[i], (size_t)len}, text, strlen(text), 0, NULL};
    }
}

static int put_all(const struct nigh_call *call, void *arg, uint64_t *ret_id)
{
    return nigh_put_many_async(queue, here.space, pairs, KEYS, call, arg, outcomes, ret_id);
}

static int invalidate_all(const struct nigh_call *call, void *arg, uint64_t *ret_id)
{
    struct nigh_target targets[KEYS];
    for (unsigned i = 0; i < KEYS; i++)
        targets[i] = (struct nigh_target){NIGH_TARGET_KEY, here.space, names[i], strlen(names[i]),
                                          0};
    return nigh_invalidate_many_async(queue, here.cache, targets, KEYS, call, arg, ret_id);
}

/* The one completion of a call. */
static void it_comes(int *outcome, int wanted)
{
    *outcome = NIGH_PENDING;
    CHECK_WITHIN(WORLD_PATIENCE_MS, (poll_some(0), came >= 1));
    poll_some(0);
    CHECK_EQ(came, 1);
    CHECK_EQ(*outcome, wanted);
    came = 0;
}

TEST(of_many_one_completion_tells_what_has_become_of_each)
{
    int outcome;
    begin();
    name_all("v");
    pairs[1].key.len = 0;
    pairs[2].value = NULL;
    pairs[3].version = 7;
    pairs[4].version = 6;
    pairs[4].key = pairs[3].key; /* of one key: the last counts */
    pairs[5].version = 4;
    CHECK_EQ(nigh_put(here.space, "k5", 2, "newer", 5,
                      &(struct nigh_call){.size = sizeof(struct nigh_call), .version = 5}), 0);
    CHECK_EQ(put_all(NULL, &outcome, NULL), NIGH_PENDING);
    CHECK_EQ(outcomes[0], NIGH_PENDING);
    CHECK_EQ(outcomes[1], NIGH_EKEY);
    CHECK_EQ(outcomes[2], NIGH_EINVAL);
    it_comes(&outcome, 0);
    for (unsigned i = 0; i < KEYS; i++)
        if (i == 0 || i > 5)
            CHECK_EQ(outcomes[i], 0);
    CHECK_EQ(outcomes[1], NIGH_EKEY);
    CHECK_EQ(outcomes[5], NIGH_REFUSED);
    for (unsigned i = 6; i < KEYS; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, has(&there, i, "v"));
    CHECK_EQ(invalidate_all(NULL, &outcome, NULL), NIGH_PENDING);
    CHECK(has(&here, 6, NULL));
    it_comes(&outcome, 0);
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, has(&there, i, NULL));
    end();
}

TEST(at_the_deadline_of_many_only_what_redis_has_not_answered_is_queued)
{
    struct nigh_call call = NIGH_CALL_INIT;
    int outcome;
    begin();
    name_all("v");
    pairs[1].key.len = 0;
    pause_redis();
    call.deadline_ms = HURRY_MS;
    CHECK_EQ(put_all(&call, &outcome, NULL), NIGH_PENDING);
    it_comes(&outcome, 0);
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_EQ(outcomes[i], i == 1 ? NIGH_EKEY : NIGH_QUEUED);
    CHECK_EQ(invalidate_all(&call, &outcome, NULL), NIGH_PENDING);
    it_comes(&outcome, NIGH_QUEUED);
    redis_resume(&server);
    CHECK_EQ(nigh_drain(here.cache, WORLD_PATIENCE_MS), 0);
    poll_some(0);
    CHECK_EQ(came, 0);
    end();
}

TEST(many_that_are_cancelled_or_left_write_nothing)
{
    struct nigh_call call = NIGH_CALL_INIT;
    uint64_t id = 0;
    int outcome;
    begin();
    name_all("v");
    pause_redis();
    call.deadline_ms = WORLD_PATIENCE_MS;
    CHECK_EQ(put_all(&call, &outcome, &id), NIGH_PENDING);
    CHECK_EQ(nigh_cancel(queue, id), 0);
    CHECK_EQ(nigh_cancel(queue, id), NIGH_MISS);
    CHECK_EQ(invalidate_all(&call, &outcome, &id), NIGH_PENDING);
    CHECK_EQ(nigh_cancel(queue, id), 0);
    CHECK_EQ(put_all(&call, &outcome, &id), NIGH_PENDING);
    nigh_queue_close(queue);
    redis_resume(&server);
    CHECK_EQ(nigh_drain(here.cache, WORLD_PATIENCE_MS), 0);
    bool any = stood_long();
    for (unsigned i = 0; i < KEYS; i++) {
        CHECK_EQ(outcomes[i], NIGH_PENDING);
        CHECK_WITHIN(WORLD_PATIENCE_MS, any || has(&there, i, "v"));
    }
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&here, "async") == 0);
    REQUIRE_EQ(nigh_queue_open(here.cache, &queue), 0);
    end();
}

TEST(a_close_ends_many_that_are_pending)
{
    int outcome, other = NIGH_PENDING;
    begin();
    name_all("v");
    pause_redis();
    CHECK_EQ(put_all(NULL, &outcome, NULL), NIGH_PENDING);
    CHECK_EQ(invalidate_all(NULL, &other, NULL), NIGH_PENDING);
    nigh_close(here.cache);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (poll_some(0), came >= 2));
    CHECK_EQ(came, 2);
    if (!stood_long()) {
        CHECK_EQ(outcome, NIGH_ECLOSED);
        CHECK_EQ(other, NIGH_ECLOSED);
        for (unsigned i = 0; i < KEYS; i++)
            CHECK_EQ(outcomes[i], NIGH_ECLOSED);
    }
    nigh_queue_close(queue);
    redis_resume(&server);
    world_close(&there);
    redis_stop(&server);
}

TEST(many_that_are_wrong_do_nothing)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_target all = {NIGH_TARGET_ALL, NULL, NULL, 0, 0};
    int outcome;
    begin();
    name_all("v");
    CHECK_EQ(nigh_put_many_async(NULL, here.space, pairs, KEYS, NULL, NULL, outcomes, NULL),
             NIGH_EINVAL);
    CHECK_EQ(nigh_put_many_async(queue, there.space, pairs, KEYS, NULL, NULL, outcomes, NULL),
             NIGH_EINVAL);
    CHECK_EQ(nigh_put_many_async(queue, here.space, NULL, KEYS, NULL, NULL, outcomes, NULL),
             NIGH_EINVAL);
    CHECK_EQ(nigh_put_many_async(queue, here.space, pairs, KEYS, NULL, NULL, NULL, NULL),
             NIGH_EINVAL);
    CHECK_EQ(nigh_put_many_async(queue, here.space, NULL, 0, NULL, NULL, NULL, NULL), 0);
    pairs[1].miss = &miss;
    CHECK_EQ(put_all(NULL, &outcome, NULL), NIGH_EINVAL);
    for (unsigned i = 0; i < KEYS; i++)
        pairs[i] = (struct nigh_pair){{"", 0}, "v", 1, 0, NULL};
    CHECK_EQ(put_all(NULL, &outcome, NULL), 0); /* all is said at once */
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_EQ(outcomes[i], NIGH_EKEY);
    CHECK_EQ(nigh_invalidate_many_async(NULL, here.cache, &all, 1, NULL, NULL, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_invalidate_many_async(queue, there.cache, &all, 1, NULL, NULL, NULL),
             NIGH_EINVAL);
    CHECK_EQ(nigh_invalidate_many_async(queue, here.cache, &all, 0, NULL, NULL, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_invalidate_many_async(queue, here.cache, &all, 1, NULL, &outcome, NULL),
             NIGH_PENDING);
    it_comes(&outcome, 0);
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
