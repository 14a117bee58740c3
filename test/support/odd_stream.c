// SPDX-License-Identifier: MIT
// A stream with all the habits that one may have.
//
// Its word to the server is a PING with a text that nobody else sends. The reply to it is cut out
// of what comes in. While it is awaited the last bytes are kept back, for they may be its
// beginning.

#include "support/odd_stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"

#define IN_BYTES (1u << 16)
#define WORD_BYTES 64

struct odd {
    struct stream stream;
    uint64_t dice;
    _Atomic bool used;
    char in[IN_BYTES]; /* taken from the socket, not given away: in[at .. len) */
    size_t at;
    size_t len;
    long end;          /* the socket's result behind those bytes; 1: none yet */
    char *refused;     /* has to come again first */
    size_t refused_len;
    char word[WORD_BYTES];  /* to the server; "": none is under way */
    char reply[WORD_BYTES]; /* expected from it */
    size_t word_sent;
};

struct odd_counts odd_counts;
static struct odd_habits habits;
static const char *_Atomic refusal;
static _Atomic unsigned words;

static bool falls(struct odd *o, unsigned one_in)
{
    return one_in > 0 && check_random(&o->dice) % one_in == 0;
}

static void enter(struct odd *o)
{
    REQUIRE(!atomic_exchange(&o->used, true));
}

static long leave(struct odd *o, long result)
{
    atomic_store(&o->used, false);
    return result;
}

/* ---- its own word to the server ---- */

static void turn(struct odd *o)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "odd stream %u", atomic_fetch_add(&words, 1));
    snprintf(o->word, sizeof(o->word), "*2\r\n$4\r\nPING\r\n$%d\r\n%s\r\n", len, text);
    snprintf(o->reply, sizeof(o->reply), "$%d\r\n%s\r\n", len, text);
    o->word_sent = 0;
}

static bool is_transient(long n)
{
    return n == -EAGAIN || n == -EINTR;
}

/* Sends the next byte of its word. Whether there was room. */
static bool speak(struct odd *o)
{
    const struct l2_net *net = o->stream.net;
    long n = net->write(net->arg, o->stream.fd, o->word + o->word_sent, 1);
    if (n < 0 && !is_transient(n))
        o->end = n;
    o->word_sent += n > 0;
    return n > 0;
}

static bool has_spoken(const struct odd *o)
{
    return o->word_sent == strlen(o->word);
}

/* Cuts the reply to its word out of what has come: over a subscription with a few bytes before it,
 * which belong to it. */
static void cut_reply(struct odd *o)
{
    static const char before[] = "*2\r\n$4\r\npong\r\n";
    size_t len = strlen(o->reply), more = sizeof(before) - 1;
    char *found = o->word[0] ? memmem(o->in + o->at, o->len - o->at, o->reply, len) : NULL;
    if (!found)
        return;
    char *from = found;
    if ((size_t)(found - o->in) >= o->at + more && memcmp(found - more, before, more) == 0)
        from = found - more;
    char *rest = found + len;
    memmove(from, rest, (size_t)(o->in + o->len - rest));
    o->len -= (size_t)(rest - from);
    o->word[0] = '\0';
    o->stream.write_waits = L2_FOR_ROOM;
}

/* ---- reading ---- */

/* Takes all that the socket has. */
static void fill(struct odd *o)
{
    const struct l2_net *net = o->stream.net;
    memmove(o->in, o->in + o->at, o->len - o->at);
    o->len -= o->at;
    o->at = 0;
    if (o->len < IN_BYTES && o->end == 1) {
        long n = net->read(net->arg, o->stream.fd, o->in + o->len, IN_BYTES - o->len);
        if (n > 0)
            o->len += (size_t)n;
        else if (!is_transient(n))
            o->end = n;
    }
    cut_reply(o);
}

/* Returns how much of it may be given away. */
static size_t free_bytes(const struct odd *o)
{
    size_t kept = o->word[0] && o->end == 1 ? WORD_BYTES : 0;
    size_t len = o->len - o->at;
    return len > kept ? len - kept : 0;
}

static long again(struct odd *o, uint32_t waits)
{
    o->stream.read_waits = (uint8_t)waits;
    return -EAGAIN;
}

static long give(struct odd *o, void *buffer, size_t size)
{
    size_t piece = 1 + check_random(&o->dice) % (habits.piece_max ? habits.piece_max : IN_BYTES);
    size_t len = u64_min(u64_min(piece, size), free_bytes(o));
    memcpy(buffer, o->in + o->at, len);
    o->at += len;
    return (long)len;
}

static long read_odd(struct odd *o, void *buffer, size_t size)
{
    bool held = free_bytes(o) > 0;
    if (!held && falls(o, habits.late_reads))
        return again(o, L2_FOR_INPUT);
    if (!held && falls(o, habits.wants_room)) {
        atomic_fetch_add(&odd_counts.wanted_room, 1);
        return again(o, L2_FOR_ROOM);
    }
    if (!held)
        fill(o);
    o->stream.read_waits = L2_FOR_INPUT;
    long n = free_bytes(o) > 0 ? give(o, buffer, size) : o->end == 1 ? -EAGAIN : o->end;
    o->stream.holds = free_bytes(o) > 0;
    if (o->stream.holds)
        atomic_fetch_add(&odd_counts.held, 1);
    return n;
}

static long odd_read(struct stream *s, void *buffer, size_t size)
{
    struct odd *o = CONTAINER_OF(s, struct odd, stream);
    enter(o);
    return leave(o, read_odd(o, buffer, size));
}

/* ---- writing ---- */

static void check_comes_again(struct odd *o, const void *data, size_t size)
{
    REQUIRE(size >= o->refused_len);
    REQUIRE(o->refused_len == 0 || memcmp(data, o->refused, o->refused_len) == 0);
    free(o->refused);
    o->refused = NULL;
    o->refused_len = 0;
}

static void refuse(struct odd *o, const void *data, size_t len)
{
    o->refused = malloc(len);
    REQUIRE(o->refused);
    memcpy(o->refused, data, len);
    o->refused_len = len;
}

/* Whether it takes nothing now: it speaks itself, or awaits the reply. */
static bool speaks_itself(struct odd *o)
{
    if (!o->word[0])
        return false;
    while (!has_spoken(o)) {
        o->stream.write_waits = L2_FOR_ROOM;
        if (falls(o, habits.no_writes) || !speak(o))
            return true;
    }
    o->stream.write_waits = L2_FOR_INPUT;
    return true;
}

static long write_odd(struct odd *o, const void *data, size_t size, bool between)
{
    const struct l2_net *net = o->stream.net;
    if (between && !o->word[0] && falls(o, habits.wants_input)) {
        atomic_fetch_add(&odd_counts.wanted_input, 1);
        turn(o);
    }
    if (speaks_itself(o))
        return o->end < 0 ? o->end : -EAGAIN;
    if (falls(o, habits.no_writes)) {
        atomic_fetch_add(&odd_counts.no_writes, 1);
        return -EAGAIN;
    }
    if (falls(o, habits.short_writes)) {
        atomic_fetch_add(&odd_counts.short_writes, 1);
        size = 1 + check_random(&o->dice) % size;
    }
    return net->write(net->arg, o->stream.fd, data, size);
}

/* A word of its own goes between two commands only: where nothing was refused. */
static long odd_write(struct stream *s, const void *data, size_t size)
{
    struct odd *o = CONTAINER_OF(s, struct odd, stream);
    enter(o);
    bool between = o->refused_len == 0;
    check_comes_again(o, data, size);
    long n = write_odd(o, data, size, between);
    size_t gone = n > 0 ? (size_t)n : 0;
    if (gone < size)
        refuse(o, (const char *)data + gone, size - gone);
    return leave(o, n);
}

/* ---- life ---- */

static int agree(struct odd *o)
{
    if (atomic_load(&refusal)) {
        o->stream.problem = atomic_load(&refusal);
        return STREAM_FAILED;
    }
    if (!o->word[0])
        turn(o);
    if (!has_spoken(o)) {
        speak(o);
        o->stream.read_waits = o->stream.write_waits = has_spoken(o) ? L2_FOR_INPUT : L2_FOR_ROOM;
        return o->end < 0 ? (int)o->end : 0;
    }
    fill(o);
    if (!o->word[0])
        atomic_fetch_add(&odd_counts.agreed, 1);
    return o->end != 1 ? (int)(o->end < 0 ? o->end : -ECONNRESET) : !o->word[0];
}

static int odd_agree(struct stream *s)
{
    struct odd *o = CONTAINER_OF(s, struct odd, stream);
    enter(o);
    return (int)leave(o, agree(o));
}

static struct stream *odd_open(const struct stream_kind *kind, struct mem *mem, const char *host)
{
    (void)kind, (void)mem, (void)host;
    struct odd *o = calloc(1, sizeof(*o));
    REQUIRE(o);
    o->end = 1;
    o->dice = check_seed() + atomic_fetch_add(&odd_counts.opened, 1);
    return &o->stream;
}

static void odd_close(struct stream *s, struct mem *mem)
{
    struct odd *o = CONTAINER_OF(s, struct odd, stream);
    (void)mem;
    enter(o);
    atomic_fetch_add(&odd_counts.closed, 1);
    free(o->refused);
    free(o);
}

void odd_stream_refuse(const char *why)
{
    atomic_store(&refusal, why);
}

const struct stream_kind *odd_stream(const struct odd_habits *wanted)
{
    static struct stream_kind kind;
    habits = *wanted;
    memset(&odd_counts, 0, sizeof(odd_counts));
    atomic_store(&refusal, NULL);
    kind = (struct stream_kind){
        .agreement = "the odd word",
        .silence = "the odd word: no answer in the time",
        .open = odd_open,
        .agree = wanted->agrees ? odd_agree : NULL,
        .read = odd_read,
        .write = odd_write,
        .close = odd_close,
    };
    return &kind;
}
