// SPDX-License-Identifier: MIT
// A socket that gives and takes one byte at a time, and in between says that it would block: what
// is sent, and what is answered, is the same as over one that takes and gives all at once. And a
// stream that has to write before it reads, and the reverse.

#include "support/fake_wire.h"

#define VALUE_BYTES 3000
#define STEPS_MAX 100000
#define KEYS 4

static struct wire w;

/* One run has sent this, and was answered so. */
struct seen {
    char sent[8192];
    size_t sent_len;
    unsigned answered;
    int status[KEYS];
    enum l2_verdict verdict[KEYS];
    char value[VALUE_BYTES];
    size_t value_len;
};
static struct seen *seen;
static bool blocks_reads, blocks_writes;

/* ---- the stream ---- */

static long keep(const void *data, size_t len)
{
    REQUIRE(seen->sent_len + len <= sizeof(seen->sent));
    memcpy(seen->sent + seen->sent_len, data, len);
    seen->sent_len += len;
    return (long)len;
}

static long write_whole(void *arg, int fd, const void *data, size_t size)
{
    (void)arg, (void)fd;
    return keep(data, size);
}

/* Each second call would block. */
static long write_byte(void *arg, int fd, const void *data, size_t size)
{
    (void)arg, (void)fd;
    blocks_writes = !blocks_writes;
    return blocks_writes ? -EAGAIN : keep(data, size > 0);
}

static long read_byte(void *arg, int fd, void *buffer, size_t size)
{
    blocks_reads = !blocks_reads;
    return blocks_reads ? -EAGAIN : wire_read(arg, fd, buffer, size > 0);
}

/* Only where it is asked for is there room; so who does not ask for it never sends. */
static int wait_both(void *arg, int fd, uint32_t events, int wake_fd, uint64_t wait_ns)
{
    int input = wire_wait(arg, fd, events, wake_fd, wait_ns);
    return input | (events & L2_FOR_ROOM ? L2_NET_READY : 0);
}

/* ---- what is asked ---- */

static void done(void *arg, struct l2_answer *answer)
{
    unsigned i = seen->answered++;
    (void)arg;
    REQUIRE(i < KEYS);
    seen->status[i] = answer->status;
    seen->verdict[i] = answer->verdict;
    if (answer->verdict == L2_VALUE && answer->value.data) {
        seen->value_len = u64_min(answer->value.len, sizeof(seen->value));
        memcpy(seen->value, answer->value.data, seen->value_len);
    }
    l2_answer_free(answer);
}

static void ask(unsigned i)
{
    const char name[] = {'k', (char)('0' + i)};
    const struct l2_key key = {{"s", 1}, {"1", 1}, {name, sizeof(name)}};
    struct l2_op op = l2_op_of(clock_deadline_ns(w.fake.env.clock, 1000), done, NULL);
    CHECK_EQ(l2_get(w.l2, &key, &op), 0);
}

/* Nothing, a value, an error and nothing, all of them under way at once. */
static void say_all(void)
{
    static char value[VALUE_BYTES + 1];
    memset(value, 'v', VALUE_BYTES);
    wire_say(&w, "$-1\r\n$3000\r\n");
    wire_say(&w, value);
    wire_say(&w, "\r\n-ERR no\r\n$-1\r\n");
}

static void run(struct seen *ret, bool bytewise)
{
    *ret = (struct seen){.answered = 0};
    seen = ret;
    wire_open(&w);
    w.net.write = bytewise ? write_byte : write_whole;
    w.net.read = bytewise ? read_byte : wire_read;
    w.net.wait = wait_both;
    for (unsigned i = 0; i < KEYS; i++)
        ask(i);
    say_all();
    const struct conn *conn = &w.l2->home->conn;
    for (int i = 0; i < STEPS_MAX && (seen->answered < KEYS || conn_wants_write(conn)); i++)
        l2_step(w.l2, 0);
    CHECK(l2_connected(w.l2));
    wire_end(&w);
}

TEST(bytes_that_come_and_go_one_by_one_make_no_difference)
{
    static struct seen whole, bytewise;
    run(&whole, false);
    run(&bytewise, true);
    REQUIRE_EQ(whole.answered, KEYS);
    REQUIRE_EQ(bytewise.answered, KEYS);
    for (int i = 0; i < KEYS; i++) {
        CHECK_EQ(bytewise.status[i], whole.status[i]);
        CHECK_EQ(bytewise.verdict[i], whole.verdict[i]);
    }
    CHECK_EQ(whole.verdict[1], L2_VALUE);
    CHECK_EQ(bytewise.value_len, VALUE_BYTES);
    CHECK(memcmp(bytewise.value, whole.value, VALUE_BYTES) == 0);
    CHECK_EQ(bytewise.sent_len, whole.sent_len);
    CHECK(memcmp(bytewise.sent, whole.sent, whole.sent_len) == 0);
    seen = NULL;
}

/* ---- what is waited for ---- */

static bool refuses_writes, refuses_reads, has_room;
static uint32_t waited_for;

/* Reads only once it has written, of its own. */
static long read_crossed(struct stream *s, void *buffer, size_t size)
{
    s->read_waits = refuses_reads ? L2_FOR_ROOM : L2_FOR_INPUT;
    return refuses_reads ? -EAGAIN : s->net->read(s->net->arg, s->fd, buffer, size);
}

/* Writes only once it has read, of its own. */
static long write_crossed(struct stream *s, const void *data, size_t size)
{
    s->write_waits = refuses_writes ? L2_FOR_INPUT : L2_FOR_ROOM;
    return refuses_writes ? -EAGAIN : s->net->write(s->net->arg, s->fd, data, size);
}

/* Only what is asked for ends the wait. */
static int wait_asked(void *arg, int fd, uint32_t events, int wake_fd, uint64_t wait_ns)
{
    waited_for = events;
    bool input = wire_wait(arg, fd, events, wake_fd, wait_ns) && events & L2_FOR_INPUT;
    return input || (has_room && events & L2_FOR_ROOM) ? L2_NET_READY : 0;
}

static void begin_crossed(struct seen *ret, struct stream_kind *kind)
{
    *ret = (struct seen){.answered = 0};
    seen = ret;
    wire_open(&w);
    w.net.wait = wait_asked;
    *kind = stream_plain;
    kind->read = read_crossed;
    kind->write = write_crossed;
    w.l2->home->conn.stream->kind = kind;
    refuses_writes = refuses_reads = has_room = false;
    ask(0);
}

TEST(a_write_that_wants_input_waits_for_nothing_else)
{
    static struct seen one;
    struct stream_kind kind;
    begin_crossed(&one, &kind);
    refuses_writes = has_room = true;
    size_t before = w.written;
    for (int i = 0; i < 3; i++) {
        l2_step(w.l2, NS_PER_MS);
        CHECK_EQ(waited_for, L2_FOR_INPUT);
    }
    CHECK_EQ(w.written, before);
    refuses_writes = false;
    wire_say(&w, "$-"); /* the rest comes once the request was sent */
    l2_step(w.l2, NS_PER_MS);
    CHECK(w.written > before);
    wire_say(&w, "1\r\n");
    l2_step(w.l2, NS_PER_MS);
    CHECK_EQ(one.answered, 1);
    wire_end(&w);
    seen = NULL;
}

TEST(a_read_that_wants_room_waits_for_nothing_else)
{
    static struct seen one;
    struct stream_kind kind;
    begin_crossed(&one, &kind);
    refuses_reads = true;
    wire_say(&w, "$-1\r\n");
    l2_step(w.l2, NS_PER_MS);
    CHECK_EQ(waited_for, L2_FOR_INPUT);
    for (int i = 0; i < 3; i++) {
        l2_step(w.l2, NS_PER_MS);
        CHECK_EQ(waited_for, L2_FOR_ROOM);
    }
    CHECK_EQ(one.answered, 0);
    refuses_reads = false;
    has_room = true;
    l2_step(w.l2, NS_PER_MS);
    CHECK_EQ(one.answered, 1);
    wire_end(&w);
    seen = NULL;
}
