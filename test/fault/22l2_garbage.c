// SPDX-License-Identifier: MIT
// A server that answers garbage, too much, half, nothing, or hangs up: each request ends exactly
// once and by its deadline, the client reconnects, and nothing is believed.

#include "l2/breaker.h"
#include "support/fake_redis.h"
#include "support/l2_client.h"

static struct fake_redis fake;
static struct client c;

/* The server answers the first request with this, and then hangs up or (quiet) falls silent. */
static const char *answer_text;
static size_t answer_len;
static _Atomic bool quiet;

static void serve_text(int fd, void *arg)
{
    (void)arg;
    if (!fake_redis_hear(fd))
        return;
    fake_redis_send(fd, answer_text, answer_len);
    while (atomic_load(&quiet) && fake_redis_hear(fd))
        ;
}

static void begin(const char *text, size_t len, bool stay_quiet)
{
    answer_text = text;
    answer_len = len;
    atomic_store(&quiet, stay_quiet);
    fake_redis_start(&fake, NULL, serve_text, NULL);
    client_open(&c, fake.uri);
}

static void end(void)
{
    client_close(&c);
    fake_redis_stop(&fake);
}

#define SOON_MS 50
/* For what needs no time at all: less than the 2 s of silence that cost any connection. */
#define AT_ONCE_MS 1500

/* Status of a GET or (script) a beat, asked of a server that says `text`, and then falls silent for
 * `quiet_ms` (0: hangs up). */
static int status_of(const char *text, size_t len, uint32_t quiet_ms, bool script)
{
    struct l2_sync s;
    struct l2_key key = client_key("k");
    begin(text, len, quiet_ms > 0);
    const struct l2_op op = client_op(&c, &s, quiet_ms ? quiet_ms : CLIENT_DEADLINE_MS);
    REQUIRE_EQ(script ? l2_beat(c.l2, CLIENT_BEAT(0, 10, 1), &op) : l2_get(c.l2, &key, &op), 0);
    struct l2_answer *a = l2_sync_wait(&s);
    int status = a->status;
    CHECK(a->value.data == NULL || status == 0);
    l2_answer_free(a);
    end();
    return status;
}

#define GET_STATUS(text) status_of(text, sizeof(text) - 1, 0, false)
#define GET_STATUS_QUIET(text, ms) status_of(text, sizeof(text) - 1, ms, false)
#define BEAT_STATUS(text) status_of(text, sizeof(text) - 1, 0, true)

TEST(garbage_costs_the_connection)
{
    CHECK_EQ(GET_STATUS("\0\1\2\3"), NIGH_EOFFLINE);
    CHECK_EQ(GET_STATUS("HTTP/1.1 200 OK\r\n\r\n"), NIGH_EOFFLINE);
    CHECK_EQ(GET_STATUS("*2147483647\r\n"), NIGH_EOFFLINE);
    CHECK_EQ(GET_STATUS("*9223372036854775807\r\n"), NIGH_EOFFLINE);
    CHECK_EQ(GET_STATUS("$-9223372036854775807\r\n"), NIGH_EOFFLINE);
    CHECK_EQ(GET_STATUS("%1\r\n+a\r\n+b\r\n"), NIGH_EOFFLINE);
}

/* Without waiting for the bytes that were promised. */
TEST(too_large_a_promise_costs_the_connection_at_once)
{
    CHECK_EQ(status_of("$9223372036854775807\r\n", 22, AT_ONCE_MS, false), NIGH_EOFFLINE);
    CHECK_EQ(status_of("$1048577\r\nxx", 12, AT_ONCE_MS, false), NIGH_EOFFLINE);
}

TEST(half_a_reply)
{
    CHECK_EQ(GET_STATUS("$10\r\nhalf"), NIGH_EOFFLINE);
    CHECK_EQ(GET_STATUS_QUIET("$10\r\nhalf", SOON_MS), NIGH_ETIMEDOUT);
    CHECK_EQ(GET_STATUS_QUIET("$1", SOON_MS), NIGH_ETIMEDOUT);
    CHECK_EQ(GET_STATUS_QUIET("", SOON_MS), NIGH_ETIMEDOUT);
}

TEST(a_reply_of_the_wrong_kind)
{
    CHECK_EQ(GET_STATUS(":5\r\n"), NIGH_EREDIS);
    CHECK_EQ(GET_STATUS("*1\r\n$1\r\na\r\n"), NIGH_EREDIS);
    CHECK_EQ(GET_STATUS("-ERR no\r\n"), NIGH_EREDIS);
    CHECK_EQ(GET_STATUS("$2\r\nok\r\n"), 0);
    CHECK_EQ(GET_STATUS("$2\r\nok\r\n$5\r\nextra\r\n"), 0); /* what nobody asked for */
}

#define REPLID "$40\r\n0123456789012345678901234567890123456789\r\n"
#define FIRST "$8\r\n\1\0\0\0\0\0\0\0\r\n" /* the number of a client's first script */
#define HEAD "$64\r\nabcdefghabcdefghabcdefghabcdefghabcdefghabcdefghabcdefghabcdefgh\r\n"
#define CLOCK5 FIRST REPLID HEAD ":5\r\n:0\r\n"

TEST(a_script_answer_of_the_wrong_shape)
{
    CHECK_EQ(BEAT_STATUS("*7\r\n" CLOCK5 "*0\r\n:0\r\n"), 0);
    CHECK_EQ(BEAT_STATUS("*7\r\n" CLOCK5 "*2\r\n$1\r\n7\r\n$1\r\nf\r\n:0\r\n"), 0);
    CHECK_EQ(BEAT_STATUS("*0\r\n"), NIGH_EREDIS);
    CHECK_EQ(BEAT_STATUS("$1\r\na\r\n"), NIGH_EREDIS);
    CHECK_EQ(BEAT_STATUS("*5\r\n" CLOCK5), NIGH_EREDIS);
    CHECK_EQ(BEAT_STATUS("*7\r\n" FIRST HEAD HEAD ":5\r\n:0\r\n*0\r\n:0\r\n"), NIGH_EREDIS);
    CHECK_EQ(BEAT_STATUS("*7\r\n" FIRST REPLID HEAD ":-5\r\n:0\r\n*0\r\n:0\r\n"), NIGH_EREDIS);
    CHECK_EQ(BEAT_STATUS("*7\r\n" FIRST REPLID HEAD ":5\r\n:8\r\n*0\r\n:0\r\n"), NIGH_EREDIS);
    CHECK_EQ(BEAT_STATUS("*7\r\n" FIRST REPLID HEAD ":5\r\n:1\r\n:1\r\n:0\r\n"), NIGH_EREDIS);
    CHECK_EQ(BEAT_STATUS("*7\r\n" CLOCK5 "*2\r\n:7\r\n$1\r\nf\r\n:0\r\n"), NIGH_EREDIS);
    CHECK_EQ(BEAT_STATUS("*7\r\n" CLOCK5 "*2\r\n$1\r\n7\r\n:1\r\n:0\r\n"), NIGH_EREDIS);
    CHECK_EQ(BEAT_STATUS("*7\r\n" CLOCK5 "$1\r\na\r\n:0\r\n"), NIGH_EREDIS);
}

/* The replies of the connection are shifted by one, or a stranger got into it. */
TEST(an_answer_to_another_call)
{
    CHECK_EQ(BEAT_STATUS("*7\r\n$8\r\n\2\0\0\0\0\0\0\0\r\n" REPLID HEAD ":5\r\n:0\r\n*0\r\n:0\r\n"),
             NIGH_EREDIS);
    CHECK_EQ(BEAT_STATUS("*7\r\n$7\r\n\1\0\0\0\0\0\0\r\n" REPLID HEAD ":5\r\n:0\r\n*0\r\n:0\r\n"),
             NIGH_EREDIS);
    CHECK_EQ(BEAT_STATUS("$-1\r\n"), NIGH_EREDIS);
    CHECK_EQ(BEAT_STATUS("+PONG\r\n"), NIGH_EREDIS);
    CHECK_EQ(GET_STATUS("+PONG\r\n"), NIGH_EREDIS);
}

TEST(bad_replies_are_counted_and_the_client_comes_back)
{
    struct l2_key key = client_key("k");
    begin(":5\r\n", 4, false);
    for (uint64_t i = 1; i <= 3; i++) {
        REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2)));
        struct l2_answer *a = CLIENT_ASK(&c, l2_get, &key);
        CHECK_EQ(a->status, NIGH_EREDIS);
        CHECK_EQ(a->connection, i);
        l2_answer_free(a);
        CHECK_WITHIN(CLIENT_DEADLINE_MS, stats_read(&c.stats, STATS_L2_LOST) == i);
        CHECK_EQ(stats_read(&c.stats, STATS_L2_BAD_REPLY), i);
    }
    end();
}

/* Errors that speak of the server: it is left. */
TEST(a_server_that_cannot_serve_is_left)
{
    CHECK_EQ(GET_STATUS_QUIET("-READONLY You can't write against a read only replica.\r\n",
                              AT_ONCE_MS),
             NIGH_EOFFLINE);
    CHECK_EQ(GET_STATUS_QUIET("-NOREPLICAS Not enough good replicas to write.\r\n", AT_ONCE_MS),
             NIGH_EOFFLINE);
    CHECK_EQ(GET_STATUS_QUIET("-MASTERDOWN Link with MASTER is down\r\n", AT_ONCE_MS),
             NIGH_EOFFLINE);
    CHECK_EQ(GET_STATUS_QUIET("-LOADING Redis is loading the dataset\r\n", AT_ONCE_MS),
             NIGH_EOFFLINE);
}

/* ---- a server that takes its time ---- */

/* Answers each GET after that time, as if it was far away. */
static void serve_late(int fd, void *late_ms)
{
    char buffer[4096];
    ssize_t n;
    while ((n = recv(fd, buffer, sizeof(buffer) - 1, 0)) > 0) {
        buffer[n] = '\0';
        usleep(1000 * *(unsigned *)late_ms);
        for (const char *at = buffer; (at = strstr(at, "GET")); at++)
            fake_redis_say(fd, "$-1\r\n");
    }
}

/* Half a second of a caller who waits 1 ms. False: the breaker has opened. */
static bool impatience_is_borne(void)
{
    struct l2_key key = client_key("k");
    unsigned late_ms = 10;
    fake_redis_start(&fake, NULL, serve_late, &late_ms);
    client_open(&c, fake.uri);
    l2_set_patience(c.l2, 1);
    uint64_t end_ms = check_now_ms() + 500;
    int refused = 0;
    while (!refused &&
           (check_now_ms() < end_ms || stats_read(&c.stats, STATS_L2_TIMEOUT) <= 20)) {
        struct l2_sync s;
        const struct l2_op op = client_op(&c, &s, 1);
        refused = l2_get(c.l2, &key, &op);
        if (!refused)
            l2_answer_free(l2_sync_wait(&s));
    }
    bool opened = stats_read(&c.stats, STATS_L2_BREAKER_OPEN) > 0;
    CHECK(!refused || opened);
    end();
    return !opened;
}

/* A caller with a stale value at hand waits but a little; that says nothing about the server. Were
 * it held against it, the breaker would open every time; a busy machine, whose answers are late in
 * earnest, opens it now and then. */
TEST(impatience_does_not_open_the_breaker)
{
    CHECK_WITHIN(CLIENT_DEADLINE_MS, impatience_is_borne());
}

/* A Redis on another continent, whose users have set their deadlines accordingly. Should the
 * machine make it later than any of them would bear, it is too slow in earnest. */
TEST(a_server_that_is_far_is_not_too_slow_for_who_waits_longer)
{
    struct l2_key key = client_key("k");
    unsigned late_ms = 150;
    uint64_t slowest_ms = 0;
    fake_redis_start(&fake, NULL, serve_late, &late_ms);
    client_open(&c, fake.uri); /* which sets a client's patience */
    for (int wave = 0; wave < 4; wave++) {
        struct l2_sync s[4];
        uint64_t began_ms = check_now_ms();
        for (int i = 0; i < 4; i++)
            CLIENT_SUBMIT(&c, &s[i], l2_get, &key);
        for (int i = 0; i < 4; i++) {
            struct l2_answer *a = l2_sync_wait(&s[i]);
            CHECK_EQ(a->status, 0);
            l2_answer_free(a);
        }
        slowest_ms = u64_max(slowest_ms, check_now_ms() - began_ms);
    }
    CHECK(stats_read(&c.stats, STATS_L2_BREAKER_OPEN) == 0 ||
          slowest_ms >= BREAKER_SLOW_MAX_NS / NS_PER_MS);
    end();
}

/* ---- handshakes ---- */

static void check_never_up(const char *hello)
{
    fake_redis_start(&fake, hello, NULL, NULL);
    client_init(&c, true);
    struct l2_config config = client_config(&c, fake.uri);
    config.connect_timeout_ms = 20;
    REQUIRE_EQ(l2_open(&config, &c.l2), 0);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, stats_read(&c.stats, STATS_L2_CONNECT_FAILED) >= 2);
    CHECK_EQ(stats_read(&c.stats, STATS_L2_CONNECT), 0);
    CHECK(!l2_connected(c.l2));
    end();
}

TEST(handshakes_that_lead_nowhere)
{
    check_never_up("");
    check_never_up("-ERR max number of clients reached\r\n");
    check_never_up("+OK\r\n$13\r\nrole:master\r\n\r\n+PONG\r\n");
    check_never_up("+OK\r\n$77\r\nrole:slave\r\nmaster_replid:"
                   "0123456789012345678901234567890123456789\r\nx:12345\r\n\r\n+PONG\r\n");
    check_never_up("+OK\r\n:1\r\n+PONG\r\n");
    check_never_up("+OK\r\n$78\r\nrole:master\r\nmaster_replid:"
                   "0123456789012345678901234567890123456789\r\nx:12345\r\n\r\n"
                   "-LOADING Redis is loading\r\n");
    check_never_up("*100000\r\n");
}

/* ---- closes at random, after random bytes ---- */

static void serve_chaos(int fd, void *arg)
{
    uint64_t *random = arg;
    static const char *const pieces[] = {
        "$2\r\nok\r\n", "$-1\r\n", "-ERR x\r\n", "$",       "*3\r\n",  ":1\r\n",
        "$2\r\nok\r\n", "\r\n",    "+OK\r\n",    "$-1\r\n", "$-1\r\n",
    };
    unsigned rounds = (unsigned)(check_random(random) % 20);
    for (unsigned i = 0; i < rounds && fake_redis_hear(fd); i++)
        fake_redis_say(fd, pieces[check_random(random) % ARRAY_COUNT(pieces)]);
}

enum { CHAOS_ASKS = 300 };
static _Atomic unsigned chaos_done[CHAOS_ASKS];
static _Atomic unsigned chaos_total;

static void chaos_answer(void *arg, struct l2_answer *answer)
{
    _Atomic unsigned *count = arg;
    atomic_fetch_add(count, 1);
    atomic_fetch_add(&chaos_total, 1);
    l2_answer_free(answer);
}

TEST(every_request_to_a_mad_server_ends_exactly_once)
{
    uint64_t random = check_seed();
    struct l2_key key = client_key("k");
    unsigned asked = 0;
    memset(chaos_done, 0, sizeof(chaos_done));
    atomic_store(&chaos_total, 0);
    fake_redis_start(&fake, NULL, serve_chaos, &random);
    client_init(&c, true);
    struct l2_config config = client_config(&c, fake.uri);
    REQUIRE_EQ(l2_open(&config, &c.l2), 0);
    uint64_t end_ms = check_now_ms() + 1000 * check_seconds(2);
    while (asked < CHAOS_ASKS && check_now_ms() < end_ms) {
        if (asked > atomic_load(&chaos_total) + 4) {
            check_pause();
            continue;
        }
        const struct l2_op op =
            l2_op_of(clock_deadline_ns(c.env.clock, 20), chaos_answer, &chaos_done[asked]);
        int refused = l2_get(c.l2, &key, &op);
        CHECK(refused == 0 || refused == NIGH_EOFFLINE);
        if (refused)
            check_pause();
        else
            asked++;
    }
    l2_close(c.l2);
    check_note("%u requests, %u connections", asked, atomic_load(&fake.accepted));
    CHECK_GT(asked, 10);
    for (unsigned i = 0; i < CHAOS_ASKS; i++)
        CHECK_EQ(atomic_load(&chaos_done[i]), i < asked);
    client_fini(&c);
    fake_redis_stop(&fake);
}
