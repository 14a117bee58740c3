// SPDX-License-Identifier: MIT
// The scripts against a real server: what each does, what it refuses, and what it leaves behind. Of
// the clock: 22l2_script_clock.

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

/* ---- who hears of a change ---- */

TEST(a_change_says_how_many_heard_it)
{
    begin(NULL);
    struct l2_answer *a = script_change_key(&c, "k", L2_SET, 0, 0);
    CHECK(a->counted && a->heard == 0 && l2_verdict_at(a, 0) == L2_STORED);
    l2_answer_free(a);
    a = script_change_key(&c, "k", L2_DELETE, 0, 0); /* another script */
    CHECK(a->counted && a->heard == 0);
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
    CHECK(p.verdict == L2_VALUE && p.value.len == 0); /* there is something, not to be read */
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
