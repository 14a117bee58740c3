// SPDX-License-Identifier: MIT
/*
 * Writing through for callers that do not wait.
 *
 *     WAITS --- fence answered, a worker is free ---> RUNS --- committed ---> TELLS ---> the end
 *       |                                               |
 *       +--> GIVEN_UP: deadline, nigh_close()           +--> not committed
 *
 * No thread waits but for the writer. The fence is a request whose answer queues a job; the job
 * runs the writer; what the writer has committed is told in the background, with a waiter, as any
 * change that nobody waits for is (async_change.c).
 *
 * The outcome says whether the writer was called, as far as anybody can know. So an operation that
 * is given up before that takes its job with it, and while the writer runs nothing gives it up.
 *
 * The job refers to the operation until the writer has been called. From then on a writer that does
 * not return ends it (commit.over), and if the cache closes without the writer, the operation may
 * be gone when it returns after all: the job has then only the commit.
 */
#include "cache/cache.h"
#include "cache/queue/queue.h"
#include "cache/write/commit.h"

enum phase { WAITS, GIVEN_UP, RUNS, TELLS };

/* Keys: (c) constant once begun  (q) lock of the queue  (r) the request for the fence, then the
 *       job */
struct write {
    struct queue_op op;
    enum phase phase;               /* (q) */
    struct commit *commit;          /* (r) until the writer has returned, or not */
    struct worker_job job;          /* (r) */
    struct nigh_call call;          /* (c) its deadline */
    struct coherence_waiter waiter; /* coherence's, while it TELLS */
};

static struct write *of(struct queue_op *op)
{
    return CONTAINER_OF(op, struct write, op);
}

/* ---- the ends ---- */

static bool detach(struct queue_op *op, struct flight **ret_left)
{
    (void)ret_left;
    return of(op)->phase != RUNS;
}

static int given_up(struct queue_op *op, int why)
{
    struct write *o = of(op);
    if (o->phase == TELLS)
        return NIGH_QUEUED;
    o->phase = GIVEN_UP;
    return why;
}

static const struct queue_verb verb = {.detach = detach, .given_up = given_up, .changes = true};

static void end(struct write *o, int outcome)
{
    struct nigh_value none = NIGH_VALUE_INIT;
    struct nigh_queue *q = o->op.queue;
    queue_lock(q);
    o->op.busy = false;
    bool gone = queue_end_locked(&o->op, outcome, 0, &none) == QUEUE_GONE;
    queue_unlock(q);
    if (gone)
        queue_op_free(&o->op);
}

/* commit.over */
static void over(struct commit *c, int outcome)
{
    end(c->arg, outcome);
}

/* coherence_waiter.done: it is committed. A value that was not stored is no failure, as of
 * nigh_write(). */
static void told(struct coherence_waiter *w)
{
    end(w->arg, w->outcome == 0 || w->outcome == NIGH_REFUSED ? 0 : NIGH_QUEUED);
}

/* ---- the job ---- */

/* Whether the writer is to be called: from here on nothing gives the operation up. */
static bool starts(struct write *o)
{
    struct nigh_queue *q = o->op.queue;
    queue_lock(q);
    bool starts = o->phase == WAITS && !cache_is_closing(queue_cache(q));
    if (starts) {
        o->phase = RUNS;
        queue_set_deadline_locked(&o->op, CLOCK_NEVER_NS);
    }
    queue_unlock(q);
    return starts;
}

static void begin_to_tell(struct write *o)
{
    struct nigh_queue *q = o->op.queue;
    queue_lock(q);
    o->phase = TELLS;
    queue_set_deadline_locked(&o->op, cache_l2_deadline_ns(queue_cache(q), &o->call));
    queue_unlock(q);
}

/* Tells Redis and every node. The operation may be gone afterwards. Without Redis it is told at
 * once. */
static void tell(struct write *o, struct commit *c)
{
    const struct nigh_call call = o->call;
    o->waiter = (struct coherence_waiter){.done = told, .arg = o};
    if (queue_cache(o->op.queue)->coherence)
        begin_to_tell(o);
    int rc = commit_tell_behind(c, &call, &o->waiter);
    if (rc == NIGH_QUEUED)
        return; /* told() */
    if (rc == NIGH_EBUSY || rc == NIGH_ENOMEM)
        rc = commit_tell(c, &call);
    end(o, rc);
}

static void run_job(struct worker_job *job)
{
    struct write *o = CONTAINER_OF(job, struct write, job);
    struct commit *c = o->commit;
    if (!starts(o)) {
        commit_lower_fence(c);
        end(o, NIGH_ECLOSED); /* unless it has been told why */
        commit_destroy(c);
        return;
    }
    writing_look_anew(&c->w);
    int rc = commit_run(c);
    if (rc == 0)
        tell(o, c);
    else if (rc != NIGH_ECLOSED) /* else over() was called */
        end(o, rc);
    commit_destroy(c);
}

/* The `done` of the fence. It takes the answer itself: the job may run when L2 has closed. */
static void fenced(void *arg, struct l2_answer *answer)
{
    struct write *o = arg;
    struct nigh *cache = queue_cache(o->op.queue);
    commit_fenced(o->commit, answer);
    l2_answer_free(answer);
    workers_add_load(&cache->workers, &o->job);
    cache_note_answered(cache);
}

/* ---- the call ---- */

/* A call that is begun, and for whom. */
struct call {
    struct nigh_queue *queue;
    struct nigh_space *space;
    const struct nigh_call *call;
    void *arg;
    uint64_t *ret_id;
};

static int create(const struct call *k, struct commit *c, struct write **ret)
{
    struct queue_op *op;
    int rc = queue_op_create(k->queue, &verb, k->space, k->arg, sizeof(struct write), &op);
    if (rc != 0)
        return rc;
    struct write *o = of(op);
    o->phase = WAITS;
    o->commit = c;
    o->job = (struct worker_job){.run = run_job};
    o->call = (struct nigh_call)NIGH_CALL_INIT;
    o->call.deadline_ms = k->call ? k->call->deadline_ms : 0;
    c->over = over;
    c->arg = o;
    op->busy = true;
    *ret = o;
    return 0;
}

/* Sends the fence, or goes on without. */
static void send(struct write *o)
{
    struct nigh *cache = queue_cache(o->op.queue);
    struct l2_op op = l2_op_of(cache_l2_deadline_ns(cache, &o->call), fenced, o);
    cache_note_sent(cache);
    if (commit_fence(o->commit, &op) == 0)
        return;
    workers_add_load(&cache->workers, &o->job);
    cache_note_answered(cache);
}

static int begin(const struct call *k, struct commit *c)
{
    struct nigh *cache = k->space->cache;
    struct write *o;
    int rc = create(k, c, &o);
    if (rc != 0)
        return rc;
    queue_lock(k->queue);
    rc = queue_may_locked(k->queue);
    if (rc == 0)
        queue_begin_locked(&o->op, QUEUE_BEGINNING,
                           cache_deadline_ns(cache, k->call, k->space->rules.load_deadline_ms),
                           CLOCK_NEVER_NS);
    queue_unlock(k->queue);
    if (rc != 0) {
        queue_op_free(&o->op);
        return rc;
    }
    send(o);
    queue_begun(&o->op, false, k->ret_id);
    return NIGH_PENDING;
}

int nigh_write_async(struct nigh_queue *queue, struct nigh_space *space, const void *key,
                     size_t key_len, const void *value, size_t len, const struct nigh_call *call,
                     void *arg, uint64_t *ret_id)
{
    const struct call k = {queue, space, call, arg, ret_id};
    struct commit *c;
    if (!queue || !space || queue_cache(queue) != space->cache)
        return NIGH_EINVAL;
    int rc = cache_check_change(space, key, key_len, call);
    if (rc != 0)
        return rc;
    if (!space->writer || (!value && len > 0))
        return NIGH_EINVAL;
    rc = commit_create(space, bytes_of(key, key_len), bytes_of(value, len), true, call, &c);
    if (rc != 0)
        return rc;
    struct caller caller;
    caller_enter(&caller);
    rc = begin(&k, c);
    if (rc != NIGH_PENDING)
        commit_destroy(c);
    drive_flush(space->cache);
    caller_leave(&caller);
    return rc;
}
