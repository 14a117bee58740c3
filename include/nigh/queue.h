/* SPDX-License-Identifier: MIT */
/*
 * Completion queues: reading and changing without waiting, for event loops.
 *
 * Where nigh_fetch() would wait, nigh_fetch_async() returns NIGH_PENDING at once. The answer comes
 * later as one completion, on the queue that the call named, when that queue is polled:
 *
 *     int rc = nigh_fetch_async(queue, users, key, key_len, NULL, request, &value, NULL);
 *     if (rc != NIGH_PENDING) // as a rule a hit
 *         reply(request, rc, &value);
 *
 * and, when the descriptor nigh_queue_fd(queue) is readable:
 *
 *     struct nigh_completion done[64];
 *     int n = nigh_queue_poll(queue, done, 64, 0);
 *     for (int i = 0; i < n; i++)
 *         reply(done[i].arg, done[i].outcome, &done[i].value);
 *
 * No thread waits for a call that is pending, and it costs the memory of one small struct and its
 * key. Ten thousand of them on a queue are ordinary. `async.max` is the cap on all that have begun
 * and whose completions have not been polled; a call that was cancelled or late may count until
 * Redis has answered it. In a call that changes something `value` stays empty.
 */
#ifndef NIGH_QUEUE_H
#define NIGH_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include <nigh/cache.h>
#include <nigh/read.h>
#include <nigh/write.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct nigh_queue;

/* The end of a call that was pending. */
struct nigh_completion {
    uint64_t id;             /* as the call told it */
    void *arg;               /* as given to the call */
    int outcome;             /* the blocking call's, or as the call says; or NIGH_ECLOSED */
    int load_error;          /* with NIGH_ELOADER: the loader's own error */
    struct nigh_value value; /* empty on NIGH_ABSENT, NIGH_MISS and errors */
};

/**
 * Open a completion queue. A queue for each thread that polls is best; it may have any number.
 *
 * Returns   0
 * Errors    NIGH_EINVAL an argument is NULL; NIGH_ENOMEM; NIGH_ECLOSED; NIGH_EFORKED
 * Threads   any
 * Blocks    never
 * Owns      close with nigh_queue_close(), before or after nigh_close()
 */
int nigh_queue_open(struct nigh *cache, struct nigh_queue **ret_queue);

/**
 * Close a queue. What is pending on it is cancelled: loads and changes go on as nigh_cancel() says,
 * but nobody is told. Values in completions that were not polled are released; tickets are given
 * back.
 *
 * In a child of fork() nothing is done for a queue that it inherited.
 *
 * @param queue   NULL: nothing is done
 *
 * Threads   one; no other call may be running on the queue, nor nigh_close() on its cache
 * Blocks    never
 */
void nigh_queue_close(struct nigh_queue *queue);

/**
 * Get a descriptor that is readable exactly while the queue has completions, for poll(), epoll and
 * the like. nigh reads and writes it; the host only waits for it.
 *
 * With level-triggered waiting, poll the queue whenever the descriptor is readable. With
 * edge-triggered waiting, then poll until fewer completions come than there was room for: it
 * becomes readable anew only when a completion enters an empty queue.
 *
 * A host that calls closefrom() or the like closes its queues before: nigh does not notice that the
 * descriptor is gone, and goes on writing to its number.
 *
 * Returns   the descriptor, which stays the same and lives as long as the queue
 * Errors    NIGH_EINVAL no queue; NIGH_ETHREAD the process has no descriptor left; NIGH_EFORKED
 * Threads   any
 * Blocks    never
 */
int nigh_queue_fd(struct nigh_queue *queue);

/**
 * Take completions, the oldest first. Each is handed out once, to one of the threads that poll.
 *
 * With threads=none the call also does what nigh_tick() does, while it waits, too: the loaders of
 * pending calls then run inside it (but not in a poll that a loader makes). As no call may run on a
 * cache while nigh_close() does, no poll may then. With own threads polls may, and return
 * NIGH_ECLOSED when all has been taken.
 *
 * @param ret_completions   room for `count`; may be NULL if that is 0
 * @param count             most that are taken; 0: the call takes none and does not wait
 * @param timeout_ms        how long to wait for the first; 0: not at all; NIGH_NONE: for ever
 *
 * Returns   how many were taken; 0 if none came in time
 * Errors    NIGH_EINVAL no queue, or no room; NIGH_ECLOSED the cache has closed, and all its
 *           completions have been taken; NIGH_EFORKED
 * Threads   any, several at once too
 * Blocks    up to the timeout; with threads=none also until a loader that it runs returns
 * Owns      release each value with nigh_release(), on any thread, before nigh_close(); those that
 *           were polled after that, before nigh_queue_close()
 */
int nigh_queue_poll(struct nigh_queue *queue, struct nigh_completion *ret_completions, size_t count,
                    uint32_t timeout_ms);

/**
 * Read a key as nigh_fetch() does, loading it if no tier has it fresh, but without waiting.
 *
 * What L1 can answer is answered at once, fresh or stale, and a stale value is refreshed behind the
 * call. So is an error of the call. Otherwise the call is pending: it shares the load of the key
 * with all others who ask for it, blocking or not. Its loader runs on one of nigh's workers (with
 * threads=none in nigh_tick() and nigh_queue_poll()), whatever run_on says. At the deadline it
 * completes with NIGH_ETIMEDOUT; the load goes on.
 *
 * nigh_close() completes what is pending with NIGH_ECLOSED. Calls that are pending do not count for
 * space.waiters.
 *
 * @param key         copied
 * @param call        as for nigh_fetch(); copied; not with NIGH_NO_WAIT
 * @param arg         comes back in the completion
 * @param ret_value   as of nigh_fetch(); untouched on NIGH_PENDING and on error
 * @param ret_id      names the call for nigh_cancel(); never 0, never used again in this queue;
 *                    written only on NIGH_PENDING, before the completion can be polled; may be NULL
 *
 * Returns   as nigh_fetch(), or NIGH_PENDING: one completion will come, unless it is cancelled
 * Errors    as nigh_fetch(); NIGH_EINVAL also a queue of another cache, or NULL where an object is
 *           wanted; NIGH_EBUSY also async.max reached; NIGH_ECLOSED. No completion comes then
 * Threads   any
 * Blocks    never
 * Owns      release ret_value with nigh_release(), on any thread, before nigh_close()
 */
int nigh_fetch_async(struct nigh_queue *queue, struct nigh_space *space, const void *key,
                     size_t key_len, const struct nigh_call *call, void *arg,
                     struct nigh_value *ret_value, uint64_t *ret_id);

/**
 * Read a key as nigh_get() does, from L1, else from L2, but without waiting. Never loads.
 *
 * With call->miss a miss takes the load lease if it is free. The ticket is written when the
 * completion is handed out, so the struct must be there until then, or until the call is cancelled.
 * The ticket is of the thread that made the call: a loop can read its own database, and put. At the
 * deadline the call completes with NIGH_ETIMEDOUT, and a ticket without the lease.
 *
 * @param key         copied
 * @param call        as for nigh_get(); copied; not with NIGH_NO_WAIT
 * @param arg         comes back in the completion
 * @param ret_value   as of nigh_get(); untouched on NIGH_PENDING and on error
 * @param ret_id      as of nigh_fetch_async()
 *
 * Returns   as nigh_get(), or NIGH_PENDING: one completion will come, unless it is cancelled
 * Errors    as nigh_get(); NIGH_EINVAL, NIGH_EBUSY and NIGH_ECLOSED as nigh_fetch_async()
 * Threads   any
 * Blocks    never
 * Owns      release ret_value with nigh_release(), on any thread, before nigh_close()
 */
int nigh_get_async(struct nigh_queue *queue, struct nigh_space *space, const void *key,
                   size_t key_len, const struct nigh_call *call, void *arg,
                   struct nigh_value *ret_value, uint64_t *ret_id);

/**
 * Fetch many keys as nigh_fetch_many() does, but without waiting: one completion comes for all.
 *
 * Keys that L1 can answer are answered at once, and may be used at once; the others have the
 * outcome NIGH_PENDING. When each of those has its outcome the call completes, and the rest of the
 * arrays is written as the completion is handed out. Its own outcome is 0 (NIGH_ECLOSED: some keys
 * have that), its value is empty, and its load_error is of a key that is NIGH_ELOADER. At the
 * deadline keys that have no answer are NIGH_ETIMEDOUT, they alone.
 *
 * What is to be loaded goes to the loader in calls for up to space.batch keys. (An answer for each
 * key as it comes is what nigh_fetch_async() gives; with space.batch_wait such calls share loads,
 * too.)
 *
 * @param keys           copied
 * @param count          0 .. 2^32 - 1
 * @param call           as for nigh_fetch_many(); copied; not with NIGH_NO_WAIT
 * @param arg            comes back in the completion
 * @param ret_values     as of nigh_fetch_many(). This and ret_outcomes must be there until the
 *                       completion has been handed out, or the call cancelled, or its queue closed:
 *                       then what is pending stays so, and what came at once is the caller's
 * @param ret_outcomes   as of nigh_fetch_many()
 * @param ret_id         as of nigh_fetch_async(): one id for all
 *
 * Returns   0: all keys have their outcomes, errors too, and no completion comes; NIGH_PENDING
 * Errors    as nigh_fetch_many(); NIGH_EINVAL also a queue of another cache. Nothing is written
 *           then. What nigh_fetch_async() refuses (NIGH_EBUSY, NIGH_ECLOSED) is an outcome of each
 *           key; the call counts once for async.max
 * Threads   any
 * Blocks    never
 * Owns      release each of ret_values with nigh_release(), on any thread, before nigh_close()
 */
int nigh_fetch_many_async(struct nigh_queue *queue, struct nigh_space *space,
                          const struct nigh_key *keys, size_t count, const struct nigh_call *call,
                          void *arg, struct nigh_value *ret_values, int *ret_outcomes,
                          uint64_t *ret_id);

/**
 * Tell every node that a key has changed, as nigh_invalidate() does with NIGH_BACKGROUND, and be
 * told when Redis has accepted it.
 *
 * What is done in this process is done when the call returns. Cancelling takes nothing back: the
 * change goes on, and nobody is told. So it is with NIGH_ECLOSED: nigh_close() tries once more to
 * tell Redis, and says no more of it.
 *
 * @param key      copied
 * @param call     as for nigh_invalidate(); at the deadline the call completes with NIGH_QUEUED,
 *                 and the change goes on
 * @param arg      comes back in the completion
 * @param ret_id   as of nigh_fetch_async()
 *
 * Returns   NIGH_PENDING: one completion will come, with 0 or NIGH_QUEUED, unless it is cancelled;
 *           0 at once without Redis
 * Errors    as nigh_invalidate() with NIGH_BACKGROUND; NIGH_EINVAL, NIGH_EBUSY and NIGH_ECLOSED as
 *           nigh_fetch_async()
 * Threads   any
 * Blocks    never
 */
int nigh_invalidate_async(struct nigh_queue *queue, struct nigh_space *space, const void *key,
                          size_t key_len, const struct nigh_call *call, void *arg,
                          uint64_t *ret_id);

/**
 * Invalidate any mix of keys, tags, spaces and all as nigh_invalidate_many() does with
 * NIGH_BACKGROUND, and be told when Redis has accepted all of it: one completion comes.
 *
 * @param targets   copied, with their names
 * @param call      as for nigh_invalidate_many(); at the deadline the call completes with
 *                  NIGH_QUEUED, and what is left of the change goes on
 * @param arg       comes back in the completion
 * @param ret_id    as of nigh_fetch_async(): one id for all
 *
 * Returns   as nigh_invalidate_async()
 * Errors    as nigh_invalidate_many() with NIGH_BACKGROUND; NIGH_EINVAL, NIGH_EBUSY and
 *           NIGH_ECLOSED as nigh_fetch_async(). Nothing was done then
 * Threads   any
 * Blocks    never
 */
int nigh_invalidate_many_async(struct nigh_queue *queue, struct nigh *cache,
                               const struct nigh_target *targets, size_t n,
                               const struct nigh_call *call, void *arg, uint64_t *ret_id);

/**
 * Put a value as nigh_put() does with NIGH_BACKGROUND, and be told what Redis has made of it.
 *
 * @param key      copied
 * @param value    copied
 * @param call     as for nigh_put(), without a ticket; at the deadline, by default that of L2, the
 *                 call completes with NIGH_QUEUED. The value itself waits as in the background
 * @param arg      comes back in the completion
 * @param ret_id   as of nigh_fetch_async()
 *
 * Returns   NIGH_PENDING: one completion will come, with 0 stored, NIGH_REFUSED, or NIGH_QUEUED (at
 *           the deadline, or the value was given up), unless it is cancelled, which takes nothing
 *           back; without Redis as nigh_put(). Puts of one key that go to Redis as one have the
 *           outcome of the last
 * Errors    as nigh_put() with NIGH_BACKGROUND; NIGH_EINVAL also with call->miss; NIGH_EINVAL,
 *           NIGH_EBUSY and NIGH_ECLOSED as nigh_fetch_async()
 * Threads   any
 * Blocks    never
 */
int nigh_put_async(struct nigh_queue *queue, struct nigh_space *space, const void *key,
                   size_t key_len, const void *value, size_t len, const struct nigh_call *call,
                   void *arg, uint64_t *ret_id);

/**
 * Put many values as nigh_put_async() puts one, and be told what Redis has made of all of them: one
 * completion comes. What waits in the background at the same time goes to Redis together.
 *
 * Its own outcome is 0 (NIGH_ECLOSED: some pairs have that). Pairs that can be judged at once have
 * their outcomes at once; the others are NIGH_PENDING, and written as the completion is handed out.
 * At the deadline pairs of which Redis has said nothing are NIGH_QUEUED, they alone.
 *
 * @param pairs          in any order; copied. Of pairs with the same key the last one counts
 * @param count          0 .. 2^32 - 1
 * @param call           as for nigh_put_many(); copied, with its tags
 * @param arg            comes back in the completion
 * @param ret_outcomes   one for each pair: what the completion of nigh_put_async() says, or what it
 *                       returns, errors too. It must be there until the completion has been handed
 *                       out, or the call cancelled, or its queue closed: then what is pending stays
 *                       so
 * @param ret_id         as of nigh_fetch_async(): one id for all
 *
 * Returns   0: all pairs have their outcomes, errors too, and no completion comes (without Redis it
 *           is always so); NIGH_PENDING
 * Errors    as nigh_put_many(); NIGH_EINVAL also a pair with a ticket, or a queue of another cache;
 *           NIGH_EBUSY async.max reached, and NIGH_ECLOSED. Nothing was done then
 * Threads   any
 * Blocks    never
 */
int nigh_put_many_async(struct nigh_queue *queue, struct nigh_space *space,
                        const struct nigh_pair *pairs, size_t count, const struct nigh_call *call,
                        void *arg, int *ret_outcomes, uint64_t *ret_id);

/**
 * Write through as nigh_write() does, but without waiting: the space's writer runs on one of nigh's
 * workers (with threads=none in nigh_tick() and nigh_queue_poll()), and the call completes when
 * Redis has accepted what was committed.
 *
 * This is for a database that has to be waited for. With an asynchronous client of it, commit, then
 * call nigh_put_async() with the row's version, or nigh_invalidate_async(): what is promised is the
 * same. (The fence of a write only sees to it that loads which read the old row do not keep it
 * until then.)
 *
 * Writes of one key that are pending at once are committed in any order: make the next when the
 * one before has completed, or let the writer compare versions. Cancelling takes nothing back: the
 * write goes on, unless the cache closes before its writer is called.
 *
 * @param key      copied
 * @param value    copied; NULL deletes, as in nigh_write()
 * @param call     as for nigh_write(); copied, with its tags. Its deadline, by default
 *                 space.load_deadline, is that for the writer to be called: else the call completes
 *                 with NIGH_ETIMEDOUT. While the writer runs the call is pending. After it, Redis
 *                 has the deadline, by default that of L2: else the call completes with NIGH_QUEUED
 * @param arg      comes back in the completion
 * @param ret_id   as of nigh_fetch_async()
 *
 * Returns   NIGH_PENDING: one completion will come, unless it is cancelled: 0 committed, and
 *           accepted by Redis; NIGH_QUEUED committed and applied here, Redis is not told yet (at
 *           nigh_close(), too); NIGH_EWRITER not committed, or the writer has not returned: then
 *           the key is invalidated; NIGH_ETIMEDOUT the writer was not called; NIGH_ECLOSED nor
 *           then, or nigh_close() did not wait for it any longer; NIGH_ENOMEM as nigh_write() after
 *           the commit
 * Errors    as nigh_write() before its writer is called; NIGH_EINVAL, NIGH_EBUSY and NIGH_ECLOSED
 *           as nigh_fetch_async()
 * Threads   any
 * Blocks    never
 */
int nigh_write_async(struct nigh_queue *queue, struct nigh_space *space, const void *key,
                     size_t key_len, const void *value, size_t len, const struct nigh_call *call,
                     void *arg, uint64_t *ret_id);

/**
 * Cancel a pending call. Its load goes on, for others who wait for it and for the cache; a change
 * goes on, too, unless it is a write and nigh_close() comes before its writer is called. A
 * completion that has come and was not polled yet is cancelled, and its value released.
 *
 * Returns   0: its completion will not be handed out, also not by a poll that runs now; NIGH_MISS:
 *           it was handed out already, or the call was cancelled before, or the queue never had it
 * Errors    NIGH_EINVAL no queue; NIGH_EFORKED
 * Threads   any; before nigh_close() or after it, not beside it
 * Blocks    never
 */
int nigh_cancel(struct nigh_queue *queue, uint64_t id);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
