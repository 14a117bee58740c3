// SPDX-License-Identifier: MIT
// When beats are sent, what follows from them, and what becomes of them at close.

#include "worlds/coherence.h"

static unsigned requests_count(const world *w)
{
    unsigned count = 0;
    for (const struct world_request *r = w->requests; r; r = r->next)
        count++;
    return count;
}

/* A beat's time has passed: send what is due, answer it. */
static void beat(world *w)
{
    world_pass(w, WORLD_BEAT_MS + WORLD_BEAT_MS / 5);
}

/* The same, but it is not answered yet. */
static void send_beat(world *w)
{
    fake_env_advance(&w->fake, 2 * WORLD_BEAT_MS * NS_PER_MS);
    coherence_tick(w->c);
}

TEST(beats_come_in_their_time)
{
    world w;
    world_open(&w);
    uint64_t next_ns = coherence_tick(w.c);
    CHECK_GE(next_ns, w.fake.now_ns + WORLD_BEAT_MS * NS_PER_MS * 8 / 10);
    CHECK_LE(next_ns, w.fake.now_ns + WORLD_BEAT_MS * NS_PER_MS * 11 / 10);
    uint64_t before = stats_read(&w.stats, STATS_BEAT);
    fake_env_advance(&w.fake, next_ns - w.fake.now_ns);
    world_settle(&w);
    CHECK_EQ(stats_read(&w.stats, STATS_BEAT), before + 1);
    CHECK_STR(world_notes(&w), "");
    world_close(&w);
}

TEST(server_time_follows_the_beats)
{
    world w;
    world_open(&w);
    uint64_t before_ms = coherence_server_time_ms(w.c);
    w.time_ms += 60000; /* somebody set its clock */
    fake_env_advance(&w.fake, 500 * NS_PER_MS);
    CHECK_EQ(coherence_server_time_ms(w.c), before_ms + 500);
    beat(&w);
    CHECK_EQ(coherence_server_time_ms(w.c), w.time_ms);
    fake_env_advance(&w.fake, 500 * NS_PER_MS);
    CHECK_EQ(coherence_server_time_ms(w.c), w.time_ms + 500);
    world_close(&w);
}

/* options.clock may be the wall clock itself: no difference is a difference too. */
TEST(server_time_is_known_where_the_clocks_agree)
{
    world w;
    world_init(&w, 64);
    w.time_ms = w.fake.now_ns / NS_PER_MS;
    world_connect(&w);
    world_settle(&w);
    CHECK_GE(coherence_server_time_ms(w.c), w.time_ms);
    CHECK_LE(coherence_server_time_ms(w.c), w.time_ms + 1);
    world_close(&w);
}

TEST(many_wishes_are_one_beat_and_one_that_follows)
{
    world w;
    world_open(&w);
    fake_env_advance(&w.fake, 10 * NS_PER_MS);
    unsigned pokes = w.pokes;
    for (int i = 0; i < 10; i++)
        coherence_keeper_want_beat(w.c);
    CHECK_EQ(w.pokes, pokes + 1);
    coherence_tick(w.c);
    CHECK_EQ(requests_count(&w), 1);
    for (int i = 0; i < 10; i++) {
        coherence_keeper_want_beat(w.c);
        fake_env_advance(&w.fake, 10 * NS_PER_MS);
        coherence_tick(w.c);
    }
    CHECK_EQ(requests_count(&w), 1); /* never two on their way */
    CHECK(world_serve_one(&w, WORLD_BEAT));
    coherence_tick(w.c);
    CHECK_EQ(requests_count(&w), 1);
    CHECK(world_serve_one(&w, WORLD_BEAT));
    coherence_tick(w.c);
    CHECK_EQ(requests_count(&w), 0);
    world_close(&w);
}

TEST(demands_keep_a_distance)
{
    world w;
    world_open(&w);
    uint64_t before = stats_read(&w.stats, STATS_BEAT);
    for (int i = 0; i < 1000; i++) { /* garbage at 10 kHz for a tenth of a second */
        w.channel->config.message(w.c, bytes_of_string("garbage"));
        fake_env_advance(&w.fake, NS_PER_MS / 10);
        world_settle(&w);
    }
    uint64_t beats = stats_read(&w.stats, STATS_BEAT) - before;
    CHECK_EQ(stats_read(&w.stats, STATS_FRAME_BAD), 1000);
    CHECK_GE(beats, 4);
    CHECK_LE(beats, 8);
    world_close(&w);
}

TEST(trail_longer_than_one_answer)
{
    world w;
    world_open(&w);
    for (int i = 0; i < 7; i++)
        world_other(&w, world_key("a"));
    world_line_clear(&w.said);
    w.entries_max = 3;
    uint64_t until_ns = *coherence_trusted_until(w.c);
    fake_env_advance(&w.fake, 2 * WORLD_BEAT_MS * NS_PER_MS);
    for (unsigned applied = 3; applied <= 6; applied += 3) {
        coherence_tick(w.c);
        CHECK(world_serve_one(&w, WORLD_BEAT));
        coherence_tick(w.c);
        CHECK_EQ(world_applied(&w), applied);
        CHECK_EQ(*coherence_trusted_until(w.c), until_ns); /* there is more to be applied */
    }
    CHECK(world_serve_one(&w, WORLD_BEAT)); /* at once */
    coherence_tick(w.c);
    CHECK_EQ(world_applied(&w), 7);
    CHECK_GT(*coherence_trusted_until(w.c), until_ns);
    CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), 0);
    CHECK_EQ(requests_count(&w), 0);
    world_close(&w);
}

TEST(entries_that_came_by_the_channel_meanwhile)
{
    world w;
    world_open(&w);
    world_other(&w, world_key("a"));
    send_beat(&w);
    struct world_request *r = world_take(&w, WORLD_BEAT);
    REQUIRE(r);
    world_execute(&w, r);
    world_other(&w, world_key("b"));
    world_hear(&w);
    world_deliver(r, 0);
    world_settle(&w);
    CHECK_STR(world_notes(&w), "key s/a key s/b");
    CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), 0);
    world_close(&w);
}

TEST(failed_beat_changes_nothing)
{
    world w;
    world_open(&w);
    uint64_t until_ns = *coherence_trusted_until(w.c);
    send_beat(&w);
    world_deliver(world_take(&w, WORLD_BEAT), NIGH_ETIMEDOUT);
    coherence_tick(w.c);
    CHECK_EQ(*coherence_trusted_until(w.c), until_ns);
    CHECK_NE(coherence_position(w.c).identity, 0);
    CHECK_EQ(stats_read(&w.stats, STATS_BEAT_FAILED), 1);
    CHECK_STR(world_notes(&w), "");
    world_close(&w);
}

static uint64_t doubt_ms(world *w)
{
    struct coherence_gauges g;
    coherence_gauges_read(w->c, &g);
    return g.doubt_ms;
}

/* Those who add it up take a sum that shrinks for one that began anew. */
TEST(time_in_doubt_is_summed_and_never_shrinks)
{
    world w;
    world_open(&w);
    CHECK_EQ(doubt_ms(&w), 0);
    for (int times = 0; times < 2; times++) {
        uint64_t until_ns = *coherence_trusted_until(w.c), before_ms = doubt_ms(&w);
        w.connected = false;
        fake_env_advance(&w.fake, until_ns - w.fake.now_ns);
        coherence_tick(w.c);
        fake_env_advance(&w.fake, 5 * NS_PER_S);
        uint64_t seen_ms = doubt_ms(&w);
        CHECK_GE(seen_ms, before_ms + 4996);
        CHECK_LE(seen_ms, before_ms + 5000);
        w.fake.now_ns -= 4 * NS_PER_MS; /* the keeper has looked at the clock before us */
        world_connect(&w);
        world_settle(&w);
        CHECK(world_trusts(&w));
        CHECK_EQ(doubt_ms(&w), seen_ms);
    }
    world_close(&w);
}

TEST(failed_resync_is_tried_again)
{
    world w;
    world_open(&w);
    w.id = 0;
    send_beat(&w);
    CHECK(world_serve_one(&w, WORLD_BEAT));
    coherence_tick(w.c);
    world_deliver(world_take(&w, WORLD_RESYNC), NIGH_EOFFLINE);
    coherence_tick(w.c);
    CHECK_EQ(coherence_position(w.c).identity, 0);
    beat(&w);
    CHECK_NE(coherence_position(w.c).identity, 0);
    world_close(&w);
}

/* ---- a clk of another node's making ---- */

TEST(clk_of_other_group_slots)
{
    world w;
    world_init(&w, 64);
    w.slots_shown = 4096;
    world_connect(&w);
    world_pass(&w, 10);
    CHECK_EQ(coherence_position(w.c).identity, 0);
    CHECK(!world_trusts(&w));
    CHECK_EQ(w.fake.log_level, NIGH_LOG_ERROR);
    CHECK(strstr(w.fake.log_last, "2048") && strstr(w.fake.log_last, "4096"));
    for (int i = 0; i < 10; i++) { /* wished for, but not fetched at every wish */
        coherence_keeper_want_beat(w.c);
        world_pass(&w, 10);
    }
    CHECK_EQ(stats_read(&w.stats, STATS_BEAT_FAILED), 1);
    CHECK_EQ(stats_read(&w.stats, STATS_GROUP_SLOTS_DIFFER), 1);
    w.slots_shown = 0;
    beat(&w);
    CHECK(world_trusts(&w));
    world_close(&w);
}

/* ---- the listener ---- */

TEST(quiet_listener_is_left_alone)
{
    world w;
    world_open(&w);
    world_other(&w, world_key("a"));
    world_hear(&w);
    for (int i = 0; i < 5; i++)
        beat(&w);
    CHECK_EQ(w.channel->reconnects, 0);
    world_close(&w);
}

TEST(listener_a_moment_behind_is_left_alone)
{
    world w;
    world_open(&w);
    for (int i = 0; i < 5; i++) {
        world_other(&w, world_key("a"));
        beat(&w); /* has it first */
        world_hear(&w);
    }
    CHECK_EQ(w.channel->reconnects, 0);
    world_close(&w);
}

TEST(listener_behind_in_two_beats_is_reconnected)
{
    world w;
    world_open(&w);
    beat(&w);
    world_other(&w, world_key("a"));
    world_line_clear(&w.said);
    beat(&w);
    CHECK_EQ(w.channel->reconnects, 0);
    for (int i = 0; i < 10; i++) { /* beats on demand are no measure of time */
        coherence_keeper_want_beat(w.c);
        world_pass(&w, 6);
    }
    CHECK_EQ(w.channel->reconnects, 0);
    beat(&w);
    CHECK_EQ(w.channel->reconnects, 1);
    world_close(&w);
}

/* Of changes that Redis does not publish (their node lacks the right) no connection brings any. */
TEST(a_listener_was_reconnected_every_other_beat_for_what_nobody_published)
{
    world w;
    world_open(&w);
    for (int i = 0; i < 40; i++) { /* s */
        beat(&w);
        world_other(&w, world_key("a"));
        world_line_clear(&w.said);
    }
    CHECK_GE(w.channel->reconnects, 2); /* it may have been the connection after all */
    CHECK_LE(w.channel->reconnects, 4);
    unsigned before = w.channel->reconnects;
    world_other(&w, world_key("a"));
    world_hear(&w); /* and now it hears: the next time that it does not is another matter */
    beat(&w);
    world_other(&w, world_key("a"));
    world_line_clear(&w.said);
    beat(&w);
    beat(&w);
    CHECK_EQ(w.channel->reconnects, before + 1);
    world_close(&w);
}

TEST(what_a_listener_could_not_hear_is_not_held_against_it)
{
    world w;
    world_open(&w);
    w.channel->config.down(w.c);
    world_other(&w, world_key("a"));
    world_line_clear(&w.said);
    beat(&w);
    w.channel->config.up(w.c);
    CHECK_STR(world_notes(&w), "key s/a wake");
    for (int i = 0; i < 3; i++)
        beat(&w);
    CHECK_EQ(w.channel->reconnects, 0);
    CHECK_EQ(stats_read(&w.stats, STATS_LISTENER_LOST), 1);
    CHECK_EQ(stats_read(&w.stats, STATS_LISTENER_CONNECT), 2);
    world_close(&w);
}

/* ---- how late the channel is ---- */

static struct histogram_sum lag(world *w)
{
    struct histogram_sum sum;
    stats_histogram_read(&w->stats, STATS_COHERENCE_LAG, &sum);
    return sum;
}

static uint64_t behind_ms(world *w)
{
    struct coherence_gauges g;
    coherence_gauges_read(w->c, &g);
    return g.behind_ms;
}

/* The answer to a beat comes so long after it was sent; all that is due is served then. */
static void beat_in(world *w, uint64_t way_ms)
{
    fake_env_advance(&w->fake, (WORLD_BEAT_MS + WORLD_BEAT_MS / 5) * NS_PER_MS);
    coherence_tick(w->c);
    struct world_request *r = world_take(w, WORLD_BEAT);
    REQUIRE(r);
    world_execute(w, r);
    fake_env_advance(&w->fake, way_ms * NS_PER_MS);
    world_deliver(r, 0);
    coherence_tick(w->c);
}

/* A beat has told of a change, and the channel has not brought it. */
static void open_owing(world *w)
{
    world_open(w);
    beat_in(w, 0);
    world_other(w, world_key("a"));
    beat_in(w, 0);
}

TEST(changes_of_others_that_were_heard_are_as_late_as_the_way)
{
    world w;
    world_open(&w);
    beat_in(&w, 8);
    CHECK_EQ(lag(&w).count, 0); /* no news */
    world_other(&w, world_key("a"));
    world_hear(&w);
    beat_in(&w, 8);
    CHECK_EQ(lag(&w).count, 1);
    CHECK_EQ(lag(&w).sum_ns, 4 * NS_PER_MS);
    beat_in(&w, 8);
    CHECK_EQ(lag(&w).count, 1);
    world_close(&w);
}

TEST(changes_of_others_are_late_until_the_channel_brings_them)
{
    world w;
    world_open(&w);
    beat_in(&w, 0);
    for (int i = 0; i < 2; i++)
        world_other(&w, world_key("a"));
    beat_in(&w, 8);
    CHECK_EQ(behind_ms(&w), 4);
    fake_env_advance(&w.fake, 300 * NS_PER_MS);
    world_hear_one(&w); /* not yet all that was told of */
    CHECK_EQ(lag(&w).count, 0);
    CHECK_EQ(behind_ms(&w), 304);
    world_other(&w, world_key("a"));
    fake_env_advance(&w.fake, 100 * NS_PER_MS);
    world_hear_one(&w);
    CHECK_EQ(lag(&w).count, 1);
    CHECK_EQ(lag(&w).sum_ns, 404 * NS_PER_MS);
    CHECK_EQ(coherence_take_lag_most_ns(w.c), 0); /* it was so much, and perhaps more */
    CHECK_EQ(behind_ms(&w), 0);
    world_close(&w);
}

/* A channel that lags by more than a beat: no answer is counted that only tells of more. */
TEST(what_is_owed_since_several_beats_counts_from_the_first)
{
    world w;
    open_owing(&w);
    uint64_t from_ns = w.fake.now_ns;
    world_other(&w, world_key("a"));
    fake_env_advance(&w.fake, 600 * NS_PER_MS);
    coherence_keeper_want_beat(w.c);
    world_settle(&w);
    CHECK_EQ(lag(&w).count, 0);
    world_hear(&w);
    CHECK_EQ(lag(&w).count, 1);
    CHECK_EQ(lag(&w).max_ns, w.fake.now_ns - from_ns);
    world_close(&w);
}

/* A beat brings what the channel does not: nothing waits longer than from beat to beat. */
TEST(without_a_listener_changes_are_as_late_as_beats_are_apart)
{
    world w;
    world_open(&w);
    beat_in(&w, 0);
    w.channel->config.down(w.c);
    for (uint64_t i = 1; i <= 3; i++) {
        uint64_t from_ns = w.fake.now_ns;
        world_other(&w, world_key("a"));
        world_lose_one(&w);
        beat_in(&w, 8);
        CHECK_EQ(lag(&w).count, i);
        CHECK_GE(lag(&w).max_ns, w.fake.now_ns - from_ns);
        CHECK_LE(lag(&w).max_ns, (w.fake.now_ns - from_ns) + 8 * NS_PER_MS);
        CHECK_EQ(coherence_take_lag_most_ns(w.c), lag(&w).max_ns); /* a bound */
        CHECK_EQ(coherence_take_lag_most_ns(w.c), 0);
        CHECK_EQ(behind_ms(&w), 0);
    }
    beat_in(&w, 8);
    CHECK_EQ(lag(&w).count, 3);
    world_close(&w);
}

/* What nobody had told Redis when a new connection was made is no older than that. */
TEST(after_an_outage_changes_are_as_late_as_since_the_connection)
{
    world w;
    world_open(&w);
    beat_in(&w, 0);
    w.channel->config.down(w.c);
    fake_env_advance(&w.fake, 6 * NS_PER_S);
    struct coherence_position at = coherence_position(w.c);
    w.mark = (struct l2_mark){at.identity, at.sequence, w.fake.now_ns};
    world_other(&w, world_key("a"));
    world_lose_one(&w);
    beat_in(&w, 0);
    CHECK_EQ(lag(&w).count, 1);
    CHECK_LE(lag(&w).max_ns, 2 * WORLD_BEAT_MS * NS_PER_MS);
    world_other(&w, world_key("a")); /* the next one was there before another connection */
    world_lose_one(&w);
    w.mark.sequence = at.sequence + 2;
    w.mark.after_ns = w.fake.now_ns + WORLD_BEAT_MS * NS_PER_MS;
    beat_in(&w, 0);
    CHECK_GE(lag(&w).max_ns, WORLD_BEAT_MS * NS_PER_MS);
    world_close(&w);
}

/* What it owed it will not bring any more. */
TEST(a_listener_that_is_lost_was_as_late_as_it_was_known)
{
    world w;
    open_owing(&w);
    uint64_t from_ns = w.fake.now_ns;
    world_lose_one(&w);
    w.channel->config.down(w.c);
    w.channel->config.up(w.c);
    fake_env_advance(&w.fake, 500 * NS_PER_MS);
    world_settle(&w);
    CHECK_EQ(lag(&w).count, 1);
    CHECK_EQ(lag(&w).max_ns, w.fake.now_ns - from_ns);
    CHECK_EQ(coherence_take_lag_most_ns(w.c), 0);
    CHECK_EQ(behind_ms(&w), 0);
    world_close(&w);
}

TEST(a_resync_is_no_lag)
{
    world w;
    open_owing(&w);
    CHECK_EQ(lag(&w).count, 0);
    w.id += 1; /* another clock */
    beat(&w);
    beat(&w);
    CHECK_EQ(stats_read(&w.stats, STATS_RESYNC), 1);
    CHECK_EQ(lag(&w).count, 0);
    CHECK_EQ(behind_ms(&w), 0);
    world_close(&w);
}

/* Behind the resync that Redis has executed, and before the subscription: nobody brings that. */
TEST(what_nobody_brings_after_a_resync_is_not_owed)
{
    world w;
    world_open(&w);
    world_other(&w, world_key("a"));
    world_lose_one(&w);
    for (int i = 0; i < 3; i++)
        beat_in(&w, 8);
    CHECK_EQ(lag(&w).count, 0);
    CHECK_EQ(behind_ms(&w), 0);
    world_other(&w, world_key("a"));
    world_hear(&w);
    beat_in(&w, 8);
    CHECK_EQ(lag(&w).max_ns, 4 * NS_PER_MS);
    world_close(&w);
}

TEST(subscribing_wants_a_beat)
{
    world w;
    world_open(&w);
    world_other(&w, world_key("a"));
    world_line_clear(&w.said);
    w.channel->config.down(w.c);
    w.channel->config.up(w.c);
    world_pass(&w, 10);
    CHECK_STR(world_notes(&w), "wake key s/a");
    world_close(&w);
}

TEST(fill_frames_go_to_the_sink)
{
    world w;
    world_open(&w);
    uint8_t buffer[COHERENCE_FILL_FRAME_MAX];
    struct l2_frame frame =
        coherence_fill_frame(w.c, bytes_of_string("s"), bytes_of_string("a"), buffer);
    size_t len;
    uint8_t *bytes = world_frame_make(&w, 0, 0, frame.tail.data, frame.tail.len, &len);
    w.channel->config.message(w.c, bytes_of(bytes, len));
    free(bytes);
    CHECK_STR(world_notes(&w), "fill a");
    CHECK_EQ(world_applied(&w), 0);
    world_close(&w);
}

/* ---- close ---- */

TEST(answer_after_close)
{
    world w;
    world_open(&w);
    send_beat(&w);
    struct world_request *r = world_take(&w, WORLD_BEAT);
    REQUIRE(r);
    unsigned pokes = w.pokes;
    coherence_close(w.c);
    world_execute(&w, r);
    world_deliver(r, 0);
    CHECK_EQ(w.pokes, pokes); /* who is poked may be gone */
    CHECK(!w.up);
    world_fini(&w);
}

TEST(answer_not_judged_before_close)
{
    world w;
    world_open(&w);
    send_beat(&w);
    CHECK(world_serve_one(&w, WORLD_BEAT));
    world_close(&w); /* frees it */
}

#if NIGH_FAULTS
TEST(open_without_memory)
{
    for (uint64_t nth = 1;; nth++) {
        world w = {.connected = true};
        fake_env_init(&w.fake, 1);
        REQUIRE_EQ(stats_init(&w.stats, w.fake.env.mem), 0);
        struct coherence_config config = {
            .env = &w.fake.env, .stats = &w.stats, .l2 = &w, .group_slots = WORLD_SLOTS};
        fault_arm(FAULT_ALLOC, nth);
        int rc = coherence_open(&config, &w.c);
        bool fired = fault_count(FAULT_ALLOC) >= nth;
        fault_arm(FAULT_ALLOC, 0);
        if (rc == 0)
            coherence_close(w.c);
        world_fini(&w);
        if (!fired)
            break;
        CHECK_EQ(rc, NIGH_ENOMEM);
    }
}
#endif
