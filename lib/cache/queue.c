// SPDX-License-Identifier: MIT
/*
 * Completion queues.
 *
 * The descriptor. It is an eventfd, written when a completion enters an empty queue and read when
 * the last one leaves it, both under the lock. So it is readable exactly while there are
 * completions, as anybody sees it who is not inside the lock: no wake-up is lost, whether a loop
 * looks at it before, while or after somebody polls, and none comes in vain but between two threads
 * that poll. It is made when it is first asked for, so a queue that is only polled makes no system
 * calls for it.
 *
 * Threads that wait inside a poll sleep on `word`. One that is about to sleep has looked under the
 * lock, and is counted there; a completion that enters an empty queue changes the word and wakes
 * all who are counted. Nobody sleeps while there are completions: whoever finds some left over by
 * others takes them without having slept.
 *
 * Ids count up and are never used again, so an id that is gone names nothing. The operation of an
 * id is found in a chain.
 *
 * Deadlines are the keeper's. `due_ns` says when it comes at the latest; an operation that is due
 * earlier pokes it. The keeper clears the word before it looks at the queues, and an operation is
 * in its queue's heap before it looks at the word: one of the two sees the other, by the queue's
 * lock. Visits to flights are noted in the word alone: so the keeper's turn goes to the flights
 * after it has cleared the word.
 *
 * Lifetime. A queue lives as long as its host has it open or an operation of it is somewhere, and
 * the cache's struct as long as its queues do: completions can be polled after nigh_close().
 */
#include "cache/queue.h"

#include <limits.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cache/cache.h"
#include "cache/caller.h"

/* A power of two. 10,000 operations make chains of five. */
#define QUEUE_CHAINS 2048u

/* Keys: (c) constant  (l) lock  (q) lock of the cache's queues */
struct nigh_queue {
    struct nigh *cache;                    /* (c) a reference */
    struct nigh_queue *next;               /* (q) */
    _Atomic uint32_t refs;                 /* pair(queue.refs): the host's, each operation's */
    _Atomic uint32_t word;                 /* futex word of those who poll; written (l) */

    pthread_mutex_t lock;
    uint64_t last_id;                      /* (l) */
    struct queue_op *ready;                /* (l) completions, oldest first */
    struct queue_op *ready_last;           /* (l) */
    struct timers timers;                  /* (l) of what is pending */
    uint32_t sleepers;                     /* (l) */
    uint32_t begun;                        /* (l) operations in the chains */
    bool shut;                             /* (l) the cache closes, or has closed */
    int fd;                                /* (l) -1: nobody has asked for it */
    struct queue_op *chains[QUEUE_CHAINS]; /* (l) pending and completed, by id */
};

struct nigh *queue_cache(const struct nigh_queue *q)
{
    return q->cache;
}

/* Unchecked: users of a queue do not see its lock. */
void queue_lock(struct nigh_queue *q) LOCKS_UNCHECKED
{
    pthread_mutex_lock(&q->lock);
}

void queue_unlock(struct nigh_queue *q) LOCKS_UNCHECKED
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

int queue_may_locked(const struct nigh_queue *q)
{
    return q->shut ? NIGH_ECLOSED : 0;
}

/* ---- references ---- */

static void destroy(struct nigh_queue *q)
{
    struct nigh *cache = q->cache;
    struct nigh_queue **link = &cache->queues.first;
    pthread_mutex_lock(&cache->queues.lock);
    while (*link != q)
        link = &(*link)->next;
    *link = q->next;
    pthread_mutex_unlock(&cache->queues.lock);
    if (q->fd >= 0)
        close(q->fd);
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

/* Returns the queue after this one (NULL: the first) with a reference, and drops that of this
 * one. */
static struct nigh_queue *next_queue(struct queues *qs, struct nigh_queue *after)
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

/* ---- operations ---- */

int queue_op_create(struct nigh_queue *q, const struct queue_verb *verb, struct nigh_space *space,
                    void *arg, size_t bytes, struct queue_op **ret_op)
{
    struct queues *qs = &q->cache->queues;
    if (atomic_fetch_add_explicit(&qs->count, 1, memory_order_relaxed) >= qs->max) {
        atomic_fetch_sub_explicit(&qs->count, 1, memory_order_relaxed);
        stats_count(&space->stats, STATS_ASYNC_BUSY);
        return NIGH_EBUSY;
    }
    struct queue_op *op = mem_alloc(q->cache->env.mem, NULL, bytes);
    if (!op) {
        atomic_fetch_sub_explicit(&qs->count, 1, memory_order_relaxed);
        return NIGH_ENOMEM;
    }
    *op = (struct queue_op){.verb = verb, .queue = q, .space = space, .arg = arg, .bytes = bytes};
    atomic_fetch_add_explicit(&q->refs, 1, memory_order_relaxed);
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

/* Frees an operation that is nobody else's any more. */
static void dispose(struct queue_op *op, bool handed_out)
{
    if (op->left)
        flight_unref(op->left);
    if (!handed_out)
        nigh_release(&op->value);
    if (op->verb->end)
        op->verb->end(op, handed_out);
    queue_op_free(op);
}

static struct queue_op **chain_of(struct nigh_queue *q, uint64_t id)
{
    return &q->chains[id % QUEUE_CHAINS];
}

static struct queue_op **find_locked(struct nigh_queue *q, uint64_t id)
{
    struct queue_op **at = chain_of(q, id);
    while (*at && (*at)->id != id)
        at = &(*at)->chain;
    return at;
}

/* Whether the cache has closed, and nothing will come any more. */
static bool is_done_locked(const struct nigh_queue *q)
{
    return q->shut && q->begun == 0;
}

/* Wakes those who poll: they look again. */
static void wake_locked(struct nigh_queue *q)
{
    if (q->sleepers == 0)
        return;
    atomic_fetch_add_explicit(&q->word, 1, memory_order_relaxed); /* the lock orders the rest */
    park_wake(q->cache->env.park, &q->word, PARK_ALL);
}

static void unchain_locked(struct queue_op *op)
{
    struct nigh_queue *q = op->queue;
    *find_locked(q, op->id) = op->chain;
    q->begun--;
    if (is_done_locked(q))
        wake_locked(q);
}

static void untime_locked(struct queue_op *op)
{
    if (op->timed)
        timers_remove(&op->queue->timers, &op->timer);
    op->timed = false;
}

/* ---- ready ---- */

static void fd_write_locked(const struct nigh_queue *q)
{
    uint64_t one = 1;
    if (q->fd < 0)
        return;
    long n = syscall(SYS_write, q->fd, &one, sizeof(one)); /* write() is a cancellation point */
    (void)n;
}

static void fd_read_locked(const struct nigh_queue *q)
{
    uint64_t count;
    if (q->fd < 0)
        return;
    long n = syscall(SYS_read, q->fd, &count, sizeof(count));
    (void)n;
}

static void push_locked(struct queue_op *op)
{
    struct nigh_queue *q = op->queue;
    bool first = !q->ready;
    op->state = QUEUE_READY;
    op->next = NULL;
    op->prev = first ? NULL : q->ready_last;
    *(first ? &q->ready : &q->ready_last->next) = op;
    q->ready_last = op;
    if (!first)
        return;
    fd_write_locked(q);
    wake_locked(q);
}

static void unready_locked(struct queue_op *op)
{
    struct nigh_queue *q = op->queue;
    *(op->prev ? &op->prev->next : &q->ready) = op->next;
    *(op->next ? &op->next->prev : &q->ready_last) = op->prev;
    if (!q->ready)
        fd_read_locked(q);
}

static void answer_locked(struct queue_op *op, int outcome, int load_error)
{
    untime_locked(op);
    op->outcome = outcome;
    op->load_error = load_error;
    if (outcome < 0)
        stats_count(&op->space->stats, STATS_READ_ERROR);
    if (op->state == QUEUE_BEGINNING)
        op->state = QUEUE_ANSWERED;
    else
        push_locked(op);
}

enum queue_end queue_end_locked(struct queue_op *op, int outcome, int load_error,
                                const struct nigh_value *value)
{
    if (op->state == QUEUE_OVER)
        return QUEUE_GONE;
    if (op->state != QUEUE_PENDING && op->state != QUEUE_BEGINNING)
        return QUEUE_LATE;
    op->value = *value;
    answer_locked(op, outcome, load_error);
    return QUEUE_TAKEN;
}

/* Ends a pending operation whose answer has not come. False: it is on its way. */
static bool give_up_locked(struct queue_op *op, int outcome, struct flight **ret_left)
{
    *ret_left = NULL;
    if (!op->verb->detach(op, ret_left))
        return false;
    answer_locked(op, outcome, 0);
    return true;
}

/* ---- beginning ---- */

/* Notes that the keeper is to come by then. False: it comes early enough anyway. */
static bool expect(struct queues *qs, uint64_t due_ns)
{
    uint64_t next_ns = atomic_load_explicit(&qs->due_ns, memory_order_relaxed);
    while (due_ns < next_ns)
        if (atomic_compare_exchange_weak_explicit(&qs->due_ns, &next_ns, due_ns,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    return false;
}

void queue_begin_locked(struct queue_op *op, enum queue_state state, uint64_t deadline_ns,
                        uint64_t visit_ns)
{
    struct nigh_queue *q = op->queue;
    op->id = ++q->last_id;
    op->state = state;
    op->chain = *chain_of(q, op->id);
    *chain_of(q, op->id) = op;
    q->begun++;
    if (state == QUEUE_PENDING)
        stats_count(&op->space->stats, STATS_ASYNC_BEGUN);
    op->timed = deadline_ns != CLOCK_NEVER_NS;
    if (op->timed)
        timers_add(&q->timers, &op->timer, deadline_ns);
    if (expect(&q->cache->queues, u64_min(deadline_ns, visit_ns)))
        service_poke(&q->cache->keeper);
}

bool queue_begun(struct queue_op *op, bool at_once, uint64_t *ret_id)
{
    struct nigh_queue *q = op->queue;
    queue_lock(q);
    bool answered = op->state == QUEUE_ANSWERED;
    if (answered && at_once)
        unchain_locked(op);
    else
        stats_count(&op->space->stats, STATS_ASYNC_BEGUN);
    if (ret_id && !(answered && at_once))
        *ret_id = op->id;
    if (!answered)
        op->state = QUEUE_PENDING;
    else if (!at_once)
        push_locked(op);
    queue_unlock(q);
    return answered && at_once;
}

void queue_unbegin(struct queue_op *op)
{
    struct nigh_queue *q = op->queue;
    queue_lock(q);
    unchain_locked(op);
    untime_locked(op);
    queue_unlock(q);
}

/* ---- the host's calls ---- */

/* REQUIRES(lock of the queues) */
static int open_locked(struct nigh *cache, struct nigh_queue **ret_queue)
{
    if (cache->queues.shut)
        return NIGH_ECLOSED;
    struct nigh_queue *q = mem_alloc_zero(cache->env.mem, sizeof(*q));
    if (!q)
        return NIGH_ENOMEM;
    q->cache = cache;
    q->fd = -1;
    atomic_init(&q->refs, 1);
    pthread_mutex_init(&q->lock, NULL);
    cache_ref(cache);
    q->next = cache->queues.first;
    cache->queues.first = q;
    *ret_queue = q;
    return 0;
}

int nigh_queue_open(struct nigh *cache, struct nigh_queue **ret_queue)
{
    if (!cache || !ret_queue)
        return NIGH_EINVAL;
    int rc = cache_check_open(cache);
    if (rc != 0)
        return rc;
    pthread_mutex_lock(&cache->queues.lock);
    rc = open_locked(cache, ret_queue);
    pthread_mutex_unlock(&cache->queues.lock);
    return rc;
}

int queues_nobodys(struct nigh *cache, struct nigh_queue **ret_queue)
{
    struct queues *qs = &cache->queues;
    pthread_mutex_lock(&qs->lock);
    int rc = qs->nobodys ? 0 : open_locked(cache, &qs->nobodys);
    if (rc == 0) {
        atomic_fetch_add_explicit(&qs->nobodys->refs, 1, memory_order_relaxed);
        *ret_queue = qs->nobodys;
    }
    pthread_mutex_unlock(&qs->lock);
    return rc;
}

int nigh_queue_fd(struct nigh_queue *q)
{
    if (!q)
        return NIGH_EINVAL;
    if (cache_forked(q->cache))
        return NIGH_EFORKED;
    queue_lock(q);
    if (q->fd < 0) {
        q->fd = fd_above_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (q->ready)
            fd_write_locked(q);
    }
    int fd = q->fd < 0 ? NIGH_ETHREAD : q->fd;
    queue_unlock(q);
    return fd;
}

/* Takes an operation out of its queue. False: its answer is on its way, and will free it. */
static bool drop_locked(struct queue_op *op)
{
    bool ours = true;
    unchain_locked(op);
    untime_locked(op);
    if (op->state == QUEUE_READY)
        unready_locked(op);
    else
        ours = op->verb->detach(op, &op->left);
    ours = ours && !op->busy;
    if (!ours)
        op->state = QUEUE_OVER;
    return ours;
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
    struct queue_op *op = *find_locked(q, id);
    bool found = op && (op->state == QUEUE_PENDING || op->state == QUEUE_READY);
    if (found)
        stats_count(&op->space->stats, STATS_ASYNC_CANCELLED);
    bool ours = found && drop_locked(op);
    queue_unlock(q);
    if (ours)
        dispose(op, false);
    caller_leave(&caller);
    return found ? 0 : NIGH_MISS;
}

static void free_all(struct queue_op *first, bool handed_out)
{
    while (first) {
        struct queue_op *op = first;
        first = op->next;
        dispose(op, handed_out);
    }
}

/* Drops all that is in a chain. */
static void drop_chain(struct nigh_queue *q, uint32_t chain)
{
    struct queue_op *dropped = NULL;
    queue_lock(q);
    while (q->chains[chain]) {
        struct queue_op *op = q->chains[chain];
        if (!drop_locked(op))
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
                       struct queue_op **ret_taken)
{
    size_t n = 0;
    for (; n < count && n < INT_MAX && q->ready; n++) {
        struct queue_op *op = q->ready;
        ret[n] = (struct nigh_completion){op->id, op->arg, op->outcome, op->load_error, op->value};
        if (!drop_locked(op)) {
            if (op->verb->part)
                op->verb->part(op);
            continue;
        }
        op->next = *ret_taken;
        *ret_taken = op;
    }
    return (int)n;
}

/* Sleeps until woken; the lock is released meanwhile. Returns whether there is time left. */
static bool sleep_locked(struct nigh_queue *q, uint64_t deadline_ns)
{
    uint32_t seen = atomic_load_explicit(&q->word, memory_order_relaxed);
    q->sleepers++;
    queue_unlock(q);
    int rc = park_wait(q->cache->env.park, &q->word, seen, deadline_ns);
    queue_lock(q);
    q->sleepers--;
    return rc == 0;
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
static bool has_work(const struct nigh_queue *q)
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
    if (*ret == 0 && is_done_locked(q)) {
        *ret = NIGH_ECLOSED;
    } else if (*ret == 0 && p->waits) {
        if (!has_work(q)) /* it has the lock: what comes from here on wakes it */
            p->waits = sleep_locked(q, p->deadline_ns); /* if time is up, it looks once more */
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

/* ---- all queues ---- */

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

/* Ends one operation whose time has come. False: there is none. */
static bool expire_one(struct nigh_queue *q, uint64_t now_ns, uint64_t *next_ns)
{
    struct flight *left = NULL;
    queue_lock(q);
    struct timer *t = q->timers.first;
    bool due = t && t->due_ns <= now_ns;
    if (due) {
        struct queue_op *op = CONTAINER_OF(t, struct queue_op, timer);
        if (!give_up_locked(op, NIGH_ETIMEDOUT, &left)) {
            untime_locked(op);
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
    for (struct nigh_queue *q = next_queue(qs, NULL); q; q = next_queue(qs, q))
        while (expire_one(q, now_ns, &next_ns))
            continue;
    expect(qs, next_ns);
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
                give_up_locked(op, NIGH_ECLOSED, &left);
    queue_unlock(q);
    if (left)
        flight_unref(left);
    return found;
}

static void shut(struct nigh_queue *q)
{
    queue_lock(q);
    q->shut = true;
    wake_locked(q);
    queue_unlock(q);
    for (uint32_t i = 0; i < QUEUE_CHAINS; i++)
        while (shut_one(q, i))
            continue;
}

void queues_shut(struct nigh *cache)
{
    struct queues *qs = &cache->queues;
    pthread_mutex_lock(&qs->lock);
    struct nigh_queue *nobodys = qs->nobodys;
    qs->nobodys = NULL;
    qs->shut = true;
    pthread_mutex_unlock(&qs->lock);
    if (nobodys)
        queue_unref(nobodys);
    for (struct nigh_queue *q = next_queue(qs, NULL); q; q = next_queue(qs, q))
        shut(q);
}

void queues_rouse(struct nigh *cache)
{
    struct queues *qs = &cache->queues;
    pthread_mutex_lock(&qs->lock);
    for (struct nigh_queue *q = qs->first; q; q = q->next) {
        queue_lock(q);
        wake_locked(q);
        queue_unlock(q);
    }
    pthread_mutex_unlock(&qs->lock);
}
