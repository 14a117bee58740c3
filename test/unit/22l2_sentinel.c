// SPDX-License-Identifier: MIT
// Sentinels that are dead, silent, behind, that lie and that disagree: the master is found as long
// as one of them knows it, and none of them can lead a client astray.

#include "l2/sentinel.h"

#include "l2/client.h"
#include "support/fake_sentinel.h"
#include "support/l2_client.h"

#define COUNT 3

/* Keys: (l) lock */
struct heard {
    pthread_mutex_t lock;
    unsigned useless; /* (l) lines that say so of a Sentinel */
    unsigned advice;  /* (l) lines about min-replicas-to-write */
    char last[256];   /* (l) the last one of these */
};

struct field {
    struct redis master;
    struct redis replica;
    struct fake_sentinel sentinels[COUNT];
    struct heard heard;
    struct client client;
    uint32_t connect_timeout_ms; /* long: a busy machine is no silent Sentinel */
    char uri[256];
};

static void hear(void *arg, enum nigh_log_level level, const char *message)
{
    struct heard *h = arg;
    bool useless = strstr(message, "is of no use"), advice = strstr(message, "min-replicas");
    if (level > NIGH_LOG_WARN || (!useless && !advice))
        return;
    pthread_mutex_lock(&h->lock);
    h->useless += useless;
    h->advice += advice;
    snprintf(h->last, sizeof(h->last), "%s", message);
    pthread_mutex_unlock(&h->lock);
}

static unsigned useless(struct field *f)
{
    pthread_mutex_lock(&f->heard.lock);
    unsigned count = f->heard.useless;
    pthread_mutex_unlock(&f->heard.lock);
    return count;
}

static unsigned advice(struct field *f)
{
    pthread_mutex_lock(&f->heard.lock);
    unsigned count = f->heard.advice;
    pthread_mutex_unlock(&f->heard.lock);
    return count;
}

static bool last_has(struct field *f, const char *words)
{
    pthread_mutex_lock(&f->heard.lock);
    bool has = strstr(f->heard.last, words) != NULL;
    if (!has)
        check_note("the log says: %s", f->heard.last);
    pthread_mutex_unlock(&f->heard.lock);
    return has;
}

/* All know the master. */
static void prepare(struct field *f)
{
    redis_start_tcp(&f->master, NULL);
    redis_start_tcp(&f->replica, NULL);
    free(redis_command(&f->replica, "REPLICAOF 127.0.0.1 %d", f->master.port));
    int len = snprintf(f->uri, sizeof(f->uri), "redis+sentinel://");
    for (int i = 0; i < COUNT; i++) {
        fake_sentinel_start(&f->sentinels[i]);
        fake_sentinel_name(&f->sentinels[i], "127.0.0.1", f->master.port);
        len += snprintf(f->uri + len, sizeof(f->uri) - (size_t)len, "%s127.0.0.1:%d",
                        i ? "," : "", f->sentinels[i].port);
    }
    snprintf(f->uri + len, sizeof(f->uri) - (size_t)len, "/mymaster");
    f->connect_timeout_ms = CLIENT_DEADLINE_MS;
    f->heard = (struct heard){.lock = PTHREAD_MUTEX_INITIALIZER};
}

static void open_client(struct field *f)
{
    struct l2_config config = client_config(&f->client, f->uri);
    config.connect_timeout_ms = f->connect_timeout_ms;
    client_init(&f->client, true);
    f->client.env.log->fn = hear;
    f->client.env.log->arg = &f->heard;
    REQUIRE_EQ(l2_open(&config, &f->client.l2), 0);
}

static bool is_up(struct field *f)
{
    return l2_connected(f->client.l2);
}

static void open_connected(struct field *f)
{
    open_client(f);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, is_up(f));
}

static void check_problem(struct field *f, const char *words)
{
    struct l2_problem problem;
    l2_problem_read(f->client.l2, &problem);
    if (!CHECK(strstr(problem.text, words)))
        check_note("%s", problem.text);
}

static void finish(struct field *f)
{
    client_close(&f->client);
    for (int i = 0; i < COUNT; i++)
        fake_sentinel_stop(&f->sentinels[i]);
    redis_stop(&f->replica);
    redis_stop(&f->master);
}

/* Whoever is asked first is drawn, so what is said of one is said of two: the third knows. */
static void two_answer(struct field *f, const char *reply)
{
    fake_sentinel_answer(&f->sentinels[0], reply);
    fake_sentinel_answer(&f->sentinels[2], reply);
}

static void check_found(const char *reply)
{
    struct field f;
    prepare(&f);
    two_answer(&f, reply);
    open_client(&f);
    if (!CHECK_WITHIN(CLIENT_DEADLINE_MS, is_up(&f)))
        check_note("beside %s", reply);
    finish(&f);
}

TEST(the_master_is_found)
{
    struct field f;
    prepare(&f);
    open_connected(&f);
    CHECK_EQ(useless(&f), 0);
    finish(&f);
}

TEST(whatever_else_is_answered_the_next_is_asked)
{
    check_found("*-1\r\n");
    check_found("$-1\r\n");
    check_found("-IDONTKNOW who\r\n");
    check_found("-NOAUTH Authentication required.\r\n");
    check_found("*2\r\n$0\r\n\r\n$4\r\n6379\r\n");
    check_found("*2\r\n$4\r\n/tmp\r\n$1\r\n0\r\n");
    check_found("*2\r\n$9\r\n127.0.0.1\r\n$5\r\n65536\r\n");
    check_found("*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n1\r\n");
    check_found(":1\r\n");
    check_found("+OK\r\n+OK\r\n+OK\r\n");
    check_found("HTTP/1.1 400 Bad Request\r\n");
    check_found("$999999999999\r\n");
    check_found("*2\r\n$9\r\n127.0.0.1\r\n$1\r\n1\r\n"); /* nobody listens there */
}

TEST(one_that_says_nothing_costs_the_time_for_connecting_once)
{
    struct field f;
    prepare(&f);
    fake_sentinel_answer(&f.sentinels[0], "");
    f.connect_timeout_ms = 1000;
    open_connected(&f);
    unsigned asked = f.sentinels[0].asked;
    for (uint64_t i = 0; i < 3; i++) {
        struct l2_gauges before, now;
        l2_gauges_read(f.client.l2, &before);
        l2_drop_connection(f.client.l2);
        CHECK_WITHIN(CLIENT_DEADLINE_MS, (l2_gauges_read(f.client.l2, &now),
                                          now.connection > before.connection));
    }
    CHECK_EQ(f.sentinels[0].asked, asked); /* another knew, and is asked first since then */
    finish(&f);
}

TEST(a_replica_is_no_master_whoever_says_so)
{
    struct field f;
    prepare(&f);
    fake_sentinel_name(&f.sentinels[0], "127.0.0.1", f.replica.port);
    fake_sentinel_name(&f.sentinels[1], "127.0.0.1", f.replica.port);
    fake_sentinel_name(&f.sentinels[2], "127.0.0.1", f.replica.port);
    open_client(&f);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, f.sentinels[0].asked > 1 && f.sentinels[1].asked > 1);
    CHECK(!is_up(&f));
    check_problem(&f, "the server is not a master");
    fake_sentinel_name(&f.sentinels[1], "127.0.0.1", f.master.port);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, is_up(&f));
    finish(&f);
}

TEST(a_master_that_writes_alone_is_told_of_once)
{
    struct field f;
    prepare(&f);
    open_connected(&f);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, advice(&f) == 1);
    client_close(&f.client);
    char *reply = redis_command(&f.master, "CONFIG SET min-replicas-to-write 1");
    CHECK_STR(reply, "OK");
    free(reply);
    open_connected(&f);
    CHECK_EQ(advice(&f), 1);
    finish(&f);
}

TEST(all_are_gone)
{
    struct field f;
    prepare(&f);
    for (int i = 0; i < COUNT; i++)
        fake_sentinel_answer(&f.sentinels[i], "*-1\r\n");
    open_client(&f);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, f.sentinels[0].asked > 2);
    CHECK_EQ(useless(&f), COUNT); /* each once, however often it is asked */
    CHECK(last_has(&f, "it knows no master of this name"));
    check_problem(&f, "it knows no master of this name");
    fake_sentinel_name(&f.sentinels[2], "127.0.0.1", f.master.port);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, is_up(&f));
    finish(&f);
}

/* ---- what is called out ---- */

static void check_switch(const char *text, const char *place, uint16_t port)
{
    struct uri_host to = {.place = "before"};
    bool read = sentinel_read_switch(bytes_of_string(text), "m", &to);
    if (!CHECK_EQ(read, port > 0))
        check_note("%s", text);
    CHECK_STR(to.place, read ? place : "before");
    CHECK_EQ(to.port, port);
}

TEST(a_call_is_five_words)
{
    check_switch("m 10.0.0.1 1 10.0.0.2 7000", "10.0.0.2", 7000);
    check_switch("m h 1 fd00::2 65535", "fd00::2", 65535);
    check_switch("n 10.0.0.1 1 10.0.0.2 7000", "", 0);
    check_switch("m 10.0.0.1 1 10.0.0.2", "", 0);
    check_switch("m 10.0.0.1 1 10.0.0.2 7000 x", "", 0);
    check_switch("m 10.0.0.1 1 10.0.0.2 7000 ", "", 0);
    check_switch("m 10.0.0.1 1  7000", "", 0);
    check_switch("m 10.0.0.1 1 /tmp/x 7000", "", 0);
    check_switch("m 10.0.0.1 1 10.0.0.2 0", "", 0);
    check_switch("m 10.0.0.1 1 10.0.0.2 70000", "", 0);
    check_switch("m 10.0.0.1 1 10.0.0.2 7x", "", 0);
    check_switch("", "", 0);
    check_switch("    ", "", 0);
}

static void check_promotion(const char *text, const char *place, uint16_t port)
{
    struct uri_host to = {.place = "before"};
    bool read = sentinel_read_promotion(bytes_of_string(text), "m", &to);
    if (!CHECK_EQ(read, port > 0))
        check_note("%s", text);
    CHECK_STR(to.place, read ? place : "before");
    CHECK_EQ(to.port, port);
}

TEST(a_promotion_is_eight_words)
{
    check_promotion("slave 10.0.0.2:7000 10.0.0.2 7000 @ m 10.0.0.1 7000", "10.0.0.2", 7000);
    check_promotion("slave x fd00::2 1 @ m h 1", "fd00::2", 1);
    check_promotion("slave 10.0.0.2:7000 10.0.0.2 7000 @ n 10.0.0.1 7000", "", 0);
    check_promotion("master m 10.0.0.1 7000 @ m 10.0.0.1 7000", "", 0);
    check_promotion("slave 10.0.0.2:7000 10.0.0.2 7000 # m 10.0.0.1 7000", "", 0);
    check_promotion("slave 10.0.0.2:7000 10.0.0.2 7x @ m 10.0.0.1 7000", "", 0);
    check_promotion("slave 10.0.0.2:7000 10.0.0.2 7000 @ m 10.0.0.1", "", 0);
    check_promotion("slave 10.0.0.2:7000 10.0.0.2 7000 @ m 10.0.0.1 7000 x", "", 0);
    check_promotion("", "", 0);
}

struct listener {
    struct l2_channel *channel;
    pthread_t thread;
    _Atomic bool stop;
};

static void nothing(void *arg)
{
    (void)arg;
}

static void no_message(void *arg, struct bytes payload)
{
    (void)arg, (void)payload;
}

static void *listen_all(void *arg)
{
    struct listener *l = arg;
    while (!l->stop)
        l2_channel_step(l->channel, 100 * NS_PER_MS);
    return NULL;
}

static void open_listener(struct listener *l, struct field *f)
{
    const struct l2_channel_config config = {
        .l2 = f->client.l2, .message = no_message, .old_message = no_message,
        .up = nothing, .down = nothing,
    };
    l->stop = false;
    REQUIRE_EQ(l2_channel_create(&config, &l->channel), 0);
    REQUIRE_EQ(pthread_create(&l->thread, NULL, listen_all, l), 0);
}

static void close_listener(struct listener *l)
{
    l->stop = true;
    l2_channel_wake(l->channel);
    pthread_join(l->thread, NULL);
    l2_channel_destroy(l->channel);
}

static uint64_t connection(struct field *f)
{
    struct l2_gauges g;
    l2_gauges_read(f->client.l2, &g);
    return g.connection;
}

static int subscribed(struct field *f)
{
    for (int i = 0; i < COUNT; i++)
        if (f->sentinels[i].subscribed)
            return i;
    return -1;
}

static bool has_client(const struct redis *server)
{
    char *list = redis_command(server, "CLIENT LIST");
    bool has = list && strstr(list, "name=nigh");
    free(list);
    return has;
}

/* Opens a client, and the listener beside it, which hears one of the Sentinels. Returns which. */
static int open_both(struct field *f, struct listener *l)
{
    open_client(f);
    open_listener(l, f);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, connection(f) == 1 && subscribed(f) >= 0);
    return subscribed(f);
}

static void close_both(struct field *f, struct listener *l)
{
    close_listener(l);
    finish(f);
}

/* A second master beside the first, which answers still. `form` takes the ports that a Sentinel
 * calls out, the new or the old one first. */
static void check_moved(const char *channel, const char *form, bool new_first, const char *forbids)
{
    struct field f;
    struct listener l;
    char call[128];
    prepare(&f);
    free(redis_command(&f.replica, "REPLICAOF NO ONE"));
    for (int i = 0; i < COUNT; i++)
        fake_sentinel_forbid(&f.sentinels[i], forbids);
    int caller = open_both(&f, &l);
    for (int i = 0; i < COUNT; i++)
        fake_sentinel_name(&f.sentinels[i], "127.0.0.1", f.replica.port);
    snprintf(call, sizeof(call), form, new_first ? f.replica.port : f.master.port,
             new_first ? f.master.port : f.replica.port);
    fake_sentinel_call_on(&f.sentinels[caller], channel, call);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, connection(&f) == 2);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, has_client(&f.replica));
    CHECK_EQ(useless(&f), 0);
    close_both(&f, &l);
}

TEST(a_master_that_is_called_out_is_moved_to)
{
    check_moved("+switch-master", "mymaster 127.0.0.1 %d 127.0.0.1 %d", false, NULL);
}

/* The Sentinel that leads a failover calls out this one first, the other some time later. */
TEST(a_replica_that_is_promoted_is_moved_to)
{
    check_moved("+promoted-slave", "slave new 127.0.0.1 %d @ mymaster 127.0.0.1 %d", true, NULL);
}

TEST(who_may_not_hear_of_promotions_hears_of_switches)
{
    check_moved("+switch-master", "mymaster 127.0.0.1 %d 127.0.0.1 %d", false, "+promoted-slave");
}

/* The one that is asked does not answer, but calls; the next one is behind, and names the old. */
TEST(a_call_while_another_is_asked_is_not_lost)
{
    struct field f;
    struct listener l;
    char call[128];
    prepare(&f);
    free(redis_command(&f.replica, "REPLICAOF NO ONE"));
    f.connect_timeout_ms = 1000;
    struct fake_sentinel *caller = &f.sentinels[open_both(&f, &l)];
    unsigned asked = caller->asked;
    fake_sentinel_answer(caller, "");
    l2_drop_connection(f.client.l2);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, caller->asked > asked);
    fake_sentinel_name(caller, "127.0.0.1", f.replica.port);
    snprintf(call, sizeof(call), "mymaster 127.0.0.1 %d 127.0.0.1 %d", f.master.port,
             f.replica.port);
    fake_sentinel_call(caller, call);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, has_client(&f.replica));
    close_both(&f, &l);
}

TEST(one_that_calls_out_what_is_not_so_is_not_heeded_again)
{
    struct field f;
    struct listener l;
    prepare(&f);
    int liar = open_both(&f, &l);
    fake_sentinel_call(&f.sentinels[liar], "mymaster 127.0.0.1 1 127.0.0.1 2");
    CHECK_WITHIN(CLIENT_DEADLINE_MS, connection(&f) == 2);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, useless(&f) == 1);
    CHECK(last_has(&f, "it has called out another master than there is"));
    /* Another is heard from here on. */
    CHECK_WITHIN(CLIENT_DEADLINE_MS, f.sentinels[(liar + 1) % COUNT].subscribed ||
                                         f.sentinels[(liar + 2) % COUNT].subscribed);
    for (int i = 0; i < 20; i++) {
        fake_sentinel_call(&f.sentinels[liar], "mymaster 127.0.0.1 1 127.0.0.1 2");
        check_pause();
    }
    CHECK_EQ(connection(&f), 2);
    close_both(&f, &l);
}

/* ---- who is to blame ---- */

static bool is_heeded(struct field *f, uint32_t i)
{
    struct client *c = &f->client;
    return sentinels_heed(c->l2->home->sentinels, i, clock_now_ns(c->env.clock));
}

/* Opens a client that moves only when it is stepped, and steps it until it is connected. */
static void open_stepped(struct field *f)
{
    struct client *c = &f->client;
    prepare(f);
    client_init(c, false);
    struct l2_config config = client_config(c, f->uri);
    REQUIRE_EQ(l2_open(&config, &c->l2), 0);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, (l2_step(c->l2, NS_PER_MS), is_up(f)));
}

/* The first calls, as one does that is the first to know. Returns when the connection is gone. */
static void first_calls(struct field *f)
{
    struct l2 *l2 = f->client.l2;
    seek_call(l2->home, 0, &(struct uri_host){.place = "127.0.0.1", .port = 1});
    CHECK_WITHIN(CLIENT_DEADLINE_MS, (l2_step(l2, 0), !is_up(f)));
}

/* Two call while all of them name the old master, the second as given. Returns with the client back
 * at that master. */
static void two_call(struct field *f, int second_port)
{
    struct uri_host to = {.place = "127.0.0.1"};
    open_stepped(f);
    struct l2 *l2 = f->client.l2;
    first_calls(f);
    to.port = (uint16_t)(second_port ? second_port : f->master.port);
    seek_call(l2->home, 1, &to);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, (l2_step(l2, NS_PER_MS), is_up(f)));
}

/* Else who hides from questions costs a connection with each call. */
TEST(one_that_cannot_be_asked_is_blamed_as_well)
{
    struct field f;
    open_stepped(&f);
    fake_sentinel_answer(&f.sentinels[0], "-ERR max number of clients reached\r\n");
    first_calls(&f);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, (l2_step(f.client.l2, NS_PER_MS), is_up(&f)));
    CHECK(!is_heeded(&f, 0));
    CHECK(is_heeded(&f, 1));
    finish(&f);
}

TEST(of_two_that_call_the_one_is_blamed_that_was_asked)
{
    struct field f;
    two_call(&f, 2);
    CHECK(is_heeded(&f, 0));
    CHECK(!is_heeded(&f, 1));
    finish(&f);
}

/* Who calls the place that was just left agrees with going back there. */
TEST(one_that_calls_where_we_were_is_not_blamed_for_another)
{
    struct field f;
    two_call(&f, 0);
    CHECK(!is_heeded(&f, 0));
    CHECK(is_heeded(&f, 1));
    finish(&f);
}
