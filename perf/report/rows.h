/* SPDX-License-Identifier: MIT */
/*
 * Results that an earlier run has written as JSON: the rows of bench/measure.h, and the main job's
 * object, whose figures become rows, too.
 */
#ifndef PERF_REPORT_ROWS_H
#define PERF_REPORT_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#define ROWS_FILES_MAX 16u

struct json_t;

/* One result. Texts live as long as the file; numbers that are not there are NAN. */
struct row {
    const char *bench, *name, *metric, *unit;
    const char *baseline; /* NULL: none */
    const char *command;  /* "load --rate 5k", which measured it; NULL: the file does not say */
    const char *text;     /* in place of a figure; NULL: it is one */
    const char *machine, *build, *date; /* support/provenance.h; NULL: the same */
    double value, baseline_value, ratio;
    double spread, ratio_spread; /* (largest - smallest) / median of the rounds */
    double low, high;            /* the figure's median lies between, in 14 cases of 15 */
    double goal;                 /* of the ratio; without a baseline of the value */
    double at_s;                 /* one of many over time */
    unsigned rounds;
};

struct rows {
    char *path;
    struct row *all;
    size_t count;
    struct json_t *root;
};

/* Read a file. NULL, or why it cannot be done, which the caller frees. rows_free() is for both. */
char *rows_read(struct rows *ret, const char *path);
void rows_free(struct rows *r);

/* The figure that two runs have in common: the ratio where there is one. */
double row_figure(const struct row *r);
/* Its spread, of the ratios where the file has that, else of the value; NAN: one round. */
double row_spread(const struct row *r);
/* The figure's median lies between these: by the file's own interval or, where it has none, half of
 * the spread to either side. NAN: one round. */
struct row_range {
    double low, high;
};
struct row_range row_range(const struct row *r);
/* What was measured and in what unit, where its name does not say that; until table_end(). */
const char *row_quantity(const struct row *r);
/* How many ns there are in its unit; 0: it is none of time. */
double row_unit_ns(const struct row *r);
/* Is more of it better? By its unit. */
bool row_rises(const struct row *r);
/* Is what stands beside it a limit, and no other candidate? */
bool row_has_limit(const struct row *r);
/* Is it a prophecy, beside what came? The nearer to that the better. */
bool row_has_truth(const struct row *r);
/* Is it the control, which says what the machine makes of it? Nobody is to beat that. */
bool row_has_control(const struct row *r);
/* Is it a rate beside the control's, which does less for each request? How it scales is comparable;
 * the rates are not. */
bool row_is_rate_of_control(const struct row *r);
/* Is it what no table can do without? Nobody is below that. */
bool row_has_floor(const struct row *r);
/* Is it the best of those that are tried? Nobody is above that. */
bool row_has_best(const struct row *r);
/* Do both say the same thing, in the same unit, beside the same baseline? */
bool row_is_like(const struct row *a, const struct row *b);
/* Do both stand under one heading: bench, metric and unit? */
bool row_is_headed_like(const struct row *a, const struct row *b);
/* Is row `i` the first under its heading? */
bool rows_is_first(const struct rows *r, size_t i);
/* Is it the first that its command measured? False where the file does not say. */
bool rows_is_first_of_command(const struct rows *r, size_t i);

#endif
