// SPDX-License-Identifier: MIT
/*
 * Drawing. Names stand above or beside what they name and never within it, and are cut to what
 * their place holds: fonts differ, and no label may lie over another one.
 */
#include "report/chart.h"

#include <math.h>
#include <string.h>

#include "report/page.h"

#define WIDTH 400

/* ---- scales ---- */

struct scale {
    double low, high; /* of the values; logarithms when `is_log` */
    double from, to;  /* of the picture */
    bool is_log;
    double unit_ns; /* its numbers are times, in this; 0: they are not */
    double decades; /* so many have room for a label each */
};

static double on(const struct scale *s, double value)
{
    double v = s->is_log ? log10(value) : value;
    double share = s->high > s->low ? (v - s->low) / (s->high - s->low) : 0.5;
    return s->from + fmin(fmax(share, 0), 1) * (s->to - s->from);
}

static void include(struct scale *s, double value)
{
    if (!isfinite(value) || (s->is_log && value <= 0))
        return;
    double v = s->is_log ? log10(value) : value;
    s->low = fmin(s->low, v);
    s->high = fmax(s->high, v);
}

/* Widens what is so narrow that noise would fill it. */
static void widen(struct scale *s)
{
    double least = s->is_log ? 0.3 : fabs(s->high) * 0.05;
    if (!isfinite(s->low) || !isfinite(s->high)) {
        s->low = 0;
        s->high = 1;
    }
    if (s->low == s->high && s->high == 0 && !s->is_log)
        s->high = 1; /* counts of nothing: from 0 on, as others */
    double lack = least - (s->high - s->low);
    if (lack > 0) {
        s->low -= lack / 2;
        s->high += lack / 2;
    }
}

static struct scale scale_of(bool is_log, double from, double to)
{
    return (struct scale){INFINITY, -INFINITY, from, to, is_log, 0, 6};
}

/* "12", "0.05", "3k", "1.2M" */
static const char *short_number(double x, char ret[16])
{
    static const char *const units[] = {"", "k", "M", "G", "T"};
    unsigned unit = 0;
    for (; fabs(x) >= 999.5 && unit < 4; unit++)
        x /= 1000;
    snprintf(ret, 16, "%.3g%s", x, units[unit]);
    return ret;
}

const char *chart_time(double ns, char ret[16])
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    unsigned unit = 0;
    for (; ns >= 999.5 && unit < 3; unit++)
        ns /= 1000;
    snprintf(ret, 16, "%.3g %s", ns, units[unit]);
    return ret;
}

static const char *tick_text(const struct scale *s, double at, char ret[16])
{
    return s->unit_ns > 0 ? chart_time(at * s->unit_ns, ret) : short_number(at, ret);
}

typedef void tick_fn(FILE *out, const struct scale *s, double at);

/* Ticks in steps of 1, 2 and 5, so many at most that their numbers do not touch. */
static void linear_ticks(FILE *out, const struct scale *s, tick_fn *tick)
{
    static const double steps[] = {1, 2, 5, 10};
    double raw = (s->high - s->low) / 5, power = pow(10, floor(log10(raw))), step = 10 * power;
    for (size_t i = 4; i-- > 0;)
        if (steps[i] * power >= raw)
            step = steps[i] * power;
    for (double n = ceil(s->low / step - 1e-9); n * step <= s->high + step * 1e-9; n++)
        tick(out, s, n * step + 0.0); /* which makes -0 a 0 */
}

static void log_ticks(FILE *out, const struct scale *s, tick_fn *tick)
{
    double decades = s->high - s->low;
    int every = (int)fmax(1, ceil(decades / s->decades));
    for (int power = (int)floor(s->low); power <= (int)ceil(s->high); power++)
        for (int m = 1; m <= 5; m += m == 1 ? 1 : 3) {
            double at = m * pow(10, power), v = log10(at);
            bool wanted = m == 1 ? power % every == 0 : decades <= 2;
            if (wanted && v >= s->low - 1e-9 && v <= s->high + 1e-9)
                tick(out, s, at);
        }
}

/* Ticks for less than a third of a decade, where 1, 2, 5 may have nothing. */
static void ticks(FILE *out, const struct scale *s, tick_fn *tick)
{
    if (!s->is_log) {
        linear_ticks(out, s, tick);
    } else if (s->high - s->low > 0.7) {
        log_ticks(out, s, tick);
    } else {
        struct scale plain = {pow(10, s->low), pow(10, s->high), s->from,   s->to,
                              false,           s->unit_ns,       s->decades};
        double step = plain.high - plain.low > 1 ? 0.5 : plain.high - plain.low > 0.5 ? 0.2 : 0.1;
        while ((plain.high - plain.low) / step > 6)
            step *= 2;
        for (double n = ceil(plain.low / step); n * step <= plain.high; n++)
            tick(out, s, n * step);
    }
}

static void begin(FILE *out, const char *what, double height)
{
    fprintf(out, "<svg viewBox=\"0 0 %d %.0f\" role=\"img\"><title>", WIDTH, height);
    page_text(out, what);
    fputs("</title>\n", out);
}

static void text_at(FILE *out, const char *classes, const char *anchor, double x, double y,
                    const char *text, size_t most)
{
    fprintf(out, "<text class=\"%s\" text-anchor=\"%s\" x=\"%.1f\" y=\"%.1f\">", classes, anchor, x,
            y);
    page_text_cut(out, text, most);
    fputs("</text>\n", out);
}

static void line(FILE *out, const char *class, double x, double y, double x2, double y2)
{
    fprintf(out, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x,
            y, x2, y2);
}

/* ---- bars ---- */

#define BARS_FROM  122
#define BARS_TO    340
#define BARS_TOP   18.0
#define LANE       17.0
#define GROUP      20.0
#define NAME_MOST  20u
#define GROUP_MOST 62u
#define BARS_DECADES 5

static double bars_bottom; /* of the chart that is drawn */

static void bars_tick(FILE *out, const struct scale *s, double at)
{
    char text[16];
    double x = on(s, at);
    line(out, "grid", x, BARS_TOP, x, bars_bottom);
    text_at(out, "quiet", "middle", x, BARS_TOP - 6, tick_text(s, at, text), 8);
}

static bool opens_group(const struct chart_bar *bars, size_t i)
{
    const char *group = bars[i].group, *before = i ? bars[i - 1].group : NULL;
    return group && (!before || strcmp(group, before) != 0);
}

static double bars_height(const struct chart_bar *bars, size_t count)
{
    double height = BARS_TOP + 6;
    for (size_t i = 0; i < count; i++)
        height += LANE + (opens_group(bars, i) ? GROUP : 0);
    return height;
}

static struct scale bars_scale(const struct chart_bar *bars, size_t count,
                               const struct chart_scale *of)
{
    struct scale s = scale_of(of->from > 0 || of->has_dots, BARS_FROM, BARS_TO);
    s.unit_ns = of->unit_ns;
    s.decades = BARS_DECADES;
    include(&s, of->has_dots ? NAN : of->from);
    for (size_t i = 0; i < count; i++) {
        include(&s, bars[i].value);
        include(&s, bars[i].low);
        include(&s, bars[i].high);
        include(&s, bars[i].goal);
    }
    widen(&s);
    if (!s.is_log)
        s.low = fmin(0, s.low);
    if (of->has_dots) {
        s.low = floor(s.low + 1e-9);
        s.high = ceil(s.high - 1e-9);
    }
    return s;
}

static void draw_value(FILE *out, const struct scale *s, const struct chart_bar *b,
                       const struct chart_scale *of, double y)
{
    static const char *const tones[] = {"plain", "good", "bad", "unsure"};
    double zero = on(s, of->from), x = on(s, b->value);
    if (!isfinite(b->value) || (b->value <= 0 && s->is_log))
        return;
    if (of->has_dots)
        fprintf(out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\"/>\n", tones[b->tone],
                x, y + LANE / 2);
    else
        fprintf(out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n",
                tones[b->tone], fmin(zero, x), y + 3.5, fmax(fabs(x - zero), 1.5), LANE - 7);
}

static void draw_bar(FILE *out, const struct scale *s, const struct chart_bar *b,
                     const struct chart_scale *of, double y)
{
    double middle = y + LANE / 2;
    text_at(out, "quiet", "start", 0, y + 12.5, b->name, NAME_MOST);
    draw_value(out, s, b, of, y);
    if (isfinite(b->low) && isfinite(b->high) && b->high > b->low) {
        double low = on(s, b->low), high = on(s, b->high);
        line(out, "spread", low, middle, high, middle);
        line(out, "spread", low, middle - 3, low, middle + 3);
        line(out, "spread", high, middle - 3, high, middle + 3);
    }
    if (isfinite(b->goal))
        line(out, "mark", on(s, b->goal), y + 1, on(s, b->goal), y + LANE - 1);
    text_at(out, "", "end", WIDTH, y + 12.5, b->text, 9);
}

void chart_bars(FILE *out, const char *what, const struct chart_bar *bars, size_t count,
                const struct chart_scale *scale)
{
    struct scale s = bars_scale(bars, count, scale);
    double y = BARS_TOP + 2;
    bars_bottom = bars_height(bars, count) - 4;
    begin(out, what, bars_bottom + 4);
    ticks(out, &s, bars_tick);
    if (!scale->has_dots)
        line(out, "from", on(&s, scale->from), BARS_TOP, on(&s, scale->from), bars_bottom);
    for (size_t i = 0; i < count; i++) {
        if (opens_group(bars, i)) {
            /* over the grid, so that its lines do not run through the letters */
            fprintf(out,
                    "<rect x=\"0\" y=\"%.1f\" width=\"%d\" height=\"%.1f\" "
                    "style=\"fill:var(--card)\"/>\n",
                    y + 1, WIDTH, GROUP - 2);
            text_at(out, "group", "start", 0, y + 14, bars[i].group, GROUP_MOST);
            y += GROUP;
        }
        draw_bar(out, &s, &bars[i], scale, y);
        y += LANE;
    }
    fputs("</svg>\n", out);
}

/* ---- lines ---- */

#define PLOT_LEFT   44
#define PLOT_RIGHT  388
#define PLOT_TOP    34
#define PLOT_BOTTOM 214
#define PLOT_HEIGHT 254

static const char *const dashes[CHART_LINES_MAX] = {"none", "7 3", "2 3", "9 3 2 3", "4 4", "1 2"};

static void x_tick(FILE *out, const struct scale *s, double at)
{
    char text[16];
    double x = on(s, at);
    line(out, "grid", x, PLOT_TOP, x, PLOT_BOTTOM);
    text_at(out, "quiet", "middle", x, PLOT_BOTTOM + 15, short_number(at, text), 8);
}

static void y_tick(FILE *out, const struct scale *s, double at)
{
    char text[16];
    double y = on(s, at);
    line(out, "grid", PLOT_LEFT, y, PLOT_RIGHT, y);
    text_at(out, "quiet", "end", PLOT_LEFT - 6, y + 4, tick_text(s, at, text), 7);
}

static void draw_line(FILE *out, const struct scale *x, const struct scale *y,
                      const struct chart_line *l, size_t number)
{
    fprintf(out, "<polyline class=\"curve c%zu\" stroke-dasharray=\"%s\" points=\"", number,
            dashes[number]);
    for (size_t i = 0; i < l->count; i++)
        if (isfinite(l->x[i]) && isfinite(l->y[i]))
            fprintf(out, "%.1f,%.1f ", on(x, l->x[i]), on(y, l->y[i]));
    fputs("\"/>\n", out);
    for (size_t i = 0; i < l->count && l->count <= 24; i++)
        if (isfinite(l->x[i]) && isfinite(l->y[i]))
            fprintf(out,
                    "<circle class=\"c%zu\" style=\"fill:var(--card)\" stroke-width=\"1.5\" "
                    "cx=\"%.1f\" cy=\"%.1f\" r=\"2.6\"/>\n",
                    number, on(x, l->x[i]), on(y, l->y[i]));
}

static void draw_marks(FILE *out, const struct chart_axes *a, const struct scale *x,
                       const struct scale *y)
{
    if (isfinite(a->x_mark.at)) {
        double at = on(x, a->x_mark.at);
        line(out, "mark", at, PLOT_TOP, at, PLOT_BOTTOM);
        text_at(out, "marked", at > 260 ? "end" : at < 130 ? "start" : "middle", at, PLOT_TOP - 6,
                a->x_mark.text, 30);
    }
    if (isfinite(a->y_mark.at)) {
        double at = on(y, a->y_mark.at);
        line(out, "mark", PLOT_LEFT, at, PLOT_RIGHT, at);
        text_at(out, "marked", "start", PLOT_LEFT + 4, at > PLOT_BOTTOM - 16 ? at - 4 : at + 12,
                a->y_mark.text, 30);
    }
}

static void draw_key(FILE *out, const struct chart_line *lines, size_t count)
{
    fputs("<ul class=\"key\">", out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out,
                "<li><svg viewBox=\"0 0 26 10\" aria-hidden=\"true\"><line class=\"curve c%zu\" "
                "stroke-dasharray=\"%s\" x1=\"0\" y1=\"5\" x2=\"26\" y2=\"5\"/></svg>",
                i, dashes[i]);
        page_text(out, lines[i].name);
        fputs("</li>", out);
    }
    fputs("</ul>\n", out);
}

static void fit(struct scale *x, struct scale *y, const struct chart_axes *a,
                const struct chart_line *lines, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < lines[i].count; j++) {
            include(x, lines[i].x[j]);
            include(y, lines[i].y[j]);
        }
    include(x, a->x_mark.at);
    include(y, a->y_mark.at);
    if (!y->is_log)
        include(y, 0);
    widen(x);
    widen(y);
}

void chart_lines(FILE *out, const struct chart_axes *a, const struct chart_line *lines,
                 size_t count)
{
    struct scale x = scale_of(a->x_log, PLOT_LEFT + (a->x_names ? 18 : 0),
                              PLOT_RIGHT - (a->x_names ? 18 : 0));
    struct scale y = scale_of(a->y_log, PLOT_BOTTOM, PLOT_TOP);
    y.unit_ns = a->y_unit_ns;
    fit(&x, &y, a, lines, count);
    begin(out, a->what, PLOT_HEIGHT);
    if (!a->x_names)
        ticks(out, &x, x_tick);
    for (double i = 0; a->x_names && i <= x.high + 1e-9; i++)
        text_at(out, "quiet", "middle", on(&x, i), PLOT_BOTTOM + 15, a->x_names[(int)i], 8);
    ticks(out, &y, y_tick);
    line(out, "from", PLOT_LEFT, PLOT_BOTTOM, PLOT_RIGHT, PLOT_BOTTOM);
    text_at(out, "quiet", "start", 0, 10, a->y_title, 24);
    text_at(out, "quiet", "end", PLOT_RIGHT, PLOT_BOTTOM + 33, a->x_title, 50);
    for (size_t i = 0; i < count; i++)
        draw_line(out, &x, &y, &lines[i], i);
    draw_marks(out, a, &x, &y);
    fputs("</svg>\n", out);
    draw_key(out, lines, count);
}
