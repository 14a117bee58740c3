// SPDX-License-Identifier: MIT
// Putting many keys at once, without Redis and with a real one: the outcome of each, duplicates,
// versions, tickets, steps, and a Redis that does not answer.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/origin.h"
#include "support/redis.h"

enum { MANY = 600, HURRY_MS = 50 }; /* MANY: three steps */

static struct redis server;

static struct nigh_pair pair(const char *key, const char *text, uint64_t version)
{
    return (struct nigh_pair){{key, strlen(key)}, text, text ? strlen(text) : 0, version, NULL};
}

static struct answer get(struct world *w, const char *key)
{
    return ask_get(w->space, key, NULL);
}

/* ---- outcomes ---- */

TEST_BOTH(each_key_has_its_own_outcome)
{
    static char large[1 << 20];
    int outcomes[8] = {7, 7, 7, 7, 7, 7, 7, 7};
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_pair pairs[] = {
        pair("a", "one", 0),  pair("", "none", 0),   pair("b", "two", 0),  pair("c", NULL, 0),
        pair("d", "four", 4), pair("e", "empty", 0), pair("f", "six", 0),  pair("g", "seven", 0),
    };
    pairs[5].len = 0;
    pairs[6].len = NIGH_VALUE_MAX + (size_t)1;
    pairs[7].value = large; /* more than the space takes */
    pairs[7].len = sizeof(large) + 1 - 1;
    call.version = 5;
    CHECK_EQ(nigh_put(w->space, "d", 1, "five", 4, &call), 0);
    CHECK_EQ(nigh_put_many(w->space, pairs, 8, NULL, outcomes), 0);
    const int wanted[] = {0, NIGH_EKEY, 0, NIGH_EINVAL, NIGH_REFUSED, 0, NIGH_EVALUE};
    for (unsigned i = 0; i < 7; i++)
        CHECK_EQ(outcomes[i], wanted[i]);
    CHECK_ANSWER(get(w, "a"), NIGH_FRESH, "one");
    CHECK_ANSWER(get(w, "b"), NIGH_FRESH, "two");
    CHECK_ANSWER(get(w, "d"), NIGH_FRESH, "five");
    CHECK_ANSWER(get(w, "e"), NIGH_FRESH, "");
    CHECK_EQ(get(w, "c").outcome, NIGH_MISS);
    CHECK_EQ(get(w, "f").outcome, NIGH_MISS);
}

TEST_BOTH(what_is_too_large_takes_the_old_value_away)
{
    static char large[1 << 20];
    int outcomes[2];
    struct nigh_pair pairs[] = {pair("a", "old", 0), pair("b", "beside", 0)};
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    struct nigh_space *space;
    so.value_max = 1000;
    REQUIRE_EQ(nigh_space_open(w->cache, "small", &so, NULL, NULL, NULL, &space), 0);
    CHECK_EQ(nigh_put_many(space, pairs, 2, NULL, outcomes), 0);
    CHECK_EQ(outcomes[0], 0);
    pairs[0].value = large;
    pairs[0].len = so.value_max + 1;
    CHECK_EQ(nigh_put_many(space, pairs, 2, NULL, outcomes), 0);
    CHECK_EQ(outcomes[0], NIGH_REFUSED);
    CHECK_EQ(outcomes[1], 0);
    CHECK_EQ(ask_get(space, "a", NULL).outcome, NIGH_MISS);
    CHECK_ANSWER(ask_get(space, "b", NULL), NIGH_FRESH, "beside");
}

TEST_BOTH(the_last_of_a_key_wins)
{
    int outcomes[6];
    const struct nigh_pair pairs[] = {
        pair("a", "first", 0), pair("b", "beside", 0),       pair("a", "second", 9),
        pair("c", "good", 0),  pair("a", "third", 3), pair("c", NULL, 0),
    };
    CHECK_EQ(nigh_put_many(w->space, pairs, 6, NULL, outcomes), 0);
    for (unsigned i = 0; i < 5; i++)
        CHECK_EQ(outcomes[i], 0);
    CHECK_EQ(outcomes[5], NIGH_EINVAL); /* it says nothing about the key */
    CHECK_ANSWER(get(w, "b"), NIGH_FRESH, "beside");
    CHECK_ANSWER(get(w, "c"), NIGH_FRESH, "good");
    CHECK_ANSWER(get(w, "a"), NIGH_FRESH, "third"); /* 9 was not put */
    CHECK_EQ(get(w, "a").version, 3);
}

TEST_BOTH(what_makes_no_sense_is_refused_whole)
{
    struct nigh_pair one = pair("a", "one", 0);
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    int outcome = 7;
    CHECK_EQ(nigh_put_many(w->space, NULL, 0, NULL, NULL), 0);
    CHECK_EQ(nigh_put_many(w->space, NULL, 1, NULL, &outcome), NIGH_EINVAL);
    CHECK_EQ(nigh_put_many(w->space, &one, 1, NULL, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_put_many(w->space, &one, UINT32_MAX + (size_t)1, NULL, &outcome), NIGH_EINVAL);
    call.version = 1;
    CHECK_EQ(nigh_put_many(w->space, &one, 1, &call, &outcome), NIGH_EINVAL);
    call.version = 0;
    call.miss = &miss;
    CHECK_EQ(nigh_put_many(w->space, &one, 1, &call, &outcome), NIGH_EINVAL);
    call.miss = NULL;
    call.flags = NIGH_NO_WAIT;
    CHECK_EQ(nigh_put_many(w->space, &one, 1, &call, &outcome), NIGH_EINVAL);
    CHECK_EQ(outcome, 7);
    CHECK_EQ(get(w, "a").outcome, NIGH_MISS);
    const char *tags[] = {NULL};
    call.flags = 0;
    call.tags = tags;
    call.tag_count = 1;
    CHECK_EQ(nigh_put_many(w->space, &one, 1, &call, &outcome), 0);
    CHECK_EQ(outcome, NIGH_EINVAL);
}

TEST_BOTH(tags_are_those_of_the_call)
{
    int outcomes[2];
    const struct nigh_pair pairs[] = {pair("a", "one", 0), pair("b", "two", 0)};
    const char *tags[] = {"t"};
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_target t = {.kind = NIGH_TARGET_TAG, .name = "t", .name_len = 1};
    call.tags = tags;
    call.tag_count = 1;
    CHECK_EQ(nigh_put_many(w->space, pairs, 2, &call, outcomes), 0);
    CHECK_ANSWER(get(w, "b"), NIGH_FRESH, "two");
    CHECK_EQ(nigh_invalidate_many(w->cache, &t, 1, NULL), 0);
    CHECK_EQ(get(w, "a").outcome, NIGH_MISS);
    CHECK_EQ(get(w, "b").outcome, NIGH_MISS);
}

/* ---- many ---- */

static char keys[MANY][16], texts[MANY][16];
static struct nigh_pair many[MANY];
static int outcomes_of_many[MANY];

static void make_many(const char *text)
{
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(keys[i], sizeof(keys[i]), "m%u", i);
        snprintf(texts[i], sizeof(texts[i]), "%s%u", text, i);
        many[i] = pair(keys[i], texts[i], 0);
    }
}

static void all_are(int outcome)
{
    for (unsigned i = 0; i < MANY; i++)
        CHECK_EQ(outcomes_of_many[i], outcome);
}

TEST_BOTH(more_than_a_step_takes)
{
    make_many("v");
    CHECK_EQ(nigh_put_many(w->space, many, MANY, NULL, outcomes_of_many), 0);
    all_are(0);
    for (unsigned i = 0; i < MANY; i++)
        CHECK_ANSWER(get(w, keys[i]), NIGH_FRESH, texts[i]);
    many[1] = pair("m0", "again", 0);
    many[MANY - 1] = pair("m0", "at last", 0);
    CHECK_EQ(nigh_put_many(w->space, many, MANY, NULL, outcomes_of_many), 0);
    all_are(0);
    CHECK_ANSWER(get(w, "m0"), NIGH_FRESH, "at last");
}

/* Values of which a few are as much as a step takes. */
TEST_BOTH(large_ones_go_in_small_steps)
{
    static char large[400 << 10];
    int outcomes[7];
    struct nigh_pair pairs[7];
    memset(large, 'x', sizeof(large));
    for (unsigned i = 0; i < 7; i++) {
        pairs[i] = (struct nigh_pair){{keys[i], 2}, large, sizeof(large) - i, 0, NULL};
        snprintf(keys[i], sizeof(keys[i]), "l%u", i);
    }
    CHECK_EQ(nigh_put_many(w->space, pairs, 7, NULL, outcomes), 0);
    for (unsigned i = 0; i < 7; i++) {
        CHECK_EQ(outcomes[i], 0);
        CHECK_EQ(get(w, keys[i]).len, sizeof(large) - i);
    }
}

/* ---- tickets ---- */

static struct nigh_miss miss_of(struct world *w, const char *key)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    call.miss = &miss;
    CHECK_EQ(ask_get(w->space, key, &call).outcome, NIGH_MISS);
    return miss;
}

TEST_BOTH(tickets_fence_their_own_keys)
{
    int outcomes[5];
    struct nigh_miss misses[5];
    struct nigh_pair pairs[] = {pair("a", "one", 0), pair("b", NULL, 0), pair("c", "three", 0),
                                pair("d", "four", 0), pair("a", "five", 0)};
    for (unsigned i = 0; i < 4; i++) {
        misses[i] = miss_of(w, pairs[i].key.data);
        pairs[i].miss = i == 3 ? NULL : &misses[i];
    }
    CHECK_EQ(nigh_invalidate(w->space, "c", 1, NULL), 0); /* its ticket is of no use any more */
    CHECK_EQ(nigh_put_many(w->space, pairs, 5, NULL, outcomes), 0);
    const int wanted[] = {0, 0, NIGH_REFUSED, 0, 0};
    for (unsigned i = 0; i < 5; i++)
        CHECK_EQ(outcomes[i], wanted[i]);
    CHECK_ANSWER(get(w, "a"), NIGH_FRESH, "five");
    CHECK_EQ(get(w, "b").outcome, NIGH_ABSENT);
    CHECK_EQ(get(w, "c").outcome, NIGH_MISS);
    CHECK_ANSWER(get(w, "d"), NIGH_FRESH, "four");
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(misses[i].token, 0);
    nigh_miss_release(w->space, "d", 1, &misses[3]);
    if (redis)
        for (unsigned i = 0; i < 4; i++)
            CHECK_WITHIN(WORLD_PATIENCE_MS,
                         redis_integer(redis, "EXISTS nigh:!2:!lease:s:%s", pairs[i].key.data) ==
                             0);
}

/* ---- other nodes ---- */

static bool has(struct world *w, const char *key, const char *text)
{
    struct answer a = get(w, key);
    return a.outcome == NIGH_FRESH && strcmp(a.text, text) == 0;
}

/* One change, which takes the old values from the other node at once. */
TEST(a_step_is_one_message_to_the_other_nodes)
{
    struct world here, there;
    redis_start(&server, NULL);
    patient_open(&here, &server, NULL, NULL);
    patient_open(&there, &server, NULL, NULL);
    make_many("old");
    for (unsigned round = 0; round < 2; round++) {
        int64_t before = redis_integer(&server, "XLEN nigh:!:log");
        CHECK_EQ(nigh_put_many(here.space, many, NIGH_ATOMIC_TARGETS, NULL, outcomes_of_many), 0);
        CHECK_EQ(redis_integer(&server, "XLEN nigh:!:log"), before + 1);
        for (unsigned i = 0; i < NIGH_ATOMIC_TARGETS; i++) {
            CHECK_EQ(outcomes_of_many[i], 0);
            CHECK_WITHIN(WORLD_PATIENCE_MS, has(&there, keys[i], texts[i]));
        }
        make_many("new");
    }
    world_close(&there);
    world_close(&here);
    redis_stop(&server);
}

TEST(a_redis_that_does_not_answer_queues_all_of_them)
{
    struct world here, there;
    struct nigh_call call = NIGH_CALL_INIT;
    redis_start(&server, NULL);
    patient_open(&here, &server, NULL, NULL);
    patient_open(&there, &server, NULL, NULL);
    make_many("old");
    CHECK_EQ(nigh_put_many(here.space, many, MANY, NULL, outcomes_of_many), 0);
    for (unsigned i = 0; i < MANY; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, has(&there, keys[i], texts[i]));
    make_many("new");
    call.deadline_ms = HURRY_MS;
    redis_pause(&server);
    CHECK_EQ(nigh_put_many(here.space, many, MANY, &call, outcomes_of_many), 0);
    all_are(NIGH_QUEUED);
    CHECK_EQ(get(&here, "m7").outcome, NIGH_MISS);
    redis_resume(&server);
    CHECK_EQ(nigh_drain(here.cache, WORLD_PATIENCE_MS), 0);
    for (unsigned i = 0; i < MANY; i++) /* stored late, and then deleted */
        CHECK_WITHIN(WORLD_PATIENCE_MS, get(&there, keys[i]).outcome == NIGH_MISS);
    world_close(&there);
    world_close(&here);
    redis_stop(&server);
}
