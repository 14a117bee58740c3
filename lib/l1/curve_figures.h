/* SPDX-License-Identifier: MIT */
/*
 * Figures: what the points of the curve say of caps, from what was counted, how sure that is, and
 * whether enough was.
 *
 * Locks: the curve's is held in all of these.
 */
#ifndef NIGH_L1_CURVE_FIGURES_H
#define NIGH_L1_CURVE_FIGURES_H

#include "l1/curve.h"

#define CURVE_ENOUGH_READS 2048u /* of a point, before it is told */

/* Hold a share, or a difference of two, within what it can be. */
static inline double curve_above_0(double x)
{
    return x > 0 ? x : 0;
}
static inline double curve_within_0_1(double x)
{
    return x > 1 ? 1 : curve_above_0(x);
}

/* Returns the share of the reads of marked keys that fell into windows. */
double curve_share_seen(const struct curve *c);
/* Returns which part of the keys that should be in a point's sample it may have more or less. */
double curve_part_of_sample(const struct curve_point *p);
/* Returns the point that tells what comes at a cap: another one, where l1.memory has room for as
 * many values only as that one's, so that both are the same cache. */
uint32_t curve_same_as(const struct curve *c, uint32_t i);
/* Whether what a larger cap brings is known without its mini cache: nothing. */
bool curve_has_room(const struct curve *c, uint32_t i);

/* Note which points have seen enough. */
void curve_note_enough_locked(struct curve *c);
/* Returns how many reads a mini cache of so many entries has to have seen, full or not, before its
 * point is told: none, if it has been full. */
double curve_turns_wanted(const struct curve_point *p, double entries);
/* Whether a point can be told; and of a space. */
bool curve_has_enough(const struct curve *c, uint32_t i);
bool curve_has_part(const struct curve *c, const struct curve_space *s, uint32_t i);

/* Work out what a point says that has seen enough; and of a space. */
struct curve_figure curve_figure_of(const struct curve *c, uint32_t i);
struct curve_figure curve_figure_of_space(const struct curve *c, const struct curve_space *s,
                                          uint32_t i);
/* Returns what the present cap hits of all reads, or CURVE_NOT_KNOWN; and of a space's. */
double curve_now_of(const struct curve *c);
double curve_now_of_space(const struct curve_space *s);

#endif
