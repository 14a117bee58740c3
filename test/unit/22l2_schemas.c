// SPDX-License-Identifier: MIT
// The list of schemas in the clock, against a real server: who comes in, for how long, who is told
// when it moves, and what a change does to the values of other schemas.

#include "worlds/l2_script.h"

#define LIST_AT CLIENT_CLK_BYTES /* in the clock */
#define TOKEN_AT 32
#define MINUTE_MS 60000u

static uint64_t nonces = 1000; /* each change has its own */

static struct l2_key key_of(const char *schema, const char *key)
{
    return (struct l2_key){bytes_of_string("s"), bytes_of_string(schema), bytes_of_string(key)};
}

static uint64_t token_now(void)
{
    return script_le64_at(&server, "t:!2:!clk", TOKEN_AT);
}

/* A change of `key`, registering its schema for `ms` if it knows no better token. */
static struct l2_answer *change(struct l2_change_key key, uint32_t ms, uint64_t token)
{
    struct bytes envelope = client_envelope(777, key.version, "written");
    if (key.mode != L2_DELETE) {
        key.envelope = envelope;
        key.hard_ms = 60000;
    }
    uint64_t nonce = ++nonces;
    const struct l2_change change = {
        .keys = &key,
        .key_count = 1,
        .nonce = nonce,
        .schemas = redis_integer(&server, "EXISTS t:!2:!clk") ? token_now() : 0,
        .registration = {ms, token, 0},
        .frame = script_frame,
    };
    struct l2_answer *a = CLIENT_ASK(&c, l2_change, &change);
    client_envelope_free(envelope);
    return a;
}

/* Store a value in this schema, and register it. */
static int set_in(const char *schema, uint32_t ms)
{
    struct l2_change_key key = {.key = key_of(schema, "k"), .mode = L2_SET};
    return script_verdict(change(key, ms, 0));
}

static struct l2_answer *fill_in(const char *schema, const char *name, uint32_t ms, uint64_t token)
{
    struct l2_key key = key_of(schema, name);
    struct bytes envelope = client_envelope(1, 0, "filled");
    const struct l2_lease l = {.token = 1, .lease_ms = 5000};
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_lease, &key, &l)), L2_GRANTED);
    const struct l2_fill f = {
        .token = 1,
        .connection = 1,
        .hard_ms = 60000,
        .envelope = envelope,
        .frame = script_frame,
        .registration = {ms, token, ++nonces},
    };
    struct l2_answer *a = CLIENT_ASK(&c, l2_fill, &key, &f);
    client_envelope_free(envelope);
    return a;
}

static void begin_with_clock(void)
{
    begin(NULL);
    l2_answer_free(CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 10, 42)));
}

/* What a resync tells: how many records, and where in the clock this schema's is (0: it is not). */
static unsigned records_of(const char *schema, unsigned *ret_at)
{
    struct l2_answer *a = CLIENT_ASK(&c, l2_resync, CLIENT_RESYNC(7));
    struct byte_reader r = byte_reader_of(a->value);
    unsigned count = 0;
    *ret_at = 0;
    while (r.left > 0 && !r.bad) {
        unsigned at = LIST_AT + (unsigned)(a->value.len - r.left);
        uint32_t space_len = byte_reader_u32(&r), len = byte_reader_u32(&r);
        byte_reader_u64(&r);
        byte_reader_take(&r, space_len);
        struct bytes name = bytes_of(byte_reader_take(&r, len), len);
        if (!r.bad && bytes_equal(name, bytes_of_string(schema)))
            *ret_at = at;
        count++;
    }
    CHECK(!r.bad);
    l2_answer_free(a);
    return count;
}

static uint64_t until_of(const char *schema)
{
    unsigned at;
    records_of(schema, &at);
    return at ? script_le64_at(&server, "t:!2:!clk", at + 8) : 0;
}

static unsigned count_of_records(void)
{
    unsigned at;
    return records_of("", &at);
}

/* Its time is over. */
static void lapse(const char *schema)
{
    unsigned at;
    records_of(schema, &at);
    REQUIRE(at > 0);
    script_put_le64_at(&server, "t:!2:!clk", at + 8, 1000);
}

/* ---- registering ---- */

TEST(the_first_value_registers_its_schema)
{
    begin(NULL);
    struct l2_change_key key = {.key = key_of("v1", "k"), .mode = L2_SET};
    struct l2_answer *a = change(key, MINUTE_MS, 0);
    CHECK_EQ(a->verdict, L2_STORED);
    CHECK_EQ(a->registered_ms, MINUTE_MS);
    CHECK_EQ(a->clock.schemas, token_now());
    CHECK_EQ(count_of_records(), 1);
    CHECK_EQ(until_of("v1"), a->clock.server_time_ms + MINUTE_MS);
    l2_answer_free(a);
    uint64_t before = token_now();
    a = fill_in("v2", "other", MINUTE_MS, before);
    CHECK_EQ(a->verdict, L2_STORED); /* by a node that says it is in this list already */
    CHECK_EQ(a->registered_ms, 0);
    l2_answer_free(a);
    CHECK_EQ(count_of_records(), 1);
    a = fill_in("v2", "k", MINUTE_MS, 0);
    CHECK_EQ(a->verdict, L2_STORED);
    CHECK_EQ(a->registered_ms, MINUTE_MS);
    CHECK_EQ(a->clock.schemas, nonces);
    CHECK_EQ(token_now(), nonces);
    CHECK_EQ(count_of_records(), 2);
    CHECK_EQ(until_of("v2"), a->clock.server_time_ms + MINUTE_MS);
    l2_answer_free(a);
    end();
}

TEST(what_stores_no_value_registers_nothing)
{
    begin_with_clock();
    struct l2_change_key key = {.key = key_of("v1", "k"), .mode = L2_DELETE};
    l2_answer_free(change(key, MINUTE_MS, 0));
    key.mode = L2_SET_TOKEN; /* it has lost the lease */
    key.token = 9;
    struct l2_answer *a = change(key, MINUTE_MS, 0);
    CHECK_EQ(a->verdict, L2_NONE);
    CHECK_EQ(a->registered_ms, 0);
    l2_answer_free(a);
    key.mode = L2_SET;
    l2_answer_free(change(key, 0, 0)); /* was not asked to */
    CHECK_EQ(count_of_records(), 0);
    end();
}

/* What is stored then is stale to everybody; and a clock is not made for it. */
TEST(without_a_clock_a_fill_registers_nothing)
{
    begin(NULL);
    struct l2_answer *a = fill_in("v1", "k", MINUTE_MS, 0);
    CHECK_EQ(a->verdict, L2_STORED);
    CHECK_EQ(a->registered_ms, 0);
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:!clk"), 0);
    end();
}

TEST(a_registration_is_extended_and_never_cut)
{
    begin_with_clock();
    CHECK_EQ(set_in("v1", MINUTE_MS), L2_STORED);
    uint64_t until = until_of("v1"), token = token_now();
    CHECK_EQ(set_in("v1", MINUTE_MS / 2), L2_STORED);
    CHECK_EQ(until_of("v1"), until);
    CHECK_EQ(set_in("v1", 10 * MINUTE_MS), L2_STORED);
    CHECK_GE(until_of("v1"), until + 9 * MINUTE_MS);
    CHECK_EQ(count_of_records(), 1);
    CHECK_EQ(token_now(), token); /* the list is the same: nobody has to be told */
    end();
}

TEST(the_token_moves_with_each_that_comes_or_goes)
{
    begin_with_clock();
    uint64_t empty = token_now();
    set_in("v1", MINUTE_MS);
    uint64_t one = token_now();
    CHECK_NE(one, empty);
    set_in("v2", MINUTE_MS);
    uint64_t two = token_now();
    CHECK_NE(two, one);
    lapse("v1");
    CHECK_EQ(token_now(), two); /* nobody has noticed */
    set_in("v2", MINUTE_MS);
    CHECK_NE(token_now(), two);
    CHECK_EQ(count_of_records(), 1);
    CHECK_NE(until_of("v2"), 0);
    CHECK_EQ(until_of("v1"), 0);
    end();
}

TEST(a_lapsed_schema_comes_back_with_a_new_token)
{
    begin_with_clock();
    set_in("v1", MINUTE_MS);
    uint64_t token = token_now();
    lapse("v1");
    CHECK_EQ(set_in("v1", MINUTE_MS), L2_STORED);
    CHECK_NE(token_now(), token); /* meanwhile a change need not have named it */
    CHECK_EQ(count_of_records(), 1);
    CHECK_GT(until_of("v1"), 1000);
    end();
}

static void fill_the_list(void)
{
    for (char schema[3] = "v1"; schema[1] <= '8'; schema[1]++)
        CHECK_EQ(set_in(schema, MINUTE_MS), L2_STORED);
    CHECK_EQ(count_of_records(), 8);
}

TEST(a_ninth_schema_is_refused_by_a_change)
{
    begin_with_clock();
    fill_the_list();
    free(redis_command(&server, "SET t:!2:s:v9:k old"));
    uint64_t token = token_now();
    struct l2_change_key key = {.key = key_of("v9", "k"), .mode = L2_SET};
    struct l2_answer *a = change(key, MINUTE_MS, 0);
    CHECK_EQ(a->verdict, L2_CROWDED);
    CHECK_EQ(a->registered_ms, 0);
    CHECK_EQ(a->clock.sequence, 9); /* it is a change all the same */
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:v9:k"), 0);
    CHECK_EQ(redis_integer(&server, "XLEN t:!:log"), 9);
    CHECK_EQ(token_now(), token);
    CHECK_EQ(count_of_records(), 8);
    CHECK_EQ(set_in("v8", 10 * MINUTE_MS), L2_STORED); /* those that are in go on */
    end();
}

TEST(a_ninth_schema_is_refused_by_a_fill)
{
    begin_with_clock();
    fill_the_list();
    struct l2_answer *a = fill_in("v9", "k", MINUTE_MS, 0);
    CHECK_EQ(a->verdict, L2_CROWDED);
    CHECK_EQ(a->registered_ms, 0);
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:v9:k t:!2:!lease:s:k"), 0);
    CHECK_EQ(count_of_records(), 8);
    end();
}

TEST(a_lapse_makes_room_and_other_spaces_take_none)
{
    begin_with_clock();
    fill_the_list();
    struct l2_change_key elsewhere = {.key = key_of("v9", "k"), .mode = L2_SET};
    elsewhere.key.space = bytes_of_string("other");
    CHECK_EQ(script_verdict(change(elsewhere, MINUTE_MS, 0)), L2_STORED);
    CHECK_EQ(count_of_records(), 9);
    CHECK_EQ(set_in("v9", MINUTE_MS), L2_CROWDED);
    lapse("v3");
    CHECK_EQ(set_in("v9", MINUTE_MS), L2_STORED);
    CHECK_EQ(until_of("v3"), 0);
    CHECK_EQ(count_of_records(), 9);
    end();
}

/* ---- a list that has moved ---- */

TEST(a_change_named_by_another_list_does_nothing)
{
    begin_with_clock();
    set_in("v1", MINUTE_MS);
    uint64_t token = token_now();
    set_in("v2", MINUTE_MS);
    CHECK_EQ(script_verdict(script_lease(&c, "k", 5, 0)), L2_GRANTED);
    static const struct l2_change_group group = {5, false};
    const struct l2_change_key key = {.key = key_of("v1", "k"), .mode = L2_DELETE};
    const struct l2_change change = {
        .keys = &key,
        .key_count = 1,
        .groups = &group,
        .group_count = 1,
        .nonce = ++nonces,
        .schemas = token,
        .frame = script_frame,
    };
    struct l2_answer *a = CLIENT_ASK(&c, l2_change, &change);
    CHECK_EQ(a->verdict, L2_MOVED);
    CHECK_EQ(a->clock.schemas, token_now());
    CHECK_EQ(a->clock.sequence, 2);
    REQUIRE_EQ(a->value.len, 2 * (16 + 1 + 2));
    CHECK_MEM((const uint8_t *)a->value.data + 16, 3, "sv1", 3);
    CHECK_MEM((const uint8_t *)a->value.data + 35, 3, "sv2", 3);
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:v1:k t:!2:s:v2:k t:!2:!lease:s:k"), 3);
    CHECK_EQ(redis_integer(&server, "XLEN t:!:log"), 2);
    CHECK_EQ(script_le64_at(&server, "t:!2:!clk", CLIENT_GROUPS_AT + 16 * 5), 0);
    end();
}

TEST(an_empty_list_is_told_as_such)
{
    begin_with_clock();
    const struct l2_change change = {.nonce = ++nonces, .schemas = 1, .frame = script_frame};
    struct l2_answer *a = CLIENT_ASK(&c, l2_change, &change);
    CHECK_EQ(a->verdict, L2_MOVED);
    CHECK(a->value.data != NULL);
    CHECK_EQ(a->value.len, 0);
    l2_answer_free(a);
    end();
}

/* ---- values of other schemas ---- */

static const struct bytes others[] = {{"v2", 2}, {"v3", 2}, {"v4", 2}};

/* In v2 a value of this version, in v3 one without, in v4 garbage. */
static void put_others(uint64_t version)
{
    struct bytes versioned = client_envelope(1, version, "x"), none = client_envelope(1, 0, "x");
    free(redis_command(&server, "SET t:!2:s:v2:k %b", versioned.data, versioned.len));
    free(redis_command(&server, "SET t:!2:s:v3:k %b", none.data, none.len));
    free(redis_command(&server, "SET t:!2:s:v4:k garbage"));
    client_envelope_free(versioned);
    client_envelope_free(none);
}

static struct l2_change_key among_others(enum l2_change_mode mode, uint64_t version)
{
    return (struct l2_change_key){.key = key_of("v1", "k"), .mode = mode, .version = version,
                                  .schemas = others, .schema_count = 3};
}

static long long others_left(void)
{
    return redis_integer(&server, "EXISTS t:!2:s:v2:k t:!2:s:v3:k t:!2:s:v4:k");
}

TEST(a_delete_takes_older_values_of_other_schemas)
{
    begin_with_clock();
    put_others(6);
    CHECK_EQ(script_verdict(change(among_others(L2_DELETE, 7), 0, 0)), L2_NONE);
    CHECK_EQ(others_left(), 0);
    put_others(7);
    CHECK_EQ(script_verdict(change(among_others(L2_DELETE, 7), 0, 0)), L2_NONE);
    CHECK_EQ(others_left(), 1); /* at least as new */
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:v2:k"), 1);
    CHECK_EQ(script_verdict(change(among_others(L2_DELETE, 0), 0, 0)), L2_NONE);
    CHECK_EQ(others_left(), 0); /* whatever its version */
    end();
}

TEST(each_schema_is_spared_or_deleted_by_its_own_version)
{
    begin_with_clock();
    struct l2_change_key own = {.key = key_of("v1", "k"), .mode = L2_SET, .version = 9};
    CHECK_EQ(script_verdict(change(own, 0, 0)), L2_STORED);
    put_others(6);
    CHECK_EQ(script_verdict(change(among_others(L2_DELETE, 7), 0, 0)), L2_NONE);
    CHECK_EQ(others_left(), 0);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:v1:k"), 1);
    end();
}

TEST(a_write_ends_the_values_of_other_schemas)
{
    begin_with_clock();
    put_others(99);
    CHECK_EQ(script_verdict(change(among_others(L2_SET, 7), 0, 0)), L2_STORED);
    CHECK_EQ(others_left(), 0); /* set whatever is there */
    put_others(99);
    struct l2_change_key key = among_others(L2_SET_TOKEN, 0);
    key.token = 5;
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_override, &key.key, 5, 5000)), L2_GRANTED);
    CHECK_EQ(script_verdict(change(key, 0, 0)), L2_STORED);
    CHECK_EQ(others_left(), 0);
    put_others(99);
    CHECK_EQ(script_verdict(change(key, 0, 0)), L2_NONE); /* the token is gone */
    CHECK_EQ(others_left(), 0);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:v1:k"), 0);
    end();
}

TEST(put_if_newer_looks_at_every_schema)
{
    static const struct {
        uint64_t own, other, ours;
        int verdict, left; /* of other schemas */
    } cases[] = {
        {0, 6, 7, L2_STORED, 0},  {0, 7, 7, L2_STORED, 1}, /* the same, in another form */
        {0, 8, 7, L2_REFUSED, 1}, {7, 0, 7, L2_REFUSED, 0},
        {6, 8, 7, L2_REFUSED, 1}, {8, 6, 7, L2_REFUSED, 0},
        {6, 6, 7, L2_STORED, 0},  {6, UINT64_C(1) << 40, 7, L2_REFUSED, 1},
    };
    begin_with_clock();
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        check_note("own %llu, other %#llx", (unsigned long long)cases[i].own,
                   (unsigned long long)cases[i].other);
        struct l2_change_key own = {
            .key = key_of("v1", "k"), .mode = L2_SET, .version = cases[i].own};
        CHECK_EQ(script_verdict(change(own, 0, 0)), L2_STORED);
        put_others(cases[i].other);
        uint64_t seq = script_le64_at(&server, "t:!2:!clk", 8);
        struct l2_change_key key = among_others(L2_SET_NEWER, cases[i].ours);
        CHECK_EQ(script_verdict(change(key, 0, 0)), cases[i].verdict);
        CHECK_EQ(others_left(), cases[i].left);
        bool stays = cases[i].verdict == L2_STORED || cases[i].own >= cases[i].ours;
        CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:v1:k"), stays); /* or was older */
        CHECK_EQ(script_le64_at(&server, "t:!2:!clk", 8), seq + 1); /* told in any case */
    }
    end();
}

TEST(put_that_replaces_looks_at_every_schema_and_leaves_none)
{
    static const struct {
        uint64_t own, other;
        int verdict;
    } cases[] = {
        {0, 6, L2_STORED}, {0, 7, L2_STORED}, {0, 8, L2_REFUSED}, {6, 8, L2_REFUSED},
        {8, 6, L2_REFUSED}, {8, 8, L2_REFUSED},
    };
    begin_with_clock();
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        check_note("own %llu, other %llu", (unsigned long long)cases[i].own,
                   (unsigned long long)cases[i].other);
        struct l2_change_key own = {
            .key = key_of("v1", "k"), .mode = L2_SET, .version = cases[i].own};
        CHECK_EQ(script_verdict(change(own, 0, 0)), L2_STORED);
        put_others(cases[i].other);
        CHECK_EQ(script_verdict(change(among_others(L2_REPLACE, 7), 0, 0)), cases[i].verdict);
        CHECK_EQ(others_left(), 0);
        bool set = cases[i].verdict == L2_STORED;
        CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:v1:k"), set);
    }
    end();
}

TEST(the_first_key_registers_and_each_names_its_own_schemas)
{
    begin_with_clock();
    put_others(0);
    free(redis_command(&server, "SET t:!2:s:v9:j x"));
    struct bytes envelope = client_envelope(777, 0, "written");
    const struct l2_change_key keys[] = {
        {.key = key_of("v1", "k"), .mode = L2_SET, .envelope = envelope, .hard_ms = 60000,
         .schemas = others, .schema_count = 3},
        {.key = key_of("v9", "j"), .mode = L2_DELETE},
    };
    const struct l2_change change = {
        .keys = keys,
        .key_count = 2,
        .nonce = ++nonces,
        .schemas = token_now(),
        .registration = {MINUTE_MS, 0, 0},
        .frame = script_frame,
    };
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_change, &change)), L2_STORED);
    client_envelope_free(envelope);
    CHECK_EQ(others_left(), 0);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:v9:j"), 0);
    CHECK_EQ(count_of_records(), 1);
    CHECK_NE(until_of("v1"), 0);
    end();
}

/* ---- full memory ---- */

/* The list grows the clock; noeviction refuses what comes first in a script and may need memory. */
TEST(schemas_are_registered_when_memory_is_full)
{
    begin_with_clock();
    struct l2_key leased = key_of("v2", "leased");
    const struct l2_lease l = {.token = 1, .lease_ms = 60000};
    struct bytes envelope = client_envelope(1, 0, "filled");
    const struct l2_fill f = {.token = 1, .connection = 1, .hard_ms = 60000, .envelope = envelope,
                              .frame = script_frame, .registration = {MINUTE_MS, 0, ++nonces}};
    CHECK_EQ(script_verdict(CLIENT_ASK(&c, l2_lease, &leased, &l)), L2_GRANTED);
    free(redis_command(&server, "CONFIG SET maxmemory 1"));
    struct l2_answer *a = CLIENT_ASK(&c, l2_fill, &leased, &f);
    CHECK_EQ(a->status, 0);
    CHECK_EQ(a->verdict, L2_STORED);
    CHECK_EQ(a->registered_ms, MINUTE_MS);
    l2_answer_free(a);
    CHECK_EQ(set_in("v1", MINUTE_MS), L2_STORED);
    free(redis_command(&server, "CONFIG SET maxmemory 0"));
    CHECK_EQ(count_of_records(), 2);
    client_envelope_free(envelope);
    end();
}
