/* SPDX-License-Identifier: MIT */
/*
 * An entry: one allocation of header, key, value and, only when used, an extension: its version,
 * and its tags if they are several. A single tag is in the header: otherwise a hit that has to
 * compare it with its floor would wait for another line.
 *
 *      0        8         16       24        32      32 + key_len      8-aligned
 *      | refs   | stale   | life   | label   | key   | value           | extension: version, tags |
 *      | slot   | stamp   | flags  |         |       |                 |                          |
 *      | spare  |         | fresh  |         |       |                 |                          |
 *
 * Why 32 bytes: a cache of small values is mostly bookkeeping. Bytes per entry, as measured over a
 * doubling (perf/run memory):
 *
 *      32    this header
 *      19.7  a bucket of 64 bytes, which holds 5.25 entries at most and half after doubling, its
 *            overflow bucket (one in seven at most), the next table while it is made ahead (0.7)
 *       8.2  its word in the ring: arrival order, limbo link and expiry in one
 *      ----
 *      59.9  (what blocks are rounded up comes on top, and is charged: up to 15 B in blocks up to
 *            256 B, a 30th on average in those up to 8 KiB, a 15th up to 42 KiB (base/slab.h); in
 *            jemalloc's size classes from there on an eighth and a page)
 *       5.1  lfu: links
 *       8.2       counters in the sketch
 *       0.5       the unused ends of their last pages, and the policy's own struct
 *      ----
 *      73.7
 *
 * The price of fewer bytes. A header of 24 bytes has no room for refs, so each thread that frees
 * would have to look references up elsewhere, and times would lose precision that callers see.
 * Buckets that double at 6 entries instead of 5.25 save 1.7 bytes; 4.0 % of the entries instead of
 * 2.4 are then in a second bucket. A sketch of 4 bytes an entry saves 4, and costs 0.28 points of
 * hit ratio on average: more than the room for 2 % more values brings.
 *
 * Times are ticks of 2^19 ns (0.52 ms, 9 years in 39 bits). `fresh` is when the entry ends being
 * fresh, `life` how long before that it was born and `stale` how long after it ends being stale;
 * these two are small floating-point numbers, rounded down: exact below 34 s and 1 s, else short by
 * at most 1/32,768 and 1/1,024 of themselves. `fresh` makes up for what `life` lost, so that birth
 * is exact to a tick: callers may ask for a greatest age.
 *
 * Fields that a hit reads (stamp, fresh) are at an end of their word, so one shift at most extracts
 * them. The label's part above the tag is compared with one made from the request, whose length of
 * the value is 0: the difference is the value's length, or more if the entry is another key's or an
 * absence.
 *
 *      label:  space (10) | key's length (11) | value's length, or LABEL_ABSENT (27) | tag (16)
 *
 * No bit is left over. The group of an entry's space is not here: l1 knows it by the space.
 *
 * Once published, all is constant but refs, slot and spare. The value's bytes are not aligned.
 */
#ifndef NIGH_L1_ENTRY_H
#define NIGH_L1_ENTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <nigh/options.h>

#include "base/base.h"

#define L1_SPACES_MAX 1023u

#define ENTRY_TICK_SHIFT 19
#define ENTRY_FRESH_BITS 39
#define ENTRY_LIFE_BITS 16 /* mantissa; with 5 bits of exponent */
#define ENTRY_STALE_BITS 11
#define ENTRY_EXPONENT_BITS 5

#define LABEL_TAG_BITS 16
#define LABEL_VALUE_SHIFT LABEL_TAG_BITS
#define LABEL_VALUE_BITS 27
#define LABEL_ABSENT ((UINT64_C(1) << LABEL_VALUE_BITS) - 1) /* for a length: longer than any */
#define LABEL_KEY_SHIFT (LABEL_VALUE_SHIFT + LABEL_VALUE_BITS)
#define LABEL_KEY_BITS 11
#define LABEL_SPACE_SHIFT (LABEL_KEY_SHIFT + LABEL_KEY_BITS)
#define LABEL_SPACE_BITS 10

/*
 * `refs`, from the highest bit: whether the entry was stored, so that table or limbo owns it too
 * and reclamation frees it (never cleared); the number of its cache (constant); how many references
 * there are. Two million are more than can be: each is a caller that waits for this key, or that
 * has not yet given back the value it got.
 */
#define ENTRY_STORED (UINT32_C(1) << 31)
#define ENTRY_CACHE_BITS 10
#define ENTRY_CACHE_SHIFT 21
#define ENTRY_REFS_MAX ((UINT32_C(1) << ENTRY_CACHE_SHIFT) - 1)
#define ENTRY_STAMP_MASK ((UINT64_C(1) << 48) - 1)
#define ENTRY_STAMP_OFFSET 8 /* bytes from the header's start to the stamp's word */
#define STAMP_WORD(stamp) ((uint64_t)(stamp) << (ENTRY_STALE_BITS + ENTRY_EXPONENT_BITS))
#define ENTRY_FREQ_MAX 3u
#define ENTRY_COUNTED 7u  /* in `spare`: a bit for each hit that may still be counted */
#define ENTRY_SHARED 255u /* `spare` of a loose entry, which no hit counts: see l1_shared */
#define ENTRY_REFUSED 254u /* ... of a loose one for which the policy made no room */
#define ENTRY_SAMPLED 56u /* the counter's bits of a sampled entry: the policy is told each hit */
#define ENTRY_SAMPLED_SHIFT 3
#define ENTRY_MARKED 64u  /* in `spare`, beside the counter: see entry_mark() */

#define MARK_ONE_IN 64u /* keys, if nothing else is asked for: a power of two */

/* Bits of `flags`. */
#define ENTRY_EXTENDED 1u  /* an extension follows the value */
#define ENTRY_LOOSE 2u     /* from general memory, not charged, never stored */
#define ENTRY_MANY_TAGS 4u /* several: all of them are in the extension, and `tag` is 0 */
#define ENTRY_REFRESHED 8u /* a refresh has brought it, and nobody waited for it: refreshed.h */

/* Keys: (c) constant after publication  (s) shard lock  (a) atomic, relaxed but for named pairs */
struct l1_entry {
    _Atomic uint32_t refs;                              /* (a) pair(entry.refs); see above */
    uint32_t slot : 24;                                 /* (s) in the ring; not stored: id of l1 */
    _Atomic uint8_t spare;                              /* (a) note of last hits: l1_touch() */
    uint64_t stale : ENTRY_STALE_BITS + ENTRY_EXPONENT_BITS; /* (c) ticks after fresh */
    uint64_t stamp : 48;                                /* (c) */
    uint64_t life : ENTRY_LIFE_BITS + ENTRY_EXPONENT_BITS; /* (c) ticks from birth to fresh */
    uint64_t flags : 4;                                 /* (c) */
    uint64_t fresh : ENTRY_FRESH_BITS;                  /* (c) tick */
    union {
        uint64_t label;                                 /* (c) */
        uint16_t tag;                                   /* (c) low bits of label: slot; 0: none */
    };
    uint8_t bytes[];                                    /* (c) key, value, extension */
};

/* Lies behind the value, 8-aligned. `groups`: the slots of several tags, or empty. */
struct l1_extension {
    uint64_t version;
    uint32_t group_count;
    uint16_t groups[];
};

_Static_assert(sizeof(struct l1_entry) == 32, "the sum above");
_Static_assert(offsetof(struct l1_entry, spare) == 7, "readers write it: a byte of its own");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a label begins with its low bits");
_Static_assert(NIGH_VALUE_MAX < LABEL_ABSENT && NIGH_KEY_MAX < 1u << LABEL_KEY_BITS &&
                   L1_SPACES_MAX < 1u << LABEL_SPACE_BITS && LABEL_SPACE_SHIFT == 54 &&
                   GROUP_SLOTS_MAX <= 1u << LABEL_TAG_BITS && GROUP_SLOT_ALL == 0,
               "all have their bits, and no tag has slot 0");

static inline uint32_t entry_refs_count(uint32_t refs)
{
    return refs & ENTRY_REFS_MAX;
}

static inline uint32_t entry_refs_cache(uint32_t refs)
{
    return refs >> ENTRY_CACHE_SHIFT & ((1u << ENTRY_CACHE_BITS) - 1);
}

/* The word `refs` of an entry of this cache. `own`: references, and ENTRY_STORED or not. */
static inline uint32_t entry_refs_of(uint32_t cache_id, uint32_t own)
{
    return cache_id << ENTRY_CACHE_SHIFT | own;
}

/* The part of a label that all entries of a space have in common. */
static inline uint64_t label_of_space(uint32_t space)
{
    return (uint64_t)space << LABEL_SPACE_SHIFT;
}

static inline uint64_t label_of_key(size_t key_len)
{
    return (uint64_t)key_len << LABEL_KEY_SHIFT;
}

static inline uint32_t entry_key_len(const struct l1_entry *e)
{
    return e->label >> LABEL_KEY_SHIFT & ((1u << LABEL_KEY_BITS) - 1);
}

static inline bool l1_entry_absent(const struct l1_entry *e)
{
    return (e->label >> LABEL_VALUE_SHIFT & LABEL_ABSENT) == LABEL_ABSENT;
}

static inline uint32_t entry_value_len(const struct l1_entry *e)
{
    return l1_entry_absent(e) ? 0 : e->label >> LABEL_VALUE_SHIFT & LABEL_ABSENT;
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

/* Round down to a mantissa of `bits`; a duration that is too long becomes the longest. */
static inline uint64_t entry_ticks_pack(uint64_t ticks, unsigned bits)
{
    unsigned width = 64 - (unsigned)__builtin_clzll(ticks | 1);
    unsigned exponent = width > bits ? width - bits : 0;
    if (NIGH_UNLIKELY(exponent >= 1u << ENTRY_EXPONENT_BITS))
        return (UINT64_C(1) << (bits + ENTRY_EXPONENT_BITS)) - 1;
    return ticks >> exponent | (uint64_t)exponent << bits;
}

/* A range in ticks, from `least` to `spread` more, from which each put draws a duration. None is
 * longer than 26 days. */
struct l1_span {
    uint32_t least, spread;
};

static inline struct l1_span l1_span_of(uint64_t least_ns, uint64_t spread_ns)
{
    NIGH_DCHECK((least_ns + spread_ns) >> ENTRY_TICK_SHIFT <= UINT32_MAX);
    return (struct l1_span){(uint32_t)(least_ns >> ENTRY_TICK_SHIFT),
                            (uint32_t)(spread_ns >> ENTRY_TICK_SHIFT)};
}

/* Return when the value was loaded. Negative: before this machine's clock began. */
static inline int64_t l1_entry_born_ns(const struct l1_entry *e)
{
    int64_t life = (int64_t)entry_ticks_unpack(e->life, ENTRY_LIFE_BITS);
    return ((int64_t)e->fresh - life) * (INT64_C(1) << ENTRY_TICK_SHIFT);
}

/* Ticks are what lifetimes are counted in: half a millisecond. */
static inline uint64_t l1_ticks_of(uint64_t ns)
{
    return ns >> ENTRY_TICK_SHIFT;
}

static inline uint64_t l1_ticks_ns(uint64_t ticks)
{
    return ticks << ENTRY_TICK_SHIFT;
}

static inline uint64_t l1_entry_fresh_until_ns(const struct l1_entry *e)
{
    return l1_ticks_ns(e->fresh);
}

static inline uint64_t l1_entry_stale_until_ns(const struct l1_entry *e)
{
    return (e->fresh + entry_ticks_unpack(e->stale, ENTRY_STALE_BITS)) << ENTRY_TICK_SHIFT;
}

/* now_ns < l1_entry_fresh_until_ns(e), to the ns and in fewer steps. */
static inline bool l1_entry_fresh_at(const struct l1_entry *e, uint64_t now_ns)
{
    return l1_ticks_of(now_ns) < e->fresh;
}

static inline uint64_t l1_entry_stamp(const struct l1_entry *e)
{
    return e->stamp;
}

/* The word whose upper part is the stamp: to compare with STAMP_WORD(), where the lower part does
 * not matter. */
static inline uint64_t entry_stamp_word(const struct l1_entry *e)
{
    uint64_t word;
    memcpy(&word, (const uint8_t *)e + ENTRY_STAMP_OFFSET, sizeof(word));
    return word;
}

static inline struct bytes l1_entry_key(const struct l1_entry *e)
{
    return bytes_of(e->bytes, entry_key_len(e));
}

static inline struct bytes l1_entry_value(const struct l1_entry *e)
{
    return bytes_of(e->bytes + entry_key_len(e), entry_value_len(e));
}

/* Prefetch the lines that a hit reads. The request tells where the value begins, so its line is
 * asked for before the header has arrived. */
static inline void l1_entry_prefetch(const struct l1_entry *e, size_t key_len)
{
    __builtin_prefetch(e);
    __builtin_prefetch((const char *)e + (sizeof(*e) + key_len));
}

static inline size_t entry_extension_offset(size_t key_len, size_t value_len)
{
    return (sizeof(struct l1_entry) + key_len + value_len + 7) & ~(size_t)7;
}

/* NULL: the entry has neither a version nor several tags. */
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
    if (e->flags & ENTRY_MANY_TAGS) {
        const struct l1_extension *x = entry_extension(e);
        *ret_slots = x->groups;
        return x->group_count;
    }
    *ret_slots = &e->tag;
    return e->tag ? 1 : 0;
}

static inline bool l1_entry_refreshed(const struct l1_entry *e)
{
    return e->flags & ENTRY_REFRESHED;
}

static inline bool l1_entry_loose(const struct l1_entry *e)
{
    return e->flags & ENTRY_LOOSE;
}

/*
 * The note that hits leave in `spare`: l1_touch() in hit.h writes it, policies read it and set it
 * anew. It depends on the policy:
 *
 *   a counter      a bit for each hit still to count, cleared lowest first: 111, 110, 100, 0. So a
 *                  full counter is 0 whether hits are reported or not
 *   a generation   the one in which the entry was last hit, else born; never 0 (GENERATION_BIT)
 *
 * Marked entries have a note that is never as wanted, so that the caller is told each hit: beside
 * the counter ENTRY_MARKED stays set, and a generation lacks GENERATION_BIT.
 */
static inline uint8_t entry_spare(const struct l1_entry *e)
{
    return atomic_load_explicit(&e->spare, memory_order_relaxed);
}

static inline void entry_spare_set(struct l1_entry *e, uint8_t spare)
{
    atomic_store_explicit(&e->spare, spare, memory_order_relaxed);
}

/* Whether the entry is loose because the policy kept what is there. */
static inline bool entry_was_refused(const struct l1_entry *e)
{
    return l1_entry_loose(e) && entry_spare(e) == ENTRY_REFUSED;
}

/* Count how often the entry was hit: 0..ENTRY_FREQ_MAX. */
static inline uint32_t entry_freq(const struct l1_entry *e)
{
    uint32_t spare = entry_spare(e);
    uint32_t left = (spare | spare >> ENTRY_SAMPLED_SHIFT) & ENTRY_COUNTED;
    return (uint32_t)__builtin_ctz(left | (ENTRY_COUNTED + 1));
}

static inline void entry_freq_set(struct l1_entry *e, uint32_t freq, bool sampled)
{
    uint32_t left = ENTRY_COUNTED << freq & ENTRY_COUNTED;
    uint32_t mark = entry_spare(e) & ENTRY_MARKED;
    entry_spare_set(e, (uint8_t)(mark | (sampled ? left << ENTRY_SAMPLED_SHIFT : left)));
}

/* Generations are counted in six bits, and wrap. */
#define GENERATION_MASK 0x3fu
#define GENERATION_BIT 0x80u
#define GENERATION_NEW 0x40u /* not hit since birth: the generation is that of the birth */

static inline uint8_t generation_plus(uint8_t generation, uint32_t n)
{
    return (uint8_t)(((generation + n) & GENERATION_MASK) | GENERATION_BIT);
}

/* Count the generations by which `then` lies before `now`: 0..63. */
static inline uint32_t generation_age(uint8_t now, uint8_t then)
{
    return (uint32_t)(now - then) & GENERATION_MASK;
}

/* Mark an entry whose note is set: with a generation or a counter. */
static inline void entry_mark(struct l1_entry *e, bool has_generation)
{
    uint32_t spare = entry_spare(e);
    entry_spare_set(e, (uint8_t)(has_generation ? spare & ~GENERATION_BIT : spare | ENTRY_MARKED));
}

static inline bool entry_is_marked(const struct l1_entry *e, bool has_generation)
{
    uint32_t spare = entry_spare(e);
    return has_generation ? !(spare & GENERATION_BIT) : spare & ENTRY_MARKED;
}

static inline void entry_unmark(struct l1_entry *e, bool has_generation)
{
    uint32_t spare = entry_spare(e);
    entry_spare_set(e, (uint8_t)(has_generation ? spare | GENERATION_BIT : spare & ~ENTRY_MARKED));
}

/* Take over the popularity of another entry of the same key, and its mark. */
static inline void entry_spare_inherit(struct l1_entry *e, const struct l1_entry *old)
{
    entry_spare_set(e, entry_spare(old));
}

NIGH_OUTLINED size_t entry_size_extended(const struct l1_entry *e);

/* Bytes asked of the allocator for an entry. */
static inline size_t entry_size(const struct l1_entry *e)
{
    if (NIGH_UNLIKELY(e->flags & ENTRY_EXTENDED))
        return entry_size_extended(e);
    return sizeof(*e) + entry_key_len(e) + entry_value_len(e);
}

#endif
