/* SPDX-License-Identifier: MIT */
/*
 * origin.h - a database for tests of the cache, and the cache in front of it.
 *
 *     struct world w;
 *     world_open(&w, NULL, NULL);                     // its own clock, its own origin
 *     struct answer a = ask_fetch(w.space, "k", NULL);
 *     CHECK_ANSWER(a, NIGH_FRESH, "k=1");             // a row's text is key=generation
 *     CHECK_EQ(w.origin.loads, 1);
 *     origin_commit(&w.origin);                       // all rows now say 2
 *     world_close(&w);
 *
 * The origin counts what loaders did, can be made to hold every load until it is let go, and runs
 * a script of the test's own instead of answering with the row.
 */
#ifndef NIGH_TEST_ORIGIN_H
#define NIGH_TEST_ORIGIN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <nigh/nigh.h>

#include "support/check.h"
#include "support/redis.h"

#define WORLD_START_NS (1000ull * 1000000000ull)
#define WORLD_PATIENCE_MS 20000 /* for conditions that must come; never a verdict about speed */

struct origin;
/* Answers one fill; what it returns is the loader's return value. */
typedef int (*origin_script_fn)(struct origin *o, struct nigh_fill *fill);

struct origin {
    _Atomic unsigned loads;      /* calls of the loader that have begun ... */
    _Atomic unsigned rows;       /* ... and the keys that they were for */
    _Atomic size_t largest;      /* most keys of one call */
    _Atomic unsigned finished;
    _Atomic unsigned running;
    _Atomic unsigned running_max;
    _Atomic unsigned held_loads; /* loads that have read their row, and wait to be let go */
    _Atomic unsigned writes;     /* committed by origin_write */
    _Atomic unsigned generation; /* said by its rows */
    _Atomic bool held;           /* loads wait inside the loader */
    _Atomic bool refuse_writes;
    _Atomic(origin_script_fn) script;
    void *arg;                   /* the script's own */
};

/* Loader and writer of a space; `arg` is the origin. */
int origin_load(void *arg, struct nigh_fill *const fills[], size_t n);
int origin_write(void *arg, const struct nigh_write_op *op);

void origin_init(struct origin *o);
/* Every row changes: "key=1" becomes "key=2". */
unsigned origin_commit(struct origin *o);
/* From now on loads stop inside the loader, after they have read their row. */
void origin_hold(struct origin *o);
void origin_let_go(struct origin *o);
/* The ordinary answer: the row as it is now. For scripts that only add something. */
int origin_answer(struct origin *o, struct nigh_fill *fill);

/* One cache with one space before one origin. */
struct world {
    struct nigh *cache;
    struct nigh_space *space;
    struct origin origin;
    _Atomic uint64_t now_ns; /* the cache's time, when world_clock is its clock */
};

/* Options for a cache without own threads whose time is the test's: w->now_ns. */
struct nigh_options world_options(struct world *w);
/* NULL: defaults with the kernel's clock and own threads, whatever NIGH_CONF says. */
void world_open(struct world *w, const struct nigh_options *o, const struct nigh_space_options *so);
/* Lifetimes without jitter, so that a millisecond decides: fresh for 1,000 ms, then stale for 500.
 * And a cache with world_options() that has them. */
struct nigh_space_options exact_space(void);
void world_open_exact(struct world *w);
/* A node: the same before this Redis, and in front of an origin that it may share; waits until it
 * is trusted. Its beats are quick, so that tests of their absence are, too. */
struct nigh_options node_options(const struct redis *server);
void node_open(struct world *w, const struct redis *server, struct origin *origin,
               const struct nigh_space_options *so);
/* Options for a Redis that stays: neither doubt nor a late answer comes of a slow machine. */
struct nigh_options patient_options(const struct redis *server);
void patient_open(struct world *w, const struct redis *server, struct origin *origin,
                  const struct nigh_space_options *so);
/* Start a Redis and open two nodes, in front of a's origin: by node_open(), by patient_open(), and
 * by that with leases that last longer than a test, so that one that is gone was given back. */
void nodes_open(struct world *a, struct world *b, struct redis *server);
void patient_nodes_open(struct world *a, struct world *b, struct redis *server);
void lasting_nodes_open(struct world *a, struct world *b, struct redis *server,
                        uint32_t load_deadline_ms);
void nodes_close(struct world *a, struct world *b, struct redis *server);
/* Runs a case without Redis, and with one. Leases, of tickets, last longer than a machine stands
 * still. */
typedef void world_case_fn(struct world *w, const struct redis *redis);
void world_run_both(world_case_fn *run);
/* A test of that form; `redis` is NULL without. */
#define TEST_BOTH(name)                                                                            \
    static world_case_fn name##_in;                                                                \
    TEST(name)                                                                                     \
    {                                                                                              \
        world_run_both(name##_in);                                                                 \
    }                                                                                              \
    static void name##_in(struct world *w, const struct redis *redis __attribute__((unused)))
/* Opens with all options given, and without waiting. */
void world_open_with(struct world *w, const struct nigh_options *o,
                     const struct nigh_space_options *so, struct origin *origin);
void world_close(struct world *w);
void world_advance(struct world *w, uint64_t ms);
/* A tick, a millisecond later: for CHECK_WITHIN. */
int world_tick(struct world *w);
/* Ticks until nothing moves any more, which takes so long. Only without own threads. */
#define WORLD_SETTLE_MS 40
void world_settle(struct world *w);
int64_t world_count(const struct world *w, const char *name);

/* The answer to a read, its value copied out and released. */
struct answer {
    int outcome;
    enum nigh_tier tier;
    uint64_t version;
    size_t len;
    char text[120]; /* cut, and ended */
};
struct answer ask_get(struct nigh_space *s, const char *key, const struct nigh_call *call);
struct answer ask_fetch(struct nigh_space *s, const char *key, const struct nigh_call *call);

/* Returns a call with these flags. */
struct nigh_call call_flagged(uint32_t flags);
/* Returns "k7" for 7, in a buffer of this thread's, until the next call. */
const char *key_numbered(unsigned number);

/* A fetch on a thread of its own. */
struct asker {
    pthread_t thread;
    struct nigh_space *space;
    char key[64];
    struct nigh_call call;
    struct answer answer;
    int load_error;        /* nigh_load_error() of that thread */
    _Atomic bool done;
};
void asker_start(struct asker *a, struct nigh_space *s, const char *key,
                 const struct nigh_call *call);
void asker_join(struct asker *a);

#define CHECK_ANSWER(got, wanted_outcome, wanted_text)                                             \
    __extension__({                                                                                \
        const struct answer answer_ = (got);                                                       \
        bool same_ = CHECK_STR(nigh_result_name(answer_.outcome),                                  \
                               nigh_result_name(wanted_outcome));                                  \
        CHECK_STR(answer_.text, wanted_text) && same_;                                             \
    })

#endif
