/* SPDX-License-Identifier: MIT */
/*
 * Level 3: what the nodes tell each other. This module knows the wire and Redis' clock, not L1: the
 * invalidations that it learns of go into a sink, whose functions are the cache's.
 *
 * README.md beside this file is the protocol. State, under the apply lock: the identity of the
 * clock in Redis that this node follows (0: none), the last sequence `applied`, the highest `known`
 * to have been executed, and per slot of `groups` {hard, soft}, the positions in Redis' order of
 * the last bumps applied. `trusted_until` is one atomic word that each hit reads.
 *
 *   push   frame from the listener, of the clock followed: the next after `applied` -> apply; at or
 *          below it -> drop; anything else -> a beat
 *   beat   each beat_ms and on demand, on the data connection: the same clock and no hole -> apply
 *          the log entries; otherwise resync. Then trusted_until = max(it, time of SEND + trust)
 *   apply  in order. A group: its position, then the sink raises its floor. A key: the sink raises
 *          its floor, then removes. Then `applied` and `known`
 *   own    frames of this node are skipped only if the issuing call has done its local step
 *   queue  invalidations that Redis has not accepted: applied here, retried, and while queued L2 is
 *          treated as empty for what they cover
 *   again  a clock that was left, or whose history is another, is given a new identity before it
 *          is followed; own changes of the last seconds are queued once more
 *
 * Lock order: apply lock -> whatever the sink takes (floors, shard), and the lock of what l2 knows
 * of its server. The sink never calls back. Who asks for figures may hold a lock of its own
 * (cache/trend.c does); no sink takes that.
 */
#ifndef NIGH_COHERENCE_COHERENCE_H
#define NIGH_COHERENCE_COHERENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "l2/l2.h"
#include "stats/stats.h"

struct coherence;

/* A thing that an invalidation (or fill) names. */
struct coherence_item {
    enum wire_kind kind;
    bool soft;
    struct bytes space;  /* KEY, SPACE, FILL */
    struct bytes bytes;  /* KEY, FILL: the key; TAG: the tag */
    uint64_t version;    /* KEY: entries at least as new stay; 0: none */
    uint64_t node;       /* applied: who has made it, by his incarnation; 0: this node */
    uint64_t made_ns;    /* this node's: when the last call began that has made it; 0: now */
    uint64_t since_ns;   /* queued: since when it has waited for Redis; 0: it does not */
    uint64_t own;        /* KEY: the entry with this stamp stays, too: what the change has set, and
                            put here before; 0: none */
    bool early;          /* applied: this node's, heard before its answer; the local step of the
                            change will follow */
};

/* What the frame of a change of ours has done to the floors of its keys, if it came before the
 * answer; else zeros. */
struct coherence_heard {
    uint64_t before; /* the highest floor of a key that stood before ... */
    uint64_t floor;  /* ... and the highest that the frame has raised */
};

struct coherence_sink {
    /* Under the apply lock: */
    /* Raise the local floor. Returns it: a position of this node. */
    uint64_t (*group)(void *arg, uint16_t slot, bool soft);
    /* The item that has raised a group's floor to this position. For people; may be NULL. */
    void (*raised)(void *arg, const struct coherence_item *item, uint16_t slot, uint64_t floor);
    /* The clock is another than the one that was left at this position of this node. */
    void (*renew)(void *arg, uint64_t left_at);
    /* Raise the key's floor, remove its entry. Returns the floor. */
    uint64_t (*key)(void *arg, const struct coherence_item *item);
    /* Returns the key's floor as it stands. */
    uint64_t (*floor)(void *arg, const struct coherence_item *item);
    /* Under no lock: */
    void (*fill)(void *arg, const struct coherence_item *item); /* another node's fill arrived */
    void (*wake)(void *arg);                                    /* listener is back, or resynced */
    void (*lost)(void *arg);                                    /* trust has run out: doubt */
    /* Any thread: the schema of a space that is open here, else empty. Stays as it is. */
    struct bytes (*schema)(void *arg, struct bytes space);
    void *arg;
};

struct coherence_config {
    struct env *env;
    struct stats *stats;   /* the cache's */
    struct l2 *l2;
    struct coherence_sink sink;
    uint32_t trust_ms;
    uint32_t beat_ms;
    uint32_t group_slots;
    uint32_t queue_items;
    bool guest;            /* the l2 is one's that makes no clock: it waits for others to do it */
};

/* Starts the listener thread (with own threads). Errors: NIGH_ENOMEM, NIGH_ETHREAD. */
int coherence_open(const struct coherence_config *config, struct coherence **ret_coherence);
/* Ends the listener. To be called before l2_close(), after the keeper has ended. What is queued is
 * tried once more, for 250 ms, where there is a connection. Returns how many things are named that
 * Redis has not accepted even so: other nodes will not hear of them. */
uint32_t coherence_close(struct coherence *c);
/* Keeps the memory beyond coherence_close(), for answers to others that come until l2_close() has
 * returned; and lets it go. */
void coherence_ref(struct coherence *c);
void coherence_unref(struct coherence *c);
/* Keeper, one thread at a time (a second returns at once): send the beat if due, judge what was
 * answered, retry the queue, notice lost trust. Returns when to come again. */
uint64_t coherence_tick(struct coherence *c);
/* Without own threads: one round of the listener. */
uint64_t coherence_listen_step(struct coherence *c, uint64_t wait_ns);
/* Sets what is called when coherence_tick should run soon (a beat is wanted). */
void coherence_set_poke(struct coherence *c, void (*poke)(void *arg), void *arg);

/* Returns the word with which a hit compares the coarse clock: fresh only before it. To be loaded
 * with acquire (pair(coherence.trust)): a reader that sees it extended sees the floors of all that
 * was applied before. */
const _Atomic uint64_t *coherence_trusted_until(const struct coherence *c);

/* A position in the order of Redis, at which a read or write began: it goes into the stamp of the
 * value in L2 (rule 1). Identity 0: no clock is followed. */
struct coherence_position {
    uint64_t identity;
    uint64_t sequence;
};
struct coherence_position coherence_position(struct coherence *c);

/* Parks until the first clock is taken: a value that is sent before has neither a position nor a
 * time of the server, and is too old for every other node. False: none was by the deadline, there
 * is no connection, or its answers have brought no clock. */
bool coherence_wait_for_first(struct coherence *c, uint64_t deadline_ns);

/* Returns the home of the followed clock, for the envelope of a value that needs no lease. Read
 * apart from the position it may be another clock's: the value is then stale, never wrongly
 * fresh. */
uint64_t coherence_home(const struct coherence *c);

/* Returns the server's wall time now by this node's reckoning (ms; error at most one round trip); 0
 * when the server never told. For lifetimes only. */
uint64_t coherence_server_time_ms(struct coherence *c);

enum coherence_verdict {
    COHERENCE_FRESH, /* by rule 4; lifetimes are the caller's business */
    COHERENCE_STALE,
    COHERENCE_GONE,  /* below a hard position: as if nothing was there */
    COHERENCE_UNKNOWN, /* stamped by no clock that is followed: stale, if not gone by what this
                          node has applied itself */
};
/* Judge a value from L2, after its reply; `home` is the answer's, `space_slot` the slot of the
 * space's group. */
enum coherence_verdict coherence_judge(struct coherence *c, const struct l2_envelope *e,
                                       uint16_t space_slot, uint64_t home);

/* Learn from the clock in a script's answer: more is known, or the clock is another (rule 8). */
void coherence_note(struct coherence *c, const struct l2_answer *answer);

/* Whether a queued invalidation covers the key (or a tag of `tags`, its space, all): L2 is then
 * treated as empty and not filled. Costs a load of one word when nothing is queued. */
bool coherence_queued_covers(struct coherence *c, struct bytes space, struct bytes key,
                             const uint8_t *group_hashes, uint32_t group_count);

/*
 * Registration of this node's schema of a space: while it lasts Redis knows that values of the
 * schema are stored, so that every change deletes them (rule 17). In the caller's memory, zeroed.
 * Keys: (s) schemas lock
 */
struct coherence_schema {
    uint64_t identity; /* (s) the clock that has the registration ... */
    uint64_t token;    /* (s) ... in the list with this token ... */
    uint64_t until_ms; /* (s) ... until this time of the server */
    bool crowded;      /* (s) the last answer: too many schemas are in use */
};
/* Returns the registration that a script sends which stores a value for `hard_ms`. */
struct l2_register coherence_register(struct coherence *c, const struct coherence_schema *s,
                                      uint32_t hard_ms);
/* Notes the registration that the answer to such a script tells. True: too many schemas are in
 * use. */
bool coherence_registered(struct coherence *c, struct coherence_schema *s,
                          const struct l2_answer *answer);
/* Whether the last value of the schema was not stored in Redis because of that. */
bool coherence_is_crowded(struct coherence *c, const struct coherence_schema *s);

/* Tells each schema of a space that Redis lists as in use, as far as this node has learnt, which it
 * does when it takes a clock and with its own changes. None: nobody has lately stored a value. */
void coherence_schemas_tell(struct coherence *c, struct bytes space,
                            void (*tell)(void *arg, struct bytes schema), void *arg);

/* Says what a KEY item is set to. L2_DELETE: to nothing. */
struct coherence_write {
    struct coherence_schema *schema; /* the space's; one for all values of a change */
    enum l2_change_mode mode;
    uint64_t token;
    struct bytes envelope;
    uint32_t hard_ms;
    uint64_t version; /* L2_REPLACE: the value's; the item has that of what it deletes */
};

/* The change of a waiter sets its key to this. */
enum coherence_waiter_value {
    COHERENCE_VALUE_NONE,
    COHERENCE_VALUE_PUT,
    COHERENCE_VALUE_REFUSED, /* as it was queued: a newer version was told before */
};

/*
 * Waits for a change in the background. `done` is called once, under no lock: 0 accepted;
 * NIGH_REFUSED accepted, but the value was not set; NIGH_QUEUED not accepted in time: the value is
 * given up, its deletion goes on; NIGH_ECLOSED.
 */
struct coherence_waiter {
    struct coherence_waiter *next; /* the queue's */
    enum coherence_waiter_value value; /* the queue's */
    int outcome;
    void (*done)(struct coherence_waiter *w);
    void *arg;
};

struct coherence_change {
    const struct coherence_item *items; /* 1 .. 4096 */
    uint32_t item_count;
    const struct coherence_write *writes; /* one per item; NULL: an invalidation */
    uint64_t deadline_ns;
    uint64_t made_ns; /* coherence_change() sets it: when it was called */
    bool keeps;      /* Redis gets no value of a key, which the local step may store all the same */
    bool background; /* queued at once, and not waited for. Values are sent until the deadline */
    struct coherence_waiter *waiters; /* in the background: one per item; NULL: nobody waits */
    /*
     * The local step of a KEY item, one of `items`, under the apply lock, instead of sink.key: for
     * a writer that inserts its own value. `stored`: Redis has set the value, or is going to
     * (L2_SET in the background), or `keeps` and has executed the change. `heard`: what the
     * change's own frame has done; the floor that it has raised is not counted against the value,
     * what stood before is. Returns the stamp of the entry that it has made; 0: none.
     */
    uint64_t (*local_key)(void *arg, const struct coherence_item *item, bool stored,
                          struct coherence_heard heard);
    void *local_arg;
};

/**
 * Change the truth: one script in Redis, then positions and floors here, before returning.
 *
 * @param ret_position   may be NULL; where the change stands, when accepted
 *
 * Returns   0 accepted; NIGH_REFUSED accepted, but the value was not set: a version as new is there
 *           (L2_SET_NEWER), or too many schemas are in use (then it was deleted);
 *           NIGH_QUEUED applied here (local_key with stored = false), to be retried; always so in
 *           the background
 * Errors    NIGH_ENOMEM: not even queued; soft `all` was raised here and will be in Redis. In the
 *           background, and of a put that comes after what is queued: no memory for the value,
 *           nothing was done, or as above; NIGH_EBUSY only in the background: the queue has no
 *           room, nothing was done
 * Blocks    up to deadline_ns; in the background not at all
 */
int coherence_change(struct coherence *c, const struct coherence_change *change,
                     struct coherence_position *ret_position);

/* Whether a change has to come after what is queued of its keys, lest a value that waits undoes it,
 * or an invalidation a value that it sets. coherence_change() then queues it, and waits; but not
 * many values at once, which are to be changed one by one. */
bool coherence_comes_after(struct coherence *c, const struct coherence_change *change);
/* Let a waiter wait no longer for `item`. False: `done` is being called, or was. */
bool coherence_leave(struct coherence *c, const struct coherence_item *item,
                     struct coherence_waiter *w);
uint32_t coherence_trust_ms(const struct coherence *c);

/* Park until the queue is empty. 0 or NIGH_ETIMEDOUT. */
int coherence_drain(struct coherence *c, uint64_t deadline_ns);

/* The `fill` frame that l2_fill publishes for waiters: written into `buffer` of at least
 * COHERENCE_FILL_FRAME_MAX bytes. */
#define COHERENCE_FILL_FRAME_MAX (64 + 16 + 64 + 1024) /* the frame's tail */
struct l2_frame coherence_fill_frame(struct coherence *c, struct bytes space, struct bytes key,
                                     void *buffer);
/* One frame for many keys of a space (at most L2_MANY_MAX), into a buffer of the size returned by
 * the first. */
size_t coherence_fills_frame_size(struct bytes space, const struct bytes *keys, uint32_t count);
struct l2_frame coherence_fills_frame(struct coherence *c, struct bytes space,
                                      const struct bytes *keys, uint32_t count, void *buffer);

/* An id nobody else uses: lease tokens, fill ids. */
uint64_t coherence_token(struct coherence *c);

struct coherence_gauges {
    uint64_t identity;
    uint64_t applied;      /* position up to which all changes are applied */
    uint64_t known;        /* highest position known to be executed */
    uint64_t doubt_ms;     /* how long trust has been away, in all */
    uint64_t behind_ms;    /* how long the channel has owed what a beat told of; 0: nothing */
    uint32_t listeners;    /* subscribers that heard this node's last change, itself among them */
    bool trusted;
    bool listening;
    uint32_t queued;
    uint64_t node;         /* names this node in its frames */
    uint32_t slots_there;  /* Redis has so many group slots, and not ours; 0: it has ours */
    bool old_nodes_move;   /* nodes of wire version 1 change values: no trust meanwhile */
};
void coherence_gauges_read(struct coherence *c, struct coherence_gauges *ret);
/* Returns the longest of the lags that were counted since the last call and are bounds: a beat
 * brought what came then, for there was no listener, and no more is known than that the beat before
 * had not. 0: none is. Once a lag is seen in the histogram, it is told here. Any thread. */
uint64_t coherence_take_lag_most_ns(struct coherence *c);
/* Tells why the listener hears nothing. */
void coherence_problem_read(struct coherence *c, struct l2_problem *ret);
/* Tells why it heard nothing the last time that this was so, and is over. */
void coherence_outage_read(struct coherence *c, struct l2_outage *ret);

/* Changes that had waited since an attempt to tell Redis of them failed, and were then accepted. */
struct coherence_delivery {
    uint64_t count;     /* things named: a key that was changed twice is one. 0: there were none */
    uint64_t folded;    /* others, for which one of all was told: the queue had no room */
    uint64_t waited_ms; /* from the call that made the oldest until all were delivered */
    uint64_t after_ms;  /* of that, since the connection was there again; 0: it was not lost */
    uint64_t ago_ms;    /* since the last one was delivered */
};

/* A change that has waited for less in its node's queue is on time; and an attempt to tell Redis
 * takes no longer. */
#define COHERENCE_LATE_MS 1000u
/* Nodes do not tell of longer waiting. */
#define COHERENCE_WAITED_MOST_MS (UINT16_MAX * UINT64_C(100))

/* Changes of other nodes that came here late, for they had waited in the queues of those. */
struct coherence_late {
    uint64_t count;     /* things named, of one outage. 0: there were none */
    uint64_t waited_ms; /* the longest; COHERENCE_WAITED_MOST_MS: that or longer */
    uint64_t node;      /* ... by the incarnation of who had it */
    uint64_t heard_ms;  /* so long after its call each was heard here, at most, if none has waited
                           for longer than nodes tell */
    uint64_t since_ms;  /* since the first one came */
    uint64_t ago_ms;    /* since the last one came */
};

#define COHERENCE_WHY_BYTES (L2_PROBLEM_BYTES + 20)
/* Remembers what is over: the last doubt, the last resync, the last changes that waited, here and
 * at other nodes. */
struct coherence_past {
    struct {
        char why[COHERENCE_WHY_BYTES]; /* "": trust has never been lost, or never came back */
        uint64_t ago_ms;               /* since it is back */
        uint64_t lasted_ms;
        uint64_t heard_ms; /* what came meanwhile Redis had had for so long, at most; 0: nothing */
        bool stale; /* a resync has ended it: all that was stored turned stale. Else L1 kept it */
    } doubt;
    struct {
        const char *why; /* NULL: there was none but the first */
        uint64_t ago_ms;
    } resync;
    struct coherence_delivery delivery;
    struct coherence_late late;
};
/* Tells it. Any thread. */
void coherence_past_read(struct coherence *c, struct coherence_past *ret);

#endif
