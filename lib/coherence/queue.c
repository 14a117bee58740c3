// SPDX-License-Identifier: MIT
// Changes that Redis has not accepted yet: putting them into the queue, asking what they cover.
//
// They are applied here, and retried until Redis has them (retry.c). Meanwhile the values of Redis
// that they cover are not believed (coherence_queued_covers): they would be older than the change.
//
// The queue is bounded and has one item per thing named (queued.h). When there is no room or no
// memory, an item folds into the item of ALL (soft), which is part of the queue and needs neither.

#include "coherence/queue.h"
#include "coherence/message.h"
#include "coherence/queued.h"

/* Values wait for an answer of Redis or two: as much as its connection takes of small requests. */
#define VALUES_MAX_BYTES (16u << 20)

/* ---- putting ---- */

/* Returns an item that is queued now, with its times, to a tick of the kernel: for people. What is
 * told again has not waited since it was made. */
static struct coherence_item timed(const struct coherence *c, const struct coherence_item *item,
                                   bool noted)
{
    struct coherence_item now = *item;
    now.since_ns = clock_coarse_ns(c->config.env->clock);
    now.made_ns = item->made_ns ? item->made_ns : now.since_ns;
    now.since_ns = noted ? now.since_ns : now.made_ns;
    return now;
}

/* The stronger of both: hard before soft, "whatever its version" before "if older". */
static void merge(struct coherence_queue_item *i, const struct coherence_item *item, bool soft,
                  uint64_t version)
{
    i->soft = i->soft && soft;
    i->version = i->version && version ? u64_max(i->version, version) : 0;
    i->made_ns = u64_max(i->made_ns, item->made_ns);
    if (i->sent)
        i->again_ns = item->since_ns;
    i->sent = false;
}

/* Whether the value that waits outlasts a change that comes now, which is about older ones. */
static bool outlasts(const struct coherence_value *waits, const struct coherence_item *item,
                     const struct coherence_value *comes)
{
    bool judged = comes ? comes->mode == L2_SET_NEWER : item->version != 0;
    return waits && judged && waits->version >= item->version && item->version != 0;
}

/* Whether a value that comes now is older than what the item tells already: a value that waits, or
 * a change that says which version there is. In Redis it would be judged by the item's version, the
 * highest that was named, and so be set over what another node has put between the two. */
static bool is_outdone(const struct coherence_queue_item *i, const struct coherence_item *item,
                       const struct coherence_value *v)
{
    return outlasts(i->value, item, v) || (v->mode == L2_SET_NEWER && i->version > v->version);
}

/*
 * Whether what waits already may be about a later commit than a writer's. Redis judges his value by
 * his lease, which what waits would have ended, had it been executed when it came.
 *
 * Versions alone tell: a writer without one has no value, for he deletes (rule 6), so nobody's can
 * be as unknown as that of an invalidation without one. The item has the highest version that was
 * named, this writer's among them, and none if any had none.
 */
static bool is_unfenced(const struct coherence_queue_item *i, const struct coherence_item *item,
                        const struct coherence_value *v)
{
    NIGH_DCHECK(v->mode != L2_SET_TOKEN || item->version != 0);
    return v->mode == L2_SET_TOKEN && i->version != item->version;
}

/* Lets go of a value that comes too late. */
static void refuse_value_locked(struct coherence *c, struct coherence_value *v,
                                struct coherence_waiter *waiter) REQUIRES(c->queue->lock)
{
    queued_value_unref_locked(c, v);
    stats_count(c->config.stats, STATS_BACKGROUND_LOST);
    if (waiter)
        waiter->value = COHERENCE_VALUE_REFUSED;
}

/* Sets what the key is going to be: to the value that came last, or to nothing. Takes `v`. */
static void set_value_locked(struct coherence *c, struct coherence_queue_item *i,
                             const struct coherence_item *item, struct coherence_value *v,
                             struct coherence_waiter *waiter) REQUIRES(c->queue->lock)
{
    if (v && is_unfenced(i, item, v)) {
        refuse_value_locked(c, v, waiter);
        v = NULL; /* it is a change like any other */
    }
    if (v && is_outdone(i, item, v)) {
        refuse_value_locked(c, v, waiter);
    } else if (v || !outlasts(i->value, item, NULL)) {
        queued_drop_value_locked(c, i);
        i->value = v;
        c->queue->value_bytes += v ? v->len : 0;
    }
}

/* `item`: that of ALL, or one that has no room. */
static void put_all_locked(struct coherence_queue *q, const struct coherence_item *item)
    REQUIRES(q->lock)
{
    struct coherence_queue_item *all = q->all;
    bool soft = item->kind != WIRE_ALL || item->soft;
    if (all->queued) {
        merge(all, item, soft, 0);
        return;
    }
    all->soft = soft;
    queued_link_locked(q, all, item);
}

/* `over`: whether there is room is settled. */
static int put_locked(struct coherence *c, const struct coherence_item *item, bool noted, bool over,
                      struct coherence_queue_item **ret) REQUIRES(c->queue->lock)
{
    struct coherence_queue *q = c->queue;
    struct coherence_queue_item *i = queued_find_locked(q, item);
    *ret = i;
    if (i) {
        merge(i, item, item->soft, item->version);
        i->noted = i->noted && noted;
        return 0;
    }
    if (!over && coherence_queued_count(c) >= c->config.queue_items)
        return NIGH_REFUSED;
    i = queued_create(c, item);
    if (!i)
        return NIGH_ENOMEM;
    i->noted = noted;
    queued_link_locked(q, i, item);
    *ret = i;
    return 0;
}

/* Queues one of all in the place of an item that has no room. */
static void fold_locked(struct coherence *c, const struct coherence_item *item)
    REQUIRES(c->queue->lock)
{
    put_all_locked(c->queue, item);
    c->queue->folded++;
    stats_count(c->config.stats, STATS_INVALIDATE_OVERFLOW);
}

/* Queues an item, or one of all in its place; but with a value it does nothing where there is no
 * memory: that is for the caller to do again, or otherwise. Takes `v`. */
static int put_any_locked(struct coherence *c, const struct coherence_item *untimed, bool noted,
                          struct coherence_value *v, struct coherence_waiter *waiter)
    REQUIRES(c->queue->lock)
{
    struct coherence_queue *q = c->queue;
    struct coherence_queue_item *i = q->all;
    const struct coherence_item now = timed(c, untimed, noted), *item = &now;
    int rc = 0;
    if (waiter)
        waiter->value = v ? COHERENCE_VALUE_PUT : COHERENCE_VALUE_NONE;
    if (item->kind == WIRE_ALL)
        put_all_locked(q, item);
    else
        rc = put_locked(c, item, noted, waiter != NULL, &i);
    if (rc != 0 && v)
        queued_value_unref_locked(c, v);
    else if (rc != 0)
        fold_locked(c, item);
    else if (!noted || !i->value) /* told again: a change before the value that waits */
        set_value_locked(c, i, item, v, waiter);
    if (waiter && rc == 0) {
        waiter->next = i->later;
        i->later = waiter;
    }
    return rc;
}

int coherence_queue_put(struct coherence *c, const struct coherence_item *item, bool noted)
{
    pthread_mutex_lock(&c->queue->lock);
    int rc = put_any_locked(c, item, noted, NULL, NULL);
    pthread_mutex_unlock(&c->queue->lock);
    return rc;
}

static bool unlist(struct coherence_waiter **at, const struct coherence_waiter *w)
{
    while (*at && *at != w)
        at = &(*at)->next;
    if (!*at)
        return false;
    *at = w->next;
    return true;
}

static bool leave_locked(struct coherence *c, const struct coherence_item *item,
                         struct coherence_waiter *w) REQUIRES(c->queue->lock)
{
    struct coherence_queue_item *i =
        item->kind == WIRE_ALL ? c->queue->all : queued_find_locked(c->queue, item);
    return i && (unlist(&i->waiters, w) || unlist(&i->later, w));
}

static void unlist_all_locked(struct coherence *c, const struct coherence_change *change)
    REQUIRES(c->queue->lock)
{
    for (uint32_t i = 0; i < change->item_count; i++)
        leave_locked(c, &change->items[i], &change->waiters[i]);
}

/* Returns the bytes of its values. */
static size_t bytes_of_change(const struct coherence_change *change)
{
    size_t bytes = 0;
    for (uint32_t i = 0; change->writes && i < change->item_count; i++)
        bytes += change->writes[i].envelope.len;
    return bytes;
}

/* There is always room for who waits: were he refused he would overtake what is queued of his key.
 * They are as many as threads. */
static bool has_room_locked(const struct coherence *c, const struct coherence_change *change)
    REQUIRES(c->queue->lock)
{
    const struct coherence_queue *q = c->queue;
    uint64_t queued = coherence_queued_count(c);
    size_t bytes = bytes_of_change(change);
    return !change->background ||
           (queued + change->item_count <= c->config.queue_items &&
            (bytes == 0 || q->value_bytes == 0 || q->value_bytes + bytes <= VALUES_MAX_BYTES));
}

int coherence_queue_put_room(struct coherence *c, const struct coherence_change *change,
                             bool *ret_first)
{
    struct coherence_queue *q = c->queue;
    struct coherence_value *v = NULL; /* a change that has one has one item */
    int worst = 0;
    NIGH_DCHECK(!change->writes || change->item_count == 1);
    if (change->writes) {
        v = queued_value_create(c, change->writes, change->items->version, change->deadline_ns);
        if (!v)
            return NIGH_ENOMEM;
    }
    pthread_mutex_lock(&q->lock);
    bool room = has_room_locked(c, change);
    *ret_first = coherence_queued_count(c) == 0;
    for (uint32_t i = 0; room && i < change->item_count; i++) {
        int rc = put_any_locked(c, &change->items[i], false, v,
                                change->waiters ? &change->waiters[i] : NULL);
        worst = rc != 0 ? rc : worst;
    }
    if (!room && v)
        queued_value_unref_locked(c, v);
    if (worst != 0 && change->waiters)
        unlist_all_locked(c, change);
    pthread_mutex_unlock(&q->lock);
    return room ? worst : NIGH_EBUSY;
}

/* ---- asking ---- */

static bool covers_locked(struct coherence_queue *q, struct bytes space, struct bytes key,
                          const uint8_t *group_hashes, uint32_t group_count) REQUIRES(q->lock)
{
    struct bytes none = bytes_of("", 0);
    if (q->all->queued || queued_has_hash_locked(q, hash_wire(WIRE_KEY, space, key)) ||
        queued_has_hash_locked(q, hash_wire(WIRE_SPACE, space, none)))
        return true;
    for (uint32_t i = 0; i < group_count; i++)
        if (queued_has_hash_locked(q, get_le64(group_hashes + 8 * (size_t)i)))
            return true;
    return false;
}

bool coherence_queued_covers(struct coherence *c, struct bytes space, struct bytes key,
                             const uint8_t *group_hashes, uint32_t group_count)
{
    struct coherence_queue *q = c->queue;
    if (NIGH_LIKELY(coherence_queued_count(c) == 0))
        return false;
    pthread_mutex_lock(&q->lock);
    bool covered = covers_locked(q, space, key, group_hashes, group_count);
    pthread_mutex_unlock(&q->lock);
    return covered;
}

/* ---- values that are put before they are accepted ---- */

bool coherence_comes_after(struct coherence *c, const struct coherence_change *change)
{
    struct coherence_queue *q = c->queue;
    bool after = false;
    if (NIGH_LIKELY(coherence_queued_count(c) == 0))
        return false;
    pthread_mutex_lock(&q->lock);
    for (uint32_t i = 0; i < change->item_count && !after; i++) {
        const struct coherence_item *item = &change->items[i];
        const struct coherence_queue_item *queued = queued_find_locked(q, item);
        after = queued && item->kind == WIRE_KEY && (queued->value || change->writes);
    }
    pthread_mutex_unlock(&q->lock);
    return after;
}

void coherence_queue_set_own(struct coherence *c, const struct coherence_item *item,
                             uint64_t stamp)
{
    pthread_mutex_lock(&c->queue->lock);
    struct coherence_queue_item *i = queued_find_locked(c->queue, item);
    if (i && i->value)
        i->own = stamp;
    pthread_mutex_unlock(&c->queue->lock);
}

uint64_t coherence_queue_own(struct coherence *c, const struct coherence_item *item, bool stored)
{
    struct coherence_queue *q = c->queue;
    if (coherence_queued_count(c) == 0)
        return 0;
    pthread_mutex_lock(&q->lock);
    struct coherence_queue_item *i = queued_find_locked(q, item);
    uint64_t own = i && i->value && (stored || !i->sent) ? i->own : 0;
    pthread_mutex_unlock(&q->lock);
    return own;
}

void coherence_queue_late(struct coherence *c)
{
    struct coherence_queue *q = c->queue;
    pthread_mutex_lock(&q->lock);
    q->late_to = q->linked;
    q->late = coherence_queued_count(c);
    pthread_mutex_unlock(&q->lock);
}

uint64_t coherence_queue_folded(struct coherence *c)
{
    struct coherence_queue *q = c->queue;
    pthread_mutex_lock(&q->lock);
    uint64_t folded = q->folded;
    pthread_mutex_unlock(&q->lock);
    return folded;
}

/* ---- who waits ---- */

bool coherence_leave(struct coherence *c, const struct coherence_item *item,
                     struct coherence_waiter *w)
{
    pthread_mutex_lock(&c->queue->lock);
    bool left = leave_locked(c, item, w);
    pthread_mutex_unlock(&c->queue->lock);
    return left;
}

void coherence_queue_shut(struct coherence *c)
{
    struct coherence_queue *q = c->queue;
    struct coherence_waiter *told = NULL;
    pthread_mutex_lock(&q->lock);
    for (struct coherence_queue_item *i = q->first; i; i = i->next) {
        queued_tell_locked(&told, &i->waiters, NIGH_ECLOSED);
        queued_tell_locked(&told, &i->later, NIGH_ECLOSED);
    }
    pthread_mutex_unlock(&q->lock);
    coherence_waiters_tell(&told);
}

/* ---- life ---- */

static uint32_t heads_for(uint32_t items)
{
    uint32_t count = 64;
    while (count < items / 8) /* chains are short enough for what is full once in a while */
        count *= 2;
    return count;
}

int coherence_queue_init(struct coherence *c)
{
    struct coherence_queue *q = c->queue;
    struct mem *mem = c->config.env->mem;
    struct coherence_item all = {.kind = WIRE_ALL, .soft = true};
    pthread_mutex_init(&q->lock, NULL);
    q->head_count = heads_for(c->config.queue_items);
    q->heads = mem_alloc_zero(mem, q->head_count * sizeof(*q->heads));
    q->all = queued_create(c, &all);
    return q->heads && q->all ? 0 : NIGH_ENOMEM;
}

/* Also after a failed init. */
void coherence_queue_fini(struct coherence *c)
{
    struct coherence_queue *q = c->queue;
    struct mem *mem = c->config.env->mem;
    pthread_mutex_lock(&q->lock);
    while (q->first) {
        struct coherence_queue_item *i = q->first;
        queued_drop_value_locked(c, i);
        queued_unlink_locked(q, i);
        if (i != q->all)
            queued_free(c, i);
    }
    pthread_mutex_unlock(&q->lock);
    if (q->all)
        queued_free(c, q->all);
    mem_free(mem, NULL, q->heads, q->head_count * sizeof(*q->heads));
    pthread_mutex_destroy(&q->lock);
}
