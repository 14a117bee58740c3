// SPDX-License-Identifier: MIT
// The mailbox word: who becomes the holder, and that no event is lost when it lets go. Fake time.

#include "flight/mailbox.h"
#include "worlds/flight.h"

/* A flight whose mail is empty and held by the test. */
static struct flight *held(struct world *w)
{
    world_init(w, world_script_load);
    struct flight *f = world_join(w, "a", FLIGHT_LEADER);
    CHECK_EQ(flight_mail_take(f), FLIGHT_EV_START);
    return f;
}

static void end(struct world *w, struct flight *f)
{
    world_land(f, NIGH_FRESH);
    flight_leave(f);
    CHECK_EQ(w->freed, 1);
    world_fini(w);
}

TEST(events_add_up_until_they_are_taken)
{
    struct world w;
    struct flight *f = held(&w);
    CHECK(!flight_mail_post(f, FLIGHT_EV_REPLY));
    CHECK(!flight_mail_post(f, FLIGHT_EV_TIMER));
    CHECK(!flight_mail_post(f, FLIGHT_EV_TIMER));
    CHECK_EQ(flight_mail_take(f), FLIGHT_EV_REPLY | FLIGHT_EV_TIMER);
    CHECK_EQ(flight_mail_take(f), 0);
    end(&w, f);
}

TEST(holder_with_mail_cannot_let_go)
{
    struct world w;
    struct flight *f = held(&w);
    CHECK(!flight_mail_post(f, FLIGHT_EV_REPLY));
    CHECK(!flight_mail_release(f));
    CHECK_EQ(flight_mail_take(f), FLIGHT_EV_REPLY);
    CHECK(flight_mail_release(f));
    CHECK(flight_mail_post(f, FLIGHT_EV_REPLY)); /* takes HELD again, and a reference */
    CHECK_EQ(f->refs, 4);                        /* the first HELD's was never dropped here */
    CHECK_EQ(flight_mail_take(f), FLIGHT_EV_REPLY);
    flight_unref(f);
    end(&w, f);
}

TEST(only_the_first_post_to_an_idle_flight_becomes_its_holder)
{
    struct world w;
    struct flight *f = held(&w);
    CHECK(flight_mail_release(f));
    CHECK(flight_mail_post(f, FLIGHT_EV_REPLY));
    CHECK(!flight_mail_post(f, FLIGHT_EV_FILLED));
    CHECK_EQ(flight_mail_take(f), FLIGHT_EV_REPLY | FLIGHT_EV_FILLED);
    flight_unref(f);
    end(&w, f);
}

TEST(holder_does_not_park_over_mail)
{
    struct world w;
    struct flight *f = held(&w);
    flight_mail_post(f, FLIGHT_EV_REPLY);
    flight_mail_park(f, CLOCK_NEVER_NS);
    CHECK_EQ(w.fake.park_count, 0);
    CHECK_EQ(w.fake.wake_count, 0); /* nobody slept: no syscall */
    CHECK_EQ(flight_mail_take(f), FLIGHT_EV_REPLY);
    end(&w, f);
}

static uint64_t post_reply(void *arg)
{
    struct world *w = arg;
    CHECK(!flight_mail_post(w->target, FLIGHT_EV_REPLY));
    return CLOCK_NEVER_NS;
}

TEST(post_wakes_the_parked_holder)
{
    struct world w;
    struct flight *f = held(&w);
    w.target = f;
    w.fake.step = post_reply;
    w.fake.step_arg = &w;
    flight_mail_park(f, CLOCK_NEVER_NS);
    CHECK_EQ(w.fake.wake_count, 1);
    CHECK_EQ(flight_mail_take(f), FLIGHT_EV_REPLY);
    end(&w, f);
}

TEST(holder_whose_park_timed_out_can_let_go)
{
    struct world w;
    struct flight *f = held(&w);
    flight_mail_park(f, WORLD_LATER);
    CHECK_EQ(w.fake.now_ns, WORLD_LATER);
    CHECK(flight_mail_release(f)); /* PARKED is not left behind */
    CHECK(flight_mail_post(f, FLIGHT_EV_REPLY));
    CHECK_EQ(flight_mail_take(f), FLIGHT_EV_REPLY);
    flight_unref(f);
    end(&w, f);
}
