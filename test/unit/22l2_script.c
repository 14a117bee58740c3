// SPDX-License-Identifier: MIT
// The scripts against a real server: what each does, what it refuses, and what it leaves behind.

#include <stdio.h>

#include "support/l2_client.h"

static const struct l2_frame frame = {{"HEAD", 4}, {"TAIL", 4}};

/* ---- what a case asks, in one call each ---- */

static struct l2_answer *get(struct client *c, const char *name)
{
    struct l2_key key = client_key(name);
    return CLIENT_ASK(c, l2_get, &key);
}

static struct l2_answer *lease(struct client *c, const char *name, uint64_t token, uint64_t rejected)
{
    struct l2_key key = client_key(name);
    const struct l2_lease l = {.token = token, .rejected = rejected, .lease_ms = 5000};
    return CLIENT_ASK(c, l2_lease, &key, &l);
}

static struct l2_answer *fill(struct client *c, const char *name, uint64_t token, uint64_t version,
                              uint64_t connection)
{
    struct l2_key key = client_key(name);
    struct bytes envelope = client_envelope(token, version, "filled");
    const struct l2_fill f = {
        .token = token,
        .connection = connection,
        .version = version,
        .hard_ms = 60000,
        .envelope = envelope,
        .frame = frame,
    };
    struct l2_answer *a = CLIENT_ASK(c, l2_fill, &key, &f);
    client_envelope_free(envelope);
    return a;
}

static struct l2_answer *change_key(struct client *c, const char *name, enum l2_change_mode mode,
                                    uint64_t version, uint64_t token)
{
    struct bytes envelope = client_envelope(777, version, "written");
    const struct l2_change_key key = {
        .key = client_key(name),
        .mode = mode,
        .version = version,
        .token = token,
        .envelope = mode == L2_DELETE ? bytes_of(NULL, 0) : envelope,
        .hard_ms = 60000,
    };
    const struct l2_change change = {.keys = &key, .key_count = 1, .new_id = 42, .frame = frame};
    struct l2_answer *a = CLIENT_ASK(c, l2_change, &change);
    client_envelope_free(envelope);
    return a;
}

/* Status and verdict of an answer, which is freed. */
static int verdict_of(struct l2_answer *a)
{
    int verdict = a->status ? a->status : (int)a->verdict;
    l2_answer_free(a);
    return verdict;
}

/* ---- cases ---- */

TEST(get_of_nothing_and_of_something)
{
    struct redis server;
    struct client c;
    redis_start(&server, NULL);
    client_open(&c, server.uri);
    CHECK_EQ(verdict_of(get(&c, "k")), L2_NONE);
    CHECK_EQ(verdict_of(change_key(&c, "k", L2_SET, 0, 0)), L2_STORED);
    struct l2_answer *a = get(&c, "k");
    struct l2_envelope e;
    CHECK_EQ(a->verdict, L2_VALUE);
    CHECK_EQ(a->connection, 1);
    CHECK_NE(a->home, 0);
    if (CHECK(l2_envelope_decode(a->value, &e)))
        CHECK_MEM(e.payload.data, e.payload.len, "written", 7);
    l2_answer_free(a);
    char *name = redis_command(&server, "EXISTS t:s:1:k");
    CHECK_STR(name, "1");
    free(name);
    client_close(&c);
    redis_stop(&server);
}

TEST(lease_is_granted_once_and_then_held)
{
    struct redis server;
    struct client c;
    redis_start(&server, NULL);
    client_open(&c, server.uri);
    CHECK_EQ(verdict_of(lease(&c, "k", 1, 0)), L2_GRANTED);
    struct l2_answer *held = lease(&c, "k", 2, 0);
    CHECK_EQ(held->verdict, L2_HELD);
    CHECK_GT(held->held_ms, 0);
    CHECK_LE(held->held_ms, 5000);
    l2_answer_free(held);
    CHECK_EQ(verdict_of(fill(&c, "k", 2, 0, 1)), L2_REFUSED);
    CHECK_EQ(verdict_of(get(&c, "k")), L2_NONE);
    CHECK_EQ(verdict_of(fill(&c, "k", 1, 0, 1)), L2_STORED);
    CHECK_EQ(verdict_of(fill(&c, "k", 1, 0, 1)), L2_REFUSED);
    CHECK_EQ(redis_integer(&server, "EXISTS t:!:lease:s:k"), 0);
    CHECK_EQ(verdict_of(lease(&c, "k", 3, 0)), L2_VALUE);
    CHECK_EQ(verdict_of(lease(&c, "k", 3, 1)), L2_GRANTED);
    client_close(&c);
    redis_stop(&server);
}

TEST(beat_makes_the_clock_and_brings_what_followed)
{
    struct redis server;
    struct client c;
    redis_start(&server, NULL);
    client_open(&c, server.uri);
    struct l2_answer *first = CLIENT_ASK(&c, l2_beat, 0, 100, 42);
    CHECK_EQ(first->status, 0);
    CHECK_NE(first->clock.identity, 0);
    CHECK_EQ(first->clock.sequence, 0);
    CHECK_EQ(first->entry_count, 0);
    CHECK_EQ(redis_integer(&server, "STRLEN t:!:clk"), CLIENT_CLK_BYTES);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(verdict_of(change_key(&c, "k", L2_DELETE, 0, 0)), L2_NONE);
    struct l2_answer *second = CLIENT_ASK(&c, l2_beat, 1, 100, 43);
    CHECK_EQ(second->clock.identity, first->clock.identity);
    CHECK_EQ(second->clock.sequence, 3);
    REQUIRE_EQ(second->entry_count, 2);
    CHECK_EQ(second->entry_seqs[0], 2);
    CHECK_EQ(second->entry_seqs[1], 3);
    CHECK_EQ(second->entries[0].len, 4 + 40 + 8 + 8 + 4);
    CHECK_MEM(second->entries[0].data, 4, "HEAD", 4);
    CHECK_EQ(get_le64((const char *)second->entries[0].data + 44), 42);
    CHECK_EQ(get_le64((const char *)second->entries[0].data + 52), 2);
    struct l2_answer *all = CLIENT_ASK(&c, l2_resync, 44);
    CHECK_EQ(all->verdict, L2_VALUE);
    CHECK_EQ(all->value.len, CLIENT_CLK_BYTES);
    CHECK_EQ(all->clock.identity, first->clock.identity);
    l2_answer_free(first);
    l2_answer_free(second);
    l2_answer_free(all);
    client_close(&c);
    redis_stop(&server);
}
