/* SPDX-License-Identifier: MIT */
/*
 * `lru`: first in, first out, with second chances (CLOCK with a 2-bit counter).
 *
 * The ring is in order of arrival and the hand takes the oldest entry. One that was hit since the
 * hand last came by is passed and its counter halved: up to two more rounds for what was hit often.
 * (With one less each time, three rounds, a small cache keeps for too long what was hot: 1.4 points
 * below exact LRU with 60 objects, for 0.06 more on average.) Exact recency order is worth nothing
 * measurable against this, and would need a write to shared memory on every hit: never more than
 * 1.1 points of hit ratio below exact LRU on any of thirty trace and size combinations, and 0.7
 * above it on average.
 * Source: F. Corbato, A Paging Experiment with the Multics System (1968).
 */
#include "l1/policy.h"

#include "l1/shard.h"

/* Where the hand will be by the time that a line has come from memory. */
#define LOOK_AHEAD 8u

/* Passed entries per victim; then the next is taken as it is. A burst of hits on everything must
 * not turn one insert into a walk round the ring under the lock. */
#define PASSES_MAX 128u

static uint32_t hand_next(struct l1_policy_state *state, const struct l1_ring *ring)
{
    uint32_t slot = state->hand < ring->capacity ? state->hand : 0;
    state->hand = slot + 1;
    return slot;
}

static void look_ahead(const struct l1_ring *ring, uint32_t slot)
{
    uint32_t ahead = slot + LOOK_AHEAD < ring->capacity ? slot + LOOK_AHEAD : 0;
    __builtin_prefetch(ring_entry(ring, ahead));
}

static uint32_t lru_victim(struct l1 *l1, struct l1_shard *s)
{
    (void)l1;
    struct l1_ring *ring = &s->ring;
    uint32_t passes = 0;
    /* Two rounds may pass everybody when the shard is small; the third does not. */
    for (uint32_t steps = 0; steps < 3 * ring->capacity; steps++) {
        uint32_t slot = hand_next(&s->policy, ring);
        look_ahead(ring, slot);
        if (!ring_is_live(ring->words[slot]))
            continue;
        struct l1_entry *e = ring_entry(ring, slot);
        uint8_t freq = entry_freq(e);
        if (freq == 0 || passes == PASSES_MAX)
            return slot;
        passes++;
        entry_freq_set(e, freq / 2);
    }
    return RING_NONE;
}

const struct l1_policy policy_lru = {
    .name = "lru",
    .victim = lru_victim,
};
