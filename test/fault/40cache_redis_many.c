// SPDX-License-Identifier: MIT
// nigh_get_many over Redis: few requests, the same outcomes as one by one, and nobody hangs or is
// told another's when the link fails in the middle.

#include "support/peer.h"
#include "support/relay.h"

enum {
    MANY = 300,            /* more than a window, and than a request asks for */
    LARGE_BYTES = 40 << 10, /* of one, a reply that is large enough */
    LARGE_MANY = 24,
    SHORT_MS = 200, /* a deadline that will pass */
};

struct many {
    char names[MANY][16];
    struct nigh_key keys[MANY];
    struct nigh_value values[MANY];
    int outcomes[MANY];
};

static struct redis server;
static struct world near, far;

static struct many *many_new(const char *prefix)
{
    struct many *m = calloc(1, sizeof(*m));
    REQUIRE(m);
    for (unsigned i = 0; i < MANY; i++) {
        int len = snprintf(m->names[i], sizeof(m->names[i]), "%s%u", prefix, i);
        m->keys[i] = (struct nigh_key){m->names[i], (size_t)len};
    }
    return m;
}

static void many_release(struct many *m)
{
    for (unsigned i = 0; i < MANY; i++)
        nigh_release(&m->values[i]);
}

static void read_many(struct world *w, struct many *m, unsigned count, uint32_t flags)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = flags;
    CHECK_EQ(nigh_get_many(w->space, m->keys, count, &call, m->values, m->outcomes), 0);
}

static bool says(const struct nigh_value *v, const char *text)
{
    return v->len == strlen(text) && memcmp(v->data, text, v->len) == 0;
}

/* The value of a key is its name. */
static void put(struct world *w, const struct many *m, unsigned i)
{
    CHECK_EQ(nigh_put(w->space, m->keys[i].data, m->keys[i].len, m->names[i], m->keys[i].len, NULL),
             0);
}

/* A node that counts commands, and one that has put values beside it. */
static void begin(void)
{
    redis_start(&server, NULL);
    peer_open(&near, &(struct peer){.uri = server.uri, .beat_ms = PEER_QUIET_MS}, NULL);
    peer_open(&far, &(struct peer){.uri = server.uri, .beat_ms = PEER_QUIET_MS}, &near.origin);
}

static void end(void)
{
    world_close(&near);
    world_close(&far);
    redis_stop(&server);
}

/* Until the frames of so many puts have come, the other node keeps nothing of those keys. */
static void wait_for_frames(struct world *w, int64_t sequence)
{
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(w, "sequence") >= sequence);
}

/* ---- one request for many ---- */

TEST(many_keys_are_asked_for_in_few_requests)
{
    begin();
    struct many *m = many_new("k");
    for (unsigned i = 0; i < MANY; i += 2)
        put(&near, m, i);
    wait_for_frames(&far, MANY / 2);
    for (int round = 0; round < 2; round++) {
        read_many(&far, m, MANY, 0);
        for (unsigned i = 0; i < MANY; i++) {
            CHECK_EQ(m->outcomes[i], i % 2 ? NIGH_MISS : NIGH_FRESH);
            CHECK(i % 2 ? !m->values[i].data : says(&m->values[i], m->names[i]));
            if (i % 2 == 0)
                CHECK_EQ(nigh_value_tier(&m->values[i]), round ? NIGH_TIER_L1 : NIGH_TIER_L2);
        }
        many_release(m);
    }
    CHECK_EQ(peer_commands(&server, "get"), 0);
    CHECK_GT(peer_commands(&server, "mget"), 0);
    CHECK_LE(peer_commands(&server, "mget"), 2 * MANY / 16 + 4); /* 16 while nothing is known */
    free(m);
    end();
}

/* Something else lies under the key. */
static void spoil(const struct many *m, unsigned i, const char *command, const char *rest)
{
    char *reply = redis_command(&server, "DEL nigh:!2:s:1:%s", m->names[i]);
    free(reply);
    char text[96];
    snprintf(text, sizeof(text), "%s nigh:!2:s:1:%s %s", command, m->names[i], rest);
    free(redis_command(&server, text));
}

TEST(each_of_many_has_the_outcome_that_it_has_alone)
{
    begin();
    struct many *m = many_new("k");
    struct nigh_call call = NIGH_CALL_INIT;
    for (unsigned i = 0; i < 12; i++)
        put(&near, m, i);
    call.version = 7;
    CHECK_EQ(nigh_put(near.space, m->keys[1].data, m->keys[1].len, "seven", 5, &call), 0);
    spoil(m, 2, "SET", "no-envelope");
    spoil(m, 3, "LPUSH", "a list");
    spoil(m, 4, "SETRANGE", "50 x"); /* bytes that are no envelope any more */
    char *copied = redis_command(&server, "COPY nigh:!2:s:1:k5 nigh:!2:s:1:k6 REPLACE");
    free(copied); /* another key's envelope */
    CHECK_EQ(nigh_invalidate(near.space, m->keys[7].data, m->keys[7].len, NULL), 0);
    wait_for_frames(&far, 14);
    uint32_t flags = NIGH_REFRESH | NIGH_NO_STORE;
    read_many(&far, m, 12, flags);
    call.version = 0;
    call.flags = flags;
    for (unsigned i = 0; i < 12; i++) {
        struct answer alone = ask_get(far.space, m->names[i], &call);
        CHECK_EQ(m->outcomes[i], alone.outcome);
        if (alone.outcome != NIGH_FRESH)
            continue;
        CHECK(says(&m->values[i], alone.text));
        CHECK_EQ(nigh_value_version(&m->values[i]), alone.version);
        CHECK_EQ(nigh_value_tier(&m->values[i]), NIGH_TIER_L2);
    }
    CHECK_EQ(m->outcomes[0], NIGH_FRESH);
    CHECK_EQ(nigh_value_version(&m->values[1]), 7);
    for (unsigned i = 2; i < 8; i++)
        CHECK_EQ(m->outcomes[i], i == 5 ? NIGH_FRESH : NIGH_MISS);
    many_release(m);
    free(m);
    end();
}

TEST(what_is_not_to_be_stored_is_nothing_of_L1)
{
    begin();
    struct many *m = many_new("k");
    for (unsigned i = 0; i < 100; i++)
        put(&near, m, i);
    wait_for_frames(&far, 100);
    read_many(&far, m, 100, NIGH_NO_STORE);
    for (unsigned i = 0; i < 100; i++) {
        CHECK_EQ(m->outcomes[i], NIGH_FRESH);
        CHECK_GE(nigh_value_age_ms(far.cache, &m->values[i]), 0);
        CHECK_GT(nigh_value_fresh_ms(far.cache, &m->values[i]), 0);
    }
    CHECK_EQ(world_count(&far, "entries"), 0);
    CHECK_EQ(world_count(&far, "l1_store"), 0);
    for (unsigned i = 0; i < 100; i++) /* they are whole while they are held */
        CHECK(says(&m->values[i], m->names[i]));
    many_release(m);
    read_many(&far, m, 100, NIGH_L1_ONLY);
    for (unsigned i = 0; i < 100; i++)
        CHECK_EQ(m->outcomes[i], NIGH_MISS);
    free(m);
    end();
}

/* ---- large ones ---- */

TEST(large_values_are_asked_for_apart)
{
    begin();
    struct many *m = many_new("large");
    char *large = malloc(LARGE_BYTES);
    REQUIRE(large);
    memset(large, 'x', LARGE_BYTES);
    for (unsigned i = 0; i < LARGE_MANY; i++)
        CHECK_EQ(nigh_put(near.space, m->keys[i].data, m->keys[i].len, large, LARGE_BYTES, NULL),
                 0);
    wait_for_frames(&far, LARGE_MANY);
    for (int round = 0; round < 2; round++) {
        long long alone = peer_commands(&server, "get");
        read_many(&far, m, LARGE_MANY, NIGH_REFRESH | NIGH_NO_STORE);
        for (unsigned i = 0; i < LARGE_MANY; i++) {
            CHECK_EQ(m->outcomes[i], NIGH_FRESH);
            CHECK_EQ(m->values[i].len, LARGE_BYTES);
        }
        many_release(m);
        if (round > 0) /* their size is known now */
            CHECK_EQ(peer_commands(&server, "get") - alone, LARGE_MANY);
    }
    free(large);
    free(m);
    end();
}

/* ---- what fails ---- */

TEST(without_permission_for_MGET_they_are_asked_for_one_by_one)
{
    begin();
    struct many *m = many_new("k");
    for (unsigned i = 0; i < MANY; i++)
        put(&near, m, i);
    wait_for_frames(&far, MANY);
    free(redis_command(&server, "ACL SETUSER default -mget"));
    for (int round = 0; round < 2; round++) {
        read_many(&far, m, MANY, NIGH_REFRESH | NIGH_NO_STORE);
        for (unsigned i = 0; i < MANY; i++) {
            CHECK_EQ(m->outcomes[i], NIGH_FRESH);
            CHECK(says(&m->values[i], m->names[i]));
        }
        many_release(m);
    }
    CHECK_EQ(peer_commands(&server, "get"), 2 * MANY);
    CHECK_EQ(nigh_health(far.cache), NIGH_FRESH);
    free(m);
    end();
}

static struct relay relay;

static void begin_behind_relay(void)
{
    redis_start(&server, NULL);
    relay_open(&relay, &server);
    peer_open(&near, &(struct peer){.uri = server.uri}, NULL);
    peer_open(&far, &(struct peer){.uri = relay.uri, .beat_ms = PEER_QUIET_MS}, &near.origin);
}

static void end_behind_relay(void)
{
    world_close(&far);
    relay_close(&relay);
    world_close(&near);
    redis_stop(&server);
}

static void check_all_failed(struct many *m, int may_be)
{
    for (unsigned i = 0; i < MANY; i++) {
        CHECK(m->outcomes[i] == may_be || m->outcomes[i] == NIGH_EOFFLINE);
        CHECK(!m->values[i].data && !m->values[i].pin);
    }
}

TEST(a_deadline_in_the_middle_is_every_keys)
{
    begin_behind_relay();
    struct many *m = many_new("k");
    struct nigh_call call = NIGH_CALL_INIT;
    put(&near, m, 0);
    wait_for_frames(&far, 1);
    relay_stop(&relay);
    call.deadline_ms = SHORT_MS;
    CHECK_EQ(nigh_get_many(far.space, m->keys, MANY, &call, m->values, m->outcomes), 0);
    check_all_failed(m, NIGH_ETIMEDOUT);
    relay_go(&relay); /* the replies come, and are nobody's */
    CHECK_WITHIN(WORLD_PATIENCE_MS, (read_many(&far, m, MANY, 0), m->outcomes[0] == NIGH_FRESH));
    CHECK(says(&m->values[0], m->names[0]));
    many_release(m);
    free(m);
    end_behind_relay();
}

struct reading {
    struct many *m;
    pthread_t thread;
    _Atomic bool done;
};

static void *run_reading(void *arg)
{
    struct reading *r = arg;
    read_many(&far, r->m, MANY, 0);
    r->done = true;
    return NULL;
}

TEST(a_connection_lost_in_the_middle_is_every_keys)
{
    begin_behind_relay();
    struct reading r = {.m = many_new("k")};
    int64_t asked = world_count(&far, "l2_request");
    relay_stop(&relay);
    REQUIRE_EQ(pthread_create(&r.thread, NULL, run_reading, &r), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, r.done || world_count(&far, "l2_request") > asked);
    relay_cut(&relay);
    relay_go(&relay);
    pthread_join(r.thread, NULL);
    for (unsigned i = 0; i < MANY; i++) /* those of a later window may have had the next one */
        CHECK(r.m->outcomes[i] == NIGH_EOFFLINE || r.m->outcomes[i] == NIGH_MISS ||
              r.m->outcomes[i] == NIGH_ETIMEDOUT);
    CHECK_EQ(r.m->outcomes[0], NIGH_EOFFLINE);
    free(r.m);
    end_behind_relay();
}

TEST(without_threads_the_caller_does_the_io_for_many)
{
    redis_start(&server, NULL);
    peer_open(&near, &(struct peer){.uri = server.uri}, NULL);
    struct many *m = many_new("k");
    for (unsigned i = 0; i < MANY; i++)
        put(&near, m, i);
    struct nigh_options o = patient_options(&server);
    o.threads = NIGH_THREADS_NONE;
    origin_init(&far.origin);
    world_open_with(&far, &o, NULL, &far.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (nigh_tick(far.cache), nigh_health(far.cache) == NIGH_FRESH));
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (nigh_tick(far.cache), world_count(&far, "sequence") >= MANY));
    read_many(&far, m, MANY, 0);
    for (unsigned i = 0; i < MANY; i++) {
        CHECK_EQ(m->outcomes[i], NIGH_FRESH);
        CHECK(says(&m->values[i], m->names[i]));
    }
    many_release(m);
    free(m);
    end();
}
