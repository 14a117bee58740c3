/* SPDX-License-Identifier: MIT */
/*
 * From rows to pictures: which there are depends on what was measured.
 */
#ifndef PERF_REPORT_PICTURES_H
#define PERF_REPORT_PICTURES_H

#include "report/rows.h"

#include <stdio.h>

/* Draw what a file has. Returns the number of pictures. */
unsigned pictures_draw(const struct rows *rows, FILE *out);

/* The parts, each in a file of its own; all return how many they drew. */
unsigned pictures_of_curve(const struct rows *rows, FILE *out);     /* misses by memory, the knee */
unsigned pictures_of_latency(const struct rows *rows, FILE *out);   /* quantiles */
unsigned pictures_over_time(const struct rows *rows, FILE *out);
unsigned pictures_of_limits(const struct rows *rows, FILE *out);    /* what has a bound or a cap */
unsigned pictures_of_ratios(const struct rows *rows, FILE *out);    /* beside others */
unsigned pictures_of_values(const struct rows *rows, FILE *out);    /* beside nobody */

/* ---- for them ---- */

/* Is the row in a picture of a latency? */
bool picture_is_of_latency(const struct rows *rows, const struct row *r);
/* Is the row in a curve of misses? */
bool picture_is_of_curve(const struct row *r);

/* A card: title in three parts, "BENCH: WHAT (UNIT)", and a sentence on how to read it. */
void card_begin(FILE *out, const char *bench, const char *what, const char *unit,
                const char *how);
void card_end(FILE *out);

#endif
