// SPDX-License-Identifier: MIT
// The client over TLS in each role that drives a connection: the I/O thread with requests of many
// threads, a caller alone, a host that sleeps on the descriptor, the listener. Over sockets that
// give and take as they like, where the role allows it.

#include <poll.h>
#include <pthread.h>
#include <stdio.h>

#include "support/certs.h"
#include "support/l2_client.h"
#include "support/odd_net.h"

enum { VALUES = 24, LARGE = 1 << 20 };

static char certs[CERTS_DIR_BYTES];
static struct redis server;
static struct client c;
static struct l2_net odd;
static char text[LARGE];

/* From nothing to 1 MiB, which is 64 records. */
static size_t size_of(int i)
{
    return i == VALUES - 1 ? LARGE : (size_t)i * i * 97;
}

static void store_values(void)
{
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 23);
    for (int i = 0; i < VALUES; i++)
        free(redis_command(&server, "SET t:!2:s:1:k%d %b", i, text, size_of(i)));
}

static void begin(const struct l2_net *net, bool own_threads)
{
    certs_open(certs);
    redis_start_tls(&server, certs, NULL);
    store_values();
    client_init(&c, own_threads);
    struct certs_path ca = certs_path(certs, "ca.pem");
    struct l2_config config = client_config(&c, server.uri);
    config.tls.ca = ca.text;
    config.net = net;
    config.reply_max_bytes = 2 * LARGE;
    REQUIRE_EQ(l2_open(&config, &c.l2), 0);
    l2_set_patience(c.l2, CLIENT_DEADLINE_MS);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS,
                         ((void)(own_threads || l2_step(c.l2, 0)),
                          l2_connected(c.l2))));
    CHECK_GE(stats_read(&c.stats, STATS_L2_TLS), 1); /* a busy machine may take several */
}

static void begin_odd(void)
{
    odd = odd_net();
    begin(&odd, true);
}

static void end(void)
{
    client_close(&c);
    redis_stop(&server);
    certs_close(certs);
}

/* Whether it is answered; else a busy machine has lost the connection. */
static bool check_answer(struct l2_answer *a, int i)
{
    bool answered = a->status != NIGH_EOFFLINE;
    if (answered) {
        CHECK_EQ(a->status, 0);
        CHECK_EQ(a->verdict, L2_VALUE);
        CHECK_MEM(a->value.data, a->value.len, text, size_of(i));
    }
    l2_answer_free(a);
    return answered;
}

static struct l2_key key_of(int i, char name[8])
{
    snprintf(name, 8, "k%d", i);
    return client_key(name);
}

static bool ask(int i)
{
    char name[8];
    struct l2_key key = key_of(i, name);
    return check_answer(CLIENT_ASK(&c, l2_get, &key), i);
}

/* ---- many ---- */

enum { THREADS = 4, ROUNDS = 60, DEPTH = 64 };
static _Atomic unsigned answered;

static void *ask_many(void *arg)
{
    uint64_t dice = check_seed() + (uintptr_t)arg;
    for (int i = 0; i < ROUNDS; i++)
        answered += ask((int)(check_random(&dice) % VALUES));
    return NULL;
}

TEST(threads_are_answered)
{
    pthread_t threads[THREADS];
    begin_odd();
    answered = 0;
    for (uintptr_t i = 0; i < THREADS; i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, ask_many, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(answered == THREADS * ROUNDS || stats_read(&c.stats, STATS_L2_LOST) > 0);
    end();
}

TEST(a_pipeline_of_64_is_answered_in_order)
{
    static struct l2_sync syncs[DEPTH];
    static char names[DEPTH][8];
    begin_odd();
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < DEPTH; i++) {
            struct l2_key key = key_of(i % (VALUES - 1), names[i]);
            CLIENT_SUBMIT(&c, &syncs[i], l2_get, &key);
        }
        for (int i = 0; i < DEPTH; i++)
            check_answer(l2_sync_wait(&syncs[i]), i % (VALUES - 1));
    }
    end();
}

TEST(a_caller_alone_asks_and_is_answered)
{
    begin_odd();
    for (int round = 0; round < 20; round++)
        for (int i = 0; i < VALUES; i++)
            ask(i);
    end();
}

/* ---- a host without our threads ---- */

static unsigned done_count;
static int asked;

static void be_answered(void *arg, struct l2_answer *answer)
{
    (void)arg;
    check_answer(answer, asked);
    done_count++;
}

/* Sleeps as a host does: on the descriptor alone, for as long as it may take. */
static void sleep_on_link(void)
{
    struct pollfd fd = {.fd = l2_poll_fd(c.l2), .events = POLLIN};
    if (l2_rest(c.l2))
        CHECK_EQ(poll(&fd, 1, CLIENT_DEADLINE_MS), 1);
    l2_rested(c.l2);
}

TEST(a_host_that_sleeps_on_the_descriptor_misses_nothing)
{
    begin(NULL, false);
    done_count = 0;
    for (asked = 0; asked < VALUES; asked++) {
        char name[8];
        struct l2_key key = key_of(asked, name);
        const struct l2_op op = l2_op_of(clock_deadline_ns(c.env.clock, CLIENT_DEADLINE_MS),
                                         be_answered, NULL);
        REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS,
                             (l2_step(c.l2, 0), l2_get(c.l2, &key, &op) == 0)));
        while (done_count == (unsigned)asked) {
            l2_step(c.l2, 0);
            if (done_count == (unsigned)asked)
                sleep_on_link();
        }
    }
    end();
}

/* ---- the listener ---- */

static unsigned ups, messages, bad_messages;

static void hear(void *arg, struct bytes payload)
{
    (void)arg;
    size_t len = (size_t)messages * 101;
    bad_messages += payload.len != len || memcmp(payload.data, text, len) != 0;
    messages++;
}

static void be_up(void *arg)
{
    (void)arg;
    ups++;
}

static void be_down(void *arg)
{
    (void)arg;
}

TEST(the_listener_hears_all_in_order)
{
    enum { MESSAGES = 300 };
    struct l2_channel *channel;
    begin_odd();
    ups = messages = bad_messages = 0;
    const struct l2_channel_config config = {c.l2, hear, hear, be_up, be_down, NULL};
    REQUIRE_EQ(l2_channel_create(&config, &channel), 0);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, (l2_channel_step(channel, NS_PER_MS), ups == 1)));
    for (size_t i = 0; i < MESSAGES; i++)
        CHECK_EQ(redis_integer(&server, "PUBLISH t:!2:!inv:0 %b", text, i * 101), 1);
    CHECK_WITHIN(CLIENT_DEADLINE_MS,
                 (l2_channel_step(channel, CLIENT_DEADLINE_MS * NS_PER_MS / 100),
                  messages == MESSAGES || ups > 1));
    CHECK_EQ(bad_messages, 0);
    /* it resumes the session of the connection beside it */
    CHECK_GE(stats_read(&c.stats, STATS_L2_TLS_RESUMED), 1);
    l2_channel_destroy(channel);
    end();
}
