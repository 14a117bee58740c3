// SPDX-License-Identifier: MIT
// The multiplexed connection: many threads share writes, every request is answered exactly once,
// and without own threads the waiter does the I/O.

#include <pthread.h>

#include "l2/client.h"
#include "l2/net.h"
#include "support/l2_client.h"

enum { THREADS = 16, ROUNDS = 500 };

/* ---- a network that counts ---- */

static struct l2_net counting;
static _Atomic uint64_t writes_count;

static long counting_write(void *arg, int fd, const void *data, size_t size)
{
    atomic_fetch_add(&writes_count, 1);
    return net_kernel.write(arg, fd, data, size);
}

static void open_counting(struct client *c, const char *uri)
{
    client_init(c, true);
    struct l2_config config = client_config(c, uri);
    counting = net_kernel;
    counting.write = counting_write;
    config.net = &counting;
    REQUIRE_EQ(l2_open(&config, &c->l2), 0);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c->l2)));
    atomic_store(&writes_count, 0);
}

static pthread_mutex_t stepping = PTHREAD_MUTEX_INITIALIZER;

/* Does what cache/drive.c does, in short: who waits does the I/O, and the others sleep. (They look
 * once: looking again and again they would take the processor from the one for whom they wait.) */
static int step_and_wait(void *arg, _Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
    struct client *client = arg;
    if (pthread_mutex_trylock(&stepping) != 0) {
        l2_step(client->l2, 0); /* most probably somebody steps */
        pthread_mutex_lock(&stepping);
    }
    if (atomic_load(word) == expected)
        l2_step(client->l2, NS_PER_MS);
    pthread_mutex_unlock(&stepping);
    return clock_now_ns(client->env.clock) >= deadline_ns ? NIGH_ETIMEDOUT : 0;
}

static void open_threadless(struct client *c, const char *uri)
{
    client_init(c, false);
    *c->env.park = (struct park){step_and_wait, c->env.park->wake, NULL, c};
    struct l2_config config = client_config(c, uri);
    REQUIRE_EQ(l2_open(&config, &c->l2), 0);
    CHECK(!l2_connected(c->l2));
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, (l2_step(c->l2, 0), l2_connected(c->l2))));
}

static struct client c;

static _Atomic unsigned lost; /* answers, with a connection on which a busy machine was silent */

/* Each thread puts under its own key and reads it back: replies must not be swapped. */
static void *put_and_get(void *arg)
{
    char name[16], value[64];
    for (int i = 0; i < ROUNDS; i++) {
        snprintf(name, sizeof(name), "k%d", (int)(intptr_t)arg);
        snprintf(value, sizeof(value), "%s value %d", name, i);
        struct bytes envelope = client_envelope(1, 0, value);
        const struct l2_change_key key = {
            .key = client_key(name), .mode = L2_SET, .envelope = envelope, .hard_ms = 60000};
        const struct l2_change change = {.keys = &key, .key_count = 1, .nonce = 1, .schemas = 1};
        l2_answer_free(CLIENT_ASK(&c, l2_change, &change));
        struct l2_answer *a = CLIENT_ASK(&c, l2_get, &key.key);
        if (a->status == NIGH_EOFFLINE) {
            lost++;
            i--;
        } else {
            CHECK_EQ(a->status, 0);
            CHECK_MEM(a->value.data, a->value.len, envelope.data, envelope.len);
        }
        l2_answer_free(a);
        client_envelope_free(envelope);
    }
    return NULL;
}

static void run_threads(void *(*run)(void *))
{
    pthread_t threads[THREADS];
    lost = 0;
    for (intptr_t i = 0; i < THREADS; i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, run, (void *)i), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(lost == 0 || stats_read(&c.stats, STATS_L2_LOST) > 0);
}

TEST(threads_share_writes)
{
    struct redis server;
    redis_start(&server, NULL);
    open_counting(&c, server.uri);
    run_threads(put_and_get);
    uint64_t requests = stats_read(&c.stats, STATS_L2_REQUEST);
    check_note("%llu requests in %llu writes", (unsigned long long)requests,
               (unsigned long long)atomic_load(&writes_count));
    if (lost == 0)
        CHECK_EQ(requests, 2 * THREADS * ROUNDS);
    CHECK_LT(2 * atomic_load(&writes_count), requests);
    client_close(&c);
    redis_stop(&server);
}

TEST(what_is_queued_together_leaves_together)
{
    enum { COUNT = 1000 };
    static struct l2_sync syncs[COUNT];
    struct redis server;
    struct l2_key key = client_key("k");
    redis_start(&server, NULL);
    open_counting(&c, server.uri);
    redis_pause(&server);
    for (int i = 0; i < COUNT; i++)
        CLIENT_SUBMIT(&c, &syncs[i], l2_get, &key);
    redis_resume(&server);
    for (int i = 0; i < COUNT; i++) {
        struct l2_answer *a = l2_sync_wait(&syncs[i]);
        CHECK_EQ(a->status, 0);
        l2_answer_free(a);
    }
    struct l2_gauges gauges;
    l2_gauges_read(c.l2, &gauges);
    CHECK_EQ(gauges.connection, 1);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, (l2_gauges_read(c.l2, &gauges), gauges.in_flight == 0));
    CHECK_LT(atomic_load(&writes_count), COUNT);
    client_close(&c);
    redis_stop(&server);
}

/* A server that reads nothing costs a bounded amount of memory; small requests suffer with it. Here
 * nothing is sent because those who wait do the I/O, and nobody waits yet. */
TEST(what_is_not_sent_yet_is_bounded)
{
    enum { MANY = 100, MIB = 1 << 20 };
    static struct l2_sync syncs[MANY];
    static char megabyte[MIB + 1];
    struct redis server;
    redis_start(&server, NULL);
    open_threadless(&c, server.uri);
    memset(megabyte, 'x', MIB);
    struct bytes envelope = client_envelope(1, 0, megabyte);
    struct l2_key key = client_key("k");
    struct l2_fill fill = {.token = 1, .connection = 1, .hard_ms = 60000, .envelope = envelope};
    int taken = 0;
    while (taken < MANY) {
        const struct l2_op op = client_op(&c, &syncs[taken], CLIENT_DEADLINE_MS);
        int rc = l2_fill(c.l2, &key, &fill, &op);
        if (rc) {
            CHECK_EQ(rc, NIGH_EBUSY);
            break;
        }
        taken++;
    }
    CHECK_EQ(taken, 47); /* of 48 MiB, with their envelopes */
    CHECK(!l2_takes(c.l2, MIB));
    CHECK_EQ(stats_read(&c.stats, STATS_L2_REFUSED), 0);
    static struct l2_sync small; /* what is small has room of its own */
    const struct l2_op small_op = client_op(&c, &small, CLIENT_DEADLINE_MS);
    CHECK_EQ(l2_get(c.l2, &key, &small_op), 0);
    l2_drop_connection(c.l2);
    CHECK_WITHIN(CLIENT_DEADLINE_MS,
                 (l2_step(c.l2, 0), atomic_load(&c.l2->home->in_flight_bytes[1]) == 0));
    CHECK(l2_takes(c.l2, MIB));
    CHECK(l2_takes(c.l2, 64 * MIB)); /* alone */
    l2_answer_free(l2_sync_wait(&small));
    for (int i = 0; i < taken; i++) {
        struct l2_answer *a = l2_sync_wait(&syncs[i]);
        CHECK_EQ(a->status, NIGH_EOFFLINE);
        l2_answer_free(a);
    }
    client_envelope_free(envelope);
    client_close(&c);
    redis_stop(&server);
}

TEST(values_of_all_sizes)
{
    struct redis server;
    redis_start(&server, NULL);
    client_open(&c, server.uri);
    for (size_t size = 0; size < (1u << 20) - 100; size = 3 * size + 1) {
        char *payload = malloc(size + 1);
        REQUIRE(payload);
        memset(payload, 'v', size);
        payload[size] = '\0';
        struct bytes envelope = client_envelope(1, 0, payload);
        const struct l2_change_key key = {
            .key = client_key("k"), .mode = L2_SET, .envelope = envelope, .hard_ms = 60000};
        const struct l2_change change = {.keys = &key, .key_count = 1, .nonce = 1, .schemas = 1};
        l2_answer_free(CLIENT_ASK(&c, l2_change, &change));
        struct l2_answer *a = CLIENT_ASK(&c, l2_get, &key.key);
        CHECK_MEM(a->value.data, a->value.len, envelope.data, envelope.len);
        l2_answer_free(a);
        client_envelope_free(envelope);
        free(payload);
    }
    client_close(&c);
    redis_stop(&server);
}

/* ---- deadlines ---- */

TEST(a_late_answer_is_dropped_and_the_next_one_is_right)
{
    struct redis server;
    struct l2_key key = client_key("k");
    redis_start(&server, NULL);
    client_open(&c, server.uri);
    free(redis_command(&server, "SET t:!2:s:1:k first"));
    struct l2_key other = client_key("other");
    redis_pause(&server);
    struct l2_sync late, patient;
    const struct l2_op soon = client_op(&c, &late, 20);
    const struct l2_op later = client_op(&c, &patient, CLIENT_DEADLINE_MS);
    REQUIRE_EQ(l2_get(c.l2, &key, &soon), 0);
    REQUIRE_EQ(l2_get(c.l2, &other, &later), 0);
    struct l2_answer *a = l2_sync_wait(&late);
    CHECK_EQ(a->status, NIGH_ETIMEDOUT);
    l2_answer_free(a);
    redis_resume(&server);
    a = l2_sync_wait(&patient);
    CHECK_EQ(a->status, 0);
    CHECK_EQ(a->verdict, L2_NONE); /* not the value of the first */
    l2_answer_free(a);
    CHECK_EQ(stats_read(&c.stats, STATS_L2_TIMEOUT), 1);
    client_close(&c);
    redis_stop(&server);
}

TEST(closing_answers_what_is_under_way)
{
    struct redis server;
    struct l2_key key = client_key("k");
    struct l2_sync s[10];
    redis_start(&server, NULL);
    client_open(&c, server.uri);
    redis_pause(&server);
    for (int i = 0; i < 10; i++) {
        const struct l2_op op = client_op(&c, &s[i], 60000);
        REQUIRE_EQ(l2_get(c.l2, &key, &op), 0);
    }
    l2_close(c.l2);
    for (int i = 0; i < 10; i++) {
        struct l2_answer *a = l2_sync_wait(&s[i]);
        CHECK_EQ(a->status, NIGH_ECLOSED);
        l2_answer_free(a);
    }
    client_fini(&c);
    redis_stop(&server);
}

/* ---- an I/O thread that does not come ---- */

/* Inside a callback of the host that blocks, say. */
static _Atomic bool io_blocks;
static _Atomic unsigned io_entered;

static void block_io(void *arg, struct l2_answer *answer)
{
    (void)arg;
    l2_answer_free(answer);
    io_entered++;
    while (io_blocks)
        check_pause();
}

TEST(a_waiter_leaves_at_its_deadline_whatever_the_io_thread_does)
{
    enum { WAITERS = 16, DEADLINE_MS = 60 };
    struct redis server;
    struct l2_key key = client_key("k");
    struct l2_sync s[WAITERS];
    redis_start(&server, NULL);
    client_open(&c, server.uri);
    io_blocks = true;
    const struct l2_op blocker =
        l2_op_of(clock_deadline_ns(c.env.clock, CLIENT_DEADLINE_MS), block_io, NULL);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_get(c.l2, &key, &blocker) == 0));
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, io_entered == 1));
    for (int i = 0; i < WAITERS; i++) {
        const struct l2_op op = client_op(&c, &s[i], DEADLINE_MS);
        REQUIRE_EQ(l2_get(c.l2, &key, &op), 0);
    }
    for (int i = 0; i < WAITERS; i++) {
        struct l2_answer *a = l2_sync_wait(&s[i]);
        CHECK_EQ(a->status, NIGH_ETIMEDOUT);
        l2_answer_free(a);
    }
    CHECK_EQ(stats_read(&c.stats, STATS_L2_TIMEOUT), WAITERS);
    memset(s, 0xa5, sizeof(s)); /* their frames are gone when the answers come */
    io_blocks = false;
    l2_answer_free(CLIENT_ASK(&c, l2_get, &key));
    CHECK_EQ(stats_read(&c.stats, STATS_L2_TIMEOUT), WAITERS); /* each is counted once */
    for (size_t i = 0; i < sizeof(s); i++)
        CHECK_EQ(((unsigned char *)s)[i], 0xa5);
    client_close(&c);
    redis_stop(&server);
}

TEST(an_answer_may_be_kept_longer_than_its_client)
{
    struct redis server;
    struct l2_key key = client_key("k");
    redis_start(&server, NULL);
    client_open(&c, server.uri);
    struct l2_answer *script = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 1, 1));
    struct l2_answer *get = CLIENT_ASK(&c, l2_get, &key);
    l2_close(c.l2);
    CHECK_EQ(script->status, 0);
    CHECK_EQ(script->clock.replid.len, L2_REPLID_BYTES);
    CHECK_EQ(strnlen(script->clock.replid.data, L2_REPLID_BYTES), L2_REPLID_BYTES);
    CHECK_EQ(get->verdict, L2_NONE);
    l2_answer_free(script);
    l2_answer_free(get);
    client_fini(&c);
    redis_stop(&server);
}

/* ---- the breaker on a slow server ---- */

static struct redis slow;

#define LATE_MS 450 /* longer than eight submissions take; three times is less than silence takes */

static struct l2_sync late[8];

/* Asked of a server that does not answer; all give up at one moment. */
static void ask_in_vain(void)
{
    struct l2_key key = client_key("k");
    uint64_t late_ns = clock_deadline_ns(c.env.clock, LATE_MS);
    bool asked[8];
    for (int i = 0; i < 8; i++) {
        struct l2_op op = client_op(&c, &late[i], 0);
        op.deadline_ns = late_ns;
        asked[i] = l2_get(c.l2, &key, &op) == 0; /* else this thread was kept, and it has opened */
    }
    for (int i = 0; i < 8; i++)
        if (asked[i])
            l2_answer_free(l2_sync_wait(&late[i]));
}

static uint32_t breaker_now(void)
{
    struct l2_gauges gauges;
    l2_gauges_read(c.l2, &gauges);
    return gauges.breaker;
}

static bool late_waves_open_it(void)
{
    for (int wave = 0; wave < 3 && breaker_now() == 0; wave++) {
        uint64_t began_ms = check_now_ms();
        ask_in_vain();
        bool kept = check_now_ms() - began_ms >= 2 * LATE_MS; /* then these may be two waves */
        CHECK(wave > 0 || kept || breaker_now() == 0); /* one wave of late answers is a stall */
    }
    return breaker_now() == 2;
}

static void check_it_refuses(void)
{
    struct l2_key key = client_key("k");
    uint64_t before = stats_read(&c.stats, STATS_L2_REFUSED);
    int refused = 0, probes = -1; /* some, if this thread was kept waiting: their time had come */
    while (!refused && ++probes < 8) {
        const struct l2_op op = client_op(&c, &late[probes], CLIENT_DEADLINE_MS);
        refused = l2_get(c.l2, &key, &op);
    }
    CHECK_EQ(refused, NIGH_EOFFLINE);
    CHECK_EQ(stats_read(&c.stats, STATS_L2_REFUSED), before + 1);
    redis_resume(&slow);
    for (int i = 0; i < probes; i++)
        l2_answer_free(l2_sync_wait(&late[i]));
}

static bool beat_closes_it(void)
{
    l2_answer_free(CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 1, 1)));
    return breaker_now() == 0;
}

/* False: it did not come to that. What is late because our own I/O thread was kept waiting is not
 * held against the server. */
static bool opens_and_closes(void)
{
    struct l2_key key = client_key("k");
    redis_start(&slow, NULL);
    client_open(&c, slow.uri);
    l2_set_patience(c.l2, LATE_MS);
    redis_pause(&slow);
    bool opened = late_waves_open_it();
    if (opened) {
        CHECK_EQ(stats_read(&c.stats, STATS_L2_BREAKER_OPEN), 1);
        check_it_refuses();
        CHECK_WITHIN(CLIENT_DEADLINE_MS, beat_closes_it()); /* not one that is late itself */
        l2_answer_free(CLIENT_ASK(&c, l2_get, &key));
    }
    client_close(&c);
    redis_stop(&slow);
    return opened;
}

TEST(a_slow_server_opens_the_breaker_and_a_beat_closes_it)
{
    CHECK_WITHIN(CLIENT_DEADLINE_MS, opens_and_closes());
}

/* ---- without own threads ---- */

TEST(the_waiter_does_the_io)
{
    struct redis server;
    struct l2_key key = client_key("k");
    redis_start(&server, NULL);
    open_threadless(&c, server.uri);
    struct l2_answer *a = CLIENT_ASK(&c, l2_get, &key);
    CHECK_EQ(a->status, 0);
    l2_answer_free(a);
    redis_pause(&server);
    struct l2_sync s;
    const struct l2_op op = client_op(&c, &s, 20);
    REQUIRE_EQ(l2_get(c.l2, &key, &op), 0);
    a = l2_sync_wait(&s);
    CHECK_EQ(a->status, NIGH_ETIMEDOUT);
    l2_answer_free(a);
    redis_resume(&server);
    client_close(&c);
    redis_stop(&server);
}

/* The silence was ours: nobody looked at the socket for longer than a server's silence is borne. */
TEST(an_answer_that_came_while_we_were_stopped_is_taken)
{
    struct redis server;
    struct l2_key key = client_key("k");
    struct l2_sync s;
    redis_start(&server, NULL);
    open_threadless(&c, server.uri);
    redis_pause(&server);
    const struct l2_op op = client_op(&c, &s, CLIENT_DEADLINE_MS);
    REQUIRE_EQ(l2_get(c.l2, &key, &op), 0);
    l2_step(c.l2, 0);
    redis_resume(&server);
    uint64_t end_ms = check_now_ms() + 2500;
    while (check_now_ms() < end_ms)
        check_pause();
    struct l2_answer *a = l2_sync_wait(&s);
    CHECK_EQ(a->status, 0);
    CHECK_EQ(stats_read(&c.stats, STATS_L2_LOST), 0);
    l2_answer_free(a);
    client_close(&c);
    redis_stop(&server);
}

TEST(many_waiters_do_the_io)
{
    struct redis server;
    redis_start(&server, NULL);
    open_threadless(&c, server.uri);
    run_threads(put_and_get);
    client_close(&c);
    redis_stop(&server);
}

/* ---- hook ---- */

static _Atomic int ups;

static void count_up(void *arg)
{
    CHECK(l2_connected(arg));
    atomic_fetch_add(&ups, 1);
}

TEST(the_hook_hears_of_every_connection_once)
{
    struct redis server;
    redis_start(&server, NULL);
    client_open(&c, server.uri); /* up before the hook is set */
    atomic_store(&ups, 0);
    l2_set_up_hook(c.l2, count_up, c.l2);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, atomic_load(&ups) == 1);
    l2_drop_connection(c.l2);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, atomic_load(&ups) == 2);
    struct l2_answer *a = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 1, 1));
    CHECK_EQ(a->connection, 2);
    CHECK_EQ(atomic_load(&ups), 2);
    l2_answer_free(a);
    client_close(&c);
    redis_stop(&server);
}
