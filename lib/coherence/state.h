/* SPDX-License-Identifier: MIT */
/*
 * The state of a node: the clock of Redis as it remembers it, its outstanding requests, its locks.
 * Private to coherence.
 *
 * The clock followed. `epoch` is odd while none is followed, and moves whenever the positions known
 * can no longer be compared: a clock is forgotten, another is taken, or a change of ours is
 * accepted under a clock that is not followed. It serves two:
 *
 *   readers   look at it before and after reading identity, home, known and groups; if it is odd or
 *             moved they know nothing (no lock, no retry: "no clock" is always a safe answer)
 *   beats     a request remembers it when sent; an answer that comes back to another epoch may be
 *             older than a clock that has been met since, and is discarded (rule 8)
 *
 * Locks, none held across I/O or a callback of the application:
 *   apply lock   everything about the clock, the groups, the finished calls; then the sink's own
 *   queue lock   the queue's items (leaf)
 *   schemas lock the list of schemas in use, and how long ours are registered (leaf)
 *   mail lock    answers left by the I/O thread, the poke; only wakes are under it (drive lock)
 *
 * Threads: the keeper runs coherence_tick, the listener hears frames, the I/O thread only leaves
 * answers, any thread asks, notes and changes.
 */
#ifndef NIGH_COHERENCE_STATE_H
#define NIGH_COHERENCE_STATE_H

#include <pthread.h>

#include "coherence/coherence.h"
#include "coherence/message.h"
#include "coherence/met.h"
#include "coherence/recent.h"
#include "coherence/schemas.h"

/* A finished call is looked for when its frame comes back, microseconds later: this many are
 * remembered. The frame of a forgotten call is applied again, which costs a reload of its keys and
 * nothing else. */
#define COHERENCE_FINISHED_CALLS 4096u

/* Nonces of the last changes applied: more than arrive by the channel while a beat is on its way.
 * An answer that stands further back is taken for too old, and another beat is sent. */
#define COHERENCE_NONCES 4096u

#define COHERENCE_LISTENING(listens) ((listens) & 1)
#define COHERENCE_LISTENS_NEVER UINT32_MAX /* differs from every count there is */

#define CLK_SLOT_BYTES 16u /* hard, soft */

/* A change in the order of Redis. */
struct coherence_point {
    uint64_t sequence;
    uint64_t nonce;
};

/* Remembers one of our calls. Keys: (l) */
struct coherence_call {
    uint64_t finished;  /* (l) the id of the call whose local step is done ... */
    uint64_t heard;     /* (l) ... of the call whose frame came before that step ... */
    uint64_t floor;     /* (l) ... and the floor that this frame raised for its last key */
};

/* Where the last bump of a group that was applied here stands in Redis' order. Keys: (e) */
struct coherence_group {
    _Atomic uint64_t hard;
    _Atomic uint64_t soft;
};

/* An outstanding request of the keeper. Keys: (c), (k) keeper, (m) mail lock */
struct coherence_request {
    struct coherence *coherence; /* (c) referenced while busy */
    bool busy;                   /* (k) */
    struct l2_answer *answer;    /* (m) left by the I/O thread, taken by the keeper */
};

/* Keys: (k) keeper  (a) atomic, any thread */
struct coherence_beat {
    struct coherence_request request;
    bool resync;          /* (k) the outstanding request is a resync */
    bool resync_next;     /* (k) the trail is lost: the next request is one */
    uint64_t epoch;       /* (k) `epoch` when it was sent */
    uint64_t after_seq;   /* (k) `applied` when it was sent */
    struct coherence_point known; /* (k) `known` when it was sent: the answer goes on from it */
    uint64_t large_ns;    /* (k) since when beats find a large frame not yet heard; or 0 */
    _Atomic bool old_told; /* (a) nodes of wire version 1 change values: seen here, and logged */
    uint64_t sent_ns;     /* (k) coarse clock, read before it was queued: trust counts from here */
    uint64_t due_ns;      /* (k) when the next regular beat is due */
    uint64_t earliest_ns; /* (k) no beat on demand is sent before */
    uint64_t spacing_ns;  /* (k) least time between beats on demand, now */
    uint64_t resync_at_ns; /* (k) no resync is sent before */
    uint32_t resyncs;     /* (k) resyncs of late: without a pause of some seconds in between */
    _Atomic bool link_new; /* (a) the connection is another: no spacing holds */
    uint64_t checked_ns;  /* (k) when the listener was last looked after ... */
    uint64_t checked_seq; /* (k) ... and Redis' position then: to be heard by the next look */
    uint64_t heard_base;  /* (k) position of Redis when the listener had just subscribed */
    uint32_t checked_listens; /* (k) `listens` then */
    uint64_t lost_ns;     /* (k) when trust ran out; 0: it has not, or never was */
    bool trusted;         /* (k) trust holds, as far as the sink has been told */
    _Atomic bool wanted;  /* (a) a beat is wanted now */
};

struct coherence_queue_item;

/* Queued items on their way: a script of some 30 KiB with ordinary keys. Keys: (k) keeper */
#define COHERENCE_BATCH_ITEMS 256u
struct coherence_batch {
    uint32_t count;                                              /* (k) */
    uint64_t call;                                               /* (k) */
    uint64_t nonce;                                              /* (k) */
    struct coherence_position known;                             /* (k) when its script was made */
    struct coherence_queue_item *members[COHERENCE_BATCH_ITEMS]; /* (k) */
    struct coherence_item items[COHERENCE_BATCH_ITEMS];          /* (k) as they were when sent */
    bool noted[COHERENCE_BATCH_ITEMS];                           /* (k) `recent` has the item */
};

/* Tries of a change while the list of schemas moves between question and answer. Then a caller
 * leaves the change to the queue, and the queue waits as after a failure. */
#define COHERENCE_NAMED_TRIES 4u

/* Keys: (c)  (q) queue lock  (k) keeper  (a) atomic */
struct coherence_queue {
    pthread_mutex_t lock;
    struct coherence_queue_item **heads; /* (q) chains by wire hash */
    uint32_t head_count;                 /* (c) power of two */
    struct coherence_queue_item *first;  /* (q) oldest */
    struct coherence_queue_item *last;   /* (q) */
    struct coherence_queue_item *all;    /* (c) the item of ALL: always exists, queued or not */
    struct coherence_batch *batch;       /* (k) */
    struct coherence_request request;
    uint64_t due_ns;                     /* (k) the next attempt */
    uint32_t backoff_ms;                 /* (k) 0: the last attempt succeeded */
    uint32_t moved;                      /* (k) answers in a row that told only the schemas */
    _Atomic bool retry_now;              /* (a) the connection is new: no need to wait */
    _Atomic uint32_t count;              /* (a) written under the queue lock */
    _Atomic uint32_t emptied;            /* (a) futex word: bumped when the queue runs empty */
};

/* Keys: (c) constant after open  (l) apply lock  (e) written under the apply lock, read between two
 *       looks at epoch  (m) mail lock  (a) atomic. On lines of its own */
struct coherence {
    struct coherence_config config; /* (c) */
    uint64_t incarnation;           /* (c) names this node in its frames */

    pthread_mutex_t apply_lock;
    _Atomic uint64_t epoch;         /* (l) odd: no clock is followed */
    _Atomic uint64_t identity;      /* (e) the followed clock's; 0: none */
    _Atomic uint64_t home;          /* (e) hash of the replid of its server */
    _Atomic uint64_t known;         /* (e) highest position that was executed */
    struct coherence_group *groups; /* (e) positions of their last bumps */
    uint64_t applied;               /* (l) position up to which all changes are applied */
    uint64_t *nonces;               /* (l) nonces of the last changes applied, by position */
    uint64_t nonces_from;           /* (l) first position whose nonce is known */
    uint64_t known_nonce;           /* (l) nonce of the change at `known` */
    uint64_t clk_id;                /* (l) id of the clock last followed; 0: none */
    uint8_t replid[L2_REPLID_BYTES]; /* (l) ... and replid of its server */
    uint64_t renew;                 /* (l) id of a clock that may not be followed as it is, or 0 */
    uint8_t renew_replid[L2_REPLID_BYTES]; /* (l) ... and replid of its server */
    struct met met;                 /* (l) identities that answers have shown */
    struct recent recent;           /* (l) own changes of the last seconds */
    uint64_t heard;                 /* (l) highest sequence that came through the channel */
    struct coherence_call *own;     /* (l) own calls, direct-mapped by id */

    /* read by every hit; written with each beat, and nothing else on this line */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t trusted_until; /* (a) written by the keeper */
    _Atomic uint64_t server_offset_ms; /* (a) server's wall time - coarse clock; 0: never told */

    /* written with each change */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t calls; /* (a) ids given to changes */
    _Atomic uint32_t rounds;        /* (a) futex word: bumped when a clock is taken */

    struct coherence_beat beat;
    struct coherence_queue queue;
    struct schemas schemas;

    struct turn ticking;            /* taken by the keeper, for all that is marked (k) */
    struct turn listening;
    struct l2_channel *channel;     /* (c) */
    struct service listener;        /* (c) */
    _Atomic uint32_t listens;       /* (a) bumped by each up and down: odd while subscribed */
    _Atomic bool stopping;          /* (a) */

    pthread_mutex_t mail_lock;
    bool closed;                    /* (m) no poke any more */
    void (*poke)(void *arg);        /* (m) */
    void *poke_arg;                 /* (m) */
    _Atomic uint32_t mail;          /* (a) futex word: bumped with each answer left */
    _Atomic uint32_t refs;          /* (a) the owner's, and one per outstanding request */
};

/* ---- state.c ---- */

/* Whether `identity` is the clock followed now. */
bool coherence_follows_locked(const struct coherence *c, uint64_t identity) REQUIRES(apply_lock);
void coherence_known_raise_locked(struct coherence *c, uint64_t sequence, uint64_t nonce)
    REQUIRES(apply_lock);
struct coherence_point coherence_known_locked(const struct coherence *c) REQUIRES(apply_lock);
/* A clock other than the one followed was met (rule 8): follow none, void the beat on its way. */
void coherence_forget_locked(struct coherence *c) REQUIRES(apply_lock);
/* Forget the clock, and have it renewed: its history is not the one that was applied here
 * (rule 16). */
void coherence_rewound_locked(struct coherence *c) REQUIRES(apply_lock);
/* An answer of the data connection shows a clock. False: a later one has been seen already, and it
 * may have shown another. */
bool coherence_meet_locked(struct coherence *c, const struct l2_answer *answer)
    REQUIRES(apply_lock);
/* Whether an answer comes from a clock that has been left by now: later answers show another, which
 * does not know of a change that was accepted there. */
bool coherence_outlived_locked(struct coherence *c, const struct l2_answer *answer)
    REQUIRES(apply_lock);
bool coherence_outlived(struct coherence *c, const struct l2_answer *answer);
/* Whether the clock that a resync shows may be followed as it is; else it is renewed first
 * (rule 16). `known`: the last followed clock's, when the resync was sent. */
bool coherence_may_follow_locked(struct coherence *c, const struct l2_clock *clock,
                                 const struct coherence_point *known) REQUIRES(apply_lock);
/* Follow the clock of a resync. */
void coherence_follow_locked(struct coherence *c, const struct l2_answer *answer)
    REQUIRES(apply_lock);
/* Park until a clock is followed or the deadline. */
void coherence_wait_for_clock(struct coherence *c, uint64_t deadline_ns);

/* ---- apply.c ---- */

/* Applies rule 2 to one item: a group's position, then the sink's floor. Sequence 0: its position
 * is unknown. Returns the floor of a key. */
uint64_t coherence_apply_item_locked(struct coherence *c, const struct coherence_item *item,
                                 uint64_t sequence) REQUIRES(apply_lock);
/* Moves `applied` and `known`, after the items of `sequence`. */
void coherence_applied_locked(struct coherence *c, uint64_t sequence, uint64_t nonce)
    REQUIRES(apply_lock);
/* Whether a change at this position, up to `applied`, can be the one that is known there
 * (rule 16). */
bool coherence_agrees_locked(const struct coherence *c, uint64_t sequence, uint64_t nonce)
    REQUIRES(apply_lock);
/* Whether the clock in an answer goes on from `known`, which had been executed when the answer was
 * asked for: it does not stand before that, nor with another change than the one known there. */
bool coherence_goes_on_locked(const struct coherence *c, const struct l2_clock *clock,
                              const struct coherence_point *known) REQUIRES(apply_lock);
/* Whether `previous`, which the change after the last applied names, is the nonce that is known of
 * the last applied (rule 16). */
bool coherence_is_next_of_locked(const struct coherence *c, uint64_t previous) REQUIRES(apply_lock);
/* Returns the floor that the frame of a call of ours has raised before its local step; 0: none. */
uint64_t coherence_heard_locked(const struct coherence *c, uint64_t call) REQUIRES(apply_lock);
/* Notes that the local step of a call of ours is done at its position: its frame may be skipped. */
void coherence_finish_call_locked(struct coherence *c, uint64_t call) REQUIRES(apply_lock);

enum coherence_trail {
    COHERENCE_TRAIL_WHOLE, /* everything Redis had is applied */
    COHERENCE_TRAIL_MORE,  /* the trail goes on beyond what the answer holds */
    COHERENCE_TRAIL_LARGE, /* the next frame was too large for the log */
    COHERENCE_TRAIL_LOST,  /* missing changes are not in the log, or the clock is another */
    COHERENCE_TRAIL_REWOUND, /* a change applied or accepted here is not in its history */
};
/* Applies the log entries of a beat. `known`: when the beat was sent; the answer must show it. */
enum coherence_trail coherence_apply_log_locked(struct coherence *c, const struct l2_answer *answer,
                                                const struct coherence_point *known)
    REQUIRES(apply_lock);
/* Take a frame that the listener heard, and one that it heard on the channel of wire version 1. */
void coherence_push(struct coherence *c, struct bytes payload);
void coherence_push_old(struct coherence *c, struct bytes payload);

/* ---- beat.c ---- */

/* The link is up: whatever was spaced out before, ask now. Any thread. */
void coherence_beat_anew(struct coherence *c);
/* Asks for a beat now. Any thread; several wishes are one. */
void coherence_beat_want(struct coherence *c);
uint64_t coherence_beat_step(struct coherence *c);

/* ---- request.c ---- */

void coherence_poke(struct coherence *c);
/* Begins a request, which is then busy and referenced. Returns the op for its operation. */
struct l2_op coherence_request_begin(struct coherence_request *r, uint64_t deadline_ns);
/* Undoes that: the operation was not queued. */
void coherence_request_undo(struct coherence_request *r);
/* Keeper: takes the answer, if it has come (the caller's to free); then busy no more. */
struct l2_answer *coherence_request_take(struct coherence_request *r);
void coherence_unref(struct coherence *c);

/* ---- change.c ---- */

/* A change ready to be sent: its script's arguments in one block. */
struct coherence_script {
    void *block;
    size_t size;
    struct schema_list *schemas; /* names its keys in all schemas; a reference */
    struct l2_change change;
    uint64_t call;
    struct coherence_position known; /* when it was made: it gets a later one, if all is well */
    bool dropped; /* sent without the value that it should have had */
};
/* `write`: the value of items[0]; NULL: none. 0 or NIGH_ENOMEM. */
int coherence_script_make(struct coherence *c, const struct coherence_item *items, uint32_t count,
                          const struct coherence_write *write, struct coherence_script *ret);
void coherence_script_free(struct coherence *c, struct coherence_script *s);

/*
 * Settles an accepted change, that is, does its local step: note its clock, raise floors, finish
 * the call. `key` does what sink.key would; NULL: sink.key itself. True: its clock is not the one
 * followed, so that the caller should wait for one.
 */
struct coherence_accepted {
    const struct coherence_item *items;
    uint32_t item_count;
    const struct l2_answer *answer;
    uint64_t call;
    uint64_t nonce;
    struct coherence_position known; /* when its script was made */
    const bool *noted; /* per item: `recent` has it; NULL: it has none */
    bool stored;
    void (*key)(void *arg, const struct coherence_item *item, bool stored, uint64_t heard);
    void *arg;
};
bool coherence_settle(struct coherence *c, const struct coherence_accepted *a);

/* ---- schemas.c ---- */

/* True: the answer to a change says only which schemas there are. They are known now. */
bool coherence_told_schemas(struct coherence *c, const struct l2_answer *answer);

/* ---- queue.c ---- */

int coherence_queue_init(struct coherence *c);
void coherence_queue_fini(struct coherence *c);
/* Queue one item; `noted`: it is in `recent`, being told again. 0, or NIGH_ENOMEM / NIGH_REFUSED
 * (full): folded into a soft ALL. */
int coherence_queue_put(struct coherence *c, const struct coherence_item *item, bool noted);
/* Fills a batch with the oldest items, and marks them as sent. */
void coherence_queue_batch(struct coherence *c, struct coherence_batch *batch);
/* Take out the accepted items, but for those named again since. True: nothing is left. */
bool coherence_queue_remove(struct coherence *c, const struct coherence_batch *batch);

/* ---- retry.c ---- */

uint64_t coherence_queue_step(struct coherence *c);
/* Do not wait for the time of the next attempt. Any thread. */
void coherence_queue_retry_now(struct coherence *c);

/* ---- listener.c ---- */

int coherence_listener_start(struct coherence *c);
void coherence_listener_stop(struct coherence *c);

#endif
