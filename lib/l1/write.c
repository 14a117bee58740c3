// SPDX-License-Identifier: MIT
/*
 * A writer's own value, and what a writer says has changed: in one hold of the lock.
 *
 * The floor rises, the version is judged and the entry is replaced in one step. That is cheaper
 * than raise, remove, make and store (four holds), and right where those were not: readers see the
 * old value or the new one, never a hole in which they would miss and load.
 *
 *   Why one step keeps the rule. The floor rises under the lock, before the word is stored. A load
 *   that began earlier stores either in a hold before this one, and is replaced, or after it, and
 *   meets the floor. A thread that joins or lands a flight looks at the floor without the lock: it
 *   sees the new one at the latest when the write has returned, which is when it counts.
 */
#include "l1/write.h"


#include "l1/enter.h"

/* Whether an entry stays when its key is written or invalidated with a version. Rule 15: a version
 * below or none is deleted, an equal or newer one stays. */
static bool survives(const struct l1_entry *e, uint64_t version)
{
    return version && l1_entry_version(e) >= version;
}

static bool is_large(const struct own_write *w)
{
    return w->size > COPY_LOCKED_MAX;
}

/* The entry to be stored, or memory for it; NULL: none, or no room. */
static struct l1_entry *own_entry_locked(struct l1 *l1, struct l1_shard *s,
                                         const struct own_write *w, const struct l1_entry *old)
    REQUIRES(s->lock)
{
    if (is_large(w))
        return w->made && !l1_entry_loose(w->made) ? w->made : NULL;
    return enter_make_locked(l1, s, w->key->hash, old, w->value->flags & L1_ABSENT, w->size,
                             w->bytes);
}

/* Whether own_entry_locked() has just given none because the policy kept what is there. */
static bool was_refused_locked(struct l1_shard *s, const struct own_write *w) REQUIRES(s->lock)
{
    return is_large(w) ? w->made && entry_was_refused(w->made) : s->newcomer.refused;
}

/* Complete an entry. This comes after the floor was raised: a locked instruction waits for stores
 * to memory that no cache has. */
static void complete_own(struct l1 *l1, struct l1_shard *s, const struct own_write *w,
                         struct l1_entry *e, uint64_t stamp)
{
    if (is_large(w)) {
        enter_charge_stored(s, e, w->bytes);
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
    *w->ret_stamp = *ret_stamp & ENTRY_STAMP_MASK;
    if (old && enter_keeps_out(l1, old, v->version, w->only_newer, now_ns))
        return L1_REFUSED_VERSION;
    ok = ok && floors_judge(l1->floors, w->ticket, l1->space_slots[w->key->space], v->groups,
                            v->group_count) == L1_CURRENT;
    return ok ? L1_STORED : L1_REFUSED_FLOOR;
}

static NIGH_OUTLINED void note_refused(struct l1 *l1, const struct own_write *w)
{
    enter_note_refused(l1, w->key,
                       &(struct curve_value){w->bytes, (uint64_t)w->value->born_ns,
                                             w->value->stale_until_ns, 0, 0});
}

/* End a write that is not stored: the entry there goes, unless it is as new; and `e`, or NULL, was
 * made in vain and is given back. (A large one goes with its reference.) */
static NIGH_OUTLINED void not_stored_locked(struct l1 *l1, struct l1_shard *s,
                                            const struct own_write *w, struct l1_entry *e,
                                            struct l1_entry *old, enum l1_store_result result)
    REQUIRES(s->lock)
{
    if (result == L1_REFUSED_FULL)
        core_note_short(l1);
    if (result == L1_REFUSED_FLOOR)
        fates_note(l1->fates, w->key->hash, L1_FATE_REFUSED_FLOOR, 0);
    else if (result == L1_REFUSED_FULL && e) /* without it, it is noted why there is none */
        fates_note(l1->fates, w->key->hash, L1_FATE_REFUSED_FULL, 0);
    if (old && !survives(old, w->value->version))
        l1_shard_drop_locked(l1, s, old, L1_FATE_NONE);
    if (e && !is_large(w))
        enter_unmake_locked(l1, s, e, w->size, w->bytes);
}

static enum l1_store_result exchange_locked(struct l1 *l1, struct l1_shard *s,
                                            const struct own_write *w, _Atomic uint64_t *word,
                                            struct l1_entry *old) REQUIRES(s->lock)
{
    uint64_t stamp;
    enum l1_store_result result = judge_own(l1, w, old, &stamp);
    if (NIGH_UNLIKELY(result != L1_STORED)) {
        not_stored_locked(l1, s, w, NULL, old, result);
        return result;
    }
    uint32_t limbo_slot;
    struct l1_entry *e = limbo_exchange_locked(s, &limbo_slot);
    entry_fill(e, l1, w->key, w->value, stamp, ENTRY_STORED, 0);
    struct entering in = {word, w->key->hash, e, w->bytes, old, w->bytes,
                          (uint64_t)w->value->born_ns, l1_entry_stale_until_ns(e), false};
    enter_publish_exchanged_locked(l1, s, &in, limbo_slot);
    return L1_STORED;
}

enum l1_store_result write_long_locked(struct l1 *l1, struct l1_shard *s, const struct own_write *w,
                                       _Atomic uint64_t *word)
{
    struct l1_entry *old = table_entry_in(word);
    uint32_t removals = s->removals;
    bool has_slot = l1_shard_has_slot_locked(l1, s);
    struct l1_entry *e = has_slot ? own_entry_locked(l1, s, w, old) : NULL;
    bool refused = has_slot && !e && was_refused_locked(s, w);
    if (NIGH_UNLIKELY(s->removals != removals)) {
        word = table_word_of_key(shard_table_locked(s), w->key);
        old = table_entry_in(word);
    }
    uint64_t stamp;
    enum l1_store_result result = judge_own(l1, w, old, &stamp);
    if (e && !old && result == L1_STORED)
        word = enter_word_locked(l1, s, w->key->hash);
    if (result == L1_STORED && !(e && word))
        result = L1_REFUSED_FULL;
    if (NIGH_UNLIKELY(result != L1_STORED)) {
        if (result == L1_REFUSED_FULL && refused)
            note_refused(l1, w);
        not_stored_locked(l1, s, w, e, old, result);
        return result;
    }
    uint64_t before = old ? entry_charge(l1, old) : 0;
    complete_own(l1, s, w, e, stamp);
    struct entering in = {word, w->key->hash, e, w->bytes, old, before,
                          (uint64_t)w->value->born_ns, l1_entry_stale_until_ns(e), false};
    enter_publish_locked(l1, s, &in);
    enter_keep_max_locked(l1, s);
    return L1_STORED;
}

static enum l1_store_result write_locked(struct l1 *l1, struct l1_shard *s,
                                         const struct own_write *w) REQUIRES(s->lock)
{
    _Atomic uint64_t *word = table_word_of_key(shard_table_locked(s), w->key);
    struct l1_entry *old = table_entry_in(word);
    if (old)
        ring_prefetch(&s->ring, old->slot);
    bool short_way =
        old && !is_large(w) && enter_may_exchange_locked(l1, s, old, w->size, w->bytes);
    return NIGH_LIKELY(short_way) ? exchange_locked(l1, s, w, word, old)
                                  : write_long_locked(l1, s, w, word);
}

void l1_prefetch_write(struct l1 *l1, const struct l1_key *key)
{
    __builtin_prefetch(hit_bucket_rcu(hit_table_rcu(&l1->hit, key->hash), key->hash));
    floors_prefetch_key(l1->floors, key->hash);
    __builtin_prefetch(l1_shard_of(l1, key->hash), 1);
}

enum l1_store_result l1_write(struct l1 *l1, const struct l1_key *key, const struct l1_value *value,
                              uint64_t ticket, uint64_t heard, bool only_newer)
{
    uint64_t stamp;
    return l1_write_stamped(l1, key, value, ticket, heard, only_newer, &stamp);
}

enum l1_store_result l1_write_stamped(struct l1 *l1, const struct l1_key *key,
                                      const struct l1_value *value, uint64_t ticket, uint64_t heard,
                                      bool only_newer, uint64_t *ret_stamp)
{
    size_t size = entry_size_of(key, value);
    struct own_write w = {key, value, ticket, heard, only_newer, size, mem_charge(l1->mem, size),
                          NULL, ret_stamp};
    struct l1_shard *s = l1_shard_of(l1, key->hash);
    limbo_yield(l1);
    if (is_large(&w) && l1_entry_create(l1, key, value, &w.made) != 0)
        w.made = NULL; /* not stored, but the entry there goes all the same */
    l1_shard_lock(s);
    enum l1_store_result result = write_locked(l1, s, &w);
    l1_shard_unlock(l1, s);
    if (w.made)
        l1_entry_unref(w.made);
    return result;
}

/* ---- invalidating ---- */

uint64_t l1_invalidate_key(struct l1 *l1, const struct l1_key *key, uint64_t version,
                           uint64_t ticket, bool *ret_ticket_ok)
{
    return l1_invalidate_others(l1, key, version, 0, ticket, ret_ticket_ok);
}

uint64_t l1_invalidate_others(struct l1 *l1, const struct l1_key *key, uint64_t version,
                              uint64_t own, uint64_t ticket, bool *ret_ticket_ok)
{
    bool ok;
    uint64_t position = floors_raise_key(l1->floors, key->hash, ticket, &ok);
    struct l1_shard *s = l1_shard_of(l1, key->hash);
    l1_shard_lock(s);
    struct l1_entry *e = table_entry_in(table_word_of_key(shard_table_locked(s), key));
    if (e && !survives(e, version) && !(own && l1_entry_stamp(e) == own))
        l1_shard_drop_locked(l1, s, e, L1_FATE_NONE); /* the caller knows on whose behalf */
    else if (!e && !own) /* an own value that is not here left for want of room: others keep it */
        l1_tell_gone(l1, key->hash);
    l1_shard_unlock(l1, s);
    USDT(invalidate, key->data, key->len, position);
    if (ret_ticket_ok)
        *ret_ticket_ok = ok;
    return position;
}
