// SPDX-License-Identifier: MIT
// Leaders, followers, workers and how each lets go. Fake time; a thread only where one must exit.

#include "worlds/flight.h"

/* ---- one leader ---- */

static uint64_t reply(void *arg)
{
    world_reply(arg);
    return CLOCK_NEVER_NS;
}

TEST(leader_sleeps_until_the_reply)
{
    struct world w;
    world_init(&w, world_script_ask);
    w.fake.step = reply;
    w.fake.step_arg = &w;
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    CHECK_EQ(flight_lead(f, WORLD_LATER), 0);
    CHECK_EQ(f->outcome, NIGH_FRESH);
    CHECK_EQ(w.steps, 2);
    CHECK_EQ(w.fake.park_count, 1);
    CHECK_EQ(w.fake.wake_count, 1); /* the leader for its reply; nobody for the landing */
    flight_leave(f);
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

TEST(leader_out_of_time_leaves_the_flight_to_the_workers)
{
    struct world w;
    world_init(&w, world_script_ask);
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    struct flight *follower = world_join(&w, "a", FLIGHT_FOLLOWER);
    CHECK_EQ(flight_lead(f, WORLD_LATER), NIGH_ETIMEDOUT);
    flight_leave(f);
    CHECK_EQ(w.queued, 0);
    world_reply(&w);
    CHECK_EQ(w.queued, 1);
    CHECK_EQ(w.steps, 1); /* a post steps nothing itself */
    CHECK(world_work(&w));
    CHECK_EQ(flight_wait(follower, WORLD_LATER), 0);
    CHECK_EQ(follower->outcome, NIGH_FRESH);
    flight_leave(follower);
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

TEST(leader_out_of_time_before_its_first_step_hands_over)
{
    struct world w;
    world_init(&w, world_script_load);
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    CHECK_EQ(flight_lead(f, FAKE_ENV_START_NS), NIGH_ETIMEDOUT);
    CHECK_EQ(w.steps, 0);
    flight_leave(f);
    CHECK(world_work(&w));
    CHECK_EQ(w.loads, 1);
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

/* Asks, and lets go: others will step it. */
static void ask_and_release(struct world *w, struct flight *f, uint32_t events)
{
    world_script_ask(w, f, events);
    if (events & FLIGHT_EV_START)
        flight_release(f);
}

/* As a thread that has the answer for many flights. */
static uint64_t reply_here(void *arg)
{
    struct world *w = arg;
    CHECK(!w->target->blocking);
    flight_post_here(w->target, FLIGHT_EV_REPLY);
    flight_unref(w->target);
    return CLOCK_NEVER_NS;
}

TEST(a_leader_that_is_released_waits_as_a_follower_does)
{
    struct world w;
    world_init(&w, ask_and_release);
    w.fake.step = reply_here;
    w.fake.step_arg = &w;
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    w.target = f;
    CHECK_EQ(flight_lead(f, WORLD_LATER), 0);
    CHECK_EQ(f->outcome, NIGH_FRESH);
    CHECK_EQ(w.steps, 2);
    CHECK_EQ(w.queued, 0);
    CHECK_EQ(w.fake.park_count, 1);
    CHECK_EQ(w.fake.wake_count, 1); /* by the landing */
    flight_leave(f);
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

TEST(a_leader_that_is_released_leaves_at_its_deadline)
{
    struct world w;
    world_init(&w, ask_and_release);
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    CHECK_EQ(flight_lead(f, WORLD_LATER), NIGH_ETIMEDOUT);
    flight_leave(f);
    world_reply(&w);
    CHECK(world_work(&w));
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

/* Mail that arrives at the moment at which the leader gives up. */
static uint64_t reply_too_late(void *arg)
{
    struct world *w = arg;
    world_reply(w);
    fake_env_advance(&w->fake, NS_PER_S);
    return CLOCK_NEVER_NS;
}

TEST(event_posted_while_the_leader_leaves_is_not_lost)
{
    struct world w;
    world_init(&w, world_script_ask);
    w.fake.step = reply_too_late;
    w.fake.step_arg = &w;
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    CHECK_EQ(flight_lead(f, WORLD_LATER), NIGH_ETIMEDOUT);
    CHECK_EQ(w.queued, 1);
    flight_leave(f);
    CHECK(world_work(&w));
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

TEST(leader_that_cannot_even_step_lands_and_leaves)
{
    struct world w;
    world_init(&w, world_script_load);
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    struct flight *follower = world_join(&w, "a", FLIGHT_FOLLOWER);
    world_land(f, NIGH_ENOMEM);
    flight_leave(f);
    CHECK_EQ(flight_wait(follower, WORLD_LATER), 0);
    CHECK_EQ(follower->outcome, NIGH_ENOMEM);
    flight_leave(follower);
    CHECK_EQ(w.steps, 0);
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

/* ---- followers ---- */

static void fail(struct world *w, struct flight *f, uint32_t events)
{
    (void)events;
    w->loads++;
    f->error = 42;
    world_land(f, NIGH_ELOADER);
}

/* Caffeine#521: after a failed load its waiters loaded one after the other. */
TEST(failure_is_delivered_once_to_all)
{
    struct world w;
    world_init(&w, fail);
    struct flight *leader = world_join(&w, "a", FLIGHT_LEADER);
    struct flight *followers[5];
    for (unsigned i = 0; i < ARRAY_COUNT(followers); i++)
        followers[i] = world_join(&w, "a", FLIGHT_FOLLOWER);
    CHECK_EQ(flight_lead(leader, WORLD_LATER), 0);
    for (unsigned i = 0; i < ARRAY_COUNT(followers); i++) {
        CHECK_EQ(flight_wait(followers[i], WORLD_LATER), 0);
        CHECK_EQ(followers[i]->outcome, NIGH_ELOADER);
        CHECK_EQ(followers[i]->error, 42);
        flight_leave(followers[i]);
    }
    CHECK_EQ(w.loads, 1);
    flight_leave(leader);
    world_fini(&w);
}

TEST(one_callers_timeout_kills_nobody_elses_load)
{
    struct world w;
    world_init(&w, world_script_ask);
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    struct flight *hasty = world_join(&w, "a", FLIGHT_FOLLOWER);
    struct flight *patient = world_join(&w, "a", FLIGHT_FOLLOWER);
    CHECK_EQ(flight_lead(f, FAKE_ENV_START_NS + 1), NIGH_ETIMEDOUT);
    flight_leave(f);
    CHECK_EQ(flight_wait(hasty, FAKE_ENV_START_NS + 2), NIGH_ETIMEDOUT);
    flight_leave(hasty);
    world_reply(&w);
    CHECK(world_work(&w));
    CHECK_EQ(flight_wait(patient, WORLD_LATER), 0);
    flight_leave(patient);
    CHECK_EQ(w.loads + w.freed, 1);
    world_fini(&w);
}

TEST(flight_that_all_callers_left_still_ends)
{
    struct world w;
    world_init(&w, world_script_ask);
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    CHECK_EQ(flight_lead(f, FAKE_ENV_START_NS + 1), NIGH_ETIMEDOUT);
    flight_leave(f);
    CHECK_EQ(flight_count(w.table), 1);
    world_reply(&w);
    CHECK(world_work(&w));
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

/* The futex says "timed out" although the flight has landed by now. */
static int land_and_time_out(void *arg, _Atomic uint32_t *word, uint32_t expected,
                             uint64_t deadline_ns)
{
    struct world *w = arg;
    CHECK(*word == expected && deadline_ns == WORLD_LATER);
    world_reply(w);
    CHECK(world_work(w));
    return NIGH_ETIMEDOUT;
}

TEST(landing_at_the_moment_of_the_deadline_counts)
{
    struct world w;
    world_init(&w, world_script_ask);
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    struct flight *follower = world_join(&w, "a", FLIGHT_FOLLOWER);
    CHECK_EQ(flight_lead(f, FAKE_ENV_START_NS + 1), NIGH_ETIMEDOUT);
    w.fake.park.wait = land_and_time_out;
    w.fake.park.arg = &w;
    CHECK_EQ(flight_wait(follower, WORLD_LATER), 0);
    flight_leave(f);
    flight_leave(follower);
    world_fini(&w);
}

/* ---- after the landing ---- */

/* A worker still loads when the deadline lands the flight; its answer comes later. */
TEST(answer_of_a_load_that_overran_is_stepped_after_the_landing)
{
    struct world w;
    world_init(&w, world_script_ask);
    struct flight_join join = world_join_of("a");
    join.deadline_ns = WORLD_LATER;
    struct flight *f;
    REQUIRE_EQ(flight_join(w.table, &join, &f), FLIGHT_LEADER);
    CHECK_EQ(flight_lead(f, WORLD_LATER), NIGH_ETIMEDOUT);
    flight_tick(w.table);
    CHECK(world_work(&w));
    CHECK_EQ(flight_wait(f, 0), 0);
    CHECK_EQ(f->outcome, NIGH_ETIMEDOUT);
    flight_leave(f);
    CHECK_EQ(w.freed, 0);
    flight_post(w.target, FLIGHT_EV_ANSWER);
    flight_unref(w.target);
    CHECK(world_work(&w));
    CHECK(w.events & FLIGHT_EV_ANSWER);
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

/* ---- threads that exit inside the loader ---- */

/* golang#33519, groupcache#38: a leader that died left its key poisoned. */

static void abandon(void *arg)
{
    struct flight *f = arg, *outer = f->outer;
    flight_abandon(f);
    if (outer) /* it may be freed now: nobody who looks for a circle may find it */
        CHECK(!outer->waits_for);
}

static unsigned exits_left; /* loaders that take their thread with them */

/* The loader: returns, or ends its thread. */
static void return_or_exit(struct flight *f)
{
    flight_load_begin(f);
    pthread_cleanup_push(abandon, f);
    if (exits_left > 0) {
        exits_left--;
        pthread_exit(NULL);
    }
    pthread_cleanup_pop(0);
    flight_load_end(f);
}

static void exit_in_loader(struct world *w, struct flight *f, uint32_t events)
{
    if (!(events & FLIGHT_EV_START))
        return;
    if (f->state == FLIGHT_GET)
        flight_enter(f, FLIGHT_LOAD);
    CHECK_EQ(f->state, FLIGHT_LOAD);
    w->loads++;
    return_or_exit(f);
    world_land(f, NIGH_FRESH);
}

static void *lead_and_leave(void *f)
{
    flight_lead(f, CLOCK_NEVER_NS);
    flight_leave(f);
    return NULL;
}

static void *wait_and_leave(void *f)
{
    flight_wait(f, CLOCK_NEVER_NS);
    flight_leave(f);
    return NULL;
}

static void *work(void *w)
{
    world_work(w);
    return NULL;
}

/* Run to its end, so that fake time has one user at a time. */
static void on_a_thread(void *(*run)(void *), void *arg)
{
    pthread_t thread;
    REQUIRE_EQ(pthread_create(&thread, NULL, run, arg), 0);
    pthread_join(thread, NULL);
}

TEST(waiter_takes_over_from_a_leader_that_exits)
{
    struct world w;
    world_init(&w, exit_in_loader);
    exits_left = 1;
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    struct flight *follower = world_join(&w, "a", FLIGHT_FOLLOWER);
    on_a_thread(lead_and_leave, f);
    CHECK_EQ(w.queued, 0);
    CHECK_EQ(follower->landed, 2);
    CHECK_EQ(follower->leader, 0);
    CHECK_EQ(flight_wait(follower, WORLD_LATER), 0);
    CHECK_EQ(follower->outcome, NIGH_FRESH);
    CHECK_EQ(w.loads, 2);
    flight_leave(follower);
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

static _Atomic unsigned asleep;

static int count_and_park(void *arg, _Atomic uint32_t *word, uint32_t expected,
                          uint64_t deadline_ns)
{
    asleep++;
    return park_futex.wait(arg, word, expected, deadline_ns);
}

/* No tick and no timeout here: who is not woken sleeps for ever. */
TEST(waiters_asleep_are_woken_when_the_leader_exits)
{
    struct world w;
    world_init_real(&w, exit_in_loader);
    w.real.park->wait = count_and_park;
    exits_left = 1;
    asleep = 0;
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    pthread_t waiters[3];
    for (unsigned i = 0; i < ARRAY_COUNT(waiters); i++)
        REQUIRE_EQ(pthread_create(&waiters[i], NULL, wait_and_leave,
                                  world_join(&w, "a", FLIGHT_FOLLOWER)), 0);
    CHECK_WITHIN(10000, asleep >= ARRAY_COUNT(waiters));
    on_a_thread(lead_and_leave, f);
    CHECK_WITHIN(10000, w.freed == 1);
    CHECK_EQ(w.loads, 2);
    for (unsigned i = 0; i < ARRAY_COUNT(waiters); i++)
        pthread_join(waiters[i], NULL);
    world_fini_real(&w);
}

TEST(worker_takes_over_when_nobody_waits)
{
    struct world w;
    world_init(&w, exit_in_loader);
    exits_left = 1;
    on_a_thread(lead_and_leave, world_join(&w, "a", FLIGHT_LEADER));
    CHECK_EQ(w.queued, 1);
    CHECK(world_work(&w));
    CHECK_EQ(w.loads, 2);
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

TEST(worker_that_exits_is_replaced_too)
{
    struct world w;
    world_init(&w, exit_in_loader);
    exits_left = 1;
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    flight_hand_over(f);
    flight_leave(f);
    on_a_thread(work, &w);
    CHECK_EQ(w.loads, 1);
    CHECK(world_work(&w));
    CHECK_EQ(w.loads, 2);
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

TEST(second_leader_that_exits_fails_the_load)
{
    struct world w;
    world_init(&w, exit_in_loader);
    exits_left = 2;
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    struct flight *second = world_join(&w, "a", FLIGHT_FOLLOWER);
    struct flight *third = world_join(&w, "a", FLIGHT_FOLLOWER);
    on_a_thread(lead_and_leave, f);
    on_a_thread(wait_and_leave, second);
    CHECK_EQ(flight_wait(third, WORLD_LATER), 0);
    CHECK_EQ(third->outcome, NIGH_ELOADER);
    CHECK_EQ(w.loads, 2);
    CHECK_EQ(w.queued, 0);
    flight_leave(third);
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

TEST(second_exit_with_nobody_left_fails_the_load_and_frees_it)
{
    struct world w;
    world_init(&w, exit_in_loader);
    exits_left = 2;
    on_a_thread(lead_and_leave, world_join(&w, "a", FLIGHT_LEADER));
    on_a_thread(work, &w);
    CHECK_EQ(w.loads, 2);
    CHECK_EQ(w.queued, 0);
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

/* The loader of a leads b on its own thread, and the loader of b exits: both are abandoned, and
 * neither is left with the other as what it waits for. */
static void lead_another(struct flight *f, struct flight *other)
{
    flight_load_begin(f);
    pthread_cleanup_push(abandon, f);
    lead_and_leave(other);
    pthread_cleanup_pop(0);
}

static void lead_b_inside_a(struct world *w, struct flight *f, uint32_t events)
{
    if (f->key[0] == 'b' || exits_left == 0) {
        exit_in_loader(w, f, events);
        return;
    }
    flight_enter(f, FLIGHT_LOAD);
    lead_another(f, world_join(w, "b", FLIGHT_LEADER));
    CHECK(!"the thread has exited");
}

TEST(exit_in_a_nested_loader_abandons_both_flights)
{
    struct world w;
    world_init(&w, lead_b_inside_a);
    exits_left = 1;
    struct flight *a = world_join(&w, "a", FLIGHT_LEADER);
    struct flight *follower = world_join(&w, "a", FLIGHT_FOLLOWER);
    on_a_thread(lead_and_leave, a);
    CHECK(!follower->waits_for);
    CHECK(world_work(&w)); /* b: nobody waits for it any more */
    CHECK_EQ(w.freed, 1);
    CHECK_EQ(flight_wait(follower, WORLD_LATER), 0);
    flight_leave(follower);
    CHECK_EQ(w.freed, 2);
    world_fini(&w);
}

TEST(last_caller_to_leave_a_leaderless_flight_hands_it_over)
{
    struct world w;
    world_init(&w, exit_in_loader);
    exits_left = 1;
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    struct flight *one = world_join(&w, "a", FLIGHT_FOLLOWER);
    struct flight *two = world_join(&w, "a", FLIGHT_FOLLOWER);
    on_a_thread(lead_and_leave, f);
    flight_leave(one);
    CHECK_EQ(w.queued, 0);
    flight_leave(two);
    CHECK_EQ(w.queued, 1);
    CHECK(world_work(&w));
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

TEST(tick_relieves_callers_that_wait_elsewhere)
{
    struct world w;
    world_init(&w, exit_in_loader);
    exits_left = 1;
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    struct flight *elsewhere = world_join(&w, "a", FLIGHT_FOLLOWER);
    on_a_thread(lead_and_leave, f);
    flight_tick(w.table);
    CHECK_EQ(w.queued, 1);
    CHECK(world_work(&w));
    CHECK_EQ(flight_wait(elsewhere, 0), 0);
    flight_leave(elsewhere);
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

TEST(mail_that_came_while_leaderless_is_seen_by_the_successor)
{
    struct world w;
    world_init(&w, exit_in_loader);
    exits_left = 1;
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    struct flight *follower = world_join(&w, "a", FLIGHT_FOLLOWER);
    on_a_thread(lead_and_leave, f);
    flight_post(follower, FLIGHT_EV_INVALIDATED);
    CHECK_EQ(w.queued, 0);
    CHECK_EQ(flight_wait(follower, WORLD_LATER), 0);
    CHECK(w.events & FLIGHT_EV_INVALIDATED);
    flight_leave(follower);
    world_fini(&w);
}
