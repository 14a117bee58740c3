/* SPDX-License-Identifier: MIT */
/*
 * A writer's run, from the fence to the telling.
 *
 * It lies on the heap, with its key, since the writer may not return: then the call's frame, and
 * its caller's, may be gone.
 */
#ifndef NIGH_CACHE_WRITE_COMMIT_H
#define NIGH_CACHE_WRITE_COMMIT_H

#include "cache/caller.h"
#include "cache/write/writing.h"

struct commit {
    struct callback callback;
    struct writing w;
    struct nigh_write_op op;
    int rc;        /* the writer's */
    bool fenced;
    size_t bytes;  /* allocated */
    /* Called if the writer does not return (NIGH_EWRITER), after which the commit is gone; or with
     * NIGH_ECLOSED as the cache closes without it, under the lock of the callbacks. NULL: nobody is
     * to be told. */
    void (*over)(struct commit *c, int outcome);
    void *arg;
    uint8_t data[]; /* the key, and the value if that is copied */
};

/* Create a commit. `call` may be NULL. Errors: NIGH_ENOMEM; as writing_init(). */
int commit_create(struct nigh_space *space, struct bytes key, struct bytes value, bool copies,
                  const struct nigh_call *call, struct commit **ret);
void commit_destroy(struct commit *c);

/* Fence the key: no loader that read the origin before now may fill it. Best effort: without it the
 * script still deletes what such a loader has filled. 0: it is sent, and commit_fenced() must have
 * the answer, which stays the caller's. */
int commit_fence(struct commit *c, const struct l2_op *op);
void commit_fenced(struct commit *c, const struct l2_answer *answer);
/* Give back the fence's lease, which no change has dropped, or not yet. Loads that began before the
 * commit cannot fill what they read: the fence has taken their leases. If L2 has closed, the
 * lease is left to its time. */
void commit_lower_fence(struct commit *c);

/* Run the writer on this thread. Errors: NIGH_EWRITER, and the fence is down; NIGH_ECLOSED: the
 * cache has closed meanwhile. */
int commit_run(struct commit *c);

/* Tell Redis and every node, after the commit: returns what nigh_write() does. Behind the call the
 * fence stays up: the change drops its lease in a moment, and who waits for the lease would load
 * for nothing before that. `waiter` may be NULL. Errors behind it: NIGH_EBUSY, NIGH_ENOMEM, and it
 * is to be told at once, for it is committed. */
int commit_tell(struct commit *c, const struct nigh_call *call);
int commit_tell_behind(struct commit *c, const struct nigh_call *call,
                       struct coherence_waiter *waiter);

#endif
