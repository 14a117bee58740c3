// SPDX-License-Identifier: MIT
// The table: who leads, who follows, what is forgotten, who hears a notice. Fake time.

#include "worlds/flight.h"

static void keep_flying(struct world *w, struct flight *f, uint32_t events)
{
    (void)w, (void)f, (void)events;
}

/* Land and leave a flight that its leader still holds. */
static void end(struct flight *f)
{
    world_land(f, NIGH_FRESH);
    flight_leave(f);
}

TEST(second_caller_follows_the_first)
{
    struct world w;
    world_init(&w, world_script_load);
    struct flight *leader = world_join(&w, "a", FLIGHT_LEADER);
    struct flight *follower = world_join(&w, "a", FLIGHT_FOLLOWER);
    CHECK(leader == follower);
    CHECK_EQ(flight_lead(leader, WORLD_LATER), 0);
    CHECK_EQ(flight_wait(follower, WORLD_LATER), 0);
    CHECK_EQ(follower->outcome, NIGH_FRESH);
    CHECK_EQ(w.loads, 1);
    flight_leave(leader);
    CHECK_EQ(w.freed, 0);
    flight_leave(follower);
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

TEST(flight_keeps_a_copy_of_what_it_was_joined_with)
{
    struct world w;
    world_init(&w, keep_flying);
    char key[] = "a";
    struct flight_join join = world_join_of(key);
    join.ticket = 5;
    join.deadline_ns = WORLD_LATER;
    struct flight *f;
    REQUIRE_EQ(flight_join(w.table, &join, &f), FLIGHT_LEADER);
    key[0] = 'b';
    CHECK_MEM(f->key, f->key_len, "a", 1);
    CHECK_EQ(f->ticket, 5);
    CHECK_EQ(f->deadline_ns, WORLD_LATER);
    CHECK_EQ(f->state, FLIGHT_GET);
    CHECK_EQ(flight_count(w.table), 1);
    end(f);
    CHECK_EQ(flight_count(w.table), 0);
    world_fini(&w);
}

TEST(a_look_tells_state_and_callers_of_the_flight_that_may_be_joined)
{
    struct world w;
    struct flight_seen seen;
    world_init(&w, keep_flying);
    struct flight_join join = world_join_of("a");
    CHECK(!flight_look(w.table, &join.key, &seen));
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    struct flight *follower = world_join(&w, "a", FLIGHT_FOLLOWER);
    REQUIRE(flight_look(w.table, &join.key, &seen));
    CHECK_EQ(seen.state, FLIGHT_GET);
    CHECK_EQ(seen.waiters, 2);
    CHECK(seen.watches == 0 && !seen.loading && !seen.background);
    flight_enter(f, FLIGHT_LOAD);
    REQUIRE(flight_look(w.table, &join.key, &seen));
    CHECK_EQ(seen.state, FLIGHT_LOAD);
    end(f);
    CHECK(!flight_look(w.table, &join.key, &seen));
    flight_leave(follower);
    world_fini(&w);
}

TEST(equal_hashes_are_not_equal_keys)
{
    struct world w;
    world_init(&w, keep_flying);
    int space;
    struct flight *a = world_join(&w, "a", FLIGHT_LEADER);
    struct flight *b = world_join(&w, "b", FLIGHT_LEADER);
    struct flight_join join = world_join_of("a");
    join.key.space = &space;
    struct flight *other_space;
    REQUIRE_EQ(flight_join(w.table, &join, &other_space), FLIGHT_LEADER);
    CHECK_EQ(flight_count(w.table), 3);
    end(b); /* from the middle of the chain */
    end(a);
    end(other_space);
    world_fini(&w);
}

/* caffeine#672: while one key loads, another key of the same shard and chain can be loaded. */
static void load_another_inside(struct world *w, struct flight *f, uint32_t events)
{
    (void)events;
    w->loads++;
    if (f->key[0] == 'a') {
        struct flight *other = world_join(w, "b", FLIGHT_LEADER);
        CHECK_EQ(flight_lead(other, WORLD_LATER), 0);
        flight_leave(other);
    }
    world_land(f, NIGH_FRESH);
}

TEST(one_load_blocks_no_other_key)
{
    struct world w;
    world_init(&w, load_another_inside);
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    CHECK_EQ(flight_lead(f, WORLD_LATER), 0);
    CHECK_EQ(w.loads, 2);
    flight_leave(f);
    world_fini(&w);
}

static struct flight *join_above_floor(struct world *w, uint64_t ticket, int role)
{
    struct flight_join join = world_join_of("a");
    join.ticket = ticket;
    join.key_floor_ok = ticket;
    struct flight *f = NULL;
    REQUIRE_EQ(flight_join(w->table, &join, &f), role);
    return f;
}

TEST(flight_from_before_an_invalidation_is_not_joined)
{
    struct world w;
    world_init(&w, keep_flying);
    struct flight *old = world_join(&w, "a", FLIGHT_LEADER); /* ticket 10 */
    struct flight *same = join_above_floor(&w, 10, FLIGHT_FOLLOWER);
    struct flight *newer = join_above_floor(&w, 11, FLIGHT_LEADER);
    CHECK(newer != old);
    CHECK(same == old);
    flight_leave(same);
    end(old);
    end(newer);
    world_fini(&w);
}

/* golang#31420: the landing of a forgotten flight removed the newer one, and a third caller of the
 * key then started a third load. */
TEST(forgotten_flight_does_not_remove_the_newer)
{
    struct world w;
    world_init(&w, keep_flying);
    struct flight *old = world_join(&w, "a", FLIGHT_LEADER);
    struct flight *newer = join_above_floor(&w, 11, FLIGHT_LEADER);
    end(old);
    struct flight *third = join_above_floor(&w, 11, FLIGHT_FOLLOWER);
    CHECK(third == newer);
    flight_leave(third);
    end(newer);
    CHECK_EQ(w.freed, 2);
    world_fini(&w);
}

TEST(forgotten_flight_is_not_joined_after_the_newer_landed)
{
    struct world w;
    world_init(&w, keep_flying);
    struct flight *old = world_join(&w, "a", FLIGHT_LEADER);
    end(join_above_floor(&w, 11, FLIGHT_LEADER));
    struct flight *third = world_join(&w, "a", FLIGHT_LEADER); /* even with a floor read long ago */
    end(third);
    end(old);
    world_fini(&w);
}

TEST(flight_past_its_deadline_is_not_joined)
{
    struct world w;
    world_init(&w, keep_flying);
    struct flight_join join = world_join_of("a");
    join.deadline_ns = WORLD_LATER;
    struct flight *old, *follower, *newer;
    REQUIRE_EQ(flight_join(w.table, &join, &old), FLIGHT_LEADER);
    fake_env_advance(&w.fake, NS_PER_S - 1);
    REQUIRE_EQ(flight_join(w.table, &join, &follower), FLIGHT_FOLLOWER);
    fake_env_advance(&w.fake, 1);
    join.deadline_ns = WORLD_LATER + NS_PER_S;
    REQUIRE_EQ(flight_join(w.table, &join, &newer), FLIGHT_LEADER);
    end(old);
    CHECK_EQ(flight_wait(follower, WORLD_LATER), 0); /* its callers still get its result */
    flight_leave(follower);
    end(newer);
    world_fini(&w);
}

TEST(callers_beyond_the_cap_are_refused)
{
    struct world w;
    world_init(&w, keep_flying);
    struct flight_join join = world_join_of("a");
    join.waiters_max = 2; /* the leader is one of them */
    struct flight *leader, *follower, *refused = NULL;
    REQUIRE_EQ(flight_join(w.table, &join, &leader), FLIGHT_LEADER);
    REQUIRE_EQ(flight_join(w.table, &join, &follower), FLIGHT_FOLLOWER);
    CHECK_EQ(flight_join(w.table, &join, &refused), NIGH_EBUSY);
    CHECK(!refused);
    flight_leave(follower); /* makes room */
    REQUIRE_EQ(flight_join(w.table, &join, &follower), FLIGHT_FOLLOWER);
    flight_leave(follower);
    end(leader);
    world_fini(&w);
}

TEST(a_call_that_joins_again_is_counted_once)
{
    struct world w;
    world_init(&w, keep_flying);
    struct flight_join join = world_join_of("a"), other = join;
    join.waiters_max = other.waiters_max = 2;
    join.call = 7;
    struct flight *leader, *again, *follower;
    REQUIRE_EQ(flight_join(w.table, &join, &leader), FLIGHT_LEADER);
    for (int i = 0; i < 5; i++) {
        REQUIRE_EQ(flight_join(w.table, &join, &again), FLIGHT_SHARER);
        CHECK(again == leader);
        CHECK_EQ(leader->waiters, 1);
        flight_unref(again);
    }
    REQUIRE_EQ(flight_join(w.table, &other, &follower), FLIGHT_FOLLOWER);
    CHECK_EQ(flight_join(w.table, &join, &again), NIGH_EBUSY); /* another has come between */
    flight_leave(follower);
    end(leader);
    world_fini(&w);
}

TEST(a_ticket_that_is_taken_anew_lets_later_callers_join)
{
    struct world w;
    world_init(&w, keep_flying);
    struct flight_join join = world_join_of("a");
    struct flight *leader, *follower;
    join.ticket = 5;
    REQUIRE_EQ(flight_join(w.table, &join, &leader), FLIGHT_LEADER);
    flight_renew(leader, 9);
    join.ticket = join.key_floor_ok = 9;
    REQUIRE_EQ(flight_join(w.table, &join, &follower), FLIGHT_FOLLOWER);
    CHECK(follower == leader);
    flight_leave(follower);
    end(leader);
    world_fini(&w);
}

TEST(refresh_joins_nobody_but_can_be_joined)
{
    struct world w;
    world_init(&w, world_script_load);
    struct flight_join join = world_join_of("a");
    join.background = true;
    struct flight *refresh, *second = NULL;
    REQUIRE_EQ(flight_join(w.table, &join, &refresh), FLIGHT_LEADER);
    CHECK(refresh->background);
    CHECK_EQ(flight_join(w.table, &join, &second), NIGH_EBUSY);
    CHECK(!second);
    flight_hand_over(refresh);
    flight_leave(refresh);
    struct flight *caller = world_join(&w, "a", FLIGHT_FOLLOWER);
    CHECK_EQ(w.steps, 0);
    CHECK(world_work(&w));
    CHECK_EQ(flight_wait(caller, WORLD_LATER), 0);
    flight_leave(caller);
    CHECK_EQ(w.freed, 1);
    world_fini(&w);
}

TEST(notice_reaches_every_flight_of_its_key_also_a_forgotten_one)
{
    struct world w;
    world_init(&w, world_script_load);
    struct flight *old = world_join(&w, "a", FLIGHT_LEADER);
    struct flight *newer = join_above_floor(&w, 11, FLIGHT_LEADER);
    struct flight *other = world_join(&w, "b", FLIGHT_LEADER);
    struct flight_key key = world_join_of("a").key;
    flight_notify(w.table, &key, FLIGHT_EV_FILLED);
    CHECK(old->mail & FLIGHT_EV_FILLED);
    CHECK(newer->mail & FLIGHT_EV_FILLED);
    CHECK(!(other->mail & FLIGHT_EV_FILLED));
    flight_notify_all(w.table, FLIGHT_EV_INVALIDATED);
    CHECK(old->mail & newer->mail & other->mail & FLIGHT_EV_INVALIDATED);
    CHECK_EQ(w.queued, 0); /* all are held by their leaders */
    CHECK_EQ(flight_lead(old, WORLD_LATER), 0);
    CHECK_EQ(flight_lead(newer, WORLD_LATER), 0);
    CHECK_EQ(flight_lead(other, WORLD_LATER), 0);
    CHECK_EQ(w.steps, 3);
    flight_leave(old);
    flight_leave(newer);
    flight_leave(other);
    world_fini(&w);
}

/* Wait as a leader until its time is up, so that nobody holds the flight. */
static struct flight *let_go(struct world *w, const char *key, uint64_t flight_deadline_ns)
{
    struct flight_join join = world_join_of(key);
    join.deadline_ns = flight_deadline_ns;
    struct flight *f;
    REQUIRE_EQ(flight_join(w->table, &join, &f), FLIGHT_LEADER);
    REQUIRE_EQ(flight_lead(f, w->fake.now_ns + 1), NIGH_ETIMEDOUT);
    return f;
}

static void ask_each(struct world *w, struct flight *f, uint32_t events)
{
    (void)w;
    if ((events & ~(uint32_t)FLIGHT_EV_START) && f->state != FLIGHT_LAND)
        world_land(f, NIGH_FRESH);
}

TEST(notices_hand_idle_flights_to_the_workers_each_once)
{
    struct world w;
    world_init(&w, ask_each);
    struct flight *a = let_go(&w, "a", CLOCK_NEVER_NS);
    struct flight *b = let_go(&w, "b", CLOCK_NEVER_NS);
    flight_notify_all(w.table, FLIGHT_EV_INVALIDATED);
    flight_notify_all(w.table, FLIGHT_EV_FILLED);
    CHECK_EQ(w.queued, 2);
    while (world_work(&w))
        continue;
    CHECK_EQ(w.steps, 4); /* two STARTs, then both notices in one step each */
    CHECK_EQ(flight_wait(a, 0), 0);
    CHECK_EQ(flight_wait(b, 0), 0);
    flight_leave(a);
    flight_leave(b);
    world_fini(&w);
}

TEST(tick_posts_timer_once_per_setting_and_says_when_to_come_again)
{
    struct world w;
    world_init(&w, keep_flying);
    CHECK_EQ(flight_tick(w.table), CLOCK_NEVER_NS);
    struct flight *f = let_go(&w, "a", WORLD_LATER);
    uint64_t due_ns = w.fake.now_ns + 100;
    CHECK_EQ(flight_tick(w.table), WORLD_LATER);
    f->due_ns = due_ns;
    CHECK_EQ(flight_tick(w.table), due_ns);
    CHECK_EQ(w.queued, 0);
    fake_env_advance(&w.fake, 100);
    CHECK_EQ(flight_tick(w.table), WORLD_LATER);
    CHECK(world_work(&w));
    CHECK_EQ(w.events, FLIGHT_EV_START | FLIGHT_EV_TIMER);
    flight_tick(w.table);
    CHECK(!world_work(&w));
    f->due_ns = due_ns + 1;
    fake_env_advance(&w.fake, 1);
    flight_tick(w.table);
    CHECK(world_work(&w));
    CHECK_EQ(w.steps, 3);
    w.script = world_script_ask;
    flight_post(f, FLIGHT_EV_REPLY);
    CHECK(world_work(&w));
    flight_leave(f);
    world_fini(&w);
}

TEST(tick_posts_the_deadline_once_also_to_a_forgotten_flight)
{
    struct world w;
    world_init(&w, keep_flying);
    struct flight *old = let_go(&w, "a", WORLD_LATER);
    fake_env_advance(&w.fake, NS_PER_S);
    struct flight_join join = world_join_of("a");
    join.deadline_ns = WORLD_LATER + NS_PER_S;
    struct flight *newer;
    REQUIRE_EQ(flight_join(w.table, &join, &newer), FLIGHT_LEADER);
    CHECK_EQ(flight_tick(w.table), WORLD_LATER + NS_PER_S);
    CHECK_EQ(flight_tick(w.table), WORLD_LATER + NS_PER_S);
    CHECK(world_work(&w));
    CHECK(w.events & FLIGHT_EV_DEADLINE);
    flight_tick(w.table);
    CHECK_EQ(w.queued, 0); /* told once; whether it lands is the stepper's business */
    w.script = world_script_ask;
    flight_post(old, FLIGHT_EV_DEADLINE);
    CHECK(world_work(&w));
    CHECK_EQ(flight_wait(old, 0), 0);
    CHECK_EQ(old->outcome, NIGH_ETIMEDOUT);
    flight_leave(old);
    end(newer);
    world_fini(&w);
}

#if NIGH_FAULTS
TEST(join_without_memory_changes_nothing)
{
    struct world w;
    world_init(&w, keep_flying);
    struct flight *old = world_join(&w, "a", FLIGHT_LEADER);
    struct flight_join join = world_join_of("a");
    join.key_floor_ok = 11;
    struct flight *f = NULL;
    fault_arm(FAULT_ALLOC, 1);
    CHECK_EQ(flight_join(w.table, &join, &f), NIGH_ENOMEM);
    fault_arm(FAULT_ALLOC, 0);
    CHECK(!f);
    CHECK_EQ(flight_count(w.table), 1);
    struct flight *follower = world_join(&w, "a", FLIGHT_FOLLOWER); /* nothing was forgotten */
    CHECK(follower == old);
    flight_leave(follower);
    end(old);
    world_fini(&w);
}

TEST(table_without_memory_is_not_created)
{
    struct fake_env fake;
    fake_env_init(&fake, check_seed());
    struct flight_table_config config = {&fake.env, {NULL, NULL, NULL, NULL, 0}};
    struct flight_table *table = NULL;
    fault_arm(FAULT_ALLOC, 1);
    CHECK_EQ(flight_table_create(&config, &table), NIGH_ENOMEM);
    fault_arm(FAULT_ALLOC, 0);
    CHECK(!table);
    fake_env_fini(&fake);
}
#endif
