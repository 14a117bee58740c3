// SPDX-License-Identifier: MIT
// Leases and fills of many keys in one script, against a real server: each key gets what it would
// get alone.

#include "worlds/l2_script.h"

#include "base/random.h"

enum {
    LARGE_BYTES = 900 << 10, /* below the largest string that client_config() allows */
    LARGE_COUNT = 7,         /* together above the largest reply: that and 4 MiB */
};

static const struct bytes space = {"s", 1}, schema = {"1", 1};

static struct l2_answer *ask_leases(const struct l2_lease_of *list, uint32_t count)
{
    const struct l2_leases leases = {space, schema, 5000, list, count};
    return CLIENT_ASK(&c, l2_lease_many, &leases);
}

static struct l2_fills fills_of(const struct l2_fill_of *list, uint32_t count)
{
    return (struct l2_fills){space, schema, 1, list, count, script_frame, {0}};
}

static struct l2_lease_of lease_of(const char *name, uint64_t token)
{
    return (struct l2_lease_of){.key = bytes_of_string(name), .token = token};
}

static struct l2_fill_of fill_of(const char *name, uint64_t token, uint64_t version)
{
    return (struct l2_fill_of){
        .key = bytes_of_string(name),
        .hard_ms = 60000,
        .envelope = client_envelope(token, version, "filled"),
    };
}

static void free_fills(struct l2_fill_of *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        client_envelope_free(list[i].envelope);
}

static int calls_of(const char *command)
{
    char *info = redis_command(&server, "INFO commandstats");
    char name[64];
    REQUIRE(info);
    snprintf(name, sizeof(name), "cmdstat_%s:calls=", command);
    const char *at = strstr(info, name);
    int calls = at ? atoi(strchr(at, '=') + 1) : 0;
    free(info);
    return calls;
}

/* ---- leases ---- */

TEST(each_of_many_leases_is_its_own)
{
    static const char *const names[] = {"new", "stored", "taken", "new", "list", "eternal"};
    begin(NULL);
    CHECK_EQ(script_verdict(script_change_key(&c, "stored", L2_SET, 0, 0)), L2_STORED);
    CHECK_EQ(script_verdict(script_lease(&c, "taken", 99, 0)), L2_GRANTED);
    free(redis_command(&server, "RPUSH t:!2:s:1:list hello"));
    free(redis_command(&server, "SET t:!2:!lease:s:eternal abc"));
    struct l2_answer *a = script_lease_many(&c, names, ARRAY_COUNT(names), 1);
    REQUIRE_EQ(a->status, 0);
    CHECK_EQ(a->connection, 1);
    CHECK_NE(a->clock.identity, 0);
    struct bytes value;
    uint32_t held_ms;
    struct l2_envelope e;
    CHECK_EQ(script_lease_at(a, 0), L2_GRANTED);
    CHECK_EQ(l2_lease_at(a, 1, &value, &held_ms), L2_VALUE);
    if (CHECK(l2_envelope_decode(value, 0, &e)))
        CHECK_MEM(e.payload.data, e.payload.len, "written", 7);
    CHECK_EQ(l2_lease_at(a, 2, &value, &held_ms), L2_HELD);
    CHECK_GT(held_ms, 0);
    CHECK_LE(held_ms, 5000);
    CHECK_EQ(script_lease_at(a, 3), L2_HELD); /* by the first */
    CHECK_EQ(l2_lease_at(a, 4, &value, &held_ms), L2_GRANTED);
    CHECK(value.data && value.len == 0); /* something is there */
    CHECK_EQ(l2_lease_at(a, 5, &value, &held_ms), L2_GRANTED);
    CHECK(!value.data);
    l2_answer_free(a);
    CHECK_EQ(script_verdict(script_fill(&c, "new", 4, 0, 1)), L2_REFUSED);
    CHECK_EQ(script_verdict(script_fill(&c, "new", 1, 0, 1)), L2_STORED);
    end();
}

TEST(as_many_as_may_in_one_request)
{
    char names[L2_MANY_MAX][8];
    const char *list[L2_MANY_MAX];
    begin(NULL);
    for (uint32_t i = 0; i < L2_MANY_MAX; i++) {
        snprintf(names[i], sizeof(names[i]), "k%u", i);
        list[i] = names[i];
    }
    struct l2_answer *a = script_lease_many(&c, list, L2_MANY_MAX, 1);
    REQUIRE_EQ(a->status, 0);
    for (uint32_t i = 0; i < L2_MANY_MAX; i++)
        CHECK_EQ(script_lease_at(a, i), L2_GRANTED);
    l2_answer_free(a);
    a = script_fill_many(&c, list, L2_MANY_MAX, 1);
    REQUIRE_EQ(a->status, 0);
    for (uint32_t i = 0; i < L2_MANY_MAX; i++)
        CHECK_EQ(l2_fill_at(a, i), L2_STORED);
    l2_answer_free(a);
    a = script_lease_many(&c, list, L2_MANY_MAX, 1000);
    REQUIRE_EQ(a->status, 0);
    for (uint32_t i = 0; i < L2_MANY_MAX; i++)
        CHECK_EQ(script_lease_at(a, i), L2_VALUE);
    l2_answer_free(a);
    CHECK_EQ(calls_of("eval"), 3); /* the two texts, once each; one question of the handshake */
    CHECK_EQ(calls_of("publish"), 0); /* nobody waited */
    end();
}

TEST(what_is_not_wanted_is_leased_and_dropped_if_asked_to)
{
    begin(NULL);
    CHECK_EQ(script_verdict(script_change_key(&c, "a", L2_SET, 0, 0)), L2_STORED);
    CHECK_EQ(script_verdict(script_change_key(&c, "b", L2_SET, 0, 0)), L2_STORED);
    struct l2_lease_of list[] = {lease_of("a", 1), lease_of("b", 2)};
    list[0].rejected = list[1].rejected = 777; /* as script_change_key() names it */
    list[1].drop = true;
    struct l2_answer *a = ask_leases(list, 2);
    REQUIRE_EQ(a->status, 0);
    CHECK_EQ(script_lease_at(a, 0), L2_GRANTED);
    CHECK_EQ(script_lease_at(a, 1), L2_GRANTED);
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:a"), 1);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:b"), 0);
    end();
}

TEST(values_for_which_a_reply_has_no_room_are_left)
{
    static const char *const names[] = {"0", "1", "2", "3", "4", "5", "6", "new"};
    begin(NULL);
    char *large = calloc(1, LARGE_BYTES + 1);
    REQUIRE(large);
    memset(large, 'x', LARGE_BYTES);
    for (uint32_t i = 0; i < LARGE_COUNT; i++) {
        struct bytes envelope = client_envelope(777, 0, large);
        free(redis_command(&server, "SET t:!2:s:1:%u %b", i, envelope.data, envelope.len));
        client_envelope_free(envelope);
    }
    struct l2_answer *a = script_lease_many(&c, names, ARRAY_COUNT(names), 1);
    REQUIRE_EQ(a->status, 0);
    unsigned had = 0;
    for (uint32_t i = 0; i < LARGE_COUNT; i++)
        had += script_lease_at(a, i) == L2_VALUE;
    CHECK_EQ(had, 5);
    CHECK_EQ(script_lease_at(a, LARGE_COUNT - 1), L2_LEFT);
    CHECK_EQ(script_lease_at(a, LARGE_COUNT), L2_GRANTED);
    l2_answer_free(a);
    CHECK_EQ(script_verdict(script_lease(&c, "6", 9, 0)), L2_VALUE);
    free(large);
    end();
}

/* ---- fills ---- */

TEST(each_of_many_fills_is_its_own)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    begin(NULL);
    l2_answer_free(script_lease_many(&c, names, ARRAY_COUNT(names), 1));
    CHECK_EQ(script_verdict(script_change_key(&c, "b", L2_DELETE, 0, 0)), L2_NONE);
    CHECK_EQ(script_verdict(script_change_key(&c, "c", L2_SET, 6, 0)), L2_STORED);
    CHECK_EQ(script_verdict(script_lease(&c, "c", 3, 777)), L2_GRANTED);
    struct l2_fill_of list[] = {
        fill_of("a", 1, 0),
        fill_of("b", 2, 0), /* its lease is gone */
        fill_of("c", 3, 5), /* a newer version is there */
        fill_of("a", 1, 0), /* spent above */
        fill_of("d", 4, 7),
    };
    static const enum l2_verdict wanted[] = {L2_STORED, L2_REFUSED, L2_REFUSED, L2_REFUSED,
                                             L2_STORED};
    struct l2_fills fills = fills_of(list, ARRAY_COUNT(list));
    struct l2_answer *a = CLIENT_ASK(&c, l2_fill_many, &fills);
    REQUIRE_EQ(a->status, 0);
    CHECK_NE(a->clock.server_time_ms, 0);
    for (uint32_t i = 0; i < ARRAY_COUNT(list); i++)
        CHECK_EQ(l2_fill_at(a, i), wanted[i]);
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:!lease:s:a t:!2:!lease:s:c t:!2:!lease:s:d"), 0);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:s:1:a t:!2:s:1:b t:!2:s:1:c t:!2:s:1:d"), 3);
    free_fills(list, ARRAY_COUNT(list));
    end();
}

TEST(one_frame_wakes_whoever_waits)
{
    static const char *const names[] = {"a", "b", "c"};
    begin(NULL);
    l2_answer_free(script_lease_many(&c, names, 3, 1));
    int published = calls_of("publish");
    l2_answer_free(script_fill_many(&c, names, 3, 1));
    CHECK_EQ(calls_of("publish"), published);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(script_verdict(script_change_key(&c, names[i], L2_DELETE, 0, 0)), L2_NONE);
    published = calls_of("publish");
    l2_answer_free(script_lease_many(&c, names, 3, 11));
    CHECK_EQ(script_verdict(script_lease(&c, "a", 21, 0)), L2_HELD);
    CHECK_EQ(script_verdict(script_lease(&c, "c", 22, 0)), L2_HELD);
    l2_answer_free(script_fill_many(&c, names, 3, 11));
    CHECK_EQ(calls_of("publish"), published + 1);
    end();
}

TEST(many_fills_go_out_on_the_connection_of_their_leases_only)
{
    begin(NULL);
    struct l2_sync s;
    struct l2_fill_of list[] = {fill_of("a", 1, 0)};
    struct l2_fills fills = fills_of(list, 1);
    const struct l2_op op = client_op(&c, &s, CLIENT_DEADLINE_MS);
    fills.connection = 7;
    CHECK_EQ(l2_fill_many(c.l2, &fills, &op), NIGH_EOFFLINE);
    free_fills(list, 1);
    end();
}

TEST(many_fills_register_their_schema_once)
{
    static const char *const names[] = {"a", "b", "c"};
    begin(NULL);
    l2_answer_free(CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 10, 42)));
    l2_answer_free(script_lease_many(&c, names, 3, 1));
    struct l2_fill_of list[] = {fill_of("a", 1, 0), fill_of("b", 2, 0), fill_of("c", 3, 0)};
    struct l2_fills fills = fills_of(list, 3);
    fills.registration = (struct l2_register){60000, 0, 4711};
    struct l2_answer *a = CLIENT_ASK(&c, l2_fill_many, &fills);
    REQUIRE_EQ(a->status, 0);
    CHECK_EQ(a->registered_ms, 60000);
    CHECK_EQ(a->clock.schemas, 4711);
    for (uint32_t i = 0; i < 3; i++)
        CHECK_EQ(l2_fill_at(a, i), L2_STORED);
    l2_answer_free(a);
    CHECK_EQ(redis_integer(&server, "STRLEN t:!2:!clk") - CLIENT_CLK_BYTES, 16 + 2);
    free_fills(list, 3);
    end();
}

TEST(a_ninth_schema_is_refused_with_many_fills_too)
{
    static const char *const names[] = {"a", "b"};
    begin(NULL);
    l2_answer_free(CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 10, 42)));
    for (unsigned i = 0; i < 9; i++) {
        char text[4];
        snprintf(text, sizeof(text), "v%u", i);
        l2_answer_free(script_lease_many(&c, names, 2, 1));
        struct l2_fill_of list[] = {fill_of("a", 1, 0), fill_of("b", 2, 0)};
        struct l2_fills fills = fills_of(list, 2);
        fills.schema = bytes_of_string(text);
        fills.registration = (struct l2_register){60000, 0, 100 + i};
        struct l2_answer *a = CLIENT_ASK(&c, l2_fill_many, &fills);
        REQUIRE_EQ(a->status, 0);
        CHECK_EQ(l2_fill_at(a, 0), i < 8 ? L2_STORED : L2_CROWDED);
        CHECK_EQ(l2_fill_at(a, 1), i < 8 ? L2_STORED : L2_CROWDED);
        l2_answer_free(a);
        free_fills(list, 2);
    }
    CHECK_EQ(redis_integer(&server, "EXISTS t:!2:!lease:s:a t:!2:!lease:s:b"), 0);
    end();
}

TEST(many_fills_fit_by_their_bytes)
{
    static const char large[30 << 10];
    struct l2_fill_of list[L2_MANY_MAX + 1];
    for (uint32_t i = 0; i < ARRAY_COUNT(list); i++)
        list[i] = (struct l2_fill_of){bytes_of_string("k"), 1, bytes_of(large, 100)};
    CHECK_EQ(l2_fills_fit(list, ARRAY_COUNT(list)), L2_MANY_MAX);
    CHECK_EQ(l2_fills_fit(list, 3), 3);
    list[1].envelope.len = sizeof(large);
    list[2].envelope.len = sizeof(large);
    CHECK_EQ(l2_fills_fit(list, 4), 2);
    CHECK_EQ(l2_fills_fit(list + 2, 1), 1);
    list[0].envelope.len = (size_t)64 << 20; /* of nothing, but alone */
    CHECK_EQ(l2_fills_fit(list, 4), 1);
}

/* ---- full memory ---- */

TEST(full_memory_refuses_many_leases_and_takes_many_fills)
{
    static const char *const names[] = {"a", "b"}, *const others[] = {"x", "a"};
    begin(NULL);
    l2_answer_free(script_lease_many(&c, names, 2, 1));
    free(redis_command(&server, "CONFIG SET maxmemory 1"));
    CHECK_EQ(script_verdict(script_lease_many(&c, others, 2, 11)), NIGH_EREDIS);
    struct l2_answer *a = script_fill_many(&c, names, 2, 1);
    REQUIRE_EQ(a->status, 0);
    CHECK_EQ(l2_fill_at(a, 0), L2_STORED);
    CHECK_EQ(l2_fill_at(a, 1), L2_STORED);
    l2_answer_free(a);
    end();
}

/* ---- alone and together ---- */

#define NAMES 5u
#define BATCH 7u

/* Keys of the two that are compared: the first is asked about one by one, the second together. */
static const char *const pair_names[2][NAMES] = {{"1a", "1b", "1c", "1d", "1e"},
                                                 {"2a", "2b", "2c", "2d", "2e"}};

static struct random draws;

static uint32_t draw(uint32_t below)
{
    return (uint32_t)random_below(&draws, below);
}

static uint64_t fill_id_of(struct bytes value)
{
    struct l2_envelope e;
    return value.data && l2_envelope_decode(value, 0, &e) ? e.fill_id : 0;
}

static void compare_leases(void)
{
    struct l2_lease_of list[BATCH];
    struct l2_answer *alone[BATCH];
    uint32_t count = 1 + draw(BATCH);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = draw(NAMES);
        list[i] = lease_of(pair_names[0][n], 1 + draw(6));
        list[i].rejected = draw(8);
        list[i].drop = draw(8) == 0;
        struct l2_key key = client_key(pair_names[0][n]);
        const struct l2_lease l = {list[i].token, list[i].rejected, 5000, list[i].drop};
        alone[i] = CLIENT_ASK(&c, l2_lease, &key, &l);
        list[i].key = bytes_of_string(pair_names[1][n]);
    }
    struct l2_answer *a = ask_leases(list, count);
    REQUIRE_EQ(a->status, 0);
    for (uint32_t i = 0; i < count; i++) {
        struct bytes value;
        uint32_t held_ms;
        CHECK_EQ(l2_lease_at(a, i, &value, &held_ms), alone[i]->verdict);
        CHECK_EQ(fill_id_of(value), fill_id_of(alone[i]->value));
        CHECK_EQ(held_ms > 0, alone[i]->held_ms > 0);
        l2_answer_free(alone[i]);
    }
    l2_answer_free(a);
}

static void compare_fills(void)
{
    struct l2_fill_of list[BATCH];
    int alone[BATCH];
    uint32_t count = 1 + draw(BATCH);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t n = draw(NAMES);
        uint64_t token = 1 + draw(6), version = draw(4);
        alone[i] = script_verdict(script_fill(&c, pair_names[0][n], token, version, 1));
        list[i] = fill_of(pair_names[1][n], token, version);
    }
    struct l2_fills fills = fills_of(list, count);
    struct l2_answer *a = CLIENT_ASK(&c, l2_fill_many, &fills);
    REQUIRE_EQ(a->status, 0);
    for (uint32_t i = 0; i < count; i++)
        CHECK_EQ((int)l2_fill_at(a, i), alone[i]);
    l2_answer_free(a);
    free_fills(list, count);
}

/* An invalidation, or a writer's value, for both. */
static void change_both(void)
{
    uint32_t n = draw(NAMES);
    static const enum l2_change_mode modes[] = {L2_DELETE, L2_SET_NEWER, L2_REPLACE};
    enum l2_change_mode mode = modes[draw(ARRAY_COUNT(modes))];
    uint64_t version = draw(4);
    int verdict = script_verdict(script_change_key(&c, pair_names[0][n], mode, version, 0));
    CHECK_EQ(script_verdict(script_change_key(&c, pair_names[1][n], mode, version, 0)), verdict);
}

/* The lease's token and mark are the same, too. */
static void compare_leases_held(void)
{
    static const char same[] =
        "return redis.call('GETRANGE', KEYS[1], 0, 8) == redis.call('GETRANGE', KEYS[2], 0, 8) "
        "and 1 or 0";
    for (uint32_t n = 0; n < NAMES; n++)
        CHECK_EQ(redis_integer(&server, "EVAL %s 2 t:!2:!lease:s:%s t:!2:!lease:s:%s", same,
                               pair_names[0][n], pair_names[1][n]),
                 1);
}

TEST(each_key_gets_what_it_would_get_alone)
{
    begin(NULL);
    uint64_t seed = random_id(c.env.random);
    check_note("seed %#llx", (unsigned long long)seed);
    random_init(&draws, seed);
    for (int i = 0; i < 400; i++) {
        uint32_t what = draw(8);
        if (what < 4)
            compare_leases();
        else if (what < 7)
            compare_fills();
        else
            change_both();
        if (i % 20 == 0)
            compare_leases_held();
    }
    end();
}
