// SPDX-License-Identifier: MIT
// What the breaker is told of requests, on made-up time and a wire that the test holds: the
// server's time, and not that of our own large requests or of large replies.

#include "support/fake_wire.h"

#define LATE_NS (200 * NS_PER_MS) /* above what is slow, below every deadline here */
#define DEADLINE_MS 250u
#define LARGE_BYTES 100000u /* excuses 0.8 s */

static struct wire w;

static unsigned answered;

static void begin(void)
{
    answered = 0;
    wire_open(&w);
}

static void end(void)
{
    wire_end(&w);
}

static void say(const char *reply)
{
    wire_say(&w, reply);
}

static void step(void)
{
    l2_step(w.l2, 0);
}

static void pass(uint64_t ns)
{
    fake_env_advance(&w.fake, ns);
    step();
}

static void done(void *arg, struct l2_answer *answer)
{
    (void)arg;
    answered++;
    l2_answer_free(answer);
}

static struct l2_op op(void)
{
    return l2_op_of(clock_deadline_ns(w.fake.env.clock, DEADLINE_MS), done, NULL);
}

static struct l2_key key(void)
{
    return (struct l2_key){{"s", 1}, {"1", 1}, {"k", 1}};
}

static int read_one(void)
{
    const struct l2_op o = op();
    const struct l2_key k = key();
    int rc = l2_get(w.l2, &k, &o);
    step();
    return rc;
}

static int fill_one(size_t bytes)
{
    static const char payload[LARGE_BYTES];
    const struct l2_op o = op();
    const struct l2_key k = key();
    const struct l2_fill fill = {.token = 1, .hard_ms = 1000, .envelope = {payload, bytes}};
    int rc = l2_fill(w.l2, &k, &fill, &o);
    step();
    return rc;
}

static bool is_open(void)
{
    return breaker_state(&w.l2->home->breaker) != BREAKER_CLOSED;
}

/* Each is answered, so late, before the next is sent; to a script an error is an answer, too. */
static void calls(unsigned count, bool fills, size_t bytes, uint64_t late_ns)
{
    for (unsigned i = 0; i < count; i++) {
        if (fills)
            CHECK_EQ(fill_one(bytes), 0);
        else
            read_one();
        say(fills ? "-ERR\r\n" : "$-1\r\n");
        pass(late_ns);
    }
}

/* ---- who is late ---- */

TEST(one_call_at_a_time_notices_a_late_server_within_a_second)
{
    begin();
    calls(200, false, 0, NS_PER_MS);
    uint64_t from_ns = clock_now_ns(w.fake.env.clock);
    while (!is_open() && clock_now_ns(w.fake.env.clock) - from_ns < 10 * NS_PER_S)
        calls(1, false, 0, LATE_NS);
    CHECK_LE(clock_now_ns(w.fake.env.clock) - from_ns, NS_PER_S);
    CHECK_EQ(read_one(), NIGH_EOFFLINE);
    end();
}

TEST(a_pipeline_of_many_hides_no_late_server)
{
    begin();
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 64; i++)
            read_one();
        fake_env_advance(&w.fake, LATE_NS);
        for (int i = 0; i < 64; i++)
            say("$-1\r\n");
        step();
    }
    CHECK(is_open());
    end();
}

/* One of ten is large, and a late server is late with the others, too. */
TEST(a_few_large_requests_hide_no_late_server)
{
    begin();
    for (int round = 0; round < 40 && !is_open(); round++) {
        bool large = round % 10 == 0;
        if (large)
            fill_one(LARGE_BYTES);
        else
            read_one();
        fake_env_advance(&w.fake, LATE_NS / 10);
        if (round < 10)
            continue; /* the first answer is on its way */
        say((round - 10) % 10 == 0 ? "-ERR\r\n" : "$-1\r\n");
        step();
    }
    CHECK(is_open());
    end();
}

/* ---- what is no fault of the server's ---- */

TEST(waiting_behind_our_own_large_requests_is_no_evidence)
{
    begin();
    for (int round = 0; round < 10; round++) {
        fill_one(LARGE_BYTES);
        for (int i = 0; i < 8; i++)
            CHECK_EQ(read_one(), 0);
        pass(LATE_NS);
        say("-ERR\r\n");
        step();
        pass(NS_PER_MS);
        for (int i = 0; i < 8; i++)
            say("$-1\r\n");
        step();
    }
    CHECK(!is_open());
    CHECK_EQ(answered, 90);
    end();
}

/* Those who waited in vain have no reply to be judged by when their deadline comes. */
TEST(a_deadline_passed_behind_a_large_request_is_no_evidence)
{
    begin();
    for (int round = 0; round < 5; round++) {
        fill_one(LARGE_BYTES);
        for (int i = 0; i < 8; i++)
            CHECK_EQ(read_one(), 0);
        pass(DEADLINE_MS * NS_PER_MS);
        CHECK_EQ(answered, 9 * ((unsigned)round + 1)); /* nobody waits longer than he would */
        pass(LATE_NS);
        say("-ERR\r\n");
        for (int i = 0; i < 8; i++)
            say("$-1\r\n");
        step();
    }
    CHECK(!is_open());
    end();
}

/* Copying 64 MiB takes long on a busy machine; whoever waits has his reply in the socket. */
TEST(the_time_in_which_we_do_not_look_is_no_evidence)
{
    begin();
    w.write_ns = LATE_NS;
    for (int round = 0; round < 10; round++) {
        CHECK_EQ(read_one(), 0);
        say("$-1\r\n");
        step();
    }
    CHECK(!is_open());
    CHECK_EQ(answered, 10);
    end();
}

TEST(waiting_while_a_large_reply_comes_in_is_no_evidence)
{
    static char part[4097];
    begin();
    memset(part, 'x', sizeof(part) - 1);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 8; i++)
            CHECK_EQ(read_one(), 0);
        say("$32768\r\n");
        for (int i = 0; i < 8; i++, pass(LATE_NS / 4))
            say(part);
        say("\r\n");
        for (int i = 0; i < 7; i++)
            say("$-1\r\n");
        step();
    }
    CHECK(!is_open());
    end();
}

/* The reply is large, and its first byte is late. */
TEST(large_replies_hide_no_late_server)
{
    static char whole[20001];
    begin();
    memset(whole, 'x', sizeof(whole) - 1);
    for (int round = 0; round < 5; round++) {
        read_one();
        fake_env_advance(&w.fake, LATE_NS);
        say("$20000\r\n");
        say(whole);
        say("\r\n");
        step();
        step();
    }
    CHECK(is_open());
    end();
}

/* ---- who is refused ---- */

static void open_the_breaker(void)
{
    while (!is_open())
        calls(1, false, 0, LATE_NS);
}

TEST(only_reads_are_refused)
{
    begin();
    open_the_breaker();
    const struct l2_op o = op();
    const struct l2_key k = key();
    const struct l2_frame frame = {0};
    const struct l2_change change = {.nonce = 1, .frame = frame};
    const struct l2_lease lease = {.token = 1, .lease_ms = 1000};
    const struct l2_beat beat = {.nonce = 1};
    const struct l2_resync resync = {.nonce = 1};
    CHECK_EQ(l2_get(w.l2, &k, &o), NIGH_EOFFLINE);
    CHECK_EQ(l2_lease(w.l2, &k, &lease, &o), NIGH_EOFFLINE);
    CHECK_EQ(l2_change(w.l2, &change, &o), 0);
    CHECK_EQ(l2_override(w.l2, &k, 1, 1000, &o), 0);
    CHECK_EQ(l2_extend(w.l2, &k, 1, 1000, &o), 0);
    CHECK_EQ(l2_release(w.l2, &k, 1, &frame, &o), 0);
    CHECK_EQ(l2_beat(w.l2, &beat, &o), 0);
    CHECK_EQ(l2_resync(w.l2, &resync, &o), 0);
    CHECK_EQ(fill_one(100), 0);
    end();
}

TEST(a_quick_answer_to_a_change_closes_it)
{
    begin();
    open_the_breaker();
    calls(1, true, 100, LATE_NS);
    CHECK(is_open());
    calls(1, true, 100, NS_PER_MS);
    CHECK(!is_open());
    CHECK_EQ(read_one(), 0);
    end();
}

/* Those who miss, however many they are, leave room for changes. */
TEST(reads_do_not_take_the_room_of_changes)
{
    begin();
    const struct l2_op o = op();
    const struct l2_key k = key();
    const struct l2_change change = {.nonce = 1};
    unsigned reads = 0;
    while (reads < 200000 && l2_get(w.l2, &k, &o) == 0)
        reads++;
    CHECK_GT(reads, 10000);
    CHECK_LT(reads, 200000);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(l2_change(w.l2, &change, &o), 0);
    end();
}
