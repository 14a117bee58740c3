/* SPDX-License-Identifier: MIT */
/*
 * Storing, removing, evicting, growing: what writers do to a shard, under its lock.
 *
 * Anything that makes room may evict, also the entry that a store is about to replace. So a store
 * first gets all it may need (a slot in the ring, a table of the right size, a place in the chain)
 * and looks at what is there last.
 */
#include "l1/shard.h"

#include "l1/expiry.h"
#include "l1/reclaim.h"
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

/* A table that is folded begins at a load of up to 3.5: one bucket in 37 overflows. */
#define FIT_PER_2_BUCKETS 7u
#define FOLD_EXTEND_SHARE 8u

/* ---- lock ---- */

void l1_shard_lock(struct l1_shard *s)
{
    pthread_mutex_lock(&s->lock);
}

void l1_shard_unlock(struct l1 *l1, struct l1_shard *s)
{
    bool poke = s->poke;
    s->poke = false;
    pthread_mutex_unlock(&s->lock);
    if (poke && l1->poke)
        l1->poke(l1->poke_arg);
}

/* ---- table ---- */

static uint32_t grow_limit(const struct l1_table *t)
{
    return (uint32_t)u64_min((UINT64_C(1) << t->bits) * GROW_PER_4_BUCKETS / 4, UINT32_MAX);
}

static void set_table(struct l1_shard *s, struct l1_table *t)
{
    s->grow_at = grow_limit(t);
    /* pair(shard.table): a reader sees it filled */
    atomic_store_explicit(s->table, (uintptr_t)t | t->bits, memory_order_release);
}

/* The doubled table, charged for what it takes; NULL: no room or no memory. */
static struct l1_table *doubled(struct l1 *l1, struct l1_shard *s)
{
    uint32_t bits = shard_table_locked(s)->bits + 1;
    uint64_t bytes = table_bytes(l1->mem, bits);
    uint32_t extends = (1u << (bits - 1)) / DOUBLE_EXTEND_SHARE + DOUBLE_EXTEND_MIN;
    uint64_t extends_bytes = extends * table_extend_bytes(l1->mem);
    if (!room_take_locked(l1, s, bytes + extends_bytes))
        return NULL;
    struct l1_table *to = table_create(l1->mem, s->cache, bits, l1->hit.base_bits);
    if (!to) {
        room_give_locked(l1, s, bytes + extends_bytes);
        return NULL;
    }
    if (!table_double(l1->mem, s->cache, shard_table_locked(s), to, extends)) {
        table_destroy(l1->mem, s->cache, to);
        room_give_locked(l1, s, bytes + extends_bytes);
        return NULL;
    }
    room_give_locked(l1, s, bytes + extends_bytes - to->charged_bytes);
    return to;
}

/* Double the table; readers go on in the old one meanwhile. Failed: try again an eighth later. */
static bool grow_locked(struct l1 *l1, struct l1_shard *s)
{
    struct l1_table *from = shard_table_locked(s);
    /* Index bits beyond the tag would have to come from the keys; a shard's ring ends there too. */
    bool possible = from->bits < l1->hit.base_bits + TABLE_TAG_BITS;
    struct l1_table *to = possible ? doubled(l1, s) : NULL;
    if (!to) {
        s->grow_at = s->entries + s->entries / 8 + 1;
        return false;
    }
    set_table(s, to);
    reclaim_retire_table_locked(l1, s, from);
    stats_count(l1->stats, STATS_L1_GROW);
    return true;
}

static bool extend_chain(struct l1 *l1, struct l1_shard *s, uint64_t hash)
{
    uint64_t bytes = table_extend_bytes(l1->mem);
    if (!room_take_locked(l1, s, bytes))
        return false;
    struct l1_place place = table_place(shard_table_locked(s), hash);
    if (place.word || /* eviction made one free meanwhile */
        !table_extend(l1->mem, s->cache, shard_table_locked(s), place.last)) {
        room_give_locked(l1, s, bytes);
        return place.word;
    }
    return true;
}

static bool evict_from_chain(struct l1 *l1, struct l1_shard *s, uint64_t hash)
{
    if (reclaim_limbo_full(l1) || !l1->policy->victim)
        return false;
    l1_shard_remove_locked(l1, s, table_chain_coldest(shard_table_locked(s), hash));
    stats_count(l1->stats, STATS_L1_EVICT);
    return true;
}

/* A free word for one more entry of this hash; NULL: no room. */
static _Atomic uint64_t *free_word(struct l1 *l1, struct l1_shard *s, uint64_t hash)
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
    if (!place.word &&
        (place.length >= BUCKET_CHAIN_MAX || !extend_chain(l1, s, hash)) &&
        !evict_from_chain(l1, s, hash))
        return NULL;
    return table_place(shard_table_locked(s), hash).word;
}

/* ---- ring ---- */

static bool grow_ring(struct l1 *l1, struct l1_shard *s)
{
    if (s->ring.limit < s->ring.capacity) { /* it was to be cut, and is needed again */
        ring_set_limit(&s->ring, s->ring.capacity);
        return s->ring.free.head != RING_NONE || grow_ring(l1, s);
    }
    uint32_t capacity = ring_next_capacity(&s->ring);
    if (!capacity)
        return false;
    uint64_t bytes = mem_charge(l1->mem, ring_size(capacity));
    if (!room_take_locked(l1, s, bytes))
        return false;
    void *block = mem_alloc(l1->mem, s->cache, ring_size(capacity));
    if (!block) {
        room_give_locked(l1, s, bytes);
        return false;
    }
    size_t old_size = ring_size(s->ring.capacity);
    void *old = ring_move(&s->ring, block, capacity);
    mem_free(l1->mem, s->cache, old, old_size);
    if (old)
        room_give_locked(l1, s, mem_charge(l1->mem, old_size));
    return true;
}

/* ---- storing ---- */

/* Unversioned values cannot be compared, and what has expired is no longer there. */
static bool is_newer(const struct l1_entry *there, const struct l1_entry *e, uint64_t now_ns)
{
    uint64_t version = l1_entry_version(e);
    return version && l1_entry_version(there) > version && now_ns < l1_entry_stale_until_ns(there);
}

static bool is_current(const struct l1 *l1, const struct l1_key *key, const struct l1_entry *e)
{
    const uint16_t *groups;
    uint32_t count = l1_entry_groups(e, &groups);
    return e->stamp >= floors_of_key(&l1->floors, key->hash) &&
           floors_judge(&l1->floors, e->stamp, l1_entry_space_slot(e), groups, count) == L1_CURRENT;
}

static void policy_remove(struct l1 *l1, struct l1_shard *s, uint32_t slot)
{
    if (l1->policy->remove)
        l1->policy->remove(l1, s, slot);
}

/* Make `e` the ring's youngest and publish it in `word`, in place of `old` (or NULL). */
static void publish(struct l1 *l1, struct l1_shard *s, _Atomic uint64_t *word, uint64_t hash,
                    struct l1_entry *e, struct l1_entry *old, uint64_t now_ns)
{
    uint16_t tick = expiry_tick(l1_entry_stale_until_ns(e), now_ns);
    uint32_t slot = ring_take(&s->ring, e, tick);
    e->slot = slot & 0xffffff;
    expiry_note_locked(s, slot, tick, now_ns);
    l1->policy->insert(l1, s, slot, hash, old);
    atomic_fetch_sub_explicit(&s->unstored_bytes, mem_charge(l1->mem, entry_size(e)),
                              memory_order_relaxed);
    atomic_fetch_or_explicit(&e->refs, ENTRY_STORED, memory_order_relaxed);
    table_publish(word, table_tag(hash, l1->hit.base_bits), e);
    if (old) {
        policy_remove(l1, s, old->slot);
        reclaim_retire_locked(l1, s, old->slot);
    } else {
        s->entries++;
    }
}

/* The ring has a slot and the table its size. */
static bool prepare(struct l1 *l1, struct l1_shard *s)
{
    if (s->entries >= s->grow_at)
        grow_locked(l1, s); /* if not, chains get longer, up to their limit */
    if (s->ring.free.head == RING_NONE && !grow_ring(l1, s))
        return false;
    return !l1->policy->prepare || l1->policy->prepare(l1, s);
}

/* One entry more is one too many. */
static bool is_at_entries_max(const struct l1 *l1, const struct l1_shard *s)
{
    return l1->shard_entries_max && s->entries >= l1->shard_entries_max;
}

/* The newcomer may be the one who has to go. */
static void keep_entries_max(struct l1 *l1, struct l1_shard *s)
{
    while (l1->shard_entries_max && s->entries > l1->shard_entries_max)
        if (!l1_shard_evict_locked(l1, s))
            return;
}

enum l1_store_result l1_shard_store_locked(struct l1 *l1, struct l1_shard *s,
                                           const struct l1_key *key, struct l1_entry *e)
{
    if (!is_current(l1, key, e))
        return L1_REFUSED_FLOOR;
    bool prepared = !l1_entry_loose(e) && prepare(l1, s);
    uint64_t now_ns = clock_coarse_ns(l1->env->clock);
    _Atomic uint64_t *word = table_word_of_key(shard_table_locked(s), key);
    struct l1_entry *old =
        word ? table_word_entry(atomic_load_explicit(word, memory_order_relaxed)) : NULL;
    if (old && is_newer(old, e, now_ns))
        return L1_REFUSED_VERSION;
    bool replaces = old || is_at_entries_max(l1, s);
    if (!prepared || (replaces && reclaim_limbo_full(l1)))
        return L1_REFUSED_FULL;
    if (!old && replaces && !l1->policy->victim)
        return L1_REFUSED_FULL;
    if (!old)
        word = free_word(l1, s, key->hash);
    if (!word)
        return L1_REFUSED_FULL;
    publish(l1, s, word, key->hash, e, old, now_ns);
    keep_entries_max(l1, s);
    return L1_STORED;
}

/* ---- removing ---- */

uint64_t l1_shard_remove_locked(struct l1 *l1, struct l1_shard *s, struct l1_entry *e)
{
    _Atomic uint64_t *word = table_word_of_entry(shard_table_locked(s), entry_hash(l1, e), e);
    NIGH_CHECK(word);
    table_clear(word);
    s->entries--;
    policy_remove(l1, s, e->slot);
    return reclaim_retire_locked(l1, s, e->slot);
}

static uint64_t evict(struct l1 *l1, struct l1_shard *s)
{
    if (!s->entries || !l1->policy->victim)
        return 0;
    uint32_t slot = l1->policy->victim(l1, s);
    if (slot == RING_NONE)
        return 0;
    stats_count(l1->stats, STATS_L1_EVICT);
    return l1_shard_remove_locked(l1, s, ring_entry(&s->ring, slot));
}

uint64_t l1_shard_evict_locked(struct l1 *l1, struct l1_shard *s)
{
    return reclaim_limbo_full(l1) ? 0 : evict(l1, s);
}

uint64_t l1_shard_shed_locked(struct l1 *l1, struct l1_shard *s, uint32_t most)
{
    uint64_t sum = 0;
    for (uint64_t bytes; most-- && (bytes = evict(l1, s));)
        sum += bytes;
    return sum;
}

/* ---- shrinking ---- */

/* The size at which so many entries load the table as planned. */
static uint32_t fitting_bits(const struct l1 *l1, const struct l1_shard *s)
{
    uint32_t bits = l1->hit.base_bits;
    while ((UINT64_C(1) << bits) * FIT_PER_2_BUCKETS / 2 < s->entries)
        bits++;
    return bits;
}

/* With an eighth of free slots, so that what comes next need not grow it again. */
static uint32_t fitting_capacity(const struct l1_shard *s)
{
    uint32_t slots = s->entries + s->entries / 8 + RING_GROUP;
    slots = (slots + RING_GROUP - 1) / RING_GROUP * RING_GROUP;
    return slots < s->ring.capacity / 4 * 3 ? slots : s->ring.capacity;
}

uint64_t l1_shard_slack_locked(struct l1 *l1, struct l1_shard *s)
{
    uint64_t ring = mem_charge(l1->mem, ring_size(s->ring.capacity)) -
                    mem_charge(l1->mem, ring_size(fitting_capacity(s)));
    uint64_t table = shard_table_locked(s)->charged_bytes;
    uint64_t fitting = table_bytes(l1->mem, fitting_bits(l1, s));
    return ring + (table > fitting ? table - fitting : 0);
}

/* The smaller table, charged; NULL: no room, no memory, or an unhappy hash. */
static struct l1_table *folded(struct l1 *l1, struct l1_shard *s, uint32_t bits)
{
    uint32_t extends = (1u << bits) / FOLD_EXTEND_SHARE + DOUBLE_EXTEND_MIN;
    uint64_t bytes = table_bytes(l1->mem, bits) + extends * table_extend_bytes(l1->mem);
    if (!room_take_locked(l1, s, bytes))
        return NULL;
    struct l1_table *to = table_create(l1->mem, NULL, bits, l1->hit.base_bits);
    if (to && table_fold(l1->mem, NULL, shard_table_locked(s), to, extends)) {
        room_give_locked(l1, s, bytes - to->charged_bytes);
        return to;
    }
    if (to)
        table_destroy(l1->mem, NULL, to);
    room_give_locked(l1, s, bytes);
    return NULL;
}

void l1_shard_fit_locked(struct l1 *l1, struct l1_shard *s)
{
    struct l1_table *from = shard_table_locked(s);
    uint32_t bits = fitting_bits(l1, s);
    struct l1_table *to = bits < from->bits ? folded(l1, s, bits) : NULL;
    if (to) {
        set_table(s, to);
        reclaim_retire_table_locked(l1, s, from);
    }
    uint32_t capacity = fitting_capacity(s);
    if (capacity < s->ring.limit)
        ring_set_limit(&s->ring, capacity);
}

void l1_shard_trim_locked(struct l1 *l1, struct l1_shard *s)
{
    uint64_t bytes = mem_charge(l1->mem, ring_size(s->ring.limit));
    size_t old_size = ring_size(s->ring.capacity);
    if (!ring_may_cut(&s->ring) || !room_take_locked(l1, s, bytes))
        return;
    void *block = mem_alloc(l1->mem, NULL, ring_size(s->ring.limit));
    if (!block) {
        room_give_locked(l1, s, bytes);
        return;
    }
    mem_free(l1->mem, NULL, ring_cut(&s->ring, block), old_size);
    room_give_locked(l1, s, mem_charge(l1->mem, old_size));
}

/* Not through the cache: it holds blocks of sparse pages, and the arena gives the fullest first. */
static struct l1_entry *copy_charged(struct l1 *l1, struct l1_shard *s, const struct l1_entry *e)
{
    size_t size = entry_size(e);
    struct l1_entry *copy = mem_alloc(l1->mem, NULL, size);
    if (!copy)
        return NULL;
    entry_copy_bytes(copy, e, size);
    atomic_init(&copy->refs, 0); /* the shard's alone */
    atomic_fetch_add_explicit(&s->unstored_bytes, mem_charge(l1->mem, size), memory_order_relaxed);
    return copy;
}

bool l1_shard_move_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot)
{
    struct l1_entry *old = ring_entry(&s->ring, slot);
    uint64_t hash = entry_hash(l1, old);
    uint64_t bytes = mem_charge(l1->mem, entry_size(old));
    if (s->ring.free.head == RING_NONE || !room_take_locked(l1, s, bytes))
        return false;
    /* Making room may have taken this very entry. */
    _Atomic uint64_t *word = table_word_of_entry(shard_table_locked(s), hash, old);
    struct l1_entry *copy = word ? copy_charged(l1, s, old) : NULL;
    if (!copy) {
        room_give_locked(l1, s, bytes);
        return !word;
    }
    publish(l1, s, word, hash, copy, old, clock_coarse_ns(l1->env->clock));
    stats_count(l1->stats, STATS_L1_MOVE);
    return true;
}

void l1_shard_forget_unstored(struct l1 *l1, const struct l1_entry *e)
{
    struct l1_shard *s = l1_shard_of(l1, entry_hash(l1, e));
    uint64_t bytes = mem_charge(l1->mem, entry_size(e));
    atomic_fetch_sub_explicit(&s->unstored_bytes, bytes, memory_order_relaxed);
    room_return(l1, bytes);
}

/* ---- init, fini ---- */

uint64_t l1_shard_empty_bytes(const struct mem *mem, uint32_t base_bits)
{
    struct l1_ring none = {0};
    return sizeof(struct l1_shard) + table_bytes(mem, base_bits) +
           mem_charge(mem, ring_size(ring_next_capacity(&none)));
}

int l1_shard_init(struct l1 *l1, struct l1_shard *s)
{
    struct l1_table *t = table_create(l1->mem, NULL, l1->hit.base_bits, l1->hit.base_bits);
    if (!t)
        return NIGH_ENOMEM;
    pthread_mutex_init(&s->lock, NULL);
    s->retired = s->waiting = s->held = s->ready = L1_LIST_EMPTY;
    s->ring.free = L1_LIST_EMPTY;
    if (!grow_ring(l1, s)) {
        table_destroy(l1->mem, NULL, t);
        pthread_mutex_destroy(&s->lock);
        return NIGH_ENOMEM;
    }
    if (l1->policy->init && l1->policy->init(l1, s) != 0) {
        mem_free(l1->mem, NULL, s->ring.words, ring_size(s->ring.capacity));
        table_destroy(l1->mem, NULL, t);
        pthread_mutex_destroy(&s->lock);
        return NIGH_ENOMEM;
    }
    s->cache = mem_cache_create(l1->mem); /* NULL is slower, not wrong */
    set_table(s, t);
    return 0;
}

static void free_tables(struct l1 *l1, struct l1_shard *s, struct l1_table *t)
{
    while (t) {
        struct l1_table *next = t->next;
        table_destroy(l1->mem, s->cache, t);
        t = next;
    }
}

void l1_shard_fini(struct l1 *l1, struct l1_shard *s)
{
    for (uint32_t slot = 0; slot < s->ring.capacity; slot++)
        if (ring_entry(&s->ring, slot))
            entry_free(l1, s->cache, ring_entry(&s->ring, slot));
    if (l1->policy->fini)
        l1->policy->fini(l1, s);
    mem_free(l1->mem, s->cache, s->ring.words, ring_size(s->ring.capacity));
    free_tables(l1, s, s->retired_tables);
    free_tables(l1, s, s->waiting_tables);
    table_destroy(l1->mem, s->cache, shard_table_locked(s));
    if (s->cache)
        mem_cache_destroy(s->cache);
    pthread_mutex_destroy(&s->lock);
}
