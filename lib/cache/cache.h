/* SPDX-License-Identifier: MIT */
/*
 * Level 4: where the tiers meet. One file per path, in folders (lib/README.md); this header is what
 * the paths share.
 *
 * Calls go down (load -> l1 | flight | l2 -> base), results come back up.
 */
#ifndef NIGH_CACHE_CACHE_H
#define NIGH_CACHE_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <nigh/nigh.h>

#include "base/base.h"
#include "coherence/coherence.h"
#include "flight/flight.h"
#include "l1/l1.h"
#include "l2/l2.h"
#include "stats/stats.h"

#include "cache/bumps.h"
#include "cache/caller.h"
#include "cache/drive.h"
#include "cache/top.h"
#include "cache/load/failures.h"
#include "cache/load/gather.h"
#include "cache/load/leases.h"
#include "cache/load/odds.h"
#include "cache/load/permits.h"
#include "cache/queue/list.h"
#include "cache/write/tickets.h"
#include "cache/took.h"
#include "cache/trend.h"
#include "cache/workers.h"

#define SPACES_MAX L1_SPACES_MAX

/* A space's rules with every default resolved; 0 means "none" here. */
struct rules {
    uint32_t soft_ttl_ms;
    uint32_t stale_ms;
    uint32_t keep_ms;
    uint32_t jitter_percent;
    uint32_t absent_ttl_ms;
    uint32_t error_ttl_ms;
    uint32_t error_ttl_max_ms;
    uint32_t load_deadline_ms;
    uint32_t waiters_max;
    uint32_t loads_max;
    uint32_t value_max;
    uint32_t batch;
    uint32_t batch_wait_us;
    bool run_on_worker;
    bool invalidations_only; /* keeps values out of L2 */
    uint8_t codec;           /* enum codec, of values in L2 */
    uint32_t compress_min;
    struct l1_lifetimes plain; /* lifetimes of a put that states none itself */
};

/* Requests of a space that come most often: hot.h. */
struct hot {
    struct top hits, misses, changes;
};

/* Lies on cache lines of its own.
 *
 * Keys: (c) constant after open  (a) atomic, relaxed unless a pair is named */
struct nigh_space {
    /* read by every hit: nothing on these lines is written while calls are made */
    struct l1_space l1;         /* (c) but for a move: space_l1.h */
    struct nigh *cache;         /* (c) */
    uint32_t id;                /* (c) 1 .. SPACES_MAX */
    _Atomic uint32_t plain_forks; /* (a) pair(space.plain): cache_takes_plain() */
    _Atomic(struct l1 *) home;  /* (a) pair(space.home): see space_l1.h */
    _Atomic(struct l1 *) seen;  /* (a) pair(space.seen): see space_l1.h */
    struct stats stats;         /* (c) -> */
    uint32_t name_len;          /* (c) */
    char name[NIGH_NAME_MAX + 1];   /* (c) */
    char schema[NIGH_NAME_MAX + 1]; /* (c) */
    struct rules rules;         /* (c) */
    uint64_t own_memory;        /* spaces_lock: its own space.memory; 0: as the cache's default */
    nigh_loader_fn loader;      /* (c) */
    nigh_writer_fn writer;      /* (c) */
    void *arg;                  /* (c) */
    struct coherence_schema registered; /* with Redis */

    struct permits loads;       /* as many as may run at once */
    _Alignas(CACHE_LINE_BYTES) struct gather gather; /* loads that wait for others to come */
    /* written now and then */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t behind; /* (a) flights without a caller (refreshes,
                                                         * and loads that nobody waits for), until
                                                         * they are freed */
    struct odds odds;             /* odds that L2 has what L1 misses */
    struct trend trend;           /* how it has been lately */
    _Atomic uint32_t value_bytes; /* (a) about the largest seen in L2 (value/sizes.h); 0: none */
    /* written by samples of requests: a line of their own */
    _Alignas(CACHE_LINE_BYTES) struct hot hot;
};

/* Takers of requests for marked keys: sample.h. Keys: as above */
struct sample {
    _Atomic uint32_t wanted; /* (a) SAMPLE_FOR_..., 0: nobody */
};

/* When the keeper has something to do for the curve. Keys: (k) keeper */
struct curve_clock {
    uint64_t drain_ns; /* (k) */
    uint64_t fit_ns;   /* (k) */
};

/* Lies on cache lines of its own. Keys: as above */
struct nigh {
    /* read by every hit, and by misses: nothing here is written while calls are made */
    struct l1 *l1;                              /* (c) */
    const _Atomic uint64_t *trusted_until;      /* (c) -> (a) */
    struct clock clock;                         /* (c) */
    _Atomic uint32_t fork_count;                /* (a) forks before the open, or CACHE_LEFT */
    bool doubt_is_miss;                         /* (c) */
    bool times;                                 /* (c) stats.latency */
    uint32_t hot_keys;                          /* (c) hot.keys; 0: none */
    uint32_t group_slots;                       /* (c) */
    uint32_t time_error_ms;                     /* (c) error of Redis' time as known here, at most:
                                                 * how long the answer to a beat is awaited */
    struct env env;                             /* (c) */
    struct clock_hook clock_hook;               /* (c) options.clock, behind `clock` */
    struct stats stats;                         /* (c) -> counts that belong to no space */
    struct l2 *l2;                              /* (c) NULL: L1 only */
    struct coherence *coherence;                /* (c) NULL: L1 only */
    struct flight_table *flights;               /* (c) */
    struct drive *drive;                        /* (c) without own threads; else NULL */
    _Atomic uint32_t l2_deadline_ms;            /* (a) cache_read_ms() */
    _Atomic uint32_t l2_stale_deadline_ms;      /* (a) cache_read_ms() */
    _Atomic uint32_t lease_ms;                  /* (a) cache_read_ms() */
    _Atomic bool closing;                       /* (a) no new fill, no new refresh */
    _Atomic bool closed;                        /* (a) calls made by a log hook are refused */
    _Atomic bool l2_closed;                     /* (a) flights must not touch the link any more */
    _Atomic uint64_t lost_stamp;                /* (a) in doubt, older entries are refreshed */
    _Atomic uint64_t lost_until;                /* (a) the trusted_until at whose end lost_stamp
                                                 * was taken */
    uint32_t trust_ms;                          /* (c) coherence.trust */
    struct nigh_space_options space_defaults;   /* (c) but for memory: spaces_lock */
    char default_schema[NIGH_NAME_MAX + 1];     /* (c) */
    uint32_t processes;                         /* (c) share the caps, this one included */
    struct sample sample;                       /* requests for marked keys, and who wants them */
    struct recording *recording;                /* (c) NULL: none */
    uint64_t opened_ns;                         /* (c) when, of its clock */
    void (*destroy)(struct nigh *cache);        /* (c) by the last reference: frees the cache */
    _Atomic(struct watch *) watch;              /* (a) pair(cache.watch): nigh_watch() */
    struct commands *commands;                  /* (c) of the control socket; NULL: there is none */

    pthread_mutex_t spaces_lock;                /* opening, nigh_set(); readers use the count */
    _Atomic uint32_t space_count;               /* (a) released after the slot is set */
    struct nigh_space *spaces[SPACES_MAX];      /* (c) below space_count */

    /* written by misses and by the threads behind: each from a line of its own */
    _Alignas(CACHE_LINE_BYTES) struct workers workers;
    _Alignas(CACHE_LINE_BYTES) struct failures failures;
    _Alignas(CACHE_LINE_BYTES) struct leases leases;
    _Alignas(CACHE_LINE_BYTES) struct tickets tickets;
    _Alignas(CACHE_LINE_BYTES) struct callbacks callbacks;
    _Alignas(CACHE_LINE_BYTES) struct queues queues;
    _Alignas(CACHE_LINE_BYTES) struct bumps bumps;
    struct top hot_groups;      /* tags and spaces that were invalidated: hot.h */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t refs; /* pair(cache.refs): see cache_unref() */
    struct service keeper;
    struct trend_clock trend_clock;
    struct trend_lag lag;
    struct took_notes took;
    struct curve_clock curve_clock;
    struct service reclaimer;
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t sent_behind; /* (a) see cache_note_sent() */
    _Atomic uint32_t deferred;  /* (a) loads whose loaders have returned and whose answers have not
                                 * been taken to the end; pair(cache.deferred) */
    uint64_t forget_ns;         /* (k) when the keeper looks for those that nobody will answer */
    _Atomic uint32_t unpack_told; /* (a) bits: why values cannot be decompressed, which the log has
                                   * said */
};

/* Counts the forks of this process (pthread_atfork), by which an inherited cache is recognized. */
struct cache_forks {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t count; /* (a) read by every hit: on its own line */
};
extern NIGH_HIDDEN struct cache_forks cache_forks;
/* Begin to count. Does nothing after the first time. */
void cache_watch_forks(void);

/* Name a key as L2 does; and hash that name, for the value's envelope. */
struct l2_key cache_l2_key(const struct nigh_space *space, const void *key, size_t len);
uint64_t cache_name_hash(const struct nigh_space *space, const struct l1_key *key);
/* Shorten a node's incarnation to what is shown of it: its first four hexadecimal digits. 0: this
 * process. */
static inline uint16_t cache_node_name(uint64_t incarnation)
{
    uint16_t name = (uint16_t)(incarnation >> 48);
    return incarnation && !name ? 1 : name;
}
/* Name a key as the table of flights does. */
static inline struct flight_key cache_flight_key(struct nigh_space *space,
                                                 const struct l1_key *key)
{
    return (struct flight_key){space, space->id, key->hash, key->data, key->len};
}
/* Tell the flight of a key, if one flies. */
static inline void cache_notify(struct nigh_space *space, const struct l1_key *key,
                                uint32_t events)
{
    struct flight_key flight_key = cache_flight_key(space, key);
    flight_notify(space->cache->flights, &flight_key, events);
}
/* Returns for how long the cache is open; 0, too, where a host's clock has gone back. */
static inline uint64_t cache_uptime_ns(const struct nigh *cache)
{
    uint64_t now_ns = clock_now_ns(&cache->clock);
    return now_ns > cache->opened_ns ? now_ns - cache->opened_ns : 0;
}
/* Read and write a duration that nigh_set() changes while calls read it. Relaxed: each read stands
 * for itself, and nothing else is told by it. */
static inline uint32_t cache_read_ms(const _Atomic uint32_t *field)
{
    return atomic_load_explicit(field, memory_order_relaxed);
}
static inline void cache_write_ms(_Atomic uint32_t *field, uint32_t ms)
{
    atomic_store_explicit(field, ms, memory_order_relaxed);
}
/* Deadline of a call in ns: its own, or `otherwise_ms` from now. */
uint64_t cache_deadline_ns(const struct nigh *cache, const struct nigh_call *call,
                           uint32_t otherwise_ms);
/* Deadline of a call that needs only L2's answer: its own, or the one for L2 from now. */
static inline uint64_t cache_l2_deadline_ns(const struct nigh *cache, const struct nigh_call *call)
{
    return cache_deadline_ns(cache, call, cache_read_ms(&cache->l2_deadline_ms));
}
/* Size of the struct's first version, up to its last field: the least that a program may pass. A
 * field that is added later is read only where `size` covers it. */
#define CALL_SIZE_FIRST (offsetof(struct nigh_call, miss) + sizeof(void *))
#define CALL_FLAGS (NIGH_L1_ONLY | NIGH_NO_STORE | NIGH_SOFT | NIGH_REFRESH | NIGH_QUIET)
/* Whether the call's `size` covers the first version's fields, and none that this library does not
 * know. One compare, because every hit makes it. */
static inline bool cache_call_size_fits(const struct nigh_call *call)
{
    return call->size - CALL_SIZE_FIRST <= sizeof(*call) - CALL_SIZE_FIRST;
}
/* Whether the call, if there is one, has a fitting size and only known flags. */
static inline bool cache_call_fits(const struct nigh_call *call)
{
    return !call || (cache_call_size_fits(call) && (call->flags & ~CALL_FLAGS) == 0);
}
/* Stands in the place of the count of forks when a cache has closed and its struct remains. */
#define CACHE_LEFT UINT32_MAX
/* Stands in `plain_forks` while the space moves to another table (space_l1.h). */
#define CACHE_MOVES (UINT32_MAX - 1)
/* Whether no call can be served, because the cache is another process's or has closed. One
 * compare. */
static inline bool cache_is_gone(const struct nigh *cache)
{
    return NIGH_UNLIKELY(atomic_load_explicit(&cache_forks.count, memory_order_relaxed) !=
                         atomic_load_explicit(&cache->fork_count, memory_order_relaxed));
}
/* Returns the error for a cache that is gone: NIGH_EFORKED or NIGH_ECLOSED. */
static inline int cache_why_gone(const struct nigh *cache)
{
    bool left = atomic_load_explicit(&cache->fork_count, memory_order_relaxed) == CACHE_LEFT;
    return left ? NIGH_ECLOSED : NIGH_EFORKED;
}
static inline bool cache_forked(const struct nigh *cache)
{
    return cache_is_gone(cache) && cache_why_gone(cache) == NIGH_EFORKED;
}
/* Whether nigh_close() has begun: no load begins any more, and no fill. */
static inline bool cache_is_closing(const struct nigh *cache)
{
    return atomic_load_explicit(&cache->closing, memory_order_relaxed);
}
/* Returns 0, or why a call that a log hook makes is refused: NIGH_EFORKED, NIGH_ECLOSED. */
static inline int cache_check_open(const struct nigh *cache)
{
    if (cache_is_gone(cache))
        return cache_why_gone(cache);
    return atomic_load_explicit(&cache->closed, memory_order_relaxed) ? NIGH_ECLOSED : 0;
}
/* Whether reads may take the short path (the plain hit): not in a child of fork(), not where there
 * is no short section, and not while the space moves. If they may, `plain_forks` is the cache's
 * fork_count, else a number that the count of forks never reaches. Called in a section: a thread
 * that stops short reads waits for the sections that have been let through. */
static inline bool cache_takes_plain(const struct nigh_space *space)
{
    /* pair(space.plain): acquire what the short path reads of the space, if that has changed */
    return NIGH_LIKELY(atomic_load_explicit(&cache_forks.count, memory_order_relaxed) ==
                       atomic_load_explicit(&space->plain_forks, memory_order_acquire));
}
/* Set `plain_forks`: whether reads may take the short path from now on. */
static inline void cache_set_plain(struct nigh_space *space, uint32_t plain_forks)
{
    /* pair(space.plain): release what has changed in the space meanwhile */
    atomic_store_explicit(&space->plain_forks, plain_forks, memory_order_release);
}
/* Turn `plain_forks` from one to the other, unless a close has set it first. */
static inline void cache_turn_plain(struct nigh_space *space, uint32_t from, uint32_t to)
{
    /* pair(space.plain): release what has changed in the space meanwhile */
    atomic_compare_exchange_strong_explicit(&space->plain_forks, &from, to, memory_order_release,
                                            memory_order_relaxed);
}
/* Whether the call of a read fits. It may be told not to wait, and then keeps what it begins. */
static inline bool cache_read_call_fits(const struct nigh_call *call)
{
    if (!call || !cache_call_size_fits(call) || !(call->flags & NIGH_NO_WAIT))
        return cache_call_fits(call);
    return !(call->flags & ~(CALL_FLAGS | NIGH_NO_WAIT)) && !(call->flags & NIGH_NO_STORE) &&
           !call->miss;
}
/* Whether the call of a change fits. It may leave Redis to the background. */
static inline bool cache_change_call_fits(const struct nigh_call *call)
{
    return !call || (cache_call_size_fits(call) &&
                     (call->flags & ~(CALL_FLAGS | NIGH_BACKGROUND)) == 0);
}
static inline bool cache_in_background(const struct nigh_call *call)
{
    return call && (call->flags & NIGH_BACKGROUND);
}
static inline bool cache_key_fits(const void *key, size_t key_len)
{
    return NIGH_LIKELY(key) && NIGH_LIKELY(key_len - 1 < NIGH_KEY_MAX);
}
/* 0, or why a call, which fits or does not, cannot be served: NIGH_EFORKED, NIGH_ECLOSED,
 * NIGH_EINVAL, NIGH_EKEY. */
static inline int cache_check_fitting(const struct nigh_space *space, const void *key,
                                      size_t key_len, bool fits)
{
    if (cache_is_gone(space->cache))
        return cache_why_gone(space->cache);
    if (NIGH_UNLIKELY(!fits))
        return NIGH_EINVAL;
    return cache_key_fits(key, key_len) ? 0 : NIGH_EKEY;
}
static inline int cache_check(const struct nigh_space *space, const void *key, size_t key_len,
                              const struct nigh_call *call)
{
    return cache_check_fitting(space, key, key_len, cache_call_fits(call));
}
/* Check a call as cache_check() does, but let get and fetch have NIGH_NO_WAIT. */
static inline int cache_check_read(const struct nigh_space *space, const void *key, size_t key_len,
                                   const struct nigh_call *call)
{
    return cache_check_fitting(space, key, key_len, cache_read_call_fits(call));
}
/* Check a call as cache_check() does, but let changes have NIGH_BACKGROUND. */
static inline int cache_check_change(const struct nigh_space *space, const void *key,
                                     size_t key_len, const struct nigh_call *call)
{
    if (cache_is_gone(space->cache))
        return cache_why_gone(space->cache);
    if (NIGH_UNLIKELY(!cache_change_call_fits(call)))
        return NIGH_EINVAL;
    return cache_key_fits(key, key_len) ? 0 : NIGH_EKEY;
}

/*
 * Requests that nobody waits for are counted from before they are sent (and before the flight that
 * sends them lands) to their answer: nigh_close() lets them reach Redis, and frees nothing that
 * their answers touch.
 */
static inline void cache_note_sent(struct nigh *cache)
{
    atomic_fetch_add_explicit(&cache->sent_behind, 1, memory_order_relaxed);
}
static inline void cache_note_answered(struct nigh *cache)
{
    /* pair(cache.sent_behind): the last look at what nigh_close() is about to free */
    atomic_fetch_sub_explicit(&cache->sent_behind, 1, memory_order_release);
}

/*
 * Replaces the surroundings of the process in a simulation; the clock is an option. Calls park as
 * in a process with own threads, but there are none: the simulation takes their turns, with
 * l2_step(), coherence_listen_step(), cache_keep(), l1_reclaim() and workers_turn().
 */
struct cache_seams {
    const struct park *park;
    const struct l2_net *net;
    uint64_t seed; /* for all ids and jitter */
};
/* Open a cache as nigh_open() does. `seams` may be NULL; else all of it outlives the cache. */
int cache_open(const struct nigh_options *options, const struct cache_seams *seams,
               struct nigh **ret_cache);

/* Count references: the opener's until nigh_close(), and one for each callback that nigh_close()
 * does not wait for. The last one frees what close_tiers() has left. */
void cache_ref(struct nigh *cache);
void cache_unref(struct nigh *cache);

/* Take the keeper's turn. Returns when the next one is due. */
uint64_t cache_keep(void *arg);

#endif
