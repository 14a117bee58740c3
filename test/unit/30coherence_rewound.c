// SPDX-License-Identifier: MIT
// Rule 16: a history that was rewound is noticed, by whatever tells of it first.

#include "support/clocks.h"
#include "worlds/coherence.h"

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

/* The beat's answer is not believed, and nothing is followed: that ends with a clock made anew. */
static void vain_beat(world *w, uint64_t until_ns)
{
    CHECK_EQ(*coherence_trusted_until(w->c), until_ns);
    CHECK_EQ(followed(w), 0);
}

static void renewed_end(world *w)
{
    world_settle(w);
    CHECK_EQ(w->renewed, 1);
    check_well(w);
    world_close(w);
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
    world_beat_answered(&w);
    vain_beat(&w, until_ns);
    renewed_end(&w);
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
    struct world_request *r = world_beat_executed(&w);
    world_hear_one(&w); /* x1 */
    CHECK_STR(world_notes(&w), "key s/x1");
    CHECK_EQ(world_applied(&w), 1);
    lose_frames(&w);
    uint64_t until_ns = *coherence_trusted_until(w.c);
    world_deliver(r, 0);
    coherence_tick(w.c);
    vain_beat(&w, until_ns);
    renewed_end(&w);
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
    struct world_request *r = world_beat_executed(&w);
    world_hear_one(&w); /* x1 */
    lose_frames(&w);
    world_deliver(r, 0);
    renewed_end(&w);
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
    world_beat_answered(&w);
    CHECK_EQ(followed(&w), 0);
    CHECK_EQ(w.renewed, 0);
    world_load(&w, &copy);
    world_settle(&w);
    CHECK_NE(followed(&w), before);
    renewed_end(&w);
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
