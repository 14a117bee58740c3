/* SPDX-License-Identifier: MIT */
/*
 * How many keys are marked: enough to follow a few hundred of those that the cap has room for.
 *
 * Who looks at the marked keys tells from them what all keys do, and of 8 keys he can tell nothing.
 * So while the curve watches, the marks follow the number of entries that the cap has room for:
 *
 *     entries                      marked, one in                keys followed
 *     6,144 and more               64, or l1_config.mark_one_in  96 and more
 *     fewer                        2, 4, 8, 16                   192 to 383, below 384 each second
 *
 * A hit of a marked key costs some hundred instructions more than another. So no more than
 * MARKS_READS_MOST are told in a second, one in 64 excepted; and from some thousand entries on a
 * hit costs what it always did. Not each key is marked, for of marked keys it is not known whether
 * what a refresh brought was read (refreshed.h). A recording declares its own density, and finds
 * all the keys of its sample marked, for the marks are never fewer than l1_config.mark_one_in says.
 *
 * The marks change by a store of the mask, and a walk that brings the notes of the entries in line,
 * shard by shard under its lock: an entry that enters is marked by the mask of then, so the walk
 * meets it, or it needs none. A note that a hit writes at the moment of the walk may undo a mark,
 * or bring one back, and a copy that is made meanwhile (compact.h) may have a slot that was walked
 * past. That is why the walk is taken twice. Should it happen again, hits of this one key are not
 * told until it has another value, or are told to takers, who ask by the hash and do not take it.
 *
 * Changes have a distance of a quarter from those that would undo them (of the rate: a half), for
 * with each the curve begins anew, at once or by and by.
 */
#ifndef NIGH_L1_MARKS_H
#define NIGH_L1_MARKS_H

#include "l1/core.h"

#define MARKS_READS_MOST 65536.0 /* told in a second */

/* Begin with the fewest: one key in MARK_ONE_IN, or in so many, if that is more. */
void marks_init(struct l1 *l1, uint32_t one_in);
/* Let the marks suit a cap with room for so many entries, and so many reads a second of any keys.
 * Returns whether they have changed: then marks_walk() has to be called. Threads: one at a time. */
bool marks_suit(struct l1 *l1, double entries, double reads_per_second);
/* Go back to the fewest. Returns, and threads, as above. */
bool marks_fewest(struct l1 *l1);
/* Bring the notes of all entries in line. Locks: shard. */
void marks_walk(struct l1 *l1);

#endif
