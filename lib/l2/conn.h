/* SPDX-License-Identifier: MIT */
/*
 * A connection to Redis: stream, output buffer, reader, and the handshake that makes it usable.
 *
 *     CLOSED --- conn_open ---> HANDSHAKE --- every reply as it should be ---> UP
 *        ^                          |                                           |
 *        +---- conn_close ----------+-------------------------------------------+
 *
 * First the stream agrees with the server, if it has to (stream.h). The handshake is sent in one
 * go: AUTH, SELECT, CLIENT SETNAME, INFO, EVAL, PING. It asks for a master (nothing that nigh does
 * works on a replica), no node of a cluster (a script's keys would be on several), the commands
 * that nigh needs (needs.h; the listener does not ask), and a PONG (a server that is loading, or a
 * replica without its master, answers PING with an error). Servers older than Redis 7 take no list
 * of sections of INFO, and are asked for all of it from the next time on, so that what is learned
 * is the same; one that answers in RESP3 is asked for RESP2 then. A Sentinel is asked for a PONG
 * only.
 *
 * A server that closes often says why before: an error that answers nothing, or answers the wrong
 * request. These last words are kept, and `problem` tells them then.
 *
 * Thread-safety: none; each connection belongs to the thread that steps it.
 */
#ifndef NIGH_L2_CONN_H
#define NIGH_L2_CONN_H

#include "l2/info.h"
#include "l2/keys.h"
#include "l2/l2.h"
#include "l2/login.h"
#include "l2/place.h"
#include "l2/reply.h"
#include "l2/stream.h"
#include "l2/uri.h"

#define CONN_STEPS_MAX 8
#define CONN_WORDS_BYTES 120

enum conn_state { CONN_CLOSED, CONN_HANDSHAKE, CONN_UP };
enum conn_peer { CONN_SERVER, CONN_SENTINEL };

/* Keys: (c) all. */
struct conn_config {
    struct env *env;
    struct stats *stats;
    const struct l2_net *net;
    const struct stream_kind *stream;
    struct login *login;   /* NULL: as nobody */
    uint32_t db;
    enum conn_peer peer;
    bool may_move; /* another server may become the master meanwhile */
    uint64_t connect_timeout_ns;
    size_t bulk_max;
    int poll_fd; /* an epoll instance that is to know our sockets; -1: none */
};

struct conn {
    const struct conn_config *config;
    const struct keys *names; /* with which commands have to be allowed; NULL: it does not ask */
    enum conn_state state;
    struct place *place;   /* NULL while CLOSED */
    struct stream *stream; /* NULL while CLOSED, and while `seeks` */
    bool seeks;  /* in HANDSHAKE: the host's name is still being looked up */
    bool agrees; /* in HANDSHAKE: the stream has to agree with the server first */
    uint32_t watched; /* events for which poll_fd watches the socket; 0: it does not */
    struct reader reader;
    char *out; /* out[out_at .. out_len) is still to be written */
    size_t out_at;
    size_t out_len;
    size_t out_size;
    uint8_t steps[CONN_STEPS_MAX]; /* handshake steps sent, in the order of their replies */
    uint8_t step_count;
    uint8_t step_at;
    uint64_t opened_ns;
    uint64_t heard_ns; /* last byte from the server */
    uint64_t wrote_ns; /* last byte that the socket took after it had been full */
    bool has_secret;   /* a password is in `out` */
    bool refused;      /* the login was, in this handshake */
    uint64_t login_number; /* of the password that was sent in it; 0: none */
    bool full;         /* the stream took no more at the last write */
    uint64_t began_ns; /* first byte of the reply that is partly here */
    uint64_t home;     /* hash of the replid */
    char replid[REPLID_BYTES]; /* last told, by the handshake, a beat or a resync */
    bool asks_limit;   /* the next handshakes have reason to ask for proto-max-bulk-len */
    uint64_t limit;    /* proto-max-bulk-len as this server told it; 0: not told */
    bool whole_info;   /* INFO was refused with sections; the next handshakes ask for all of it */
    bool says_hello;   /* it has answered in RESP3; the next handshakes ask for RESP2 */
    const char *asked; /* behind the handshake: the command whose answer makes it of use, or NULL */
    struct l2_server server; /* last told by the handshake */
    struct l2_mark mark;     /* the same */
    char words[CONN_WORDS_BYTES];   /* text of the last reply, if it was an error; else "" */
    char problem[L2_PROBLEM_BYTES]; /* why it failed: one line, printable ASCII */
};

void conn_init(struct conn *c, const struct conn_config *config);
/* Start to connect to the server there. 0, or < 0 and CLOSED. */
int conn_open(struct conn *c, struct place *place);
/* Go on, if the host's name has been found by now; else, and where none is sought, do nothing.
 * Returns as conn_open(). */
int conn_seek(struct conn *c);
void conn_close(struct conn *c);
/* Forget the descriptor, which is not ours any more: neither close it nor write to it. */
void conn_disown(struct conn *c);

/* Forget the stream: the caller in a system call on it closes it. `cut`: end that call, for the
 * descriptor is ours still. */
void conn_abandon(struct conn *c, bool cut);

/* Returns its socket; -1: there is none. */
static inline int conn_fd(const struct conn *c)
{
    return c->stream ? c->stream->fd : -1;
}

/* Append to the output. 0 or NIGH_ENOMEM. */
int conn_append(struct conn *c, const void *data, size_t len);
/* Append a command to the output. 0 or NIGH_ENOMEM. */
int conn_command(struct conn *c, const struct bytes *args, uint32_t count);
/* Append AUTH to the output, which is wiped behind it. 0 or NIGH_ENOMEM. */
int conn_log_in(struct conn *c, const struct login_words *words);
/* Write what the stream takes, and let poll_fd know what is wanted next. 0, or NIGH_EOFFLINE when
 * it is lost: then read what the server may have said before, with conn_last_words(). */
int conn_flush(struct conn *c);
static inline bool conn_wants_write(const struct conn *c)
{
    return c->out_at < c->out_len;
}

/* Returns for what its socket has to be waited for: L2_FOR_INPUT, L2_FOR_ROOM. */
static inline uint32_t conn_waits(const struct conn *c)
{
    return c->stream ? stream_waits(c->stream, conn_wants_write(c) || c->agrees) : L2_FOR_INPUT;
}

/* Whether there is something to read whatever the socket says: then nobody may sleep on it. */
static inline bool conn_holds(const struct conn *c)
{
    return c->stream && c->stream->holds;
}

/* UP: whether there is nothing to do but to read what comes. */
static inline bool conn_only_reads(const struct conn *c)
{
    return !conn_wants_write(c) && c->stream->read_waits == L2_FOR_INPUT;
}

/* When bytes last moved, either way. */
static inline uint64_t conn_moved_ns(const struct conn *c)
{
    return u64_max(c->heard_ns, c->wrote_ns);
}

/* Receives a reply of an UP connection and owns it. < 0 ends the reading. */
typedef int (*conn_reply_fn)(void *arg, struct reply *reply);

/* Read what is there. 0, or < 0 when the connection has to go (`on_reply`'s or own finding):
 * NIGH_EOFFLINE closed by the peer or refused in the handshake; NIGH_EREDIS malformed;
 * NIGH_ENOMEM. */
int conn_read(struct conn *c, conn_reply_fn on_reply, void *arg);

/* Take what somebody else has read from its stream: `n` as stream_read() returned it. Returns as
 * conn_read(). */
int conn_take(struct conn *c, const char *data, long n, conn_reply_fn on_reply, void *arg);

/* Writing has failed: read what the server said, and still answered, before it went away. */
void conn_last_words(struct conn *c, conn_reply_fn on_reply, void *arg);

/* Set `problem` to `what`, and behind it a server's words, if there are any. */
void conn_problem(struct conn *c, const char *what, struct bytes words);

/* Time at which the handshake will have taken too long. */
uint64_t conn_handshake_deadline_ns(const struct conn *c);

#endif
