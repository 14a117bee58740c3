// SPDX-License-Identifier: MIT
/*
 * A plain put: a value as of now, without version or tags. Nothing is judged, for no entry keeps it
 * out, and no floor is above it.
 */
#include "l1/enter.h"
#include "l1/write.h"

struct plain_put {
    const struct l1_key *key;
    struct bytes value;
    struct entry_times times;
    uint64_t now_ns;
    size_t size;
    uint64_t bytes; /* charged */
};

/* Values put later than this are so near the end of an entry's ticks, 9 years, that these may not
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

static NIGH_OUTLINED void note_refused(struct l1 *l1, const struct plain_put *p)
{
    enter_note_refused(l1, p->key,
                       &(struct curve_value){p->bytes, p->now_ns, plain_until_ns(p), 0, 0});
}

/* Store a new key. Evicting for it brings no entry of the key, so there is no second look. */
static enum l1_store_result put_new_locked(struct l1 *l1, struct l1_shard *s,
                                           const struct plain_put *p) REQUIRES(s->lock)
{
    uint64_t hash = p->key->hash;
    bool has_slot = l1_shard_has_slot_locked(l1, s);
    struct l1_entry *e =
        has_slot ? enter_make_locked(l1, s, hash, false, false, p->size, p->bytes) : NULL;
    uint64_t stamp = raise_for_put(l1, p->key);
    _Atomic uint64_t *word = e ? enter_word_locked(l1, s, hash) : NULL;
    if (NIGH_UNLIKELY(!word)) {
        core_note_short(l1);
        if (e) {
            enter_unmake_locked(l1, s, e, p->size, p->bytes);
            fates_note(l1->fates, hash, L1_FATE_REFUSED_FULL, 0);
        }
        if (has_slot && !e && s->newcomer.refused)
            note_refused(l1, p);
        return L1_REFUSED_FULL;
    }
    entry_fill_plain(e, l1, p->key, p->value, &p->times, stamp);
    struct entering in = {word, hash, e, p->bytes, NULL, 0, p->now_ns, plain_until_ns(p), false};
    enter_publish_new_locked(l1, s, &in, NULL);
    enter_keep_max_locked(l1, s);
    return L1_STORED;
}

static void put_over_locked(struct l1 *l1, struct l1_shard *s, const struct plain_put *p,
                            _Atomic uint64_t *word, struct l1_entry *old) REQUIRES(s->lock)
{
    uint32_t limbo_slot;
    uint64_t stamp = raise_for_put(l1, p->key);
    struct l1_entry *e = limbo_exchange_locked(s, &limbo_slot);
    entry_fill_plain(e, l1, p->key, p->value, &p->times, stamp);
    struct entering in = {word,     p->key->hash, e,                 p->bytes, old,
                          p->bytes, p->now_ns,    plain_until_ns(p), false};
    enter_publish_exchanged_locked(l1, s, &in, limbo_slot);
}

static NIGH_OUTLINED enum l1_store_result put_long_locked(struct l1 *l1, struct l1_shard *s,
                                                          const struct plain_put *p,
                                                          _Atomic uint64_t *word) REQUIRES(s->lock)
{
    struct l1_value value = value_of_plain(p);
    uint64_t stamp;
    struct own_write w = {p->key, &value,   L1_TICKET_NOW, 0,      false,
                          p->size, p->bytes, NULL,          &stamp};
    return write_long_locked(l1, s, &w, word);
}

static NIGH_OUTLINED enum l1_store_result put_long(struct l1 *l1, const struct plain_put *p)
{
    struct l1_value value = value_of_plain(p);
    return l1_write(l1, p->key, &value, L1_TICKET_NOW, 0, false);
}

static enum l1_store_result put_locked(struct l1 *l1, struct l1_shard *s, const struct plain_put *p)
    REQUIRES(s->lock)
{
    _Atomic uint64_t *word = table_find_word(shard_table_locked(s), p->key);
    struct l1_entry *old = table_entry_in(word);
    if (!old)
        return put_new_locked(l1, s, p);
    ring_prefetch(&s->ring, old->slot);
    if (NIGH_UNLIKELY(!enter_may_exchange_locked(l1, s, old, p->size, p->bytes)))
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
    uint64_t now_ns = clock_coarse_ns(l1->env->clock);
    struct plain_put p = {
        .key = key,
        .value = value,
        .times = plain_times(lifetimes, now_ns, key->hash),
        .now_ns = now_ns,
        .size = sizeof(struct l1_entry) + key->len + value.len,
    };
    if (NIGH_UNLIKELY(p.size > COPY_LOCKED_MAX || now_ns >> ENTRY_TICK_SHIFT > PLAIN_BORN_MAX))
        return put_long(l1, &p);
    p.bytes = mem_charge(l1->mem, p.size);
    limbo_yield(l1);
    l1_shard_lock(s);
    enum l1_store_result result = put_locked(l1, s, &p);
    l1_shard_unlock(l1, s);
    return result;
}
