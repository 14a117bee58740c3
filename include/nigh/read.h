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
 * A value as handed out: bytes that stay where they are until it is released, whatever is evicted
 * or invalidated meanwhile. May be kept, sent with writev, released on any thread; they are not
 * aligned. Empty (data NULL) on NIGH_ABSENT and NIGH_MISS; releasing an empty value does nothing.
 *
 * The struct is the right to the bytes: move it, do not copy it. Of two copies release exactly one;
 * to release both gives back a hold that may by then be another reader's.
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
 * The ticket of a miss, in the caller's memory: makes get + own read + put a fenced fill.
 *
 * With Redis it usually holds the load lease of the key: until it ends, nobody else loads the key
 * in any process, for nigh_fetch() waits for the put. It ends with one of
 *
 *     nigh_put()           the value, or a refusal of any kind
 *     nigh_put_absent()    there is none
 *     nigh_miss_release()  the read failed, or is not wanted any more
 *
 * or, for who has forgotten it, when the thread that took it asks for the key again (nigh_fetch(),
 * or nigh_get() for a ticket: neither waits for its own), when that thread ends, with nigh_close(),
 * and after lease.time. What is put with a ticket that has ended enters L1 only, and is refused if
 * anything has invalidated the key since.
 *
 * A ticket may be copied and used on another thread; end it once. nigh_get() overwrites what is
 * here without looking at it, so release the old ticket first: it may be of another key. Begin with
 * NIGH_MISS_INIT where a ticket is released that nigh_get() may not have written.
 */
struct nigh_miss {
    uint64_t stamp;      /* private: position of this node when the miss began */
    uint64_t clock;      /* private: identity and ... */
    uint64_t sequence;   /* ... position of the Redis clock */
    uint64_t home;       /* private: the server that granted the lease */
    uint64_t connection; /* private: the connection that granted the lease */
    uint64_t token;      /* private: 0: no lease, a put fills L1 only */
};
/* clang-format off */
#define NIGH_MISS_INIT { 0, 0, 0, 0, 0, 0 }
/* clang-format on */

/**
 * Read a key from L1, else from L2. Never loads.
 *
 * @param key_len     bytes, 1 .. NIGH_KEY_MAX; need not end in NUL
 * @param call        NULL or options; flags NIGH_L1_ONLY, NIGH_NO_STORE, NIGH_QUIET, NIGH_REFRESH
 *                    (ask L2 although L1 has it)
 * @param ret_value   pinned; empty on NIGH_ABSENT and NIGH_MISS; untouched on error
 *
 * With call->miss a miss in both tiers takes the load lease, if it is free, and writes the ticket
 * for nigh_put(). Not with NIGH_L1_ONLY. A ticket of this thread for the same key ends.
 *
 * Returns   NIGH_FRESH, NIGH_STALE, NIGH_ABSENT or NIGH_MISS
 * Errors    NIGH_EKEY; NIGH_EINVAL call: a size or a flag that is none; NIGH_ETIMEDOUT,
 *           NIGH_EOFFLINE, NIGH_EREDIS L2 could not be asked; NIGH_ENOMEM; NIGH_EFORKED
 * Threads   any
 * Blocks    never on a hit in L1 or with NIGH_L1_ONLY; else up to the deadline (default: L2's)
 * Owns      release ret_value with nigh_release(), on any thread, before nigh_close()
 */
int nigh_get(struct nigh_space *space, const void *key, size_t key_len,
             const struct nigh_call *call, struct nigh_value *ret_value);

/* One of many keys. */
struct nigh_key {
    const void *data;
    size_t len; /* bytes, 1 .. NIGH_KEY_MAX */
};

/**
 * Read many keys as nigh_get() reads one. What L1 has is found several at a time, up to four times
 * as fast as one by one; what it has not is asked of L2 all at once. Never loads.
 *
 * @param keys           in any order; one may occur twice
 * @param count          0 .. 2^32 - 1
 * @param call           NULL or options for all of them, as for nigh_get(); without call->miss: a
 *                       ticket is of one key
 * @param ret_values     one for each key: pinned, or empty. All may be released
 * @param ret_outcomes   one for each key: what nigh_get() returns, NIGH_EKEY and other errors too
 *
 * Returns   0, also when keys have errors
 * Errors    NIGH_EINVAL call, count, or one of the arrays is NULL; NIGH_EFORKED. Nothing is written
 *           then
 * Threads   any
 * Blocks    never when L1 has all or with NIGH_L1_ONLY; else up to the deadline (default: L2's)
 * Owns      release each of ret_values with nigh_release(), on any thread, before nigh_close()
 */
int nigh_get_many(struct nigh_space *space, const struct nigh_key *keys, size_t count,
                  const struct nigh_call *call, struct nigh_value *ret_values, int *ret_outcomes);

/**
 * Read a key, loading it if no tier has it fresh.
 *
 * A value past its lifetime is returned as NIGH_STALE at once and refreshed behind, on a worker.
 * (One that is stale only because Redis does not answer is not: it would be loaded on every read.)
 * All callers of one key share one load. What is stored and beyond max_age_ms or min_version is
 * loaded anew; what that brings is taken, as NIGH_STALE if it is below min_version.
 *
 * @param key_len     bytes, 1 .. NIGH_KEY_MAX; need not end in NUL
 * @param call        NULL or options; flags NIGH_NO_STORE, NIGH_QUIET, NIGH_REFRESH; with
 *                    NIGH_L1_ONLY it neither blocks nor loads, here or behind
 * @param ret_value   pinned; empty on NIGH_ABSENT and NIGH_MISS; untouched on error
 *
 * Returns   NIGH_FRESH, NIGH_STALE, NIGH_ABSENT; NIGH_MISS if the space has no loader
 * Errors    NIGH_EKEY; NIGH_EINVAL as nigh_get(); NIGH_ETIMEDOUT deadline passed; NIGH_ELOADER
 *           loader failed, now or within error_ttl, and nothing stale was left: nigh_load_error();
 *           NIGH_EBUSY too many waiters or loads; NIGH_EDEADLK the caller is a loader that this key
 *           waits for; NIGH_ENOMEM; NIGH_EFORKED
 * Threads   any
 * Blocks    never on a hit; otherwise up to the deadline; a leader that runs the loader itself,
 *           until the loader returns
 * Owns      release ret_value with nigh_release(), on any thread, before nigh_close()
 */
int nigh_fetch(struct nigh_space *space, const void *key, size_t key_len,
               const struct nigh_call *call, struct nigh_value *ret_value);

/**
 * Give a value back and make it empty. An empty value may be released again.
 *
 * Threads   any, not only the one that read it
 * Blocks    never
 */
void nigh_release(struct nigh_value *value);

enum nigh_tier { NIGH_TIER_NONE, NIGH_TIER_L1, NIGH_TIER_L2, NIGH_TIER_LOADER };

/**
 * Who answered this read.
 *
 * Returns   the tier; NIGH_TIER_NONE for an empty value
 * Threads   any that may use the value
 * Blocks    never
 */
enum nigh_tier nigh_value_tier(const struct nigh_value *value);

/**
 * The version that its loader or writer gave it.
 *
 * Returns   0: none, or the value is empty
 * Threads   any that may use the value
 * Blocks    never
 */
uint64_t nigh_value_version(const struct nigh_value *value);

/**
 * How long ago it was loaded, in whichever process that was.
 *
 * Returns   ms; 0 for an empty value
 * Threads   any that may use the value
 * Blocks    never
 */
int64_t nigh_value_age_ms(struct nigh *cache, const struct nigh_value *value);

/**
 * What is left of its fresh time. Invalidations and doubt are judged at the read, not here.
 *
 * Returns   ms; negative: past; 0 for an empty value
 * Threads   any that may use the value
 * Blocks    never
 */
int64_t nigh_value_fresh_ms(struct nigh *cache, const struct nigh_value *value);

/**
 * What is left until it may not even be served stale.
 *
 * Returns   ms; negative: past; 0 for an empty value
 * Threads   any that may use the value
 * Blocks    never
 */
int64_t nigh_value_stale_ms(struct nigh *cache, const struct nigh_value *value);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
