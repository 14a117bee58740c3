// SPDX-License-Identifier: MIT
// Rules 17 and 18: lists of schemas that move, and nodes of wire version 1.

#include "support/clocks.h"
#include "worlds/coherence.h"

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
                          struct coherence_heard heard)
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
