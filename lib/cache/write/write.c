// SPDX-License-Identifier: MIT
/*
 * Write: through to the origin.
 *
 * The key is fenced with an overriding lease before the commit, so that no loader that read the
 * origin earlier can fill; after it one script stores or deletes, drops the lease and tells
 * everyone.
 */
#include "cache/cache.h"
#include "cache/write/commit.h"

static void fence(struct commit *c, uint64_t deadline_ns)
{
    struct l2_sync sync;
    struct l2_op op = l2_sync_op(&sync, &c->w.draft.space->cache->env, deadline_ns);
    if (commit_fence(c, &op) != 0)
        return;
    struct l2_answer *answer = l2_sync_wait(&sync);
    commit_fenced(c, answer);
    l2_answer_free(answer);
}

/* Tells it in the background, or at once if that has no room. */
static int tell_behind(struct commit *c, const struct nigh_call *call)
{
    int rc = commit_tell_behind(c, call, NULL);
    return rc == NIGH_EBUSY || rc == NIGH_ENOMEM ? commit_tell(c, call) : rc;
}

static int write_through(struct commit *c, const struct nigh_call *call)
{
    fence(c, cache_l2_deadline_ns(c->w.draft.space->cache, call));
    int rc = commit_run(c);
    if (rc != 0)
        return rc;
    return cache_in_background(call) ? tell_behind(c, call) : commit_tell(c, call);
}

int nigh_write(struct nigh_space *space, const void *key, size_t key_len, const void *value,
               size_t len, const struct nigh_call *call)
{
    int rc = cache_check_change(space, key, key_len, call);
    if (rc != 0)
        return rc;
    if (!space->writer || (!value && len > 0))
        return NIGH_EINVAL;
    struct commit *c;
    rc = commit_create(space, bytes_of(key, key_len), bytes_of(value, len), false, call, &c);
    if (rc != 0)
        return rc;
    struct caller caller;
    caller_enter(&caller);
    rc = write_through(c, call);
    drive_flush(space->cache);
    commit_destroy(c);
    caller_leave(&caller);
    return rc;
}
