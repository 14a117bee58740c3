// SPDX-License-Identifier: MIT
// Puts in the background: here at once, in Redis and the other nodes behind; in the order of the
// calls, whichever of them wait; and taken once or given up, whatever Redis does.

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "support/origin.h"

enum {
    KEYS = 400,   /* more than one script takes */
    ROUNDS = 100,
    BEFORE = 100, /* ms: a drain that is not to succeed */
    ATTEMPT_MS = 1000, /* what is on its way for so long is given up */
    LARGE = 1 << 20
};

static struct redis server;
static struct world here, there;

static int put_bytes(unsigned i, const void *data, size_t len, const struct nigh_call *call)
{
    const char *key = key_numbered(i);
    return nigh_put(here.space, key, strlen(key), data, len, call);
}

static int put_call(unsigned i, const char *text, const struct nigh_call *call)
{
    return put_bytes(i, text, strlen(text), call);
}

static int put(unsigned i, const char *text)
{
    struct nigh_call call = call_flagged(NIGH_BACKGROUND);
    return put_call(i, text, &call);
}

static int put_version(unsigned i, const char *text, uint64_t version)
{
    struct nigh_call call = call_flagged(NIGH_BACKGROUND);
    call.version = version;
    return put_call(i, text, &call);
}

static int invalidate(unsigned i, const struct nigh_call *call)
{
    const char *key = key_numbered(i);
    return nigh_invalidate(here.space, key, strlen(key), call);
}

static bool has(struct world *w, unsigned i, const char *text)
{
    struct answer a = ask_get(w->space, key_numbered(i), NULL);
    return text ? a.outcome == NIGH_FRESH && strcmp(a.text, text) == 0 : a.outcome == NIGH_MISS;
}

static unsigned count_of(struct world *w, const char *text)
{
    unsigned count = 0;
    for (unsigned i = 0; i < KEYS; i++)
        count += has(w, i, text);
    return count;
}

static bool all_have(struct world *w, const char *text)
{
    return count_of(w, text) == KEYS;
}

/* Its leases outlast what a machine stands still for. */
static void open_here(void)
{
    struct nigh_options o = patient_options(&server);
    o.lease_ms = WORLD_PATIENCE_MS;
    o.space.load_deadline_ms = 2 * WORLD_PATIENCE_MS;
    origin_init(&here.origin);
    world_open_with(&here, &o, NULL, &here.origin);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(here.cache) == NIGH_FRESH &&
                                                world_count(&here, "listening") == 1));
}

static void begin(void)
{
    redis_start(&server, NULL);
    open_here();
    patient_open(&there, &server, NULL, NULL);
}

static void end(void)
{
    world_close(&there);
    world_close(&here);
    redis_stop(&server);
}

static void drain(void)
{
    CHECK_EQ(nigh_drain(here.cache, WORLD_PATIENCE_MS), 0);
    CHECK_EQ(world_count(&here, "queued"), 0);
}

static int64_t lost(void)
{
    return world_count(&here, "background_lost");
}

TEST(here_at_once_and_there_behind)
{
    static const char *const texts[] = {"one", "two", "three"};
    begin();
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < KEYS; i++) {
            CHECK_EQ(put(i, texts[round]), NIGH_QUEUED);
            CHECK(has(&here, i, texts[round]));
        }
        drain();
        CHECK(all_have(&here, texts[round]));
        CHECK_WITHIN(WORLD_PATIENCE_MS, all_have(&there, texts[round]));
    }
    CHECK_EQ(world_count(&here, "background"), 3 * KEYS);
    CHECK_EQ(lost(), 0);
    end();
}

/* Neither its own message nor its acceptance takes a value from the L1 that has it. */
TEST(a_value_put_is_never_missed_here)
{
    static const char *const texts[] = {"even", "odd"};
    begin();
    for (unsigned round = 0; round < ROUNDS; round++) {
        CHECK_EQ(put(0, texts[round % 2]), NIGH_QUEUED);
        do {
            if (!CHECK(has(&here, 0, texts[round % 2])))
                break;
        } while (world_count(&here, "queued") > 0);
        CHECK(has(&here, 0, texts[round % 2]));
        CHECK_EQ(redis_integer(&server, "EXISTS nigh:!2:s:1:k0"), 1);
    }
    end();
}

/* ---- order ---- */

TEST(changes_of_a_key_keep_their_order)
{
    struct nigh_call call = call_flagged(NIGH_BACKGROUND);
    begin();
    for (unsigned round = 0; round < ROUNDS; round++) {
        CHECK_EQ(put(0, "first"), NIGH_QUEUED);
        CHECK_EQ(put(0, "last"), NIGH_QUEUED);
        CHECK_EQ(put(1, "gone"), NIGH_QUEUED);
        CHECK_EQ(invalidate(1, &call), NIGH_QUEUED);
        CHECK_EQ(invalidate(2, &call), NIGH_QUEUED);
        CHECK_EQ(put(2, "there"), NIGH_QUEUED);
        CHECK_EQ(put(3, "behind"), NIGH_QUEUED); /* those that wait come after what does not */
        CHECK_EQ(put_call(3, "waited for", NULL), 0);
        CHECK_EQ(put(4, "gone"), NIGH_QUEUED);
        CHECK_EQ(invalidate(4, NULL), 0);
        CHECK_EQ(invalidate(5, &call), NIGH_QUEUED);
        CHECK_EQ(put_call(5, "there", NULL), 0);
        drain();
        static const char *const texts[] = {"last", NULL, "there", "waited for", NULL, "there"};
        for (unsigned i = 0; i < 6; i++) {
            CHECK_WITHIN(WORLD_PATIENCE_MS, has(&there, i, texts[i]));
            CHECK(has(&here, i, texts[i]));
        }
    }
    CHECK_EQ(lost(), 0);
    end();
}

TEST(a_version_is_for_redis_to_judge)
{
    begin();
    CHECK_EQ(put_version(0, "five", 5), NIGH_QUEUED);
    drain();
    CHECK(has(&here, 0, "five"));
    CHECK_EQ(put_version(0, "four", 4), NIGH_QUEUED);
    drain();
    CHECK_EQ(lost(), 1);
    CHECK(has(&here, 0, "five"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, has(&there, 0, "five"));
    CHECK_EQ(put_version(0, "six", 6), NIGH_QUEUED); /* in one script, or one after the other */
    CHECK_EQ(put_version(0, "three", 3), NIGH_QUEUED);
    drain();
    CHECK(has(&here, 0, "six"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, has(&there, 0, "six"));
    end();
}

/* The value ends with the text, as it lies in Redis. */
static bool both_have_what_redis_has(void)
{
    char *whole = redis_command(&server, "GETRANGE nigh:!2:s:1:k0 96 -1");
    bool same = whole && has(&here, 0, whole) && has(&there, 0, whole);
    free(whole);
    return same;
}

#if NIGH_FAULTS
/* Whatever finds no memory: the caller is told that nothing was done, or the value is there in the
 * end, or it is counted. (Other threads allocate, too, so it may be theirs that fails.) */
TEST(without_memory_it_is_said_or_counted)
{
    begin();
    uint64_t fired = 0;
    for (uint64_t nth = 1; nth <= 12; nth++) {
        CHECK_EQ(put(0, "old"), NIGH_QUEUED);
        drain();
        int64_t lost_before = lost();
        fault_arm(FAULT_ALLOC, nth);
        int rc = put(0, "new");
        fired += fault_count(FAULT_ALLOC) >= nth;
        fault_arm(FAULT_ALLOC, 0);
        drain();
        if (rc == NIGH_QUEUED && lost() == lost_before)
            CHECK(has(&here, 0, "new"));
        else if (rc == NIGH_QUEUED)
            CHECK(has(&here, 0, NULL));
        else if (CHECK_EQ(rc, NIGH_ENOMEM))
            CHECK(has(&here, 0, "old"));
    }
    CHECK_GT(fired, 0);
    end();
}

/* A put that waits, and one of many: nothing is done either. */
TEST(without_memory_a_put_that_waits_does_nothing)
{
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_pair pair = {.key = {key_numbered(0), strlen(key_numbered(0))}};
    begin();
    for (uint64_t nth = 1; nth <= 12; nth++) {
        /* it may be the connection that has found no memory: then there is another one soon */
        CHECK_WITHIN(WORLD_PATIENCE_MS, put_call(0, "old", &call) == 0);
        pair.value = "new";
        pair.len = 3;
        int outcome = 0;
        fault_arm(FAULT_ALLOC, nth);
        int rc = nth % 2 ? put_call(0, "new", &call)
                         : nigh_put_many(here.space, &pair, 1, &call, &outcome);
        fault_arm(FAULT_ALLOC, 0);
        outcome = rc != 0 ? rc : outcome;
        drain();
        if (outcome == 0)
            CHECK(has(&here, 0, "new"));
        else
            CHECK(outcome == NIGH_ENOMEM || outcome == NIGH_QUEUED);
    }
    end();
}
#endif

TEST(another_nodes_change_ends_what_waits_here)
{
    struct nigh_call call = NIGH_CALL_INIT;
    begin();
    call.deadline_ms = WORLD_PATIENCE_MS;
    for (unsigned round = 0; round < ROUNDS; round++) {
        CHECK_EQ(put(0, "here"), NIGH_QUEUED);
        CHECK_EQ(nigh_put(there.space, "k0", 2, "there", 5, &call), 0);
        drain();
        CHECK_WITHIN(WORLD_PATIENCE_MS, both_have_what_redis_has());
    }
    end();
}

/* ---- many, tickets ---- */

TEST(many_in_the_background)
{
    static char keys[KEYS][16];
    static struct nigh_pair pairs[KEYS];
    static int outcomes[KEYS];
    struct nigh_call call = call_flagged(NIGH_BACKGROUND);
    begin();
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%u", i);
        pairs[i] = (struct nigh_pair){{keys[i], strlen(keys[i])}, "v", 1, 0, NULL};
    }
    CHECK_EQ(nigh_put_many(here.space, pairs, KEYS, &call, outcomes), 0);
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_EQ(outcomes[i], NIGH_QUEUED);
    CHECK(all_have(&here, "v"));
    for (unsigned i = 0; i < KEYS; i++) /* one that waits comes after it */
        pairs[i].value = "w";
    CHECK_EQ(nigh_put_many(here.space, pairs, KEYS, NULL, outcomes), 0);
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_EQ(outcomes[i], 0);
    drain();
    CHECK(all_have(&here, "w"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, all_have(&there, "w"));
    end();
}

TEST(a_ticket_is_filled_behind)
{
    begin();
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct nigh_miss miss = NIGH_MISS_INIT;
        struct nigh_call call = NIGH_CALL_INIT;
        call.miss = &miss;
        CHECK_EQ(ask_get(here.space, key_numbered(i), &call).outcome, NIGH_MISS);
        CHECK_NE(miss.token, 0);
        call.flags = NIGH_BACKGROUND;
        call.version = i % 2;
        CHECK_EQ(put_call(i, "v", &call), NIGH_QUEUED);
        CHECK_EQ(miss.token, 0);
        if (call.version == 0)
            CHECK(has(&here, i, "v"));
        CHECK_WITHIN(WORLD_PATIENCE_MS, has(&there, i, "v"));
        CHECK_WITHIN(WORLD_PATIENCE_MS,
                     redis_integer(&server, "EXISTS nigh:!2:!lease:s:%s", key_numbered(i)) == 0);
    }
    CHECK_EQ(world_count(&here, "lease_given_back"), 0);
    CHECK_EQ(lost(), 0);
    end();
}

TEST(many_tickets_are_filled_behind)
{
    static struct nigh_miss misses[KEYS];
    static struct nigh_pair pairs[KEYS];
    static char keys[KEYS][16];
    static int outcomes[KEYS];
    struct nigh_call call = call_flagged(NIGH_BACKGROUND);
    begin();
    for (unsigned i = 0; i < KEYS; i++) {
        struct nigh_call get = NIGH_CALL_INIT;
        get.miss = &misses[i];
        snprintf(keys[i], sizeof(keys[i]), "k%u", i);
        CHECK_EQ(ask_get(here.space, keys[i], &get).outcome, NIGH_MISS);
        CHECK_NE(misses[i].token, 0);
        pairs[i] = (struct nigh_pair){{keys[i], strlen(keys[i])}, "v", 1, i % 2, &misses[i]};
    }
    CHECK_EQ(nigh_put_many(here.space, pairs, KEYS, &call, outcomes), 0);
    for (unsigned i = 0; i < KEYS; i++) {
        CHECK_EQ(outcomes[i], NIGH_QUEUED);
        CHECK_EQ(misses[i].token, 0);
    }
    CHECK_WITHIN(WORLD_PATIENCE_MS, all_have(&there, "v"));
    CHECK_EQ(lost(), 0);
    end();
}

TEST(a_ticket_that_is_outdated_is_refused_at_once)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    begin();
    call.miss = &miss;
    CHECK_EQ(ask_get(here.space, "k0", &call).outcome, NIGH_MISS);
    CHECK_EQ(invalidate(0, NULL), 0);
    call.flags = NIGH_BACKGROUND;
    CHECK_EQ(put_call(0, "v", &call), NIGH_REFUSED);
    CHECK(has(&here, 0, NULL));
    CHECK(has(&there, 0, NULL));
    end();
}

/* Nobody has judged it, so it is nowhere. */
TEST(a_ticket_with_a_version_is_refused_when_redis_is_gone)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = NIGH_CALL_INIT, probe = NIGH_CALL_INIT;
    begin();
    call.miss = &miss;
    CHECK_EQ(ask_get(here.space, "k0", &call).outcome, NIGH_MISS);
    CHECK_NE(miss.token, 0);
    redis_kill(&server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&here, "connected") == 0);
    call.flags = NIGH_BACKGROUND;
    call.version = 1;
    CHECK_EQ(put_call(0, "v", &call), NIGH_REFUSED);
    CHECK_EQ(miss.token, 0);
    probe.flags = NIGH_L1_ONLY;
    CHECK_EQ(ask_get(here.space, "k0", &probe).outcome, NIGH_MISS);
    end();
}

/* ---- Redis is ---- */

/* Those that were on their way for too long are given up: that is so where the machine is busy. */
TEST(a_redis_that_is_stopped_gets_them_when_it_goes_on)
{
    begin();
    CHECK_EQ(put(KEYS, "before"), NIGH_QUEUED);
    drain();
    uint64_t from_ms = check_now_ms();
    redis_pause(&server);
    struct nigh_call call = call_flagged(NIGH_BACKGROUND);
    call.deadline_ms = WORLD_PATIENCE_MS;
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_EQ(put_call(i, "v", &call), NIGH_QUEUED);
    CHECK(all_have(&here, "v") || lost() > 0);
    CHECK_EQ(nigh_drain(here.cache, BEFORE), NIGH_ETIMEDOUT);
    redis_resume(&server);
    drain();
    uint64_t took_ms = check_now_ms() - from_ms;
    if (!CHECK(lost() == 0 || took_ms > ATTEMPT_MS / 2)) /* it had twice as long */
        check_note("%lld in %llu ms", (long long)lost(), (unsigned long long)took_ms);
    CHECK_GE(count_of(&here, "v"), KEYS - lost());
    CHECK_WITHIN(WORLD_PATIENCE_MS, count_of(&there, "v") >= KEYS - lost());
    end();
}

static bool none_is_fresh(struct world *w)
{
    for (unsigned i = 0; i < KEYS; i++)
        if (ask_get(w->space, key_numbered(i), NULL).outcome == NIGH_FRESH)
            return false;
    return true;
}

/* What was on the way may have been executed or not: it is deleted. What was not sent is set. */
TEST(a_connection_that_breaks_has_taken_each_of_them_or_it_is_counted)
{
    struct nigh_call call = call_flagged(NIGH_BACKGROUND);
    begin();
    call.deadline_ms = WORLD_PATIENCE_MS;
    for (unsigned round = 1; round <= 5; round++) {
        int64_t before = lost();
        unsigned missed = 0;
        for (unsigned i = 0; i < KEYS; i++) {
            CHECK_EQ(put_call(i, "v", &call), NIGH_QUEUED);
            if (i == round * 50)
                free(redis_command(&server, "CLIENT KILL TYPE normal SKIPME yes"));
        }
        drain();
        CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(there.cache) == NIGH_FRESH);
        CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(here.cache) == NIGH_FRESH);
        for (unsigned i = 0; i < KEYS; i++) {
            bool gone = has(&here, i, NULL);
            missed += gone;
            CHECK(gone || has(&here, i, "v"));
            CHECK_EQ(redis_integer(&server, "EXISTS nigh:!2:s:1:%s", key_numbered(i)), !gone);
            CHECK_WITHIN(WORLD_PATIENCE_MS, has(&there, i, gone ? NULL : "v"));
        }
        CHECK_EQ(lost() - before, missed);
    }
    end();
}

/* Values are of the order of changes that they were put in. */
TEST(a_redis_that_comes_back_empty_gets_none_of_them)
{
    struct nigh_call call = call_flagged(NIGH_BACKGROUND);
    begin();
    for (unsigned round = 1; round <= 2; round++) {
        redis_pause(&server);
        call.deadline_ms = WORLD_PATIENCE_MS;
        for (unsigned i = 0; i < KEYS; i++)
            CHECK_EQ(put_call(i, "v", &call), NIGH_QUEUED);
        redis_kill(&server);
        CHECK_EQ(nigh_drain(here.cache, BEFORE), NIGH_ETIMEDOUT);
        redis_restart(&server, REDIS_EMPTY);
        drain();
        CHECK_EQ(lost(), round * KEYS);
        CHECK(all_have(&here, NULL));
        CHECK_WITHIN(WORLD_PATIENCE_MS, none_is_fresh(&there));
        CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(here.cache) == NIGH_FRESH);
    }
    end();
}

TEST(what_is_too_late_is_deleted_instead)
{
    struct nigh_call call = call_flagged(NIGH_BACKGROUND);
    begin();
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_EQ(put(i, "old"), NIGH_QUEUED);
    drain();
    CHECK_WITHIN(WORLD_PATIENCE_MS, all_have(&there, "old"));
    redis_kill(&server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(here.cache) != NIGH_FRESH ||
                                        world_count(&here, "connected") == 0);
    call.deadline_ms = 1;
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_EQ(put_call(i, "new", &call), NIGH_QUEUED);
    CHECK_EQ(nigh_drain(here.cache, BEFORE), NIGH_ETIMEDOUT);
    redis_restart(&server, REDIS_EMPTY);
    drain();
    CHECK_EQ(lost(), KEYS);
    CHECK(all_have(&here, NULL));
    CHECK_WITHIN(WORLD_PATIENCE_MS, none_is_fresh(&there));
    end();
}

TEST(values_wait_in_so_many_bytes)
{
    static char large[LARGE];
    struct nigh_call call = call_flagged(NIGH_BACKGROUND);
    unsigned taken = 0;
    int rc;
    memset(large, 'x', sizeof(large));
    begin();
    redis_pause(&server);
    while ((rc = put_bytes(taken, large, LARGE / 2, &call)) == NIGH_QUEUED && taken < KEYS)
        taken++;
    CHECK_EQ(rc, NIGH_EBUSY);
    CHECK(taken >= 16 && taken <= 40);
    CHECK_EQ(world_count(&here, "background_busy"), 1);
    redis_resume(&server);
    drain();
    CHECK_EQ(nigh_put(here.space, "k0", 2, large, LARGE / 2, &call), NIGH_QUEUED);
    drain();
    CHECK_EQ(world_count(&here, "invalidate_overflow"), 0);
    end();
}

static bool close_sends(void)
{
    begin();
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_EQ(put(i, "v"), NIGH_QUEUED);
    nigh_close(here.cache);
    bool sent = true;
    for (unsigned i = 0; i < KEYS && sent; i++)
        sent = redis_integer(&server, "EXISTS nigh:!2:s:1:%s", key_numbered(i)) == 1;
    if (sent)
        CHECK_WITHIN(WORLD_PATIENCE_MS, all_have(&there, "v"));
    world_close(&there);
    redis_stop(&server);
    return sent;
}

/* It tries for a moment; more than once, for a machine that takes the moment. */
static int waited_for;

static void *put_that_waits(void *arg)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = WORLD_PATIENCE_MS;
    waited_for = put_call(1, "last", &call);
    return arg;
}

/* Whoever finds no room in the background, and waits instead, overtakes nothing of his key. (Where
 * the connection was given up meanwhile it may be that neither of them is there.) */
TEST(one_that_waits_needs_no_room)
{
    static char large[LARGE];
    struct nigh_call call = call_flagged(NIGH_BACKGROUND);
    unsigned i = 2;
    pthread_t thread;
    begin();
    call.deadline_ms = WORLD_PATIENCE_MS;
    redis_pause(&server);
    CHECK_EQ(put_call(0, "on its way", &call), NIGH_QUEUED);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&here, "invalidate_retried") > 0);
    CHECK_EQ(put_call(1, "first", &call), NIGH_QUEUED);
    for (size_t len = LARGE / 2; len > 0; len /= 4)
        while (put_bytes(i, large, len, &call) == NIGH_QUEUED)
            i++;
    REQUIRE_EQ(pthread_create(&thread, NULL, put_that_waits, NULL), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, !has(&here, 1, "first"));
    redis_resume(&server);
    pthread_join(thread, NULL);
    drain();
    CHECK(waited_for == 0 || waited_for == NIGH_QUEUED);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(here.cache) == NIGH_FRESH);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(there.cache) == NIGH_FRESH);
    CHECK(!has(&here, 1, "first"));
    CHECK(!has(&there, 1, "first"));
    if (waited_for == 0) {
        CHECK_WITHIN(WORLD_PATIENCE_MS, has(&here, 1, "last"));
        CHECK_WITHIN(WORLD_PATIENCE_MS, has(&there, 1, "last"));
    }
    end();
}

TEST(a_close_sends_what_was_left)
{
    bool sent = false;
    for (int tries = 0; tries < 10 && !sent; tries++)
        sent = close_sends();
    CHECK(sent);
}
