// SPDX-License-Identifier: MIT
/*
 * Fetching many keys without waiting.
 *
 * One operation watches the flights of all keys that L1 has not got. It counts those that have not
 * landed, and itself while it begins; whoever brings the count to nothing completes it, or frees it
 * if nobody wants it any more. So the operation is there as long as a landing may come to it.
 *
 * The caller's thread takes the first step of each flight that begins here. They are crews, which
 * ask L2 together: for values in one request, then for leases in one, unless L2 is not likely to
 * have values (odds.h). What there is to load is loaded by workers as soon as that is known of a
 * crew, in calls of as many as the loader takes.
 *
 * The caller's arrays are written in the call, and as the completion is handed out; in between the
 * outcomes lie here. At the deadline the flights that have not landed are left, and the completion
 * has what the others have brought.
 */
#include <string.h>

#include "cache/load/batch.h"
#include "cache/caller.h"
#include "cache/load/crew.h"
#include "cache/read/landed.h"
#include "cache/read/many.h"
#include "cache/queue/queue.h"
#include "cache/read/from_l1.h"

#define CREW_LOADS 256u /* in a crew: some requests' worth of keys */

/* Keys: (c) constant once begun  (q) lock of the queue; or by a landing, which has the part
 *       (b) the thread that begins it */
struct part {
    struct flight_watch watch; /* (q) */
    struct fetch_many *op;     /* (c) */
    struct l1_key key;         /* (c) bytes lie behind all parts */
    struct joined joined;      /* (q) */
    uint32_t index;            /* (c) the key's, in the call */
    bool watches;              /* (q) */
    struct flight *left;       /* (q) to be dropped with the operation */
    struct flight *led;        /* (b) begins here; NULL: does not, or has begun */
    struct crew *crew;         /* (b) shared by flights that begin here; NULL: none */
    int outcome;               /* (q) NIGH_PENDING: none yet */
    struct nigh_value value;   /* (q) */
};

struct fetch_many {
    struct queue_op op;
    struct nigh_call call;     /* (c) limits and flags */
    uint64_t deadline_ns;      /* (c) */
    struct nigh_value *values; /* (c) the caller's */
    int *outcomes;             /* (c) the caller's */
    uint32_t count;            /* (c) parts */
    uint32_t unlanded;         /* (q) flights that are yet to land; and the beginning */
    int load_error;            /* (q) the last that a key had */
    struct part parts[];
};

/* ---- the ends ---- */

static struct fetch_many *of(struct queue_op *op)
{
    return CONTAINER_OF(op, struct fetch_many, op);
}

static bool detach(struct queue_op *op, struct flight **ret_left)
{
    struct fetch_many *o = of(op);
    *ret_left = NULL;
    for (struct part *p = o->parts; p < o->parts + o->count; p++) {
        if (!p->watches || !flight_unwatch(&p->watch))
            continue;
        p->watches = false;
        p->left = p->watch.flight;
        o->unlanded--;
    }
    return o->unlanded == 0;
}

static void hand_out(const struct fetch_many *o, struct part *p)
{
    if (p->outcome == NIGH_PENDING)
        p->outcome = o->op.outcome < 0 ? o->op.outcome : NIGH_ETIMEDOUT;
    o->values[p->index] = p->value;
    o->outcomes[p->index] = p->outcome;
    if (p->outcome < 0)
        stats_count(&o->op.space->stats, STATS_READ_ERROR);
}

static void end(struct queue_op *op, bool handed_out)
{
    struct fetch_many *o = of(op);
    for (struct part *p = o->parts; p < o->parts + o->count; p++) {
        if (handed_out)
            hand_out(o, p);
        else
            nigh_release(&p->value);
        if (p->left)
            flight_unref(p->left);
    }
}

/* Makes the deadline no error of the call: keys without an answer have timed out, they alone. */
static int given_up(struct queue_op *op, int why)
{
    (void)op;
    return why == NIGH_ETIMEDOUT ? 0 : why;
}

static const struct queue_verb verb = {
    .detach = detach, .end = end, .given_up = given_up, .partial = true};

/* Counts one that has landed, or the beginning as over. True: nobody wants the operation, which is
 * the caller's to free. */
static bool count_landed_locked(struct fetch_many *o)
{
    struct nigh_value none = NIGH_VALUE_INIT;
    if (--o->unlanded > 0)
        return false;
    return queue_end_locked(&o->op, queue_may_locked(o->op.queue), o->load_error, &none) ==
           QUEUE_GONE;
}

static void free_if(struct fetch_many *o, bool gone)
{
    if (!gone)
        return;
    end(&o->op, false);
    queue_op_free(&o->op);
}

/* ---- the flights ---- */

static int join_locked(struct part *p, struct flight **ret_led)
{
    struct fetch_many *o = p->op;
    struct flight *f;
    int role = join_flight(o->op.space, &p->key, &o->call, &p->watch, 0, &p->joined, &f);
    p->watches = role >= 0;
    *ret_led = role == FLIGHT_LEADER ? f : NULL;
    return role < 0 ? role : NIGH_PENDING;
}

/* Joins the next flight of a key, if there is time. */
static int again_locked(struct part *p, struct flight **ret_led)
{
    struct fetch_many *o = p->op;
    struct flight_thread other = {NULL, 0}; /* the thread that lands does not ask for itself */
    if (o->op.state == QUEUE_OVER || o->op.overdue ||
        clock_now_ns(&o->op.space->cache->clock) >= o->deadline_ns)
        return NIGH_ETIMEDOUT;
    int rc = queue_may_locked(o->op.queue);
    if (rc != 0)
        return rc;
    flight_thread_swap(&other);
    rc = join_locked(p, ret_led);
    flight_thread_swap(&other);
    return rc;
}

/* flight_watch.landed */
static void landed(struct flight_watch *w)
{
    struct part *p = CONTAINER_OF(w, struct part, watch);
    struct fetch_many *o = p->op;
    struct nigh_queue *q = o->op.queue;
    struct flight *f = w->flight, *led = NULL;
    struct landing landing = load_landing(f);
    struct nigh_value value = NIGH_VALUE_INIT;
    bool gone = false;
    int rc = landed_take(o->op.space, &p->key, &landing, &p->joined, &o->call, &value);
    queue_lock(q);
    p->watches = false;
    if (rc == NIGH_PENDING)
        rc = again_locked(p, &led);
    if (rc != NIGH_PENDING) {
        p->outcome = rc;
        p->value = value;
        if (rc == NIGH_ELOADER)
            o->load_error = landing.error;
        gone = count_landed_locked(o);
    }
    queue_unlock(q);
    free_if(o, gone);
    if (led)
        flight_hand_over(led);
    flight_unref(f);
}

/* ---- the call ---- */

static size_t bytes_of_op(const struct many *m, uint32_t *ret_count)
{
    size_t bytes = sizeof(struct fetch_many);
    *ret_count = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (m->outcomes[i] != NIGH_MISS)
            continue;
        bytes += sizeof(struct part) + m->keys[i].len;
        ++*ret_count;
    }
    return bytes;
}

/* Copies the keys that are missing. */
static void add_parts(struct fetch_many *o, const struct many *m, uint32_t count)
{
    char *bytes = (char *)(o->parts + count);
    for (size_t i = 0; i < m->count; i++) {
        if (m->outcomes[i] != NIGH_MISS)
            continue;
        struct part *p = &o->parts[o->count++];
        *p = (struct part){.watch.landed = landed, .op = o, .key = many_key(m, i)};
        p->index = (uint32_t)i;
        p->outcome = NIGH_PENDING;
        tickets_give_back_own(m->space, &p->key);
        p->key.data = memcpy(bytes, p->key.data, p->key.len);
        bytes += p->key.len;
    }
}

static int create(const struct many *m, struct nigh_queue *q, void *arg, struct fetch_many **ret)
{
    struct queue_op *op;
    uint32_t count;
    size_t bytes = bytes_of_op(m, &count);
    int rc = queue_op_create(q, &verb, m->space, arg, bytes, &op);
    if (rc != 0)
        return rc;
    struct fetch_many *o = of(op);
    o->call = m->call ? *m->call : (struct nigh_call)NIGH_CALL_INIT;
    o->deadline_ns = cache_deadline_ns(m->space->cache, m->call, m->space->rules.load_deadline_ms);
    o->values = m->values;
    o->outcomes = m->outcomes;
    o->unlanded = 1;
    o->load_error = 0;
    o->count = 0;
    add_parts(o, m, count);
    *ret = o;
    return 0;
}

/* Joins all flights. The loads of those that begin here are crews; if there is no memory each is
 * alone. */
static void join_all_locked(struct fetch_many *o)
{
    struct crew *crew = NULL;
    uint32_t led = 0;
    for (struct part *p = o->parts; p < o->parts + o->count; p++) {
        int rc = join_locked(p, &p->led);
        o->unlanded += rc == NIGH_PENDING;
        p->outcome = rc;
        if (!p->led)
            continue;
        if (led++ % CREW_LOADS == 0)
            crew = crew_create(o->op.space, true);
        if (crew)
            crew_add(crew, p->led->work);
        p->crew = crew;
    }
}

/* Begins the flights that are led, and ends each crew as its last has begun. */
static void begin_all(struct fetch_many *o)
{
    bool was = workers_swap_on_worker(false); /* no loader runs here */
    for (struct part *p = o->parts; p < o->parts + o->count; p++) {
        if (p->led && !p->crew && o->op.space->cache->drive)
            flight_hand_over(p->led); /* which would load here */
        else if (p->led)
            flight_begin(p->led);
    }
    workers_swap_on_worker(was);
    struct crew *last = NULL;
    for (struct part *p = o->parts; p < o->parts + o->count; p++) {
        if (p->crew && p->crew != last) {
            crew_end_round(p->crew);
            crew_go_on(p->crew);
        }
        last = p->crew ? p->crew : last;
    }
}

/* 0, or NIGH_PENDING: the operation is begun, and may be gone. */
static int begin(struct fetch_many *o, uint64_t *ret_id)
{
    struct nigh_queue *q = o->op.queue;
    queue_lock(q);
    int rc = queue_may_locked(q);
    if (rc == 0)
        join_all_locked(o);
    bool pends = o->unlanded > 1;
    if (pends) {
        queue_begin_locked(&o->op, QUEUE_PENDING, o->deadline_ns,
                           clock_deadline_ns(&o->op.space->cache->clock,
                                             o->op.space->rules.load_deadline_ms));
        if (ret_id)
            *ret_id = o->op.id;
    }
    queue_unlock(q);
    if (!pends) { /* each key has been refused */
        o->op.outcome = rc;
        end(&o->op, true);
        queue_op_free(&o->op);
        return 0;
    }
    begin_all(o);
    queue_lock(q);
    bool gone = count_landed_locked(o);
    queue_unlock(q);
    free_if(o, gone);
    return NIGH_PENDING;
}

/* Sets what each key that is missing has until the completion is handed out, or for good. */
static void set_missing(const struct many *m, int rc)
{
    for (size_t i = 0; i < m->count; i++) {
        if (m->outcomes[i] != NIGH_MISS)
            continue;
        m->outcomes[i] = rc;
        if (rc < 0)
            stats_count(&m->space->stats, STATS_READ_ERROR);
    }
}

static NIGH_OUTLINED int fetch_missed(const struct many *m, struct nigh_queue *q, void *arg,
                                      uint64_t *ret_id)
{
    struct caller caller;
    struct fetch_many *o = NULL;
    caller_enter(&caller);
    int rc = create(m, q, arg, &o);
    set_missing(m, rc == 0 ? NIGH_PENDING : rc);
    rc = rc == 0 ? begin(o, ret_id) : 0;
    drive_flush(m->space->cache);
    caller_leave(&caller);
    return rc;
}

int nigh_fetch_many_async(struct nigh_queue *queue, struct nigh_space *space,
                          const struct nigh_key *keys, size_t count, const struct nigh_call *call,
                          void *arg, struct nigh_value *ret_values, int *ret_outcomes,
                          uint64_t *ret_id)
{
    struct many m = {space, keys, count, call, ret_values, ret_outcomes, true};
    if (!queue || !space || queue_cache(queue) != space->cache ||
        (FLAGS_OF(call) & NIGH_NO_WAIT))
        return NIGH_EINVAL;
    int rc = many_check(&m);
    if (rc == 0 && many_read_l1(&m) > 0 && !(FLAGS_OF(call) & NIGH_L1_ONLY))
        rc = fetch_missed(&m, queue, arg, ret_id);
    return rc;
}
