// SPDX-License-Identifier: MIT
/*
 * Entries come and go: storing what was loaded, a writer's own value, removing, evicting, moving.
 *
 * Anything that makes room may evict, also the entry that a store is about to replace. So a store
 * first gets what it needs in any case (a slot in the ring, memory), and trusts what it found
 * before only while s->removals has not moved. It gets last what only a new key needs (a table of
 * the right size, the policy's place for a slot): then there is no entry of the key that could be
 * evicted.
 *
 * A new value takes over the slot of the one that it replaces, and with it age, popularity and its
 * place in the policy's queues: nothing there moves, unless its weight is another. The old entry
 * goes to limbo under a slot that was free. Where both are equally large, and an entry as large is
 * ready to be freed, that one and the old one change places (the short way): the ready one's memory
 * becomes the new entry's, its slot the old one's. Neither the allocator, the cap, limbo's count
 * nor the free slots are asked. A new key, too, goes into memory that is ready, if so many bytes
 * more may live. And the charge of an entry is asked for once and carried along.
 *
 * A loaded value is made in two holds of the lock, room first, so that its bytes are copied between
 * them; a small one that nobody else has to hear of first takes one. A writer's own value takes
 * one: the floor rises, the version is judged and the entry is replaced in one step. That is
 * cheaper than raise, remove, make and store (four holds), and right where those were not: readers
 * see the old value or the new one, never a hole in which they would miss and load.
 *
 *   Why one step keeps the rule. The floor rises under the lock, before the word is stored. A load
 *   that began earlier stores either in a hold before this one, and is replaced, or after it, and
 *   meets the floor. A thread that joins or lands a flight looks at the floor without the lock: it
 *   sees the new one at the latest when the write has returned, which is when it counts.
 */
#include "l1/shard.h"

#include "l1/expiry.h"
#include "l1/reclaim.h"
#include "l1/room.h"

/* A value up to this size is copied under the lock: 1 KiB takes about as long as the second hold
 * that is saved. */
#define COPY_LOCKED_MAX 1024u

/* ---- judging ---- */

/* Whether the entry there keeps a value of this version out. Unversioned values cannot be compared,
 * and an entry that has expired or was invalidated with a group is no longer there. */
static bool keeps_out(const struct l1 *l1, const struct l1_entry *there, uint64_t version,
                      bool same_too, uint64_t now_ns)
{
    uint64_t has = version ? l1_entry_version(there) : 0;
    return has && (has > version || (same_too && has == version)) &&
           now_ns < l1_entry_stale_until_ns(there) && l1_judge(l1, there) != L1_BELOW_HARD;
}

/* Whether an entry stays when its key is written or invalidated with a version. Rule 15: a version
 * below or none is deleted, an equal or newer one stays. */
static bool survives(const struct l1_entry *e, uint64_t version)
{
    return version && l1_entry_version(e) >= version;
}

static bool is_current(const struct l1 *l1, const struct l1_key *key, const struct l1_entry *e)
{
    return e->stamp >= floors_of_key(l1->floors, key->hash) && l1_judge(l1, e) == L1_CURRENT;
}

/* The cap on a shard's entries, or the number that leaves limbo enough slots. */
static uint32_t entries_most(const struct l1 *l1)
{
    return l1->shard_entries_max ? l1->shard_entries_max : RING_LIVE_MAX;
}

/* Whether one entry more is one too many. */
static bool is_at_entries_max(const struct l1 *l1, const struct l1_shard *s)
{
    return s->entries >= entries_most(l1);
}

/* ---- publishing ---- */

static void policy_remove(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t bytes)
{
    if (l1->policy->remove)
        l1->policy->remove(l1, s, slot, bytes);
}

/* Retire an unlinked entry that could not stay: into limbo, or aside if limbo is full. */
static void retire(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t bytes)
{
    if (NIGH_UNLIKELY(reclaim_limbo_full(l1)))
        reclaim_set_aside_locked(l1, s, slot, bytes);
    else
        reclaim_retire_locked(l1, s, slot, bytes);
}

static void let_go(struct l1 *l1, struct l1_shard *s, struct l1_entry *e)
{
    uint64_t bytes = entry_charge(l1, e);
    policy_remove(l1, s, e->slot, bytes);
    retire(l1, s, e->slot, bytes);
}

static struct l1_entry *entry_in(const _Atomic uint64_t *word)
{
    return word ? table_word_entry(atomic_load_explicit(word, memory_order_relaxed)) : NULL;
}

static void publish_in(struct l1 *l1, _Atomic uint64_t *word, uint64_t hash,
                       const struct l1_entry *e)
{
    table_publish(word, table_tag(hash, l1->hit.base_bits), e);
}

/* An entry to be published, charged `bytes`, and the one whose place it takes, `old`, charged
 * `before`; NULL and 0: none. */
struct placing {
    _Atomic uint64_t *word;
    uint64_t hash;
    struct l1_entry *e;
    uint64_t bytes;
    struct l1_entry *old;
    uint64_t before;
    uint64_t now_ns;
    uint64_t until_ns; /* the end of its life */
};

static uint16_t tick_of(const struct placing *p)
{
    return expiry_tick(p->until_ns, p->now_ns);
}

/* Make the entry the ring's youngest and publish it. `copied`: the entry of which it is a copy, or
 * NULL. */
static NIGH_INLINED void publish_new(struct l1 *l1, struct l1_shard *s, const struct placing *p,
                                     struct l1_entry *copied)
{
    uint16_t tick = tick_of(p);
    uint32_t slot = ring_take(&s->ring, p->e, tick);
    p->e->slot = slot & 0xffffff;
    expiry_note_locked(s, slot, tick, p->now_ns);
    if (l1->policy->insert)
        l1->policy->insert(l1, s, slot, p->hash, p->bytes, copied);
    publish_in(l1, p->word, p->hash, p->e);
    if (copied)
        let_go(l1, s, copied);
    else
        s->entries++;
}

/* Publish the entry in the place of `old`, whose slot it has taken over, and so its age and its
 * place with the policy. A write is a use. */
static NIGH_INLINED void publish_over(struct l1 *l1, struct l1_shard *s, const struct placing *p,
                                      uint32_t slot, uint16_t tick)
{
    p->e->slot = slot & 0xffffff;
    expiry_note_locked(s, slot, tick, p->now_ns);
    entry_spare_inherit(p->e, p->old);
    (void)l1_touch(p->e, l1_generation(&l1->hit));
    if (l1->policy->replace)
        l1->policy->replace(l1, s, slot, p->before, p->bytes);
    publish_in(l1, p->word, p->hash, p->e);
}

static void publish(struct l1 *l1, struct l1_shard *s, const struct placing *p)
{
    if (!p->old) {
        publish_new(l1, s, p, NULL);
        return;
    }
    uint16_t tick = tick_of(p);
    uint32_t slot = p->old->slot;
    uint32_t limbo_slot = ring_take_over(&s->ring, slot, p->e, tick);
    publish_over(l1, s, p, slot, tick);
    retire(l1, s, limbo_slot, p->before);
}

/* Evict down to the cap on entries, where the newcomer itself may have to go (judges_newcomers);
 * other policies have made room before. */
static NIGH_INLINED void keep_entries_max(struct l1 *l1, struct l1_shard *s)
{
    while (s->entries > entries_most(l1))
        if (!l1_shard_evict_locked(l1, s))
            return;
}

/* Get a word of the table for a new key, and all that it needs beside a slot and memory; NULL:
 * there is no room, and no entry may be evicted for it. */
static _Atomic uint64_t *new_word(struct l1 *l1, struct l1_shard *s, uint64_t hash)
{
    if (!l1_shard_prepare_locked(l1, s))
        return NULL;
    bool evicts = is_at_entries_max(l1, s);
    if (evicts && (!l1->policy->victim || reclaim_limbo_full(l1)))
        return NULL;
    if (evicts && !l1->policy->judges_newcomers && !l1_shard_evict_locked(l1, s))
        return NULL;
    return l1_shard_place_locked(l1, s, hash);
}

/* ---- storing ---- */

static void charge_stored(struct l1_shard *s, struct l1_entry *e, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&s->unstored_bytes, bytes, memory_order_relaxed);
    atomic_fetch_or_explicit(&e->refs, ENTRY_STORED, memory_order_relaxed);
}

enum l1_store_result l1_shard_store_locked(struct l1 *l1, struct l1_shard *s,
                                           const struct l1_key *key, struct l1_entry *e)
{
    if (!is_current(l1, key, e))
        return L1_REFUSED_FLOOR;
    bool has_slot = !l1_entry_loose(e) && l1_shard_has_slot_locked(l1, s);
    uint64_t now_ns = clock_coarse_ns(l1->env->clock);
    _Atomic uint64_t *word = table_word_of_key(shard_table_locked(s), key);
    struct l1_entry *old = entry_in(word);
    if (old && keeps_out(l1, old, l1_entry_version(e), false, now_ns))
        return L1_REFUSED_VERSION;
    if (has_slot && !old)
        word = new_word(l1, s, key->hash);
    if (!has_slot || !word)
        return L1_REFUSED_FULL;
    uint64_t bytes = entry_charge(l1, e);
    uint64_t before = old ? entry_charge(l1, old) : 0;
    charge_stored(s, e, bytes);
    publish(l1, s, &(struct placing){word, key->hash, e, bytes, old, before, now_ns,
                                     l1_entry_stale_until_ns(e)});
    keep_entries_max(l1, s);
    return L1_STORED;
}

/* ---- making entries ---- */

static bool may_be_so_large(const struct l1 *l1, uint64_t charged_bytes)
{
    return charged_bytes <= l1_limit(&l1->entry_max_bytes);
}

bool l1_takes(const struct l1 *l1, const struct l1_key *key, const struct l1_value *value)
{
    return may_be_so_large(l1, mem_charge(l1->mem, entry_size_of(key, value)));
}

/* Make an entry, charged, its bytes not yet written; NULL: no room or no memory. The policy may
 * refuse a new key, but not a new value of one that it has admitted. */
static struct l1_entry *make_locked(struct l1 *l1, struct l1_shard *s, uint64_t hash, bool replaces,
                                    size_t size, uint64_t bytes)
{
    return may_be_so_large(l1, bytes)
               ? room_make_locked(l1, s, replaces ? NULL : &hash, size, bytes)
               : NULL;
}

static struct l1_entry *create_charged_locked(struct l1 *l1, struct l1_shard *s,
                                              const struct l1_key *key, size_t size)
{
    uint64_t bytes = mem_charge(l1->mem, size);
    bool replaces = table_word_of_key(shard_table_locked(s), key);
    struct l1_entry *e = make_locked(l1, s, key->hash, replaces, size, bytes);
    if (e)
        atomic_fetch_add_explicit(&s->unstored_bytes, bytes, memory_order_relaxed);
    return e;
}

static struct l1_entry *create_charged(struct l1 *l1, const struct l1_key *key, size_t size)
{
    struct l1_shard *s = l1_shard_of(l1, key->hash);
    l1_shard_lock(s);
    struct l1_entry *e = create_charged_locked(l1, s, key, size);
    l1_shard_unlock(l1, s);
    return e;
}

int l1_entry_create(struct l1 *l1, const struct l1_key *key, const struct l1_value *value,
                    struct l1_entry **ret_entry)
{
    struct l1_entry *e = create_charged(l1, key, entry_size_of(key, value));
    if (e)
        entry_fill(e, l1, key, value, value->stamp, 1, 0);
    else
        e = entry_create_loose(l1, key, value);
    if (!e)
        return NIGH_ENOMEM;
    *ret_entry = e;
    return 0;
}

/* Create and store a small value in one hold, as if nobody had come between the two. */
static struct l1_entry *create_and_store(struct l1 *l1, const struct l1_key *key,
                                         const struct l1_value *value, size_t size,
                                         enum l1_store_result *ret_result)
{
    struct l1_shard *s = l1_shard_of(l1, key->hash);
    l1_shard_lock(s);
    struct l1_entry *e = create_charged_locked(l1, s, key, size);
    if (e) {
        entry_fill(e, l1, key, value, value->stamp, 1, 0);
        *ret_result = l1_shard_store_locked(l1, s, key, e);
    }
    l1_shard_unlock(l1, s);
    return e;
}

int l1_entry_create_stored(struct l1 *l1, const struct l1_key *key, const struct l1_value *value,
                           struct l1_entry **ret_entry, enum l1_store_result *ret_result)
{
    size_t size = entry_size_of(key, value);
    struct l1_entry *e = NULL;
    if (NIGH_LIKELY(size <= COPY_LOCKED_MAX))
        e = create_and_store(l1, key, value, size, ret_result);
    if (e) {
        *ret_entry = e;
        return 0;
    }
    int rc = l1_entry_create(l1, key, value, ret_entry);
    if (rc == 0)
        *ret_result = l1_store(l1, key, *ret_entry);
    return rc;
}

void l1_shard_forget_unstored(struct l1 *l1, const struct l1_entry *e)
{
    struct l1_shard *s = l1_shard_of(l1, entry_hash(l1, e));
    uint64_t bytes = entry_charge(l1, e);
    atomic_fetch_sub_explicit(&s->unstored_bytes, bytes, memory_order_relaxed);
    room_return(l1, bytes);
}

/* ---- a writer's own value ---- */

struct own_write {
    const struct l1_key *key;
    const struct l1_value *value;
    uint64_t ticket;
    uint64_t heard;  /* floor of the key that the writer has raised already; 0: none */
    bool only_newer; /* an equal version is refused, too */
    size_t size;
    uint64_t bytes;        /* charged */
    struct l1_entry *made; /* large: made before, with a reference; NULL: none */
};

static bool is_large(const struct own_write *w)
{
    return w->size > COPY_LOCKED_MAX;
}

/* The entry to be stored, or memory for it; NULL: none, or no room. */
static struct l1_entry *own_entry(struct l1 *l1, struct l1_shard *s, const struct own_write *w,
                                  const struct l1_entry *old)
{
    if (is_large(w))
        return w->made && !l1_entry_loose(w->made) ? w->made : NULL;
    return make_locked(l1, s, w->key->hash, old, w->size, w->bytes);
}

/* Complete an entry. This comes after the floor was raised: a locked instruction waits for stores
 * to memory that no cache has. */
static void complete_own(struct l1 *l1, struct l1_shard *s, const struct own_write *w,
                         struct l1_entry *e, uint64_t stamp)
{
    if (is_large(w)) {
        charge_stored(s, e, w->bytes);
        e->stamp = stamp & ENTRY_STAMP_MASK;
    } else { /* no reference but the shard's */
        entry_fill(e, l1, w->key, w->value, stamp, ENTRY_STORED, 0);
    }
}

/* Whether floors and version let the value be stored: L1_STORED, or why not. Raises the key's
 * floor. */
static enum l1_store_result judge_own(struct l1 *l1, const struct own_write *w,
                                      const struct l1_entry *old, uint64_t *ret_stamp)
{
    const struct l1_value *v = w->value;
    uint64_t now_ns = (uint64_t)v->born_ns; /* a written value is born now */
    bool ok;
    uint64_t position =
        floors_raise_key(l1->floors, w->key->hash, u64_max(w->ticket, w->heard), &ok);
    /* The stamp is no newer than the ticket, if a position was drawn in between: a group's, whose
     * floor does not stand yet, outdates the value. (The value is below its own key's floor then: a
     * flight that finds it does not take it, and loads.) */
    *ret_stamp = position - 1 == w->ticket ? position : u64_min(position, w->ticket);
    if (old && keeps_out(l1, old, v->version, w->only_newer, now_ns))
        return L1_REFUSED_VERSION;
    ok = ok && floors_judge(l1->floors, w->ticket, l1->space_slots[w->key->space], v->groups,
                            v->group_count) == L1_CURRENT;
    return ok ? L1_STORED : L1_REFUSED_FLOOR;
}

static void unmake_locked(struct l1 *l1, struct l1_shard *s, struct l1_entry *e, size_t size,
                          uint64_t bytes)
{
    mem_free(l1->mem, s->cache, e, size);
    room_give_locked(l1, s, bytes);
}

/* End a write that is not stored: the entry there goes, unless it is as new; and `e`, or NULL, was
 * made in vain and is given back. (A large one goes with its reference.) */
static NIGH_OUTLINED void not_stored_locked(struct l1 *l1, struct l1_shard *s,
                                            const struct own_write *w, struct l1_entry *e,
                                            struct l1_entry *old)
{
    if (old && !survives(old, w->value->version)) {
        l1_shard_drop_locked(l1, s, old);
        stats_count(l1->stats, STATS_L1_REMOVE);
    }
    if (e && !is_large(w))
        unmake_locked(l1, s, e, w->size, w->bytes);
}

/* Whether the short way is open: `old` is as large, and an entry as large is ready to be freed. */
static NIGH_INLINED bool may_exchange_locked(struct l1 *l1, struct l1_shard *s,
                                             const struct l1_entry *old, size_t size,
                                             uint64_t bytes)
{
    return NIGH_LIKELY(reclaim_has_ready_locked(l1, s, bytes)) &&
           NIGH_LIKELY(entry_size(old) == size || entry_charge(l1, old) == bytes);
}

/* Publish `e`, complete and charged as much, in the place of `old`. `limbo_slot`: that of the ready
 * entry whose memory it got; it becomes the slot of `old`. */
static NIGH_INLINED void publish_exchanged(struct l1 *l1, struct l1_shard *s,
                                           const struct placing *p, uint32_t limbo_slot)
{
    uint32_t slot = p->old->slot;
    uint16_t tick = tick_of(p);
    ring_exchange(&s->ring, slot, p->e, tick, limbo_slot);
    publish_over(l1, s, p, slot, tick);
    reclaim_retire_exchanged_locked(s, limbo_slot);
}

static enum l1_store_result exchange_locked(struct l1 *l1, struct l1_shard *s,
                                            const struct own_write *w, _Atomic uint64_t *word,
                                            struct l1_entry *old)
{
    uint64_t stamp;
    enum l1_store_result result = judge_own(l1, w, old, &stamp);
    if (NIGH_UNLIKELY(result != L1_STORED)) {
        not_stored_locked(l1, s, w, NULL, old);
        return result;
    }
    uint32_t limbo_slot;
    struct l1_entry *e = reclaim_exchange_locked(s, &limbo_slot);
    entry_fill(e, l1, w->key, w->value, stamp, ENTRY_STORED, 0);
    publish_exchanged(l1, s, &(struct placing){word, w->key->hash, e, w->bytes, old, w->bytes,
                                               (uint64_t)w->value->born_ns,
                                               l1_entry_stale_until_ns(e)}, limbo_slot);
    return L1_STORED;
}

static NIGH_OUTLINED enum l1_store_result write_long_locked(struct l1 *l1, struct l1_shard *s,
                                                            const struct own_write *w,
                                                            _Atomic uint64_t *word)
{
    struct l1_entry *old = entry_in(word);
    uint32_t removals = s->removals;
    bool has_slot = l1_shard_has_slot_locked(l1, s);
    struct l1_entry *e = has_slot ? own_entry(l1, s, w, old) : NULL;
    if (NIGH_UNLIKELY(s->removals != removals)) {
        word = table_word_of_key(shard_table_locked(s), w->key);
        old = entry_in(word);
    }
    uint64_t stamp;
    enum l1_store_result result = judge_own(l1, w, old, &stamp);
    if (e && !old && result == L1_STORED)
        word = new_word(l1, s, w->key->hash);
    if (result == L1_STORED && !(e && word))
        result = L1_REFUSED_FULL;
    if (NIGH_UNLIKELY(result != L1_STORED)) {
        not_stored_locked(l1, s, w, e, old);
        return result;
    }
    uint64_t before = old ? entry_charge(l1, old) : 0;
    complete_own(l1, s, w, e, stamp);
    publish(l1, s, &(struct placing){word, w->key->hash, e, w->bytes, old, before,
                                     (uint64_t)w->value->born_ns, l1_entry_stale_until_ns(e)});
    keep_entries_max(l1, s);
    return L1_STORED;
}

static enum l1_store_result write_locked(struct l1 *l1, struct l1_shard *s,
                                         const struct own_write *w)
{
    _Atomic uint64_t *word = table_word_of_key(shard_table_locked(s), w->key);
    struct l1_entry *old = entry_in(word);
    if (old)
        ring_prefetch(&s->ring, old->slot);
    bool short_way = old && !is_large(w) && may_exchange_locked(l1, s, old, w->size, w->bytes);
    return NIGH_LIKELY(short_way) ? exchange_locked(l1, s, w, word, old)
                                  : write_long_locked(l1, s, w, word);
}

void l1_prefetch_write(struct l1 *l1, const struct l1_key *key)
{
    __builtin_prefetch(hit_bucket_rcu(hit_table_rcu(&l1->hit, key->hash), key->hash));
    floors_prefetch_key(l1->floors, key->hash);
    __builtin_prefetch(l1_shard_of(l1, key->hash), 1);
}

enum l1_store_result l1_write(struct l1 *l1, const struct l1_key *key,
                              const struct l1_value *value, uint64_t ticket, uint64_t heard,
                              bool only_newer)
{
    size_t size = entry_size_of(key, value);
    struct own_write w = {key,  value, ticket,
                          heard, only_newer, size, mem_charge(l1->mem, size), NULL};
    struct l1_shard *s = l1_shard_of(l1, key->hash);
    if (is_large(&w) && l1_entry_create(l1, key, value, &w.made) != 0)
        w.made = NULL; /* not stored, but the entry there goes all the same */
    l1_shard_lock(s);
    enum l1_store_result result = write_locked(l1, s, &w);
    l1_shard_unlock(l1, s);
    if (w.made)
        l1_entry_unref(w.made);
    return result;
}

/* ---- a plain put: as of now, without version or tags ---- */

struct plain_put {
    const struct l1_key *key;
    struct bytes value;
    struct entry_times times;
    uint64_t now_ns;
    size_t size;
    uint64_t bytes; /* charged */
};

/* Values put later than this are so near the end of an entry's ticks, 18 years, that these may not
 * suffice for their lifetimes. */
#define PLAIN_BORN_MAX ((UINT64_C(1) << ENTRY_FRESH_BITS) - 2 * (UINT64_C(1) << 32))

/* Draw from a span; the upper bits of `noise` matter. */
static uint64_t draw_from(struct l1_span span, uint64_t noise)
{
    return span.least + (uint64_t)((unsigned __int128)noise * (span.spread + UINT64_C(1)) >> 64);
}

static struct entry_times plain_times(const struct l1_lifetimes *l, uint64_t now_ns, uint64_t hash)
{
    uint64_t noise = (hash ^ now_ns) * HASH_GOLDEN;
    uint64_t life = entry_ticks_pack(draw_from(l->fresh, noise), ENTRY_LIFE_BITS);
    uint64_t stale = draw_from(l->stale, noise * HASH_GOLDEN);
    return (struct entry_times){
        .life = life,
        .fresh = (now_ns >> ENTRY_TICK_SHIFT) + entry_ticks_unpack(life, ENTRY_LIFE_BITS),
        .stale = entry_ticks_pack(stale, ENTRY_STALE_BITS),
    };
}

static uint64_t plain_until_ns(const struct plain_put *p)
{
    return (p->times.fresh + entry_ticks_unpack(p->times.stale, ENTRY_STALE_BITS))
           << ENTRY_TICK_SHIFT;
}

/* A plain put as a value, for the long way. */
static struct l1_value value_of_plain(const struct plain_put *p)
{
    return (struct l1_value){
        .bytes = p->value,
        .born_ns = (int64_t)p->now_ns,
        .fresh_until_ns = p->times.fresh << ENTRY_TICK_SHIFT,
        .stale_until_ns = plain_until_ns(p),
    };
}

/* Raise the key's floor: all that is left of judging, for no entry keeps a plain put out, and no
 * floor is above it. */
static uint64_t raise_for_put(struct l1 *l1, const struct l1_key *key)
{
    bool ok;
    return floors_raise_key(l1->floors, key->hash, L1_TICKET_NOW, &ok);
}

/* Store a new key. Evicting for it brings no entry of the key, so there is no second look. */
static enum l1_store_result put_new_locked(struct l1 *l1, struct l1_shard *s,
                                           const struct plain_put *p)
{
    uint64_t hash = p->key->hash;
    bool has_slot = l1_shard_has_slot_locked(l1, s);
    struct l1_entry *e = has_slot ? make_locked(l1, s, hash, false, p->size, p->bytes) : NULL;
    uint64_t stamp = raise_for_put(l1, p->key);
    _Atomic uint64_t *word = e ? new_word(l1, s, hash) : NULL;
    if (NIGH_UNLIKELY(!word)) {
        if (e)
            unmake_locked(l1, s, e, p->size, p->bytes);
        return L1_REFUSED_FULL;
    }
    entry_fill_plain(e, l1, p->key, p->value, p->times, stamp);
    publish_new(l1, s, &(struct placing){word, hash, e, p->bytes, NULL, 0, p->now_ns,
                                         plain_until_ns(p)}, NULL);
    keep_entries_max(l1, s);
    return L1_STORED;
}

static void put_over_locked(struct l1 *l1, struct l1_shard *s, const struct plain_put *p,
                            _Atomic uint64_t *word, struct l1_entry *old)
{
    uint32_t limbo_slot;
    uint64_t stamp = raise_for_put(l1, p->key);
    struct l1_entry *e = reclaim_exchange_locked(s, &limbo_slot);
    entry_fill_plain(e, l1, p->key, p->value, p->times, stamp);
    publish_exchanged(l1, s, &(struct placing){word, p->key->hash, e, p->bytes, old, p->bytes,
                                               p->now_ns, plain_until_ns(p)}, limbo_slot);
}

static NIGH_OUTLINED enum l1_store_result put_long_locked(struct l1 *l1, struct l1_shard *s,
                                                          const struct plain_put *p,
                                                          _Atomic uint64_t *word)
{
    struct l1_value value = value_of_plain(p);
    struct own_write w = {p->key, &value, L1_TICKET_NOW, 0, false, p->size, p->bytes, NULL};
    return write_long_locked(l1, s, &w, word);
}

static NIGH_OUTLINED enum l1_store_result put_long(struct l1 *l1, const struct plain_put *p)
{
    struct l1_value value = value_of_plain(p);
    return l1_write(l1, p->key, &value, L1_TICKET_NOW, 0, false);
}

static enum l1_store_result put_locked(struct l1 *l1, struct l1_shard *s,
                                       const struct plain_put *p)
{
    _Atomic uint64_t *word = table_find_word(shard_table_locked(s), p->key);
    struct l1_entry *old = entry_in(word);
    if (!old)
        return put_new_locked(l1, s, p);
    ring_prefetch(&s->ring, old->slot);
    if (NIGH_UNLIKELY(!may_exchange_locked(l1, s, old, p->size, p->bytes)))
        return put_long_locked(l1, s, p, word);
    put_over_locked(l1, s, p, word, old);
    return L1_STORED;
}

/* Put a value; the lines that this needs are on their way while the clock is read and the times are
 * made. */
enum l1_store_result l1_put(struct l1 *l1, const struct l1_key *key, struct bytes value,
                            const struct l1_lifetimes *lifetimes)
{
    struct l1_shard *s = l1_shard_of(l1, key->hash);
    __builtin_prefetch(s, 1);
    __builtin_prefetch(hit_bucket_rcu(hit_table_rcu(&l1->hit, key->hash), key->hash));
    floors_prefetch_key(l1->floors, key->hash);
    struct plain_put p = {.key = key, .value = value};
    p.now_ns = clock_coarse_ns(l1->env->clock);
    p.times = plain_times(lifetimes, p.now_ns, key->hash);
    p.size = sizeof(struct l1_entry) + key->len + value.len;
    if (NIGH_UNLIKELY(p.size > COPY_LOCKED_MAX || p.now_ns >> ENTRY_TICK_SHIFT > PLAIN_BORN_MAX))
        return put_long(l1, &p);
    p.bytes = mem_charge(l1->mem, p.size);
    l1_shard_lock(s);
    enum l1_store_result result = put_locked(l1, s, &p);
    l1_shard_unlock(l1, s);
    return result;
}

/* ---- removing ---- */

/* Clear an entry's word in the table: nobody finds it any more. */
static void unlink_locked(struct l1_shard *s, struct l1_entry *e, uint64_t hash)
{
    _Atomic uint64_t *word = table_word_of_entry(shard_table_locked(s), hash, e);
    NIGH_CHECK(word);
    table_clear(word);
    s->entries--;
    s->removals++;
}

static uint64_t remove_hashed(struct l1 *l1, struct l1_shard *s, struct l1_entry *e, uint64_t hash)
{
    uint64_t bytes = entry_charge(l1, e);
    unlink_locked(s, e, hash);
    policy_remove(l1, s, e->slot, bytes);
    reclaim_retire_locked(l1, s, e->slot, bytes);
    return bytes;
}

uint64_t l1_shard_remove_locked(struct l1 *l1, struct l1_shard *s, struct l1_entry *e)
{
    return remove_hashed(l1, s, e, entry_hash(l1, e));
}

void l1_shard_drop_locked(struct l1 *l1, struct l1_shard *s, struct l1_entry *e)
{
    unlink_locked(s, e, entry_hash(l1, e));
    let_go(l1, s, e);
}

uint64_t l1_invalidate_key(struct l1 *l1, const struct l1_key *key, uint64_t version,
                           uint64_t ticket, bool *ret_ticket_ok)
{
    bool ok;
    uint64_t position = floors_raise_key(l1->floors, key->hash, ticket, &ok);
    struct l1_shard *s = l1_shard_of(l1, key->hash);
    l1_shard_lock(s);
    struct l1_entry *e = entry_in(table_word_of_key(shard_table_locked(s), key));
    if (e && !survives(e, version)) {
        l1_shard_drop_locked(l1, s, e);
        stats_count(l1->stats, STATS_L1_REMOVE);
    }
    l1_shard_unlock(l1, s);
    if (ret_ticket_ok)
        *ret_ticket_ok = ok;
    return position;
}

/* ---- evicting ---- */

static uint64_t evict(struct l1 *l1, struct l1_shard *s)
{
    if (!s->entries || !l1->policy->victim)
        return 0;
    uint64_t hash = 0;
    uint32_t slot = l1->policy->victim(l1, s, &hash);
    if (slot == RING_NONE)
        return 0;
    struct l1_entry *e = ring_entry(&s->ring, slot);
    if (!hash)
        hash = entry_hash(l1, e);
    stats_count(l1->stats, STATS_L1_EVICT);
    return remove_hashed(l1, s, e, hash);
}

uint64_t l1_shard_evict_locked(struct l1 *l1, struct l1_shard *s)
{
    return reclaim_limbo_full(l1) ? 0 : evict(l1, s);
}

/* Remove some victims. All their buckets are prefetched before the first is removed: one wait for
 * memory, not 64. */
static uint64_t shed_row(struct l1 *l1, struct l1_shard *s, uint32_t most, uint32_t *ret_count)
{
    uint32_t slots[L1_VICTIMS_MOST];
    uint64_t hashes[L1_VICTIMS_MOST];
    most = most < L1_VICTIMS_MOST ? most : L1_VICTIMS_MOST;
    uint32_t count = l1->policy->victims(l1, s, slots, most);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        hashes[i] = entry_hash(l1, ring_entry(&s->ring, slots[i]));
        __builtin_prefetch(table_bucket(shard_table_locked(s), hashes[i]), 1);
    }
    for (uint32_t i = 0; i < count; i++)
        sum += remove_hashed(l1, s, ring_entry(&s->ring, slots[i]), hashes[i]);
    stats_add(l1->stats, STATS_L1_EVICT, count);
    *ret_count = count;
    return sum;
}

uint64_t l1_shard_shed_locked(struct l1 *l1, struct l1_shard *s, uint32_t most)
{
    uint64_t sum = 0;
    for (uint32_t count; l1->policy->victims && most; most -= count) {
        sum += shed_row(l1, s, most, &count);
        if (!count)
            return sum;
    }
    for (uint64_t bytes; most-- && (bytes = evict(l1, s));)
        sum += bytes;
    return sum;
}

/* ---- moving ---- */

/* Copy an entry into new memory. Not through the shard's cache of blocks, which is for the sizes
 * that come and go now. */
static struct l1_entry *copy_charged(struct l1 *l1, const struct l1_entry *e)
{
    size_t size = entry_size(e);
    struct l1_entry *copy = entry_alloc(l1, NULL, size);
    if (!copy)
        return NULL;
    entry_copy_bytes(copy, e, size);
    atomic_init(&copy->refs, entry_refs_of(l1->id, ENTRY_STORED)); /* the shard's alone */
    return copy;
}

bool l1_shard_move_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot)
{
    /* The policy may have had no room for the slots of a ring that has grown. Preparing it evicts,
     * too. */
    if (s->ring.free.head == RING_NONE || (l1->policy->prepare && !l1->policy->prepare(l1, s)))
        return false;
    if (!ring_is_live(s->ring.words[slot]))
        return true;
    struct l1_entry *old = ring_entry(&s->ring, slot);
    uint64_t hash = entry_hash(l1, old);
    uint64_t bytes = entry_charge(l1, old);
    if (!room_take_locked(l1, s, bytes))
        return false;
    /* Making room may have evicted this very entry. */
    _Atomic uint64_t *word = table_word_of_entry(shard_table_locked(s), hash, old);
    struct l1_entry *copy = word ? copy_charged(l1, old) : NULL;
    if (!copy) {
        room_give_locked(l1, s, bytes);
        return !word;
    }
    entry_spare_inherit(copy, old);
    uint64_t now_ns = clock_coarse_ns(l1->env->clock);
    publish_new(l1, s, &(struct placing){word, hash, copy, bytes, NULL, 0, now_ns,
                                         l1_entry_stale_until_ns(copy)}, old);
    stats_count(l1->stats, STATS_L1_MOVE);
    return true;
}

bool l1_shard_relocate_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t hash)
{
    struct l1_entry *old = ring_entry(&s->ring, slot);
    uint64_t bytes = entry_charge(l1, old);
    if (s->ring.free.head == RING_NONE || reclaim_limbo_full(l1) ||
        !room_take_spare_locked(l1, s, bytes))
        return false;
    struct l1_entry *copy = copy_charged(l1, old);
    if (!copy) {
        room_give_locked(l1, s, bytes);
        return false;
    }
    _Atomic uint64_t *word = table_word_of_entry(shard_table_locked(s), hash, old);
    NIGH_CHECK(word);
    uint16_t tick = ring_word_tick(s->ring.words[slot]);
    uint32_t limbo_slot = ring_take_over(&s->ring, slot, copy, tick);
    copy->slot = slot & 0xffffff;
    entry_spare_inherit(copy, old);
    publish_in(l1, word, hash, copy);
    retire(l1, s, limbo_slot, bytes);
    stats_count(l1->stats, STATS_L1_MOVE);
    return true;
}
