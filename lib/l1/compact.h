/* SPDX-License-Identifier: MIT */
/*
 * Moving what is left together, so that pages become free as a whole.
 *
 * Why entries are moved at all. Pages go back only when everything on them is free, and what a
 * policy leaves is scattered: after evicting a random three quarters every page still holds some.
 * Evicting by region would fight the policy, and evicting until pages fall empty by chance would
 * leave next to nothing. But entries are immutable: a copy may take an entry's place at any time.
 *
 *   begin   stocks are given back; the arena says which slabs the entries can do without, and gives
 *           out nothing of them from now on (mem_drain)
 *   slice   one walk through all rings, a slice in each of the reclaimer's passes: tables are
 *           folded and rings limited; what lies in such a slab, or above a ring's limit, is copied,
 *           and the original goes to limbo like any other. A slice is what limbo takes, so the cap
 *           holds with both; nobody is evicted for a copy, unless nothing else gets on.
 *   end     what was not moved, because it is held (only its own slab stays) or retired, is let be;
 *           pages are given back
 *
 * One walk is enough: it brings the entries of each size into as many slabs as they fill. It costs
 * some 0.3 us for each entry that is moved, and the look at a ring's word and a slab's state for
 * each that is not. No lock is held for more than 32 moves, 1,024 looks, or the folding of a table.
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

/* Slabs are emptied if that brings `least_bytes`. */
void compact_begin(struct l1 *l1, uint64_t slice_bytes, uint64_t least_bytes);
/* At the beginning of a pass. True: that was the last. */
bool compact_slice(struct l1 *l1);
/* What the slices have retired is free. */
void compact_end(struct l1 *l1);
/* Give back what is free as it is: the ends of rings, stocks, pages. */
void compact_trim(struct l1 *l1);

#endif
