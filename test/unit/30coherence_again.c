// SPDX-License-Identifier: MIT
// Rule 16: a clock that is met again is not followed as it is; one of two nodes gives it a new id;
// and what is no reason to do so.

#include "support/clocks.h"
#include "worlds/coherence.h"

/* ---- rule 16: a clock met again ---- */

TEST(back_on_a_server_that_was_left)
{
    world w;
    world_open(&w);
    uint64_t first = followed(&w);
    lead_to(&w, 'b');
    beat(&w);
    CHECK_EQ(w.renewed, 0); /* another, but not met before */
    lead_to(&w, 'a');
    world_other(&w, world_key("a"));
    lose_frames(&w);
    beat(&w);
    CHECK_EQ(w.renewed, 1);
    check_well(&w);
    CHECK_NE(followed(&w), first);
    CHECK_EQ(judge_stamp(&w, first), COHERENCE_UNKNOWN);
    CHECK_EQ(judge_stamp(&w, followed(&w)), COHERENCE_FRESH);
    CHECK_EQ(stats_read(&w.stats, STATS_LOG_SHORT), 0); /* that was not why */
    world_close(&w);
}

TEST(a_database_swapped_in_and_back)
{
    world w;
    world_open(&w);
    uint64_t first = followed(&w), id = w.id;
    w.id = 4711; /* the same server, another database's clock */
    beat(&w);
    CHECK_EQ(w.renewed, 0);
    check_well(&w);
    w.id = id;
    beat(&w);
    CHECK_EQ(w.renewed, 1);
    check_well(&w);
    CHECK_NE(followed(&w), first);
    world_close(&w);
}

/* The other clock was shown by one answer of a reader, and never followed. */
TEST(one_answer_is_enough_to_have_left)
{
    world w;
    world_open(&w);
    uint64_t first = followed(&w);
    lead_to(&w, 'b');
    struct l2_answer answer = {.clock = world_clock(&w), .order = ++w.order};
    coherence_note(w.c, &answer);
    lead_to(&w, 'a');
    world_pass(&w, 10);
    CHECK_EQ(w.renewed, 1);
    check_well(&w);
    CHECK_NE(followed(&w), first);
    world_close(&w);
}

/* Until it is renewed it must not be followed, not even for a moment. */
TEST(a_clock_met_again_is_not_followed_first)
{
    world w;
    world_open(&w);
    lead_to(&w, 'b');
    beat(&w);
    lead_to(&w, 'a');
    uint64_t until_ns = *coherence_trusted_until(w.c);
    world_beat_answered(&w);
    CHECK(world_serve_one(&w, WORLD_RESYNC)); /* shows it */
    coherence_tick(w.c);
    CHECK_EQ(followed(&w), 0);
    CHECK_EQ(w.renewed, 0);
    CHECK_EQ(*coherence_trusted_until(w.c), until_ns);
    CHECK(world_serve_one(&w, WORLD_RESYNC)); /* renews it, at once */
    coherence_tick(w.c);
    CHECK_EQ(w.renewed, 1);
    check_well(&w);
    world_close(&w);
}

TEST(each_flap_renews_once_and_no_beat_more)
{
    world w;
    world_open(&w);
    for (unsigned flaps = 1; flaps <= 5; flaps++) {
        lead_to(&w, 'b' + (char)flaps);
        beat(&w);
        lead_to(&w, 'a');
        beat(&w);
        CHECK_EQ(w.renewed, flaps);
        uint64_t resyncs = stats_read(&w.stats, STATS_RESYNC);
        for (int i = 0; i < 5; i++)
            beat(&w);
        CHECK_EQ(w.renewed, flaps);
        CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), resyncs);
        check_well(&w);
    }
    world_close(&w);
}

/* To and fro between two servers: what was renewed here is unknown there. */
TEST(to_and_fro_ends_with_each_server)
{
    world w;
    world_open(&w);
    for (int i = 0; i < 6; i++) {
        lead_to(&w, i % 2 ? 'a' : 'b');
        w.up(w.up_arg); /* by another connection */
        beat(&w);
        check_well(&w);
        CHECK_LE(stats_read(&w.stats, STATS_RESYNC), 1 + (uint64_t)i);
    }
    world_close(&w);
}

/* Back at a server that was left: a resync has shown its clock, and the next one is to renew it. */
static void meet_again(world *w)
{
    lead_to(w, 'b');
    beat(w);
    lead_to(w, 'a');
    world_beat_answered(w);
    CHECK(world_serve_one(w, WORLD_RESYNC));
    coherence_tick(w->c);
}

/* The server changes between the look and the renewing: the id is the same, the server is not. */
TEST(what_was_seen_on_one_server_is_not_renewed_on_another)
{
    world w;
    world_open(&w);
    meet_again(&w);
    lead_to(&w, 'c'); /* promoted, with the clock of the one before it */
    world_settle(&w);
    CHECK_EQ(w.renewed, 0);
    check_well(&w);
    world_close(&w);
}

TEST(a_renewal_whose_answer_is_lost_is_not_repeated)
{
    world w;
    world_open(&w);
    meet_again(&w);
    struct world_request *r = world_take(&w, WORLD_RESYNC);
    REQUIRE(r);
    world_execute(&w, r);
    CHECK_EQ(w.renewed, 1);
    world_deliver(r, NIGH_ETIMEDOUT);
    beat(&w);
    beat(&w);
    CHECK_EQ(w.renewed, 1);
    check_well(&w);
    world_close(&w);
}

/* ---- of two nodes one makes the id ---- */

/* Both have asked what there is: one beat and one resync each, answered. */
static void see_again(world *w)
{
    fake_env_advance(&w->fake, 2 * WORLD_BEAT_MS * NS_PER_MS);
    coherence_tick(w->c);
    CHECK(world_serve_one(w, WORLD_BEAT));
    coherence_tick(w->c);
    CHECK(world_serve_one(w, WORLD_RESYNC));
    coherence_tick(w->c);
    CHECK_EQ(followed(w), 0);
}

TEST(of_two_nodes_that_renew_one_makes_the_id)
{
    world a, b;
    world_open(&a);
    world_open_beside(&b, &a);
    CHECK_EQ(followed(&a), followed(&b));
    lead_to(&a, 'b');
    beat(&a);
    beat(&b);
    lead_to(&a, 'a');
    see_again(&a);
    see_again(&b);
    CHECK(world_serve_one(&b, WORLD_RESYNC));
    CHECK(world_serve_one(&a, WORLD_RESYNC));
    world_settle(&a);
    world_settle(&b);
    CHECK_EQ(a.renewed, 1);
    check_well(&a);
    check_well(&b);
    CHECK_EQ(followed(&a), followed(&b));
    world_close(&b);
    a.beside = NULL;
    world_close(&a);
}

/* It has noticed nothing, and holds what the other has not told it. */
TEST(a_node_that_never_left_follows_the_renewed_clock)
{
    world a, b;
    world_open(&a);
    world_open_beside(&b, &a);
    uint64_t first = followed(&b);
    lead_to(&a, 'b');
    beat(&a);
    lead_to(&a, 'a');
    beat(&a);
    CHECK_EQ(a.renewed, 1);
    beat(&b);
    CHECK_EQ(a.renewed, 1);
    check_well(&b);
    CHECK_EQ(followed(&a), followed(&b));
    CHECK_STR(world_notes(&b), "all~ all~ wake");
    CHECK_EQ(judge_stamp(&b, first), COHERENCE_UNKNOWN);
    world_close(&b);
    a.beside = NULL;
    world_close(&a);
}

/* It had not left before the other renewed: then it meets a clock that nobody has left. */
TEST(who_sees_the_renewed_clock_first_renews_nothing)
{
    world a, b;
    world_open(&a);
    world_open_beside(&b, &a);
    lead_to(&a, 'b');
    beat(&a);
    beat(&b);
    lead_to(&a, 'a');
    beat(&a);
    beat(&b);
    for (int i = 0; i < 3; i++) {
        beat(&a);
        beat(&b);
    }
    CHECK_EQ(a.renewed, 1);
    check_well(&a);
    check_well(&b);
    world_close(&b);
    a.beside = NULL;
    world_close(&a);
}

/* ---- what is no reason to renew ---- */

TEST(a_late_frame_of_the_old_server_makes_nothing_stale)
{
    world w;
    world_open(&w);
    world_other(&w, world_key("a")); /* its frame is on its way still */
    lead_to(&w, 'b');
    beat(&w);
    uint64_t second = followed(&w);
    world_notes(&w);
    world_hear(&w);
    CHECK_EQ(followed(&w), second); /* the listener hears a server that was left */
    CHECK_STR(world_notes(&w), "");
    world_pass(&w, 10);
    CHECK_EQ(w.renewed, 0);
    CHECK_EQ(followed(&w), second);
    check_well(&w);
    world_close(&w);
}

/* The listener was there first, but our data connection has not been led away. */
TEST(an_early_frame_of_another_server_renews_nothing)
{
    world w;
    world_open(&w);
    uint64_t first = followed(&w);
    lead_to(&w, 'b');
    world_other(&w, world_key("a"));
    world_hear(&w);
    CHECK_EQ(followed(&w), first);
    lead_to(&w, 'a');
    world_pass(&w, 10);
    CHECK_EQ(w.renewed, 0);
    CHECK_EQ(followed(&w), first);
    world_close(&w);
}

TEST(restarts_failovers_and_losses_renew_nothing)
{
    world w;
    world_open(&w);
    world_other(&w, world_key("a"));
    world_line_clear(&w.log);
    lose_frames(&w);
    beat(&w); /* the log was deleted, and we had missed something */
    check_well(&w);
    w.id = 0;
    beat(&w); /* the clock was deleted, and is made anew */
    check_well(&w);
    lead_to(&w, 'b');
    beat(&w); /* a failover with all data */
    check_well(&w);
    lead_to(&w, 'c');
    w.seq = 0;
    world_line_clear(&w.log);
    beat(&w); /* and with a tail that was lost */
    check_well(&w);
    CHECK_EQ(w.renewed, 0);
    world_close(&w);
}

TEST(an_answer_of_before_the_failover_looked_at_late)
{
    world w;
    world_open(&w);
    struct l2_answer late = {.clock = world_clock(&w), .order = ++w.order};
    char replid[40];
    memcpy(replid, w.replid, sizeof(replid));
    late.clock.replid = bytes_of(replid, sizeof(replid));
    lead_to(&w, 'b');
    struct l2_answer newer = {.clock = world_clock(&w), .order = ++w.order};
    coherence_note(w.c, &newer);
    coherence_note(w.c, &late); /* another thread's */
    world_pass(&w, 10);
    check_well(&w);
    coherence_note(w.c, &late);
    CHECK_NE(followed(&w), 0); /* not even forgotten */
    for (int i = 0; i < 3; i++)
        beat(&w);
    CHECK_EQ(w.renewed, 0);
    check_well(&w);
    world_close(&w);
}

TEST(an_own_change_of_before_the_failover_settled_late)
{
    world w;
    world_open(&w);
    struct coherence_item item = world_key("a");
    struct l2_answer late = {.clock = world_clock(&w), .order = ++w.order, .previous = w.nonce};
    late.clock.sequence = 1;
    lead_to(&w, 'b');
    beat(&w);
    struct coherence_accepted accepted = {
        .items = &item, .item_count = 1, .answer = &late, .call = 1, .nonce = 5};
    coherence_settle(w.c, &accepted);
    CHECK_EQ(followed(&w), 0);
    world_pass(&w, 10);
    CHECK_EQ(w.renewed, 0);
    check_well(&w);
    CHECK_EQ(queued(&w), 0);
    CHECK_EQ(w.seq, 1); /* and told the new one */
    world_close(&w);
}

/* ---- answers older than what is known ---- */

TEST(a_beat_older_than_frames_already_applied_is_whole)
{
    world w;
    world_open(&w);
    world_other(&w, world_key("a"));
    struct world_request *r = world_beat_executed(&w); /* at 1 */
    for (int i = 0; i < 4; i++)
        world_other(&w, world_key("b"));
    world_hear(&w);
    CHECK_EQ(world_applied(&w), 5);
    uint64_t until_ns = *coherence_trusted_until(w.c);
    world_deliver(r, 0);
    coherence_tick(w.c);
    CHECK_GT(*coherence_trusted_until(w.c), until_ns);
    CHECK_EQ(w.renewed, 0);
    CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), 0);
    world_close(&w);
}

/* So many were applied meanwhile that the nonce where it stands is forgotten: another beat. */
TEST(a_beat_older_than_all_nonces_vouches_for_nothing)
{
    world w;
    world_open(&w);
    world_other(&w, world_key("a"));
    struct world_request *r = world_beat_executed(&w);
    world_hear(&w);
    w.on_key = NULL;
    for (unsigned i = 0; i < COHERENCE_CHAIN_NONCES; i++) {
        world_other(&w, world_key("b"));
        world_hear(&w);
        if (w.log.count > 8)
            world_line_clear(&w.log);
        w.notes[0] = '\0';
    }
    uint64_t until_ns = *coherence_trusted_until(w.c);
    world_deliver(r, 0);
    coherence_tick(w.c);
    CHECK_EQ(*coherence_trusted_until(w.c), until_ns);
    CHECK(world_serve_one(&w, WORLD_BEAT)); /* at once */
    coherence_tick(w.c);
    CHECK_GT(*coherence_trusted_until(w.c), until_ns);
    CHECK_EQ(w.renewed, 0);
    CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), 0);
    world_close(&w);
}

/* Two of our threads: the answer to the second change is settled first, a beat comes between. */
TEST(answers_of_two_threads_settled_in_the_wrong_order)
{
    world w;
    world_open(&w);
    struct coherence_item item = world_key("a");
    struct l2_answer first = {.clock = world_clock(&w), .previous = w.nonce, .order = 100};
    struct l2_answer second = {.clock = world_clock(&w), .previous = 11, .order = 101};
    uint8_t tail[256];
    size_t len = coherence_tail_size(&item, 1);
    for (uint64_t call = 1; call <= 2; call++) {
        coherence_tail_encode(tail, w.c->incarnation, call, &item, 1);
        world_accept(&w, 11 * call, NULL, 0, tail, len);
    }
    lose_frames(&w);
    w.order = 101;
    first.clock.sequence = 1;
    second.clock.sequence = 2;
    struct coherence_accepted a = {
        .items = &item, .item_count = 1, .answer = &second, .call = 2, .nonce = 22};
    coherence_settle(w.c, &a);
    beat(&w);
    CHECK_EQ(world_applied(&w), 2);
    a.answer = &first;
    a.call = 1;
    a.nonce = 11;
    coherence_settle(w.c, &a);
    beat(&w);
    CHECK_EQ(w.renewed, 0);
    CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), 0);
    check_well(&w);
    world_close(&w);
}
