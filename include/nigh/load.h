/* SPDX-License-Identifier: MIT */
/*
 * Loaders and writers: the callbacks by which a space reads its origin, and commits to it.
 *
 * A loader may wait for the origin, and answer when it returns. One that has an asynchronous client
 * of the origin need not wait: it defers the fill, and the client's callback answers it:
 *
 *     static int load(void *arg, struct nigh_fill *const fills[], size_t n)
 *     {
 *         struct nigh_fill *fill;
 *         size_t len;
 *         (void)n; // is 1
 *         const char *key = nigh_fill_key(fills[0], &len);
 *         int rc = nigh_fill_defer(fills[0], &fill);
 *         if (rc == 0)
 *             rc = query(arg, key, len, nigh_fill_time_left_ms(fills[0]), fill);
 *         return rc; // not 0: the load has failed, and the deferred fill is over
 *     }
 *
 *     static void queried(void *fill, const char *row, size_t len) // on any thread, once
 *     {
 *         if (row)
 *             nigh_fill_value(fill, row, len);
 *         else
 *             nigh_fill_error(fill, 0);
 *     }
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
 * n is 1, unless space.batch is larger. Then a call may be for so many keys of the space: those of
 * a nigh_fetch_many() that are not there, or with space.batch_wait all that any call misses within
 * that time (but what a loader misses is loaded at once). Each fill has an outcome, and a deadline,
 * of its own. (A key may be there twice, if it was invalidated between two misses.) For space.loads
 * a call counts as one load, until it has returned and all fills that it has deferred are over.
 *
 * The loader may call nigh for other keys; a call for a key that it loads, or for one whose loader
 * waits for this one, is refused with NIGH_EDEADLK. An answer takes effect when the loader has
 * returned. A fill that has no answer by then, and was not deferred, has failed, and its error is
 * what the loader returned.
 *
 * A loader that does not return (fills that it has deferred are then over; of several keys, those
 * that it has answered are answered, and what is said here of the load is so of the others):
 *   exception   the load has failed, as with nigh_fill_error(fill, 0). On a calling thread the
 *               exception then goes on to the caller of nigh. On nigh's own threads and in
 *               nigh_tick() it is caught, with a warning in the log
 *   longjmp()   to a frame of its own thread: the load has failed. nigh notices at the thread's
 *               next call of nigh (except hits, releases and reads of statistics) or when the
 *               thread ends; until then others wait for the load, up to its deadline. Not allowed
 *               on nigh's own threads; a loader that nigh_tick() runs may jump out of the tick,
 *               too. On a main thread without /proc, which tells where its stack is, nigh notices
 *               only when the thread ends
 *   pthread_exit(), cancellation   the loader is run once more on another thread; if that ends in
 *               the same way, the load has failed
 *   never       callers return at their deadlines where the loader runs on workers; nigh_close()
 *               does not wait for it, see there
 *
 * A loader ends on the thread on which it began: a coroutine must not take it elsewhere.
 *
 * @param arg     as given to nigh_space_open()
 * @param fills   valid until the loader returns
 *
 * Returns   0; anything else fails every fill that has no answer yet, deferred ones too
 * Threads   a calling thread or a worker, by run_on; refreshes, calls that are pending on a queue,
 *           and all that batch_wait gathers, always run on workers (with threads=none in
 *           nigh_tick() and nigh_queue_poll()). So a resource that a thread keeps open for its
 *           loads (a database connection) needs a destructor (pthread_key_create), and a client
 *           that only an event loop's thread may use is to be asked there: the loader defers and
 *           hands the query over. Never inside a lock or a read section
 */
typedef int (*nigh_loader_fn)(void *arg, struct nigh_fill *const fills[], size_t n);

/* A write on its way to the origin. Valid only until the writer returns. */
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
 * A writer need not return: an exception goes on to the caller of nigh_write(), or is caught on a
 * worker, with a warning in the log; a longjmp() is noticed as a loader's is, and pthread_exit() or
 * a cancellation ends the thread. Nobody then knows whether the writer has committed, so nigh
 * invalidates the key.
 *
 * Returns   0 committed; anything else: not committed, nigh_write() returns NIGH_EWRITER
 * Threads   the thread that called nigh_write(), or as a loader for nigh_write_async(); never
 *           inside a lock or a read section
 */
typedef int (*nigh_writer_fn)(void *arg, const struct nigh_write_op *op);

/* ---- putting the answer off ---- */

/**
 * Let the loader return without an answer, which somebody gives later.
 *
 * In place of the fill's address, which is valid until the loader returns, the host gets another
 * name for it, valid in all calls of this header until it is answered. What was set before (tags,
 * lifetimes, version) stays; what else is to be said goes by the new name. Whoever has the name may
 * use it, on any thread, several threads at once, too: the first answer counts, and each further
 * one is refused with NIGH_EINVAL. So both the callback and the timeout of a query may answer. A
 * name is no address: it names nothing else after it is over, and is never dereferenced.
 *
 * Until it is answered the load is one that runs: callers wait for it up to their deadlines (in a
 * blocking call whose own loader has deferred, too), it counts for space.loads, and its lease is
 * extended. No thread waits in it. Calls that wait for one another in a circle through a deferred
 * fill are not refused with NIGH_EDEADLK: they end at their deadlines.
 *
 * The answer takes effect within the call that gives it: the value is stored, and all who wait are
 * told; what goes to Redis is sent behind. (A value with a version enters L1 when Redis, which may
 * have a newer one, has answered.) If the loader has not returned by then, the answer takes effect
 * when it returns.
 *
 * A deferred fill that gets no answer:
 *   by the deadline     (nigh_fill_time_left_ms() says 0) callers have got NIGH_ETIMEDOUT, the load
 *                       no longer counts for space.loads, another may begin, and the log has a
 *                       warning. An answer is still stored, unless a later load was quicker
 *   by twice that time  (or a second later) it is over, and its memory is given back: an answer is
 *                       refused with NIGH_ETIMEDOUT; the log has another warning
 *   before nigh_close() which does not wait for it: it is over, and an answer is refused with
 *                       NIGH_ECLOSED
 * In a child of fork() an inherited one is refused with NIGH_EFORKED.
 *
 * @param fill       as the loader got it
 * @param ret_fill   its name from here on; untouched on error
 *
 * Returns   0
 * Errors    NIGH_EINVAL answered or deferred already, or an argument is NULL; NIGH_ENOMEM;
 *           NIGH_EFORKED and NIGH_ECLOSED of a loader that the cache has left behind. The loader
 *           can still answer, but for the last two
 * Threads   the one that runs the loader
 * Blocks    never
 * Owns      answer it once; nothing is to be given back
 */
int nigh_fill_defer(struct nigh_fill *fill, struct nigh_fill **ret_fill);

/* ---- the request: what to load ---- */

/*
 * Where it says "of the fill", these calls are made on the thread that runs the loader; by the name
 * of a deferred fill on any thread, inside a loader or not, but not in a signal handler. A deferred
 * fill that is over is refused with NIGH_EINVAL (answered, or the load has failed, or long ago),
 * NIGH_ETIMEDOUT, NIGH_ECLOSED or NIGH_EFORKED.
 */

/**
 * Get the key to load.
 *
 * Returns   its bytes, valid until the loader returns, or until a deferred answer or nigh_close();
 *           not ended by NUL. NULL: a deferred fill that is over
 * Threads   of the fill
 */
const void *nigh_fill_key(const struct nigh_fill *fill, size_t *ret_len);

/**
 * Get the time that is left for this load: until space.load_deadline after its start.
 *
 * Returns   ms; 0 when the deadline has passed: the callers that waited have given up, but an
 *           answer is still stored. 0 also for a deferred fill that is over
 * Threads   of the fill
 */
uint32_t nigh_fill_time_left_ms(const struct nigh_fill *fill);

/**
 * Get the value that is about to be replaced, for an origin that can say "not modified".
 *
 * @param ret_len, ret_version   untouched when no value is known; version 0: the value has none
 *
 * Returns   its bytes, valid as long as the key's; NULL: none is known
 * Threads   of the fill
 */
const void *nigh_fill_previous(const struct nigh_fill *fill, size_t *ret_len,
                               uint64_t *ret_version);

/* ---- properties of the answer: set them before it ---- */

/**
 * Give the value lifetimes of its own.
 *
 * @param soft_ttl_ms   0: the space's; NIGH_NONE: stale at once. For an absence: instead of
 *                      absent_ttl
 * @param stale_ms      0: the space's; NIGH_NONE: never stale. An absence has no stale time
 *
 * Each of them is cut to NIGH_LIFETIME_MAX_MS and then spread by space.jitter.
 *
 * Returns   0
 * Errors    NIGH_EINVAL answered already
 * Threads   of the fill
 */
int nigh_fill_set_ttl(struct nigh_fill *fill, uint32_t soft_ttl_ms, uint32_t stale_ms);

/**
 * Give the value a version: it then never replaces a newer one in L1 or L2.
 *
 * Returns   0
 * Errors    NIGH_EINVAL answered already
 * Threads   of the fill
 */
int nigh_fill_set_version(struct nigh_fill *fill, uint64_t version);

/**
 * Give the value a tag; call this once for each tag, at most NIGH_TAGS_MAX times.
 *
 * @param tag   1 .. NIGH_KEY_MAX bytes, ended by NUL; tags belong to the cache, not to a space
 *
 * Returns   0
 * Errors    NIGH_EINVAL answered already, or the tag is NULL, empty or too long; NIGH_ETAGS;
 *           NIGH_ENOMEM. A loader that goes on after NIGH_ETAGS or NIGH_ENOMEM stores a value
 *           without that tag
 * Threads   of the fill
 */
int nigh_fill_add_tag(struct nigh_fill *fill, const char *tag);

/* ---- the answer ---- */

/**
 * Answer with a value; the bytes are copied.
 *
 * @param value   may be NULL when len is 0
 * @param len     0 .. NIGH_VALUE_MAX; a value above the space's value_max is handed out, not stored
 *
 * Returns   0
 * Errors    NIGH_EINVAL answered already, or NULL; NIGH_EVALUE; NIGH_ENOMEM. The fill is then still
 *           open
 * Threads   of the fill
 * Blocks    never
 */
int nigh_fill_value(struct nigh_fill *fill, const void *value, size_t len);

/**
 * Answer that the key does not exist at the origin. nigh remembers that for absent_ttl.
 *
 * Returns   0
 * Errors    NIGH_EINVAL answered already
 * Threads   of the fill
 * Blocks    never
 */
int nigh_fill_absent(struct nigh_fill *fill);

/**
 * Answer that the load failed. The key is not loaded again for error_ttl; that time doubles with
 * each further failure, up to error_ttl_max.
 *
 * @param error   any int; callers get it from nigh_load_error()
 *
 * Returns   0
 * Errors    NIGH_EINVAL answered already
 * Threads   of the fill
 * Blocks    never
 */
int nigh_fill_error(struct nigh_fill *fill, int error);

/**
 * Answer that the previous value is still right ("not modified"). Its lifetime starts anew.
 *
 * The value keeps its version unless another one was set. It keeps its tags in L1. A fill that does
 * not name them again is not stored in L2, which would not know them.
 *
 * Returns   0
 * Errors    NIGH_EINVAL answered already, or nigh_fill_previous() is NULL
 * Threads   of the fill
 * Blocks    never
 */
int nigh_fill_not_modified(struct nigh_fill *fill);

/**
 * Answer with a value for those callers only that wait now: it is handed out and stored nowhere.
 *
 * @param value, len   as for nigh_fill_value()
 *
 * Returns   0
 * Errors    NIGH_EINVAL answered already, or NULL; NIGH_EVALUE; NIGH_ENOMEM. The fill is then still
 *           open
 * Threads   of the fill
 * Blocks    never
 */
int nigh_fill_uncacheable(struct nigh_fill *fill, const void *value, size_t len);

/**
 * Get the error that the loader gave for the last NIGH_ELOADER of this thread.
 *
 * Returns   what was given to nigh_fill_error(), or what the loader returned without an answer; 0
 *           when the loader did not return
 * Threads   any: each has its own
 */
int nigh_load_error(void);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
