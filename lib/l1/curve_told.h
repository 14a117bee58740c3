/* SPDX-License-Identifier: MIT */
/*
 * What was told, for as long as nothing better is known: the curve's memory of its own words.
 *
 * Locks: the curve's is held in all of these.
 */
#ifndef NIGH_L1_CURVE_TOLD_H
#define NIGH_L1_CURVE_TOLD_H

#include "l1/curve.h"

/* Returns what was told by a point, which may be out of range; NULL: nothing. */
const struct curve_figure *curve_told_at(const struct curve_told *t, int i);
/* Returns what a point has told, in the traffic of now, of which the present cap hits so much, or
 * CURVE_NOT_KNOWN. */
struct curve_figure curve_retell(const struct curve_told *t, uint32_t i, double now);

/* Remember what points say that have seen enough: before any of them forgets it. */
void curve_hold_locked(struct curve *c);
/* Let what was told of a cap be told by the point that is about it now: all points were about
 * others, for the cap was `before`. */
void curve_move_told(struct curve *c, double before);
/* Forget it, for there were reads that nobody counted. */
void curve_forget_told(struct curve *c);
/* Forget what was told because the cache had room left. */
void curve_forget_room(struct curve *c);

#endif
