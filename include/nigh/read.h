/* SPDX-License-Identifier: MIT */
/*
 * Reading: get (what is cached), fetch (load on a miss), and the value they hand out.
 */
#ifndef NIGH_READ_H
#define NIGH_READ_H

#include <stddef.h>
#include <stdint.h>

#include <nigh/cache.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/*
 * A value as handed out: its bytes stay where they are until the value is released, whatever is
 * evicted or invalidated meanwhile. It may be kept, sent with writev, and released on any thread.
 * The bytes are not aligned. On NIGH_ABSENT, NIGH_MISS and NIGH_PENDING the value is empty (data
 * NULL); releasing an empty value does nothing. A value of 0 bytes is not empty: its data is not
 * NULL, and it has to be released.
 *
 * The struct is the right to the bytes: move it, do not copy it. Of two copies release exactly one:
 * a second release gives back a pin that may by then belong to another reader.
 */
struct nigh_value {
    const void *data;
    size_t len;
    uintptr_t pin; /* private */
};
/* clang-format off */
#define NIGH_VALUE_INIT { NULL, 0, 0 }
/* clang-format on */

/*
 * The ticket of a miss, in the caller's memory. With it nigh_get(), the caller's own read of the
 * origin, and nigh_put() are as safe as a load: an invalidation in between refuses the put (a
 * fenced fill).
 *
 * With Redis a ticket usually comes with the load lease of the key: until the ticket ends, nobody
 * else loads the key in any process, for nigh_fetch() waits for the put. End it with one of
 *
 *     nigh_put()           the value, or a refusal of any kind
 *     nigh_put_absent()    there is none
 *     nigh_miss_release()  the read failed, or is not wanted any more
 *
 * A ticket that was forgotten ends when the thread that took it asks for the key again (with
 * nigh_fetch(), or nigh_get() for a ticket: neither waits for its own), when that thread ends, with
 * nigh_close(), and after lease.time. A value put with a ticket that has ended enters L1 only, and
 * is refused if anything has invalidated the key since.
 *
 * A ticket may be copied and used on another thread; end it once. nigh_get() overwrites this struct
 * without looking at it, so release an old ticket first: it may be of another key. Begin with
 * NIGH_MISS_INIT if you release a ticket that nigh_get() may not have written.
 */
struct nigh_miss {
    uint64_t stamp;      /* private: position of this node when the miss began */
    uint64_t clock;      /* private: identity and ... */
    uint64_t sequence;   /* ... position of the Redis clock */
    uint64_t home;       /* private: the server that granted the lease */
    uint64_t connection; /* private: the connection that granted the lease */
    uint64_t token;      /* private: 0 without a lease: a put fills L1 only */
    uint64_t began_ns;   /* private: when the miss began */
};
/* clang-format off */
#define NIGH_MISS_INIT { 0, 0, 0, 0, 0, 0, 0 }
/* clang-format on */

/**
 * Read a key from L1, else from L2. Never loads.
 *
 * @param key_len     bytes, 1 .. NIGH_KEY_MAX; need not end in NUL
 * @param call        NULL or options; flags NIGH_L1_ONLY, NIGH_NO_STORE, NIGH_QUIET, NIGH_REFRESH
 *                    (ask L2 although L1 has it), NIGH_NO_WAIT
 * @param ret_value   pinned; empty on NIGH_ABSENT, NIGH_MISS and NIGH_PENDING; untouched on error
 *
 * A value that is older than call->max_age_ms or below call->min_version counts as not there.
 *
 * With call->miss, and without NIGH_L1_ONLY, a miss in both tiers takes the load lease if it is
 * free, and writes the ticket for nigh_put(). An older ticket of this thread for the same key ends.
 *
 * With NIGH_NO_WAIT the answer is that of L1. A miss begins to ask L2, whose value enters L1, and
 * returns NIGH_PENDING; nobody is told when it has come. Not with NIGH_NO_STORE or call->miss.
 *
 * Returns   NIGH_FRESH, NIGH_STALE, NIGH_ABSENT, NIGH_MISS; or NIGH_PENDING
 * Errors    NIGH_EKEY; NIGH_EINVAL call->size or a flag is not known, or they do not go together;
 *           NIGH_ETIMEDOUT, NIGH_EOFFLINE, NIGH_EREDIS L2 could not be asked; NIGH_EBUSY only with
 *           NIGH_NO_WAIT: async.max; NIGH_ENOMEM; NIGH_EFORKED
 * Threads   any
 * Blocks    never on a hit in L1, with NIGH_L1_ONLY or NIGH_NO_WAIT; else up to the deadline
 *           (default: L2's)
 * Owns      release ret_value with nigh_release(), on any thread, before nigh_close()
 */
int nigh_get(struct nigh_space *space, const void *key, size_t key_len,
             const struct nigh_call *call, struct nigh_value *ret_value);

/* A key of nigh_get_many() or nigh_fetch_many(). */
struct nigh_key {
    const void *data;
    size_t len; /* bytes, 1 .. NIGH_KEY_MAX */
};

/**
 * Read many keys as nigh_get() reads one. Keys that L1 has are found several at a time, up to four
 * times as fast as one by one; L2 is asked for all the others at once. Never loads.
 *
 * @param keys           in any order; one may occur twice
 * @param count          0 .. 2^32 - 1
 * @param call           NULL or options for all keys, as for nigh_get(); call->miss must be NULL: a
 *                       ticket is for one key
 * @param ret_values     one for each key: pinned, or empty. All may be released
 * @param ret_outcomes   one for each key: what nigh_get() returns, NIGH_EKEY and other errors too
 *
 * Returns   0, also when keys have errors
 * Errors    NIGH_EINVAL call, count, or one of the arrays is NULL; NIGH_EFORKED. Nothing is written
 *           then
 * Threads   any
 * Blocks    never when L1 has all keys, or with NIGH_L1_ONLY; else up to the deadline (default:
 *           L2's)
 * Owns      release each of ret_values with nigh_release(), on any thread, before nigh_close()
 */
int nigh_get_many(struct nigh_space *space, const struct nigh_key *keys, size_t count,
                  const struct nigh_call *call, struct nigh_value *ret_values, int *ret_outcomes);

/**
 * Read a key, loading it if no tier has it fresh.
 *
 * A value past its lifetime is returned as NIGH_STALE at once, and a worker refreshes it behind the
 * caller. (A value that is stale only because Redis does not answer is not refreshed: that would be
 * a load for every read.) All callers of one key share one load. A stored value that is older than
 * max_age_ms or below min_version is loaded anew; the loaded value is returned in any case, as
 * NIGH_STALE if it is still below min_version.
 *
 * @param key_len     bytes, 1 .. NIGH_KEY_MAX; need not end in NUL
 * @param call        NULL or options; flags NIGH_NO_STORE, NIGH_QUIET, NIGH_REFRESH, NIGH_NO_WAIT;
 *                    with NIGH_L1_ONLY the call neither blocks nor loads, nor starts a refresh
 * @param ret_value   pinned; empty on NIGH_ABSENT, NIGH_MISS and NIGH_PENDING; untouched on error
 *
 * With NIGH_NO_WAIT a hit or a stale value is returned as ever, and refreshed as ever. A miss
 * begins the load on nigh's workers and returns NIGH_PENDING; nobody is told when it has ended
 * (nigh_fetch_async() tells). At most space.loads loads and refreshes run so, more are refused with
 * NIGH_EBUSY. While a failed load is remembered the call returns NIGH_ELOADER. Not with
 * NIGH_NO_STORE.
 *
 * Returns   NIGH_FRESH, NIGH_STALE, NIGH_ABSENT; NIGH_MISS if the space has no loader, or with
 *           NIGH_L1_ONLY; NIGH_PENDING with NIGH_NO_WAIT
 * Errors    NIGH_EKEY; NIGH_EINVAL as nigh_get(); NIGH_ETIMEDOUT deadline passed; NIGH_ELOADER
 *           the loader failed, now or within error_ttl, and nothing stale was left (see
 *           nigh_load_error()); NIGH_EBUSY too many waiters or loads; NIGH_EDEADLK the caller is a
 *           loader that this key waits for; NIGH_ENOMEM; NIGH_EFORKED
 * Threads   any
 * Blocks    never on a hit or with NIGH_NO_WAIT; otherwise up to the deadline; a call that runs the
 *           loader itself, until the loader returns
 * Owns      release ret_value with nigh_release(), on any thread, before nigh_close()
 */
int nigh_fetch(struct nigh_space *space, const void *key, size_t key_len,
               const struct nigh_call *call, struct nigh_value *ret_value);

/**
 * Fetch many keys, each as nigh_fetch() fetches one, and all of them together: L1 is looked at
 * several keys at a time, and L2 is asked for all others at once. What it has not goes to the
 * loader in calls for up to space.batch keys; the right to load these is asked for at once, too.
 * With space.batch 1, the default, the loader is called once for each key: with run_on caller one
 * after the other, each after a request of its own.
 *
 * A key that another thread or process loads does not delay the loading of the others: only when
 * those are loaded does the call wait for it. Keys that have no answer at the deadline have
 * NIGH_ETIMEDOUT, they alone. A key that occurs twice is loaded once.
 *
 * @param keys           in any order; one may occur twice
 * @param count          0 .. 2^32 - 1
 * @param call           NULL or options for all keys, as for nigh_fetch()
 * @param ret_values     one for each key: pinned, or empty. All may be released
 * @param ret_outcomes   one for each key: what nigh_fetch() returns, NIGH_EKEY and other errors
 *                       too. nigh_load_error() is of the last that is NIGH_ELOADER
 *
 * If a loader that runs on this thread does not return, by an exception or longjmp(), no outcome is
 * valid, but each value may be released.
 *
 * Returns   0, also when keys have errors
 * Errors    NIGH_EINVAL call, count, or one of the arrays is NULL; NIGH_EFORKED. Nothing is written
 *           then
 * Threads   any
 * Blocks    never when L1 has all keys, or with NIGH_L1_ONLY or NIGH_NO_WAIT; else as nigh_fetch()
 * Owns      release each of ret_values with nigh_release(), on any thread, before nigh_close()
 */
int nigh_fetch_many(struct nigh_space *space, const struct nigh_key *keys, size_t count,
                    const struct nigh_call *call, struct nigh_value *ret_values, int *ret_outcomes);

/**
 * Give a value back and make it empty. An empty value may be released again.
 *
 * Threads   any, not only the one that read it
 * Blocks    never
 */
void nigh_release(struct nigh_value *value);

enum nigh_tier { NIGH_TIER_NONE, NIGH_TIER_L1, NIGH_TIER_L2, NIGH_TIER_LOADER };

/**
 * Tell which tier answered this read.
 *
 * Returns   the tier; NIGH_TIER_NONE for an empty value
 * Threads   any that may use the value
 * Blocks    never
 */
enum nigh_tier nigh_value_tier(const struct nigh_value *value);

/**
 * Get the version that the value's loader or writer gave it.
 *
 * Returns   0: none, or the value is empty
 * Threads   any that may use the value
 * Blocks    never
 */
uint64_t nigh_value_version(const struct nigh_value *value);

/**
 * Tell how long ago the value was loaded, in whichever process that was.
 *
 * Returns   ms; 0 for an empty value
 * Threads   any that may use the value
 * Blocks    never
 */
int64_t nigh_value_age_ms(struct nigh *cache, const struct nigh_value *value);

/**
 * Tell how much is left of the value's fresh time. This looks at the lifetime only: invalidations
 * and trust counted when the value was read.
 *
 * Returns   ms; negative: the time is over; 0 for an empty value
 * Threads   any that may use the value
 * Blocks    never
 */
int64_t nigh_value_fresh_ms(struct nigh *cache, const struct nigh_value *value);

/**
 * Tell how long it is until the value may not even be served stale.
 *
 * Returns   ms; negative: the time is over; 0 for an empty value
 * Threads   any that may use the value
 * Blocks    never
 */
int64_t nigh_value_stale_ms(struct nigh *cache, const struct nigh_value *value);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
