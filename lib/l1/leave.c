// SPDX-License-Identifier: MIT
/*
 * Unlinking, telling the policy, retiring; and the policy's victims, one or many at a time.
 */
#include "l1/leave.h"

#include "l1/limbo.h"

/* Tell that the entry of a slot leaves: the policy, and who counts what is there. */
static void policy_remove(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t bytes)
{
    s->entry_bytes -= bytes;
    l1_level_remove(l1, ring_entry(&s->ring, slot), bytes);
    if (l1->policy->remove)
        l1->policy->remove(l1, s, slot, bytes);
}

void l1_shard_let_go_locked(struct l1 *l1, struct l1_shard *s, struct l1_entry *e)
{
    uint64_t bytes = entry_charge(l1, e);
    policy_remove(l1, s, e->slot, bytes);
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

/* Tell what became of the entry. A larger cache would have it, if it went for want of room. */
static void note_fate(struct l1 *l1, uint64_t hash, enum l1_fate fate)
{
    if (fate != L1_FATE_NONE)
        fates_note(l1->fates, hash, fate, 0);
    if (NIGH_UNLIKELY(core_marks(l1, hash)) && fate != L1_FATE_EVICTED && fate != L1_FATE_SHED)
        curve_remove(l1, hash);
}

static uint64_t remove_hashed_locked(struct l1 *l1, struct l1_shard *s, struct l1_entry *e,
                                     uint64_t hash, enum l1_fate fate) REQUIRES(s->lock)
{
    uint64_t bytes = entry_charge(l1, e);
    unlink_locked(s, e, hash);
    note_fate(l1, hash, fate);
    policy_remove(l1, s, e->slot, bytes);
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
    uint64_t hash = entry_hash(l1, e);
    unlink_locked(s, e, hash);
    note_fate(l1, hash, fate);
    l1_shard_let_go_locked(l1, s, e);
}

/* ---- evicting ---- */

/* Ages are noted of one eviction in so many: it takes a look at the clock. */
#define AGES_NOTED 16u

static void note_evicted(struct l1 *l1, const struct l1_shard *s, const struct l1_entry *e)
{
    struct stats *stats = l1_stats_of(l1, e);
    stats_count(stats, STATS_L1_EVICT);
    if (s->removals % AGES_NOTED)
        return;
    int64_t age_ns = (int64_t)clock_coarse_ns(l1->env->clock) - l1_entry_born_ns(e);
    stats_time(stats, STATS_EVICTED_AGE, age_ns > 0 ? (uint64_t)age_ns : 0);
}

/* As a cap comes down, who leaves is no younger or older than else: so ages say nothing. */
static void note_shed(struct l1 *l1, const struct l1_entry *e)
{
    struct stats *stats = l1_stats_of(l1, e);
    stats_count(stats, STATS_L1_EVICT);
    stats_count(stats, STATS_L1_SHED);
}

static uint64_t evict_locked(struct l1 *l1, struct l1_shard *s, enum l1_fate fate) REQUIRES(s->lock)
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
    if (fate == L1_FATE_SHED)
        note_shed(l1, e);
    else
        note_evicted(l1, s, e);
    USDT(evict, &e->bytes[0], entry_key_len(e), entry_value_len(e));
    return remove_hashed_locked(l1, s, e, hash, fate);
}

uint64_t l1_shard_evict_locked(struct l1 *l1, struct l1_shard *s)
{
    return limbo_is_full(l1) ? 0 : evict_locked(l1, s, L1_FATE_EVICTED);
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
        note_shed(l1, ring_entry(&s->ring, slots[i]));
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
