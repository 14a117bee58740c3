/* SPDX-License-Identifier: MIT */
/*
 * An entry: one allocation of header, key, value and, only when used, an extension.
 *
 *      0        8         16       24        32      32 + key_len      8-aligned
 *      | refs   | stale   | life   | label   | key   | value           | extension: version, tags |
 *      | slot   | stamp   | flags  |         |       |                 |                          |
 *      | freq   |         | fresh  |         |       |                 |                          |
 *
 * Why 32 bytes: a cache of small values is mostly bookkeeping. Bytes per entry, as measured over a
 * doubling (perf/run memory):
 *
 *      32    this header
 *      19.7  a bucket of 64 bytes, which holds 5.25 entries at most and half after doubling, its
 *            overflow bucket (one in seven at most), the next table while it is made ahead (0.7)
 *       8.2  its word in the ring: arrival order, limbo link and expiry in one
 *      ----
 *      59.9  (what the allocator rounds up comes on top, and is charged)
 *       5.1  lfu: its links
 *       8.2       and its counters in the sketch
 *       0.5       and the rest of their last pages, and the policy's own struct
 *      ----
 *      73.7
 *
 * What less would cost. A header of 24 bytes has no room for refs, so who is referenced would have
 * to be looked up by everybody who frees, and the times would lose precision that callers see.
 * Buckets that double at 6 entries instead of 5.25 save 1.7 bytes; 4.0 % of the entries instead of
 * 2.4 are then in a second bucket. A sketch of 4 bytes an entry saves 4, and costs 0.28 points of
 * hit ratio on average: more than the room for 2 % more values brings.
 *
 * Times are ticks of 2^19 ns (0.52 ms, 18 years in 40 bits). `fresh` is when the entry ends being
 * fresh, `life` how long before that it was born and `stale` how long after it ends being stale;
 * these two are small floating-point numbers, rounded down: exact below 34 s and 1 s, else short by
 * at most 1/32,768 and 1/1,024 of themselves. `fresh` makes up for what `life` lost, so that birth
 * is exact to a tick: callers may ask for a greatest age.
 *
 * What a hit looks at is at an end of its word, so that a shift alone brings it out: stamp, fresh.
 * The label is what has to be as the request says, above the value's length: so the two labels
 * differ by that length, or by more when it is another key's entry, or an absence.
 *
 *      label:  space (15) | key's length (11) | its group (10) | absent (1) | value's length (27)
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
#define ENTRY_FRESH_BITS 40
#define ENTRY_LIFE_BITS 16 /* mantissa; with 5 bits of exponent */
#define ENTRY_STALE_BITS 11
#define ENTRY_EXPONENT_BITS 5

#define LABEL_VALUE_BITS 27
#define LABEL_VALUE_MAX ((UINT64_C(1) << LABEL_VALUE_BITS) - 1)
#define LABEL_ABSENT (UINT64_C(1) << LABEL_VALUE_BITS)
#define LABEL_SLOT_SHIFT (LABEL_VALUE_BITS + 1)
#define LABEL_SLOT_BITS 10
#define LABEL_KEY_SHIFT (LABEL_SLOT_SHIFT + LABEL_SLOT_BITS)
#define LABEL_KEY_BITS 11
#define LABEL_SPACE_SHIFT (LABEL_KEY_SHIFT + LABEL_KEY_BITS)

/* In refs: the table or limbo owns the entry too, and reclamation frees it. Never cleared. */
#define ENTRY_STORED (UINT32_C(1) << 31)
#define ENTRY_STAMP_MASK ((UINT64_C(1) << 48) - 1)
#define ENTRY_FREQ_MAX 3
#define ENTRY_SAMPLED 4u /* in freq: changes of its counter are reported to the policy */

/* In `flags`. */
#define ENTRY_EXTENDED 1u /* an extension follows the value */
#define ENTRY_LOOSE 2u    /* from general memory, not charged, never stored */

/* Keys: (c) constant after publication  (s) shard lock  (a) atomic, relaxed but for named pairs */
struct l1_entry {
    _Atomic uint32_t refs;                              /* (a) pair(entry.refs); ENTRY_STORED */
    uint32_t slot : 24;                                 /* (s) in the ring; not stored: id of l1 */
    _Atomic uint8_t freq;                               /* (a) 0..ENTRY_FREQ_MAX; _SAMPLED */
    uint64_t stale : ENTRY_STALE_BITS + ENTRY_EXPONENT_BITS; /* (c) ticks after fresh */
    uint64_t stamp : 48;                                /* (c) */
    uint64_t life : ENTRY_LIFE_BITS + ENTRY_EXPONENT_BITS; /* (c) ticks from birth to fresh */
    uint64_t flags : 3;                                 /* (c) */
    uint64_t fresh : ENTRY_FRESH_BITS;                  /* (c) tick */
    uint64_t label;                                     /* (c) */
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

/* Of the entries of a space: what their labels have in common. */
static inline uint64_t label_of_space(uint32_t space, uint16_t slot)
{
    return (uint64_t)space << LABEL_SPACE_SHIFT | (uint64_t)slot << LABEL_SLOT_SHIFT;
}

static inline uint64_t label_of_key(size_t key_len)
{
    return (uint64_t)key_len << LABEL_KEY_SHIFT;
}

static inline uint32_t entry_key_len(const struct l1_entry *e)
{
    return e->label >> LABEL_KEY_SHIFT & ((1u << LABEL_KEY_BITS) - 1);
}

static inline uint32_t entry_value_len(const struct l1_entry *e)
{
    return e->label & LABEL_VALUE_MAX;
}

static inline uint32_t entry_space(const struct l1_entry *e)
{
    return (uint32_t)(e->label >> LABEL_SPACE_SHIFT);
}

/* A duration of `bits` of mantissa and ENTRY_EXPONENT_BITS of exponent; all ones means for ever. */
static inline uint64_t entry_ticks_unpack(uint64_t packed, unsigned bits)
{
    return (packed & ((UINT64_C(1) << bits) - 1)) << (packed >> bits);
}

static inline uint64_t l1_entry_born_ns(const struct l1_entry *e)
{
    return (e->fresh - entry_ticks_unpack(e->life, ENTRY_LIFE_BITS)) << ENTRY_TICK_SHIFT;
}

static inline uint64_t l1_entry_fresh_until_ns(const struct l1_entry *e)
{
    return (uint64_t)e->fresh << ENTRY_TICK_SHIFT;
}

static inline uint64_t l1_entry_stale_until_ns(const struct l1_entry *e)
{
    return (e->fresh + entry_ticks_unpack(e->stale, ENTRY_STALE_BITS)) << ENTRY_TICK_SHIFT;
}

/* now_ns < l1_entry_fresh_until_ns(e), to the ns and in fewer steps. */
static inline bool l1_entry_fresh_at(const struct l1_entry *e, uint64_t now_ns)
{
    return now_ns >> ENTRY_TICK_SHIFT < e->fresh;
}

static inline uint64_t l1_entry_stamp(const struct l1_entry *e)
{
    return e->stamp;
}

static inline bool l1_entry_absent(const struct l1_entry *e)
{
    return e->label & LABEL_ABSENT;
}

static inline uint16_t l1_entry_space_slot(const struct l1_entry *e)
{
    return e->label >> LABEL_SLOT_SHIFT & ((1u << LABEL_SLOT_BITS) - 1);
}

static inline struct bytes l1_entry_key(const struct l1_entry *e)
{
    return bytes_of(e->bytes, entry_key_len(e));
}

static inline struct bytes l1_entry_value(const struct l1_entry *e)
{
    return bytes_of(e->bytes + entry_key_len(e), entry_value_len(e));
}

/* Ask for what a hit reads. Where the value begins follows from the request: its line is asked for
 * before the header has arrived. */
static inline void l1_entry_prefetch(const struct l1_entry *e, size_t key_len)
{
    __builtin_prefetch(e);
    __builtin_prefetch(e->bytes + key_len);
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
    const void *at = (const char *)e + entry_extension_offset(entry_key_len(e), entry_value_len(e));
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
 * whether the policy wants to hear of it: l1_report_hit().
 */
static inline bool l1_touch(struct l1_entry *e)
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

/* What is known of the popularity of another entry of the same key. */
static inline void entry_freq_inherit(struct l1_entry *e, const struct l1_entry *old)
{
    atomic_store_explicit(&e->freq, atomic_load_explicit(&old->freq, memory_order_relaxed),
                          memory_order_relaxed);
}

/* Bytes asked of the allocator for it. */
size_t entry_size(const struct l1_entry *e);

#endif
