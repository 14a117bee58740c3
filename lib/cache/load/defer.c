// SPDX-License-Identifier: MIT
/*
 * The table of names.
 *
 * A name is a number: which slot, which use of it, and an odd last bit, which no address has. A
 * slot is used again, a name is not (2^39 uses of a slot are more than a process lives). The slots
 * belong to the process and are never freed, so a name of any age finds its slot and is compared
 * with it under the slot's lock. They are as many as fills were deferred at one time.
 *
 * A slot remembers why its last name is over until it is used again, which is after all slots that
 * became free before it, and not while fewer than REMEMBERED are free. So who comes too late learns
 * why, unless so late that thousands have come between; he is then told NIGH_EINVAL.
 *
 * In a child of fork() the slots that it inherits may be locked for ever. It uses none of them: its
 * own lie behind them, and a name of one before those is told NIGH_EFORKED without a look.
 */
#include "cache/load/defer.h"

#include <nigh/error.h>
#include <pthread.h>
#include <stdlib.h>

#define FIRST_CHUNK 1024u /* slots; each further chunk has twice as many */
#define CHUNKS 14u
#define SLOTS_MAX (FIRST_CHUNK * ((1u << CHUNKS) - 1))
#define REMEMBERED 1024u
#define INDEX_BITS 24u
#define NO_SLOT UINT32_MAX

/* Keys: (l) its lock  (t) lock of the table */
struct slot {
    struct latch lock;
    uint32_t next;            /* (t) the slot that became free after it */
    uint64_t name;            /* (l) the last that this slot gave */
    struct nigh_fill *fill;   /* (l) NULL: the name is over */
    const struct nigh *cache; /* (l) */
    int why;                  /* (l) */
    bool waits;               /* (l) */
};

/* Keys: (t) lock  (a) atomic */
static struct table {
    struct latch lock;
    uint32_t oldest;                      /* (t) free slot to be used next */
    uint32_t newest;                      /* (t) */
    uint32_t free;                        /* (t) */
    _Atomic uint32_t count;               /* written (t); pair(defer.count) */
    _Atomic uint32_t inherited;           /* (a) relaxed: written in a child, before its threads */
    _Atomic(struct slot *) chunks[CHUNKS]; /* (a) constant below `count` */
} table = {.oldest = NO_SLOT, .newest = NO_SLOT};

/* ---- slots ---- */

static uint32_t chunk_of(uint32_t index)
{
    return 31u - (uint32_t)__builtin_clz(index / FIRST_CHUNK + 1);
}

static struct slot *slot_at(uint32_t index)
{
    uint32_t chunk = chunk_of(index);
    /* Relaxed: whoever has the index has seen the count. */
    struct slot *slots = atomic_load_explicit(&table.chunks[chunk], memory_order_relaxed);
    return &slots[index + FIRST_CHUNK - (FIRST_CHUNK << chunk)];
}

static uint32_t count(void)
{
    /* pair(defer.count): acquire the chunk */
    return atomic_load_explicit(&table.count, memory_order_acquire);
}

/* Adds the slots of one more chunk, if the count has come to its first. */
static bool add_chunk_locked(uint32_t index) REQUIRES(table.lock)
{
    uint32_t chunk = chunk_of(index);
    if (atomic_load_explicit(&table.chunks[chunk], memory_order_relaxed))
        return true;
    struct slot *slots =
        fault_fires(FAULT_ALLOC) ? NULL : calloc(FIRST_CHUNK << chunk, sizeof(*slots));
    atomic_store_explicit(&table.chunks[chunk], slots, memory_order_relaxed);
    return slots;
}

/* Takes the slot that has been free for longest, or a new one. NO_SLOT: no memory. */
static uint32_t take_locked(void) REQUIRES(table.lock)
{
    uint32_t index = table.oldest;
    if (table.free > REMEMBERED) {
        table.oldest = slot_at(index)->next;
        table.free--;
        return index;
    }
    index = atomic_load_explicit(&table.count, memory_order_relaxed);
    if (index == SLOTS_MAX || !add_chunk_locked(index))
        return NO_SLOT;
    /* pair(defer.count): release the chunk */
    atomic_store_explicit(&table.count, index + 1, memory_order_release);
    return index;
}

static void give_back(uint32_t index)
{
    latch_lock(&table.lock);
    slot_at(index)->next = NO_SLOT;
    if (table.free++ > 0)
        slot_at(table.newest)->next = index;
    else
        table.oldest = index;
    table.newest = index;
    latch_unlock(&table.lock);
}

/* ---- fork ---- */

/* The list may have been under way to another state: the child begins without free slots. */
static void begin_anew(void)
{
    table.lock = (struct latch){0};
    table.free = 0;
    atomic_store_explicit(&table.inherited, count(), memory_order_relaxed);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, begin_anew);
}

/* ---- names ---- */

static uint32_t index_of(const struct nigh_fill *name)
{
    return (uint32_t)((uintptr_t)name >> 1) & ((1u << INDEX_BITS) - 1);
}

static uint64_t next_name(uint64_t last, uint32_t index)
{
    uint64_t use = (last >> (INDEX_BITS + 1)) + 1;
    return use << (INDEX_BITS + 1) | (uint64_t)index << 1 | 1;
}

struct nigh_fill *defer_name(struct nigh_fill *fill, const struct nigh *cache)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    latch_lock(&table.lock);
    uint32_t index = take_locked();
    latch_unlock(&table.lock);
    if (index == NO_SLOT)
        return NULL;
    struct slot *s = slot_at(index);
    latch_lock(&s->lock);
    s->name = next_name(s->name, index);
    s->fill = fill;
    s->cache = cache;
    s->waits = false;
    uint64_t name = s->name;
    latch_unlock(&s->lock);
    return (struct nigh_fill *)(uintptr_t)name;
}

/* Unchecked: users of a name do not see its lock. */
int defer_lock(const struct nigh_fill *name, struct nigh_fill **ret_fill) LOCKS_UNCHECKED
{
    uint32_t index = index_of(name);
    if (index < atomic_load_explicit(&table.inherited, memory_order_relaxed))
        return NIGH_EFORKED;
    if (index >= count())
        return NIGH_EINVAL;
    struct slot *s = slot_at(index);
    latch_lock(&s->lock);
    if (s->name == (uintptr_t)name && s->fill) {
        *ret_fill = s->fill;
        return 0;
    }
    int why = s->name == (uintptr_t)name ? s->why : NIGH_EINVAL;
    latch_unlock(&s->lock);
    return why;
}

void defer_unlock(const struct nigh_fill *name) LOCKS_UNCHECKED
{
    latch_unlock(&slot_at(index_of(name))->lock);
}

bool defer_waits(const struct nigh_fill *name)
{
    return slot_at(index_of(name))->waits;
}

void defer_wait(const struct nigh_fill *name)
{
    slot_at(index_of(name))->waits = true;
}

void defer_end(const struct nigh_fill *name, int why) LOCKS_UNCHECKED
{
    uint32_t index = index_of(name);
    struct slot *s = slot_at(index);
    s->fill = NULL;
    s->why = why;
    latch_unlock(&s->lock);
    give_back(index);
}

/* ---- all of a cache ---- */

static struct nigh_fill *take_at(uint32_t index, const struct nigh *cache, int why,
                                 bool (*wanted)(const struct nigh_fill *fill)) LOCKS_UNCHECKED
{
    struct slot *s = slot_at(index);
    latch_lock(&s->lock);
    struct nigh_fill *fill = s->cache == cache && s->waits ? s->fill : NULL;
    if (fill && !wanted(fill))
        fill = NULL;
    if (fill)
        defer_end((struct nigh_fill *)(uintptr_t)s->name, why);
    else
        latch_unlock(&s->lock);
    return fill;
}

struct nigh_fill *defer_take(const struct nigh *cache, int why, uint32_t *from,
                             bool (*wanted)(const struct nigh_fill *fill))
{
    struct nigh_fill *fill = NULL;
    uint32_t end = count();
    *from = (uint32_t)u64_max(*from,
                              atomic_load_explicit(&table.inherited, memory_order_relaxed));
    while (*from < end && !fill)
        fill = take_at((*from)++, cache, why, wanted);
    return fill;
}
