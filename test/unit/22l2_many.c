// SPDX-License-Identifier: MIT
// Many keys in one request: each has its own answer, and none of them costs the connection.

#include <stdio.h>

#include "support/l2_client.h"

enum {
    LARGE_BYTES = 900 << 10, /* below the largest string that client_config() allows */
    LARGE_COUNT = 7,         /* together above the largest reply: that and 4 MiB */
};

static struct redis server;
static struct client client;

static void begin(void)
{
    redis_start(&server, NULL);
    client_open(&client, server.uri);
}

static void end(void)
{
    client_close(&client);
    redis_stop(&server);
}

/* Keys k0, k1, ... */
static void name_keys(char (*names)[8], struct bytes *keys, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof(names[i]), "k%u", i);
        keys[i] = bytes_of_string(names[i]);
    }
}

static struct l2_answer *ask_for(uint32_t count)
{
    char names[L2_MANY_MAX][8];
    struct bytes keys[L2_MANY_MAX];
    name_keys(names, keys, count);
    return CLIENT_ASK(&client, l2_get_many, bytes_of_string("s"), bytes_of_string("1"), keys,
                      count);
}

static enum l2_verdict verdict_at(struct l2_answer *a, uint32_t i)
{
    struct bytes value;
    return l2_answer_at(a, i, &value);
}

static void set(unsigned i, const char *text)
{
    free(redis_command(&server, "SET t:!2:s:1:k%u %s", i, text));
}

TEST(each_of_many_is_answered_in_its_place)
{
    begin();
    for (unsigned i = 0; i < L2_MANY_MAX; i += 2) {
        char text[16];
        snprintf(text, sizeof(text), "value %u", i);
        free(redis_command(&server, "SET t:!2:s:1:k%u %s", i, text));
    }
    free(redis_command(&server, "LPUSH t:!2:s:1:k3 other"));
    set(4, "");
    for (uint32_t count = 1; count <= L2_MANY_MAX; count++) {
        struct l2_answer *a = ask_for(count);
        REQUIRE_EQ(a->status, 0);
        CHECK_NE(a->home, 0);
        for (uint32_t i = 0; i < count; i++) {
            struct bytes value;
            char text[16];
            snprintf(text, sizeof(text), "value %u", i);
            CHECK_EQ(l2_answer_at(a, i, &value), i % 2 ? L2_NONE : L2_VALUE);
            if (i % 2 == 0)
                CHECK_MEM(value.data, value.len, text, i == 4 ? 0 : strlen(text));
        }
        l2_answer_free(a);
    }
    end();
}

TEST(what_would_make_a_reply_too_large_is_left_out)
{
    begin();
    char *large = malloc(LARGE_BYTES);
    REQUIRE(large);
    memset(large, 'x', LARGE_BYTES);
    for (unsigned i = 0; i < LARGE_COUNT; i++)
        free(redis_command(&server, "SET t:!2:s:1:k%u %b", i, large, (size_t)LARGE_BYTES));
    set(LARGE_COUNT, "small");
    uint64_t connection = 0;
    for (int round = 0; round < 3; round++) {
        struct l2_answer *a = ask_for(LARGE_COUNT + 1);
        REQUIRE_EQ(a->status, 0);
        unsigned had = 0;
        for (uint32_t i = 0; i < LARGE_COUNT; i++)
            had += verdict_at(a, i) == L2_VALUE;
        CHECK_EQ(had, 5); /* of 5 MiB in all */
        CHECK_EQ(verdict_at(a, LARGE_COUNT - 1), L2_LEFT);
        CHECK_EQ(verdict_at(a, LARGE_COUNT), L2_VALUE); /* it fits yet */
        CHECK(connection == 0 || connection == a->connection);
        connection = a->connection;
        l2_answer_free(a);
    }
    free(large);
    end();
}

TEST(a_server_that_refuses_MGET_is_known_and_keeps_its_connection)
{
    begin();
    set(0, "a");
    CHECK(l2_takes_many(client.l2));
    free(redis_command(&server, "ACL SETUSER default -mget"));
    struct l2_answer *a = ask_for(2);
    CHECK_EQ(a->status, NIGH_EREDIS);
    uint64_t connection = a->connection;
    l2_answer_free(a);
    CHECK(!l2_takes_many(client.l2));
    struct l2_key key = client_key("k0");
    a = CLIENT_ASK(&client, l2_get, &key);
    CHECK_EQ(a->status, 0);
    CHECK_MEM(a->value.data, a->value.len, "a", 1);
    CHECK_EQ(a->connection, connection);
    l2_answer_free(a);
    free(redis_command(&server, "ACL SETUSER default +mget"));
    l2_drop_connection(client.l2); /* another one is asked anew */
    CHECK(CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(client.l2) && l2_takes_many(client.l2)));
    a = ask_for(2);
    CHECK_EQ(a->status, 0);
    l2_answer_free(a);
    end();
}
