// SPDX-License-Identifier: MIT
// The curve turned on and off, also while another thread keeps it.

#include <pthread.h>

#include "base/fault.h"
#include "support/l1_curve.h"

TEST(it_is_off_until_it_is_on_and_needs_a_model)
{
    struct cache c;
    struct l1_curve curve;
    fake_env_init(&c.fake, check_seed());
    cache_open_config(&c, cache_config(&c, CAP, 1));
    CHECK(!l1_curve_read(c.l1, &curve));
    CHECK(curve.has_model);
    for (unsigned k = 0; k < 500; k++)
        ask(&c, k);
    keep(&c, 0, 500);
    CHECK(!c.l1->curve.made);
    l1_curve_set(c.l1, true);
    keep(&c, 0, 500);
    CHECK(c.l1->curve.made);
    l1_curve_set(c.l1, false);
    CHECK(!l1_curve_read(c.l1, &curve));
    cache_close(&c);
    cache_open_policy(&c, NIGH_POLICY_TTL, CAP, 1);
    l1_curve_set(c.l1, true);
    CHECK(!l1_curve_read(c.l1, &curve));
    CHECK(!curve.has_model);
    cache_close(&c);
}

#if NIGH_FAULTS
/* Each of its three blocks is missed once: it is off, then lacks the reads of a space, then is not
 * made; and is all there when it is kept next. */
TEST(without_memory_it_is_made_the_next_time)
{
    struct cache c;
    struct l1_curve curve;
    fake_env_init(&c.fake, check_seed());
    cache_open_config(&c, cache_config(&c, CAP, 1));
    for (unsigned k = 0; k < 500; k++)
        ask(&c, k);
    fault_arm(FAULT_ALLOC, 1);
    CHECK(!l1_curve_set(c.l1, true));
    CHECK(!l1_curve_read(c.l1, &curve));
    CHECK(l1_curve_set(c.l1, true));
    fault_arm(FAULT_ALLOC, 1);
    l1_curve_count(c.l1, 1, 0, 500);
    CHECK_EQ(c.l1->curve.space_count, 0);
    fault_arm(FAULT_ALLOC, 1);
    l1_curve_keep(c.l1);
    fault_arm(FAULT_ALLOC, 0);
    REQUIRE(l1_curve_read(c.l1, &curve));
    CHECK(!c.l1->curve.made);
    CHECK_EQ(curve.own_bytes, window_bytes(&c.l1->curve.window));
    keep(&c, 0, 500);
    CHECK(c.l1->curve.made);
    CHECK_GT(c.l1->curve.space_count, 1);
    cache_close(&c);
}
#endif

/* What was lost belongs to the reads that were counted meanwhile, and goes with them. */
TEST(what_was_lost_before_it_was_off_is_forgotten)
{
    struct cache c;
    struct l1_curve curve;
    open_watched(&c, NIGH_POLICY_LFU, CAP);
    for (unsigned k = 0; k < 20 * WINDOW_EVENTS; k++)
        ask(&c, k);
    l1_curve_set(c.l1, false);
    l1_curve_set(c.l1, true);
    l1_curve_drain(c.l1);
    REQUIRE(l1_curve_read(c.l1, &curve));
    CHECK(curve.seen >= 1);
    for (unsigned k = 0; k < 20 * WINDOW_EVENTS; k++)
        ask(&c, k);
    l1_curve_drain(c.l1);
    REQUIRE(l1_curve_read(c.l1, &curve));
    CHECK(curve.seen < 0.5);
    cache_close(&c);
}

/* Threads that share a stripe take back what others have counted: as if this one had rested, in the
 * middle of its first lost read, until there had been a drain. */
TEST(a_count_of_lost_reads_that_falls_says_nothing)
{
    struct cache c;
    struct l1_curve before, after;
    open_watched(&c, NIGH_POLICY_LFU, CAP);
    l1_curve_drain(c.l1);
    for (unsigned k = 0; k < 20 * WINDOW_EVENTS; k++)
        ask(&c, k);
    l1_curve_drain(c.l1);
    REQUIRE(l1_curve_read(c.l1, &before));
    CHECK(before.seen > 0.01 && before.seen < 0.9);
    atomic_store(&c.l1->curve.window.stripes[thread_stripe()].lost, 1);
    l1_curve_drain(c.l1);
    REQUIRE(l1_curve_read(c.l1, &after));
    CHECK(after.seen >= before.seen && after.seen <= before.seen);
    cache_close(&c);
}

/* Another thread, which keeps the curve all the time. */
struct keeper {
    struct cache c;
    struct env env;
    _Atomic bool ends;
    _Atomic uint32_t turns;
};

static void *keep_all_the_time(void *arg)
{
    struct keeper *k = arg;
    while (!atomic_load(&k->ends)) {
        l1_curve_keep(k->c.l1);
        atomic_fetch_add(&k->turns, 1);
    }
    return NULL;
}

/* Wait until a turn is over that began after this call. */
static void await_turn(struct keeper *k)
{
    uint32_t from = atomic_load(&k->turns);
    CHECK_WITHIN(60000, atomic_load(&k->turns) - from >= 2);
}

/* Else a hit of each second key would look for takers that are not there, for good. */
TEST(turned_off_while_it_is_kept_it_leaves_the_fewest_marks)
{
    struct keeper k = {.turns = 0};
    pthread_t thread;
    fake_env_init(&k.c.fake, check_seed());
    REQUIRE_EQ(env_init_real(&k.env, false), 0);
    struct l1_config config = cache_config(&k.c, CAP, 16);
    config.env = &k.env;
    config.entries = 400;
    cache_open_config(&k.c, config);
    for (unsigned i = 0; i < 400; i++)
        cache_put_size(&k.c, i, VALUE);
    REQUIRE_EQ(pthread_create(&thread, NULL, keep_all_the_time, &k), 0);
    for (unsigned round = 0; round < 100; round++) {
        l1_curve_set(k.c.l1, true);
        CHECK_WITHIN(60000, l1_mark_mask(k.c.l1) == 1);
        l1_curve_set(k.c.l1, false);
        await_turn(&k);
        CHECK_EQ(l1_mark_mask(k.c.l1), MARK_ONE_IN - 1);
    }
    atomic_store(&k.ends, true);
    pthread_join(thread, NULL);
    cache_close(&k.c);
    env_fini(&k.env);
}
