/* SPDX-License-Identifier: MIT */
/*
 * Level 2: the client of Redis. One multiplexed data connection to each server with automatic
 * pipelining, the envelope, the key names and the scripts of the protocol.
 *
 * Every operation is asynchronous: any thread queues it, and the I/O thread writes all that is
 * queued in one go and hands each answer to `done`. That runs on the I/O thread and must not block:
 * it leaves the answer somewhere and posts an event. l2_sync_* waits for one. Returning 0 promises
 * that `done` is called exactly once, at the latest when the deadline passes (`patient`: not before
 * the connection's bytes have stood still for a second); a negative return (NIGH_EOFFLINE not
 * connected, too much in flight, or a read while the breaker is open; NIGH_EBUSY a large request,
 * for which other large ones leave no room; NIGH_ENOMEM) promises that it never is.
 *
 * hiredis parses (redisReader with our own reply functions and limits), but for strings that are
 * whole; command.c formats; the socket is ours: non-blocking, CLOEXEC, MSG_NOSIGNAL, deadlines. A
 * reply that is malformed or too large costs the connection, never the process.
 *
 * Connections are counted (`connection`: 1, 2, ...); `home` is the hash of the replication id that
 * the server last reported. A fill names the connection that granted its lease and is dropped when
 * that one is gone (rule 5).
 */
#ifndef NIGH_L2_L2_H
#define NIGH_L2_L2_H

#include <stdbool.h>
#include <stdint.h>

#include <nigh/error.h>
#include <nigh/options.h>

#include "base/base.h"
#include "stats/stats.h"

struct l2;
struct link;
struct request;
struct stream;
struct stream_kind;

/* Addresses of a host, as text; l2_net.connect takes the same form. */
#define L2_ADDRESSES_MAX 16u
#define L2_ADDRESS_BYTES 64u
struct l2_addresses {
    unsigned count;
    char text[L2_ADDRESSES_MAX][L2_ADDRESS_BYTES];
};
/* Looks a host up; may block for long. 0 or -errno. */
typedef int (*l2_look_up_fn)(const char *host, struct l2_addresses *ret);

/* The socket calls, so that a simulation can be the network. NULL in the config: the kernel's. */
struct l2_net {
    /* Runs on a thread of its own. NULL: connect is given names as they are. */
    l2_look_up_fn look_up;
    /* Non-blocking; port 0: a unix socket. fd or -errno. */
    int (*connect)(void *arg, const char *host_or_path, uint16_t port);
    long (*read)(void *arg, int fd, void *buffer, size_t size);      /* as read(2), -errno */
    long (*write)(void *arg, int fd, const void *data, size_t size); /* as send(2), -errno */
    void (*close)(void *arg, int fd);
    /* Sleep until fd (-1: none) is ready for what is asked (L2_FOR_INPUT, L2_FOR_ROOM or both), or
     * has ended, wake_fd is readable, or wait_ns are over (CLOCK_NEVER_NS: none). Returns
     * L2_NET_READY | L2_NET_WOKEN | L2_NET_GONE; may return early. */
    int (*wait)(void *arg, int fd, uint32_t events, int wake_fd, uint64_t wait_ns);
    /* As wait(), but input does not end it, only the other side's closing, wake_fd or the time.
     * NULL: callers never read themselves. */
    int (*wait_end)(void *arg, int fd, int wake_fd, uint64_t wait_ns);
    /* Ends the connection in both directions; fd stays to be closed. With wait_end only. */
    void (*cut)(void *arg, int fd);
    void *arg;
};
#define L2_FOR_INPUT 1u
#define L2_FOR_ROOM 2u
#define L2_NET_READY 1
#define L2_NET_WOKEN 2
#define L2_NET_GONE 4 /* fd or wake_fd is no descriptor any more: somebody else has closed it */

struct l2_key;

#define L2_SERVERS_MAX 256u
/* Lists the servers, and says which of them has a key: its value, its lease, and the clock that
 * stamps it. Server 0 is home to the rest: beats, the subscription, changes of groups alone. */
struct l2_map {
    const char *const *uris; /* as in l2/uri.h, with the same database; copied by l2_open() */
    uint32_t count;          /* 1 .. L2_SERVERS_MAX */
    /* Returns a number below `count`, the same for the same key at any time. Any thread. Not
     * called where there is one server. */
    uint32_t (*server_of)(void *arg, const struct l2_key *key);
    void *arg;
};

/* Says by whom a rediss:// server is vouched for, and what it is shown. Strings NULL or "": the
 * default. */
struct l2_tls {
    const char *ca;   /* PEM file, or folder by hash, of those who are trusted: the system's */
    const char *cert; /* PEM file: our certificate, then those between it and a CA; none */
    const char *key;  /* PEM file of its key: in `cert`, too */
    const char *name; /* that the server's certificate has to bear: the URI's host */
    enum nigh_tls_verify verify;
    enum nigh_tls_min min;
};

/* Writes the password that is wanted from now on, NUL-ended: see nigh_password_fn. */
typedef int (*l2_password_fn)(void *arg, char *password, size_t size);

/* As whom to log in; all NULL: as nobody. One source of the password at most. */
struct l2_login {
    const char *user;
    const char *password;
    const char *file; /* its path; read again when it has changed */
    l2_password_fn fn;
    void *arg;
};

struct l2_config {
    struct env *env;
    struct stats *stats;         /* the cache's */
    const struct l2_net *net;    /* NULL: the kernel */
    const struct stream_kind *stream; /* over its sockets: l2/stream.h; NULL: as the URI says */
    struct l2_tls tls;           /* for rediss:// */
    const char *uri;             /* as in l2/uri.h */
    struct l2_login login;       /* but for what `uri` says; with a file or a function there is no
                                    password in it */
    struct l2_login sentinel_login;
    enum nigh_switch sentinel_over_tls; /* 0: as the URI says of the servers */
    struct l2_tls sentinel_tls;
    const struct l2_map *map;    /* several servers; NULL: the one at `uri` has all keys */
    const char *prefix;          /* begins all keys and the channel's name */
    uint32_t connect_timeout_ms;
    uint32_t group_slots;
    bool guest;                  /* beats and resyncs make no clock: without one they fail */
    size_t reply_max_bytes;      /* largest bulk accepted */
};

/* Errors: NIGH_EURI (rediss:// in a build without TLS, too) and NIGH_EOPTION, for what `tls` names
 * (nigh_options_error() says why), NIGH_ENOMEM, NIGH_ETHREAD. Never waits for the server. */
int l2_open(const struct l2_config *config, struct l2 **ret_l2);
/* Tells the breaker how long callers usually wait for an answer, and so what is slow; 250 ms when
 * it is not told. Any thread. */
void l2_set_patience(struct l2 *l2, uint32_t deadline_ms);
/* Does what is due from time to time: it may read small files, and queue a request. Returns when to
 * come again. One thread at a time. */
uint64_t l2_keep(struct l2 *l2);
/* Ends the threads and calls every outstanding `done` with NIGH_ECLOSED. */
void l2_close(struct l2 *l2);
/* Without own threads: one round of I/O, waiting at most `wait_ns` for the socket. Returns when to
 * come again. */
uint64_t l2_step(struct l2 *l2, uint64_t wait_ns);
/*
 * Without own threads: a descriptor to sleep on between rounds, an epoll instance that is readable
 * while a socket of ours (the channel's too) wants a round; -1: the sockets are not the kernel's.
 * Call l2_rest() before the sleep and l2_rested() after it: a request that is queued in between
 * makes the descriptor readable, too. l2_rest() is false when a request is queued already, so that
 * a round is wanted at once.
 */
int l2_poll_fd(const struct l2 *l2);
bool l2_rest(struct l2 *l2);
void l2_rested(struct l2 *l2);
/* Whether the host was found to have closed our descriptors: their numbers are ours no more. */
bool l2_is_gone(const struct l2 *l2);
/* Whether requests are queued that no round has sent. */
bool l2_unsent(struct l2 *l2);

/* ---- names ---- */

struct l2_key {
    struct bytes space;
    struct bytes schema;
    struct bytes key;
};

/* ---- answers ---- */

#define L2_REPLID_BYTES 40u

/* The Redis clock as a script saw it. identity = hash(replid, id); 0: not told or not there. */
struct l2_clock {
    struct bytes replid;     /* L2_REPLID_BYTES, in the answer; told by a beat or a resync only */
    uint64_t home;           /* hash of the replid, as last told by the connection */
    uint64_t identity;       /* hash of replid and id */
    uint64_t id;             /* the clock's own, drawn by the node that made it */
    uint64_t sequence;       /* position of the last change */
    uint64_t nonce;          /* nonce of the last change */
    uint64_t schemas;        /* token of the list of schemas */
    bool old_nodes;          /* nodes of wire version 1 are on this prefix ... */
    bool old_moved;          /* ... and have changed something a short while ago */
    uint64_t server_time_ms; /* wall time of the server, for lifetimes only; 0: not told */
};

enum l2_verdict {
    L2_NONE,    /* no value; or: done, nothing to report */
    L2_VALUE,   /* `value` is what the key holds */
    L2_GRANTED, /* the lease is yours */
    L2_HELD,    /* another loader has the lease for `held_ms` more; it will publish its fill */
    L2_STORED,  /* the value was set */
    L2_REFUSED, /* the value was not set: token lost, or a newer version is there */
    L2_MOVED,   /* nothing was done: Redis has other schemas; `value` lists them */
    L2_CROWDED, /* the value was not set: too many schemas are in use */
    L2_LEFT,    /* left out of a reply for many keys, as too large: ask for it alone */
};

/* Owned by whoever `done` gave it to: free with l2_answer_free(). */
struct l2_answer {
    int status;              /* 0; NIGH_ETIMEDOUT, NIGH_EOFFLINE (lost), NIGH_EREDIS, NIGH_ENOMEM,
                                NIGH_ECLOSED. A write that was lost or timed out may have run */
    enum l2_verdict verdict;
    struct l2_clock clock;   /* scripts only */
    uint64_t connection;     /* number of the connection that answered */
    uint64_t order;          /* rises from answer to answer: tells which of two Redis ran later */
    uint64_t took_ns;        /* from its sending to its reply; 0: none came, or several */
    uint64_t home;           /* as that connection last told it, now included; in all answers */
    struct bytes value;      /* L2_VALUE: the envelope; L2_MOVED, resync: the schemas */
    uint32_t held_ms;
    bool unreadable;         /* L2_GRANTED, of l2_lease(): what is there is no envelope */
    uint64_t previous;       /* change: nonce of the change before it */
    bool counted;            /* change: `heard` says to how many connections the channel gave it, */
    uint32_t heard;          /* ... this node's among them */
    struct bytes verdicts;   /* change: of each key, a byte; may be missing: see l2_verdict_at() */
    uint32_t registered_ms;  /* fill, change: the schema is registered for so long from now */
    uint32_t slots;          /* resync: number of group slots */
    bool partial;            /* resync: pages that were left out have not changed */
    struct bytes *entries;   /* beat: the frames after the position asked for, in order. Resync:
                                pages of the groups; the slots are in L2_PAGES equal pages */
    uint64_t *entry_seqs;    /* beat: sequence numbers of the frames. Resync: pages' numbers */
    uint32_t entry_count;
};
#define L2_PAGES 64u
/* Returns what a change says of one of its keys, counted as they were given. */
static inline enum l2_verdict l2_verdict_at(const struct l2_answer *answer, size_t key)
{
    if (key >= answer->verdicts.len)
        return answer->verdict; /* the only one there is */
    return (enum l2_verdict)((const uint8_t *)answer->verdicts.data)[key];
}
void l2_answer_free(struct l2_answer *answer);

typedef void (*l2_done_fn)(void *arg, struct l2_answer *answer);

struct l2_sync;

/* Says where an operation's answer goes, and how long it may take. */
struct l2_op {
    uint64_t deadline_ns; /* clock_now_ns */
    bool patient;         /* not given up while bytes move: for large answers on a thin wire */
    l2_done_fn done;      /* on the I/O thread (or in l2_step, l2_drive); must not block */
    void *arg;
    struct l2_sync *sync; /* instead of `done`: the waiter; beside it: who lends his thread */
};

static inline struct l2_op l2_op_of(uint64_t deadline_ns, l2_done_fn done, void *arg)
{
    return (struct l2_op){.deadline_ns = deadline_ns, .done = done, .arg = arg};
}

/* ---- operations ---- */

/* GET: L2_VALUE or L2_NONE. */
int l2_get(struct l2 *l2, const struct l2_key *key, const struct l2_op *op);

/* Looks at a key and its lease without changing either, for people; l2_peeked() says what is
 * there. */
int l2_peek(struct l2 *l2, const struct l2_key *key, const struct l2_op *op);
struct l2_peeked {
    enum l2_verdict verdict; /* L2_VALUE or L2_NONE */
    struct bytes value;      /* L2_VALUE: the envelope; none of a key of another type */
    uint64_t value_ms;       /* what it has left in Redis; 0: none, or no end */
    uint64_t token;          /* of the lease; 0: nobody has it */
    uint32_t lease_ms;       /* what the lease has left */
    bool awaited;            /* somebody waits for its fill */
};
struct l2_peeked l2_peeked(struct l2_answer *answer); /* of an answer whose status is 0 */

#define L2_MANY_MAX 128u
/*
 * MGET of up to L2_MANY_MAX keys of one space and schema; l2_answer_at() has the answer for each:
 * L2_VALUE, L2_NONE (also where the key holds something other than a string), or L2_LEFT: the
 * strings of one reply are taken up to a limit. NIGH_EREDIS: if l2_takes_many() has become false,
 * GET may work. Keys that are on several servers are asked for at each, and answered in one: then
 * those are L2_LEFT, too, whose server has not answered; `home` and `connection` are of one of the
 * others, and l2_home_at() has each key's.
 */
int l2_get_many(struct l2 *l2, struct bytes space, struct bytes schema, const struct bytes *keys,
                uint32_t count, const struct l2_op *op);
enum l2_verdict l2_answer_at(struct l2_answer *answer, uint32_t i, struct bytes *ret_value);
uint64_t l2_home_at(struct l2_answer *answer, uint32_t i);
/* Whether this connection's server lets us use MGET, as far as is known. */
bool l2_takes_many(const struct l2 *l2);

struct l2_lease {
    uint64_t token;
    uint64_t rejected; /* fill id of a value that was seen and is not wanted; 0: none seen */
    uint32_t lease_ms;
    bool drop;         /* the value cannot be read: delete it if the lease is granted */
};
/* L2_VALUE: a value other than the rejected one is there. Else L2_GRANTED or L2_HELD (the lease is
 * then marked as awaited). */
int l2_lease(struct l2 *l2, const struct l2_key *key, const struct l2_lease *lease,
             const struct l2_op *op);

/* One of many keys whose leases are asked for; fields as in struct l2_lease. */
struct l2_lease_of {
    struct bytes key;
    uint64_t token;
    uint64_t rejected;
    bool drop;
};
/* Keys of one space and schema, on one server, each asked for as if alone, one after the other: the
 * same key may be there twice, and if its lease is free the first has it and the second finds it
 * held. */
struct l2_leases {
    struct bytes space;
    struct bytes schema;
    uint32_t lease_ms; /* each lease's */
    const struct l2_lease_of *list;
    uint32_t count;    /* 1 .. L2_MANY_MAX; more are as many requests, sent one behind the other */
};
/*
 * Asks for many leases in one script; l2_lease_at() has the verdict for each: those of l2_lease()
 * (`*ret_value` is the envelope of L2_VALUE, and not NULL where L2_GRANTED found something else
 * there; `*ret_held_ms` is the time that L2_HELD has left), or
 * L2_LEFT: there is a value, for which the reply had no room; nothing was granted. All that an
 * answer has beside is as l2_lease()'s, for all keys. An answer that is an error, or none, leaves
 * each of the tokens in doubt.
 */
int l2_lease_many(struct l2 *l2, const struct l2_leases *leases, const struct l2_op *op);
enum l2_verdict l2_lease_at(struct l2_answer *answer, uint32_t i, struct bytes *ret_value,
                            uint32_t *ret_held_ms);
/* Takes the lease from whoever has it, for a writer before it commits. L2_GRANTED. */
int l2_override(struct l2 *l2, const struct l2_key *key, uint64_t token, uint32_t lease_ms,
                const struct l2_op *op);
/* L2_STORED if the lease still holds the token. */
int l2_extend(struct l2 *l2, const struct l2_key *key, uint64_t token, uint32_t lease_ms,
              const struct l2_op *op);

/* A frame is made by the script: head, then replid (40 B), id (8 B), seq (8 B), then tail. The
 * layout is coherence/message's; this module only carries it. */
struct l2_frame {
    struct bytes head;
    struct bytes tail;
};

/* L2_NONE, whether or not the token was still there. The frame is published (seq 0) if the lease is
 * awaited: nothing was filled, but whoever waits may take the lease now. */
int l2_release(struct l2 *l2, const struct l2_key *key, uint64_t token,
               const struct l2_frame *frame, const struct l2_op *op);

/*
 * A script that stores a value registers the value's schema (rule 17), unless the list of schemas
 * still has the token that it had at the last registration.
 */
struct l2_register {
    uint32_t ms;    /* registered for so long; 0: not at all */
    uint64_t token; /* the list's at that time; 0: not registered, or not for long enough */
    uint64_t nonce; /* the token that the list gets if it becomes another */
};

struct l2_fill {
    uint64_t token;
    uint64_t connection;   /* number of the one that granted the lease: sent on no other */
    uint64_t version;      /* refused iff the stored one is higher; 0: none */
    uint32_t hard_ms;      /* TTL in Redis */
    struct bytes envelope; /* with this token as its fill id, and this version */
    struct l2_frame frame; /* published (seq 0) if the lease is awaited */
    struct l2_register registration;
};
/* L2_STORED, L2_REFUSED or L2_CROWDED. */
int l2_fill(struct l2 *l2, const struct l2_key *key, const struct l2_fill *fill,
            const struct l2_op *op);

/* One of many fills; fields as in struct l2_fill. */
struct l2_fill_of {
    struct bytes key;
    uint32_t hard_ms;
    struct bytes envelope; /* with its token as fill id, and its version: the script reads both */
};
/* Fills of one space and schema, on one server, each done as if alone, one after the other. */
struct l2_fills {
    struct bytes space;
    struct bytes schema;
    uint64_t connection;   /* has granted all their leases: sent on no other */
    const struct l2_fill_of *list;
    uint32_t count;        /* 1 .. L2_MANY_MAX */
    struct l2_frame frame; /* names all keys; published (seq 0), once, if any lease is awaited */
    struct l2_register registration; /* for the longest of them */
};
/*
 * Fills many keys in one script; l2_fill_at() has the verdict for each: those of l2_fill(). All
 * that an answer has beside is as l2_fill()'s, for all keys.
 */
int l2_fill_many(struct l2 *l2, const struct l2_fills *fills, const struct l2_op *op);
enum l2_verdict l2_fill_at(struct l2_answer *answer, uint32_t i);
/* Returns how many of the first fills, at least one, are worth a request: so many keys and bytes
 * that nobody waits long behind it. */
uint32_t l2_fills_fit(const struct l2_fill_of *list, uint32_t count);

/* A change of the truth, as one script: data keys, then groups, then seq + 1, log, publish. */
enum l2_change_mode {
    /* All drop the lease. */
    L2_DELETE,    /* delete if its version is 0, or below `version`, or `version` is 0 */
    L2_SET_TOKEN, /* set if the lease holds `token`, else delete (WDONE) */
    L2_SET_NEWER, /* set unless the stored version is >= `version`; else as L2_DELETE */
    L2_SET,       /* set whatever is there */
    L2_REPLACE,   /* set unless the stored version is >= `version`, else delete: none stays */
};

struct l2_change_key {
    struct l2_key key;
    const struct bytes *schemas; /* in which its value is deleted, beside its own */
    uint32_t schema_count;
    enum l2_change_mode mode;
    uint64_t version;
    uint64_t token;
    struct bytes envelope; /* SET_* */
    uint32_t hard_ms;      /* SET_* */
};

struct l2_change_group {
    uint16_t slot;
    bool soft;
};

struct l2_change {
    const struct l2_change_key *keys;
    uint32_t key_count;
    const struct l2_change_group *groups;
    uint32_t group_count;
    uint64_t nonce;           /* names the change; id of the clock, should it have to be created */
    uint64_t schemas;         /* token of the list of schemas that the keys were named by */
    bool old_nodes;           /* nodes of wire version 1 are there, as that list said: tell them */
    struct l2_register registration; /* for the schema of the values, which are all of a space */
    struct l2_frame frame;
};
/* L2_STORED if the (first) key's value was set, L2_CROWDED if it was deleted instead, L2_REFUSED if
 * L2_SET_NEWER or L2_REPLACE did not set it, L2_MOVED (nothing was done, nothing published), else
 * L2_NONE. The clock carries the sequence of this change. */
int l2_change(struct l2 *l2, const struct l2_change *change, const struct l2_op *op);

struct l2_beat {
    uint64_t after_seq;
    uint32_t limit;
    uint64_t nonce;          /* id of the clock, should it have to be created */
    struct bytes frame_head; /* for a change that the beat itself makes */
};
/* Makes a write (so that a demoted master refuses), and fetches the clock (created if missing) and
 * up to `limit` log entries after `after_seq`. Never refused while there is a connection. */
int l2_beat(struct l2 *l2, const struct l2_beat *beat, const struct l2_op *op);

struct l2_resync {
    uint64_t nonce;       /* id of the clock, should it have to be created or renewed */
    struct bytes replid;  /* the followed clock's; empty: none was followed */
    uint64_t id;          /* ... and its id */
    uint64_t after_seq;   /* ... and up to where its changes are applied */
    uint64_t renew;            /* a clock with this id (0: none) gets another (compare and set) */
    struct bytes renew_replid; /* ... if it is on this server */
};
/* Fetches the clock, its schemas, and pages of its positions: those that may have changed since
 * `after_seq`, if it is still the clock that was followed; else those in which any position has
 * been raised. */
int l2_resync(struct l2 *l2, const struct l2_resync *resync, const struct l2_op *op);

/* Give up the data connection (READONLY, NOREPLICAS and role changes do so by themselves). */
void l2_drop_connection(struct l2 *l2);

/* ---- waiting for one answer ---- */

/*
 * In the waiter's frame:
 *
 *     struct l2_sync sync;
 *     struct l2_op op = l2_sync_op(&sync, env, deadline_ns);
 *     if (l2_get(l2, &key, &op) == 0)
 *         answer = l2_sync_wait(&sync);
 *
 * Who only waits until a `done` was called may lend his thread for that time:
 *
 *     struct l2_op op = l2_lend(&sync, env, until_ns, l2_op_of(deadline_ns, done, arg));
 *     if (l2_get(l2, &key, &op) == 0)
 *         l2_drive(&sync);
 *
 * Keys: (c) constant after the submit; (d) written before `word` says so; (s) sync lock of l2
 */
struct l2_sync {
    struct env *env;          /* (c) */
    struct link *link;        /* (c) set by the submit */
    uint64_t deadline_ns;     /* (c) until when a waiter waits, or a thread is lent */
    struct request *request;  /* (s) the one to be answered; NULL: answered, or nobody waits */
    _Atomic uint32_t word;    /* pair(l2.sync): enum l2_sync_word */
    struct l2_answer *answer; /* (d) */
    struct request *solo;     /* waiter only: the one that he sends and receives himself, or NULL */
    uint64_t solo_until_ns;   /* (c) ... until then */
    struct stream *stream;    /* (c) ... over this stream ... */
    int fd;                   /* (c) ... and its socket */
    bool holds;               /* ... which has bytes that the socket does not show */
};
enum l2_sync_word {
    SYNC_PARKS,    /* the waiter is woken by the futex */
    SYNC_ANSWERED, /* `answer` is there */
    SYNC_POLLS,    /* the waiter sleeps on the socket */
    SYNC_TAKES,    /* the waiter takes the reply, and answers, himself */
};
/* Begins `s`; returns the op for its submit. */
struct l2_op l2_sync_op(struct l2_sync *s, struct env *env, uint64_t deadline_ns);
/*
 * Parks until the answer is there, or the deadline has passed, whatever the I/O thread does: the
 * answer is then NIGH_ETIMEDOUT, and the request goes on without a waiter. The answer is the
 * caller's to free.
 */
struct l2_answer *l2_sync_wait(struct l2_sync *s);
/* Begins `s`; returns the op, which has a `done`, with this thread lent to it until then (0: not at
 * all). Whoever gets the answer in `done` frees it only after l2_drive() has returned. */
struct l2_op l2_lend(struct l2_sync *s, struct env *env, uint64_t until_ns, struct l2_op op);
/*
 * Sends and receives the request, if the connection is idle; then `done` is called here. Returns
 * once it has been, or as soon as the I/O thread has to do it: a few milliseconds, or `until_ns`.
 */
void l2_drive(struct l2_sync *s);

/* ---- a subscription: the listener's own connection ---- */

struct l2_channel_config {
    struct l2 *l2;                                       /* address, credentials, prefix, limits */
    void (*message)(void *arg, struct bytes payload);    /* in place, valid during the call */
    void (*old_message)(void *arg, struct bytes payload); /* on the channel of wire version 1 */
    void (*up)(void *arg);                               /* subscribed (again) */
    void (*down)(void *arg);                             /* connection lost */
    void *arg;
};
struct l2_channel;
int l2_channel_create(const struct l2_channel_config *config, struct l2_channel **ret_channel);
/* Makes one round on the caller's thread: (re)connects when the data connection is up, reads, calls
 * back; waits at most `wait_ns`. Returns when it wants to be called again. Sends PING when silent
 * for long. */
uint64_t l2_channel_step(struct l2_channel *ch, uint64_t wait_ns);
/* End a wait in l2_channel_step. Any thread. */
void l2_channel_wake(struct l2_channel *ch);
/* Close the connection; the next step opens another. Any thread. */
void l2_channel_reconnect(struct l2_channel *ch);
/* The same, for the password has changed: that is no trouble. */
void l2_channel_log_in(struct l2_channel *ch);
void l2_channel_destroy(struct l2_channel *ch);

/* ---- envelope: what a data key holds (l2/README.md "Envelope") ---- */

enum l2_envelope_flags {
    L2_ENVELOPE_ABSENT = 1,
    L2_ENVELOPE_UNCACHEABLE = 2,
    L2_ENVELOPE_COMPRESSED = 4,
    L2_ENVELOPE_TAGGED = 8,
    L2_ENVELOPE_SOFT = 16,
};

struct l2_envelope {
    uint8_t flags;
    uint64_t name;           /* l2_name_hash() of the key it belongs to */
    uint64_t home;
    uint64_t identity;       /* stamp: identity of the clock ... */
    uint64_t sequence;       /* ... and position */
    uint64_t fill_id;
    uint64_t version;
    uint64_t server_time_ms; /* at fill */
    uint32_t soft_ms;        /* additive lifetimes */
    uint32_t stale_ms;
    uint32_t keep_ms;
    uint32_t cost_us;        /* cost of the load */
    const uint8_t *groups;   /* group_count x 8 B wire hashes of the tags, little-endian */
    uint32_t group_count;
    uint32_t plain_len;      /* of what the payload was compressed from; 0: it was not */
    struct bytes payload;    /* compressed: a byte says how (base/codec.h) */
};

/* Hashes space, schema and key. An envelope bears this name, so that it is never taken for the
 * value of another key. */
uint64_t l2_name_hash(const struct l2_key *key);
size_t l2_envelope_size(const struct l2_envelope *e);
void l2_envelope_encode(const struct l2_envelope *e, void *buffer);
/* Decodes in place. False: wrong magic, version, length or checksum, or the envelope of another key
 * than the one of this name (to be counted, and a miss). */
bool l2_envelope_decode(struct bytes b, uint64_t name, struct l2_envelope *ret);
/* Whether it begins as an envelope of some format: else another program has written it. */
bool l2_envelope_begins(struct bytes b);
/* Whether it is an envelope of another format: not ours to delete. */
bool l2_envelope_foreign(struct bytes b);
/* The fill id as scripts see it, also of an envelope that does not decode; 0: they see none. */
uint64_t l2_envelope_fill_id(struct bytes b);
/* Offsets that scripts read: */
#define L2_ENVELOPE_FILL_ID_AT 32
#define L2_ENVELOPE_VERSION_AT 40

/* ---- gauges ---- */

/* How full a server is. */
struct l2_usage {
    uint64_t memory_bytes; /* used */
    uint64_t cap_bytes;    /* its maxmemory; 0: it has none */
    uint64_t evicted;      /* keys, since it was started */
    uint64_t quiet_ns;     /* time for which it has evicted none of late; 0: not known */
};
struct l2_gauges {
    bool connected;
    uint32_t breaker; /* 0 closed, 1 half-open, 2 open */
    uint32_t in_flight;
    uint64_t connection;
    struct l2_usage usage; /* of all servers, some seconds old; what is not told is 0 */
};
void l2_gauges_read(struct l2 *l2, struct l2_gauges *ret);
/* How long an answer takes that speaks against the server. Any thread. */
uint64_t l2_slow_ns(const struct l2 *l2);
/*
 * Whether a value whose envelope has so many bytes may be sent. False: the server takes no argument
 * so large (proto-max-bulk-len, which is learnt when it has closed a connection for one); or so
 * much is on its way to the server that there is no room. Any thread; a hint about the room.
 */
bool l2_takes(const struct l2 *l2, size_t bytes);
/* The largest argument that the server is known, or believed, to take. Never less than 1 MiB. */
size_t l2_argument_max(const struct l2 *l2);
/* What a server does for us, as far as it may refuse one thing and go on with the others: bits. */
enum l2_work {
    L2_READS = 1,   /* GET, MGET */
    L2_LEASES = 2,
    L2_FILLS = 4,
    L2_CHANGES = 8,
    L2_BEATS = 16,
    L2_LOOKS = 32,  /* of people, l2_peek() */
};
/* Where the clock stood as the connection for requests was made: what comes behind this position
 * Redis has executed after this time. Any thread. */
struct l2_mark {
    uint64_t identity; /* 0: it was not told */
    uint64_t sequence;
    uint64_t after_ns;
};
struct l2_mark l2_mark_read(struct l2 *l2);

/* Why there is no connection, or what is wrong although there is one, as a line for people; the
 * listener's has one, too. Any thread. */
#define L2_PROBLEM_BYTES 200
struct l2_problem {
    char text[L2_PROBLEM_BYTES];  /* "" while all is well; printable ASCII */
    char first[L2_PROBLEM_BYTES]; /* why it began, where that is known; may be the same */
    uint64_t for_ms;              /* for how long that has been so: since the last answer */
    uint32_t refused;             /* what a server refuses that is connected, of enum l2_work */
    bool unheard;                 /* PUBLISH is forbidden: others hear late, or not (fills) */
};
void l2_problem_read(struct l2 *l2, struct l2_problem *ret);
void l2_channel_problem_read(struct l2_channel *ch, struct l2_problem *ret);
/* Why there was none before, when that is over. Any thread. */
struct l2_outage {
    char text[L2_PROBLEM_BYTES];  /* the last reason; "": there was no outage */
    char first[L2_PROBLEM_BYTES]; /* why it began; may be the same */
    uint64_t ago_ms;              /* since it ended */
    uint64_t lasted_ms;           /* from the last answer before it to the first one after it */
};
void l2_outage_read(struct l2 *l2, struct l2_outage *ret);
/* The same of the last time for which a server that was connected refused requests. */
void l2_refusal_read(struct l2 *l2, struct l2_outage *ret);
void l2_channel_outage_read(struct l2_channel *ch, struct l2_outage *ret);
/* What the server does when its memory is full, as it told some seconds ago; and what should be
 * changed there. Any thread. */
#define L2_POLICY_BYTES 24
enum l2_advice { ADVICE_ON_MEMORY, ADVICE_ON_REPLICAS, ADVICE_ON_COMMANDS, L2_ADVICE };
struct l2_server {
    struct l2_usage usage;         /* some seconds old; what it has not told is 0 */
    bool evicts_all;               /* ... also keys that have no end: the order of changes */
    bool whole_info;               /* its INFO takes no list of sections: Redis before 7 */
    char evicts[L2_POLICY_BYTES];  /* its maxmemory-policy; "": unknown */
    const char *advice[L2_ADVICE]; /* for the operator; NULL: none */
};
void l2_server_read(struct l2 *l2, struct l2_server *ret);
bool l2_connected(const struct l2 *l2);
/* Whether the server that has the clock may be asked, or the first attempt to connect to it has not
 * ended. Any thread. */
bool l2_is_awaited(struct l2 *l2);
/* Sets the hook that is called when the data connection is up (on the I/O thread, under a lock: it
 * must not call l2). */
void l2_set_up_hook(struct l2 *l2, void (*up)(void *arg), void *arg);

#endif
