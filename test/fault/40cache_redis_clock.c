// SPDX-License-Identifier: MIT
// The wall clock of Redis' host is set: a day forward, a day back. Lifetimes end all the same,
// trust and the order of changes do not care, and a schema's record lapses by that clock.

#include "support/peer.h"
#include "support/server_clock.h"

#define DAY_S 86400
#define SCHEMAS_MAX 8

struct two {
    struct redis server;
    struct world a;
    struct world b; /* in front of a's origin */
};

static void two_open(struct two *t)
{
    server_clock_start(&t->server, NULL);
    peer_open(&t->a, &(struct peer){.uri = t->server.uri}, NULL);
    peer_open(&t->b, &(struct peer){.uri = t->server.uri}, &t->a.origin);
}

static void two_close(struct two *t)
{
    world_close(&t->a);
    world_close(&t->b);
    redis_stop(&t->server);
}

static long long server_time_s(const struct redis *server)
{
    return redis_integer(server, "EVAL %s 0", "return tonumber(redis.call('TIME')[1])");
}

/* Both nodes have learnt the server's time from a beat that was sent after now. */
static void both_beat(const struct two *t)
{
    int64_t a = world_count(&t->a, "beat"), b = world_count(&t->b, "beat");
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 world_count(&t->a, "beat") >= a + 2 && world_count(&t->b, "beat") >= b + 2);
}

static void move(struct two *t, long long seconds)
{
    long long before = server_time_s(&t->server);
    server_clock_move(&t->server, seconds);
    CHECK_GT(llabs(server_time_s(&t->server) - before), DAY_S - 1000); /* it does move */
}

static bool is_handed_out(struct world *w, const char *key)
{
    int outcome = ask_get(w->space, key, NULL).outcome;
    return outcome == NIGH_FRESH || outcome == NIGH_STALE;
}

static void put_short(struct world *w, const char *key)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.soft_ttl_ms = 500;
    call.stale_ms = 300;
    CHECK_EQ(nigh_put(w->space, key, strlen(key), "v", 1, &call), 0);
}

/* Redis keeps the values for a day more, and says that they were filled in the future. */
TEST(a_step_back_gives_no_value_a_second_life)
{
    enum { COUNT = 6 };
    struct two t;
    char key[8];
    two_open(&t);
    for (int i = 0; i < COUNT; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        put_short(&t.a, key);
    }
    uint64_t over_ms = check_now_ms() + 1500; /* far more than their lifetimes and jitter */
    move(&t, -DAY_S);
    (void)ask_get(t.b.space, "k0", NULL); /* before b knows */
    both_beat(&t);
    (void)ask_get(t.b.space, "k1", NULL);
    (void)ask_get(t.a.space, "k2", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, check_now_ms() > over_ms);
    CHECK(peer_exists(&t.server, "nigh:!2:s:1:k3")); /* else this shows nothing */
    for (int turn = 0; turn < 3; turn++)
        for (int i = 0; i < COUNT; i++) {
            snprintf(key, sizeof(key), "k%d", i);
            if (!CHECK(!is_handed_out(&t.a, key)) || !CHECK(!is_handed_out(&t.b, key)))
                check_note("%s, turn %d", key, turn);
        }
    two_close(&t);
}

TEST(nodes_work_on_whatever_the_clock_does)
{
    static const long long steps[] = {DAY_S, -DAY_S, 400LL * DAY_S, 0};
    struct two t;
    two_open(&t);
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        char key[8];
        snprintf(key, sizeof(key), "k%zu", i);
        move(&t, steps[i]);
        both_beat(&t);
        CHECK(peer_sees_row(&t.a, &t.a.origin, key));
        int64_t loads = (int64_t)t.a.origin.loads;
        CHECK_WITHIN(WORLD_PATIENCE_MS, redis_integer(&t.server, "EXISTS nigh:!2:s:1:%s", key));
        CHECK(peer_sees_row(&t.b, &t.a.origin, key)); /* it is shared */
        CHECK_EQ(t.a.origin.loads, loads);
        origin_commit(&t.a.origin);
        CHECK_EQ(peer_tell(&t.b, NIGH_TARGET_KEY, key), 0);
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&t.a, &t.a.origin, key));
    }
    CHECK_EQ(world_count(&t.a, "resync"), 0);
    CHECK_EQ(world_count(&t.b, "resync"), 0);
    CHECK_EQ(world_count(&t.a, "trust_lost"), 0);
    two_close(&t);
}

/* ---- schemas ---- */

static long long schemas_bytes(const struct redis *server)
{
    return redis_integer(server, "EVAL %s 1 nigh:!2:!clk",
                         "return struct.unpack('<I4', redis.call('GETRANGE', KEYS[1], 68, 71))");
}

static int put(struct world *w)
{
    return nigh_put(w->space, "k", 1, "v", 1, NULL);
}

TEST(schemas_lapse_with_the_lifetimes_of_their_values)
{
    struct redis server;
    struct world w[SCHEMAS_MAX + 1], *ninth = &w[SCHEMAS_MAX];
    server_clock_start(&server, NULL);
    for (int i = 0; i <= SCHEMAS_MAX; i++) {
        char schema[8];
        snprintf(schema, sizeof(schema), "v%d", i);
        peer_open(&w[i], &(struct peer){.uri = server.uri, .schema = schema}, &w[0].origin);
    }
    for (int i = 0; i < SCHEMAS_MAX; i++)
        CHECK_EQ(put(&w[i]), 0);
    long long eight = schemas_bytes(&server);
    CHECK_EQ(put(ninth), NIGH_REFUSED);
    server_clock_move(&server, PEER_TTL_MS / 1000 * 9 / 10); /* some of them may live still */
    CHECK_EQ(put(ninth), NIGH_REFUSED);
    server_clock_move(&server, DAY_S);
    CHECK_EQ(put(ninth), 0);
    CHECK_EQ(schemas_bytes(&server), eight / SCHEMAS_MAX); /* one record */
    /* Who was there before has its place again with its next value. */
    CHECK_EQ(put(&w[0]), 0);
    CHECK(peer_exists(&server, "nigh:!2:s:v0:k"));
    CHECK_EQ(schemas_bytes(&server), eight / SCHEMAS_MAX * 2);
    CHECK_EQ(peer_tell(ninth, NIGH_TARGET_KEY, "k"), 0);
    CHECK(!peer_exists(&server, "nigh:!2:s:v0:k"));
    for (int i = 0; i <= SCHEMAS_MAX; i++)
        world_close(&w[i]);
    redis_stop(&server);
}
