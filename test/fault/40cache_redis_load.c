// SPDX-License-Identifier: MIT
// Loads before a real Redis that go wrong in time: an old value on a young clock, an answer that
// comes too late, a refresh that fails.

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "l2/l2.h"
#include "support/origin.h"
#include "support/relay.h"

#include <hiredis.h>

#define DATA_KEY "nigh:!2:s:1:k"

/* A node, not yet before anything in L1, and L2 with "k=1" that another has loaded. */
static void fill_l2(const struct redis *server)
{
    struct world other;
    patient_open(&other, server, NULL, NULL);
    CHECK_ANSWER(ask_fetch(other.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&other, "l2_fill") == 1);
    world_close(&other);
}

/* ---- lifetimes ---- */

/* As if the value in L2 had been filled `age_ms` earlier, with these lifetimes. */
static void age_l2(const struct redis *server, uint64_t age_ms, uint32_t soft_ms, uint32_t stale_ms)
{
    char buffer[512];
    struct l2_envelope e;
    const struct l2_key key = {bytes_of("s", 1), bytes_of("1", 1), bytes_of("k", 1)};
    redisContext *c = redisConnectUnix(server->socket);
    REQUIRE(c && !c->err);
    redisReply *r = redisCommand(c, "GET " DATA_KEY);
    REQUIRE(r && r->type == REDIS_REPLY_STRING && r->len <= sizeof(buffer));
    REQUIRE(l2_envelope_decode(bytes_of(r->str, r->len), l2_name_hash(&key), &e));
    e.server_time_ms -= age_ms;
    e.soft_ms = soft_ms;
    e.stale_ms = stale_ms;
    l2_envelope_encode(&e, buffer);
    freeReplyObject(redisCommand(c, "SET " DATA_KEY " %b PX 600000", buffer, l2_envelope_size(&e)));
    freeReplyObject(r);
    redisFree(c);
}

static uint64_t process_clock(void *arg)
{
    struct timespec now;
    const uint64_t *start_ns = arg;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec - *start_ns;
}

/* A node whose clock began when it did: younger than what it reads. */
static void open_young(struct world *w, const struct redis *server, uint64_t *start_ns)
{
    struct nigh_options o = patient_options(server);
    uint64_t zero = 0;
    *start_ns = process_clock(&zero);
    o.clock = process_clock;
    o.clock_arg = start_ns;
    origin_init(&w->origin);
    origin_commit(&w->origin);
    world_open_with(w, &o, NULL, &w->origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w->cache) == NIGH_FRESH);
}

static void read_young(uint64_t age_ms, uint32_t soft_ms, uint32_t stale_ms, int outcome)
{
    struct redis server;
    struct world w;
    uint64_t start_ns;
    redis_start(&server, NULL);
    fill_l2(&server);
    age_l2(&server, age_ms, soft_ms, stale_ms);
    open_young(&w, &server, &start_ns);
    struct answer got = ask_get(w.space, "k", NULL);
    CHECK_STR(nigh_result_name(got.outcome), nigh_result_name(outcome));
    /* Its second reading is L1's. */
    CHECK_STR(nigh_result_name(ask_get(w.space, "k", NULL).outcome), nigh_result_name(outcome));
    if (outcome != NIGH_FRESH)
        CHECK_WITHIN(WORLD_PATIENCE_MS, strcmp(ask_fetch(w.space, "k", NULL).text, "k=2") == 0);
    world_close(&w);
    redis_stop(&server);
}

TEST(a_value_older_than_the_hosts_clock_had_its_lifetime_anew)
{
    read_young(100000, 50000, 500000, NIGH_STALE);
    read_young(100000, 50000, 20000, NIGH_MISS);
    read_young(100000, 300000, 500000, NIGH_FRESH);
}

/* ---- too late ---- */

struct late {
    _Atomic bool held;  /* the first load, until it is let go */
    _Atomic bool taken; /* there is one; those after it do not wait */
};

static int first_is_late(struct origin *o, struct nigh_fill *fill)
{
    struct late *late = o->arg;
    char row[16];
    int len = snprintf(row, sizeof(row), "k=%u", atomic_load(&o->generation));
    if (!atomic_exchange(&late->taken, true)) {
        atomic_fetch_add(&o->held_loads, 1);
        while (atomic_load(&late->held))
            check_pause();
    }
    return nigh_fill_value(fill, row, (size_t)len);
}

/* Once it has come to a load: a busy machine may use up the time before. */
static bool is_late(struct world *w)
{
    CHECK_EQ(ask_fetch(w->space, "k", NULL).outcome, NIGH_ETIMEDOUT);
    return atomic_load(&w->origin.held_loads) == 1;
}

static void overrun(const struct redis *server)
{
    struct world w;
    struct late late = {.held = true};
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    if (server)
        o = patient_options(server);
    o.l1_memory = 8u << 20;
    o.group_slots = 2048;
    so.load_deadline_ms = 200;
    so.run_on = NIGH_RUN_WORKER;
    origin_init(&w.origin);
    w.origin.script = first_is_late;
    w.origin.arg = &late;
    world_open_with(&w, &o, &so, &w.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_late(&w));
    origin_commit(&w.origin); /* and nobody invalidates: versions aside, only time tells */
    CHECK_WITHIN(WORLD_PATIENCE_MS, ask_fetch(w.space, "k", NULL).outcome == NIGH_FRESH);
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_FRESH, "k=2");
    atomic_store(&late.held, false);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.running == 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "load_overrun") >= 1);
    struct nigh_call from_l2 = NIGH_CALL_INIT;
    from_l2.flags = NIGH_REFRESH;
    for (int i = 0; i < 100; i++) {
        CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_FRESH, "k=2");
        check_pause();
    }
    if (server) { /* which may not have been told in the load's time, but of the late one never */
        struct answer got = ask_get(w.space, "k", &from_l2);
        CHECK(got.outcome == NIGH_MISS || strcmp(got.text, "k=2") == 0);
    }
    world_close(&w);
}

TEST(a_load_that_overran_replaced_the_value_of_a_later_one)
{
    struct redis server;
    overrun(NULL);
    redis_start(&server, NULL);
    overrun(&server);
    redis_stop(&server);
}

/* ---- failing ---- */

static int fail(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    return nigh_fill_error(fill, 7);
}

TEST(a_refresh_that_failed_hid_the_good_value_of_l2)
{
    struct redis server;
    struct world w;
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = NIGH_REFRESH;
    redis_start(&server, NULL);
    fill_l2(&server);
    patient_open(&w, &server, NULL, NULL);
    w.origin.script = fail;
    struct answer got = ask_fetch(w.space, "k", &call);
    CHECK_ANSWER(got, NIGH_STALE, "k=1");
    CHECK_EQ(got.tier, NIGH_TIER_L2);
    CHECK_EQ(w.origin.loads, 1);
    CHECK_EQ(ask_fetch(w.space, "none", &call).outcome, NIGH_ELOADER);
    /* A call that accepts no value this old is not given one by the failure either. */
    call.min_version = 5;
    CHECK_EQ(ask_fetch(w.space, "k", &call).outcome, NIGH_ELOADER);
    world_close(&w);
    redis_stop(&server);
}

/* ---- invalidated while it asks ---- */

/* Fetches, and has another node invalidate the key while the request is on its way. True: what was
 * loaded then was kept. It is not where the node hears of that only after its loader began. */
static bool keeps_what_it_loads(struct world *near, struct world *far, struct relay *relay)
{
    struct asker asker;
    int64_t led = world_count(near, "flight_led"), applied = world_count(near, "sequence");
    relay_stop(relay);
    asker_start(&asker, near->space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(near, "flight_led") > led);
    origin_commit(&near->origin);
    CHECK_EQ(nigh_invalidate(far->space, "k", 1, NULL), 0);
    unsigned loads = near->origin.loads;
    relay_go(relay);
    asker_join(&asker);
    CHECK_EQ(asker.answer.outcome, NIGH_FRESH);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(near, "sequence") > applied);
    struct answer again = ask_fetch(near->space, "k", NULL);
    CHECK_EQ(again.outcome, NIGH_FRESH);
    bool kept = again.tier == NIGH_TIER_L1 && near->origin.loads == loads + 1;
    CHECK_EQ(nigh_invalidate(near->space, "k", 1, NULL), 0);
    return kept;
}

TEST(what_is_loaded_after_an_invalidation_that_came_meanwhile_is_kept)
{
    struct redis server;
    struct relay relay;
    struct world near, far;
    redis_start(&server, NULL);
    relay_open(&relay, &server);
    struct nigh_options o = patient_options(&server);
    o.redis_uri = relay.uri;
    origin_init(&near.origin);
    world_open_with(&near, &o, NULL, &near.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(near.cache) == NIGH_FRESH);
    patient_open(&far, &server, &near.origin, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, keeps_what_it_loads(&near, &far, &relay));
    world_close(&near);
    world_close(&far);
    relay_close(&relay);
    redis_stop(&server);
}

/* The first load is held, and the second until it fails. */
struct turns {
    _Atomic bool held[2];
    _Atomic unsigned come;
};

static int fail_second(struct origin *o, struct nigh_fill *fill)
{
    struct turns *turns = o->arg;
    unsigned turn = atomic_fetch_add(&turns->come, 1);
    while (turn < 2 && atomic_load(&turns->held[turn]))
        check_pause();
    return turn == 1 ? nigh_fill_error(fill, 7) : nigh_fill_value(fill, "new", 3);
}

TEST(a_caller_after_an_invalidation_got_what_was_found_before_it)
{
    struct redis server;
    struct world far, near;
    struct asker holds, leads, joins;
    struct turns turns = {.held = {true, true}};
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = NIGH_REFRESH;
    lasting_nodes_open(&far, &near, &server, 3 * WORLD_PATIENCE_MS);
    fill_l2(&server);
    far.origin.script = fail_second;
    far.origin.arg = &turns;
    asker_start(&holds, far.space, "k", &call);
    CHECK_WITHIN(WORLD_PATIENCE_MS, turns.come == 1);
    asker_start(&leads, near.space, "k", &call); /* finds a value, and waits for the lease */
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&near, "lease_held") >= 1);
    /* Another's: an own one raises the floor twice if its frame comes before the call's end. */
    CHECK_EQ(nigh_invalidate(far.space, "k", 1, NULL), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, turns.come == 2);
    asker_start(&joins, near.space, "k", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&near, "flight_joined") >= 1);
    atomic_store(&turns.held[1], false);
    asker_join(&joins);
    asker_join(&leads);
    CHECK_EQ(joins.answer.outcome, NIGH_ELOADER);
    atomic_store(&turns.held[0], false);
    asker_join(&holds);
    nodes_close(&far, &near, &server);
}
