// SPDX-License-Identifier: MIT
/*
 * The queue of lines, and the thread that hands them out.
 *
 * Every place has a turn number: `at` when it is free for the line number `at`, `at` + 1 when that
 * line is in it. Writers take line numbers from `tail` by compare-and-swap, and only for a place
 * that is free, so a writer notices that the queue is full before it takes a number. Only one
 * thread reads at a time: ours, or a host's thread that has taken the turn.
 * Source: D. Vyukov, "Bounded MPMC queue" (1024cores.net, 2010).
 *
 * A hook may end the thread that it runs on, with pthread_exit(). Its line counts as handed out.
 * Our thread then starts another one in its place (hook_ended()); a host's thread only gives up the
 * turn.
 * An exception that leaves a hook ends here, and its line counts as handed out, too.
 *
 * How the thread ends: it marks the queue ENDED and is joined. If it does not come within the time,
 * because a hook blocks, the queue is marked ABANDONED instead, and the thread, when it comes back,
 * detaches itself, hands out nothing more and frees the queue.
 */
#include "base/log_queue.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nigh/error.h>

#include "base/base.h"
#include "base/text.h"

#define LINES 128u

enum state {
    RUNNING,
    ENDED,     /* the thread has ended and is to be joined */
    GONE,      /* the thread has ended, detached, and there is no other */
    ABANDONED, /* the log is closed; a thread still in a hook has the queue to itself */
};

/* Keys: (p) only the thread that has the place, by its turn number. */
struct line {
    _Atomic uint32_t turn; /* pair(log.line) */
    enum nigh_log_level level;  /* (p) */
    uint32_t lost;              /* (p) lines lost just before it */
    uint64_t wall_ns;           /* (p) when it was pushed */
    char text[LOG_LINE_BYTES];  /* (p) */
};

/* Keys: (c) constant after create  (a) atomic, relaxed  (r) only the reading thread: see the top */
struct log_queue {
    struct log_out out;         /* (c), except its fields for the writer of messages: (r) */
    _Atomic uint32_t level;     /* (a) the least that is taken */
    bool threaded;              /* (c) */
    struct park park;           /* (c) by the kernel's clock: the queue may outlive the cache's */
    struct turn reading;        /* the right to read, without own thread */
    pthread_t thread;           /* (r) the reading thread, while RUNNING or ENDED */
    _Atomic uint32_t begun;     /* pair(log.begun): 1: the starter needs it no more; futex word */
    uint32_t head;              /* (r) next line to be read */
    uint32_t unsaid;            /* (r) lines lost in writing them out, to be told with the next */
    _Atomic uint32_t tail;      /* (a) next line to be written */
    _Atomic uint32_t handed;    /* pair(log.handed): lines handed out; futex word */
    _Atomic uint32_t pokes;     /* pair(log.poke): futex word of the thread */
    _Atomic uint32_t state;     /* pair(log.state): enum state */
    _Atomic bool stop;          /* (a) */
    _Atomic uint32_t users;     /* pair(log.users): the log, the thread */
    _Atomic uint32_t lost;      /* (a) lines lost since the last one that found a place */
    _Atomic uint64_t lost_all;  /* (a) */
    struct line lines[LINES];
};

static void release(struct log_queue *q)
{
    /* pair(log.users): the last user frees the queue, after all that the others did with it */
    if (atomic_fetch_sub_explicit(&q->users, 1, memory_order_acq_rel) == 1)
        free(q);
}

/* ---- writing ---- */

enum nigh_log_level log_queue_level(const struct log_queue *q)
{
    return (enum nigh_log_level)atomic_load_explicit(&q->level, memory_order_relaxed);
}

void log_queue_set_level(struct log_queue *q, enum nigh_log_level level)
{
    atomic_store_explicit(&q->level, (uint32_t)level, memory_order_relaxed);
}

bool log_queue_wants(const struct log_queue *q, enum nigh_log_level level)
{
    return level <= log_queue_level(q);
}

static void poke(struct log_queue *q)
{
    /* pair(log.poke): the round that this asks for sees everything written before */
    atomic_fetch_add_explicit(&q->pokes, 1, memory_order_release);
    park_wake(&q->park, &q->pokes, 1);
}

/* Takes a place for one more line, and its number. NULL: the queue is full. */
static struct line *take_place(struct log_queue *q, uint32_t *ret_at)
{
    uint32_t at = atomic_load_explicit(&q->tail, memory_order_relaxed);
    for (;;) {
        struct line *l = &q->lines[at % LINES];
        /* pair(log.line): the reader has taken the old line out */
        int32_t ahead = (int32_t)(atomic_load_explicit(&l->turn, memory_order_acquire) - at);
        if (ahead < 0)
            return NULL;
        if (ahead > 0)
            at = atomic_load_explicit(&q->tail, memory_order_relaxed);
        else if (atomic_compare_exchange_weak_explicit(&q->tail, &at, at + 1, memory_order_relaxed,
                                                       memory_order_relaxed)) {
            *ret_at = at;
            return l;
        }
    }
}

static void count_lost(struct log_queue *q, uint32_t n)
{
    atomic_fetch_add_explicit(&q->lost_all, n, memory_order_relaxed);
}

void log_queue_push(struct log_queue *q, enum nigh_log_level level, const char *message)
{
    uint32_t at;
    struct line *l = take_place(q, &at);
    if (!l) {
        count_lost(q, 1);
        atomic_fetch_add_explicit(&q->lost, 1, memory_order_relaxed);
        return;
    }
    l->level = level;
    l->wall_ns = clock_kernel_ns(CLOCK_REALTIME);
    l->lost = atomic_exchange_explicit(&q->lost, 0, memory_order_relaxed);
    memccpy(l->text, message, 0, sizeof(l->text));
    l->text[sizeof(l->text) - 1] = 0;
    atomic_store_explicit(&l->turn, at + 1, memory_order_release); /* pair(log.line): line is in */
    poke(q);
}

/* ---- reading ---- */

static void *run(void *arg);

/* A line on its way out. */
struct handing {
    struct log_out *out;
    enum nigh_log_level level;
    uint64_t wall_ns;
    char text[LOG_TEXT_BYTES];
    bool whole;
};

/* Takes the next line, copied so that its place is free at once. */
static bool take_line(struct log_queue *q, struct handing *h, uint32_t *lost)
{
    struct line *l = &q->lines[q->head % LINES];
    /* pair(log.line): the line is whole */
    if (atomic_load_explicit(&l->turn, memory_order_acquire) != q->head + 1)
        return false;
    h->level = l->level;
    h->wall_ns = l->wall_ns;
    *lost = l->lost + q->unsaid;
    int len = snprintf(h->text, sizeof(h->text), "%s", l->text);
    if (*lost)
        snprintf(h->text + len, sizeof(h->text) - (size_t)len, " (%u line%s before it %s lost)",
                 *lost, plural(*lost), *lost == 1 ? "was" : "were");
    /* pair(log.line): the line is out, its place is free */
    atomic_store_explicit(&l->turn, q->head + LINES, memory_order_release);
    q->head++;
    return true;
}

static void note_handed(struct log_queue *q)
{
    /* pair(log.handed): the hook is done with the lines before `head` */
    atomic_store_explicit(&q->handed, q->head, memory_order_release);
    park_wake(&q->park, &q->handed, PARK_ALL);
}

static bool is_abandoned(struct log_queue *q)
{
    return atomic_load_explicit(&q->state, memory_order_relaxed) == ABANDONED;
}

/* Notes that there is no thread any more, and none to be joined. */
static void go(struct log_queue *q)
{
    /* pair(log.state): the thread does nothing more after this store */
    uint32_t before = RUNNING;
    atomic_compare_exchange_strong_explicit(&q->state, &before, GONE, memory_order_release,
                                            memory_order_relaxed);
    park_wake(&q->park, &q->state, PARK_ALL);
    note_handed(q); /* wakes log_queue_flush(), which looks at the state, too */
    release(q);
}

/* Starts a thread, which waits until begin_thread() is through with it. Otherwise a hook could end
 * the new thread at once, and thread_start() would then name a thread that is gone. */
static int begin_thread(struct log_queue *q)
{
    pthread_t thread;
    int rc = thread_start(&thread, "nigh-log", THREAD_STACK_BYTES, run, q);
    if (rc != 0)
        return rc;
    atomic_store_explicit(&q->begun, 1, memory_order_release); /* pair(log.begun): we are through */
    park_wake(&q->park, &q->begun, 1);
    return 0;
}

static void await_starter(struct log_queue *q)
{
    /* pair(log.begun): the starter is through */
    while (atomic_load_explicit(&q->begun, memory_order_acquire) == 0)
        park_wait(&q->park, &q->begun, 0, CLOCK_NEVER_NS);
    atomic_store_explicit(&q->begun, 0, memory_order_relaxed); /* for a next thread */
    q->thread = pthread_self();
}

/* Cleanup handler: the hook is ending its thread. */
static void hook_ended(void *arg)
{
    struct log_queue *q = arg;
    note_handed(q);
    if (!q->threaded) {
        turn_give(&q->reading);
        return;
    }
    pthread_detach(pthread_self());
    atomic_fetch_add_explicit(&q->users, 1, memory_order_relaxed); /* for the next thread */
    if (is_abandoned(q) || begin_thread(q) != 0)
        go(q);
    release(q);
}

static void write_line(void *arg)
{
    struct handing *h = arg;
    h->whole = log_out_write(h->out, h->level, h->wall_ns, h->text);
}

static void hand_out(struct log_queue *q)
{
    struct handing h = {.out = &q->out};
    uint32_t lost;
    while (!is_abandoned(q) && take_line(q, &h, &lost)) {
        h.whole = true; /* if the hook throws, the line counts as handed out */
        pthread_cleanup_push(hook_ended, q);
        unwind_catch(write_line, &h);
        pthread_cleanup_pop(0);
        q->unsaid = h.whole ? 0 : lost + 1;
        if (!h.whole)
            count_lost(q, 1);
        note_handed(q);
    }
}

static void *run(void *arg)
{
    struct log_queue *q = arg;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    await_starter(q);
    for (;;) {
        /* pair(log.poke): read before the look at the queue, lest a poke be lost */
        uint32_t seen = atomic_load_explicit(&q->pokes, memory_order_acquire);
        bool last = atomic_load_explicit(&q->stop, memory_order_relaxed); /* poked after it */
        hand_out(q);
        if (last || is_abandoned(q))
            break;
        park_wait(&q->park, &q->pokes, seen, CLOCK_NEVER_NS);
    }
    uint32_t before = RUNNING;
    /* pair(log.state): after this store our thread only ends */
    if (!atomic_compare_exchange_strong_explicit(&q->state, &before, ENDED, memory_order_release,
                                                 memory_order_relaxed))
        pthread_detach(pthread_self());
    park_wake(&q->park, &q->state, PARK_ALL);
    release(q);
    return NULL;
}

void log_queue_turn(struct log_queue *q)
{
    if (q->threaded || !turn_take(&q->reading))
        return;
    hand_out(q);
    turn_give(&q->reading);
}

/* ---- life ---- */

static bool wait_for(struct log_queue *q, _Atomic uint32_t *word, uint32_t seen, uint64_t until_ns)
{
    return park_wait(&q->park, word, seen, until_ns) == 0;
}

bool log_queue_flush(struct log_queue *q, uint64_t until_ns)
{
    uint32_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
    log_queue_turn(q);
    for (;;) {
        /* pair(log.handed): the hook's work on those lines is over */
        uint32_t handed = atomic_load_explicit(&q->handed, memory_order_acquire);
        if ((int32_t)(tail - handed) <= 0)
            return true;
        if (atomic_load_explicit(&q->state, memory_order_relaxed) == GONE ||
            !wait_for(q, &q->handed, handed, until_ns))
            return false;
    }
}

/* Counts the lines that nobody will hand out any more as lost. */
static void drop_rest(struct log_queue *q)
{
    uint32_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed);
    count_lost(q, tail - atomic_load_explicit(&q->handed, memory_order_relaxed));
}

static void end_thread(struct log_queue *q, uint64_t until_ns)
{
    uint32_t state;
    atomic_store_explicit(&q->stop, true, memory_order_relaxed);
    poke(q);
    /* pair(log.state): with ENDED comes the thread that is to be joined */
    while ((state = atomic_load_explicit(&q->state, memory_order_acquire)) == RUNNING)
        if (!wait_for(q, &q->state, RUNNING, until_ns))
            break;
    if (state == RUNNING)
        /* pair(log.state): the thread may have ended just now; then its state stays */
        atomic_compare_exchange_strong_explicit(&q->state, &state, ABANDONED, memory_order_acquire,
                                                memory_order_acquire);
    if (state == ENDED)
        pthread_join(q->thread, NULL);
}

void log_queue_destroy(struct log_queue *q, uint64_t until_ns)
{
    log_queue_flush(q, until_ns);
    if (q->threaded)
        end_thread(q, until_ns);
    drop_rest(q);
    release(q);
}

uint64_t log_queue_lost(const struct log_queue *q)
{
    return atomic_load_explicit(&q->lost_all, memory_order_relaxed);
}

int log_queue_create(const struct log_out *out, bool own_thread, struct log_queue **ret_queue)
{
    /* The queue comes from malloc(): it may live longer than the cache and its memory. */
    struct log_queue *q = fault_fires(FAULT_ALLOC) ? NULL : calloc(1, sizeof(*q));
    if (!q)
        return NIGH_ENOMEM;
    q->out = *out;
    atomic_init(&q->level, (uint32_t)log_out_level(out));
    q->threaded = own_thread;
    q->park = park_futex;
    atomic_init(&q->users, own_thread ? 2 : 1);
    for (uint32_t i = 0; i < LINES; i++)
        atomic_init(&q->lines[i].turn, i);
    if (own_thread && begin_thread(q) != 0) {
        free(q);
        return NIGH_ETHREAD;
    }
    *ret_queue = q;
    return 0;
}
