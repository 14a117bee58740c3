/* SPDX-License-Identifier: MIT */
/*
 * What the host gives a space: a loader that reads the origin, a writer that commits to it.
 */
#ifndef NIGH_LOAD_H
#define NIGH_LOAD_H

#include <stddef.h>
#include <stdint.h>

#include <nigh/error.h>
#include <nigh/options.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct nigh_fill;

/**
 * Read keys from the origin and answer each fill exactly once.
 *
 * Today n is 1. The loader may call nigh (for other keys: its own, or a cycle, is refused with
 * NIGH_EDEADLK). An answer takes effect when the loader has returned; a fill that has none then
 * counts as failed, with what the loader returned as its error.
 *
 * A loader that does not return:
 *   exception   the load has failed, as with nigh_fill_error(fill, 0). On a calling thread the
 *               exception then goes on to who called nigh. On nigh's own threads and in nigh_tick()
 *               it ends there, with a warning in the log
 *   longjmp()   to a frame of its own thread: the load has failed. That is noticed at the thread's
 *               next call of nigh (hits, releases and reads of statistics aside) or at its end;
 *               until then others wait for the load, up to its deadline. Not on nigh's own threads;
 *               out of a loader that nigh_tick() runs it may leave the tick, too. On a main thread
 *               without /proc, which tells where its stack is, only the thread's end is noticed
 *   pthread_exit(), cancellation   it is run once more on another thread, then the load fails
 *   never       its callers are bound by their deadlines where it runs on workers; nigh_close()
 *               does not wait for it, see there
 *
 * A loader ends on the thread on which it began: a coroutine must not take it elsewhere.
 *
 * @param arg     as given to nigh_space_open()
 * @param fills   valid until the loader returns
 *
 * Returns   0; anything else fails every fill that has no answer yet
 * Threads   a calling thread or a worker, by run_on; refreshes always on workers, so what a thread
 *           keeps open for its loads needs a destructor (pthread_key_create); never inside a lock
 *           or a read section
 */
typedef int (*nigh_loader_fn)(void *arg, struct nigh_fill *const fills[], size_t n);

/* One write on its way to the origin. Valid during the call of the writer only. */
struct nigh_write_op {
    size_t size;
    const void *key;
    size_t key_len;
    const void *value; /* NULL: delete */
    size_t value_len;
    uint64_t version;
};

/**
 * Commit one write to the origin.
 *
 * A writer need not return: an exception goes on to who called nigh_write(), a longjmp() is noticed
 * as a loader's, and pthread_exit() or a cancellation ends the thread. Whether it has committed is
 * then unknown, so the key is invalidated.
 *
 * Returns   0 committed; anything else: not committed, nigh_write() returns NIGH_EWRITER
 * Threads   the one that called nigh_write(); never inside a lock or a read section
 */
typedef int (*nigh_writer_fn)(void *arg, const struct nigh_write_op *op);

/* ---- what the fill asks for ---- */

/**
 * The key to load.
 *
 * Returns   its bytes, valid until the loader returns; not ended by NUL
 * Threads   the one that runs the loader
 */
const void *nigh_fill_key(const struct nigh_fill *fill, size_t *ret_len);

/**
 * Time until the flight's deadline (space.load_deadline from its start).
 *
 * Returns   ms; 0 when it has passed: those who wait have given up, but the answer is still stored
 * Threads   the one that runs the loader
 */
uint32_t nigh_fill_time_left_ms(const struct nigh_fill *fill);

/**
 * The value that is about to be replaced, for an origin that can say "not modified".
 *
 * @param ret_len, ret_version   untouched when there is none; version 0: it has none
 *
 * Returns   its bytes, valid until the loader returns; NULL: none is known
 * Threads   the one that runs the loader
 */
const void *nigh_fill_previous(const struct nigh_fill *fill, size_t *ret_len,
                               uint64_t *ret_version);

/* ---- what the answer carries: to be said before it ---- */

/**
 * Give the value lifetimes of its own.
 *
 * @param soft_ttl_ms   0: the space's; NIGH_NONE: stale at once. For an absence: instead of
 *                      absent_ttl
 * @param stale_ms      0: the space's; NIGH_NONE: never stale. An absence has no stale time
 *
 * Either is cut to NIGH_LIFETIME_MAX_MS and then spread by space.jitter.
 *
 * Returns   0
 * Errors    NIGH_EINVAL answered already
 * Threads   the one that runs the loader
 */
int nigh_fill_set_ttl(struct nigh_fill *fill, uint32_t soft_ttl_ms, uint32_t stale_ms);

/**
 * Give the value a version: a newer one in L1 or L2 is then never replaced by it.
 *
 * Returns   0
 * Errors    NIGH_EINVAL answered already
 * Threads   the one that runs the loader
 */
int nigh_fill_set_version(struct nigh_fill *fill, uint64_t version);

/**
 * Give the value a tag; call it once for each, at most NIGH_TAGS_MAX times.
 *
 * @param tag   1 .. NIGH_KEY_MAX bytes, ended by NUL; tags belong to the cache, not to a space
 *
 * Returns   0
 * Errors    NIGH_EINVAL answered already, or NULL, empty or too long; NIGH_ETAGS; NIGH_ENOMEM. A
 *           loader that goes on after NIGH_ETAGS or NIGH_ENOMEM stores a value without that tag
 * Threads   the one that runs the loader
 */
int nigh_fill_add_tag(struct nigh_fill *fill, const char *tag);

/* ---- the answer ---- */

/**
 * Answer with a value; the bytes are copied.
 *
 * @param value   may be NULL when len is 0
 * @param len     0 .. NIGH_VALUE_MAX; above the space's value_max it is handed out and not stored
 *
 * Returns   0
 * Errors    NIGH_EINVAL answered already, or NULL; NIGH_EVALUE; NIGH_ENOMEM. The fill is then still
 *           open
 * Threads   the one that runs the loader
 */
int nigh_fill_value(struct nigh_fill *fill, const void *value, size_t len);

/**
 * Answer: the key does not exist at the origin. Remembered for absent_ttl.
 *
 * Returns   0
 * Errors    NIGH_EINVAL answered already
 * Threads   the one that runs the loader
 */
int nigh_fill_absent(struct nigh_fill *fill);

/**
 * Answer: the load failed. The key is left alone for error_ttl, doubling up to error_ttl_max.
 *
 * @param error   any int; callers get it from nigh_load_error()
 *
 * Returns   0
 * Errors    NIGH_EINVAL answered already
 * Threads   the one that runs the loader
 */
int nigh_fill_error(struct nigh_fill *fill, int error);

/**
 * Answer: the previous value still stands. Its lifetime starts anew.
 *
 * Its version stays unless another was set. Its tags stay in L1; a fill that does not name them
 * again is not stored in L2, which would not know them.
 *
 * Returns   0
 * Errors    NIGH_EINVAL answered already, or nigh_fill_previous() is NULL
 * Threads   the one that runs the loader
 */
int nigh_fill_not_modified(struct nigh_fill *fill);

/**
 * Answer with a value for the callers of now only: handed out, stored nowhere.
 *
 * @param value, len   as of nigh_fill_value()
 *
 * Returns   0
 * Errors    NIGH_EINVAL answered already, or NULL; NIGH_EVALUE; NIGH_ENOMEM. The fill is then still
 *           open
 * Threads   the one that runs the loader
 */
int nigh_fill_uncacheable(struct nigh_fill *fill, const void *value, size_t len);

/**
 * The error the loader gave for the last NIGH_ELOADER of this thread.
 *
 * Returns   what was given to nigh_fill_error(), or what the loader returned without an answer; 0
 *           when it did not return
 * Threads   any: each has its own
 */
int nigh_load_error(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
