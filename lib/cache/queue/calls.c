// SPDX-License-Identifier: MIT
/*
 * Completion queues as the host has them: opened, polled, cancelled, closed.
 */
#include <limits.h>

#include "cache/cache.h"
#include "cache/caller.h"
#include "cache/queue/core.h"

int nigh_queue_open(struct nigh *cache, struct nigh_queue **ret_queue)
{
    if (!cache || !ret_queue)
        return NIGH_EINVAL;
    int rc = cache_check_open(cache);
    return rc == 0 ? queues_open(cache, ret_queue) : rc;
}

int nigh_queue_fd(struct nigh_queue *q)
{
    if (!q)
        return NIGH_EINVAL;
    if (cache_forked(q->cache))
        return NIGH_EFORKED;
    queue_lock(q);
    int fd = completions_fd_locked(&q->ready);
    queue_unlock(q);
    return fd;
}

int nigh_cancel(struct nigh_queue *q, uint64_t id)
{
    if (!q)
        return NIGH_EINVAL;
    if (cache_forked(q->cache))
        return NIGH_EFORKED;
    struct caller caller;
    caller_enter(&caller);
    queue_lock(q);
    struct queue_op *op = queue_find_locked(q, id);
    bool found = op && (op->state == QUEUE_PENDING || op->state == QUEUE_READY);
    if (found)
        stats_count(queue_stats(op), STATS_ASYNC_CANCELLED);
    bool ours = found && queue_drop_locked(op);
    queue_unlock(q);
    if (ours)
        queue_dispose(op, false);
    caller_leave(&caller);
    return found ? 0 : NIGH_MISS;
}

static void free_all(struct queue_op *first, bool handed_out)
{
    while (first) {
        struct queue_op *op = first;
        first = op->next;
        queue_dispose(op, handed_out);
    }
}

/* Drops all that is in a chain. */
static void drop_chain(struct nigh_queue *q, uint32_t chain)
{
    struct queue_op *dropped = NULL;
    queue_lock(q);
    while (q->chains[chain]) {
        struct queue_op *op = q->chains[chain];
        if (!queue_drop_locked(op))
            continue;
        op->next = dropped;
        dropped = op;
    }
    queue_unlock(q);
    free_all(dropped, false);
}

void nigh_queue_close(struct nigh_queue *q)
{
    if (!q || cache_forked(q->cache))
        return;
    struct caller caller;
    caller_enter(&caller);
    for (uint32_t i = 0; i < QUEUE_CHAINS; i++)
        drop_chain(q, i);
    queue_unref(q);
    caller_leave(&caller);
}

/* ---- polling ---- */

/* Takes completions, and links to *ret_taken the operations that are to be freed. */
static int take_locked(struct nigh_queue *q, struct nigh_completion *ret, size_t count,
                       struct queue_op **ret_taken) REQUIRES(q->lock)
{
    size_t n = 0;
    for (; n < count && n < INT_MAX && q->ready.first; n++) {
        struct queue_op *op = q->ready.first;
        ret[n] = (struct nigh_completion){op->id, op->arg, op->outcome, op->load_error, op->value};
        if (!queue_drop_locked(op)) {
            if (op->verb->part)
                op->verb->part(op);
            continue;
        }
        op->next = *ret_taken;
        *ret_taken = op;
    }
    return (int)n;
}

/* Without own threads, does what a tick does. */
static void take_turn(struct nigh_queue *q)
{
    if (!q->cache->drive)
        return;
    queue_lock(q);
    bool shut = q->shut;
    queue_unlock(q);
    if (!shut)
        drive_turn(q->cache);
}

struct poll {
    struct nigh_completion *completions;
    size_t count;
    bool waits;
    uint64_t deadline_ns;
    struct queue_op *taken;
};

/* Whether something was left to the workers after this thread's turn, by a thread that saw nobody
 * asleep here. Inside a loader no turn would take it. */
static bool has_work(const struct nigh_queue *q) REQUIRES(q->lock)
{
    struct nigh *cache = q->cache;
    return cache->drive && !q->shut && !flight_is_loading() && workers_have(&cache->workers, NULL);
}

/* Looks once. False: it has slept instead, and is to look again. */
static bool look(struct nigh_queue *q, struct poll *p, int *ret)
{
    take_turn(q);
    queue_lock(q);
    bool over = true;
    *ret = take_locked(q, p->completions, p->count, &p->taken);
    if (*ret == 0 && queue_is_done_locked(q)) {
        *ret = NIGH_ECLOSED;
    } else if (*ret == 0 && p->waits) {
        /* We have the lock: what comes from here on wakes us. If time is up, we look once more. */
        if (!has_work(q))
            p->waits = completions_sleep_locked(&q->ready, &q->lock, p->deadline_ns);
        over = false;
    }
    queue_unlock(q);
    return over;
}

int nigh_queue_poll(struct nigh_queue *q, struct nigh_completion *ret_completions, size_t count,
                    uint32_t timeout_ms)
{
    if (!q || (count > 0 && !ret_completions))
        return NIGH_EINVAL;
    if (cache_forked(q->cache))
        return NIGH_EFORKED;
    struct caller caller;
    struct poll p = {ret_completions, count, count > 0 && timeout_ms > 0, 0, NULL};
    int rc;
    caller_enter(&caller);
    if (p.waits)
        p.deadline_ns = clock_deadline_ns(&q->cache->clock, timeout_ms);
    while (!look(q, &p, &rc))
        continue;
    free_all(p.taken, true);
    caller_leave(&caller);
    return rc;
}
