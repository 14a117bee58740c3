// SPDX-License-Identifier: MIT
// Invalidations that Redis has not accepted yet: what they are, and what they cover.
//
// They are applied here, and retried until Redis has them (retry.c). Meanwhile the values of Redis
// that they cover are not believed (coherence_queued_covers): they would be older than the change.
//
// The queue is bounded and has one item per thing named, found by its wire hash. When there is no
// room or no memory, an item folds into the item of ALL (soft), which is part of the queue and
// needs neither.
//
// An item named again while an attempt is on its way stays for another: that attempt may have been
// executed before the second change was committed.

#include "coherence/queue.h"
#include "coherence/message.h"

/* Keys: (c) constant while queued  (q) queue lock */
struct coherence_queue_item {
    struct coherence_queue_item *chain; /* (q) next under the same head */
    struct coherence_queue_item *prev;  /* (q) */
    struct coherence_queue_item *next;  /* (q) */
    uint64_t hash;                      /* (c) wire hash */
    enum wire_kind kind;                /* (c) */
    bool queued;                        /* (q) false: the item of ALL, at rest */
    bool sent;                          /* (q) an attempt that covers it is on its way */
    bool soft;                          /* (q) */
    bool noted;                         /* (q) queued only to be told again: `recent` has it */
    uint64_t version;                   /* (q) */
    uint32_t space_len;                 /* (c) */
    uint32_t bytes_len;                 /* (c) */
    uint8_t text[];                     /* (c) space, bytes */
};

/* ---- items ---- */

static struct coherence_item item_named(const struct coherence_queue_item *i)
{
    return (struct coherence_item){
        .kind = i->kind,
        .soft = i->soft,
        .space = bytes_of(i->text, i->space_len),
        .bytes = bytes_of(i->text + i->space_len, i->bytes_len),
        .version = i->version,
    };
}

static size_t item_size(size_t text_len)
{
    return sizeof(struct coherence_queue_item) + text_len;
}

static void item_free(struct coherence *c, struct coherence_queue_item *i)
{
    size_t text_len = (size_t)i->space_len + i->bytes_len;
    mem_free(c->config.env->mem, NULL, i, item_size(text_len));
}

/* NULL: no memory. */
static struct coherence_queue_item *item_create(struct coherence *c,
                                                const struct coherence_item *item)
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

/* ---- the table and the line ---- */

static struct coherence_queue_item **head_of(struct coherence_queue *q, uint64_t hash)
{
    return &q->heads[hash & (q->head_count - 1)];
}

static bool same_name(const struct coherence_queue_item *i, const struct coherence_item *item)
{
    struct coherence_item own = item_named(i);
    return i->kind == item->kind && bytes_equal(own.space, item->space) &&
           bytes_equal(own.bytes, item->bytes);
}

static struct coherence_queue_item *find_locked(struct coherence_queue *q, uint64_t hash,
                                                const struct coherence_item *item)
    REQUIRES(q->lock)
{
    for (struct coherence_queue_item *i = *head_of(q, hash); i; i = i->chain)
        if (i->hash == hash && same_name(i, item))
            return i;
    return NULL;
}

static bool has_hash_locked(struct coherence_queue *q, uint64_t hash) REQUIRES(q->lock)
{
    for (struct coherence_queue_item *i = *head_of(q, hash); i; i = i->chain)
        if (i->hash == hash)
            return true;
    return false;
}

/* Stores relaxed: a reader to whom the count matters has a ticket above the floor that was raised
 * after the put, and sees the count through that. */
static void set_count_locked(struct coherence_queue *q, int by) REQUIRES(q->lock)
{
    uint32_t count = atomic_load_explicit(&q->count, memory_order_relaxed);
    atomic_store_explicit(&q->count, count + (uint32_t)by, memory_order_relaxed);
}

static void link_item_locked(struct coherence_queue *q, struct coherence_queue_item *i)
    REQUIRES(q->lock)
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
    set_count_locked(q, 1);
}

static void unlink_item_locked(struct coherence_queue *q, struct coherence_queue_item *i)
    REQUIRES(q->lock)
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

/* ---- putting ---- */

/* The stronger of both: hard before soft, "whatever its version" before "if older". */
static void merge(struct coherence_queue_item *i, bool soft, uint64_t version)
{
    i->soft = i->soft && soft;
    i->version = i->version && version ? u64_max(i->version, version) : 0;
    i->sent = false;
}

static void put_all_locked(struct coherence_queue *q, bool soft) REQUIRES(q->lock)
{
    struct coherence_queue_item *all = q->all;
    if (all->queued) {
        merge(all, soft, 0);
        return;
    }
    all->soft = soft;
    link_item_locked(q, all);
}

static int put_locked(struct coherence *c, const struct coherence_item *item, bool noted)
    REQUIRES(c->queue->lock)
{
    struct coherence_queue *q = c->queue;
    struct coherence_queue_item *i = find_locked(q, coherence_item_hash(item), item);
    if (i) {
        merge(i, item->soft, item->version);
        i->noted = i->noted && noted;
        return 0;
    }
    if (atomic_load_explicit(&q->count, memory_order_relaxed) >= c->config.queue_items)
        return NIGH_REFUSED;
    i = item_create(c, item);
    if (!i)
        return NIGH_ENOMEM;
    i->noted = noted;
    link_item_locked(q, i);
    return 0;
}

static int put_any_locked(struct coherence *c, const struct coherence_item *item, bool noted)
    REQUIRES(c->queue->lock)
{
    struct coherence_queue *q = c->queue;
    if (item->kind == WIRE_ALL) {
        put_all_locked(q, item->soft);
        return 0;
    }
    int rc = put_locked(c, item, noted);
    if (rc == 0)
        return 0;
    put_all_locked(q, true);
    stats_count(c->config.stats, STATS_INVALIDATE_OVERFLOW);
    return rc;
}

int coherence_queue_put(struct coherence *c, const struct coherence_item *item, bool noted)
{
    pthread_mutex_lock(&c->queue->lock);
    int rc = put_any_locked(c, item, noted);
    pthread_mutex_unlock(&c->queue->lock);
    return rc;
}

int coherence_queue_put_room(struct coherence *c, const struct coherence_item *items,
                             uint32_t count, bool *ret_first)
{
    struct coherence_queue *q = c->queue;
    int worst = 0;
    pthread_mutex_lock(&q->lock);
    uint32_t queued = atomic_load_explicit(&q->count, memory_order_relaxed);
    bool room = (uint64_t)queued + count <= c->config.queue_items;
    *ret_first = queued == 0;
    for (uint32_t i = 0; room && i < count; i++) {
        int rc = put_any_locked(c, &items[i], false);
        worst = rc != 0 ? rc : worst;
    }
    pthread_mutex_unlock(&q->lock);
    return room ? worst : NIGH_EBUSY;
}

/* ---- asking ---- */

static bool covers_locked(struct coherence_queue *q, struct bytes space, struct bytes key,
                          const uint8_t *group_hashes, uint32_t group_count) REQUIRES(q->lock)
{
    struct bytes none = bytes_of("", 0);
    if (q->all->queued || has_hash_locked(q, hash_wire(WIRE_KEY, space, key)) ||
        has_hash_locked(q, hash_wire(WIRE_SPACE, space, none)))
        return true;
    for (uint32_t i = 0; i < group_count; i++)
        if (has_hash_locked(q, get_le64(group_hashes + 8 * (size_t)i)))
            return true;
    return false;
}

bool coherence_queued_covers(struct coherence *c, struct bytes space, struct bytes key,
                             const uint8_t *group_hashes, uint32_t group_count)
{
    struct coherence_queue *q = c->queue;
    if (NIGH_LIKELY(atomic_load_explicit(&q->count, memory_order_relaxed) == 0))
        return false; /* see set_count_locked() */
    pthread_mutex_lock(&q->lock);
    bool covered = covers_locked(q, space, key, group_hashes, group_count);
    pthread_mutex_unlock(&q->lock);
    return covered;
}

/* ---- batches, by the keeper ---- */

void coherence_queue_batch(struct coherence *c, struct coherence_batch *batch)
{
    struct coherence_queue *q = c->queue;
    uint32_t n = 0;
    pthread_mutex_lock(&q->lock);
    for (struct coherence_queue_item *i = q->first; i && n < COHERENCE_BATCH_ITEMS; i = i->next) {
        i->sent = true;
        batch->members[n] = i; /* stays: only the keeper takes items out */
        batch->noted[n] = i->noted;
        batch->items[n++] = item_named(i);
    }
    pthread_mutex_unlock(&q->lock);
    batch->count = n;
}

bool coherence_queue_remove(struct coherence *c, const struct coherence_batch *batch)
{
    struct coherence_queue *q = c->queue;
    pthread_mutex_lock(&q->lock);
    for (uint32_t n = 0; n < batch->count; n++) {
        struct coherence_queue_item *i = batch->members[n];
        if (!i->sent)
            continue; /* named again since */
        unlink_item_locked(q, i);
        if (i != q->all)
            item_free(c, i);
    }
    bool empty = !q->first;
    pthread_mutex_unlock(&q->lock);
    return empty;
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
    q->request.coherence = c;
    pthread_mutex_init(&q->lock, NULL);
    q->head_count = heads_for(c->config.queue_items);
    q->heads = mem_alloc_zero(mem, q->head_count * sizeof(*q->heads));
    q->batch = mem_alloc_zero(mem, sizeof(*q->batch));
    q->all = item_create(c, &all);
    return q->heads && q->batch && q->all ? 0 : NIGH_ENOMEM;
}

/* Also after a failed init. */
void coherence_queue_fini(struct coherence *c)
{
    struct coherence_queue *q = c->queue;
    struct mem *mem = c->config.env->mem;
    for (struct coherence_queue_item *i = q->first, *next; i; i = next) {
        next = i->next;
        if (i != q->all)
            item_free(c, i);
    }
    if (q->all)
        item_free(c, q->all);
    if (q->request.answer)
        l2_answer_free(q->request.answer);
    mem_free(mem, NULL, q->batch, sizeof(*q->batch));
    mem_free(mem, NULL, q->heads, q->head_count * sizeof(*q->heads));
    pthread_mutex_destroy(&q->lock);
}
