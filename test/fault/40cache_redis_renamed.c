// SPDX-License-Identifier: MIT
// Servers that are not quite a Redis of one's own: commands are renamed or forbidden, a proxy or a
// load balancer is in between, RESP3 comes unasked. Each is named at the connection, and the node
// goes on as one without Redis.

#include "support/ear.h"
#include "support/fake_redis.h"
#include "support/peer.h"
#include "support/relay.h"

#define CHECK_SAID(text)                                                                           \
    do {                                                                                           \
        if (!CHECK_WITHIN(WORLD_PATIENCE_MS, said(text)))                                          \
            check_note("%s", ear.said);                                                            \
    } while (0)

static void open_at(struct world *w, const char *uri)
{
    forget_said();
    peer_begin(w, &(struct peer){.uri = uri, .log = hear}, NULL);
}

/* Whether the stats have this name (redis_problem, listener_problem) with this text in it. */
static bool tells(struct world *w, const char *name, const char *text)
{
    char json[32768];
    long len = nigh_stats(w->cache, NIGH_STATS_JSON, json, sizeof(json));
    const char *at = len > 0 && len < (long)sizeof(json) ? strstr(json, name) : NULL;
    const char *there = at ? strstr(at, text) : NULL;
    return there && !memchr(at, '\n', (size_t)(there - at)) && there - at < 300;
}

/* A node that has no Redis, and says why, serves what its loader brings. (The log has the same
 * words, but not two lines a second.) */
static void check_goes_on(struct world *w, const char *why)
{
    CHECK_WITHIN(WORLD_PATIENCE_MS, tells(w, "\"redis_problem\"", why));
    CHECK_EQ(nigh_health(w->cache), NIGH_EOFFLINE);
    CHECK_EQ(world_count(w, "connected"), 0);
    CHECK_STR(ask_fetch(w->space, "k", NULL).text, "k=1");
    CHECK_EQ(peer_tell(w, NIGH_TARGET_KEY, "k"), NIGH_QUEUED);
}

static bool tells_nothing(struct world *w)
{
    return tells(w, "\"redis_problem\"", "\"redis_problem\": \"\"");
}

static void close_at(struct world *w, struct redis *server)
{
    world_close(w);
    redis_stop(server);
}

/* ---- commands that are not there ---- */

#define NAMES_MAX 16

/* Starts a server that knows these commands (NULL-ended) by no name. */
static void start_without(struct redis *server, char *const names[], char *args[3 * NAMES_MAX + 1])
{
    size_t n = 0;
    for (; *names; names++) {
        REQUIRE(n < 3 * NAMES_MAX);
        args[n++] = "--rename-command";
        args[n++] = *names;
        args[n++] = "";
    }
    args[n] = NULL;
    redis_start(server, args);
}

TEST(commands_of_scripts_that_are_renamed_are_all_named)
{
    static char *const names[] = {"EVALSHA",  "TIME", "GET",  "GETRANGE", "SET",
                                  "SETRANGE", "DEL",  "PTTL", "PEXPIRE",  "XADD",
                                  "XRANGE",   "PUBLISH", NULL};
    char *args[3 * NAMES_MAX + 1];
    char all[200];
    struct redis server;
    struct world w;
    size_t len = 0;
    for (size_t i = 0; names[i]; i++)
        len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s", i ? ", " : "", names[i]);
    start_without(&server, names, args);
    open_at(&w, server.uri);
    check_goes_on(&w, "the server has no EVALSHA, TIME");
    CHECK_SAID(all);
    CHECK(said(" (rename-command?)"));
    close_at(&w, &server);
}

static void check_named(char *command, const char *why)
{
    char *const names[] = {command, NULL};
    char *args[3 * NAMES_MAX + 1];
    struct redis server;
    struct world w;
    start_without(&server, names, args);
    open_at(&w, server.uri);
    check_goes_on(&w, why);
    close_at(&w, &server);
}

TEST(a_command_that_is_renamed_is_named)
{
    check_named("SETRANGE", "the server has no SETRANGE (rename-command?)");
    check_named("EVAL", "EVAL (renamed, or a proxy?): ERR unknown command 'EVAL'");
    check_named("INFO", "INFO (renamed, or a proxy?): ERR unknown command 'INFO'");
}

TEST(a_server_without_subscribe_serves_and_the_listener_says_why)
{
    char *const names[] = {"SUBSCRIBE", NULL};
    static const char why[] = "SUBSCRIBE: ERR unknown command 'SUBSCRIBE'";
    char *args[3 * NAMES_MAX + 1];
    struct redis server;
    struct world w;
    start_without(&server, names, args);
    open_at(&w, server.uri);
    CHECK_SAID("redis listener is not connected: SUBSCRIBE: ERR unknown command 'SUBSCRIBE'");
    CHECK_WITHIN(WORLD_PATIENCE_MS, tells(&w, "\"listener_problem\"", why));
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
    CHECK(tells_nothing(&w));
    close_at(&w, &server);
}

/* What old nodes alone need is an advice; what is a courtesy is nothing. */
TEST(commands_that_can_be_done_without_stop_nothing)
{
    char *const names[] = {"RENAME", "MGET",    "CLIENT", "CONFIG",
                           "HELLO",  "COMMAND", "SCRIPT", NULL};
    struct nigh_key keys[] = {{"one", 3}, {"two", 3}};
    char *args[3 * NAMES_MAX + 1];
    struct nigh_value values[2];
    struct redis server;
    struct world w;
    int outcomes[2];
    start_without(&server, names, args);
    open_at(&w, server.uri);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&w));
    CHECK_SAID("STRLEN, EXISTS or RENAME is not there, or forbidden (NOPERM)");
    CHECK(!said("not connected"));
    CHECK_EQ(nigh_fetch_many(w.space, keys, 2, NULL, values, outcomes), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(outcomes[i], NIGH_FRESH);
        nigh_release(&values[i]);
    }
    CHECK_EQ(peer_tell(&w, NIGH_TARGET_ALL, NULL), 0);
    close_at(&w, &server);
}

/* ---- rights ---- */

/* Starts a server with a user `app` of these rights (three at most, NULL-ended); opens as that. */
static void open_as_app(struct redis *server, struct world *w, char *const rights[])
{
    char *args[] = {"--user", "app", "on", ">old", "allkeys", "allchannels",
                    NULL, NULL, NULL, NULL};
    char uri[200];
    for (size_t i = 0; rights[i]; i++)
        args[6 + i] = rights[i];
    redis_start(server, args);
    snprintf(uri, sizeof(uri), "unix://app:old@%s", server->socket);
    open_at(w, uri);
}

TEST(a_right_that_is_missing_is_named_and_its_return_found)
{
    static char *const rights[] = {"+@all", "-xadd", "-pttl", NULL};
    struct redis server;
    struct world w;
    open_as_app(&server, &w, rights);
    check_goes_on(&w, "NOPERM for PTTL, XADD, or for our keys and channels");
    free(redis_command(&server, "ACL SETUSER app -@scripting +xadd +pttl"));
    check_goes_on(&w, "EVAL (give this user +eval): NOPERM");
    free(redis_command(&server, "ACL SETUSER app +@scripting"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&w));
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "queued") == 0);
    CHECK(tells_nothing(&w));
    close_at(&w, &server);
}

/* Asks for what nobody has asked for, and whether that was refused for this, and for no right. */
static bool is_refused_for(struct world *w, const char *why)
{
    static unsigned count;
    char key[20];
    snprintf(key, sizeof(key), "new %u", count++);
    ask_fetch(w->space, key, NULL);
    CHECK(!tells(w, "\"redis_problem\"", "NOPERM"));
    return tells(w, "\"redis_problem\"", why);
}

/* Redis 7.0 does not say of a script what it lacks. */
TEST(a_right_that_is_taken_away_is_named)
{
    static char *const rights[] = {"+@all", NULL};
    struct redis server;
    struct world w;
    open_as_app(&server, &w, rights);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&w));
    free(redis_command(&server, "ACL SETUSER app -xadd"));
    CHECK_EQ(peer_tell(&w, NIGH_TARGET_KEY, "k"), NIGH_QUEUED);
    CHECK_SAID("refuses a request: NOPERM for XADD, or for our keys and channels");
    CHECK_EQ(world_count(&w, "connected"), 1);
    free(redis_command(&server, "ACL SETUSER app +xadd"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "queued") == 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, tells_nothing(&w));
    free(redis_command(&server, "CONFIG SET maxmemory 1")); /* refused for another reason now */
    CHECK_WITHIN(WORLD_PATIENCE_MS, is_refused_for(&w, "OOM"));
    close_at(&w, &server);
}

/* ---- in between ---- */

static void check_behind(const char *hello, const char *why)
{
    struct fake_redis fake;
    struct world w;
    fake_redis_start(&fake, hello, NULL, NULL);
    open_at(&w, fake.uri);
    check_goes_on(&w, why);
    world_close(&w);
    fake_redis_stop(&fake);
}

/* What proxies answer, or do, where they do not know a command. */
TEST(a_proxy_that_knows_few_commands_is_told_as_one)
{
    check_behind("-ERR unsupported command 'CLIENT'\r\n-ERR unsupported command 'INFO'\r\n",
                 "INFO (renamed, or a proxy?): ERR unsupported command 'INFO'");
    check_behind("+OK\r\n", "closed by the server instead of an answer to INFO");
    check_behind("+OK\r\n$15\r\nproxy:fast\r\nx:1\r\n", "its INFO has no role");
    check_behind("+OK\r\n$13\r\nrole:master\r\n\r\n", "its INFO has no master_replid");
}

TEST(a_load_balancer_that_parts_the_connections_is_noticed)
{
    static const char why[] = "another server answers here than answers requests";
    struct redis server, other;
    struct relay relay;
    struct world w;
    redis_start(&server, NULL);
    redis_start(&other, NULL);
    relay_open(&relay, &server);
    open_at(&w, relay.uri);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&w));
    relay_scatter(&relay, &other);
    free(redis_command(&server, "CLIENT KILL TYPE pubsub"));
    CHECK_SAID("redis listener is not connected: another server answers here");
    CHECK_WITHIN(WORLD_PATIENCE_MS, tells(&w, "\"listener_problem\"", why));
    CHECK_EQ(peer_tell(&w, NIGH_TARGET_KEY, "k"), 0); /* requests go on */
    relay_scatter(&relay, &server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&w));
    world_close(&w);
    relay_close(&relay);
    redis_stop(&server);
    redis_stop(&other);
}

TEST(a_server_that_begins_in_resp3_is_asked_for_resp2)
{
    struct redis server;
    struct relay relay;
    struct world w;
    redis_start(&server, NULL);
    relay_open(&relay, &server);
    relay_speak3(&relay);
    open_at(&w, relay.uri);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&w));
    CHECK_SAID("is not connected: a reply in RESP3: from now on it is asked for RESP2");
    CHECK_STR(ask_fetch(w.space, "k", NULL).text, "k=1");
    CHECK_EQ(peer_tell(&w, NIGH_TARGET_KEY, "k"), 0);
    world_close(&w);
    relay_close(&relay);
    redis_stop(&server);
}

/* A message that a server pushes, as one for client-side caching; the answer is behind it. */
static void push(int fd, void *arg)
{
    (void)arg;
    while (fake_redis_hear(fd))
        fake_redis_say(fd, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n$-1\r\n");
}

TEST(a_pushed_message_is_no_answer)
{
    struct fake_redis fake;
    struct world w;
    fake_redis_start(&fake, NULL, push, NULL);
    open_at(&w, fake.uri);
    CHECK_SAID("is not connected: a reply in RESP3");
    /* a server that knows no HELLO is not refused for that */
    CHECK_SAID("is not connected: a reply in RESP3, although it was asked for RESP2");
    CHECK_STR(ask_fetch(w.space, "k", NULL).text, "k=1");
    CHECK(nigh_health(w.cache) != NIGH_FRESH);
    world_close(&w);
    fake_redis_stop(&fake);
}
