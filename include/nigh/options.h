/* SPDX-License-Identifier: MIT */
/*
 * Options of a cache, of a space and of one call.
 *
 * Every struct begins with its size (set by its _INIT macro), so that a program built against an
 * older header keeps working. A size that this library does not know is refused, and so is a
 * reserve that is not 0: a newer header's fields would be ignored otherwise, and who set them would
 * believe in them. Zero means "inherit": a call inherits from its space, a space from
 * its cache's space defaults, a cache from the NIGH_DEFAULT_ macros. To say "none" where zero would
 * inherit, use NIGH_NONE. The table in lib/cache/options.c gives each option its name, unit,
 * range and reason; nigh_options_print() shows it.
 */
#ifndef NIGH_OPTIONS_H
#define NIGH_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define NIGH_NONE UINT32_MAX /* "no such time" where 0 means inherit */

#define NIGH_UNCAPPED UINT64_MAX /* "no cap" where 0 means inherit */

#define NIGH_LIFETIME_MAX_MS (15u * 24 * 3600 * 1000) /* of each lifetime, before its jitter */

#define NIGH_KEY_MAX 1024u                    /* bytes */
#define NIGH_VALUE_MAX (64u * 1024 * 1024)    /* bytes; the format's limit, not the default */
#define NIGH_TAGS_MAX 512u                    /* tags per value */
#define NIGH_NAME_MAX 64u                     /* bytes of a prefix, space or schema name */

#define NIGH_DEFAULT_L1_MEMORY (256ull << 20) /* bytes, or half of the cgroup limit if less */
#define NIGH_DEFAULT_VALUE_MAX (1u << 20)     /* bytes */
#define NIGH_DEFAULT_L2_DEADLINE_MS 250u
#define NIGH_DEFAULT_L2_STALE_DEADLINE_MS 20u
#define NIGH_DEFAULT_CONNECT_TIMEOUT_MS 1000u
#define NIGH_DEFAULT_TRUST_MS 3000u
#define NIGH_DEFAULT_BEAT_MS 1000u
#define NIGH_DEFAULT_LEASE_MS 2000u /* below the load deadline: who waits for a dead one loads */
#define NIGH_DEFAULT_GROUP_SLOTS 65536u
#define NIGH_DEFAULT_QUEUE_ITEMS 16384u
#define NIGH_DEFAULT_WORKERS 4u
#define NIGH_DEFAULT_SOFT_TTL_MS 60000u
#define NIGH_DEFAULT_STALE_MS 60000u
#define NIGH_DEFAULT_JITTER_PERCENT 10u
#define NIGH_DEFAULT_ABSENT_TTL_MS 5000u
#define NIGH_DEFAULT_ERROR_TTL_MS 1000u
#define NIGH_DEFAULT_ERROR_TTL_MAX_MS 30000u
#define NIGH_DEFAULT_LOAD_DEADLINE_MS 5000u
#define NIGH_DEFAULT_WAITERS_MAX 1024u
#define NIGH_DEFAULT_LOADS_MAX 256u

enum nigh_log_level { NIGH_LOG_ERROR, NIGH_LOG_WARN, NIGH_LOG_INFO, NIGH_LOG_DEBUG };

/* Where messages go that no hook takes: warnings and errors, one line each. */
enum nigh_log_to {
    NIGH_LOG_TO_DEFAULT, /* stderr */
    NIGH_LOG_TO_STDERR,  /* see below */
    NIGH_LOG_TO_SYSLOG,  /* syslog(3), with the host's own openlog(); a full one is waited for */
    NIGH_LOG_TO_NONE,
};
/*
 * Stderr is descriptor 2 if it is one at nigh_open(): a pipe, terminal or other device, a journal's
 * socket or one end of a socketpair, or a file open for writing. By default a file that is open for
 * reading too counts only if it can hardly be the host's data: if it has O_APPEND or no name (as of
 * tmpfile()), or stands at its end and has no close-on-exec mark; with NIGH_LOG_TO_STDERR it always
 * does. A line that finds no room at once (a full pipe) is lost, and counted as log_lost; so is one
 * that finds descriptor 2 closed, or become something else, unless that would count as well and has
 * no close-on-exec mark: so a host may reopen its log with dup2(). A host that has closed its
 * stderr and opens other things without that mark says `none`.
 */

/**
 * Receives one message (no newline at its end), of any level, in order, one at a time.
 *
 * The hook may block: no call and no thread that serves waits for it. 128 of the lines that come
 * meanwhile are kept, more are lost; the next one says how many. nigh_close() hands out those that
 * are there and leaves a hook alone that takes longer than a second; it may touch nothing of nigh's
 * when it goes on. In a child of fork() it is not called.
 *
 * The hook may call nigh_health(), nigh_stats() and nigh_stats_value() on its cache (NIGH_ECLOSED
 * while that closes), and anything at all on others, but nothing else. No longjmp() may leave it.
 * An exception ends where it leaves it; if it ends its thread with pthread_exit(), messages go on
 * from another one. With threads=none it must not do that in nigh_close(), which could not go on.
 *
 * Threads   one of its own, nigh-log, with all signals blocked; with threads=none whoever calls
 *           nigh_tick() and nigh_close(), which wait for it
 */
typedef void (*nigh_log_fn)(void *arg, enum nigh_log_level level, const char *message);

/**
 * Receives time: nanoseconds of a clock that never goes back. It may begin anywhere: what counts is
 * by how much it has gone on since nigh_open(), up to 17 years. (If it does go back, lifetimes and
 * trust last so much longer.) It must return: no exception, no longjmp(), no end of its thread, for
 * it is asked in the middle of anything.
 *
 * Threads   any; must not block
 */
typedef uint64_t (*nigh_clock_fn)(void *arg);

enum nigh_policy {
    NIGH_POLICY_DEFAULT,
    NIGH_POLICY_LRU,
    NIGH_POLICY_LFU,
    NIGH_POLICY_TTL,
    NIGH_POLICY_NONE,
};
enum nigh_hash { NIGH_HASH_DEFAULT, NIGH_HASH_XXH3, NIGH_HASH_SIPHASH };
enum nigh_huge_pages {
    NIGH_HUGE_DEFAULT,
    NIGH_HUGE_NONE,
    NIGH_HUGE_TABLES,
    NIGH_HUGE_ALL,
};
enum nigh_on_doubt { NIGH_DOUBT_DEFAULT, NIGH_DOUBT_STALE, NIGH_DOUBT_MISS };
enum nigh_run_on { NIGH_RUN_DEFAULT, NIGH_RUN_CALLER, NIGH_RUN_WORKER };
enum nigh_threads { NIGH_THREADS_DEFAULT, NIGH_THREADS_OWN, NIGH_THREADS_NONE };

/* Freshness and load rules of a space; also the defaults that a cache gives its spaces. */
struct nigh_space_options {
    size_t size;
    const char *schema;         /* version of the values' format: each has its own values in L2, a
                                   change reaches those of all in use (8 of a space at most) */
    uint32_t soft_ttl_ms;       /* fresh for so long */
    uint32_t stale_ms;          /* then may be served stale for so long (NIGH_NONE: not at all) */
    uint32_t keep_ms;           /* then kept in L2 only, for a loader that answers "not modified" */
    uint32_t jitter_percent;    /* each lifetime is spread by so much, 1..50 (NIGH_NONE: not) */
    uint32_t absent_ttl_ms;     /* "does not exist" is remembered for so long (NIGH_NONE: not) */
    uint32_t error_ttl_ms;      /* a failed load is not repeated for so long, doubling ... */
    uint32_t error_ttl_max_ms;  /* ... up to so long, or to error_ttl_ms where that is longer
                                   (NIGH_NONE in either: errors are not kept) */
    uint32_t load_deadline_ms;  /* a flight ends after so long */
    uint32_t waiters_max;       /* callers that may wait for one key */
    uint32_t loads_max;         /* loads at once in this process */
    uint32_t value_max;         /* bytes; larger values are returned, not stored */
    enum nigh_run_on run_on;    /* where the loader of a blocking call runs */
    uint64_t memory;            /* bytes of l1_memory that its values may have at most, in a table
                                   of their own (NIGH_UNCAPPED: as many as others leave) */
    uint32_t reserved[6];       /* 0: it is part of struct nigh_options and may grow in place */
};
/* clang-format off */
#define NIGH_SPACE_OPTIONS_INIT \
    { sizeof(struct nigh_space_options), NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NIGH_RUN_DEFAULT, \
      0, { 0 } }
/* clang-format on */

struct nigh_options {
    size_t size;
    uint64_t l1_memory;            /* bytes: L1's tables and values, retired and pinned ones too */
    uint32_t l1_shards;            /* power of two; 0: from CPUs and memory */
    enum nigh_policy l1_policy;
    uint64_t l1_limbo;             /* bytes retired but not yet freed; 0: 1/16 of l1_memory */
    uint32_t l1_entries;           /* cap on their number beside that on memory; 0: none */
    const char *redis_uri;         /* NULL: L1 only */
    const char *redis_prefix;      /* of every Redis key; default "nigh" */
    uint32_t l2_deadline_ms;       /* for one request */
    uint32_t l2_stale_deadline_ms; /* the same when a stale value is at hand */
    uint32_t connect_timeout_ms;
    uint32_t trust_ms;             /* how long after a beat anything may be called fresh */
    uint32_t beat_ms;              /* period of the beat */
    enum nigh_on_doubt on_doubt;   /* what a stored value is when trust has run out */
    uint32_t group_slots;          /* power of two; the same in every node of a prefix */
    uint32_t queue_items;          /* invalidations kept for retry */
    uint32_t lease_ms;             /* time of a load lease; extended while the load runs. A space
                                      takes half of its load_deadline_ms at most (and 100 ms at
                                      least): who waits for a dead node has time left to load */
    uint32_t workers;              /* threads that run refreshes and WORKER loads */
    enum nigh_threads threads;     /* NONE: the host calls nigh_tick(), see there */
    struct nigh_space_options space; /* defaults of the spaces */
    nigh_log_fn log;               /* NULL: as log_to says */
    void *log_arg;
    nigh_clock_fn clock;           /* NULL: the kernel's monotonic clocks */
    void *clock_arg;
    enum nigh_hash l1_hash;        /* of keys, with a seed of this process; never on the wire */
    enum nigh_huge_pages l1_huge_pages; /* what of L1 lies in pages of 2 MiB */
    enum nigh_log_to log_to;       /* warnings and errors, where there is no hook */
};
/* clang-format off */
#define NIGH_OPTIONS_INIT \
    { sizeof(struct nigh_options), 0, 0, NIGH_POLICY_DEFAULT, 0, 0, NULL, NULL, 0, 0, 0, 0, 0, \
      NIGH_DOUBT_DEFAULT, 0, 0, 0, 0, NIGH_THREADS_DEFAULT, NIGH_SPACE_OPTIONS_INIT, \
      NULL, NULL, NULL, NULL, NIGH_HASH_DEFAULT, NIGH_HUGE_DEFAULT, NIGH_LOG_TO_DEFAULT }
/* clang-format on */

#define NIGH_L1_ONLY 0x01u     /* ask L1 alone: never blocks */
#define NIGH_NO_STORE 0x02u    /* do not store what this call brings, for itself and who joins it */
#define NIGH_SOFT 0x04u        /* an invalidation makes stale instead of gone (tags, spaces, all) */
#define NIGH_REFRESH 0x08u     /* load even if a fresh value is there */
#define NIGH_QUIET 0x10u       /* leave no trace in L1: its reads are not counted, no recency */

struct nigh_miss;

/* Options of one call; NULL means all inherited. */
struct nigh_call {
    size_t size;
    uint32_t flags;             /* NIGH_L1_ONLY ... */
    uint32_t deadline_ms;       /* 0: load_deadline of a fetch, others L2's; NIGH_NONE: for ever */
    uint32_t max_age_ms;        /* what was loaded longer ago is not fresh enough; 0: any is */
    uint32_t soft_ttl_ms;       /* lifetimes of what this call stores, as nigh_fill_set_ttl(): */
    uint32_t stale_ms;          /* 0: the space's; NIGH_NONE: none; cut to NIGH_LIFETIME_MAX_MS */
    uint64_t version;           /* of the value put, written or invalidated; 0 = none */
    uint64_t min_version;       /* a value below is not fresh enough; 0 = any */
    const char *const *tags;    /* of the value put or written; NUL-ended strings */
    size_t tag_count;           /* 0 .. NIGH_TAGS_MAX */
    struct nigh_miss *miss;     /* get: a miss writes its ticket here; put: the ticket it had */
};
/* clang-format off */
#define NIGH_CALL_INIT { sizeof(struct nigh_call), 0, 0, 0, 0, 0, 0, 0, NULL, 0, NULL }
/* clang-format on */

/**
 * Set one option by name, such as ("l1.memory", "1GiB") or ("space.soft_ttl", "30s").
 *
 * @param value   sizes take k, m, g, t or KiB, MiB, GiB, TiB (a plain number: bytes); times need
 *                ms, s, m, h or d ("60" is refused: 60 of what?); switches their words; strings
 *                are copied and live as long as the process
 *
 * Returns   0
 * Errors    NIGH_EOPTION the name is unknown or the value wrong, or one of them NULL:
 *           nigh_options_error() says which; NIGH_ENOMEM
 * Threads   one per options struct
 */
int nigh_options_set(struct nigh_options *options, const char *name, const char *value);

/**
 * Set several, as "l1.memory=1g,l1.shards=64,redis.uri=unix:///run/redis.sock".
 *
 * nigh_open() does the same with the environment variable NIGH_CONF, on top of what it is given.
 * Nothing is changed when one of them is wrong.
 *
 * Returns   0
 * Errors    NIGH_EOPTION as nigh_options_set(), or a part that is no name=value; NIGH_ENOMEM
 * Threads   one per options struct
 */
int nigh_options_parse(struct nigh_options *options, const char *text);

/**
 * What was wrong with the last NIGH_EOPTION, NIGH_EURI, NIGH_EEXIST or bad name of this thread;
 * names both the option and its value.
 *
 * Returns   a string that lives until this thread's next such failure; "" when none
 * Threads   any: each has its own
 */
const char *nigh_options_error(void);

/**
 * Print the table of all options: name, default, range, and what it is for.
 *
 * Threads   any
 * Blocks    for the stream
 */
void nigh_options_print(FILE *out);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
