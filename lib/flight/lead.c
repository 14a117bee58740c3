// SPDX-License-Identifier: MIT
/*
 * Who brings a flight on: a blocking leader, a follower that took over, or a worker; and how each
 * of them lets go.
 *
 *              join                                     flight_run
 *               |  LEADER                                    |
 *               v                  deadline, with mail       v
 *        +-> hold: step, park ----------------------->  worker: step until no mail
 *        |      |         |        wants_worker              |
 *        |      |         | deadline, no mail                | no mail
 *  take  |      |         +--------------> (nobody) <--------+
 *  over  |      |                              | a post: host->run, and a worker has it
 *        |      | thread exits in the loader (either side): flight_abandon
 *        |      v
 *        +-- leaderless: HELD by nobody, mail START; if no caller is left, to a worker instead
 *
 * Whoever lets go of HELD does it in one of four ways, and each passes the reference of HELD on or
 * drops it: landing (drop), a release without mail (drop), host->run (pass), leaderless (pass).
 *
 * Leaderless and leaving exclude one another by the shard lock. The count of callers only drops
 * under it, and abandon decides under it: either abandon sees a caller, marks the flight leaderless
 * and wakes all, and the last caller to leave without having taken over sees the mark and hands the
 * flight to the workers; or abandon sees none and hands it over itself. All are woken and not one,
 * because the one might just be leaving. A caller that is counted but waits elsewhere (a bulk read
 * waits for one flight after another) is relieved by the tick.
 */
#include "flight/deadlock.h"
#include "flight/mailbox.h"
#include "flight/table.h"

#define FLIGHT_LEADERS_MAX 2 /* a loader that took two threads with it takes no third */

static void step(struct flight *f, uint32_t events)
{
    f->wants_worker = false;
    f->table->host.step(f->table->host.arg, f, events);
}

static bool is_past(const struct flight *f, uint64_t deadline_ns)
{
    return clock_now_ns(f->env->clock) >= deadline_ns;
}

/* Let go as a leader out of time. Mail that came meanwhile must not wait for the next post. */
static void give_back(struct flight *f)
{
    f->blocking = false;
    if (flight_mail_release(f))
        flight_unref(f);
    else
        flight_give_to_workers(f);
}

/* As the holder, on a caller's thread. Returns 0 landed, NIGH_ETIMEDOUT, or NIGH_PENDING: a worker
 * has it now. In any case no longer the holder. */
static int hold(struct flight *f, uint64_t deadline_ns)
{
    f->blocking = true;
    while (!is_past(f, deadline_ns)) {
        uint32_t events = flight_mail_take(f);
        if (!events) {
            flight_mail_park(f, deadline_ns);
            continue;
        }
        step(f, events);
        if (f->state == FLIGHT_LAND) {
            flight_unref(f);
            return 0;
        }
        if (f->wants_worker) {
            flight_give_to_workers(f);
            return NIGH_PENDING;
        }
    }
    give_back(f);
    return NIGH_ETIMEDOUT;
}

static int wait_for_landing(struct flight *f, uint64_t deadline_ns)
{
    for (;;) {
        uint32_t seen = flight_landed(f);
        if (seen == FLIGHT_LANDED)
            return 0;
        if (seen == FLIGHT_LEADERLESS) {
            int result = flight_take_over(f) ? hold(f, deadline_ns) : NIGH_PENDING;
            if (result == NIGH_PENDING)
                continue;
            return result;
        }
        if (park_wait(f->env->park, &f->landed, seen, deadline_ns) == NIGH_ETIMEDOUT)
            return flight_landed(f) == FLIGHT_LANDED ? 0 : NIGH_ETIMEDOUT;
    }
}

int flight_lead(struct flight *f, uint64_t deadline_ns)
{
    int result = flight_waits_begin(f);
    NIGH_DCHECK(result == 0); /* a new flight waits for nothing */
    result = hold(f, deadline_ns);
    if (result == NIGH_PENDING)
        result = wait_for_landing(f, deadline_ns);
    flight_waits_end();
    return result;
}

int flight_wait(struct flight *f, uint64_t deadline_ns)
{
    int result = flight_waits_begin(f);
    if (result < 0)
        return result;
    result = wait_for_landing(f, deadline_ns);
    flight_waits_end();
    return result;
}

void flight_leave(struct flight *f)
{
    if (flight_landed(f) != FLIGHT_LANDED) {
        struct flight_shard *shard = flight_shard_of(f->table, f->hash);
        pthread_mutex_lock(&shard->lock);
        f->waiters--;
        bool orphan = f->waiters == 0 && flight_take_over(f);
        pthread_mutex_unlock(&shard->lock);
        if (orphan)
            flight_give_to_workers(f);
    }
    flight_unref(f);
}

void flight_post(struct flight *f, uint32_t events)
{
    if (flight_mail_post(f, events))
        flight_give_to_workers(f);
}

void flight_run(struct flight *f)
{
    while (f->state != FLIGHT_LAND) {
        uint32_t events = flight_mail_take(f);
        if (events)
            step(f, events);
        else if (flight_mail_release(f))
            break;
    }
    flight_unref(f);
}

void flight_hand_over(struct flight *f)
{
    flight_give_to_workers(f);
}

void flight_want_worker(struct flight *f)
{
    f->wants_worker = true;
    flight_mail_keep(f, FLIGHT_EV_START);
}

/* Leaderless if a caller is there to take it over, else to the workers. */
static void vacate(struct flight *f, bool caller_gone)
{
    struct flight_shard *shard = flight_shard_of(f->table, f->hash);
    pthread_mutex_lock(&shard->lock);
    if (caller_gone)
        f->waiters--;
    bool vacant = f->waiters > 0;
    if (vacant) /* pair(flight.landed): release the record to who takes it over */
        atomic_store_explicit(&f->landed, FLIGHT_LEADERLESS, memory_order_release);
    pthread_mutex_unlock(&shard->lock);
    if (vacant)
        park_wake(f->env->park, &f->landed, PARK_ALL);
    else
        flight_give_to_workers(f);
}

void flight_abandon(struct flight *f)
{
    bool caller_gone = f->blocking;
    flight_waits_end(); /* whatever the loader was waiting for */
    flight_load_end(f);
    flight_waits_end(); /* and the loader that waited for this one, on the same thread */
    if (!caller_gone)
        flight_ref(f); /* HELD's reference may go to another: keep one until we are done */
    f->blocking = false;
    if (++f->replaced < FLIGHT_LEADERS_MAX) {
        flight_mail_keep(f, FLIGHT_EV_START);
        vacate(f, caller_gone);
    } else {
        f->outcome = NIGH_ELOADER;
        flight_land(f);
        flight_unref(f); /* HELD's */
    }
    flight_unref(f); /* the caller's whose frames are gone, or ours */
}
