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
#include "cache/leases.h"
#include "cache/writing.h"

/*
 * Fence the key: no loader that read the origin before now may fill it. Best effort: without it the
 * script still deletes what such a loader has filled.
 *
 * True: Redis has executed it, so the token is worth something. If the lease is taken only later,
 * after our commit, then another writer's commit and its script may lie in between, and ours would
 * find its token in the lease and set the older value.
 */
static bool fence(struct writing *w, uint64_t deadline_ns)
{
    struct nigh *cache = w->space->cache;
    struct l2_key key = cache_l2_key(w->space, w->key.data, w->key.len);
    struct l2_sync sync;
    struct l2_op op = l2_sync_op(&sync, &cache->env, deadline_ns);
    uint64_t token = coherence_token(cache->coherence);
    if (l2_override(cache->l2, &key, token, leases_time_ms(w->space), &op) != 0)
        return false;
    w->token = token;
    struct l2_answer *answer = l2_sync_wait(&sync);
    bool fenced = answer->status == 0;
    if (fenced) {
        coherence_note(cache->coherence, answer);
        w->home = answer->home;
    }
    l2_answer_free(answer);
    return fenced;
}

/* No change has dropped it, or not yet. What loads of before the commit read they cannot fill: the
 * fence has taken their leases. */
static void lower_fence(struct writing *w)
{
    if (w->token)
        leases_give_back(w->space, &w->key, w->token);
    w->token = 0;
}

/* After the commit. Where its schema has no place the value is not stored: no failure. */
static int tell(struct writing *w, enum l2_change_mode mode, const struct nigh_call *call)
{
    int rc = writing_change(w, mode, call);
    if (rc == NIGH_REFUSED)
        return 0;
    if (rc != 0)
        lower_fence(w);
    return rc;
}

/* The writer on its way. On the heap, with its key, since it may not return: then the call's frame,
 * and its caller's, may be gone. */
struct commit {
    struct callback callback;
    struct writing w;
    struct nigh_write_op op;
    int rc;
    uint8_t key[];
};

static void free_commit(struct commit *c)
{
    writing_fini(&c->w);
    mem_free(c->w.space->cache->env.mem, NULL, c, sizeof(*c) + c->w.key.len);
}

static void call_writer(struct callback *callback)
{
    struct commit *c = CONTAINER_OF(callback, struct commit, callback);
    c->rc = c->w.space->writer(c->w.space->arg, &c->op);
}

/* Invalidates the key of a writer that did not return: it may have committed before it threw, or
 * jumped, so nobody must keep an old value. This gives the lease back, too. */
static void commit_ended(struct callback *callback, enum unwind_how how)
{
    struct commit *c = CONTAINER_OF(callback, struct commit, callback);
    (void)how;
    if (!callback->left && c->w.space->cache->coherence)
        (void)tell(&c->w, L2_DELETE, NULL);
    else if (!callback->left)
        writing_change_l1_only(&c->w, false);
    free_commit(c);
}

/* The cache closes. The other nodes need not wait for the end of the lease. */
static bool commit_left(struct callback *callback)
{
    struct commit *c = CONTAINER_OF(callback, struct commit, callback);
    lower_fence(&c->w);
    return true;
}

static struct commit *make_commit(const struct writing *w, bool deletes)
{
    struct nigh *cache = w->space->cache;
    struct commit *c = mem_alloc(cache->env.mem, NULL, sizeof(*c) + w->key.len);
    if (!c)
        return NULL;
    c->w = *w;
    c->w.key.data = memcpy(c->key, w->key.data, w->key.len);
    c->callback = (struct callback){
        .space = w->space,
        .key = bytes_of(c->key, w->key.len),
        .what = "writer",
        .run = call_writer,
        .ended = commit_ended,
        .leave = commit_left,
    };
    c->op = (struct nigh_write_op){
        .size = sizeof(c->op),
        .key = c->key,
        .key_len = w->key.len,
        .value = deletes ? NULL : w->value.data,
        .value_len = w->value.len,
        .version = w->version,
    };
    return c;
}

static int commit(struct writing *w)
{
    struct commit *c = CONTAINER_OF(w, struct commit, w);
    if (!callback_run(&c->callback))
        return NIGH_ECLOSED;
    return c->rc == 0 ? 0 : NIGH_EWRITER;
}

static int write_through(struct writing *w, bool deletes, const struct nigh_call *call)
{
    struct nigh *cache = w->space->cache;
    bool keep = !deletes && w->version != 0 && w->value.len <= w->space->rules.value_max;
    bool fenced = cache->l2 && fence(w, cache_deadline_ns(cache, call, cache->l2_deadline_ms));
    int rc = commit(w);
    if (rc == NIGH_ECLOSED)
        return rc;
    if (rc != 0) {
        lower_fence(w);
        return rc;
    }
    if (!cache->coherence) {
        writing_change_l1_only(w, keep);
        return 0;
    }
    return tell(w, keep && fenced && writing_fits_l2(w) ? L2_SET_TOKEN : L2_DELETE, call);
}

int nigh_write(struct nigh_space *space, const void *key, size_t key_len, const void *value,
               size_t len, const struct nigh_call *call)
{
    int rc = cache_check(space, key, key_len, call);
    if (rc != 0)
        return rc;
    if (!space->writer || (!value && len > 0))
        return NIGH_EINVAL;
    struct writing w;
    rc = writing_init(&w, space, key, key_len, bytes_of(value, len), call);
    if (rc != 0)
        return rc;
    struct commit *c = make_commit(&w, !value);
    if (!c) {
        writing_fini(&w);
        return NIGH_ENOMEM;
    }
    struct caller caller;
    caller_enter(&caller);
    rc = write_through(&c->w, !value, call);
    drive_flush(space->cache);
    free_commit(c);
    caller_leave(&caller);
    return rc;
}
