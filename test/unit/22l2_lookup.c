// SPDX-License-Identifier: MIT
// A host's name whose look-up takes as long as it likes: nobody waits for it, there is one at a
// time, and closing leaves it behind. Of several addresses the one that works is kept.

#include "l2/lookup.h"

#include "l2/net.h"
#include "support/l2_client.h"

#define ADDRESSES 3u
#define AGES_NS (100 * NS_PER_S) /* longer than what was found is good */
#define SOON_MS 20000u           /* less than a look-up that does not answer */

/* ---- a name server in the test's hand ---- */

static _Atomic unsigned asked, returned, woken;
static _Atomic bool silent;
static _Atomic int error;
static bool dead_first; /* where nobody listens */

static int look_up(const char *host, struct l2_addresses *ret)
{
    atomic_fetch_add(&asked, 1);
    CHECK(strcmp(host, "cache.example") == 0);
    while (atomic_load(&silent))
        check_pause();
    for (ret->count = 0; ret->count < ADDRESSES; ret->count++)
        snprintf(ret->text[ret->count], L2_ADDRESS_BYTES, "127.0.0.%u",
                 dead_first ? ADDRESSES - ret->count : 1 + ret->count);
    atomic_fetch_add(&returned, 1);
    return atomic_load(&error);
}

static void wake(void *arg)
{
    (void)arg;
    atomic_fetch_add(&woken, 1);
}

static void begin(void)
{
    asked = returned = woken = 0;
    silent = false;
    error = 0;
    dead_first = false;
}

static struct lookup *create(void)
{
    begin();
    struct lookup *l = lookup_create("cache.example", look_up, wake, NULL);
    REQUIRE(l);
    return l;
}

static char address[L2_ADDRESS_BYTES];

static bool answers(struct lookup *l, uint64_t now_ns, int *ret)
{
    *ret = lookup_address(l, now_ns, address);
    return *ret != 0;
}

/* ---- the look-up ---- */

TEST(numbers_are_no_names)
{
    CHECK(!lookup_is_name("127.0.0.1"));
    CHECK(!lookup_is_name("::1"));
    CHECK(!lookup_is_name("fe80::1:2"));
    CHECK(lookup_is_name("localhost"));
    CHECK(lookup_is_name("10.example"));
}

TEST(an_address_is_kept_until_it_fails)
{
    struct lookup *l = create();
    bool seen[ADDRESSES + 1] = {false};
    int got;
    CHECK_EQ(lookup_address(l, NS_PER_S, address), 0);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, answers(l, NS_PER_S, &got));
    CHECK_EQ(woken, 1);
    CHECK(!lookup_has_more(l)); /* nothing has failed */
    for (unsigned i = 0; i < ADDRESSES; i++) {
        CHECK_EQ(lookup_address(l, NS_PER_S, address), 1);
        seen[address[strlen(address) - 1] - '0'] = true;
        lookup_failed(l);
        CHECK_EQ(lookup_has_more(l), i + 1 < ADDRESSES);
    }
    CHECK(seen[1] && seen[2] && seen[3]);
    lookup_worked(l);
    lookup_failed(l);
    CHECK(lookup_has_more(l)); /* a round of its own */
    CHECK_EQ(asked, 1);
    CHECK_EQ(lookup_address(l, AGES_NS, address), 0); /* it may lead elsewhere by now */
    CHECK_WITHIN(CLIENT_DEADLINE_MS, answers(l, AGES_NS, &got));
    CHECK_EQ(asked, 2);
    lookup_leave(l);
}

TEST(a_failure_is_told_once_and_then_looked_for_again)
{
    struct lookup *l = create();
    int got;
    error = -11;
    CHECK_WITHIN(CLIENT_DEADLINE_MS, answers(l, NS_PER_S, &got));
    CHECK_EQ(got, -11);
    error = 0;
    CHECK_WITHIN(CLIENT_DEADLINE_MS, answers(l, NS_PER_S, &got));
    CHECK_EQ(got, 1);
    CHECK_EQ(asked, 2);
    lookup_leave(l);
}

TEST(there_is_one_at_a_time)
{
    struct lookup *l = create();
    int got;
    silent = true;
    for (int i = 0; i < 100; i++)
        CHECK_EQ(lookup_address(l, (uint64_t)i * NS_PER_S, address), 0);
    silent = false;
    CHECK_WITHIN(CLIENT_DEADLINE_MS, answers(l, AGES_NS, &got));
    CHECK_EQ(asked, 1);
    lookup_leave(l);
}

TEST(what_is_left_behind_wakes_nobody)
{
    struct lookup *l = create();
    silent = true;
    CHECK_EQ(lookup_address(l, NS_PER_S, address), 0);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, asked == 1);
    lookup_leave(l);
    silent = false;
    CHECK_WITHIN(CLIENT_DEADLINE_MS, returned == 1);
    CHECK_EQ(woken, 0);
}

/* ---- a client that needs it ---- */

static struct client c;
static struct l2_net net;

static void open_by_name(bool own_threads, uint16_t port, uint32_t timeout_ms)
{
    char uri[64];
    net = net_kernel;
    net.look_up = look_up;
    client_init(&c, own_threads);
    snprintf(uri, sizeof(uri), "redis://cache.example:%u", port);
    struct l2_config config = client_config(&c, uri);
    config.net = &net;
    config.connect_timeout_ms = timeout_ms;
    REQUIRE_EQ(l2_open(&config, &c.l2), 0);
}

static void end(void)
{
    silent = false;
    CHECK_WITHIN(CLIENT_DEADLINE_MS, returned == asked); /* before the test's own end */
    client_fini(&c);
}

static void close_soon(void)
{
    uint64_t from_ms = check_now_ms();
    l2_close(c.l2);
    CHECK_LT(check_now_ms() - from_ms, SOON_MS);
}

TEST(closing_does_not_wait_for_a_name_server)
{
    begin();
    silent = true;
    open_by_name(true, 1, 50);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, asked == 1);
    close_soon();
    end();
}

TEST(a_step_does_not_wait_for_a_name_server)
{
    begin();
    silent = true;
    open_by_name(false, 1, 50);
    uint64_t from_ms = check_now_ms();
    CHECK_WITHIN(CLIENT_DEADLINE_MS,
                 (l2_step(c.l2, NS_PER_MS), stats_read(&c.stats, STATS_L2_CONNECT_FAILED) > 0));
    CHECK_LT(check_now_ms() - from_ms, SOON_MS);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, asked == 1); /* its thread may be late */
    close_soon();
    end();
}

/* The attempt that asked is over when the name server answers: a later one has it. */
TEST(a_slow_name_server_is_good_enough)
{
    struct redis server;
    redis_start_tcp(&server, NULL);
    begin();
    silent = true;
    open_by_name(true, (uint16_t)server.port, 50);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, stats_read(&c.stats, STATS_L2_CONNECT_FAILED) > 0);
    silent = false;
    CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2)); /* by the address that is the server's */
    close_soon();
    end();
    redis_stop(&server);
}

/* "localhost" is ::1 and 127.0.0.1, say, and Redis listens at one of them. */
TEST(an_address_where_nobody_listens_is_no_outage)
{
    struct redis server;
    redis_start_tcp(&server, NULL);
    begin();
    dead_first = true;
    open_by_name(true, (uint16_t)server.port, 10000);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2));
    CHECK_EQ(stats_read(&c.stats, STATS_L2_CONNECT_FAILED), 0);
    close_soon();
    end();
    redis_stop(&server);
}
