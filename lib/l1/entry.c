/* SPDX-License-Identifier: MIT */
/*
 * Making entries, counting references to them, freeing those that were never stored.
 *
 * Ordering: an unref releases, and the one that frees acquires (pair(entry.refs)), so every
 * holder's reads come before the bytes are freed. Reclamation acquires the same way (judge.c).
 */
#include "l1/core.h"

#include "l1/budget.h"
#include "l1/registry.h"

#define FRESH_MAX ((INT64_C(1) << ENTRY_FRESH_BITS) - 1)
#define FREED_BYTE 0xdb

static uint64_t ticks_between(int64_t from_ticks, uint64_t until_ns)
{
    int64_t until = (int64_t)(until_ns >> ENTRY_TICK_SHIFT);
    return until > from_ticks ? (uint64_t)(until - from_ticks) : 0;
}

/* Counts the groups that the extension has: a single one is in the header. */
static uint32_t extended_groups(const struct l1_value *v)
{
    return v->group_count > 1 ? v->group_count : 0;
}

static bool wants_extension(const struct l1_value *v)
{
    return v->version != 0 || extended_groups(v) != 0;
}

static size_t value_len(const struct l1_value *v)
{
    return v->flags & L1_ABSENT ? 0 : v->bytes.len;
}

static size_t size_of(size_t key_len, size_t value_len, bool extended, uint32_t group_count)
{
    if (!extended)
        return sizeof(struct l1_entry) + key_len + value_len;
    return entry_extension_offset(key_len, value_len) + sizeof(struct l1_extension) +
           group_count * sizeof(uint16_t);
}

size_t entry_size_of(const struct l1_key *key, const struct l1_value *v)
{
    return size_of(key->len, value_len(v), wants_extension(v), extended_groups(v));
}

size_t entry_size_extended(const struct l1_entry *e)
{
    const struct l1_extension *x = entry_extension(e);
    return size_of(entry_key_len(e), entry_value_len(e), true, x->group_count);
}

uint64_t entry_hash(const struct l1 *l1, const struct l1_entry *e)
{
    return hash_key_again(&l1->hash, entry_space(e), e->bytes, entry_key_len(e));
}

static uint32_t key_differs_4(const uint8_t *a, const uint8_t *b)
{
    uint32_t x, y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return x ^ y;
}

bool entry_key_equal_odd(const struct l1_entry *e, const void *key, size_t len)
{
    const uint8_t *a = e->bytes, *b = key;
    if (len - 4 < 4)
        return !(key_differs_4(a, b) | key_differs_4(a + len - 4, b + len - 4));
    return memcmp(e->bytes, key, len) == 0;
}

struct l1_key l1_key_of(const struct l1 *l1, uint32_t space_id, const void *key, size_t len)
{
    return (struct l1_key){key, (uint32_t)len, space_id,
                           hash_key(&l1->hash, space_id, key, len)};
}

/* The lifetimes of a value, as an entry has them. "For ever" lasts until the ticks end, when the
 * machine has been up for 9 years. A value may be older than the machine's clock, but the end of
 * its fresh time is at least 0, or it would be taken for a late one: there the birth moves by what
 * rounding took from the life. */
static struct entry_times times_of(const struct l1_value *v)
{
    int64_t born = v->born_ns >> ENTRY_TICK_SHIFT;
    if (NIGH_UNLIKELY(born > FRESH_MAX))
        born = FRESH_MAX;
    uint64_t life = u64_min(ticks_between(born, v->fresh_until_ns), (uint64_t)(FRESH_MAX - born));
    life = entry_ticks_pack(life, ENTRY_LIFE_BITS);
    int64_t fresh = born + (int64_t)entry_ticks_unpack(life, ENTRY_LIFE_BITS);
    if (NIGH_UNLIKELY(fresh < 0))
        fresh = 0;
    uint64_t stale = entry_ticks_pack(ticks_between(fresh, v->stale_until_ns), ENTRY_STALE_BITS);
    return (struct entry_times){life, (uint64_t)fresh & FRESH_MAX, stale};
}

static uint64_t label_of(const struct l1_key *key, const struct l1_value *v)
{
    return label_of_space(key->space) | label_of_key(key->len) |
           (v->flags & L1_ABSENT ? LABEL_ABSENT : v->bytes.len) << LABEL_VALUE_SHIFT |
           (v->group_count == 1 ? v->groups[0] : 0);
}

static void fill_extension(struct l1_entry *e, const struct l1_value *v)
{
    void *at = (char *)e + entry_extension_offset(entry_key_len(e), entry_value_len(e));
    struct l1_extension *x = at;
    x->version = v->version;
    x->group_count = extended_groups(v);
    if (x->group_count)
        memcpy(x->groups, v->groups, x->group_count * sizeof(*v->groups));
}

static inline void store_word(struct l1_entry *e, size_t index, uint64_t word)
{
    memcpy((char *)e + index * sizeof(word), &word, sizeof(word));
}

/* Write the header in whole words: from single fields a compiler builds words in memory, and loads
 * them before the stores have got there. */
static inline void store_head(struct l1_entry *e, uint32_t refs, uint32_t id, uint64_t stamp,
                              unsigned flags, const struct entry_times *times, uint64_t label)
{
    store_word(e, 0, entry_refs_of(id, refs) | (uint64_t)id << 32 | (uint64_t)ENTRY_COUNTED << 56);
    store_word(e, 1, times->stale | stamp << (ENTRY_STALE_BITS + ENTRY_EXPONENT_BITS));
    store_word(e, 2, times->life | (uint64_t)flags << (ENTRY_LIFE_BITS + ENTRY_EXPONENT_BITS) |
                         times->fresh << (64 - ENTRY_FRESH_BITS));
    store_word(e, 3, label);
    NIGH_DCHECK(e->slot == id && e->stale == times->stale && e->life == times->life &&
                e->flags == flags && e->fresh == times->fresh &&
                e->stamp == (stamp & ENTRY_STAMP_MASK));
}

/* Copy a key. Most have 16 to 32 bytes: for these two moves that overlap, in place of a call. */
static inline void copy_key(uint8_t *to, const uint8_t *key, size_t len)
{
    if (NIGH_LIKELY(len - 16 <= 16)) {
        memcpy(to, key, 16);
        memcpy(to + len - 16, key + len - 16, 16);
    } else {
        memcpy(to, key, len);
    }
}

void entry_fill(struct l1_entry *e, const struct l1 *l1, const struct l1_key *key,
                const struct l1_value *v, uint64_t stamp, uint32_t refs, uint8_t own_flags)
{
    NIGH_DCHECK(key->len && key->len <= NIGH_KEY_MAX && v->bytes.len <= NIGH_VALUE_MAX);
    NIGH_DCHECK(key->space <= L1_SPACES_MAX && v->group_count <= NIGH_TAGS_MAX);
    NIGH_DCHECK(!v->group_count ||
                (v->groups[0] >= GROUP_SLOT_TAGS && v->groups[0] < l1->floors->group_count));
    unsigned flags = own_flags | (v->flags & L1_REFRESHED) |
                     (wants_extension(v) ? ENTRY_EXTENDED : 0) |
                     (v->group_count > 1 ? ENTRY_MANY_TAGS : 0);
    struct entry_times times = times_of(v);
    store_head(e, refs, l1->id, stamp, flags, &times, label_of(key, v));
    copy_key(e->bytes, key->data, key->len);
    if (value_len(v))
        memcpy(e->bytes + key->len, v->bytes.data, value_len(v));
    if (NIGH_UNLIKELY(flags & ENTRY_EXTENDED))
        fill_extension(e, v);
}

void entry_fill_plain(struct l1_entry *e, const struct l1 *l1, const struct l1_key *key,
                      struct bytes value, const struct entry_times *times, uint64_t stamp)
{
    uint64_t label = label_of_space(key->space) | label_of_key(key->len) |
                     value.len << LABEL_VALUE_SHIFT;
    store_head(e, ENTRY_STORED, l1->id, stamp, 0, times, label);
    copy_key(e->bytes, key->data, key->len);
    if (NIGH_LIKELY(value.len))
        memcpy(e->bytes + key->len, value.data, value.len);
}

/* ---- loose entries ---- */

/* Up to this size loose entries come from a pool: each read that stores nothing makes one, which is
 * freed when its value is released. Sanitizers are to see where an entry ends: under them none is
 * pooled. */
#define LOOSE_POOLED_BYTES ((size_t)512)

static bool is_pooled(size_t size)
{
    return !NIGH_SANITIZED && size <= LOOSE_POOLED_BYTES;
}

struct pool *entry_loose_pool_create(struct mem *mem)
{
    return pool_create(mem, LOOSE_POOLED_BYTES, POOL_SLOTS);
}

static struct l1_entry *alloc_loose(struct l1 *l1, size_t size)
{
    return is_pooled(size) ? pool_take(l1->loose) : mem_alloc(l1->env->mem, NULL, size);
}

static void free_loose(struct l1 *l1, struct l1_entry *e, size_t size)
{
    if (is_pooled(size))
        pool_give(l1->loose, e);
    else
        mem_free(l1->env->mem, NULL, e, size);
}

struct l1_entry *entry_create_loose(struct l1 *l1, const struct l1_key *key,
                                    const struct l1_value *value)
{
    struct l1_entry *e = alloc_loose(l1, entry_size_of(key, value));
    if (e)
        entry_fill(e, l1, key, value, value->stamp, 1, ENTRY_LOOSE);
    return e;
}

/*
 * Holds loose entries that are made together: one allocation, freed with the last of them.
 *
 *     | l1_shared | -> shared | entry ... | -> shared | entry ... |
 *
 * Keys: (c) constant   (o) the thread that makes entries   (a) pair(l1.shared)
 */
struct l1_shared {
    struct mem *mem;       /* (c) */
    size_t size;           /* (c) bytes of the whole block */
    size_t used;           /* (o) bytes of `bytes` */
    _Atomic uint32_t refs; /* (a) the maker's, and one of each entry */
    _Alignas(8) char bytes[];
};

/* The most that an entry takes beside key and value: header, extension, pointer, rounding. */
#define SHARED_MORE_BYTES (sizeof(struct l1_entry) + sizeof(struct l1_extension) + 32u)

struct l1_shared *l1_shared_create(struct l1 *l1, uint32_t count, size_t bytes)
{
    size_t size = sizeof(struct l1_shared) + count * SHARED_MORE_BYTES + bytes;
    struct l1_shared *s = mem_alloc(l1->env->mem, NULL, size);
    if (s) {
        *s = (struct l1_shared){.mem = l1->env->mem, .size = size};
        atomic_init(&s->refs, 1);
    }
    return s;
}

void l1_shared_end(struct l1_shared *s)
{
    /* pair(l1.shared): release this holder's reads; the last one acquires all of them */
    if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        mem_free(s->mem, NULL, s, s->size);
}

static struct l1_entry *create_shared(struct l1_shared *s, size_t entry_size)
{
    size_t size = sizeof(s) + (entry_size + 7) / 8 * 8;
    char *at = s->bytes + s->used;
    if (size > s->size - sizeof(*s) - s->used)
        return NULL;
    memcpy(at, &s, sizeof(s));
    s->used += size;
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed); /* the maker has a reference */
    return (void *)(at + sizeof(s));
}

static void free_shared(const struct l1_entry *e)
{
    struct l1_shared *s;
    memcpy(&s, (const char *)e - sizeof(s), sizeof(s));
    l1_shared_end(s);
}

int l1_entry_create_loose(struct l1 *l1, const struct l1_key *key, const struct l1_value *value,
                          struct l1_shared *shared, struct l1_entry **ret_entry)
{
    struct l1_entry *e = shared ? create_shared(shared, entry_size_of(key, value)) : NULL;
    if (e) {
        entry_fill(e, l1, key, value, value->stamp, 1, ENTRY_LOOSE);
        entry_spare_set(e, ENTRY_SHARED);
    } else {
        e = entry_create_loose(l1, key, value);
    }
    if (!e)
        return NIGH_ENOMEM;
    *ret_entry = e;
    return 0;
}

void entry_copy_bytes(struct l1_entry *copy, const struct l1_entry *e, size_t size)
{
    size_t skip = sizeof(uint64_t);
    memcpy((char *)copy + skip, (const char *)e + skip, size - skip);
    atomic_init(&copy->spare, ENTRY_COUNTED);
}

struct l1_entry *entry_copy(struct l1 *l1, const struct l1_entry *e)
{
    size_t size = entry_size(e);
    struct l1_entry *copy = alloc_loose(l1, size);
    if (!copy)
        return NULL;
    entry_copy_bytes(copy, e, size);
    atomic_init(&copy->refs, entry_refs_of(l1->id, 1));
    copy->slot = l1->id & 0xffffff;
    copy->flags = (copy->flags | ENTRY_LOOSE) & 7u;
    return copy;
}

/* ---- the end ---- */

void entry_free(struct l1 *l1, struct mem_cache *cache, struct l1_entry *e)
{
    size_t size = entry_size(e);
    bool loose = l1_entry_loose(e), shared = loose && entry_spare(e) == ENTRY_SHARED;
#ifndef NDEBUG
    memset(e, FREED_BYTE, size); /* a late reader finds no plausible value */
#endif
    if (shared)
        free_shared(e);
    else if (loose)
        free_loose(l1, e, size);
    else
        mem_free(l1->mem, cache, e, size);
}

/* Give back the charge of an entry that was never stored and is about to be freed. Takes no
 * lock. */
static void forget_unstored(struct l1 *l1, const struct l1_entry *e)
{
    struct l1_shard *s = l1_shard_of(l1, entry_hash(l1, e));
    uint64_t bytes = entry_charge(l1, e);
    atomic_fetch_sub_explicit(&s->unstored_bytes, bytes, memory_order_relaxed);
    budget_return(l1, bytes);
}

static void free_unstored(struct l1_entry *e)
{
    struct l1 *l1 = l1_by_id(e->slot);
    if (!l1) /* inherited by fork: threads that are no more may have held the locks needed here */
        return;
    if (!l1_entry_loose(e))
        forget_unstored(l1, e);
    entry_free(l1, NULL, e);
}

void l1_entry_ref(struct l1_entry *e)
{
    /* Relaxed: the caller has a reference itself, or is in a section, so nothing needs an order. */
    uint32_t before = atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
    NIGH_CHECK(entry_refs_count(before) < ENTRY_REFS_MAX);
}

void l1_entry_unref(struct l1_entry *e)
{
    /* pair(entry.refs) */
    uint32_t before = atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel);
    NIGH_DCHECK(entry_refs_count(before));
    if (entry_refs_count(before) == 1 && !(before & ENTRY_STORED))
        free_unstored(e);
}
