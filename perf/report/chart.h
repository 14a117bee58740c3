/* SPDX-License-Identifier: MIT */
/*
 * Charts as SVG within a page, which has the colours. 400 units wide, whatever the screen: on a
 * phone a unit is a bit less than a pixel, so that a label is read there, too.
 */
#ifndef PERF_REPORT_CHART_H
#define PERF_REPORT_CHART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CHART_LINES_MAX 6u

enum tone { TONE_PLAIN, TONE_GOOD, TONE_BAD, TONE_UNSURE };

/* A bar; NAN: not there. */
struct chart_bar {
    const char *group; /* a heading above the first of a group */
    const char *name;
    const char *text; /* the figure, at the right */
    double value, low, high;
    double goal;
    enum tone tone;
};

struct chart_scale {
    double from;    /* where bars begin; unless it is 0 the axis is logarithmic */
    bool has_dots;  /* in place of bars, on an axis of whole decades: from nowhere in particular */
    double unit_ns; /* of times, that ticks say in ns to s; 0: numbers */
};

/* `what` is for who cannot see it. */
void chart_bars(FILE *out, const char *what, const struct chart_bar *bars, size_t count,
                const struct chart_scale *scale);

/* "200 ns", "10 ms": as people say it, and not "10M" of them. */
const char *chart_time(double ns, char ret[16]);

struct chart_line {
    const char *name;
    const double *x, *y;
    size_t count;
};

struct chart_mark {
    double at; /* NAN: none */
    const char *text;
};

struct chart_axes {
    const char *what;            /* for who cannot see it */
    const char *x_title, *y_title;
    bool x_log, y_log;
    double y_unit_ns; /* of times, that ticks say in ns to s; 0: numbers */
    const char *const *x_names; /* of 0, 1, ... in place of numbers; NULL: numbers */
    struct chart_mark x_mark, y_mark;
};

void chart_lines(FILE *out, const struct chart_axes *axes, const struct chart_line *lines,
                 size_t count);

#endif
