// SPDX-License-Identifier: MIT
/*
 * Write: through to the origin.
 *
 * The key is fenced with an overriding lease before the commit, so that no loader that read the
 * origin earlier can fill; after it one script stores or deletes, drops the lease and tells
 * everyone.
 */
#include <string.h>

#include "cache/caller.h"
#include "cache/load/leases.h"
#include "cache/value/lookup.h"
#include "cache/write/writing.h"

/*
 * Fence the key: no loader that read the origin before now may fill it. Best effort: without it the
 * script still deletes what such a loader has filled.
 *
 * True: Redis has executed the fence, so its token counts. If the lease is taken only later,
 * after our commit, then another writer's commit and its script may lie in between, and ours would
 * find its token in the lease and set the older value.
 */
static bool fence(struct draft *d, uint64_t deadline_ns)
{
    struct nigh *cache = d->space->cache;
    struct l2_key key = cache_l2_key(d->space, d->key.data, d->key.len);
    struct l2_sync sync;
    struct l2_op op = l2_sync_op(&sync, &cache->env, deadline_ns);
    uint64_t token = coherence_token(cache->coherence);
    if (l2_override(cache->l2, &key, token, leases_time_ms(d->space), &op) != 0)
        return false;
    d->token = token;
    struct l2_answer *answer = l2_sync_wait(&sync);
    bool fenced = answer->status == 0;
    if (fenced) {
        coherence_note(cache->coherence, answer);
        d->home = answer->home;
    }
    l2_answer_free(answer);
    return fenced;
}

/* Give back the fence's lease, which no change has dropped, or not yet. Loads that began before the
 * commit cannot fill what they read: the fence has taken their leases. */
static void lower_fence(struct draft *d)
{
    if (d->token)
        leases_give_back(d->space, &d->key, d->token);
    d->token = 0;
}

/* Tell Redis and every node, after the commit. If the value is not stored, because there is no
 * place for its schema, that is no failure. */
static int tell(struct writing *w, enum l2_change_mode mode, const struct nigh_call *call)
{
    int rc = writing_change(w, mode, call);
    if (rc == NIGH_REFUSED)
        return 0;
    if (rc != 0)
        lower_fence(&w->draft);
    return rc;
}

/* Leave that to the background. The fence stays up: the change drops its lease in a moment, and who
 * waits for the lease would load for nothing before that. What has no room in the background is
 * told at once, for it is committed. */
static int tell_behind(struct writing *w, enum l2_change_mode mode, const struct nigh_call *call)
{
    int rc = writing_change_behind(w, mode, call, NULL);
    return rc == NIGH_EBUSY || rc == NIGH_ENOMEM ? tell(w, mode, call) : rc;
}

/* A writer's run. It lies on the heap, with its key, since the writer may not return: then the
 * call's frame, and its caller's, may be gone. */
struct commit {
    struct callback callback;
    struct writing w;
    struct nigh_write_op op;
    int rc;
    uint8_t key[];
};

static void free_commit(struct commit *c)
{
    struct mem *mem = c->w.draft.space->cache->env.mem;
    size_t size = sizeof(*c) + c->w.draft.key.len;
    writing_fini(&c->w);
    mem_free(mem, NULL, c, size);
}

static void call_writer(struct callback *callback)
{
    struct commit *c = CONTAINER_OF(callback, struct commit, callback);
    const struct nigh_space *space = c->w.draft.space;
    c->rc = space->writer(space->arg, &c->op);
}

/* Invalidates the key of a writer that did not return: it may have committed before it threw, or
 * jumped, so nobody must keep an old value. This gives the lease back, too. */
static void commit_ended(struct callback *callback, enum unwind_how how)
{
    struct commit *c = CONTAINER_OF(callback, struct commit, callback);
    (void)how;
    if (!callback->left && c->w.draft.space->cache->coherence)
        (void)tell(&c->w, L2_DELETE, NULL);
    else if (!callback->left)
        writing_change_l1_only(&c->w, false);
    if (!callback->left)
        drive_flush(c->w.draft.space->cache);
    free_commit(c);
}

/* Leave the writer, as the cache closes. The other nodes need not wait for the end of the lease. */
static bool commit_left(struct callback *callback)
{
    struct commit *c = CONTAINER_OF(callback, struct commit, callback);
    lower_fence(&c->w.draft);
    return true;
}

/* Make the record of a writer's run. Errors: NIGH_ENOMEM; as writing_init(). */
static int make_commit(struct nigh_space *space, struct bytes key, struct bytes value,
                       const struct nigh_call *call, struct commit **ret)
{
    struct mem *mem = space->cache->env.mem;
    struct commit *c = mem_alloc(mem, NULL, sizeof(*c) + key.len);
    if (!c)
        return NIGH_ENOMEM;
    memcpy(c->key, key.data, key.len);
    int rc = writing_init(&c->w, space, c->key, key.len, value, call);
    if (rc != 0) {
        mem_free(mem, NULL, c, sizeof(*c) + key.len);
        return rc;
    }
    c->callback = (struct callback){
        .space = space,
        .key = bytes_of(c->key, key.len),
        .what = "writer",
        .run = call_writer,
        .ended = commit_ended,
        .leave = commit_left,
    };
    c->op = (struct nigh_write_op){
        .size = sizeof(c->op),
        .key = c->key,
        .key_len = key.len,
        .value = value.data,
        .value_len = value.len,
        .version = c->w.draft.version,
    };
    *ret = c;
    return 0;
}

static int commit(struct commit *c)
{
    if (!callback_run(&c->callback))
        return NIGH_ECLOSED;
    return c->rc == 0 ? 0 : NIGH_EWRITER;
}

static int write_through(struct commit *c, const struct nigh_call *call)
{
    struct writing *w = &c->w;
    struct draft *d = &w->draft;
    struct nigh *cache = d->space->cache;
    bool keep = d->bytes.data && d->version != 0 && d->bytes.len <= d->space->rules.value_max;
    bool fenced = !lookup_l2_has_values(d->space) || fence(d, cache_l2_deadline_ns(cache, call));
    int rc = commit(c);
    if (rc == NIGH_ECLOSED)
        return rc;
    if (rc != 0) {
        lower_fence(d);
        return rc;
    }
    if (!cache->coherence) {
        writing_change_l1_only(w, keep);
        return 0;
    }
    enum l2_change_mode mode = keep && fenced && draft_fits_l2(d) ? L2_SET_TOKEN : L2_DELETE;
    return cache_in_background(call) ? tell_behind(w, mode, call) : tell(w, mode, call);
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
    rc = make_commit(space, bytes_of(key, key_len), bytes_of(value, len), call, &c);
    if (rc != 0)
        return rc;
    struct caller caller;
    caller_enter(&caller);
    rc = write_through(c, call);
    drive_flush(space->cache);
    free_commit(c);
    caller_leave(&caller);
    return rc;
}
