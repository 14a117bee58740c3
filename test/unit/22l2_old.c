// SPDX-License-Identifier: MIT
// Nodes of wire version 1 on the same prefix, against a real server: seen when they come, told what
// happens here, waited for while they change values, and forgotten when they are gone.

#include "worlds/l2_script.h"

#define OLD_SEEN_AT 40  /* in our clock */
#define OLD_MOVED_AT 56
#define OLD_ID UINT64_C(0x112233445566)
#define OLD_GROUPS_AT 16u /* in theirs */
#define OLD_CLK_BYTES (OLD_GROUPS_AT + 16 * CLIENT_SLOTS)
#define OLD_FRAME_HEAD 80u /* of a frame of theirs: before the items */

static const char old_clk[] = "t:!:clk";

/* A node of wire version 1 has made its clock, which stands here now. */
static void old_node_at(uint64_t seq)
{
    free(redis_command(&server, "SETRANGE %s %u %b", old_clk, OLD_CLK_BYTES - 1, "", (size_t)1));
    script_put_le64_at(&server, old_clk, 0, OLD_ID);
    script_put_le64_at(&server, old_clk, 8, seq);
}

static struct l2_answer *beat_after(uint64_t after)
{
    static uint64_t nonces = 1000;
    return CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(after, 100, ++nonces));
}

struct seen {
    bool nodes, moved;
    uint64_t seq, token;
};

static struct seen beat(void)
{
    struct l2_answer *a = beat_after(UINT64_MAX);
    CHECK_EQ(a->status, 0);
    struct seen seen = {a->clock.old_nodes, a->clock.old_moved, a->clock.sequence,
                        a->clock.schemas};
    l2_answer_free(a);
    return seen;
}

/* They moved so long ago. */
static void rest(uint64_t ms)
{
    uint64_t moved_ms = script_le64_at(&server, "t:!2:!clk", OLD_MOVED_AT);
    CHECK_NE(moved_ms, 0);
    script_put_le64_at(&server, "t:!2:!clk", OLD_MOVED_AT, moved_ms - ms);
}

/* Our clock, theirs seen, and quiet. */
static void begin_beside_old(void)
{
    begin(NULL);
    beat();
    old_node_at(100);
    beat();
    rest(5000);
    struct seen seen = beat();
    CHECK(seen.nodes && !seen.moved);
}

static const struct bytes others[] = {{"v2", 2}};

/* A change of key "k", told to the old nodes too (or not). */
static struct l2_answer *change_old(bool old_nodes, enum l2_change_mode mode)
{
    static const struct l2_change_group groups[] = {{7, false}, {CLIENT_SLOTS - 1, true}};
    struct bytes envelope = client_envelope(777, 0, "written");
    const struct l2_change_key key = {
        .key = client_key("k"),
        .mode = mode,
        .schemas = others,
        .schema_count = 1,
        .envelope = mode == L2_DELETE ? bytes_of(NULL, 0) : envelope,
        .hard_ms = 60000,
    };
    const struct l2_change change = {
        .keys = &key,
        .key_count = 1,
        .groups = groups,
        .group_count = 2,
        .nonce = 4243,
        .schemas = script_le64_at(&server, "t:!2:!clk", 32),
        .old_nodes = old_nodes,
        .frame = {{"HEAD", 4}, {"INCARNAT" "CALLCALL" "ITEMS", 21}},
    };
    struct l2_answer *a = CLIENT_ASK(&c, l2_change, &change);
    client_envelope_free(envelope);
    return a;
}

/* The newest entry of a log, as hex in `ret`; its id's position. */
static uint64_t newest(const char *log, uint8_t *ret, size_t size, size_t *ret_len)
{
    static const char text[] =
        "local e = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1] "
        "local hex = string.gsub(e[2][2], '.', function(b) "
        "return string.format('%02x', string.byte(b)) end) "
        "return string.match(e[1], '^%d+') .. ' ' .. hex";
    char *reply = redis_command(&server, "EVAL %s 1 %s", text, log);
    REQUIRE(reply);
    char *hex;
    uint64_t seq = strtoull(reply, &hex, 10);
    for (*ret_len = 0, hex++; hex[0] && hex[1] && *ret_len < size; hex += 2) {
        char digits[3] = {hex[0], hex[1], 0};
        ret[(*ret_len)++] = (uint8_t)strtoul(digits, NULL, 16);
    }
    free(reply);
    return seq;
}

/* A frame of wire version 1 at this position, by us; returns where its items are. */
static const uint8_t *check_old_frame(const uint8_t *f, size_t len, uint64_t seq)
{
    char *replid = redis_command(&server, "EVAL %s 0",
                                 "return string.match(redis.call('INFO', 'replication'), "
                                 "'master_replid:(%x+)')");
    REQUIRE(len >= OLD_FRAME_HEAD);
    CHECK_MEM(f, 4, "nf\1", 4);
    CHECK_MEM(f + 4, 40, replid, 40);
    CHECK_EQ(get_le64(f + 44), OLD_ID);
    CHECK_EQ(get_le64(f + 52), seq);
    CHECK_EQ(get_le64(f + 68), 0); /* call: none of theirs */
    free(replid);
    return f + 76;
}

/* ---- they come ---- */

TEST(without_old_nodes_nothing_of_theirs_is_touched)
{
    begin(NULL);
    struct seen seen = beat();
    CHECK(!seen.nodes && !seen.moved);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!:clk t:!:log t:!2:!log"), 0);
    free(redis_command(&server, "SET t:s:1:k theirs"));
    CHECK_EQ(script_verdict(change_old(false, L2_DELETE)), L2_NONE);
    CHECK_EQ(redis_integer(&server, "EXISTS t:s:1:k"), 1);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!:clk"), 0);
    end();
}

/* What they did before they were seen is unknown: it counts as moved, here and there. */
TEST(their_appearance_is_told_to_both)
{
    uint8_t f[256];
    size_t len;
    begin(NULL);
    struct seen before = beat();
    old_node_at(100);
    struct seen seen = beat();
    CHECK(seen.nodes);
    CHECK(seen.moved);
    CHECK_NE(seen.token, before.token); /* every change learns it */
    CHECK_EQ(script_le64_at(&server, old_clk, 8), 101);
    CHECK_EQ(script_le64_at(&server, old_clk, OLD_GROUPS_AT + 8), 101); /* ALL, soft */
    CHECK_EQ(script_le64_at(&server, old_clk, OLD_GROUPS_AT), 0);
    CHECK_EQ(newest("t:!:log", f, sizeof(f), &len), 101);
    const uint8_t *items = check_old_frame(f, len, 101) + 4;
    CHECK_EQ(get_le32(items - 4), 1);
    CHECK_EQ(items[0], WIRE_ALL);
    CHECK_EQ(items[1], 1); /* soft */
    CHECK_EQ(items[2] + items[3] + get_le32(items + 4), 0);
    CHECK_EQ(get_le64(items + 8), 0);
    CHECK_EQ(len, OLD_FRAME_HEAD + 16);
    CHECK_EQ(script_le64_at(&server, "t:!2:!clk", OLD_SEEN_AT), OLD_ID);
    CHECK_EQ(script_le64_at(&server, "t:!2:!clk", OLD_SEEN_AT + 8), 101);
    seen = beat();
    CHECK_EQ(seen.seq, 0); /* nothing in our order yet */
    CHECK_EQ(script_le64_at(&server, old_clk, 8), 101); /* once */
    end();
}

TEST(their_clock_gets_a_day_to_live)
{
    begin(NULL);
    beat();
    old_node_at(100);
    CHECK_EQ(redis_integer(&server, "PTTL t:!:clk"), -1);
    beat();
    CHECK_LE(redis_integer(&server, "PTTL t:!:clk"), 86400000);
    CHECK_GT(redis_integer(&server, "PTTL t:!:clk"), 86400000 - 60000);
    free(redis_command(&server, "PEXPIRE t:!:clk 100000"));
    beat();
    CHECK_LE(redis_integer(&server, "PTTL t:!:clk"), 100000); /* not ours to prolong */
    end();
}

/* ---- they are told ---- */

TEST(a_change_is_told_in_their_order_too)
{
    uint8_t f[256];
    size_t len;
    begin_beside_old();
    uint64_t old_seq = script_le64_at(&server, old_clk, 8);
    uint64_t seq = script_le64_at(&server, "t:!2:!clk", 8);
    free(redis_command(&server, "MSET t:s:1:k a t:s:v2:k b t:!:lease:s:k c t:s:1:other d"));
    free(redis_command(&server, "MSET t:!2:s:1:k a t:!2:s:v2:k b t:!2:!lease:s:k c"));
    CHECK_EQ(script_verdict(change_old(true, L2_SET)), L2_STORED);
    CHECK_EQ(redis_integer(&server, "EXISTS t:s:1:k t:s:v2:k t:!:lease:s:k"), 0);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:v2:k t:!2:!lease:s:k"), 0);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:k t:s:1:other"), 2);

    CHECK_EQ(script_le64_at(&server, old_clk, 8), old_seq + 1);
    CHECK_EQ(script_le64_at(&server, old_clk, OLD_GROUPS_AT + 16 * 7), old_seq + 1);
    CHECK_EQ(script_le64_at(&server, old_clk, OLD_GROUPS_AT + 16 * 7 + 8), 0);
    CHECK_EQ(script_le64_at(&server, old_clk, OLD_CLK_BYTES - 8), old_seq + 1);
    CHECK_EQ(redis_integer(&server, "STRLEN t:!:clk"), OLD_CLK_BYTES);
    CHECK_EQ(newest("t:!:log", f, sizeof(f), &len), old_seq + 1);
    check_old_frame(f, len, old_seq + 1);
    CHECK_MEM(f + 60, 8, "INCARNAT", 8);
    CHECK_MEM(f + 76, len - 76, "ITEMS", 5);

    CHECK_EQ(script_le64_at(&server, "t:!2:!clk", 8), seq + 1);
    CHECK_EQ(newest("t:!2:!log", f, sizeof(f), &len), seq + 1);
    CHECK_MEM(f, 4, "HEAD", 4);
    CHECK_MEM(f + 76, len - 76, "INCARNATCALLCALLITEMS", 21);
    CHECK(!beat().moved); /* what we did to their clock is known */
    end();
}

TEST(our_log_lies_aside_while_they_are_there)
{
    begin_beside_old();
    uint64_t seq = script_le64_at(&server, "t:!2:!clk", 8);
    l2_answer_free(change_old(true, L2_DELETE));
    l2_answer_free(change_old(true, L2_DELETE));
    struct l2_answer *a = beat_after(seq);
    REQUIRE_EQ(a->entry_count, 2);
    CHECK_EQ(a->entry_seqs[0], seq + 1);
    CHECK_MEM(a->entries[1].data, 4, "HEAD", 4);
    l2_answer_free(a);
    end();
}

/* It was made by a change that had not learned of them: told by the token, and nothing was done. */
TEST(a_change_that_does_not_know_of_them_is_told)
{
    begin(NULL);
    struct seen before = beat();
    old_node_at(100);
    beat();
    const struct l2_change_key key = {.key = client_key("k"), .mode = L2_DELETE};
    const struct l2_change change = {.keys = &key, .key_count = 1, .nonce = 5,
                                     .schemas = before.token, .frame = script_frame};
    struct l2_answer *a = CLIENT_ASK(&c, l2_change, &change);
    CHECK_EQ(a->verdict, L2_MOVED);
    CHECK(a->clock.old_nodes);
    l2_answer_free(a);
    CHECK_EQ(script_le64_at(&server, old_clk, 8), 101);
    end();
}

/* All that they have turns stale, as when their clock is lost. */
TEST(their_clock_with_other_groups_is_ended)
{
    begin_beside_old();
    free(redis_command(&server, "SETRANGE %s %u x", old_clk, OLD_CLK_BYTES));
    CHECK_EQ(script_verdict(change_old(true, L2_DELETE)), L2_NONE);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!:clk t:!:log"), 0);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:!log"), 1);
    end();
}

/* ---- they move ---- */

TEST(what_they_change_is_seen_by_the_next_beat)
{
    begin_beside_old();
    uint64_t old_seq = script_le64_at(&server, old_clk, 8);
    struct seen before = beat();
    CHECK(!before.moved);
    old_node_at(old_seq + 1);
    struct seen seen = beat();
    CHECK(seen.moved && seen.nodes);
    CHECK_EQ(seen.token, before.token); /* they are there as before */
    CHECK_EQ(script_le64_at(&server, old_clk, 8), old_seq + 1);
    end();
}

TEST(what_they_change_is_seen_by_the_next_change)
{
    begin_beside_old();
    old_node_at(script_le64_at(&server, old_clk, 8) + 1);
    struct l2_answer *a = change_old(true, L2_DELETE);
    CHECK(a->clock.old_moved); /* else our position would hide theirs */
    l2_answer_free(a);
    CHECK(beat().moved);
    end();
}

TEST(quiet_after_three_seconds_and_told_as_soft_all)
{
    uint8_t f[256];
    size_t len;
    begin(NULL);
    beat();
    old_node_at(100);
    struct seen moved = beat();
    rest(2000);
    CHECK(beat().moved);
    rest(1500);
    struct seen quiet = beat();
    CHECK(!quiet.moved && quiet.nodes);
    CHECK_EQ(quiet.seq, moved.seq + 1);
    CHECK_EQ(newest("t:!2:!log", f, sizeof(f), &len), quiet.seq);
    CHECK_MEM(f, 4, "HEAD", 4);
    CHECK_EQ(get_le32(f + 76 + 16), 1);
    CHECK_EQ(f[76 + 20], WIRE_ALL);
    CHECK_EQ(f[76 + 21], 1);
    CHECK_EQ(len, 76 + 20 + 16);
    CHECK_EQ(script_le64_at(&server, "t:!2:!clk", CLIENT_GROUPS_AT + 8), quiet.seq);
    CHECK_EQ(script_le64_at(&server, "t:!2:!clk", CLIENT_GROUPS_AT), 0);
    CHECK_EQ(script_le64_at(&server, "t:!2:!clk", 128), quiet.seq); /* its page */
    CHECK_EQ(beat().seq, quiet.seq); /* once */
    end();
}

/* A server whose clock was set back would never find them quiet. */
TEST(a_move_in_the_future_is_over)
{
    begin_beside_old();
    old_node_at(500);
    CHECK(beat().moved);
    script_put_le64_at(&server, "t:!2:!clk", OLD_MOVED_AT, UINT64_C(1) << 50);
    CHECK(!beat().moved);
    end();
}

/* ---- they are gone ---- */

TEST(when_they_are_gone_every_change_learns_it)
{
    begin_beside_old();
    struct seen before = beat();
    free(redis_command(&server, "DEL t:!:clk"));
    struct seen seen = beat();
    CHECK(!seen.nodes);
    CHECK(seen.moved); /* what they did last was not seen */
    CHECK_NE(seen.token, before.token);
    rest(5000);
    struct seen quiet = beat();
    CHECK(!quiet.nodes && !quiet.moved);
    CHECK_EQ(quiet.seq, seen.seq + 1);
    CHECK_EQ(script_verdict(change_old(false, L2_DELETE)), L2_NONE);
    struct l2_answer *a = beat_after(seen.seq);
    CHECK_EQ(a->entry_count, 2); /* in the one log again */
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!:clk"), 0);
    end();
}

/* What they have logged is nothing to us, and further on than we are: who read it would take the
 * trail for lost, at every beat. What lay aside is ours. */
TEST(when_they_are_gone_our_log_takes_its_place)
{
    begin_beside_old();
    uint64_t seq = script_le64_at(&server, "t:!2:!clk", 8);
    CHECK_LT(seq + 2, script_le64_at(&server, old_clk, 8));
    l2_answer_free(change_old(true, L2_DELETE));
    free(redis_command(&server, "DEL t:!:clk"));
    l2_answer_free(change_old(true, L2_DELETE));
    for (int i = 0; i < 2; i++) {
        struct l2_answer *a = beat_after(seq);
        REQUIRE_EQ(a->entry_count, 2);
        CHECK_EQ(a->entry_seqs[0], seq + 1);
        CHECK_EQ(a->entry_seqs[1], seq + 2);
        l2_answer_free(a);
    }
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:!log"), 0);
    end();
}

TEST(when_they_are_gone_before_any_change_no_log_is_left)
{
    begin(NULL);
    beat();
    old_node_at(100);
    beat();
    free(redis_command(&server, "DEL t:!:clk"));
    struct l2_answer *a = beat_after(0);
    CHECK_EQ(a->entry_count, 0);
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!:log t:!2:!log"), 0);
    end();
}

/* It was named before they were gone, and comes before a beat has seen it. */
TEST(a_change_after_they_are_gone_makes_no_clock_for_them)
{
    begin_beside_old();
    free(redis_command(&server, "DEL t:!:clk"));
    CHECK_EQ(script_verdict(change_old(true, L2_DELETE)), L2_NONE);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!:clk"), 0);
    CHECK(beat().moved);
    end();
}

TEST(garbage_in_place_of_their_clock_is_no_node)
{
    begin(NULL);
    beat();
    free(redis_command(&server, "RPUSH t:!:clk x"));
    CHECK(!beat().nodes);
    free(redis_command(&server, "DEL t:!:clk"));
    free(redis_command(&server, "SET t:!:clk short"));
    CHECK(!beat().nodes);
    end();
}

/* ---- the channel ---- */

static unsigned heard_old, heard_new;

static void on_new(void *arg, struct bytes payload)
{
    (void)arg, (void)payload;
    heard_new++;
}

static void on_old(void *arg, struct bytes payload)
{
    (void)arg;
    heard_old++;
    CHECK_MEM(payload.data, 4, "nf\1", 4);
    CHECK_EQ(get_le64((const uint8_t *)payload.data + 68), 0);
}

static void on_nothing(void *arg)
{
    (void)arg;
}

TEST(both_channels_hear_of_a_change)
{
    struct l2_channel *channel;
    begin_beside_old();
    heard_old = heard_new = 0;
    const struct l2_channel_config config = {c.l2, on_new, on_old, on_nothing, on_nothing, NULL};
    REQUIRE_EQ(l2_channel_create(&config, &channel), 0);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS,
                         (l2_channel_step(channel, NS_PER_MS),
                          redis_integer(&server, "EVAL %s 0",
                                        "return #redis.call('PUBSUB', 'CHANNELS')") == 2)));
    l2_answer_free(change_old(true, L2_DELETE));
    CHECK_WITHIN(CLIENT_DEADLINE_MS,
                 (l2_channel_step(channel, NS_PER_MS), heard_old == 1 && heard_new == 1));
    l2_channel_destroy(channel);
    end();
}

/* ---- full memory ---- */

TEST(they_are_seen_and_told_when_memory_is_full)
{
    begin(NULL);
    beat();
    old_node_at(100);
    free(redis_command(&server, "SET t:s:1:k theirs"));
    free(redis_command(&server, "CONFIG SET maxmemory 1"));
    CHECK(beat().nodes);
    CHECK_EQ(script_le64_at(&server, old_clk, 8), 101);
    CHECK_EQ(script_verdict(change_old(true, L2_DELETE)), L2_NONE);
    CHECK_EQ(redis_integer(&server, "EXISTS t:s:1:k"), 0);
    CHECK_EQ(script_le64_at(&server, old_clk, 8), 102);
    free(redis_command(&server, "CONFIG SET maxmemory 0"));
    rest(5000);
    free(redis_command(&server, "CONFIG SET maxmemory 1"));
    CHECK(!beat().moved);
    end();
}
