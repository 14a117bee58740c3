// SPDX-License-Identifier: MIT
/*
 * Operations: how they begin, and how they come to their ends.
 *
 * Ids count up and are never used again, so an id that is gone names nothing. The operation of an
 * id is found in a chain.
 *
 * Deadlines are the keeper's: see list.c for how it learns of them, keep.c for what it
 * does.
 */
#include "cache/queue/queue.h"

#include "cache/cache.h"
#include "cache/latency.h"
#include "cache/queue/core.h"

struct nigh *queue_cache(const struct nigh_queue *q)
{
    return q->cache;
}

static struct stats *stats_of(struct nigh *cache, struct nigh_space *space)
{
    return space ? &space->stats : &cache->stats;
}

struct stats *queue_stats(const struct queue_op *op)
{
    return stats_of(op->queue->cache, op->space);
}

void queue_lock(struct nigh_queue *q)
{
    pthread_mutex_lock(&q->lock);
}

void queue_unlock(struct nigh_queue *q)
{
    pthread_mutex_unlock(&q->lock);
}

bool queue_is_over(struct queue_op *op)
{
    queue_lock(op->queue);
    bool over = op->state == QUEUE_OVER;
    queue_unlock(op->queue);
    return over;
}

int queue_may_locked(const struct nigh_queue *q) REQUIRES(q->lock)
{
    return q->shut ? NIGH_ECLOSED : 0;
}

/* ---- life ---- */

int queue_op_create(struct nigh_queue *q, const struct queue_verb *verb, struct nigh_space *space,
                    void *arg, size_t bytes, struct queue_op **ret_op)
{
    struct queues *qs = &q->cache->queues;
    if (atomic_fetch_add_explicit(&qs->count, 1, memory_order_relaxed) >= qs->max) {
        atomic_fetch_sub_explicit(&qs->count, 1, memory_order_relaxed);
        stats_count(stats_of(q->cache, space), STATS_ASYNC_BUSY);
        return NIGH_EBUSY;
    }
    struct queue_op *op = mem_alloc(q->cache->env.mem, NULL, bytes);
    if (!op) {
        atomic_fetch_sub_explicit(&qs->count, 1, memory_order_relaxed);
        return NIGH_ENOMEM;
    }
    *op = (struct queue_op){.verb = verb, .queue = q, .space = space, .arg = arg, .bytes = bytes};
    op->began_ns = verb->changes ? 0 : latency_begin(space);
    queue_ref(q);
    *ret_op = op;
    return 0;
}

void queue_op_free(struct queue_op *op)
{
    struct nigh_queue *q = op->queue;
    atomic_fetch_sub_explicit(&q->cache->queues.count, 1, memory_order_relaxed);
    mem_free(q->cache->env.mem, NULL, op, op->bytes);
    queue_unref(q);
}

void queue_dispose(struct queue_op *op, bool handed_out)
{
    if (op->left)
        flight_unref(op->left);
    if (!handed_out)
        nigh_release(&op->value);
    if (op->verb->end)
        op->verb->end(op, handed_out);
    queue_op_free(op);
}

/* ---- ids ---- */

static struct queue_op **chain_of(struct nigh_queue *q, uint64_t id)
{
    return &q->chains[id % QUEUE_CHAINS];
}

static struct queue_op **link_of_locked(struct nigh_queue *q, uint64_t id) REQUIRES(q->lock)
{
    struct queue_op **at = chain_of(q, id);
    while (*at && (*at)->id != id)
        at = &(*at)->chain;
    return at;
}

struct queue_op *queue_find_locked(struct nigh_queue *q, uint64_t id)
{
    return *link_of_locked(q, id);
}

bool queue_is_done_locked(const struct nigh_queue *q)
{
    return q->shut && q->begun == 0;
}

static void unchain_locked(struct queue_op *op) REQUIRES(op->queue->lock)
{
    struct nigh_queue *q = op->queue;
    *link_of_locked(q, op->id) = op->chain;
    q->begun--;
    if (queue_is_done_locked(q))
        completions_wake_locked(&q->ready);
}

void queue_untime_locked(struct queue_op *op)
{
    if (op->timed)
        timers_remove(&op->queue->timers, &op->timer);
    op->timed = false;
}

/* ---- ends ---- */

static void complete_locked(struct queue_op *op) REQUIRES(op->queue->lock)
{
    const struct queue_verb *verb = op->verb;
    if (op->outcome < 0 && !verb->changes && !verb->partial) /* else each of its keys is counted */
        stats_count(queue_stats(op), STATS_READ_ERROR);
    latency_end(op->space, STATS_LATENCY_CALL, op->began_ns);
    op->state = QUEUE_READY;
    completions_add_locked(&op->queue->ready, op);
}

static void answer_locked(struct queue_op *op, int outcome, int load_error)
    REQUIRES(op->queue->lock)
{
    queue_untime_locked(op);
    op->outcome = outcome;
    op->load_error = load_error;
    if (op->state == QUEUE_BEGINNING)
        op->state = QUEUE_ANSWERED;
    else
        complete_locked(op);
}

enum queue_end queue_end_locked(struct queue_op *op, int outcome, int load_error,
                                const struct nigh_value *value) REQUIRES(op->queue->lock)
{
    if (op->state == QUEUE_OVER)
        return QUEUE_GONE;
    if (op->state != QUEUE_PENDING && op->state != QUEUE_BEGINNING)
        return QUEUE_LATE;
    op->value = *value;
    answer_locked(op, outcome, load_error);
    return QUEUE_TAKEN;
}

bool queue_give_up_locked(struct queue_op *op, int outcome, struct flight **ret_left)
{
    *ret_left = NULL;
    if (!op->verb->detach(op, ret_left))
        return false;
    answer_locked(op, op->verb->given_up ? op->verb->given_up(op, outcome) : outcome, 0);
    return true;
}

bool queue_drop_locked(struct queue_op *op)
{
    bool ours = true;
    unchain_locked(op);
    queue_untime_locked(op);
    if (op->state == QUEUE_READY)
        completions_remove_locked(&op->queue->ready, op);
    else
        ours = op->verb->detach(op, &op->left);
    ours = ours && !op->busy;
    if (!ours)
        op->state = QUEUE_OVER;
    return ours;
}

/* ---- beginning ---- */

static void time_locked(struct queue_op *op, uint64_t deadline_ns, uint64_t visit_ns)
    REQUIRES(op->queue->lock)
{
    struct nigh_queue *q = op->queue;
    op->timed = deadline_ns != CLOCK_NEVER_NS;
    if (op->timed)
        timers_add(&q->timers, &op->timer, deadline_ns);
    if (queues_expect(&q->cache->queues, u64_min(deadline_ns, visit_ns)))
        service_poke(&q->cache->keeper);
}

void queue_begin_locked(struct queue_op *op, enum queue_state state, uint64_t deadline_ns,
                        uint64_t visit_ns) REQUIRES(op->queue->lock)
{
    struct nigh_queue *q = op->queue;
    op->id = ++q->last_id;
    op->state = state;
    op->chain = *chain_of(q, op->id);
    *chain_of(q, op->id) = op;
    q->begun++;
    if (state == QUEUE_PENDING)
        stats_count(queue_stats(op), STATS_ASYNC_BEGUN);
    time_locked(op, deadline_ns, visit_ns);
}

void queue_set_deadline_locked(struct queue_op *op, uint64_t deadline_ns) REQUIRES(op->queue->lock)
{
    queue_untime_locked(op);
    if (op->state == QUEUE_PENDING || op->state == QUEUE_BEGINNING)
        time_locked(op, deadline_ns, CLOCK_NEVER_NS);
}

bool queue_begun(struct queue_op *op, bool at_once, uint64_t *ret_id)
{
    struct nigh_queue *q = op->queue;
    queue_lock(q);
    bool answered = op->state == QUEUE_ANSWERED;
    if (answered && at_once)
        unchain_locked(op);
    else
        stats_count(queue_stats(op), STATS_ASYNC_BEGUN);
    if (ret_id && !(answered && at_once))
        *ret_id = op->id;
    if (!answered)
        op->state = QUEUE_PENDING;
    else if (!at_once)
        complete_locked(op);
    queue_unlock(q);
    return answered && at_once;
}

void queue_unbegin(struct queue_op *op)
{
    struct nigh_queue *q = op->queue;
    queue_lock(q);
    unchain_locked(op);
    queue_untime_locked(op);
    queue_unlock(q);
}
