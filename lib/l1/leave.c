// SPDX-License-Identifier: MIT
/*
 * Unlinking, telling the policy, retiring; and the policy's victims, one or many at a time.
 */
#include "l1/leave.h"

#include "l1/limbo.h"
#include "l1/refreshed.h"
#include "l1/tally.h"

/* Tell the policy that the entry leaves its slot. Returns what it is charged. */
static NIGH_INLINED uint64_t leave_policy_locked(struct l1 *l1, struct l1_shard *s,
                                                 const struct l1_entry *e) REQUIRES(s->lock)
{
    uint64_t bytes = entry_charge(l1, e);
    if (l1->policy->remove)
        l1->policy->remove(l1, s, e->slot, bytes);
    return bytes;
}

void l1_shard_let_go_locked(struct l1 *l1, struct l1_shard *s, struct l1_entry *e)
{
    uint64_t bytes = leave_policy_locked(l1, s, e);
    limbo_retire_or_aside_locked(l1, s, e->slot, bytes);
}

/* ---- removing ---- */

/* Clear an entry's word in the table: nobody finds it any more. */
static void unlink_locked(struct l1_shard *s, struct l1_entry *e, uint64_t hash) REQUIRES(s->lock)
{
    _Atomic uint64_t *word = table_word_of_entry(shard_table_locked(s), hash, e);
    NIGH_CHECK(word);
    table_clear(word);
    s->entries--;
    s->removals++;
}

static enum tally_cause cause_of(enum l1_fate fate)
{
    switch (fate) {
    case L1_FATE_EVICTED: return TALLY_EVICTED;
    case L1_FATE_SHED: return TALLY_SHED;
    case L1_FATE_EXPIRED: return TALLY_EXPIRED;
    case L1_FATE_MOVED: return TALLY_DROPPED;
    default: return TALLY_REMOVED;
    }
}

void l1_tell_gone(struct l1 *l1, uint64_t hash)
{
    if (l1->policy->gone)
        l1->policy->gone(l1, hash);
    if (NIGH_UNLIKELY(core_marks(l1, hash)))
        curve_remove(l1, hash);
}

/* Whether another cache may still have what went: for want of room, or because it was too old
 * here. */
static bool others_keep(enum l1_fate fate)
{
    return fate == L1_FATE_EVICTED || fate == L1_FATE_SHED || fate == L1_FATE_EXPIRED;
}

/* Take an entry out of the table, and note all that is told of it. Returns what it is charged. A
 * constant `fate` leaves little of this. */
static NIGH_INLINED uint64_t depart_locked(struct l1 *l1, struct l1_shard *s, struct l1_entry *e,
                                           uint64_t hash, enum l1_fate fate) REQUIRES(s->lock)
{
    unlink_locked(s, e, hash);
    uint64_t bytes = leave_policy_locked(l1, s, e);
    tally_leave_locked(s, e, bytes, cause_of(fate));
    if (fate != L1_FATE_NONE)
        fates_note_gone(l1->fates, hash, fate, l1_entry_absent(e));
    if (!others_keep(fate))
        l1_tell_gone(l1, hash);
    if (NIGH_UNLIKELY(l1_entry_refreshed(e)))
        refreshed_leaves(l1, e, hash);
    return bytes;
}

static NIGH_INLINED uint64_t remove_hashed_locked(struct l1 *l1, struct l1_shard *s,
                                                  struct l1_entry *e, uint64_t hash,
                                                  enum l1_fate fate) REQUIRES(s->lock)
{
    uint64_t bytes = depart_locked(l1, s, e, hash, fate);
    limbo_retire_locked(l1, s, e->slot, bytes);
    return bytes;
}

uint64_t l1_shard_remove_locked(struct l1 *l1, struct l1_shard *s, struct l1_entry *e,
                                enum l1_fate fate)
{
    return remove_hashed_locked(l1, s, e, entry_hash(l1, e), fate);
}

void l1_shard_drop_locked(struct l1 *l1, struct l1_shard *s, struct l1_entry *e, enum l1_fate fate)
{
    uint64_t bytes = depart_locked(l1, s, e, entry_hash(l1, e), fate);
    limbo_retire_or_aside_locked(l1, s, e->slot, bytes);
}

/* ---- evicting ---- */

/* Of one eviction in so many it is noted that there was one, and how old the entry was, which takes
 * a look at the clock. */
#define NOTED_OF 16u

static NIGH_OUTLINED void note_evicted(struct l1 *l1, const struct l1_entry *e)
{
    core_note_short(l1);
    int64_t age_ns = (int64_t)clock_coarse_ns(l1->env->clock) - l1_entry_born_ns(e);
    stats_time(l1_stats_of(l1, entry_space(e)), STATS_EVICTED_AGE,
               age_ns > 0 ? (uint64_t)age_ns : 0);
}

static NIGH_INLINED uint64_t evict_locked(struct l1 *l1, struct l1_shard *s, enum l1_fate fate)
    REQUIRES(s->lock)
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
    /* As a cap comes down, who leaves is no younger or older than else: so ages say nothing. */
    if (fate == L1_FATE_EVICTED && NIGH_UNLIKELY(s->removals % NOTED_OF == 0))
        note_evicted(l1, e);
    USDT(evict, &e->bytes[0], entry_key_len(e), entry_value_len(e));
    return remove_hashed_locked(l1, s, e, hash, fate);
}

uint64_t l1_shard_evict_locked(struct l1 *l1, struct l1_shard *s)
{
    enum l1_fate fate = NIGH_UNLIKELY(s->gives_back) ? L1_FATE_SHED : L1_FATE_EVICTED;
    return limbo_is_full(l1) ? 0 : evict_locked(l1, s, fate);
}

/* Remove some victims. All their buckets are prefetched before the first is removed: one wait for
 * memory, not 64. */
static uint64_t shed_row_locked(struct l1 *l1, struct l1_shard *s, uint32_t most,
                                uint32_t *ret_count) REQUIRES(s->lock)
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
        sum += remove_hashed_locked(l1, s, ring_entry(&s->ring, slots[i]), hashes[i], L1_FATE_SHED);
    *ret_count = count;
    return sum;
}

uint64_t l1_shard_shed_locked(struct l1 *l1, struct l1_shard *s, uint32_t most)
{
    uint64_t sum = 0;
    for (uint32_t count; l1->policy->victims && most; most -= count) {
        sum += shed_row_locked(l1, s, most, &count);
        if (!count)
            return sum;
    }
    for (uint64_t bytes; most-- && (bytes = evict_locked(l1, s, L1_FATE_SHED));)
        sum += bytes;
    return sum;
}
