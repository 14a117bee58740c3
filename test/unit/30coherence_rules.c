// SPDX-License-Identifier: MIT
// The table "What breaks without each rule" of the protocol, as far as it is coherence's: each case
// drives the interleaving that its rule is there for.

#include "coherence/apply.h"
#include "coherence/change.h"
#include "worlds/coherence.h"

static uint64_t trusted_until(world *w)
{
    return atomic_load_explicit(coherence_trusted_until(w->c), memory_order_relaxed);
}

/* ---- opening ---- */

TEST(opening_is_a_resync)
{
    world w;
    world_init(&w, 64);
    world_settle(&w);
    CHECK_EQ(coherence_position(w.c).identity, 0);
    CHECK(!world_trusts(&w));
    CHECK_EQ(coherence_server_time_ms(w.c), 0);

    uint64_t sent_ns = w.fake.now_ns;
    world_connect(&w);
    CHECK_GE(w.pokes, 1);
    world_pass(&w, 10);
    CHECK_EQ(coherence_position(w.c).identity, world_clock(&w).identity);
    CHECK_STR(world_notes(&w), "all~ wake");
    CHECK(world_trusts(&w));
    CHECK_GE(trusted_until(&w), sent_ns + WORLD_TRUST_MS * NS_PER_MS);
    CHECK_EQ(coherence_server_time_ms(w.c), w.time_ms);
    CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), 0);
    CHECK_EQ(stats_read(&w.stats, STATS_LOG_SHORT), 0);
    world_close(&w);
}

/* ---- remove, then raise the floor; fence only before the script: order ---- */

static unsigned bumps_judged;

/* While the sink is told: a reader with a ticket above the new floor may judge from here on. */
static void judge_at_floor(world *w, uint16_t slot, bool soft)
{
    if (slot == GROUP_SLOT_ALL)
        return;
    CHECK_EQ(world_judge(w, 0, "t"), soft ? COHERENCE_STALE : COHERENCE_GONE);
    bumps_judged++;
}

TEST(position_before_floor_when_a_frame_comes)
{
    world w;
    world_open(&w);
    w.on_group = judge_at_floor;
    bumps_judged = 0;
    world_other(&w, world_tag("t", true));
    world_hear(&w);
    world_other(&w, world_tag("t", false));
    world_hear(&w);
    CHECK_EQ(bumps_judged, 2);
    world_close(&w);
}

TEST(position_before_floor_when_a_beat_comes)
{
    world w;
    world_open(&w);
    w.on_group = judge_at_floor;
    bumps_judged = 0;
    world_other(&w, world_tag("t", false));
    world_pass(&w, 2 * WORLD_BEAT_MS);
    CHECK_EQ(bumps_judged, 1);
    world_close(&w);
}

TEST(position_before_floor_in_an_own_change)
{
    world w;
    world_open(&w);
    w.on_group = judge_at_floor;
    bumps_judged = 0;
    struct coherence_item item = world_tag("t", false);
    CHECK_EQ(world_change(&w, &item, 1), 0);
    CHECK_EQ(bumps_judged, 1);
    world_close(&w);
}

static void nothing_yet(world *w)
{
    CHECK_STR(w->notes, ""); /* a floor raised before the script would let an old fill above it */
    struct world_request *r = world_take(w, WORLD_CHANGE);
    world_execute(w, r);
    CHECK_STR(w->notes, "");
    world_deliver(r, 0);
}

TEST(local_step_after_the_script_and_before_the_return)
{
    world w;
    world_open(&w);
    w.waiting = nothing_yet;
    struct coherence_item items[] = {world_key("a"), world_tag("t", true)};
    CHECK_EQ(world_change(&w, items, 2), 0);
    char expected[64];
    snprintf(expected, sizeof(expected), "key s/a %s", world_tag_note("t", true));
    CHECK_STR(world_notes(&w), expected);
    world_close(&w);
}

/* ---- own frame skipped while the writer is paused; a beat then vouches: done bit ---- */

static void heard_while_paused(world *w)
{
    struct world_request *r = world_take(w, WORLD_CHANGE);
    world_execute(w, r);
    world_hear(w); /* our frame, and we have not done our local step */
    CHECK_STR(world_notes(w), "key s/a");
    CHECK_EQ(world_applied(w), w->seq);
    world_deliver(r, 0);
}

TEST(own_frame_is_applied_while_the_writer_is_paused)
{
    world w;
    world_open(&w);
    w.waiting = heard_while_paused;
    struct coherence_item item = world_key("a");
    CHECK_EQ(world_change(&w, &item, 1), 0);
    CHECK_STR(world_notes(&w), "key s/a");
    world_close(&w);
}

static void vouched_while_paused(world *w)
{
    struct world_request *r = world_take(w, WORLD_CHANGE);
    world_execute(w, r);
    world_lose_one(w);
    world_pass(w, 2 * WORLD_BEAT_MS);
    CHECK(world_trusts(w));
    CHECK_STR(world_notes(w), "key s/a"); /* trusted, so it must have been applied */
    world_deliver(r, 0);
}

TEST(own_entry_is_applied_before_a_beat_vouches)
{
    world w;
    world_open(&w);
    w.waiting = vouched_while_paused;
    struct coherence_item item = world_key("a");
    CHECK_EQ(world_change(&w, &item, 1), 0);
    world_close(&w);
}

TEST(own_frame_is_skipped_after_the_local_step)
{
    world w;
    world_open(&w);
    world_other(&w, world_key("b")); /* on its way, so that ours is not the next */
    struct coherence_item item = world_key("a");
    CHECK_EQ(world_change(&w, &item, 1), 0);
    CHECK_STR(world_notes(&w), "key s/a");
    CHECK_EQ(world_applied(&w), 0);
    CHECK_EQ(coherence_position(w.c).sequence, 2);
    world_hear(&w);
    CHECK_STR(world_notes(&w), "key s/b");
    CHECK_EQ(world_applied(&w), 2);
    world_close(&w);
}

TEST(another_nodes_call_of_the_same_number_is_not_ours)
{
    world w;
    world_open(&w);
    struct coherence_item item = world_key("a");
    CHECK_EQ(world_change(&w, &item, 1), 0); /* call 1 of ours is finished */
    world_hear(&w);
    world_notes(&w);
    uint8_t tail[256];
    item = world_key("b");
    coherence_tail_encode(tail, WORLD_OTHER, 1, &item, 1);
    world_accept(&w, 99, NULL, 0, tail, coherence_tail_size(&item, 1));
    world_hear(&w);
    CHECK_STR(world_notes(&w), "key s/b");
    world_close(&w);
}

TEST(forgotten_call_is_applied_again)
{
    world w;
    world_open(&w);
    struct coherence_item item = world_key("a");
    world_other(&w, world_key("b"));
    CHECK_EQ(world_change(&w, &item, 1), 0);
    pthread_mutex_lock(&w.c->state->apply_lock);
    coherence_finish_call_locked(w.c, 1 + COHERENCE_FINISHED_CALLS); /* takes its place */
    pthread_mutex_unlock(&w.c->state->apply_lock);
    world_notes(&w);
    world_hear(&w);
    CHECK_STR(world_notes(&w), "key s/b key s/a");
    CHECK_EQ(world_applied(&w), 2);
    world_close(&w);
}

/* ---- L2 value older than a tag bump, heard of or not: positions, stamp of what is known ---- */

TEST(value_below_a_bump_is_not_fresh)
{
    world w;
    world_open(&w);
    CHECK_EQ(world_judge(&w, 0, "t"), COHERENCE_FRESH);
    world_other(&w, world_tag("t", true));
    world_other(&w, world_tag("t", false));
    CHECK_EQ(world_judge(&w, 0, "t"), COHERENCE_FRESH); /* not heard of: for trust to bound */
    world_hear_one(&w);
    CHECK_EQ(world_judge(&w, 0, "t"), COHERENCE_STALE);
    world_hear_one(&w);
    CHECK_EQ(world_judge(&w, 0, "t"), COHERENCE_GONE);
    CHECK_EQ(world_judge(&w, 1, "t"), COHERENCE_GONE);
    CHECK_EQ(world_judge(&w, 2, "t"), COHERENCE_FRESH);
    CHECK_EQ(world_judge(&w, 0, "unrelated"), COHERENCE_FRESH);

    world_other(&w, (struct coherence_item){.kind = WIRE_SPACE, .space = bytes_of_string("s")});
    world_hear(&w);
    CHECK_EQ(world_judge(&w, 2, "unrelated"), COHERENCE_GONE);
    world_other(&w, (struct coherence_item){.kind = WIRE_ALL, .soft = true});
    world_hear(&w);
    CHECK_EQ(world_judge(&w, 3, "unrelated"), COHERENCE_STALE);
    world_close(&w);
}

TEST(soft_flag_in_the_envelope_is_stale)
{
    world w;
    world_open(&w);
    struct l2_clock clock = world_clock(&w);
    struct l2_envelope e = {
        .flags = L2_ENVELOPE_SOFT, .home = clock.home, .identity = clock.identity};
    CHECK_EQ(coherence_judge(w.c, &e, world_space_slot(), clock.home), COHERENCE_STALE);
    world_close(&w);
}

/* A tag known only after the load: the stamp is what was known to have executed before it. */
TEST(stamp_rises_with_all_that_is_known_to_have_executed)
{
    world w;
    world_open(&w);
    uint64_t identity = coherence_position(w.c).identity;
    world_other(&w, world_tag("t", false));
    world_other(&w, world_tag("t", false));
    struct l2_answer answer = {.clock = world_clock(&w)};
    coherence_note(w.c, &answer);
    CHECK_EQ(coherence_position(w.c).sequence, 2);
    CHECK_EQ(coherence_position(w.c).identity, identity);
    CHECK_EQ(world_applied(&w), 0); /* known, not applied */
    world_hear(&w);
    CHECK_EQ(world_judge(&w, 2, "t"), COHERENCE_FRESH);
    answer.clock.sequence = 1;
    coherence_note(w.c, &answer); /* an answer looked at late */
    CHECK_EQ(coherence_position(w.c).sequence, 2);
    world_close(&w);
}

TEST(own_changes_answered_out_of_order)
{
    world w;
    world_open(&w);
    struct coherence_item item = world_tag("t", false);
    struct l2_answer sooner = {.clock = world_clock(&w), .order = 100, .previous = w.nonce};
    struct l2_answer later = {.clock = world_clock(&w), .order = 101, .previous = 11};
    sooner.clock.sequence = 1;
    later.clock.sequence = 2;
    w.seq = 2;
    struct coherence_accepted a = {
        .items = &item, .item_count = 1, .answer = &later, .call = 2, .nonce = 22};
    CHECK(!coherence_settle(w.c, &a));
    CHECK_EQ(world_applied(&w), 0);
    a.answer = &sooner;
    a.call = 1;
    a.nonce = 11;
    CHECK(!coherence_settle(w.c, &a));
    CHECK_EQ(world_applied(&w), 1);
    CHECK_EQ(world_judge(&w, 1, "t"), COHERENCE_GONE); /* the position did not fall back */
    CHECK_EQ(coherence_position(w.c).sequence, 2);
    world_close(&w);
}

/* ---- frame lost; lost and trimmed; floors not re-read: beat, resync ---- */

TEST(frame_lost)
{
    world w;
    world_open(&w);
    world_other(&w, world_key("a"));
    world_other(&w, world_key("b"));
    world_lose_one(&w);
    unsigned pokes = w.pokes;
    world_hear(&w);
    CHECK_STR(world_notes(&w), ""); /* not applied over a hole */
    CHECK_EQ(world_applied(&w), 0);
    CHECK_EQ(w.pokes, pokes + 1);
    CHECK_EQ(stats_read(&w.stats, STATS_FRAME_GAP), 1);
    world_pass(&w, 10);
    CHECK_STR(world_notes(&w), "key s/a key s/b");
    CHECK_EQ(world_applied(&w), 2);
    CHECK_EQ(stats_read(&w.stats, STATS_BEAT_APPLIED), 2);
    CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), 0); /* the opening is none */
    world_close(&w);
}

TEST(frame_lost_and_trimmed)
{
    world w;
    world_open(&w);
    world_other(&w, world_key("a"));
    world_other(&w, world_tag("t", false));
    world_other(&w, world_tag("u", true));
    world_line_clear(&w.said);
    world_line_clear(&w.log);
    world_pass(&w, 2 * WORLD_BEAT_MS);
    char expected[64];
    snprintf(expected, sizeof(expected), "all~ %s all~ wake", world_tag_note("t", false));
    CHECK_STR(world_notes(&w), expected); /* forgotten; read anew; everything else is stale */
    CHECK_EQ(world_applied(&w), 3);
    CHECK_EQ(world_judge(&w, 1, "t"), COHERENCE_GONE);
    CHECK_EQ(world_judge(&w, 3, "t"), COHERENCE_FRESH);
    CHECK(world_trusts(&w));
    CHECK_EQ(stats_read(&w.stats, STATS_LOG_SHORT), 1);
    struct coherence_past past;
    coherence_past_read(w.c, &past);
    CHECK_STR(past.resync.why, "redis' log did not reach back to what was applied here");
    CHECK_LE(past.resync.ago_ms, 2 * WORLD_BEAT_MS);
    CHECK_STR(past.doubt.why, "");
    world_close(&w);
}

TEST(hole_in_the_middle_of_the_log)
{
    world w;
    world_open(&w);
    for (int i = 0; i < 3; i++)
        world_other(&w, world_key("a"));
    free(w.log.frames[1].bytes);
    w.log.frames[1] = w.log.frames[2];
    w.log.count = 2;
    uint64_t until_ns = trusted_until(&w);
    world_beat_answered(&w);
    CHECK_EQ(trusted_until(&w), until_ns); /* not before the resync has been applied */
    CHECK_EQ(coherence_position(w.c).identity, 0);
    world_settle(&w);
    CHECK_GT(trusted_until(&w), until_ns);
    CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), 1);
    world_close(&w);
}

TEST(log_entry_that_is_no_frame)
{
    world w;
    world_open(&w);
    world_other(&w, world_key("a"));
    world_line_clear(&w.said);
    w.log.frames[0].bytes[0] ^= 1;
    world_pass(&w, 2 * WORLD_BEAT_MS);
    CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), 1);
    CHECK_EQ(world_applied(&w), 1);
    world_close(&w);
}

/* The stream outlived a change of server that this node has not noticed yet. */
TEST(log_entry_of_another_clock)
{
    world w;
    world_open(&w);
    world_other(&w, world_key("a"));
    world_line_clear(&w.said);
    memset(w.log.frames[0].bytes + 4, 'b', 40);
    world_pass(&w, 2 * WORLD_BEAT_MS);
    CHECK_STR(world_notes(&w), "all~ all~ wake");
    CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), 1);
    world_close(&w);
}

TEST(repeated_frames_are_dropped)
{
    world w;
    world_open(&w);
    world_other(&w, world_key("a"));
    struct world_frame *f = &w.said.frames[0];
    struct bytes payload = bytes_of(f->bytes, f->len);
    w.channel->config.message(w.c, payload);
    w.channel->config.message(w.c, payload);
    CHECK_STR(world_notes(&w), "key s/a");
    CHECK_EQ(world_applied(&w), 1);
    world_close(&w);
}

/* ---- clk lost; log lost alone; failover with restored data: the identity of the clock ---- */

TEST(clk_deleted)
{
    world w;
    world_open(&w);
    world_other(&w, world_tag("t", false));
    world_hear(&w);
    world_notes(&w);
    uint64_t before = coherence_position(w.c).identity;
    w.id = 0;
    world_pass(&w, 2 * WORLD_BEAT_MS);
    CHECK_NE(coherence_position(w.c).identity, before);
    CHECK_NE(coherence_position(w.c).identity, 0);
    CHECK_STR(world_notes(&w), "all~ all~ wake"); /* nothing of the two strings can be compared */
    CHECK(world_trusts(&w));
    struct coherence_past past;
    coherence_past_read(w.c, &past);
    CHECK_STR(past.resync.why, "redis is another, or has lost its data");
    world_close(&w);
}

TEST(clk_restored_from_an_old_copy)
{
    world w;
    world_open(&w);
    for (int i = 0; i < 3; i++)
        world_other(&w, world_tag("t", false));
    world_hear(&w);
    world_notes(&w);
    w.seq = 1; /* the same id, the same server */
    world_pass(&w, 2 * WORLD_BEAT_MS);
    CHECK_STR(world_notes(&w), "all~ all~ wake");
    CHECK_EQ(world_applied(&w), 1);
    struct coherence_past past;
    coherence_past_read(w.c, &past);
    CHECK_STR(past.resync.why, "redis has lost changes that it had accepted");
    world_close(&w);
}

TEST(log_deleted_alone)
{
    world w;
    world_open(&w);
    world_other(&w, world_key("a"));
    world_hear(&w);
    world_notes(&w);
    world_line_clear(&w.log);
    world_pass(&w, 2 * WORLD_BEAT_MS);
    CHECK_STR(world_notes(&w), ""); /* nothing was missed, so nothing is lost */
    world_close(&w);
}

TEST(restart_with_saved_data)
{
    world w;
    world_open(&w);
    world_other(&w, world_tag("t", false));
    world_line_clear(&w.said);
    memset(w.replid, 'b', sizeof(w.replid));
    world_pass(&w, 2 * WORLD_BEAT_MS);
    char expected[64];
    snprintf(expected, sizeof(expected), "all~ %s all~ wake", world_tag_note("t", false));
    CHECK_STR(world_notes(&w), expected); /* same clk string: its bumps can be compared */
    world_close(&w);
}

/* A tail was lost, and a new bump stands below the one that went with it. */
TEST(failover_that_lost_a_tail)
{
    world w;
    world_open(&w);
    for (int i = 0; i < 5; i++)
        world_other(&w, world_tag("t", false));
    world_hear(&w);
    world_notes(&w);
    memset(w.replid, 'b', sizeof(w.replid));
    w.seq = 2;
    world_line_clear(&w.log);
    world_other(&w, world_tag("t", false)); /* at 3, not heard of */
    world_line_clear(&w.said);
    world_pass(&w, 2 * WORLD_BEAT_MS);
    char expected[64];
    snprintf(expected, sizeof(expected), "all~ %s all~ wake", world_tag_note("t", false));
    CHECK_STR(world_notes(&w), expected);
    CHECK_EQ(world_judge(&w, 2, "t"), COHERENCE_GONE);
    CHECK_EQ(world_judge(&w, 3, "t"), COHERENCE_FRESH);
    world_close(&w);
}

/* ---- failover between a beat and a GET on the new server: home ---- */

TEST(value_of_another_home_is_stale)
{
    world w;
    world_open(&w);
    struct l2_clock clock = world_clock(&w);
    struct l2_envelope e = {.home = clock.home, .identity = clock.identity, .sequence = 9};
    uint16_t space = world_space_slot();
    CHECK_EQ(coherence_judge(w.c, &e, space, clock.home), COHERENCE_FRESH);
    CHECK_EQ(coherence_judge(w.c, &e, space, clock.home + 1), COHERENCE_UNKNOWN);
    e.home++;
    CHECK_EQ(coherence_judge(w.c, &e, space, clock.home), COHERENCE_UNKNOWN);
    e.home--;
    e.identity++;
    CHECK_EQ(coherence_judge(w.c, &e, space, clock.home), COHERENCE_UNKNOWN);
    world_close(&w);
}

/* ---- a clock that is not followed: rule 8 ---- */

TEST(foreign_clock_in_an_answer)
{
    world w;
    world_open(&w);
    memset(w.replid, 'b', sizeof(w.replid));
    struct l2_answer answer = {.clock = world_clock(&w), .order = ++w.order};
    coherence_note(w.c, &answer);
    CHECK_EQ(coherence_position(w.c).identity, 0);
    CHECK_STR(world_notes(&w), "all~");
    CHECK_EQ(world_judge(&w, 9, "t"), COHERENCE_UNKNOWN);
    coherence_note(w.c, &answer); /* nothing is left to be forgotten */
    CHECK_STR(world_notes(&w), "");
    uint64_t floor = w.floors;
    CHECK_EQ(w.left_at, 0);
    world_pass(&w, 10);
    CHECK_EQ(coherence_position(w.c).identity, answer.clock.identity);
    CHECK_EQ(w.left_at, floor);
    world_close(&w);
}

/* Stamps that a later loss of the trail finds are still of this clock; those of another one were
 * left behind earlier than that. */
TEST(a_clock_found_again_was_not_left)
{
    world w;
    world_open(&w);
    memset(w.replid, 'b', sizeof(w.replid));
    world_pass(&w, 2 * WORLD_BEAT_MS);
    uint64_t left_at = w.left_at;
    CHECK_NE(left_at, 0);
    world_other(&w, world_key("a"));
    world_line_clear(&w.said);
    world_line_clear(&w.log);
    world_pass(&w, 2 * WORLD_BEAT_MS);
    CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), 2);
    CHECK_EQ(w.left_at, left_at);
    world_close(&w);
}

TEST(foreign_clock_in_a_frame)
{
    world w;
    world_open(&w);
    memset(w.replid, 'b', sizeof(w.replid));
    world_other(&w, world_key("a"));
    world_hear(&w);
    CHECK_NE(coherence_position(w.c).identity, 0);
    CHECK_STR(world_notes(&w), "");
    world_pass(&w, 10);
    CHECK_STR(world_notes(&w), "all~ all~ wake");
    CHECK_EQ(world_applied(&w), 1);
    world_close(&w);
}

TEST(failed_answer_tells_no_clock)
{
    world w;
    world_open(&w);
    struct l2_answer answer = {.status = NIGH_ETIMEDOUT, .clock = world_clock(&w)};
    answer.clock.identity++;
    coherence_note(w.c, &answer);
    answer.status = 0;
    answer.clock.identity = 0; /* not told */
    coherence_note(w.c, &answer);
    CHECK_NE(coherence_position(w.c).identity, 0);
    world_close(&w);
}

/*
 * The server has restarted. Our resync was executed there, its answer is on its way; then our
 * change of a tag is accepted. The answer does not know of it: it would let pass what L2 has.
 */
TEST(resync_older_than_a_write_that_met_a_new_clock)
{
    world w;
    world_open(&w);
    memset(w.replid, 'b', sizeof(w.replid));
    world_beat_answered(&w);
    struct world_request *resync = world_take(&w, WORLD_RESYNC);
    REQUIRE(resync);
    world_execute(&w, resync);
    uint64_t before = w.seq;

    struct coherence_item item = world_tag("t", false);
    CHECK_EQ(world_change(&w, &item, 1), 0);
    world_deliver(resync, 0);
    coherence_tick(w.c);
    CHECK_EQ(coherence_position(w.c).identity, 0);
    CHECK_NE(world_judge(&w, before, "t"), COHERENCE_FRESH);
    CHECK_EQ(stats_read(&w.stats, STATS_BEAT_FAILED), 1);
    world_pass(&w, 10);
    CHECK_NE(coherence_position(w.c).identity, 0);
    CHECK_EQ(world_judge(&w, before, "t"), COHERENCE_GONE);
    world_close(&w);
}

/* A beat that is executed, its answer on its way. */
static struct world_request *open_with_beat(world *w)
{
    world_open(w);
    fake_env_advance(&w->fake, 2 * WORLD_BEAT_MS * NS_PER_MS);
    coherence_tick(w->c);
    struct world_request *beat = world_take(w, WORLD_BEAT);
    REQUIRE(beat);
    world_execute(w, beat);
    return beat;
}

/* The same with a beat: its answer comes from before the restart. */
TEST(beat_older_than_a_write_that_met_a_new_clock)
{
    world w;
    struct world_request *beat = open_with_beat(&w);
    uint64_t until_ns = trusted_until(&w);
    memset(w.replid, 'b', sizeof(w.replid));
    struct coherence_item item = world_tag("t", false);
    CHECK_EQ(world_change(&w, &item, 1), 0);
    world_deliver(beat, 0);
    coherence_tick(w.c);
    CHECK_EQ(trusted_until(&w), until_ns);
    world_pass(&w, 10);
    CHECK_EQ(world_judge(&w, 0, "t"), COHERENCE_GONE);
    CHECK_GT(trusted_until(&w), until_ns);
    world_close(&w);
}

/* Where writers are busy there is always a later answer: it voids no beat. */
TEST(beat_overtaken_by_writes_under_the_same_clock)
{
    world w;
    struct world_request *beat = open_with_beat(&w);
    uint64_t until_ns = trusted_until(&w);
    struct coherence_item item = world_tag("t", false);
    CHECK_EQ(world_change(&w, &item, 1), 0);
    CHECK_EQ(world_change(&w, &item, 1), 0);
    world_deliver(beat, 0);
    coherence_tick(w.c);
    CHECK_GT(trusted_until(&w), until_ns);
    CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), 0);
    world_close(&w);
}

static uint64_t serve_round(void *arg)
{
    world *w = arg;
    uint64_t next_ns = coherence_tick(w->c);
    if (world_serve_one(w, WORLD_BEAT) || world_serve_one(w, WORLD_RESYNC))
        return 0;
    return next_ns;
}

TEST(writer_that_met_a_new_clock_waits_for_it)
{
    world w;
    world_open(&w);
    memset(w.replid, 'b', sizeof(w.replid));
    w.fake.step = serve_round;
    w.fake.step_arg = &w;
    struct coherence_item item = world_tag("t", false);
    struct coherence_position at = {0, 0};
    struct coherence_change change = {
        .items = &item,
        .item_count = 1,
        .deadline_ns = clock_deadline_ns(w.fake.env.clock, 250),
    };
    CHECK_EQ(coherence_change(w.c, &change, &at), 0);
    CHECK_EQ(coherence_position(w.c).identity, world_clock(&w).identity);
    CHECK_EQ(at.identity, world_clock(&w).identity);
    CHECK_EQ(at.sequence, 1);
    CHECK_LT(w.fake.now_ns, change.deadline_ns);
    world_close(&w);
}

static uint64_t serve_nothing(void *arg)
{
    world *w = arg;
    return coherence_tick(w->c);
}

TEST(writer_waits_for_a_clock_no_longer_than_its_deadline)
{
    world w;
    world_open(&w);
    memset(w.replid, 'b', sizeof(w.replid));
    w.fake.step = serve_nothing;
    w.fake.step_arg = &w;
    struct coherence_item item = world_tag("t", false);
    uint64_t deadline_ns = clock_deadline_ns(w.fake.env.clock, 250);
    CHECK_EQ(world_change(&w, &item, 1), 0); /* accepted all the same */
    CHECK_EQ(w.fake.now_ns, deadline_ns);
    world_close(&w);
}

/* ---- trust counted from the reply: send time ---- */

TEST(trust_counts_from_the_sending)
{
    world w;
    world_open(&w);
    fake_env_advance(&w.fake, 2 * WORLD_BEAT_MS * NS_PER_MS);
    uint64_t sent_ns = w.fake.now_ns;
    coherence_tick(w.c);
    struct world_request *beat = world_take(&w, WORLD_BEAT);
    REQUIRE(beat);
    fake_env_advance(&w.fake, 300 * NS_PER_MS);
    world_execute(&w, beat);
    fake_env_advance(&w.fake, 400 * NS_PER_MS);
    world_deliver(beat, 0);
    fake_env_advance(&w.fake, 500 * NS_PER_MS); /* the keeper was busy */
    coherence_tick(w.c);
    CHECK_EQ(trusted_until(&w), sent_ns + WORLD_TRUST_MS * NS_PER_MS);
    world_close(&w);
}

TEST(trust_of_a_resync_counts_from_its_own_sending)
{
    world w;
    world_init(&w, 64);
    world_connect(&w);
    coherence_tick(w.c);
    fake_env_advance(&w.fake, 100 * NS_PER_MS);
    CHECK(world_serve_one(&w, WORLD_BEAT));
    uint64_t sent_ns = w.fake.now_ns;
    coherence_tick(w.c);
    fake_env_advance(&w.fake, 100 * NS_PER_MS);
    CHECK(world_serve_one(&w, WORLD_RESYNC));
    coherence_tick(w.c);
    CHECK_EQ(trusted_until(&w), sent_ns + WORLD_TRUST_MS * NS_PER_MS);
    world_close(&w);
}

/* A server may refuse one thing and do the others. Only refused beats cost trust. */
TEST(doubt_was_put_down_to_whatever_was_refused)
{
    static const struct {
        uint32_t refused;
        const char *why;
    } all[] = {{L2_LEASES | L2_FILLS, "redis was connected, but no beat was answered in time"},
               {L2_LEASES | L2_BEATS, "redis refused: MISCONF"}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        world w;
        struct coherence_past past;
        world_open(&w);
        w.problem = (struct l2_problem){.text = "MISCONF", .refused = all[i].refused};
        w.connected = false;
        fake_env_advance(&w.fake, WORLD_TRUST_MS * NS_PER_MS);
        coherence_tick(w.c);
        world_connect(&w);
        world_pass(&w, 10);
        coherence_past_read(w.c, &past);
        CHECK_STR(past.doubt.why, all[i].why);
        world_close(&w);
    }
}

TEST(trust_runs_out_and_comes_back)
{
    world w;
    world_open(&w);
    w.connected = false;
    fake_env_advance(&w.fake, WORLD_TRUST_MS * NS_PER_MS);
    uint64_t next_ns = coherence_tick(w.c);
    CHECK_STR(world_notes(&w), "lost");
    CHECK(!world_trusts(&w));
    CHECK_LE(next_ns, w.fake.now_ns + 2 * WORLD_BEAT_MS * NS_PER_MS);
    coherence_tick(w.c);
    CHECK_STR(world_notes(&w), ""); /* told once */
    world_other(&w, world_key("a"));
    world_connect(&w);
    world_pass(&w, 10);
    CHECK(world_trusts(&w));
    CHECK_STR(world_notes(&w), "key s/a"); /* the trail was whole: nothing else is stale */
    CHECK_EQ(stats_read(&w.stats, STATS_TRUST_LOST), 1);
    struct coherence_past past;
    coherence_past_read(w.c, &past);
    CHECK_STR(past.doubt.why, "redis was connected, but no beat was answered in time");
    CHECK_GE(past.doubt.lasted_ms, 1);
    CHECK_LE(past.doubt.ago_ms, 10);
    CHECK(!past.doubt.stale);
    CHECK(past.resync.why == NULL);
    fake_env_advance(&w.fake, 50 * NS_PER_S); /* nobody ticks */
    world_pass(&w, 2 * WORLD_BEAT_MS);
    coherence_past_read(w.c, &past);
    CHECK(strncmp(past.doubt.why, "this process did not run, or was not ticked, for 4", 49) == 0);
    w.outage = (struct l2_outage){.text = "refused", .first = "silent", .lasted_ms = 30000};
    fake_env_advance(&w.fake, (WORLD_TRUST_MS + 1000) * NS_PER_MS); /* the keeper is late for it */
    world_pass(&w, 2 * WORLD_BEAT_MS);
    coherence_past_read(w.c, &past);
    CHECK_STR(past.doubt.why, "redis was away: silent");
    fake_env_advance(&w.fake, 50 * NS_PER_S);
    world_pass(&w, 2 * WORLD_BEAT_MS);
    coherence_past_read(w.c, &past);
    CHECK(strncmp(past.doubt.why, "this process did not run, ", 26) == 0);
    world_close(&w);
}
