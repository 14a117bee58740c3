/* SPDX-License-Identifier: MIT */
/*
 * Writing and invalidating: what changes the truth, and how every node learns it.
 */
#ifndef NIGH_WRITE_H
#define NIGH_WRITE_H

#include <nigh/read.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * Put a value that the caller already has.
 *
 * With call->miss (the ticket of a NIGH_MISS): a fenced fill, refused if anything invalidated the
 * key or its tags since. The ticket is used up and its lease gone, whatever is returned but
 * NIGH_EKEY, NIGH_EFORKED and NIGH_EINVAL for the call itself: a second put with it would be one
 * without a lease. Otherwise, with a version: stored if newer. With neither: the last arrival
 * wins, which suits only values that have no origin.
 *
 * @param value  not NULL: an empty one is any pointer and len 0
 * @param len    0 .. NIGH_VALUE_MAX
 * @param call   NULL or options: miss, version, tags, lifetimes, deadline
 *
 * Returns   0 stored; NIGH_REFUSED a version that is not older is there (what is older is gone, in
 *           every L1), the ticket is out of date, 8 other schemas of the space are in use in Redis,
 *           or the value is larger than the space takes, or without Redis than L1 does (in the
 *           last three the old value is gone; not with call->miss, which leaves what is there). A
 *           policy may drop what is stored at once, as it may later;
 *           NIGH_QUEUED not stored: Redis could not be told; the old value is gone here, and will
 *           be everywhere
 * Errors    NIGH_EKEY; NIGH_EVALUE; NIGH_EINVAL value is NULL, call as for nigh_get(), or a tag
 *           NULL, empty or too long; NIGH_ETAGS; NIGH_ENOMEM; NIGH_EFORKED; NIGH_EFULL policy
 *           `none`: L1 is full, and Redis has not got it either; the old value is gone (with
 *           call->miss it stays)
 * Threads   any
 * Blocks    up to the L2 deadline
 */
int nigh_put(struct nigh_space *space, const void *key, size_t key_len, const void *value,
             size_t len, const struct nigh_call *call);

/**
 * Put that the key does not exist, as a loader's nigh_fill_absent() does: what a read of one's own
 * has found after a NIGH_MISS. Remembered for space.absent_ttl, or call->soft_ttl_ms.
 *
 * @param call   with the ticket in call->miss, which is used up; else version, tags, soft_ttl_ms,
 *               deadline as for nigh_put()
 *
 * Returns   0 stored; NIGH_REFUSED as nigh_put() with a ticket, or space.absent_ttl is none
 * Errors    NIGH_EINVAL also without call->miss; else as nigh_put() with a ticket
 * Threads   any
 * Blocks    up to the L2 deadline
 */
int nigh_put_absent(struct nigh_space *space, const void *key, size_t key_len,
                    const struct nigh_call *call);

/**
 * Give the lease of a ticket back, when there is nothing to put: whoever waits for it loads.
 *
 * @param key    the one that the ticket is of
 * @param miss   empty afterwards, and may be released again; NULL does nothing, and so does one
 *               that was used up
 *
 * Threads   any; one at a time may use a ticket
 * Blocks    never
 */
void nigh_miss_release(struct nigh_space *space, const void *key, size_t key_len,
                       struct nigh_miss *miss);

/**
 * Write through: fence the key, let the space's writer commit, then tell every node.
 *
 * @param value   NULL deletes; len is then 0. With call->version the new value is stored; without,
 *                the old one is deleted and the next read loads.
 * @param len     0 .. NIGH_VALUE_MAX
 * @param call    NULL or options: version, tags, lifetimes, deadline
 *
 * Returns   0 committed and accepted by Redis; NIGH_QUEUED committed and applied here, Redis is
 *           not told yet
 * Errors    NIGH_EWRITER not committed; NIGH_EKEY, NIGH_EVALUE, NIGH_ETAGS, NIGH_EFORKED,
 *           NIGH_EINVAL the space has no writer, or value, call or a tag is wrong: the writer was
 *           not called; NIGH_ENOMEM the writer was not called, or it committed and there was no
 *           memory to queue the invalidation: then all values are made stale, here at once and by
 *           Redis when it can be told
 * Threads   any
 * Blocks    up to the L2 deadline, the writer's time, up to the L2 deadline again
 */
int nigh_write(struct nigh_space *space, const void *key, size_t key_len, const void *value,
               size_t len, const struct nigh_call *call);

/**
 * Tell every node that a key has changed. Commit to the origin first.
 *
 * @param call   version: entries at least as new stay
 *
 * Returns   0 accepted by Redis (and applied here); NIGH_QUEUED applied here, retrying
 * Errors    NIGH_EKEY; NIGH_EINVAL call; NIGH_EFORKED; NIGH_ENOMEM as nigh_invalidate_many()
 * Threads   any
 * Blocks    up to the L2 deadline
 */
int nigh_invalidate(struct nigh_space *space, const void *key, size_t key_len,
                    const struct nigh_call *call);

enum nigh_target_kind { NIGH_TARGET_KEY = 1, NIGH_TARGET_TAG, NIGH_TARGET_SPACE, NIGH_TARGET_ALL };

/* One thing to invalidate: a KEY of a space, a TAG of the cache, a whole SPACE, or ALL. */
struct nigh_target {
    enum nigh_target_kind kind;
    struct nigh_space *space; /* KEY, SPACE */
    const void *name;         /* KEY: the key, TAG: the tag */
    size_t name_len;
    uint64_t version;         /* KEY: as in nigh_invalidate(); 0 = none */
};

/* So many targets of one call are invalidated as one step: what Redis does at once takes it less
 * than a millisecond. */
#define NIGH_ATOMIC_TARGETS 256u

/**
 * Invalidate any mix of keys, tags, spaces and all; up to NIGH_ATOMIC_TARGETS as one step:
 * one frame, one script. More are several, one after the other: tags, spaces and all first, then
 * keys, each in the order given. Each that Redis does not accept is queued and retried
 * as any other, and the next is tried.
 *
 * A tag, space or all is one raised floor, however many values it covers. NIGH_SOFT makes the
 * values of tags, spaces and all stale instead of gone.
 *
 * @param n      1 .. 4096
 * @param call   NULL or options: deadline, NIGH_SOFT
 *
 * Returns   0 all accepted by Redis (and applied here); NIGH_QUEUED all applied here, retrying what
 *           was not accepted
 * Errors    NIGH_EINVAL, NIGH_EKEY, NIGH_EFORKED: nothing was done; NIGH_ENOMEM: nothing was done
 *           (more than 16 targets), or applied here and not even queued: then all values are made
 *           stale, here at once and by Redis when it can be told
 * Threads   any
 * Blocks    up to the L2 deadline
 */
int nigh_invalidate_many(struct nigh *cache, const struct nigh_target *targets, size_t n,
                         const struct nigh_call *call);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
