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
    uint64_t own;                       /* (q) stamp of the value's entry in L1; 0: none */
    struct coherence_value *value;      /* (q) what the key is set to; NULL: it is deleted */
    struct coherence_waiter *waiters;   /* (q) for the attempt on its way, or the next */
    struct coherence_waiter *later;     /* (q) for the one after it */
    uint32_t space_len;                 /* (c) */
    uint32_t bytes_len;                 /* (c) */
    uint8_t text[];                     /* (c) space, bytes */
};

/* A value in the background: a copy. */
struct coherence_value {
    uint32_t refs;                   /* (q) the item's, a batch's */
    bool tried;                      /* (q) a script has taken it; none after that may */
    enum l2_change_mode mode;        /* (q) */
    uint64_t token;                  /* (c) */
    uint64_t version;                /* (c) */
    uint64_t due_ns;                 /* (c) given up then */
    uint64_t identity;               /* (c) of the clock that it was put under */
    uint32_t hard_ms;                /* (c) */
    struct coherence_schema *schema; /* (c) */
    size_t len;                      /* (c) */
    uint8_t envelope[];              /* (c) */
};

/* Values wait for an answer of Redis or two: as much as its connection takes of small requests. */
#define VALUES_MAX_BYTES (16u << 20)
/* ... and a script is to be short. */
#define BATCH_VALUE_BYTES (256u << 10)

/* ---- values ---- */

static struct coherence_value *value_create(struct coherence *c, const struct coherence_write *w,
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

static void value_unref_locked(struct coherence *c, struct coherence_value *v)
    REQUIRES(c->queue->lock)
{
    if (--v->refs == 0)
        mem_free(c->config.env->mem, NULL, v, sizeof(*v) + v->len);
}

static struct coherence_write value_write(const struct coherence_value *v)
{
    return (struct coherence_write){v->schema, v->mode, v->token, bytes_of(v->envelope, v->len),
                                    v->hard_ms};
}

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

static void drop_value_locked(struct coherence *c, struct coherence_queue_item *i)
    REQUIRES(c->queue->lock)
{
    i->own = 0;
    if (!i->value)
        return;
    c->queue->value_bytes -= i->value->len;
    value_unref_locked(c, i->value);
    i->value = NULL;
}

/* Whether the value that waits outlasts a change that comes now, which is about older ones. */
static bool outlasts(const struct coherence_value *waits, const struct coherence_item *item,
                     const struct coherence_value *comes)
{
    bool judged = comes ? comes->mode == L2_SET_NEWER : item->version != 0;
    return waits && judged && waits->version >= item->version && item->version != 0;
}

/* Whatever was there goes by the change before the value, if that is about every version. */
static void settle_mode_locked(struct coherence_queue_item *i)
{
    if (i->value && i->value->mode == L2_SET_NEWER && i->version == 0)
        i->value->mode = L2_SET;
}

/* Sets what the key is going to be: to the value that came last, or to nothing. Takes `v`. */
static void set_value_locked(struct coherence *c, struct coherence_queue_item *i,
                             const struct coherence_item *item, struct coherence_value *v)
    REQUIRES(c->queue->lock)
{
    if (outlasts(i->value, item, v)) {
        if (v)
            value_unref_locked(c, v);
    } else {
        drop_value_locked(c, i);
        i->value = v;
        c->queue->value_bytes += v ? v->len : 0;
    }
    settle_mode_locked(i);
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

/* `over`: whether there is room is settled. */
static int put_locked(struct coherence *c, const struct coherence_item *item, bool noted, bool over,
                      struct coherence_queue_item **ret) REQUIRES(c->queue->lock)
{
    struct coherence_queue *q = c->queue;
    struct coherence_queue_item *i = find_locked(q, coherence_item_hash(item), item);
    *ret = i;
    if (i) {
        merge(i, item->soft, item->version);
        i->noted = i->noted && noted;
        return 0;
    }
    if (!over && atomic_load_explicit(&q->count, memory_order_relaxed) >= c->config.queue_items)
        return NIGH_REFUSED;
    i = item_create(c, item);
    if (!i)
        return NIGH_ENOMEM;
    i->noted = noted;
    link_item_locked(q, i);
    *ret = i;
    return 0;
}

/* Queues an item, or one of all in its place. Takes `v`. */
static int put_any_locked(struct coherence *c, const struct coherence_item *item, bool noted,
                          struct coherence_value *v, struct coherence_waiter *waiter)
    REQUIRES(c->queue->lock)
{
    struct coherence_queue *q = c->queue;
    struct coherence_queue_item *i = q->all;
    int rc = 0;
    if (item->kind == WIRE_ALL)
        put_all_locked(q, item->soft);
    else
        rc = put_locked(c, item, noted, waiter != NULL, &i);
    if (rc != 0) {
        put_all_locked(q, true);
        i = q->all;
        stats_count(c->config.stats, STATS_INVALIDATE_OVERFLOW);
        if (v)
            value_unref_locked(c, v);
    } else if (noted && i->value) {
        settle_mode_locked(i); /* told again: a change before the value, which has its own clock */
    } else {
        set_value_locked(c, i, item, v);
    }
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

static struct coherence_queue_item *find_item_locked(struct coherence *c,
                                                     const struct coherence_item *item)
    REQUIRES(c->queue->lock)
{
    return find_locked(c->queue, coherence_item_hash(item), item);
}

static bool leave_locked(struct coherence *c, const struct coherence_item *item,
                         struct coherence_waiter *w) REQUIRES(c->queue->lock)
{
    struct coherence_queue_item *i =
        item->kind == WIRE_ALL ? c->queue->all : find_item_locked(c, item);
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
    uint64_t queued = atomic_load_explicit(&q->count, memory_order_relaxed);
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
        v = value_create(c, change->writes, change->items->version, change->deadline_ns);
        if (!v)
            return NIGH_ENOMEM;
    }
    pthread_mutex_lock(&q->lock);
    bool room = has_room_locked(c, change);
    *ret_first = atomic_load_explicit(&q->count, memory_order_relaxed) == 0;
    for (uint32_t i = 0; room && i < change->item_count; i++) {
        int rc = put_any_locked(c, &change->items[i], false, v,
                                change->waiters ? &change->waiters[i] : NULL);
        worst = rc != 0 ? rc : worst;
    }
    if (!room && v)
        value_unref_locked(c, v);
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

/* ---- values that are put before they are accepted ---- */

bool coherence_comes_after(struct coherence *c, const struct coherence_change *change)
{
    struct coherence_queue *q = c->queue;
    bool after = false;
    if (NIGH_LIKELY(atomic_load_explicit(&q->count, memory_order_relaxed) == 0))
        return false;
    pthread_mutex_lock(&q->lock);
    for (uint32_t i = 0; i < change->item_count && !after; i++) {
        const struct coherence_item *item = &change->items[i];
        const struct coherence_queue_item *queued = find_item_locked(c, item);
        after = queued && item->kind == WIRE_KEY && (queued->value || change->writes);
    }
    pthread_mutex_unlock(&q->lock);
    return after;
}

void coherence_queue_set_own(struct coherence *c, const struct coherence_item *item,
                             uint64_t stamp)
{
    pthread_mutex_lock(&c->queue->lock);
    struct coherence_queue_item *i = find_item_locked(c, item);
    if (i && i->value)
        i->own = stamp;
    pthread_mutex_unlock(&c->queue->lock);
}

uint64_t coherence_queue_own(struct coherence *c, const struct coherence_item *item, bool stored)
{
    struct coherence_queue *q = c->queue;
    if (atomic_load_explicit(&q->count, memory_order_relaxed) == 0)
        return 0;
    pthread_mutex_lock(&q->lock);
    struct coherence_queue_item *i = find_item_locked(c, item);
    uint64_t own = i && i->value && (stored || !i->sent) ? i->own : 0;
    pthread_mutex_unlock(&q->lock);
    return own;
}

/* ---- who waits ---- */

/* Hands out those of a list, with this outcome. */
static void tell_locked(struct coherence_batch *batch, struct coherence_waiter **list, int outcome)
{
    while (*list) {
        struct coherence_waiter *w = *list;
        *list = w->next;
        w->outcome = outcome;
        w->next = batch->told;
        batch->told = w;
    }
}

void coherence_waiters_tell(struct coherence_waiter **told)
{
    while (*told) {
        struct coherence_waiter *w = *told;
        *told = w->next;
        w->done(w); /* it is gone */
    }
}

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
    struct coherence_batch *batch = q->batch;
    pthread_mutex_lock(&q->lock);
    for (struct coherence_queue_item *i = q->first; i; i = i->next) {
        tell_locked(batch, &i->waiters, NIGH_ECLOSED);
        tell_locked(batch, &i->later, NIGH_ECLOSED);
    }
    pthread_mutex_unlock(&q->lock);
    coherence_waiters_tell(&batch->told);
}

/* ---- batches, by the keeper ---- */

static void lose_locked(struct coherence *c, struct coherence_batch *batch, uint32_t n)
    REQUIRES(c->queue->lock)
{
    struct coherence_queue_item *i = batch->members[n];
    drop_value_locked(c, i);
    batch->lost[n] = true;
    tell_locked(batch, &i->waiters, NIGH_QUEUED);
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
    batch->items[n] = item_named(i);
    if (i->value && (i->value->due_ns <= now_ns || i->value->identity != batch->known.identity))
        lose_locked(c, batch, n);
    batch->values[n] = i->value;
    batch->writes[n] = (struct coherence_write){.mode = L2_DELETE};
    if (!i->value)
        return;
    i->value->refs++;
    i->value->tried = true;
    batch->writes[n] = value_write(i->value);
    batch->schema = i->value->schema;
}

/* Whether the script takes the item's value beside those that it has. */
static bool takes(const struct coherence_batch *batch, const struct coherence_queue_item *i,
                  size_t bytes)
{
    return !i->value || !batch->schema ||
           (batch->schema == i->value->schema && bytes + i->value->len <= BATCH_VALUE_BYTES);
}

void coherence_queue_batch(struct coherence *c, struct coherence_batch *batch, uint64_t now_ns)
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

void coherence_queue_sent(struct coherence *c, struct coherence_batch *batch)
{
    struct coherence_queue *q = c->queue;
    if (!batch->schema)
        return;
    pthread_mutex_lock(&q->lock);
    for (uint32_t n = 0; n < batch->count; n++) {
        if (batch->values[n])
            value_unref_locked(c, batch->values[n]);
        batch->values[n] = NULL;
    }
    pthread_mutex_unlock(&q->lock);
}

bool coherence_queue_remove(struct coherence *c, struct coherence_batch *batch,
                            const struct l2_answer *answer)
{
    struct coherence_queue *q = c->queue;
    size_t keys = 0;
    pthread_mutex_lock(&q->lock);
    for (uint32_t n = 0; n < batch->count; n++) {
        struct coherence_queue_item *i = batch->members[n];
        bool wrote = batch->writes[n].mode != L2_DELETE;
        bool refused = wrote && l2_verdict_at(answer, keys) != L2_STORED;
        keys += i->kind == WIRE_KEY;
        if (refused)
            stats_count(c->config.stats, STATS_BACKGROUND_LOST);
        tell_locked(batch, &i->waiters, refused ? NIGH_REFUSED : 0);
        if (i->sent || (i->value && i->value->tried))
            drop_value_locked(c, i);
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

void coherence_queue_lose(struct coherence *c, struct coherence_batch *batch)
{
    pthread_mutex_lock(&c->queue->lock);
    for (uint32_t n = 0; n < batch->count; n++) {
        struct coherence_queue_item *i = batch->members[n];
        if (batch->writes[n].mode != L2_DELETE && i->value && i->value->tried)
            lose_locked(c, batch, n);
    }
    pthread_mutex_unlock(&c->queue->lock);
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
    pthread_mutex_lock(&q->lock);
    while (q->first) {
        struct coherence_queue_item *i = q->first;
        drop_value_locked(c, i);
        unlink_item_locked(q, i);
        if (i != q->all)
            item_free(c, i);
    }
    pthread_mutex_unlock(&q->lock);
    if (q->all)
        item_free(c, q->all);
    if (q->request.answer)
        l2_answer_free(q->request.answer);
    mem_free(mem, NULL, q->batch, sizeof(*q->batch));
    mem_free(mem, NULL, q->heads, q->head_count * sizeof(*q->heads));
    pthread_mutex_destroy(&q->lock);
}
