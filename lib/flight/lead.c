// SPDX-License-Identifier: MIT
/*
 * Bringing a flight on, by a blocking leader, a follower that took over, or a worker; and how each
 * of them lets go.
 *
 *              join                                     flight_run
 *               |  LEADER                                    |
 *               v                  deadline, with mail       v
 *        +-> hold: step, park ----------------------->  worker: step until no mail
 *        |      |         |        (or landed)               |
 *        |      |         | same, no mail                    | no mail
 *  take  |      |         +--------------> (nobody) <--------+
 *  over  |      |                              | a post: host->run, and a worker has it
 *        |      | thread exits in the loader (either side): flight_abandon. (If the loader
 *        |      v did not return for another reason the flight has landed, and HELD is given back)
 *        +-- leaderless: HELD by nobody, mail START; if no caller is left, to a worker instead
 *
 * A leader that is released lets go at once, and goes on as a follower: what comes next is posted
 * by a thread that steps it, as one does that has loaded for many.
 *
 * A deferred answer is posted by a thread that has time for the step that follows: whoever posts it
 * to a flight that nobody holds steps it there, as a worker would (flight_post_here).
 *
 * A holder lets go of HELD in one of three ways, and each passes the reference of HELD on or drops
 * it: a release without mail (drop), host->run (pass), leaderless (pass).
 *
 * Landing: the result is written, then `landed` with release; a caller reads `landed` with acquire,
 * then the result (pair(flight.landed)). The flight leaves the table first: nobody joins a landed
 * one, and the callers counted at that moment are all there will ever be, so a flight with no
 * caller but its blocking leader costs no wake. Afterwards HELD is given back as ever: an answer
 * still on its way (of a loader that overran, or of L2) finds a flight in state LAND, and is
 * stepped.
 *
 * Leaderless and leaving exclude one another by the shard lock. The count of callers only drops
 * under it, and abandon decides under it: either abandon sees a caller, marks the flight leaderless
 * and wakes all, and the last caller to leave without having taken over sees the mark and hands the
 * flight to the workers; or abandon sees none and hands it over itself. All are woken and not one:
 * it is rare, and that a wake is never spent on a sleeper that then times out is the kernel's
 * promise, not one of park's. A caller that is counted but waits elsewhere (a bulk read waits for
 * one flight after another) is relieved by the tick.
 */
#include "flight/deadlock.h"
#include "flight/mailbox.h"
#include "flight/table.h"

#define FLIGHT_LEADERS_MAX 2 /* a loader that took two threads with it takes no third */

static void step(struct flight *f, uint32_t events)
{
    f->stepping = true;
    f->table->host.step(f->table->host.arg, f, events);
    f->stepping = false;
}

static bool is_past(const struct flight *f, uint64_t deadline_ns)
{
    return clock_now_ns(f->env->clock) >= deadline_ns;
}

/* Let go as a leader. Mail that came meanwhile must not wait for the next post. */
static void give_back(struct flight *f)
{
    f->blocking = false;
    if (flight_mail_release(f))
        flight_unref(f);
    else
        flight_give_to_workers(f);
}

/* As the holder, on a caller's thread: step until the flight lands or time is up, then let go.
 * NIGH_PENDING: it was released before that. */
static int hold(struct flight *f, uint64_t deadline_ns)
{
    f->blocking = true;
    f->until_ns = deadline_ns;
    f->released = false;
    int result = NIGH_ETIMEDOUT;
    while (result == NIGH_ETIMEDOUT && !is_past(f, deadline_ns)) {
        uint32_t events = flight_mail_take(f);
        if (events)
            step(f, events);
        else
            flight_mail_park(f, deadline_ns);
        if (f->state == FLIGHT_LAND)
            result = 0;
        else if (f->released)
            result = NIGH_PENDING;
    }
    give_back(f);
    return result;
}

static int wait_for_landing(struct flight *f, uint64_t deadline_ns)
{
    for (int result;;) {
        uint32_t seen = flight_landed(f);
        if (seen == FLIGHT_LANDED)
            return 0;
        if (seen == FLIGHT_LEADERLESS && flight_take_over(f) &&
            (result = hold(f, deadline_ns)) != NIGH_PENDING)
            return result;
        if (seen == FLIGHT_FLYING &&
            park_wait(f->env->park, &f->landed, seen, deadline_ns) == NIGH_ETIMEDOUT)
            return flight_landed(f) == FLIGHT_LANDED ? 0 : NIGH_ETIMEDOUT;
    }
}

void flight_lead_first(struct flight *f, uint64_t until_ns)
{
    f->blocking = true;
    f->until_ns = until_ns;
    step(f, flight_mail_take(f));
    f->until_ns = 0;
}

void flight_lead_while(struct flight *f, uint64_t deadline_ns,
                       bool (*waits)(const struct flight *f))
{
    while (f->state != FLIGHT_LAND && waits(f) && !is_past(f, deadline_ns)) {
        uint32_t events = flight_mail_take(f);
        if (events)
            step(f, events);
        else
            flight_mail_park(f, deadline_ns);
    }
}

void flight_let_go(struct flight *f)
{
    give_back(f);
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

void flight_post_here(struct flight *f, uint32_t events)
{
    if (flight_mail_post(f, events))
        flight_run(f);
}

void flight_run(struct flight *f)
{
    do {
        uint32_t events = flight_mail_take(f);
        if (events)
            step(f, events);
    } while (!flight_mail_release(f));
    flight_unref(f);
}

void flight_run_for_caller(struct flight *f)
{
    do {
        uint32_t events = flight_mail_take(f);
        f->for_caller = true;
        if (events)
            step(f, events);
        f->for_caller = false;
    } while (!flight_mail_release(f));
    flight_unref(f);
}

void flight_hand_over(struct flight *f)
{
    flight_give_to_workers(f);
}

bool flight_begin(struct flight *f)
{
    step(f, flight_mail_take(f));
    bool landed = f->state == FLIGHT_LAND;
    give_back(f);
    return landed;
}

/* Calls those who watch, each of which may be gone when it has been called. */
static void call_watches(struct flight *f)
{
    for (struct list_link *at = f->watches.first, *next; at; at = next) {
        struct flight_watch *w = CONTAINER_OF(at, struct flight_watch, link);
        next = at->next;
        w->landed(w);
    }
}

void flight_land(struct flight *f)
{
    NIGH_CHECK(flight_landed(f) != FLIGHT_LANDED);
    flight_set_state(f, FLIGHT_LAND);
    uint32_t callers = flight_table_remove(f);
    /* pair(flight.landed): release the result. */
    atomic_store_explicit(&f->landed, FLIGHT_LANDED, memory_order_release);
    if (callers > (f->blocking ? 1 : 0))
        park_wake(f->env->park, &f->landed, PARK_ALL);
    call_watches(f);
    if (!f->stepping) { /* no step is under way whose thread would let go afterwards */
        flight_mail_drop(f, FLIGHT_EV_START);
        give_back(f);
    }
    flight_unref(f); /* the table's */
}

void flight_land_stuck(struct flight *f)
{
    NIGH_DCHECK(f->stepping);
    flight_land(f);
    flight_mail_drop(f, FLIGHT_EV_ALL);
}

/* Leave a flight leaderless if a caller is there to take it over, else give it to the workers. */
static void vacate(struct flight *f, bool caller_gone)
{
    struct flight_shard *shard = flight_shard_of(f->table, f->hash);
    pthread_mutex_lock(&shard->lock);
    if (caller_gone)
        f->waiters--;
    bool vacant = f->waiters > 0;
    if (vacant) /* pair(flight.landed): release the record to the thread that takes it over */
        atomic_store_explicit(&f->landed, FLIGHT_LEADERLESS, memory_order_release);
    pthread_mutex_unlock(&shard->lock);
    if (vacant)
        park_wake(f->env->park, &f->landed, PARK_ALL);
    else
        flight_give_to_workers(f);
}

void flight_abandon(struct flight *f)
{
    bool caller_gone = f->blocking || f->for_caller;
    flight_waits_end(); /* ends the wait that the loader was in, if any */
    flight_load_end(f);
    flight_waits_end(); /* and the loader that waited for this one, on the same thread */
    if (!caller_gone)
        flight_ref(f); /* HELD's reference may go to another: keep one until we are done */
    f->blocking = f->for_caller = false;
    f->stepping = false;
    if (f->state == FLIGHT_LAND) {
        give_back(f);
    } else if (++f->replaced < FLIGHT_LEADERS_MAX) {
        flight_mail_keep(f, FLIGHT_EV_START);
        vacate(f, caller_gone);
    } else {
        f->outcome = NIGH_ELOADER;
        flight_land(f);
    }
    flight_unref(f); /* the caller's whose frames are gone, or ours */
}
