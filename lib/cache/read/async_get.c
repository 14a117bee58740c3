// SPDX-License-Identifier: MIT
/*
 * Asking L2 without waiting, for calls that do not load.
 *
 * One request, or two: a miss whose caller wants a ticket then asks for the lease. The answers come
 * on the I/O thread, which leaves them to a worker, before all loads that have not begun; without
 * own threads the turn that has received them takes them. The requests have the call's deadline,
 * and so has the operation: all workers may be inside loaders. Until the last answer has come the
 * operation stays, `busy`, also if it has been cancelled, or completed because its time is over or
 * the cache closes: what the answer then brings, a lease perhaps, is given back.
 *
 * The ticket is written to the caller's memory as the completion is handed out, not before: after
 * nigh_cancel() that memory may be anything.
 */
#include "cache/read/async.h"

#include "cache/latency.h"
#include "cache/value/lookup.h"
#include "cache/read/missed.h"
#include "cache/queue/queue.h"
#include "cache/read/from_l2.h"

#include <string.h>

/* Keys: (c) constant once begun  (r) whoever sends a request, or takes its answer */
struct get {
    struct queue_op op;
    struct worker_job job;       /* (r) */
    struct nigh_call call;       /* (c) limits and flags */
    struct nigh_miss *ret_miss;  /* (c) the caller's, or NULL */
    struct ticket_holder holder; /* (c) the caller's thread */
    struct nigh_miss miss;       /* (r) */
    uint64_t ticket;             /* (c) */
    uint64_t deadline_ns;        /* (c) */
    uint64_t token;              /* (r) names the lease that was asked for; 0: none */
    struct l2_answer *answer;    /* (r) */
    struct l1_key key;           /* (c) bytes lie behind the struct */
};

static bool detach(struct queue_op *op, struct flight **ret_left)
{
    (void)op;
    (void)ret_left;
    return true;
}

static bool l2_has_closed(const struct get *g)
{
    return atomic_load_explicit(&g->op.space->cache->l2_closed, memory_order_relaxed);
}

/* Gives the lease back that a ticket has which nobody gets. */
static void give_back(struct get *g)
{
    if (g->miss.token && !l2_has_closed(g))
        tickets_give_back(g->op.space, &g->key, &g->miss);
}

static void end(struct queue_op *op, bool handed_out)
{
    struct get *g = CONTAINER_OF(op, struct get, op);
    if (handed_out && g->ret_miss)
        *g->ret_miss = g->miss;
    else if (!handed_out)
        give_back(g);
}

/* Keeps what a miss knew when it began; the lease is not had yet, and goes back. */
static void part(struct queue_op *op)
{
    const struct get *g = CONTAINER_OF(op, struct get, op);
    const struct nigh_miss *m = &g->miss;
    if (g->ret_miss)
        *g->ret_miss = (struct nigh_miss){.stamp = m->stamp,
                                          .clock = m->clock,
                                          .sequence = m->sequence,
                                          .began_ns = m->began_ns};
}

static const struct queue_verb get_verb = {.detach = detach, .end = end, .part = part};

/* ---- answers ---- */

static void finish(struct get *g, int outcome, struct nigh_value *value)
{
    struct nigh_queue *q = g->op.queue;
    queue_lock(q);
    g->op.busy = false;
    enum queue_end how = queue_end_locked(&g->op, outcome, 0, value);
    g->op.busy = how != QUEUE_TAKEN;
    queue_unlock(q);
    if (how == QUEUE_TAKEN)
        return;
    nigh_release(value);
    give_back(g);
    queue_lock(q);
    g->op.busy = false;
    bool over = g->op.state == QUEUE_OVER;
    queue_unlock(q);
    if (over)
        queue_op_free(&g->op);
}

static void done(void *arg, struct l2_answer *answer);

/* Asks for the lease. False: it is not to be had, or nobody wants it any more. */
static bool ask_lease(struct get *g, uint64_t rejected)
{
    struct nigh_space *space = g->op.space;
    struct nigh *cache = space->cache;
    if (!g->ret_miss || queue_is_over(&g->op))
        return false;
    uint64_t token = coherence_token(cache->coherence);
    if (!tickets_add(space, &g->key, token, &g->holder))
        return false;
    struct l2_key key = cache_l2_key(space, g->key.data, g->key.len);
    struct l2_lease lease = {token, rejected, leases_time_ms(space), false};
    struct l2_op op = l2_op_of(g->deadline_ns, done, g);
    g->token = token;
    cache_note_sent(cache);
    if (l2_lease(cache->l2, &key, &lease, &op) == 0)
        return true;
    cache_note_answered(cache);
    tickets_remove(space, &g->key, token);
    return false;
}

static void take_value(struct get *g, const struct l2_answer *answer)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    uint64_t rejected = 0;
    latency_note(g->op.space, STATS_LATENCY_L2, answer->took_ns);
    int rc = read_l2_take(g->op.space, &g->key, &g->call, g->ticket, answer, &rejected, &value);
    if (rc != NIGH_MISS || !ask_lease(g, rejected))
        finish(g, rc, &value);
}

static void take_lease(struct get *g, const struct l2_answer *answer)
{
    struct nigh_space *space = g->op.space;
    struct nigh_value value = NIGH_VALUE_INIT;
    uint64_t rejected;
    int rc = NIGH_MISS;
    if (!read_l2_granted(space, &g->key, g->token, answer, &g->miss) && answer->status == 0 &&
        answer->verdict == L2_VALUE)
        rc = read_l2_take(space, &g->key, &g->call, g->ticket, answer, &rejected, &value);
    finish(g, rc, &value);
}

/* Takes what has come, unless L2 has closed meanwhile: what judges it, and would be asked for a
 * lease, may be freed by then. */
static void take(struct get *g)
{
    struct nigh *cache = g->op.space->cache;
    struct l2_answer *answer = g->answer;
    struct nigh_value none = NIGH_VALUE_INIT;
    if (l2_has_closed(g))
        finish(g, NIGH_ECLOSED, &none);
    else if (g->token)
        take_lease(g, answer);
    else
        take_value(g, answer);
    l2_answer_free(answer);
    cache_note_answered(cache);
}

static void take_job(struct worker_job *job)
{
    take(CONTAINER_OF(job, struct get, job));
}

/* The `done` of both requests. */
static void done(void *arg, struct l2_answer *answer)
{
    struct get *g = arg;
    struct nigh *cache = g->op.space->cache;
    g->answer = answer;
    g->job.run = take_job;
    if (cache->drive)
        take(g);
    else
        workers_add_answer(&cache->workers, &g->job);
}

/* ---- the call ---- */

static int create(const struct missed *m, struct nigh_queue *q, struct get **ret)
{
    struct nigh_space *space = m->space;
    const struct l1_key *key = &m->key;
    struct queue_op *op;
    int rc = queue_op_create(q, &get_verb, space, m->arg, sizeof(struct get) + key->len, &op);
    if (rc != 0)
        return rc;
    struct get *g = CONTAINER_OF(op, struct get, op);
    struct read_l2 r;
    g->call = m->call ? *m->call : (struct nigh_call)NIGH_CALL_INIT;
    g->ret_miss = g->call.miss;
    g->call.miss = &g->miss;
    g->miss = (struct nigh_miss)NIGH_MISS_INIT;
    read_l2_init(space, &g->call, &r);
    g->ticket = r.ticket;
    g->deadline_ns = r.deadline_ns;
    g->call.miss = NULL;
    g->holder = g->ret_miss ? tickets_holder() : (struct ticket_holder){0, 0};
    g->token = 0;
    g->key = *key;
    g->key.data = memcpy(g + 1, key->data, key->len);
    g->op.busy = true;
    *ret = g;
    return 0;
}

/* Sends the first request. Until that is answered the operation stays. */
static int send(struct get *g)
{
    struct nigh *cache = g->op.space->cache;
    struct l2_key key = cache_l2_key(g->op.space, g->key.data, g->key.len);
    struct l2_op op = l2_op_of(g->deadline_ns, done, g);
    cache_note_sent(cache);
    int rc = l2_get(cache->l2, &key, &op);
    if (rc != 0)
        cache_note_answered(cache);
    return rc;
}

static int begin(struct get *g, uint64_t *ret_id)
{
    struct nigh_queue *q = g->op.queue;
    queue_lock(q);
    int rc = queue_may_locked(q);
    if (rc == 0)
        queue_begin_locked(&g->op, QUEUE_BEGINNING, g->deadline_ns, CLOCK_NEVER_NS);
    queue_unlock(q);
    if (rc == 0) {
        rc = send(g);
        if (rc == 0)
            queue_begun(&g->op, false, ret_id);
        else
            queue_unbegin(&g->op);
    }
    if (rc != 0)
        queue_op_free(&g->op);
    return rc == 0 ? NIGH_PENDING : rc;
}

int async_look_behind(struct nigh_space *space, const struct l1_key *key,
                      const struct nigh_call *call)
{
    struct missed m = {.space = space, .call = call, .key = *key};
    struct get *g;
    struct nigh_queue *nobodys;
    int rc = read_l2_may(space, key);
    if (rc == 0)
        rc = queues_nobodys(space->cache, &nobodys);
    if (rc != 0)
        return rc;
    rc = create(&m, nobodys, &g);
    queue_unref(nobodys);
    if (rc != 0)
        return rc;
    g->op.state = QUEUE_OVER; /* from its beginning: nobody wants it */
    rc = send(g);
    if (rc != 0)
        queue_op_free(&g->op);
    return rc == 0 ? NIGH_PENDING : rc;
}

/* Gives a miss at once its ticket, too; but no lease. */
static int miss_at_once(const struct missed *m)
{
    struct read_l2 r;
    read_l2_init(m->space, m->call, &r);
    return NIGH_MISS;
}

int async_get_missed(const struct missed *m, struct nigh_value *ret)
{
    struct get *g;
    (void)ret;
    if (m->call && m->call->miss)
        tickets_give_back_own(m->space, &m->key);
    int rc = read_l2_may(m->space, &m->key);
    if (rc == NIGH_MISS)
        return miss_at_once(m);
    if (rc == 0)
        rc = create(m, m->queue, &g);
    return rc == 0 ? begin(g, m->ret_id) : rc;
}
