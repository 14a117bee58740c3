// SPDX-License-Identifier: MIT
/*
 * Fetching without waiting.
 *
 * An asynchronous fetch is a caller of a flight like any other, but one that watches the flight
 * instead of waiting for it. What it knew when it joined, its limits and its deadline lie in its
 * operation instead of a frame; the landing judges the result for it as it judges for those who
 * wait (landed.h), and completes it. If the result is no answer to it, it joins the next flight, on
 * the thread of the landing.
 *
 * The leader's thread begins the flight itself, up to where it has to wait for Redis, or for the
 * loader, which is left to a worker. So a miss costs the caller one request that is queued, and
 * wakes no worker before there is something to do. If the beginning is the end, because the value
 * has come to L1 meanwhile, or no load may begin, the call is answered like a hit. Without own
 * threads even that is left to the next turn, for there it is whoever steps a flight that runs its
 * loader.
 *
 * Who has the operation: its queue, whose lock is held whenever that changes. A landing that has
 * begun cannot be kept from coming; it then finds the operation OVER, and frees it. The flight that
 * is watched changes under the lock, too, so that it is there when somebody wants to leave it.
 */
#include "cache/cache.h"
#include "cache/read/landed.h"
#include "cache/load/load.h"
#include "cache/read/missed.h"
#include "cache/queue/queue.h"

#include <string.h>

/* Keys: (c) constant once begun  (q) lock of the queue; or by a landing, which has the operation */
struct fetch {
    struct queue_op op;
    struct flight_watch watch; /* (q) */
    struct joined joined;      /* (q) */
    struct nigh_call call;     /* (c) limits and flags */
    uint64_t deadline_ns;      /* (c) */
    struct l1_key key;         /* (c) bytes lie behind the struct */
};

/* ---- the flight ---- */

static bool detach(struct queue_op *op, struct flight **ret_left)
{
    struct fetch *o = CONTAINER_OF(op, struct fetch, op);
    if (!flight_unwatch(&o->watch))
        return false;
    *ret_left = o->watch.flight;
    return true;
}

static const struct queue_verb fetch_verb = {.detach = detach};

static int join_locked(struct fetch *o, struct flight **ret_flight)
{
    return join_flight(o->op.space, &o->key, &o->call, &o->watch, 0, &o->joined, ret_flight);
}

/* Joins the next flight, if there is time. NIGH_PENDING: it has; *ret_led is to be handed over, if
 * there is one. */
static int again_locked(struct fetch *o, struct flight **ret_led)
{
    struct nigh *cache = o->op.space->cache;
    struct flight_thread other = {NULL, 0}; /* the thread that lands does not ask for itself */
    struct flight *f;
    if (o->op.state == QUEUE_OVER || o->op.overdue ||
        clock_now_ns(&cache->clock) >= o->deadline_ns)
        return NIGH_ETIMEDOUT;
    int role = queue_may_locked(o->op.queue);
    if (role != 0)
        return role;
    flight_thread_swap(&other);
    role = join_locked(o, &f);
    flight_thread_swap(&other);
    if (role == FLIGHT_LEADER)
        *ret_led = f;
    return role < 0 ? role : NIGH_PENDING;
}

/* flight_watch.landed */
static void landed(struct flight_watch *w)
{
    struct fetch *o = CONTAINER_OF(w, struct fetch, watch);
    struct nigh_queue *q = o->op.queue;
    struct flight *f = w->flight, *led = NULL;
    struct landing landing = load_landing(f);
    struct nigh_value value = NIGH_VALUE_INIT;
    enum queue_end end = QUEUE_TAKEN;
    int rc = landed_take(o->op.space, &o->key, &landing, &o->joined, &o->call, &value);
    queue_lock(q);
    if (rc == NIGH_PENDING)
        rc = again_locked(o, &led);
    if (rc != NIGH_PENDING)
        end = queue_end_locked(&o->op, rc, rc == NIGH_ELOADER ? landing.error : 0, &value);
    queue_unlock(q);
    if (end != QUEUE_TAKEN)
        nigh_release(&value);
    if (end == QUEUE_GONE) /* never LATE: whoever gives a fetch up has taken its watch away */
        queue_op_free(&o->op);
    if (led)
        flight_hand_over(led);
    flight_unref(f);
}

/* Begins a flight. Returns whether that was all. No loader runs in it, also not if this thread, now
 * inside another loader, is a worker. */
static bool begin_here(struct flight *f)
{
    bool was = workers_swap_on_worker(false);
    bool landed_at_once = flight_begin(f);
    workers_swap_on_worker(was);
    return landed_at_once;
}

/* ---- the call ---- */

static int create(const struct missed *m, struct fetch **ret)
{
    struct nigh_space *space = m->space;
    const struct l1_key *key = &m->key;
    struct queue_op *op;
    size_t bytes = sizeof(struct fetch) + key->len;
    int rc = queue_op_create(m->queue, &fetch_verb, space, m->arg, bytes, &op);
    if (rc != 0)
        return rc;
    struct fetch *o = CONTAINER_OF(op, struct fetch, op);
    o->watch = (struct flight_watch){.landed = landed};
    o->call = m->call ? *m->call : (struct nigh_call)NIGH_CALL_INIT;
    o->deadline_ns = cache_deadline_ns(space->cache, m->call, space->rules.load_deadline_ms);
    o->key = *key;
    o->key.data = memcpy(o + 1, key->data, key->len);
    *ret = o;
    return 0;
}

/* Answers a call whose flight has landed within it. */
static int answer(struct fetch *o, struct nigh_value *ret)
{
    int outcome = o->op.outcome;
    if (outcome == NIGH_ELOADER)
        cache_set_load_error(o->op.load_error);
    if (outcome >= 0)
        *ret = o->op.value;
    queue_op_free(&o->op);
    return outcome;
}

static int begin(struct fetch *o, struct nigh_value *ret_value, uint64_t *ret_id)
{
    struct nigh_queue *q = o->op.queue;
    bool steps = !o->op.space->cache->drive;
    struct flight *f;
    queue_lock(q);
    int rc = queue_may_locked(q);
    int role = rc == 0 ? join_locked(o, &f) : rc;
    steps = steps && role == FLIGHT_LEADER;
    if (role >= 0)
        queue_begin_locked(&o->op, steps ? QUEUE_BEGINNING : QUEUE_PENDING, o->deadline_ns,
                           f->deadline_ns);
    if (role >= 0 && !steps && ret_id)
        *ret_id = o->op.id;
    queue_unlock(q);
    if (role < 0) {
        queue_op_free(&o->op);
        return role;
    }
    if (!steps && role == FLIGHT_LEADER)
        flight_hand_over(f);
    if (steps && queue_begun(&o->op, begin_here(f), ret_id))
        return answer(o, ret_value);
    return NIGH_PENDING;
}

int async_fetch_missed(const struct missed *m, struct nigh_value *ret)
{
    struct fetch *o;
    tickets_give_back_own(m->space, &m->key);
    int rc = create(m, &o);
    return rc == 0 ? begin(o, ret, m->ret_id) : rc;
}
