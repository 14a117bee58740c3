// SPDX-License-Identifier: MIT
// A clock of the host's: it may begin anywhere in its 64 bits, and run over.

#include <string.h>

#include "cache/cache.h"
#include "support/origin.h"

#define HOUR_MS 3600000u

/* The host's clock says this when the world's time begins. */
static uint64_t start_ns;

static uint64_t read_shifted(void *arg)
{
    struct world *w = arg;
    return start_ns + (atomic_load(&w->now_ns) - WORLD_START_NS);
}

/* Where a clock may begin: its ends, the ends of the times of L1 and of signed numbers. */
static const uint64_t starts[] = {
    0,
    1,
    (UINT64_C(1) << 59) - 10 * NS_PER_S,
    UINT64_C(1) << 59,
    1800000000 * NS_PER_S, /* a wall clock */
    (UINT64_C(1) << 63) - 10 * NS_PER_S,
    UINT64_MAX - HOUR_MS * NS_PER_MS,
    UINT64_MAX,
};

static void open_shifted(struct world *w, const struct redis *server)
{
    struct nigh_options o = world_options(w);
    struct nigh_space_options so = exact_space();
    o.clock = read_shifted;
    o.redis_uri = server ? server->uri : NULL;
    o.trust_ms = WORLD_PATIENCE_MS;
    o.l2_deadline_ms = WORLD_PATIENCE_MS;
    world_open(w, &o, &so);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS,
                         !server || (world_tick(w), nigh_health(w->cache) == NIGH_FRESH)));
}

static void check_a_life(struct world *w)
{
    struct nigh_value v = NIGH_VALUE_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    unsigned loads = w->origin.loads;
    CHECK_EQ(nigh_fetch(w->space, "k", 1, NULL, &v), NIGH_FRESH);
    CHECK_EQ(w->origin.loads, loads + 1);
    CHECK_LE(nigh_value_age_ms(w->cache, &v), 1);
    CHECK_LE(nigh_value_fresh_ms(w->cache, &v), 1000);
    CHECK_GE(nigh_value_fresh_ms(w->cache, &v), 998);
    CHECK_LE(nigh_value_stale_ms(w->cache, &v), 1500);
    CHECK_GE(nigh_value_stale_ms(w->cache, &v), 1497);
    world_advance(w, 990);
    CHECK_EQ(nigh_value_age_ms(w->cache, &v) / 10, 99);
    nigh_release(&v);
    CHECK_EQ(ask_get(w->space, "k", NULL).outcome, NIGH_FRESH);
    call.max_age_ms = 900;
    call.flags = NIGH_L1_ONLY;
    CHECK_EQ(ask_get(w->space, "k", &call).outcome, NIGH_MISS);
    call.max_age_ms = 1100;
    CHECK_EQ(ask_get(w->space, "k", &call).outcome, NIGH_FRESH);
    world_advance(w, 11);
    CHECK_EQ(ask_get(w->space, "k", &call).outcome, NIGH_STALE);
    world_advance(w, 500);
    CHECK_EQ(ask_get(w->space, "k", &call).outcome, NIGH_MISS);
}

TEST(a_clock_that_did_not_begin_near_0_hit_nothing)
{
    for (size_t i = 0; i < ARRAY_COUNT(starts); i++) {
        struct world w;
        unsigned failed = check_failed_count();
        start_ns = starts[i];
        open_shifted(&w, NULL);
        check_a_life(&w);
        world_advance(&w, HOUR_MS); /* over the end of the numbers, for some */
        check_a_life(&w);
        world_close(&w);
        if (check_failed_count() != failed)
            check_note("the clock began at %llu", (unsigned long long)start_ns);
    }
}

TEST(such_a_clock_serves_redis_too)
{
    struct redis server;
    redis_start(&server, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(starts); i++) {
        struct world w;
        unsigned failed = check_failed_count();
        start_ns = starts[i];
        open_shifted(&w, &server);
        check_a_life(&w);
        CHECK_EQ(nigh_put(w.space, "p", 1, "v", 1, NULL), 0);
        CHECK_ANSWER(ask_get(w.space, "p", NULL), NIGH_FRESH, "v");
        CHECK_EQ(nigh_invalidate(w.space, "p", 1, NULL), 0);
        CHECK_EQ(ask_get(w.space, "p", NULL).outcome, NIGH_MISS);
        CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), 0);
        CHECK_EQ(nigh_drain(w.cache, 100), 0);
        world_close(&w);
        if (check_failed_count() != failed)
            check_note("the clock began at %llu", (unsigned long long)start_ns);
    }
    redis_stop(&server);
}

/* The threads of nigh sleep by it, and deadlines are kept. */
TEST(threads_wait_by_a_clock_of_the_hosts)
{
    struct redis server;
    redis_start(&server, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(starts); i++) {
        struct world w;
        struct nigh_options o = patient_options(&server);
        o.clock = read_shifted;
        o.clock_arg = &w;
        start_ns = starts[i];
        world_open(&w, &o, NULL);
        struct nigh_value v = NIGH_VALUE_INIT;
        CHECK_WITHIN(WORLD_PATIENCE_MS, (world_advance(&w, 1), nigh_health(w.cache) == NIGH_FRESH));
        CHECK_EQ(nigh_fetch(w.space, "k", 1, NULL, &v), NIGH_FRESH);
        CHECK_GT(nigh_value_fresh_ms(w.cache, &v), 50000);
        nigh_release(&v);
        CHECK_EQ(nigh_invalidate(w.space, "k", 1, NULL), 0);
        world_close(&w);
    }
    redis_stop(&server);
}

/* Not as it should be, but nothing wraps. */
TEST(a_clock_that_goes_back_lengthens_lives_and_breaks_nothing)
{
    struct world w;
    start_ns = 1800000000 * NS_PER_S;
    open_shifted(&w, NULL);
    CHECK_ANSWER(ask_fetch(w.space, "k", NULL), NIGH_FRESH, "k=1");
    start_ns -= HOUR_MS * NS_PER_MS;
    CHECK_ANSWER(ask_get(w.space, "k", NULL), NIGH_FRESH, "k=1");
    CHECK_ANSWER(ask_fetch(w.space, "l", NULL), NIGH_FRESH, "l=1");
    start_ns = 0; /* further than the cache's own clock can follow: it stands at 0 */
    CHECK_ANSWER(ask_get(w.space, "l", NULL), NIGH_FRESH, "l=1");
    CHECK_ANSWER(ask_fetch(w.space, "m", NULL), NIGH_FRESH, "m=1");
    CHECK_EQ(nigh_put(w.space, "p", 1, "v", 1, NULL), 0);
    world_settle(&w);
    world_close(&w);
}
