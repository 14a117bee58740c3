/* SPDX-License-Identifier: MIT */
/*
 * Options of a cache, of a space and of one call.
 *
 * Every struct begins with its size (set by its _INIT macro), so that a program built against an
 * older header keeps working. A size that this library does not know is refused, and so is a
 * reserved field that is not 0: otherwise the library would ignore fields of a newer header without
 * a word to the program that set them. Zero means "inherit": a call inherits from its space, a
 * space from its cache's space defaults, a cache from the NIGH_DEFAULT_ macros. To say "none" where
 * zero would inherit, use NIGH_NONE. The table in lib/cache/options.c gives each option its name,
 * unit, range and reason; nigh_options_print() shows it.
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

#define NIGH_LIFETIME_MAX_MS (15u * 24 * 3600 * 1000) /* longest lifetime, before its jitter */

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
#define NIGH_DEFAULT_LEASE_MS 2000u /* < load deadline: a waiter can outlast a dead node and load */
#define NIGH_DEFAULT_GROUP_SLOTS 65536u
#define NIGH_DEFAULT_QUEUE_ITEMS 131072u
#define NIGH_DEFAULT_WORKERS 4u
#define NIGH_BATCH_MAX 1024u                  /* keys of one call of the loader */
#define NIGH_DEFAULT_ASYNC_MAX 65536u
#define NIGH_DEFAULT_TRACE_SAMPLE 64u
#define NIGH_DEFAULT_TRACE_SIZE (256u << 20)
#define NIGH_DEFAULT_HOT_KEYS 16u
#define NIGH_DEFAULT_SOFT_TTL_MS 60000u
#define NIGH_DEFAULT_STALE_MS 60000u
#define NIGH_DEFAULT_JITTER_PERCENT 10u
#define NIGH_DEFAULT_ABSENT_TTL_MS 5000u
#define NIGH_DEFAULT_ERROR_TTL_MS 1000u
#define NIGH_DEFAULT_ERROR_TTL_MAX_MS 30000u
#define NIGH_DEFAULT_LOAD_DEADLINE_MS 5000u
#define NIGH_DEFAULT_WAITERS_MAX 1024u
#define NIGH_DEFAULT_LOADS_MAX 256u
#define NIGH_DEFAULT_COMPRESS_MIN 1024u

enum nigh_log_level { NIGH_LOG_ERROR, NIGH_LOG_WARN, NIGH_LOG_INFO, NIGH_LOG_DEBUG };

/* The least level that goes out; by default warnings, and to a hook everything. */
enum nigh_log_least {
    NIGH_LEAST_DEFAULT,
    NIGH_LEAST_ERROR,
    NIGH_LEAST_WARN,
    NIGH_LEAST_INFO,
    NIGH_LEAST_DEBUG,
};

/* Where messages go when there is no hook, one line each; on stderr with time and process. */
enum nigh_log_to {
    NIGH_LOG_TO_DEFAULT, /* stderr */
    NIGH_LOG_TO_STDERR,  /* see below */
    NIGH_LOG_TO_SYSLOG,  /* syslog(3), with the host's own openlog(); waits while it is full. Not
                          * for who forks meanwhile: its lock may be left taken in the child */
    NIGH_LOG_TO_NONE,
};
/*
 * nigh writes to descriptor 2 if that looks like a place for messages at nigh_open(): a pipe, a
 * terminal or other device, a journal's socket or one end of a socketpair, or a file open for
 * writing. A file that is open for reading too might be the host's data. By default it counts only
 * if it has O_APPEND or no name (as of tmpfile()), or stands at its end and has no close-on-exec
 * mark; with NIGH_LOG_TO_STDERR it always counts.
 *
 * A line that finds no room at once (a full pipe) is lost, and counted as log_lost. So is a line
 * that finds descriptor 2 closed or become another file. Only if that file would have counted at
 * nigh_open(), too, and has no close-on-exec mark, does nigh go on in it: so a host may reopen its
 * log with dup2(). A host that has closed its stderr and opens other things without that mark
 * should set `none`.
 */

/**
 * Receive one message of the log (no newline at its end). The hook gets messages of every level, in
 * order, one at a time.
 *
 * The hook may block: no call waits for it, and no thread that serves calls. Meanwhile 128 lines
 * are kept and further ones are lost; the next line says how many. nigh_close() hands out the lines
 * that are left, but waits at most a second for the hook; a hook that takes longer must not touch
 * anything of nigh when it goes on. In a child of fork() the hook is not called.
 *
 * On its own cache the hook may call nigh_health(), nigh_stats() and nigh_stats_value(), which
 * return NIGH_ECLOSED while that cache closes, and nothing else; on other caches it may call
 * anything. It must not leave by longjmp(). An exception that leaves the hook is caught. If the
 * hook ends its thread with pthread_exit(), another thread hands out the next messages; with
 * threads=none it must not do so inside nigh_close(), which could not go on.
 *
 * Threads   one of its own, nigh-log, with all signals blocked; with threads=none the threads that
 *           call nigh_tick() and nigh_close(), which wait for the hook
 */
typedef void (*nigh_log_fn)(void *arg, enum nigh_log_level level, const char *message);

/**
 * Tell the time, in nanoseconds, of a clock that never goes back. It may begin anywhere: nigh looks
 * only at how much it has gone on since nigh_open(), up to 7 years. (If the clock does go
 * back, lifetimes and trust last longer by as much.) The function must return, without exception,
 * longjmp() or end of its thread, for nigh may call it at any point of its work.
 *
 * Threads   any; must not block
 */
typedef uint64_t (*nigh_clock_fn)(void *arg);

/**
 * Say the password that Redis' user has from now on: for hosts that get it from a vault.
 *
 * It is asked at each connection and once a second; keep the answer at hand, and fetch a new one on
 * a thread of your own. A password other than the last one is tried on the connection that is there
 * and on new ones. Until a server has accepted it the one before it goes on working, so it does not
 * matter whether Redis or nigh hears of a password first, as long as Redis knows both for a while.
 *
 * @param password   the function writes it here, NUL-ended; nigh wipes it after use
 * @param size       bytes there, 512
 *
 * Returns   0; < 0 when there is none now, and the one before it goes on
 * Threads   nigh-password, which lives as long as the call, one at a time, and has 2 MiB of stack
 *           as those of loaders have; with threads=none those that call nigh. Calls nothing of nigh
 *           on this cache; no exception, longjmp() or end of the thread
 * Blocks    must not. A new connection waits for it, a second at most, and is then made with the
 *           password before; requests on the one that is there do not wait, and the answer counts
 *           when it comes. nigh_close() waits until it has run for a second, then leaves its thread
 *           in it, as the log says. With threads=none all wait until it returns
 * Owns      nothing of what it is given; `redis_password_arg` has to stay until it has returned
 */
typedef int (*nigh_password_fn)(void *arg, char *password, size_t size);

/*
 * Chooses the value that leaves L1 when room is needed.
 *
 * LRU approximates the least recently used: it knows a value's last hit to a quarter of a round of
 * eviction. Its hit ratio is within 3 points of exact LRU's (5 where sizes vary), and on most
 * traces above it, for values that were never hit have less time while few of those are.
 */
enum nigh_policy {
    NIGH_POLICY_DEFAULT, /* LFU */
    NIGH_POLICY_LRU,
    NIGH_POLICY_LFU,  /* a W-TinyLFU: frequency and recency; asks if the newcomer is worth it */
    NIGH_POLICY_TTL,  /* the value that expires first */
    NIGH_POLICY_NONE, /* no value: a newcomer that does not fit is refused */
};
enum nigh_switch { NIGH_SWITCH_DEFAULT, NIGH_ON, NIGH_OFF };
enum nigh_hash { NIGH_HASH_DEFAULT, NIGH_HASH_XXH3, NIGH_HASH_SIPHASH };
enum nigh_huge_pages {
    NIGH_HUGE_DEFAULT,
    NIGH_HUGE_NONE,
    NIGH_HUGE_TABLES,
    NIGH_HUGE_ALL,
};
enum nigh_on_doubt { NIGH_DOUBT_DEFAULT, NIGH_DOUBT_STALE, NIGH_DOUBT_MISS };
/*
 * Chooses the part of a space that lies in Redis.
 *
 * INVALIDATIONS keeps its values out of there, for they are secrets, or their origin is quicker
 * than Redis; nodes still tell each other through Redis what has changed (names of keys and tags),
 * and L1 is as coherent as ever. Each process then loads a key itself, once for all its callers:
 * there are no leases between processes. A put, and a write with a version, tell every node and
 * store the value in this process's L1 alone, unless a version that is not older is there; in the
 * background they store nothing. A put with the ticket of a miss fills that L1, unless something
 * was invalidated meanwhile. Values that L1 evicts are gone, and `space.keep` has no effect. If
 * nodes differ in this, each does as it is told, and changes reach all.
 */
enum nigh_space_l2 { NIGH_L2_DEFAULT, NIGH_L2_VALUES, NIGH_L2_INVALIDATIONS };
/*
 * Chooses how values of a space are compressed for Redis; L1 and callers have them plain. A value
 * stays plain where that does not save an eighth. All nodes read what any of them has compressed,
 * if their build has the library; to others it is a miss. lz4 costs least, zstd saves most.
 */
enum nigh_compress {
    NIGH_COMPRESS_DEFAULT,
    NIGH_COMPRESS_NONE,
    NIGH_COMPRESS_LZ4,
    NIGH_COMPRESS_ZSTD,
};
enum nigh_run_on { NIGH_RUN_DEFAULT, NIGH_RUN_CALLER, NIGH_RUN_WORKER };
/* Whom a server over TLS is believed to be: FULL, whoever shows a certificate of a trusted CA that
 * bears the server's name; CA, whatever its name is; NONE, anybody. */
enum nigh_tls_verify { NIGH_TLS_VERIFY_DEFAULT, NIGH_TLS_VERIFY_FULL, NIGH_TLS_VERIFY_CA,
                       NIGH_TLS_VERIFY_NONE };
enum nigh_tls_min { NIGH_TLS_DEFAULT, NIGH_TLS_1_2, NIGH_TLS_1_3 };
enum nigh_threads { NIGH_THREADS_DEFAULT, NIGH_THREADS_OWN, NIGH_THREADS_NONE };

/* A struct of which only the size is said, so that all else is inherited. */
#ifdef __cplusplus
extern "C++" {
template <typename T>
inline T nigh_sized()
{
    T all = T();
    all.size = sizeof(T);
    return all;
}
}
#define NIGH_SIZED(type) nigh_sized<type>()
#else
#define NIGH_SIZED(type) { .size = sizeof(type) }
#endif

/* Freshness and load rules of a space; also the defaults that a cache gives its spaces. It is a
 * part of struct nigh_options, so it does not grow: a later field takes the place of a reserved
 * one. */
struct nigh_space_options {
    size_t size;
    const char *schema;         /* version of the values' format: values of each schema are apart
                                   in L2, a change reaches all schemas in use (8 at most) */
    uint32_t soft_ttl_ms;       /* how long a value is fresh */
    uint32_t stale_ms;          /* how long after that it may be served stale (NIGH_NONE: never) */
    uint32_t keep_ms;           /* how long after that L2 keeps it, not to be served, but for a
                                   loader that answers "not modified" */
    uint32_t jitter_percent;    /* by how much each lifetime is spread, 1..50 (NIGH_NONE: not) */
    uint32_t absent_ttl_ms;     /* how long "does not exist" is remembered (NIGH_NONE: not) */
    uint32_t error_ttl_ms;      /* how long a failed load is not repeated; doubles each time ... */
    uint32_t error_ttl_max_ms;  /* ... up to this, or to error_ttl_ms where that is longer
                                   (NIGH_NONE in either: errors are not remembered) */
    uint32_t load_deadline_ms;  /* how long callers wait for one load */
    uint32_t waiters_max;       /* callers that may wait for one key */
    uint32_t loads_max;         /* loads at once in this process; one for many keys counts once */
    uint32_t value_max;         /* bytes; larger values are returned, not stored */
    enum nigh_run_on run_on;    /* where the loader of a blocking call runs */
    uint64_t memory;            /* cap in bytes on the space's values in L1, inside l1_memory, in a
                                   table of their own (NIGH_UNCAPPED: what other spaces leave) */
    uint32_t batch;             /* most keys that one call of the loader is for, 1..1024 */
    uint32_t batch_wait_us;     /* how long misses of all threads are gathered for such a call, in
                                   microseconds (NIGH_NONE: not; a call takes what its caller
                                   leads); with threads=none what waits for a tick is gathered, for
                                   no longer than that takes */
    enum nigh_space_l2 l2;      /* the part of the space that lies in Redis */
    enum nigh_compress compress; /* of values in Redis */
    uint32_t compress_min;      /* bytes; smaller values stay plain */
    uint32_t reserved[1];       /* must be 0: room for later fields inside struct nigh_options */
};
#define NIGH_SPACE_OPTIONS_INIT NIGH_SIZED(struct nigh_space_options)

struct nigh_options {
    size_t size;
    uint64_t l1_memory;            /* bytes: L1's tables and values, retired and pinned ones too */
    uint32_t l1_shards;            /* power of two; 0: chosen from CPUs and memory */
    enum nigh_policy l1_policy;
    uint64_t l1_limbo;             /* bytes retired but not yet freed; 0: 1/16 of l1_memory */
    uint32_t l1_entries;           /* cap on the number of values, beside l1_memory; 0: none */
    const char *redis_uri;         /* NULL: L1 only */
    const char *redis_prefix;      /* first part of every Redis key; default "nigh" */
    uint32_t l2_deadline_ms;       /* for one request */
    uint32_t l2_stale_deadline_ms; /* for one request while a stale value is at hand */
    uint32_t connect_timeout_ms;
    uint32_t trust_ms;             /* how long after a beat anything may be called fresh */
    uint32_t beat_ms;              /* period of the beat: asks Redis what other nodes changed */
    enum nigh_on_doubt on_doubt;   /* how stored values are answered when trust has run out */
    uint32_t group_slots;          /* power of two; the same in every node of a prefix */
    uint32_t queue_items;          /* changes in the background, for retry, or to be told again */
    uint32_t lease_ms;             /* time of a load lease; extended while the load runs. A space
                                      takes at most half of its load_deadline_ms (and at least 100
                                      ms): those who waited for a dead node can still load */
    uint32_t workers;              /* threads that run refreshes, loads of pending calls, gathered
                                      and WORKER loads */
    enum nigh_threads threads;     /* NONE: the host calls nigh_tick(), see there */
    struct nigh_space_options space; /* defaults of the spaces */
    nigh_log_fn log;               /* NULL: as log_to says */
    void *log_arg;
    nigh_clock_fn clock;           /* NULL: the kernel's monotonic clocks */
    void *clock_arg;
    enum nigh_hash l1_hash;        /* hash of keys in L1, seeded by process; never on the wire */
    enum nigh_huge_pages l1_huge_pages; /* the parts of L1 in pages of 2 MiB */
    enum nigh_log_to log_to;       /* warnings and errors, where there is no hook */
    uint64_t async_max;            /* calls pending on completion queues, or not polled */
    uint64_t processes;            /* in a prefork host: l1_memory, l1_limbo, l1_entries, and memory
                                      and loads_max of spaces are caps of all of them together, of
                                      which each has an equal part */
    enum nigh_switch stats_latency; /* histograms of what calls, requests and loads take; default
                                       on */
    uint32_t trace_sample;         /* power of two: one key in so many is recorded */
    const char *trace_file;        /* where requests are recorded: nigh/trace.h; NULL: nowhere */
    uint64_t trace_size;           /* bytes after which the recording ends */
    enum nigh_log_least log_level; /* the least that goes out of the log */
    enum nigh_switch curve;        /* what another l1_memory would bring: nigh_curve() */
    const char *control_socket;    /* path of a socket for the program nigh, and for people with
                                      socat; {pid} in it is the process' number; NULL: none */
    uint64_t hot_keys;             /* keys that nigh_hot() tells of each space; NIGH_UNCAPPED: none
                                      are sampled */
    const char *tls_ca;            /* PEM file or folder of the CAs that may vouch for a rediss://
                                      server; NULL: the system's */
    const char *tls_cert;          /* PEM file of the certificate that Redis is shown, and those
                                      between it and a CA; NULL: none */
    const char *tls_key;           /* PEM file of its key, without a pass phrase; NULL: the same */
    const char *tls_name;          /* name in the server's certificate; NULL: the URI's host */
    enum nigh_tls_verify tls_verify;
    enum nigh_tls_min tls_min;     /* the least version */
    const char *redis_password_file; /* its one line is the password; read again when it changes */
    nigh_password_fn redis_password; /* says it instead; see there */
    void *redis_password_arg;
    const char *redis_sentinel_user; /* for the Sentinels of redis_uri, whose own login is the */
    const char *redis_sentinel_password; /* servers' */
    const char *redis_sentinel_password_file;
    const char *redis_sentinel_tls_ca;         /* as tls_ca, for Sentinels */
    enum nigh_switch redis_sentinel_tls;       /* to Sentinels over TLS; 0: as redis_uri says */
    enum nigh_tls_verify redis_sentinel_tls_verify;
    uint64_t guest;                /* 1: begins nothing in Redis, but with changes of its own */
    /* The next field begins here. If it has 4 bytes, 4 reserved ones (must be 0) are named behind
     * it: versions differ by their size, and padding would belong to two of them. */
};
#ifdef __cplusplus
extern "C++" {
template <>
inline struct nigh_options nigh_sized<struct nigh_options>()
{
    struct nigh_options options = nigh_options();
    options.size = sizeof(options);
    options.space.size = sizeof(options.space);
    return options;
}
}
#define NIGH_OPTIONS_INIT NIGH_SIZED(struct nigh_options)
#else
#define NIGH_OPTIONS_INIT \
    { .size = sizeof(struct nigh_options), .space = NIGH_SPACE_OPTIONS_INIT }
#endif

/* Flags of a call. One that the call has no use for changes nothing; but NIGH_NO_WAIT and
 * NIGH_BACKGROUND are refused where a call does not name them. */
#define NIGH_L1_ONLY 0x01u     /* ask L1 alone: never blocks */
#define NIGH_NO_STORE 0x02u    /* do not store what this call, and those that join it, receive */
#define NIGH_SOFT 0x04u        /* invalidate tags, spaces, all to stale; a key goes all the same */
#define NIGH_REFRESH 0x08u     /* load even if a fresh value is there */
#define NIGH_QUIET 0x10u       /* leave no trace in L1: not counted, not noted for eviction */
#define NIGH_NO_WAIT 0x20u     /* reads: a miss begins what it needs, and does not wait */
#define NIGH_BACKGROUND 0x40u  /* changes: Redis and the other nodes are told behind the call */

struct nigh_miss;

/* Options of one call; NULL means all inherited. */
struct nigh_call {
    size_t size;
    uint32_t flags;             /* NIGH_L1_ONLY ... */
    uint32_t deadline_ms;       /* 0: a fetch: load_deadline, others: L2's; NIGH_NONE: for ever */
    uint32_t max_age_ms;        /* values loaded longer ago are not fresh enough; 0: any age is */
    uint32_t soft_ttl_ms;       /* lifetimes of what this call stores, as nigh_fill_set_ttl(): */
    uint32_t stale_ms;          /* 0: the space's; NIGH_NONE: none; cut to NIGH_LIFETIME_MAX_MS */
    uint64_t version;           /* version of the value put, written or invalidated; 0 = none */
    uint64_t min_version;       /* values of a lower version are not fresh enough; 0 = any is */
    const char *const *tags;    /* tags of the value put or written; NUL-ended strings */
    size_t tag_count;           /* 0 .. NIGH_TAGS_MAX */
    struct nigh_miss *miss;     /* get: a miss writes its ticket here; put: the ticket of a get */
    /* The next field begins here, as in struct nigh_options. */
};
#define NIGH_CALL_INIT NIGH_SIZED(struct nigh_call)

/**
 * Set one option by name, such as ("l1.memory", "1GiB") or ("space.soft_ttl", "30s").
 *
 * @param value   a size takes k, m, g, t or KiB, MiB, GiB, TiB (a plain number: bytes); a time
 *                needs ms, s, m, h or d ("60" is refused: 60 of what?); a choice is one of its
 *                words; strings are copied and live as long as the process
 *
 * Returns   0
 * Errors    NIGH_EOPTION the name is unknown, the value is wrong, or one of them is NULL:
 *           nigh_options_error() says which; NIGH_ENOMEM
 * Threads   one per options struct
 */
int nigh_options_set(struct nigh_options *options, const char *name, const char *value);

/**
 * Set several options, as "l1.memory=1g,l1.shards=64,redis.uri=unix:///run/redis.sock".
 *
 * nigh_open() does the same with the environment variable NIGH_CONF, on top of the options that it
 * is given. If one of them is wrong, none is changed.
 *
 * Returns   0
 * Errors    NIGH_EOPTION as nigh_options_set(), or a part that is no name=value; NIGH_ENOMEM
 * Threads   one per options struct
 */
int nigh_options_parse(struct nigh_options *options, const char *text);

/**
 * Explain this thread's last NIGH_EOPTION, NIGH_EURI, NIGH_EEXIST or bad name. The text names both
 * the option and its value.
 *
 * Returns   a string that lives until this thread's next such failure; "" if there was none
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
