// SPDX-License-Identifier: MIT
// Callers that watch a flight instead of waiting for it: called once, when it has landed, unless
// they take their watch back before.

#include "worlds/flight.h"

struct watcher {
    struct flight_watch watch;
    unsigned called;
    int outcome;
};

static void note_landing(struct flight_watch *w)
{
    struct watcher *watcher = CONTAINER_OF(w, struct watcher, watch);
    CHECK(flight_has_landed(w->flight));
    watcher->called++;
    watcher->outcome = w->flight->outcome;
    flight_unref(w->flight);
}

static struct flight *watch(struct world *w, struct watcher *watcher, int role)
{
    struct flight_join join = world_join_of("k");
    struct flight *f = NULL;
    *watcher = (struct watcher){.watch = {.landed = note_landing}};
    join.watch = &watcher->watch;
    REQUIRE_EQ(flight_join(w->table, &join, &f), role);
    CHECK(watcher->watch.flight == f);
    return f;
}

TEST(all_who_watch_are_called_once_when_it_has_landed)
{
    struct world w;
    struct watcher first, second, third;
    world_init(&w, world_script_ask);
    struct flight *f = watch(&w, &first, FLIGHT_LEADER);
    CHECK(!flight_begin(f));
    watch(&w, &second, FLIGHT_FOLLOWER);
    watch(&w, &third, FLIGHT_FOLLOWER);
    CHECK_EQ(first.called + second.called + third.called, 0);
    world_reply(&w);
    CHECK(world_work(&w));
    CHECK(first.called == 1 && second.called == 1 && third.called == 1);
    CHECK_EQ(third.outcome, NIGH_FRESH);
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

TEST(a_leader_whose_first_step_lands_is_called_within_it)
{
    struct world w;
    struct watcher only;
    world_init(&w, world_script_load);
    struct flight *f = watch(&w, &only, FLIGHT_LEADER);
    CHECK(flight_begin(f));
    CHECK_EQ(only.called, 1);
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

/* A take-back of any but the last must keep the others in the list. */
TEST(a_watch_that_was_taken_back_is_not_called_and_the_others_are)
{
    struct world w;
    struct watcher watchers[4];
    for (unsigned gone = 0; gone < 4; gone++) {
        world_init(&w, world_script_ask);
        struct flight *f = watch(&w, &watchers[0], FLIGHT_LEADER);
        flight_begin(f);
        for (unsigned i = 1; i < 4; i++)
            watch(&w, &watchers[i], FLIGHT_FOLLOWER);
        CHECK(flight_unwatch(&watchers[gone].watch));
        flight_unref(f);
        world_reply(&w);
        CHECK(world_work(&w));
        for (unsigned i = 0; i < 4; i++)
            CHECK_EQ(watchers[i].called, i != gone);
        CHECK_EQ(w.freed, 1);
        world_fini(&w);
    }
}

TEST(a_flight_goes_on_when_all_have_taken_their_watches_back)
{
    struct world w;
    struct watcher only;
    world_init(&w, world_script_ask);
    struct flight *f = watch(&w, &only, FLIGHT_LEADER);
    flight_begin(f);
    CHECK(flight_unwatch(&only.watch));
    flight_unref(f);
    CHECK_EQ(flight_count(w.table), 1);
    world_reply(&w);
    CHECK(world_work(&w));
    CHECK_EQ(only.called, 0);
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

static struct watcher *late;

/* Lands, and tries to take a watch back out of the landing. */
static void take_back_late(struct flight_watch *w)
{
    CHECK(!flight_unwatch(&late->watch));
    note_landing(w);
}

TEST(a_landing_that_has_begun_keeps_its_watches)
{
    struct world w;
    struct watcher first, second;
    world_init(&w, world_script_ask);
    struct flight *f = watch(&w, &first, FLIGHT_LEADER);
    flight_begin(f);
    watch(&w, &second, FLIGHT_FOLLOWER); /* called first */
    second.watch.landed = take_back_late;
    late = &first;
    world_reply(&w);
    CHECK(world_work(&w));
    CHECK(first.called == 1 && second.called == 1);
    world_fini(&w);
}

TEST(who_watches_is_no_waiter)
{
    struct world w;
    struct watcher watchers[3];
    world_init(&w, world_script_ask);
    struct flight *f = watch(&w, &watchers[0], FLIGHT_LEADER);
    flight_begin(f);
    watch(&w, &watchers[1], FLIGHT_FOLLOWER);
    struct flight_join join = world_join_of("k");
    struct flight *g;
    join.waiters_max = 1;
    REQUIRE_EQ(flight_join(w.table, &join, &g), FLIGHT_FOLLOWER); /* the first that waits */
    CHECK_EQ(flight_join(w.table, &join, &g), NIGH_EBUSY);
    watch(&w, &watchers[2], FLIGHT_FOLLOWER);
    CHECK_EQ(f->waiters, 1);
    flight_leave(f);
    world_reply(&w);
    CHECK(world_work(&w));
    CHECK_EQ(watchers[0].called + watchers[1].called + watchers[2].called, 3);
    world_fini(&w);
}
