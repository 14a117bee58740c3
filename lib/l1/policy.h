/* SPDX-License-Identifier: MIT */
/*
 * Which entry has to go when room is needed: a small interface, one instance of its state per
 * shard.
 *
 * A hit only sets the entry's counter or generation (l1_touch); everything else is done by writers
 * under the shard lock. A policy that wants more than the ring's order keeps it in its own state.
 * A new value of a key counts as a hit, and changes nothing else unless it has another weight.
 *
 *     lru    the entry hit least recently, by generations; no state but hands  policy_lru.c
 *     lfu    frequency and recency: W-TinyLFU with hits that write nothing     policy_lfu.c
 *     ttl    the entry that expires first, by the ring's bounds                policy_ttl.c
 *     none   no entry: a value that does not fit is refused                    policy_none.c
 */
#ifndef NIGH_L1_POLICY_H
#define NIGH_L1_POLICY_H

#include "l1/lfu.h"
#include "l1/ring.h"

struct l1_shard;
struct policy_lfu;

/* Keys: (c) constant after init  (s) shard lock */
struct l1_policy_state {
    uint32_t hand;                /* (s) lru: next slot to look at; ttl: next group */
    uint32_t never_hit;           /* (s) lru: part of the last victims, in 65,536ths */
    uint32_t inserts;             /* (s) lru: since the last quarter of its ring */
    bool refused;                 /* (s) the newcomer that room is made for is not stored */
    struct lfu_incoming incoming; /* (s) newcomer that room is made for; weight 0: none (a table) */
    uint64_t admitted_hash;       /* (s) newcomer that won its contest, to be stored; 0: none */
    uint64_t victim_hash;         /* (s) hash of the last victim, if it was at hand; else 0 */
    uint32_t slots;               /* (s) slots of the ring that the policy has memory for */
    struct policy_lfu *lfu;       /* (c) */
};

/* All functions REQUIRES(shard lock), but for report(). NULL where a policy has nothing to do. */
struct l1_policy {
    const char *name;
    /* Under a cap on entries, a newcomer is stored first, and may then be the victim itself. */
    bool judges_newcomers;
    /* Get the policy's own memory. Errors: NIGH_ENOMEM (nothing is left behind). */
    int (*init)(struct l1 *l1, struct l1_shard *s);
    void (*fini)(struct l1 *l1, struct l1_shard *s);
    /* Bytes charged for the policy in a shard that has memory for so many slots. */
    uint64_t (*bytes)(const struct l1 *l1, uint32_t slots);
    /* Fit the policy's memory to the ring's slots: the ring may have grown or been cut. False:
     * there is no room for it. */
    bool (*prepare)(struct l1 *l1, struct l1_shard *s);
    /* An entry, charged `bytes`, came to `slot`; `old` (or NULL) is the one of which it is a copy,
     * still in its own slot. The new entry's counter has been set. */
    void (*insert)(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t hash, uint64_t bytes,
                   struct l1_entry *old);
    /* The entry in `slot` is a new value of its key: it has taken the slot over from one that was
     * charged `before` bytes. */
    void (*replace)(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t before,
                    uint64_t bytes);
    /* The entry in `slot`, charged `bytes`, leaves; whatever the reason. */
    void (*remove)(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t bytes);
    /* The slot of the next victim; RING_NONE: there is none. Bounded work. NULL: never evicts. */
    uint32_t (*victim)(struct l1 *l1, struct l1_shard *s);
    /* Up to `most` victims at once, all of them still stored; fewer: there are no more. For a cap
     * that comes down. NULL: as victim(), one by one. */
    uint32_t (*victims)(struct l1 *l1, struct l1_shard *s, uint32_t *ret_slots, uint32_t most);
    /* A hit has changed the counter of a sampled entry (ENTRY_SAMPLED). Any thread, in a section;
     * not under the lock. */
    void (*report)(struct l1_shard *s, const struct l1_entry *e);
};

extern const struct l1_policy policy_lru;
extern const struct l1_policy policy_lfu;
extern const struct l1_policy policy_ttl;
extern const struct l1_policy policy_none;

#endif
