// SPDX-License-Identifier: MIT
/*
 * Completes operations that nothing else brings to an end: their deadline has come, or the cache
 * closes. One at a time under the queue's lock, for what an operation leaves behind (a reference to
 * its flight) is dropped without it.
 */
#include "cache/queue/keep.h"

#include "cache/cache.h"
#include "cache/queue/core.h"

/* Ends one operation whose time has come. False: there is none. */
static bool expire_one(struct nigh_queue *q, uint64_t now_ns, uint64_t *next_ns)
{
    struct flight *left = NULL;
    queue_lock(q);
    struct timer *t = q->timers.first;
    bool due = t && t->due_ns <= now_ns;
    if (due) {
        struct queue_op *op = CONTAINER_OF(t, struct queue_op, timer);
        if (!queue_give_up_locked(op, NIGH_ETIMEDOUT, &left)) {
            queue_untime_locked(op);
            op->overdue = true;
        }
    } else if (t) {
        *next_ns = u64_min(*next_ns, t->due_ns);
    }
    queue_unlock(q);
    if (left)
        flight_unref(left);
    return due;
}

uint64_t queues_keep(struct nigh *cache)
{
    struct queues *qs = &cache->queues;
    uint64_t now_ns = clock_now_ns(&cache->clock), next_ns = CLOCK_NEVER_NS;
    uint64_t due_ns = atomic_load_explicit(&qs->due_ns, memory_order_relaxed);
    if (due_ns > now_ns)
        return due_ns;
    atomic_store_explicit(&qs->due_ns, CLOCK_NEVER_NS, memory_order_relaxed);
    for (struct nigh_queue *q = queues_next(qs, NULL); q; q = queues_next(qs, q))
        while (expire_one(q, now_ns, &next_ns))
            continue;
    queues_expect(qs, next_ns);
    return next_ns;
}

/* Ends one pending operation of a chain. False: there is none that is not about to end. */
static bool shut_one(struct nigh_queue *q, uint32_t chain)
{
    struct flight *left = NULL;
    bool found = false;
    queue_lock(q);
    for (struct queue_op *op = q->chains[chain]; op && !found; op = op->chain)
        found = (op->state == QUEUE_PENDING || op->state == QUEUE_BEGINNING) &&
                queue_give_up_locked(op, NIGH_ECLOSED, &left);
    queue_unlock(q);
    if (left)
        flight_unref(left);
    return found;
}

static void shut(struct nigh_queue *q)
{
    queue_lock(q);
    q->shut = true;
    completions_wake_locked(&q->ready);
    queue_unlock(q);
    for (uint32_t i = 0; i < QUEUE_CHAINS; i++)
        while (shut_one(q, i))
            continue;
}

void queues_shut(struct nigh *cache)
{
    struct queues *qs = &cache->queues;
    queues_refuse(qs);
    for (struct nigh_queue *q = queues_next(qs, NULL); q; q = queues_next(qs, q))
        shut(q);
}

void queues_rouse(struct nigh *cache)
{
    struct queues *qs = &cache->queues;
    pthread_mutex_lock(&qs->lock);
    for (struct nigh_queue *q = qs->first; q; q = q->next) {
        queue_lock(q);
        completions_wake_locked(&q->ready);
        queue_unlock(q);
    }
    pthread_mutex_unlock(&qs->lock);
}
