/* SPDX-License-Identifier: MIT */
/*
 * Tells whether what a refresh has brought was read before it left: what a refresh is worth.
 *
 * Hits pay nothing for it. A refreshed value that nobody waited for is marked (entry.h), as are the
 * keys of the sample; so its first hit is told (L1_TOUCHED_MARKED), and takes the mark away. What
 * leaves with its mark, or has another value put in its place, was not read: STATS_REFRESH_WASTED.
 *
 * The keys of the sample, one in 64 or more (marks.h), are marked for good, so of these it is not
 * known. As many others count twice. A note that is lost, because the policy wrote another at that
 * moment, makes a value count that was read; so does a new entry's only read, in the moment between
 * its publication and its mark.
 *
 * All functions but l1_note_read() REQUIRE(shard lock).
 */
#ifndef NIGH_L1_REFRESHED_H
#define NIGH_L1_REFRESHED_H

#include "l1/core.h"

/* A refreshed entry has come, where its key had none. */
NIGH_OUTLINED void refreshed_comes(const struct l1 *l1, struct l1_entry *e);
/* `e` comes in the place of `old`, whose note it has taken over; one of them, or both, are
 * refreshed. */
NIGH_OUTLINED void refreshed_follows(const struct l1 *l1, struct l1_entry *e,
                                     const struct l1_entry *old, uint64_t hash);
/* A refreshed entry leaves. */
NIGH_OUTLINED void refreshed_leaves(const struct l1 *l1, const struct l1_entry *e, uint64_t hash);

#endif
