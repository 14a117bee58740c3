// SPDX-License-Identifier: MIT
/*
 * The narrowest place of the mailbox: posts against a holder that is just letting go, or just going
 * to sleep. Each poster sends one event and waits until it has been stepped before it sends the
 * next, so that an event that is lost stops the test instead of being made up for by the next one
 * (with two posters the other one's may make up for it, so there are rounds with one).
 */
#include <pthread.h>
#include <sched.h>

#include "base/base.h"
#include "flight/flight.h"
#include "support/check.h"

#define POSTERS_MAX 2
#define LOST_MS 10000 /* an event not stepped by then never will be */

struct poster {
    unsigned sent; /* plain: the post carries it to the stepper */
    _Atomic unsigned seen;
    uint32_t event;
    pthread_t thread;
};

static struct poster posters[POSTERS_MAX];
static struct flight *flight;
static _Atomic(struct flight *) given; /* to the worker: one holder, so one place is enough */
static _Atomic bool stop;

static void step(void *arg, struct flight *f, uint32_t events)
{
    (void)arg;
    for (unsigned i = 0; i < POSTERS_MAX; i++)
        if (events & posters[i].event)
            posters[i].seen = posters[i].sent;
    if (events & FLIGHT_EV_DEADLINE)
        flight_land(f);
}

static void run(void *arg, struct flight *f)
{
    (void)arg;
    struct flight *before = atomic_exchange(&given, f);
    CHECK(!before);
}

static void free_result(void *arg, struct flight *f)
{
    (void)arg, (void)f;
}

static void *post_main(void *arg)
{
    struct poster *p = arg;
    while (!stop) {
        p->sent++;
        flight_post(flight, p->event);
        for (unsigned spins = 1; p->seen != p->sent; spins++) {
            if (spins % 64 == 0)
                sched_yield();
            if (spins % 65536 == 0 && !CHECK_WITHIN(LOST_MS, p->seen == p->sent))
                return NULL;
        }
    }
    return NULL;
}

static void *work_main(void *arg)
{
    (void)arg;
    while (!stop || flight_count(flight->table) > 0) {
        struct flight *f = atomic_exchange(&given, NULL);
        if (f)
            flight_run(f);
        else
            sched_yield();
    }
    return NULL;
}

static void *lead_main(void *arg)
{
    (void)arg;
    CHECK_EQ(flight_lead(flight, CLOCK_NEVER_NS), 0);
    return NULL;
}

/* `count` posters against a flight that `hold` steps. */
static void hammer(void *(*hold)(void *), unsigned count)
{
    struct env env;
    struct flight_table *table;
    REQUIRE_EQ(env_init_real(&env, true), 0);
    struct flight_table_config config = {&env, {run, step, free_result, NULL, 0}};
    REQUIRE_EQ(flight_table_create(&config, &table), 0);
    struct flight_join join = {
        .key = {.data = "a", .len = 1}, .deadline_ns = CLOCK_NEVER_NS, .waiters_max = 1};
    REQUIRE_EQ(flight_join(table, &join, &flight), FLIGHT_LEADER);
    stop = false;
    for (unsigned i = 0; i < POSTERS_MAX; i++)
        posters[i] = (struct poster){.event = FLIGHT_EV_REPLY << i};
    if (hold == work_main)
        flight_hand_over(flight);

    pthread_t holder;
    REQUIRE_EQ(pthread_create(&holder, NULL, hold, NULL), 0);
    for (unsigned i = 0; i < count; i++)
        REQUIRE_EQ(pthread_create(&posters[i].thread, NULL, post_main, &posters[i]), 0);
    uint64_t end_ms = check_now_ms() + 500ull * check_seconds(2);
    while (check_now_ms() < end_ms && check_failed_count() == 0)
        check_pause();
    stop = true;
    for (unsigned i = 0; i < count; i++) {
        pthread_join(posters[i].thread, NULL);
        check_note("%u events", posters[i].sent);
    }
    flight_post(flight, FLIGHT_EV_DEADLINE);
    pthread_join(holder, NULL);
    flight_leave(flight);
    flight_table_destroy(table);
    env_fini(&env);
}

TEST(worker_that_lets_go_loses_no_event)
{
    hammer(work_main, 1);
    hammer(work_main, 2);
}

TEST(leader_that_goes_to_sleep_loses_no_event)
{
    hammer(lead_main, 1);
    hammer(lead_main, 2);
}
