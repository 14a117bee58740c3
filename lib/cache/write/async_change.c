// SPDX-License-Identifier: MIT
/*
 * Putting and invalidating for callers that do not wait, but want to be told: of one key, or many.
 *
 * It is the change in the background, with waiters in its operation, one for each key: coherence
 * tells them when Redis has accepted the change, or its value is given up. Until the last is told
 * the operation stays, `busy`, also if it has been cancelled, or completed because its time is over
 * or the cache closes.
 *
 * Of many pairs each has an outcome. They lie here until the completion is handed out, which writes
 * them into the caller's array.
 */
#include "cache/cache.h"
#include "cache/caller.h"
#include "cache/write/invalidate.h"
#include "cache/write/put.h"
#include "cache/queue/queue.h"

/* Keys: (c) constant once begun  (q) lock of the queue */
struct change {
    struct queue_op op;
    uint32_t count;      /* (c) of waiters */
    uint32_t left;       /* (q) those that are to be told; and the beginning */
    int worst;           /* (q) what they were told */
    int *outcomes;       /* (c) the caller's; NULL: the operation's own says all */
    int *results;        /* (q) the same, here; NIGH_PENDING: not told yet */
    struct coherence_waiter waiters[]; /* (c) one for each item or pair; without `done`: it has been
                                        * answered at once */
};

static struct change *of(struct queue_op *op)
{
    return CONTAINER_OF(op, struct change, op);
}

/* ---- the ends ---- */

static bool detach(struct queue_op *op, struct flight **ret_left)
{
    (void)op;
    (void)ret_left;
    return true;
}

/* Writes what each pair has come to. REQUIRES(lock of the queue), or that all are told */
static void write_outcomes(struct queue_op *op)
{
    struct change *o = of(op);
    int otherwise = op->outcome < 0 ? op->outcome : NIGH_QUEUED;
    for (uint32_t i = 0; o->outcomes && i < o->count; i++)
        if (o->waiters[i].done)
            o->outcomes[i] = o->results[i] == NIGH_PENDING ? otherwise : o->results[i];
}

static void end(struct queue_op *op, bool handed_out)
{
    if (handed_out)
        write_outcomes(op);
}

/* Calls a change queued at its deadline: it is done here, and goes on. */
static int change_given_up(struct queue_op *op, int why)
{
    (void)op;
    return why == NIGH_ETIMEDOUT ? NIGH_QUEUED : why;
}

/* Each pair has its own outcome. */
static int many_given_up(struct queue_op *op, int why)
{
    (void)op;
    return why == NIGH_ETIMEDOUT ? 0 : why;
}

static const struct queue_verb change_verb = {
    .detach = detach, .given_up = change_given_up, .changes = true};
static const struct queue_verb many_verb = {
    .detach = detach, .end = end, .part = write_outcomes, .given_up = many_given_up,
    .changes = true, .partial = true};

/* Counts one that was told, or the beginning as over. True: nobody wants the operation, which is
 * the caller's to free. */
static bool count_told_locked(struct change *o)
{
    struct nigh_value none = NIGH_VALUE_INIT;
    if (--o->left > 0)
        return false;
    o->op.busy = false;
    return queue_end_locked(&o->op, o->worst, 0, &none) == QUEUE_GONE;
}

static void tell(struct coherence_waiter *w, int outcome)
{
    struct change *o = w->arg;
    struct nigh_queue *q = o->op.queue;
    queue_lock(q);
    if (o->outcomes)
        o->results[w - o->waiters] = outcome;
    else if (outcome != 0)
        o->worst = outcome;
    bool gone = count_told_locked(o);
    queue_unlock(q);
    if (gone)
        queue_op_free(&o->op);
}

/* coherence_waiter.done */
static void told(struct coherence_waiter *w)
{
    tell(w, w->outcome);
}

/* Tells a put whose value Redis does not take. */
static void told_deleted(struct coherence_waiter *w)
{
    tell(w, w->outcome == 0 ? NIGH_REFUSED : w->outcome);
}

/* ---- beginnings ---- */

/* A call that is begun, and for whom. */
struct call {
    struct nigh_queue *queue;
    struct nigh_space *space; /* NULL: of none */
    const struct nigh_call *call;
    void *arg;
    uint64_t *ret_id;
};

static size_t bytes_of_change(size_t count, bool many)
{
    return sizeof(struct change) +
           count * (sizeof(struct coherence_waiter) + (many ? sizeof(int) : 0));
}

/* Creates an operation, and begins it. `outcomes`: NULL, all is said by its own outcome. */
static int create(const struct call *c, size_t count, int *outcomes, struct change **ret)
{
    struct nigh_queue *q = c->queue;
    struct nigh *cache = queue_cache(q);
    struct queue_op *op;
    int rc = queue_op_create(q, outcomes ? &many_verb : &change_verb, c->space, c->arg,
                             bytes_of_change(count, outcomes), &op);
    if (rc != 0)
        return rc;
    struct change *o = of(op);
    o->count = (uint32_t)count;
    o->left = 1;
    o->worst = 0;
    o->outcomes = outcomes;
    o->results = (int *)(void *)(o->waiters + count);
    for (size_t i = 0; i < count; i++)
        o->waiters[i] = (struct coherence_waiter){.arg = o};
    queue_lock(q);
    rc = queue_may_locked(q);
    if (rc == 0) {
        op->busy = true;
        queue_begin_locked(op, QUEUE_BEGINNING, cache_l2_deadline_ns(cache, c->call),
                           CLOCK_NEVER_NS);
    }
    queue_unlock(q);
    if (rc != 0)
        queue_op_free(op);
    else
        *ret = o;
    return rc;
}

/* Lets one wait, before its change is begun, or takes that back. */
static struct coherence_waiter *wait(struct change *o, uint32_t i, bool deletes)
{
    struct coherence_waiter *w = &o->waiters[i];
    w->done = deletes ? told_deleted : told;
    if (o->outcomes)
        o->results[i] = NIGH_PENDING;
    queue_lock(o->op.queue);
    o->left++;
    queue_unlock(o->op.queue);
    return w;
}

static void wait_not(struct change *o, uint32_t i)
{
    o->waiters[i].done = NULL;
    queue_lock(o->op.queue);
    o->left--;
    queue_unlock(o->op.queue);
}

/* Ends the beginning of a change of which something waits: NIGH_PENDING. Else it is over: `rc`. */
static int begun(struct change *o, bool waits, int rc, uint64_t *ret_id)
{
    struct nigh_queue *q = o->op.queue;
    if (!waits) {
        queue_unbegin(&o->op);
        queue_op_free(&o->op);
        return rc;
    }
    queue_begun(&o->op, false, ret_id);
    queue_lock(q);
    bool gone = count_told_locked(o);
    queue_unlock(q);
    if (gone)
        queue_op_free(&o->op);
    return NIGH_PENDING;
}

/* ---- invalidating ---- */

/* invalidate_fn */
static int invalidate(struct nigh *cache, const struct coherence_item *items, size_t n, void *arg)
{
    const struct call *c = arg;
    struct change *o;
    int rc = create(c, n, NULL, &o);
    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < n; i++)
        wait(o, i, false);
    struct coherence_change change = {
        .items = items, .item_count = (uint32_t)n, .background = true, .waiters = o->waiters};
    rc = coherence_change(cache->coherence, &change, NULL);
    return begun(o, rc == NIGH_QUEUED, rc, c->ret_id);
}

int nigh_invalidate_many_async(struct nigh_queue *queue, struct nigh *cache,
                               const struct nigh_target *targets, size_t n,
                               const struct nigh_call *call, void *arg, uint64_t *ret_id)
{
    struct call c = {queue, NULL, call, arg, ret_id};
    if (!queue || !cache || queue_cache(queue) != cache)
        return NIGH_EINVAL;
    return invalidate_by(cache, targets, n, call, invalidate, &c);
}

int nigh_invalidate_async(struct nigh_queue *queue, struct nigh_space *space, const void *key,
                          size_t key_len, const struct nigh_call *call, void *arg,
                          uint64_t *ret_id)
{
    struct call c = {queue, space, call, arg, ret_id};
    if (!queue || !space || queue_cache(queue) != space->cache)
        return NIGH_EINVAL;
    int rc = cache_check_change(space, key, key_len, call);
    if (rc != 0)
        return rc;
    struct nigh_target target = invalidate_target_of(space, key, key_len, call);
    return invalidate_by(space->cache, &target, 1, call, invalidate, &c);
}

/* ---- putting ---- */

/* Puts the i-th value in the background. NIGH_QUEUED: it waits. */
static int put_one(struct change *o, uint32_t i, struct writing *w, const struct nigh_call *call)
{
    bool deletes = w->draft.space->rules.invalidations_only || put_mode(w) == L2_DELETE;
    int rc = put_behind(w, call, wait(o, i, deletes));
    if (rc != NIGH_QUEUED)
        wait_not(o, i);
    return rc;
}

static int put(const struct call *c, struct writing *w)
{
    struct change *o;
    int rc = create(c, 1, NULL, &o);
    if (rc != 0)
        return rc;
    rc = put_one(o, 0, w, c->call);
    return begun(o, rc == NIGH_QUEUED, rc, c->ret_id);
}

int nigh_put_async(struct nigh_queue *queue, struct nigh_space *space, const void *key,
                   size_t key_len, const void *value, size_t len, const struct nigh_call *call,
                   void *arg, uint64_t *ret_id)
{
    struct call c = {queue, space, call, arg, ret_id};
    if (!queue || !space || queue_cache(queue) != space->cache || !value || (call && call->miss))
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
        rc = put(&c, &w);
        writing_fini(&w);
    }
    drive_flush(space->cache);
    caller_leave(&caller);
    return rc;
}

/* Puts one of many. Returns its outcome as far as that is known. */
static int put_pair(struct change *o, uint32_t i, const struct nigh_pair *p, struct nigh_call *call)
{
    struct writing w;
    if (!cache_key_fits(p->key.data, p->key.len))
        return NIGH_EKEY;
    call->version = p->version;
    int rc = put_begin(&w, o->op.space, p->key.data, p->key.len, bytes_of(p->value, p->len), call);
    if (rc != 0)
        return rc;
    rc = put_one(o, i, &w, call);
    writing_fini(&w);
    return rc == NIGH_QUEUED ? NIGH_PENDING : rc;
}

static int put_many(const struct call *c, const struct nigh_pair *pairs, size_t count,
                    int *outcomes)
{
    struct change *o;
    struct nigh_call own = c->call ? *c->call : (struct nigh_call)NIGH_CALL_INIT;
    bool waits = false;
    int rc = create(c, count, outcomes, &o);
    if (rc != 0)
        return rc;
    for (uint32_t i = 0; i < count; i++) {
        outcomes[i] = put_pair(o, i, &pairs[i], &own);
        waits |= outcomes[i] == NIGH_PENDING;
    }
    return begun(o, waits, 0, c->ret_id);
}

static bool has_ticket(const struct nigh_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (pairs[i].miss)
            return true;
    return false;
}

int nigh_put_many_async(struct nigh_queue *queue, struct nigh_space *space,
                        const struct nigh_pair *pairs, size_t count, const struct nigh_call *call,
                        void *arg, int *ret_outcomes, uint64_t *ret_id)
{
    struct call c = {queue, space, call, arg, ret_id};
    if (!queue || !space || queue_cache(queue) != space->cache)
        return NIGH_EINVAL;
    if (cache_is_gone(space->cache))
        return cache_why_gone(space->cache);
    if (!put_many_may(pairs, count, call, ret_outcomes) || has_ticket(pairs, count))
        return NIGH_EINVAL;
    if (!space->cache->coherence || count == 0)
        return nigh_put_many(space, pairs, count, call, ret_outcomes);
    struct caller caller;
    caller_enter(&caller);
    int rc = put_many(&c, pairs, count, ret_outcomes);
    drive_flush(space->cache);
    caller_leave(&caller);
    return rc;
}
