/* SPDX-License-Identifier: MIT */
/*
 * Reaching a smaller cap, and making resident memory follow it.
 *
 * A smaller cap is a goal (cap.h). The reclaimer brings the used bytes down to it, a slice in each
 * of its passes:
 *
 *     idle --> evict --> move --> trim --> idle    (and again later, if pins were in the way)
 *
 *   evict   the policy's victims, until the live bytes, less those that move and trim will give
 *           back, are under the goal. Each shard gives the same part; eight shards take turns until
 *           they have given it: then the lines that a victim touches stay in the processor's
 *           caches, and yet no shard is locked for long: 64 victims, and then the seven others.
 *   move    the entries that are left are moved together, once: compact.h
 *   trim    rings are cut, stocks and pages given back
 *
 * Moving, and giving back before it what costs nothing, happen without a change of the cap too,
 * when resident memory is found above it: sizes that drift leave slabs of the old sizes half used.
 * Resident memory is looked at a second after something was freed, so an idle cache is looked at
 * once, and left alone when it is as it should be.
 */
#ifndef NIGH_L1_SHRINK_H
#define NIGH_L1_SHRINK_H

#include <stdbool.h>
#include <stdint.h>

struct l1;

enum l1_shrink_phase { SHRINK_IDLE, SHRINK_EVICT, SHRINK_MOVE, SHRINK_TRIM };

#define SHRINK_WINDOW 8u /* shards that are evicted from in turn */

/* Keys: (g) reclaim lock */
struct l1_shrink {
    enum l1_shrink_phase phase; /* (g) */
    uint32_t shard;             /* (g) the window's first */
    uint32_t at;                /* (g) index in the window: the shard whose turn it is */
    uint32_t quotas[SHRINK_WINDOW]; /* (g) entries that each has still to give up */
    uint64_t slice_bytes;       /* (g) */
    uint64_t look_ns;           /* (g) next look at resident memory; never: after the next free */
    uint64_t seen_goal_bytes;   /* (g) the goal in the pass before */
    bool trimmed;               /* (g) the last look trimmed: the next one says what it brought */
    uint64_t move_again_ns;     /* (g) not before, for resident memory alone */
    uint64_t retry_ns;          /* (g) not before, when a round did not reach the goal */
};

/* At the beginning of a reclaimer's pass: retire a slice. This and the next
 * REQUIRE(reclaim_lock). */
void shrink_begin(struct l1 *l1);
/* At the end of a pass; `freed`: it had something to free. Returns when to come again. */
uint64_t shrink_end(struct l1 *l1, bool freed);

#endif
