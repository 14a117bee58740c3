// SPDX-License-Identifier: MIT
// What many keys cost a real Redis: one request for the values, one script for the leases, one for
// the fills, whichever call they come from; and each fill has an outcome of its own all the same.

#include "support/commands.h"
#include "support/many.h"

#define MANY 100u

static struct redis server;

/* Opens a node whose leases need no extension, which would be one more script, however slow it
 * is. */
static void open_node(struct world *w, const struct nigh_space_options *so)
{
    struct nigh_options o = patient_options(&server);
    struct nigh_space_options own = *so;
    o.lease_ms = 60000;
    own.load_deadline_ms = 120000;
    origin_init(&w->origin);
    world_open_with(w, &o, &own, &w->origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w->cache) == NIGH_FRESH);
}

static struct nigh_space_options batches(uint32_t batch)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    so.batch = batch;
    return so;
}

/* Begins a case: a server of its own, and one node. */
static void begin_with(struct world *w, const struct nigh_space_options *so)
{
    redis_start(&server, NULL);
    open_node(w, so);
}

/* Begins one whose loader takes 128 keys. */
static void begin(struct world *w)
{
    struct nigh_space_options so = batches(128);
    begin_with(w, &so);
}

static void end(struct world *w)
{
    world_close(w);
    redis_stop(&server);
}

/* Expects so many requests for values, and scripts: those of the leases, and of the fills. */
static void check_cost(const struct world *w, struct commands before, long values, long scripts,
                       unsigned fills)
{
    struct commands after;
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(w, "l2_fill") == fills);
    after = commands_of(&server);
    CHECK_EQ(after.mget - before.mget, values);
    CHECK_EQ(after.evalsha - before.evalsha, scripts);
    CHECK_EQ(after.set - before.set, 2 * fills); /* a lease and a value each, by the scripts */
}

/* At first a request asks for 16 values: as many as may be expected to be 64 KiB. */
#define VALUES_ASKED ((MANY + 15) / 16)

TEST(a_call_for_many_is_one_script_of_leases_and_one_of_fills)
{
    static struct bunch b;
    struct world w;
    for (int run_on = NIGH_RUN_CALLER; run_on <= NIGH_RUN_WORKER; run_on++) {
        struct nigh_space_options so = batches(128);
        so.run_on = run_on;
        begin_with(&w, &so);
        struct commands before = commands_of(&server);
        bunch_number(&b, "k", MANY);
        bunch_fetch(&b, w.space, NULL);
        bunch_check_all(&b, NIGH_FRESH, 1);
        check_cost(&w, before, VALUES_ASKED, 2, MANY);
        CHECK_EQ(w.origin.loads, 1);
        end(&w);
    }
}

TEST(a_refresh_of_many_is_one_request_for_values_one_for_leases_and_one_of_fills)
{
    static struct bunch b;
    struct world w;
    struct nigh_call call = NIGH_CALL_INIT;
    begin(&w);
    struct commands before = commands_of(&server);
    call.flags = NIGH_REFRESH;
    bunch_number(&b, "k", 16);
    bunch_fetch(&b, w.space, &call);
    bunch_check_all(&b, NIGH_FRESH, 1);
    check_cost(&w, before, 1, 2, 16);
    end(&w);
}

static void fetch_async(struct bunch *b, struct world *w)
{
    struct nigh_queue *queue;
    struct nigh_completion done;
    REQUIRE_EQ(nigh_queue_open(w->cache, &queue), 0);
    CHECK_EQ(nigh_fetch_many_async(queue, w->space, b->keys, b->count, NULL, NULL, b->values,
                                   b->outcomes, NULL), NIGH_PENDING);
    CHECK_EQ(nigh_queue_poll(queue, &done, 1, WORLD_PATIENCE_MS), 1);
    CHECK_EQ(done.outcome, 0);
    bunch_copy_out(b);
    nigh_queue_close(queue);
}

TEST(a_call_that_does_not_wait_costs_as_much)
{
    static struct bunch b;
    struct world w;
    begin(&w);
    struct commands before = commands_of(&server);
    bunch_number(&b, "k", 16);
    fetch_async(&b, &w);
    bunch_check_all(&b, NIGH_FRESH, 1);
    check_cost(&w, before, 1, 2, 16);
    CHECK_EQ(w.origin.loads, 1);
    end(&w);
}

TEST(a_call_of_which_nobody_is_told_costs_as_much)
{
    static struct bunch b;
    struct world w;
    struct nigh_call call = NIGH_CALL_INIT;
    begin(&w);
    struct commands before = commands_of(&server);
    call.flags = NIGH_NO_WAIT;
    bunch_number(&b, "k", 16);
    bunch_fetch(&b, w.space, &call);
    for (unsigned i = 0; i < b.count; i++)
        CHECK_EQ(b.outcomes[i], NIGH_PENDING);
    check_cost(&w, before, 1, 2, 16);
    CHECK_EQ(w.origin.loads, 1);
    end(&w);
}

/* As with own threads, though it is the poll that does all of it. */
TEST(without_own_threads_a_call_costs_as_much)
{
    static struct bunch b;
    struct world w;
    struct nigh_space_options so = batches(128);
    redis_start(&server, NULL);
    struct nigh_options o = patient_options(&server);
    o.threads = NIGH_THREADS_NONE;
    o.lease_ms = 60000;
    so.load_deadline_ms = 120000;
    origin_init(&w.origin);
    world_open_with(&w, &o, &so, &w.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (nigh_tick(w.cache), nigh_health(w.cache) == NIGH_FRESH));
    struct commands before = commands_of(&server);
    bunch_number(&b, "k", 16);
    fetch_async(&b, &w);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (nigh_tick(w.cache), world_count(&w, "l2_fill") == 16));
    check_cost(&w, before, 1, 2, 16);
    CHECK_EQ(w.origin.loads, 1);
    world_close(&w);
    redis_stop(&server);
}

enum { THREADS = 16 };

/* Whether as many scripts of fills were sent as there were calls of the loader. A thread that is
 * kept from running before it has let go of its flight sends its fill alone. */
static bool gather(struct world *w, unsigned round)
{
    static struct asker askers[THREADS];
    long loads = w->origin.loads;
    int64_t fills = world_count(w, "l2_fill") + THREADS;
    struct commands before = commands_of(&server);
    origin_hold(&w->origin);
    for (unsigned i = 0; i < THREADS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "r%u-%u", round, i);
        asker_start(&askers[i], w->space, name, NULL);
    }
    CHECK_WITHIN(WORLD_PATIENCE_MS, w->origin.held_loads > 0);
    origin_let_go(&w->origin);
    for (unsigned i = 0; i < THREADS; i++) {
        asker_join(&askers[i]);
        CHECK_EQ(askers[i].answer.outcome, NIGH_FRESH);
    }
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(w, "l2_fill") == fills);
    return commands_of(&server).evalsha - before.evalsha <= THREADS + w->origin.loads - loads;
}

TEST(what_is_gathered_of_many_threads_is_filled_in_one_script)
{
    struct world w;
    struct nigh_space_options so = batches(THREADS);
    unsigned round = 0;
    so.batch_wait_us = 100000;
    begin_with(&w, &so);
    CHECK_WITHIN(WORLD_PATIENCE_MS, gather(&w, round++));
    end(&w);
}

/* What a caller finds is seldom in Redis, and then is asked for by leases at once. */
TEST(where_L2_seldom_has_anything_many_leases_are_asked_for_first)
{
    static struct bunch b;
    struct world w, other;
    begin(&w);
    bunch_number(&b, "cold", 2 * MANY);
    bunch_fetch(&b, w.space, NULL);
    for (int round = 0; round < 2; round++) {
        int64_t first = world_count(&w, "lease_first"), misses = world_count(&w, "l2_miss");
        unsigned fills = (2 + (unsigned)round) * MANY;
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "l2_fill") == fills);
        struct commands before = commands_of(&server);
        bunch_number(&b, round ? "async" : "call", MANY);
        if (round)
            fetch_async(&b, &w);
        else
            bunch_fetch(&b, w.space, NULL);
        bunch_check_all(&b, NIGH_FRESH, 1);
        CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "l2_fill") == fills + MANY);
        struct commands after = commands_of(&server);
        CHECK_EQ(after.mget - before.mget, 0);
        CHECK_EQ(after.evalsha - before.evalsha, 2);
        CHECK_EQ(world_count(&w, "lease_first"), first + MANY);
        CHECK_EQ(world_count(&w, "l2_miss"), misses + MANY);
    }
    /* The answers are the values that another node has loaded, and raise the odds. */
    struct nigh_space_options so = batches(128);
    open_node(&other, &so);
    bunch_number(&b, "other", 60);
    bunch_fetch(&b, other.space, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&other, "l2_fill") == 60);
    for (int round = 0; round < 2; round++) {
        struct nigh_call call = NIGH_CALL_INIT;
        call.flags = NIGH_NO_STORE;
        unsigned loads = w.origin.loads;
        struct commands before = commands_of(&server);
        bunch_fetch(&b, w.space, &call);
        bunch_check_all(&b, NIGH_FRESH, 1);
        struct commands after = commands_of(&server);
        CHECK_EQ(w.origin.loads, loads);
        CHECK_EQ(after.evalsha - before.evalsha, round == 0);
        CHECK_EQ(after.mget - before.mget > 0, round == 1);
    }
    world_close(&other);
    end(&w);
}

/* ---- outcomes ---- */

TEST(a_fill_whose_token_is_lost_is_refused_alone)
{
    static struct bunch b;
    struct world w;
    begin(&w);
    origin_hold(&w.origin);
    bunch_init(&b, "a b c");
    bunch_start(&b, w.space, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.held_loads == 1);
    CHECK_EQ(redis_integer(&server, "DEL nigh:!2:!lease:s:b"), 1);
    origin_let_go(&w.origin);
    bunch_join(&b);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "l2_fill") == 2);
    CHECK_EQ(world_count(&w, "l2_fill_refused"), 1);
    CHECK_EQ(world_count(&w, "l2_fill_error"), 0);
    CHECK_EQ(redis_integer(&server, "EXISTS nigh:!2:s:1:a nigh:!2:s:1:b nigh:!2:s:1:c"), 2);
    end(&w);
}

static int large_b(struct origin *o, struct nigh_fill *fill)
{
    static const char large[200 << 10];
    size_t len;
    const char *key = nigh_fill_key(fill, &len);
    if (len == 1 && *key == 'b')
        return nigh_fill_value(fill, large, sizeof(large));
    return origin_answer(o, fill);
}

TEST(a_fill_that_is_too_large_for_company_goes_alone)
{
    static struct bunch b;
    struct world w;
    begin(&w);
    atomic_store(&w.origin.script, large_b);
    struct commands before = commands_of(&server);
    bunch_init(&b, "a b c d");
    bunch_fetch(&b, w.space, NULL);
    CHECK_EQ(b.answers[1].len, 200 << 10);
    CHECK_ANSWER(b.answers[3], NIGH_FRESH, "d=1");
    check_cost(&w, before, 1, 1 + 3, 4); /* a; b; c and d */
    end(&w);
}

/* The version of a row is its generation, but b's is 1. */
static int version(struct origin *o, struct nigh_fill *fill)
{
    size_t len;
    const char *key = nigh_fill_key(fill, &len);
    int rc = nigh_fill_set_version(fill, *key == 'b' ? 1 : o->generation);
    return rc ? rc : origin_answer(o, fill);
}

TEST(fills_with_versions_are_waited_for_and_judged_one_by_one)
{
    static struct bunch b;
    struct world w;
    struct nigh_call call = NIGH_CALL_INIT;
    begin(&w);
    atomic_store(&w.origin.script, version);
    call.version = 7;
    CHECK_EQ(nigh_put(w.space, "b", 1, "newer", 5, &call), 0);
    origin_commit(&w.origin);
    struct commands before = commands_of(&server);
    bunch_init(&b, "a b c");
    call = (struct nigh_call)NIGH_CALL_INIT;
    call.flags = NIGH_REFRESH;
    bunch_fetch(&b, w.space, &call);
    CHECK_EQ(world_count(&w, "l2_fill"), 2);
    CHECK_EQ(world_count(&w, "l2_fill_refused"), 1);
    struct commands after = commands_of(&server);
    CHECK_EQ(after.evalsha - before.evalsha, 2);
    CHECK_ANSWER(ask_get(w.space, "a", NULL), NIGH_FRESH, "a=2");
    CHECK_ANSWER(ask_get(w.space, "b", NULL), NIGH_FRESH, "newer");
    end(&w);
}

TEST(fills_that_are_lost_give_their_leases_back)
{
    static struct bunch b;
    struct world w;
    begin(&w);
    origin_hold(&w.origin);
    bunch_init(&b, "a b c");
    bunch_start(&b, w.space, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.held_loads == 1);
    free(redis_command(&server, "CLIENT KILL TYPE normal"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "l2_lost") >= 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "connected") == 1);
    origin_let_go(&w.origin);
    bunch_join(&b);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "l2_fill_error") == 3);
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 redis_integer(&server, "EXISTS nigh:!2:!lease:s:a nigh:!2:!lease:s:b "
                                        "nigh:!2:!lease:s:c") == 0);
    CHECK_EQ(world_count(&w, "l2_fill"), 0);
    end(&w);
}
