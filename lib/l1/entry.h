/* SPDX-License-Identifier: MIT */
/*
 * An entry: one allocation of header, key, value and, only when used, an extension.
 *
 *      0        8         16       24        32      32 + key_len      8-aligned
 *      | refs   | stale   | fresh  | value's | key   | value           | extension: version, tags |
 *      | slot   | stamp   | flags  | length  |       |                 |                          |
 *      | freq   |         | born   | name    |       |                 |                          |
 *
 * Why 32 bytes: a cache of small values is mostly bookkeeping. Bytes per entry of a full shard:
 *
 *      32    this header
 *      16.4  a bucket of 64 bytes holds 3.9 entries on average (5.25 at most, half after doubling)
 *       8.2  its word in the ring: arrival order, limbo link and expiry in one
 *      ----
 *      56.6  (what the allocator rounds up comes on top, and is charged)
 *
 * Times are ticks of 2^19 ns (0.52 ms, 18 years in 40 bits). `born` is exact to a tick, because
 * callers may ask for a greatest age; the two lifetimes behind it are small floating-point numbers,
 * rounded down: exact below 34 s and 1 s, else early by at most 1/32,768 and 1/1,024 of themselves.
 *
 * What a hit looks at is at an end of its word, so that a shift alone brings it out: stamp, born,
 * and the key's length and space, which are compared as one.
 *
 * Everything is constant once published but refs, slot and freq. The value's bytes are not aligned.
 */
#ifndef NIGH_L1_ENTRY_H
#define NIGH_L1_ENTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/base.h"

#define ENTRY_TICK_SHIFT 19
#define ENTRY_BORN_BITS 40
#define ENTRY_FRESH_BITS 16 /* mantissa; with 5 bits of exponent */
#define ENTRY_STALE_BITS 11
#define ENTRY_EXPONENT_BITS 5
#define ENTRY_KEY_LEN_BITS 11
#define ENTRY_NAME_BITS (ENTRY_KEY_LEN_BITS + 16)

/* In refs: the table or limbo owns the entry too, and reclamation frees it. Never cleared. */
#define ENTRY_STORED (UINT32_C(1) << 31)
#define ENTRY_STAMP_MASK ((UINT64_C(1) << 48) - 1)
#define ENTRY_FREQ_MAX 3
#define ENTRY_SAMPLED 4u /* in freq: changes of its counter are reported to the policy */

/* Beside enum l1_flags in `flags`. */
#define ENTRY_EXTENDED 2u /* an extension follows the value */
#define ENTRY_LOOSE 4u    /* from general memory, not charged, never stored */

/* Keys: (c) constant after publication  (s) shard lock  (a) atomic, relaxed but for named pairs */
struct l1_entry {
    _Atomic uint32_t refs;                              /* (a) pair(entry.refs); ENTRY_STORED */
    uint32_t slot : 24;                                 /* (s) in the ring; not stored: id of l1 */
    _Atomic uint8_t freq;                               /* (a) 0..ENTRY_FREQ_MAX; _SAMPLED */
    uint64_t stale : ENTRY_STALE_BITS + ENTRY_EXPONENT_BITS; /* (c) ticks after fresh */
    uint64_t stamp : 48;                                /* (c) */
    uint64_t fresh : ENTRY_FRESH_BITS + ENTRY_EXPONENT_BITS; /* (c) ticks after born */
    uint64_t flags : 3;                                 /* (c) */
    uint64_t born_ticks : ENTRY_BORN_BITS;              /* (c) */
    uint64_t value_len : 27;                            /* (c) */
    uint64_t space_slot : 10;                           /* (c) group slot of the space */
    uint64_t name : ENTRY_NAME_BITS;                    /* (c) entry_name_of() */
    uint8_t bytes[];                                    /* (c) key, value, extension */
};

/* Behind the value, 8-aligned. */
struct l1_extension {
    uint64_t version;
    uint32_t group_count;
    uint16_t groups[];
};

_Static_assert(sizeof(struct l1_entry) == 32, "the sum above");
_Static_assert(offsetof(struct l1_entry, freq) == 7, "readers write freq: a byte of its own");

/* What makes two keys different before their bytes do: the length, and the id of the space. */
static inline uint32_t entry_name_of(uint32_t space, uint32_t key_len)
{
    return space << ENTRY_KEY_LEN_BITS | key_len;
}

static inline uint32_t entry_key_len(const struct l1_entry *e)
{
    return e->name & ((1u << ENTRY_KEY_LEN_BITS) - 1);
}

static inline uint32_t entry_space(const struct l1_entry *e)
{
    return e->name >> ENTRY_KEY_LEN_BITS;
}

/* A duration of `bits` of mantissa and ENTRY_EXPONENT_BITS of exponent; all ones means for ever. */
static inline uint64_t entry_ticks_unpack(uint64_t packed, unsigned bits)
{
    return (packed & ((UINT64_C(1) << bits) - 1)) << (packed >> bits);
}

static inline uint64_t l1_entry_born_ns(const struct l1_entry *e)
{
    return (uint64_t)e->born_ticks << ENTRY_TICK_SHIFT;
}

static inline uint64_t entry_fresh_ticks(const struct l1_entry *e)
{
    return e->born_ticks + entry_ticks_unpack(e->fresh, ENTRY_FRESH_BITS);
}

/* Ticks to ns; what does not fit lies beyond every clock. */
static inline uint64_t entry_ticks_ns(uint64_t ticks)
{
    return ticks >> (64 - ENTRY_TICK_SHIFT) ? UINT64_MAX : ticks << ENTRY_TICK_SHIFT;
}

static inline uint64_t l1_entry_fresh_until_ns(const struct l1_entry *e)
{
    return entry_ticks_ns(entry_fresh_ticks(e));
}

static inline uint64_t l1_entry_stale_until_ns(const struct l1_entry *e)
{
    return entry_ticks_ns(entry_fresh_ticks(e) + entry_ticks_unpack(e->stale, ENTRY_STALE_BITS));
}

/* now_ns < l1_entry_fresh_until_ns(e), to the ns and in fewer steps: no time has bits that ticks
 * cannot hold. */
static inline bool l1_entry_fresh_at(const struct l1_entry *e, uint64_t now_ns)
{
    return now_ns >> ENTRY_TICK_SHIFT < entry_fresh_ticks(e);
}

static inline uint64_t l1_entry_stamp(const struct l1_entry *e)
{
    return e->stamp;
}

static inline uint8_t l1_entry_flags(const struct l1_entry *e)
{
    return e->flags & 1u; /* L1_ABSENT: the others are ours */
}

static inline uint16_t l1_entry_space_slot(const struct l1_entry *e)
{
    return (uint16_t)e->space_slot;
}

static inline struct bytes l1_entry_key(const struct l1_entry *e)
{
    return bytes_of(e->bytes, entry_key_len(e));
}

static inline struct bytes l1_entry_value(const struct l1_entry *e)
{
    return bytes_of(e->bytes + entry_key_len(e), e->value_len);
}

static inline size_t entry_extension_offset(size_t key_len, size_t value_len)
{
    return (sizeof(struct l1_entry) + key_len + value_len + 7) & ~(size_t)7;
}

/* NULL when it has neither version nor tags. */
static inline const struct l1_extension *entry_extension(const struct l1_entry *e)
{
    if (!(e->flags & ENTRY_EXTENDED))
        return NULL;
    const void *at = (const char *)e + entry_extension_offset(entry_key_len(e), e->value_len);
    return at;
}

static inline uint64_t l1_entry_version(const struct l1_entry *e)
{
    const struct l1_extension *x = entry_extension(e);
    return x ? x->version : 0;
}

static inline uint32_t l1_entry_groups(const struct l1_entry *e, const uint16_t **ret_slots)
{
    const struct l1_extension *x = entry_extension(e);
    *ret_slots = x ? x->groups : NULL;
    return x ? x->group_count : 0;
}

static inline bool l1_entry_loose(const struct l1_entry *e)
{
    return e->flags & ENTRY_LOOSE;
}

/*
 * Note a hit. A lost bump only delays promotion by one touch, so no RMW: a plain load, and a store
 * only while it changes something: hot entries stay unwritten, and their line shared. Returns
 * whether the policy wants to hear of it: l1_report_hit_rcu().
 */
static inline bool l1_touch_rcu(struct l1_entry *e)
{
    uint8_t freq = atomic_load_explicit(&e->freq, memory_order_relaxed);
    if ((freq & ENTRY_FREQ_MAX) == ENTRY_FREQ_MAX)
        return false;
    atomic_store_explicit(&e->freq, (uint8_t)(freq + 1), memory_order_relaxed);
    return freq & ENTRY_SAMPLED;
}

static inline uint8_t entry_freq(const struct l1_entry *e)
{
    return atomic_load_explicit(&e->freq, memory_order_relaxed) & ENTRY_FREQ_MAX;
}

static inline void entry_freq_set(struct l1_entry *e, uint8_t freq)
{
    atomic_store_explicit(&e->freq, freq, memory_order_relaxed);
}

/* Bytes asked of the allocator for it. */
size_t entry_size(const struct l1_entry *e);

#endif
