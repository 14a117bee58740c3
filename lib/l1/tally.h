/* SPDX-License-Identifier: MIT */
/*
 * Tallies: what came into a shard and what left it, for each space; and so what is there.
 *
 *     came | left: evicted, shed, expired, removed, dropped | bytes |     one cache line
 *
 * All that is counted of an entry that comes or leaves is on this line, in plain numbers, which the
 * shard's lock keeps, held as it is anyway: one place to look up, two additions. In a thread's
 * counters (stats.h) the same took five times as many steps, most of them to find the block of the
 * entry's space. Readers visit every shard.
 *
 * A table begins with one tally in each shard, for entries of all spaces, which belong to the set
 * of the table. Once a space has a set of its own there is a tally for each id; the table apart of
 * a space (family.h) keeps its one. A set asks for what is kept here when it is read (stats.h:
 * struct stats_source), so its reader need not know who keeps what.
 *
 * Memory: the first tallies lie in the block of the shards, and are charged. Later ones are general
 * memory, as counters are, and in the gauge stats_bytes: a line for each shard and space, of a
 * power of two of spaces. They are not charged, for a space that is opened in a full cache could
 * not be refused its counters; and 1,023 spaces of 128 shards would take 8 MiB, twice the least
 * cap.
 */
#ifndef NIGH_L1_TALLY_H
#define NIGH_L1_TALLY_H

#include "l1/shard.h"

/* Why an entry left. */
enum tally_cause {
    TALLY_EVICTED,
    TALLY_SHED,
    TALLY_EXPIRED,
    TALLY_REMOVED,
    TALLY_DROPPED,
    TALLY_CAUSES
};

/* Keys: (s) shard lock */
struct tally {
    _Alignas(CACHE_LINE_BYTES) uint64_t came; /* (s) entries; a new value of one is none */
    uint64_t left[TALLY_CAUSES];              /* (s) entries */
    uint64_t bytes; /* (s) charged for what is there; away from what changes with it, or a compiler
                     * makes a vector of the two, which takes longer */
};
_Static_assert(sizeof(struct tally) == CACHE_LINE_BYTES, "one line");

static inline struct tally *tally_locked(struct l1_shard *s, const struct l1_entry *e)
    REQUIRES(s->lock)
{
    return &s->tallies[entry_space(e) & s->tally_mask];
}

static inline void tally_come_locked(struct l1_shard *s, const struct l1_entry *e, uint64_t bytes)
    REQUIRES(s->lock)
{
    struct tally *t = tally_locked(s, e);
    t->came++;
    t->bytes += bytes;
}

static inline void tally_leave_locked(struct l1_shard *s, const struct l1_entry *e, uint64_t bytes,
                                      enum tally_cause cause) REQUIRES(s->lock)
{
    struct tally *t = tally_locked(s, e);
    t->left[cause]++;
    t->bytes -= bytes;
}

/* Note that an entry took the place of one that was charged `before`. */
static inline void tally_replace_locked(struct l1_shard *s, const struct l1_entry *e,
                                        uint64_t before, uint64_t bytes) REQUIRES(s->lock)
{
    tally_locked(s, e)->bytes += bytes - before;
}

/* Give the shards of a new table their first tallies, which are zeroed, and let its set ask for
 * them. */
void tally_init(struct l1 *l1, struct tally *first);
void tally_fini(struct l1 *l1);
/* Sum up the bytes that a shard is charged for its entries. */
uint64_t tally_bytes_locked(struct l1_shard *s) REQUIRES(s->lock);

#endif
