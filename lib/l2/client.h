/* SPDX-License-Identifier: MIT */
/*
 * The client as its own files see it: what all operations share, and a link to each server.
 *
 *     l2_get(key) ---> link_of(key) ---> submit_queue(link, ...) ---> link.h
 *
 * All that a server can do to us happens to its link: a queue, a connection, deadlines, a breaker
 * of its own. So one that is dead is no matter of those who ask another. Beside the links there is
 * only what callers have in common: names, memory, and how they wait.
 */
#ifndef NIGH_L2_CLIENT_H
#define NIGH_L2_CLIENT_H

#include "l2/command.h"
#include "l2/keys.h"
#include "l2/link.h"
#include "l2/tls.h"

/* Keys: see link.h. */
struct l2 {
    struct env *env;                /* (c) */
    struct stats *stats;            /* (c) */
    struct keys keys;               /* (c) */
    struct pool *pool;              /* (c) blocks of requests */
    uint32_t group_slots;           /* (c) */
    bool guest;                     /* (c) */
    struct conn_config conn_config; /* (c) the links', but for where their servers are */
    struct tls *tls;                /* (c) for links to rediss://; NULL: there are none */
    struct tls *sentinel_tls;       /* (c) for Sentinels; NULL: not needed */
    int poll_fd;                    /* (c) without own threads: see l2_poll_fd(); else -1 */
    struct link *home;              /* (c) links[0] */
    struct link **links;            /* (c) to the servers, in the map's order */
    uint32_t link_count;            /* (c) */
    size_t links_size;              /* (c) bytes */
    uint32_t (*server_of)(void *arg, const struct l2_key *key); /* (c) the map's */
    void *server_arg;                                           /* (c) */
    pthread_mutex_t sync_lock;      /* leaf: see sync.c */
    _Atomic bool stop;              /* (a) */
    _Atomic bool gone;              /* (a) the host has closed our descriptors: see io.c */
    _Atomic bool stepping;          /* pair(l2.step): set by the one thread that steps */
    _Atomic uint64_t numbers;       /* (a) call numbers given to scripts */
};

/* Returns the link to the server that has the key: its value, its lease, and the clock of both. */
static inline struct link *link_of(const struct l2 *l2, const struct l2_key *key)
{
    return l2->link_count == 1 ? l2->home : l2->links[l2->server_of(l2->server_arg, key)];
}

/* ---- submit.c ---- */

/*
 * The kind says when a request may be refused. A read is refused while the breaker is open, for a
 * reader has a loader to go to. An update (a change, what is done with a lease) is refused only
 * when so much is in flight that it will not end well, which takes more than reads can bring about:
 * a change that is refused is late at all other nodes. A beat never is: it is small, one at a time,
 * and the trust of every reader hangs on it.
 */
enum submit_kind { SUBMIT_READ, SUBMIT_UPDATE, SUBMIT_BEAT };

/* Begin a request whose command is to be written next. 0 or NIGH_ENOMEM. */
int submit_begin(struct l2 *l2, struct command *command);
/* Queue it on the link. `connection`: 0, or the number of the only one that it may be sent on.
 * Takes the command, whether or not there was memory for all of it. 0, or < 0 and `done` is never
 * called. */
struct submit {
    const struct l2_op *op;
    answer_decode_fn decode;
    const struct script *script;
    uint64_t connection;
    enum submit_kind kind;
};
int submit_queue(struct link *link, struct command *command, const struct submit *submit);

/* ---- shared by the operations ---- */

/* Describe the request of a script, on any connection. */
static inline struct submit submit_of(enum script_id id, enum submit_kind kind,
                                      answer_decode_fn decode, const struct l2_op *op)
{
    return (struct submit){op, decode, &script_table[id], 0, kind};
}
/*
 * Begin EVALSHA with the clock and `keys` names, then the call's number and the arguments:
 *
 *     script_begin(), the names, script_args(), the arguments
 *
 * 0 or NIGH_ENOMEM.
 */
int script_begin(struct l2 *l2, struct command *c, enum script_id id, uint32_t keys);
void script_args(struct command *c);
/* Writes the text of a lease: see lease.lua. */
#define LEASE_TEXT_BYTES 17u
void value_lease_text(char text[LEASE_TEXT_BYTES], uint64_t token, uint32_t lease_ms);
/* Adds, as one argument, what fills seldom need: see filling.lua. */
struct value_rest {
    struct bytes space;
    struct bytes schema;
    const struct l2_frame *frame;
    const struct l2_register *registration;
};
void value_add_rest(struct link *link, struct command *c, const struct value_rest *rest);
#define NO_CONNECTION UINT64_MAX /* the only one that a request may be sent on: it never is */
/* Returns the beginning of a frame, up to the replid that the connection has told last; it may be
 * sent on `*ret_connection` only, for on another one that replid may be another server's. */
#define FRONT_BYTES (4 + REPLID_BYTES)
struct bytes l2_frame_front(struct link *link, const struct l2_frame *frame,
                            char buffer[FRONT_BYTES], uint64_t *ret_connection);

#endif
