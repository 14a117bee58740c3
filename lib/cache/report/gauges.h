/* SPDX-License-Identifier: MIT */
/*
 * The gauges: what is so at this moment, of the cache and of each space; and what is wrong with the
 * link.
 *
 * Each names the part of the cache that must be asked for it: one gauge costs what it costs alone
 * (with 65,536 shards a sum over them is milliseconds).
 */
#ifndef NIGH_CACHE_REPORT_GAUGES_H
#define NIGH_CACHE_REPORT_GAUGES_H

#include "cache/cache.h"

/* Everything that gauges are made of; what was not asked is 0. */
struct gauges {
    uint64_t uptime_ms;
    struct l1_gauges l1;
    struct l2_gauges l2;
    struct coherence_gauges coherence;
    uint64_t pins;
    uint64_t flights;
    uint64_t log_lost;
    uint64_t async;
    uint64_t deferred;
    uint64_t stats_bytes;
    struct coherence_past past;
    uint64_t lag_longest_ms, lag_longest_ago_ms, lag_window_ms;
    bool curve_known;
    double curve_twice, curve_error; /* in hits of all reads */
};

struct gauge {
    const char *name;
    unsigned ask; /* parts of the cache, as gauges_read() takes them */
    uint64_t (*value)(const struct gauges *g);
    const char *what;
};

extern const struct gauge gauges_of_cache[];
extern const size_t gauges_of_cache_count;
#define GAUGES_ASK_ALL (~0u)

/* Read what `ask` names of the whole cache. */
void gauges_read(struct nigh *cache, unsigned ask, struct gauges *ret);
/* The gauge of the cache with this name; NULL: there is none. */
const struct gauge *gauges_find(const char *name);

/* Says what a gauge of a space needs. */
enum space_gauge_needs {
    NEEDS_NOTHING,
    NEEDS_CAP,   /* the space has (or had) a cap of its own; else it lacks this gauge */
    NEEDS_LEVEL, /* `level` has been read, which is a visit to each shard */
};
struct space_gauge {
    const char *name;
    enum space_gauge_needs needs;
    uint64_t (*value)(struct nigh_space *space, const struct l1_level *level);
    const char *what;
};

extern const struct space_gauge gauges_of_space[];
extern const size_t gauges_of_space_count;

/* Read the medians of a load and of a request to Redis. Returns whether loads take less by more
 * than chance, as far as enough of both were timed to say. */
bool gauges_is_loader_cheaper(struct nigh_space *space, uint64_t *ret_load_ns, uint64_t *ret_l2_ns);

/* Whether a space has this gauge. */
bool gauges_has(const struct nigh_space *space, const struct space_gauge *g);
const struct space_gauge *gauges_find_of_space(const char *name);

/* A space as a report tells of it, from one visit to each shard and each thread's counters. */
struct space_look {
    struct nigh_space *space;
    struct l1_level level;
    uint64_t counts[STATS_COUNTER_COUNT];
};
void gauges_look(struct nigh_space *space, struct space_look *ret);

/* A connection to Redis: what is wrong with it, and what was before. */
struct gauges_problem {
    const char *name; /* redis or listener */
    const char *what; /* it is for */
    struct l2_problem is;
    struct l2_outage was;
};
#define GAUGES_PROBLEMS 2u
void gauges_problems(struct nigh *cache, struct gauges_problem ret[GAUGES_PROBLEMS]);

/* Holds what is told as words: by which name explanations of other nodes call this one; what its
 * server does when it is full. */
struct gauges_names {
    char node[8];                 /* "": without Redis */
    char evicts[L2_POLICY_BYTES]; /* the server's maxmemory-policy, or "unknown" */
};
void gauges_names(struct nigh *cache, struct gauges_names *ret);

/* Write what is told under this name, where that is no gauge and no counter: words, and what goes
 * with them. False: there is none. */
bool gauges_write_word(struct nigh *cache, const char *name, struct text *w);

#endif
