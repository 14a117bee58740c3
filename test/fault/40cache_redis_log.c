// SPDX-License-Identifier: MIT
// What people are told of a Redis that is away: each reason once, in the server's own words; and of
// one that is well: nothing.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"
#include "support/ear.h"
#include "support/fake_redis.h"
#include "support/peer.h"

/* ---- what was said ---- */

/* A hook that may block. */
static struct {
    _Atomic bool blocked, inside;
} hook;

static void hear_or_block(void *arg, enum nigh_log_level level, const char *message)
{
    hear(arg, level, message);
    atomic_store(&hook.inside, true);
    while (atomic_load(&hook.blocked))
        check_pause();
    atomic_store(&hook.inside, false);
}

static void ear_open(void)
{
    forget_said();
    uint64_t now_ms = check_now_ms(); /* what the case before has said may be said again */
    while (check_now_ms() - now_ms < 1100)
        check_pause();
}

static void print_said(void)
{
    pthread_mutex_lock(&ear.lock);
    check_note("%s", ear.said);
    pthread_mutex_unlock(&ear.lock);
}

#define CHECK_SAID(start, part)                                                                    \
    do {                                                                                           \
        if (!CHECK_WITHIN(WORLD_PATIENCE_MS, said_with((start), (part)) > 0))                      \
            print_said();                                                                          \
    } while (0)

#define DATA "redis at "
#define LISTENER "redis listener"

static void open_at(struct world *w, const char *uri)
{
    peer_begin(w, &(struct peer){.uri = uri, .log = hear_or_block}, NULL);
}

/* Says whether the stats, as JSON, tell of this trouble. */
static bool json_says(struct world *w, const char *text)
{
    char json[32768];
    long len = nigh_stats(w->cache, NIGH_STATS_JSON, json, sizeof(json));
    return len > 0 && len < (long)sizeof(json) && strstr(json, text);
}

static void run(const struct redis *server, const char *command)
{
    char *answer = redis_command(server, command);
    CHECK(answer && strncmp(answer, "(error)", 7) != 0);
    free(answer);
}

static void app_uri(const struct redis *server, char uri[200])
{
    snprintf(uri, 200, "unix://app:old@%s", server->socket);
}

/* ---- the reasons of outages ---- */

TEST(each_reason_of_an_outage_is_said_once)
{
    static char *const args[] = {"--user", "app", "on", ">new", "allkeys", "allchannels", "+@all",
                                 NULL};
    struct redis server;
    struct world w;
    char uri[200];
    redis_start(&server, args);
    redis_kill(&server);
    app_uri(&server, uri);
    ear_open();
    open_at(&w, uri);
    CHECK_SAID(DATA, "is not connected: connect: ");
    CHECK(json_says(&w, "\"redis_problem\": \"connect: "));
    redis_restart(&server, REDIS_EMPTY);
    CHECK_SAID(DATA, "is not connected: AUTH: WRONGPASS ");
    CHECK(json_says(&w, "\"redis_problem\": \"AUTH: WRONGPASS "));
    run(&server, "ACL SETUSER app >old");
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&w));
    CHECK(json_says(&w, "\"redis_problem\": \"\", \"redis_problem_ms\": 0"));
    CHECK(json_says(&w, "\"listener_problem\": \"\", \"listener_problem_ms\": 0"));
    CHECK_EQ(said_with(DATA, "WRONGPASS"), 1);

    run(&server, "ACL SETUSER app <old"); /* while it is connected, and then it is not */
    run(&server, "CLIENT KILL USER app");
    CHECK_WITHIN(WORLD_PATIENCE_MS, said_with(DATA, "AUTH: WRONGPASS ") == 2);
    CHECK_LE(said_with(DATA, ""), 8);
    world_close(&w);
    redis_stop(&server);
}

/* A connection that the server has taken. */
static int occupy(const struct redis *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char answer[5] = "";
    int fd;
    strcpy(address.sun_path, server->socket);
    for (;;) {
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        REQUIRE(connect(fd, (struct sockaddr *)(void *)&address, sizeof(address)) == 0);
        fake_redis_say(fd, "PING\r\n");
        if (recv(fd, answer, sizeof(answer), MSG_WAITALL) == sizeof(answer) && answer[0] == '+')
            return fd;
        close(fd); /* those that started the server are not quite gone */
        check_pause();
    }
}

TEST(a_server_that_is_full_says_so_before_it_closes)
{
    static char *const args[] = {"--maxclients", "2", NULL};
    struct redis server;
    struct world w;
    redis_start(&server, args);
    int fds[2] = {occupy(&server), occupy(&server)};
    ear_open();
    open_at(&w, server.uri);
    CHECK_SAID(DATA, "max number of clients reached");
    for (int i = 0; i < 2; i++)
        close(fds[i]);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&w));
    world_close(&w);
    redis_stop(&server);
}

TEST(an_acl_without_info_is_told_what_is_missing)
{
    static char *const args[] = {"--user", "app", "on", ">old", "allkeys", "allchannels",
                                 "+@all", "-@dangerous", NULL};
    struct redis server;
    struct world w;
    char uri[200];
    redis_start(&server, args);
    app_uri(&server, uri);
    ear_open();
    open_at(&w, uri);
    CHECK_SAID(DATA, "INFO (give this user +info): NOPERM");
    run(&server, "ACL SETUSER app +info");
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&w));
    world_close(&w);
    redis_stop(&server);
}

/* At the connection; and later, when the connection lives and each request is refused. */
TEST(a_user_with_other_keys_is_told_so_once)
{
    static char *const args[] = {"--user", "app", "on", ">old", "~other:*", "allchannels", "+@all",
                                 NULL};
    struct redis server;
    struct world w;
    char uri[200];
    redis_start(&server, args);
    app_uri(&server, uri);
    ear_open();
    open_at(&w, uri);
    CHECK_SAID(DATA, "is not connected: EVAL: NOPERM");
    run(&server, "ACL SETUSER app allkeys");
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&w));
    run(&server, "ACL SETUSER app resetkeys ~other:*");
    CHECK_SAID(DATA, "refuses a request: NOPERM");
    int64_t failed = world_count(&w, "beat_failed");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "beat_failed") > failed + 3);
    CHECK(json_says(&w, "\"redis_problem\": \"NOPERM "));
    run(&server, "ACL SETUSER app allkeys");
    CHECK_WITHIN(WORLD_PATIENCE_MS, json_says(&w, "\"redis_problem\": \"\""));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&w));
    CHECK_EQ(said_with(DATA, "refuses a request: NOPERM"), 1);
    world_close(&w);
    redis_stop(&server);
}

TEST(a_listener_that_may_not_subscribe_says_so)
{
    static char *const args[] = {"--user", "app", "on", ">old", "allkeys", "allchannels", "+@all",
                                 "-subscribe", NULL};
    struct redis server;
    struct world w;
    char uri[200];
    redis_start(&server, args);
    app_uri(&server, uri);
    ear_open();
    open_at(&w, uri);
    CHECK_SAID(LISTENER, "NOPERM");
    CHECK(json_says(&w, "\"redis_problem\": \"\""));
    CHECK(json_says(&w, "\"listener_problem\": \"SUBSCRIBE: NOPERM "));
    run(&server, "ACL SETUSER app +subscribe");
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&w));
    CHECK(json_says(&w, "\"listener_problem\": \"\""));
    CHECK_EQ(said_with(LISTENER, "NOPERM"), 1);
    world_close(&w);
    redis_stop(&server);
}

/* A real one wants a port of its own, which nobody can promise to be free. */
TEST(a_node_of_a_cluster_is_refused)
{
    static const char hello[] = "+OK\r\n$88\r\nrole:master\r\nmaster_replid:"
                                "0123456789012345678901234567890123456789\r\n"
                                "cluster_enabled:1\r\n\r\n+PONG\r\n";
    struct fake_redis fake;
    struct world w;
    fake_redis_start(&fake, hello, NULL, NULL);
    ear_open();
    open_at(&w, fake.uri);
    CHECK_SAID(DATA, "a node of a Redis Cluster");
    CHECK_EQ(nigh_health(w.cache), NIGH_EOFFLINE);
    world_close(&w);
    fake_redis_stop(&fake);
}

static void advised(char *policy, char *memory, const char *advice)
{
    char *const args[] = {"--maxmemory", memory, "--maxmemory-policy", policy, NULL};
    struct redis server;
    struct world w;
    redis_start(&server, args);
    ear_open();
    open_at(&w, server.uri);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&w));
    CHECK_WITHIN(WORLD_PATIENCE_MS, *advice == 0 || said_with(DATA, advice) == 1);
    run(&server, "CLIENT KILL TYPE normal");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "l2_connect") >= 2);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&w));
    world_close(&w); /* all is said then */
    CHECK_EQ(said_with(DATA, *advice ? advice : "maxmemory"), *advice != 0);
    redis_stop(&server);
}

TEST(what_a_full_server_will_do_is_said_once)
{
    char volatile_lru[] = "volatile-lru", allkeys_lfu[] = "allkeys-lfu", none[] = "noeviction";
    char some[] = "100mb", any[] = "0";
    advised(volatile_lru, some, "");
    advised(allkeys_lfu, some, "evicts not only values but the order of changes");
    advised(allkeys_lfu, any, "evicts not only values"); /* it was chosen, and may be bounded yet */
    advised(none, some, "a full server takes no more values");
    advised(none, any, ""); /* the default of any server */
}

/* ---- last words ---- */

static void part(int fd, void *arg)
{
    (void)arg;
    fake_redis_hear(fd);
    fake_redis_say(fd, "-ERR a reason\x01of its own\r\n");
}

TEST(the_last_words_of_a_server_are_the_reason)
{
    struct fake_redis fake;
    struct world w;
    fake_redis_start(&fake, NULL, part, NULL);
    ear_open();
    open_at(&w, fake.uri);
    CHECK_SAID(DATA, "ERR a reason?of its own");
    world_close(&w);
    fake_redis_stop(&fake);
}

TEST(who_is_no_redis_is_told_by_its_first_words)
{
    static const char page[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    struct fake_redis fake;
    struct world w;
    fake_redis_start(&fake, page, NULL, NULL);
    ear_open();
    open_at(&w, fake.uri);
    CHECK_SAID(DATA, "no Redis answers there, but what says \"HTTP/1.1 400 Bad Request\"");
    world_close(&w);
    fake_redis_stop(&fake);
}

/* The digest and the line of a script say nothing to people, and half a sentence little. */
TEST(the_words_of_a_server_are_told_without_what_is_of_no_use)
{
    static char *const args[] = {"--min-replicas-to-write", "1", NULL};
    struct redis server;
    struct world w;
    redis_start(&server, args);
    ear_open();
    open_at(&w, server.uri);
    CHECK_SAID(DATA, "NOREPLICAS Not enough good replicas to write");
    CHECK_EQ(said_with(DATA, "script"), 0);
    world_close(&w);
    redis_stop(&server);
}

/* ---- all is well ---- */

#define NODES 10

static void well(unsigned nodes)
{
    static struct world w[NODES];
    struct redis server;
    redis_start(&server, NULL);
    ear_open();
    for (unsigned i = 0; i < nodes; i++)
        open_at(&w[i], server.uri);
    for (unsigned i = 0; i < nodes; i++) {
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&w[i]));
        CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&w[i], &w[i].origin, "k"));
        CHECK_EQ(peer_tell(&w[i], NIGH_TARGET_KEY, "k"), 0);
    }
    for (unsigned i = 0; i < nodes; i++) {
        static const char *const alarms[] = {"beat_failed", "l2_refused", "resync", "trust_lost",
                                             "l2_connect_failed", "l2_lost", "l2_bad_reply",
                                             "frame_bad", "listener_lost", "log_lost"};
        for (size_t j = 0; j < ARRAY_COUNT(alarms); j++)
            if (!CHECK_EQ(world_count(&w[i], alarms[j]), 0))
                check_note("%s", alarms[j]);
    }
    for (unsigned i = 0; i < nodes; i++)
        world_close(&w[i]);
    if (!CHECK_EQ(said_with("", ""), 0))
        print_said();
    redis_stop(&server);
}

TEST(a_start_raised_false_alarms)
{
    well(1);
    well(NODES);
}

/* ---- another number of group slots ---- */

/* Its tags would lie elsewhere in the clock: so it follows none. Whoever runs it is told, and sees
 * what comes of it; the node that was there first is none the worse. */
TEST(a_node_with_other_group_slots_said_so_and_believed_nothing)
{
    struct redis server;
    struct world first, other;
    redis_start(&server, NULL);
    ear_open();
    open_at(&first, server.uri);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&first));
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_sees_row(&first, &first.origin, "k"));
    struct nigh_options o = patient_options(&server);
    o.group_slots *= 2;
    o.log = hear_or_block;
    origin_init(&other.origin);
    world_open_with(&other, &o, NULL, &other.origin);
    CHECK_WITHIN(WORLD_PATIENCE_MS, said("coherence.group_slots is 4096 here but 2048") > 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&other, "group_slots_differ") >= 1);
    CHECK_NE(nigh_health(other.cache), NIGH_FRESH);
    CHECK_EQ(world_count(&other, "trusted"), 0);
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = 100;
    CHECK_EQ(nigh_invalidate(other.space, "k", 1, &call), NIGH_QUEUED);
    origin_commit(&other.origin);
    CHECK_STR(ask_fetch(other.space, "k", NULL).text, "k=2"); /* loaded, and for its call fresh */
    CHECK_EQ(ask_get(other.space, "k", NULL).outcome, NIGH_STALE);
    CHECK_EQ(nigh_health(first.cache), NIGH_FRESH);
    CHECK(peer_sees_row(&first, &first.origin, "k"));
    CHECK_EQ(world_count(&first, "group_slots_differ"), 0);
    world_close(&other);
    world_close(&first);
    redis_stop(&server);
}

/* ---- a hook that blocks ---- */

TEST(a_hook_that_blocked_made_calls_miss_their_deadlines)
{
    struct redis server;
    struct world w;
    redis_start(&server, NULL);
    ear_open();
    open_at(&w, server.uri);
    CHECK_WITHIN(WORLD_PATIENCE_MS, peer_is_ready(&w));
    atomic_store(&hook.blocked, true);
    redis_kill(&server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, atomic_load(&hook.inside));
    for (int i = 0; i < 20; i++) {
        char key[16];
        struct nigh_call call = NIGH_CALL_INIT;
        call.deadline_ms = WORLD_PATIENCE_MS; /* the hook blocks for longer */
        snprintf(key, sizeof(key), "k%d", i);
        CHECK_GE(ask_fetch(w.space, key, &call).outcome, 0);
        CHECK_EQ(peer_tell(&w, NIGH_TARGET_KEY, key), NIGH_QUEUED);
    }
    redis_restart(&server, REDIS_EMPTY);
    CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(w.cache) == NIGH_FRESH);
    CHECK(atomic_load(&hook.inside)); /* all that while */
    atomic_store(&hook.blocked, false);
    world_close(&w);
    redis_stop(&server);
}
