/* SPDX-License-Identifier: MIT */
/*
 * Writing and invalidating: calls that change values, and tell every node of the change.
 *
 *   nigh_invalidate()  the host has committed to the origin itself: the old value goes everywhere
 *   nigh_write()       the space's writer commits, between a fence and the telling
 *   nigh_put()         the caller has a value: one that it read after a miss (with the ticket), one
 *                      with a version, or one that has no origin
 *
 * With NIGH_BACKGROUND in call->flags a change waits for nobody. What it does in this process is
 * done when the call returns, which answers NIGH_QUEUED (never 0: Redis has not accepted it). Redis
 * is told behind it, by a thread of nigh's: all that has come meanwhile in one script. Changes of
 * one key keep their order; one without the flag comes after those with it. At most coherence.queue
 * keys, tags and so on wait, counting what Redis could not be told. A call without room for all
 * that it names does nothing, and returns NIGH_EBUSY: it must be made again, later, or without the
 * flag, where it waits. (Only nigh_write(), whose writer has committed, waits by itself then.)
 *
 * What Redis does not answer, or cannot be told, is retried until it is accepted, as any queued
 * invalidation is; nigh_drain() waits for all of it, and nigh_close() tries once more. Until then
 * other nodes do not know: `queued` in nigh_stats() is how many such changes there are. Without
 * Redis the flag changes nothing. With threads=none Redis is told within the call, a tick, or
 * another call that waits, and its answer is taken in one of these.
 */
#ifndef NIGH_WRITE_H
#define NIGH_WRITE_H

#include <nigh/read.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * Put a value that the caller already has; key and value are copied.
 *
 * With call->miss (the ticket of a NIGH_MISS) this is a fenced fill: it is refused if anything has
 * invalidated the key or its tags since the miss. The put uses the ticket up and ends its lease,
 * whatever it returns except NIGH_EKEY, NIGH_EFORKED and NIGH_EINVAL for the call itself; a second
 * put with the same ticket would have no lease. Without a ticket but with a version, the value is
 * stored if it is newer. With neither, the last arrival wins, which suits only values that have no
 * origin.
 *
 * With NIGH_BACKGROUND a value with neither version nor ticket is in L1 when the call returns.
 * Until Redis has it, it is nowhere else, and L1 may evict it. A value with a version enters L1 by
 * a read, once Redis has judged it. Values wait for Redis up to call->deadline_ms, by default for
 * coherence.trust, and are sent once. One that Redis does not answer, that is too late, or whose
 * Redis has come back as another, is given up: it goes from L1, too, and the key is deleted
 * everywhere as soon as Redis can be told. The counter background_lost has these, and those that
 * Redis refuses. Up to 16 MiB of values wait; more get NIGH_EBUSY. With a ticket the fill is sent
 * behind the call, at once and once; nigh_drain() does not wait for it. (A ticket without a lease
 * fills L1 alone, which answers 0.) In a space whose values stay out of Redis a put without a
 * ticket keeps nothing in the background: the old value is deleted.
 *
 * Before the cache has heard from Redis for the first time (milliseconds after nigh_open()) a value
 * cannot be sent so that other nodes take it. A put without a ticket waits for that, while the
 * first connection is made: so a program that opens, puts, gets 0 and closes has warmed the others.
 * If nothing is heard the value is not stored: NIGH_QUEUED, or NIGH_REFUSED where Redis was told
 * all the same, as by a guest (coherence.guest) that is alone. In the background a put waits for
 * nobody, and a value of that time is given up as told above.
 *
 * @param value  not NULL; for an empty value any pointer, and len 0
 * @param len    0 .. NIGH_VALUE_MAX
 * @param call   NULL or options: miss, version, tags, lifetimes, deadline, NIGH_BACKGROUND
 *
 * Returns   0 stored (the eviction policy may drop the value at once, as at any later time);
 *           NIGH_REFUSED not stored, because a version that is not older is there (older ones are
 *           removed from every L1), the ticket is out of date, 8 other schemas of the space are in
 *           use in Redis, the value is larger than the space takes, or there is no Redis and the
 *           value is larger than L1 takes. In the last three cases the old value is removed, too,
 *           but not by a put with call->miss;
 *           NIGH_QUEUED not stored, because Redis could not be told: the old value is gone here,
 *           and will be gone everywhere; or in the background, as this key's put before it may
 *           still be
 * Errors    NIGH_EKEY; NIGH_EVALUE; NIGH_EINVAL value is NULL, call as for nigh_get(), or a tag is
 *           NULL, empty or too long; NIGH_ETAGS; NIGH_ENOMEM; NIGH_EFORKED; NIGH_EFULL policy
 *           `none`: L1 is full, and Redis has not stored the value either; the old value is gone
 *           (with call->miss it stays); NIGH_EBUSY only with NIGH_BACKGROUND: no room, nothing was
 *           done
 * Threads   any
 * Blocks    up to the L2 deadline, before Redis was heard of up to twice that; never with
 *           NIGH_BACKGROUND
 */
int nigh_put(struct nigh_space *space, const void *key, size_t key_len, const void *value,
             size_t len, const struct nigh_call *call);

/**
 * Put that the key does not exist, when that is what the caller's own read has found after a
 * NIGH_MISS. It is the counterpart of a loader's nigh_fill_absent(), and is remembered for
 * space.absent_ttl, or call->soft_ttl_ms.
 *
 * @param call   must have the ticket in call->miss, which is used up; also version, tags,
 *               soft_ttl_ms, deadline, NIGH_BACKGROUND as for nigh_put()
 *
 * Returns   0 stored; NIGH_QUEUED in the background; NIGH_REFUSED as nigh_put() with a ticket, or
 *           space.absent_ttl is none
 * Errors    as nigh_put() with a ticket; NIGH_EINVAL also if call->miss is missing
 * Threads   any
 * Blocks    up to the L2 deadline; never with NIGH_BACKGROUND
 */
int nigh_put_absent(struct nigh_space *space, const void *key, size_t key_len,
                    const struct nigh_call *call);

/* A pair of a nigh_put_many(). */
struct nigh_pair {
    struct nigh_key key;
    const void *value;      /* NULL, and len 0: it does not exist; only with a ticket */
    size_t len;             /* 0 .. NIGH_VALUE_MAX */
    uint64_t version;       /* as call->version of nigh_put(); 0: none */
    struct nigh_miss *miss; /* as call->miss of nigh_put(): the ticket of this key; NULL: none */
};

/**
 * Put many values as nigh_put() puts one. Up to NIGH_ATOMIC_TARGETS of them, and 1 MiB, are one
 * step: one script in Redis, one message to the other nodes; those with tickets are fills under
 * their own leases, sent together. More take several steps, one after the other.
 *
 * Of pairs with the same key the last one counts, and the others get its outcome: an earlier one is
 * not put, and its ticket is given back. (In another step it is put, and overwritten.)
 *
 * @param pairs          in any order
 * @param count          0 .. 2^32 - 1
 * @param call           NULL or options for all pairs: tags, lifetimes, deadline (of each step),
 *                       NIGH_BACKGROUND (each pair is then put so by itself). What is of one
 *                       value is said in its pair: call->version and call->miss must not be set
 * @param ret_outcomes   one for each pair: what nigh_put() returns, or nigh_put_absent(), NIGH_EKEY
 *                       and other errors too
 *
 * Returns   0, also when pairs have errors
 * Errors    NIGH_EINVAL call, count, or one of the arrays is NULL; NIGH_EFORKED; NIGH_ENOMEM.
 *           Nothing was done then
 * Threads   any
 * Blocks    up to the L2 deadline for each step; never with NIGH_BACKGROUND
 */
int nigh_put_many(struct nigh_space *space, const struct nigh_pair *pairs, size_t count,
                  const struct nigh_call *call, int *ret_outcomes);

/**
 * Give the lease of a ticket back when there is nothing to put: one of those who wait for the key
 * then loads it.
 *
 * @param key    the key of the ticket
 * @param miss   empty afterwards, and may be released again; releasing NULL, or a ticket that was
 *               used up, does nothing
 *
 * Threads   any; one at a time may use a ticket
 * Blocks    never
 */
void nigh_miss_release(struct nigh_space *space, const void *key, size_t key_len,
                       struct nigh_miss *miss);

/**
 * Write through: fence the key, let the space's writer commit, then tell every node.
 *
 * With NIGH_BACKGROUND the call waits for the fence and the writer, and then no more. The value, if
 * it is to be stored, enters L1 by a read, once Redis has it. A write that has no room in the
 * background is told as without the flag, for it is committed.
 *
 * @param value   NULL deletes; len is then 0. With call->version the new value is stored; without
 *                it the old value is deleted and the next read loads.
 * @param len     0 .. NIGH_VALUE_MAX
 * @param call    NULL or options: version, tags, lifetimes, deadline, NIGH_BACKGROUND
 *
 * Returns   0 committed and accepted by Redis; NIGH_QUEUED committed and applied here, Redis is
 *           not told yet
 * Errors    NIGH_EWRITER not committed; NIGH_EKEY, NIGH_EVALUE, NIGH_ETAGS, NIGH_EFORKED: the
 *           writer was not called; NIGH_EINVAL the space has no writer, or value, call or a tag is
 *           wrong: the writer was not called; NIGH_ENOMEM the writer was not called, or it
 *           committed and there was no memory to queue the invalidation: then all values are made
 *           stale, here at once, and in the other nodes when Redis can be told
 * Threads   any
 * Blocks    up to the L2 deadline, the writer's time, up to the L2 deadline again (not with
 *           NIGH_BACKGROUND)
 */
int nigh_write(struct nigh_space *space, const void *key, size_t key_len, const void *value,
               size_t len, const struct nigh_call *call);

/**
 * Tell every node that a key has changed. Commit to the origin first.
 *
 * @param call   NULL or options: deadline, NIGH_BACKGROUND, version (stored values of this version
 *               or above stay)
 *
 * Returns   0 accepted by Redis (and applied here); NIGH_QUEUED applied here, retrying, or in the
 *           background
 * Errors    NIGH_EKEY; NIGH_EINVAL call; NIGH_EFORKED; NIGH_ENOMEM as nigh_invalidate_many();
 *           NIGH_EBUSY only with NIGH_BACKGROUND: no room, nothing was done
 * Threads   any
 * Blocks    up to the L2 deadline; never with NIGH_BACKGROUND
 */
int nigh_invalidate(struct nigh_space *space, const void *key, size_t key_len,
                    const struct nigh_call *call);

enum nigh_target_kind { NIGH_TARGET_KEY = 1, NIGH_TARGET_TAG, NIGH_TARGET_SPACE, NIGH_TARGET_ALL };

/* A target of an invalidation: a KEY of a space, a TAG of the cache, a whole SPACE, or ALL. */
struct nigh_target {
    enum nigh_target_kind kind;
    struct nigh_space *space; /* KEY, SPACE */
    const void *name;         /* KEY: the key, TAG: the tag */
    size_t name_len;
    uint64_t version;         /* KEY: as call->version of nigh_invalidate(); 0 = none */
};

/* Up to this many targets of one call are invalidated in one step, which takes Redis less than a
 * millisecond. */
#define NIGH_ATOMIC_TARGETS 256u

/**
 * Invalidate any mix of keys, tags, spaces and all. Up to NIGH_ATOMIC_TARGETS targets are one step:
 * one script in Redis, one message to the other nodes. Calls of several threads at once may share a
 * step, which saves Redis work; each is told its own outcome. More targets take several steps, one
 * after the other: tags, spaces and all first, then keys, each in the order given. A step that
 * Redis does not accept is queued and retried as any other invalidation, and the next step is
 * tried.
 *
 * The cost of a tag, a space or all does not depend on how many values it covers. NIGH_SOFT makes
 * the values of tags, spaces and all stale instead of gone; keys are gone with it, too.
 *
 * @param n      1 .. 4096
 * @param call   NULL or options: deadline, NIGH_SOFT, NIGH_BACKGROUND (then they are told in steps
 *               with whatever else waits)
 *
 * Returns   0 all accepted by Redis (and applied here); NIGH_QUEUED all applied here; steps that
 *           Redis did not accept are retried, or all of it is in the background
 * Errors    NIGH_EINVAL, NIGH_EKEY, NIGH_EFORKED: nothing was done; NIGH_EBUSY only with
 *           NIGH_BACKGROUND: no room for all of them, nothing was done; NIGH_ENOMEM: nothing was
 *           done (more than 16 targets), or applied here and not even queued: then all values are
 *           made stale, here at once, and in the other nodes when Redis can be told
 * Threads   any
 * Blocks    up to the L2 deadline; never with NIGH_BACKGROUND
 */
int nigh_invalidate_many(struct nigh *cache, const struct nigh_target *targets, size_t n,
                         const struct nigh_call *call);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
