// SPDX-License-Identifier: MIT
/*
 * The curve in letters: `o` is what a replay answered, `.` the line between, `K` the knee. Each
 * doubling of the memory has as many columns as the next.
 */
#include <math.h>
#include <string.h>

#include "tune/tune.h"

#define ROWS        12u
#define COLUMNS_MAX 62u /* with scale and labels 80 */
#define STEP_MAX    16u /* columns of a doubling */
#define STEP_MIN    6u

struct plot {
    char cells[ROWS + 1][COLUMNS_MAX + 1];
    unsigned columns;
    double first, step; /* log2 of the first size, columns of a doubling */
    double low, high;   /* shares of hits at the lower and the upper end */
};

static unsigned row_of(const struct plot *p, double hits)
{
    double way = (p->high - hits) / (p->high - p->low);
    return (unsigned)lround(fmin(fmax(way, 0), 1) * ROWS);
}

static unsigned column_of(const struct plot *p, double bytes)
{
    double at = (log2(bytes) - p->first) * p->step;
    return at < 0 ? 0 : at > p->columns - 1 ? p->columns - 1 : (unsigned)lround(at);
}

/* The scale ends with whole tens of percent, for it is read by eye. */
static void scale(struct plot *p, const struct tune *t, const struct knee_point *points)
{
    double doublings = log2(points[t->size_count - 1].bytes / points[0].bytes);
    p->first = log2(points[0].bytes);
    p->step = doublings > 0 ? fmin(fmax(floor((COLUMNS_MAX - 1) / doublings), STEP_MIN), STEP_MAX)
                            : STEP_MAX;
    p->columns = (unsigned)fmin(doublings * p->step + 1, COLUMNS_MAX);
    p->low = fmax(floor((1 - points[0].misses) * 10) / 10, 0);
    p->high = ceil((1 - points[t->size_count - 1].misses) * 10 + 1e-9) / 10;
    if (p->high <= p->low)
        p->high = p->low + 0.1;
    p->high = fmin(p->high, 1);
    p->low = fmin(p->low, p->high - 0.1);
}

static void draw(struct plot *p, const struct tune *t, const struct knee_point *points)
{
    memset(p->cells, ' ', sizeof(p->cells));
    for (unsigned c = 0; c < p->columns; c++) {
        double bytes = exp2(p->first + c / p->step);
        p->cells[row_of(p, 1 - knee_misses_at(points, t->size_count, bytes))][c] = '.';
    }
    for (unsigned i = 0; i < t->size_count; i++)
        p->cells[row_of(p, 1 - points[i].misses)][column_of(p, points[i].bytes)] =
            i == t->knee ? 'K' : 'o';
}

/* Sizes below the axis, as many as have room, and what the letters are. */
static void print_axis(const struct plot *p, const struct tune *t, FILE *out)
{
    unsigned every = (unsigned)ceil(10 / p->step), at = 0;
    fprintf(out, "         +");
    for (unsigned c = 0; c < p->columns; c++)
        fputc(fmod(c, p->step) == 0 ? '+' : '-', out);
    fprintf(out, "\n          ");
    for (unsigned d = 0; d * p->step < p->columns; d += every) {
        for (; at < d * p->step; at++)
            fputc(' ', out);
        at += (unsigned)fprintf(out, "%s", tune_size(exp2(p->first + d)));
    }
    fprintf(out, "\n          %s: o replayed   K %s\n", t->settings->policies[t->policy],
            tune_is_cut(t) ? "the most that was allowed"
                           : "the knee: where more memory is not worth it");
}

void tune_plot(const struct tune *t, FILE *out)
{
    struct knee_point points[TUNE_SIZES_MAX];
    struct plot p = {.columns = 0};
    tune_points(t, false, points);
    scale(&p, t, points);
    draw(&p, t, points);
    for (unsigned row = 0; row <= ROWS; row++) {
        if (row % 3 == 0)
            fprintf(out, "%6.1f %% |", fmax(100 * (p.high - (p.high - p.low) * row / ROWS), 0));
        else
            fprintf(out, "         |");
        p.cells[row][p.columns] = '\0';
        for (unsigned c = p.columns; c-- > 0 && p.cells[row][c] == ' ';)
            p.cells[row][c] = '\0';
        fprintf(out, "%s\n", p.cells[row]);
    }
    print_axis(&p, t, out);
}
