// SPDX-License-Identifier: MIT
// When both connections of a node try again, on made-up time and a server that is a few flags:
// never more than twice a second while it is away, and within a second when it is back.

#include "l2/backoff.h"

#include <errno.h>
#include <stdio.h>

#include "l2/l2.h"
#include "support/check.h"
#include "support/fake_env.h"

#define FIRST_FD 1000000 /* nobody's */
#define FDS 4096
#define STEP_NS (5 * NS_PER_MS)
#define BACK_NS NS_PER_S
#define PER_S_MAX 2u

/* ---- a server that is a few flags ---- */

static struct {
    bool refuses, hangs, loads, forbids_subscribe;
    bool old; /* of INFO it takes one section, or none */
    unsigned wholes; /* how often it was asked for all of INFO */
    int fds;
    bool open[FDS];
    const char *say[FDS]; /* what is to be read next; NULL: nothing */
    uint64_t began_ns[FDS];
    unsigned refused;
} server;

static struct fake_env f;

static int net_connect(void *arg, const char *place, uint16_t port)
{
    (void)arg, (void)place, (void)port;
    REQUIRE(server.fds < FDS);
    server.began_ns[server.fds] = clock_now_ns(f.env.clock);
    server.open[server.fds] = !server.refuses;
    return server.refuses ? (server.fds++, -ECONNREFUSED) : FIRST_FD + server.fds++;
}

static long net_read(void *arg, int fd, void *buffer, size_t size)
{
    const char *say = server.say[fd - FIRST_FD];
    (void)arg;
    if (server.refuses)
        return -ECONNRESET;
    if (!say || server.hangs)
        return -EAGAIN;
    REQUIRE(strlen(say) <= size);
    memcpy(buffer, say, strlen(say));
    server.say[fd - FIRST_FD] = NULL;
    return (long)strlen(say);
}

#define HELLO                                                                                      \
    "+OK\r\n$69\r\nrole:master\r\nmaster_replid:0123456789012345678901234567890123456789\r\n\r\n"

#define INFO_ALONE "*1\r\n$4\r\nINFO\r\n"

/* Whether the command of one word stands in there. */
static bool has_word_alone(const void *data, size_t size, const char *word)
{
    char alone[32];
    int len = snprintf(alone, sizeof(alone), "*1\r\n$%zu\r\n%s\r\n", strlen(word), word);
    return memmem(data, size, alone, (size_t)len) != NULL;
}

/* Whether the first command is this one. */
static bool begins_with(const void *data, size_t size, const char *word)
{
    const char *at = memchr(data, '$', size);
    size_t left = at ? size - (size_t)(at - (const char *)data) : 0;
    return left > 4 + strlen(word) && memcmp(at + 4, word, strlen(word)) == 0;
}

static long net_write(void *arg, int fd, const void *data, size_t size)
{
    const char **say = &server.say[fd - FIRST_FD];
    bool whole = has_word_alone(data, size, "INFO");
    (void)arg;
    server.wholes += whole;
    if (whole && size == strlen(INFO_ALONE))
        *say = "$17\r\nevicted_keys:12\r\n\r\n";
    else if (server.old && !whole && memmem(data, size, "INFO", 4))
        *say = "+OK\r\n-ERR syntax error\r\n$-1\r\n+PONG\r\n";
    else if (memmem(data, size, "SUBSCRIBE", 9))
        *say = server.forbids_subscribe ? "-NOPERM no\r\n"
                                        : "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";
    else if (begins_with(data, size, "EVAL")) /* what there is, once more */
        *say = "$-1\r\n";
    else if (memmem(data, size, "EVAL", 4)) /* asks what there is, INFO before it */
        *say = server.loads ? HELLO "$-1\r\n-LOADING yes\r\n" : HELLO "$-1\r\n+PONG\r\n";
    else if (memmem(data, size, "INFO", 4))
        *say = server.loads ? HELLO "-LOADING yes\r\n" : HELLO "+PONG\r\n";
    else if (memmem(data, size, "GET", 3))
        *say = "$-1\r\n";
    else if (memmem(data, size, "PING", 4))
        *say = "*2\r\n$4\r\npong\r\n$0\r\n\r\n";
    return (long)size;
}

static void net_close(void *arg, int fd)
{
    (void)arg;
    server.open[fd - FIRST_FD] = false;
}

static int net_wait(void *arg, int fd, uint32_t events, int wake_fd, uint64_t wait_ns)
{
    (void)arg, (void)events, (void)wake_fd, (void)wait_ns;
    if (fd < 0)
        return 0;
    bool ready = server.refuses || (server.say[fd - FIRST_FD] && !server.hangs);
    return ready ? L2_NET_READY : 0;
}

static const struct l2_net net = {.connect = net_connect, .read = net_read, .write = net_write,
                                  .close = net_close, .wait = net_wait};

/* ---- a node ---- */

static struct stats stats;
static struct l2 *l2;
static struct l2_channel *channel;
static bool subscribed;

static void on_up(void *arg)
{
    (void)arg;
    subscribed = true;
}

static void on_down(void *arg)
{
    (void)arg;
    subscribed = false;
}

static void no_message(void *arg, struct bytes payload)
{
    (void)arg, (void)payload;
}

static void drop(void *arg, struct l2_answer *answer)
{
    (void)arg;
    l2_answer_free(answer);
}

/* A node always has something to ask: that proves a connection, and notices its end. */
static void ask(void)
{
    const struct l2_op op = l2_op_of(clock_deadline_ns(f.env.clock, 250), drop, NULL);
    const struct l2_key key = {{"s", 1}, {"1", 1}, {"k", 1}};
    (void)l2_get(l2, &key, &op);
}

static void run(uint64_t ns)
{
    for (uint64_t end_ns = clock_now_ns(f.env.clock) + ns; clock_now_ns(f.env.clock) < end_ns;) {
        ask();
        l2_step(l2, 0);
        l2_channel_step(channel, 0);
        fake_env_advance(&f, STEP_NS);
    }
}

static void begin(uint64_t seed)
{
    memset(&server, 0, sizeof(server));
    subscribed = false;
    fake_env_init(&f, seed);
    REQUIRE_EQ(stats_init(&stats, f.env.mem), 0);
    const struct l2_config config = {
        .env = &f.env, .stats = &stats, .net = &net, .uri = "redis://127.0.0.1", .prefix = "t",
        .connect_timeout_ms = 1000, .group_slots = GROUP_SLOTS_MIN, .reply_max_bytes = 1u << 20};
    REQUIRE_EQ(l2_open(&config, &l2), 0);
    const struct l2_channel_config channel_config = {.l2 = l2, .message = no_message,
                                                     .old_message = no_message, .up = on_up,
                                                     .down = on_down};
    REQUIRE_EQ(l2_channel_create(&channel_config, &channel), 0);
}

static void end(void)
{
    l2_channel_destroy(channel);
    l2_close(l2);
    stats_fini(&stats);
    fake_env_fini(&f);
}

/* The most attempts, of both connections, in any second; of those from `first` on. */
static unsigned most_in_a_second(int first)
{
    unsigned most = 0;
    for (int i = first; i < server.fds; i++) {
        unsigned count = 0;
        for (int j = i; j < server.fds && server.began_ns[j] < server.began_ns[i] + NS_PER_S; j++)
            count++;
        most = count > most ? count : most;
    }
    return most;
}

/* ---- away ---- */

TEST(a_server_that_refuses_is_tried_twice_a_second_at_most)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        begin(seed);
        run(NS_PER_S);
        CHECK(subscribed);
        int before = server.fds;
        server.refuses = true;
        run(60 * NS_PER_S);
        CHECK_LE(most_in_a_second(before), PER_S_MAX);
        CHECK_GE(server.fds - before, 60); /* and it is not given up */
        end();
    }
}

TEST(a_server_that_hangs_or_loads_is_tried_as_seldom)
{
    begin(check_seed() | 1);
    server.hangs = true;
    run(20 * NS_PER_S);
    CHECK_LE(most_in_a_second(0), PER_S_MAX);
    CHECK_GE(server.fds, 10);
    int before = server.fds;
    server.hangs = false;
    server.loads = true;
    run(20 * NS_PER_S);
    CHECK_LE(most_in_a_second(before), PER_S_MAX);
    CHECK_GE(server.fds - before, 20);
    server.loads = false;
    run(BACK_NS);
    CHECK(subscribed);
    end();
}

/* Each connection works, and is lost at once. */
TEST(a_server_that_flaps_is_tried_twice_a_second_for_each_connection)
{
    begin(check_seed() | 1);
    for (int i = 0; i < 2000; i++) {
        run(4 * STEP_NS);
        server.refuses = true;
        run(STEP_NS);
        server.refuses = false;
    }
    CHECK_LE(most_in_a_second(0), 2 * PER_S_MAX);
    end();
}

/* ---- back ---- */

TEST(both_are_back_within_a_second_however_long_it_took)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        begin(seed);
        run(NS_PER_S);
        REQUIRE(subscribed);
        server.refuses = true;
        run(seed % 3 == 0 ? 30 * NS_PER_S : seed * 37 * NS_PER_MS);
        CHECK(!l2_connected(l2) && !subscribed);
        int before = server.fds;
        server.refuses = false;
        run(BACK_NS);
        CHECK(l2_connected(l2) && subscribed);
        CHECK_EQ(server.fds - before, 2); /* one each */
        end();
    }
}

TEST(a_first_connection_does_not_wait)
{
    begin(check_seed() | 1);
    run(6 * STEP_NS);
    CHECK(l2_connected(l2) && subscribed);
    end();
}

TEST(a_connection_that_is_lost_is_made_again_at_once)
{
    begin(check_seed() | 1);
    run(NS_PER_S);
    server.refuses = true; /* for as long as it takes to notice */
    run(STEP_NS);
    server.refuses = false;
    run(4 * BACKOFF_LOST_NS);
    CHECK(l2_connected(l2) && subscribed);
    end();
}

/* ---- what it is ---- */

/* A server before Redis 7: the second attempt asks for all, and so does every later one. */
TEST(a_server_that_takes_no_list_of_sections_is_asked_for_all)
{
    begin(check_seed() | 1);
    server.old = true;
    run(2 * NS_PER_S);
    REQUIRE(l2_connected(l2) && subscribed);
    CHECK_EQ(server.wholes, 2); /* one each */
    l2_drop_connection(l2);
    run(NS_PER_S);
    CHECK(l2_connected(l2));
    CHECK_EQ(server.wholes, 3);
    CHECK_EQ(server.fds, 5);
    struct l2_gauges g;
    l2_keep(l2);
    run(11 * NS_PER_S);
    l2_keep(l2); /* how full it is now */
    l2_step(l2, 0); /* before anything else is asked: it alone is written ... */
    l2_step(l2, 0); /* ... and answered */
    l2_gauges_read(l2, &g);
    CHECK_EQ(server.wholes, 4);
    CHECK_EQ(g.usage.evicted, 12);
    end();
}

/* ---- the listener alone ---- */

TEST(a_listener_that_is_refused_alone_becomes_patient)
{
    begin(check_seed() | 1);
    server.forbids_subscribe = true;
    run(60 * NS_PER_S);
    CHECK(l2_connected(l2) && !subscribed);
    CHECK_LE(most_in_a_second(1), PER_S_MAX);
    CHECK_GE(server.fds, 12);
    CHECK_LE(server.fds, 22); /* at the end every five seconds */
    server.forbids_subscribe = false;
    l2_drop_connection(l2); /* another data connection: all may be different now */
    run(BACK_NS);
    CHECK(subscribed);
    end();
}
