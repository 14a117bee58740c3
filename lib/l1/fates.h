/* SPDX-License-Identifier: MIT */
/*
 * What became of keys that are not in the table: the last cause of each, for people who ask
 * (nigh_explain()).
 *
 * A table of fixed size, indexed by hash, as floors are. A slot is one word, so that a cause is
 * noted with one relaxed store, by whoever just did it, and read without a lock:
 *
 *     tag of the hash (20) | when, in quarters of a second (23) | who (16) | fate (5)
 *
 * A key that has the same place takes it over; then the older cause is forgotten. There are two
 * such tables: what happens all the time in a full cache (evicting, refusing) does not overwrite
 * what is rare, and worth more. Another key is taken for this one in one look of some 2^20 at a
 * place that is in use.
 *
 * Evictions must not read a clock for this. They take the time that the last sweep for expired
 * entries has left here, a second ago at most where the keeper comes in time.
 */
#ifndef NIGH_L1_FATES_H
#define NIGH_L1_FATES_H

#include "l1/l1.h"

#define FATES_MAX 16384u /* in each table */
#define FATES_MIN 256u

#define FATE_TICK_SHIFT 28 /* of ns: 0.27 s */
#define FATE_TIME_BITS 23u /* 26 days */
#define FATE_WHO_BITS 16u
#define FATE_FATE_BITS 5u
#define FATE_TAG_BITS 20u

/* Keys: (c) constant after init  (a) atomic, relaxed: a word tells all, and nothing by it */
struct l1_fates {
    _Atomic uint64_t *slots; /* (c) -> (a) the frequent ones, then the rare ones */
    uint32_t mask;           /* (c) */
    _Atomic uint64_t when;   /* (a) the tick, where a word has it */
};

/* Slots in each of the two tables, for a cap. */
uint32_t fates_count(uint64_t memory_bytes);
/* Bytes of both. */
uint64_t fates_bytes(uint32_t count);
/* Errors: NIGH_ENOMEM. */
int fates_init(struct l1_fates *f, uint32_t count, uint64_t now_ns);
void fates_fini(struct l1_fates *f);

#define FATE_WHO_SHIFT FATE_FATE_BITS
#define FATE_TIME_SHIFT (FATE_WHO_SHIFT + FATE_WHO_BITS)
#define FATE_TAG_SHIFT (FATE_TIME_SHIFT + FATE_TIME_BITS)

static inline void fates_set_time(struct l1_fates *f, uint64_t now_ns)
{
    uint64_t tick = now_ns >> FATE_TICK_SHIFT & ((1u << FATE_TIME_BITS) - 1);
    atomic_store_explicit(&f->when, tick << FATE_TIME_SHIFT, memory_order_relaxed);
}

/* Bits of the hash between those that choose a bucket and those that choose a shard. */
static inline uint64_t fates_tag(uint64_t hash)
{
    return hash >> 36 & ((1u << FATE_TAG_BITS) - 1);
}

static inline _Atomic uint64_t *fates_slot(const struct l1_fates *f, uint64_t hash, bool is_rare)
{
    return &f->slots[(hash >> 20 & f->mask) + (is_rare ? f->mask + 1 : 0)];
}

static inline void fates_note(struct l1_fates *f, uint64_t hash, enum l1_fate fate, uint16_t who)
{
    uint64_t word = fates_tag(hash) << FATE_TAG_SHIFT |
                    atomic_load_explicit(&f->when, memory_order_relaxed) |
                    (uint64_t)who << FATE_WHO_SHIFT | (uint64_t)fate;
    atomic_store_explicit(fates_slot(f, hash, fate >= L1_FATE_RARE), word, memory_order_relaxed);
}

#endif
