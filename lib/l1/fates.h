/* SPDX-License-Identifier: MIT */
/*
 * What became of keys that are not in the table: the last cause of each, for people who ask
 * (nigh_explain()).
 *
 * Three tables of fixed size, indexed by hash, as floors are. A slot is one word, so that a cause
 * is noted with one relaxed store, by whoever just did it, and read without a lock:
 *
 *     tag of the hash (20) | when, in quarters of a second (23) | who (16) | fate (5)
 *
 * A key that has the same place takes it over; then the older cause is forgotten. What happens all
 * the time in a full cache (evicting, refusing, expiring) does not overwrite what is rare, and
 * worth more. Nor does what becomes of loads that bring no value overwrite either: answers "does
 * not exist" live for seconds, and a client that asks for keys that there are not makes them by the
 * thousand, as an origin that is down makes failed loads. Another key is taken for this one in one
 * look of some 2^20 at a place that is in use.
 *
 * Sizes. The frequent causes have a place for each 2 KiB of the cap. A full cache fills as many
 * places as it evicts, so half of them are still known after .7 of that number of others. The rare
 * ones have an eighth of that, and those without a value another: where 5,000 keys a second are
 * asked for that do not exist, a cap of 64 MiB remembers them for a second. So each place tells,
 * too, how far back it reaches, and whoever explains a key says that. Together the tables take less
 * than a 200th of the cap, and are part of it.
 *
 * Evictions must not read a clock for this. They take the time that the last sweep for expired
 * entries has left here, a second ago at most where the keeper comes in time. Nor is it kept how
 * old the evicted was: its birth takes 14 more instructions to work out (measured, of 2,200 for a
 * new key), or another word. The space's `evicted_age` samples that.
 */
#ifndef NIGH_L1_FATES_H
#define NIGH_L1_FATES_H

#include "l1/l1.h"

#define FATES_OFTEN_MIN 2048u
#define FATES_OFTEN_MAX (1u << 20) /* 8 MiB, of caps from 2 GiB on */
#define FATES_SMALLER 8u           /* so much smaller are the other two tables */

#define FATE_TICK_SHIFT 28 /* of ns: 0.27 s */
#define FATE_TIME_BITS 23u /* 26 days */
#define FATE_WHO_BITS 16u
#define FATE_FATE_BITS 5u
#define FATE_TAG_BITS 20u

#define FATE_WHO_SHIFT FATE_FATE_BITS
#define FATE_TIME_SHIFT (FATE_WHO_SHIFT + FATE_WHO_BITS)
#define FATE_TAG_SHIFT (FATE_TIME_SHIFT + FATE_TIME_BITS)

/* Which table has a cause. */
enum fates_of {
    FATES_OFTEN,    /* of values */
    FATES_NO_VALUE, /* frequent causes of answers "does not exist"; failed loads */
    FATES_RARE,
    FATES_TABLES
};

/* Keys: (c) constant after init  (a) atomic, relaxed: a word tells all, and nothing by it */
struct l1_fates {
    struct fates_table {
        _Atomic uint64_t *words;   /* (c) -> (a) the others' lie behind the first one's */
        uint64_t mask;             /* (c) */
    } of[FATES_TABLES];
    _Atomic uint64_t when; /* (a) the tick, where a word has it */
};

/* Places for frequent causes, for a cap. */
uint32_t fates_count(uint64_t memory_bytes);
/* Bytes of all tables. */
uint64_t fates_bytes(uint32_t often);
/* Errors: NIGH_ENOMEM. */
int fates_init(struct l1_fates *f, uint32_t often, uint64_t now_ns);
void fates_fini(struct l1_fates *f);

/* The tick of a time, where a word has it. */
static inline uint64_t fates_when(uint64_t at_ns)
{
    return (at_ns >> FATE_TICK_SHIFT & ((1u << FATE_TIME_BITS) - 1)) << FATE_TIME_SHIFT;
}

static inline void fates_set_time(struct l1_fates *f, uint64_t now_ns)
{
    atomic_store_explicit(&f->when, fates_when(now_ns), memory_order_relaxed);
}

/* The top bits of the hash, where a word has them. The bottom ones choose the place. */
static inline uint64_t fates_tag(uint64_t hash)
{
    return hash >> FATE_TAG_SHIFT << FATE_TAG_SHIFT;
}

static inline _Atomic uint64_t *fates_place(const struct fates_table *t, uint64_t hash)
{
    return &t->words[hash & t->mask];
}

/* `when`: a tick. */
static inline void fates_note_at(struct l1_fates *f, enum fates_of of, uint64_t hash,
                                 enum l1_fate fate, uint16_t who, uint64_t when)
{
    uint64_t word = fates_tag(hash) | when | (uint64_t)who << FATE_WHO_SHIFT | (uint64_t)fate;
    atomic_store_explicit(fates_place(&f->of[of], hash), word, memory_order_relaxed);
}

static inline void fates_note_in(struct l1_fates *f, enum fates_of of, uint64_t hash,
                                 enum l1_fate fate, uint16_t who)
{
    fates_note_at(f, of, hash, fate, who, atomic_load_explicit(&f->when, memory_order_relaxed));
}

static inline enum fates_of fates_of(enum l1_fate fate, bool absent)
{
    if (fate == L1_FATE_FAILED)
        return FATES_NO_VALUE;
    return fate >= L1_FATE_RARE ? FATES_RARE : absent ? FATES_NO_VALUE : FATES_OFTEN;
}

static inline void fates_note(struct l1_fates *f, uint64_t hash, enum l1_fate fate, uint16_t who)
{
    fates_note_in(f, fates_of(fate, false), hash, fate, who);
}

/* Note what became of an entry that goes; `absent`: it said that its key does not exist. */
static inline void fates_note_gone(struct l1_fates *f, uint64_t hash, enum l1_fate fate,
                                   bool absent)
{
    fates_note_in(f, fates_of(fate, absent), hash, fate, 0);
}

#endif
