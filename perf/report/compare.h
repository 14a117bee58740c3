/* SPDX-License-Identifier: MIT */
/*
 * Two files of results beside each other: what differs by more than the rounds did.
 */
#ifndef PERF_REPORT_COMPARE_H
#define PERF_REPORT_COMPARE_H

#include <stdio.h>

#include "report/rows.h"

/* Of fewer rounds nothing is said. Two runs of 5 each lie apart by chance in 2 of the 252 orders
 * that their figures may have, less than once in a hundred; of 4 in 2 of 70, of 2 in 2 of 6. */
#define COMPARE_ROUNDS 5u

/* The verdict says what may be said of one figure in two runs. */
enum verdict {
    VERDICT_WITHIN,    /* the rounds of one run differ by as much */
    VERDICT_BETTER,    /* by more, to the better */
    VERDICT_WORSE,
    VERDICT_FEW,       /* COMPARE_ROUNDS were not made: nobody knows how much it varies */
    VERDICTS
};

enum verdict compare_verdict(const struct row *then, const struct row *now);

/* Says the same of a figure and its baseline, in one run. */
enum verdict compare_beside(const struct row *r);

/* "cannot tell (2 rounds)", until table_end(). */
const char *compare_cannot_tell(unsigned rounds);

/* Whether there is a figure that both have. */
bool compare_has_common(const struct rows *then, const struct rows *now);
/* Print the table, at most 100 columns wide. */
void compare_print(const struct rows *then, const struct rows *now, FILE *out);
/* Print which figures are worse, and by more percent than these, and return how many. *ret_judged
 * are those of which that can be told. */
size_t compare_print_worse(const struct rows *then, const struct rows *now, double percent,
                           size_t *ret_judged, FILE *out);
/* Write the figures that both have as rows, beside what they were then, each with its verdict
 * ("better", "worse", "within", "cannot tell"). */
void compare_json(const struct rows *then, const struct rows *now, const char *path);

#endif
