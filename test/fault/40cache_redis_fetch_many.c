// SPDX-License-Identifier: MIT
// Fetching many keys before a real Redis: one request for the values, one load of each key in all
// processes, and what is left of that while Redis is paused or gone.

#include <stdio.h>
#include <stdlib.h>

#include "support/many.h"

#define MANY 100u
#define LOAD_MS (3 * WORLD_PATIENCE_MS)

static struct nigh_space_options batches(uint32_t batch)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.batch = batch;
    so.load_deadline_ms = LOAD_MS;
    return so;
}

/* As patient_open(), with leases that no machine stands still for. */
static void open_node(struct world *w, const struct redis *server, struct origin *origin,
                      const struct nigh_space_options *so)
{
    struct nigh_options o = patient_options(server);
    o.lease_ms = LOAD_MS / 2;
    origin_init(&w->origin);
    world_open_with(w, &o, so, origin ? origin : &w->origin);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w->cache) == NIGH_FRESH &&
                                                world_count(w, "listening") == 1));
}

static long long keys_like(const struct redis *server, const char *pattern)
{
    char *text = redis_command(server, "KEYS %s", pattern);
    REQUIRE(text);
    long long n = *text != '\0';
    for (const char *c = text; *c; c++)
        n += *c == '\n';
    free(text);
    return n;
}

static bool no_lease_is_left(const struct redis *server)
{
    return keys_like(server, "nigh:!2:!lease:*") == 0;
}

TEST(what_is_nowhere_is_loaded_in_one_call_and_given_to_all)
{
    static struct bunch b;
    struct redis server;
    struct world near, far;
    struct nigh_space_options so = batches(128);
    redis_start(&server, NULL);
    open_node(&near, &server, NULL, &so);
    bunch_number(&b, "k", MANY);
    int64_t before = world_count(&near, "l2_request");
    uint64_t began_ms = check_now_ms();
    bunch_fetch(&b, near.space, NULL);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_EQ(near.origin.loads, 1);
    CHECK_EQ(world_count(&near, "lease_granted"), MANY);
    CHECK_EQ(world_count(&near, "l2_miss"), MANY);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&near, "l2_fill") == MANY);
    CHECK_WITHIN(WORLD_PATIENCE_MS, no_lease_is_left(&server));
    CHECK_EQ(keys_like(&server, "nigh:!2:s:1:*"), MANY);
    /* values in few requests, leases in one, and fills; beats come every 200 ms */
    CHECK_LE(world_count(&near, "l2_request") - before,
             (int64_t)(MANY + MANY / 2 + (check_now_ms() - began_ms) / 100));

    open_node(&far, &server, &near.origin, &so);
    int64_t requests = world_count(&far, "l2_request");
    bunch_fetch(&b, far.space, NULL);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_EQ(near.origin.loads, 1);
    CHECK_EQ(world_count(&far, "l2_fresh"), MANY);
    CHECK_EQ(world_count(&far, "flight_led"), 0);
    CHECK(world_count(&far, "l2_request") - requests < MANY / 2);
    bunch_fetch(&b, far.space, NULL);
    CHECK_EQ(world_count(&far, "l1_fresh"), MANY);
    world_close(&far);
    world_close(&near);
    redis_stop(&server);
}

TEST(two_nodes_that_want_the_same_load_each_key_once)
{
    static struct bunch there, back;
    struct redis server;
    struct world near, far;
    redis_start(&server, NULL);
    for (int round = 0; round < 4; round++) {
        struct nigh_space_options so = batches(round % 2 ? 128 : 7);
        so.batch_wait_us = round < 2 ? 0 : 200;
        open_node(&near, &server, NULL, &so);
        open_node(&far, &server, &near.origin, &so);
        char stem[8];
        snprintf(stem, sizeof(stem), "r%d", round);
        bunch_number(&there, stem, MANY);
        memset(&back, 0, sizeof(back));
        for (unsigned i = there.count; i-- > 0;)
            bunch_add(&back, there.names[i]);
        bunch_start(&there, near.space, NULL);
        bunch_start(&back, far.space, NULL);
        bunch_join(&there);
        bunch_join(&back);
        bunch_check_all(&there, NIGH_FRESH, 1);
        bunch_check_all(&back, NIGH_FRESH, 1);
        CHECK_EQ(near.origin.rows, MANY);
        world_close(&far);
        world_close(&near);
    }
    redis_stop(&server);
}

static int hold_slow(struct origin *o, struct nigh_fill *fill)
{
    size_t len;
    const char *key = nigh_fill_key(fill, &len);
    if (len == 4 && memcmp(key, "slow", 4) == 0)
        return origin_answer(o, fill);
    return nigh_fill_value(fill, "quick", 5);
}

TEST(a_key_that_another_process_loads_does_not_delay_the_others)
{
    static struct bunch b;
    struct redis server;
    struct world near, far;
    struct asker slow;
    struct nigh_space_options so = batches(128);
    redis_start(&server, NULL);
    open_node(&near, &server, NULL, &so);
    open_node(&far, &server, &near.origin, &so);
    atomic_store(&near.origin.script, hold_slow);
    origin_hold(&near.origin);
    asker_start(&slow, far.space, "slow", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, near.origin.held_loads == 1);
    bunch_init(&b, "slow a b");
    bunch_start(&b, near.space, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&near, "l1_store") == 2);
    CHECK_GE(world_count(&near, "lease_held"), 1);
    CHECK(!b.done);
    origin_let_go(&near.origin);
    bunch_join(&b);
    asker_join(&slow);
    CHECK_ANSWER(b.answers[0], NIGH_FRESH, "slow=1");
    CHECK_ANSWER(b.answers[1], NIGH_FRESH, "quick");
    CHECK_ANSWER(b.answers[2], NIGH_FRESH, "quick");
    CHECK_EQ(near.origin.rows, 3);
    world_close(&far);
    world_close(&near);
    redis_stop(&server);
}

TEST(redis_killed_in_the_middle_costs_no_answer)
{
    static struct bunch b, later;
    struct redis server;
    struct world w;
    struct nigh_space_options so = batches(128);
    redis_start(&server, NULL);
    node_open(&w, &server, NULL, &so);
    origin_hold(&w.origin);
    bunch_number(&b, "k", MANY);
    bunch_start(&b, w.space, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.held_loads == 1);
    redis_kill(&server);
    origin_let_go(&w.origin);
    bunch_join(&b);
    for (unsigned i = 0; i < MANY; i++)
        CHECK(b.outcomes[i] == NIGH_FRESH || b.outcomes[i] == NIGH_STALE);
    CHECK_EQ(w.origin.rows, MANY);
    bunch_number(&later, "x", MANY);
    bunch_fetch(&later, w.space, NULL); /* without Redis it is loaded all the same */
    bunch_check_all(&later, NIGH_FRESH, 1);
    CHECK_EQ(w.origin.rows, 2 * MANY);
    redis_restart(&server, REDIS_EMPTY);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
    bunch_number(&later, "y", MANY);
    bunch_fetch(&later, w.space, NULL);
    bunch_check_all(&later, NIGH_FRESH, 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, no_lease_is_left(&server));
    world_close(&w);
    redis_stop(&server);
}

TEST(a_redis_that_is_silent_is_waited_for_once_for_all_keys)
{
    static struct bunch b;
    struct redis server;
    struct world w;
    struct nigh_space_options so = batches(128);
    redis_start(&server, NULL);
    node_open(&w, &server, NULL, &so);
    redis_pause(&server);
    bunch_number(&b, "k", MANY);
    bunch_fetch(&b, w.space, NULL);
    for (unsigned i = 0; i < MANY; i++)
        CHECK(b.outcomes[i] == NIGH_FRESH || b.outcomes[i] == NIGH_STALE);
    CHECK_EQ(w.origin.loads, 1);
    CHECK_EQ(world_count(&w, "lease_granted"), 0);
    redis_resume(&server);
    world_close(&w);
    redis_stop(&server);
}

static bool has_generation(const struct bunch *b, unsigned generation)
{
    char text[32];
    for (unsigned i = 0; i < b->count; i++) {
        snprintf(text, sizeof(text), "%s=%u", b->names[i], generation);
        if (strcmp(b->answers[i].text, text) != 0)
            return false;
    }
    return true;
}

/* False: by the server's clock, as the node takes it now, one of them is fresh for a moment yet. */
static bool are_answered_stale(struct world *near, struct world *far, const char *names)
{
    static struct bunch b;
    struct nigh_call look = NIGH_CALL_INIT;
    unsigned generation = near->origin.generation;
    int64_t filled = world_count(near, "l2_fill") + 3, refreshed = world_count(far, "refresh") + 3;
    bunch_init(&b, names);
    bunch_fetch(&b, near->space, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(near, "l2_fill") >= filled);
    look.flags = NIGH_NO_STORE;
    for (unsigned i = 0; i < b.count; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS,
                     ask_get(far->space, b.names[i], &look).outcome == NIGH_STALE);
    origin_commit(&near->origin);
    bunch_fetch(&b, far->space, NULL);
    for (unsigned i = 0; i < b.count; i++)
        if (b.answers[i].outcome != NIGH_STALE)
            return false;
    CHECK(has_generation(&b, generation));
    CHECK_EQ(world_count(far, "refresh"), refreshed);
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (bunch_fetch(&b, far->space, NULL), has_generation(&b, generation + 1)));
    return true;
}

TEST(what_l2_has_only_stale_is_answered_and_refreshed)
{
    struct redis server;
    struct world near, far;
    struct nigh_space_options so = batches(128);
    bool stale = false;
    so.soft_ttl_ms = 100;
    so.jitter_percent = NIGH_NONE;
    redis_start(&server, NULL);
    open_node(&near, &server, NULL, &so);
    open_node(&far, &server, &near.origin, &so);
    for (int tries = 0; tries < 10 && !stale; tries++) {
        char names[32];
        snprintf(names, sizeof(names), "a%d b%d c%d", tries, tries, tries);
        stale = are_answered_stale(&near, &far, names);
    }
    CHECK(stale);
    world_close(&far);
    world_close(&near);
    redis_stop(&server);
}
