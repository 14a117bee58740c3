// SPDX-License-Identifier: MIT
// Retrying what is queued: one batch on its way at a time, sent and judged by the keeper.
//
// Why an accepted item raises its floor again before it leaves the queue: a GET that Redis executed
// before the delete may still be on its way when the queue stops covering the key; its ticket is
// above the first floor and below the second. Groups get their position in the same step.
//
// A failed attempt waits, twice as long each time, unless the connection is new.

#include "coherence/retry.h"

#include <inttypes.h>

#include "coherence/apply.h"
#include "coherence/batch.h"
#include "coherence/beat.h"
#include "coherence/change.h"
#include "coherence/past.h"
#include "coherence/queue.h"
#include "coherence/schemas.h"
#include "coherence/state.h"

#define ATTEMPT_MS COHERENCE_LATE_MS
#define BACKOFF_FIRST_MS 50u
#define BACKOFF_LAST_MS 2000u
#define BACKOFF_JITTER_PERCENT 25u /* many nodes may have queued the same outage */

static void failed(struct coherence *c, uint64_t now_ns)
{
    struct coherence_retry *r = c->retry;
    coherence_queue_late(c);
    if (r->late_ns == 0) {
        r->late_ns = r->late_made_ns = now_ns;
        r->late_count = 0;
        r->late_folded = coherence_queue_folded(c);
    }
    uint32_t next_ms = r->backoff_ms ? r->backoff_ms * 2 : BACKOFF_FIRST_MS;
    r->backoff_ms = next_ms < BACKOFF_LAST_MS ? next_ms : BACKOFF_LAST_MS;
    r->due_ns = now_ns + random_jitter(c->config.env->random, r->backoff_ms * NS_PER_MS,
                                       BACKOFF_JITTER_PERCENT);
}

/* Counts those that are told again: they were accepted before. */
static uint32_t count_noted(const struct coherence_batch *batch)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < batch->count; i++)
        count += batch->noted[i];
    return count;
}

/* Takes the values that were given up from L1: nobody else will have them. */
static void forget_lost(struct coherence *c)
{
    struct coherence_batch *batch = c->retry->batch;
    for (uint32_t n = 0; n < batch->count; n++) {
        struct coherence_item item = batch->items[n];
        if (!batch->lost[n])
            continue;
        pthread_mutex_lock(&c->state->apply_lock);
        item.own = coherence_queue_own(c, &item, true); /* a later value's, if one is queued */
        coherence_apply_item_locked(c, &item, 0);
        pthread_mutex_unlock(&c->state->apply_lock);
        batch->lost[n] = false;
    }
    coherence_waiters_tell(&batch->told);
}

/* ---- what had to wait ---- */

/* Says that all is delivered that had to wait. */
static void tell_delivered(struct coherence *c, uint64_t folded, uint64_t now_ns)
{
    struct coherence_retry *r = c->retry;
    struct coherence_delivery d = {
        .count = r->late_count,
        .folded = folded - r->late_folded,
        .waited_ms = (now_ns - r->late_made_ns) / NS_PER_MS,
        .after_ms = r->up_ns > r->late_ns ? u64_max(1, (now_ns - r->up_ns) / NS_PER_MS) : 0,
    };
    past_delivered(c, &d);
    LOG(c->config.env->log, NIGH_LOG_INFO,
        "redis has accepted the %" PRIu64 " %s that had waited for up to %" PRIu64 ".%" PRIu64 " s",
        d.count, d.count == 1 ? "change" : "changes", d.waited_ms / 1000, d.waited_ms % 1000 / 100);
}

/* Counts the items of an accepted batch that had waited, and sees whether they were the last. */
static void count_late(struct coherence *c)
{
    struct coherence_retry *r = c->retry;
    stats_add(c->config.stats, STATS_INVALIDATE_DELIVERED, r->batch->late);
    r->late_count += r->batch->late;
    r->late_made_ns = u64_min(r->late_made_ns, r->batch->late_made_ns);
    if (r->late_ns == 0 || r->batch->late_are_left)
        return;
    tell_delivered(c, coherence_queue_folded(c), clock_now_ns(c->config.env->clock));
    r->late_ns = 0;
}

/* ---- attempts ---- */

static void accepted(struct coherence *c, const struct l2_answer *answer)
{
    struct coherence_queue *q = c->queue;
    struct coherence_batch *batch = c->retry->batch;
    struct coherence_accepted a = {
        .items = batch->items,
        .item_count = batch->count,
        .answer = answer,
        .call = batch->call,
        .nonce = batch->nonce,
        .known = batch->known,
        .noted = batch->noted,
        .uncounted = count_noted(batch),
        .wrote = batch->schema,
        .queued = true,
    };
    coherence_settle(c, &a);
    stats_add(c->config.stats, STATS_INVALIDATE_AGAIN, a.uncounted);
    if (batch->schema)
        coherence_registered(c, batch->schema, answer);
    c->retry->backoff_ms = 0;
    c->retry->due_ns = 0;
    bool empty = coherence_batch_remove(c, batch, answer);
    count_late(c);
    if (empty) {
        /* pair(coherence.emptied): the count is 0 before the word changes */
        atomic_fetch_add_explicit(&q->emptied, 1, memory_order_release);
        park_wake(c->config.env->park, &q->emptied, PARK_ALL);
    }
    coherence_waiters_tell(&batch->told);
}

static int send_script(struct coherence *c, const struct coherence_script *s, uint64_t now_ns)
{
    struct coherence_request *request = &c->retry->request;
    struct l2_op op = coherence_request_begin(request, now_ns + ATTEMPT_MS * NS_PER_MS);
    int rc = l2_change(c->config.l2, &s->change, &op);
    if (rc < 0)
        coherence_request_undo(request);
    return rc;
}

static int send_batch(struct coherence *c, uint64_t now_ns)
{
    struct coherence_batch *batch = c->retry->batch;
    struct coherence_script script;
    if (c->retry->backoff_ms != 0)
        coherence_queue_late(c);
    coherence_batch_fill(c, batch, now_ns);
    forget_lost(c);
    stats_count(c->config.stats, STATS_INVALIDATE_RETRIED);
    const struct coherence_write *writes = batch->schema ? batch->writes : NULL;
    int rc = coherence_script_make(c, batch->items, batch->count, writes, &script);
    if (rc < 0) {
        coherence_batch_sent(c, batch);
        return rc;
    }
    batch->call = script.call;
    batch->nonce = script.change.nonce;
    rc = send_script(c, &script, now_ns);
    coherence_script_free(c, &script);
    coherence_batch_sent(c, batch);
    return rc;
}

/* The script may have run or not, or may run yet. To delete once more harms nobody; to set once
 * more might undo what another node has set meanwhile. So a value is sent once. */
static void failed_unknown(struct coherence *c, uint64_t now_ns)
{
    coherence_batch_lose(c, c->retry->batch);
    forget_lost(c);
    failed(c, now_ns);
}

/* Whether values went to another clock than theirs: nobody could compare them with anything. */
static bool is_foreign(const struct coherence_batch *batch, const struct l2_answer *answer)
{
    return batch->schema && answer->clock.identity != batch->known.identity;
}

/* Gives the values up: their keys are deleted there, and with that goes once more what else was in
 * the script. */
static void accepted_elsewhere(struct coherence *c, const struct l2_answer *answer)
{
    coherence_note(c, answer);
    coherence_batch_lose(c, c->retry->batch);
    forget_lost(c);
    c->retry->due_ns = 0;
}

static void take_answer(struct coherence *c, uint64_t now_ns)
{
    struct coherence_retry *r = c->retry;
    struct l2_answer *answer = coherence_request_take(&r->request);
    if (!answer)
        return;
    bool told = coherence_told_schemas(c, answer);
    r->moved = told ? r->moved + 1 : 0;
    if (told && r->moved < COHERENCE_NAMED_TRIES)
        r->due_ns = 0; /* send it once more, with all names */
    else if (answer->status == 0 && !told && is_foreign(r->batch, answer))
        accepted_elsewhere(c, answer);
    else if (answer->status == 0 && !told && !coherence_outlived(c, answer))
        accepted(c, answer);
    else
        failed_unknown(c, now_ns);
    l2_answer_free(answer);
}

/* A batch accepted while no clock is followed voids the resync on its way: let that come first. */
static bool must_wait(struct coherence *c)
{
    return c->beat->request.busy && coherence_position(c).identity == 0;
}

uint64_t coherence_retry_step(struct coherence *c)
{
    struct coherence_retry *r = c->retry;
    uint64_t now_ns = clock_now_ns(c->config.env->clock);
    take_answer(c, now_ns);
    if (atomic_exchange_explicit(&r->now, false, memory_order_relaxed)) {
        r->due_ns = 0;
        r->up_ns = now_ns;
    }
    if (r->request.busy || coherence_queued_count(c) == 0)
        return CLOCK_NEVER_NS;
    if (now_ns < r->due_ns)
        return r->due_ns;
    if (must_wait(c))
        return CLOCK_NEVER_NS; /* the beat's answer pokes the keeper */
    if (send_batch(c, now_ns) == 0)
        return CLOCK_NEVER_NS;
    failed(c, now_ns);
    return r->due_ns;
}

void coherence_retry_now(struct coherence *c)
{
    atomic_store_explicit(&c->retry->now, true, memory_order_relaxed);
}

int coherence_drain(struct coherence *c, uint64_t deadline_ns)
{
    struct coherence_queue *q = c->queue;
    for (;;) {
        /* pair(coherence.emptied): a queue that runs empty after this look changes the word */
        uint32_t emptied = atomic_load_explicit(&q->emptied, memory_order_acquire);
        if (coherence_queued_count(c) == 0)
            return 0;
        if (park_wait(c->config.env->park, &q->emptied, emptied, deadline_ns) == NIGH_ETIMEDOUT)
            return NIGH_ETIMEDOUT;
    }
}

/* ---- life ---- */

int coherence_retry_init(struct coherence *c)
{
    c->retry->request.coherence = c;
    c->retry->batch = mem_alloc_zero(c->config.env->mem, sizeof(*c->retry->batch));
    return c->retry->batch ? 0 : NIGH_ENOMEM;
}

void coherence_retry_fini(struct coherence *c)
{
    struct coherence_retry *r = c->retry;
    if (r->request.answer)
        l2_answer_free(r->request.answer);
    mem_free(c->config.env->mem, NULL, r->batch, sizeof(*r->batch));
}
