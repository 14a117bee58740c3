// SPDX-License-Identifier: MIT
/*
 * Storing what was loaded.
 *
 * A loaded value is made in two holds of the lock, room first, so that its bytes are copied between
 * them; a small one that nobody else has to hear of first takes one.
 */
#include "l1/enter.h"

static bool is_current(const struct l1 *l1, const struct l1_key *key, const struct l1_entry *e)
{
    return e->stamp >= floors_of_key(l1->floors, key->hash) && l1_judge(l1, e) == L1_CURRENT;
}

static NIGH_OUTLINED void note_refused(struct l1 *l1, const struct l1_key *key,
                                       const struct l1_entry *e, uint64_t now_ns)
{
    enter_note_refused(l1, key,
                       &(struct curve_value){
                           .bytes = entry_charge(l1, e),
                           .now_ns = now_ns,
                           .until_ns = l1_entry_stale_until_ns(e),
                           .stale_ns = l1_entry_stale_until_ns(e) - l1_entry_fresh_until_ns(e),
                           .floor = curve_floor(l1, e),
                       });
}

static enum l1_store_result store_locked(struct l1 *l1, struct l1_shard *s,
                                         const struct l1_key *key, struct l1_entry *e)
    REQUIRES(s->lock)
{
    if (!is_current(l1, key, e)) {
        fates_note_gone(l1->fates, key->hash, L1_FATE_REFUSED_FLOOR, l1_entry_absent(e));
        return L1_REFUSED_FLOOR;
    }
    bool has_slot = !l1_entry_loose(e) && l1_shard_has_slot_locked(l1, s);
    uint64_t now_ns = clock_coarse_ns(l1->env->clock);
    _Atomic uint64_t *word = table_word_of_key(shard_table_locked(s), key);
    struct l1_entry *old = table_entry_in(word);
    if (old && enter_keeps_out(l1, old, l1_entry_version(e), false, now_ns))
        return L1_REFUSED_VERSION;
    if (has_slot && !old)
        word = enter_word_locked(l1, s, key->hash);
    if (!has_slot || !word) {
        core_note_short(l1);
        if (!l1_entry_loose(e)) /* else it is noted why it is loose */
            fates_note_gone(l1->fates, key->hash, L1_FATE_REFUSED_FULL, l1_entry_absent(e));
        if (entry_was_refused(e))
            note_refused(l1, key, e, now_ns);
        return L1_REFUSED_FULL;
    }
    uint64_t bytes = entry_charge(l1, e);
    uint64_t before = old ? entry_charge(l1, old) : 0;
    enter_charge_stored(s, e, bytes);
    struct entering in = {word, key->hash, e,      bytes,
                          old,  before,    now_ns, l1_entry_stale_until_ns(e), true};
    enter_publish_locked(l1, s, &in);
    enter_keep_max_locked(l1, s);
    return L1_STORED;
}

enum l1_store_result l1_store(struct l1 *l1, const struct l1_key *key, struct l1_entry *e)
{
    struct l1_shard *s = l1_shard_of(l1, key->hash);
    l1_shard_lock(s);
    enum l1_store_result result = store_locked(l1, s, key, e);
    l1_shard_unlock(l1, s);
    return result;
}

/* ---- making entries ---- */

bool l1_takes(const struct l1 *l1, const struct l1_key *key, const struct l1_value *value)
{
    return enter_may_be_so_large(l1, mem_charge(l1->mem, entry_size_of(key, value)));
}

static struct l1_entry *create_charged_locked(struct l1 *l1, struct l1_shard *s,
                                              const struct l1_key *key,
                                              const struct l1_value *value, size_t size)
    REQUIRES(s->lock)
{
    uint64_t bytes = mem_charge(l1->mem, size);
    bool replaces = table_word_of_key(shard_table_locked(s), key);
    struct l1_entry *e =
        enter_make_locked(l1, s, key->hash, replaces, value->flags & L1_ABSENT, size, bytes);
    if (NIGH_LIKELY(e))
        atomic_fetch_add_explicit(&s->unstored_bytes, bytes, memory_order_relaxed);
    else
        core_note_short(l1); /* a loose one of Redis is handed out, and not brought to l1_store() */
    return e;
}

static struct l1_entry *create_charged(struct l1 *l1, const struct l1_key *key,
                                       const struct l1_value *value, bool *ret_refused)
{
    struct l1_shard *s = l1_shard_of(l1, key->hash);
    l1_shard_lock(s);
    struct l1_entry *e = create_charged_locked(l1, s, key, value, entry_size_of(key, value));
    *ret_refused = !e && s->newcomer.refused;
    l1_shard_unlock(l1, s);
    return e;
}

int l1_entry_create(struct l1 *l1, const struct l1_key *key, const struct l1_value *value,
                    struct l1_entry **ret_entry)
{
    bool refused;
    struct l1_entry *e = create_charged(l1, key, value, &refused);
    if (e)
        entry_fill(e, l1, key, value, value->stamp, 1, 0);
    else
        e = entry_create_loose(l1, key, value);
    if (!e)
        return NIGH_ENOMEM;
    if (refused)
        entry_spare_set(e, ENTRY_REFUSED);
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
    struct l1_entry *e = create_charged_locked(l1, s, key, value, size);
    if (e) {
        entry_fill(e, l1, key, value, value->stamp, 1, 0);
        *ret_result = store_locked(l1, s, key, e);
    }
    l1_shard_unlock(l1, s);
    return e;
}

int l1_entry_create_stored(struct l1 *l1, const struct l1_key *key, const struct l1_value *value,
                           struct l1_entry **ret_entry, enum l1_store_result *ret_result)
{
    size_t size = entry_size_of(key, value);
    struct l1_entry *e = NULL;
    limbo_yield(l1);
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
