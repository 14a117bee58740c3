// SPDX-License-Identifier: MIT
// Batches of what is queued. See batch.h.
//
// An item named again while an attempt is on its way stays for another: that attempt may have been
// executed before the second change was committed. Its value then is the one that came last, which
// no script has taken yet; the one that was sent goes.

#include "coherence/batch.h"
#include "coherence/queued.h"
#include "coherence/state.h"

/* A script is to be short. */
#define BATCH_VALUE_BYTES (256u << 10)

/* Describes how an item's value is set. A value with a version stays one that Redis judges, also
 * where a change that is about every version goes before it: that deletes what there was, but
 * another node may have set a newer one since both were queued, or since that change was executed
 * whose answer was lost. */
static struct coherence_write write_of(const struct coherence_queue_item *i)
{
    const struct coherence_value *v = i->value;
    bool replaces = v->mode == L2_SET_NEWER && i->version == 0;
    return (struct coherence_write){
        .schema = v->schema,
        .mode = replaces ? L2_REPLACE : v->mode,
        .token = v->token,
        .envelope = bytes_of(v->envelope, v->len),
        .hard_ms = v->hard_ms,
        .version = v->version,
    };
}

static void lose_locked(struct coherence *c, struct coherence_batch *batch, uint32_t n)
    REQUIRES(c->queue->lock)
{
    struct coherence_queue_item *i = batch->members[n];
    queued_drop_value_locked(c, i);
    batch->lost[n] = true;
    queued_tell_locked(&batch->told, &i->waiters, NIGH_QUEUED);
    stats_count(c->config.stats, STATS_BACKGROUND_LOST);
}

static void add_locked(struct coherence *c, struct coherence_batch *batch,
                       struct coherence_queue_item *i, uint64_t now_ns) REQUIRES(c->queue->lock)
{
    uint32_t n = batch->count++;
    i->sent = true;
    while (i->later) {
        struct coherence_waiter *w = i->later;
        i->later = w->next;
        w->next = i->waiters;
        i->waiters = w;
    }
    batch->members[n] = i; /* stays: only the keeper takes items out */
    batch->noted[n] = i->noted;
    batch->lost[n] = false;
    batch->items[n] = queued_named(i);
    if (i->value && (i->value->due_ns <= now_ns || i->value->identity != batch->known.identity))
        lose_locked(c, batch, n);
    batch->values[n] = i->value;
    batch->writes[n] = (struct coherence_write){.mode = L2_DELETE};
    if (!i->value)
        return;
    i->value->refs++;
    i->value->tried = true;
    batch->writes[n] = write_of(i);
    batch->schema = i->value->schema;
}

/* Whether the script takes the item's value beside those that it has. */
static bool takes(const struct coherence_batch *batch, const struct coherence_queue_item *i,
                  size_t bytes)
{
    return !i->value || !batch->schema ||
           (batch->schema == i->value->schema && bytes + i->value->len <= BATCH_VALUE_BYTES);
}

void coherence_batch_fill(struct coherence *c, struct coherence_batch *batch, uint64_t now_ns)
{
    struct coherence_queue *q = c->queue;
    size_t bytes = 0;
    batch->count = 0;
    batch->schema = NULL;
    batch->known = coherence_position(c);
    pthread_mutex_lock(&q->lock);
    for (struct coherence_queue_item *i = q->first;
         i && batch->count < COHERENCE_BATCH_ITEMS && takes(batch, i, bytes); i = i->next) {
        add_locked(c, batch, i, now_ns);
        bytes += i->value ? i->value->len : 0;
    }
    pthread_mutex_unlock(&q->lock);
}

void coherence_batch_sent(struct coherence *c, struct coherence_batch *batch)
{
    struct coherence_queue *q = c->queue;
    if (!batch->schema)
        return;
    pthread_mutex_lock(&q->lock);
    for (uint32_t n = 0; n < batch->count; n++) {
        if (batch->values[n])
            queued_value_unref_locked(c, batch->values[n]);
        batch->values[n] = NULL;
    }
    pthread_mutex_unlock(&q->lock);
}

bool coherence_batch_remove(struct coherence *c, struct coherence_batch *batch,
                            const struct l2_answer *answer)
{
    struct coherence_queue *q = c->queue;
    size_t keys = 0;
    batch->late = 0;
    batch->late_made_ns = UINT64_MAX;
    pthread_mutex_lock(&q->lock);
    for (uint32_t n = 0; n < batch->count; n++) {
        struct coherence_queue_item *i = batch->members[n];
        if (queued_accepted_locked(q, i)) {
            batch->late++;
            batch->late_made_ns = u64_min(batch->late_made_ns, batch->items[n].since_ns);
        }
        bool wrote = batch->writes[n].mode != L2_DELETE;
        bool refused = wrote && l2_verdict_at(answer, keys) != L2_STORED;
        keys += i->kind == WIRE_KEY;
        if (refused)
            stats_count(c->config.stats, STATS_BACKGROUND_LOST);
        queued_tell_locked(&batch->told, &i->waiters, refused ? NIGH_REFUSED : 0);
        if (i->sent || (i->value && i->value->tried))
            queued_drop_value_locked(c, i);
        if (!i->sent)
            continue; /* named again since */
        queued_unlink_locked(q, i);
        if (i != q->all)
            queued_free(c, i);
    }
    bool empty = !q->first;
    batch->late_are_left = q->late > 0;
    pthread_mutex_unlock(&q->lock);
    return empty;
}

void coherence_batch_lose(struct coherence *c, struct coherence_batch *batch)
{
    pthread_mutex_lock(&c->queue->lock);
    for (uint32_t n = 0; n < batch->count; n++) {
        struct coherence_queue_item *i = batch->members[n];
        if (batch->writes[n].mode != L2_DELETE && i->value && i->value->tried)
            lose_locked(c, batch, n);
    }
    pthread_mutex_unlock(&c->queue->lock);
}
