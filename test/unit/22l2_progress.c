// SPDX-License-Identifier: MIT
// A thin wire, on made-up time: bytes that move are life, in both directions, and who is patient
// waits while they do. Where nothing moves, deadlines and silence are what they were.

#include "support/fake_wire.h"

#define DEADLINE_MS 1500u
#define PART 1000

static struct wire w;

/* done() notes what became of the request of the case. */
static unsigned answered;
static int last_status;

static void done(void *arg, struct l2_answer *answer)
{
    (void)arg;
    answered++;
    last_status = answer->status;
    l2_answer_free(answer);
}

static void begin(void)
{
    answered = 0;
    last_status = 1;
    wire_open(&w);
}

static struct l2_op op(bool patient)
{
    struct l2_op o = l2_op_of(clock_deadline_ns(w.fake.env.clock, DEADLINE_MS), done, NULL);
    o.patient = patient;
    return o;
}

static void read_one(bool patient)
{
    const struct l2_key key = {{"s", 1}, {"1", 1}, {"k", 1}};
    const struct l2_op o = op(patient);
    CHECK_EQ(l2_get(w.l2, &key, &o), 0);
    l2_step(w.l2, 0);
}

static void fill_one(size_t bytes)
{
    static char payload[WIRE_BYTES];
    const struct l2_key key = {{"s", 1}, {"1", 1}, {"k", 1}};
    const struct l2_fill fill = {.token = 1, .hard_ms = 1000, .envelope = {payload, bytes}};
    const struct l2_op o = op(false);
    CHECK_EQ(l2_fill(w.l2, &key, &fill, &o), 0);
    l2_step(w.l2, 0);
}

/* Looks often enough: whoever is called late takes his own absence for the server's. */
static void pass_ms(uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 50) {
        fake_env_advance(&w.fake, 50 * NS_PER_MS);
        l2_step(w.l2, 0);
    }
}

static void say_part(void)
{
    static char part[PART + 1];
    memset(part, 'x', PART);
    wire_say(&w, part);
}

/* ---- who is patient ---- */

TEST(a_patient_request_waits_while_its_reply_comes_in)
{
    begin();
    read_one(true);
    wire_say(&w, "$10000\r\n");
    for (int i = 0; i < 10; i++, pass_ms(700))
        say_part();
    CHECK_EQ(answered, 0); /* four times its deadline */
    wire_say(&w, "\r\n");
    pass_ms(50);
    CHECK_EQ(answered, 1);
    CHECK_EQ(last_status, 0);
    wire_end(&w);
}

TEST(it_waits_for_replies_before_its_own_too)
{
    begin();
    read_one(false);
    read_one(true);
    wire_say(&w, "$10000\r\n");
    for (int i = 0; i < 10; i++, pass_ms(700))
        say_part();
    CHECK_EQ(answered, 1); /* who is not patient has gone */
    CHECK_EQ(last_status, NIGH_ETIMEDOUT);
    wire_say(&w, "\r\n$-1\r\n");
    pass_ms(50);
    CHECK_EQ(answered, 2);
    CHECK_EQ(last_status, 0);
    wire_end(&w);
}

TEST(it_goes_when_nothing_moves_any_more)
{
    begin();
    read_one(true);
    wire_say(&w, "$10000\r\n");
    for (int i = 0; i < 3; i++, pass_ms(700))
        say_part();
    CHECK_EQ(answered, 0);
    pass_ms(1000);
    CHECK_EQ(answered, 1);
    CHECK_EQ(last_status, NIGH_ETIMEDOUT);
    wire_end(&w);
}

TEST(without_any_reply_its_deadline_is_its_own)
{
    begin();
    read_one(true);
    pass_ms(DEADLINE_MS - 100);
    CHECK_EQ(answered, 0);
    pass_ms(200);
    CHECK_EQ(answered, 1);
    CHECK_EQ(last_status, NIGH_ETIMEDOUT);
    wire_end(&w);
}

/* ---- silence ---- */

TEST(a_silent_connection_is_lost)
{
    begin();
    read_one(false);
    pass_ms(1900);
    CHECK(l2_connected(w.l2));
    pass_ms(300);
    CHECK_EQ(w.closed, 1);
    wire_end(&w);
}

TEST(a_connection_that_takes_our_bytes_is_not)
{
    begin();
    w.take = 0;
    fill_one(100000);
    for (int i = 0; i < 10; i++, pass_ms(1500))
        w.take = PART;
    CHECK_EQ(w.closed, 0);
    CHECK(l2_connected(w.l2));
    wire_end(&w);
}

/* The kernel has taken it at once, and sends it slowly: 0.8 s for each 100 KB. */
TEST(what_is_on_its_way_has_its_time)
{
    begin();
    fill_one(500000);
    pass_ms(5500);
    CHECK_EQ(w.closed, 0);
    pass_ms(1000);
    CHECK_EQ(w.closed, 1);
    wire_end(&w);
}

TEST(a_dead_server_is_noticed_behind_the_largest_request)
{
    begin();
    fill_one(WIRE_BYTES);
    fill_one(WIRE_BYTES);
    fill_one(WIRE_BYTES);
    pass_ms(9500);
    CHECK_EQ(w.closed, 0);
    pass_ms(1000);
    CHECK_EQ(w.closed, 1);
    wire_end(&w);
}

TEST(traffic_keeps_no_hung_server_alive)
{
    begin();
    for (int i = 0; i < 20 && w.closed == 0; i++) {
        const struct l2_key key = {{"s", 1}, {"1", 1}, {"k", 1}};
        const struct l2_op o = op(true);
        (void)l2_override(w.l2, &key, 1, 1000, &o);
        pass_ms(500);
    }
    check_note("closed %u, answered %u, in flight %u", w.closed, answered,
               w.l2->home->pending.count);
    CHECK_EQ(w.closed, 1);
    wire_end(&w);
}
