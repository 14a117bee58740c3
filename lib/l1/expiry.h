/* SPDX-License-Identifier: MIT */
/*
 * Expiry: an entry whose time is over gives its memory back within about a second.
 *
 * An entry is never served late in any case (a hit compares the exact time), so this is only about
 * memory, and for memory a tick of 2^28 ns (0.27 s), rounded up, is precise enough.
 *
 * A timing wheel would link each entry into a list: 8 to 16 bytes each, and on every insert and
 * removal two neighbours' lines touched. Here each live slot of the ring has its tick in the word
 * it has anyway, and each group of 64 slots a lower bound of its ticks. Adding is two stores,
 * removing is nothing, and a sweep reads one bound per 64 slots and opens the groups that are due.
 * An entry that expires costs O(1); one that does not costs 1/64 of a compare per tick (0.02 % of a
 * core at 10M entries), and 1/32 byte of bookkeeping.
 *
 * Ticks are 16 bits and compared as differences, which spans 2.4 hours; a later expiry is entered
 * as EXPIRY_RECHECK_TICKS from now, and entered again when it comes up. So a sweep that comes 18
 * minutes late would take some expired entries for ones that have hours left: after a process was
 * stopped, after a machine slept under a clock that counts its sleep, after a host did not call
 * nigh_tick(). Then no tick is believed: all entries are made due, and are entered again by their
 * exact times. The price is a look at each entry, once.
 */
#ifndef NIGH_L1_EXPIRY_H
#define NIGH_L1_EXPIRY_H

#include "l1/shard.h"

#define EXPIRY_TICK_SHIFT 28 /* 0.27 s */
#define EXPIRY_LEFT_MAX 0x7fff
/* After so long without a sweep ticks are not believed: half of the lateness that they bear. */
#define EXPIRY_GAP_NS (UINT64_C(0x800) << EXPIRY_TICK_SHIFT)

static inline uint16_t expiry_tick_at(uint64_t ns)
{
    return (uint16_t)(ns >> EXPIRY_TICK_SHIFT);
}

/* Ticks left until `tick`; zero or negative: it has come. */
static inline int32_t expiry_left(uint16_t tick, uint16_t now)
{
    return (int16_t)(uint16_t)(tick - now);
}

/* Far enough for few rechecks; near enough that a late sweep still sees such a tick as past. */
#define EXPIRY_RECHECK_TICKS 0x7000u

/* The tick to enter for an entry that expires at `until_ns`. */
static inline uint16_t expiry_tick(uint64_t until_ns, uint64_t now_ns)
{
    uint64_t now = now_ns >> EXPIRY_TICK_SHIFT;
    uint64_t until = until_ns >> EXPIRY_TICK_SHIFT; /* a tick is over one tick later */
    uint64_t left = until >= now ? until - now + 1 : 0;
    return (uint16_t)(now + u64_min(left, EXPIRY_RECHECK_TICKS));
}

static inline uint16_t expiry_shard_due(const struct l1_shard *s)
{
    /* Relaxed: a change that is seen too late costs one sweep interval. */
    return atomic_load_explicit(s->due, memory_order_relaxed);
}

static inline void expiry_set_shard_due(struct l1_shard *s, uint16_t tick)
{
    atomic_store_explicit(s->due, tick, memory_order_relaxed);
}

/* Note that a live entry with this tick came to `slot`. Its group's bound may be too early already,
 * for instance where the ring has grown: so the shard's bound is compared in any case. */
static inline void expiry_note_locked(struct l1_shard *s, uint32_t slot, uint16_t tick,
                                      uint64_t now_ns) REQUIRES(s->lock)
{
    uint16_t now = expiry_tick_at(now_ns);
    uint16_t *due = &s->ring.due[slot / RING_GROUP];
    if (expiry_left(tick, now) < expiry_left(*due, now))
        *due = tick;
    if (expiry_left(tick, now) < expiry_left(expiry_shard_due(s), now))
        expiry_set_shard_due(s, tick);
}

#endif
