// SPDX-License-Identifier: MIT
// The subscription: frames in order, up and down told in turn, and no silence taken for peace.

#include <pthread.h>

#include "support/l2_client.h"

static struct redis server;
static struct client c;

/* The channel has said this. Stepped and read by the case's own thread. */
static struct {
    struct l2_channel *channel;
    unsigned ups, downs, messages;
    uint64_t last_seq;
    bool has_bad;
    unsigned old_messages;
    size_t last_len;
} heard;

static void on_message(void *arg, struct bytes payload)
{
    (void)arg;
    heard.messages++;
    heard.last_len = payload.len;
    if (payload.len == 80)
        heard.last_seq = get_le64((const char *)payload.data + 52);
}

static void on_old_message(void *arg, struct bytes payload)
{
    (void)arg, (void)payload;
    heard.old_messages++;
}

static void on_up(void *arg)
{
    (void)arg;
    heard.has_bad |= heard.ups != heard.downs;
    heard.ups++;
}

static void on_down(void *arg)
{
    (void)arg;
    heard.downs++;
    heard.has_bad |= heard.ups != heard.downs;
}

#define STEP_UNTIL(cond)                                                                           \
    CHECK_WITHIN(CLIENT_DEADLINE_MS, (l2_channel_step(heard.channel, NS_PER_MS), (cond)))

static void begin(void)
{
    redis_start(&server, NULL);
    client_open(&c, server.uri);
    memset(&heard, 0, sizeof(heard));
    const struct l2_channel_config config = {c.l2,  on_message, on_old_message,
                                             on_up, on_down,    NULL};
    REQUIRE_EQ(l2_channel_create(&config, &heard.channel), 0);
    REQUIRE(STEP_UNTIL(heard.ups == 1));
}

static void end(void)
{
    CHECK(!heard.has_bad);
    l2_channel_destroy(heard.channel);
    client_close(&c);
    redis_stop(&server);
}

static void change(void)
{
    const struct l2_change none = {.nonce = 42, .schemas = 42, .frame = {{"HEAD", 4}, {"TAIL", 4}}};
    l2_answer_free(CLIENT_ASK(&c, l2_change, &none));
}

TEST(changes_arrive_in_order)
{
    begin();
    for (unsigned i = 1; i <= 10; i++) {
        change();
        STEP_UNTIL(heard.messages == i);
        CHECK_EQ(heard.last_seq, i);
    }
    end();
}

TEST(an_awaited_fill_is_published_and_another_is_not)
{
    begin();
    struct l2_key key = client_key("k");
    const struct l2_lease mine = {.token = 1, .lease_ms = 5000};
    const struct l2_lease other = {.token = 2, .lease_ms = 5000};
    struct bytes envelope = client_envelope(1, 0, "v");
    struct l2_fill fill = {.token = 1, .connection = 1, .hard_ms = 1000, .envelope = envelope,
                           .frame = {{"HEAD", 4}, {"TAIL", 4}}};
    l2_answer_free(CLIENT_ASK(&c, l2_lease, &key, &mine));
    l2_answer_free(CLIENT_ASK(&c, l2_fill, &key, &fill)); /* nobody waits */
    change();
    STEP_UNTIL(heard.last_seq == 1);
    CHECK_EQ(heard.messages, 1);
    struct l2_key key2 = client_key("k2");
    l2_answer_free(CLIENT_ASK(&c, l2_lease, &key2, &mine));
    l2_answer_free(CLIENT_ASK(&c, l2_lease, &key2, &other)); /* held: awaited from now on */
    struct l2_answer *a = CLIENT_ASK(&c, l2_fill, &key2, &fill);
    CHECK_EQ(a->verdict, L2_STORED);
    l2_answer_free(a);
    STEP_UNTIL(heard.messages == 2);
    CHECK_EQ(heard.last_len, 80);
    CHECK_EQ(heard.last_seq, 0); /* no position of its own */
    client_envelope_free(envelope);
    end();
}

/* Without it whoever waits sleeps until the lease's time is over: seconds, for a load that was
 * refused at once. */
TEST(a_lease_that_is_given_back_is_told_to_who_waits_for_it)
{
    begin();
    struct l2_key key = client_key("k");
    const struct l2_frame frame = {{"HEAD", 4}, {"TAIL", 4}};
    const struct l2_lease mine = {.token = 1, .lease_ms = 5000};
    const struct l2_lease other = {.token = 2, .lease_ms = 5000};
    l2_answer_free(CLIENT_ASK(&c, l2_lease, &key, &mine));
    l2_answer_free(CLIENT_ASK(&c, l2_release, &key, 1, &frame)); /* nobody waits */
    l2_answer_free(CLIENT_ASK(&c, l2_lease, &key, &mine));
    l2_answer_free(CLIENT_ASK(&c, l2_lease, &key, &other));      /* awaited from now on */
    l2_answer_free(CLIENT_ASK(&c, l2_release, &key, 2, &frame)); /* not its lease */
    change();
    STEP_UNTIL(heard.last_seq == 1);
    CHECK_EQ(heard.messages, 1);
    l2_answer_free(CLIENT_ASK(&c, l2_release, &key, 1, &frame));
    STEP_UNTIL(heard.messages == 2);
    CHECK_EQ(heard.last_seq, 0);
    end();
}

TEST(subscribes_again_after_a_restart)
{
    begin();
    redis_kill(&server);
    STEP_UNTIL(heard.downs == 1);
    redis_restart(&server, REDIS_EMPTY);
    STEP_UNTIL(heard.ups == 2);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2));
    change();
    STEP_UNTIL(heard.messages == 1);
    end();
}

TEST(reconnects_when_told)
{
    begin();
    struct l2_outage last;
    l2_channel_reconnect(heard.channel);
    STEP_UNTIL(heard.downs == 1);
    STEP_UNTIL(heard.ups == 2);
    l2_channel_outage_read(heard.channel, &last);
    CHECK_STR(last.first, "it has not brought what a beat told of");
    end();
}

/* Counts the connections that have introduced themselves. */
static unsigned connections(void)
{
    unsigned count = 0;
    char *list = redis_command(&server, "CLIENT LIST");
    for (const char *at = list; at && (at = strstr(at, "name=nigh")); at++)
        count++;
    free(list);
    return count;
}

/* A server that was a replica for a moment, under the same address: what it is now the listener
 * learns first, and the data connection from the next beat. */
TEST(a_server_that_has_another_replid_is_waited_for_and_not_taken_for_another)
{
    struct l2_outage outage;
    begin();
    l2_answer_free(CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 10, 42)));
    free(redis_command(&server, "REPLICAOF 127.0.0.1 1"));
    free(redis_command(&server, "REPLICAOF NO ONE"));
    uint64_t began_ms = check_now_ms();
    free(redis_command(&server, "CLIENT KILL TYPE pubsub"));
    STEP_UNTIL(heard.downs == 1);
    STEP_UNTIL(connections() == 2);
    uint64_t then_ms = check_now_ms() + 1200; /* more than there is to connect in */
    STEP_UNTIL(check_now_ms() >= then_ms);
    CHECK_EQ(heard.ups, 1);
    l2_answer_free(CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 10, 42)));
    bool in_time = check_now_ms() < began_ms + 3000; /* it waits no longer */
    redis_pause(&server);
    then_ms = check_now_ms() + 50;
    STEP_UNTIL(check_now_ms() >= then_ms);
    redis_resume(&server);
    STEP_UNTIL(heard.ups == 2);
    l2_channel_outage_read(heard.channel, &outage);
    CHECK(!in_time || !strstr(outage.text, "another server"));
    CHECK(check_now_ms() > then_ms + 500 || !strstr(outage.text, "SUBSCRIBE"));
    change();
    STEP_UNTIL(heard.messages == 1);
    end();
}

TEST(a_silent_server_is_pinged_and_then_given_up)
{
    begin();
    redis_pause(&server);
    STEP_UNTIL(heard.downs == 1);
    redis_resume(&server);
    STEP_UNTIL(heard.ups == 2);
    end();
}

TEST(a_quiet_server_is_not_given_up)
{
    begin();
    uint64_t end_ms = check_now_ms() + 3500; /* longer than silence is borne */
    STEP_UNTIL(check_now_ms() >= end_ms);
    CHECK_EQ(heard.downs, 0);
    change();
    STEP_UNTIL(heard.messages == 1);
    end();
}

/* A listener that was stopped itself, for as long as silence is borne, knows nothing of a server
 * that it has not asked since. */
TEST(who_was_stopped_himself_asks_first)
{
    begin();
    uint64_t back_ms = check_now_ms() + 3500;
    CHECK_WITHIN(CLIENT_DEADLINE_MS, check_now_ms() >= back_ms);
    STEP_UNTIL(check_now_ms() >= back_ms + 500);
    CHECK_EQ(heard.downs, 0);
    change();
    STEP_UNTIL(heard.messages == 1);
    end();
}

static void *step_once(void *arg)
{
    l2_channel_step(arg, CLOCK_NEVER_NS);
    return NULL;
}

TEST(a_wait_can_be_ended)
{
    begin();
    pthread_t thread;
    REQUIRE_EQ(pthread_create(&thread, NULL, step_once, heard.channel), 0);
    l2_channel_wake(heard.channel);
    pthread_join(thread, NULL);
    end();
}

static _Atomic bool waited;

static void *wait_for_the_data_connection(void *arg)
{
    while (!l2_connected(c.l2)) /* a sleep of the kernel's sockets has an end of its own */
        l2_channel_step(arg, CLOCK_NEVER_NS);
    atomic_store(&waited, true);
    return NULL;
}

/* While that one is away this one does not try, and sleeps. */
TEST(the_data_connection_wakes_it)
{
    begin();
    redis_kill(&server);
    STEP_UNTIL(heard.downs == 1 && !l2_connected(c.l2));
    l2_channel_step(heard.channel, 0); /* by now it knows */
    pthread_t thread;
    atomic_store(&waited, false);
    REQUIRE_EQ(pthread_create(&thread, NULL, wait_for_the_data_connection, heard.channel), 0);
    redis_restart(&server, REDIS_EMPTY);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, atomic_load(&waited));
    CHECK(l2_connected(c.l2));
    l2_channel_wake(heard.channel);
    pthread_join(thread, NULL);
    STEP_UNTIL(heard.ups == 2);
    end();
}

TEST(publishers_of_garbage_do_no_harm)
{
    begin();
    free(redis_command(&server, "PUBLISH t:!2:!inv:0 %b", "\0\xff\r\n*1", (size_t)6));
    STEP_UNTIL(heard.messages == 1);
    CHECK_EQ(heard.last_len, 6);
    free(redis_command(&server, "PUBLISH t:!2:!inv:0 %s", ""));
    STEP_UNTIL(heard.messages == 2);
    CHECK_EQ(heard.last_len, 0);
    CHECK_EQ(heard.downs, 0);
    end();
}
