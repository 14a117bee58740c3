// SPDX-License-Identifier: MIT
/*
 * Pictures of bars: limits and how near they came, ratios beside others, and values. A bar is the
 * median, the thin line on it between which figures that lies, the red line the goal. A ratio is
 * coloured as better or worse where `compare` would say so: not where it may be 1. Values of which
 * one is many times another are dots on a logarithmic scale, where a bar's length says nothing.
 */
#include <math.h>
#include <string.h>

#include "report/chart.h"
#include "report/compare.h"
#include "report/pictures.h"
#include "support/fail.h"
#include "support/table.h"

#define BARS_MAX   28u /* of a picture; a group is not torn for it */
#define BARS_ROOM  64u
#define NAME_SHORT 20u
#define SPAN_LOG   50 /* so many times the least is the most, and the scale is logarithmic */

struct bars {
    struct chart_bar all[BARS_ROOM];
    size_t count;
    struct chart_scale scale;
    const struct row *first;
    const char *what, *unit, *how;
    unsigned drawn;
};

static const char *figure_text(double x)
{
    double size = fabs(x);
    if (!isfinite(x))
        return "-";
    if (size >= 1e6)
        return table_print("%.3g M", x / 1e6);
    if (size >= 99950)
        return table_print("%.0fk", x / 1e3);
    if (size >= 9995)
        return table_print("%.1fk", x / 1e3);
    if (size > 0 && size < 0.01)
        return table_print("%.2g", x);
    return table_print("%.*f", size < 9.995 ? 2 : size < 99.95 ? 1 : 0, x);
}

static void draw(struct bars *b, FILE *out)
{
    if (b->count == 0)
        return;
    card_begin(out, b->first->bench, b->what, b->unit, b->how);
    chart_bars(out, b->what, b->all, b->count, &b->scale);
    card_end(out);
    b->count = 0;
    b->drawn++;
}

/* Adds a bar; a picture that is full is drawn first, at the end of a group. */
static void add(struct bars *b, const struct chart_bar *bar, FILE *out)
{
    const char *group = b->count ? b->all[b->count - 1].group : NULL;
    bool is_new = !bar->group || !group || strcmp(group, bar->group) != 0;
    if ((b->count >= BARS_MAX && is_new) || b->count == BARS_ROOM)
        draw(b, out);
    b->all[b->count++] = *bar;
}

static enum tone tone_of_goal(const struct row *r)
{
    if (isnan(r->goal))
        return TONE_PLAIN;
    return r->value == r->goal || (r->value > r->goal) == row_rises(r) ? TONE_GOOD : TONE_BAD;
}

static bool is_in_lines(const struct row *r)
{
    return !isnan(r->at_s) || picture_is_of_curve(r);
}

/* ---- limits ---- */

/* A share that is next to nothing is no number of seven digits. */
static const char *percent_text(double share)
{
    double percent = 100 * share;
    if (percent > 0 && percent < 0.1)
        return "< 0.1 %";
    return table_print("%.*f %%", percent < 99.95 && percent > 0 ? 1 : 0, percent);
}

static bool is_limited(const struct row *r)
{
    return row_has_limit(r) && !is_in_lines(r) && isfinite(r->ratio);
}

static bool is_first_limit(const struct rows *rows, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (is_limited(&rows->all[j]) && strcmp(rows->all[j].bench, rows->all[i].bench) == 0)
            return false;
    return true;
}

unsigned pictures_of_limits(const struct rows *rows, FILE *out)
{
    struct bars b = {.what = "what has a limit",
                     .unit = "share of it",
                     .how = "The red line is the limit: a bound, a cap or a goal."};
    for (size_t i = 0; i < rows->count; i++) {
        b.first = &rows->all[i];
        if (!is_limited(b.first) || !is_first_limit(rows, i))
            continue;
        for (size_t j = i; j < rows->count; j++) {
            const struct row *r = &rows->all[j];
            if (is_limited(r) && strcmp(r->bench, b.first->bench) == 0)
                add(&b,
                    &(struct chart_bar){.group = r->name, .name = r->metric,
                                        .text = percent_text(r->ratio),
                                        .value = r->ratio, .low = NAN, .high = NAN, .goal = 1,
                                        .tone = r->ratio <= 1 ? TONE_GOOD : TONE_BAD},
                    out);
        }
        draw(&b, out);
    }
    return b.drawn;
}

/* ---- ratios ---- */

static bool is_ratio(const struct rows *rows, const struct row *r)
{
    return r->baseline && !row_has_limit(r) && !row_is_rate_of_control(r) && !is_in_lines(r) &&
           r->ratio > 0 && !picture_is_of_latency(rows, r);
}

/* Is there one baseline under the heading, and no name too long to stand beside its bar? */
static bool is_plain(const struct rows *rows, size_t first)
{
    const struct row *f = &rows->all[first];
    for (size_t i = first; i < rows->count; i++) {
        const struct row *r = &rows->all[i];
        if (row_is_headed_like(r, f) && is_ratio(rows, r) &&
            (strcmp(r->baseline, f->baseline) != 0 || strlen(r->name) > NAME_SHORT))
            return false;
    }
    return true;
}

static const char *how_to_read(const struct row *r)
{
    return row_has_truth(r)     ? "What it says over what came: the nearer to 1 the better."
           : row_has_control(r) ? "nigh's figure over the control's, which is what the machine "
                                  "makes of so many threads."
           : row_has_best(r)    ? "Beside the one that did best."
           : row_rises(r)       ? "nigh's figure over theirs: more than 1 is better."
                                : "nigh's figure over theirs: less than 1 is better.";
}

static enum tone tone_of_ratio(const struct row *r)
{
    static const enum tone tones[VERDICTS] = {
        [VERDICT_WITHIN] = TONE_UNSURE,
        [VERDICT_BETTER] = TONE_GOOD,
        [VERDICT_WORSE] = TONE_BAD,
        [VERDICT_FEW] = TONE_UNSURE,
    };
    bool is_judged = !row_has_truth(r) && !row_has_control(r) && !row_has_floor(r);
    return is_judged ? tones[compare_beside(r)] : TONE_PLAIN;
}

static void add_ratio(struct bars *b, const struct row *r, bool plain, FILE *out)
{
    struct row_range range = row_range(r);
    add(b,
        &(struct chart_bar){.group = plain ? NULL : r->name,
                            .name = plain ? r->name : r->baseline,
                            .text = figure_text(r->ratio),
                            .value = r->ratio,
                            .low = isnan(range.low) ? NAN : fmax(range.low, r->ratio / 20),
                            .high = range.high,
                            .goal = r->goal,
                            .tone = tone_of_ratio(r)},
        out);
}

unsigned pictures_of_ratios(const struct rows *rows, FILE *out)
{
    struct bars b = {.scale = {.from = 1}};
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *first = &rows->all[i];
        bool seen = false;
        for (size_t j = 0; j < i; j++)
            seen |= is_ratio(rows, &rows->all[j]) && row_is_headed_like(&rows->all[j], first);
        if (seen || !is_ratio(rows, first))
            continue;
        bool plain = is_plain(rows, i);
        b.first = first;
        b.what = plain ? table_print("%s / %s", first->metric, first->baseline)
                       : table_print("%s, over that of others", first->metric);
        b.how = how_to_read(first);
        for (size_t j = i; j < rows->count; j++)
            if (is_ratio(rows, &rows->all[j]) && row_is_headed_like(&rows->all[j], first))
                add_ratio(&b, &rows->all[j], plain, out);
        draw(&b, out);
    }
    return b.drawn;
}

/* ---- values ---- */

static bool is_value(const struct rows *rows, const struct row *r)
{
    return (!r->baseline || row_is_rate_of_control(r)) && !is_in_lines(r) && isfinite(r->value) &&
           !picture_is_of_latency(rows, r);
}

/* The values under one heading. */
struct values {
    size_t count;
    bool is_short; /* their names are */
    double least, most;
};

static struct values values_like(const struct rows *rows, size_t first)
{
    struct values v = {.is_short = true, .least = INFINITY, .most = -INFINITY};
    for (size_t i = first; i < rows->count; i++) {
        const struct row *r = &rows->all[i];
        if (!is_value(rows, r) || !row_is_headed_like(r, &rows->all[first]))
            continue;
        v.count++;
        v.is_short &= strlen(r->name) <= NAME_SHORT;
        v.least = fmin(v.least, r->value);
        v.most = fmax(v.most, r->value);
    }
    return v;
}

/* A hit beside a load that takes milliseconds would be a bar of no length. */
static bool spans_decades(const struct values *v)
{
    return v->least > 0 && v->most >= SPAN_LOG * v->least;
}

static struct chart_scale scale_of(const struct row *first, const struct values *v)
{
    bool is_log = spans_decades(v);
    return (struct chart_scale){.has_dots = is_log, .unit_ns = is_log ? row_unit_ns(first) : 0};
}

static const char *value_text(const struct bars *b, const struct row *r)
{
    char time[16];
    if (b->scale.unit_ns > 0)
        return table_print("%s", chart_time(r->value * b->scale.unit_ns, time));
    return strcmp(r->unit, "count") == 0 ? table_print("%.0f", r->value) : figure_text(r->value);
}

static void add_value(struct bars *b, const struct row *r, bool is_short, FILE *out)
{
    struct row_range range = {NAN, NAN}; /* that of a row with a baseline is the ratio's */
    if (!r->baseline)
        range = row_range(r);
    if (b->scale.has_dots && range.low <= 0)
        range.low = r->value;
    add(b,
        &(struct chart_bar){.group = is_short ? NULL : r->name, .name = is_short ? r->name : "",
                            .text = value_text(b, r),
                            .value = r->value,
                            .low = range.low, .high = range.high, .goal = r->goal,
                            .tone = tone_of_goal(r)},
        out);
}

unsigned pictures_of_values(const struct rows *rows, FILE *out)
{
    struct bars b = {.count = 0};
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *first = &rows->all[i];
        bool seen = false;
        for (size_t j = 0; j < i; j++)
            seen |= is_value(rows, &rows->all[j]) && row_is_headed_like(&rows->all[j], first);
        struct values values = values_like(rows, i);
        if (seen || !is_value(rows, first) || values.count < 2)
            continue;
        b.first = first;
        b.scale = scale_of(first, &values);
        b.what = first->metric;
        b.unit = b.scale.unit_ns > 0 ? NULL : first->unit;
        b.how = b.scale.has_dots ? "The figures as they are, on a logarithmic scale: only those of "
                                   "one run compare."
                                 : "The figures as they are: only those of one run compare.";
        for (size_t j = i; j < rows->count; j++)
            if (is_value(rows, &rows->all[j]) && row_is_headed_like(&rows->all[j], first))
                add_value(&b, &rows->all[j], values.is_short, out);
        draw(&b, out);
    }
    return b.drawn;
}
