// SPDX-License-Identifier: MIT
// The scripts against a real server: what each does, what it refuses, and what it leaves behind.

#include "worlds/l2_script.h"

/* ---- values and leases ---- */

/* Tells of a lease whether somebody waits for it. */
static const char mark[] = "return redis.call('GETRANGE', KEYS[1], 8, 8):byte()";

TEST(get_of_nothing_and_of_something)
{
    begin(NULL);
    struct l2_envelope e;
    CHECK_EQ(script_verdict(script_get(&c, "k")), L2_NONE);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_SET, 0, 0)), L2_STORED);
    struct l2_answer *a = script_get(&c, "k");
    CHECK_EQ(a->verdict, L2_VALUE);
    CHECK_EQ(a->connection, 1);
    CHECK_NE(a->home, 0);
    if (CHECK(l2_envelope_decode(a->value, 0, &e)))
        CHECK_MEM(e.payload.data, e.payload.len, "written", 7);
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:k"), 1);
    CHECK_GT(redis_integer(&server, "PTTL t:!2:s:1:k"), 59000);
    end();
}

TEST(lease_is_granted_once_and_then_held)
{
    begin(NULL);
    CHECK_EQ(script_verdict(script_lease(&c, "k", 1, 0)), L2_GRANTED);
    /* asked again after a lost reply */
    CHECK_EQ(script_verdict(script_lease(&c, "k", 1, 0)), L2_GRANTED);
    struct l2_answer *held = script_lease(&c, "k", 2, 0);
    CHECK_EQ(held->verdict, L2_HELD);
    CHECK_GT(held->held_ms, 0);
    CHECK_LE(held->held_ms, 5000);
    l2_answer_free(held);
    CHECK_EQ(script_verdict(script_fill(&c, "k", 2, 0, 1)), L2_REFUSED);
    CHECK_EQ(script_verdict(script_get(&c, "k")), L2_NONE);
    CHECK_EQ(script_verdict(script_fill(&c, "k", 1, 0, 1)), L2_STORED);
    CHECK_EQ(script_verdict(script_fill(&c, "k", 1, 0, 1)), L2_REFUSED);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:!lease:s:k"), 0);
    end();
}

TEST(lease_gives_the_value_unless_it_was_rejected)
{
    begin(NULL);
    CHECK_EQ(script_verdict(script_lease(&c, "k", 1, 0)), L2_GRANTED);
    CHECK_EQ(script_verdict(script_fill(&c, "k", 1, 0, 1)), L2_STORED);
    struct l2_answer *a = script_lease(&c, "k", 3, 0);
    CHECK_EQ(a->verdict, L2_VALUE);
    struct l2_envelope e;
    if (CHECK(l2_envelope_decode(a->value, 0, &e)))
        CHECK_EQ(e.fill_id, 1);
    l2_answer_free(a);
    CHECK_EQ(script_verdict(script_lease(&c, "k", 3, 2)), L2_VALUE);
    CHECK_EQ(script_verdict(script_lease(&c, "k", 3, 1)), L2_GRANTED);
    end();
}

/* Who waits goes on waiting for whoever has the lease then, and is to be woken by him. */
TEST(the_mark_awaited_outlasts_a_writer_and_more_time)
{
    begin(NULL);
    struct l2_key key = client_key("k");
    CHECK_EQ(script_verdict(script_lease(&c, "k", 1, 0)), L2_GRANTED);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_override, &key, 2, 5000)), L2_GRANTED);
    CHECK_EQ(redis_integer(&server, "EVAL %s 1 t:!2:!lease:s:k", mark), 0);
    CHECK_EQ(script_verdict(script_lease(&c, "k", 3, 0)), L2_HELD);
    CHECK_EQ(redis_integer(&server, "EVAL %s 1 t:!2:!lease:s:k", mark), 1);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_override, &key, 4, 5000)), L2_GRANTED);
    CHECK_EQ(redis_integer(&server, "EVAL %s 1 t:!2:!lease:s:k", mark), 1);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_extend, &key, 4, 9000)), L2_STORED);
    CHECK_EQ(script_verdict(script_lease(&c, "k", 4, 0)), L2_GRANTED); /* asked again */
    CHECK_EQ(redis_integer(&server, "EVAL %s 1 t:!2:!lease:s:k", mark), 1);
    free(redis_command(&server, "PERSIST t:!2:!lease:s:k")); /* anybody's then */
    CHECK_EQ(script_verdict(script_lease(&c, "k", 5, 0)), L2_GRANTED);
    CHECK_EQ(redis_integer(&server, "EVAL %s 1 t:!2:!lease:s:k", mark), 1);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_release, &key, 5, &script_frame)), L2_NONE);
    /* all were woken, and ask anew */
    CHECK_EQ(script_verdict(script_lease(&c, "k", 6, 0)), L2_GRANTED);
    CHECK_EQ(redis_integer(&server, "EVAL %s 1 t:!2:!lease:s:k", mark), 0);
    end();
}

static void lease_has_left(const char *ms)
{
    CHECK_EQ(redis_integer(&server, "PEXPIRE t:!2:!lease:s:k %s", ms), 1);
}

/* Its clock was set back, or else nobody could have so much left. */
TEST(a_lease_with_more_left_than_it_was_given_is_anybodys)
{
    begin(NULL);
    struct l2_key key = client_key("k");
    CHECK_EQ(script_verdict(script_lease(&c, "k", 1, 0)), L2_GRANTED);
    lease_has_left("6500");
    CHECK_EQ(script_verdict(script_lease(&c, "k", 2, 0)), L2_HELD);
    lease_has_left("60000");
    CHECK_EQ(script_verdict(script_lease(&c, "k", 2, 0)), L2_GRANTED);
    CHECK_EQ(script_verdict(script_lease(&c, "k", 3, 0)), L2_HELD);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_extend, &key, 2, 60000)), L2_STORED);
    CHECK_EQ(script_verdict(script_lease(&c, "k", 3, 0)), L2_HELD);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_override, &key, 4, 5000)), L2_GRANTED);
    lease_has_left("60000");
    CHECK_EQ(script_verdict(script_lease(&c, "k", 3, 0)), L2_GRANTED);
    end();
}

/* Nodes of older builds write the time at which they were granted it. */
TEST(a_lease_of_an_older_build)
{
    static const char text[] =
        "local time = redis.call('TIME') "
        "local lease = struct.pack('<I8xI8', 77, time[1] * 1000 + ARGV[1]) "
        "redis.call('SET', KEYS[1], lease, 'PX', 60000) "
        "return 1";
    begin(NULL);
    CHECK_EQ(redis_integer(&server, "EVAL %s 1 t:!2:!lease:s:k 0", text), 1);
    CHECK_EQ(script_verdict(script_lease(&c, "k", 1, 0)), L2_HELD);
    CHECK_EQ(redis_integer(&server, "EVAL %s 1 t:!2:!lease:s:k 600000", text), 1);
    CHECK_EQ(script_verdict(script_lease(&c, "k", 1, 0)), L2_GRANTED);
    end();
}

/* Else every reader would be handed the garbage instead of a lease, and load on its own. */
TEST(what_is_no_envelope_does_not_keep_the_lease_away)
{
    begin(NULL);
    free(redis_command(&server, "SET t:!2:s:1:text hello"));
    free(redis_command(&server, "RPUSH t:!2:s:1:list hello"));
    free(redis_command(&server, "SET t:!2:!lease:s:eternal abc"));
    struct l2_answer *a = script_get(&c, "list");
    CHECK_EQ(a->verdict, L2_VALUE); /* of no bytes, so that a load ends it */
    CHECK_EQ(a->value.len, 0);
    l2_answer_free(a);
    a = script_lease(&c, "text", 1, 0);
    CHECK_EQ(a->verdict, L2_GRANTED);
    CHECK(a->unreadable);
    l2_answer_free(a);
    CHECK_EQ(script_verdict(script_fill(&c, "text", 1, 5, 1)), L2_STORED);
    CHECK_EQ(script_verdict(script_lease(&c, "list", 2, 0)), L2_GRANTED);
    CHECK_EQ(script_verdict(script_fill(&c, "list", 2, 5, 1)), L2_STORED);
    CHECK_EQ(script_verdict(script_get(&c, "list")), L2_VALUE);
    CHECK_EQ(script_verdict(script_lease(&c, "eternal", 3, 0)), L2_GRANTED);
    CHECK_EQ(script_verdict(script_fill(&c, "eternal", 3, 0, 1)), L2_STORED);
    end();
}

/* Its fill id can be read, the rest cannot: no reader would ever get past it. */
TEST(what_cannot_be_read_is_dropped_with_the_grant_only)
{
    begin(NULL);
    struct l2_key key = client_key("k");
    struct l2_lease l = {.token = 1, .rejected = 777, .lease_ms = 5000};
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_SET, 0, 0)), L2_STORED);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_lease, &key, &l)), L2_GRANTED);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:k"), 1);
    l.token = 2;
    l.drop = true;
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_lease, &key, &l)), L2_HELD);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:k"), 1);
    l.token = 1;
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_lease, &key, &l)), L2_GRANTED);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:k"), 0);
    end();
}

TEST(lease_is_extended_and_released_by_its_token_only)
{
    begin(NULL);
    struct l2_key key = client_key("k");
    CHECK_EQ(script_verdict(script_lease(&c, "k", 1, 0)), L2_GRANTED);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_extend, &key, 2, 90000)), L2_REFUSED);
    CHECK_LE(redis_integer(&server, "PTTL t:!2:!lease:s:k"), 5000);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_extend, &key, 1, 90000)), L2_STORED);
    CHECK_GT(redis_integer(&server, "PTTL t:!2:!lease:s:k"), 5000);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_release, &key, 2, &script_frame)), L2_NONE);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:!lease:s:k"), 1);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_release, &key, 1, &script_frame)), L2_NONE);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:!lease:s:k"), 0);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_extend, &key, 1, 90000)), L2_REFUSED);
    end();
}

TEST(a_lost_token_fills_nothing)
{
    begin(NULL);
    struct l2_key key = client_key("k");
    CHECK_EQ(script_verdict(script_lease(&c, "k", 1, 0)), L2_GRANTED);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_override, &key, 9, 5000)), L2_GRANTED);
    CHECK_EQ(script_verdict(script_fill(&c, "k", 1, 0, 1)), L2_REFUSED);
    /* drops the lease */
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 0, 0)), L2_NONE);
    CHECK_EQ(script_verdict(script_fill(&c, "k", 9, 0, 1)), L2_REFUSED);
    CHECK_EQ(script_verdict(script_lease(&c, "k", 2, 0)), L2_GRANTED);
    free(redis_command(&server, "DEL t:!2:!lease:s:k")); /* evicted */
    CHECK_EQ(script_verdict(script_fill(&c, "k", 2, 0, 1)), L2_REFUSED);
    CHECK_EQ(script_verdict(script_get(&c, "k")), L2_NONE);
    end();
}

TEST(a_fill_goes_out_on_the_connection_of_its_lease_only)
{
    begin(NULL);
    struct l2_key key = client_key("k");
    struct l2_sync s;
    struct bytes envelope = client_envelope(1, 0, "v");
    const struct l2_fill f = {.token = 1, .connection = 7, .hard_ms = 1000, .envelope = envelope};
    const struct l2_op op = client_op(&c, &s, CLIENT_DEADLINE_MS);
    CHECK_EQ(script_verdict(script_lease(&c, "k", 1, 0)), L2_GRANTED);
    CHECK_EQ(l2_fill(c.l2, &key, &f, &op), NIGH_EOFFLINE);
    client_envelope_free(envelope);
    end();
}

TEST(a_fill_is_refused_by_a_newer_version_only)
{
    static const uint64_t high = UINT64_C(1) << 63;
    static const struct {
        uint64_t stored, ours;
        int verdict;
    } cases[] = {
        {0, 0, L2_STORED},        {0, 5, L2_STORED},
        {5, 5, L2_STORED},        {5, 6, L2_STORED},
        {5, 0, L2_STORED},        {6, 5, L2_REFUSED},
        {high, high, L2_STORED},  {high + 1, high, L2_REFUSED}, /* a double knows no difference */
        {high, high + 1, L2_STORED}, {UINT64_C(1) << 32, 5, L2_REFUSED},
        {0x0100, 0x00ff, L2_REFUSED},
    };
    begin(NULL);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        check_note("stored %#llx, ours %#llx", (unsigned long long)cases[i].stored,
                   (unsigned long long)cases[i].ours);
        CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_SET, cases[i].stored, 0)), L2_STORED);
        CHECK_EQ(script_verdict(script_lease(&c, "k", 1, 777)), L2_GRANTED);
        CHECK_EQ(script_verdict(script_fill(&c, "k", 1, cases[i].ours, 1)), cases[i].verdict);
        CHECK_EQ(redis_integer(&server, "EXISTS t:!2:!lease:s:k"), 0);
    }
    end();
}

/* ---- changes ---- */

TEST(delete_takes_the_value_and_its_lease)
{
    begin(NULL);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_SET, 0, 0)), L2_STORED);
    CHECK_EQ(script_verdict(script_lease(&c, "k", 1, 777)), L2_GRANTED);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 0, 0)), L2_NONE);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:k t:!2:!lease:s:k"), 0);
    end();
}

TEST(delete_with_a_version_spares_what_is_as_new)
{
    begin(NULL);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_SET, 7, 0)), L2_STORED);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 7, 0)), L2_NONE);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:k"), 1);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 8, 0)), L2_NONE);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:k"), 0);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_SET, 0, 0)), L2_STORED);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 1, 0)), L2_NONE);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:k"), 0);
    CHECK_EQ(redis_integer(&server, "XLEN t:!:log"), 5); /* each was published all the same */
    end();
}

TEST(a_writer_sets_with_its_token_and_deletes_without)
{
    begin(NULL);
    struct l2_key key = client_key("k");
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_override, &key, 1, 5000)), L2_GRANTED);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_SET_TOKEN, 0, 1)), L2_STORED);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:k"), 1);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:!lease:s:k"), 0);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_override, &key, 1, 5000)), L2_GRANTED);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_override, &key, 2, 5000)), L2_GRANTED);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_SET_TOKEN, 0, 1)), L2_NONE);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:k t:!2:!lease:s:k"), 0);
    end();
}

/* What is refused for a version as new is told all the same: older ones may lie anywhere. */
TEST(put_if_newer_that_is_refused_spares_and_tells)
{
    begin(NULL);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_SET_NEWER, 7, 0)), L2_STORED);
    CHECK_EQ(script_verdict(script_lease(&c, "k", 1, 777)), L2_GRANTED);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_SET_NEWER, 7, 0)), L2_REFUSED);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:!lease:s:k"), 0);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_SET_NEWER, 6, 0)), L2_REFUSED);
    CHECK_EQ(redis_integer(&server, "XLEN t:!:log"), 3);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:k"), 1);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_SET_NEWER, 8, 0)), L2_STORED);
    end();
}

/* A deletion of every version, then a value that is set only if there was none as new. */
TEST(put_that_replaces_leaves_nothing_that_is_newer)
{
    begin(NULL);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_REPLACE, 7, 0)), L2_STORED);
    CHECK_EQ(script_verdict(script_lease(&c, "k", 1, 777)), L2_GRANTED);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_REPLACE, 7, 0)), L2_REFUSED);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:k t:!2:!lease:s:k"), 0);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_SET, 0, 0)), L2_STORED);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_REPLACE, 6, 0)), L2_STORED);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_REPLACE, 8, 0)), L2_STORED);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_REPLACE, 6, 0)), L2_REFUSED);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:k"), 0);
    CHECK_EQ(redis_integer(&server, "XLEN t:!:log"), 6);
    end();
}

/* Where a resync has the positions of a slot; NULL: its page is not there. */
static const uint8_t *page_slot(const struct l2_answer *a, uint32_t slot)
{
    uint32_t of_page = CLIENT_SLOTS / L2_PAGES;
    for (uint32_t i = 0; i < a->entry_count; i++)
        if (a->entry_seqs[i] == slot / of_page)
            return (const uint8_t *)a->entries[i].data + 16 * (slot % of_page);
    return NULL;
}

TEST(groups_get_the_position_of_their_change)
{
    static const struct l2_change_group groups[] = {
        {0, true}, {5, false}, {CLIENT_SLOTS - 1, true}};
    const struct l2_change change = {
        .groups = groups, .group_count = 3, .nonce = 42, .schemas = 42, .frame = script_frame};
    begin(NULL);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 0, 0)), L2_NONE);
    struct l2_answer *a = CLIENT_ASK(&c, l2_change, &change);
    CHECK_EQ(a->clock.sequence, 2);
    CHECK_EQ(a->verdict, L2_NONE);
    l2_answer_free(a);
    a = CLIENT_ASK(&c, l2_resync, CLIENT_RESYNC(43));
    CHECK_EQ(a->clock.id, 42);
    CHECK_EQ(a->clock.sequence, 2);
    CHECK_EQ(a->slots, CLIENT_SLOTS);
    CHECK(!a->partial);
    REQUIRE_EQ(a->entry_count, 2); /* of 64 pages */
    CHECK_EQ(a->entry_seqs[0], 0);
    CHECK_EQ(a->entry_seqs[1], L2_PAGES - 1);
    for (uint32_t i = 0; i < CLIENT_SLOTS; i++) {
        const uint8_t *at = page_slot(a, i);
        CHECK_EQ(at ? get_le64(at) : 0, i == 5 ? 2 : 0);
        CHECK_EQ(at ? get_le64(at + 8) : 0, i == 0 || i == CLIENT_SLOTS - 1 ? 2 : 0);
    }
    l2_answer_free(a);
    end();
}

/* Who has followed this clock up to here is told only what has moved since. */
TEST(a_resync_brings_what_may_be_new)
{
    static const struct l2_change_group low = {5, false}, high = {CLIENT_SLOTS - 1, true};
    struct l2_change change = {
        .groups = &low, .group_count = 1, .nonce = 42, .schemas = 42, .frame = script_frame};
    begin(NULL);
    l2_answer_free(CLIENT_ASK(&c, l2_change, &change));
    struct l2_answer *a = CLIENT_ASK(&c, l2_resync, CLIENT_RESYNC(43)); /* who the server is, too */
    struct l2_resync known = {
        .nonce = 43, .replid = a->clock.replid, .id = a->clock.id, .after_seq = a->clock.sequence};
    change.groups = &high;
    l2_answer_free(CLIENT_ASK(&c, l2_change, &change));
    struct l2_answer *b = CLIENT_ASK(&c, l2_resync, &known);
    CHECK(b->partial);
    REQUIRE_EQ(b->entry_count, 1);
    CHECK_EQ(b->entry_seqs[0], L2_PAGES - 1);
    l2_answer_free(b);
    known.after_seq = 2;
    b = CLIENT_ASK(&c, l2_resync, &known);
    CHECK(b->partial);
    CHECK_EQ(b->entry_count, 0);
    l2_answer_free(b);
    known.id++; /* another clock: its positions say nothing of this one's */
    b = CLIENT_ASK(&c, l2_resync, &known);
    CHECK(!b->partial);
    CHECK_EQ(b->entry_count, 2);
    l2_answer_free(b);
    l2_answer_free(a);
    end();
}

TEST(many_keys_in_one_change)
{
    enum { KEYS = 4096 };
    static struct l2_change_key keys[KEYS];
    static char names[KEYS][16];
    const struct l2_change change = {
        .keys = keys, .key_count = KEYS, .nonce = 42, .schemas = 42, .frame = script_frame};
    begin(NULL);
    for (int i = 0; i < KEYS; i++) {
        snprintf(names[i], sizeof(names[i]), "k%d", i);
        keys[i] = (struct l2_change_key){.key = client_key(names[i]), .mode = L2_DELETE};
    }
    free(redis_command(&server, "MSET t:!2:s:1:k0 a t:!2:s:1:k4095 b t:!2:!lease:s:k77 c other d"));
    struct l2_answer *a = CLIENT_ASK(&c, l2_change, &change);
    CHECK_EQ(a->status, 0);
    CHECK_EQ(a->clock.sequence, 1);
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "DBSIZE"), 3); /* clk, log, other */
    end();
}

/* ---- the clock ---- */

TEST(beat_makes_the_clock_and_brings_what_followed)
{
    begin(NULL);
    struct l2_answer *first = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 100, 42));
    CHECK_EQ(first->status, 0);
    CHECK_NE(first->clock.identity, 0);
    CHECK_EQ(first->clock.sequence, 0);
    CHECK_GT(first->clock.server_time_ms, UINT64_C(1600000000000));
    CHECK_EQ(first->clock.home, first->home);
    CHECK_EQ(first->entry_count, 0);
    CHECK_EQ(redis_integer(&server, "STRLEN t:!2:!clk"), CLIENT_CLK_BYTES);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 0, 0)), L2_NONE);
    struct l2_answer *second = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(1, 100, 43));
    CHECK_EQ(second->clock.identity, first->clock.identity);
    CHECK_EQ(second->clock.sequence, 3);
    REQUIRE_EQ(second->entry_count, 2);
    CHECK_EQ(second->entry_seqs[0], 2);
    CHECK_EQ(second->entry_seqs[1], 3);
    CHECK_EQ(second->entries[0].len, 4 + 40 + 4 * 8 + 4);
    const char *bytes = second->entries[0].data;
    CHECK_MEM(bytes, 4, "HEAD", 4);
    CHECK_EQ(hash_bytes(bytes_of(bytes + 4, 40)), first->home);
    CHECK_EQ(hash_bytes(bytes_of(bytes + 4, 48)), first->clock.identity);
    CHECK_EQ(get_le64(bytes + 44), 42);
    CHECK_EQ(get_le64(bytes + 52), 2);
    CHECK_EQ(get_le64(bytes + 60), 42); /* nonces: of the change before, and its own */
    CHECK_EQ(get_le64(bytes + 68), 42);
    CHECK_MEM(bytes + 76, 4, "TAIL", 4);
    l2_answer_free(first);
    l2_answer_free(second);
    end();
}

TEST(a_beat_brings_no_more_than_asked_for)
{
    begin(NULL);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 0, 0)), L2_NONE);
    struct l2_answer *a = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 2, 42));
    CHECK_EQ(a->entry_count, 2);
    CHECK_EQ(a->clock.sequence, 5);
    l2_answer_free(a);
    a = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(UINT64_MAX, 2, 42));
    CHECK_EQ(a->status, 0);
    CHECK_EQ(a->entry_count, 0);
    l2_answer_free(a);
    end();
}

/* Redis keeps numbers as doubles in Lua, and 32 bits are soon used up. */
TEST(positions_above_32_bits)
{
    static const uint64_t start = (UINT64_C(5) << 32) - 2;
    char le[8];
    begin(NULL);
    l2_answer_free(CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 100, 42)));
    put_le64(le, start);
    free(redis_command(&server, "SETRANGE t:!2:!clk 8 %b", le, sizeof(le)));
    for (uint64_t i = 1; i <= 4; i++) {
        struct l2_answer *a = script_change_key(&c, "k", L2_DELETE, 0, 0);
        CHECK_EQ(a->status, 0);
        CHECK_EQ(a->clock.sequence, start + i);
        l2_answer_free(a);
    }
    struct l2_answer *a = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(start + 1, 100, 42));
    REQUIRE_EQ(a->entry_count, 3);
    CHECK_EQ(a->entry_seqs[0], start + 2);
    CHECK_EQ(get_le64((const char *)a->entries[2].data + 52), start + 4);
    l2_answer_free(a);
    end();
}

static uint64_t identity_after_beat(uint64_t nonce)
{
    struct l2_answer *a = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 100, nonce));
    uint64_t identity = a->status ? 0 : a->clock.identity;
    CHECK_EQ(a->status, 0);
    CHECK_EQ(a->clock.sequence, 0);
    CHECK_EQ(a->entry_count, 0);
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "STRLEN t:!2:!clk"), CLIENT_CLK_BYTES);
    return identity;
}

TEST(a_clock_lost_cut_or_replaced_is_another_clock)
{
    static const char *const accidents[] = {
        "DEL t:!2:!clk", "SET t:!2:!clk short", "SETRANGE t:!2:!clk 72 x", "LPUSH t:!2:!clk x"};
    begin(NULL);
    uint64_t last = identity_after_beat(42);
    for (size_t i = 0; i < ARRAY_COUNT(accidents); i++) {
        CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_SET, 0, 0)),
                 i == 0 ? L2_STORED : L2_MOVED);
        if (i == 3)
            free(redis_command(&server, "DEL t:!2:!clk"));
        free(redis_command(&server, accidents[i]));
        uint64_t identity = identity_after_beat(100 + i);
        CHECK_NE(identity, last);
        CHECK_EQ(redis_integer(&server, "EXISTS t:!:log"), 0);
        last = identity;
    }
    end();
}

/* Two kinds of nodes that each made the clock anew would take it from each other for ever. */
TEST(a_clock_with_other_group_slots_is_left_alone)
{
    static const char others[] = {0, 0x10, 0, 0}; /* 4096 */
    begin(NULL);
    l2_answer_free(CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 100, 42)));
    free(redis_command(&server, "SETRANGE t:!2:!clk 64 %b", others, sizeof(others)));
    struct l2_answer *a = CLIENT_ASK(&c, l2_resync, CLIENT_RESYNC(7));
    CHECK_EQ(a->status, 0);
    CHECK_EQ(a->slots, 4096); /* which tells the node what is wrong */
    l2_answer_free(a);
    l2_answer_free(CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 100, 8)));
    a = script_change_key(&c, "k", L2_SET, 0, 0);
    CHECK_EQ(a->status, NIGH_EREDIS);
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:k"), 0);
    CHECK_EQ(redis_integer(&server, "STRLEN t:!2:!clk"), CLIENT_CLK_BYTES);
    end();
}

TEST(without_a_clock_there_is_no_identity)
{
    begin(NULL);
    struct l2_answer *a = script_lease(&c, "k", 1, 0);
    CHECK_EQ(a->verdict, L2_GRANTED);
    CHECK_EQ(a->clock.identity, 0);
    CHECK_NE(a->clock.home, 0);
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:!clk"), 0);
    end();
}

TEST(a_log_lost_or_of_another_clock_does_not_stop_changes)
{
    begin(NULL);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 0, 0)), L2_NONE);
    free(redis_command(&server, "XADD t:!:log 99-0 f x"));
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 0, 0)), L2_NONE);
    CHECK_EQ(redis_integer(&server, "XLEN t:!:log"), 1);
    free(redis_command(&server, "DEL t:!:log"));
    free(redis_command(&server, "SET t:!:log x"));
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 0, 0)), L2_NONE);
    CHECK_EQ(redis_integer(&server, "XLEN t:!:log"), 1);
    end();
}

TEST(the_log_is_bounded)
{
    begin(NULL);
    for (int i = 0; i < 20000; i += 100) {
        static struct l2_sync syncs[100];
        for (int j = 0; j < 100; j++) {
            const struct l2_change change = {.nonce = 42, .schemas = 42, .frame = script_frame};
            CLIENT_SUBMIT(&c, &syncs[j], l2_change, &change);
        }
        for (int j = 0; j < 100; j++)
            CHECK_EQ(script_verdict(l2_sync_wait(&syncs[j])), L2_NONE);
    }
    CHECK_LE(redis_integer(&server, "XLEN t:!:log"), 17000);
    struct l2_answer *a = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(10000, 100000, 42));
    CHECK_EQ(a->entry_count, 10000);
    l2_answer_free(a);
    end();
}

/* 8 MiB of frames, whatever their size: never below 256 of them, never above 16384. */
TEST(the_log_keeps_fewer_of_larger_frames)
{
    static const struct {
        size_t bytes;
        int changes, least, most;
    } cases[] = {
        {40000, 400, 256, 280}, /* below 8 MiB by number */
        {8000, 1500, 1000, 1120},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char *tail = calloc(1, cases[i].bytes);
        const struct l2_change change = {
            .nonce = 42, .schemas = 42, .frame = {{"HEAD", 4}, {tail, cases[i].bytes}}};
        begin(NULL);
        for (int n = 0; n < cases[i].changes; n++)
            CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_change, &change)), L2_NONE);
        CHECK_GE(redis_integer(&server, "XLEN t:!:log"), cases[i].least);
        CHECK_LE(redis_integer(&server, "XLEN t:!:log"), cases[i].most);
        end();
        free(tail);
    }
}

/* One large frame among small ones takes next to nothing from them. */
TEST(the_log_goes_by_the_mean_size)
{
    static char tail[60000];
    struct l2_change change = {.nonce = 42, .schemas = 42, .frame = script_frame};
    begin(NULL);
    for (int n = 0; n < 2000; n++) {
        change.frame.tail = bytes_of(tail, n == 1000 ? sizeof(tail) : 4);
        CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_change, &change)), L2_NONE);
    }
    CHECK_EQ(redis_integer(&server, "XLEN t:!:log"), 2000);
    end();
}

/* Whoever has heard it needs no entry; whoever has not reads the clock. */
TEST(a_frame_above_64_kib_is_logged_as_lost)
{
    static char tail[65536];
    enum { FITS = 65536 - 4 - 40 - 4 * 8 };
    struct l2_change change = {.nonce = 42, .schemas = 42, .frame = {{"HEAD", 4}, {tail, FITS}}};
    begin(NULL);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_change, &change)), L2_NONE);
    change.frame.tail.len++;
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_change, &change)), L2_NONE);
    change.frame.tail.len = 4;
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_change, &change)), L2_NONE);
    struct l2_answer *a = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 100, 42));
    REQUIRE_EQ(a->entry_count, 3);
    CHECK_EQ(a->entries[0].len, 65536);
    CHECK_EQ(a->entry_seqs[1], 2);
    CHECK_EQ(a->entries[1].len, 0);
    CHECK_EQ(a->entries[2].len, 4 + 40 + 4 * 8 + 4);
    l2_answer_free(a);
    end();
}

/* ---- a clock is renewed: rule 16 ---- */

/* A clock with a position, a schema, and a group. */
static struct l2_answer *clock_to_renew(void)
{
    static const struct l2_change_group group = {5, false};
    struct bytes envelope = client_envelope(777, 0, "written");
    const struct l2_change_key key = {
        .key = client_key("k"), .mode = L2_SET, .envelope = envelope, .hard_ms = 60000};
    const struct l2_change change = {
        .keys = &key,
        .key_count = 1,
        .groups = &group,
        .group_count = 1,
        .nonce = 42,
        .schemas = 42,
        .registration = {60000, 0, 0},
        .frame = script_frame,
    };
    struct l2_answer *a = CLIENT_ASK(&c, l2_change, &change);
    CHECK_EQ(script_verdict(a), L2_STORED);
    client_envelope_free(envelope);
    return CLIENT_ASK(&c, l2_resync, CLIENT_RESYNC(43));
}

static struct l2_answer *renew(uint64_t nonce, uint64_t id, struct bytes replid)
{
    const struct l2_resync resync = {.nonce = nonce, .renew = id, .renew_replid = replid};
    return CLIENT_ASK(&c, l2_resync, &resync);
}

TEST(a_renewed_clock_has_another_id_and_all_else)
{
    begin(NULL);
    struct l2_answer *before = clock_to_renew();
    struct l2_answer *a = renew(4711, 42, before->clock.replid);
    CHECK_EQ(a->status, 0);
    CHECK_EQ(a->clock.id, 4711);
    CHECK_NE(a->clock.identity, before->clock.identity);
    CHECK_EQ(a->clock.home, before->clock.home);
    CHECK_EQ(a->clock.nonce, 4711);
    CHECK_EQ(a->clock.sequence, 1);
    CHECK_EQ(a->clock.schemas, before->clock.schemas);
    CHECK_EQ(a->value.len, 16 + 1 + 1);
    CHECK(!a->partial);
    CHECK_EQ(a->entry_count, 1);
    CHECK_EQ(get_le64(page_slot(a, 5)), 1);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!:log t:!2:!log"), 0);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:k"), 1); /* stale to everybody */
    CHECK_EQ(script_le64_at(&server, "t:!2:!clk", 0), 4711);
    CHECK_EQ(script_le64_at(&server, "t:!2:!clk", 16), 4711);
    l2_answer_free(a);
    a = script_change_key(&c, "k", L2_DELETE, 0, 0);
    CHECK_EQ(a->clock.sequence, 2);
    CHECK_EQ(a->previous, 4711); /* the chain goes on from there */
    l2_answer_free(a);
    l2_answer_free(before);
    end();
}

TEST(a_clock_is_renewed_if_it_is_still_the_one_seen)
{
    static const char elsewhere[] = "0123456789012345678901234567890123456789";
    begin(NULL);
    struct l2_answer *before = clock_to_renew();
    struct l2_answer *a = renew(1001, 43, before->clock.replid);
    CHECK_EQ(a->clock.identity, before->clock.identity); /* another id */
    l2_answer_free(a);
    a = renew(1002, 42, bytes_of(elsewhere, 40));
    CHECK_EQ(a->clock.identity, before->clock.identity); /* another server */
    l2_answer_free(a);
    a = renew(1003, 0, bytes_of("", 0));
    CHECK_EQ(a->clock.identity, before->clock.identity); /* nobody asked */
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "XLEN t:!:log"), 1);
    a = renew(1004, 42, before->clock.replid);
    CHECK_EQ(a->clock.id, 1004);
    l2_answer_free(a);
    a = renew(1005, 42, before->clock.replid); /* the second node that asks for it */
    CHECK_EQ(a->clock.id, 1004);
    l2_answer_free(a);
    l2_answer_free(before);
    end();
}

TEST(a_clock_of_other_group_slots_is_not_renewed)
{
    static const char others[] = {0, 0x10, 0, 0}; /* 4096 */
    begin(NULL);
    struct l2_answer *before = clock_to_renew();
    free(redis_command(&server, "SETRANGE t:!2:!clk 64 %b", others, sizeof(others)));
    struct l2_answer *a = renew(4711, 42, before->clock.replid);
    CHECK_EQ(a->clock.id, 42);
    l2_answer_free(a);
    l2_answer_free(before);
    end();
}

TEST(a_clock_is_renewed_when_memory_is_full)
{
    begin(NULL);
    struct l2_answer *before = clock_to_renew();
    free(redis_command(&server, "CONFIG SET maxmemory 1"));
    struct l2_answer *a = renew(4711, 42, before->clock.replid);
    CHECK_EQ(a->status, 0);
    CHECK_EQ(a->clock.id, 4711);
    l2_answer_free(a);
    l2_answer_free(before);
    end();
}

/* ---- the chain of changes ---- */

TEST(each_change_names_the_one_before_it)
{
    begin(NULL);
    uint64_t previous = 100; /* of the clock that the first one makes */
    for (uint64_t nonce = 100; nonce < 104; nonce++) {
        const struct l2_change change = {.nonce = nonce, .schemas = 100, .frame = script_frame};
        struct l2_answer *a = CLIENT_ASK(&c, l2_change, &change);
        CHECK_EQ(a->previous, previous);
        CHECK_EQ(a->clock.nonce, nonce);
        previous = nonce;
        l2_answer_free(a);
    }
    struct l2_answer *a = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(1, 100, 7));
    REQUIRE_EQ(a->entry_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        const uint8_t *f = a->entries[i].data;
        CHECK_EQ(get_le64(f + 60), 100 + i);
        CHECK_EQ(get_le64(f + 68), 101 + i);
    }
    CHECK_EQ(a->clock.nonce, 103);
    l2_answer_free(a);
    end();
}

/* ---- a look for people ---- */

static struct l2_answer *peek(const char *name)
{
    struct l2_key key = client_key(name);
    return CLIENT_ASK(&c, l2_peek, &key);
}

TEST(a_look_tells_value_and_lease_and_changes_neither)
{
    begin(NULL);
    struct l2_answer *a = peek("k");
    struct l2_peeked p = l2_peeked(a);
    CHECK(p.verdict == L2_NONE && p.token == 0 && p.lease_ms == 0 && p.value_ms == 0);
    l2_answer_free(a);
    CHECK_EQ(script_verdict(script_lease(&c, "k", 7, 0)), L2_GRANTED);
    p = l2_peeked(a = peek("k"));
    CHECK(p.verdict == L2_NONE && p.token == 7 && p.lease_ms > 0 && !p.awaited);
    l2_answer_free(a);
    CHECK_EQ(script_verdict(script_lease(&c, "k", 8, 0)), L2_HELD);
    p = l2_peeked(a = peek("k"));
    CHECK(p.token == 7 && p.awaited);
    l2_answer_free(a);
    CHECK_EQ(script_verdict(script_fill(&c, "k", 7, 0, 1)), L2_STORED);
    p = l2_peeked(a = peek("k"));
    struct l2_envelope e;
    CHECK(p.verdict == L2_VALUE && p.token == 0 && p.value_ms > 0);
    if (CHECK(l2_envelope_decode(p.value, 0, &e)))
        CHECK_EQ(e.fill_id, 7);
    l2_answer_free(a);
    free(redis_command(&server, "DEL t:!2:s:1:k"));
    free(redis_command(&server, "LPUSH t:!2:s:1:k foreign"));
    p = l2_peeked(a = peek("k"));
    CHECK(p.verdict == L2_NONE);
    l2_answer_free(a);
    end();
}

/* ---- the number of the call ---- */

/* A script as it was asked: its reply begins with the number. (That of TELL ends with it, and
 * begins with the id of the clock: here TELL makes it, and gives it that number, too.) */
static void check_echo(enum script_id id, const char *keys_and_args)
{
    char format[512];
    snprintf(format, sizeof(format), "EVAL %%s %s", keys_and_args);
    char *reply = redis_command(&server, format, script_table[id].text.data, "");
    bool told = reply && strncmp(reply, "NUMBER01", 8) == 0;
    if (!CHECK(told))
        check_note("script %d answers %s", id, reply ? reply : "nothing");
    free(reply);
}

#define CLK_NAME "t:!2:!clk "
#define LOG_NAMES "t:!:log t:!2:!nil "
#define EIGHT "12345678"
#define LENGTHS EIGHT EIGHT EIGHT
#define ENVELOPE LENGTHS LENGTHS LENGTHS LENGTHS

TEST(every_script_answers_the_number_of_its_call)
{
    static const char *const asked[SCRIPT_COUNT] = {
        [SCRIPT_LEASE] = "3 " CLK_NAME "d l NUMBER01 TOKEN001_MILLISEC 5000 REJECTED0",
        [SCRIPT_LEASE_MANY] = "3 " CLK_NAME "d l NUMBER01 5000 TOKEN001_MILLISECREJECTED0",
        [SCRIPT_OVERRIDE] = "2 " CLK_NAME "l NUMBER01 TOKEN001_MILLISEC 5000",
        [SCRIPT_EXTEND] = "2 " CLK_NAME "l NUMBER01 TOKEN001 5000",
        [SCRIPT_RELEASE] = "2 " CLK_NAME "l NUMBER01 TOKEN001 ch HEAD TAIL",
        [SCRIPT_FILL] = "3 " CLK_NAME "d l "
                        "NUMBER01 5000 " ENVELOPE " SCHEMAS1 " LENGTHS "NONCE001chHEADTAILs1",
        [SCRIPT_FILL_MANY] = "3 " CLK_NAME "d l NUMBER01 SCHEMAS1 " LENGTHS
                             "NONCE001chHEADTAILs1 5000 " ENVELOPE,
        [SCRIPT_TELL] = "3 " CLK_NAME LOG_NAMES "NUMBER01 FRONT TAIL SCHEMAS1 ch 2048",
        [SCRIPT_CHANGE] = "3 " CLK_NAME LOG_NAMES
                          "NUMBER01 NONCE001 SCHEMAS1 ch FRONT TAIL 2048 0 %s s 1 0 SCHEMAS1",
        [SCRIPT_CHANGE_OLD] =
            "5 " CLK_NAME LOG_NAMES "t:!:clk t:!2:!log "
            "NUMBER01 NONCE001 SCHEMAS1 ch FRONT TAIL 2048 0 oldch s 1 0 SCHEMAS1",
        [SCRIPT_BEAT] = "5 " CLK_NAME LOG_NAMES "t:!:clk t:!2:!log "
                        "NUMBER01 NONCE001 2048 0 10 1000 ch HEAD oldch",
        [SCRIPT_RESYNC] = "5 " CLK_NAME LOG_NAMES "t:!2:!log t:!:clk "
                          "NUMBER01 NONCE001 2048 REPLID IDIDIDID 0 RENEWID1 REPLID",
        [SCRIPT_PEEK] = "3 " CLK_NAME "d l NUMBER01",
    };
    redis_start(&server, NULL);
    for (int id = 0; id < SCRIPT_COUNT; id++)
        check_echo(id, asked[id]);
    redis_stop(&server);
}

/* ---- names of scripts ---- */

TEST(redis_names_the_scripts_as_we_do)
{
    redis_start(&server, NULL);
    for (int i = 0; i < SCRIPT_COUNT; i++) {
        const struct script *s = &script_table[i];
        char *name = redis_command(&server, "SCRIPT LOAD %b", s->text.data, s->text.len);
        if (CHECK(name))
            CHECK_STR(s->sha1, name);
        free(name);
    }
    redis_stop(&server);
}

static void ask_every_script(void)
{
    static const char *const names[] = {"many"};
    struct l2_key key = client_key("k");
    l2_answer_free(CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 10, 42)));
    l2_answer_free(CLIENT_ASK(&c, l2_resync, CLIENT_RESYNC(42)));
    CHECK_EQ(script_verdict(script_lease(&c, "k", 1, 0)), L2_GRANTED);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_extend, &key, 1, 5000)), L2_STORED);
    CHECK_EQ(script_verdict(script_fill(&c, "k", 1, 0, 1)), L2_STORED);
    CHECK_EQ(script_verdict(script_lease_many(&c, names, 1, 3)), L2_NONE);
    CHECK_EQ(script_verdict(script_fill_many(&c, names, 1, 3)), L2_NONE);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_override, &key, 2, 5000)), L2_GRANTED);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_release, &key, 2, &script_frame)), L2_NONE);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 0, 0)), L2_NONE);
    CHECK_EQ(script_verdict(script_change_key(&c, "other", L2_SET, 0, 0)), L2_STORED);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_peek, &key)), L2_NONE);
    const struct l2_change told = {
        .nonce = 43, .schemas = 42, .old_nodes = true, .frame = script_frame};
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_change, &told)), L2_NONE);
}

/* How often Redis has been sent a script's text. */
static int texts_sent(void)
{
    char *info = redis_command(&server, "INFO commandstats");
    REQUIRE(info);
    const char *eval = strstr(info, "cmdstat_eval:calls=");
    int calls = eval ? atoi(strchr(eval, '=') + 1) : 0;
    free(info);
    return calls;
}

TEST(a_text_is_sent_once)
{
    begin(NULL);
    int asked = texts_sent(); /* by the handshake */
    ask_every_script();
    CHECK_EQ(texts_sent(), asked + SCRIPT_COUNT);
    ask_every_script();
    CHECK_EQ(texts_sent(), asked + SCRIPT_COUNT);
    end();
}

/* ---- the server's moods ---- */

TEST(scripts_survive_being_forgotten)
{
    begin(NULL);
    for (int i = 0; i < 3; i++) {
        free(redis_command(&server, "SCRIPT FLUSH"));
        CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_SET, 0, 0)), L2_STORED);
        CHECK_EQ(script_verdict(script_lease(&c, "k", 1, 777)), L2_GRANTED);
        CHECK_EQ(script_verdict(script_fill(&c, "k", 1, 0, 1)), L2_STORED);
        l2_answer_free(CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 10, 42)));
    }
    CHECK_EQ(stats_read(&c.stats, STATS_L2_LOST), 0);
    end();
}

/* maxmemory and noeviction: what tells the truth runs, what would only fill is refused. */
TEST(full_memory)
{
    begin(NULL);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_SET, 0, 0)), L2_STORED);
    CHECK_EQ(script_verdict(script_lease(&c, "leased", 1, 0)), L2_GRANTED);
    free(redis_command(&server, "CONFIG SET maxmemory 1"));
    char *refused = redis_command(&server, "SET x y");
    REQUIRE(refused && strstr(refused, "OOM"));
    free(refused);
    struct l2_key key = client_key("w");
    CHECK_EQ(script_verdict(script_get(&c, "k")), L2_VALUE);
    CHECK_EQ(script_verdict(script_lease(&c, "fresh", 2, 0)), NIGH_EREDIS);
    CHECK_EQ(script_verdict(script_lease(&c, "leased", 3, 0)), NIGH_EREDIS);
    CHECK_EQ(script_verdict(script_change_key(&c, "k", L2_DELETE, 0, 0)), L2_NONE);
    CHECK_EQ(script_verdict(script_get(&c, "k")), L2_NONE);
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_override, &key, 4, 5000)), L2_GRANTED);
    CHECK_EQ(script_verdict(script_change_key(&c, "w", L2_SET_TOKEN, 0, 4)), L2_STORED);
    CHECK_EQ(script_verdict(script_fill(&c, "leased", 1, 0, 1)), L2_STORED);
    struct l2_answer *a = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 10, 42));
    CHECK_EQ(a->status, 0);
    CHECK_EQ(a->clock.sequence, 3);
    l2_answer_free(a);
    free(redis_command(&server, "DEL t:!2:!clk"));
    a = CLIENT_ASK(&c, l2_resync, CLIENT_RESYNC(43));
    CHECK_EQ(a->status, 0);
    CHECK_EQ(a->slots, CLIENT_SLOTS);
    l2_answer_free(a);
    CHECK(l2_connected(c.l2));
    end();
}
