// SPDX-License-Identifier: MIT
/*
 * The tick of a host without own threads: takes a turn of each of our threads, and says when it has
 * to come again.
 *
 * What comes after a tick has begun calls the host again, through the descriptor, if that is before
 * the time that the tick has promised (drive.c).
 */
#include <sched.h>

#include "cache/cache.h"
#include "cache/caller.h"
#include "cache/drive.h"
#include "cache/recording.h"
#include "control/control.h"

/* Bounds the pause that a tick allows: the channel is asked once a second whether it lives. */
#define TICK_MAX_MS 1000u

static void reclaim_if_due(struct drive *d)
{
    struct nigh *cache = d->cache;
    uint32_t pokes = drive_pokes(&cache->reclaimer);
    pthread_mutex_lock(&d->lock);
    bool due = pokes != d->reclaim_seen || clock_now_ns(&cache->clock) >= d->reclaim_due_ns;
    pthread_mutex_unlock(&d->lock);
    if (!due)
        return;
    uint64_t next_ns = l1_reclaim(cache->l1);
    pthread_mutex_lock(&d->lock);
    d->reclaim_seen = pokes;
    d->reclaim_due_ns = next_ns;
    pthread_mutex_unlock(&d->lock);
}

/* Milliseconds until the next event, rounded up: a host that comes a moment too early would find
 * nothing to do, and come again and again. */
static int promise(struct drive *d)
{
    struct nigh *cache = d->cache;
    pthread_mutex_lock(&d->lock);
    bool waits = workers_have(&cache->workers, NULL); /* or is queued later, and calls the host */
    uint64_t now_ns = clock_now_ns(&cache->clock);
    uint64_t next_ns = waits ? 0 : d->taken ? CLOCK_NEVER_NS : drive_next_locked(d);
    uint64_t left_ns = u64_min(next_ns > now_ns ? next_ns - now_ns : 0, TICK_MAX_MS * NS_PER_MS);
    if (d->control)
        left_ns = u64_min(left_ns, control_left_ns(d->control));
    uint64_t ms = (left_ns + NS_PER_MS - 1) / NS_PER_MS;
    d->promised_ns = now_ns + ms * NS_PER_MS;
    drive_set_timer_locked(d, ms);
    pthread_mutex_unlock(&d->lock);
    return (int)ms;
}

/* Runs what is left to the workers, but not inside a loader: it would nest without a limit. */
static void work(struct drive *d)
{
    bool more = !flight_is_loading();
    while (more)
        more = workers_run_for(&d->cache->workers, NULL);
}

static void take_turn(struct drive *d)
{
    if (drive_take(d)) {
        drive_round(d);
        drive_give(d);
        drive_flush(d->cache); /* sends what others queued meanwhile: our loaders may take long */
    } else {
        sched_yield(); /* the socket may be readable until the thread that drives has read it */
    }
    reclaim_if_due(d);
    if (d->control && !flight_is_loading()) /* a command may wait, as a call does */
        control_step(d->control);
    work(d);
    recording_turn(d->cache);
    log_turn(d->cache->env.log);
    drive_flush(d->cache);
}

void drive_turn(struct nigh *cache)
{
    take_turn(cache->drive);
}

static int tick(struct drive *d)
{
    drive_answer_call(d);
    take_turn(d);
    return promise(d);
}

int nigh_tick(struct nigh *cache)
{
    if (cache_is_gone(cache))
        return cache_why_gone(cache);
    if (!cache->drive)
        return NIGH_EINVAL;
    struct caller caller;
    caller_enter(&caller);
    int ms = tick(cache->drive);
    caller_leave(&caller);
    return ms;
}

int nigh_tick_fd(struct nigh *cache)
{
    if (cache_is_gone(cache))
        return cache_why_gone(cache);
    struct drive *d = cache->drive;
    if (!d)
        return NIGH_EINVAL;
    pthread_mutex_lock(&d->lock);
    if (!d->timed) {
        d->timed = true;
        drive_set_timer_locked(d, 0); /* the first tick is due */
    }
    pthread_mutex_unlock(&d->lock);
    return d->fd;
}
