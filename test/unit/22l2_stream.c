// SPDX-License-Identifier: MIT
// Streams that are no sockets: they hold bytes back, want room to read and input to write, take a
// part or nothing. Whoever drives gets the same answers over them as over a socket.

#include "l2/net.h"
#include "support/l2_values.h"
#include "support/odd_stream.h"

enum { VALUES = 40, VALUE_STEP = 97 };

static struct redis server;
static struct client c;

static size_t len_of(int i)
{
    return (size_t)i * VALUE_STEP;
}

static const struct values values = {&c, &server, VALUES, len_of};

/* All that a stream may do ... */
static const struct odd_habits wild = {.piece_max = 40, .short_writes = 3, .no_writes = 4,
                                       .wants_room = 4, .wants_input = 6, .late_reads = 8,
                                       .agrees = true};
/* ... and what does not end the turn of a caller who drives. */
static const struct odd_habits tame = {.piece_max = 200, .late_reads = 8};

static void open_over(const struct odd_habits *habits, bool own_threads)
{
    redis_start(&server, NULL);
    client_init(&c, own_threads);
    struct l2_config config = client_config(&c, server.uri);
    config.stream = odd_stream(habits);
    REQUIRE_EQ(l2_open(&config, &c.l2), 0);
    l2_set_patience(c.l2, CLIENT_DEADLINE_MS);
}

static void begin(const struct odd_habits *habits)
{
    open_over(habits, true);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2)));
}

static void end(void)
{
    client_close(&c);
    redis_stop(&server);
    CHECK_EQ(odd_counts.opened, odd_counts.closed);
}

/* ---- many at once ---- */

TEST(threads_are_answered_as_over_a_socket)
{
    begin(&wild);
    values_store(&values);
    values_ask_on_threads(&values, 6, 120);
    CHECK(odd_counts.agreed > 0);
    CHECK(odd_counts.held > 0);
    CHECK(odd_counts.short_writes > 0);
    CHECK(odd_counts.no_writes > 0);
    CHECK(odd_counts.wanted_room > 0);
    CHECK(odd_counts.wanted_input > 0);
    end();
}

TEST(a_script_by_its_text_and_many_keys_come_whole)
{
    begin(&wild);
    values_store(&values);
    struct bytes keys[VALUES];
    static char names[VALUES][8];
    for (int i = 0; i < VALUES; i++)
        keys[i] = values_key(i, names[i]).key;
    struct l2_key key = client_key("lease");
    for (uint64_t round = 1; round <= 20; round++) {
        const struct l2_lease lease = {.token = round, .lease_ms = 1};
        if (round % 5 == 0)
            free(redis_command(&server, "SCRIPT FLUSH"));
        struct l2_answer *a = CLIENT_ASK(&c, l2_lease, &key, &lease);
        CHECK(a->status == NIGH_EOFFLINE || a->status == 0);
        CHECK(a->status != 0 || a->verdict == L2_GRANTED || a->verdict == L2_HELD);
        l2_answer_free(a);
        a = CLIENT_ASK(&c, l2_get_many, bytes_of_string("s"), bytes_of_string("1"), keys, VALUES);
        CHECK(a->status == NIGH_EOFFLINE || a->status == 0);
        for (uint32_t i = 0; i < VALUES && a->status == 0; i++) {
            struct bytes value;
            CHECK_EQ(l2_answer_at(a, i, &value), L2_VALUE);
            values_check_text(value, len_of((int)i));
        }
        l2_answer_free(a);
    }
    end();
}

/* ---- a caller alone ---- */

static struct l2_net seen;
static struct stream_kind seen_kind;
static const struct stream_kind *odd;
static _Thread_local bool is_caller;
static _Atomic unsigned own_reads, other_reads, own_writes, crossed;
static _Atomic bool says_more, rests_for_ever;

/* What only the I/O thread may do: a caller does not wait for room. */
static long read_seen(struct stream *s, void *buffer, size_t size)
{
    *(is_caller ? &own_reads : &other_reads) += 1;
    crossed += is_caller && s->read_waits == L2_FOR_ROOM;
    return odd->read(s, buffer, size);
}

static long write_seen(struct stream *s, const void *data, size_t size)
{
    own_writes += is_caller;
    return odd->write(s, data, size);
}

/* Says something that nobody has asked for behind what a caller reads. */
static long read_more(void *arg, int fd, void *buffer, size_t size)
{
    static const char more[] = "+more\r\n";
    long n = net_kernel.read(arg, fd, buffer, size - sizeof(more));
    if (n <= 0 || !is_caller || !atomic_exchange(&says_more, false))
        return n;
    memcpy((char *)buffer + n, more, sizeof(more) - 1);
    return n + (long)sizeof(more) - 1;
}

/* The I/O thread's rest, while callers drive: no timer ends it. */
static int rest_seen(void *arg, int fd, int wake_fd, uint64_t wait_ns)
{
    int ready;
    do
        ready = net_kernel.wait_end(arg, fd, wake_fd, wait_ns);
    while (ready == 0 && rests_for_ever);
    return ready;
}

static void begin_seen(const struct odd_habits *habits)
{
    odd = odd_stream(habits);
    seen_kind = *odd;
    seen_kind.read = read_seen;
    seen_kind.write = write_seen;
    seen = net_kernel;
    seen.read = read_more;
    seen.wait_end = rest_seen;
    is_caller = true;
    own_reads = other_reads = own_writes = crossed = 0;
    redis_start(&server, NULL);
    client_init(&c, true);
    struct l2_config config = client_config(&c, server.uri);
    config.net = &seen;
    config.stream = &seen_kind;
    REQUIRE_EQ(l2_open(&config, &c.l2), 0);
    l2_set_patience(c.l2, CLIENT_DEADLINE_MS);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2)));
}

/* Whether this thread alone has written the request and read the reply. */
static bool asks_alone(int i)
{
    unsigned reads = own_reads, writes = own_writes, others = other_reads;
    values_ask(&values, i);
    return own_reads > reads && own_writes > writes && other_reads == others;
}

/* The stream has taken all of the reply from the socket: who slept on that would leave the rest to
 * the I/O thread. */
TEST(a_caller_alone_takes_what_the_stream_holds)
{
    begin_seen(&tame);
    values_store(&values);
    for (int i = 0; i < VALUES; i++)
        CHECK_WITHIN(CLIENT_DEADLINE_MS, asks_alone(i));
    CHECK(odd_counts.held > VALUES);
    end();
}

TEST(a_caller_alone_leaves_the_rest_to_the_io_thread)
{
    begin_seen(&wild);
    values_store(&values);
    for (int round = 0; round < 10; round++)
        for (int i = 0; i < VALUES; i++)
            values_ask(&values, i);
    CHECK(own_writes > 0);
    CHECK_EQ(crossed, 0);
    end();
}

/* It is inside the stream, where the I/O thread sees it at no socket: it has to be woken. (Else it
 * would come upon it at its next look, or the next caller would take it for his reply.) */
TEST(what_comes_behind_an_answer_is_seen_by_the_io_thread)
{
    static const struct odd_habits bytewise = {.piece_max = 2};
    rests_for_ever = true;
    begin_seen(&bytewise);
    values_store(&values);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, asks_alone(1));
    atomic_store(&says_more, true);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, (asks_alone(1), !atomic_load(&says_more)));
    CHECK_WITHIN(CLIENT_DEADLINE_MS, stats_read(&c.stats, STATS_L2_LOST) > 0);
    rests_for_ever = false;
    end();
}

/* ---- without own threads ---- */

TEST(a_host_that_sleeps_on_the_descriptor_misses_nothing)
{
    open_over(&wild, false);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, (l2_step(c.l2, 0), l2_connected(c.l2))));
    values_store(&values);
    values_ask_asleep(&values);
    end();
}

/* ---- the subscription ---- */

static size_t message_len(int i)
{
    return (size_t)i;
}

TEST(a_subscription_hears_all_in_order)
{
    begin(&wild);
    values_store(&values);
    values_hear(&values, 300, message_len);
    end();
}

/* ---- what has to be agreed on ---- */

TEST(a_stream_that_cannot_agree_says_why_and_tries_again)
{
    struct l2_problem problem;
    open_over(&wild, true);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2)));
    odd_stream_refuse("the server's certificate has expired");
    l2_drop_connection(c.l2);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, (l2_problem_read(c.l2, &problem),
                                              strstr(problem.text, "has expired") != NULL)));
    CHECK_STR(problem.text, "the odd word: the server's certificate has expired");
    CHECK(!l2_connected(c.l2));
    odd_stream_refuse(NULL);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2));
    end();
}

/* A server that is silent from the beginning, as one that speaks another protocol may be. */
TEST(a_server_that_never_agrees_is_given_up_in_time)
{
    struct l2_problem problem;
    open_over(&wild, true);
    REQUIRE(CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2)));
    redis_pause(&server);
    l2_drop_connection(c.l2);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, (l2_problem_read(c.l2, &problem),
                                      strstr(problem.text, "no answer in the time") != NULL));
    redis_resume(&server);
    CHECK_WITHIN(CLIENT_DEADLINE_MS, l2_connected(c.l2));
    end();
}
