// SPDX-License-Identifier: MIT
// Callers who find the connection idle: they write and read themselves, and hold nobody up, not
// even when they stand still.

#include <pthread.h>
#include <unistd.h>

#include "l2/client.h"
#include "l2/net.h"
#include "support/l2_client.h"

/* ---- a network that says who uses it, and keeps a thread in it ---- */

enum keep { KEEP_NOBODY, KEEP_IN_WRITE, KEEP_IN_READ, KEEP_AFTER_WAIT };

static pthread_t kept;           /* before `keep` */
static _Atomic int keep;         /* where this thread is kept ... */
static _Atomic unsigned entered; /* ... so often it has come there */
static _Atomic unsigned own_writes, other_writes, own_reads; /* of data connections */
static _Atomic int kept_fd;
static _Atomic unsigned kept_closed, kept_cut;

static bool is_kept_here(enum keep where)
{
    return atomic_load(&keep) == (int)where && pthread_equal(pthread_self(), kept);
}

static void stay(enum keep where, int fd)
{
    if (!is_kept_here(where))
        return;
    atomic_store(&kept_fd, fd);
    atomic_fetch_add(&entered, 1);
    while (atomic_load(&keep) == (int)where)
        check_pause();
}

static _Thread_local bool is_caller;

static long seen_write(void *arg, int fd, const void *data, size_t size)
{
    atomic_fetch_add(is_caller ? &own_writes : &other_writes, 1);
    stay(KEEP_IN_WRITE, fd);
    return net_kernel.write(arg, fd, data, size);
}

static long seen_read(void *arg, int fd, void *buffer, size_t size)
{
    if (is_caller)
        atomic_fetch_add(&own_reads, 1);
    stay(KEEP_IN_READ, fd);
    return net_kernel.read(arg, fd, buffer, size);
}

static void seen_cut(void *arg, int fd)
{
    if (fd == atomic_load(&kept_fd))
        atomic_fetch_add(&kept_cut, 1);
    net_kernel.cut(arg, fd);
}

static void seen_close(void *arg, int fd)
{
    if (fd == atomic_load(&kept_fd))
        atomic_fetch_add(&kept_closed, 1);
    net_kernel.close(arg, fd);
}

#define LATE_MS 300 /* three times what is slow */

static int late_wait(void *arg, int fd, uint32_t events, int wake_fd, uint64_t wait_ns)
{
    int ready = net_kernel.wait(arg, fd, events, wake_fd, wait_ns);
    if (!is_kept_here(KEEP_AFTER_WAIT))
        return ready;
    atomic_fetch_add(&entered, 1);
    uint64_t end_ms = check_now_ms() + LATE_MS;
    while (check_now_ms() < end_ms)
        check_pause();
    return ready;
}

static struct l2_net seen;
static struct redis server;
static struct client c;

static void begin(void)
{
    seen = net_kernel;
    seen.write = seen_write;
    seen.read = seen_read;
    seen.close = seen_close;
    seen.cut = seen_cut;
    seen.wait = late_wait;
    keep = KEEP_NOBODY;
    entered = own_writes = other_writes = own_reads = kept_closed = kept_cut = 0;
    kept_fd = -1;
    is_caller = true;
    redis_start(&server, NULL);
    client_init(&c, true);
    struct l2_config config = client_config(&c, server.uri);
    config.net = &seen;
    REQUIRE_EQ(l2_open(&config, &c.l2), 0);
    l2_set_patience(c.l2, CLIENT_DEADLINE_MS);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2)));
}

static void end(void)
{
    client_close(&c);
    redis_stop(&server);
}

/* One answer that has to be good. */
static void ask(void)
{
    struct l2_key key = client_key("k");
    struct l2_answer *a = CLIENT_ASK(&c, l2_get, &key);
    CHECK_EQ(a->status, 0);
    l2_answer_free(a);
}

/* Whether this thread has written and read a request itself. */
static bool asks_alone(void)
{
    unsigned writes = own_writes, reads = own_reads;
    ask();
    return own_writes > writes && own_reads > reads;
}

#define REQUIRE_ALONE() REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, asks_alone()))

static uint64_t connection_now(void)
{
    struct l2_gauges gauges;
    l2_gauges_read(c.l2, &gauges);
    return gauges.connection;
}

/* ---- alone ---- */

TEST(who_is_alone_writes_and_reads_himself)
{
    begin();
    REQUIRE_ALONE();
    unsigned others = other_writes, alone = 0;
    for (int i = 0; i < 200; i++)
        alone += asks_alone();
    CHECK(alone > 0); /* not all, on a machine so busy that some wait for long */
    CHECK_LE(other_writes - others, 200 - alone);
    end();
}

TEST(a_large_value_and_one_that_is_no_string_come_alone_too)
{
    begin();
    free(redis_command(&server, "EVAL %s 0",
                       "redis.call('SET', 't:!2:s:1:large', string.rep('x', 300000)) "
                       "redis.call('SET', 't:!2:s:1:room', string.rep('y', 3000)) "
                       "redis.call('RPUSH', 't:!2:s:1:list', 'a')"));
    static const struct {
        const char *name;
        size_t len;
        enum l2_verdict verdict;
    } keys[] = {{"large", 300000, L2_VALUE}, {"room", 3000, L2_VALUE}, {"list", 0, L2_VALUE},
                {"none", 0, L2_NONE}};
    for (int round = 0; round < 8; round++) {
        for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
            REQUIRE_ALONE();
            struct l2_key key = client_key(keys[i].name);
            struct l2_answer *a = CLIENT_ASK(&c, l2_get, &key);
            CHECK_EQ(a->status, 0);
            CHECK_EQ(a->verdict, keys[i].verdict);
            CHECK_EQ(a->value.len, keys[i].len);
            l2_answer_free(a);
        }
    }
    CHECK_EQ(stats_read(&c.stats, STATS_L2_LOST), 0);
    end();
}

TEST(a_script_that_redis_forgot_is_sent_by_its_text)
{
    begin();
    struct l2_key key = client_key("k");
    for (uint64_t token = 1; token < 4; token++) {
        const struct l2_lease lease = {.token = token, .lease_ms = 1000};
        free(redis_command(&server, "SCRIPT FLUSH"));
        free(redis_command(&server, "FLUSHALL"));
        REQUIRE_ALONE();
        struct l2_answer *a = CLIENT_ASK(&c, l2_lease, &key, &lease);
        CHECK_EQ(a->status, 0);
        CHECK_EQ(a->verdict, L2_GRANTED);
        l2_answer_free(a);
    }
    end();
}

TEST(an_idle_connection_that_ends_is_noticed)
{
    begin();
    REQUIRE_ALONE();
    uint64_t before = connection_now();
    redis_restart(&server, REDIS_EMPTY);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, connection_now() > before));
    REQUIRE_ALONE();
    end();
}

static _Atomic bool enough;

static void *ask_on(void *arg)
{
    struct l2_key key = client_key(arg);
    is_caller = true;
    while (!atomic_load(&enough)) {
        struct l2_answer *a = CLIENT_ASK(&c, l2_get, &key);
        l2_answer_free(a);
    }
    return NULL;
}

static char name[] = "k";

/* Whether the caller notices it first or the I/O thread: there was no failure to connect. */
TEST(a_connection_that_ends_under_a_caller_is_lost_once)
{
    pthread_t thread;
    begin();
    REQUIRE_ALONE();
    atomic_store(&enough, false);
    REQUIRE_EQ(pthread_create(&thread, NULL, ask_on, name), 0);
    for (int i = 0; i < 12; i++) {
        uint64_t before = connection_now();
        uint64_t writes = own_writes;
        CHECK_WITHIN(CLIENT_DEADLINE_MS, own_writes > writes);
        free(redis_command(&server, "CLIENT KILL TYPE normal SKIPME yes"));
        REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, connection_now() > before));
    }
    atomic_store(&enough, true);
    pthread_join(thread, NULL);
    CHECK_EQ(stats_read(&c.stats, STATS_L2_CONNECT_FAILED), 0);
    end();
}

/* ---- for a callback ---- */

struct told {
    _Atomic unsigned times;
    _Atomic int status;
    _Atomic bool by_caller;
};

static void be_told(void *arg, struct l2_answer *answer)
{
    struct told *t = arg;
    atomic_store(&t->status, answer->status);
    atomic_store(&t->by_caller, is_caller);
    l2_answer_free(answer);
    atomic_fetch_add(&t->times, 1);
}

/* Makes a request, and lends this thread to it for so long. */
static void lend(struct told *t, uint32_t ms)
{
    struct l2_key key = client_key("k");
    struct l2_sync s;
    struct l2_op op;
    REQUIRE(CHECK_WITHIN(
        CLIENT_DEADLINE_MS,
        (op = l2_lend(&s, &c.env, clock_deadline_ns(c.env.clock, ms),
                      l2_op_of(clock_deadline_ns(c.env.clock, CLIENT_DEADLINE_MS), be_told, t)),
         l2_get(c.l2, &key, &op) == 0)));
    l2_drive(&s);
    memset(&s, 0xa5, sizeof(s)); /* whoever comes too late finds nothing that he could use */
}

static bool is_told_here(void)
{
    struct told t = {.status = 1};
    unsigned writes = own_writes, reads = own_reads;
    lend(&t, CLIENT_DEADLINE_MS);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, atomic_load(&t.times) == 1));
    CHECK_EQ(t.status, 0);
    CHECK(!t.by_caller || (own_writes > writes && own_reads > reads));
    return t.by_caller;
}

TEST(who_lends_his_thread_writes_reads_and_is_told_there)
{
    begin();
    REQUIRE_ALONE();
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, is_told_here()));
    end();
}

/* Requests behind which nobody waits come and go, and callers still drive. */
TEST(requests_that_nobody_waits_for_do_not_end_it)
{
    static struct told t;
    struct l2_key key = client_key("k");
    begin();
    REQUIRE_ALONE();
    t.times = 0;
    for (unsigned i = 1; i <= 50; i++) {
        const struct l2_op op =
            l2_op_of(clock_deadline_ns(c.env.clock, CLIENT_DEADLINE_MS), be_told, &t);
        REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_get(c.l2, &key, &op) == 0));
        ask(); /* beside it */
        REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, atomic_load(&t.times) == i));
        REQUIRE_ALONE();
    }
    end();
}

TEST(a_lender_goes_on_when_his_time_is_over)
{
    struct told late = {.status = 1};
    begin();
    REQUIRE_ALONE();
    redis_pause(&server);
    lend(&late, 1);
    redis_resume(&server);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, atomic_load(&late.times) == 1));
    CHECK(late.status == 0 || late.status == NIGH_EOFFLINE); /* paused for long */
    ask();
    CHECK_EQ(late.times, 1);
    end();
}

/* ---- with others ---- */

/* From a server that is paused: for too long, on a machine that keeps all of us waiting. */
static void *ask_thread(void *arg)
{
    struct l2_key key = client_key(arg);
    is_caller = true;
    struct l2_answer *a = CLIENT_ASK(&c, l2_get, &key);
    CHECK(a->status == 0 || a->status == NIGH_EOFFLINE);
    l2_answer_free(a);
    return NULL;
}

TEST(another_request_does_not_wait_for_the_reply_to_the_first)
{
    pthread_t first, second;
    begin();
    REQUIRE_ALONE();
    redis_pause(&server);
    unsigned before = own_writes + other_writes;
    REQUIRE_EQ(pthread_create(&first, NULL, ask_thread, name), 0);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, own_writes + other_writes == before + 1);
    REQUIRE_EQ(pthread_create(&second, NULL, ask_thread, name), 0);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, own_writes + other_writes == before + 2);
    redis_resume(&server);
    pthread_join(first, NULL);
    pthread_join(second, NULL);
    end();
}

enum { THREADS = 6, ROUNDS = 300 };

/* Each asks for keys of its own, and must get what they hold. */
static void *ask_much(void *arg)
{
    unsigned number = (unsigned)(uintptr_t)arg;
    struct random dice;
    random_init(&dice, number + 1);
    for (int i = 0; i < ROUNDS; i++) {
        char own[16], value[16];
        snprintf(own, sizeof(own), "%u", number);
        snprintf(value, sizeof(value), "value %u", number);
        struct l2_key key = client_key(own);
        struct l2_answer *a = CLIENT_ASK(&c, l2_get, &key);
        CHECK_EQ(a->status, 0);
        CHECK_MEM(a->value.data, a->value.len, value, strlen(value));
        l2_answer_free(a);
        if (random_below(&dice, 20) == 0)
            check_pause();
    }
    return NULL;
}

TEST(callers_come_and_go)
{
    pthread_t threads[THREADS];
    begin();
    free(redis_command(&server, "EVAL %s 0",
                       "for i = 0, 5 do redis.call('SET', 't:!2:s:1:' .. i, 'value ' .. i) end"));
    for (uintptr_t n = 1; n <= THREADS; n++) {
        for (uintptr_t i = 0; i < n; i++)
            REQUIRE_EQ(pthread_create(&threads[i], NULL, ask_much, (void *)i), 0);
        for (uintptr_t i = 0; i < n; i++)
            pthread_join(threads[i], NULL);
    }
    CHECK_EQ(stats_read(&c.stats, STATS_L2_LOST), 0);
    end();
}

/* ---- a caller that stands still ---- */

static _Atomic int stuck_status;

static void *lend_and_stand_still(void *arg)
{
    is_caller = true;
    kept = pthread_self();
    for (atomic_store(&keep, (enum keep)(uintptr_t)arg); atomic_load(&entered) == 0;) {
        struct told t = {.status = 1};
        lend(&t, CLIENT_DEADLINE_MS);
        CHECK_WITHIN(CLIENT_DEADLINE_MS, atomic_load(&t.times) == 1);
        atomic_store(&stuck_status, t.status);
    }
    return NULL;
}

static void *stand_still(void *arg)
{
    struct l2_key key = client_key("k");
    enum keep where = (enum keep)(uintptr_t)arg;
    is_caller = true;
    kept = pthread_self();
    for (atomic_store(&keep, where); atomic_load(&entered) == 0;) {
        struct l2_sync s;
        const struct l2_op op = client_op(&c, &s, CLIENT_DEADLINE_MS);
        if (l2_get(c.l2, &key, &op) != 0)
            continue;
        struct l2_answer *a = l2_sync_wait(&s);
        atomic_store(&stuck_status, a->status);
        l2_answer_free(a);
    }
    return NULL;
}

static _Atomic int told_status;
static uint64_t stuck_connection;

/* In time; or the connection has gone, or another one is there, for this thread was kept as long as
 * the other may be. */
static void check_late(const struct l2_answer *answer)
{
    bool lost = answer->status == NIGH_EOFFLINE && answer->connection == stuck_connection;
    bool replaced = answer->status == 0 && answer->connection > stuck_connection;
    CHECK(lost || replaced || answer->status == NIGH_ETIMEDOUT);
}

static void tell(void *arg, struct l2_answer *answer)
{
    (void)arg;
    check_late(answer);
    atomic_store(&told_status, answer->status);
    l2_answer_free(answer);
}

/* Requests that others make meanwhile end at their deadlines, whether somebody waits or is told. */
static void check_others_end_in_time(void)
{
    struct l2_key key = client_key("k");
    struct l2_sync s;
    atomic_store(&told_status, 1);
    const struct l2_op later = l2_op_of(clock_deadline_ns(c.env.clock, 60), tell, NULL);
    const struct l2_op now = client_op(&c, &s, 30);
    if (l2_get(c.l2, &key, &later) == 0)
        CHECK_WITHIN(CLIENT_DEADLINE_MS, atomic_load(&told_status) != 1);
    if (l2_get(c.l2, &key, &now) != 0)
        return;
    struct l2_answer *a = l2_sync_wait(&s);
    check_late(a);
    l2_answer_free(a);
}

static void check_standing_still(void *(*run)(void *), enum keep where)
{
    pthread_t thread;
    begin();
    REQUIRE_ALONE();
    uint64_t before = stuck_connection = connection_now();
    REQUIRE_EQ(pthread_create(&thread, NULL, run, (void *)(uintptr_t)where), 0);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, entered == 1));
    check_others_end_in_time();
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, connection_now() > before));
    unsigned own = own_writes;
    for (int i = 0; i < 20; i++)
        ask();
    CHECK_EQ(own_writes, own); /* for a while nobody drives but the I/O thread */
    CHECK_EQ(kept_closed, 0);  /* its descriptor is still its own */
    atomic_store(&keep, KEEP_NOBODY);
    pthread_join(thread, NULL);
    CHECK_EQ(stuck_status, NIGH_EOFFLINE);
    CHECK_EQ(kept_closed, 1);
    ask();
    end();
}

TEST(who_stands_still_in_a_write_holds_nobody_up)
{
    check_standing_still(stand_still, KEEP_IN_WRITE);
}

TEST(who_stands_still_in_a_read_holds_nobody_up)
{
    check_standing_still(stand_still, KEEP_IN_READ);
}

TEST(who_stands_still_with_a_lent_thread_holds_nobody_up)
{
    check_standing_still(lend_and_stand_still, KEEP_IN_READ);
}

/* The host closes all descriptors (closefrom) under a caller who stands still: the number of his is
 * anybody's from then on, so it is neither shut down nor closed. */
static void check_closed_under(enum keep where)
{
    pthread_t thread;
    uint64_t one = 1;
    begin();
    REQUIRE_ALONE();
    REQUIRE_EQ(pthread_create(&thread, NULL, stand_still, (void *)(uintptr_t)where), 0);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, entered == 1));
    atomic_store(&c.l2->gone, true);
    CHECK_EQ(write(c.l2->home->wake_fd, &one, sizeof(one)), (ssize_t)sizeof(one));
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, !l2_connected(c.l2)));
    atomic_store(&keep, KEEP_NOBODY);
    pthread_join(thread, NULL);
    CHECK_EQ(stuck_status, NIGH_EOFFLINE);
    CHECK_EQ(kept_cut, 0);
    CHECK_EQ(kept_closed, 0);
    close(kept_fd);
    kept_fd = -1;
    atomic_store(&c.l2->gone, false);
    end();
}

TEST(who_writes_to_a_descriptor_that_the_host_has_closed_touches_it_no_more)
{
    check_closed_under(KEEP_IN_WRITE);
}

TEST(who_reads_from_a_descriptor_that_the_host_has_closed_touches_it_no_more)
{
    check_closed_under(KEEP_IN_READ);
}

/* The reply is there, and its caller is not: that is no slow server. */
TEST(who_looks_late_does_not_open_the_breaker)
{
    begin();
    REQUIRE_ALONE();
    l2_set_patience(c.l2, 250);
    kept = pthread_self();
    unsigned others = other_writes;
    atomic_store(&keep, KEEP_AFTER_WAIT);
    for (int i = 0; i < 6; i++)
        ask();
    CHECK(entered > 0);
    atomic_store(&keep, KEEP_NOBODY);
    if (other_writes == others) /* else the I/O thread had one: it may have been kept from it */
        CHECK_EQ(stats_read(&c.stats, STATS_L2_BREAKER_OPEN), 0);
    end();
}
