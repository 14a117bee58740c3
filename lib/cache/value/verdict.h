/* SPDX-License-Identifier: MIT */
/*
 * Judges a value that was found in L1, in L2, or in a flight that has landed: two tables, the same
 * for every finder. How each input is come by is the finder's business (freshness.h, lookup.h).
 *
 * The verdict: the first row that fits.
 *
 *   floors over it   its lifetime   trust                       a value   "does not exist"
 *   --------------   ------------   -------------------------   -------   ----------------
 *   below a hard one any            any                         GONE      GONE
 *   any              over           any                         GONE      GONE
 *   any              kept           any                         KEPT      GONE
 *   any              any            doubt, and that is a miss   KEPT      GONE
 *   below a soft one any            any                         STALE     GONE
 *   above all        stale          any                         STALE     GONE
 *   above all        fresh          doubt                       STALE     GONE
 *   above all        fresh          doubt, learnt since         LEARNT    GONE
 *   above all        fresh          doubt, learnt lately        LEARNT    LEARNT
 *   above all        fresh          trust                       FRESH     FRESH
 *
 * "Does not exist" has no stale form: a reader cannot tell that it is old by looking at it. So it
 * keeps the trust bound in doubt as in trust, by its age: who asked the origin less than
 * coherence.trust ago was told of all that Redis had executed coherence.trust ago, whatever has
 * come here since. A value that is handed out as stale promises no such thing, at any age.
 *
 * The outcome that a call is told; its own limits (max_age, min_version) may be narrower:
 *
 *   verdict          within the call's limits                  beyond them
 *                    a value          "does not exist"
 *   --------------   --------------   ----------------------   -----------
 *   FRESH            NIGH_FRESH       NIGH_ABSENT              NIGH_MISS
 *   LEARNT           NIGH_STALE       NIGH_ABSENT              NIGH_MISS
 *   STALE            NIGH_STALE                                NIGH_MISS
 *   KEPT, GONE       NIGH_MISS        NIGH_MISS                NIGH_MISS
 *
 * A plain hit tests the row of FRESH alone, on a path of its own: freshness_is_fresh().
 */
#ifndef NIGH_CACHE_VALUE_VERDICT_H
#define NIGH_CACHE_VALUE_VERDICT_H

#include "l1/l1.h"

enum verdict_lifetime {
    LIFETIME_FRESH,
    LIFETIME_STALE, /* past its soft lifetime */
    LIFETIME_KEPT,  /* past its stale window, but not past space.keep */
    LIFETIME_OVER,
};

enum verdict_trust {
    TRUST_HELD,   /* no floor or position is missing here */
    TRUST_LATELY, /* in doubt, but learnt since, and less than coherence.trust ago */
    TRUST_LEARNT, /* in doubt, but the value's load began after the doubt did */
    TRUST_DOUBT,
    TRUST_MISS,   /* in doubt, and coherence.on_doubt is miss */
};

/* Verdicts in order of worth, the least first. */
enum verdict {
    VERDICT_GONE,   /* as if nothing was there */
    VERDICT_KEPT,   /* for a loader to see, and nobody else */
    VERDICT_STALE,  /* to be handed out as stale, and worth a refresh */
    VERDICT_LEARNT, /* the best there is in doubt: another load would bring no more */
    VERDICT_FRESH,
};

enum verdict verdict_of(enum l1_standing floors, enum verdict_lifetime lifetime,
                        enum verdict_trust trust, bool absent);
/* Returns what a call is told: the outcome of a read, or NIGH_MISS. */
int verdict_outcome(enum verdict verdict, bool absent, bool within_limits);

#endif
