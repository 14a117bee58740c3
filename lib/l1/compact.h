/* SPDX-License-Identifier: MIT */
/*
 * Compaction: the entries that are left are moved together, so that whole pages become free.
 *
 * Why entries are moved at all. A page goes back only when everything on it is free, and a policy
 * leaves entries scattered: after evicting a random three quarters every page still has some.
 * Evicting by region would fight the policy, and evicting until pages fall empty by chance would
 * leave next to nothing. But entries are immutable: a copy may take an entry's place at any time.
 *
 *   begin   stocks are given back; the arena chooses slabs to be emptied, those whose blocks find
 *           room in the others, and gives out nothing of them from now on (mem_drain)
 *   slice   one walk through all rings, a slice in each of the reclaimer's passes: tables are
 *           folded and rings limited; an entry in such a slab, or above a ring's limit, is copied,
 *           and the original goes to limbo like any other. A slice is as much as limbo takes, so
 *           the cap holds with both; no entry is evicted for a copy, unless there is no other way
 *           to get on.
 *   end     entries that were not moved, because they are retired or held (pinned or referenced:
 *           only their own slabs stay), are left where they are; pages are given back
 *
 * One walk is enough: it brings the entries of each size into as few slabs as they fill. It costs
 * some 0.3 us for each entry that is moved, and the look at a ring's word and a slab's state for
 * each that is not. No lock is kept for more than 32 moves, 1,024 looks, or the folding of a table.
 */
#ifndef NIGH_L1_COMPACT_H
#define NIGH_L1_COMPACT_H

#include <stdbool.h>
#include <stdint.h>

struct l1;

/* Keys: (g) reclaim lock */
struct l1_compact {
    bool stuck;           /* (g) the last slice moved nothing */
    uint32_t shard;       /* (g) where the next slice begins */
    uint64_t slice_bytes; /* (g) */
};

/* All REQUIRE(reclaim_lock). */

/* Begin a walk at the first shard. Rings and tables shrink in any case; entries also move out of
 * sparse slabs, so that their pages become free, if that frees `least_bytes` at least. */
void compact_begin(struct l1 *l1, uint64_t slice_bytes, uint64_t least_bytes);
/* Do a slice, at the beginning of a pass. Returns whether it was the last. */
bool compact_slice(struct l1 *l1);
/* End the walk, when all that its slices have retired is free. */
void compact_end(struct l1 *l1);
/* Give back memory that is free without moving anything: the ends of rings, stocks, pages. */
void compact_trim(struct l1 *l1);

#endif
