// SPDX-License-Identifier: MIT
/*
 * `ttl`: the entry that expires first goes first, whatever its popularity.
 *
 * For values whose lifetime says how much they are worth: sessions, tokens, quotes. The policy
 * needs no order of its own: the ring has the expiry tick of every slot and for each 64 slots a
 * lower bound (expiry.h). A victim is the earliest slot of the group with the earliest bound among
 * the next GROUPS_MAX: one group in 64 slots is looked at, eight cache lines of bounds for 16k
 * entries. A bound may be too early (its entry has gone): then the group is opened for nothing,
 * once, the bound is set right, and another one looked for.
 *
 * Approximate: to a tick (0.27 s); entries that expire more than two hours ahead are ordered by
 * when they were stored or last rechecked; and a shard of more than 64k entries is looked at in
 * parts, by turns.
 */
#include "l1/policy.h"

#include "l1/expiry.h"
#include "l1/shard.h"

#define GROUPS_MAX 1024u /* bounds looked at for one victim */
#define OPEN_MAX 8u      /* groups opened for one victim, the last one taken as it is */

/* A shard's state. Keys: (s) shard lock */
struct ttl {
    uint32_t hand; /* (s) next group */
};

static uint32_t groups_of(const struct l1_ring *ring)
{
    return ring->capacity / RING_GROUP;
}

/* The group among the next ones whose bound comes first. */
static uint32_t earliest_group(struct l1_shard *s, uint16_t now)
{
    uint32_t count = groups_of(&s->ring);
    uint32_t looks = count < GROUPS_MAX ? count : GROUPS_MAX;
    struct ttl *ttl = s->policy;
    uint32_t at = ttl->hand < count ? ttl->hand : 0;
    uint32_t best = at;
    for (uint32_t i = 0; i < looks; i++) {
        if (expiry_left(s->ring.due[at], now) < expiry_left(s->ring.due[best], now))
            best = at;
        at = at + 1 < count ? at + 1 : 0;
    }
    if (looks < count)
        ttl->hand = at;
    return best;
}

/* The live slot of a group that expires first, and the ticks left to it; RING_NONE: all are
 * gone. */
static uint32_t earliest_slot(const struct l1_ring *ring, uint32_t group, uint16_t now,
                              int32_t *ret_left)
{
    uint32_t best = RING_NONE;
    for (uint32_t slot = group * RING_GROUP; slot < (group + 1) * RING_GROUP; slot++) {
        if (!ring_is_live(ring->words[slot]))
            continue;
        int32_t left = expiry_left(ring_word_tick(ring->words[slot]), now);
        if (best == RING_NONE || left < *ret_left) {
            best = slot;
            *ret_left = left;
        }
    }
    return best;
}

static uint32_t ttl_victim(struct l1 *l1, struct l1_shard *s, uint64_t *ret_hash)
{
    (void)ret_hash;
    uint16_t now = expiry_tick_at(clock_coarse_ns(l1->env->clock));
    uint32_t found = RING_NONE;
    for (uint32_t opened = 0; opened < OPEN_MAX || found == RING_NONE; opened++) {
        if (opened > groups_of(&s->ring))
            return RING_NONE;
        uint32_t group = earliest_group(s, now);
        int32_t left = EXPIRY_LEFT_MAX;
        uint32_t slot = earliest_slot(&s->ring, group, now, &left);
        bool exact = left <= expiry_left(s->ring.due[group], now);
        s->ring.due[group] = (uint16_t)(now + left);
        if (slot != RING_NONE)
            found = slot;
        if (slot != RING_NONE && exact)
            return slot;
    }
    return found;
}

const struct l1_policy policy_ttl = {
    .name = "ttl",
    .state_bytes = sizeof(struct ttl),
    .victim = ttl_victim,
};
