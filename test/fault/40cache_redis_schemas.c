// SPDX-License-Identifier: MIT
// A rolling deploy: nodes whose values have different schemas serve one space, and what one changes
// all the others forget. Redis lists the schemas in use; what that costs, and where it ends.

#include <nigh/options.h>

#include "support/peer.h"
#include "support/relay.h"

#define CLK "nigh:!2:!clk"
#define CLK_TOKEN_AT 32
#define CLK_SCHEMAS_BYTES_AT 68
#define CLK_SCHEMAS_AT (640 + 16 * 2048) /* behind the groups of patient_options() */
#define RECORD_UNTIL_AT 8
#define SCHEMAS_MAX 8

struct two {
    struct redis server;
    struct world a; /* schema 1 */
    struct world b; /* schema 2, in front of a's origin */
};

static void open_one(struct world *w, const struct redis *server, const char *schema,
                     struct origin *origin)
{
    peer_open(w, &(struct peer){.uri = server->uri, .schema = schema}, origin);
}

static void two_open(struct two *t)
{
    redis_start(&t->server, NULL);
    open_one(&t->a, &t->server, "1", NULL);
    open_one(&t->b, &t->server, "2", &t->a.origin);
}

static void two_close(struct two *t)
{
    world_close(&t->a);
    world_close(&t->b);
    redis_stop(&t->server);
}

/* Bytes of the clock as a number. */
static long long clk_number(const struct redis *server, int at, int bytes)
{
    return redis_integer(server,
                         "EVAL %s 1 " CLK " %d %d %s",
                         "return struct.unpack(ARGV[3], redis.call('GETRANGE', KEYS[1], "
                         "ARGV[1], ARGV[2]))",
                         at, at + bytes - 1, bytes == 4 ? "<I4" : "<I8");
}

static void clk_write(const struct redis *server, int at, const void *bytes, size_t len)
{
    char *reply = redis_command(server, "SETRANGE " CLK " %d %b", at, bytes, len);
    CHECK(reply && reply[0] != '(');
    free(reply);
}

/* Where the record of that schema of space "s" begins in the clock. */
static int record_at(const struct redis *server, const char *schema)
{
    int at = CLK_SCHEMAS_AT;
    int end = at + (int)clk_number(server, CLK_SCHEMAS_BYTES_AT, 4);
    while (at < end) {
        int space_len = (int)clk_number(server, at, 4);
        int schema_len = (int)clk_number(server, at + 4, 4);
        int name_at = at + 16 + space_len;
        char *name = redis_command(server, "GETRANGE " CLK " %d %d", name_at,
                                   name_at + schema_len - 1);
        bool found = name && strcmp(name, schema) == 0;
        free(name);
        if (found)
            return at;
        at = name_at + schema_len;
    }
    REQUIRE(!"the schema is listed");
    return 0;
}

/* Its longest lifetime is over: what becomes of a record by the passing of time. */
static void lapse(const struct redis *server, const char *schema)
{
    clk_write(server, record_at(server, schema) + RECORD_UNTIL_AT, "\1\0\0\0\0\0\0", 8);
}

static int put(struct world *w, const char *key, const char *value, uint64_t version)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.version = version;
    return nigh_put(w->space, key, strlen(key), value, strlen(value), &call);
}

static int write_row(struct world *w, const struct origin *o, const char *key)
{
    struct peer_row row = peer_row(o, key);
    struct nigh_call call = NIGH_CALL_INIT;
    call.version = atomic_load(&o->generation);
    return nigh_write(w->space, key, strlen(key), row.text, strlen(row.text), &call);
}

/* ---- what one changes the others forget ---- */

enum way { BY_KEY, BY_TAG, BY_SPACE, BY_ALL, BY_WRITE, BY_DELETE, BY_PUT, BY_NEWER, WAYS };

static int change(struct world *w, const struct origin *o, enum way way)
{
    struct peer_row row = peer_row(o, "k");
    switch (way) {
    case BY_KEY:
        return peer_tell(w, NIGH_TARGET_KEY, "k");
    case BY_TAG:
        return peer_tell(w, NIGH_TARGET_TAG, "tag");
    case BY_SPACE:
        return peer_tell(w, NIGH_TARGET_SPACE, NULL);
    case BY_ALL:
        return peer_tell(w, NIGH_TARGET_ALL, NULL);
    case BY_WRITE:
        return write_row(w, o, "k");
    case BY_DELETE:
        return nigh_write(w->space, "k", 1, NULL, 0, NULL);
    case BY_PUT:
        return put(w, "k", row.text, 0);
    default:
        return put(w, "k", row.text, atomic_load(&o->generation));
    }
}

TEST(every_kind_of_change_reaches_the_other_schema)
{
    struct two t;
    two_open(&t);
    t.a.origin.script = peer_tagged;
    for (int turn = 0; turn < 2 * WAYS; turn++) {
        struct world *teller = turn % 2 ? &t.b : &t.a;
        struct world *other = turn % 2 ? &t.a : &t.b;
        peers_have(&t.a, &t.b, &t.a.origin, "k");
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_exists(&t.server, "nigh:!2:s:1:k") &&
                                            peer_exists(&t.server, "nigh:!2:s:2:k"));
        origin_commit(&t.a.origin);
        CHECK_EQ(change(teller, &t.a.origin, turn / 2), 0);
        if (!CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(other, &t.a.origin, "k")))
            check_note("way %d, told by schema %s", turn / 2, turn % 2 ? "2" : "1");
    }
    CHECK_EQ(world_count(&t.a, "resync"), 0);
    two_close(&t);
}

/* A value lives as long as it was given, whether or not its nodes do. */
TEST(values_of_nodes_that_are_gone_obey_too)
{
    struct two t;
    struct world again;
    redis_start(&t.server, NULL);
    open_one(&t.a, &t.server, "1", NULL);
    CHECK(peer_sees(&t.a, "k", "k=1"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_exists(&t.server, "nigh:!2:s:1:k"));
    struct origin *origin = &t.a.origin;
    world_close(&t.a);
    open_one(&t.b, &t.server, "2", origin);
    origin_commit(origin);
    CHECK_EQ(peer_tell(&t.b, NIGH_TARGET_KEY, "k"), 0);
    CHECK(!peer_exists(&t.server, "nigh:!2:s:1:k"));
    open_one(&again, &t.server, "1", origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(&again, "k", "k=2"));
    world_close(&again);
    world_close(&t.b);
    redis_stop(&t.server);
}

/* What waits for Redis names the schemas of the time when it arrives, not when it was told. */
TEST(a_queued_change_learns_of_a_schema_that_came_meanwhile)
{
    struct two t;
    struct relay wire;
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = 100;
    redis_start(&t.server, NULL);
    relay_open(&wire, &t.server);
    peer_open(&t.a, &(struct peer){.uri = wire.uri, .schema = "1"}, NULL);
    open_one(&t.b, &t.server, "2", &t.a.origin);
    CHECK(peer_sees(&t.a, "k", "k=1"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_exists(&t.server, "nigh:!2:s:1:k"));
    relay_stop(&wire);
    CHECK_EQ(nigh_invalidate(t.a.space, "k", 1, &call), NIGH_QUEUED);
    CHECK(peer_sees(&t.b, "k", "k=1"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_exists(&t.server, "nigh:!2:s:2:k"));
    origin_commit(&t.a.origin);
    relay_go(&wire);
    CHECK_EQ(nigh_drain(t.a.cache, WORLD_PATIENCE_MS), 0);
    CHECK(!peer_exists(&t.server, "nigh:!2:s:2:k"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(&t.b, "k", "k=2"));
    world_close(&t.a);
    relay_close(&wire);
    world_close(&t.b);
    redis_stop(&t.server);
}

/* ---- versions ---- */

static int versioned(struct origin *o, struct nigh_fill *fill)
{
    CHECK_EQ(nigh_fill_set_version(fill, atomic_load(&o->generation)), 0);
    return origin_answer(o, fill);
}

TEST(a_put_if_newer_looks_at_all_schemas)
{
    struct two t;
    two_open(&t);
    CHECK_EQ(put(&t.a, "k", "five", 5), 0);
    CHECK_EQ(put(&t.b, "k", "four", 4), NIGH_REFUSED);
    CHECK(!peer_exists(&t.server, "nigh:!2:s:2:k"));
    CHECK_EQ(put(&t.b, "k", "five again", 5), 0); /* the same version in its own format */
    CHECK_EQ(put(&t.b, "k", "five thrice", 5), NIGH_REFUSED);
    CHECK(peer_exists(&t.server, "nigh:!2:s:1:k"));
    CHECK_ANSWER(ask_get(t.a.space, "k", NULL), NIGH_FRESH, "five");
    CHECK_ANSWER(ask_get(t.b.space, "k", NULL), NIGH_FRESH, "five again");
    CHECK_EQ(put(&t.a, "k", "six", 6), 0);
    CHECK(!peer_exists(&t.server, "nigh:!2:s:2:k")); /* it had five */
    CHECK_EQ(put(&t.b, "k", "five", 5), NIGH_REFUSED);
    CHECK_EQ(put(&t.b, "k", "any", 0), 0); /* the last one wins, whatever there was */
    CHECK(!peer_exists(&t.server, "nigh:!2:s:1:k"));
    two_close(&t);
}

TEST(an_invalidation_of_a_version_spares_what_is_as_new_in_each_schema)
{
    struct two t;
    struct nigh_call l1_only = NIGH_CALL_INIT;
    l1_only.flags = NIGH_L1_ONLY;
    two_open(&t);
    t.a.origin.script = versioned;
    atomic_store(&t.a.origin.generation, 3);
    CHECK(peer_sees(&t.a, "k", "k=3"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_exists(&t.server, "nigh:!2:s:1:k"));
    atomic_store(&t.a.origin.generation, 5);
    CHECK(peer_sees(&t.b, "k", "k=5"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_exists(&t.server, "nigh:!2:s:2:k"));
    CHECK_EQ(peer_tell_version(&t.a, NIGH_TARGET_KEY, "k", 5), 0);
    CHECK(!peer_exists(&t.server, "nigh:!2:s:1:k"));
    CHECK(peer_exists(&t.server, "nigh:!2:s:2:k"));
    CHECK_ANSWER(ask_get(t.b.space, "k", &l1_only), NIGH_FRESH, "k=5");
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(&t.a, "k", "k=5"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_exists(&t.server, "nigh:!2:s:1:k"));
    CHECK_EQ(peer_tell_version(&t.a, NIGH_TARGET_KEY, "k", 6), 0);
    CHECK(!peer_exists(&t.server, "nigh:!2:s:1:k"));
    CHECK(!peer_exists(&t.server, "nigh:!2:s:2:k"));
    two_close(&t);
}

/* ---- the list of schemas ---- */

static _Atomic unsigned complaints;

static void hear_complaint(void *arg, enum nigh_log_level level, const char *message)
{
    (void)arg;
    if (level == NIGH_LOG_ERROR && strstr(message, "schemas of one space"))
        complaints++;
}

static const char *const schema_names[SCHEMAS_MAX + 1] = {"one",  "two", "three", "four", "five",
                                                          "six", "seven", "eight", "nine"};

static bool has_value(const struct redis *server, const char *schema)
{
    return redis_integer(server, "EXISTS nigh:!2:s:%s:k", schema) == 1;
}

static void eight_open(struct redis *server, struct world w[SCHEMAS_MAX + 1])
{
    redis_start(server, NULL);
    for (int i = 0; i <= SCHEMAS_MAX; i++)
        peer_open(&w[i], &(struct peer){server->uri, schema_names[i], 0, hear_complaint, NULL, 0},
                  i == 0 ? NULL : &w[0].origin);
    for (int i = 0; i < SCHEMAS_MAX; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS,
                     peer_sees(&w[i], "k", "k=1") && has_value(server, schema_names[i]));
}

static void eight_close(struct redis *server, struct world w[SCHEMAS_MAX + 1])
{
    for (int i = 0; i <= SCHEMAS_MAX; i++)
        world_close(&w[i]);
    redis_stop(server);
}

TEST(a_ninth_schema_of_a_space_is_refused_and_said_so)
{
    struct redis server;
    struct world w[SCHEMAS_MAX + 1], *ninth = &w[SCHEMAS_MAX];
    struct nigh_call l1_only = NIGH_CALL_INIT;
    l1_only.flags = NIGH_L1_ONLY;
    complaints = 0;
    eight_open(&server, w);
    CHECK_EQ(complaints, 0);
    CHECK(peer_sees(ninth, "k", "k=1")); /* loads have their answer, if not their place in Redis */
    CHECK_WITHIN(WORLD_PATIENCE_MS, complaints >= 1);
    CHECK(!has_value(&server, "nine"));
    origin_commit(&w[0].origin);
    CHECK_EQ(put(ninth, "k", "k=2", 0), NIGH_REFUSED);
    CHECK(!has_value(&server, "nine"));
    CHECK_EQ(ask_get(ninth->space, "k", &l1_only).outcome, NIGH_MISS); /* the old one is gone */
    for (int i = 0; i < SCHEMAS_MAX; i++) /* everywhere, for it was a change all the same */
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(&w[i], "k", "k=2"));
    origin_commit(&w[0].origin);
    CHECK_EQ(write_row(ninth, &w[0].origin, "k"), 0); /* it is committed, and told */
    for (int i = 0; i < SCHEMAS_MAX; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(&w[i], "k", "k=3"));
    origin_commit(&w[0].origin);
    CHECK_EQ(peer_tell(ninth, NIGH_TARGET_KEY, "k"), 0);
    for (int i = 0; i < SCHEMAS_MAX; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(&w[i], "k", "k=4"));
    CHECK_EQ(put(&w[3], "k", "again", 0), 0); /* those that have their place keep it */
    eight_close(&server, w);
}

TEST(spaces_have_eight_schemas_each)
{
    struct redis server;
    struct world w[SCHEMAS_MAX + 1];
    struct nigh_space *other;
    eight_open(&server, w);
    REQUIRE_EQ(nigh_space_open(w[SCHEMAS_MAX].cache, "other", NULL, NULL, NULL, NULL, &other), 0);
    CHECK_EQ(nigh_put(other, "k", 1, "v", 1, NULL), 0);
    CHECK(peer_exists(&server, "nigh:!2:other:nine:k"));
    eight_close(&server, w);
}

TEST(a_place_is_free_again_when_the_lifetimes_of_a_schema_are_over)
{
    struct redis server;
    struct world w[SCHEMAS_MAX + 1], *ninth = &w[SCHEMAS_MAX];
    eight_open(&server, w);
    CHECK_EQ(put(ninth, "k", "k=1", 0), NIGH_REFUSED);
    lapse(&server, "three");
    CHECK_EQ(put(ninth, "k", "k=1", 0), 0);
    CHECK(has_value(&server, "nine"));
    origin_commit(&w[0].origin);
    CHECK_EQ(peer_tell(&w[0], NIGH_TARGET_KEY, "k"), 0); /* by who must learn of it */
    CHECK(!has_value(&server, "nine"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees(ninth, "k", "k=2"));
    /* Whose time was over takes it for running: Redis knows better. */
    CHECK_EQ(put(&w[2], "k", "k=2", 0), NIGH_REFUSED);
    CHECK(!has_value(&server, "three"));
    eight_close(&server, w);
}

/* An older copy of the list was loaded in place: nothing but the list has changed. */
TEST(a_list_that_has_lost_us_gets_us_back_with_the_next_value)
{
    struct two t;
    two_open(&t);
    peers_have(&t.a, &t.b, &t.a.origin, "k");
    for (int turn = 0; turn < 2; turn++) {
        clk_write(&t.server, CLK_SCHEMAS_BYTES_AT, "\0\0\0\0", 4);
        clk_write(&t.server, CLK_TOKEN_AT, turn ? "0ld list" : "old list", 8);
        const char *key = turn ? "filled" : "put";
        struct peer_row row = peer_row(&t.a.origin, key);
        if (turn)
            CHECK(peer_sees(&t.b, key, row.text));
        else
            CHECK_EQ(put(&t.b, key, row.text, 0), 0);
        CHECK_WITHIN(WORLD_PATIENCE_MS,
                     redis_integer(&t.server, "EXISTS nigh:!2:s:2:%s", key) == 1);
        origin_commit(&t.a.origin);
        CHECK_EQ(peer_tell(&t.a, NIGH_TARGET_KEY, key), 0);
        CHECK(redis_integer(&t.server, "EXISTS nigh:!2:s:2:%s", key) == 0);
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&t.b, &t.a.origin, key));
    }
    two_close(&t);
}

static int put_for(struct world *w, const char *key, uint32_t soft_ms)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.soft_ttl_ms = soft_ms;
    return nigh_put(w->space, key, strlen(key), "v", 1, &call);
}

TEST(no_value_outlives_the_record_of_its_schema)
{
    static const uint32_t lifetimes_ms[] = {1000, 1000, 600000, 600000, 86400000, 1000};
    struct two t;
    two_open(&t);
    for (size_t i = 0; i < sizeof(lifetimes_ms) / sizeof(*lifetimes_ms); i++) {
        long long before = peer_commands(&t.server, "setrange");
        for (int n = 0; n < 20; n++)
            CHECK_EQ(put_for(&t.a, "k", lifetimes_ms[i]), 0);
        long long until_ms = clk_number(&t.server, record_at(&t.server, "1") + RECORD_UNTIL_AT, 8);
        long long dies_ms = redis_integer(&t.server, "PEXPIRETIME nigh:!2:s:1:k");
        CHECK_GT(dies_ms, 0);
        CHECK_GE(until_ms, dies_ms);
        /* One for each change, three for a registration: not every value renews it. */
        CHECK_LE(peer_commands(&t.server, "setrange") - before, 20 + 4 + 3);
    }
    two_close(&t);
}

/* ---- what it costs ---- */

#define MEASURED 20

/* Commands that Redis runs for one change, times MEASURED. Beats are rare here; a measure with one
 * in it is taken again. */
static long long cost_of_changes(const struct redis *server, struct world *w)
{
    uint64_t end_ms = check_now_ms() + WORLD_PATIENCE_MS;
    CHECK_EQ(peer_tell(w, NIGH_TARGET_KEY, "k"), 0); /* knows the schemas from here on */
    for (;;) {
        long long scripts = peer_commands(server, "evalsha");
        long long before = peer_commands(server, NULL);
        for (int i = 0; i < MEASURED; i++)
            CHECK_EQ(peer_tell(w, NIGH_TARGET_KEY, "k"), 0);
        long long after = peer_commands(server, NULL);
        if (peer_commands(server, "evalsha") - scripts == MEASURED)
            return after - before;
        REQUIRE(check_now_ms() < end_ms);
    }
}

static void open_quiet(struct world *w, const struct redis *server, const char *schema,
                       struct origin *origin)
{
    peer_open(w, &(struct peer){.uri = server->uri, .schema = schema, .beat_ms = PEER_QUIET_MS},
              origin);
}

TEST(a_change_costs_the_same_whatever_schemas_there_are)
{
    struct two t;
    redis_start(&t.server, NULL);
    open_quiet(&t.a, &t.server, "1", NULL);
    open_quiet(&t.b, &t.server, "2", &t.a.origin);
    long long none = cost_of_changes(&t.server, &t.a);
    CHECK(peer_sees(&t.a, "k", "k=1"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_exists(&t.server, "nigh:!2:s:1:k"));
    long long one = cost_of_changes(&t.server, &t.a);
    CHECK(peer_sees(&t.b, "k", "k=1"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_exists(&t.server, "nigh:!2:s:2:k"));
    long long two = cost_of_changes(&t.server, &t.a);
    CHECK_EQ(one, none);
    CHECK_EQ(two, none);
    CHECK_EQ(cost_of_changes(&t.server, &t.b), none);
    two_close(&t);
}

/* Each deploy overlaps the one before; what lived before that is over. */
TEST(the_tenth_deploy_costs_what_the_second_did)
{
    struct redis server;
    struct world w[11];
    struct origin origin;
    long long second = 0, second_bytes = 0;
    redis_start(&server, NULL);
    origin_init(&origin);
    for (int i = 0; i <= 10; i++) {
        char schema[8], before[8];
        snprintf(schema, sizeof(schema), "v%02d", i);
        snprintf(before, sizeof(before), "v%02d", i - 1);
        if (i >= 2) {
            world_close(&w[i - 2]);
            before[2] = (char)('0' + (i - 2) % 10);
            before[1] = (char)('0' + (i - 2) / 10);
            lapse(&server, before);
        }
        open_quiet(&w[i], &server, schema, &origin);
        CHECK_EQ(put(&w[i], "k", "v", 0), 0);
        if (i == 0)
            continue;
        long long cost = cost_of_changes(&server, &w[i]);
        long long bytes = clk_number(&server, CLK_SCHEMAS_BYTES_AT, 4);
        if (i == 1) {
            second = cost;
            second_bytes = bytes;
        }
        CHECK_EQ(cost, second);
        CHECK_EQ(cost_of_changes(&server, &w[i - 1]), second);
        CHECK_EQ(bytes, second_bytes); /* the list has no more schemas than are in use */
    }
    world_close(&w[9]);
    world_close(&w[10]);
    redis_stop(&server);
}
