/* SPDX-License-Identifier: MIT */
/*
 * `load`: node processes under a load that is said in words, and how they scale.
 *
 * The coordinator starts Redis and the nodes, then runs phases: so many threads in every node, for
 * a time, either through nigh or as the control, in which every thread has a cache of its own.
 * Plans, orders and tallies are in memory that all share.
 *
 * Keys: (c) constant once the nodes are started   (p) written by the coordinator between phases
 *       (a) atomic                                (t) of one thread, read when its phase has ended
 */
#ifndef PERF_LOAD_LOAD_H
#define PERF_LOAD_LOAD_H

#include <nigh/nigh.h>
#include <stdatomic.h>

#include "bench/measure.h"
#include "load/shape.h"
#include "support/hist.h"
#include "support/redis_server.h"

#define LOAD_NODES_MAX   8u
#define LOAD_THREADS_MAX 64u
#define LOAD_LEVELS_MAX  8u  /* numbers of threads */
#define LOAD_SETS_MAX    32u /* of --set */
#define LOAD_KEY_BYTES   24u
#define LOAD_VALUE_MAX   (1u << 20)

/* A call was answered by this, or did this. */
enum load_tier { LOAD_L1, LOAD_L2, LOAD_LOADER, LOAD_WRITE, LOAD_INVALIDATE, LOAD_TIERS };

struct load_settings {
    struct shape shape;
    const char *shape_text;
    const char *source;                    /* the option that says which keys; NULL: none did */
    const char *sizes_text;
    bool sized;                            /* by --size */
    const char *trace_sizes_text;          /* of a log or a trace */
    uint64_t memory_bytes;                 /* of L1 */
    unsigned threads[LOAD_LEVELS_MAX + 1]; /* ends with 0 */
    unsigned nodes;
    unsigned rounds;
    double seconds;           /* of each number of threads, all rounds together */
    double rate;              /* requests a second of all nodes; 0: as fast as they are answered */
    bool poisson;             /* at such a rate: gaps are random, else all alike */
    const char *arrivals;     /* which was said; NULL: none */
    double write, invalidate; /* shares of the requests, 0 .. 1 */
    uint64_t origin_ns;       /* what a load takes, asleep */
    const char *redis;        /* a URI; "none"; NULL: a private one */
    const char *sets[LOAD_SETS_MAX]; /* "name=value" */
    unsigned set_count;
    bool control;
    bool fill;        /* all keys are put before */
    bool quick;       /* a smoke run */
};

/* Keys: all (t) */
struct load_tally {
    uint64_t requests;
    uint64_t stale; /* among those that were answered */
    uint64_t failed;
    int failure;                   /* the first error */
    struct hist times[LOAD_TIERS]; /* from when it was to begin */
    /* At a fixed rate, else empty: */
    struct hist calls;  /* of all that began: from when they did */
    struct hist unsent; /* what was due and had not begun at the end: how late it was by then */
};

struct load_shared {
    const struct load_settings *settings; /* (c) nodes are forked: it is where it was */
    char redis_uri[400];                  /* (c) empty: none */
    char prefix[40];                      /* (c) */
    unsigned level;                       /* (p) which number of threads */
    bool control;                         /* (p) */
    _Atomic uint32_t
        phase; /* (a) release by the coordinator, acquire by nodes: the order is there */
    _Atomic uint32_t ready; /* (a) nodes whose threads wait to begin */
    _Atomic uint32_t done;  /* (a) nodes whose threads have ended */
    _Atomic bool go;        /* (a) */
    _Atomic uint64_t stop_ns; /* (a) when the phase has ended; 0: it has not */
    _Atomic bool end;       /* (a) no phase will come */
    _Atomic bool filled;    /* (a) the first node has put all keys */
    uint64_t begin_ns;      /* (p) of the first phase: time of the shapes */
    struct load_tally tallies[LOAD_NODES_MAX][LOAD_THREADS_MAX]; /* (t) */
};

/* ---- a node ---- */

/* The life of one, after fork; never returns. */
__attribute__((noreturn)) void load_node_run(struct load_shared *shared, unsigned node);

struct load_worker {
    struct load_shared *shared;
    const struct shape *shape;
    struct nigh *cache; /* the control's is ticked by its thread */
    struct nigh_space *space;
    struct load_tally *tally;
    struct shape_place *place; /* goes on where the thread of that number was in the phase before */
    unsigned node, thread, threads;
    bool control;
};

/* A thread of a phase; arg: struct load_worker. */
void *load_worker_run(void *arg);

/* The key of a number: LOAD_KEY_BYTES at ret. */
void load_key(uint64_t number, char *ret);
uint64_t load_key_number(const char *key);
/* Bytes enough for any value. */
const char *load_value(void);

/* A cache with the settings' options; `control`: one of many, each with its part, without Redis. */
struct nigh *load_cache_open(const struct load_shared *shared, unsigned parts, bool control);
struct nigh_space *load_space_open(const struct load_shared *shared, struct nigh *cache,
                                   bool control);
/* Put keys first, first + step, ... */
void load_fill(const struct load_shared *shared, struct nigh_space *space, unsigned first,
               unsigned step);

/* ---- the coordinator ---- */

/* Whose latencies are told: those of each tier and, at a fixed rate, of all requests. */
enum load_kind { LOAD_SINCE_DUE = LOAD_TIERS, LOAD_CALLS, LOAD_KINDS };
enum { LOAD_P50, LOAD_P99, LOAD_ROUND_QUANTILES };

/* All rounds of one number of threads gave this. */
struct load_level {
    unsigned threads;
    /* Of the calls of each round, in ns; NAN where so few calls have none. */
    struct subject round_quantiles[LOAD_KINDS][LOAD_ROUND_QUANTILES];
    struct subject ops;     /* requests a second, all nodes */
    struct subject control; /* the same of the control */
    struct load_tally all;  /* of all rounds, threads and nodes */
};

struct load_result {
    const struct load_settings *settings;
    unsigned count;
    unsigned rounds; /* that were made: fewer than asked for if it was interrupted */
    struct load_level *levels;
};

/* False: interrupted before all numbers of threads had a round. */
bool load_run(struct load_result *ret, const struct load_settings *s);
/* Take down what a round's calls took. */
void load_note_round(struct load_level *l, unsigned round, const struct load_tally *t);
void load_report(const struct load_result *r, FILE *out);
void load_results(const struct load_result *r);

#endif
