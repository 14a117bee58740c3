// SPDX-License-Identifier: MIT
// Two nodes and a real server: what one invalidates reaches the other, whatever happens to the
// server, to its memory of us, or to the connections.

#include "coherence/message.h"
#include "support/coherence_node.h"
#include "support/redis.h"

#define TRUST_MS 1500u
#define BEAT_MS 300u
#define RARE_BEAT_MS 5000u

struct pair {
    struct redis server;
    struct node *a;
    struct node *b;
};

static void pair_open_with(struct pair *p, uint32_t trust_ms, uint32_t beat_ms)
{
    redis_start(&p->server, NULL);
    struct node_options o = {.uri = p->server.uri, .trust_ms = trust_ms, .beat_ms = beat_ms};
    p->a = node_start(o);
    p->b = node_start(o);
    REQUIRE(CHECK_WITHIN(NODE_PATIENCE_MS, node_ready(p->a) && node_ready(p->b)));
}

static void pair_open(struct pair *p)
{
    pair_open_with(p, TRUST_MS, BEAT_MS);
}

/* Their trust is lost for a reason, and not because a busy machine kept beats from them. */
static void pair_open_trusting(struct pair *p)
{
    pair_open_with(p, NODE_PATIENCE_MS, BEAT_MS);
}

static void pair_close(struct pair *p)
{
    node_stop(p->a);
    node_stop(p->b);
    redis_stop(&p->server);
}

static bool trusted(struct node *n)
{
    return node_gauges(n).trusted;
}

static uint64_t trusted_until(struct node *n)
{
    return atomic_load_explicit(coherence_trusted_until(n->c), memory_order_acquire);
}

static bool both_ready(struct pair *p)
{
    return node_ready(p->a) && node_ready(p->b) && node_agree(p->a, p->b);
}

/* A change of one is applied by the other: the last word of every case. (Accepted by and by: the
 * connection may not be up again.) */
static void check_in_touch(struct pair *p, uint64_t version)
{
    CHECK_WITHIN(NODE_PATIENCE_MS, both_ready(p));
    CHECK_WITHIN(NODE_PATIENCE_MS, node_change_key(p->a, 1, version) == 0);
    CHECK_WITHIN(NODE_PATIENCE_MS, p->b->keys[1] == version);
    CHECK_WITHIN(NODE_PATIENCE_MS, node_change_key(p->b, 2, version) == 0);
    CHECK_WITHIN(NODE_PATIENCE_MS, p->a->keys[2] == version);
    CHECK_WITHIN(NODE_PATIENCE_MS, node_agree(p->a, p->b));
}

static void run(struct pair *p, const char *command)
{
    char *reply = redis_command(&p->server, command);
    CHECK(reply && strncmp(reply, "(error)", 7) != 0);
    free(reply);
}

TEST(changes_reach_the_other_node_by_the_channel)
{
    struct pair p;
    pair_open_with(&p, NODE_PATIENCE_MS, RARE_BEAT_MS);
    for (uint64_t i = 1; i <= 100; i++) {
        struct node *from = i % 2 ? p.a : p.b, *to = i % 2 ? p.b : p.a;
        CHECK_EQ(node_change_key(from, 7, i), 0);
        CHECK_EQ(from->keys[7], i); /* before the call returned */
        CHECK_WITHIN(NODE_PATIENCE_MS, to->keys[7] == i);
    }
    CHECK_WITHIN(NODE_PATIENCE_MS, node_agree(p.a, p.b));
    CHECK_EQ(node_gauges(p.a).applied, 100);
    /* Now and then a beat is first; it is not what carries them. */
    CHECK_GE(node_count(p.a, STATS_FRAME_APPLIED) + node_count(p.b, STATS_FRAME_APPLIED), 80);
    CHECK_EQ(node_count(p.a, STATS_RESYNC), 0);
    pair_close(&p);
}

TEST(groups_have_one_position_everywhere)
{
    struct pair p;
    pair_open(&p);
    struct coherence_item item = node_tag("t", false);
    uint16_t slot = coherence_item_slot(&item, NODE_SLOTS);
    struct coherence_position at = {0, 0};
    CHECK_EQ(node_change(p.a, &item, &at), 0);
    CHECK_EQ(at.identity, node_gauges(p.a).identity);
    CHECK_GE(p.a->groups[slot][false], 1); /* 2: its frame was faster than the thread's waking up */
    CHECK_WITHIN(NODE_PATIENCE_MS, p.b->groups[slot][false] == 1);
    CHECK_WITHIN(NODE_PATIENCE_MS, coherence_position(p.b->c).sequence == at.sequence);

    uint8_t hash[8];
    put_le64(hash, coherence_item_hash(&item));
    struct l2_envelope e = {.identity = at.identity, .groups = hash, .group_count = 1};
    char *info = redis_command(&p.server, "INFO replication");
    REQUIRE(info && strstr(info, "master_replid:"));
    e.home = hash_bytes(bytes_of(strstr(info, "master_replid:") + 14, 40));
    free(info);
    uint16_t space = node_space_slot();
    e.sequence = at.sequence - 1;
    CHECK_EQ(coherence_judge(p.b->c, &e, space, e.home), COHERENCE_GONE);
    e.sequence = at.sequence;
    CHECK_EQ(coherence_judge(p.b->c, &e, space, e.home), COHERENCE_FRESH);
    CHECK_EQ(coherence_judge(p.b->c, &e, space, e.home + 1), COHERENCE_UNKNOWN);
    pair_close(&p);
}

TEST(one_change_of_many_items)
{
    static struct coherence_item items[COHERENCE_ITEMS_MAX];
    static char names[COHERENCE_ITEMS_MAX][8];
    struct pair p;
    pair_open(&p);
    for (unsigned i = 0; i < COHERENCE_ITEMS_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "k%u", i);
        items[i] = (struct coherence_item){
            .kind = WIRE_KEY,
            .space = bytes_of_string("s"),
            .bytes = bytes_of_string(names[i]),
            .version = i + 1,
        };
    }
    struct coherence_change change = {
        .items = items,
        .item_count = COHERENCE_ITEMS_MAX,
        .deadline_ns = clock_deadline_ns(p.a->env.clock, NODE_PATIENCE_MS),
    };
    CHECK_EQ(coherence_change(p.a->c, &change, NULL), 0);
    CHECK_WITHIN(NODE_PATIENCE_MS, p.b->key_count == COHERENCE_ITEMS_MAX);
    /* Here by the local step, and before it by the own frame, should that come first (rule 7). */
    unsigned here = p.a->key_count;
    CHECK(here == COHERENCE_ITEMS_MAX || here == 2 * COHERENCE_ITEMS_MAX);
    pair_close(&p);
}

TEST(server_time_is_known)
{
    struct pair p;
    pair_open(&p);
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    int64_t here_ms = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000;
    int64_t there_ms = (int64_t)coherence_server_time_ms(p.a->c);
    CHECK_LE(llabs(here_ms - there_ms), NODE_PATIENCE_MS); /* the same machine */
    pair_close(&p);
}

/* ---- the server goes, and comes back ---- */

TEST(killed_and_restarted_empty)
{
    struct pair p;
    pair_open(&p);
    check_in_touch(&p, 1);
    uint64_t identity = node_gauges(p.a).identity;
    redis_kill(&p.server);
    CHECK_EQ(node_change_key(p.a, 3, 9), NIGH_QUEUED);
    CHECK_EQ(p.a->keys[3], 9); /* here all the same */
    CHECK(coherence_queued_covers(p.a->c, bytes_of_string("s"), bytes_of_string("k3"), NULL, 0));
    CHECK_WITHIN(NODE_PATIENCE_MS, !trusted(p.a) && !trusted(p.b));
    CHECK_WITHIN(NODE_PATIENCE_MS, p.a->losses >= 1 && p.b->losses >= 1);
    CHECK_EQ(p.a->losses, node_count(p.a, STATS_TRUST_LOST)); /* each is told once */
    redis_restart(&p.server, REDIS_EMPTY);
    CHECK_EQ(coherence_drain(p.a->c, clock_deadline_ns(p.a->env.clock, NODE_PATIENCE_MS)), 0);
    CHECK_WITHIN(NODE_PATIENCE_MS, both_ready(&p));
    CHECK_NE(node_gauges(p.a).identity, identity);
    CHECK_GE(p.b->groups[GROUP_SLOT_ALL][true], 2); /* what it missed is stale */
    CHECK_EQ(p.a->groups[GROUP_SLOT_ALL][false], 0);
    check_in_touch(&p, 2);
    pair_close(&p);
}

TEST(killed_and_restarted_with_its_data)
{
    struct pair p;
    pair_open(&p);
    struct coherence_item item = node_tag("t", false);
    uint16_t slot = coherence_item_slot(&item, NODE_SLOTS);
    /* By a node that is gone then: else it would tell it again. */
    struct node_options o = {.uri = p.server.uri, .trust_ms = TRUST_MS, .beat_ms = BEAT_MS};
    struct node *issuer = node_start(o);
    CHECK_WITHIN(NODE_PATIENCE_MS, trusted(issuer));
    CHECK_EQ(node_change(issuer, &item, NULL), 0);
    node_stop(issuer);
    CHECK_WITHIN(NODE_PATIENCE_MS, p.b->groups[slot][false] == 1);
    redis_save(&p.server);
    redis_restart(&p.server, REDIS_SAVED);
    /* Trust may have outlived the restart; a resync after the change would stand in for it. */
    CHECK_WITHIN(NODE_PATIENCE_MS, node_count(p.a, STATS_RESYNC) >= 1);
    CHECK_WITHIN(NODE_PATIENCE_MS, node_count(p.b, STATS_RESYNC) >= 1);
    check_in_touch(&p, 2);
    CHECK_EQ(p.b->groups[slot][false], 1); /* nothing was missed of it: not gone again */
    pair_close(&p);
}

TEST(opened_before_the_server)
{
    struct pair p;
    redis_start(&p.server, NULL);
    redis_kill(&p.server);
    struct node_options o = {.uri = p.server.uri, .trust_ms = TRUST_MS, .beat_ms = BEAT_MS};
    p.a = node_start(o);
    p.b = node_start(o);
    CHECK_EQ(node_change_key(p.a, 3, 9), NIGH_QUEUED);
    CHECK(!trusted(p.a));
    redis_restart(&p.server, REDIS_EMPTY);
    check_in_touch(&p, 1);
    pair_close(&p);
}

TEST(stopped_server_ends_trust_in_its_time)
{
    struct pair p;
    pair_open(&p);
    redis_pause(&p.server);
    uint64_t stopped_ns = clock_kernel_ns(CLOCK_MONOTONIC);
    CHECK_EQ(node_change_key_within(p.a, 3, 5, NODE_SILENCE_MS), NIGH_QUEUED);
    CHECK_WITHIN(NODE_PATIENCE_MS, !trusted(p.a) && !trusted(p.b));
    CHECK_LE(trusted_until(p.b), stopped_ns + TRUST_MS * NS_PER_MS); /* from the sending */
    redis_resume(&p.server);
    CHECK_WITHIN(NODE_PATIENCE_MS, both_ready(&p));
    CHECK_WITHIN(NODE_PATIENCE_MS, p.b->keys[3] == 5);
    CHECK_EQ(node_count(p.a, STATS_RESYNC), 0); /* the trail is whole */
    CHECK_EQ(p.a->groups[GROUP_SLOT_ALL][true], 1);
    check_in_touch(&p, 6);
    pair_close(&p);
}

TEST(paused_clients)
{
    struct pair p;
    pair_open(&p);
    run(&p, "CLIENT PAUSE 2500 ALL");
    CHECK_WITHIN(NODE_PATIENCE_MS, !trusted(p.b));
    check_in_touch(&p, 3);
    pair_close(&p);
}

/* A demoted master refuses the beat: nothing it says may be trusted. */
TEST(demoted_and_promoted)
{
    struct pair p;
    pair_open(&p);
    run(&p, "REPLICAOF 127.0.0.1 1");
    CHECK_WITHIN(NODE_PATIENCE_MS, !trusted(p.a) && !trusted(p.b));
    CHECK_EQ(node_change_key(p.a, 3, 5), NIGH_QUEUED);
    run(&p, "REPLICAOF NO ONE");
    check_in_touch(&p, 6);
    CHECK_EQ(coherence_drain(p.a->c, clock_deadline_ns(p.a->env.clock, NODE_PATIENCE_MS)), 0);
    CHECK_GE(node_count(p.a, STATS_RESYNC), 1); /* another replid */
    pair_close(&p);
}

TEST(full_memory_stops_neither_beats_nor_changes)
{
    struct pair p;
    pair_open_trusting(&p);
    run(&p, "CONFIG SET maxmemory-policy noeviction");
    run(&p, "CONFIG SET maxmemory 1mb");
    char *refused = redis_command(&p.server, "SET %s x", "filler");
    CHECK(refused && strncmp(refused, "(error) OOM", 11) == 0);
    free(refused);
    uint64_t beats = node_count(p.a, STATS_BEAT);
    CHECK_WITHIN(NODE_PATIENCE_MS, node_count(p.a, STATS_BEAT) >= beats + 5);
    check_in_touch(&p, 1);
    CHECK(trusted(p.a));
    pair_close(&p);
}

/* ---- its memory of us goes ---- */

/* After the command both nodes follow another clock, and hear each other. */
static void follow_another_after(const char *command)
{
    struct pair p;
    pair_open(&p);
    uint64_t identity = node_gauges(p.a).identity;
    run(&p, command);
    CHECK_WITHIN(NODE_PATIENCE_MS, both_ready(&p) && node_gauges(p.a).identity != identity);
    check_in_touch(&p, 1);
    pair_close(&p);
}

TEST(clk_deleted)
{
    follow_another_after("DEL t:!2:!clk");
}

TEST(everything_flushed)
{
    follow_another_after("FLUSHALL");
}

TEST(clk_overwritten)
{
    follow_another_after("SET t:!2:!clk garbage");
}

TEST(log_deleted_while_a_node_hears_nothing)
{
    struct pair p;
    pair_open(&p);
    uint64_t identity = node_gauges(p.a).identity;
    struct coherence_item item = node_tag("t", false);
    uint16_t slot = coherence_item_slot(&item, NODE_SLOTS);
    run(&p, "CLIENT KILL TYPE pubsub");
    CHECK_EQ(node_change(p.a, &item, NULL), 0);
    run(&p, "DEL t:!:log");
    CHECK_WITHIN(NODE_PATIENCE_MS, p.b->groups[slot][false] >= 1);
    CHECK_WITHIN(NODE_PATIENCE_MS, both_ready(&p));
    CHECK_EQ(node_gauges(p.a).identity, identity); /* the clock is the same */
    check_in_touch(&p, 1);
    pair_close(&p);
}

TEST(log_of_a_foreign_type)
{
    struct pair p;
    pair_open(&p);
    run(&p, "DEL t:!:log");
    run(&p, "SET t:!:log garbage");
    check_in_touch(&p, 1);
    pair_close(&p);
}

/* ---- the channel ---- */

TEST(killed_listeners_do_no_harm)
{
    struct pair p;
    pair_open_trusting(&p);
    uint64_t beats = node_count(p.b, STATS_BEAT);
    for (uint64_t i = 1; i <= 20; i++) {
        run(&p, "CLIENT KILL TYPE pubsub");
        CHECK_EQ(node_change_key(p.a, 5, i), 0);
    }
    CHECK_WITHIN(NODE_PATIENCE_MS, p.b->keys[5] == 20);
    CHECK_WITHIN(NODE_PATIENCE_MS, node_count(p.b, STATS_BEAT) > beats);
    CHECK(trusted(p.b));
    CHECK_EQ(node_count(p.b, STATS_RESYNC), 0);
    CHECK_GE(node_count(p.b, STATS_LISTENER_LOST), 1);
    check_in_touch(&p, 21);
    pair_close(&p);
}

TEST(killed_data_connections)
{
    struct pair p;
    pair_open(&p);
    for (uint64_t i = 1; i <= 5; i++) {
        run(&p, "CLIENT KILL TYPE normal SKIPME yes");
        int rc = node_change_key(p.a, 5, i);
        CHECK(rc == 0 || rc == NIGH_QUEUED);
    }
    CHECK_EQ(coherence_drain(p.a->c, clock_deadline_ns(p.a->env.clock, NODE_PATIENCE_MS)), 0);
    CHECK_WITHIN(NODE_PATIENCE_MS, p.b->keys[5] == 5);
    CHECK_EQ(node_count(p.b, STATS_RESYNC), 0);
    check_in_touch(&p, 21);
    pair_close(&p);
}

TEST(garbage_on_the_channel)
{
    struct pair p;
    pair_open_trusting(&p);
    uint64_t beats = node_count(p.b, STATS_BEAT);
    run(&p, "PUBLISH t:!2:!inv:0 garbage");
    run(&p, "PUBLISH t:!2:!inv:0 nf");
    char *big = malloc(100001);
    memset(big, 'x', 100000);
    big[100000] = '\0';
    char *reply = redis_command(&p.server, "PUBLISH t:!2:!inv:0 %s", big);
    free(reply);
    free(big);
    CHECK_WITHIN(NODE_PATIENCE_MS, node_count(p.b, STATS_FRAME_BAD) == 3);
    CHECK_WITHIN(NODE_PATIENCE_MS, node_count(p.b, STATS_BEAT) > beats);
    CHECK(trusted(p.b));
    check_in_touch(&p, 1);
    CHECK_EQ(node_count(p.b, STATS_RESYNC), 0);
    pair_close(&p);
}

/* A well-made frame of a clock that is none: a beat finds that nothing has changed. */
TEST(forged_clock_on_the_channel)
{
    struct pair p;
    pair_open_trusting(&p);
    struct coherence_item item = node_tag("t", false);
    uint8_t frame[256];
    memcpy(frame, coherence_message_head().data, 4);
    memset(frame + 4, 'f', 48);
    put_le64(frame + 52, 1);
    coherence_tail_encode(frame + 76, 1, 1, &item, 1);
    size_t len = 76 + coherence_tail_size(&item, 1);
    uint64_t beats = node_count(p.a, STATS_BEAT);
    char *reply = redis_command(&p.server, "PUBLISH t:!2:!inv:0 %b", frame, len);
    free(reply);
    CHECK_WITHIN(NODE_PATIENCE_MS, node_count(p.a, STATS_BEAT) > beats);
    CHECK(trusted(p.a) && trusted(p.b));
    check_in_touch(&p, 1);
    CHECK_EQ(node_count(p.a, STATS_RESYNC), 0);
    CHECK_EQ(node_count(p.b, STATS_RESYNC), 0);
    pair_close(&p);
}

TEST(lost_frames_are_pulled_by_a_beat)
{
    struct pair p;
    pair_open(&p);
    run(&p, "CLIENT KILL TYPE pubsub");
    CHECK_EQ(node_change_key(p.a, 5, 1), 0);
    CHECK_WITHIN(NODE_PATIENCE_MS, p.b->keys[5] == 1);
    CHECK_WITHIN(NODE_PATIENCE_MS, both_ready(&p));
    pair_close(&p);
}

TEST(close_while_everything_is_on_its_way)
{
    struct pair p;
    pair_open(&p);
    redis_pause(&p.server);
    CHECK_EQ(node_change_key_within(p.a, 3, 5, NODE_SILENCE_MS), NIGH_QUEUED);
    check_pause();
    coherence_drain(p.a->c, clock_deadline_ns(p.a->env.clock, 400)); /* a beat is out by now */
    node_stop(p.a);
    node_stop(p.b);
    redis_stop(&p.server);
}
