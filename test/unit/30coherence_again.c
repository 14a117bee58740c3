// SPDX-License-Identifier: MIT
// Rules 13 and 16 to 18: a clock that is met again or was rewound, what is told again then, lists
// of schemas that move, and nodes of wire version 1.

#include "coherence/change.h"
#include "worlds/coherence.h"

static uint64_t followed(world *w)
{
    return coherence_position(w->c).identity;
}

/* What Redis shows: so that it is followed, or not. */
static uint64_t shown(world *w)
{
    return world_clock(w->server).identity;
}

static void beat(world *w)
{
    world_pass(w, WORLD_BEAT_MS + WORLD_BEAT_MS / 5);
}

/* Our connection leads to the server of this letter now. */
static void lead_to(world *w, char server)
{
    memset(w->replid, server, sizeof(w->replid));
}

static uint32_t queued(world *w)
{
    struct coherence_gauges g;
    coherence_gauges_read(w->c, &g);
    return g.queued;
}

/* A value of no tag, stamped with this identity on the server that is followed. */
static enum coherence_verdict judge_stamp(world *w, uint64_t identity)
{
    uint64_t home = coherence_home(w->c);
    struct l2_envelope e = {.home = home, .identity = identity, .sequence = UINT64_MAX};
    return coherence_judge(w->c, &e, world_space_slot(), home);
}

static void lose_frames(world *w)
{
    world_line_clear(&w->said);
}

static int change_key(world *w, const char *key)
{
    struct coherence_item item = world_key(key);
    return world_change(w, &item, 1);
}

/* The case's node follows, trusts, and follows what Redis shows. */
static void check_well(world *w)
{
    CHECK_NE(followed(w), 0);
    CHECK_EQ(followed(w), shown(w));
    CHECK(world_trusts(w));
    CHECK_EQ(w->c->state->renew, 0);
}

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
    fake_env_advance(&w.fake, 2 * WORLD_BEAT_MS * NS_PER_MS);
    coherence_tick(w.c);
    CHECK(world_serve_one(&w, WORLD_BEAT));
    coherence_tick(w.c);
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

/* The server changes between the look and the renewing: the id is the same, the server is not. */
TEST(what_was_seen_on_one_server_is_not_renewed_on_another)
{
    world w;
    world_open(&w);
    lead_to(&w, 'b');
    beat(&w);
    lead_to(&w, 'a');
    fake_env_advance(&w.fake, 2 * WORLD_BEAT_MS * NS_PER_MS);
    coherence_tick(w.c);
    CHECK(world_serve_one(&w, WORLD_BEAT));
    coherence_tick(w.c);
    CHECK(world_serve_one(&w, WORLD_RESYNC));
    coherence_tick(w.c);
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
    lead_to(&w, 'b');
    beat(&w);
    lead_to(&w, 'a');
    fake_env_advance(&w.fake, 2 * WORLD_BEAT_MS * NS_PER_MS);
    coherence_tick(w.c);
    CHECK(world_serve_one(&w, WORLD_BEAT));
    coherence_tick(w.c);
    CHECK(world_serve_one(&w, WORLD_RESYNC));
    coherence_tick(w.c);
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
    fake_env_advance(&w.fake, 2 * WORLD_BEAT_MS * NS_PER_MS);
    coherence_tick(w.c);
    struct world_request *r = world_take(&w, WORLD_BEAT);
    REQUIRE(r);
    world_execute(&w, r); /* at 1 */
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
    fake_env_advance(&w.fake, 2 * WORLD_BEAT_MS * NS_PER_MS);
    coherence_tick(w.c);
    struct world_request *r = world_take(&w, WORLD_BEAT);
    REQUIRE(r);
    world_execute(&w, r);
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

/* ---- rule 16: rewound ---- */

/* Two changes are applied; what Redis has is a copy of after the first, or of before both. */
struct rewinding {
    world w;
    struct world_copy copy;
    uint64_t before; /* identity */
};

static void rewinding_begin(struct rewinding *t, uint64_t copy_at)
{
    world_open(&t->w);
    t->before = followed(&t->w);
    if (copy_at == 0)
        t->copy = world_save(&t->w);
    world_other(&t->w, world_key("x1"));
    if (copy_at == 1)
        t->copy = world_save(&t->w);
    world_other(&t->w, world_key("x2"));
    world_hear(&t->w);
    CHECK_EQ(world_applied(&t->w), 2);
    world_notes(&t->w);
}

static void rewinding_end(struct rewinding *t)
{
    CHECK_EQ(t->w.renewed, 1);
    check_well(&t->w);
    CHECK_NE(followed(&t->w), t->before);
    CHECK_EQ(judge_stamp(&t->w, t->before), COHERENCE_UNKNOWN);
    uint64_t resyncs = stats_read(&t->w.stats, STATS_RESYNC);
    beat(&t->w);
    CHECK_EQ(stats_read(&t->w.stats, STATS_RESYNC), resyncs);
    CHECK_EQ(t->w.renewed, 1);
    world_line_clear(&t->copy.log);
    world_close(&t->w);
}

TEST(rewound_below_what_was_applied)
{
    struct rewinding t;
    rewinding_begin(&t, 1);
    world_load(&t.w, &t.copy);
    beat(&t.w);
    CHECK_STR(world_notes(&t.w), "all~ all~ wake");
    CHECK_EQ(world_applied(&t.w), 1);
    rewinding_end(&t);
}

/* Another node's answer told of 5, we have applied 2: to be rewound to 3 is to be rewound. */
TEST(rewound_below_what_was_known)
{
    struct rewinding t;
    rewinding_begin(&t, 2);
    world_other(&t.w, world_key("x3"));
    t.copy = world_save(&t.w);
    world_other(&t.w, world_key("x4"));
    lose_frames(&t.w);
    struct l2_answer answer = {.clock = world_clock(&t.w), .order = ++t.w.order};
    coherence_note(t.w.c, &answer);
    world_load(&t.w, &t.copy);
    beat(&t.w);
    rewinding_end(&t);
}

TEST(rewound_and_grown_to_the_same_length)
{
    struct rewinding t;
    rewinding_begin(&t, 1);
    world_load(&t.w, &t.copy);
    world_other(&t.w, world_key("y2"));
    lose_frames(&t.w);
    beat(&t.w); /* no entry after 2: only the clock's nonce tells */
    rewinding_end(&t);
}

TEST(rewound_and_grown_beyond)
{
    struct rewinding t;
    rewinding_begin(&t, 1);
    world_load(&t.w, &t.copy);
    world_other(&t.w, world_key("y2"));
    world_other(&t.w, world_key("y3"));
    lose_frames(&t.w);
    beat(&t.w); /* the entry at 3 names another one before it */
    CHECK(strstr(world_notes(&t.w), "y3") == NULL);
    rewinding_end(&t);
}

/* Our own change was accepted at 2 while 1 had not been heard; then both are gone, and two others
 * have taken their places. */
TEST(rewound_at_what_was_known)
{
    world w;
    world_open(&w);
    uint64_t before = followed(&w);
    struct world_copy copy = world_save(&w);
    world_other(&w, world_key("x1"));
    lose_frames(&w);
    CHECK_EQ(change_key(&w, "own"), 0);
    CHECK_EQ(world_applied(&w), 0);
    CHECK_EQ(coherence_position(w.c).sequence, 2);
    world_load(&w, &copy);
    world_other(&w, world_key("y1"));
    world_other(&w, world_key("y2"));
    lose_frames(&w);
    beat(&w);
    CHECK_EQ(w.renewed, 1);
    CHECK_NE(followed(&w), before);
    CHECK_EQ(w.seq, 3); /* and ours was told once more */
    check_well(&w);
    world_close(&w);
}

/* The same, but the answer has room for one entry: its clock tells what the entries do not. */
TEST(rewound_at_what_was_known_and_cut_short)
{
    world w;
    world_open(&w);
    struct world_copy copy = world_save(&w);
    world_other(&w, world_key("x1"));
    lose_frames(&w);
    CHECK_EQ(change_key(&w, "own"), 0);
    world_load(&w, &copy);
    world_other(&w, world_key("y1"));
    world_other(&w, world_key("y2"));
    lose_frames(&w);
    w.entries_max = 1;
    uint64_t until_ns = *coherence_trusted_until(w.c);
    fake_env_advance(&w.fake, 2 * WORLD_BEAT_MS * NS_PER_MS);
    coherence_tick(w.c);
    CHECK(world_serve_one(&w, WORLD_BEAT));
    coherence_tick(w.c);
    CHECK_EQ(*coherence_trusted_until(w.c), until_ns);
    CHECK_EQ(followed(&w), 0);
    world_settle(&w);
    CHECK_EQ(w.renewed, 1);
    check_well(&w);
    world_close(&w);
}

/* The late frame of the history that was lost is applied while the beat that has the other one is
 * on its way: the entry at its place is not the one applied. */
TEST(rewound_under_a_frame_that_came_meanwhile)
{
    world w;
    world_open(&w);
    struct world_copy copy = world_save(&w);
    world_other(&w, world_key("x1"));
    world_load(&w, &copy);
    world_other(&w, world_key("y1"));
    fake_env_advance(&w.fake, 2 * WORLD_BEAT_MS * NS_PER_MS);
    coherence_tick(w.c);
    struct world_request *r = world_take(&w, WORLD_BEAT);
    REQUIRE(r);
    world_execute(&w, r);
    world_hear_one(&w); /* x1 */
    CHECK_STR(world_notes(&w), "key s/x1");
    CHECK_EQ(world_applied(&w), 1);
    lose_frames(&w);
    uint64_t until_ns = *coherence_trusted_until(w.c);
    world_deliver(r, 0);
    coherence_tick(w.c);
    CHECK_EQ(*coherence_trusted_until(w.c), until_ns);
    CHECK_EQ(followed(&w), 0);
    world_settle(&w);
    CHECK_EQ(w.renewed, 1);
    check_well(&w);
    world_close(&w);
}

/* The same where the answer has no entries to compare. */
TEST(rewound_under_a_frame_and_without_a_log)
{
    world w;
    world_open(&w);
    struct world_copy copy = world_save(&w);
    world_other(&w, world_key("x1"));
    world_load(&w, &copy);
    world_other(&w, world_key("y1"));
    world_line_clear(&w.log);
    fake_env_advance(&w.fake, 2 * WORLD_BEAT_MS * NS_PER_MS);
    coherence_tick(w.c);
    struct world_request *r = world_take(&w, WORLD_BEAT);
    REQUIRE(r);
    world_execute(&w, r);
    world_hear_one(&w); /* x1 */
    lose_frames(&w);
    world_deliver(r, 0);
    world_settle(&w);
    CHECK_EQ(w.renewed, 1);
    check_well(&w);
    world_close(&w);
}

/* The trail is lost, which renews nothing; then the copy is loaded, before the resync looks. */
TEST(rewound_between_a_lost_trail_and_its_resync)
{
    world w;
    world_open(&w);
    uint64_t before = followed(&w);
    world_other(&w, world_key("x1"));
    struct world_copy copy = world_save(&w);
    world_other(&w, world_key("x2"));
    world_hear(&w);
    world_other(&w, world_key("x3"));
    lose_frames(&w);
    world_line_clear(&w.log);
    fake_env_advance(&w.fake, 2 * WORLD_BEAT_MS * NS_PER_MS);
    coherence_tick(w.c);
    CHECK(world_serve_one(&w, WORLD_BEAT));
    coherence_tick(w.c);
    CHECK_EQ(followed(&w), 0);
    CHECK_EQ(w.renewed, 0);
    world_load(&w, &copy);
    world_settle(&w);
    CHECK_EQ(w.renewed, 1);
    CHECK_NE(followed(&w), before);
    check_well(&w);
    world_close(&w);
}

TEST(rewound_as_a_frame_tells)
{
    struct rewinding t;
    rewinding_begin(&t, 1);
    world_load(&t.w, &t.copy);
    world_other(&t.w, world_key("y2"));
    lose_frames(&t.w);
    world_other(&t.w, world_key("y3"));
    world_hear(&t.w);
    CHECK_STR(world_notes(&t.w), "all~"); /* not applied */
    CHECK_EQ(followed(&t.w), 0);
    world_pass(&t.w, 10);
    rewinding_end(&t);
}

/* At a position that has been applied, but not this: nothing to apply, and no time to lose. */
TEST(rewound_as_an_old_frame_tells)
{
    struct rewinding t;
    rewinding_begin(&t, 1);
    world_load(&t.w, &t.copy);
    world_other(&t.w, world_key("y2"));
    world_hear(&t.w);
    CHECK_STR(world_notes(&t.w), "");
    world_pass(&t.w, 10);
    rewinding_end(&t);
}

TEST(rewound_as_an_own_change_tells)
{
    struct rewinding t;
    rewinding_begin(&t, 1);
    world_load(&t.w, &t.copy);
    world_other(&t.w, world_key("y2"));
    lose_frames(&t.w);
    CHECK_EQ(change_key(&t.w, "own"), 0);
    CHECK_STR(world_notes(&t.w), "key s/own all~"); /* its own step is done all the same */
    CHECK_EQ(followed(&t.w), 0);
    world_pass(&t.w, 10);
    CHECK_EQ(queued(&t.w), 0);
    CHECK_EQ(t.w.seq, 4); /* accepted by a clock that is no more: told again */
    rewinding_end(&t);
}

/* By the time it asks, the clock is another one: there is nothing to renew. */
TEST(rewound_and_then_replaced)
{
    struct rewinding t;
    rewinding_begin(&t, 1);
    world_load(&t.w, &t.copy);
    fake_env_advance(&t.w.fake, 2 * WORLD_BEAT_MS * NS_PER_MS);
    coherence_tick(t.w.c);
    CHECK(world_serve_one(&t.w, WORLD_BEAT));
    coherence_tick(t.w.c);
    CHECK_NE(t.w.c->state->renew, 0);
    t.w.id = 4711;
    world_settle(&t.w);
    CHECK_EQ(t.w.renewed, 0);
    check_well(&t.w);
    world_close(&t.w);
}

/* ---- rule 13: told again ---- */

/* The items of the newest change, as notes. */
static const char *last_change(world *w)
{
    static char joined[1024];
    struct coherence_message m;
    struct coherence_item item;
    joined[0] = '\0';
    REQUIRE(w->log.count > 0);
    const struct world_frame *f = &w->log.frames[w->log.count - 1];
    REQUIRE(coherence_message_decode(bytes_of(f->bytes, f->len), &m));
    while (coherence_message_next(&m, &item)) {
        size_t at = strlen(joined);
        snprintf(joined + at, sizeof(joined) - at, "%s%d%s:%.*s", at ? " " : "", item.kind,
                 item.soft ? "~" : "", (int)item.bytes.len, (const char *)item.bytes.data);
    }
    return joined;
}

TEST(own_changes_are_told_again_to_another_clock)
{
    world w;
    world_open(&w);
    struct coherence_item items[] = {world_key("a"), world_tag("t", false), world_tag("u", true)};
    CHECK_EQ(world_change(&w, items, 3), 0);
    CHECK_EQ(change_key(&w, "b"), 0);
    lead_to(&w, 'b');
    w.seq = 0; /* a replica that had received none of it */
    w.nonce = w.id;
    world_line_clear(&w.log);
    lose_frames(&w);
    beat(&w);
    CHECK_EQ(queued(&w), 0);
    CHECK_EQ(w.seq, 1);
    char expected[64];
    snprintf(expected, sizeof(expected), "%d:a %d:t %d~:u %d:b", WIRE_KEY, WIRE_TAG, WIRE_TAG,
             WIRE_KEY);
    CHECK_STR(last_change(&w), expected);
    CHECK_EQ(w.renewed, 0);
    check_well(&w);
    for (int i = 0; i < 3; i++)
        beat(&w);
    CHECK_EQ(w.seq, 1); /* once */
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE), 4);
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_AGAIN), 4);
    world_close(&w);
}

static unsigned looks;

/* From the moment in which the new clock is followed L2 counts again. */
static void covered_if_followed(world *w, uint16_t slot, bool soft)
{
    (void)slot, (void)soft;
    if (followed(w) == 0)
        return;
    CHECK(world_covers(w, "a"));
    looks++;
}

TEST(covered_before_the_new_clock_is_followed)
{
    world w;
    world_open(&w);
    CHECK_EQ(change_key(&w, "a"), 0);
    looks = 0;
    w.on_group = covered_if_followed;
    lead_to(&w, 'b');
    beat(&w);
    CHECK_EQ(looks, 1);
    CHECK(!world_covers(&w, "a"));
    world_close(&w);
}

TEST(told_again_within_ten_seconds_and_not_after)
{
    for (unsigned late = 0; late < 2; late++) {
        world w;
        world_open(&w);
        CHECK_EQ(change_key(&w, "a"), 0);
        uint64_t changed_ns = w.fake.now_ns, seq = w.seq;
        fake_env_advance(&w.fake, changed_ns + 8 * NS_PER_S - w.fake.now_ns);
        world_settle(&w);
        lead_to(&w, 'b');
        uint64_t end_ns = changed_ns + 10 * NS_PER_S - !late;
        fake_env_advance(&w.fake, end_ns - w.fake.now_ns);
        world_settle(&w);
        CHECK_EQ(followed(&w), shown(&w));
        CHECK_EQ(w.seq, seq + !late);
        world_close(&w);
    }
}

/* Else who flaps between two servers would tell each all that he has ever changed. */
TEST(what_is_told_again_keeps_its_first_time)
{
    world w;
    world_open(&w);
    CHECK_EQ(change_key(&w, "a"), 0);
    uint64_t changed_ns = w.fake.now_ns, seq = w.seq;
    fake_env_advance(&w.fake, 8 * NS_PER_S);
    world_settle(&w);
    lead_to(&w, 'b');
    beat(&w);
    CHECK_EQ(w.seq, seq + 1);
    fake_env_advance(&w.fake, changed_ns + 10 * NS_PER_S - w.fake.now_ns);
    world_settle(&w);
    lead_to(&w, 'c');
    beat(&w);
    CHECK_EQ(followed(&w), shown(&w));
    CHECK_EQ(w.seq, seq + 1);
    world_close(&w);
}

TEST(nothing_is_told_again_to_the_clock_that_accepted_it)
{
    world w;
    world_open(&w);
    CHECK_EQ(change_key(&w, "a"), 0);
    world_other(&w, world_key("b"));
    world_line_clear(&w.log); /* a resync, of the same clock */
    lose_frames(&w);
    beat(&w);
    CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), 1);
    CHECK_EQ(w.seq, 2);
    CHECK_EQ(queued(&w), 0);
    world_close(&w);
}

TEST(what_was_queued_and_accepted_is_told_again_too)
{
    world w;
    world_open(&w);
    w.connected = false;
    CHECK_EQ(change_key(&w, "a"), NIGH_QUEUED);
    world_connect(&w);
    world_pass(&w, 10);
    CHECK_EQ(queued(&w), 0);
    uint64_t seq = w.seq;
    lead_to(&w, 'b');
    beat(&w);
    CHECK_EQ(w.seq, seq + 1);
    lead_to(&w, 'c');
    beat(&w);
    CHECK_EQ(w.seq, seq + 2); /* and what was told again: once, though noted twice */
    char expected[64];
    snprintf(expected, sizeof(expected), "%d:a", WIRE_KEY);
    CHECK_STR(last_change(&w), expected);
    world_close(&w);
}

TEST(many_changes_are_told_again_in_batches)
{
    world w;
    world_init(&w, 1000);
    world_connect(&w);
    world_pass(&w, 10);
    for (int i = 0; i < 600; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        CHECK_EQ(change_key(&w, key), 0);
        world_line_clear(&w.log);
        lose_frames(&w);
    }
    lead_to(&w, 'b');
    beat(&w);
    CHECK_EQ(queued(&w), 0);
    CHECK_EQ(w.seq, 603);
    CHECK_EQ(w.slots[GROUP_SLOT_ALL][1], 0);
    world_close(&w);
}

TEST(more_than_the_queue_holds_is_told_as_soft_all)
{
    world w;
    world_open(&w);
    for (int i = 0; i < 65; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        CHECK_EQ(change_key(&w, key), 0);
        world_line_clear(&w.log);
        lose_frames(&w);
    }
    lead_to(&w, 'b');
    beat(&w);
    CHECK_EQ(w.seq, 66);
    CHECK_EQ(w.slots[GROUP_SLOT_ALL][1], 66);
    CHECK_EQ(stats_read(&w.stats, STATS_INVALIDATE_OVERFLOW), 1);
    world_close(&w);
}

TEST(more_than_is_remembered_is_told_as_soft_all)
{
    static char key[NIGH_KEY_MAX + 1];
    world w;
    world_init(&w, 4096);
    world_connect(&w);
    world_pass(&w, 10);
    memset(key, 'x', NIGH_KEY_MAX);
    for (int i = 0; i < 1100; i++) { /* of 1 KiB each */
        CHECK_EQ(change_key(&w, key), 0);
        world_line_clear(&w.log);
        lose_frames(&w);
    }
    lead_to(&w, 'b');
    beat(&w);
    CHECK_EQ(w.seq, 1101);
    CHECK_EQ(w.slots[GROUP_SLOT_ALL][1], 1101);
    CHECK_EQ(w.slots[GROUP_SLOT_ALL][0], 0);
    world_close(&w);
}

/* ---- a change outlived by its clock ---- */

static char outlived_by;

/* Our script was executed; before its answer is looked at a later one shows this server. */
static void shown_meanwhile(world *w)
{
    struct world_request *r = world_take(w, WORLD_CHANGE);
    char before = w->replid[0];
    world_execute(w, r);
    lead_to(w, outlived_by);
    struct l2_answer later = {.clock = world_clock(w), .order = ++w->order};
    coherence_note(w->c, &later);
    lead_to(w, before); /* as its answer, which points here, was made */
    w->waiting = NULL;
    world_deliver(r, 0);
    lead_to(w, outlived_by);
}

TEST(a_change_outlived_by_its_clock_is_queued)
{
    world w;
    world_open(&w);
    w.waiting = shown_meanwhile;
    outlived_by = 'b';
    CHECK_EQ(change_key(&w, "a"), NIGH_QUEUED);
    CHECK(world_covers(&w, "a"));
    world_pass(&w, 10);
    CHECK_EQ(queued(&w), 0);
    CHECK_EQ(w.seq, 2);
    CHECK_EQ(w.renewed, 0);
    check_well(&w);
    world_close(&w);
}

TEST(a_change_not_outlived_is_accepted)
{
    world w;
    world_open(&w);
    w.waiting = shown_meanwhile;
    outlived_by = 'a';
    CHECK_EQ(change_key(&w, "a"), 0);
    CHECK_EQ(queued(&w), 0);
    CHECK_EQ(w.renewed, 0);
    check_well(&w);
    world_close(&w);
}

TEST(a_batch_outlived_by_its_clock_stays_queued)
{
    world w;
    world_open(&w);
    w.connected = false;
    CHECK_EQ(change_key(&w, "a"), NIGH_QUEUED);
    w.connected = true;
    fake_env_advance(&w.fake, NS_PER_S / 2);
    coherence_tick(w.c);
    outlived_by = 'b';
    shown_meanwhile(&w);
    coherence_tick(w.c);
    CHECK_EQ(queued(&w), 1);
    CHECK(world_covers(&w, "a"));
    world_pass(&w, 200);
    CHECK_EQ(queued(&w), 0);
    CHECK_EQ(w.seq, 2);
    world_close(&w);
}

/* ---- rule 17: the list of schemas has moved ---- */

static unsigned scripts_seen, others_seen, old_seen;
static bool list_moves;

/* Another node registers "v2" of the space. */
static void move_list(world *w)
{
    char *at = w->schemas_text;
    put_le32(at, 1);
    put_le32(at + 4, 2);
    put_le64(at + 8, w->time_ms + 60000);
    memcpy(at + 16, "sv2", 3);
    w->schemas_len = 19;
    w->schemas++;
}

static void watch_script(world *w)
{
    struct world_request *r = world_take(w, WORLD_CHANGE);
    scripts_seen++;
    others_seen = r->schema_count;
    old_seen += r->old_nodes;
    if (list_moves)
        move_list(w);
    world_execute(w, r);
    world_deliver(r, 0);
}

static void watch_begin(world *w, bool moves)
{
    w->waiting = watch_script;
    scripts_seen = others_seen = old_seen = 0;
    list_moves = moves;
}

TEST(a_moved_list_is_asked_again_with_all_names)
{
    world w;
    world_open(&w);
    CHECK_EQ(change_key(&w, "a"), 0);
    world_notes(&w);
    move_list(&w);
    watch_begin(&w, false);
    CHECK_EQ(change_key(&w, "b"), 0);
    CHECK_EQ(scripts_seen, 2);
    CHECK_EQ(others_seen, 1);
    CHECK_EQ(w.seq, 2); /* one of them did something */
    CHECK_STR(world_notes(&w), "key s/b");
    CHECK_EQ(change_key(&w, "c"), 0);
    CHECK_EQ(scripts_seen, 3); /* known from now on */
    CHECK_EQ(others_seen, 1);
    world_close(&w);
}

TEST(a_list_that_moves_on_and_on_is_left_to_the_queue)
{
    world w;
    world_open(&w);
    CHECK_EQ(change_key(&w, "a"), 0);
    world_notes(&w);
    watch_begin(&w, true);
    CHECK_EQ(change_key(&w, "b"), NIGH_QUEUED);
    CHECK_EQ(scripts_seen, 4);
    CHECK_EQ(w.seq, 1);
    CHECK_STR(world_notes(&w), "key s/b");
    CHECK(world_covers(&w, "b"));
    w.waiting = NULL;
    world_pass(&w, 10);
    CHECK_EQ(queued(&w), 0);
    CHECK_EQ(w.seq, 2);
    world_close(&w);
}

/* Or there is no memory for the list: nothing is gained by asking at the rate of the answers. */
TEST(a_queued_batch_waits_while_the_list_moves_on_and_on)
{
    world w;
    world_open(&w);
    CHECK_EQ(change_key(&w, "a"), 0);
    w.connected = false;
    CHECK_EQ(change_key(&w, "b"), NIGH_QUEUED);
    w.connected = true;
    w.up(w.up_arg);
    coherence_tick(w.c);
    unsigned tries = 0;
    for (struct world_request *r; (r = world_take(&w, WORLD_CHANGE)) && tries < 100; tries++) {
        move_list(&w);
        world_execute(&w, r);
        world_deliver(r, 0);
        coherence_tick(w.c);
    }
    CHECK_EQ(tries, COHERENCE_NAMED_TRIES);
    CHECK_EQ(queued(&w), 1);
    world_pass(&w, 200);
    CHECK_EQ(queued(&w), 0);
    world_close(&w);
}

TEST(a_queued_batch_is_sent_again_with_all_names)
{
    world w;
    world_open(&w);
    CHECK_EQ(change_key(&w, "a"), 0);
    w.connected = false;
    CHECK_EQ(change_key(&w, "b"), NIGH_QUEUED);
    move_list(&w);
    w.connected = true;
    w.up(w.up_arg);
    coherence_tick(w.c);
    struct world_request *r = world_take(&w, WORLD_CHANGE);
    REQUIRE(r);
    CHECK_EQ(r->schema_count, 0);
    world_execute(&w, r);
    world_deliver(r, 0);
    coherence_tick(w.c);
    CHECK_EQ(queued(&w), 1);
    r = world_take(&w, WORLD_CHANGE); /* without waiting */
    REQUIRE(r);
    CHECK_EQ(r->schema_count, 1);
    world_execute(&w, r);
    world_deliver(r, 0);
    coherence_tick(w.c);
    CHECK_EQ(queued(&w), 0);
    CHECK_EQ(w.seq, 2);
    world_close(&w);
}

TEST(a_resync_tells_the_list)
{
    world w;
    world_init(&w, 64);
    world_clock_ensure(&w, 77);
    move_list(&w);
    world_connect(&w);
    world_pass(&w, 10);
    watch_begin(&w, false);
    CHECK_EQ(change_key(&w, "a"), 0);
    CHECK_EQ(scripts_seen, 1);
    CHECK_EQ(others_seen, 1);
    world_close(&w);
}

static unsigned stored_seen[2];

static uint64_t local_key(void *arg, const struct coherence_item *item, bool stored,
                          uint64_t heard)
{
    (void)arg, (void)item, (void)heard;
    stored_seen[stored]++;
    return 0;
}

static int write_key(world *w, struct coherence_schema *schema)
{
    struct coherence_item item = world_key("a");
    struct coherence_write write = {
        .schema = schema, .mode = L2_SET_TOKEN, .token = 5, .hard_ms = 1000};
    struct coherence_change change = {
        .items = &item,
        .item_count = 1,
        .writes = &write,
        .deadline_ns = clock_deadline_ns(w->fake.env.clock, 250),
        .local_key = local_key,
        .local_arg = w,
    };
    stored_seen[0] = stored_seen[1] = 0;
    return coherence_change(w->c, &change, NULL);
}

TEST(one_schema_too_many_writes_no_value)
{
    world w;
    world_open(&w);
    struct coherence_schema schema = {0};
    w.crowded = true;
    CHECK_EQ(write_key(&w, &schema), NIGH_REFUSED);
    CHECK_EQ(stored_seen[true], 0);
    CHECK_EQ(stored_seen[false], 1); /* what was there is gone, here as in Redis */
    CHECK_EQ(w.seq, 1);
    CHECK_EQ(queued(&w), 0);
    CHECK_EQ(w.fake.log_level, NIGH_LOG_ERROR);
    w.crowded = false;
    CHECK_EQ(write_key(&w, &schema), 0);
    CHECK_EQ(stored_seen[true], 1);
    CHECK_EQ(schema.identity, followed(&w));
    CHECK_EQ(write_key(&w, &schema), 0);
    world_close(&w);
}

/* ---- rule 18: nodes of wire version 1 ---- */

TEST(old_nodes_that_change_values_cost_trust_until_they_rest)
{
    world w;
    world_open(&w);
    w.old_nodes = w.old_moved = true;
    uint64_t until_ns = *coherence_trusted_until(w.c);
    unsigned logged = w.fake.log_count;
    beat(&w);
    CHECK_EQ(*coherence_trusted_until(w.c), until_ns);
    CHECK_EQ(w.fake.log_count, logged + 1);
    CHECK_EQ(w.fake.log_level, NIGH_LOG_WARN);
    CHECK(strstr(w.fake.log_last, "older nigh") != NULL);
    beat(&w);
    CHECK_EQ(w.fake.log_count, logged + 1); /* told once */
    beat(&w);
    CHECK_STR(world_notes(&w), "lost");
    CHECK(!world_trusts(&w));
    CHECK_NE(followed(&w), 0);
    CHECK_EQ(coherence_server_time_ms(w.c), w.time_ms); /* beats go on telling what they can */
    w.old_moved = false;
    beat(&w);
    CHECK(world_trusts(&w));
    CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), 0);
    logged = w.fake.log_count;
    w.old_moved = true;
    beat(&w);
    CHECK_EQ(w.fake.log_count, logged + 1); /* news again */
    world_close(&w);
}

TEST(a_resync_while_old_nodes_move_gives_no_trust)
{
    world w;
    world_init(&w, 64);
    w.old_nodes = w.old_moved = true;
    world_connect(&w);
    world_pass(&w, 10);
    CHECK_NE(followed(&w), 0);
    CHECK(!world_trusts(&w));
    w.old_moved = false;
    beat(&w);
    CHECK(world_trusts(&w));
    world_close(&w);
}

TEST(old_nodes_are_told_when_the_list_says_that_they_are_there)
{
    world w;
    world_open(&w);
    CHECK_EQ(change_key(&w, "a"), 0);
    watch_begin(&w, false);
    CHECK_EQ(change_key(&w, "b"), 0);
    CHECK_EQ(old_seen, 0);
    w.old_nodes = true;
    move_list(&w);
    CHECK_EQ(change_key(&w, "c"), 0);
    CHECK_EQ(scripts_seen, 3);
    CHECK_EQ(old_seen, 1); /* the second try of the second change */
    w.old_nodes = false;
    move_list(&w);
    CHECK_EQ(change_key(&w, "d"), 0);
    CHECK_EQ(scripts_seen, 5);
    CHECK_EQ(old_seen, 2);
    world_close(&w);
}

/* A frame of wire version 1: its head, identity, position, incarnation, call, items. */
static unsigned pokes_of_old(world *w, uint64_t call, size_t len)
{
    uint8_t bytes[80] = {'n', 'f', 1, 0};
    unsigned before = w->pokes;
    put_le64(bytes + 68, call);
    w->channel->config.old_message(w->channel->config.arg, bytes_of(bytes, len));
    unsigned pokes = w->pokes - before;
    world_pass(w, 10);
    return pokes;
}

TEST(frames_of_old_nodes_want_a_beat_unless_a_bridge_wrote_them)
{
    world w;
    world_open(&w);
    uint64_t beats = stats_read(&w.stats, STATS_BEAT);
    CHECK_EQ(pokes_of_old(&w, 1, 80), 1);
    CHECK_EQ(stats_read(&w.stats, STATS_BEAT), beats + 1);
    CHECK_EQ(pokes_of_old(&w, UINT64_C(1) << 63, 80), 1);
    CHECK_EQ(pokes_of_old(&w, 0, 80), 0); /* our own, or another new node's */
    CHECK_EQ(pokes_of_old(&w, 0, 76), 0);
    CHECK_EQ(pokes_of_old(&w, 0, 75), 1); /* cut: nobody's */
    CHECK_EQ(pokes_of_old(&w, 0, 0), 1);
    CHECK_EQ(stats_read(&w.stats, STATS_BEAT), beats + 4);
    CHECK_EQ(stats_read(&w.stats, STATS_FRAME_BAD), 0);
    CHECK_STR(world_notes(&w), "");
    world_close(&w);
}
