/* SPDX-License-Identifier: MIT */
/*
 * The world of the tests of lib/coherence: a Redis in a few arrays behind the functions of l2.h,
 * and a sink that writes down what it is told.
 *
 * A request waits in a line until the test executes it (the server's moment) and delivers the
 * answer (the client's): what comes between the two is what the tests are about. Published frames
 * wait until the test lets the channel hear or lose them. Time moves by fake_env_advance alone.
 *
 * Two nodes on one Redis: world_open_beside(). Each has a world of its own, of which the second
 * uses only the node's half; frames reach both.
 *
 * The sink's notes read like "key s/a #1500! all~ wake": a key, a hard group slot, soft `all`.
 */
#ifndef NIGH_TEST_COHERENCE_WORLD_H
#define NIGH_TEST_COHERENCE_WORLD_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "coherence/batch.h"
#include "coherence/keeper.h"
#include "coherence/message.h"
#include "coherence/queue.h"
#include "coherence/retry.h"
#include "coherence/schemas.h"
#include "coherence/state.h"
#include "support/check.h"
#include "support/fake_env.h"

#define WORLD_SLOTS GROUP_SLOTS_MIN
#define WORLD_FRAMES_MAX 64
#define WORLD_TRUST_MS 3000u
#define WORLD_BEAT_MS 1000u
#define WORLD_OTHER 0x0123456789abcdefull /* incarnation of the other node */

enum world_kind { WORLD_BEAT, WORLD_RESYNC, WORLD_CHANGE };

struct world_frame {
    uint64_t seq;
    size_t len;
    uint8_t *bytes;
};

struct world_line {
    struct world_frame frames[WORLD_FRAMES_MAX];
    unsigned count;
};

struct world_request {
    enum world_kind kind;
    struct l2_op op;
    uint64_t after_seq;
    uint64_t nonce;
    uint64_t renew;              /* resync */
    char renew_replid[40];
    uint64_t schemas;            /* change: the token it was made with */
    uint32_t schema_count;       /* other schemas of the first key */
    uint32_t register_ms;
    uint64_t register_token;
    bool old_nodes;
    struct l2_change_group groups[16];
    uint32_t group_count;
    uint32_t key_count;
    enum l2_change_mode mode;    /* the first key's */
    uint64_t version;            /* ... and its version */
    struct l2_key key;           /* names: lengths only stay valid during the call */
    char schema[16];
    struct world_frame tail;
    struct l2_answer *answer;    /* executed */
    struct world_request *next;
};

struct l2_channel {
    struct l2_channel_config config;
    unsigned reconnects;
};

/* The world is the link: `struct l2` is whatever l2.h's functions say it is. */
typedef struct l2 world;
struct l2 {
    struct fake_env fake;
    struct stats stats;
    struct coherence *c;
    world *server; /* the world with the Redis that this node uses */
    world *beside; /* the node that uses ours, too */

    bool connected;
    bool connecting; /* for the first time */
    struct l2_outage outage; /* the last one that is over, as it is told */
    struct l2_problem problem; /* what goes on, as it is told */
    struct l2_mark mark;       /* where the clock stood as the connection was made */
    unsigned entries_max; /* limit of one beat's answer */
    char replid[40];
    uint64_t id; /* identity of clk; 0: there is none */
    uint64_t seq;
    uint64_t nonce;                 /* the last change's */
    uint64_t nonces;                /* drawn for other nodes' changes */
    uint64_t schemas;               /* token of the list */
    char schemas_text[256];
    size_t schemas_len;
    bool old_nodes, old_moved;
    bool crowded;                   /* no room for a schema more */
    uint64_t floors;                /* raised by the sink */
    unsigned renewed;               /* clocks that got another id */
    uint64_t left_at;               /* as told to the sink: floor that left the last one */
    uint64_t order;                 /* counts answers */
    uint64_t slots[WORLD_SLOTS][2]; /* hard, soft */
    uint32_t slots_shown;           /* as another node made them, if not WORLD_SLOTS */
    uint64_t time_ms;
    struct world_line log;
    struct world_line said; /* published, neither heard nor lost */
    bool refuse_newer;

    struct world_request *requests; /* oldest first */
    void (*up)(void *arg);
    void *up_arg;
    struct l2_channel *channel;
    void (*waiting)(struct l2 *w); /* a thread waits for its answer */
    unsigned pokes;

    char notes[4096];
    void (*on_group)(struct l2 *w, uint16_t slot, bool soft); /* while the sink is told */
    void (*on_key)(struct l2 *w, const struct coherence_item *item);
};

/* ---- the sink ---- */

__attribute__((format(printf, 2, 3)))
void world_note(world *w, const char *format, ...);

/* The notes since the last look. */
const char *world_notes(world *w);

/* ---- frames ---- */

void world_line_clear(struct world_line *line);

/* Head, stamp and tail as the scripts put them together; to be freed. */
uint8_t *world_frame_make(world *w, uint64_t seq, uint64_t previous, const void *tail,
                          size_t tail_len, size_t *ret_len);
void world_clock_ensure(world *w, uint64_t nonce);

/* A change as Redis executes it. */
void world_accept(world *w, uint64_t nonce, const struct l2_change_group *groups, uint32_t count,
                  const void *tail, size_t tail_len);

/* The other node changes something. */
void world_other(world *w, struct coherence_item item);
struct coherence_item world_key(const char *key);
struct coherence_item world_tag(const char *tag, bool soft);

/* "#1500!": how the sink notes a tag's slot. */
const char *world_tag_note(const char *tag, bool soft);

/* The channel hears what was said first; all of it. */
void world_hear_one(world *w);
void world_hear(world *w);
void world_lose_one(world *w);

/* ---- copies: a history that is loaded in place later ---- */

struct world_copy {
    uint64_t id, seq, nonce;
    struct world_line log;
};

struct world_copy world_save(const world *w);

/* The copy is used up. Positions of groups stay: they play no part where this is used. */
void world_load(world *w, struct world_copy *copy);

/* ---- requests ---- */

/* The oldest request of the kind, out of the line; NULL: there is none. */
struct world_request *world_take(world *w, enum world_kind kind);
struct l2_clock world_clock(const world *w);

/* The server's moment. */
void world_execute(world *node, struct world_request *r);

/* The client's moment; a request not executed comes back as `status`. */
void world_deliver(struct world_request *r, int status);
bool world_serve_one(world *w, enum world_kind kind);

/* Serve and judge until nothing is to be done at this time. */
void world_settle(world *w);
void world_goes_on(world *w);

/* A beat is due and was executed; its answer waits in the request. */
struct world_request *world_beat_executed(world *w);

/* A beat is due and was answered: what it makes the node ask for is in the line. */
void world_beat_answered(world *w);

/* Let demands be answered again (beats keep a distance), and settle. */
void world_pass(world *w, uint64_t ms);

/* ---- life ---- */

void world_init(world *w, uint32_t queue_items);
void world_connect(world *w);

/* Open, connected, listening, and trusted. */
void world_open(world *w);

/* Another node, with ids of its own, on the Redis of `first`. */
void world_open_beside(world *w, world *first);
void world_fini(world *w);
void world_close(world *w);

/* ---- asking ---- */

int world_change(world *w, const struct coherence_item *items, uint32_t count);

/* Slot of the group of space "s". */
uint16_t world_space_slot(void);

/* Judges a value in L2 under tag "t", stamped `sequence` behind us by the clock Redis shows now. */
enum coherence_verdict world_judge(world *w, uint64_t sequence, const char *tag);
bool world_trusts(world *w);
uint64_t world_applied(world *w);
/* How many changes wait to be told. */
uint32_t world_queued(world *w);
bool world_covers(world *w, const char *key);

#endif
