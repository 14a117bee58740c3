// SPDX-License-Identifier: MIT
// nigh_get_many: each key gets what nigh_get would give it, whatever its neighbours get.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/origin.h"

#define MANY 700u /* several batches and windows, more values than a page has pins */

struct many {
    char names[MANY][16];
    struct nigh_key keys[MANY];
    struct nigh_value values[MANY];
    int outcomes[MANY];
};

static struct many *many_new(void)
{
    struct many *m = calloc(1, sizeof(*m));
    REQUIRE(m);
    for (unsigned i = 0; i < MANY; i++) {
        int len = snprintf(m->names[i], sizeof(m->names[i]), "key-%u", i);
        m->keys[i] = (struct nigh_key){m->names[i], (size_t)len};
    }
    return m;
}

static void many_release(struct many *m)
{
    for (unsigned i = 0; i < MANY; i++)
        nigh_release(&m->values[i]);
}

static bool says(const struct nigh_value *v, const char *text)
{
    return v->len == strlen(text) && memcmp(v->data, text, v->len) == 0;
}

/* The value of a key is its name. */
static void put_all(struct nigh_space *s, const struct many *m, unsigned step)
{
    for (unsigned i = 0; i < MANY; i += step)
        CHECK_EQ(nigh_put(s, m->keys[i].data, m->keys[i].len, m->names[i], m->keys[i].len, NULL),
                 0);
}

/* ---- L1 ---- */

TEST(each_of_many_is_found_with_its_own_value)
{
    struct world w;
    struct many *m = many_new();
    world_open_exact(&w);
    put_all(w.space, m, 1);
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(nigh_get_many(w.space, m->keys, MANY, NULL, m->values, m->outcomes), 0);
        for (unsigned i = 0; i < MANY; i++) {
            CHECK_EQ(m->outcomes[i], NIGH_FRESH);
            CHECK(says(&m->values[i], m->names[i]));
        }
        many_release(m);
    }
    CHECK_EQ(world_count(&w, "l1_fresh"), 3 * MANY);
    CHECK_EQ(world_count(&w, "value_copied"), 0);
    CHECK_EQ(world_count(&w, "pins"), 0);
    world_close(&w);
    free(m);
}

TEST(those_that_miss_do_not_disturb_those_that_hit)
{
    struct world w;
    struct many *m = many_new();
    world_open_exact(&w);
    put_all(w.space, m, 3);
    CHECK_EQ(nigh_get_many(w.space, m->keys, MANY, NULL, m->values, m->outcomes), 0);
    for (unsigned i = 0; i < MANY; i++) {
        CHECK_EQ(m->outcomes[i], i % 3 ? NIGH_MISS : NIGH_FRESH);
        CHECK(i % 3 ? !m->values[i].data && !m->values[i].pin
                    : says(&m->values[i], m->names[i]));
    }
    many_release(m);
    CHECK_EQ(world_count(&w, "l1_miss"), MANY - (MANY + 2) / 3);
    world_close(&w);
    free(m);
}

TEST(each_of_many_has_its_own_outcome)
{
    struct world w;
    world_open_exact(&w);
    CHECK_EQ(nigh_put(w.space, "old", 3, "1", 1, NULL), 0);
    world_advance(&w, 700);
    CHECK_EQ(nigh_put(w.space, "new", 3, "2", 1, NULL), 0);
    world_advance(&w, 400);
    struct nigh_key keys[] = {{"old", 3}, {"new", 3}, {"none", 4}, {"", 0}, {NULL, 3},
                              {"new", 3}, {"new", NIGH_KEY_MAX + 1}};
    int wanted[] = {NIGH_STALE, NIGH_FRESH, NIGH_MISS, NIGH_EKEY, NIGH_EKEY, NIGH_FRESH, NIGH_EKEY};
    struct nigh_value values[7];
    int outcomes[7];
    CHECK_EQ(nigh_get_many(w.space, keys, 7, NULL, values, outcomes), 0);
    for (int i = 0; i < 7; i++) {
        CHECK_EQ(outcomes[i], wanted[i]);
        CHECK_EQ(!values[i].data, wanted[i] == NIGH_MISS || wanted[i] == NIGH_EKEY);
    }
    CHECK_NE(values[1].pin, values[5].pin); /* a key that occurs twice is held twice */
    for (int i = 0; i < 7; i++)
        nigh_release(&values[i]);
    CHECK_EQ(world_count(&w, "pins"), 0); /* nor is anything held of what was looked at */
    world_close(&w);
}

TEST(the_limits_of_a_call_hold_for_all_of_its_keys)
{
    struct world w;
    struct many *m = many_new();
    struct nigh_call call = NIGH_CALL_INIT;
    world_open_exact(&w);
    put_all(w.space, m, 1);
    world_advance(&w, 300);
    call.max_age_ms = 100;
    CHECK_EQ(nigh_get_many(w.space, m->keys, MANY, &call, m->values, m->outcomes), 0);
    for (unsigned i = 0; i < MANY; i++)
        CHECK_EQ(m->outcomes[i], NIGH_MISS);
    call.max_age_ms = 0;
    call.flags = NIGH_REFRESH | NIGH_L1_ONLY;
    CHECK_EQ(nigh_get_many(w.space, m->keys, MANY, &call, m->values, m->outcomes), 0);
    for (unsigned i = 0; i < MANY; i++)
        CHECK_EQ(m->outcomes[i], NIGH_MISS);
    int64_t fresh = world_count(&w, "l1_fresh"), missed = world_count(&w, "l1_miss");
    call.flags = NIGH_QUIET;
    CHECK_EQ(nigh_get_many(w.space, m->keys, MANY, &call, m->values, m->outcomes), 0);
    for (unsigned i = 0; i < MANY; i++)
        CHECK_EQ(m->outcomes[i], NIGH_FRESH);
    many_release(m);
    CHECK_EQ(world_count(&w, "l1_fresh"), fresh);
    CHECK_EQ(world_count(&w, "l1_miss"), missed);
    world_close(&w);
    free(m);
}

TEST(a_wrong_call_writes_nothing)
{
    struct world w;
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_key key = {"k", 1};
    struct nigh_value value = {"untouched", 9, 0};
    int outcome = 77;
    world_open_exact(&w);
    call.miss = &miss;
    CHECK_EQ(nigh_get_many(w.space, &key, 1, &call, &value, &outcome), NIGH_EINVAL);
    call.miss = NULL;
    call.size = 1;
    CHECK_EQ(nigh_get_many(w.space, &key, 1, &call, &value, &outcome), NIGH_EINVAL);
    call.size = sizeof(call) + 8;
    CHECK_EQ(nigh_get_many(w.space, &key, 1, &call, &value, &outcome), NIGH_EINVAL);
    CHECK_EQ(nigh_get_many(w.space, &key, UINT32_MAX + (size_t)1, NULL, &value, &outcome),
             NIGH_EINVAL);
    CHECK_EQ(nigh_get_many(w.space, &key, SIZE_MAX, NULL, &value, &outcome), NIGH_EINVAL);
    CHECK_EQ(nigh_get_many(w.space, NULL, 1, NULL, &value, &outcome), NIGH_EINVAL);
    CHECK_EQ(nigh_get_many(w.space, &key, 1, NULL, NULL, &outcome), NIGH_EINVAL);
    CHECK_EQ(nigh_get_many(w.space, &key, 1, NULL, &value, NULL), NIGH_EINVAL);
    CHECK_EQ(nigh_get_many(w.space, NULL, 0, NULL, NULL, NULL), 0);
    CHECK_EQ(nigh_get_many(w.space, &key, 0, NULL, &value, &outcome), 0);
    CHECK(says(&value, "untouched") && outcome == 77);
    world_close(&w);
}

/* ---- L2 ---- */

/* Its frames may be under way; until they have come the values are not kept. */
static void put_half_and_wait(struct nigh_space *s, const struct many *m, const struct world *hears)
{
    put_all(s, m, 2);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(hears, "sequence") == MANY / 2);
}

TEST(what_only_L2_has_comes_from_there_and_then_from_L1)
{
    struct redis server;
    struct world a, b;
    struct many *m = many_new();
    patient_nodes_open(&a, &b, &server);
    put_half_and_wait(a.space, m, &b);
    struct nigh_call l1_only = NIGH_CALL_INIT;
    l1_only.flags = NIGH_L1_ONLY;
    CHECK_EQ(nigh_get_many(b.space, m->keys, MANY, &l1_only, m->values, m->outcomes), 0);
    for (unsigned i = 0; i < MANY; i++)
        CHECK_EQ(m->outcomes[i], NIGH_MISS);
    for (int round = 0; round < 2; round++) {
        CHECK_EQ(nigh_get_many(b.space, m->keys, MANY, NULL, m->values, m->outcomes), 0);
        for (unsigned i = 0; i < MANY; i++) {
            CHECK_EQ(m->outcomes[i], i % 2 ? NIGH_MISS : NIGH_FRESH);
            if (i % 2 == 0) {
                CHECK(says(&m->values[i], m->names[i]));
                CHECK_EQ(nigh_value_tier(&m->values[i]), round ? NIGH_TIER_L1 : NIGH_TIER_L2);
            }
        }
        many_release(m);
    }
    CHECK_EQ(world_count(&b, "l2_fresh"), MANY / 2);
    nodes_close(&a, &b, &server);
    free(m);
}

TEST(without_redis_those_that_L1_has_are_still_given)
{
    struct redis server;
    struct world w;
    struct many *m = many_new();
    redis_start(&server, NULL);
    patient_open(&w, &server, NULL, NULL);
    put_half_and_wait(w.space, m, &w);
    CHECK_EQ(nigh_get_many(w.space, m->keys, MANY, NULL, m->values, m->outcomes), 0);
    many_release(m); /* whatever was not kept by the put is now */
    redis_stop(&server);
    CHECK_EQ(nigh_get_many(w.space, m->keys, MANY, NULL, m->values, m->outcomes), 0);
    for (unsigned i = 0; i < MANY; i++) {
        if (i % 2)
            CHECK_LT(m->outcomes[i], 0); /* it could not be asked */
        else
            CHECK_GE(m->outcomes[i], 0); /* fresh, or stale when trust has run out meanwhile */
    }
    many_release(m);
    world_close(&w);
    free(m);
}
