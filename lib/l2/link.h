/* SPDX-License-Identifier: MIT */
/*
 * The link to one server: submission queue, requests in flight, connection, breaker.
 *
 *    any thread            I/O thread
 *    ----------            ----------
 *    submit --> queue ---> pending --- reply ---> decode --> done(answer)
 *               (lock)     (FIFO: replies come in the order of the requests)
 *
 * A caller that finds nothing in flight, and waits for its answer or lends its thread, is the I/O
 * thread of its own request: solo.c.
 *
 * A request is in exactly one of the two lists. Its answer leaves it exactly once: with the reply,
 * at the deadline, or when the connection is lost. A request that has lost its answer to the
 * deadline stays in `pending` to swallow its reply.
 */
#ifndef NIGH_L2_LINK_H
#define NIGH_L2_LINK_H

#include <pthread.h>
#include <stdatomic.h>

#include "l2/answer.h"
#include "l2/backoff.h"
#include "l2/breaker.h"
#include "l2/conn.h"
#include "l2/l2.h"
#include "l2/outage.h"
#include "l2/request.h"
#include "l2/script.h"
#include "l2/sentinel.h"

/* Words of waiters who are to be woken: their frames may be gone by then, which does no harm. */
#define WAKES_MAX 64u
struct wakes {
    uint32_t count;
    _Atomic uint32_t *words[WAKES_MAX];
};

/*
 * A request of so many bytes may be on its way for so long, and then at work, through no fault of
 * the server's: a wire of 1 Mbit/s is the thinnest that we mean to serve. Bounded, for a server
 * that is dead has to be noticed behind the largest request, too.
 */
#define WAY_NS_PER_BYTE 8000u
#define WAY_MAX_NS (8 * NS_PER_S)

static inline uint64_t way_ns(uint64_t bytes)
{
    return bytes > WAY_MAX_NS / WAY_NS_PER_BYTE ? WAY_MAX_NS : bytes * WAY_NS_PER_BYTE;
}

/* Something that has to be done on the link's I/O thread, by its next round. */
struct chore {
    struct chore *next; /* (q) */
    void (*run)(struct link *link, struct chore *chore);
};

/* A Sentinel has called out that the master is elsewhere. */
struct link_switch {
    bool is_new;
    uint32_t by; /* number of that Sentinel */
    struct uri_host to;
};
struct link_left {
    struct place *place; /* NULL: none was */
    uint32_t by;         /* number of who called last: the walk begins with it */
};

/* Says who has the connection, and with it all fields marked (i): see solo.c. */
enum driver {
    DRIVER_IO,     /* the I/O thread */
    DRIVER_NONE,   /* free for the first who comes: nothing is in flight */
    DRIVER_CALLER, /* a caller, who is in a system call of ours */
    DRIVER_TAKES,  /* a caller, who takes what he has read */
    DRIVER_WAITS,  /* a caller, who sleeps on the socket: the I/O thread may take it from him */
};

/*
 * Keys, in all structs of l2:
 *   (c) constant after open, create or submit    (a) atomic, relaxed unless a pair is named
 *   (q) `lock`                                   (s) `sync_lock`
 *   (l) the look-up's lock                       (p) the outage's lock
 *   (i) who drives: with own threads see `driver`, else whoever holds `stepping`
 *   (t) I/O thread, or whoever holds `stepping`
 *   (h) the thread that steps the channel, and so hears it
 *   (k) who calls l2_keep(), one at a time
 *   (d) written before the word that says so
 */
struct link {
    struct l2 *l2;                  /* (c) the client */
    struct env *env;                /* (c) l2's */
    struct stats *stats;            /* (c) l2's */
    struct uri uri;                 /* (c) as it was given, without its password */
    struct place *place;            /* (c) where the server is; with Sentinels (q), and NULL as
                                       long as they have named none */
    void (*found)(void *link);      /* (c) wakes who waits for the address of a name */
    struct sentinels *sentinels;    /* (c) who know where it is; NULL: none are needed */
    struct conn_config conn_config; /* (c) */
    int wake_fd;                    /* (c) eventfd: ends the I/O thread's wait */
    int solo_fd;                    /* (c) eventfd: ends a driving caller's wait; or -1 */
    pthread_t thread;               /* (c) the I/O thread ... */
    bool threaded;                  /* (c) ... if it has one */

    pthread_mutex_t lock;      /* for a few stores, wakes, and the up hook (its own lock) */
    struct request_list queue; /* (q) */
    uint64_t online;           /* (q) number of the usable connection; 0: none */
    char replid[REPLID_BYTES]; /* (q) last told by that connection */
    struct l2_server server;   /* (q) the same */
    uint64_t told_ns;          /* (q) when it has told of its memory last ... */
    uint64_t quiet_since_ns;   /* (q) ... and since when it has evicted nothing, seen from here */
    struct l2_mark mark;       /* (q) the same */
    bool asleep;               /* (q) the I/O thread waits and wants to be woken for a request */
    enum driver driver;        /* (q) but the driver may read it without the lock */
    bool wanted;               /* (q) the I/O thread waits to be given the connection, and woken */
    struct request *solo;      /* (q) the request of the caller who drives; NULL: none does */
    bool polled;               /* (q) a caller may be asleep on the socket and solo_fd */
    uint64_t solo_turn;        /* (q) counts system calls of callers who drive */
    uint64_t solo_until_ns;    /* (q) until when such a caller looks at the socket */
    uint64_t solo_from_ns;     /* (q) no caller drives before this time */
    uint32_t calm;             /* (q) how often in a row a request was alone */
    bool closing;              /* (q) */
    bool tried;                /* (q) an attempt to connect has ended, in whatever way */
    void (*up)(void *arg);     /* (q) */
    void *up_arg;              /* (q) */
    bool up_due;               /* (q) the connection is up and the hook has not been told */
    struct l2_channel *channel; /* (q) to be woken when the connection is up; NULL: none */
    struct link_switch called;  /* (q) what a Sentinel has called out; heeded in the next round */
    struct chore *_Atomic chores; /* (q) for the next round, which may look without the lock */

    _Atomic bool drop;                /* (a) set to have the connection given up */
    _Atomic uint64_t connection;      /* (a) `online` for gauges */
    _Atomic uint32_t in_flight;       /* (a) for gauges, and to refuse more than would ever end */
    _Atomic uint64_t in_flight_bytes[2]; /* (a) bytes of these on the wire: small, large ones */
    _Atomic uint64_t argument_max;    /* (a) l2_argument_max() */
    _Atomic uint64_t many_refused;    /* (a) number of a connection: l2_takes_many() */
    _Atomic uint64_t usage_refused;   /* (a) ... and of one that has answered INFO with an error */
    uint64_t usage_due_ns;            /* (k) when it is asked for again; 0: not yet looked at */

    struct conn conn;            /* (i) */
    struct request_list pending; /* (i) */
    struct breaker breaker;      /* keys: see breaker.h */
    struct backoff backoff;      /* (i) */
    bool gone;                   /* (i) our descriptors are, and it has been said */
    bool solo_failed;            /* (i) a caller has found that the connection has to go */
    uint32_t callers;            /* (i) pending requests whose caller does nothing else meanwhile */
    uint32_t most;               /* (i) most such requests in flight since none was */
    uint64_t stuck_turn;         /* (t) the caller's system call that is waited for ... */
    uint64_t stuck_looked_ns;    /* (t) ... when it was looked at last ... */
    uint32_t stuck_looks;        /* (t) ... and how often it was the same */
    struct wakes wakes;          /* (t) */
    uint64_t logged_in;          /* (i) number of the password; 0: there is none */
    uint64_t logging_in;         /* (i) ... of the one that AUTH was sent with again; 0: none */
    uint64_t told_refused;       /* (i) ... of the one whose refusal the log has heard of */
    bool at_place;               /* (i) the last attempt has come to connecting to the place */
    bool other_address;          /* (i) the next one is at the same place: its host has more, or
                                    there is another password */
    struct link_left left;       /* (i) the place that was left since a Sentinel called */
    uint64_t connections;        /* (i) how many there have been */
    uint64_t answers;            /* (i) answers given, of all its connections */
    uint64_t next_deadline_ns;   /* (i) no request's deadline is before this */
    uint64_t awaited_ns;         /* (i) since when the next reply has been awaited */
    uint64_t excused_ns;         /* (i) sum of waiting that was no fault of the server's */
    bool proven;                 /* (i) the connection has answered a request */
    struct outage outage;        /* keys: see outage.h */
    struct outage refusal;       /* why requests are refused while connected; keys: as above */
    bool turned_away;            /* (i) the last connection ended with a refusal, and this one has
                                    not been shown to be better */
    _Atomic uint32_t refused;    /* (a) of enum l2_work: what was, in that time; for people */
    uint32_t unserved;           /* (i) ... and was not served since */
    uint64_t refused_ns;         /* (i) when something was, last */
    bool rights_doubted;         /* (i) one was, for a right, since rights.c has asked ... */
    bool asks_rights;            /* (i) ... which waits for an answer ... */
    uint64_t rights_next_ns;     /* (i) ... and asks no more before */
    uint64_t rights_look_ns;     /* (i) when it asks anyhow; 0: the handshake has just asked */
    char lacks[L2_PROBLEM_BYTES]; /* (i) what that has named; "": nothing */
    const char *advised[L2_ADVICE]; /* (i) the last advice in the log */
};

/* ---- limits.c ---- */

#define LIMITS_ARGUMENT_LEAST (1u << 20) /* proto-max-bulk-len cannot be set to less */

bool limits_is_large(size_t wire_len);
/* Whether one more of so many bytes may be on its way; and one more at all. */
bool limits_have_room(const struct link *link, size_t wire_len);
bool limits_may_count(const struct link *link, bool reads);
void limits_add(struct link *link, size_t wire_len);
void limits_remove(struct link *link, size_t wire_len);
/* Learns that an argument of a request of so many bytes was too large. */
void limits_learn(struct link *link, size_t wire_len);

/* ---- pipeline.c: whoever drives ---- */

/* Before the connection is given up: whether a large argument may have been the reason, so that the
 * next handshake had better ask for the limit. */
bool pipeline_awaits_large(const struct link *link);
/* Give the answer of a request away, with no more in it than there is, but the status. */
void pipeline_hand(struct link *link, struct request *r, int status);
/* Move what is queued to the connection's output. 0 or NIGH_ENOMEM (the connection has to go). */
int pipeline_send(struct link *link);
/* The reply to the oldest pending request (a conn_reply_fn). */
int pipeline_reply(void *link, struct reply *reply);
/* Answer requests whose deadline has passed. */
void pipeline_expire(struct link *link, uint64_t now_ns);
/* Answer everything with `status`. No request may be queued any more: the link is off line, or
 * closing. */
void pipeline_fail(struct link *link, int status);
/* Notes that the socket has not been looked at for so long. */
void pipeline_note_own(struct link *link, uint64_t own_ns);
/* Makes a request pending: it is under way. If no other is, the next reply should be its own. */
void pipeline_sent(struct link *link, struct request *r, uint64_t now_ns);
/* Awaits the answer to a command of the link's own that was just appended to the connection's
 * output; `done` gets the link. 0, or NIGH_ENOMEM and the connection has to go: the answer would be
 * taken for another request's. */
int pipeline_await(struct link *link, l2_done_fn done, answer_decode_fn decode, uint64_t now_ns);
/* I/O thread, whoever drives: answers requests that are late and were never sent. */
void pipeline_time_out(struct link *link, struct request_list *late);

/* ---- health.c ---- */

/* The breaker's view of an answer; logs a transition. */
void health_judge(struct link *link, bool good, uint64_t now_ns);
/* Notes that the server has refused work of this kind (enum l2_work) for reasons of its own, which
 * conn.words has. The log hears of it once, and l2_problem_read() tells it, until it is over. */
void health_refused(struct link *link, uint32_t work);
/* The same of rights that lack, behind that, or before anything is refused: `lacks` has them. */
void health_lacks(struct link *link);
/* No right lacks, or none any more. */
void health_lacks_none(struct link *link);
/* Whether something was refused, and the end of that is awaited. */
static inline bool health_is_bad(const struct link *link)
{
    return link->turned_away || atomic_load_explicit(&link->refused, memory_order_relaxed);
}
/* Notes that it has done such work; 0: that it has answered. */
void health_served(struct link *link, uint32_t work);
/* The connection has to go since the server, in these words, has refused a request. */
void health_turned_away(struct link *link, struct bytes words);
/* Another connection has come up: what the one before it refused is not known of this one. */
void health_begin(struct link *link, uint64_t now_ns);

/* ---- waiter.c ---- */

/* Makes `s` wait for the request, or drive for it. To be called before the request is queued. */
void waiter_begin(struct link *link, struct l2_sync *s, struct request *r);
/* I/O thread, or the waiter: leave the answer. False: nobody waits any longer; it is still the
 * caller's. A waiter that parks is woken by waiter_wake_all(), which follows soon: all that a read
 * has brought is there before any waiter runs. */
bool waiter_answer(struct link *link, struct request *r, struct l2_answer *answer);
void waiter_wake_all(struct link *link);
/* The waiter goes without the answer, unless it has come. */
void waiter_leave(struct l2_sync *s);
/* The caller that has lent its thread goes on; `done` was called, or will be. */
void waiter_cut(struct l2_sync *s);
/* Whether it is the shared answer of waiters that have left, which nobody owns. */
bool waiter_is_late(const struct l2_answer *answer);

/* ---- solo.c ---- */

/* Whether the caller who submits a request, and waits for it with `s`, or lends his thread (NULL:
 * neither), is to send it himself, with solo_send(), after the lock is released. REQUIRES(lock). */
bool solo_claim_locked(struct link *link, struct l2_sync *s, struct request *r, uint64_t now_ns)
    REQUIRES(link->lock);
void solo_send(struct l2_sync *s);
/* Waits on the socket as long as the request is the caller's to receive. */
void solo_wait(struct l2_sync *s);

/* I/O thread: */
/* REQUIRES(lock), nothing in flight. Whether callers may drive while the I/O thread sleeps. */
bool solo_may_rest_locked(struct link *link) REQUIRES(link->lock);
/* Take the connection. False: a caller is at work on it, and wakes us when it has done. */
bool solo_own(struct link *link);
/* Wait for that caller. True: he takes too long. The connection is ours then, and has to go. */
bool solo_await(struct link *link);

/* ---- wake.c ---- */

/* Makes the descriptor of a wake-up readable, if it is still ours. */
void wake_ring(struct l2 *l2, int wake_fd);
void wake_empty(int wake_fd);
/* Wakes the I/O thread. */
void wake_io(struct link *link);
/* After a wait: empties the I/O thread's wake-up, and notes whether descriptors were closed. */
void wake_heed(struct link *link, int ready);
/* Makes an epoll instance (< 0: none) watch a descriptor for input. 0 or NIGH_ETHREAD. */
int wake_watch(int poll_fd, int fd);

/* ---- io.c ---- */

/* Makes a round: connect if it is time, write, wait until `until_ns` at most, read, expire. */
uint64_t io_step(struct link *link, uint64_t until_ns);
/* Whether the I/O thread may sleep; if so the next submit wakes it, or, if it rests, drives. */
enum io_sleep { SLEEP_NOT, SLEEP_UNTIL_WOKEN, SLEEP_AT_REST };
enum io_sleep io_may_sleep(struct link *link);
void io_woken(struct link *link);
/* Leaves a chore to the I/O thread, or at the end of the link to who ends it. */
void io_leave(struct link *link, struct chore *chore);
/* Does what was left. */
void io_do_chores(struct link *link);
static inline bool io_has_chores(const struct link *link)
{
    return atomic_load_explicit(&link->chores, memory_order_relaxed) != NULL;
}
/* Wakes whoever may wait for the address of the link's host. */
void io_found(void *link);
/* Warns of a server's setup that will do harm. Thread: whoever drives, who alone writes `server`,
 * and so reads it without the lock. */
void io_advise(struct link *link);

/* ---- auth.c: whoever drives ---- */

/* Looks for another password once in a while, and tries it on the connection. 0, or < 0: that has
 * to go. */
int auth_step(struct link *link, uint64_t now_ns);
/* Returns when that has something to do. */
uint64_t auth_due_ns(const struct link *link);
/* The data connection is logged in with the password of this number. */
void auth_logged_in(struct link *link, uint64_t number);

/* ---- usage.c ---- */

/* Asks the server now and then how full it is. Returns when to come again. Thread: l2_keep()'s. */
uint64_t usage_keep(struct link *link);
/* Returns for how long the server has evicted nothing, up to now; 0: that is not known. REQUIRES
 * the link's lock. */
uint64_t usage_quiet_ns(const struct link *link);

/* ---- rights.c: whoever drives ---- */

/* Behind a refusal for want of a right, asks the server which one lacks. 0, or < 0: the connection
 * has to go. */
int rights_step(struct link *link, uint64_t now_ns);

/* ---- seek.c: whoever drives, where nothing else is said ---- */

/* Whether the Sentinels of a URI are spoken to over TLS. */
bool seek_sentinel_tls(const struct l2_config *config, const struct uri *uri);
/* Makes the place of the server, or those who know it. 0 or NIGH_ENOMEM. */
int seek_init(struct link *link, const struct l2_config *config, void (*found)(void *arg));
void seek_fini(struct link *link);
/* Begins an attempt to connect: to the place, or with a question to a Sentinel. 0, or < 0 and the
 * attempt has failed, for the reason in conn.problem. */
int seek_begin(struct link *link, uint64_t now_ns);
/* Goes on, while a Sentinel is asked. Returns as seek_begin(). */
int seek_step(struct link *link, uint64_t now_ns);
/* An attempt has failed. Returns whether there is another address, or another Sentinel to ask: then
 * the next attempt is not to wait. */
bool seek_has_more(struct link *link);
/* The connection is up. */
void seek_worked(struct link *link, uint64_t now_ns);
/* Any thread: Sentinel `by` says that the master is there. */
void seek_call(struct link *link, uint32_t by, const struct uri_host *to);
/* Whether the connection has to go since a Sentinel has called. */
bool seek_called(struct link *link, uint64_t now_ns);
/* The descriptors are not ours any more. */
void seek_disown(struct link *link);
/* Any thread: holds the place of the connection. NULL: there has been none. */
struct place *seek_hold_place(struct link *link);

static inline bool seek_asks(const struct link *link)
{
    return link->sentinels && link->sentinels->asks;
}

/* Returns the connection whose socket is to be slept on. */
static inline const struct conn *seek_conn(const struct link *link)
{
    return seek_asks(link) ? &link->sentinels->conn : &link->conn;
}

/* ---- link.c ---- */

/* Says where the server is, or whose it is, for people. Thread: who drives the link. */
static inline const char *link_shown(const struct link *link)
{
    return link->place ? link->place->shown : link->uri.shown;
}

/* Makes the link to the server at `uri`, and its I/O thread if the client has such. Of the config
 * it takes the logins. 0, NIGH_ENOMEM or NIGH_ETHREAD. */
int link_create(struct l2 *l2, const struct l2_config *config, const struct uri *uri,
                struct link **ret_link);
/* Refuses requests from here on, and wakes its thread to end: l2->stop is set. */
void link_stop(struct link *link);
/* Joins its thread, ends all requests with NIGH_ECLOSED, closes and frees. */
void link_destroy(struct link *link);

#endif
