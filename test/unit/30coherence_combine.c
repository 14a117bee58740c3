// SPDX-License-Identifier: MIT
// Calls that are made while others are under way: what goes together, and that each of them is told
// what it would have been told alone.
//
// One thread: the places of those under way are taken by nobody in particular (hold_places), and
// while a call waits the next one is made. So the last call sees an answer first.

#include "worlds/coherence.h"
#include "base/fault.h"
#include "coherence/combine.h"

enum { PLACES = 2, CALLS_MAX = 6 };

static struct {
    unsigned calls;                  /* to be made */
    unsigned made;
    uint64_t deadline_ms[CALLS_MAX]; /* 0: 250 */
    int rc[CALLS_MAX];
    struct coherence_position at[CALLS_MAX];
    void (*meet)(world *w);          /* what happens when all are made, while they wait */
    struct world_request *kept;
    int status;
} run;

static int change_item(world *w, struct coherence_item item, uint64_t ms,
                       struct coherence_position *ret_position)
{
    struct coherence_change change = {
        .items = &item,
        .item_count = 1,
        .deadline_ns = clock_deadline_ns(w->fake.env.clock, ms ? ms : 250),
    };
    return coherence_change(w->c, &change, ret_position);
}

static void make_call(world *w)
{
    static const char *const names[CALLS_MAX] = {"a", "b", "c", "d", "e", "f"};
    unsigned i = run.made++;
    run.rc[i] = change_item(w, world_key(names[i]), run.deadline_ms[i], &run.at[i]);
}

static uint64_t step(void *arg)
{
    world *w = arg;
    if (run.made < run.calls) {
        make_call(w);
        return 0;
    }
    if (run.meet)
        run.meet(w);
    return CLOCK_NEVER_NS;
}

static void hold_places(world *w)
{
    struct coherence_item item = world_key("nothing");
    struct coherence_change change = {.items = &item, .item_count = 1};
    struct combine_outcome outcome;
    for (unsigned i = 0; i < PLACES; i++)
        CHECK_EQ(coherence_combine(w->c, &change, &outcome), COMBINE_ALONE);
}

static void give_places_back(world *w)
{
    for (unsigned i = 0; i < PLACES; i++)
        coherence_combine_end(w->c);
}

static void make_calls(world *w, unsigned calls, void (*meet)(world *w))
{
    run.calls = calls;
    run.made = 0;
    run.meet = meet;
    w->fake.step = step;
    w->fake.step_arg = w;
    while (run.made < calls) /* once; but for those that do not wait */
        make_call(w);
    w->fake.step = NULL;
}

static void begin(world *w)
{
    memset(&run, 0, sizeof(run));
    world_open(w);
    hold_places(w);
}

static void end(world *w)
{
    give_places_back(w);
    world_close(w);
}

static void serve(world *w)
{
    world_serve_one(w, WORLD_CHANGE);
}

TEST(a_call_that_finds_nothing_under_way_is_sent_at_once)
{
    world w;
    begin(&w);
    give_places_back(&w);
    for (unsigned i = 1; i <= 5; i++) {
        make_calls(&w, 1, NULL);
        CHECK_EQ(run.rc[0], 0);
        CHECK_EQ(w.seq, i);
    }
    CHECK_EQ(w.fake.park_count, 0);
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_COMBINED), 0);
    world_close(&w);
}

TEST(what_waits_for_others_travels_in_one_script)
{
    world w;
    begin(&w);
    make_calls(&w, 3, serve);
    CHECK_EQ(w.seq, 1);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(run.rc[i], 0);
        CHECK_EQ(run.at[i].sequence, 1);
    }
    CHECK_STR(world_notes(&w), "key s/a key s/b key s/c");
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE), 3);
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_COMBINED), 3);
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_QUEUED), 0);
    world_hear(&w); /* all of them are done */
    CHECK_STR(world_notes(&w), "");
    CHECK_EQ(world_applied(&w), 1);
    end(&w);
}

static void end_and_serve(world *w)
{
    uint64_t now_ns = w->fake.now_ns;
    coherence_combine_end(w->c);
    CHECK(w->requests); /* in the place of what has ended */
    CHECK_EQ(w->fake.now_ns, now_ns);
    serve(w);
    run.meet = NULL;
}

TEST(the_end_of_one_sends_what_waits)
{
    world w;
    begin(&w);
    make_calls(&w, 2, end_and_serve);
    CHECK_EQ(run.rc[0], 0);
    CHECK_EQ(run.rc[1], 0);
    CHECK_EQ(w.seq, 1);
    make_calls(&w, 1, NULL); /* and when that is answered there is a place */
    CHECK_EQ(w.fake.park_count, 2);
    coherence_combine_end(w.c);
    world_close(&w);
}

TEST(what_waits_is_sent_after_a_while_though_nothing_ends)
{
    world w;
    begin(&w);
    uint64_t began_ns = w.fake.now_ns;
    make_calls(&w, 2, serve);
    CHECK_GE(w.fake.now_ns - began_ns, NS_PER_MS);
    CHECK_LE(w.fake.now_ns - began_ns, 20 * NS_PER_MS);
    CHECK_EQ(run.rc[1], 0);
    end(&w);
}

static uint64_t began_ns;
static unsigned dated;

static void check_date(world *w, const struct coherence_item *item)
{
    CHECK_GT(clock_coarse_ns(w->fake.env.clock), began_ns);
    CHECK_EQ(item->made_ns, began_ns);
    dated++;
}

TEST(what_has_waited_is_dated_by_its_calls)
{
    world w;
    begin(&w);
    began_ns = clock_coarse_ns(w.fake.env.clock);
    dated = 0;
    w.on_key = check_date;
    make_calls(&w, 2, serve);
    CHECK_EQ(dated, 2);
    end(&w);
}

TEST(after_a_crowd_one_script_is_under_way_at_a_time)
{
    world w;
    begin(&w);
    make_calls(&w, 3, serve);
    CHECK_EQ(w.seq, 1);
    coherence_combine_end(w.c); /* one place is taken still */
    make_calls(&w, 2, end_and_serve);
    CHECK_EQ(run.rc[1], 0);
    CHECK_EQ(w.seq, 2);
    world_close(&w);
}

/* ---- rule 7 ---- */

static void execute_hear_deliver(world *w)
{
    struct world_request *r = world_take(w, WORLD_CHANGE);
    if (!r)
        return;
    world_execute(w, r);
    world_hear(w);
    world_deliver(r, 0);
}

TEST(their_frame_is_applied_while_none_of_them_has_settled)
{
    world w;
    begin(&w);
    make_calls(&w, 2, execute_hear_deliver);
    CHECK_STR(world_notes(&w), "key s/a key s/b key s/a key s/b");
    end(&w);
}

/* ---- leaving ---- */

TEST(who_leaves_before_the_script_is_sent_is_queued_and_goes_with_it)
{
    world w;
    begin(&w);
    run.deadline_ms[2] = 1; /* less than a script waits for others */
    make_calls(&w, 3, serve);
    CHECK_EQ(run.rc[0], 0);
    CHECK_EQ(run.rc[1], 0);
    CHECK_EQ(run.rc[2], NIGH_QUEUED);
    CHECK(world_covers(&w, "c"));
    CHECK(!world_covers(&w, "a"));
    CHECK_EQ(w.seq, 1);
    /* His own step, as he leaves, and that of all. */
    CHECK_STR(world_notes(&w), "key s/c key s/a key s/b key s/c");
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE), 2);
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_COMBINED), 2);
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_QUEUED), 1);
    world_hear(&w);
    CHECK_STR(world_notes(&w), "");
    world_pass(&w, 100); /* retried as ever */
    CHECK_EQ(w.seq, 2);
    CHECK(!world_covers(&w, "c"));
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE), 3); /* each of them once */
    end(&w);
}

/* Executed, and its answer waits until all have left. */
static void execute_and_keep(world *w)
{
    struct world_request *r = world_take(w, WORLD_CHANGE);
    if (!r)
        return;
    world_execute(w, r);
    run.kept = r;
}

TEST(if_all_have_left_nobody_settles_and_the_frame_is_applied)
{
    world w;
    begin(&w);
    run.deadline_ms[0] = run.deadline_ms[1] = 20;
    make_calls(&w, 2, execute_and_keep);
    CHECK_EQ(run.rc[0], NIGH_QUEUED);
    CHECK_EQ(run.rc[1], NIGH_QUEUED);
    REQUIRE(run.kept);
    CHECK_STR(world_notes(&w), "key s/b key s/a");
    world_deliver(run.kept, 0);
    CHECK_STR(world_notes(&w), "");
    world_hear(&w);
    CHECK_STR(world_notes(&w), "key s/a key s/b");
    end(&w);
}

TEST(what_all_have_left_is_not_sent)
{
    world w;
    begin(&w);
    run.deadline_ms[0] = run.deadline_ms[1] = 1;
    make_calls(&w, 2, NULL);
    CHECK_EQ(run.rc[0], NIGH_QUEUED);
    CHECK_EQ(run.rc[1], NIGH_QUEUED);
    CHECK(!w.requests);
    run.deadline_ms[0] = run.deadline_ms[1] = 0;
    make_calls(&w, 2, serve); /* what is pending now is another one */
    CHECK_EQ(run.rc[0], 0);
    CHECK_EQ(run.rc[1], 0);
    CHECK_EQ(w.seq, 1);
    end(&w);
}

TEST(an_answer_that_comes_after_the_close_is_dropped)
{
    world w;
    begin(&w);
    run.deadline_ms[0] = run.deadline_ms[1] = 20;
    make_calls(&w, 2, execute_and_keep);
    REQUIRE(run.kept);
    w.connected = false; /* nothing of the queue is tried any more */
    coherence_close(w.c);
    world_deliver(run.kept, NIGH_ECLOSED);
    world_fini(&w);
}

/* ---- not accepted ---- */

static void fail(world *w)
{
    struct world_request *r = world_take(w, WORLD_CHANGE);
    if (r)
        world_deliver(r, run.status);
}

TEST(a_lost_connection_queues_all_of_them)
{
    world w;
    begin(&w);
    run.status = NIGH_EOFFLINE;
    make_calls(&w, 2, fail);
    CHECK_EQ(run.rc[0], NIGH_QUEUED);
    CHECK_EQ(run.rc[1], NIGH_QUEUED);
    CHECK(world_covers(&w, "a"));
    CHECK(world_covers(&w, "b"));
    CHECK_EQ(w.seq, 0);
    end(&w);
}

TEST(a_script_that_cannot_be_sent_queues_all_of_them)
{
    world w;
    begin(&w);
    w.connected = false;
    make_calls(&w, 2, NULL);
    CHECK_EQ(run.rc[0], NIGH_QUEUED);
    CHECK_EQ(run.rc[1], NIGH_QUEUED);
    end(&w);
}

/* An error may be about one of them: each asks once more, alone. */
TEST(an_error_is_no_verdict_on_all_of_them)
{
    world w;
    begin(&w);
    run.status = NIGH_EREDIS;
    make_calls(&w, 3, fail);
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(run.rc[i], 0);
    CHECK_EQ(w.seq, 3);
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_COMBINED), 0);
    end(&w);
}

TEST(an_error_of_one_that_went_with_nobody_is_its_own)
{
    world w;
    begin(&w);
    run.status = NIGH_EREDIS;
    make_calls(&w, 1, fail);
    CHECK_EQ(run.rc[0], NIGH_QUEUED);
    CHECK_EQ(w.seq, 0);
    end(&w);
}

TEST(a_moved_list_of_schemas_sends_it_again)
{
    world w;
    begin(&w);
    make_calls(&w, 1, serve); /* there is a clock, and a list */
    w.schemas++;
    make_calls(&w, 2, serve);
    CHECK_EQ(run.rc[0], 0);
    CHECK_EQ(run.rc[1], 0);
    CHECK_EQ(run.at[0].sequence, run.at[1].sequence);
    end(&w);
}

static void lead_astray(world *w)
{
    w->schemas++;
    serve(w);
}

TEST(a_list_that_keeps_moving_queues_all_of_them)
{
    world w;
    begin(&w);
    w.schemas_len = 1; /* there is one */
    make_calls(&w, 2, lead_astray);
    CHECK_EQ(run.rc[0], NIGH_QUEUED);
    CHECK_EQ(run.rc[1], NIGH_QUEUED);
    end(&w);
}

/* Accepted by a clock that is not followed: each of them waits for one. */
TEST(under_another_clock_all_wait_until_it_is_followed)
{
    world w;
    begin(&w);
    memset(w.replid, 'b', sizeof(w.replid));
    make_calls(&w, 2, world_settle);
    CHECK_EQ(run.rc[0], 0);
    CHECK_EQ(run.rc[1], 0);
    CHECK_EQ(run.at[0].identity, world_clock(&w).identity);
    CHECK_EQ(coherence_position(w.c).identity, world_clock(&w).identity);
    end(&w);
}

#if NIGH_FAULTS
/* Without memory for the script of all, or for what waits, each is told as if it had been alone:
 * accepted, or queued. */
TEST(each_allocation_fails_in_turn)
{
    bool fired = true;
    for (uint64_t nth = 1; fired; nth++) {
        world w;
        begin(&w);
        REQUIRE(nth < 100);
        fault_arm(FAULT_ALLOC, nth);
        make_calls(&w, 2, serve);
        fired = fault_count(FAULT_ALLOC) >= nth;
        fault_arm(FAULT_ALLOC, 0);
        for (unsigned i = 0; i < 2; i++) {
            CHECK(run.rc[i] == 0 || run.rc[i] == NIGH_QUEUED);
            CHECK(fired || run.rc[i] == 0);
        }
        CHECK(w.seq > 0 || run.rc[0] == NIGH_QUEUED);
        end(&w);
    }
}
#endif

/* ---- what goes alone all the same ---- */

static void check_alone(struct coherence_item item)
{
    world w;
    begin(&w);
    CHECK_EQ(change_item(&w, item, 0, NULL), 0);
    CHECK_EQ(w.seq, 1);
    CHECK_EQ(w.fake.park_count, 0);
    end(&w);
}

TEST(a_version_goes_alone)
{
    struct coherence_item item = world_key("a");
    item.version = 7;
    check_alone(item);
}

TEST(what_has_no_room_goes_alone)
{
    static char name[COMBINE_TEXT_BYTES + 1];
    struct coherence_item item = world_key("a");
    memset(name, 'x', sizeof(name));
    item.bytes = bytes_of(name, sizeof(name));
    check_alone(item);
}

/* The script that waits has room for one more: who comes then does not wait for the next one. */
TEST(what_finds_no_room_goes_alone)
{
    static char name[COMBINE_TEXT_BYTES - 3]; /* and "s"; another key takes two */
    struct coherence_item item = world_key("a");
    world w;
    begin(&w);
    memset(name, 'x', sizeof(name));
    item.bytes = bytes_of(name, sizeof(name));
    run.calls = 3;
    run.meet = serve;
    w.fake.step = step;
    w.fake.step_arg = &w;
    CHECK_EQ(change_item(&w, item, 0, NULL), 0);
    w.fake.step = NULL;
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(run.rc[i], 0);
    CHECK_EQ(run.at[0].sequence, 3);
    CHECK_EQ(run.at[1].sequence, 1);
    CHECK_EQ(run.at[2].sequence, 2);
    end(&w);
}

TEST(many_items_go_alone)
{
    struct coherence_item items[17];
    world w;
    begin(&w);
    for (unsigned i = 0; i < 17; i++)
        items[i] = world_key("a");
    CHECK_EQ(world_change(&w, items, 17), 0);
    CHECK_EQ(w.seq, 1);
    CHECK_EQ(w.fake.park_count, 0);
    end(&w);
}
