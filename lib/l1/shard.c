/* SPDX-License-Identifier: MIT */
/*
 * A shard's lock, its table and its ring: growing them with the entries, and giving back what these
 * do not need. (Entries enter and leave in files of their own: enter.h, leave.h.)
 */
#include "l1/shard.h"

#include "l1/expiry.h"
#include "l1/leave.h"
#include "l1/limbo.h"
#include "l1/room.h"

/* The table doubles when buckets hold 5.25 entries on average: 15 % of them then have overflowed,
 * and a lookup reads 1.06 buckets. */
#define GROW_PER_4_BUCKETS 21u

/* A chain at its limit makes the table double only above this load: crafted keys, which no doubling
 * spreads, shall not buy memory. */
#define LONG_CHAIN_PER_BUCKET 2u

/* Overflow buckets allowed to a table when it is filled by doubling, one in so many buckets: an
 * honest hash needs one in 200 at a load of 2.6. */
#define DOUBLE_EXTEND_SHARE 16u
#define DOUBLE_EXTEND_MIN 8u

/* The next table is made when the last 32nd of the present one fills: early enough to be there in
 * time, late enough to add no more than 0.7 bytes to the mean entry. */
#define MAKE_AHEAD_SHARE 32u
#define MAKE_AHEAD_BITS 10u /* below, it is made in microseconds */

/* A table that is folded begins at a load of up to 3.5: one bucket in 37 overflows. */
#define FIT_PER_2_BUCKETS 7u
#define FOLD_EXTEND_SHARE 8u

/* ---- table ---- */

static uint32_t grow_limit(const struct l1_table *t)
{
    return (uint32_t)u64_min((UINT64_C(1) << t->bits) * GROW_PER_4_BUCKETS / 4, UINT32_MAX);
}

static void set_table(struct l1_shard *s, struct l1_table *t)
{
    s->grow_at = grow_limit(t);
    s->make_at = s->grow_at - (t->bits < MAKE_AHEAD_BITS ? 0 : s->grow_at / MAKE_AHEAD_SHARE);
    /* pair(shard.table): a reader sees it filled */
    atomic_store_explicit(s->table, (uintptr_t)t | t->bits, memory_order_release);
}

/* Whether the table may double. Index bits beyond the tag would have to come from the keys, and a
 * shard's ring ends there too. And the old table goes to limbo, which must have room. */
static bool may_grow_locked(const struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock)
{
    return shard_table_locked(s)->bits < l1->hit.base_bits + TABLE_TAG_BITS && !limbo_is_full(l1);
}

/* Make the table for the next doubling, outside the lock: the kernel zeroes new memory page by
 * page, which took half of the time that the lock was held. */
static void make_next_table(struct l1 *l1, struct l1_shard *s)
{
    l1_shard_lock(s);
    uint32_t bits = shard_table_locked(s)->bits + 1;
    uint64_t bytes = table_bytes(l1->mem, bits);
    bool wanted = !s->next_table && may_grow_locked(l1, s) && room_take_locked(l1, s, bytes);
    l1_shard_unlock(l1, s);
    if (!wanted)
        return;
    struct l1_table *made = table_create(l1->mem, bits, l1->hit.base_bits);
    l1_shard_lock(s);
    if (made && !s->next_table && shard_table_locked(s)->bits + 1 == bits) {
        s->next_table = made;
        made = NULL;
    } else {
        budget_give_locked(l1, s, bytes);
    }
    l1_shard_unlock(l1, s);
    if (made)
        table_destroy(l1->mem, made);
}

static void drop_next_table_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock)
{
    if (!s->next_table)
        return;
    budget_give_locked(l1, s, s->next_table->charged_bytes);
    table_destroy(l1->mem, s->next_table);
    s->next_table = NULL;
}

/* Take an empty table, charged; NULL: no room or no memory. */
static struct l1_table *take_table_locked(struct l1 *l1, struct l1_shard *s, uint32_t bits)
    REQUIRES(s->lock)
{
    struct l1_table *t = s->next_table;
    if (t && t->bits == bits) {
        s->next_table = NULL;
        return t;
    }
    drop_next_table_locked(l1, s);
    uint64_t bytes = table_bytes(l1->mem, bits);
    if (!room_take_locked(l1, s, bytes))
        return NULL;
    t = table_create(l1->mem, bits, l1->hit.base_bits);
    if (!t)
        budget_give_locked(l1, s, bytes);
    return t;
}

/* Make a table of another size and fill it from the present one by `fill`, which may need so many
 * overflow buckets. NULL: no room, no memory, or a hash that needs more of them. */
static struct l1_table *refilled_locked(struct l1 *l1, struct l1_shard *s, uint32_t bits,
                                        uint32_t extends, table_fill_fn *fill) REQUIRES(s->lock)
{
    uint64_t bytes = extends * table_extend_bytes(l1->mem);
    struct l1_table *to = take_table_locked(l1, s, bits);
    if (!to)
        return NULL;
    bool room = room_take_locked(l1, s, bytes);
    if (room && fill(l1->mem, shard_table_locked(s), to, extends)) {
        budget_give_locked(l1, s, table_bytes(l1->mem, bits) + bytes - to->charged_bytes);
        return to;
    }
    budget_give_locked(l1, s, table_bytes(l1->mem, bits) + (room ? bytes : 0));
    table_destroy(l1->mem, to);
    return NULL;
}

/* Double the table; readers go on in the old one meanwhile. If that fails, the next try comes when
 * there are an eighth more entries. */
static bool grow_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock)
{
    struct l1_table *from = shard_table_locked(s);
    uint32_t extends = (1u << from->bits) / DOUBLE_EXTEND_SHARE + DOUBLE_EXTEND_MIN;
    struct l1_table *to = may_grow_locked(l1, s)
                              ? refilled_locked(l1, s, from->bits + 1, extends, table_double)
                              : NULL;
    if (!to) {
        s->grow_at = s->make_at = s->entries + s->entries / 8 + 1;
        return false;
    }
    set_table(s, to);
    limbo_retire_table_locked(l1, s, from);
    stats_count(l1->stats, STATS_L1_GROW);
    return true;
}

void l1_shard_grow_soon_locked(struct l1 *l1, struct l1_shard *s)
{
    if (s->entries >= s->grow_at) {
        grow_locked(l1, s); /* if that fails, chains get longer, up to their limit */
    } else {
        s->wants_table = true; /* made by the thread that unlocks */
        s->make_at = s->grow_at;
    }
}

/* ---- lock ---- */

/* The kernel's clock, also where a host or a test has another: it is threads that wait here. */
void l1_shard_lock_slow(struct l1_shard *s)
{
    uint64_t began_ns = clock_kernel_ns(CLOCK_MONOTONIC);
    latch_lock_slow(&s->lock);
    s->lock_waits++;
    s->lock_wait_ns += clock_kernel_ns(CLOCK_MONOTONIC) - began_ns;
}

void l1_shard_unlock_slow(struct l1 *l1, struct l1_shard *s)
{
    bool poke = s->poke;
    bool wants_table = s->wants_table;
    s->poke = false;
    s->wants_table = false;
    latch_unlock(&s->lock);
    if (poke && l1->poke)
        l1->poke(l1->poke_arg);
    if (wants_table)
        make_next_table(l1, s);
}

/* ---- places ---- */

static bool extend_chain_locked(struct l1 *l1, struct l1_shard *s, uint64_t hash) REQUIRES(s->lock)
{
    uint64_t bytes = table_extend_bytes(l1->mem);
    if (!room_take_locked(l1, s, bytes))
        return false;
    struct l1_place place = table_place(shard_table_locked(s), hash);
    if (place.word || /* eviction has freed a word meanwhile */
        !table_extend(l1->mem, shard_table_locked(s), place.last)) {
        budget_give_locked(l1, s, bytes);
        return place.word;
    }
    return true;
}

/* Evict the coldest of a chain that can get no longer. That wants no room, which core_note_short()
 * would say: with a larger cap, too, keys that collide drive one another out. Where room is short
 * for a larger table or one more bucket, room_take_locked() has evicted, and that was noted; or
 * limbo is full, and who stores notes that he is refused. */
static bool evict_from_chain_locked(struct l1 *l1, struct l1_shard *s, uint64_t hash)
    REQUIRES(s->lock)
{
    if (limbo_is_full(l1) || !l1->policy->victim)
        return false;
    struct l1_entry *e = table_chain_coldest(&l1->hit, shard_table_locked(s), hash);
    if (!e)
        return true; /* the whole chain went when room was sought for one more bucket */
    l1_shard_remove_locked(l1, s, e, L1_FATE_EVICTED);
    return true;
}

_Atomic uint64_t *l1_shard_place_slow_locked(struct l1 *l1, struct l1_shard *s, uint64_t hash)
{
    struct l1_place place = table_place(shard_table_locked(s), hash);
    if (NIGH_LIKELY(place.word))
        return place.word;
    if (place.length >= BUCKET_CHAIN_MAX) {
        stats_count(l1->stats, STATS_L1_LONG_CHAIN);
        if (s->entries >= LONG_CHAIN_PER_BUCKET << shard_table_locked(s)->bits)
            grow_locked(l1, s);
        place = table_place(shard_table_locked(s), hash);
    }
    if (!place.word && (place.length >= BUCKET_CHAIN_MAX || !extend_chain_locked(l1, s, hash)) &&
        !evict_from_chain_locked(l1, s, hash))
        return NULL;
    return table_place(shard_table_locked(s), hash).word;
}

/* ---- ring ---- */

/* Make room for the expiry bounds of so many slots; for twice as many as before at least, as they
 * take few bytes. */
static bool grow_due_locked(struct l1 *l1, struct l1_shard *s, uint32_t capacity) REQUIRES(s->lock)
{
    struct l1_ring *r = &s->ring;
    if (capacity / RING_GROUP <= r->due_groups)
        return true;
    uint32_t groups = u32_max(capacity / RING_GROUP, 2 * r->due_groups);
    void *due = room_resize_locked(l1, s, r->due, ring_due_size(r->due_groups),
                                   ring_due_size(groups));
    if (!due)
        return false;
    r->due = due;
    r->due_groups = groups;
    return true;
}

bool l1_shard_grow_ring_locked(struct l1 *l1, struct l1_shard *s)
{
    if (s->ring.limit < s->ring.capacity) { /* the ring was to be cut, and is needed again */
        ring_set_limit(&s->ring, s->ring.capacity);
        return s->ring.free.head != RING_NONE || l1_shard_grow_ring_locked(l1, s);
    }
    uint32_t capacity = ring_next_capacity(&s->ring);
    if (!capacity)
        return false;
    if (!grow_due_locked(l1, s, capacity))
        return false;
    void *words = room_resize_locked(l1, s, s->ring.words, ring_words_size(s->ring.capacity),
                                     ring_words_size(capacity));
    if (!words)
        return false;
    ring_grow(&s->ring, words, capacity);
    return true;
}

/* ---- shrinking ---- */

/* Size of the table (log2 of its buckets) at which the shard's entries load it as planned. */
static uint32_t fitting_bits(const struct l1 *l1, const struct l1_shard *s)
{
    uint32_t bits = l1->hit.base_bits;
    while ((UINT64_C(1) << bits) * FIT_PER_2_BUCKETS / 2 < s->entries)
        bits++;
    return bits;
}

/* Capacity of the ring for the shard's entries and an eighth of free slots, so that the next
 * entries need not grow it again; the present one where that saves less than a quarter. */
static uint32_t fitting_capacity(const struct l1_shard *s)
{
    uint32_t slots = s->entries + s->entries / 8 + RING_GROUP;
    slots = (slots + RING_GROUP - 1) / RING_GROUP * RING_GROUP;
    return slots < s->ring.capacity / 4 * 3 ? slots : s->ring.capacity;
}

/* Bytes charged for a ring and a policy of so many slots, without the expiry bounds, which are not
 * cut. */
static uint64_t arrays_bytes(const struct l1 *l1, uint32_t slots)
{
    return mem_array_charge(l1->mem, ring_words_size(slots)) +
           (l1->policy->bytes ? l1->policy->bytes(l1, slots) : 0);
}

uint64_t l1_shard_slack_locked(struct l1 *l1, struct l1_shard *s)
{
    uint64_t arrays = arrays_bytes(l1, s->ring.capacity) - arrays_bytes(l1, fitting_capacity(s));
    const struct l1_table *t = shard_table_locked(s);
    uint32_t bits = fitting_bits(l1, s);
    /* Overflow buckets alone are no slack: they would be there after a fold, too. */
    uint64_t next = s->next_table ? s->next_table->charged_bytes : 0;
    return arrays + next + (bits < t->bits ? t->charged_bytes - table_bytes(l1->mem, bits) : 0);
}

void l1_shard_fit_locked(struct l1 *l1, struct l1_shard *s)
{
    struct l1_table *from = shard_table_locked(s);
    uint32_t bits = fitting_bits(l1, s);
    uint32_t extends = (1u << bits) / FOLD_EXTEND_SHARE + DOUBLE_EXTEND_MIN;
    drop_next_table_locked(l1, s);
    struct l1_table *to =
        bits < from->bits ? refilled_locked(l1, s, bits, extends, table_fold) : NULL;
    if (to) {
        set_table(s, to);
        limbo_retire_table_locked(l1, s, from);
    }
    uint32_t capacity = fitting_capacity(s);
    if (capacity < s->ring.limit)
        ring_set_limit(&s->ring, capacity);
}

void l1_shard_trim_locked(struct l1 *l1, struct l1_shard *s)
{
    if (!ring_may_cut(&s->ring))
        return;
    void *words = room_resize_locked(l1, s, s->ring.words, ring_words_size(s->ring.capacity),
                                     ring_words_size(s->ring.limit));
    if (!words)
        return;
    ring_cut(&s->ring, words);
    if (l1->policy->prepare)
        l1->policy->prepare(l1, s); /* if it fails, the policy has more memory than it needs */
}

/* ---- init, fini ---- */

uint64_t l1_shard_empty_bytes(const struct l1 *l1)
{
    struct l1_ring none = {0};
    uint32_t slots = ring_next_capacity(&none);
    return sizeof(struct l1_shard) + table_bytes(l1->mem, l1->hit.base_bits) +
           mem_array_charge(l1->mem, ring_due_size(slots / RING_GROUP)) + arrays_bytes(l1, slots);
}

uint64_t l1_shard_tables_bytes_locked(struct l1_shard *s)
{
    return shard_table_locked(s)->charged_bytes +
           (s->next_table ? s->next_table->charged_bytes : 0) + s->arrays_bytes;
}

uint64_t l1_shard_pages_bytes_locked(struct l1_shard *s)
{
    return table_pages_bytes(shard_table_locked(s)) +
           (s->next_table ? table_pages_bytes(s->next_table) : 0) + s->arrays_pages_bytes;
}

static void free_ring(struct l1 *l1, struct l1_shard *s)
{
    mem_array_free(l1->mem, s->ring.words, ring_words_size(s->ring.capacity));
    mem_array_free(l1->mem, s->ring.due, ring_due_size(s->ring.due_groups));
}

/* Unchecked: nobody else sees the shard yet. */
int l1_shard_init(struct l1 *l1, struct l1_shard *s) LOCKS_UNCHECKED
{
    struct l1_table *t = table_create(l1->mem, l1->hit.base_bits, l1->hit.base_bits);
    if (!t)
        return NIGH_ENOMEM;
    s->retired = s->waiting = s->ready = L1_LIST_EMPTY;
    s->aside = s->aside_waiting = s->held = s->held_waiting = L1_LIST_EMPTY;
    s->ring.free = L1_LIST_EMPTY;
    if (!l1_shard_grow_ring_locked(l1, s) || (l1->policy->init && l1->policy->init(l1, s) != 0)) {
        free_ring(l1, s);
        table_destroy(l1->mem, t);
        return NIGH_ENOMEM;
    }
    s->cache = mem_cache_create(l1->mem); /* NULL is slower, not wrong */
    set_table(s, t);
    return 0;
}

static void free_tables(struct l1 *l1, struct l1_table *t)
{
    while (t) {
        struct l1_table *next = t->next;
        table_destroy(l1->mem, t);
        t = next;
    }
}

/* Unchecked: nobody else sees the shard any more. */
void l1_shard_fini(struct l1 *l1, struct l1_shard *s) LOCKS_UNCHECKED
{
    for (uint32_t slot = 0; slot < s->ring.capacity; slot++)
        if (ring_entry(&s->ring, slot))
            entry_free(l1, s->cache, ring_entry(&s->ring, slot));
    if (l1->policy->fini)
        l1->policy->fini(l1, s);
    free_ring(l1, s);
    free_tables(l1, s->next_table);
    free_tables(l1, s->retired_tables);
    table_destroy(l1->mem, shard_table_locked(s));
    if (s->cache)
        mem_cache_destroy(s->cache);
}
