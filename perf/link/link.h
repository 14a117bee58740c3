/* SPDX-License-Identifier: MIT */
/*
 * `link`: the client of Redis beside others that ask the same server the same.
 *
 * A row is a question (a GET from 16 threads at once), a side is one that answers it (nigh, plain
 * hiredis, ...). All sides of a row run in turn, a short round each, over and over (bench/measure.h
 * says why). A side is a few functions; a row is a line in a table (rows.c).
 */
#ifndef PERF_LINK_LINK_H
#define PERF_LINK_LINK_H

#include <nigh/nigh.h>

#include "bench/measure.h"
#include "link/usage.h"
#include "support/hist.h"
#include "support/redis_server.h"

#define LINK_THREADS_MAX 64u
#define LINK_KEYS        4096u /* that are asked for */
#define LINK_BATCH_MAX   128u  /* keys of one call */
#define LINK_VALUE_BYTES 100u
#define LINK_ENVELOPE_BYTES 96u /* with which nigh's values are longer in Redis */
#define LINK_PIPELINE    32u  /* requests under way where as many as that are sent at once */
/* The script of the side "Lua". KEYS: the log, then what goes. ARGV: the frame, the channel. */
extern const char link_change_text[];

#define LINK_FRAME_BYTES 110u /* what a change of one key by nigh publishes, more or less */
#define LINK_SIDES_MAX   6u
#define LINK_BARS_MAX    8u
#define LINK_NAME_BYTES  20u /* of a side: a column of the table */

enum metric {
    METRIC_OPS,
    METRIC_P50,
    METRIC_P99,
    METRIC_SERVER,   /* its CPU time */
    METRIC_COMMANDS, /* Redis' own count of the time in commands */
    METRIC_LOADS,    /* calls of the loader; shown in the place of the former */
    METRIC_CLIENT,
    METRIC_SWITCHES,
};
#define METRICS 8u

struct row;

struct side {
    const char *name;
    const char *commands; /* those of Redis that it sends: "get mget" */
    /* NULL: it cannot take part; link_why() was told why. */
    void *(*open)(const struct row *row);
    /* One call by this thread, its n-th in all: row->keys operations. */
    void (*call)(void *self, unsigned thread, uint64_t n);
    void (*close)(void *self);
    /* Before each round, not timed: a side whose calls use something up makes it. Returns for how
     * many calls of each thread it will do. NULL: for any number. */
    uint64_t (*prepare)(void *self);
    /* Instead of `call`, for a program of its own: a round of about so long. */
    void (*round)(void *self, uint64_t ns, double ret_figures[METRICS]);
    unsigned keys; /* of one of its calls, where it is not as many as the row says; else 0 */
    /* The server that it asks; NULL: the private Redis. */
    pid_t (*server)(void *self);
    /* How often its loader was called so far. NULL: it has none. */
    uint64_t (*loads)(void *self);
};

/* A goal: nigh's figure over that of `against`. */
struct bar {
    const char *against;
    enum metric metric;
    double limit; /* of METRIC_OPS at least, of the others at most; 0: none, it is only shown */
};

struct row {
    const char *name;
    unsigned threads;
    unsigned keys;     /* of a call; all figures but the times of calls are per key */
    unsigned audience; /* subscribers of the channel that changes are published to */
    const struct side *sides[LINK_SIDES_MAX + 1]; /* the first is what others are compared with */
    struct bar bars[LINK_BARS_MAX];
};

extern const struct side side_nigh_get, side_nigh_many, side_nigh_key, side_nigh_tag,
    side_nigh_keys, side_nigh_heard;
extern const struct side side_lease, side_fill;
extern const struct side side_nigh_miss, side_hiredis_miss;
extern const struct side side_hiredis_get, side_hiredis_longer, side_hiredis_singles;
extern const struct side side_hiredis_mget, side_hiredis_pipeline, side_hiredis_misses;
extern const struct side side_del, side_del_pipeline, side_del_many, side_multi, side_script;
extern const struct side side_set_script;
extern const struct side side_async, side_memcached, side_benchmark;
extern const struct side side_unix, side_tcp, side_tls;

extern const struct side side_fetch_threads, side_fetch_loop, side_get_threads, side_get_loop;
extern const struct side side_serve_loops, side_serve_handing;
extern const struct side side_no_cache, side_hiredis_aside, side_nigh_aside;
extern const struct side side_hiredis_warm, side_nigh_warm;
extern const struct side side_fetch_singles, side_fetch_many, side_miss_alone, side_miss_gathered;

/* The measurements of one command. */
struct suite {
    const char *command;
    const char *about; /* a paragraph of its --help */
    double seconds;
    unsigned rounds;
    bool has_loads; /* the table has these, and not Redis' commands */
    const struct row *rows;
    size_t row_count;
};
extern const struct suite link_suites[];
extern const size_t link_suite_count;

/* ---- what all have in common ---- */

struct link {
    const struct suite *suite;
    struct redis_server server;
    uint64_t round_ns;
    unsigned rounds;
    /* Keys from 0 on, LINK_BATCH_MAX more at the end that begin anew; as long as nigh's in Redis.
     */
    struct nigh_key plain[LINK_KEYS + LINK_BATCH_MAX];
    struct nigh_key longer[LINK_KEYS + LINK_BATCH_MAX]; /* with values as long as envelopes */
    struct nigh_key keys[LINK_KEYS + LINK_BATCH_MAX]; /* nigh's */
    char value[LINK_VALUE_BYTES + LINK_ENVELOPE_BYTES];
};
extern struct link link_world;

/* Returns the key that a thread's n-th call begins with. */
static inline unsigned link_at(unsigned thread, uint64_t n, unsigned keys)
{
    return (unsigned)((thread * 1021 + n * keys) % LINK_KEYS);
}

/* The prefix of the cache, and the channel of the others, that have so many subscribers. */
const char *link_prefix(unsigned audience);
const char *link_channel(unsigned audience);

/* Why a side does not take part; printed in its line. */
void link_why(const char *text);

/* A cache on the private Redis that has become trusted, and its space. */
struct nigh *link_cache_open(const char *prefix, struct nigh_space **ret_space);
/* Opens a cache in steps, for who wants other options, or a loader. */
struct nigh_options link_options(const char *prefix);
struct nigh *link_cache_open_with(struct nigh_options *options); /* no redis_uri: its socket */
struct nigh_space *link_space_open(struct nigh *cache, const char *name, nigh_loader_fn loader,
                                   void *arg);
/* A side that reads from Redis, by other options: its opening (puts all that is asked for), its
 * call, its end. */
void *link_near_open(const struct row *row, struct nigh_options *options);
void link_near_get(void *self, unsigned thread, uint64_t n);
void link_near_close(void *self);
/* Opens one before a Redis that has all keys: L1 has none yet, and a loader ends the run. */
struct nigh *link_cache_open_cold(const char *prefix, struct nigh_space **ret_space);
/* Puts all that is asked for. */
void link_fill(struct nigh_space *space);
/* Checks that a read has come from Redis; ends the run if not. */
void link_judge(int outcome, const struct nigh_value *value);

/* ---- rounds and lines ---- */

struct entrant {
    const struct side *side;
    void *self; /* NULL: takes no part */
    const char *why;
    struct subject figures[METRICS];
};

/* A round of one side; its figures go to ret[METRICS]. */
void link_round(const struct row *row, const struct side *side, void *self, double *ret);
/* The figures of a round, from the times of its calls and what it has used. */
void link_figures(const struct hist *all, unsigned keys, uint64_t took_ns, struct usage used,
                  double *ret);
void link_heading(void);
/* Prints the row, and leaves results. Returns how many bars are missed; *ret_bars: of how many. */
unsigned link_show(const struct row *row, const struct entrant *entrants, size_t count,
                   unsigned *ret_bars);

/* ---- processes beside us: to be begun before any thread ---- */

/* Subscribers that read and forget: a process. */
void audience_begin(void);
void audience_end(void);

/* The node whose L1 is evicted from, and the other ends of the controls: a process. */
void evict_begin(void);
/* Measure, print, leave results. */
unsigned evict_run(unsigned samples, unsigned *ret_bars);
void evict_end(void);

/* The callers of `herd`: processes. */
void herd_begin(void);
unsigned herd_run(unsigned herds, unsigned *ret_bars);
void herd_end(void);

#endif
