/* SPDX-License-Identifier: MIT */
/*
 * Who has to go when room is needed: a small interface, one instance of its state per shard.
 *
 * A hit only sets the entry's 2-bit counter (l1_touch_rcu); everything else is done by writers
 * under the shard lock. A policy that wants more than the ring's order keeps it in its own state.
 */
#ifndef NIGH_L1_POLICY_H
#define NIGH_L1_POLICY_H

#include "l1/ring.h"

/* Keys: (s) shard lock */
struct l1_policy_state {
    uint32_t hand; /* (s) lru: next slot to look at */
};

/* All of it REQUIRES(shard lock). */
struct l1_policy {
    const char *name;
    /* An entry came to `slot`; `old` (or NULL) is the one it replaces, still in its own slot. */
    void (*insert)(struct l1_policy_state *state, struct l1_ring *ring, uint32_t slot,
                   const struct l1_entry *old);
    /* The entry in `slot` leaves; whatever the reason. */
    void (*remove)(struct l1_policy_state *state, struct l1_ring *ring, uint32_t slot);
    /* The slot of the next victim; RING_NONE: the shard is empty. Bounded work. */
    uint32_t (*victim)(struct l1_policy_state *state, struct l1_ring *ring);
};

extern const struct l1_policy policy_lru;

#endif
