// SPDX-License-Identifier: MIT
/*
 * Copying an entry and publishing the copy in its place: a reader finds one of the two, and both
 * say the same.
 */
#include "l1/move.h"

#include "l1/enter.h"

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
        budget_give_locked(l1, s, bytes);
        return !word;
    }
    entry_spare_inherit(copy, old);
    uint64_t now_ns = clock_coarse_ns(l1->env->clock);
    struct entering in = {word, hash, copy, bytes, NULL, 0, now_ns, l1_entry_stale_until_ns(copy),
                          false};
    enter_publish_new_locked(l1, s, &in, old);
    stats_count(l1->stats, STATS_L1_MOVE);
    return true;
}

bool l1_shard_relocate_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t hash)
{
    struct l1_entry *old = ring_entry(&s->ring, slot);
    uint64_t bytes = entry_charge(l1, old);
    if (s->ring.free.head == RING_NONE || limbo_is_full(l1) ||
        !budget_take_locked(l1, s, bytes))
        return false;
    struct l1_entry *copy = copy_charged(l1, old);
    if (!copy) {
        budget_give_locked(l1, s, bytes);
        return false;
    }
    _Atomic uint64_t *word = table_word_of_entry(shard_table_locked(s), hash, old);
    NIGH_CHECK(word);
    uint16_t tick = ring_word_tick(s->ring.words[slot]);
    uint32_t limbo_slot = ring_take_over(&s->ring, slot, copy, tick);
    copy->slot = slot & 0xffffff;
    entry_spare_inherit(copy, old);
    enter_publish_word(l1, word, hash, copy);
    limbo_retire_or_aside_locked(l1, s, limbo_slot, bytes);
    stats_count(l1->stats, STATS_L1_MOVE);
    return true;
}
