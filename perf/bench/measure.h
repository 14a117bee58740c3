/* SPDX-License-Identifier: MIT */
/*
 * Measuring side by side: rounds, medians, results.
 *
 * On a shared machine absolute figures drift by a factor of two within minutes. So everybody who is
 * compared runs once in each round, in an order that rotates, and a ratio is the median of the
 * rounds' own ratios: what disturbs a round disturbs both sides of it. Time is the CPU time of the
 * thread. The first round warms up and is dropped.
 */
#ifndef PERF_BENCH_MEASURE_H
#define PERF_BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/output.h"
#include "support/progress.h"

#define ROUNDS_MAX 99u

/* One that takes part. */
struct subject {
    const char *name;
    double (*run)(void *arg); /* one round; returns its figure */
    void *arg;
    double figures[ROUNDS_MAX];
};

/* `rounds` counted ones after one that is not. Each call is a part of what
 * progress_plan() was told of. */
void rounds_run(const char *what, struct subject *subjects, size_t count, unsigned rounds);

double median(const double *values, size_t count);
/* (largest - smallest) / median. */
double spread(const double *values, size_t count);
/* Says between which of the values the median of all that could be measured lies, with this
 * probability or more; the more values, the nearer they are, which the spread is not. Of too few
 * (MEDIAN_SURE: of fewer than MEDIAN_ROUNDS): least and most, which is less sure. */
void median_range(const double *values, size_t count, double sure, double *ret_low,
                  double *ret_high);
#define MEDIAN_SURE   (14.0 / 15) /* of results */
#define MEDIAN_ROUNDS 5u
/* The rounds' own ratios a[i] / b[i]; 0 where b is. */
void ratios_of(const double *a, const double *b, size_t count, double *ret);
double median_ratio(const double *a, const double *b, size_t count);

uint64_t thread_cpu_ns(void);
uint64_t process_cpu_ns(void);

/* Run `body` in so many threads at once; returns the mean of their CPU times. One thread: here. */
uint64_t team_run(unsigned threads, void (*body)(void *arg, unsigned thread), void *arg);

/* ---- results ---- */

struct result {
    const char *bench;
    const char *name; /* "case" in JSON */
    const char *metric;
    const char *unit;
    double value;
    const char *baseline; /* NULL: none */
    double baseline_value;
    double ratio;
    unsigned rounds;
    double spread;
    double low, high;    /* median_range() of the ratios, without a baseline of the values */
    double ratio_spread; /* of the rounds' own ratios; 0: no rounds, no baseline */
    double goal;         /* of the ratio or, without a baseline, of the value; 0: none */
    double at_s;         /* since the case began, where a figure is one of many; -1: it is not */
    const char *text;    /* what is told in words, in place of a figure; NULL: it is one */
};

/* A comparison; baseline NULL: the figure alone. Of the names only `name` is copied. */
void result_add_rounds(const char *bench, const char *name, const char *metric, const char *unit,
                       const struct subject *subject, const struct subject *baseline,
                       unsigned rounds);
/* One figure against a limit or a reference (NULL: none) that was not measured in rounds. */
void result_add(const char *bench, const char *name, const char *metric, const char *unit,
                double value, const char *baseline, double baseline_value);
/* One of many figures over time; `limit` (NULL: none) is what they should stay below. */
void result_add_at(const char *bench, const char *name, const char *metric, const char *unit,
                   double at_s, double value, const char *limit, double limit_value);
/* What no figure says, of which the text is copied. */
void result_add_text(const char *bench, const char *name, const char *metric, const char *text);
/* NULL: not measured. `baseline` NULL: any. */
const struct result *result_find(const char *bench, const char *name, const char *metric,
                                 const char *baseline);
/* Tell the goal of a result that was found: of its ratio or, without a baseline, of its value. */
void result_set_goal(const struct result *r, double goal);
/* Remember a case that is not measured because of --only: results_output() names it if none was. */
void result_leave_out(const char *name);
/* Say why there may be fewer cases than somebody expects, for that moment: ends a sentence. */
void result_say_why_so_few(const char *why);
/* Returns whether `only`, a part of a case's name (NULL: any), has this one measured; else it is
 * left out. */
bool result_wanted(const char *only, const char *name);
/* All so far, as a JSON array; `command` is what was asked for. */
void results_write(const char *path, const char *command);
/* The same as far as it is wanted, and the page of it. The end of the process if there are none. */
void results_output(struct output *o);

#endif
