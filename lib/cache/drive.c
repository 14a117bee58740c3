// SPDX-License-Identifier: MIT
/*
 * Driving, sleeping, and passing the wheel on.
 *
 * One thread drives at a time: it has the wheel. It sleeps in poll(2), on the link's sockets and on
 * its bell, so it need not wake up now and then to see whether something has happened. The others
 * sleep on a futex each, in a list, with the word that they wait for.
 *
 * No wake-up is lost. A thread that changes a word, or queues the flight that has it, wakes the
 * word's sleepers afterwards, under the lock. One that is about to sleep looks at both, and enters
 * the list (the driver: `asleep_on`), while it holds the lock. So either the sleeper sees it, or
 * the waker sees the sleeper. A request that another thread queues while the driver sleeps makes
 * the sockets' descriptor readable (l2_rest()).
 *
 * Somebody drives while anybody waits. A thread that stops driving, or leaves the list without
 * having driven, looks under the lock: if nobody drives and somebody is in the list, it wakes the
 * first of the list. That one drives; or, if what it waited for has come, it leaves without having
 * driven, and so looks in its turn.
 *
 * Nobody has to tick. The end of a call that had something for Redis also takes a round if one is
 * due, or while there is no connection: a host that only calls connects, and beats, by its calls.
 *
 * Nothing stays unsent. A thread that finds the wheel taken has queued before it looked, and leaves
 * the sending to the driver; the driver looks for unsent requests after it has given the wheel
 * back.
 *
 * Loaders run outside of rounds, so driving is never nested. A caller runs the loader of its own
 * flight, also in a space with run_on worker, and (workers_run_for()) while its time is not over a
 * flight that it waits for and that lies with the workers: a refresh, or one whose leader gave up.
 * All other flights there wait for nigh_tick().
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "cache/cache.h"
#include "cache/caller.h"
#include "cache/drive.h"
#include "control/control.h"

/* The host has closed our descriptors (closefrom): look so often instead of sleeping on them. */
#define CLOSED_NS (5 * NS_PER_MS)

static bool changed(const _Atomic uint32_t *word, uint32_t expected)
{
    /* Relaxed: a futex orders nothing by itself either; callers look again with acquire. */
    return atomic_load_explicit(word, memory_order_relaxed) != expected;
}

static bool is_closed(const struct drive *d)
{
    return atomic_load_explicit(&d->closed, memory_order_relaxed);
}

/* Writes by syscall(), for write() is a cancellation point, and calls that are too short for
 * caller_enter() come here, too, with the lock held. */
static void ring(const struct drive *d, int fd)
{
    uint64_t one = 1;
    if (is_closed(d))
        return;
    long n = syscall(SYS_write, fd, &one, sizeof(one));
    (void)n; /* a full counter is readable already */
}

static void answer(int fd)
{
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof(count));
    (void)n; /* only empties it */
}

/* ---- waking ---- */

static void wake_sleeper_locked(struct drive *d, struct drive_sleeper *s) REQUIRES(d->lock)
{
    atomic_store_explicit(&s->woken, 1, memory_order_relaxed); /* the lock orders what it means */
    park_wake(&d->futex, &s->woken, 1);
}

static void wake_locked(struct drive *d, const _Atomic uint32_t *word) REQUIRES(d->lock)
{
    if (d->asleep_on == word)
        ring(d, d->bell);
    for (struct drive_sleeper *s = d->first; s; s = s->next)
        if (s->word == word)
            wake_sleeper_locked(d, s);
}

/* Calls the host if it means to tick later than `at_ns`, when there is something to do. During a
 * tick `promised_ns` is 0, so the host is not called: the end of the tick looks at everything. */
static void expect_locked(struct drive *d, uint64_t at_ns) REQUIRES(d->lock)
{
    if (at_ns >= d->promised_ns)
        return;
    d->promised_ns = at_ns;
    if (!d->called)
        ring(d, d->call);
    d->called = true;
}

void drive_answer_call(struct drive *d)
{
    pthread_mutex_lock(&d->lock);
    if (d->called && !is_closed(d))
        answer(d->call);
    d->called = false;
    d->promised_ns = 0;
    pthread_mutex_unlock(&d->lock);
}

void drive_set_timer_locked(struct drive *d, uint64_t ms)
{
    struct itimerspec at = {.it_value = {(time_t)(ms / 1000), (long)(ms % 1000 * NS_PER_MS)}};
    if (!d->timed || is_closed(d))
        return;
    at.it_value.tv_nsec += ms == 0; /* 0 would stop it */
    timerfd_settime(d->timer, 0, &at, NULL);
}

/* Handles a poke of a service. The driver takes the keeper's turns, the tick the reclaimer's; the
 * driver looks at both when it stops driving. */
static void poked_locked(struct drive *d, bool keeper) REQUIRES(d->lock)
{
    if (!d->taken)
        expect_locked(d, 0);
    else if (keeper && d->asleep_on)
        ring(d, d->bell);
}

/* park.wake */
static void drive_wake(void *arg, _Atomic uint32_t *word, int count)
{
    struct nigh *cache = arg;
    struct drive *d = cache->drive;
    (void)count; /* all sleepers of the word are woken: they look, and sleep again */
    pthread_mutex_lock(&d->lock);
    if (word == &cache->keeper.pokes || word == &cache->reclaimer.pokes)
        poked_locked(d, word == &cache->keeper.pokes);
    else
        wake_locked(d, word);
    pthread_mutex_unlock(&d->lock);
}

void drive_queued(struct nigh *cache, const struct flight *f)
{
    struct drive *d = cache->drive;
    if (!d)
        return;
    pthread_mutex_lock(&d->lock);
    wake_locked(d, &f->landed); /* a caller that waits for the flight steps it */
    expect_locked(d, 0);
    pthread_mutex_unlock(&d->lock);
}

void drive_queued_job(struct nigh *cache)
{
    struct drive *d = cache->drive;
    if (!d)
        return;
    pthread_mutex_lock(&d->lock);
    if (d->asleep_on)
        ring(d, d->bell);
    for (struct drive_sleeper *s = d->first; s; s = s->next)
        wake_sleeper_locked(d, s);
    expect_locked(d, 0);
    pthread_mutex_unlock(&d->lock);
}

/* ---- driving ---- */

static void keep_if_due(struct drive *d)
{
    struct nigh *cache = d->cache;
    uint32_t pokes = drive_pokes(&cache->keeper);
    if (pokes == d->keep_seen && clock_now_ns(&cache->clock) < d->keep_due_ns)
        return;
    d->keep_seen = pokes;
    d->keep_due_ns = service_turn(&cache->keeper);
}

void drive_round(struct drive *d)
{
    struct nigh *cache = d->cache;
    do {
        uint64_t next_ns = CLOCK_NEVER_NS;
        if (d->linked) {
            next_ns = l2_step(cache->l2, 0);
            if (l2_is_gone(cache->l2))
                atomic_store_explicit(&d->closed, true, memory_order_relaxed);
            next_ns = u64_min(next_ns, coherence_listen_step(cache->coherence, 0));
        }
        keep_if_due(d);
        d->next_ns = u64_min(next_ns, d->keep_due_ns);
    } while (d->linked && l2_unsent(cache->l2));
}

/* Returns whether the time has passed. */
static bool sleep_on_sockets(struct drive *d, uint64_t until_ns)
{
    struct pollfd fds[] = {
        {.fd = d->linked ? l2_poll_fd(d->cache->l2) : -1, .events = POLLIN},
        {.fd = d->bell, .events = POLLIN},
    };
    uint64_t now_ns = clock_now_ns(&d->cache->clock);
    uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    if (is_closed(d)) {
        nanosleep(&(struct timespec){0, (long)u64_min(wait_ns, CLOSED_NS)}, NULL);
        return wait_ns <= CLOSED_NS;
    }
    struct timespec limit = {(time_t)(wait_ns / NS_PER_S), (long)(wait_ns % NS_PER_S)};
    struct timespec *timeout = until_ns == CLOCK_NEVER_NS ? NULL : &limit;
    int ready = ppoll(fds, ARRAY_COUNT(fds), timeout, NULL);
    if (ready > 0 && ((fds[0].revents | fds[1].revents) & POLLNVAL))
        atomic_store_explicit(&d->closed, true, memory_order_relaxed);
    if (ready > 0 && fds[1].revents)
        answer(d->bell);
    return ready == 0;
}

/* Whether to look again instead of sleeping: the word has changed, or the thread that waits for it
 * has to run its flight. REQUIRES(lock): drive_queued() takes it after the flight was queued. */
static bool has_cause_locked(struct drive *d, const _Atomic uint32_t *word, uint32_t expected)
    REQUIRES(d->lock)
{
    return changed(word, expected) || workers_have(&d->cache->workers, word);
}

/* Sleeps if there is no cause to look again. Returns whether the time has passed. */
static bool drive_sleep(struct drive *d, const _Atomic uint32_t *word, uint32_t expected,
                        uint64_t until_ns)
{
    struct nigh *cache = d->cache;
    pthread_mutex_lock(&d->lock);
    bool sleeps = drive_pokes(&cache->keeper) == d->keep_seen &&
                  !has_cause_locked(d, word, expected);
    d->asleep_on = sleeps ? word : NULL;
    pthread_mutex_unlock(&d->lock);
    if (!sleeps)
        return false;
    bool passed = (!d->linked || l2_rest(cache->l2)) && sleep_on_sockets(d, until_ns);
    if (d->linked)
        l2_rested(cache->l2);
    pthread_mutex_lock(&d->lock);
    d->asleep_on = NULL;
    pthread_mutex_unlock(&d->lock);
    return passed;
}

/* Drives until the word changes or the deadline passes. A host's clock may stand still
 * (options.clock): a thread that has slept until its deadline then returns although the deadline
 * has not passed, as from a futex. */
static int drive_until(struct drive *d, _Atomic uint32_t *word, uint32_t expected,
                       uint64_t deadline_ns)
{
    struct nigh *cache = d->cache;
    for (bool over = false;;) {
        drive_round(d);
        if (changed(word, expected) || workers_have(&cache->workers, word))
            return 0;
        if (clock_now_ns(&cache->clock) >= deadline_ns)
            return NIGH_ETIMEDOUT;
        if (over)
            return 0;
        uint64_t until_ns = u64_min(d->next_ns, deadline_ns);
        over = drive_sleep(d, word, expected, until_ns) && until_ns == deadline_ns;
    }
}

/* ---- the wheel ---- */

static bool take_locked(struct drive *d) REQUIRES(d->lock)
{
    if (d->taken)
        return false;
    d->taken = true;
    return true;
}

bool drive_take(struct drive *d)
{
    pthread_mutex_lock(&d->lock);
    bool taken = take_locked(d);
    pthread_mutex_unlock(&d->lock);
    return taken;
}

static void appoint_locked(struct drive *d) REQUIRES(d->lock)
{
    if (!d->taken && d->first)
        wake_sleeper_locked(d, d->first);
}

uint64_t drive_next_locked(const struct drive *d)
{
    const struct nigh *cache = d->cache;
    bool at_once = drive_pokes(&cache->keeper) != d->keep_seen ||
                   drive_pokes(&cache->reclaimer) != d->reclaim_seen;
    return at_once ? 0 : u64_min(d->next_ns, d->reclaim_due_ns);
}

static void give_locked(struct drive *d) REQUIRES(d->lock)
{
    expect_locked(d, drive_next_locked(d));
    d->taken = false;
    appoint_locked(d);
}

void drive_give(struct drive *d)
{
    pthread_mutex_lock(&d->lock);
    give_locked(d);
    pthread_mutex_unlock(&d->lock);
}

/* Whether a round is due that nobody takes: a thread that drives sees to it itself. */
static bool is_due(struct drive *d)
{
    struct nigh *cache = d->cache;
    pthread_mutex_lock(&d->lock);
    bool due = !d->taken && d->linked &&
               (!l2_connected(cache->l2) || drive_pokes(&cache->keeper) != d->keep_seen ||
                clock_now_ns(&cache->clock) >= d->next_ns);
    pthread_mutex_unlock(&d->lock);
    return due;
}

void drive_flush(struct nigh *cache)
{
    struct drive *d = cache->drive;
    if (!d || caller_is_left() || !cache->l2)
        return;
    for (bool due = is_due(d); (due || l2_unsent(cache->l2)) && drive_take(d); due = false) {
        drive_round(d);
        drive_give(d);
    }
}

/* ---- sleeping while another drives ---- */

static void enlist_locked(struct drive *d, struct drive_sleeper *s) REQUIRES(d->lock)
{
    s->prev = d->last;
    *(d->last ? &d->last->next : &d->first) = s;
    d->last = s;
}

static void delist_locked(struct drive *d, struct drive_sleeper *s) REQUIRES(d->lock)
{
    *(s->prev ? &s->prev->next : &d->first) = s->next;
    *(s->next ? &s->next->prev : &d->last) = s->prev;
}

/* Sleeps until woken, while another thread drives. The lock is released meanwhile. */
static int sleep_beside_locked(struct drive *d, const _Atomic uint32_t *word, uint64_t deadline_ns)
    REQUIRES(d->lock)
{
    struct drive_sleeper s = {.word = word};
    enlist_locked(d, &s);
    pthread_mutex_unlock(&d->lock);
    int rc = park_wait(&d->futex, &s.woken, 0, deadline_ns);
    pthread_mutex_lock(&d->lock);
    delist_locked(d, &s);
    return rc;
}

/* Get the wheel, or sleep until the word changes or there is reason to look. Returns whether it is
 * ours. */
static bool take_or_sleep_locked(struct drive *d, const _Atomic uint32_t *word, uint32_t expected,
                                 uint64_t deadline_ns, int *rc) REQUIRES(d->lock)
{
    *rc = 0;
    if (has_cause_locked(d, word, expected))
        return false;
    if (take_locked(d))
        return true;
    *rc = sleep_beside_locked(d, word, deadline_ns);
    if (*rc == 0 && !changed(word, expected) && take_locked(d))
        return true;
    appoint_locked(d); /* we may have been the one that was woken to drive */
    return false;
}

/* Runs what brings the word on, unless there is nothing (false). A call whose time is over begins
 * no loader any more: those who still wait for the flight, or for another of its batch, do, or a
 * tick. */
static bool run_for(struct nigh *cache, const _Atomic uint32_t *word, uint64_t deadline_ns, int *rc)
{
    bool late = clock_now_ns(&cache->clock) >= deadline_ns;
    *rc = late ? NIGH_ETIMEDOUT : 0;
    return late ? workers_have(&cache->workers, word) : workers_run_for(&cache->workers, word);
}

/* park.wait: nobody else would change the word, so take everyone's turn, or wait for the thread
 * that does. */
static int drive_wait(void *arg, _Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
    struct nigh *cache = arg;
    struct drive *d = cache->drive;
    int rc;
    if (run_for(cache, word, deadline_ns, &rc))
        return rc;
    pthread_mutex_lock(&d->lock);
    bool drives = take_or_sleep_locked(d, word, expected, deadline_ns, &rc);
    pthread_mutex_unlock(&d->lock);
    if (!drives)
        return rc;
    rc = drive_until(d, word, expected, deadline_ns);
    drive_give(d);
    drive_flush(cache); /* sends what others queued while we left */
    return rc;
}

/* ---- life ---- */

static int watch(struct drive *d, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(d->fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : NIGH_ETHREAD;
}

static int open_descriptors(struct drive *d)
{
    d->bell = fd_above_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    d->call = fd_above_standard(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    d->timer = fd_above_standard(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    d->fd = fd_above_standard(epoll_create1(EPOLL_CLOEXEC));
    if (d->bell < 0 || d->call < 0 || d->timer < 0 || d->fd < 0)
        return NIGH_ETHREAD;
    int rc = watch(d, d->call);
    return rc == 0 ? watch(d, d->timer) : rc;
}

static void close_descriptors(struct drive *d)
{
    const int fds[] = {d->bell, d->call, d->timer, d->fd};
    if (is_closed(d))
        return; /* the numbers may be anybody's by now */
    for (size_t i = 0; i < ARRAY_COUNT(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

int drive_create(struct nigh *cache)
{
    struct drive *d = mem_alloc_zero(cache->env.mem, sizeof(*d));
    if (!d)
        return NIGH_ENOMEM;
    d->cache = cache;
    d->promised_ns = CLOCK_NEVER_NS;
    d->futex = *cache->env.park;
    if (open_descriptors(d) != 0) {
        close_descriptors(d);
        mem_free(cache->env.mem, NULL, d, sizeof(*d));
        return NIGH_ETHREAD;
    }
    pthread_mutex_init(&d->lock, NULL);
    cache->drive = d;
    *cache->env.park = (struct park){drive_wait, drive_wake, NULL, cache};
    return 0;
}

int drive_link(struct nigh *cache)
{
    struct drive *d = cache->drive;
    d->linked = true;
    return watch(d, l2_poll_fd(cache->l2));
}

int drive_watch(struct nigh *cache, struct control *control)
{
    struct drive *d = cache->drive;
    int rc = control ? watch(d, control_poll_fd(control)) : 0;
    d->control = rc == 0 ? control : NULL;
    return rc;
}

void drive_unlink(struct nigh *cache)
{
    if (cache->drive)
        cache->drive->linked = false;
}

void drive_destroy(struct nigh *cache)
{
    struct drive *d = cache->drive;
    if (!d)
        return;
    *cache->env.park = d->futex;
    cache->drive = NULL;
    close_descriptors(d);
    pthread_mutex_destroy(&d->lock);
    mem_free(cache->env.mem, NULL, d, sizeof(*d));
}
