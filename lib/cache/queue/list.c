// SPDX-License-Identifier: MIT
/*
 * Counts references to queues and lists them.
 *
 * A queue lives as long as its host has it open or an operation of it is somewhere, and the cache's
 * struct as long as its queues do: completions can be polled after nigh_close(). A queue that
 * nobody refers to any more stays in the list for a moment, until its last owner has taken it out;
 * a walk leaves it out.
 *
 * `due_ns` says when the keeper comes at the latest; an operation that is due earlier pokes it. The
 * keeper clears the word before it looks at the queues, and an operation is in its queue's heap
 * before it looks at the word: one of the two sees the other, by the queue's lock. Visits to
 * flights are noted in the word alone: so the keeper's turn goes to the flights after it has
 * cleared the word.
 */
#include "cache/cache.h"
#include "cache/queue/core.h"

void queues_init(struct queues *qs, uint32_t max)
{
    pthread_mutex_init(&qs->lock, NULL);
    qs->max = max;
    atomic_init(&qs->due_ns, CLOCK_NEVER_NS);
}

void queues_fini(struct queues *qs)
{
    pthread_mutex_destroy(&qs->lock);
}

bool queues_expect(struct queues *qs, uint64_t due_ns)
{
    uint64_t next_ns = atomic_load_explicit(&qs->due_ns, memory_order_relaxed);
    while (due_ns < next_ns)
        if (atomic_compare_exchange_weak_explicit(&qs->due_ns, &next_ns, due_ns,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    return false;
}

/* ---- references ---- */

void queue_ref(struct nigh_queue *q)
{
    atomic_fetch_add_explicit(&q->refs, 1, memory_order_relaxed);
}

static void destroy(struct nigh_queue *q)
{
    struct nigh *cache = q->cache;
    struct nigh_queue **link = &cache->queues.first;
    pthread_mutex_lock(&cache->queues.lock);
    while (*link != q)
        link = &(*link)->next;
    *link = q->next;
    pthread_mutex_unlock(&cache->queues.lock);
    completions_fini(&q->ready);
    pthread_mutex_destroy(&q->lock);
    mem_free(cache->env.mem, NULL, q, sizeof(*q));
    cache_unref(cache);
}

void queue_unref(struct nigh_queue *q)
{
    /* pair(queue.refs): release what each did with it, acquire it all as the last */
    if (atomic_fetch_sub_explicit(&q->refs, 1, memory_order_acq_rel) == 1)
        destroy(q);
}

static bool try_ref(struct nigh_queue *q)
{
    uint32_t refs = atomic_load_explicit(&q->refs, memory_order_relaxed);
    while (refs != 0 && !atomic_compare_exchange_weak_explicit(&q->refs, &refs, refs + 1,
                                                               memory_order_relaxed,
                                                               memory_order_relaxed))
        continue;
    return refs != 0;
}

struct nigh_queue *queues_next(struct queues *qs, struct nigh_queue *after)
{
    pthread_mutex_lock(&qs->lock);
    struct nigh_queue *q = after ? after->next : qs->first;
    while (q && !try_ref(q))
        q = q->next;
    pthread_mutex_unlock(&qs->lock);
    if (after)
        queue_unref(after);
    return q;
}

/* ---- opening ---- */

static int open_locked(struct nigh *cache, struct nigh_queue **ret_queue)
    REQUIRES(cache->queues.lock)
{
    if (cache->queues.shut)
        return NIGH_ECLOSED;
    struct nigh_queue *q = mem_alloc_zero(cache->env.mem, sizeof(*q));
    if (!q)
        return NIGH_ENOMEM;
    q->cache = cache;
    completions_init(&q->ready, cache->env.park);
    atomic_init(&q->refs, 1);
    pthread_mutex_init(&q->lock, NULL);
    cache_ref(cache);
    q->next = cache->queues.first;
    cache->queues.first = q;
    *ret_queue = q;
    return 0;
}

int queues_open(struct nigh *cache, struct nigh_queue **ret_queue)
{
    pthread_mutex_lock(&cache->queues.lock);
    int rc = open_locked(cache, ret_queue);
    pthread_mutex_unlock(&cache->queues.lock);
    return rc;
}

int queues_nobodys(struct nigh *cache, struct nigh_queue **ret_queue)
{
    struct queues *qs = &cache->queues;
    pthread_mutex_lock(&qs->lock);
    int rc = qs->nobodys ? 0 : open_locked(cache, &qs->nobodys);
    if (rc == 0) {
        queue_ref(qs->nobodys);
        *ret_queue = qs->nobodys;
    }
    pthread_mutex_unlock(&qs->lock);
    return rc;
}

void queues_refuse(struct queues *qs)
{
    pthread_mutex_lock(&qs->lock);
    struct nigh_queue *nobodys = qs->nobodys;
    qs->nobodys = NULL;
    qs->shut = true;
    pthread_mutex_unlock(&qs->lock);
    if (nobodys)
        queue_unref(nobodys);
}
