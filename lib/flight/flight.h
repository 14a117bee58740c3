/* SPDX-License-Identifier: MIT */
/*
 * Level 2: single-flight. One record per key that is being brought, one thread at a time that
 * steps it, any number that wait for it.
 *
 *   GET -> LEASE -> (WAIT -> LEASE)* -> LOAD -> FILL -> LAND       any state may go to LAND
 *
 * The flight knows neither tiers nor loaders: it is the record, its place in a small sharded table,
 * its waiters, its mailbox and its deadline. What a state does is the business of the stepper
 * (cache/load), given at init. Through the mailbox, blocking, refreshing and async callers share
 * one machine:
 *
 *   mail    one 32-bit futex word: bit 31 HELD, bit 30 PARKED, low bits events. flight_post() sets
 *           an event; if nobody holds the flight it takes HELD and hands the flight to host->run (a
 *           worker queue). The holder steps until its mailbox is empty, then gives HELD back; a
 *           blocking leader instead parks on the word, and gives HELD back when its own deadline
 *           passes: the flight then goes on with the workers, it is not killed. Landing ends the
 *           waiting, not the mailbox: a late answer is still stepped, in state LAND.
 *   landed  the other futex word: 0 flying, 1 landed, 2 leaderless (a waiter may take over).
 *
 * Ordering: the result is written before `landed` is stored with release (pair(flight.landed)) and
 * read after it is loaded with acquire. Events are posted with release and taken with acquire
 * (pair(flight.mail)), so that what an I/O thread left in the record is seen by the stepper.
 *
 * Lifetime: counted references: the table's (dropped when it lands), one that goes with HELD, each
 * caller's, and one per outstanding operation (flight_ref around an L2 request). The last one calls
 * host->free_result and frees the record, never before it has landed: every flight must be landed.
 *
 * A forgotten flight stays in the table until it lands, so that timers and notices still reach it;
 * it only cannot be joined. At most one flight of a key can.
 *
 * A caller that does not wait leaves a `watch` in the flight, which the landing calls. It is no
 * waiter: it counts for no cap, and can take nothing over. Either the landing has the watch or its
 * owner, who takes it back: one flag says which, under the shard lock.
 *
 * Known bugs of others, each a test here: dead or exiting leader (golang#33519), forgotten flight
 * and a third caller (golang#31420), one key's load blocking another's (caffeine#672), recursion
 * (caffeine#712), serial retry after failure (Caffeine#521), a caller's cancel kills all.
 */
#ifndef NIGH_FLIGHT_FLIGHT_H
#define NIGH_FLIGHT_FLIGHT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nigh/error.h>

#include "base/base.h"

enum flight_state {
    FLIGHT_GET,   /* asking L2 */
    FLIGHT_LEASE, /* asking for the right to load */
    FLIGHT_WAIT,  /* another process loads: waiting for its fill */
    FLIGHT_LOAD,  /* the loader runs */
    FLIGHT_FILL,  /* handing the value to L2 */
    FLIGHT_LAND,  /* result is there */
};

/*
 * Events. Several may come in one step, and in any state: the stepper keeps in mind an event that
 * comes too early (FILLED before the reply that says "held"), and ignores one that comes too late
 * (an old TIMER).
 */
enum flight_event {
    FLIGHT_EV_START = 1 << 0,       /* first step in GET; again in LOAD: run the loader */
    FLIGHT_EV_REPLY = 1 << 1,       /* the outstanding L2 request has its outcome */
    FLIGHT_EV_FILLED = 1 << 2,      /* a fill frame named the key */
    FLIGHT_EV_INVALIDATED = 1 << 3, /* an invalidation named the key, or the listener reconnected */
    FLIGHT_EV_TIMER = 1 << 4,       /* `due_ns` has passed */
    FLIGHT_EV_DEADLINE = 1 << 5,    /* `deadline_ns` has passed */
    FLIGHT_EV_ANSWER = 1 << 6,      /* a loader that ran elsewhere has answered (or was lost) */
    FLIGHT_EV_ALL = (1 << 7) - 1,
};

struct flight;
struct flight_table;

struct flight_host {
    /* Queue the (HELD) flight for a worker, which calls flight_run(). Any thread; must not block or
     * step it here. Carries one reference. It cannot fail: the queue is intrusive (f->run_next is
     * the host's while queued). */
    void (*run)(void *arg, struct flight *f);
    /* Handle `events` in f->state; may step through several states. HELD by the caller. */
    void (*step)(void *arg, struct flight *f, uint32_t events);
    /* The last reference to the flight is gone. */
    void (*free_result)(void *arg, struct flight *f);
    void *arg;
    size_t room_bytes; /* bytes that the host wants in each record (flight.room), zeroed; or 0 */
};

/*
 * A caller of a flight that does not wait for it. Zeroed but for `landed`: it watches nothing.
 *
 * Keys: (c) constant  (o) its owner, and join while it is joined  (t) table shard lock
 */
struct flight_watch {
    void (*landed)(struct flight_watch *w); /* (c) called once, when the flight has landed, on the
                                             * thread that has landed it; unless taken back */
    struct flight *flight;                  /* (o) with a reference, which the owner drops */
    struct list_link link;                  /* (t) */
};

/* Keys: (c) constant after creation  (h) the holder  (t) table shard lock  (r) constant once landed
 *       (a) atomic  (g) lock of the wait graph  (o) the thread that loads for it */
struct flight {
    /* identity */
    struct flight_table *table;    /* (c) */
    struct env *env;               /* (c) the table's */
    void *space;                   /* (c) opaque to this module */
    uint32_t space_id;             /* (c) */
    uint64_t hash;                 /* (c) the key's */
    uint32_t key_len;              /* (c) */
    const uint8_t *key;            /* (c) behind the record, one allocation */
    void *room;                    /* (c) the host's, behind the record, too */
    uint64_t ticket;               /* (t) position of this node when it began, or when the holder
                                    * began to look anew; written by the holder */
    uint64_t deadline_ns;          /* (c) the flight's own, not its callers' */
    bool background;               /* (c) began without a caller (refresh): loads run on a worker */

    /* progress */
    enum flight_state state;       /* (h) */
    _Atomic uint32_t shown;        /* (a) the state, for who only looks: flight_look() */
    _Atomic uint64_t due_ns;       /* (a) set by the holder: post FLIGHT_EV_TIMER then */
    _Atomic uint32_t mail;         /* (a) futex word of the holder */
    _Atomic uint32_t landed;       /* (a) futex word of the waiters */
    _Atomic uint32_t refs;         /* (a) */
    uint64_t call;                 /* (t) the last that joined, if it has a name */
    uint32_t waiters;              /* (t) callers that joined and have not left, the leader too;
                                    * but none that watches */
    struct list watches;           /* (t) newest first; the landing's, once it is `landing` */
    bool landing;                  /* (t) out of the table: its watches cannot be taken back */
    uint32_t replaced;             /* (h) leaders lost so far */
    bool blocking;                 /* (h) the holder is a caller, not a worker ... */
    uint64_t until_ns;             /* (h) ... and stays until then */
    bool for_caller;               /* (h) stepped like a worker, by a caller that waits for it */
    bool released;                 /* (h) its blocking leader goes on as a follower */
    bool stepping;                 /* (h) inside host->step */
    bool forgotten;                /* (t) cannot be joined any more */
    bool overdue;                  /* (t) FLIGHT_EV_DEADLINE has been posted */
    _Atomic uint64_t leader;       /* (a) token of the thread that runs the loader now, 0: none */

    /* the result */
    int outcome;                   /* (r) enum nigh_result */
    int error;                     /* (r) the loader's own error */
    void *result;                  /* (r) opaque: released by host->free_result */
    void *work;                    /* (h) the stepper's own state; freed by host->free_result */

    /* links */
    struct flight *next;           /* (t) hash chain */
    struct flight *run_next;       /* the host's queue */
    struct flight *outer;          /* (o) the flight whose loader, on this thread, asked for it */
    struct flight *waits_for;      /* (g) the flight that this one's loader waits for */
};

struct flight_table_config {
    struct env *env;
    struct flight_host host;
};

int flight_table_create(const struct flight_table_config *config, struct flight_table **ret_table);
/* Every flight must have landed, and been left. */
void flight_table_destroy(struct flight_table *table);

struct flight_key {
    void *space;
    uint32_t space_id;
    uint64_t hash;
    const void *data;
    uint32_t len;
};

enum flight_role {
    FLIGHT_LEADER,   /* new flight, HELD by the caller, state GET: step it (flight_lead) */
    FLIGHT_FOLLOWER, /* wait for it (flight_wait) */
    FLIGHT_SHARER,   /* the same, but the call has joined it before, and is counted once: the
                      * reference is dropped with flight_unref() */
};

struct flight_join {
    struct flight_key key;
    uint64_t ticket;          /* taken before looking anywhere */
    uint64_t key_floor_ok;    /* oldest ticket that may be joined: the key's floor now */
    uint64_t deadline_ns;     /* deadline of a new flight */
    uint32_t waiters_max;     /* callers at one time, the leader included; a leader always may */
    bool background;          /* a refresh: joins nobody; if one flies, nothing to do */
    struct flight_watch *watch; /* instead of waiting: watch the flight; NULL: a blocking caller */
    uint64_t call;            /* names a call that may join a flight twice, and waits for it as
                               * often, one after the other; 0: it does not */
};

/**
 * Join the flight of a key, or start one.
 *
 * A flight whose ticket is below `key_floor_ok` began before an invalidation: it is forgotten (its
 * callers still get its result) and a new one starts (rule 10). So is one past its
 * deadline. A flight that has landed is not there any more: a caller that looked into L1 before it
 * landed and comes here afterwards leads a new one, so the first step looks into L1 again.
 *
 * Returns   FLIGHT_LEADER, FLIGHT_FOLLOWER or (only with join->call) FLIGHT_SHARER, with a
 *           reference in *ret_flight. A leader goes on
 *           with flight_lead or flight_hand_over, a follower with flight_wait; both end with
 *           flight_leave. With a watch the reference is the watch's: a leader goes on with
 *           flight_begin or flight_hand_over, a follower with nothing
 * Errors    NIGH_EBUSY waiters_max reached; NIGH_EDEADLK this thread is running the loader of this
 *           very key; NIGH_ENOMEM; for background: NIGH_EBUSY if one flies already
 */
int flight_join(struct flight_table *table, const struct flight_join *join,
                struct flight **ret_flight);

/**
 * Step a held flight as its blocking leader until it lands or `deadline_ns` passes; then give HELD
 * back so that the workers carry it on. A thread that leads several flights hands over all but the
 * one it is about to lead: others wait for them meanwhile.
 *
 * Returns   0 landed; NIGH_ETIMEDOUT
 */
int flight_lead(struct flight *f, uint64_t deadline_ns);

/**
 * Wait for the landing as a follower. If the leader is lost the first waiter to notice takes the
 * flight over and leads it.
 *
 * Returns   0 landed, also when that was at the very moment of the deadline
 * Errors    NIGH_ETIMEDOUT; NIGH_EDEADLK this thread is running the loader of a flight that
 *           (through other flights) this one waits for
 */
int flight_wait(struct flight *f, uint64_t deadline_ns);

/* As the leader of several new flights, which are HELD until each is let go. First: take the first
 * step of one; with `until_ns` the thread has nothing to do until then but wait for that flight's
 * events. While: take its steps until it has landed, or `waits` says that its leader does not wait
 * for it, or time is up. */
void flight_lead_first(struct flight *f, uint64_t until_ns);
void flight_lead_while(struct flight *f, uint64_t deadline_ns,
                       bool (*waits)(const struct flight *f));
/* Let go of such a flight: what comes from here on is stepped by the workers. */
void flight_let_go(struct flight *f);

/* Leave a flight: once per successful join, after the caller took what it wanted. */
void flight_leave(struct flight *f);
/* Take a watch back. False: the flight is landing, and `landed` is called, or was. */
bool flight_unwatch(struct flight_watch *w);

void flight_ref(struct flight *f);
void flight_unref(struct flight *f);

/* Leave an event in the mailbox; wakes the holder or hands the flight to host->run. Any thread. */
void flight_post(struct flight *f, uint32_t events);
/* Leave an event that leads to no loader: if nobody holds the flight, step it here. */
void flight_post_here(struct flight *f, uint32_t events);
/* As a worker: step a flight that host->run was given, until its mailbox is empty. Drops the
 * reference that run carried. */
void flight_run(struct flight *f);
/* Step a flight as flight_run() does, on the thread of a caller inside flight_wait() for it. */
void flight_run_for_caller(struct flight *f);
/* Give a flight that was just started (LEADER) to the workers, instead of leading it: a refresh.
 * The caller still has its reference, and leaves when it likes. */
void flight_hand_over(struct flight *f);
/* Take the first step of such a flight here, and no other: what comes after it is the workers'.
 * Returns whether the flight has landed by it. */
bool flight_begin(struct flight *f);

/* By the stepper, HELD: until when this thread has nothing to do but wait for the flight's events;
 * 0: it is a worker's. */
static inline uint64_t flight_lent_until_ns(const struct flight *f)
{
    return f->blocking ? f->until_ns : 0;
}
/* By the stepper, HELD: have a blocking leader let go after this step, and wait as a follower does:
 * what comes next is posted by a thread that goes on to step it (flight_post_here). */
static inline void flight_release(struct flight *f)
{
    f->released = true;
}
/* By the stepper, HELD: go to another state (checks that the step is legal). */
void flight_enter(struct flight *f, enum flight_state state);
/* By the stepper, HELD: take the ticket anew, before it looks again: what it finds from here on is
 * as of this ticket, and callers may join it that this ticket suits. */
void flight_renew(struct flight *f, uint64_t ticket);
/* By the stepper, HELD, once: land the flight, whose result is in f->outcome, error, result, and
 * wake everyone. Or by a caller that just started it and cannot even step it: then HELD is given
 * back, too. */
void flight_land(struct flight *f);

/*
 * Around the loader, by the stepper: from `begin` to `end` this thread is known to load for f, by
 * which EDEADLK is judged. When the loader does not return the host calls flight_abandon() instead
 * of `end`: the flight, unless the host has landed it, becomes leaderless, a waiter or worker takes
 * it over in state LOAD once, and the second time it lands with NIGH_ELOADER. flight_abandon() also
 * does what the frames that are gone would have done: the step does not return, and the
 * flight_leave() of a blocking leader, or of a caller that ran the flight, must not follow.
 */
void flight_load_begin(struct flight *f);
void flight_load_end(struct flight *f);
void flight_abandon(struct flight *f);
/* Do as flight_load_begin() around a loader that loads for several flights at once: for each flight
 * but the last, before it. `mate`: the flight that comes next, whose loader is the same. */
void flight_load_begin_with(struct flight *f, struct flight *mate);
/* Whether this thread is inside a loader. */
bool flight_is_loading(void);
/* From `begin` to `end` the loader that this thread is inside of waits for f: around what a leader
 * of several flights does for them. `begin`: as flight_wait(). */
int flight_waits_begin(struct flight *f);
void flight_waits_end(void);

/* Land a flight whose holder is inside a loader that nobody waits for any longer, on the holder's
 * behalf: when the loader returns its flight has landed, and has no mail. The host sees to it that
 * the loader does not return meanwhile. */
void flight_land_stuck(struct flight *f);

/* Post `events` to the flight of this key, if one flies. For fill frames and invalidations. */
void flight_notify(struct flight_table *table, const struct flight_key *key, uint32_t events);
/* Post `events` to every flight, whatever its state (the listener reconnected): one that is about
 * to enter WAIT must not miss it. */
void flight_notify_all(struct flight_table *table, uint32_t events);
/* Post TIMER (once per due_ns) and DEADLINE (once) to the flights that are due, and hand flights
 * that stayed leaderless to the workers. Returns when to come again; a thread that sets an earlier
 * due_ns meanwhile pokes the keeper. */
uint64_t flight_tick(struct flight_table *table);
/* Returns the flight whose word callers wait for, by that word. */
static inline struct flight *flight_of_landed(const _Atomic uint32_t *landed)
{
    return (struct flight *)((uintptr_t)landed - offsetof(struct flight, landed));
}
/* Whether the flight has landed: then all that its last step did is seen. */
bool flight_has_landed(const struct flight *f);
/* Returns how many flights have not landed. */
uint32_t flight_count(struct flight_table *table);

/* Tells people how far the flight of a key is that may be joined. */
struct flight_seen {
    enum flight_state state;
    bool loading;         /* a thread is inside its loader */
    bool background;      /* began without a caller */
    uint32_t waiters;     /* callers that wait, who leads it among them */
    uint32_t watches;     /* calls that are pending on it */
    uint64_t ticket;
    uint64_t deadline_ns;
};
/* False: none flies. */
bool flight_look(struct flight_table *table, const struct flight_key *key,
                 struct flight_seen *ret_seen);

/*
 * Holds what a thread is in the middle of. One thread that does the work of several exchanges it
 * with `other` when it goes on with the work of another.
 */
struct flight_thread {
    struct flight *loading; /* the innermost flight whose loader it runs */
    uint64_t token;         /* tells such threads apart; 0: the thread's own */
};
void flight_thread_swap(struct flight_thread *other);
/* Returns the token of the calling thread: not 0, and no other thread's while it lives. */
uint64_t flight_thread_token(void);

#endif
