/* SPDX-License-Identifier: MIT */
/*
 * Where more memory ceases to be worth it.
 *
 * The knee is the smallest size from which on no doubling of it would be worth it. A doubling is
 * worth it if it saves a given share of the requests' loads (a point of hit ratio), or a good part
 * of the loads that are left: from 98.5 % of hits to 99 % it is half a point, but a third of what
 * the origin has to do. By the latter alone a record of which most is asked for once would want no
 * memory at all, for what it could save is always little beside what nothing saves.
 */
#ifndef PERF_TUNE_KNEE_H
#define PERF_TUNE_KNEE_H

#include <stdbool.h>
#include <stddef.h>

struct knee_point {
    double bytes;
    double misses; /* share of the requests */
};

/* Share of misses with so many bytes: between two points it goes in the logarithm of the size, and
 * before the first and after the last it stays. */
double knee_misses_at(const struct knee_point *points, size_t count, double bytes);

/* Make misses fall only: a replay that is worse than one with less memory is noise. */
void knee_smooth(struct knee_point *points, size_t count);

#define KNEE_WORTH_OF_LEFT     0.2   /* of the loads that are left ... */
#define KNEE_WORTH_OF_LEFT_MIN 0.001 /* ... if it is not next to nothing of the requests */

/* Whether a doubling that leaves `after` of the misses `before` is worth it; shares of requests. */
bool knee_is_worth(double before, double after, double worth);

/* Index of the knee among `count` > 0 points, whose sizes grow. `worth`: of the requests. */
size_t knee_find(const struct knee_point *points, size_t count, double worth);

/* Index of the size that is the knee when `worth` is a twentieth less or, if that says the same, a
 * twentieth more: so near a choice is up to the chance of a replay. The knee's: there is none. */
size_t knee_near(const struct knee_point *points, size_t count, double worth);

#endif
