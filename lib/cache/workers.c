// SPDX-License-Identifier: MIT
/*
 * Workers: threads that step the flights which no caller steps, and run loaders.
 *
 * A mutex and a condition variable rather than the park interface: no test needs to fake a worker's
 * sleep (without threads ticks and callers call workers_run_for(), simulations workers_turn()). One
 * idle worker at most sleeps with a deadline, while there are jobs for later; if it is woken for
 * something else, it wakes another.
 *
 * A loader may end its thread (pthread_exit). The worker's cleanup handler then starts a successor
 * in the same slot, so that a bad loader cannot use the pool up. An exception ends here, for no
 * frame above could have a handler; the load has failed by then (load/run.c).
 */
#include "cache/workers.h"

#include "cache/caller.h"

static _Thread_local bool on_worker;

bool workers_on_worker(void)
{
    return on_worker;
}

bool workers_swap_on_worker(bool on)
{
    bool was = on_worker;
    on_worker = on;
    return was;
}

static struct flight *take_flight_locked(struct workers *w) REQUIRES(w->lock)
{
    struct flight *f = w->flight_head;
    if (f) {
        w->flight_head = f->run_next;
        if (!w->flight_head)
            w->flight_tail = NULL;
        f->run_next = NULL;
    }
    return f;
}

static struct worker_job *job_of(struct fifo_link *link)
{
    return CONTAINER_OF(link, struct worker_job, link);
}

static struct worker_job *take_job_locked(struct workers *w) REQUIRES(w->lock)
{
    struct fifo_link *link = fifo_take(w->answers.first ? &w->answers : &w->loads);
    return link ? job_of(link) : NULL;
}

/* Returns the job for later that is due first; NULL: there is none. */
static struct worker_job *first_due_locked(struct workers *w) REQUIRES(w->lock)
{
    struct worker_job *first = NULL;
    for (struct list_link *link = w->later.first; link; link = link->next) {
        struct worker_job *job = CONTAINER_OF(link, struct worker_job, later);
        if (!first || job->due_ns < first->due_ns)
            first = job;
    }
    return first;
}

/* Takes a job for later that is due, or is not: as nobody comes back for it. */
static struct worker_job *take_due_locked(struct workers *w, bool any) REQUIRES(w->lock)
{
    struct worker_job *first = first_due_locked(w);
    if (!first || (!any && clock_now_ns(w->env->clock) < first->due_ns))
        return NULL;
    list_remove(&first->later);
    return first;
}

/* Queues jobs whose time has come, behind the loads that came before that. Returns whether there
 * were any. */
static bool queue_due_locked(struct workers *w) REQUIRES(w->lock)
{
    struct worker_job *job;
    bool any = false;
    for (; (job = take_due_locked(w, false)); any = true)
        fifo_add(&w->loads, &job->link);
    return any;
}

struct piece {
    struct flight *flight; /* a flight ... */
    struct worker_job *job; /* ... or a job */
    bool for_caller;       /* the thread that runs the flight waits for it, and nothing else */
};

static void run_piece(void *arg)
{
    struct piece *p = arg;
    if (p->flight && p->for_caller)
        flight_run_for_caller(p->flight);
    else if (p->flight)
        flight_run(p->flight);
    else
        p->job->run(p->job);
}

static void run_caught(struct workers *w, struct piece *p)
{
    bool was = caller_set_catches(true);
    bool thrown = unwind_catch(run_piece, p);
    caller_set_catches(was);
    if (thrown && !caller_is_left())
        LOG(w->env->log, NIGH_LOG_WARN,
            "a loader or writer threw an exception on a worker: it has failed");
}

/* Run one piece of work without the lock. False: nothing was queued. `last`: nobody comes after
 * this thread, for what is to be done later. */
static bool run_one_locked(struct workers *w, bool last) REQUIRES(w->lock)
{
    struct piece p = {take_flight_locked(w), NULL, false};
    bool more = queue_due_locked(w);
    if (!p.flight)
        p.job = take_job_locked(w);
    if (!p.flight && !p.job && last)
        p.job = take_due_locked(w, true);
    if (!p.flight && !p.job)
        return false;
    if (p.job)
        p.job->waited = NULL;
    if (more && w->loads.first)
        pthread_cond_broadcast(&w->wanted);
    else if (w->later.first && !w->watched)
        pthread_cond_signal(&w->wanted);
    w->busy++;
    pthread_mutex_unlock(&w->lock);
    run_caught(w, &p);
    pthread_mutex_lock(&w->lock);
    if (!caller_is_left()) /* else workers_leave() has done that */
        w->busy--;
    return true;
}

static void *worker_main(void *arg);

static int start_locked(struct workers *w, uint32_t slot) REQUIRES(w->lock)
{
    return thread_start(&w->threads[slot], "nigh-worker", THREAD_HOSTS_STACK_BYTES, worker_main, w);
}

/* Lies on the stack of a worker. */
struct worker {
    struct workers *workers;
    struct caller caller;
};

/* Returns the slot of a worker's thread; `count`: the thread has none. */
static uint32_t slot_of_locked(const struct workers *w, pthread_t thread) REQUIRES(w->lock)
{
    uint32_t i = 0;
    while (i < w->count && !pthread_equal(w->threads[i], thread))
        i++;
    return i;
}

/* Starts a successor to this thread, which ends inside a loader; the lock is not held. */
static void succeed(void *arg)
{
    struct worker *self = arg;
    struct workers *w = self->workers;
    if (caller_is_left()) {
        caller_leave(&self->caller);
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->busy--;
    uint32_t i = slot_of_locked(w, pthread_self());
    if (i < w->count) {
        pthread_detach(pthread_self());
        if (start_locked(w, i) != 0) /* workers_repair() tries again */
            w->threads[i] = w->threads[--w->count];
    }
    pthread_mutex_unlock(&w->lock);
}

/* Sleeps until there is work, or the first job for later is due. */
static void sleep_locked(struct workers *w) REQUIRES(w->lock)
{
    struct worker_job *first = w->watched ? NULL : first_due_locked(w);
    if (!first) {
        pthread_cond_wait(&w->wanted, &w->lock);
        return;
    }
    struct timespec until;
    uint64_t now_ns = clock_now_ns(w->env->clock), due_ns = first->due_ns;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + (due_ns > now_ns ? due_ns - now_ns : 0);
    until.tv_sec += (time_t)(ns / NS_PER_S);
    until.tv_nsec = (long)(ns % NS_PER_S);
    w->watched = true;
    pthread_cond_timedwait(&w->wanted, &w->lock, &until);
    w->watched = false;
}

static void *worker_main(void *arg)
{
    struct workers *w = arg;
    struct worker self = {.workers = w};
    on_worker = true;
    caller_enter(&self.caller); /* a loader may cancel its thread, which then ends in the loader */
    self.caller.own_thread = true;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        bool ran;
        pthread_cleanup_push(succeed, &self);
        ran = run_one_locked(w, w->stop);
        pthread_cleanup_pop(0);
        if (ran && !caller_is_left())
            continue;
        if (ran || w->stop)
            break;
        sleep_locked(w);
    }
    pthread_mutex_unlock(&w->lock);
    caller_leave(&self.caller);
    return NULL;
}

void workers_init(struct workers *w, struct env *env, void (*queued)(void *arg), void *arg)
{
    w->env = env;
    w->queued = queued;
    w->queued_arg = arg;
    pthread_mutex_init(&w->lock, NULL);
    thread_cond_init(&w->wanted);
}

static int fill_up_locked(struct workers *w) REQUIRES(w->lock)
{
    int rc = 0;
    while (rc == 0 && w->count < w->size) {
        rc = start_locked(w, w->count);
        if (rc == 0)
            w->count++;
    }
    return rc;
}

int workers_start(struct workers *w, uint32_t size)
{
    pthread_mutex_lock(&w->lock);
    w->size = w->env->own_threads ? size : 0;
    int rc = fill_up_locked(w);
    pthread_mutex_unlock(&w->lock);
    return rc;
}

void workers_repair(struct workers *w)
{
    pthread_mutex_lock(&w->lock);
    if (!w->stop)
        (void)fill_up_locked(w); /* if it fails, the next turn tries again */
    pthread_mutex_unlock(&w->lock);
}

void workers_stop(struct workers *w)
{
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->wanted);
    while (w->count > 0) {
        pthread_t thread = w->threads[--w->count];
        pthread_mutex_unlock(&w->lock);
        pthread_join(thread, NULL);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    workers_turn(w); /* runs what no thread was there to run */
}

void workers_leave(struct workers *w, pthread_t thread)
{
    pthread_mutex_lock(&w->lock);
    uint32_t i = slot_of_locked(w, thread);
    if (i < w->count) {
        pthread_detach(thread);
        w->threads[i] = w->threads[--w->count];
        w->busy--;
    }
    pthread_mutex_unlock(&w->lock);
}

void workers_fini(struct workers *w)
{
    pthread_cond_destroy(&w->wanted);
    pthread_mutex_destroy(&w->lock);
}

void workers_add_flight(struct workers *w, struct flight *f)
{
    pthread_mutex_lock(&w->lock);
    f->run_next = NULL;
    if (w->flight_tail)
        w->flight_tail->run_next = f;
    else
        w->flight_head = f;
    w->flight_tail = f;
    pthread_cond_signal(&w->wanted);
    pthread_mutex_unlock(&w->lock);
}

static void add_job(struct workers *w, struct fifo *jobs, struct worker_job *job)
{
    pthread_mutex_lock(&w->lock);
    fifo_add(jobs, &job->link);
    pthread_cond_signal(&w->wanted);
    pthread_mutex_unlock(&w->lock);
    if (w->queued)
        w->queued(w->queued_arg);
}

void workers_add_load(struct workers *w, struct worker_job *job)
{
    add_job(w, &w->loads, job);
}

void workers_add_answer(struct workers *w, struct worker_job *job)
{
    add_job(w, &w->answers, job);
}

void workers_add_later(struct workers *w, struct worker_job *job, uint64_t due_ns)
{
    pthread_mutex_lock(&w->lock);
    job->due_ns = due_ns;
    list_add(&w->later, &job->later);
    if (w->watched && first_due_locked(w) == job)
        pthread_cond_broadcast(&w->wanted); /* wakes the thread that sleeps until another is due */
    else
        pthread_cond_signal(&w->wanted);
    pthread_mutex_unlock(&w->lock);
}

void workers_turn(struct workers *w)
{
    bool was = workers_swap_on_worker(true);
    pthread_mutex_lock(&w->lock);
    while (run_one_locked(w, true))
        continue;
    pthread_mutex_unlock(&w->lock);
    on_worker = was;
}

static struct flight **find_locked(struct workers *w, const _Atomic uint32_t *landed)
    REQUIRES(w->lock)
{
    struct flight **at = &w->flight_head;
    while (*at && landed && &(*at)->landed != landed)
        at = &(*at)->run_next;
    return at;
}

/* Returns the link that leads to the first such job of these; NULL at their end. */
static struct fifo_link **find_job(struct fifo *jobs, const _Atomic uint32_t *landed)
{
    struct fifo_link **at = &jobs->first;
    for (; *at && landed; at = &(*at)->next) {
        struct worker_job *job = job_of(*at);
        if (job->lands && job->lands(job, landed))
            break;
    }
    return at;
}

bool workers_have(struct workers *w, const _Atomic uint32_t *landed)
{
    pthread_mutex_lock(&w->lock);
    bool found = *find_locked(w, landed) || *find_job(&w->answers, landed) ||
                 *find_job(&w->loads, landed);
    pthread_mutex_unlock(&w->lock);
    return found;
}

static struct flight *take_landing_locked(struct workers *w, const _Atomic uint32_t *landed)
    REQUIRES(w->lock)
{
    struct flight **at = find_locked(w, landed), *f = *at;
    if (!f)
        return NULL;
    *at = f->run_next;
    if (w->flight_tail == f)
        w->flight_tail = at == &w->flight_head ? NULL : CONTAINER_OF(at, struct flight, run_next);
    f->run_next = NULL;
    return f;
}

/* Takes the first such job of these. */
static struct worker_job *take_landing_job(struct fifo *jobs, const _Atomic uint32_t *landed)
{
    struct fifo_link *link = fifo_remove(jobs, find_job(jobs, landed));
    return link ? job_of(link) : NULL;
}

/* Runs on this thread a flight left to the workers, or a job. A thread that waits for `landed` is a
 * caller of that flight, gone if its loader does not return; unless its call has an owner, who
 * leaves all its flights then. The thread is neither counted as busy nor marked as a worker: a
 * loader may leave the host's thread by a jump, and nobody would take either back. */
bool workers_run_for(struct workers *w, const _Atomic uint32_t *landed)
{
    bool leaves = landed && !caller_has_owner();
    pthread_mutex_lock(&w->lock);
    struct piece p = {take_landing_locked(w, landed), NULL, leaves};
    if (!p.flight)
        p.job = take_landing_job(&w->answers, landed);
    if (!p.flight && !p.job)
        p.job = take_landing_job(&w->loads, landed);
    if (p.job)
        p.job->waited = leaves ? landed : NULL;
    pthread_mutex_unlock(&w->lock);
    if (p.flight || p.job)
        run_caught(w, &p);
    return p.flight || p.job;
}

bool workers_idle(struct workers *w)
{
    pthread_mutex_lock(&w->lock);
    bool idle = !w->flight_head && !w->answers.first && !w->loads.first && !w->later.first &&
                w->busy == 0;
    pthread_mutex_unlock(&w->lock);
    return idle;
}
