/* SPDX-License-Identifier: MIT */
/*
 * Two files of results beside each other: what differs by more than the rounds did.
 */
#ifndef PERF_REPORT_COMPARE_H
#define PERF_REPORT_COMPARE_H

#include <stdio.h>

#include "report/rows.h"

/* The verdict says what may be said of one figure in two runs. */
enum verdict {
    VERDICT_WITHIN,    /* the rounds of one run differ by as much */
    VERDICT_BETTER,    /* by more, to the better */
    VERDICT_WORSE,
    VERDICT_ONE_ROUND, /* nobody knows how much it varies */
    VERDICTS
};

enum verdict compare_verdict(const struct row *then, const struct row *now);

/* Says the same of a figure and its baseline, in one run. */
enum verdict compare_beside(const struct row *r);

/* Print the table, at most 100 columns wide. */
void compare_print(const struct rows *then, const struct rows *now, FILE *out);

#endif
