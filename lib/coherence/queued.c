// SPDX-License-Identifier: MIT
// Items that are queued: a table to find them by name, a line to send them in order.
//
// Names are compared behind their hashes: were two keys of one hash one item, one of them would not
// be told. Who asks what is covered has but a hash of each tag, and is content with it: L2 is then
// not believed for one value more.

#include "coherence/queued.h"
#include "coherence/message.h"

/* ---- values ---- */

struct coherence_value *queued_value_create(struct coherence *c, const struct coherence_write *w,
                                            uint64_t version, uint64_t due_ns)
{
    struct coherence_value *v = mem_alloc(c->config.env->mem, NULL, sizeof(*v) + w->envelope.len);
    if (!v)
        return NULL;
    *v = (struct coherence_value){
        .refs = 1,
        .mode = w->mode,
        .token = w->token,
        .version = version,
        .due_ns = due_ns,
        .identity = coherence_position(c).identity,
        .hard_ms = w->hard_ms,
        .schema = w->schema,
        .len = w->envelope.len,
    };
    put_bytes(v->envelope, w->envelope);
    return v;
}

void queued_value_unref_locked(struct coherence *c, struct coherence_value *v)
{
    if (--v->refs == 0)
        mem_free(c->config.env->mem, NULL, v, sizeof(*v) + v->len);
}

/* ---- items ---- */

struct coherence_item queued_named(const struct coherence_queue_item *i)
{
    return (struct coherence_item){
        .kind = i->kind,
        .soft = i->soft,
        .space = bytes_of(i->text, i->space_len),
        .bytes = bytes_of(i->text + i->space_len, i->bytes_len),
        .version = i->version,
        .made_ns = i->made_ns,
        .since_ns = i->since_ns,
    };
}

static size_t item_size(size_t text_len)
{
    return sizeof(struct coherence_queue_item) + text_len;
}

void queued_free(struct coherence *c, struct coherence_queue_item *i)
{
    size_t text_len = (size_t)i->space_len + i->bytes_len;
    mem_free(c->config.env->mem, NULL, i, item_size(text_len));
}

struct coherence_queue_item *queued_create(struct coherence *c, const struct coherence_item *item)
{
    size_t text_len = item->space.len + item->bytes.len;
    struct coherence_queue_item *i = mem_alloc(c->config.env->mem, NULL, item_size(text_len));
    if (!i)
        return NULL;
    *i = (struct coherence_queue_item){
        .hash = coherence_item_hash(item),
        .kind = item->kind,
        .soft = item->soft,
        .version = item->version,
        .space_len = (uint32_t)item->space.len,
        .bytes_len = (uint32_t)item->bytes.len,
    };
    put_bytes(put_bytes(i->text, item->space), item->bytes);
    return i;
}

void queued_drop_value_locked(struct coherence *c, struct coherence_queue_item *i)
{
    i->own = 0;
    if (!i->value)
        return;
    c->queue->value_bytes -= i->value->len;
    queued_value_unref_locked(c, i->value);
    i->value = NULL;
}

/* ---- the table and the line ---- */

static struct coherence_queue_item **head_of(struct coherence_queue *q, uint64_t hash)
{
    return &q->heads[hash & (q->head_count - 1)];
}

static bool same_name(const struct coherence_queue_item *i, const struct coherence_item *item)
{
    struct coherence_item own = queued_named(i);
    return i->kind == item->kind && bytes_equal(own.space, item->space) &&
           bytes_equal(own.bytes, item->bytes);
}

struct coherence_queue_item *queued_find_locked(struct coherence_queue *q,
                                                const struct coherence_item *item)
{
    uint64_t hash = coherence_item_hash(item);
    for (struct coherence_queue_item *i = *head_of(q, hash); i; i = i->chain)
        if (i->hash == hash && same_name(i, item))
            return i;
    return NULL;
}

bool queued_has_hash_locked(struct coherence_queue *q, uint64_t hash)
{
    for (struct coherence_queue_item *i = *head_of(q, hash); i; i = i->chain)
        if (i->hash == hash)
            return true;
    return false;
}

/* Stores relaxed: see coherence_queued_count(). */
static void set_count_locked(struct coherence_queue *q, int by) REQUIRES(q->lock)
{
    uint32_t count = atomic_load_explicit(&q->count, memory_order_relaxed);
    atomic_store_explicit(&q->count, count + (uint32_t)by, memory_order_relaxed);
}

void queued_link_locked(struct coherence_queue *q, struct coherence_queue_item *i,
                        const struct coherence_item *item)
{
    struct coherence_queue_item **head = head_of(q, i->hash);
    i->chain = *head;
    *head = i;
    i->prev = q->last;
    i->next = NULL;
    *(q->last ? &q->last->next : &q->first) = i;
    q->last = i;
    i->queued = true;
    i->sent = false;
    i->number = ++q->linked;
    i->since_ns = item->since_ns;
    i->made_ns = item->made_ns;
    set_count_locked(q, 1);
}

void queued_unlink_locked(struct coherence_queue *q, struct coherence_queue_item *i)
{
    struct coherence_queue_item **at = head_of(q, i->hash);
    while (*at != i)
        at = &(*at)->chain;
    *at = i->chain;
    *(i->prev ? &i->prev->next : &q->first) = i->next;
    *(i->next ? &i->next->prev : &q->last) = i->prev;
    i->queued = false;
    set_count_locked(q, -1);
}

bool queued_accepted_locked(struct coherence_queue *q, struct coherence_queue_item *i)
{
    bool was_late = i->number <= q->late_to;
    q->late -= was_late;
    i->number = ++q->linked;
    i->since_ns = i->again_ns;
    return was_late;
}

/* ---- who waits ---- */

/* Returns an item's outcome as one of its waiters sees it: of those whose changes were merged into
 * it each learns what became of its own. */
static int outcome_for(const struct coherence_waiter *w, int outcome)
{
    if (outcome != 0 && outcome != NIGH_REFUSED)
        return outcome; /* not accepted */
    switch (w->value) {
    case COHERENCE_VALUE_NONE: return 0;
    case COHERENCE_VALUE_REFUSED: return NIGH_REFUSED;
    case COHERENCE_VALUE_PUT: break;
    }
    return outcome;
}

void queued_tell_locked(struct coherence_waiter **told, struct coherence_waiter **list,
                        int outcome)
{
    while (*list) {
        struct coherence_waiter *w = *list;
        *list = w->next;
        w->outcome = outcome_for(w, outcome);
        w->next = *told;
        *told = w;
    }
}

void coherence_waiters_tell(struct coherence_waiter **told)
{
    while (*told) {
        struct coherence_waiter *w = *told;
        *told = w->next;
        w->done(w); /* the waiter is gone */
    }
}
