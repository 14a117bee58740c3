/* SPDX-License-Identifier: MIT */
/*
 * Decides which entry has to go when room is needed: a policy is one file, and one line in
 * L1_POLICIES.
 *
 * A hit only sets the entry's counter or generation (l1_touch); everything else is done by writers
 * under the shard lock. A policy that wants more than the ring's order keeps it in its own state:
 * nobody else knows what is in there. A new value of a key counts as a hit, and changes nothing
 * else unless it has another weight.
 *
 *     lru    the entry hit least recently, by generations; no state but hands  policy_lru.c
 *     lfu    frequency and recency: W-TinyLFU with hits that write nothing     policy_lfu.c
 *     ttl    the entry that expires first, by the ring's bounds                policy_ttl.c
 *     none   no entry: a value that does not fit is refused                    policy_none.c
 *
 * What there is for a policy:
 *
 *     s->policy           its state in the shard, zeroed at first
 *     l1->policy_common   its state for all shards, zeroed too
 *     s->ring             a slot for each entry, 0 .. capacity - 1: ring_is_live(), ring_entry()
 *     s->newcomer         for whom room is made; victim() may refuse it
 *     entry_freq()        hits since entry_freq_set(); or l1->hit.generation, which hits copy
 *     room_resize_locked  memory by slot, charged to the cap
 */
#ifndef NIGH_L1_POLICY_H
#define NIGH_L1_POLICY_H

#include "l1/ring.h"

struct l1_shard;

/* Whether a newcomer may come in, as far as the policy has looked. */
enum l1_verdict { L1_UNDECIDED, L1_ADMITTED, L1_REFUSED };

/* The newcomer for which a shard makes room. Keys: (s) shard lock */
struct l1_newcomer {
    uint64_t hash;           /* (s) */
    uint64_t bytes;          /* (s) charged; 0: nobody (room for a table, or for a known key) */
    enum l1_verdict verdict; /* (s) the policy's; back to L1_UNDECIDED when the room is made */
    bool refused; /* (s) for who has got no memory, under the same hold: the policy wanted it so */
};

enum l1_model { L1_MODEL_NONE, L1_MODEL_LFU, L1_MODEL_LRU };

#define L1_VICTIMS_MOST 64u /* asked of victims() at once */

/* All functions REQUIRE(shard lock), but for those that say otherwise. NULL where a policy has
 * nothing to do. */
struct l1_policy {
    const char *name;
    enum l1_model model; /* of mini caches that say what another cap would bring: curve.h */
    size_t state_bytes;  /* bytes of state in a shard */
    size_t common_bytes; /* bytes of state for all shards */
    /* Under a cap on entries, a newcomer is stored first, and may then be the victim itself. */
    bool judges_newcomers;
    /* The state for all shards begins and ends; no other call runs. */
    void (*init_common)(struct l1 *l1);
    void (*fini_common)(struct l1 *l1);
    /* Get a shard's own memory. Errors: NIGH_ENOMEM (nothing is left behind). */
    int (*init)(struct l1 *l1, struct l1_shard *s);
    void (*fini)(struct l1 *l1, struct l1_shard *s);
    /* Bytes charged for a shard's memory by slot, if it has so many slots. */
    uint64_t (*bytes)(const struct l1 *l1, uint32_t slots);
    /* Bytes charged for memory of all shards beside that. Not under a shard's lock. */
    uint64_t (*common_charge)(struct l1 *l1);
    /* Bytes of the latter that a cap of `cap_bytes` would not let it have; and to free them: the
     * caller returns their charge. Not under a shard's lock. */
    uint64_t (*excess)(struct l1 *l1, uint64_t cap_bytes);
    uint64_t (*shrink)(struct l1 *l1, uint64_t cap_bytes);
    /* Fit the policy's memory to the ring's slots: the ring may have grown or been cut. False:
     * there is no room for it. */
    bool (*prepare)(struct l1 *l1, struct l1_shard *s);
    /* A newcomer of this hash is on its way: prefetch. It may find no room. */
    void (*expect)(struct l1_shard *s, uint64_t hash);
    /* A newcomer that victim() has refused would have been charged `bytes`, and have lived from
     * `now_ns` until `until_ns`. */
    void (*refused)(struct l1 *l1, uint64_t hash, uint64_t bytes, uint64_t now_ns,
                    uint64_t until_ns);
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
    /* A key's value, stored or not, is gone for another reason than want of room or its age: a
     * cache that had decided otherwise would have lost it, too. Comes after remove(), if both. */
    void (*gone)(struct l1 *l1, uint64_t hash);
    /* The slot of the next victim, and, if it is at hand, the hash of its key (else `*ret_hash`
     * stays). RING_NONE: there is none, or the newcomer is refused. Bounded work. NULL: never
     * evicts. */
    uint32_t (*victim)(struct l1 *l1, struct l1_shard *s, uint64_t *ret_hash);
    /* Up to `most` (<= L1_VICTIMS_MOST) victims at once, all of them still stored; fewer: there are
     * no more. For a cap that comes down. NULL: as victim(), one by one. */
    uint32_t (*victims)(struct l1 *l1, struct l1_shard *s, uint32_t *ret_slots, uint32_t most);
    /* A hit has changed the counter of a sampled entry (ENTRY_SAMPLED), which is pinned. Any
     * thread; not under the lock, nor always in a section. */
    void (*report)(struct l1_shard *s, const struct l1_entry *e);
};

#define DECLARE(value, word) extern const struct l1_policy policy_##word;
L1_POLICIES(DECLARE)
#undef DECLARE

#endif
