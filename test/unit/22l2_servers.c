// SPDX-License-Identifier: MIT
// Several servers, and a link to each: requests go where their key is, batches are split, and what
// happens to one link happens to no other. Which server has a key says its name here: "a..." is on
// the first, "b..." on the second.

#include <stdio.h>

#include "l2/client.h"
#include "support/l2_client.h"

enum { SERVERS = 2 };

static struct redis servers[SERVERS];
static struct client c;
static _Atomic unsigned maps;

static uint32_t server_of(void *arg, const struct l2_key *key)
{
    (void)arg;
    atomic_fetch_add(&maps, 1);
    return *(const char *)key->key.data == 'b';
}

static bool is_up(int server)
{
    return atomic_load(&c.l2->links[server]->connection) != 0;
}

static int try_open(const char *const *uris)
{
    const struct l2_map map = {.uris = uris, .count = SERVERS, .server_of = server_of};
    struct l2_config config = client_config(&c, NULL);
    config.map = &map;
    return l2_open(&config, &c.l2);
}

static void open_map(bool own_threads)
{
    static const char *uris[SERVERS];
    for (int i = 0; i < SERVERS; i++) {
        redis_start(&servers[i], NULL);
        uris[i] = servers[i].uri;
    }
    client_init(&c, own_threads);
    REQUIRE_EQ(try_open(uris), 0);
    l2_set_patience(c.l2, CLIENT_DEADLINE_MS);
}

/* Whether a busy machine has made us lose a connection, too. Whoever sees a request that was lost
 * with it sees this. */
static unsigned lost_on_purpose;

static bool is_disturbed(void)
{
    return stats_read(&c.stats, STATS_L2_LOST) > lost_on_purpose;
}

static void begin(void)
{
    lost_on_purpose = 0;
    open_map(true);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2)));
}

static void end(void)
{
    client_close(&c);
    for (int i = 0; i < SERVERS; i++)
        redis_stop(&servers[i]);
}

/* Sets it on its server, as "NAME's value". */
static void set(const char *name)
{
    free(redis_command(&servers[*name == 'b'], "SET t:!2:s:1:%s %s's", name, name));
}

static void check_value(struct bytes value, const char *name)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%s's", name);
    CHECK_MEM(value.data, value.len, text, (size_t)len);
}

static void check_get(const char *name)
{
    struct l2_key key = client_key(name);
    struct l2_answer *a = CLIENT_ASK(&c, l2_get, &key);
    if (a->status == 0 || !is_disturbed()) {
        CHECK_EQ(a->status, 0);
        CHECK_EQ(a->verdict, L2_VALUE);
        check_value(a->value, name);
    }
    l2_answer_free(a);
}

TEST(a_request_goes_to_the_server_of_its_key)
{
    begin();
    set("a1");
    set("b1");
    for (int i = 0; i < 20; i++) {
        check_get("a1");
        check_get("b1");
    }
    const char *names[] = {"a2", "b2"};
    uint64_t homes[SERVERS];
    for (int i = 0; i < SERVERS; i++) {
        struct l2_key key = client_key(names[i]);
        const struct l2_lease lease = {.token = 7, .lease_ms = 60000};
        struct l2_answer *a = CLIENT_ASK(&c, l2_lease, &key, &lease);
        CHECK_EQ(a->verdict, L2_GRANTED);
        homes[i] = a->home;
        struct bytes envelope = client_envelope(7, 0, "filled");
        const struct l2_fill fill = {.token = 7, .connection = a->connection, .hard_ms = 60000,
                                     .envelope = envelope, .frame = {{"HEAD", 4}, {"TAIL", 4}}};
        l2_answer_free(a);
        a = CLIENT_ASK(&c, l2_fill, &key, &fill);
        CHECK_EQ(a->verdict, L2_STORED);
        l2_answer_free(a);
        client_envelope_free(envelope);
        CHECK_EQ(redis_integer(&servers[i], "EXISTS t:!2:s:1:%s", names[i]), 1);
        CHECK_EQ(redis_integer(&servers[1 - i], "EXISTS t:!2:s:1:%s", names[i]), 0);
        const struct l2_change_key gone = {.key = key, .mode = L2_DELETE};
        const struct l2_change change = {.keys = &gone, .key_count = 1, .nonce = 42, .schemas = 42,
                                         .frame = {{"HEAD", 4}, {"TAIL", 4}}};
        l2_answer_free(CLIENT_ASK(&c, l2_change, &change)); /* it may be told to begin again */
        CHECK_EQ(redis_integer(&servers[i], "EXISTS t:!2:!clk"), 1);
    }
    CHECK_NE(homes[0], homes[1]);
    CHECK(maps > 0);
    end();
}

/* ---- batches ---- */

enum { KEYS = 60 };
static char names[KEYS][8];
static struct bytes keys[KEYS];

/* Names keys of both servers in turn, some of them not there. */
static void name_keys(void)
{
    for (int i = 0; i < KEYS; i++) {
        snprintf(names[i], sizeof(names[i]), "%c%d", i * i % 7 < 3 ? 'a' : 'b', i);
        keys[i] = bytes_of_string(names[i]);
        if (i % 5)
            set(names[i]);
    }
}

#define ASK_MANY(count)                                                                            \
    CLIENT_ASK(&c, l2_get_many, bytes_of_string("s"), bytes_of_string("1"), keys, (count))

/* Each of them is answered in its place; those of a server that is not there are left. */
static void check_many(struct l2_answer *a, uint32_t count, int lost)
{
    for (uint32_t i = 0; i < count && !is_disturbed(); i++) {
        struct bytes value;
        REQUIRE_EQ(a->status, 0);
        bool left = names[i][0] == 'a' + lost;
        enum l2_verdict wanted = left ? L2_LEFT : i % 5 ? L2_VALUE : L2_NONE;
        CHECK_EQ(l2_answer_at(a, i, &value), wanted);
        CHECK_EQ(l2_home_at(a, i) == 0, left);
        if (wanted == L2_VALUE)
            check_value(value, names[i]);
    }
    l2_answer_free(a);
}

TEST(a_batch_is_split_and_answered_in_order)
{
    begin();
    name_keys();
    for (int round = 0; round < 10; round++)
        for (uint32_t count = 1; count <= KEYS; count++)
            check_many(ASK_MANY(count), count, -1);
    end();
}

static _Atomic unsigned told;
static _Thread_local bool submits;

static void be_told(void *arg, struct l2_answer *answer)
{
    (void)arg;
    CHECK(!submits); /* not within the call */
    check_many(answer, KEYS, -1);
    atomic_fetch_add(&told, 1);
}

static void ask_many_for(l2_done_fn done)
{
    const struct l2_op op =
        l2_op_of(clock_deadline_ns(c.env.clock, CLIENT_DEADLINE_MS), done, NULL);
    submits = true;
    REQUIRE_EQ(l2_get_many(c.l2, bytes_of_string("s"), bytes_of_string("1"), keys, KEYS, &op), 0);
    submits = false;
}

TEST(a_batch_with_a_callback_is_told_once)
{
    begin();
    name_keys();
    told = 0;
    for (unsigned i = 1; i <= 300 && !is_disturbed(); i++) {
        ask_many_for(be_told);
        REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, told == i));
    }
    end();
}

/* ---- what fails before ---- */

TEST(a_client_with_a_uri_that_is_wrong_does_not_open)
{
    static const char *const uris[][SERVERS] = {{"redis://127.0.0.1:1", "nonsense"},
                                                {"nonsense", "redis://127.0.0.1:1"}};
    client_init(&c, true);
    for (size_t i = 0; i < ARRAY_COUNT(uris); i++)
        CHECK_EQ(try_open(uris[i]), NIGH_EURI);
    client_fini(&c);
}

#if NIGH_FAULTS
/* Fails each call at the site in turn, until none was left to fail. */
static void fail_opening(enum fault_site site, int error)
{
    static const char *const uris[SERVERS] = {"unix:///nonexistent/a", "unix:///nonexistent/b"};
    int rc = error;
    for (uint64_t nth = 1; rc == error; nth++) {
        fault_arm(site, nth);
        rc = try_open(uris);
        bool fired = fault_count(site) >= nth;
        fault_arm(site, 0);
        if (rc == 0)
            l2_close(c.l2);
        if (fired && rc == 0)
            rc = error; /* it was a thread's, which goes on without */
        CHECK(rc == error || (rc == 0 && nth > SERVERS));
    }
}

TEST(a_client_that_gets_no_memory_or_thread_does_not_open)
{
    client_init(&c, true);
    fail_opening(FAULT_ALLOC, NIGH_ENOMEM);
    fail_opening(FAULT_THREAD, NIGH_ETHREAD);
    client_fini(&c);
}

/* Whatever it is that there is no memory for, who asks gets one answer, or none. */
TEST(a_batch_without_memory_is_refused_or_answered)
{
    begin();
    name_keys();
    unsigned refused_count = 0;
    for (uint64_t i = 0; i < 12 || (refused_count == 0 && i < 1000); i++) {
        uint64_t nth = 1 + i % 12; /* an I/O thread may have taken the first */
        struct l2_sync s;
        struct l2_op op = client_op(&c, &s, CLIENT_DEADLINE_MS);
        fault_arm(FAULT_ALLOC, nth);
        int refused = l2_get_many(c.l2, bytes_of_string("s"), bytes_of_string("1"), keys, KEYS,
                                  &op);
        refused_count += refused == NIGH_ENOMEM;
        CHECK(refused == 0 || refused == NIGH_ENOMEM || refused == NIGH_EOFFLINE);
        if (refused == 0)
            l2_answer_free(l2_sync_wait(&s));
        fault_arm(FAULT_ALLOC, 0);
    }
    CHECK(refused_count > 0);
    end();
}
#endif

/* ---- one of them is not there ---- */

static void lose(int server)
{
    lost_on_purpose++;
    redis_kill(&servers[server]);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, !is_up(server)));
}

/* How a request of so many ms ends. */
static int outcome_of(const char *name, uint32_t ms)
{
    struct l2_key key = client_key(name);
    struct l2_sync s;
    struct l2_op op = client_op(&c, &s, ms);
    int refused = l2_get(c.l2, &key, &op);
    if (refused)
        return refused;
    struct l2_answer *a = l2_sync_wait(&s);
    int status = a->status;
    l2_answer_free(a);
    return status;
}

TEST(a_server_that_is_dead_takes_nothing_from_the_other)
{
    for (int dead = 0; dead < SERVERS; dead++) {
        const char *dead_name = dead ? "b1" : "a1", *live_name = dead ? "a1" : "b1";
        struct l2_problem problem;
        begin();
        name_keys();
        set("a1");
        set("b1");
        uint64_t connection = atomic_load(&c.l2->links[1 - dead]->connection);
        lose(dead);
        for (int i = 0; i < 20; i++) {
            CHECK_EQ(outcome_of(dead_name, CLIENT_DEADLINE_MS), NIGH_EOFFLINE);
            check_get(live_name);
            check_many(ASK_MANY(KEYS), KEYS, dead);
        }
        CHECK(is_disturbed() || atomic_load(&c.l2->links[1 - dead]->connection) == connection);
        CHECK(!l2_connected(c.l2));
        l2_problem_read(c.l2, &problem);
        CHECK(problem.text[0] != '\0');
        redis_restart(&servers[dead], REDIS_EMPTY);
        REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2)));
        set(dead_name);
        check_get(dead_name);
        CHECK(is_disturbed() || atomic_load(&c.l2->links[1 - dead]->connection) == connection);
        end();
    }
}

TEST(a_batch_that_nobody_takes_is_refused)
{
    begin();
    name_keys();
    lose(0);
    lose(1);
    struct l2_sync s;
    struct l2_op op = client_op(&c, &s, CLIENT_DEADLINE_MS);
    CHECK_EQ(l2_get_many(c.l2, bytes_of_string("s"), bytes_of_string("1"), keys, KEYS, &op),
             NIGH_EOFFLINE);
    end();
}

/* The part of one that is silent ends at the deadline, with the other's answer in the whole. */
TEST(a_silent_server_leaves_its_part_out)
{
    struct l2_sync s;
    struct l2_op op;
    begin();
    name_keys();
    redis_pause(&servers[1]);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS,
                         (op = client_op(&c, &s, 300),
                          l2_get_many(c.l2, bytes_of_string("s"), bytes_of_string("1"), keys,
                                      KEYS, &op) == 0)));
    struct l2_answer *a = l2_sync_wait(&s);
    if (a->status == NIGH_ETIMEDOUT) /* on a busy machine who waits has left before */
        l2_answer_free(a);
    else
        check_many(a, KEYS, 1);
    check_get("a1");
    redis_resume(&servers[1]);
    end();
}

/* ---- what each has for itself ---- */

TEST(a_breaker_is_one_servers)
{
    begin();
    set("a1");
    set("b1");
    l2_set_patience(c.l2, 250);
    redis_pause(&servers[1]);
    struct breaker *breaker = &c.l2->links[1]->breaker;
    CHECK_WITHIN(CLIENT_DEADLINE_MS,
                 (outcome_of("b1", 100), breaker_state(breaker) != BREAKER_CLOSED || !is_up(1)));
    lost_on_purpose = !is_up(1);
    check_get("a1"); /* tries for long: on a busy machine its own breaker may open */
    redis_resume(&servers[1]);
    l2_set_patience(c.l2, CLIENT_DEADLINE_MS);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, outcome_of("b1", CLIENT_DEADLINE_MS) == 0);
    end();
}

static void be_ended(void *arg, struct l2_answer *answer)
{
    (void)arg;
    CHECK(answer->status == NIGH_ECLOSED || is_disturbed());
    l2_answer_free(answer);
    atomic_fetch_add(&told, 1);
}

TEST(closing_ends_what_is_on_its_way_to_each)
{
    begin();
    name_keys();
    told = 0;
    redis_pause(&servers[0]);
    redis_pause(&servers[1]);
    for (int i = 0; i < 5; i++)
        ask_many_for(be_ended);
    l2_close(c.l2);
    CHECK_EQ(told, 5);
    client_fini(&c);
    for (int i = 0; i < SERVERS; i++)
        redis_stop(&servers[i]);
}

TEST(without_own_threads_one_step_serves_both)
{
    lost_on_purpose = 0;
    open_map(false);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, (l2_step(c.l2, NS_PER_MS), l2_connected(c.l2))));
    name_keys();
    told = 0;
    for (unsigned i = 1; i <= 50 && !is_disturbed(); i++) {
        ask_many_for(be_told);
        while (told < i)
            l2_step(c.l2, CLIENT_DEADLINE_MS * NS_PER_MS); /* sleeps on both */
    }
    end();
}
