// SPDX-License-Identifier: MIT
/*
 * Putting and invalidating for callers that do not wait, but want to be told.
 *
 * It is the change in the background, with a waiter in its operation: coherence tells it when Redis
 * has accepted the change, or its value is given up. Until then the operation stays, `busy`, also
 * if it has been cancelled, or completed because its time is over or the cache closes.
 */
#include "cache/cache.h"
#include "cache/caller.h"
#include "cache/write/put.h"
#include "cache/queue/queue.h"

struct change {
    struct queue_op op;
    struct coherence_waiter waiter;
    bool only_deletes; /* a put whose value Redis does not take */
};

static bool detach(struct queue_op *op, struct flight **ret_left)
{
    (void)op;
    (void)ret_left;
    return true;
}

static const struct queue_verb change_verb = {.detach = detach, .goes_on = true};

/* coherence_waiter.done */
static void told(struct coherence_waiter *w)
{
    struct change *o = w->arg;
    struct nigh_queue *q = o->op.queue;
    struct nigh_value none = NIGH_VALUE_INIT;
    queue_lock(q);
    o->op.busy = false;
    int outcome = o->only_deletes && w->outcome == 0 ? NIGH_REFUSED : w->outcome;
    enum queue_end how = queue_end_locked(&o->op, outcome, 0, &none);
    queue_unlock(q);
    if (how == QUEUE_GONE)
        queue_op_free(&o->op);
}

static int create(struct nigh_queue *q, struct nigh_space *space, const struct nigh_call *call,
                  void *arg, struct change **ret)
{
    struct queue_op *op;
    struct nigh *cache = space->cache;
    int rc = queue_op_create(q, &change_verb, space, arg, sizeof(struct change), &op);
    if (rc != 0)
        return rc;
    struct change *o = CONTAINER_OF(op, struct change, op);
    o->only_deletes = false;
    o->waiter = (struct coherence_waiter){.done = told, .arg = o};
    queue_lock(q);
    rc = queue_may_locked(q);
    if (rc == 0) {
        op->busy = true;
        queue_begin_locked(op, QUEUE_BEGINNING, cache_l2_deadline_ns(cache, call), CLOCK_NEVER_NS);
    }
    queue_unlock(q);
    if (rc != 0)
        queue_op_free(op);
    else
        *ret = o;
    return rc;
}

/* `rc`: of the change in the background. */
static int begun(struct change *o, int rc, uint64_t *ret_id)
{
    if (rc == NIGH_QUEUED) {
        queue_begun(&o->op, false, ret_id);
        return NIGH_PENDING;
    }
    queue_unbegin(&o->op);
    queue_op_free(&o->op);
    return rc;
}

/* ---- the calls ---- */

static int invalidate(struct nigh_queue *q, struct nigh_space *space, const void *key,
                      size_t key_len, const struct nigh_call *call, void *arg, uint64_t *ret_id)
{
    struct change *o;
    struct coherence_item item = {
        .kind = WIRE_KEY,
        .space = bytes_of(space->name, space->name_len),
        .bytes = bytes_of(key, key_len),
        .version = call ? call->version : 0,
    };
    int rc = create(q, space, call, arg, &o);
    if (rc != 0)
        return rc;
    struct coherence_change c = {
        .items = &item, .item_count = 1, .background = true, .waiters = &o->waiter};
    return begun(o, coherence_change(space->cache->coherence, &c, NULL), ret_id);
}

static int put(struct nigh_queue *q, struct writing *w, const struct nigh_call *call, void *arg,
               uint64_t *ret_id)
{
    struct change *o;
    int rc = create(q, w->draft.space, call, arg, &o);
    if (rc != 0)
        return rc;
    o->only_deletes = w->draft.space->rules.invalidations_only || put_mode(w) == L2_DELETE;
    return begun(o, put_behind(w, call, &o->waiter), ret_id);
}

/* Whether the call's arguments fit, but for its key. */
static bool may_begin(const struct nigh_queue *q, const struct nigh_space *space)
{
    return q && space && queue_cache(q) == space->cache;
}

int nigh_invalidate_async(struct nigh_queue *queue, struct nigh_space *space, const void *key,
                          size_t key_len, const struct nigh_call *call, void *arg,
                          uint64_t *ret_id)
{
    if (!may_begin(queue, space))
        return NIGH_EINVAL;
    int rc = cache_check_change(space, key, key_len, call);
    if (rc != 0)
        return rc;
    if (!space->cache->coherence)
        return nigh_invalidate(space, key, key_len, call);
    struct caller caller;
    caller_enter(&caller);
    rc = invalidate(queue, space, key, key_len, call, arg, ret_id);
    drive_flush(space->cache);
    caller_leave(&caller);
    return rc;
}

int nigh_put_async(struct nigh_queue *queue, struct nigh_space *space, const void *key,
                   size_t key_len, const void *value, size_t len, const struct nigh_call *call,
                   void *arg, uint64_t *ret_id)
{
    if (!may_begin(queue, space) || !value || (call && call->miss))
        return NIGH_EINVAL;
    int rc = cache_check_change(space, key, key_len, call);
    if (rc != 0)
        return rc;
    if (!space->cache->coherence)
        return nigh_put(space, key, key_len, value, len, call);
    struct caller caller;
    struct writing w;
    caller_enter(&caller);
    rc = put_begin(&w, space, key, key_len, bytes_of(value, len), call);
    if (rc == 0) {
        rc = put(queue, &w, call, arg, ret_id);
        writing_fini(&w);
    }
    drive_flush(space->cache);
    caller_leave(&caller);
    return rc;
}
