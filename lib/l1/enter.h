/* SPDX-License-Identifier: MIT */
/*
 * Brings an entry into a shard: gets what it needs, and publishes it. Inline: these are parts of a
 * put.
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
 * All functions here REQUIRE(shard lock).
 */
#ifndef NIGH_L1_ENTER_H
#define NIGH_L1_ENTER_H

#include "l1/expiry.h"
#include "l1/leave.h"
#include "l1/limbo.h"
#include "l1/refreshed.h"
#include "l1/room.h"
#include "l1/shard.h"
#include "l1/tally.h"

/* A value up to this size is copied under the lock: 1 KiB takes about as long as the second hold
 * that is saved. */
#define COPY_LOCKED_MAX 1024u

/* Whether the entry there keeps a value of this version out. Unversioned values cannot be compared,
 * and an entry that has expired or was invalidated with a group is no longer there. */
static inline bool enter_keeps_out(const struct l1 *l1, const struct l1_entry *there,
                                   uint64_t version, bool same_too, uint64_t now_ns)
{
    uint64_t has = version ? l1_entry_version(there) : 0;
    return has && (has > version || (same_too && has == version)) &&
           now_ns < l1_entry_stale_until_ns(there) && l1_judge(l1, there) != L1_BELOW_HARD;
}

/* ---- memory ---- */

static inline bool enter_may_be_so_large(const struct l1 *l1, uint64_t charged_bytes)
{
    return charged_bytes <= l1_limit(&l1->entry_max_bytes);
}

/* Make an entry, charged, its bytes not yet written; NULL: no room or no memory, and why is noted
 * as the key's fate. The policy may refuse a new key, but not a new value of one that it has
 * admitted. `absent`: it is to say that the key does not exist. */
static inline struct l1_entry *enter_make_locked(struct l1 *l1, struct l1_shard *s, uint64_t hash,
                                                 bool replaces, bool absent, size_t size,
                                                 uint64_t bytes) REQUIRES(s->lock)
{
    bool large = NIGH_UNLIKELY(!enter_may_be_so_large(l1, bytes));
    struct l1_entry *e = large ? NULL : room_make_locked(l1, s, hash, replaces, size, bytes);
    if (NIGH_LIKELY(e))
        return e;
    s->newcomer.refused &= !large;
    fates_note_gone(l1->fates, hash, large                ? L1_FATE_REFUSED_LARGE
                                     : s->newcomer.refused ? L1_FATE_REFUSED_POLICY
                                                           : L1_FATE_REFUSED_FULL, absent);
    return NULL;
}

/* Note a store that found no room because the policy kept what is there. (All that found none are
 * counted by who stores, as he counts those that did.) */
static inline void enter_note_refused(struct l1 *l1, const struct l1_key *key,
                                      const struct curve_value *v)
{
    stats_count(l1_stats_of(l1, key->space), STATS_L1_REFUSED_POLICY);
    if (l1->policy->refused)
        l1->policy->refused(l1, key->hash, v->bytes, v->now_ns, v->until_ns);
    if (NIGH_UNLIKELY(core_marks(l1, key->hash)))
        curve_store(l1, key->hash, key->space, v);
}

static inline void enter_unmake_locked(struct l1 *l1, struct l1_shard *s, struct l1_entry *e,
                                       size_t size, uint64_t bytes) REQUIRES(s->lock)
{
    mem_free(l1->mem, s->cache, e, size);
    budget_give_locked(l1, s, bytes);
}

static inline void enter_charge_stored(struct l1_shard *s, struct l1_entry *e, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&s->unstored_bytes, bytes, memory_order_relaxed);
    atomic_fetch_or_explicit(&e->refs, ENTRY_STORED, memory_order_relaxed);
}

/* ---- a word of the table ---- */

/* Get a word of the table for a new key, and all that it needs beside a slot and memory; NULL:
 * there is no room, and no entry may be evicted for it. */
static inline _Atomic uint64_t *enter_word_locked(struct l1 *l1, struct l1_shard *s, uint64_t hash)
    REQUIRES(s->lock)
{
    if (!l1_shard_prepare_locked(l1, s))
        return NULL;
    bool evicts = s->entries >= l1->shard_live_max;
    if (evicts && (!l1->policy->victim || limbo_is_full(l1)))
        return NULL;
    if (evicts && !l1->policy->judges_newcomers && !l1_shard_evict_locked(l1, s))
        return NULL;
    return l1_shard_place_locked(l1, s, hash);
}

/* Evict down to the cap on entries, where the newcomer itself may have to go (judges_newcomers);
 * other policies have made room before. */
static NIGH_INLINED void enter_keep_max_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock)
{
    while (s->entries > l1->shard_live_max)
        if (!l1_shard_evict_locked(l1, s))
            return;
}

/* ---- publishing ---- */

static inline void enter_publish_word(struct l1 *l1, _Atomic uint64_t *word, uint64_t hash,
                                      const struct l1_entry *e)
{
    table_publish(word, table_tag(hash, l1->hit.base_bits), e);
}

/* An entry to be published, charged `bytes`, and the one whose place it takes, `old`, charged
 * `before`; NULL and 0: none. */
struct entering {
    _Atomic uint64_t *word;
    uint64_t hash;
    struct l1_entry *e;
    uint64_t bytes;
    struct l1_entry *old;
    uint64_t before;
    uint64_t now_ns;
    uint64_t until_ns; /* the end of its life */
    bool loaded;       /* it is no writer's own */
};

static inline uint16_t enter_tick(const struct entering *p)
{
    return expiry_tick(p->until_ns, p->now_ns);
}

/* Make the entry the ring's youngest and publish it. `copied`: the entry of which it is a copy, or
 * NULL. */
static NIGH_INLINED void enter_publish_new_locked(struct l1 *l1, struct l1_shard *s,
                                                  const struct entering *p, struct l1_entry *copied)
    REQUIRES(s->lock)
{
    uint16_t tick = enter_tick(p);
    uint32_t slot = ring_take(&s->ring, p->e, tick);
    p->e->slot = slot & 0xffffff;
    expiry_note_locked(s, slot, tick, p->now_ns);
    if (l1->policy->insert)
        l1->policy->insert(l1, s, slot, p->hash, p->bytes, copied);
    if (NIGH_UNLIKELY(core_marks(l1, p->hash)) && !copied) { /* a copy has its mark */
        entry_mark(p->e, l1_generation(&l1->hit));
        curve_store_entry(l1, p->hash, p->e, p->bytes, p->now_ns, p->loaded);
    }
    enter_publish_word(l1, p->word, p->hash, p->e);
    if (copied) {
        l1_shard_let_go_locked(l1, s, copied);
        return;
    }
    s->entries++;
    tally_come_locked(s, p->e, p->bytes);
}

/* Publish the entry in the place of `old`, whose slot it has taken over, and so its age and its
 * place with the policy. A write is a use. */
static NIGH_INLINED void enter_publish_over_locked(struct l1 *l1, struct l1_shard *s,
                                                   const struct entering *p, uint32_t slot,
                                                   uint16_t tick) REQUIRES(s->lock)
{
    p->e->slot = slot & 0xffffff;
    expiry_note_locked(s, slot, tick, p->now_ns);
    entry_spare_inherit(p->e, p->old);
    (void)l1_touch(p->e, l1_generation(&l1->hit));
    if (NIGH_UNLIKELY((p->old->flags | p->e->flags) & ENTRY_REFRESHED))
        refreshed_follows(l1, p->e, p->old, p->hash);
    if (l1->policy->replace)
        l1->policy->replace(l1, s, slot, p->before, p->bytes);
    if (NIGH_UNLIKELY(p->bytes != p->before))
        tally_replace_locked(s, p->e, p->before, p->bytes);
    if (NIGH_UNLIKELY(core_marks(l1, p->hash)))
        curve_store_entry(l1, p->hash, p->e, p->bytes, p->now_ns, p->loaded);
    enter_publish_word(l1, p->word, p->hash, p->e);
}

static inline void enter_publish_locked(struct l1 *l1, struct l1_shard *s, const struct entering *p)
    REQUIRES(s->lock)
{
    if (!p->old) {
        enter_publish_new_locked(l1, s, p, NULL);
        if (NIGH_UNLIKELY(l1_entry_refreshed(p->e)))
            refreshed_comes(l1, p->e);
        return;
    }
    uint16_t tick = enter_tick(p);
    uint32_t slot = p->old->slot;
    uint32_t limbo_slot = ring_take_over(&s->ring, slot, p->e, tick);
    enter_publish_over_locked(l1, s, p, slot, tick);
    limbo_retire_or_aside_locked(l1, s, limbo_slot, p->before);
}

/* ---- the short way ---- */

/* Whether the short way is open: `old` is as large, and an entry as large is ready to be freed. */
static NIGH_INLINED bool enter_may_exchange_locked(struct l1 *l1, struct l1_shard *s,
                                                   const struct l1_entry *old, size_t size,
                                                   uint64_t bytes) REQUIRES(s->lock)
{
    return NIGH_LIKELY(limbo_has_ready_locked(l1, s, bytes)) &&
           NIGH_LIKELY(entry_size(old) == size || entry_charge(l1, old) == bytes);
}

/* Publish `e`, complete and charged as much, in the place of `old`. `limbo_slot`: that of the ready
 * entry whose memory it got; it becomes the slot of `old`. */
static NIGH_INLINED void enter_publish_exchanged_locked(struct l1 *l1, struct l1_shard *s,
                                                        const struct entering *p,
                                                        uint32_t limbo_slot) REQUIRES(s->lock)
{
    uint32_t slot = p->old->slot;
    uint16_t tick = enter_tick(p);
    ring_exchange(&s->ring, slot, p->e, tick, limbo_slot);
    enter_publish_over_locked(l1, s, p, slot, tick);
    limbo_retire_exchanged_locked(s, limbo_slot);
}

#endif
