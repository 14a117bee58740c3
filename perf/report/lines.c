// SPDX-License-Identifier: MIT
/*
 * Pictures of lines: misses by memory, latencies by quantile, and what changed over time. More
 * lines than a picture holds go on in another one.
 */
#include <math.h>
#include <string.h>

#include "report/chart.h"
#include "report/pictures.h"
#include "support/fail.h"

#define POINTS_MAX      4096u
#define QUANTILES       6u
#define QUANTILES_LEAST 3u /* fewer are bars, like other figures */
#define CURVE_METRIC    "hit ratio"
#define MIB             0x1p20

/* Lines of a picture, and the room for their points. */
struct plot {
    struct chart_line lines[CHART_LINES_MAX];
    double x[CHART_LINES_MAX][POINTS_MAX], y[CHART_LINES_MAX][POINTS_MAX];
    char names[CHART_LINES_MAX][96];
    size_t count;
};

static struct plot plot;

static struct chart_line *plot_line(const char *name, size_t len, const char *more)
{
    if (plot.count == CHART_LINES_MAX)
        return NULL;
    size_t n = plot.count++;
    snprintf(plot.names[n], sizeof(plot.names[n]), "%.*s%s", (int)len, name, more);
    plot.lines[n] = (struct chart_line){plot.names[n], plot.x[n], plot.y[n], 0};
    return &plot.lines[n];
}

static void plot_point(struct chart_line *l, double x, double y)
{
    size_t n = (size_t)(l - plot.lines);
    if (l->count == POINTS_MAX || !isfinite(x) || !isfinite(y))
        return;
    plot.x[n][l->count] = x;
    plot.y[n][l->count++] = y;
}

/* ---- misses by memory ---- */

/* Reads "96 MiB, lfu"; NULL: it is no such name. */
static const char *curve_policy(const struct row *r, double *ret_mib)
{
    int end = 0;
    if (strcmp(r->metric, CURVE_METRIC) != 0 || sscanf(r->name, "%lf MiB, %n", ret_mib, &end) != 1)
        return NULL;
    return end > 0 && r->name[end] ? r->name + end : NULL;
}

bool picture_is_of_curve(const struct row *r)
{
    double mib;
    return curve_policy(r, &mib) != NULL;
}

/* Draws the line of the policy that row `first` is the first of; `of_baseline`: what is beside. */
static void add_curve(const struct rows *rows, size_t first, const char *policy, bool of_baseline)
{
    struct chart_line *l = of_baseline ? plot_line(rows->all[first].baseline,
                                                   strlen(rows->all[first].baseline), "")
                                       : plot_line(policy, strlen(policy), "");
    for (size_t i = first; l && i < rows->count; i++) {
        double mib;
        const char *of = curve_policy(&rows->all[i], &mib);
        if (of && strcmp(of, policy) == 0)
            plot_point(l, mib,
                       100 - (of_baseline ? rows->all[i].baseline_value : rows->all[i].value));
    }
}

static bool has_line(const char *name)
{
    for (size_t i = 0; i < plot.count; i++)
        if (strcmp(plot.lines[i].name, name) == 0)
            return true;
    return false;
}

static double knee_mib(const struct rows *rows)
{
    for (size_t i = 0; i < rows->count; i++)
        if (strcmp(rows->all[i].metric, "l1.memory") == 0)
            return rows->all[i].value / MIB;
    return NAN;
}

/* Is there something to see beyond it? */
static bool is_within_lines(double x)
{
    for (size_t i = 0; i < plot.count; i++)
        for (size_t j = 0; j < plot.lines[i].count; j++)
            if (plot.lines[i].x[j] > x)
                return true;
    return false;
}

unsigned pictures_of_curve(const struct rows *rows, FILE *out)
{
    char text[48];
    double knee = knee_mib(rows), mib;
    plot.count = 0;
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *r = &rows->all[i];
        const char *policy = curve_policy(r, &mib);
        if (policy && !has_line(policy))
            add_curve(rows, i, policy, false);
        if (policy && r->baseline && !has_line(r->baseline))
            add_curve(rows, i, policy, true);
    }
    if (plot.count == 0)
        return 0;
    bool is_knee = is_within_lines(knee);
    snprintf(text, sizeof(text), "%s: %.0f MiB", is_knee ? "knee" : "the most", knee);
    card_begin(out, "tune", "misses by memory", "percent",
               is_knee ? "The share of the requests that L1 does not answer. Beyond the knee more "
                         "memory saves little."
                       : "The share of the requests that L1 does not answer. No more memory was "
                         "tried.");
    chart_lines(out,
                &(struct chart_axes){.what = "misses by memory",
                                     .x_title = "l1.memory, MiB",
                                     .y_title = "misses, %",
                                     .x_log = true,
                                     .x_mark = {knee, text},
                                     .y_mark = {NAN, NULL}},
                plot.lines, plot.count);
    card_end(out);
    return 1;
}

/* ---- quantiles ---- */

static const char *const quantiles[QUANTILES] = {"p50", "p90", "p99", "p99.9", "p99.99", "max"};

/* Says which quantile a row is, and how many letters of the metric stand before it. */
static bool is_quantile(const struct row *r, size_t *ret_number, size_t *ret_prefix)
{
    size_t len = strlen(r->metric);
    *ret_number = *ret_prefix = 0;
    for (size_t q = 0; q < QUANTILES; q++) {
        size_t own = strlen(quantiles[q]);
        if (len < own || strcmp(r->metric + len - own, quantiles[q]) != 0 ||
            (len > own && r->metric[len - own - 1] != ' '))
            continue;
        *ret_number = q;
        *ret_prefix = len > own ? len - own - 1 : 0;
        return true;
    }
    return false;
}

/* Do both belong into one picture: the same bench, unit, and words before the quantile? */
static bool is_of_picture(const struct row *a, const struct row *b)
{
    size_t number, prefix_a, prefix_b;
    return is_quantile(a, &number, &prefix_a) && is_quantile(b, &number, &prefix_b)
           && prefix_a == prefix_b && strncmp(a->metric, b->metric, prefix_a) == 0 &&
           strcmp(a->bench, b->bench) == 0 && strcmp(a->unit, b->unit) == 0 &&
           !row_has_limit(a) && !row_has_limit(b);
}

/* Notes which quantiles the picture has that row `first` is of; returns how many. */
static size_t quantiles_in(const struct rows *rows, size_t first, bool ret[QUANTILES])
{
    size_t count = 0, number, prefix;
    memset(ret, 0, QUANTILES * sizeof(*ret));
    for (size_t i = first; i < rows->count; i++) {
        if (!is_of_picture(&rows->all[first], &rows->all[i]))
            continue;
        is_quantile(&rows->all[i], &number, &prefix);
        count += !ret[number];
        ret[number] = true;
    }
    return count;
}

bool picture_is_of_latency(const struct rows *rows, const struct row *r)
{
    bool there[QUANTILES];
    size_t i = 0;
    while (i < rows->count && !is_of_picture(&rows->all[i], r))
        i++;
    return i < rows->count && quantiles_in(rows, i, there) >= QUANTILES_LEAST;
}

static size_t place_of(const bool there[QUANTILES], size_t number)
{
    size_t place = 0;
    for (size_t q = 0; q < number; q++)
        place += there[q];
    return place;
}

static void add_quantiles(const struct rows *rows, size_t first, const bool there[QUANTILES],
                          bool of_baseline)
{
    const struct row *f = &rows->all[first];
    size_t number, prefix;
    char more[64] = "";
    if (of_baseline)
        snprintf(more, sizeof(more), ", %s", f->baseline);
    struct chart_line *l = plot_line(f->name, strlen(f->name), more);
    for (size_t i = first; l && i < rows->count; i++) {
        const struct row *r = &rows->all[i];
        if (!is_of_picture(f, r) || strcmp(f->name, r->name) != 0)
            continue;
        is_quantile(r, &number, &prefix);
        plot_point(l, (double)place_of(there, number), of_baseline ? r->baseline_value : r->value);
    }
}

/* The letters up to the first ", ", "1 thread, ", if all lines begin with them: they are the
 * picture's, and tell it from the next one. */
static size_t shared_letters(void)
{
    const char *first = plot.lines[0].name, *end = strstr(first, ", ");
    size_t len = end ? (size_t)(end - first) + 2 : 0;
    for (size_t i = 1; i < plot.count; i++)
        if (strncmp(plot.lines[i].name, first, len) != 0)
            return 0;
    return plot.count > 1 ? len : 0;
}

static void draw_quantiles(const struct row *f, const bool there[QUANTILES], FILE *out)
{
    size_t number, prefix = 0, count = 0, shared = shared_letters();
    const char *names[QUANTILES];
    char what[160];
    is_quantile(f, &number, &prefix);
    for (size_t q = 0; q < QUANTILES; q++)
        if (there[q])
            names[count++] = quantiles[q];
    snprintf(what, sizeof(what), "%.*s%slatency%s%.*s", (int)prefix, f->metric, prefix ? ": " : "",
             shared ? ", " : "", shared ? (int)shared - 2 : 0, plot.lines[0].name);
    for (size_t i = 0; i < plot.count; i++)
        plot.lines[i].name += shared;
    bool is_time = row_unit_ns(f) > 0;
    card_begin(out, f->bench, what, is_time ? NULL : f->unit,
               "So many of the calls took no longer. The scale is logarithmic.");
    chart_lines(out,
                &(struct chart_axes){.what = what, .x_title = "share of the calls",
                                     .y_title = is_time ? "" : f->unit, .y_log = true,
                                     .y_unit_ns = row_unit_ns(f), .x_names = names,
                                     .x_mark = {NAN, NULL}, .y_mark = {NAN, NULL}},
                plot.lines, plot.count);
    card_end(out);
    plot.count = 0;
}

/* Is row `i` the first of its picture (its name, when `of_line`)? */
static bool is_first_of(const struct rows *rows, size_t i, bool of_line)
{
    for (size_t j = 0; j < i; j++)
        if (is_of_picture(&rows->all[j], &rows->all[i]) &&
            (!of_line || strcmp(rows->all[j].name, rows->all[i].name) == 0))
            return false;
    return true;
}

static size_t lines_of(const struct row *r)
{
    return r->baseline ? 2 : 1;
}

/* Returns how many lines each of the pictures gets that these quantiles need: as many as the
 * others, so that none is left with what belongs beside the lines of another. */
static size_t lines_of_each(const struct rows *rows, size_t first)
{
    size_t all = 0, least = lines_of(&rows->all[first]);
    for (size_t i = first; i < rows->count; i++)
        if (is_of_picture(&rows->all[first], &rows->all[i]) && is_first_of(rows, i, true))
            all += lines_of(&rows->all[i]);
    size_t pictures = (all + CHART_LINES_MAX - 1) / CHART_LINES_MAX;
    size_t each = (all + pictures - 1) / pictures;
    return (each + least - 1) / least * least;
}

static unsigned pictures_of_quantiles(const struct rows *rows, size_t first,
                                      const bool there[QUANTILES], FILE *out)
{
    unsigned drawn = 0;
    size_t each = lines_of_each(rows, first);
    plot.count = 0;
    for (size_t i = first; i < rows->count; i++) {
        const struct row *r = &rows->all[i];
        if (!is_of_picture(&rows->all[first], r) || !is_first_of(rows, i, true))
            continue;
        if (plot.count && plot.count + lines_of(r) > each) {
            draw_quantiles(&rows->all[first], there, out);
            drawn++;
        }
        add_quantiles(rows, i, there, false);
        if (r->baseline)
            add_quantiles(rows, i, there, true);
    }
    draw_quantiles(&rows->all[first], there, out);
    return drawn + 1;
}

unsigned pictures_of_latency(const struct rows *rows, FILE *out)
{
    bool there[QUANTILES];
    unsigned drawn = 0;
    for (size_t i = 0; i < rows->count; i++)
        if (is_of_picture(&rows->all[i], &rows->all[i]) && is_first_of(rows, i, false) &&
            quantiles_in(rows, i, there) >= QUANTILES_LEAST)
            drawn += pictures_of_quantiles(rows, i, there, out);
    return drawn;
}

/* ---- over time ---- */

static bool is_first_over_time(const struct rows *rows, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (!isnan(rows->all[j].at_s) && row_is_headed_like(&rows->all[j], &rows->all[i]) &&
            strcmp(rows->all[j].name, rows->all[i].name) == 0)
            return false;
    return true;
}

static void add_over_time(const struct rows *rows, size_t first)
{
    const struct row *f = &rows->all[first];
    struct chart_line *l = plot_line(f->name, strlen(f->name), "");
    for (size_t i = first; l && i < rows->count; i++) {
        const struct row *r = &rows->all[i];
        if (row_is_headed_like(f, r) && strcmp(f->name, r->name) == 0)
            plot_point(l, r->at_s, r->value);
    }
}

static void draw_over_time(const struct row *f, FILE *out)
{
    card_begin(out, f->bench, f->metric, f->unit, "As it went.");
    chart_lines(out,
                &(struct chart_axes){.what = f->metric, .x_title = "seconds", .y_title = f->unit,
                                     .x_mark = {NAN, NULL},
                                     .y_mark = {f->baseline ? f->baseline_value : NAN,
                                                f->baseline}},
                plot.lines, plot.count);
    card_end(out);
    plot.count = 0;
}

static unsigned pictures_of_series(const struct rows *rows, size_t first, FILE *out)
{
    unsigned drawn = 1;
    plot.count = 0;
    for (size_t i = first; i < rows->count; i++) {
        if (isnan(rows->all[i].at_s) || !row_is_headed_like(&rows->all[first], &rows->all[i]) ||
            !is_first_over_time(rows, i))
            continue;
        if (plot.count == CHART_LINES_MAX) {
            draw_over_time(&rows->all[first], out);
            drawn++;
        }
        add_over_time(rows, i);
    }
    draw_over_time(&rows->all[first], out);
    return drawn;
}

unsigned pictures_over_time(const struct rows *rows, FILE *out)
{
    unsigned drawn = 0;
    for (size_t i = 0; i < rows->count; i++)
        if (!isnan(rows->all[i].at_s) && rows_is_first(rows, i))
            drawn += pictures_of_series(rows, i, out);
    return drawn;
}
