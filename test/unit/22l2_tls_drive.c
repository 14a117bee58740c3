// SPDX-License-Identifier: MIT
// The client over TLS in each role that drives a connection: the I/O thread with requests of many
// threads, a caller alone, a host that sleeps on the descriptor, the listener. Over sockets that
// give and take as they like, where the role allows it.

#include "support/certs.h"
#include "support/l2_values.h"
#include "support/odd_net.h"

enum { VALUES = 24, LARGE = 1 << 20 };

static char certs[CERTS_DIR_BYTES];
static struct redis server;
static struct client c;
static struct l2_net odd;

/* From nothing to 1 MiB, which is 64 records. */
static size_t len_of(int i)
{
    return i == VALUES - 1 ? LARGE : (size_t)i * i * 97;
}

static const struct values values = {&c, &server, VALUES, len_of};

static void begin(const struct l2_net *net, bool own_threads)
{
    certs_open(certs);
    redis_start_tls(&server, certs, NULL);
    values_store(&values);
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

/* ---- many ---- */

enum { DEPTH = 64 };

TEST(threads_are_answered)
{
    begin_odd();
    values_ask_on_threads(&values, 4, 60);
    end();
}

TEST(a_pipeline_of_64_is_answered_in_order)
{
    static struct l2_sync syncs[DEPTH];
    static char names[DEPTH][8];
    begin_odd();
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < DEPTH; i++) {
            struct l2_key key = values_key(i % (VALUES - 1), names[i]);
            CLIENT_SUBMIT(&c, &syncs[i], l2_get, &key);
        }
        for (int i = 0; i < DEPTH; i++)
            values_check(&values, l2_sync_wait(&syncs[i]), i % (VALUES - 1));
    }
    end();
}

TEST(a_caller_alone_asks_and_is_answered)
{
    begin_odd();
    for (int round = 0; round < 20; round++)
        for (int i = 0; i < VALUES; i++)
            values_ask(&values, i);
    end();
}

/* ---- a host without our threads ---- */

TEST(a_host_that_sleeps_on_the_descriptor_misses_nothing)
{
    begin(NULL, false);
    values_ask_asleep(&values);
    end();
}

/* ---- the listener ---- */

static size_t message_len(int i)
{
    return (size_t)i * 101;
}

TEST(the_listener_hears_all_in_order)
{
    begin_odd();
    values_hear(&values, 300, message_len);
    /* it resumes the session of the connection beside it */
    CHECK_GE(stats_read(&c.stats, STATS_L2_TLS_RESUMED), 1);
    end();
}
