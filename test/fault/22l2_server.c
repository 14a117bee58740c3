// SPDX-License-Identifier: MIT
// A real server absent, killed, stopped, refusing, demoted; sockets and memory that fail:
// requests end exactly once and in time, nothing leaks, and the client is back when the server
// is.

#include <dirent.h>
#include <netdb.h>
#include <signal.h>

#include "support/l2_client.h"

static struct redis server;
static struct client c;

/* ---- requests that are counted ---- */

enum { MANY = 200 };
static _Atomic unsigned done_counts[MANY];
static _Atomic unsigned done_total;
static _Atomic int last_status;

static void count_done(void *arg, struct l2_answer *answer)
{
    _Atomic unsigned *count = arg;
    atomic_fetch_add(count, 1);
    atomic_store(&last_status, answer->status);
    l2_answer_free(answer);
    atomic_fetch_add(&done_total, 1);
}

/* Submit MANY; returns how many were taken. */
static unsigned submit_many(uint32_t deadline_ms)
{
    struct l2_key key = client_key("k");
    unsigned taken = 0;
    memset(done_counts, 0, sizeof(done_counts));
    atomic_store(&done_total, 0);
    for (unsigned i = 0; i < MANY; i++) {
        const struct l2_op op =
            l2_op_of(clock_deadline_ns(c.env.clock, deadline_ms), count_done, &done_counts[taken]);
        int refused = l2_get(c.l2, &key, &op);
        CHECK(refused == 0 || refused == NIGH_EOFFLINE);
        taken += !refused;
    }
    return taken;
}

static void check_each_done_once(unsigned taken)
{
    CHECK_WITHIN(CLIENT_DEADLINE_MS, atomic_load(&done_total) == taken);
    for (unsigned i = 0; i < MANY; i++)
        CHECK_EQ(atomic_load(&done_counts[i]), i < taken);
}

static unsigned open_fds(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    REQUIRE(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void open_unconnected(const char *uri)
{
    client_init(&c, true);
    struct l2_config config = client_config(&c, uri);
    REQUIRE_EQ(l2_open(&config, &c.l2), 0);
}

/* ---- absent, killed, stopped ---- */

TEST(opening_does_not_wait_for_a_server)
{
    redis_start(&server, NULL);
    redis_kill(&server);
    open_unconnected(server.uri);
    struct l2_key key = client_key("k");
    struct l2_sync s;
    const struct l2_op op = client_op(&c, &s, 1000);
    CHECK_EQ(l2_get(c.l2, &key, &op), NIGH_EOFFLINE);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, stats_read(&c.stats, STATS_L2_CONNECT_FAILED) > 0);
    redis_restart(&server, REDIS_EMPTY);
    CHECK_WITHIN(2 * CLIENT_DEADLINE_MS, l2_connected(c.l2));
    l2_answer_free(CLIENT_ASK(&c, l2_get, &key));
    client_close(&c);
    redis_stop(&server);
}

TEST(killed_with_requests_in_flight_and_back)
{
    unsigned fds = open_fds();
    redis_start(&server, NULL);
    client_open(&c, server.uri);
    for (uint64_t round = 1; round <= 5; round++) {
        redis_pause(&server); /* so that requests are in flight when it dies */
        unsigned taken = submit_many(60000);
        CHECK_EQ(taken, MANY);
        redis_kill(&server);
        check_each_done_once(taken);
        CHECK_EQ(atomic_load(&last_status), NIGH_EOFFLINE);
        CHECK(!l2_connected(c.l2));
        CHECK_EQ(stats_read(&c.stats, STATS_L2_LOST), round);
        redis_restart(&server, REDIS_EMPTY);
        REQUIRE(CHECK_WITHIN(2 * CLIENT_DEADLINE_MS, l2_connected(c.l2)));
        l2_answer_free(CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 1, 1))); /* proves the connection */
    }
    client_close(&c);
    redis_stop(&server);
    CHECK_EQ(open_fds(), fds);
}

TEST(a_restarted_server_is_another_home_and_clock)
{
    redis_start(&server, NULL);
    client_open(&c, server.uri);
    struct l2_answer *before = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 1, 1));
    redis_save(&server);
    redis_restart(&server, REDIS_SAVED);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, stats_read(&c.stats, STATS_L2_CONNECT) == 2);
    struct l2_key key = client_key("k");
    struct l2_answer *get = CLIENT_ASK(&c, l2_get, &key);
    struct l2_answer *after = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 1, 2));
    CHECK_NE(get->home, before->home);
    CHECK_EQ(get->home, after->home);
    CHECK_NE(after->clock.identity, before->clock.identity);
    CHECK_NE(get->connection, before->connection);
    l2_answer_free(before);
    l2_answer_free(get);
    l2_answer_free(after);
    client_close(&c);
    redis_stop(&server);
}

TEST(a_stopped_server_keeps_no_request_past_its_deadline)
{
    struct l2_outage outage;
    redis_start(&server, NULL);
    client_open(&c, server.uri);
    uint64_t idle_ms = check_now_ms() + 500; /* nothing is asked, so nothing is away */
    CHECK_WITHIN(CLIENT_DEADLINE_MS, check_now_ms() >= idle_ms);
    redis_pause(&server);
    uint64_t start_ms = check_now_ms();
    unsigned taken = submit_many(100);
    check_each_done_once(taken);
    CHECK_EQ(atomic_load(&last_status), NIGH_ETIMEDOUT);
    CHECK_GE(check_now_ms() - start_ms, 99);
    /* Still awaited replies give the connection up; connecting again leads nowhere either. */
    CHECK_WITHIN(CLIENT_DEADLINE_MS, !l2_connected(c.l2));
    CHECK_WITHIN(CLIENT_DEADLINE_MS, stats_read(&c.stats, STATS_L2_CONNECT_FAILED) > 0);
    redis_resume(&server);
    CHECK_WITHIN(2 * CLIENT_DEADLINE_MS, l2_connected(c.l2));
    CHECK_WITHIN(CLIENT_DEADLINE_MS, (l2_outage_read(c.l2, &outage), outage.text[0]));
    CHECK_STR(outage.first, "silent with requests pending");
    CHECK_GE(outage.lasted_ms, 2000);
    CHECK_LT(outage.lasted_ms + outage.ago_ms, check_now_ms() - (idle_ms - 250));
    struct l2_key key = client_key("k");
    struct l2_answer *a = CLIENT_ASK(&c, l2_get, &key);
    CHECK_EQ(a->status, 0);
    l2_answer_free(a);
    client_close(&c);
    redis_stop(&server);
}

/* ---- credentials ---- */

static uint64_t connects_with(const char *userinfo, const char *query)
{
    char uri[300];
    snprintf(uri, sizeof(uri), "unix://%s%s%s", userinfo, server.socket, query);
    open_unconnected(uri);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, stats_read(&c.stats, STATS_L2_CONNECT) +
                                             stats_read(&c.stats, STATS_L2_CONNECT_FAILED) > 0);
    uint64_t connects = stats_read(&c.stats, STATS_L2_CONNECT);
    client_close(&c);
    return connects;
}

TEST(credentials)
{
    static char *const args[] = {"--requirepass", "se:cr@et", "--databases", "4", NULL};
    redis_start(&server, args);
    CHECK_EQ(connects_with("", ""), 0);
    CHECK_EQ(connects_with(":wrong@", ""), 0);
    CHECK_EQ(connects_with("nobody:se%3acr%40et@", ""), 0);
    CHECK_EQ(connects_with(":se%3acr%40et@", ""), 1);
    CHECK_EQ(connects_with("default:se%3acr%40et@", ""), 1);
    CHECK_EQ(connects_with(":se%3acr%40et@", "?db=3"), 1);
    CHECK_EQ(connects_with(":se%3acr%40et@", "?db=4"), 0);
    redis_stop(&server);
}

TEST(database_is_chosen)
{
    char uri[300];
    redis_start(&server, NULL);
    snprintf(uri, sizeof(uri), "%s?db=3", server.uri);
    client_open(&c, uri);
    l2_answer_free(CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 1, 1)));
    char *keyspace = redis_command(&server, "INFO keyspace");
    CHECK(keyspace && strstr(keyspace, "db3:keys=1") && !strstr(keyspace, "db0"));
    free(keyspace);
    client_close(&c);
    redis_stop(&server);
}

/* A bare installation may have no /etc/hosts. */
static bool knows_localhost(void)
{
    struct addrinfo *list;
    if (getaddrinfo("localhost", NULL, NULL, &list)) {
        check_note("this machine does not know localhost: tried by number only");
        return false;
    }
    freeaddrinfo(list);
    return true;
}

TEST(over_tcp_by_name_and_by_number)
{
    char uri[64];
    struct l2_key key = client_key("k");
    redis_start_tcp(&server, NULL);
    client_open(&c, server.uri);
    l2_answer_free(CLIENT_ASK(&c, l2_get, &key));
    client_close(&c);
    if (knows_localhost()) {
        snprintf(uri, sizeof(uri), "redis://localhost:%d", server.port);
        client_open(&c, uri); /* its first address may be ::1, where nobody listens */
        l2_answer_free(CLIENT_ASK(&c, l2_get, &key));
        redis_kill(&server);
        CHECK_WITHIN(CLIENT_DEADLINE_MS, !l2_connected(c.l2));
        client_close(&c);
    }
    redis_stop(&server);
    open_unconnected("redis://no..host"); /* no resolver is asked for an empty label */
    CHECK_WITHIN(CLIENT_DEADLINE_MS, stats_read(&c.stats, STATS_L2_CONNECT_FAILED) > 0);
    client_close(&c);
}

/* ---- demoted, without replicas ---- */

TEST(a_demoted_master_is_left_until_it_is_one_again)
{
    redis_start(&server, NULL);
    client_open(&c, server.uri);
    /* So that the next one need not write. */
    l2_answer_free(CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 1, 1)));
    free(redis_command(&server, "REPLICAOF 127.0.0.1 1"));
    struct l2_answer *a = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 1, 1));
    CHECK_EQ(a->status, NIGH_EOFFLINE);
    l2_answer_free(a);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, !l2_connected(c.l2));
    CHECK_WITHIN(CLIENT_DEADLINE_MS, stats_read(&c.stats, STATS_L2_CONNECT_FAILED) > 0);
    CHECK_EQ(stats_read(&c.stats, STATS_L2_CONNECT), 1);
    free(redis_command(&server, "REPLICAOF NO ONE"));
    CHECK_WITHIN(2 * CLIENT_DEADLINE_MS, l2_connected(c.l2));
    client_close(&c);
    redis_stop(&server);
}

TEST(a_master_without_its_replicas_is_left)
{
    redis_start(&server, NULL);
    client_open(&c, server.uri);
    l2_answer_free(CLIENT_ASK(&c, l2_resync, CLIENT_RESYNC(1)));
    free(redis_command(&server, "CONFIG SET min-replicas-to-write 1"));
    struct l2_answer *a = CLIENT_ASK(&c, l2_resync, CLIENT_RESYNC(1));
    CHECK_EQ(a->status, NIGH_EOFFLINE);
    l2_answer_free(a);
    client_close(&c);
    redis_stop(&server);
}

static bool beat_is_answered(void)
{
    struct l2_answer *a = CLIENT_ASK(&c, l2_beat, CLIENT_BEAT(0, 1, 1));
    bool good = a->status == 0;
    l2_answer_free(a);
    return good;
}

/* False once the client does not even ask. */
static bool get_is_sent_and_refused(void)
{
    struct l2_sync s;
    struct l2_key key = client_key("k");
    const struct l2_op op = client_op(&c, &s, CLIENT_DEADLINE_MS);
    if (l2_get(c.l2, &key, &op))
        return false;
    struct l2_answer *a = l2_sync_wait(&s);
    CHECK_EQ(a->status, NIGH_EREDIS);
    l2_answer_free(a);
    return true;
}

static bool is_busy(void)
{
    char *reply = redis_command(&server, "PING");
    bool busy = reply && strstr(reply, "BUSY");
    free(reply);
    return busy;
}

TEST(a_server_busy_with_a_script_is_left_alone_but_for_beats)
{
    redis_start(&server, NULL);
    free(redis_command(&server, "CONFIG SET busy-reply-threshold 10"));
    client_open(&c, server.uri);
    struct l2_key key = client_key("k");
    server.command_ms = 500; /* it will not answer */
    free(redis_command(&server, "EVAL %s 0", "while true do end"));
    CHECK_WITHIN(CLIENT_DEADLINE_MS, is_busy());
    server.command_ms = 0;
    CHECK_WITHIN(CLIENT_DEADLINE_MS, !get_is_sent_and_refused());
    CHECK_EQ(stats_read(&c.stats, STATS_L2_BREAKER_OPEN), 1);
    free(redis_command(&server, "SCRIPT KILL"));
    CHECK_WITHIN(CLIENT_DEADLINE_MS, beat_is_answered());
    struct l2_answer *a = CLIENT_ASK(&c, l2_get, &key);
    CHECK_EQ(a->status, 0);
    l2_answer_free(a);
    client_close(&c);
    redis_stop(&server);
}

/* A host may have SIGPIPE at its default: writing to a closed peer must not end the process. */
TEST(no_sigpipe)
{
    signal(SIGPIPE, SIG_DFL);
    redis_start(&server, NULL);
    client_open(&c, server.uri);
    for (int i = 0; i < 3; i++) {
        redis_kill(&server);
        submit_many(100);
        redis_restart(&server, REDIS_EMPTY);
        CHECK_WITHIN(2 * CLIENT_DEADLINE_MS, l2_connected(c.l2));
    }
    client_close(&c);
    redis_stop(&server);
}

#if NIGH_FAULTS

/* ---- each socket call and each allocation fails once ---- */

/* Open, connect, use all of the client, close; whatever fails, it works in the end. */
static void use_everything(void)
{
    struct l2_sync s;
    struct l2_op op;
    struct l2_key key = client_key("k");
    struct bytes envelope = client_envelope(1, 0, "v");
    const struct l2_lease lease = {.token = 1, .lease_ms = 1000};
    const struct l2_fill fill = {
        .token = 1, .connection = 1, .hard_ms = 1000, .envelope = envelope};
    const struct l2_lease_of lease_list[] = {{.key = {"a", 1}, .token = 1},
                                             {.key = {"b", 1}, .token = 1}};
    const struct l2_leases leases = {key.space, key.schema, 1000, lease_list, 2};
    const struct l2_fill_of fill_list[] = {{{"a", 1}, 1000, envelope}, {{"b", 1}, 1000, envelope}};
    const struct l2_fills fills = {
        .space = key.space, .schema = key.schema, .connection = 1, .list = fill_list, .count = 2};
    const struct l2_change_group group = {3, false};
    const struct l2_change_key set = {
        .key = key, .mode = L2_SET, .envelope = envelope, .hard_ms = 1000};
    const struct l2_change change = {
        .keys = &set, .key_count = 1, .groups = &group, .group_count = 1, .nonce = 1, .schemas = 1};
#define TRY(call, ...)                                                                             \
    do {                                                                                           \
        op = client_op(&c, &s, 300);                                                               \
        int refused_ = call(c.l2, ##__VA_ARGS__, &op);                                             \
        CHECK(refused_ == 0 || refused_ == NIGH_ENOMEM || refused_ == NIGH_EOFFLINE);              \
        if (!refused_)                                                                             \
            l2_answer_free(l2_sync_wait(&s));                                                      \
    } while (0)
    TRY(l2_get, &key);
    TRY(l2_lease, &key, &lease);
    TRY(l2_fill, &key, &fill);
    TRY(l2_lease_many, &leases);
    TRY(l2_fill_many, &fills);
    TRY(l2_extend, &key, 1, 1000);
    TRY(l2_change, &change);
    TRY(l2_beat, CLIENT_BEAT(0, 100, 1));
    TRY(l2_resync, CLIENT_RESYNC(1));
#undef TRY
    client_envelope_free(envelope);
}

static void channel_nothing(void *arg)
{
    (void)arg;
}

static void channel_message(void *arg, struct bytes payload)
{
    (void)arg, (void)payload;
}

/* Connect a channel; it may need several attempts. */
static bool use_channel(void)
{
    const struct l2_channel_config config = {c.l2, channel_message, channel_message,
                                             channel_nothing, channel_nothing, NULL};
    struct l2_channel *channel;
    if (l2_channel_create(&config, &channel))
        return false;
    for (int i = 0; i < 5; i++)
        l2_channel_step(channel, NS_PER_MS);
    l2_channel_destroy(channel);
    return true;
}

static void fail_each(enum fault_site site, uint64_t limit)
{
    unsigned fds = open_fds();
    uint64_t seen = 1;
    for (uint64_t nth = 1; nth <= u64_min(seen, limit); nth++) {
        client_init(&c, true);
        struct l2_config config = client_config(&c, server.uri);
        fault_arm(site, nth);
        int failed = l2_open(&config, &c.l2);
        if (!failed) {
            CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2));
            use_everything();
            use_channel();
            seen = u64_max(seen, fault_count(site));
            fault_arm(site, 0);
            CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2));
            struct l2_answer *a = CLIENT_ASK(&c, l2_resync, CLIENT_RESYNC(1));
            CHECK_EQ(a->status, 0);
            l2_answer_free(a);
            l2_close(c.l2);
        } else {
            CHECK(failed == NIGH_ENOMEM || failed == NIGH_ETHREAD);
            seen++;
        }
        fault_arm(site, 0);
        client_fini(&c);
    }
    check_note("site %d: %llu calls", (int)site, (unsigned long long)seen);
    CHECK_GT(seen, 1);
    CHECK_EQ(open_fds(), fds);
}

TEST(each_socket_call_fails_once)
{
    redis_start(&server, NULL);
    fail_each(FAULT_SOCKET, 10);
    fail_each(FAULT_CONNECT, 10);
    fail_each(FAULT_READ, 60);
    fail_each(FAULT_WRITE, 60);
    redis_stop(&server);
}

TEST(each_allocation_fails_once)
{
    redis_start(&server, NULL);
    fail_each(FAULT_ALLOC, 500);
    redis_stop(&server);
}

TEST(the_thread_does_not_start)
{
    unsigned fds = open_fds();
    redis_start(&server, NULL);
    client_init(&c, true);
    struct l2_config config = client_config(&c, server.uri);
    fault_arm(FAULT_THREAD, 1);
    CHECK_EQ(l2_open(&config, &c.l2), NIGH_ETHREAD);
    fault_arm(FAULT_THREAD, 0);
    client_fini(&c);
    redis_stop(&server);
    CHECK_EQ(open_fds(), fds);
}

#endif
